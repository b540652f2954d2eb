//! Clocks that are set back, and numbers that must not come twice.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use tillvault::{
    archive::Archive,
    model::keep::{Count, KeepRules},
    observe::silent,
    ops::{
        forget::forget,
        prune::{PruneOptions, prune},
    },
};

use crate::{
    scene::{by, states},
    scripted_till::{
        State,
        archives::{deep_check, plain, take},
        held::{Held, Reader},
    },
};

/// The present state once more, as a run whose clock stands at `taken_at` would have written it.
async fn take_at(archive: &Archive, taken_at: &str) {
    let mut snapshot = archive.latest().unwrap().unwrap();
    (snapshot.snapshot, snapshot.parent) = archive.next_link().unwrap();
    snapshot.taken_at = taken_at.parse().unwrap();
    archive.write_snapshot(&snapshot).await.unwrap();
}

#[tokio::test]
async fn a_clock_set_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let archive = plain(folder.path());
    let states = states().map(State::sorted);
    take(&archive, &states[0]).await.unwrap();
    // The clock ran years ahead for one run, then it was put right.
    take_at(&archive, "2099-01-01T03:00:00Z").await;
    for state in &states[1..4] {
        take(&archive, state).await.unwrap();
    }
    let mut held: Held =
        [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)].map(|(number, state)| (number, states[state].clone())).into();
    let numbers = Reader::default().assert_whole(&archive, &held);
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // The one whose time cannot be trusted is kept by itself, and is not taken for the newest of anything.
    let rules = KeepRules { daily: Count::Newest(1), ..KeepRules::default() };
    let outcome = forget(&archive, &by(rules, None), &silent()).await.unwrap();
    assert_eq!(outcome.forgotten, [1, 3, 4]);
    held.retain(|number, _| [2, 5].contains(number));
    Reader::default().assert_whole(&archive, &held);

    // A mark from the future: the grace begins anew with the clock as it is now.
    let day = SignedDuration::from_hours(24);
    let now = Timestamp::now();
    let pruned = async |now: Timestamp| {
        let outcome = prune(&archive, &PruneOptions { grace: day, dry_run: false, now }, &silent()).await.unwrap();
        (outcome.removed, outcome.waiting)
    };
    let (removed, waiting) = pruned("2099-06-01T00:00:00Z".parse().unwrap()).await;
    assert!(removed == 0 && waiting > 0);
    assert_eq!(pruned(now).await, (0, waiting));
    assert_eq!(pruned(now + SignedDuration::from_hours(23)).await, (0, waiting));
    assert_eq!(pruned(now + SignedDuration::from_hours(25)).await, (waiting, 0));
    Reader::default().assert_whole(&archive, &held);
    let findings = deep_check(folder.path()).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test]
async fn a_number_once_forgotten_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let archive = plain(folder.path());
    for state in &states()[..4] {
        take(&archive, state).await.unwrap();
    }
    // Two and three are forgotten; then four is lost, and the index that would tell of it.
    let mut options = by(KeepRules::default(), None);
    options.choice = tillvault::ops::forget::Choice::Numbers([2, 3].into());
    forget(&archive, &options, &silent()).await.unwrap();
    let three = archive.journal().unwrap().forgotten()[&3].hash.clone();
    for lost in ["snapshots/000004.json.zst", "index/snapshots.json"] {
        fs::remove_file(folder.path().join(lost)).unwrap();
    }
    assert_eq!(archive.next_link().unwrap(), (4, Some(three)));
    assert_eq!(take(&archive, &states()[4]).await.unwrap().snapshot, 4);
    let findings = deep_check(folder.path()).await;
    assert!(findings.iter().all(|finding| finding.kind.to_string() == "chunk-orphaned"), "{findings:#?}");
}
