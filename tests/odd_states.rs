//! A run goes on when something in the till or in the archive is odd: what can be kept is kept, the rest is named.

mod support;

use std::fs;

use support::Site;

#[test]
fn a_table_that_vanishes_is_missing_until_it_is_back_or_excluded() {
    let site = Site::with_days(1);
    let first = site.json(&["snapshot"]);
    let scripts = |outcome: &serde_json::Value| {
        let tables = outcome["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == "Scripts").map(|table| table["chunks_new"].clone())
    };
    assert!(scripts(&first).is_some());
    let catalog = |statement: &str| site.till.trade().connection().execute_batch(statement).unwrap();
    catalog("CREATE TABLE hidden AS SELECT * FROM sys.tables WHERE name = 'Scripts'");
    catalog("DELETE FROM sys.tables WHERE name = 'Scripts'");
    for run in [2, 2] {
        // Every run says it; only the first adds a snapshot.
        let ran = site.run(&["snapshot", "--json"]);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        let outcome = ran.json();
        assert_eq!(outcome["snapshot"], run);
        assert_eq!(outcome["missing"][0]["table"], "Scripts");
        assert_eq!(outcome["missing"][0]["last_in"], 1);
        assert!(ran.stderr.contains("Scripts") && ran.stderr.contains("exclude"), "{}", ran.stderr);
    }
    catalog("INSERT INTO sys.tables SELECT * FROM hidden");
    let back = site.json(&["snapshot"]);
    // Its chunks are those of the snapshot that had it last.
    assert_eq!(scripts(&back), Some(0.into()));
    assert!(back.get("missing").is_none());

    catalog("DELETE FROM sys.tables WHERE name = 'Scripts'");
    let settings = fs::read_to_string(site.path("tillvault.toml")).unwrap();
    fs::write(site.path("tillvault.toml"), settings + "[tables]\nexclude = ['Scripts']\n").unwrap();
    assert!(site.json(&["snapshot"]).get("missing").is_none());
}

#[test]
fn a_damaged_or_lost_newest_snapshot_does_not_keep_todays_rows_out() {
    let site = Site::with_days(1);
    for _ in 0..3 {
        site.json(&["snapshot", "--always"]);
    }
    let file = |number: u64| site.archive().join(format!("snapshots/{number:06}.json.zst"));
    let good = fs::read(file(3)).unwrap();
    fs::write(file(3), &good[..good.len() / 2]).unwrap();
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("000003.json.zst"), "{}", ran.stderr);
    // Nothing had changed, but the newest state could not be read: it is written again, its rows found by their content.
    assert_eq!((&ran.json()["snapshot"], &ran.json()["chunks_new"]), (&4.into(), &0.into()));
    // Once the good file is back, the chain is whole.
    fs::write(file(3), &good).unwrap();
    let archive = tillvault::archive::Archive::open(&site.archive()).unwrap();
    archive.verify_chain().unwrap();

    // The same with a newest file that is gone: its number is not given again.
    let lost = fs::read(file(4)).unwrap();
    fs::remove_file(file(4)).unwrap();
    let outcome = site.json(&["snapshot", "--always"]);
    assert_eq!(outcome["snapshot"], 5);
    fs::write(file(4), lost).unwrap();
    archive.verify_chain().unwrap();
}

#[test]
fn a_newest_snapshot_that_the_disk_does_not_hand_out_does_not_keep_todays_rows_out() {
    let site = Site::with_days(1);
    for _ in 0..2 {
        site.json(&["snapshot", "--always"]);
    }
    // Reading a folder fails, as reading a bad sector does.
    let file = site.archive().join("snapshots/000002.json.zst");
    let good = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("000002.json.zst"), "{}", ran.stderr);
    assert_eq!(ran.json()["snapshot"], 3);
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &good).unwrap();
    tillvault::archive::Archive::open(&site.archive()).unwrap().verify_chain().unwrap();
}

#[test]
fn an_index_that_cannot_be_written_is_a_warning() {
    let site = Site::with_days(0);
    fs::create_dir_all(site.archive().join("index/snapshots.json")).unwrap();
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("index"), "{}", ran.stderr);
    assert_eq!(ran.json()["snapshot"], 1);
}
