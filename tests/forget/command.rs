//! The commands as users type them.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tillvault::archive::Archive;

use crate::support::{Say, at, history};

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn tillvault(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillvault"));
    command.args(arguments).current_dir(folder);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TILLVAULT_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let ran = tillvault(folder, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Two weeks with a clear, a clock that ran ahead, and nightly snapshots; settings beside them.
async fn site(more: &str) -> (tempfile::TempDir, Archive) {
    let folder = tempfile::tempdir().unwrap();
    let mut says: Vec<Say> = [
        "2026-05-01T02:30:00Z",
        "2026-05-01T09:00:00Z",
        "2026-05-01T15:00:00Z",
        "2026-05-02T02:30:00Z",
        "2026-05-02T12:10:00Z",
        "2026-05-02T12:40:00Z",
        "2026-05-14T10:00:00Z",
        "2026-05-14T10:15:00Z",
    ]
    .map(Say::at)
    .into();
    says[0].tags = vec!["nightly".into()];
    says[3].tags = vec!["nightly".into(), "pre-clear".into()];
    // The clock ran ahead.
    says[1].taken_at = at("2026-05-01T19:00:00Z");
    says[5].clear = true;
    says[5..].iter_mut().for_each(|say| say.epoch = 2);
    let archive = history(&folder.path().join("archive"), &says).await;
    fs::write(folder.path().join("tillvault.toml"), format!("timezone = 'Europe/London'\n{more}")).unwrap();
    (folder, archive)
}

#[tokio::test]
async fn a_dry_run_shows_every_snapshot_and_why() {
    let (folder, _) = site("").await;
    let ran = tillvault(folder.path(), &["forget", "--dry-run", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = [
        " snapshot  till time            tags                      why",
        "        1  2026-05-01 02:30:00  nightly             keep  tag nightly, hourly",
        "        2  2026-05-01 19:00:00                      keep  clock",
        "        3  2026-05-01 15:00:00                      keep  hourly, daily",
        "        4  2026-05-02 02:30:00  nightly, pre-clear  keep  tag nightly, hourly",
        "        5  2026-05-02 12:10:00                      keep  before a clear",
        "        6  2026-05-02 12:40:00                      keep  hourly, daily",
        "        7  2026-05-14 10:00:00                      keep  within",
        "        8  2026-05-14 10:15:00                      keep  newest, within, hourly, daily",
        "forget: nothing to forget, 8 snapshots kept; keep tag nightly, within 2d, hourly 168, daily all",
    ];
    let shown: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(shown, expected);
    let ran =
        tillvault(folder.path(), &["forget", "-n", "-q", "--keep-tag", "pre-clear", "--keep-last", "1", "--prune"]);
    let said = "forget: would forget 4 snapshots (1, 3, 6–7), 4 kept; keep tag pre-clear, last 1\n";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("\nwait   tables/T/").count(), 4, "{}", ran.stdout);
    assert!(ran.stdout.contains("\nprune: nothing to remove; 4 wait, "), "{}", ran.stdout);
}

#[tokio::test]
async fn rules_of_the_settings_hold_and_those_given_take_their_place() {
    let (folder, archive) = site("[forget]\nkeep_tags = []\nkeep_hourly = 0\nkeep_within = '0'\nkeep_daily = 1").await;
    let done = json(folder.path(), &["forget", "--keep-daily", "2"]);
    assert_eq!((&done["why"], &done["forgotten"]), (&"keep daily 2".into(), &serde_json::json!([1, 3, 4, 7])));
    assert_eq!(done["snapshots"][1]["reasons"], serde_json::json!(["clock"]));
    let done = json(folder.path(), &["forget"]);
    assert_eq!((&done["why"], &done["forgotten"]), (&"keep daily 1".into(), &serde_json::json!([6])));
    let done =
        json(folder.path(), &["forget", "--even-before-clears", "--even-doubtful-clocks", "--prune", "--grace", "0"]);
    assert_eq!(done["forgotten"], serde_json::json!([2, 5]));
    assert_eq!((&done["prune"]["removed"], &done["prune"]["used"]), (&7.into(), &1.into()));
    assert_eq!(archive.snapshot_numbers().unwrap(), [8]);
    assert_eq!(json(folder.path(), &["prune"])["removed"], 0);
}

#[tokio::test]
async fn what_makes_no_sense_or_is_protected_ends_with_its_code() {
    let (folder, archive) = site("").await;
    for (arguments, code, word) in [
        (&["forget", "--keep-last", "0"][..], 2, "no rule keeps anything"),
        (&["forget", "--keep-within", "6m"], 2, "6mo"),
        (&["forget", "--keep-daily", "ever"], 2, "\"all\""),
        (&["forget", "3", "--keep-last", "1"], 2, "cannot be used with"),
        (&["forget", "--grace", "1h"], 2, "--prune"),
        (&["forget", "99"], 2, "no snapshot 99"),
        (&["forget", "8"], 20, "newest"),
        (&["forget", "5"], 20, "--even-before-clears"),
        (&["forget", "2"], 20, "--even-doubtful-clocks"),
        (&["prune", "--grace", "1 month"], 2, "days or hours"),
    ] {
        let ran = tillvault(folder.path(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
    }
    let push = archive.lock_push().unwrap();
    assert_eq!(tillvault(folder.path(), &["forget"]).code, 11);
    assert_eq!(tillvault(folder.path(), &["prune"]).code, 11);
    drop(push);
    fs::write(folder.path().join("archive/snapshots/000004.json.zst"), "torn").unwrap();
    for command in ["forget", "prune"] {
        let ran = tillvault(folder.path(), &[command]);
        assert_eq!(ran.code, 13, "{}", ran.stderr);
        assert!(ran.stderr.contains("000004"), "{}", ran.stderr);
    }
    assert_eq!(archive.snapshot_numbers().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
}
