//! A remote that will be full soon is told of while there is time.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tillvault::archive::{
    Archive,
    snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo},
};

use crate::{double::Options, home::Home};

/// Snapshots of the last `days` days; each adds its own file, some hundred bytes.
async fn snapshots(archive: &Archive, days: i64) {
    for day in (0..days).rev() {
        let (snapshot, parent) = archive.next_link().unwrap();
        let taken_at = Timestamp::now() - SignedDuration::from_hours(24 * day);
        let text = |text: &str| text.to_owned();
        let snapshot = Snapshot {
            format: FORMAT,
            archive: archive.id().to_owned(),
            snapshot,
            parent,
            taken_at,
            till_time: taken_at.to_zoned(TimeZone::UTC).datetime(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Snapshot,
            source: SourceInfo { server: text("T"), database: text("D"), version: text("16"), collation: text("C") },
            epoch: 1,
            clear: None,
            tags: Vec::new(),
            tool: text("0.1.0"),
            tables: Vec::new(),
            missing: Vec::new(),
            reads: Vec::new(),
        };
        archive.write_snapshot(&snapshot).await.unwrap();
    }
    archive.write_index(false).await.unwrap();
}

fn with_room(told: i64) -> (Home, crate::double::Double) {
    let home = Home::new();
    let double = home.nextcloud_like(Options { quota_told: Some(told), ..Options::default() });
    let archive = Archive::open(&home.path("archive")).unwrap();
    home.runtime.block_on(snapshots(&archive, 6));
    home.add_nextcloud(&double).ends(0);
    (home, double)
}

#[test]
fn push_and_doctor_name_the_day() {
    let (home, double) = with_room(5000);
    home.run(&["push"]).ends(3).says(&["remote cloud: ", "free there", "it will be full about 20"]);
    let ran = home.run(&["doctor", "--remotes", "--json"]).ends(3);
    ran.has("room", "warning", "it will be full about 20");
    // With nothing to send nothing is asked either: two or three requests, as before.
    double.take_log();
    home.run(&["push"]).ends(0).says(&["holds everything"]);
    assert!(double.log().len() <= 4, "{:?}", double.log().iter().map(crate::double::Logged::short).collect::<Vec<_>>());
}

#[test]
fn who_does_not_tell_is_not_guessed_about() {
    for told in [-1, -2, -3] {
        let (home, _double) = with_room(told);
        home.run(&["push"]).ends(0);
        let json = home.run(&["doctor", "--remotes", "--json"]).ends(0).json();
        assert!(json["checks"].as_array().unwrap().iter().all(|check| check["name"] != "room"), "{json:#}");
    }
}

#[test]
fn much_room_is_well() {
    let (home, _double) = with_room(1 << 40);
    home.run(&["push"]).ends(0);
    home.run(&["doctor", "--remotes", "--json"]).ends(0).has("room", "ok", "the archive grows by");
}
