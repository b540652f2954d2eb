//! `pull`: an archive comes back from the remote alone.

use std::{fs, path::Path, sync::Arc};

use tillvault::{
    archive::{Archive, layout},
    error::{Error, Kind, Result},
    observe::{SharedObserver, silent},
    ops::{
        check::{CheckOptions, check},
        pull::{PullOptions, PullOutcome, pull},
        push::{PushOptions, push},
    },
    store::{
        Remote,
        fault::{Faults, Faulty},
    },
};

use crate::{
    keeps::copy,
    site::{Pair, Recorder, chain, content, files, snapshot},
};

async fn fetch(root: &Path, remote: &Remote) -> Result<PullOutcome> {
    pull(root, remote, &PullOptions::default(), &silent()).await
}

/// Asserts that an archive is the same as another one, and that a check finds nothing to say.
async fn assert_whole(root: &Path, pair: &Pair) {
    assert_eq!(content(root), content(pair.archive.root()));
    let archive = Arc::new(Archive::open(root).unwrap());
    let checked = check(&archive, &CheckOptions::default(), &silent()).await.unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    assert_eq!(archive.next_link().unwrap(), pair.archive.next_link().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_machine_gets_the_whole_archive_from_the_remote_alone() {
    let pair = Pair::pushed().await;
    pair.forget(2).await;
    pair.push().await.unwrap();
    fs::remove_file(pair.mirror.join("snapshots/000002.json.zst")).unwrap();
    let root = pair.folder.path().join("new/archive");
    let dry =
        pull(&root, &pair.remote(), &PullOptions { dry_run: true, ..PullOptions::default() }, &silent()).await.unwrap();
    assert!(!root.exists() && dry.created);
    let pulled = fetch(&root, &pair.remote()).await.unwrap();
    assert_eq!((pulled.snapshots.as_slice(), pulled.left.len(), pulled.created), (&[1, 3][..], 0, true));
    assert_eq!((dry.fetched, dry.bytes, &dry.snapshots), (pulled.fetched, pulled.bytes, &pulled.snapshots));
    assert_whole(&root, &pair).await;
    let again = fetch(&root, &pair.remote()).await.unwrap();
    assert_eq!((again.fetched, again.bytes, again.created), (0, 0, false));
    // It goes on as the old one would have, on the same remote.
    let archive = Archive::open(&root).unwrap();
    snapshot(&archive, &[("Orders", 900)]).await;
    assert_eq!(push(&archive, &pair.remote(), &PushOptions::default(), &silent()).await.unwrap().backlog, 0);
    // And the old machine catches up in the same way.
    let caught = fetch(pair.archive.root(), &pair.remote()).await.unwrap();
    assert_eq!(caught.snapshots, [4]);
    assert_eq!(content(&root), content(pair.archive.root()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_dies_at_any_request_is_taken_up_and_gives_no_number_twice() {
    let pair = Pair::pushed().await;
    let next = pair.archive.next_link().unwrap();
    let calls = Faults::none();
    let counted = pair.over(Arc::new(Faulty::new(pair.store(), Arc::clone(&calls))));
    fetch(&pair.folder.path().join("first"), &counted).await.unwrap();
    for n in 1..=calls.calls() {
        let root = pair.folder.path().join(format!("new-{n}"));
        let dying = pair.over(Arc::new(Faulty::new(pair.store(), Faults::from_call(n))));
        // The remote's index is only a witness: without it a pull goes on.
        let Err(error) = fetch(&root, &dying).await else { continue };
        assert_eq!(error.kind(), Kind::Store, "{}", chain(&error));
        match Archive::open(&root) {
            Ok(archive) => {
                assert_eq!(archive.next_link().unwrap(), next, "at call {n}");
                assert!(archive.survey(|_, _| ()).is_err() || archive.snapshot_numbers().unwrap().len() == 3);
                for number in archive.snapshot_numbers().unwrap() {
                    assert!(archive.missing_chunks(&archive.snapshot(number).unwrap()).unwrap().is_empty());
                }
            }
            Err(error) => assert_eq!(error.kind(), Kind::NoArchive, "at call {n}: {error}"),
        }
        let again = fetch(&root, &pair.remote()).await.unwrap();
        assert!(again.left.is_empty());
        assert_whole(&root, &pair).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_snapshot_needs_only_its_own_chunks_and_the_rest_comes_later() {
    let pair = Pair::pushed().await;
    let root = pair.folder.path().join("new");
    let options = PullOptions { snapshot: Some(1), ..PullOptions::default() };
    let pulled = pull(&root, &pair.remote(), &options, &silent()).await.unwrap();
    assert_eq!((pulled.snapshots.as_slice(), pulled.left.as_slice()), (&[1][..], &[2, 3][..]));
    let archive = Archive::open(&root).unwrap();
    let chunks = archive.chunk_objects(&archive.snapshot(1).unwrap());
    let there: Vec<String> = files(&root).into_iter().filter(|path| path.ends_with(".parquet")).collect();
    assert_eq!(there.len(), chunks.len());
    assert_eq!(archive.next_link().unwrap(), pair.archive.next_link().unwrap(), "no number is given twice");
    let error =
        pull(&root, &pair.remote(), &PullOptions { snapshot: Some(9), ..options }, &silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    fetch(&root, &pair.remote()).await.unwrap();
    assert_whole(&root, &pair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_is_never_overwritten() {
    let pair = Pair::pushed().await;
    let refused = |result: Result<PullOutcome>| -> Error {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Refused, 20), "{}", chain(&error));
        error
    };
    // Another archive.
    let other = pair.folder.path().join("other");
    snapshot(&Archive::create(&other, "Pool Bar").unwrap(), &[("Orders", 5)]).await;
    let before = content(&other);
    assert!(chain(&refused(fetch(&other, &pair.remote()).await)).contains("another one"));
    assert_eq!(content(&other), before);
    // One that is ahead.
    let ahead = pair.folder.path().join("ahead");
    copy(pair.archive.root(), &ahead);
    snapshot(&Archive::open(&ahead).unwrap(), &[("Orders", 900)]).await;
    let before = content(&ahead);
    let pulled = fetch(&ahead, &pair.remote()).await.unwrap();
    assert_eq!((pulled.ahead.as_slice(), pulled.fetched), (&[4][..], 0));
    assert_eq!(content(&ahead), before);
    // One that went its own way, by a snapshot or by a record.
    snapshot(&pair.archive, &[("Orders", 950), ("Payments", 4)]).await;
    pair.push().await.unwrap();
    refused(fetch(&ahead, &pair.remote()).await);
    assert_eq!(content(&ahead), before);
    // Something that lost its header.
    fs::remove_file(ahead.join(layout::HEADER_FILE)).unwrap();
    assert_eq!(fetch(&ahead, &pair.remote()).await.unwrap_err().kind(), Kind::Damage);
    // A remote without an archive.
    let empty = pair.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let store = object_store::local::LocalFileSystem::new_with_prefix(&empty).unwrap();
    let error = fetch(&pair.folder.path().join("none"), &pair.over(Arc::new(store))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoArchive);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_there_is_told_and_the_rest_comes() {
    let pair = Pair::pushed().await;
    let chunk = pair.alone(2).remove(0);
    let mut bytes = fs::read(pair.mirror.join(&chunk)).unwrap();
    bytes[9] ^= 1;
    fs::write(pair.mirror.join(&chunk), bytes).unwrap();
    let root = pair.folder.path().join("new");
    let pulled = fetch(&root, &pair.remote()).await.unwrap();
    assert_eq!((pulled.snapshots.as_slice(), pulled.left.as_slice()), (&[1, 3][..], &[2][..]));
    assert!(pulled.damaged[0].contains(&chunk), "{:?}", pulled.damaged);
    assert!(!root.join(&chunk).exists());
    fs::copy(pair.archive.root().join(&chunk), pair.mirror.join(&chunk)).unwrap();
    // A snapshot file that is another one than its successor follows.
    let first = pair.mirror.join("snapshots/000001.json.zst");
    let good = fs::read(&first).unwrap();
    fs::remove_file(root.join("snapshots/000001.json.zst")).unwrap();
    let mut torn = good.clone();
    torn[30] ^= 1;
    fs::write(&first, torn).unwrap();
    let pulled = fetch(&root, &pair.remote()).await.unwrap();
    assert_eq!((pulled.snapshots.as_slice(), pulled.left.as_slice()), (&[2][..], &[1][..]));
    assert!(pulled.damaged[0].contains("snapshots/000001"), "{:?}", pulled.damaged);
    fs::write(&first, good).unwrap();
    fetch(&root, &pair.remote()).await.unwrap();
    assert_whole(&root, &pair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_lost_its_newest_snapshot_is_told_by_its_index() {
    let pair = Pair::new().await;
    let options = PushOptions { derived: true, ..PushOptions::default() };
    push(&pair.archive, &pair.remote(), &options, &silent()).await.unwrap();
    fs::remove_file(pair.mirror.join("snapshots/000003.json.zst")).unwrap();
    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    let root = pair.folder.path().join("new");
    let pulled = pull(&root, &pair.remote(), &PullOptions::default(), &observer).await.unwrap();
    assert_eq!(pulled.snapshots, [1, 2]);
    assert!(recorder.warnings()[0].contains("snapshot 3"), "{:?}", recorder.warnings());
}
