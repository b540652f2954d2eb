//! The command as people run it: exit codes, words, JSON, and a repair over WebDAV.

use std::fs;

use crate::{
    damage::flip,
    site::{Site, files},
};

#[test]
fn the_command_tells_damage_by_its_exit_code_and_mends_it_over_webdav() {
    let site = Site::with_days(2);
    site.run(&["snapshot"]).done();
    site.run(&["push"]).done();
    let clean = site.run(&["check", "--deep"]).done();
    assert!(clean.stdout.contains("nothing is damaged"), "{clean:?}");

    // Only warnings: 3.
    fs::remove_file(site.archive().join("README.md")).unwrap();
    site.run(&["check"]).failed(3, &["readme-absent", "next: "]);

    let orders = files(&site.archive()).into_iter().find(|path| path.starts_with("tables/Orders/")).unwrap();
    flip(&site.archive().join(&orders), 100);
    let lost = "snapshots/000001.json.zst";
    let good = fs::read(site.archive().join(lost)).unwrap();
    fs::remove_file(site.archive().join(lost)).unwrap();
    site.run(&["check"]).failed(13, &["snapshot-missing", lost]);
    let found = site.run(&["check", "--read-data", "--json"]).failed(13, &[]).json();
    assert_eq!(found["counts"]["damage"], 1, "{found}");
    assert_eq!(found["findings"][0]["kind"], "snapshot-missing");
    assert_eq!(found["findings"][0]["snapshots"], serde_json::json!([1]));

    let plan = site.run(&["check", "--repair", "--dry-run"]).failed(13, &[]);
    assert!(plan.stdout.contains(&format!("look for {lost} on the remotes")), "{plan:?}");
    assert!(!site.archive().join(lost).exists());
    let mended = site.run(&["check", "--repair", "--read-data"]).done();
    assert!(mended.stdout.contains(&format!("repaired {lost}: fetched from cloud")), "{mended:?}");
    assert!(mended.stdout.contains(&format!("the damaged file is damaged/{orders}")), "{mended:?}");
    assert_eq!(fs::read(site.archive().join(lost)).unwrap(), good);
    site.run(&["check", "--deep"]).done();
    // What lies in damaged/ is neither read nor mirrored.
    site.run(&["push"]).done();
    assert!(!files(&site.path("cloud")).iter().any(|path| path.contains("damaged/")));
}

#[test]
fn words_that_make_no_sense_are_usage_errors() {
    let site = Site::with_days(1);
    site.run(&["check", "--read-data", "8/7"]).failed(2, &["8/7", "n/m"]);
    site.run(&["check", "--dry-run"]).failed(2, &["--repair"]);
    site.run(&["check", "--snapshot", "7"]).failed(2, &["there is no snapshot 7"]);
    let nothing = site.run(&["check", "--read-data", "today/7"]).done();
    assert!(nothing.stdout.contains("checked 0 snapshots"), "{nothing:?}");
}
