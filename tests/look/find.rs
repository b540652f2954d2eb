//! `find`.

use serde_json::{Value, json};
use tillvault::{
    observe::silent,
    ops::find::{FindOptions, find},
};

use crate::book::{Book, lines, orders, rows, table};

/// Prices that change, go and come back, and a clear.
async fn menu() -> Book {
    let book = Book::new();
    let nights: [(&[&str], u32); 7] = [
        (&["1|Ayran|2.50|2026-10-01 12:00:00", "2|Börek|4.00|2026-10-01 12:00:00"], 1),
        (&["1|Ayran|2.50|2026-10-01 12:00:00", "2|Börek|4.00|2026-10-01 12:00:00", "3|Ayran|2.50|-"], 1),
        (&["1|Ayran|3.00|2026-10-01 12:00:00", "2|Börek|4.00|2026-10-01 12:00:00", "3|Ayran|2.50|-"], 1),
        (&["2|Börek|4.00|2026-10-01 12:00:00", "3|Ayran|2.50|-"], 1),
        (&["1|Ayran|2.50|2026-10-01 12:00:00", "2|Ayran, large|4.00|2026-10-01 12:00:00"], 1),
        (&["1|Ayran|2.50|2026-10-01 12:00:00"], 1),
        (&["1|Ayran|9.00|2026-11-01 12:00:00"], 2),
    ];
    for (night, epoch) in nights {
        book.take_as(&[orders(night)], |snapshot| snapshot.epoch = epoch).await;
    }
    book
}

/// Versions as `(Id, Price, [from, to, …])`.
fn found(json: &Value) -> Vec<(i64, String, Vec<u64>)> {
    let version = |version: &Value| {
        let stood = version["stood"].as_array().unwrap();
        let ends = stood.iter().flat_map(|one| [one["from"].as_u64().unwrap(), one["to"].as_u64().unwrap()]).collect();
        (version["row"]["Id"].as_i64().unwrap(), version["row"]["Price"].as_str().unwrap().to_owned(), ends)
    };
    json["versions"].as_array().unwrap().iter().map(version).collect()
}

#[tokio::test]
async fn every_version_is_found_with_the_snapshots_it_stood_in() {
    let book = menu().await;
    let json = book.json(&["find", "Orders", "Name", "Ayran"]);
    let price = |text: &str| text.to_owned();
    assert_eq!(
        found(&json),
        [
            (1, price("2.50"), vec![1, 2, 5, 6]),
            (1, price("3.00"), vec![3, 3]),
            (1, price("9.00"), vec![7, 7]),
            (3, price("2.50"), vec![2, 4]),
        ]
    );
    assert_eq!(json["searched"]["to"], 7);
    assert_eq!(json["found"], 4);
    assert_eq!(json["key"], json!(["Id"]));
    assert_eq!(json["versions"][2]["epoch"], 2);
    assert_eq!(json["versions"][0]["stood"][1]["to_till_time"], "2026-10-06T03:00:00");
    insta::assert_snapshot!(book.text(&["find", "orders", "name", "Ayran"]));
    insta::assert_snapshot!(book.text(&["find", "Orders", "Name", "Ay", "--contains", "--limit", "2"]));
    assert_eq!(found(&book.json(&["find", "Orders", "Name", "ayran", "--contains"])), [], "case counts");
    assert_eq!(found(&book.json(&["find", "Orders", "Name", "large", "--contains"]))[0].2, [5, 5]);
}

#[tokio::test]
async fn values_are_compared_as_they_are_shown() {
    let book = menu().await;
    let count = |column: &str, value: &str| book.json(&["find", "Orders", column, value])["found"].as_u64().unwrap();
    assert_eq!(count("Price", "4.00"), 2);
    assert_eq!(count("Price", "4"), 0);
    assert_eq!(count("At", "2026-10-01 12:00:00"), 4);
    assert_eq!(count("At", "2026-10-01T12:00:00"), 4, "as JSON has it");
    assert_eq!(count("Id", "3"), 1);
    assert_eq!(count("Id", "03"), 0);
    assert_eq!(count("Id", "-3"), 0);
    assert!(book.text(&["find", "Orders", "Price", "4"]).contains("never had Price 4 in snapshots 1 to 7"));
}

#[tokio::test]
async fn a_part_of_the_history_can_be_asked() {
    let book = menu().await;
    let asked = |more: &[&str]| found(&book.json(&[&["find", "Orders", "Id", "1"], more].concat()));
    assert_eq!(
        asked(&["--from", "2", "--to", "3"]).iter().map(|one| one.2.clone()).collect::<Vec<_>>(),
        [[2, 2], [3, 3]]
    );
    assert_eq!(asked(&["--from", "2026-10-07"]).len(), 1);
    assert_eq!(asked(&["--to", "2026-10-02"])[0].2, [1, 2]);
    book.run(&["find", "Orders", "Id", "1", "--from", "5", "--to", "4"]).failed(2, &["no snapshot from 5 to 4"]);
    assert_eq!(asked(&["--limit", "1"]).len(), 1);
}

#[tokio::test]
async fn unknown_names_are_refused_with_near_ones() {
    let book = menu().await;
    book.run(&["find", "Order", "Id", "1"]).failed(2, &["there is no table Order in these snapshots", "mean Orders?"]);
    book.run(&["find", "Orders", "Nmae", "1"]).failed(2, &["there is no column Nmae in table Orders", "mean Name?"]);
}

#[tokio::test]
async fn blocks_that_cannot_hold_the_key_are_not_read() {
    let book = Book::new();
    let first = book.take(&[orders(lines(1..=5_000))]).await;
    let entry = &first.tables[0];
    book.spoil(entry, entry.chunks.iter().filter(|chunk| serde_json::to_value(chunk.block).unwrap()["lo"] != 4_097));
    let json = book.json(&["find", "Orders", "Id", "4100"]);
    assert_eq!((found(&json).len(), &json["chunks_read"], &json["chunks_skipped"]), (1, &json!(1), &json!(2)));
    // What cannot be read is told, and the rest is answered.
    let ran = book.run(&["find", "Orders", "Name", "Item 20", "--json"]).failed(13, &[]);
    let json = ran.json();
    assert_eq!(json["damaged"].as_array().unwrap().len(), 2);
    assert!(json["found"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn each_chunk_is_read_once_whatever_the_number_of_snapshots() {
    let book = Book::new();
    for last in [600, 601, 602] {
        book.take(&[orders(lines(1..=last))]).await;
    }
    let options =
        FindOptions { table: "Orders".into(), column: "Name".into(), value: "Item 3".into(), ..FindOptions::default() };
    let outcome = find(&book.archive, &options, &silent()).unwrap();
    assert_eq!(outcome.chunks_read, 4, "one closed, three of the open end");
    assert_eq!(outcome.found, 15);
    let stood: Vec<(u64, u64)> = outcome.versions.iter().map(|one| (one.stood[0].from, one.stood[0].to)).collect();
    assert!(stood.iter().all(|stood| *stood == (1, 3)), "rewritten blocks make no new versions: {stood:?}");
}

#[tokio::test]
async fn columns_and_tables_that_come_and_go_are_searched_too() {
    let book = Book::new();
    let take = async |columns: &[&str], lines: &[&str], keys: usize| {
        let table = table("T", columns, keys);
        let rows = rows(&table, lines);
        book.take(&[(table, rows), orders(["1|x|1.00|-"])]).await
    };
    take(&["Id int", "Old nvarchar(9)"], &["1|gone", "2|-"], 1).await;
    take(&["Id int"], &["1", "2"], 1).await;
    book.take(&[orders(["1|x|1.00|-"])]).await;
    take(&["Id int", "New bit"], &["1|-", "2|true"], 1).await;
    let stood = |column: &str, value: &str| book.json(&["find", "T", column, value])["versions"].clone();
    assert_eq!(stood("Old", "gone")[0]["stood"][0]["to"], 1);
    assert_eq!(stood("New", "1")[0]["row"]["Id"], 2);
    // A row without values in the columns that came and went is one row; where the table was away it did not stand.
    let one = stood("Id", "2");
    assert_eq!(one[0]["stood"].as_array().unwrap().len(), 1, "{one:#}");
    assert_eq!((&one[0]["stood"][0]["from"], &one[0]["stood"][0]["to"]), (&json!(1), &json!(2)));
    assert_eq!(one[1]["stood"][0]["from"], 4);
}

#[tokio::test]
async fn equal_rows_without_a_key_are_one() {
    let book = Book::new();
    let notes = table("Notes", &["Text nvarchar(9)", "N int"], 0);
    for lines in [&["a|1", "a|1", "b|1"][..], &["a|1", "b|2"]] {
        book.take(&[(notes.clone(), rows(&notes, lines))]).await;
    }
    let json = book.json(&["find", "Notes", "Text", "a"]);
    assert_eq!(json["found"], 1);
    assert_eq!(json["versions"][0]["stood"][0]["to"], 2);
    insta::assert_snapshot!(book.text(&["find", "Notes", "Text", "b"]));
}
