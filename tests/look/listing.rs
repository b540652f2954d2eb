//! `snapshots`, `show`, `stats`.

use std::fs;

use tillvault::{
    archive::snapshot::{ClearSeen, MissingTable, SnapshotKind},
    ops::overview::{ListOptions, snapshots},
};

use crate::book::{Book, hidden, lines, orders, rows, table};

/// Four snapshots: growth, a table that is missing once, a clear.
async fn season() -> Book {
    let book = Book::new();
    let menu = table("Menu", &["Code nvarchar(9)", "Name nvarchar(50)"], 1);
    let menu_rows = rows(&menu, ["A|Ayran", "B|Börek"]);
    book.take(&[orders(lines(1..=600)), (menu.clone(), menu_rows.clone())]).await;
    book.take_as(&[orders(lines(1..=610)), (menu.clone(), menu_rows.clone())], |snapshot| {
        snapshot.kind = SnapshotKind::Quick;
        snapshot.tags = Vec::new();
    })
    .await;
    book.take_as(&[orders(lines(1..=610))], |snapshot| {
        snapshot.missing.push(MissingTable { table: "Menu".into(), reason: "permission denied".into(), last_in: None });
    })
    .await;
    book.take_as(&[orders(lines(1..=3)), (menu, menu_rows)], |snapshot| {
        snapshot.epoch = 2;
        snapshot.clear = Some(ClearSeen { tickets_gone: 1_210, note: "1210 tickets are gone".into() });
        snapshot.tags.push("pre-season".into());
    })
    .await;
    book.archive.note_pushed("cloud", &[2, 1]).await.unwrap();
    book.archive.note_pushed("usb", &[1]).await.unwrap();
    book.archive.note_pushed("old", &[1, 2, 3]).await.unwrap();
    book
}

#[tokio::test]
async fn snapshots_are_listed_with_tags_remarks_and_remotes() {
    let book = season().await;
    insta::assert_snapshot!(book.text(&["snapshots"]));
    let json = book.json(&["snapshots"]);
    let lines = json["snapshots"].as_array().unwrap();
    assert_eq!(lines[0]["pushed"], serde_json::json!(["cloud", "usb"]));
    assert_eq!((&lines[1]["pushed"], &lines[2]["pushed"]), (&serde_json::json!(["cloud"]), &serde_json::json!([])));
    assert_eq!(lines[2]["bytes_new"], 0, "nothing new: {json}");
    assert_eq!(json["damaged"], serde_json::json!([]));

    let numbers = |arguments: &[&str]| -> Vec<u64> {
        let json = book.json(&[&["snapshots"], arguments].concat());
        json["snapshots"].as_array().unwrap().iter().map(|line| line["snapshot"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["--last", "2"]), [3, 4]);
    assert_eq!(numbers(&["--last", "9"]), [1, 2, 3, 4]);
    assert_eq!(numbers(&["--tag", "nightly"]), [1, 3, 4]);
    assert_eq!(numbers(&["--tag", "pre-season", "--tag", "none"]), [4]);
    assert_eq!(numbers(&["--tag", "nightly", "--last", "1"]), [4]);
    // Counted over all snapshots, whatever is listed.
    let alone = book.json(&["snapshots", "--last", "1"]);
    assert_eq!(alone["snapshots"][0], lines[3]);
}

#[tokio::test]
async fn new_bytes_are_those_of_files_nobody_named_before() {
    let book = season().await;
    let listing = snapshots(&book.archive, &ListOptions::default()).unwrap();
    let named: u64 = listing.snapshots.iter().map(|line| line.bytes_new).sum();
    let mut there = 0;
    for folder in ["tables/Orders", "tables/Menu"] {
        for entry in fs::read_dir(book.path(folder)).unwrap() {
            there += entry.unwrap().metadata().unwrap().len();
        }
    }
    assert_eq!(named, there);
}

#[tokio::test]
async fn a_damaged_snapshot_is_marked_and_the_others_are_listed() {
    let book = season().await;
    let file = book.path("snapshots/000002.json.zst");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let ran = book.run(&["snapshots"]).failed(13, &["snapshots/000002.json.zst is damaged", "check --repair"]);
    insta::assert_snapshot!(hidden(&ran.stdout));
    let ran = book.run(&["snapshots", "--json"]).failed(13, &[]);
    let json = ran.json();
    assert_eq!(json["snapshots"].as_array().unwrap().len(), 3);
    assert_eq!(json["damaged"][0]["snapshot"], 2);
    // Whoever asks for that one hears of it, whoever asks for another does not.
    book.run(&["show", "2"]).failed(13, &["damaged"]);
    book.run(&["show", "3"]).done();
    book.run(&["diff", "3", "4"]).done();
    book.run(&["stats"]).failed(13, &["not known", "is damaged"]);
    book.run(&["find", "Orders", "Id", "5"]).failed(13, &["is damaged", "Id 5"]);
}

#[tokio::test]
async fn a_lost_snapshot_and_a_damaged_journal_are_told() {
    let book = season().await;
    fs::remove_file(book.path("snapshots/000004.json.zst")).unwrap();
    let ran = book.run(&["snapshots"]).failed(13, &["snapshots/000004.json.zst is missing", "DAMAGED"]);
    assert!(ran.stdout.contains("2026-10-03 03:00:00"), "{ran:?}");
    book.run(&["tag", "1", "--set", "first"]).done();
    fs::write(book.path("journal/000001.json.zst"), "x").unwrap();
    let ran = book.run(&["snapshots"]).failed(13, &["journal/000001.json.zst is damaged"]);
    assert!(ran.stdout.contains("nightly"), "the tags of the file are better than none: {ran:?}");
}

#[tokio::test]
async fn a_lost_newest_snapshot_is_not_answered_by_the_one_before() {
    let book = season().await;
    fs::remove_file(book.path("snapshots/000004.json.zst")).unwrap();
    book.run(&["show"]).failed(13, &["snapshot 4 is lost"]);
    book.run(&["diff"]).failed(13, &["snapshot 4 is lost"]);
    book.run(&["show", "3"]).done();
}

#[tokio::test]
async fn a_lost_snapshot_is_not_taken_for_one_that_never_was() {
    let book = season().await;
    fs::remove_file(book.path("snapshots/000002.json.zst")).unwrap();
    book.run(&["show", "2"]).failed(13, &["snapshot 2 is lost", "check --repair"]);
    book.run(&["diff", "2", "3"]).failed(13, &["snapshot 2 is lost"]);
    book.run(&["show", "9"]).failed(2, &["there is no snapshot 9"]);
    // That moment was the second's: the first would be a wrong answer. Before it and after it nothing changes.
    book.run(&["show", "2026-10-02 12:00"]).failed(13, &["snapshot 2 is lost"]);
    assert_eq!(book.json(&["show", "2026-10-01 12:00"])["snapshot"], 1);
    assert_eq!(book.json(&["show", "2026-10-03 12:00"])["snapshot"], 3);
    fs::remove_file(book.path("index/snapshots.json")).unwrap();
    book.run(&["show", "2026-10-02 12:00"]).failed(13, &["snapshot 2 is lost"]);
}

#[tokio::test]
async fn a_choice_that_fits_no_snapshot_is_no_empty_archive() {
    let book = season().await;
    let text = book.text(&["snapshots", "--tag", "nothing"]);
    assert!(text.starts_with("no snapshot is like that"), "{text}");
}

#[tokio::test]
async fn one_snapshot_is_shown_by_number_moment_or_word() {
    let book = season().await;
    insta::assert_snapshot!(book.text(&["show"]));
    insta::assert_snapshot!(book.text(&["show", "2", "--chunks"]));
    let number = |asked: &str| book.json(&["show", asked])["snapshot"].as_u64().unwrap();
    assert_eq!(number("latest"), 4);
    assert_eq!(number("#3"), 3);
    assert_eq!(number("2026-10-02"), 2);
    assert_eq!(number("2026-10-02 02:59"), 1);
    assert_eq!(number("2026-10-02T02:00:00Z"), 2, "three o'clock in London");
    assert_eq!(number("yesterday"), 4);
    book.run(&["show", "soon"]).failed(2, &["no moment", "yesterday"]);
    book.run(&["show", "2026-09-30"]).failed(1, &["no snapshot is as old", "the oldest is 1"]);
    book.run(&["show", "9"]).failed(2, &["there is no snapshot 9", "1 to 4"]);
    let json = book.json(&["show", "1"]);
    assert_eq!(json["pushed"], serde_json::json!(["cloud", "usb"]));
    assert_eq!(json["tables"][0]["chunks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn stats_add_up() {
    let book = season().await;
    // Left behind by a run that did not finish, and something foreign.
    fs::write(book.path(&format!("tables/Orders/{}-5.parquet", "0".repeat(64))), "later").unwrap();
    fs::write(book.path("tables/Orders/notes.txt"), "mine").unwrap();
    let json = book.json(&["stats"]);
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let stored = &json["stored"];
    let parts = ["chunks", "snapshots", "journal"].map(|part| number(&stored[part]["bytes"]));
    assert_eq!(number(&stored["bytes"]), parts.iter().sum::<u64>());
    let size = |path: &str| fs::metadata(book.path(path)).unwrap().len();
    assert_eq!(parts[1], (1..=4).map(|n| size(&format!("snapshots/00000{n}.json.zst"))).sum::<u64>());
    assert_eq!((number(&json["unused"]["files"]), number(&json["unused"]["bytes"])), (1, 5));
    let tables = json["tables"].as_array().unwrap();
    assert_eq!(tables.iter().map(|table| number(&table["history"]["bytes"])).sum::<u64>(), parts[0]);
    let shares: f64 = tables.iter().map(|table| table["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    assert_eq!((&tables[0]["table"], number(&tables[0]["rows"])), (&"Orders".into(), 3));
    let grown: u64 = json["days"].as_array().unwrap().iter().map(|day| number(&day["bytes"])).sum();
    assert_eq!(grown, parts[0] + parts[1]);
    assert_eq!(json["months"][0]["period"], "2026-10");
    let whole: u64 = (1..=4)
        .map(|n| {
            let snapshot = book.archive.snapshot(n).unwrap();
            let chunks = snapshot.tables.iter().flat_map(|table| &table.chunks).map(|chunk| chunk.bytes).sum::<u64>();
            chunks + size(&format!("snapshots/00000{n}.json.zst"))
        })
        .sum();
    assert_eq!(number(&json["whole_bytes"]), whole);

    insta::assert_snapshot!(book.text(&["stats"]));
    let only = book.json(&["stats", "--table", "Menu"]);
    assert_eq!(only["tables"].as_array().unwrap().len(), 1);
    assert_eq!(number(&only["stored"]["bytes"]), number(&only["tables"][0]["history"]["bytes"]));
    assert_eq!(number(&only["unused"]["files"]), 0, "the leftover is of another table");
    book.run(&["stats", "--table", "menu"]).done();
    book.run(&["stats", "--table", "Menü"]).failed(2, &["no table Menü", "did you mean Menu?"]);
}

#[test]
fn an_archive_without_snapshots_says_so() {
    let book = Book::new();
    assert!(book.text(&["snapshots"]).contains("tillvault snapshot"));
    for command in [&["show"][..], &["stats"], &["diff"], &["tag", "latest"], &["find", "Orders", "Id", "1"]] {
        book.run(command).failed(10, &["no snapshot", "tillvault snapshot"]);
    }
}
