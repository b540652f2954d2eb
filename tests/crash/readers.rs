//! Readers hold no lock and are never disturbed: while one process takes snapshots, forgets and prunes, another reads everything
//! over and over. What it lists it can read, as long as reading it does not outlast the grace of prune.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tillvault::{
    archive::Archive,
    error::Kind,
    model::keep::{Count, KeepRules},
    observe::silent,
    ops::{
        forget::forget,
        prune::{PruneOptions, prune},
    },
};

use crate::{
    scene::{by, state},
    scripted_till::archives::{deep_check, plain, take},
};

const GRACE: Duration = Duration::from_millis(800);

/// Reads every row of every snapshot until told to stop; counts the snapshots read.
fn read_all(root: &Path, stop: &AtomicBool, read: &AtomicU64) {
    let archive = Archive::open(root).unwrap();
    while !stop.load(Ordering::SeqCst) {
        for number in archive.snapshot_numbers().unwrap() {
            let begun = Instant::now();
            let is_listed = || archive.snapshot_numbers().unwrap().contains(&number);
            let snapshot = match archive.snapshot(number) {
                Ok(snapshot) => snapshot,
                // Forgotten between the listing and the reading.
                Err(error) if error.kind() == Kind::Usage && !is_listed() => continue,
                Err(error) => panic!("snapshot {number}: {error}"),
            };
            for (entry, chunk) in snapshot.tables.iter().flat_map(|t| t.chunks.iter().map(move |chunk| (t, chunk))) {
                if let Err(error) = archive.read_chunk(entry, chunk) {
                    assert!(!is_listed(), "snapshot {number} is listed and incomplete: {error}");
                    assert!(begun.elapsed() >= GRACE, "snapshot {number} lost a chunk within the grace: {error}");
                }
            }
            read.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Takes snapshots, forgets all but two, prunes; returns how many chunks were removed.
async fn write_on(root: &Path) -> u64 {
    let archive = plain(root);
    let mut removed = 0;
    for round in 1..=16_i32 {
        let orders: Vec<i32> = (1..=20).chain(4_100..4_100 + round).collect();
        take(&archive, &state(&orders, &[round], 20)).await.unwrap();
        let rules = KeepRules { last: Count::Newest(2), ..KeepRules::default() };
        forget(&archive, &by(rules, None), &silent()).await.unwrap();
        let grace = SignedDuration::try_from(GRACE).unwrap();
        let options = PruneOptions { grace, dry_run: false, now: Timestamp::now() };
        removed += prune(&archive, &options, &silent()).await.unwrap().removed;
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    removed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_meets_an_incomplete_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let (stop, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let runtime = tokio::runtime::Handle::current();
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(folder.path(), &stop, &read));
        let removed = tokio::task::block_in_place(|| runtime.block_on(write_on(folder.path())));
        stop.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        assert!(removed > 10, "only {removed} chunks were removed meanwhile");
    });
    assert!(read.load(Ordering::SeqCst) > 20, "{read:?} snapshots were read");
    let mut findings = deep_check(folder.path()).await;
    findings.retain(|finding| finding.kind != tillvault::ops::check::finding::FindingKind::ChunkOrphaned);
    assert!(findings.is_empty(), "{findings:#?}");
}
