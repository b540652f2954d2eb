//! What `prune` removes, when, and when it refuses.

use std::{collections::BTreeMap, fs};

use jiff::{SignedDuration, Timestamp};
use tillvault::{
    archive::Archive,
    error::Kind,
    observe::silent,
    ops::prune::{PruneOptions, prune},
};

use crate::support::{Say, at, chunks, everything, forget_with, history, last, numbers, prune_at, table, take};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Three snapshots with a chunk each, the first two forgotten.
async fn thinned(folder: &std::path::Path) -> Archive {
    let says: Vec<Say> = (1..=3).map(|day| Say::at(&format!("2026-11-0{day}T03:00:00Z"))).collect();
    let archive = history(folder, &says).await;
    forget_with(&archive, &last(1)).await;
    archive
}

fn hour(hour: i64) -> Timestamp {
    at("2026-12-01T00:00:00Z") + SignedDuration::from_hours(hour)
}

#[tokio::test]
async fn an_unused_chunk_is_marked_first_and_removed_after_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    assert_eq!(chunks(&archive).len(), 3);
    let first = prune_at(&archive, hour(0), DAY).await;
    assert_eq!((first.removed, first.waiting, first.used), (0, 2, 1));
    assert_eq!(first.waiting_until, Some(hour(24)));
    assert_eq!(archive.marks().values().map(|mark| mark.since).collect::<Vec<_>>(), [hour(0), hour(0)]);
    // A minute too early; then another chunk becomes unused.
    assert_eq!(prune_at(&archive, hour(24) - SignedDuration::from_mins(1), DAY).await.removed, 0);
    let values = BTreeMap::from([(1, "new".to_owned())]);
    take(&archive, &Say::at("2026-12-01T03:00:00Z"), &[(&table("T", true), &values)]).await;
    forget_with(&archive, &last(1)).await;
    let later = prune_at(&archive, hour(24), DAY).await;
    assert_eq!((later.removed, later.waiting, later.waiting_until), (2, 1, Some(hour(48))));
    assert!(later.freed > 0);
    assert_eq!((chunks(&archive).len(), archive.marks().len()), (2, 1));
    let last = prune_at(&archive, hour(48), DAY).await;
    assert_eq!((last.removed, last.waiting, last.waiting_until), (1, 0, None));
    assert!(!folder.path().join(".marks.json").exists());
}

#[tokio::test]
async fn no_grace_removes_at_once_and_a_dry_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    let before = everything(folder.path());
    let options = PruneOptions { grace: SignedDuration::ZERO, dry_run: true, now: hour(0) };
    let planned = prune(&archive, &options, &silent()).await.unwrap();
    assert_eq!(everything(folder.path()), before);
    let done = prune_at(&archive, hour(0), SignedDuration::ZERO).await;
    assert_eq!((done.removed, done.freed), (planned.removed, planned.freed));
    assert_eq!(planned.files.unwrap().remove.len(), 2);
    assert_eq!(chunks(&archive).len(), 1);
}

#[tokio::test]
async fn a_chunk_that_is_named_again_loses_its_mark_and_waits_anew_when_it_is_forgotten_again() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    prune_at(&archive, hour(0), DAY).await;
    // The state of the first snapshot comes back: its chunk is there and is used.
    let values = BTreeMap::from([(1, "state 0".to_owned())]);
    let table = table("T", true);
    let number = take(&archive, &Say::at("2026-12-01T03:00:00Z"), &[(&table, &values)]).await;
    take(&archive, &Say::at("2026-12-01T04:00:00Z"), &[(&table, &BTreeMap::from([(1, "x".to_owned())]))]).await;
    // No prune in between: forgetting it takes the old mark away.
    forget_with(&archive, &numbers([number])).await;
    assert_eq!(archive.marks().len(), 1);
    let outcome = prune_at(&archive, hour(30), DAY).await;
    assert_eq!((outcome.removed, outcome.waiting, outcome.waiting_until), (1, 1, Some(hour(54))));
    // And with a prune in between.
    take(&archive, &Say::at("2026-12-02T08:00:00Z"), &[(&table, &values)]).await;
    assert_eq!(prune_at(&archive, hour(60), DAY).await.removed, 0);
    assert!(archive.marks().is_empty());
}

#[tokio::test]
async fn marks_from_the_future_and_marks_that_make_no_sense_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    prune_at(&archive, hour(1_000), DAY).await;
    // The clock was set back.
    let back = prune_at(&archive, hour(0), DAY).await;
    assert_eq!((back.removed, back.waiting_until), (0, Some(hour(24))));
    fs::write(folder.path().join(".marks.json"), "not JSON").unwrap();
    assert_eq!(prune_at(&archive, hour(24), DAY).await.removed, 0);
    // A file that changed its length since it was marked is another one.
    let path = archive.marks().into_keys().next().unwrap();
    fs::write(folder.path().join(&path), "cut").unwrap();
    let outcome = prune_at(&archive, hour(48), DAY).await;
    assert_eq!((outcome.removed, outcome.waiting), (1, 1));
    assert!(folder.path().join(&path).exists());
    assert_eq!(prune_at(&archive, hour(72), DAY).await.freed, 3);
    assert!(!folder.path().join(&path).exists());
}

#[tokio::test]
async fn nothing_is_removed_while_a_named_chunk_or_a_snapshot_is_not_as_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    let snapshot = archive.latest().unwrap().unwrap();
    let chunk = archive.chunk_objects(&snapshot)[0].path.clone();
    let whole = everything(folder.path());
    let newest = "snapshots/000003.json.zst".to_owned();
    let cases = [(&chunk, None), (&chunk, Some("cut")), (&newest, Some("torn")), (&newest, None)];
    for (name, bytes) in cases {
        match bytes {
            Some(bytes) => fs::write(folder.path().join(name), bytes).unwrap(),
            None => fs::remove_file(folder.path().join(name)).unwrap(),
        }
        let damaged = everything(folder.path());
        for dry_run in [true, false] {
            let options = PruneOptions { grace: SignedDuration::ZERO, dry_run, now: hour(0) };
            let error = prune(&archive, &options, &silent()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Damage, "{name}: {error}");
        }
        assert_eq!(everything(folder.path()), damaged);
        fs::write(folder.path().join(name), &whole[name]).unwrap();
    }
    assert_eq!(prune_at(&archive, hour(0), SignedDuration::ZERO).await.removed, 2);
}

#[tokio::test]
async fn foreign_files_stay_and_chunks_of_killed_runs_go() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    let name = format!("{}-7.parquet", "0f".repeat(32));
    let foreign = [
        "tables/T/_delta_log/00000.json".to_owned(),
        format!("tables/T/_delta_log/{name}"),
        format!("tables/T/{}", name.replace("0f", "0F")),
        format!("tables/T/copy of {name}"),
        format!("tables/T/{name}.part"),
        format!("tables/My Folder/{name}"),
        format!("tables/.hidden/{name}"),
        format!("tables/{name}"),
        format!("damaged/tables/T/{name}"),
        format!("{name}.txt"),
    ];
    // Whole, cut, and of a table that no snapshot has.
    let ours =
        [format!("tables/T/{name}"), format!("tables/Gone/{name}"), format!("tables/T/{}", name.replace("-7", "-8"))];
    for path in foreign.iter().chain(&ours) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "7 bytes").unwrap();
    }
    let outcome = prune_at(&archive, hour(0), SignedDuration::ZERO).await;
    assert_eq!(outcome.removed, 2 + 3);
    assert!(foreign.iter().all(|path| folder.path().join(path).exists()));
    assert!(ours.iter().all(|path| !folder.path().join(path).exists()));
}

#[tokio::test]
async fn a_push_or_a_writer_at_work_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = thinned(folder.path()).await;
    let options = PruneOptions { grace: SignedDuration::ZERO, dry_run: false, now: hour(0) };
    for lock in [Archive::lock, Archive::lock_push] {
        let held = lock(&archive).unwrap();
        assert_eq!(prune(&archive, &options, &silent()).await.unwrap_err().kind(), Kind::Busy);
        drop(held);
    }
    assert_eq!(chunks(&archive).len(), 3);
}

#[tokio::test]
async fn an_archive_without_snapshots_is_pruned_of_what_killed_runs_left() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    assert_eq!(prune_at(&archive, hour(0), DAY).await.removed, 0);
    assert!(!folder.path().join(".marks.json").exists());
}
