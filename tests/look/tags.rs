//! `tag`.

use std::fs;

use crate::book::{Book, lines, names, orders};

#[tokio::test]
async fn tags_are_given_and_taken_in_records_and_the_snapshot_stays_as_it_is() {
    let book = Book::new();
    book.take(&[orders(lines(1..=3))]).await;
    book.take(&[orders(lines(1..=4))]).await;
    let before = fs::read(book.path("snapshots/000001.json.zst")).unwrap();
    let records = || names(&book.path("journal")).len();

    assert_eq!(book.text(&["tag", "1"]), "snapshot 1: nightly\n");
    assert_eq!(book.text(&["tag", "1", "--add", "nightly"]), "snapshot 1: nightly\n");
    assert_eq!(records(), 0, "no change, no record");
    assert_eq!(
        book.text(&["tag", "1", "--add", "pre-clear,keep", "--remove", "nightly", "-n"]),
        "snapshot 1: would be pre-clear, keep (now: nightly)\n"
    );
    assert_eq!(records(), 0);
    let json = book.json(&["tag", "1", "--add", "pre-clear,keep", "--remove", "nightly"]);
    assert_eq!(
        json,
        serde_json::json!({"snapshot": 1, "before": ["nightly"], "tags": ["pre-clear", "keep"], "changed": true})
    );
    assert_eq!(book.text(&["tag", "latest", "--set", ""]), "snapshot 2: no tags (before: nightly)\n");
    assert_eq!(book.text(&["tag", "2026-10-02", "--set", "a,b"]), "snapshot 2: a, b (before: no tags)\n");
    assert_eq!(book.text(&["tag", "2", "--set", "b,a"]), "snapshot 2: a, b\n", "the same words");
    assert_eq!(records(), 3);

    assert_eq!(fs::read(book.path("snapshots/000001.json.zst")).unwrap(), before);
    let list = book.json(&["snapshots", "--tag", "keep"]);
    assert_eq!(list["snapshots"][0]["tags"], serde_json::json!(["pre-clear", "keep"]));
    assert_eq!(list["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(book.json(&["show", "2"])["tags"], serde_json::json!(["a", "b"]));
}

#[tokio::test]
async fn what_cannot_be_tagged_is_refused() {
    let book = Book::new();
    book.take(&[orders(lines(1..=3))]).await;
    book.run(&["tag", "1", "--add", "two words"]).failed(2, &["\"two words\" is no tag", "letters"]);
    book.run(&["tag", "1", "--add", &"x".repeat(65)]).failed(2, &["is no tag"]);
    book.run(&["tag", "7", "--add", "x"]).failed(2, &["there is no snapshot 7"]);
    let _lock = book.archive.lock().unwrap();
    book.run(&["tag", "1", "--add", "x"]).failed(11, &["another run"]);
    book.run(&["tag", "1"]).done();
    assert!(names(&book.path("journal")).is_empty());
}
