//! `diff`.

use arrow::{array::Array, record_batch::RecordBatch};
use serde_json::{Value, json};
use tillvault::{
    archive::snapshot::{Block, MissingTable, Snapshot},
    error::Kind,
    model::table::Table,
    observe::silent,
    ops::diff::{DiffOptions, DiffOutcome, diff},
};

use crate::book::{Book, line, lines, orders, rows, table};

fn compare(book: &Book, a: &Snapshot, b: &Snapshot) -> DiffOutcome {
    let options = DiffOptions { rows: Some(usize::MAX), ..DiffOptions::default() };
    diff(&book.archive, a, b, &options, &silent()).unwrap()
}

/// The only table that differs, as JSON.
fn only(book: &Book, a: &Snapshot, b: &Snapshot) -> Value {
    let json = serde_json::to_value(compare(book, a, b)).unwrap();
    let tables = json["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 1, "{json:#}");
    tables[0].clone()
}

fn counts(table: &Value) -> [u64; 3] {
    ["added", "changed", "removed"].map(|what| table[what].as_u64().unwrap())
}

#[tokio::test]
async fn what_changed_is_told_table_by_table_and_row_by_row() {
    let book = Book::new();
    let menu = table("Menu", &["Code nvarchar(9)", "Name nvarchar(50)"], 1);
    let menu_rows = rows(&menu, ["A|Ayran", "B|Börek"]);
    let notes = table("Notes", &["Text nvarchar(50)"], 0);
    book.take(&[orders(lines(1..=20)), (menu.clone(), menu_rows.clone())]).await;
    let mut changed = lines(2..=22);
    changed[4] = "6|Item with\ttab|-|2026-10-01 12:00:06".into();
    let notes_rows = rows(&notes, ["one", "one"]);
    book.take(&[orders(changed), (menu, menu_rows), (notes, notes_rows)]).await;

    insta::assert_snapshot!(book.text(&["diff"]));
    insta::assert_snapshot!(book.text(&["diff", "1", "2", "--rows"]));
    assert_eq!(book.text(&["diff", "2026-10-01", "--rows"]), book.text(&["diff", "1", "latest", "--rows"]));
    insta::assert_snapshot!(book.text(&["diff", "2", "1", "--table", "orders", "--rows", "--limit", "2"]));
    assert!(book.text(&["diff", "1", "1"]).contains("all 2 tables are equal; 0 chunks read, 2 shared"));

    let json = book.json(&["diff", "--rows", "--table", "Orders"]);
    assert_eq!(json["from"]["snapshot"], 1);
    assert_eq!(counts(&json["tables"][0]), [2, 1, 1]);
    let changed = json["tables"][0]["rows"].as_array().unwrap().iter().find(|row| row["change"] == "changed");
    assert_eq!(
        changed.unwrap(),
        &json!({"change": "changed", "key": {"Id": 6}, "columns": [
            {"column": "Name", "old": "Item 6", "new": "Item with\ttab"},
            {"column": "Price", "old": "6.50", "new": null}]})
    );
    book.run(&["diff", "1", "2", "--table", "Ordres"]).failed(2, &["no table Ordres", "did you mean Orders?"]);
    book.run(&["diff", "--limit", "3"]).failed(2, &["--rows"]);
    book.run(&["diff", "latest", "1"]).done();
}

#[tokio::test]
async fn the_first_snapshot_has_none_before_it() {
    let book = Book::new();
    book.take(&[orders(lines(1..=2))]).await;
    book.run(&["diff"]).failed(2, &["no snapshot before 1"]);
}

#[tokio::test]
async fn chunks_that_both_have_are_never_read() {
    let book = Book::new();
    let a = book.take(&[orders(lines(1..=6_000))]).await;
    let mut edited = lines(1..=6_100);
    edited[4_999] = "5000|Dear|99.00|2026-10-01 12:00:00".into();
    let b = book.take(&[orders(edited)]).await;
    let (old, new) = (&a.tables[0], &b.tables[0]);
    let shared = old.chunks.iter().filter(|chunk| new.chunks.contains(chunk));
    assert_eq!(book.spoil(old, shared), 3);

    let outcome = compare(&book, &a, &b);
    let table = &outcome.tables[0];
    assert_eq!((table.added, table.changed, table.removed), (100, 1, 0));
    assert_eq!((outcome.chunks_read, outcome.chunks_shared), (4, 3));
    // The others are read, and what they hold is checked.
    book.spoil(new, new.chunks.iter().filter(|chunk| !old.chunks.contains(chunk)).take(1));
    let error = diff(&book.archive, &a, &b, &DiffOptions::default(), &silent()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damage);
}

#[tokio::test]
async fn blocks_that_were_closed_in_between_are_no_difference() {
    let book = Book::new();
    let a = book.take(&[orders(lines(1..=4_090))]).await;
    let mut grown = lines(1..=4_110);
    grown.remove(9);
    let b = book.take(&[orders(grown)]).await;
    assert!(a.tables[0].chunks.len() == 8 && b.tables[0].chunks.len() == 2, "{:?}", b.tables[0].chunks);
    let table = only(&book, &a, &b);
    assert_eq!(counts(&table), [20, 0, 1]);
    assert_eq!(counts(&only(&book, &b, &a)), [1, 0, 20]);
    // In the order of the key.
    let ids: Vec<i64> =
        table["rows"].as_array().unwrap().iter().map(|row| row["row"]["Id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted() && ids[0] == 10 && ids[1] == 4_091, "{ids:?}");
}

#[tokio::test]
async fn columns_that_come_go_and_change_their_type() {
    let book = Book::new();
    let take = async |columns: &[&str], lines: &[&str]| {
        let table = table("T", columns, 1);
        let rows = rows(&table, lines);
        book.take(&[(table, rows)]).await
    };
    let a = take(&["Id int", "A nvarchar(9)", "N int"], &["1|x|5", "2|y|6"]).await;
    // A column without values changes no row and no chunk.
    let b = take(&["Id int", "A nvarchar(9)", "N int", "New bit"], &["1|x|5|-", "2|y|6|-"]).await;
    let outcome = compare(&book, &a, &b);
    assert_eq!((outcome.chunks_read, outcome.tables.len()), (0, 1));
    assert_eq!(only(&book, &a, &b)["columns_added"], json!([{"column": "New", "type": "bit"}]));
    let c = take(&["Id int", "A nvarchar(9)", "N int", "New bit"], &["1|x|5|true", "2|y|6|-"]).await;
    assert_eq!(counts(&only(&book, &b, &c)), [0, 1, 0]);
    assert_eq!(counts(&only(&book, &a, &c)), [0, 1, 0]);
    // Gone, with what was in it.
    let d = take(&["Id int", "N int", "New bit"], &["1|5|true", "2|6|-"]).await;
    let gone = only(&book, &c, &d);
    assert_eq!(counts(&gone), [0, 2, 0]);
    assert_eq!(gone["columns_removed"], json!([{"column": "A", "type": "nvarchar(9)"}]));
    assert_eq!(gone["rows"][0]["columns"], json!([{"column": "A", "old": "x", "new": null}]));
    // Wider types hold the same values, even in the key.
    let e = take(&["Id bigint", "N decimal(9,2)", "New bit"], &["1|5|true", "2|6.5|-"]).await;
    let wider = only(&book, &d, &e);
    assert_eq!(counts(&wider), [0, 1, 0], "{wider:#}");
    assert_eq!(wider["columns_retyped"][0], json!({"column": "Id", "from": "int", "to": "bigint"}));
    assert_eq!(wider["rows"][0]["columns"], json!([{"column": "N", "old": "6.00", "new": "6.50"}]));
    // Back again the value does not fit: no truncation hides a difference.
    let f = take(&["Id bigint", "N int", "New bit"], &["1|5|true", "2|6|-"]).await;
    let narrower = only(&book, &e, &f);
    assert_eq!(narrower["rows"][1]["columns"], json!([{"column": "N", "old": "6.50", "new": "6"}]), "{narrower:#}");
}

#[tokio::test]
async fn rows_without_a_key_are_counted_whole() {
    let book = Book::new();
    let notes = table("Notes", &["Text nvarchar(9)", "N int"], 0);
    let take = async |lines: &[&str]| book.take(&[(notes.clone(), rows(&notes, lines))]).await;
    let a = take(&["a|1", "a|1", "a|1", "b|-", "c|3"]).await;
    let b = take(&["a|1", "a|1", "b|2", "c|3", "c|3"]).await;
    let table = only(&book, &a, &b);
    assert_eq!(counts(&table), [2, 0, 2]);
    assert!(table["note"].as_str().unwrap().contains("no primary key"), "{table}");
    let mut rows: Vec<String> = table["rows"].as_array().unwrap().iter().map(ToString::to_string).collect();
    rows.sort();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].contains(r#"added","row":{"Text":"b","N":2"#), "{rows:?}");
}

#[tokio::test]
async fn another_key_means_rows_are_compared_whole() {
    let book = Book::new();
    let columns = ["A int", "B int", "C int"];
    let (one, mut two) = (table("T", &columns, 1), table("T", &columns, 1));
    two.key = vec!["B".into()];
    let lines = ["1|10|5", "2|20|6"];
    let a = book.take(&[(one.clone(), rows(&one, lines))]).await;
    let b = book.take(&[(two.clone(), rows(&two, ["1|10|5", "2|20|7"]))]).await;
    let table = only(&book, &a, &b);
    assert_eq!(counts(&table), [1, 0, 1]);
    assert!(table["note"].as_str().unwrap().contains("key is another"), "{table}");
}

#[tokio::test]
async fn tables_that_come_go_or_could_not_be_taken() {
    let book = Book::new();
    let menu = table("Menu", &["Code nvarchar(9)"], 1);
    let menu_rows = rows(&menu, ["A", "B"]);
    let a = book.take(&[orders(lines(1..=3))]).await;
    let b = book.take(&[(menu.clone(), menu_rows.clone())]).await;
    let json = serde_json::to_value(compare(&book, &a, &b)).unwrap();
    assert_eq!((&json["tables"][0]["state"], counts(&json["tables"][0])), (&json!("came"), [2, 0, 0]));
    assert_eq!((&json["tables"][1]["state"], counts(&json["tables"][1])), (&json!("gone"), [0, 0, 3]));
    assert_eq!(json["tables"][1]["rows"].as_array().unwrap().len(), 3);
    let c = book
        .take_as(&[orders(lines(1..=3))], |snapshot| {
            snapshot.missing.push(MissingTable {
                table: "Menu".into(),
                reason: "permission denied".into(),
                last_in: None,
            });
        })
        .await;
    let menu_gone = &serde_json::to_value(compare(&book, &b, &c)).unwrap()["tables"][0];
    assert_eq!((&menu_gone["state"], counts(menu_gone)), (&json!("not_taken"), [0, 0, 0]), "not taken is not gone");
    assert!(menu_gone["note"].as_str().unwrap().contains("permission denied"));
}

#[tokio::test]
async fn a_clear_in_between_is_said() {
    let book = Book::new();
    book.take(&[orders(lines(1..=9))]).await;
    book.take_as(&[orders(["1|Other|1.00|2026-11-01 12:00:00"])], |snapshot| snapshot.epoch = 2).await;
    assert!(
        book.text(&["diff"]).contains("cleared in between (epoch 1 and 2): the same Id may stand for something else")
    );
    assert_eq!(book.json(&["diff"])["ids_may_be_reused"], true);
}

/// A table that is cut by hash: only the buckets that differ are read, also when their number changes.
#[tokio::test]
async fn buckets_are_compared_with_the_buckets_they_overlap() {
    let book = Book::new();
    let codes = table("Codes", &["Code nvarchar(9)", "N int"], 1);
    let of = |count: i32, edit: i32| -> (Table, RecordBatch) {
        let lines = (0..count).map(|n| format!("C{n}|{}", if n == edit { -1 } else { n }));
        (codes.clone(), rows(&codes, lines))
    };
    let a = book.take(&[of(9_000, -1)]).await;
    let b = book.take(&[of(9_001, 17)]).await;
    assert!(a.tables[0].chunks.len() >= 4 && matches!(a.tables[0].chunks[0].block, Block::Hash { .. }));
    let outcome = compare(&book, &a, &b);
    let table = &outcome.tables[0];
    assert_eq!((table.added, table.changed, table.removed), (1, 1, 0));
    assert!(outcome.chunks_read <= 4 && outcome.chunks_shared > 0, "{outcome:?}");
    // Many more rows: other buckets.
    let c = book.take(&[of(40_000, -1)]).await;
    assert_ne!(c.tables[0].chunks.len(), b.tables[0].chunks.len());
    assert_eq!(counts(&only(&book, &b, &c)), [30_999, 1, 0]);
    // Few: one chunk.
    let d = book.take(&[of(5, -1)]).await;
    assert_eq!(d.tables[0].chunks.len(), 1);
    assert_eq!(counts(&only(&book, &c, &d)), [0, 0, 39_995]);
}

#[tokio::test]
async fn every_row_may_differ() {
    let book = Book::new();
    let a = book.take(&[orders(lines(1..=9_000))]).await;
    let later = (1..=9_000).map(|id| line(id).replace("Item", "Thing"));
    let b = book.take(&[orders(later)]).await;
    let options = DiffOptions { rows: Some(10), ..DiffOptions::default() };
    let outcome = diff(&book.archive, &a, &b, &options, &silent()).unwrap();
    let table = &outcome.tables[0];
    assert_eq!((table.added, table.changed, table.removed), (0, 9_000, 0));
    assert_eq!((table.rows.as_ref().unwrap().len(), table.truncated), (10, true));
    assert!(a.tables[0].chunks.len() > 2 && orders(lines(1..=1)).1.column(0).len() == 1);
}
