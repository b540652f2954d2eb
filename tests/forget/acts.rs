//! What `forget` does to an archive.

use std::fs;

use tillvault::{
    archive::{
        Archive,
        journal::{Journal, Tagging},
    },
    error::Kind,
    model::keep::{Count, KeepRules},
    observe::silent,
    ops::{
        forget::{Choice, forget},
        tag::{TagOptions, tag},
    },
};

use crate::support::{Say, answers, at, everything, forget_with, history, last, numbers, options};

fn days(count: u32) -> Vec<Say> {
    (1..=count).map(|day| Say::at(&format!("2026-11-{day:02}T03:00:00Z"))).collect()
}

#[tokio::test]
async fn one_record_names_them_all_and_files_and_index_follow() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(6)).await;
    let before = answers(&archive);
    let files: Vec<String> =
        archive.snapshot_numbers().unwrap().iter().map(|n| archive.snapshot_hash(*n).unwrap()).collect();
    let outcome = forget_with(&archive, &last(2)).await;
    assert_eq!((outcome.forgotten.as_slice(), outcome.kept), (&[1, 2, 3, 4][..], 2));
    assert_eq!(outcome.why, "keep last 2");
    assert_eq!(outcome.snapshots[5].reasons, ["newest", "last"]);
    assert_eq!(archive.snapshot_numbers().unwrap(), [5, 6]);
    assert_eq!(archive.record_numbers().unwrap(), [1]);
    let journal = archive.journal().unwrap();
    let forgotten = journal.forgotten();
    assert_eq!(forgotten.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(forgotten[&3].hash, files[2]);
    assert_eq!(forgotten[&3].parent.as_ref(), Some(&files[1]));
    let index: Vec<u64> = archive.index().unwrap().snapshots.iter().map(|entry| entry.snapshot).collect();
    assert_eq!(index, [5, 6]);
    let after = answers(&archive);
    assert_eq!(after, before.into_iter().filter(|((number, _), _)| *number > 4).collect());
    // The next run goes on with the next number, and the chain holds across the gap.
    let next = forget_with(&archive, &last(1)).await;
    assert_eq!(next.forgotten, [5]);
    assert_eq!(archive.next_link().unwrap().0, 7);
    assert_eq!(forget_with(&archive, &last(1)).await.forgotten, Vec::<u64>::new());
    assert_eq!(archive.record_numbers().unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(4)).await;
    let before = everything(folder.path());
    let mut options = last(1);
    options.dry_run = true;
    options.prune = Some(jiff::SignedDuration::ZERO);
    let outcome = forget_with(&archive, &options).await;
    assert_eq!(outcome.forgotten, [1, 2, 3]);
    assert_eq!(outcome.prune.unwrap().removed, 3);
    assert_eq!(everything(folder.path()), before);
}

#[tokio::test]
async fn rules_that_keep_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(3)).await;
    for rules in [KeepRules::default(), KeepRules { daily: Count::Newest(0), ..KeepRules::default() }] {
        let error = forget(&archive, &options(Choice::Rules(rules)), &silent()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
    }
    assert_eq!(archive.snapshot_numbers().unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn named_snapshots_are_forgotten_unless_something_protects_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut says = days(6);
    says[3].clear = true;
    says[3..].iter_mut().for_each(|say| say.epoch = 2);
    // The clock ran ahead when the first was taken.
    says[0].taken_at = at("2026-11-02T12:00:00Z");
    let archive = history(folder.path(), &says).await;
    let refused = |number: u64| {
        let archive = &archive;
        async move { forget(archive, &numbers([2, number]), &silent()).await.unwrap_err() }
    };
    for (number, kind, word) in [
        (6, Kind::Refused, "newest"),
        (3, Kind::Refused, "--even-before-clears"),
        (1, Kind::Refused, "--even-doubtful-clocks"),
        (9, Kind::Usage, "no snapshot 9"),
    ] {
        let error = refused(number).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(format!("{error} {}", error.next_step().unwrap()).contains(word), "{error:?}");
    }
    assert_eq!(archive.snapshot_numbers().unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(forget_with(&archive, &numbers([2, 5])).await.why, "named: 2, 5");
    let mut lifted = numbers([1, 3]);
    lifted.lifted.before_clears = true;
    assert!(forget(&archive, &lifted, &silent()).await.unwrap_err().message().contains("clock"));
    lifted.lifted.doubtful_clocks = true;
    assert_eq!(forget_with(&archive, &lifted).await.forgotten, [1, 3]);
    assert_eq!(archive.snapshot_numbers().unwrap(), [4, 6]);
    // Again, as after an interruption: done already.
    assert_eq!(forget_with(&archive, &lifted).await.forgotten, Vec::<u64>::new());
}

#[tokio::test]
async fn the_tags_of_the_journal_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut says = days(4);
    says[0].tags = vec!["gold".into()];
    let archive = history(folder.path(), &says).await;
    let mut journal = archive.journal().unwrap();
    for (snapshot, tags) in [(1, vec![]), (2, vec!["gold".to_owned(), "b".to_owned()])] {
        let tag = tillvault::archive::journal::Tagging { snapshot, tags };
        archive.write_record(&mut journal, Some(tag), None).await.unwrap();
    }
    let rules = KeepRules { tags: ["gold".to_owned()].into(), ..KeepRules::default() };
    let outcome = forget_with(&archive, &options(Choice::Rules(rules))).await;
    assert_eq!(outcome.forgotten, [1, 3]);
    assert_eq!(outcome.snapshots[1].reasons, ["tag gold"]);
    assert_eq!(archive.journal().unwrap().forgotten()[&1].tags, Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_stopped_after_the_record_is_completed_without_a_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(5)).await;
    let before = everything(folder.path());
    forget_with(&archive, &last(2)).await;
    let done = everything(folder.path());
    // Files 2 and 3 and the old index are still there, as if the run had stopped after the first file.
    for name in ["snapshots/000002.json.zst", "snapshots/000003.json.zst", "index/snapshots.json"] {
        fs::write(folder.path().join(name), &before[name]).unwrap();
    }
    let outcome = forget_with(&archive, &last(2)).await;
    assert_eq!(outcome.forgotten, [2, 3]);
    assert_eq!(everything(folder.path()), done);
    // Only the index was left to do.
    fs::write(folder.path().join("index/snapshots.json"), &before["index/snapshots.json"]).unwrap();
    assert_eq!(forget_with(&archive, &last(2)).await.forgotten, Vec::<u64>::new());
    assert_eq!(everything(folder.path()), done);
    // By number, too: all of them are done already or wait to be.
    fs::write(folder.path().join("snapshots/000002.json.zst"), &before["snapshots/000002.json.zst"]).unwrap();
    assert_eq!(forget_with(&archive, &numbers([1, 2])).await.forgotten, [2]);
    assert_eq!(everything(folder.path()), done);
}

#[tokio::test]
async fn nothing_is_forgotten_while_something_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(5)).await;
    forget_with(&archive, &numbers([2])).await;
    let whole = everything(folder.path());
    let cases: [(&str, Option<&[u8]>); 7] = [
        ("snapshots/000003.json.zst", Some(b"torn")),
        ("snapshots/000003.json.zst", None),
        ("snapshots/000001.json.zst", None),
        // The newest: the index remembers it.
        ("snapshots/000005.json.zst", None),
        ("journal/000001.json.zst", Some(b"")),
        ("journal/000001.json.zst", None),
        ("snapshots/000004.json.zst", Some(&whole["snapshots/000003.json.zst"])),
    ];
    for (name, bytes) in cases {
        match bytes {
            Some(bytes) => fs::write(folder.path().join(name), bytes).unwrap(),
            None => fs::remove_file(folder.path().join(name)).unwrap(),
        }
        let damaged = everything(folder.path());
        for options in [last(1), numbers([1])] {
            let error = forget(&archive, &options, &silent()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Damage, "{name}: {error}");
        }
        assert_eq!(everything(folder.path()), damaged);
        fs::write(folder.path().join(name), &whole[name]).unwrap();
    }
    assert_eq!(forget_with(&archive, &last(1)).await.forgotten, [1, 3, 4]);
}

#[tokio::test]
async fn a_lost_or_foreign_record_stops_what_rests_on_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(4)).await;
    let give = async |snapshot: u64, word: &str| {
        let options = TagOptions { add: vec![word.into()], ..TagOptions::default() };
        tag(&archive, &archive.snapshot(snapshot).unwrap(), &options).await
    };
    for (snapshot, word) in [(1, "b"), (2, "gold"), (3, "b")] {
        give(snapshot, word).await.unwrap();
    }
    let whole = everything(folder.path());
    // A copy of the archive went its own way after the first record.
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in whole.iter().filter(|(name, _)| !name.contains('/')) {
        fs::write(copy.path().join(name), bytes).unwrap();
    }
    let other = Archive::open(copy.path()).unwrap();
    let mut journal = Journal::default();
    for snapshot in [7, 8, 9] {
        other.write_record(&mut journal, Some(Tagging { snapshot, tags: Vec::new() }), None).await.unwrap();
    }
    let foreign = everything(copy.path());
    let rules = KeepRules { tags: ["gold".to_owned()].into(), ..KeepRules::default() };
    let record = |number: u32| format!("journal/{number:06}.json.zst");
    let cases: [&[(u32, bool)]; 5] =
        [&[(3, false)], &[(2, false), (3, false)], &[(1, false), (2, false), (3, false)], &[(2, true)], &[(3, true)]];
    for case in cases {
        for (number, is_foreign) in case {
            let path = folder.path().join(record(*number));
            fs::remove_file(&path).unwrap();
            if *is_foreign {
                fs::write(path, &foreign[&record(*number)]).unwrap();
            }
        }
        let damaged = everything(folder.path());
        let error = forget(&archive, &options(Choice::Rules(rules.clone())), &silent()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damage, "{case:?}: {error}");
        // Another record in the place of the lost one would hide the loss.
        assert_eq!(give(4, "new").await.unwrap_err().kind(), Kind::Damage, "{case:?}");
        assert_eq!(everything(folder.path()), damaged);
        for (number, _) in case {
            fs::write(folder.path().join(record(*number)), &whole[&record(*number)]).unwrap();
        }
    }
    let outcome = forget_with(&archive, &options(Choice::Rules(rules))).await;
    assert_eq!(outcome.forgotten, [1, 3]);
}

#[tokio::test]
async fn a_foreign_link_in_the_chain_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(3)).await;
    // A copy of the archive went its own way; its second snapshot is put in the place of ours.
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in everything(folder.path()).iter().filter(|(name, _)| !name.contains("/00000")) {
        let path = copy.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir(copy.path().join("snapshots")).unwrap();
    fs::remove_dir_all(copy.path().join("index")).unwrap();
    let other = Archive::open(copy.path()).unwrap();
    let table = crate::support::table("T", true);
    for day in ["2026-11-01T03:00:00Z", "2026-11-02T09:00:00Z"] {
        let values = [(1, "other".to_owned())].into();
        crate::support::take(&other, &Say::at(day), &[(&table, &values)]).await;
    }
    let file = "snapshots/000002.json.zst";
    fs::copy(copy.path().join(file), folder.path().join(file)).unwrap();
    let error = forget(&archive, &last(1), &silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage);
    assert!(error.message().contains("snapshot 2 does not follow"), "{error}");
}

#[tokio::test]
async fn a_push_or_a_writer_at_work_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = history(folder.path(), &days(3)).await;
    let push = archive.lock_push().unwrap();
    assert_eq!(forget(&archive, &last(1), &silent()).await.unwrap_err().kind(), Kind::Busy);
    drop(push);
    let writer = archive.lock().unwrap();
    assert_eq!(forget(&archive, &last(1), &silent()).await.unwrap_err().kind(), Kind::Busy);
    drop(writer);
    assert_eq!(forget_with(&archive, &last(1)).await.forgotten, [1, 2]);
}

#[tokio::test]
async fn a_snapshot_with_a_table_that_the_newest_lacks_stays() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let (menu, tickets) = (crate::support::table("Menu", false), crate::support::table("Tickets", true));
    for (day, say) in days(5).into_iter().enumerate() {
        let values = [(1, format!("state {day}"))].into();
        let say = Say { missing: if day >= 2 { vec!["Tickets".into()] } else { vec![] }, ..say };
        let tables: &[_] = if day >= 2 { &[(&menu, &values)] } else { &[(&menu, &values), (&tickets, &values)] };
        crate::support::take(&archive, &say, tables).await;
    }
    let outcome = forget_with(&archive, &last(1)).await;
    assert_eq!(outcome.forgotten, [1, 3, 4]);
    assert_eq!(outcome.snapshots[1].reasons, ["newest"]);
    assert_eq!(forget(&archive, &numbers([2]), &silent()).await.unwrap_err().kind(), Kind::Refused);
}
