//! The nightly run forgets and prunes; what stands in its way is said.

use std::fs;

use serde_json::{Value, json};
use tillvault::archive::Archive;

use crate::site::Site;

/// The settings without a remote, with a replica that cannot be reached, and with these lines. That the load fails keeps
/// nothing from being forgotten.
fn settings(site: &Site, more: &str) {
    site.write_settings("");
    let file = site.path("tillvault.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (till, _) = text.split_once("[[remote]]").unwrap();
    fs::write(file, format!("{till}[replica]\nurl = 'postgres://nobody@127.0.0.1:1/none'\n{more}")).unwrap();
}

/// Runs `nightly`; returns its outcome and what failed beside the load.
fn nightly(site: &Site) -> (Value, Vec<Value>) {
    let outcome = site.run(&["nightly", "--json"]).json();
    let mut failures = outcome["failures"].as_array().unwrap().clone();
    failures.remove(0);
    (outcome, failures)
}

#[test]
fn nightly_tags_its_snapshot_and_forgets_by_the_settings() {
    let site = Site::with_days(1);
    settings(&site, "[forget]\nkeep_within = '0'\nkeep_hourly = 0\nkeep_daily = 0\n[prune]\ngrace = '0'\n");
    let archive = Archive::open(&site.archive()).unwrap();
    site.json(&["snapshot", "--tag", "nightly"]);
    site.till.trade().trade_day().unwrap();
    site.json(&["snapshot"]);
    site.till.trade().trade_day().unwrap();

    // Somebody is pushing: the next night will do.
    let push = archive.lock_push().unwrap();
    let (night, failures) = nightly(&site);
    assert_eq!((&night["snapshot"]["snapshot"], &night["forget"], failures.len()), (&json!(3), &Value::Null, 0));
    drop(push);

    let (night, failures) = nightly(&site);
    assert_eq!((&night["snapshot"]["unchanged"], failures.len()), (&json!(true), 0));
    assert_eq!((&night["forget"]["forgotten"], &night["forget"]["kept"]), (&json!([2]), &json!(2)));
    assert_eq!(night["forget"]["snapshots"][2]["reasons"], json!(["newest", "tag nightly"]));
    assert!(night["forget"]["prune"]["removed"].as_u64().unwrap() > 0);
    assert_eq!(night["forget"]["prune"]["waiting"], 0);

    // A damaged snapshot: today's rows are kept, nothing is forgotten, and the run says so.
    fs::write(site.archive().join("snapshots/000001.json.zst"), "torn").unwrap();
    site.till.trade().trade_day().unwrap();
    let (night, failures) = nightly(&site);
    assert_eq!((&night["snapshot"]["snapshot"], &night["forget"]), (&json!(4), &Value::Null));
    assert!(failures[0].as_str().unwrap().contains("000001"), "{night}");

    // Switched off: nothing is looked at.
    settings(&site, "[forget]\nenabled = false\n");
    let (night, failures) = nightly(&site);
    assert_eq!((&night["forget"], failures.len()), (&Value::Null, 0));
    assert_eq!(archive.snapshot_numbers().unwrap(), [1, 3, 4]);
}
