//! `check --repair`: what it brings back, what it keeps, and what it never does.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path as StorePath};
use tillvault::{
    archive::{Archive, layout},
    error::Kind,
    observe,
    ops::check::{
        CheckOptions, Part, check,
        repair::{RepairOptions, RepairResult, repair},
    },
    store::{
        Remote,
        fault::{Faults, Faulty},
        profile::ServerKind,
    },
};

use crate::{
    damage::{flip, make_all},
    support::{
        DEEP, READ_DATA, STRUCTURE, chunks, contents, copy, files, hash, lines, remote_of, run_check, run_repair, till,
        tiny,
    },
};

/// Every file's bytes by their hash: whatever a repair does, none of these may be lost.
fn kept(root: &Path) -> BTreeSet<String> {
    let data = |path: &String| path != layout::INDEX_FILE && path != layout::README_FILE;
    contents(root).into_iter().filter(|(path, _)| data(path)).map(|(_, bytes)| hash(&bytes)).collect()
}

#[tokio::test]
async fn a_repair_with_a_remote_mends_every_kind_of_damage_and_deletes_nothing() {
    let made = tempfile::tempdir().unwrap();
    let kinds = make_all(made.path()).await;
    let whole = made.path().join("undamaged").join("archive");
    let (_kept, remote) = remote_of(&whole, "mirror");
    let all = contents(&whole);
    for kind in kinds {
        let root = made.path().join(kind.name).join("archive");
        if Archive::open_anyway(&root).is_err() {
            continue;
        }
        let before = kept(&root);
        let outcome = run_repair(&root, &READ_DATA, std::slice::from_ref(&remote)).await;
        assert!(before.is_subset(&kept(&root)), "{}: something was deleted", kind.name);
        match kind.name {
            // Written like this: there is no better copy.
            "content-hash-wrong" | "rows-out-of-block" | "snapshot-forked" => continue,
            "chunk-orphaned" | "chunk-misplaced" | "strangers" => {
                assert!(!outcome.is_damaged() && outcome.counts.notes > 0, "{}: {:?}", kind.name, lines(&outcome));
                continue;
            }
            // Not damaged, only too new.
            "unknown-format-snapshot" => continue,
            name => assert_eq!(lines(&outcome), [""; 0], "{name}"),
        }
        fs::remove_dir_all(root.join(layout::DAMAGED)).ok();
        assert!(contents(&root) == all, "{}: other bytes than before", kind.name);
    }
}

#[tokio::test]
async fn without_a_remote_the_rest_is_mended_and_nothing_is_lost() {
    let made = tempfile::tempdir().unwrap();
    for kind in make_all(made.path()).await {
        let root = made.path().join(kind.name).join("archive");
        if Archive::open_anyway(&root).is_err() {
            continue;
        }
        let before = kept(&root);
        let outcome = run_repair(&root, &READ_DATA, &[]).await;
        assert!(before.is_subset(&kept(&root)), "{}: something was deleted", kind.name);
        match kind.name {
            "index-absent" | "index-altered" | "index-outdated" | "chunk-swapped" | "chunk-misplaced"
            | "snapshot-exchanged" | "snapshot-renamed" => {
                assert_eq!((outcome.counts.damage, outcome.counts.warnings), (0, 0), "{}", kind.name);
            }
            name if name.starts_with("snapshot-") || name.starts_with("record-") || name.starts_with("header-") => {
                assert!(outcome.is_damaged(), "{name}");
                assert!(!root.join(layout::DAMAGED).exists(), "{name}: it stays where it is");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_chunk_that_nobody_has_is_written_anew_by_the_next_run() {
    let (_folder, root) = tiny().await;
    let archive = Archive::open(&root).unwrap();
    let newest = archive.latest().unwrap().unwrap();
    let path = chunks(&archive, &newest)[0].clone();
    let good = fs::read(root.join(&path)).unwrap();
    flip(&root.join(&path), 50);
    let outcome = run_repair(&root, &READ_DATA, &[]).await;
    assert_eq!(lines(&outcome), [format!("damage chunk-missing {path}")]);
    assert!(outcome.findings[0].next_step.as_ref().unwrap().contains("tillvault snapshot"));
    let done = &outcome.repaired.as_ref().unwrap()[0];
    assert_eq!((done.result, done.kept_as.clone()), (RepairResult::SetAside, Some(format!("damaged/{path}"))));
    // The till still has these rows.
    let (table, rows) = till(5).remove(0);
    let mut writer = archive.table_writer(&table, newest.table("Orders")).unwrap();
    writer.push(rows).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(fs::read(root.join(&path)).unwrap(), good);
    assert_eq!(lines(&run_check(&root, &DEEP).await), [""; 0]);
    // A second file of the same name is kept beside the first.
    flip(&root.join(&path), 51);
    run_repair(&root, &READ_DATA, &[]).await;
    assert!(root.join(format!("damaged/{path}.2")).exists());
}

#[tokio::test]
async fn a_wrong_copy_on_a_remote_is_not_taken_and_the_next_remote_is_asked() {
    let (_folder, root) = tiny().await;
    let (bad_folder, bad) = remote_of(&root, "bad");
    let (_good_folder, good) = remote_of(&root, "good");
    let whole = contents(&root);
    for path in files(bad_folder.path()) {
        flip(&bad_folder.path().join(path), 9);
    }
    let archive = Archive::open(&root).unwrap();
    let chunk = chunks(&archive, &archive.latest().unwrap().unwrap())[1].clone();
    let paths = [chunk, layout::snapshot_path(4), layout::snapshot_path(5), layout::record_path(2)];
    for path in &paths {
        fs::remove_file(root.join(path)).unwrap();
    }
    let damaged = contents(&root);
    let outcome = run_repair(&root, &READ_DATA, std::slice::from_ref(&bad)).await;
    assert!(outcome.is_damaged());
    assert!(contents(&root) == damaged, "a wrong copy was taken");
    let outcome = run_repair(&root, &READ_DATA, &[bad, good]).await;
    assert_eq!(lines(&outcome), [""; 0]);
    assert!(outcome.repaired.unwrap().iter().all(|done| done.from.as_deref() == Some("good")));
    assert!(contents(&root) == whole);
}

#[tokio::test]
async fn a_whole_archive_comes_back_from_its_snapshots_on_a_remote() {
    let (_folder, root) = tiny().await;
    let whole = contents(&root);
    // A remote in memory that fails now and then.
    let memory = Arc::new(InMemory::new());
    for (path, bytes) in &whole {
        memory.put(&StorePath::from(path.as_str()), bytes.clone().into()).await.unwrap();
    }
    let store: Arc<dyn ObjectStore> = Arc::new(Faulty::new(memory as Arc<dyn ObjectStore>, Faults::at_call(2)));
    let remote = Remote::over("memory", store, ServerKind::Memory).with_connections(2);
    for folder in [layout::SNAPSHOTS, layout::TABLES, layout::JOURNAL] {
        fs::remove_dir_all(root.join(folder)).unwrap();
    }
    // The index still knows what there was. One call fails, so that one file is left to a second try.
    let first = run_repair(&root, &READ_DATA, std::slice::from_ref(&remote)).await;
    // Nobody knows whether the remote has it, so nobody says that it has not.
    let repaired = first.repaired.unwrap();
    let left: Vec<_> = repaired.iter().filter(|done| done.result == RepairResult::Left).collect();
    assert!(
        !left.is_empty() && left.iter().all(|done| done.reason.as_ref().unwrap().contains("could be read")),
        "{left:?}"
    );
    let second = run_repair(&root, &READ_DATA, &[remote]).await;
    assert!(!second.is_damaged(), "{:?}", lines(&second));
    assert!(contents(&root) == whole);
}

#[tokio::test]
async fn a_plan_changes_nothing_and_a_busy_archive_is_not_repaired() {
    let (_folder, root) = tiny().await;
    let (_kept, remote) = remote_of(&root, "mirror");
    let path = layout::snapshot_path(5);
    fs::remove_file(root.join(&path)).unwrap();
    fs::remove_file(root.join(layout::README_FILE)).unwrap();
    let before = contents(&root);
    let archive = Arc::new(Archive::open(&root).unwrap());
    let options = RepairOptions { check: STRUCTURE, dry_run: true };
    let planned = repair(&archive, &options, std::slice::from_ref(&remote), &observe::silent()).await.unwrap();
    let plan = planned.plan.unwrap().to_string();
    assert_eq!(plan, format!("look for {path} on the remotes\nwrite README.md anew\n"));
    assert!(contents(&root) == before);
    let lock = archive.lock().unwrap();
    let other = Arc::new(Archive::open(&root).unwrap());
    let options = RepairOptions { check: STRUCTURE, dry_run: false };
    let refused = repair(&other, &options, &[remote], &observe::silent()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    // A check needs no lock, and tells that what it finds may belong to the run.
    fs::write(root.join("tables/Orders").join(format!("{}-5.parquet", "ab".repeat(32))), "12345").unwrap();
    let found = check(&other, &STRUCTURE, &observe::silent()).await.unwrap();
    let orphan = found.findings.iter().find(|finding| finding.message.contains("writing to the archive now"));
    assert!(orphan.is_some(), "{:?}", lines(&found));
    drop(lock);
}

#[tokio::test]
async fn parts_cover_everything_once_and_one_snapshot_can_be_checked_alone() {
    let (_folder, root) = tiny().await;
    let now = "2026-11-22T00:00:00Z".parse().unwrap();
    let total = run_check(&root, &READ_DATA).await.covered;
    assert_eq!(total.chunks_read, total.chunks);
    let mut read = 0;
    for part in 1..=3 {
        let part = Part::parse(&format!("{part}/3"), now).unwrap();
        let options = CheckOptions { read_data: Some(part), ..STRUCTURE };
        read += run_check(&root, &options).await.covered.chunks_read;
    }
    assert_eq!(read, total.chunks);
    // What only snapshot 5 needs is no concern of snapshot 4.
    let archive = Archive::open(&root).unwrap();
    let path = chunks(&archive, &archive.snapshot(5).unwrap())[2].clone();
    fs::remove_file(root.join(&path)).unwrap();
    let only = |number| CheckOptions { snapshot: Some(number), deep: Some(Part::ALL), ..STRUCTURE };
    let four = run_check(&root, &only(4)).await;
    assert_eq!((lines(&four).len(), four.covered.chunks, four.covered.chunks_decoded), (0, 4, 4));
    let five = run_check(&root, &only(5)).await;
    assert_eq!(lines(&five), [format!("damage chunk-missing {path}")]);
    assert_eq!(five.findings[0].snapshots.to_string(), "5");
    for unknown in [2, 6, 0] {
        let archive = Arc::new(Archive::open(&root).unwrap());
        let error = check(&archive, &only(unknown), &observe::silent()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{unknown}");
    }
}

#[tokio::test]
async fn everything_wrong_is_found_in_one_run() {
    let (_folder, root) = tiny().await;
    let archive = Archive::open(&root).unwrap();
    let all = chunks(&archive, &archive.latest().unwrap().unwrap());
    fs::remove_file(root.join(&all[0])).unwrap();
    flip(&root.join(&all[1]), 80);
    flip(&root.join(&all[3]), 80);
    fs::remove_file(root.join(layout::snapshot_path(4))).unwrap();
    flip(&root.join(layout::record_path(1)), 40);
    fs::remove_file(root.join(layout::README_FILE)).unwrap();
    let copy_of = tempfile::tempdir().unwrap();
    copy(&root, copy_of.path());
    let found = lines(&run_check(copy_of.path(), &DEEP).await);
    for line in [
        format!("damage chunk-missing {}", all[0]),
        format!("damage chunk-altered {}", all[1]),
        format!("damage chunk-altered {}", all[3]),
        format!("damage snapshot-missing {}", layout::snapshot_path(4)),
        format!("damage record-altered {}", layout::record_path(1)),
        "warning readme-absent README.md".to_owned(),
    ] {
        assert!(found.contains(&line), "{line} is not among {found:#?}");
    }
}
