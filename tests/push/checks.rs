//! `check --remote`, and its repair.

use std::{fs, path::Path};

use tillvault::{
    archive::Archive,
    error::Kind,
    observe::silent,
    ops::check::{
        FindingKind, Part,
        remote::{RemoteCheckOptions, RemoteCheckOutcome, check_remote},
        repair::RepairResult,
    },
    store::fault::{Faults, Faulty},
};

use crate::site::{Pair, chain, content, files, snapshot};

const ALL: RemoteCheckOptions = RemoteCheckOptions { read_data: Some(Part::ALL), repair: false, dry_run: false };

async fn look(pair: &Pair, options: RemoteCheckOptions) -> RemoteCheckOutcome {
    check_remote(&pair.archive, &pair.remote(), &options, &silent()).await.unwrap()
}

fn kinds(outcome: &RemoteCheckOutcome) -> Vec<FindingKind> {
    outcome.check.findings.iter().map(|finding| finding.kind).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_copy_has_no_findings_and_a_backlog_is_no_damage() {
    let pair = Pair::new().await;
    assert_eq!(kinds(&look(&pair, ALL).await), [FindingKind::NotPushed; 4], "the header and three snapshots");
    pair.push().await.unwrap();
    pair.forget(2).await;
    pair.push().await.unwrap();
    let checked = look(&pair, ALL).await;
    // What was forgotten here lies there until the remote is pruned: its chunks are still named by it.
    assert!(checked.check.findings.is_empty(), "{:?}", checked.check.findings);
    let covered = checked.check.covered;
    assert_eq!(
        (covered.snapshots, covered.records, covered.chunks, covered.chunks_read),
        (3, 1, covered.chunks, covered.chunks)
    );
    snapshot(&pair.archive, &[("Orders", 800)]).await;
    let checked = look(&pair, ALL).await;
    assert_eq!((kinds(&checked).as_slice(), checked.check.is_damaged()), (&[FindingKind::NotPushed][..], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_damage_is_found_and_mended_from_here() {
    type Harm = fn(&Pair);
    let chunk = |pair: &Pair| pair.mirror.join(pair.alone(2).remove(0));
    let harms: [(FindingKind, Harm); 9] = [
        (FindingKind::ChunkMissing, |pair| fs::remove_file(pair.mirror.join(pair.alone(2).remove(0))).unwrap()),
        (FindingKind::ChunkTruncated, |pair| fs::write(pair.mirror.join(pair.alone(2).remove(0)), "PAR1").unwrap()),
        (FindingKind::ChunkAltered, |pair| flip(&pair.mirror.join(pair.alone(2).remove(0)), 9)),
        (FindingKind::SnapshotMissing, |pair| fs::remove_file(pair.mirror.join("snapshots/000002.json.zst")).unwrap()),
        (FindingKind::SnapshotAltered, |pair| flip(&pair.mirror.join("snapshots/000003.json.zst"), 40)),
        (FindingKind::SnapshotTruncated, |pair| fs::write(pair.mirror.join("snapshots/000001.json.zst"), "").unwrap()),
        (FindingKind::RecordMissing, |pair| fs::remove_file(pair.mirror.join("journal/000001.json.zst")).unwrap()),
        (FindingKind::RecordAltered, |pair| flip(&pair.mirror.join("journal/000002.json.zst"), 20)),
        (FindingKind::HeaderDamaged, |pair| fs::remove_file(pair.mirror.join("tillvault-archive.json")).unwrap()),
    ];
    for (kind, harm) in harms {
        let pair = Pair::new().await;
        let mut journal = pair.archive.journal().unwrap();
        for tag in ["a", "b"] {
            let tagging = tillvault::archive::journal::Tagging { snapshot: 1, tags: vec![tag.into()] };
            pair.archive.write_record(&mut journal, Some(tagging), None).await.unwrap();
        }
        pair.push().await.unwrap();
        assert!(chunk(&pair).exists());
        harm(&pair);
        let harmed = content(&pair.mirror);
        let found = look(&pair, ALL).await;
        assert!(kinds(&found).contains(&kind) && found.check.is_damaged(), "{kind}: {:?}", found.check.findings);
        let dry = look(&pair, RemoteCheckOptions { repair: true, dry_run: true, ..ALL }).await;
        assert!(!dry.upload.unwrap().is_empty());
        assert_eq!(content(&pair.mirror), harmed, "{kind}: a look changes nothing");
        let mended = look(&pair, RemoteCheckOptions { repair: true, ..ALL }).await;
        assert!(mended.check.findings.is_empty(), "{kind}: {:?}", mended.check.findings);
        assert!(mended.check.repaired.unwrap().iter().all(|one| one.result == RepairResult::Uploaded));
        pair.assert_mirrored();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_here_as_well_is_left_there() {
    let pair = Pair::pushed().await;
    let chunk = pair.alone(2).remove(0);
    flip(&pair.mirror.join(&chunk), 9);
    flip(&pair.archive.root().join(&chunk), 11);
    let before = content(&pair.mirror);
    let left = look(&pair, RemoteCheckOptions { repair: true, ..ALL }).await;
    assert_eq!(kinds(&left), [FindingKind::ChunkAltered]);
    assert_eq!(left.check.repaired.unwrap()[0].result, RepairResult::Left);
    assert_eq!(content(&pair.mirror), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_whole_files_that_differ_are_told_and_not_mended() {
    let pair = Pair::pushed().await;
    let other = pair.folder.path().join("other");
    crate::keeps::copy(pair.archive.root(), &other);
    let archive = Archive::open(&other).unwrap();
    snapshot(&archive, &[("Orders", 810)]).await;
    fs::copy(other.join("snapshots/000004.json.zst"), pair.mirror.join("snapshots/000004.json.zst")).unwrap();
    snapshot(&pair.archive, &[("Orders", 820), ("Payments", 3)]).await;
    let before = content(&pair.mirror);
    let found = look(&pair, RemoteCheckOptions { repair: true, read_data: None, dry_run: false }).await;
    assert!(kinds(&found).contains(&FindingKind::SnapshotFork), "{:?}", found.check.findings);
    assert_eq!(before["snapshots/000004.json.zst"], content(&pair.mirror)["snapshots/000004.json.zst"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_fails_is_an_error_and_never_a_finding() {
    let pair = Pair::pushed().await;
    let calls = Faults::none();
    let counted = pair.over(std::sync::Arc::new(Faulty::new(pair.store(), std::sync::Arc::clone(&calls))));
    check_remote(&pair.archive, &counted, &ALL, &silent()).await.unwrap();
    for n in 1..=calls.calls() {
        let failing = pair.over(std::sync::Arc::new(Faulty::new(pair.store(), Faults::at_call(n))));
        let error = check_remote(&pair.archive, &failing, &ALL, &silent()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Store, "call {n}: {}", chain(&error));
    }
    // Another archive's remote.
    let other = Archive::create(&pair.folder.path().join("other"), "Pool Bar").unwrap();
    let error = check_remote(&std::sync::Arc::new(other), &pair.remote(), &ALL, &silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    // Chunks that nobody names are a note.
    let stray = format!("tables/Orders/{}-4.parquet", "ab".repeat(32));
    fs::write(pair.mirror.join(&stray), "PAR1").unwrap();
    assert!(files(&pair.mirror).contains(&stray));
    assert_eq!(kinds(&look(&pair, ALL).await), [FindingKind::ChunkOrphaned]);
}
