//! What the failures mean for a push: rows 10, 13, 19, 38 and 39.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo},
    },
    error::{Error, Kind},
    model::table::{Column, Table, TableName},
    observe::silent,
    ops::push::{PushOptions, PushOutcome, push},
    store::{Remote, is_full, is_taken},
};

use super::{Rig, remote_at, story, words};
use crate::double::{Action, Fault, Options};

/// Takes a snapshot of one table with the Ids up to `through`.
async fn snapshot(archive: &Archive, through: i32) {
    let id = Column { name: "Id".into(), sql_type: "int".parse().unwrap(), nullable: false, ..Column::default() };
    let table = Table { name: TableName::dbo("Orders"), columns: vec![id], key: vec!["Id".into()], ..Table::default() };
    let _lock = archive.lock().unwrap();
    let previous = archive.latest().unwrap();
    let before = previous.as_ref().and_then(|snapshot| snapshot.table("Orders"));
    let mut writer = archive.table_writer(&table, before).unwrap();
    let ids: ArrayRef = Arc::new(Int32Array::from((1..=through).collect::<Vec<i32>>()));
    writer.push(RecordBatch::try_new(table.arrow_schema(), vec![ids]).unwrap()).await.unwrap();
    let written = writer.finish().await.unwrap();
    let (number, parent) = archive.next_link().unwrap();
    let text = |text: &str| text.to_owned();
    let snapshot = Snapshot {
        format: FORMAT,
        archive: archive.id().into(),
        snapshot: number,
        parent,
        taken_at: "2026-11-22T03:00:37Z".parse().unwrap(),
        till_time: "2026-11-22T06:00:37".parse().unwrap(),
        kind: SnapshotKind::Full,
        consistency: Consistency::Reread,
        source: SourceInfo { server: text("TILL"), database: text("DB"), version: text("14"), collation: text("C") },
        epoch: 1,
        clear: None,
        tags: Vec::new(),
        tool: text("0.1.0"),
        tables: vec![written.entry],
        missing: Vec::new(),
        reads: Vec::new(),
    };
    archive.write_snapshot(&snapshot).await.unwrap();
}

fn archive(folder: &Path) -> Archive {
    Archive::create(&folder.join("archive"), "Beach Bar").unwrap()
}

async fn push_all(archive: &Archive, remote: &Remote) -> Result<PushOutcome, Error> {
    push(archive, remote, &PushOptions::default(), &silent()).await
}

/// Names below the archive's folder on the server.
fn there(rig: &Rig) -> BTreeSet<String> {
    rig.server.files().keys().filter_map(|name| name.strip_prefix("till/")).map(str::to_owned).collect()
}

/// Everything that the server holds is what the archive holds.
fn assert_mirrored(rig: &Rig, archive: &Archive) {
    for name in there(rig).iter().filter(|name| name.contains('/')) {
        assert_eq!(rig.content(name).unwrap(), fs::read(archive.root().join(name)).unwrap(), "{name}");
    }
    for number in archive.snapshot_numbers().unwrap() {
        let snapshot = archive.snapshot(number).unwrap();
        assert!(there(rig).contains(&archive.snapshot_object(number).unwrap().path));
        for chunk in archive.chunk_objects(&snapshot) {
            assert!(there(rig).contains(&chunk.path), "{}", chunk.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_a_push_ends_with_the_first_refused_password() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    snapshot(&archive, 60_000).await;
    let rig = Rig::new().await;
    rig.server.inject(Fault::next("PUT", Action::Delay(Duration::from_millis(50))).nth(5));
    let pushing = push_all(&archive, &rig.remote);
    let revoking = async {
        while rig.server.files().len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rig.server.revoke();
    };
    let (pushed, ()) = tokio::join!(pushing, revoking);
    let error = pushed.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12), "{}", words(&error));
    let refused = rig.server.log().iter().filter(|entry| entry.status == Some(401)).count();
    assert!((1..=4).contains(&refused), "at most those under way: {refused}");
    assert_eq!(
        rig.server.log().last().unwrap().status,
        Some(401),
        "nothing came after: {:?}",
        story(&rig.server.log())
    );
    assert!(there(&rig).iter().all(|name| !name.starts_with("snapshots/")), "nothing was published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_13_a_push_to_a_disabled_account_asks_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    snapshot(&archive, 600).await;
    let rig = Rig::new().await;
    rig.server.set_disabled(true);
    let error = push_all(&archive, &rig.remote).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12), "{}", words(&error));
    assert_eq!(rig.server.log().len(), 1, "{:?}", story(&rig.server.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_19_a_full_server_publishes_nothing_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    snapshot(&archive, 60_000).await;
    let chunks = archive.chunk_objects(&archive.snapshot(1).unwrap());
    let half: u64 = chunks.iter().map(|chunk| chunk.bytes).sum::<u64>() / 2;
    let rig = Rig::with(Options { quota: Some(half), ..Options::default() }).await;
    let error = push_all(&archive, &rig.remote).await.unwrap_err();
    assert!(is_full(&error) && words(&error).contains("quota"), "{}", words(&error));
    assert_eq!(error.exit_code(), 1);
    assert!(there(&rig).iter().all(|name| !name.starts_with("snapshots/")), "{:?}", there(&rig));
    let refused = rig.server.log().iter().filter(|entry| entry.status == Some(507)).count();
    assert!(refused <= 4, "nothing new was begun: {refused}");
    let kept = there(&rig);
    assert!(kept.iter().filter(|name| name.ends_with(".parquet")).count() > 1, "earlier work is kept");

    rig.server.set_quota(None);
    rig.server.take_log();
    let remote = remote_at(&rig.server, rig.cache.path());
    push_all(&archive, &remote).await.unwrap();
    assert_mirrored(&rig, &archive);
    for entry in rig.server.log().iter().filter(|entry| entry.method == "PUT") {
        let name = entry.path.rsplit("/till/").next().unwrap();
        assert!(!kept.contains(name), "{name} was sent again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_38_the_upload_of_a_snapshot_is_cut() {
    for visible in [0, 60, 200] {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        snapshot(&archive, 600).await;
        let rig = Rig::new().await;
        // Once: the push mends it itself.
        rig.server.inject(Fault::next("PUT", Action::CutVisible(visible)).on("*/snapshots/*"));
        push_all(&archive, &rig.remote).await.unwrap();
        assert_mirrored(&rig, &archive);
        // And when it is switched off at that moment: a torn file is there, and nobody takes it for a snapshot.
        snapshot(&archive, 700).await;
        let second = fs::read(archive.root().join("snapshots/000002.json.zst")).unwrap();
        let torn = second[..usize::try_from(visible).unwrap()].to_vec();
        rig.server.store("till/snapshots/000002.json.zst", torn);
        let other = remote_at(&rig.server, rig.cache.path());
        let pushed = push_all(&archive, &other).await.unwrap();
        assert!(pushed.uploaded >= 1 && pushed.backlog == 0, "{pushed:?}");
        assert_mirrored(&rig, &archive);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_39_two_publish_the_same_number() {
    let folder = tempfile::tempdir().unwrap();
    let ours = archive(folder.path());
    snapshot(&ours, 600).await;
    let rig = Rig::new().await;
    push_all(&ours, &rig.remote).await.unwrap();
    // The archive's folder was copied to a second machine; both go on with snapshot 2.
    let copied = folder.path().join("copy");
    copy(ours.root(), &copied);
    let theirs = Archive::open(&copied).unwrap();
    snapshot(&ours, 650).await;
    snapshot(&theirs, 700).await;
    let other_cache = tempfile::tempdir().unwrap();
    let other = remote_at(&rig.server, other_cache.path());
    // Both have looked and seen no snapshot 2 before either publishes it.
    rig.server.inject(Fault::every("PUT", Action::Delay(Duration::from_millis(200))));
    let (one, two) = tokio::join!(push_all(&ours, &rig.remote), push_all(&theirs, &other));
    let (winner, error) = match (one, two) {
        (Ok(_), Err(error)) => (&ours, error),
        (Err(error), Ok(_)) => (&theirs, error),
        (one, two) => panic!("one of them, not {one:?} and {two:?}: {:#?}", story(&rig.about("000002.json.zst"))),
    };
    assert!(is_taken(&error) || error.kind() == Kind::Refused, "{}", words(&error));
    assert!(!error.is_temporary() && error.next_step().is_some(), "{}", words(&error));
    let published = rig.content("snapshots/000002.json.zst").unwrap();
    assert_eq!(published, fs::read(winner.root().join("snapshots/000002.json.zst")).unwrap());
    let put: Vec<_> = rig.server.log().into_iter().filter(|entry| entry.path.ends_with("000002.json.zst")).collect();
    assert_eq!(put.iter().filter(|entry| entry.short() == "PUT 201").count(), 1, "{:?}", story(&put));
    assert!(put.iter().all(|entry| entry.method != "DELETE"), "{:?}", story(&put));
    // The one that lost is told again, and never overwrites.
    let loser = if std::ptr::eq(winner, &ours) { &theirs } else { &ours };
    assert!(push_all(loser, &rig.remote).await.is_err());
    assert_eq!(rig.content("snapshots/000002.json.zst").unwrap(), published);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
