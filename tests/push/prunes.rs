//! `prune --remote`: the remote follows the local plan, and never loses what somebody needs.

use std::{collections::BTreeSet, fs, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tillvault::{
    error::Kind,
    observe::silent,
    ops::{
        check::Part,
        prune_remote::{RemotePruneOptions, RemotePruneOutcome, prune_remote},
    },
    store::{
        Remote,
        fault::{Faults, Faulty},
        proof::Trash,
    },
};

use crate::site::{Pair, chain, content, files, snapshot};

fn options(grace: SignedDuration, now: &str) -> RemotePruneOptions {
    RemotePruneOptions {
        grace,
        dry_run: false,
        now: now.parse::<Timestamp>().unwrap(),
        trash: Trash::Keep,
        folders: Part::ALL,
    }
}

fn at_once() -> RemotePruneOptions {
    options(SignedDuration::ZERO, "2026-11-22T03:00:00Z")
}

async fn prune(
    pair: &Pair,
    remote: &Remote,
    options: &RemotePruneOptions,
) -> tillvault::error::Result<RemotePruneOutcome> {
    prune_remote(&pair.archive, remote, options, &silent()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_remote_follows_what_was_forgotten_here() {
    let pair = Pair::pushed().await;
    let gone: BTreeSet<String> = pair.alone(2).into_iter().chain(["snapshots/000002.json.zst".into()]).collect();
    let before = files(&pair.mirror);
    pair.forget(2).await;
    let dry = prune(&pair, &pair.remote(), &RemotePruneOptions { dry_run: true, ..at_once() }).await.unwrap();
    assert_eq!(files(&pair.mirror), before, "a plan changes nothing");
    let pruned = prune(&pair, &pair.remote(), &at_once()).await.unwrap();
    assert_eq!((&pruned.snapshots, pruned.records, pruned.removed), (&vec![2], 1, gone.len() as u64 - 1));
    assert_eq!((&dry.snapshots, dry.records, dry.removed), (&pruned.snapshots, pruned.records, pruned.removed));
    let removed: BTreeSet<String> = before.difference(&files(&pair.mirror)).cloned().collect();
    assert_eq!(removed, gone);
    pair.assert_mirrored();
    assert!(!prune(&pair, &pair.remote(), &at_once()).await.unwrap().has_news());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_wait_for_the_grace_by_this_machines_clock() {
    let pair = Pair::pushed().await;
    let alone = pair.alone(2).len() as u64;
    pair.forget(2).await;
    let day = SignedDuration::from_hours(24);
    let at = |time: &str| options(day, time);
    let first = prune(&pair, &pair.remote(), &at("2026-11-22T03:00:00Z")).await.unwrap();
    assert_eq!((first.removed, first.waiting, first.snapshots.len()), (0, alone, 1));
    assert_eq!(first.waiting_until.unwrap().to_string(), "2026-11-23T03:00:00Z");
    let soon = prune(&pair, &pair.remote(), &at("2026-11-23T02:00:00Z")).await.unwrap();
    assert_eq!((soon.removed, soon.waiting), (0, alone));
    // A clock that was set back begins anew.
    let back = prune(&pair, &pair.remote(), &at("2026-11-20T02:00:00Z")).await.unwrap();
    assert_eq!((back.removed, back.waiting), (0, alone));
    let later = prune(&pair, &pair.remote(), &at("2026-11-23T02:00:00Z")).await.unwrap();
    assert_eq!((later.removed, later.waiting), (alone, 0));
    pair.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_in_turn_add_up_to_all_and_their_marks_stay() {
    let pair = Pair::pushed().await;
    let alone = pair.alone(2).len() as u64;
    pair.forget(2).await;
    let mut removed = 0;
    for (round, day) in [("22", 0), ("23", 1)] {
        for part in 1..=5 {
            let folders = Part::parse(&format!("{part}/5"), Timestamp::now()).unwrap();
            let now = format!("2026-11-{round}T0{}:00:00Z", 3 + day);
            let turn = RemotePruneOptions { folders, ..options(SignedDuration::from_hours(24), &now) };
            removed += prune(&pair, &pair.remote(), &turn).await.unwrap().removed;
        }
        assert_eq!(removed, if day == 0 { 0 } else { alone });
    }
    pair.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_where_anything_is_in_doubt() {
    let pair = Pair::pushed().await;
    pair.forget(2).await;
    let before = content(&pair.mirror);
    let refused = async |kind: Kind| {
        let error = prune(&pair, &pair.remote(), &at_once()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", chain(&error));
    };
    // The remote holds what is not known here.
    let strange = pair.mirror.join("snapshots/000009.json.zst");
    fs::write(&strange, "from elsewhere").unwrap();
    refused(Kind::Refused).await;
    fs::remove_file(&strange).unwrap();
    let record = pair.mirror.join("journal/000007.json.zst");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, "from elsewhere").unwrap();
    refused(Kind::Refused).await;
    fs::remove_file(&record).unwrap();
    // Another file under the number that was forgotten, and nobody remembers to have pushed it.
    let path = pair.mirror.join("snapshots/000002.json.zst");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "another one").unwrap();
    pair.archive.note_pushed("cloud", &[1, 3]).await.unwrap();
    refused(Kind::Refused).await;
    fs::write(&path, good).unwrap();
    // The local archive is damaged.
    let local = pair.archive.root().join("snapshots/000001.json.zst");
    let good = fs::read(&local).unwrap();
    fs::write(&local, "torn").unwrap();
    refused(Kind::Damage).await;
    fs::write(&local, good).unwrap();
    assert_eq!(content(&pair.mirror), before);
    // All in order: by its hash it is the one that was forgotten.
    assert_eq!(prune(&pair, &pair.remote(), &at_once()).await.unwrap().snapshots, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_that_fails_anywhere_leaves_every_snapshot_whole_and_is_completed() {
    let source = Pair::pushed().await;
    source.forget(2).await;
    snapshot(&source.archive, &[("Orders", 100)]).await;
    source.push().await.unwrap();
    let needed: Vec<String> = source
        .archive
        .snapshot_numbers()
        .unwrap()
        .into_iter()
        .flat_map(|number| source.archive.chunk_objects(&source.archive.snapshot(number).unwrap()))
        .map(|chunk| chunk.path)
        .collect();
    let first = source.folder.path().join("first");
    crate::keeps::copy(&source.mirror, &first);
    let store = |root: &std::path::Path| object_store::local::LocalFileSystem::new_with_prefix(root).unwrap();
    for n in 1.. {
        let root = source.folder.path().join(format!("cloud-{n}"));
        crate::keeps::copy(&first, &root);
        let faults = Faults::from_call(n);
        let failing = source.over(Arc::new(Faulty::new(Arc::new(store(&root)), Arc::clone(&faults))));
        let ended = prune(&source, &failing, &at_once()).await;
        let there = files(&root);
        assert!(needed.iter().all(|path| there.contains(path)), "call {n}");
        let whole = source.over(Arc::new(store(&root)));
        for _ in 0..2 {
            prune(&source, &whole, &at_once()).await.unwrap();
        }
        assert_eq!(content(&root), content(source.archive.root()), "call {n}");
        if ended.is_ok() {
            assert!(n > 6, "{n}");
            break;
        }
    }
}
