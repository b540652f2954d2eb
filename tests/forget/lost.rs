//! Accepting the loss of snapshots that nobody can bring back.

use std::{collections::BTreeSet, fs, sync::Arc};

use tillvault::{
    archive::{Archive, layout},
    error::Kind,
    observe::silent,
    ops::{
        check::{CheckOptions, check},
        lost::forget_lost,
    },
};

use crate::support::{Say, answers, at, everything, forget_with, history, last, prune_at};

fn days(count: u32) -> Vec<Say> {
    (1..=count).map(|day| Say::at(&format!("2026-11-{day:02}T03:00:00Z"))).collect()
}

async fn is_damaged(archive: &Archive) -> bool {
    let opened = Arc::new(Archive::open(archive.root()).unwrap());
    check(&opened, &CheckOptions::default(), &silent()).await.unwrap().is_damaged()
}

async fn accept(archive: &Archive, numbers: &[u64]) -> tillvault::error::Result<Vec<String>> {
    let numbers: BTreeSet<u64> = numbers.iter().copied().collect();
    forget_lost(archive, &numbers, false, &silent()).await.map(|outcome| outcome.set_aside)
}

fn spoil(archive: &Archive, number: u64) {
    let path = archive.root().join(layout::snapshot_path(number));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

fn remove(archive: &Archive, number: u64) {
    fs::remove_file(archive.root().join(layout::snapshot_path(number))).unwrap();
}

#[tokio::test]
async fn an_archive_goes_on_after_its_lost_snapshots_were_given_up() {
    for with_index in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let archive = history(folder.path(), &days(7)).await;
        let before = answers(&archive);
        // A gap, a damaged file, and two neighbours, the first of which is lost beside a damaged one.
        remove(&archive, 1);
        spoil(&archive, 3);
        remove(&archive, 5);
        spoil(&archive, 6);
        if !with_index {
            fs::remove_file(folder.path().join(layout::INDEX_FILE)).unwrap();
        }
        assert!(is_damaged(&archive).await);
        let stuck = tillvault::ops::forget::forget(&archive, &last(1), &silent()).await.unwrap_err();
        assert_eq!(stuck.kind(), Kind::Damage);

        let untouched = everything(folder.path());
        let all: BTreeSet<u64> = [1, 3, 5, 6].into();
        let planned = forget_lost(&archive, &all, true, &silent()).await.unwrap();
        assert_eq!((planned.forgotten, everything(folder.path())), (vec![1, 3, 5, 6], untouched.clone()));
        let aside = accept(&archive, &[1, 3, 5, 6]).await.unwrap();
        assert_eq!(aside, ["damaged/snapshots/000003.json.zst", "damaged/snapshots/000006.json.zst"]);
        for path in &aside {
            let kept = fs::read(folder.path().join(path)).unwrap();
            assert_eq!(&kept, &untouched[path.strip_prefix("damaged/").unwrap()]);
        }
        assert!(!is_damaged(&archive).await, "with index: {with_index}");
        // The rest answers as before, and everything works again.
        let rest: Vec<u64> = archive.snapshot_numbers().unwrap();
        assert_eq!(rest, [2, 4, 7]);
        assert_eq!(answers(&archive), before.into_iter().filter(|((n, _), _)| rest.contains(n)).collect());
        assert_eq!(forget_with(&archive, &last(1)).await.forgotten, [2, 4]);
        prune_at(&archive, at("2026-12-02T00:00:00Z"), jiff::SignedDuration::ZERO).await;
        assert!(!is_damaged(&archive).await);
        assert_eq!(archive.next_link().unwrap().0, 8);
        // Once more: nothing is left to do.
        let records = archive.record_numbers().unwrap();
        assert_eq!(accept(&archive, &[1, 3]).await.unwrap(), Vec::<String>::new());
        assert_eq!(archive.record_numbers().unwrap(), records);
    }
}

#[tokio::test]
async fn what_can_be_read_or_has_no_successor_is_not_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(3)).await;
    for (number, kind) in [(2, Kind::Refused), (3, Kind::Refused), (4, Kind::Usage), (99, Kind::Usage)] {
        assert_eq!(accept(&archive, &[number]).await.unwrap_err().kind(), kind, "{number}");
    }
    spoil(&archive, 3);
    let error = accept(&archive, &[3]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.next_step().unwrap().contains("take another snapshot"), "{error}");
    assert!(archive.record_numbers().unwrap().is_empty());
    // A file that is whole in itself and not the one that was written is lost, too.
    remove(&archive, 1);
    fs::copy(folder.path().join(layout::snapshot_path(2)), folder.path().join(layout::snapshot_path(1))).unwrap();
    assert_eq!(accept(&archive, &[1]).await.unwrap(), ["damaged/snapshots/000001.json.zst"]);
}
