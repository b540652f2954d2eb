//! `push` from real archives to a WebDAV server: what is sent, in which order, and what happens when it goes wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use object_store::{ObjectStore, memory::InMemory};
use secrecy::SecretString;
use tillvault::{
    archive::{
        Archive,
        journal::Tagging,
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo},
    },
    config::RemoteConfig,
    demo::webdav::{Action, Fault, WebDavOptions, WebDavServer},
    error::{Error, Kind, Result},
    model::table::{Column, Table, TableName},
    observe::{Event, Observer, SharedObserver, silent},
    ops::push::{PushOptions, PushOutcome, plan_push, push, push_to},
    store::{
        Remote, count_snapshots,
        fault::{Faults, Faulty},
        open_remote,
        profile::ServerKind,
        webdav::{Retry, Timeouts, WebDav, WebDavSettings},
    },
};

fn table(name: &str) -> Table {
    let column = |name: &str, sql_type: &str| Column {
        name: name.into(),
        sql_type: sql_type.parse().unwrap(),
        nullable: false,
        ..Column::default()
    };
    Table {
        name: TableName::dbo(name),
        columns: vec![column("Id", "int"), column("Name", "nvarchar(max)")],
        key: vec!["Id".into()],
        ..Table::default()
    }
}

fn rows(table: &Table, through: i32) -> RecordBatch {
    let ids: Vec<i32> = (1..=through).collect();
    let names: StringArray = ids.iter().map(|id| Some(format!("{} {}", table.name, id * 31 % 97))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(ids)), Arc::new(names)];
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

/// Takes a snapshot of tables with that many rows; returns the number of chunk files that were new.
async fn snapshot(archive: &Archive, tables: &[(&str, i32)]) -> u64 {
    let _lock = archive.lock().unwrap();
    let previous = archive.latest().unwrap();
    let (mut entries, mut new) = (Vec::new(), 0);
    for (name, through) in tables {
        let table = table(name);
        let before = previous.as_ref().and_then(|snapshot| snapshot.table(name));
        let mut writer = archive.table_writer(&table, before).unwrap();
        writer.push(rows(&table, *through)).await.unwrap();
        let written = writer.finish().await.unwrap();
        new += written.chunks_new;
        entries.push(written.entry);
    }
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
        tables: entries,
        missing: Vec::new(),
        reads: Vec::new(),
    };
    archive.write_snapshot(&snapshot).await.unwrap();
    new
}

/// An archive, a server over a folder, and the remote between them.
struct Site {
    _folder: tempfile::TempDir,
    archive: Archive,
    server: WebDavServer,
    mirror: std::path::PathBuf,
    config: RemoteConfig,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (local, served) = (folder.path().join("archive"), folder.path().join("cloud"));
        std::fs::create_dir(&served).unwrap();
        let archive = Archive::create(&local, "Beach Bar").unwrap();
        let options = WebDavOptions { root: Some(served.clone()), ..WebDavOptions::default() };
        let server = WebDavServer::start(options).await.unwrap();
        let config = RemoteConfig {
            name: "nextcloud".into(),
            url: server.url().join("till").unwrap(),
            username: "kitchen".into(),
            password: SecretString::from("app-password"),
            ca_file: None,
            connections: 4,
        };
        Self { _folder: folder, archive, server, mirror: served.join("till"), config }
    }

    /// The remote with pauses short enough for tests.
    fn remote(&self) -> Remote {
        let store = WebDav::new(&WebDavSettings {
            url: self.config.url.clone(),
            username: self.config.username.clone(),
            password: self.config.password.clone(),
            ca_file: None,
            retry: Retry { tries: 2, base: Duration::from_millis(2), cap: Duration::from_millis(5) },
            timeouts: Timeouts::default(),
        })
        .unwrap();
        Remote::webdav("nextcloud", store)
    }

    async fn push(&self) -> Result<PushOutcome> {
        push(&self.archive, &self.remote(), &PushOptions::default(), &silent()).await
    }

    /// Asserts that the mirror holds what the archive holds, byte by byte, and nothing else.
    fn assert_mirrored(&self) {
        let mirrored = |name: &String| name == "tillvault-archive.json" || name.contains('/');
        let local: BTreeSet<String> = files(self.archive.root()).into_iter().filter(mirrored).collect();
        assert_eq!(files(&self.mirror), local);
        for name in local {
            let (ours, theirs) = (self.archive.root().join(&name), self.mirror.join(&name));
            assert_eq!(std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap(), "{name}");
        }
    }

    /// Asserts that every snapshot of the mirror has all its chunks there.
    fn assert_snapshots_complete(&self) {
        let there = files(&self.mirror);
        for number in self.archive.snapshot_numbers().unwrap() {
            let object = self.archive.snapshot_object(number).unwrap();
            let stored = std::fs::metadata(self.mirror.join(&object.path)).map(|meta| meta.len());
            if stored.ok() == Some(object.bytes) {
                for chunk in self.archive.chunk_objects(&self.archive.snapshot(number).unwrap()) {
                    assert!(there.contains(&chunk.path), "snapshot {number} lacks {}", chunk.path);
                }
            }
        }
    }
}

/// Paths of all files below a folder.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn chain(error: &Error) -> String {
    let mut text = format!("{error} {}", error.next_step().unwrap_or_default());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(" / {inner}"));
        cause = inner.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_push_mirrors_everything_and_the_second_costs_two_requests() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 9_000), ("Tickets", 700)]).await;
    snapshot(&site.archive, &[("Orders", 9_100), ("Tickets", 700)]).await;

    let plan = plan_push(&site.archive, &site.remote()).await.unwrap();
    let first = site.push().await.unwrap();
    assert_eq!((first.uploaded, first.bytes, first.backlog), (plan.count(), plan.bytes(), 0));
    assert_eq!(first.requests, site.server.requests().len() as u64 - 2, "two were the plan's");
    site.assert_mirrored();

    // Chunks come before the snapshot that names them, and the archive's header before all.
    let puts: Vec<String> = site
        .server
        .take_requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.status == Some(201))
        .map(|request| request.path)
        .collect();
    assert!(puts[0].ends_with("/tillvault-archive.json"), "{puts:?}");
    assert!(puts.last().unwrap().ends_with("/snapshots/000002.json.zst"), "{puts:?}");

    let second = site.push().await.unwrap();
    assert_eq!((second.uploaded, second.bytes, second.requests, second.backlog), (0, 0, 2, 0));
    assert_eq!(count_snapshots(&site.remote()).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_snapshot_costs_a_request_per_new_chunk_and_three() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 9_000), ("Tickets", 700)]).await;
    site.push().await.unwrap();
    let new = snapshot(&site.archive, &[("Orders", 9_050), ("Tickets", 720)]).await;
    assert!(new > 0);
    let pushed = site.push().await.unwrap();
    assert_eq!((pushed.uploaded, pushed.requests), (new + 1, new + 3));
    site.assert_mirrored();

    // Nothing has changed at the till: only the snapshot goes up.
    assert_eq!(snapshot(&site.archive, &[("Orders", 9_050), ("Tickets", 720)]).await, 0);
    let pushed = site.push().await.unwrap();
    assert_eq!((pushed.uploaded, pushed.requests), (1, 3));
    site.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_the_journal_are_mirrored_after_the_snapshots() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 100)]).await;
    let mut journal = site.archive.journal().unwrap();
    for tag in ["first", "second"] {
        let tagging = Tagging { snapshot: 1, tags: vec![tag.into()] };
        site.archive.write_record(&mut journal, Some(tagging), None).await.unwrap();
    }
    site.push().await.unwrap();
    let sent: Vec<String> = site
        .server
        .take_requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.status == Some(201))
        .map(|request| request.path)
        .collect();
    let tail = &sent[sent.len() - 3..];
    assert!(tail[0].ends_with("snapshots/000001.json.zst"), "{tail:?}");
    assert!(tail[1].ends_with("journal/000001.json.zst") && tail[2].ends_with("journal/000002.json.zst"), "{tail:?}");
    site.assert_mirrored();
    let again = site.push().await.unwrap();
    assert_eq!((again.uploaded, again.requests), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_nothing_and_tells_the_backlog() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let outcome = push(&site.archive, &site.remote(), &PushOptions { dry_run: true }, &silent()).await.unwrap();
    let plan = plan_push(&site.archive, &site.remote()).await.unwrap();
    assert_eq!((outcome.uploaded, outcome.bytes, outcome.backlog), (0, 0, plan.count()));
    assert!(plan.to_string().contains("snapshots/000001.json.zst"), "{plan}");
    assert!(files(&site.mirror).is_empty());
    let json = serde_json::to_value(&outcome).unwrap();
    for key in ["uploaded", "bytes", "requests", "backlog", "seconds", "remote"] {
        assert!(json.get(key).is_some(), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_dies_at_any_request_leaves_no_incomplete_snapshot_and_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(&folder.path().join("archive"), "Bar").unwrap();
    snapshot(&archive, &[("Orders", 5_000)]).await;
    snapshot(&archive, &[("Orders", 5_600)]).await;
    let remote = |store: Arc<dyn ObjectStore>| Remote::over("mirror", store, ServerKind::Memory).with_connections(2);
    let options = PushOptions::default();

    let calls = Faults::none();
    let whole = Faulty::new(Arc::new(InMemory::new()), Arc::clone(&calls));
    let all = push(&archive, &remote(Arc::new(whole)), &options, &silent()).await.unwrap().uploaded;
    assert!(calls.calls() > 6);
    for n in 1..=calls.calls() {
        for faults in [Faults::from_call(n), Faults::answer_lost_at(n)] {
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let dying = Faulty::new(Arc::clone(&memory), faults);
            let error = push(&archive, &remote(Arc::new(dying)), &options, &silent()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Store, "{}", chain(&error));
            assert_complete(&archive, memory.as_ref()).await;

            let again = push(&archive, &remote(Arc::clone(&memory)), &options, &silent()).await.unwrap();
            assert!(again.uploaded <= all && again.backlog == 0);
            let unchanged = push(&archive, &remote(memory), &options, &silent()).await.unwrap();
            assert_eq!((unchanged.uploaded, unchanged.requests), (0, 2));
        }
    }
}

async fn assert_complete(archive: &Archive, mirror: &dyn ObjectStore) {
    use object_store::ObjectStoreExt;
    for number in archive.snapshot_numbers().unwrap() {
        let object = archive.snapshot_object(number).unwrap();
        if mirror.head(&object.path.as_str().into()).await.is_err() {
            continue;
        }
        for chunk in archive.chunk_objects(&archive.snapshot(number).unwrap()) {
            let there = mirror.head(&chunk.path.as_str().into()).await.unwrap();
            assert_eq!(there.size, chunk.bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_were_cut_off_are_told_from_whole_ones_at_the_next_push() {
    // The first upload breaks off, and every later request about such a file fails, as when the machine is switched off.
    for (part, requests_before) in [(".parquet", 0), ("000001.json", 0), ("tillvault-archive", 1)] {
        let mut site = Site::new().await;
        snapshot(&site.archive, &[("Orders", 9_000)]).await;
        for folder in ["tables/Orders", "snapshots"] {
            std::fs::create_dir_all(site.mirror.join(folder)).unwrap();
        }
        site.server.inject(Fault::next("PUT", Action::CutUpload(60)).on(part));
        site.server.inject(Fault::next("", Action::Cut).on(part).after(requests_before).times(1000));
        let error = site.push().await.unwrap_err();
        assert!(error.is_temporary() && chain(&error).contains("still to upload"), "{}", chain(&error));
        site.assert_snapshots_complete();
        let length = |root: &Path, name: &String| std::fs::metadata(root.join(name)).unwrap().len();
        let cut = |name: &String| length(&site.mirror, name) != length(site.archive.root(), name);
        assert_eq!(files(&site.mirror).iter().filter(|name| cut(name)).count(), 1, "one half object was left");

        site.server = restart(&site).await;
        site.config.url = site.server.url().join("till").unwrap();
        assert_eq!(site.push().await.unwrap().backlog, 0);
        site.assert_mirrored();
    }
}

async fn restart(site: &Site) -> WebDavServer {
    let root = site.mirror.parent().unwrap().to_owned();
    WebDavServer::start(WebDavOptions { root: Some(root), ..WebDavOptions::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_an_interrupted_push_are_not_sent_again() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 60_000), ("Tickets", 700)]).await;
    site.server.inject(Fault::next("PUT", Action::status(507)).on("snapshots/"));
    let error = site.push().await.unwrap_err();
    assert!(chain(&error).contains("1 of") && chain(&error).contains("quota"), "{}", chain(&error));
    assert_eq!(error.exit_code(), 1);
    site.server.take_requests();
    let pushed = site.push().await.unwrap();
    assert_eq!((pushed.uploaded, pushed.backlog), (1, 0));
    let sent: u64 = site.server.requests().iter().filter_map(|request| request.content_length).sum();
    assert!(sent < 30_000, "{sent} bytes were sent for one snapshot file");
    site.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_one_failed_login_and_exit_code_12() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let config = RemoteConfig { password: SecretString::from("wrong-horse"), ..site.config.clone() };
    let error = push_to(&site.archive, &config, &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12));
    assert!(!chain(&error).contains("wrong-horse") && chain(&error).contains("app password"), "{}", chain(&error));
    assert_eq!(site.server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_in_the_middle_stops_the_push() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 60_000)]).await;
    site.server.inject(Fault::next("PUT", Action::status(401)).after(6).times(1000));
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    let refused = site.server.requests().iter().filter(|request| request.status == Some(401)).count();
    assert!(refused <= 4, "at most the uploads under way were refused, not {refused}");
    site.assert_snapshots_complete();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_of_another_archive_is_refused_and_left_alone() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    let before = files(&site.mirror);

    let folder = tempfile::tempdir().unwrap();
    let other = Archive::create(&folder.path().join("other"), "Pool Bar").unwrap();
    snapshot(&other, &[("Orders", 700)]).await;
    let error = push(&other, &site.remote(), &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Refused, 20));
    assert!(chain(&error).contains("another archive"), "{}", chain(&error));
    assert_eq!(files(&site.mirror), before);

    // Snapshots without a header are nobody's.
    std::fs::remove_file(site.mirror.join("tillvault-archive.json")).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_snapshot_under_our_number_is_not_touched() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650)]).await;
    let foreign = site.mirror.join("snapshots/000002.json.zst");
    std::fs::write(&foreign, "somebody else's snapshot").unwrap();
    let error = site.push().await.unwrap_err();
    assert!(chain(&error).contains("something else"), "{}", chain(&error));
    assert_eq!(std::fs::read_to_string(foreign).unwrap(), "somebody else's snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_snapshot_of_the_same_length_does_not_count_as_ours() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650), ("Tickets", 30)]).await;
    let length = site.archive.snapshot_object(2).unwrap().bytes;
    let foreign = site.mirror.join("snapshots/000002.json.zst");
    std::fs::write(&foreign, vec![7; usize::try_from(length).unwrap()]).unwrap();
    snapshot(&site.archive, &[("Orders", 700), ("Tickets", 30)]).await;
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
    assert!(chain(&error).contains("something else as snapshots/000002"), "{}", chain(&error));
    // The third would have been listed there without the tickets that the second brings.
    assert!(!site.mirror.join("snapshots/000003.json.zst").exists());
    assert!(site.push().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_exit_code_75() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let remote = site.remote();
    site.server.stop().await;
    let error = push(&site.archive, &remote, &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chunk_is_not_mirrored() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let chunk = site.archive.chunk_objects(&site.archive.snapshot(1).unwrap()).remove(0);
    let file = site.archive.root().join(&chunk.path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Damage, 13), "{}", chain(&error));
    assert!(!files(&site.mirror).contains(&chunk.path));

    std::fs::remove_file(&file).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
    assert!(count_snapshots(&site.remote()).await.unwrap() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_does_not_keep_later_snapshots_from_the_mirror() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650), ("Tickets", 9_000)]).await;
    snapshot(&site.archive, &[("Orders", 700), ("Tickets", 9_000)]).await;
    let objects = |number| site.archive.chunk_objects(&site.archive.snapshot(number).unwrap());
    let later = objects(3);
    let alone = objects(2).into_iter().find(|chunk| !later.contains(chunk)).unwrap();
    let mirrored = |number: u64| site.mirror.join(format!("snapshots/{number:06}.json.zst")).exists();
    let damaged = async || {
        let error = site.push().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
        site.assert_snapshots_complete();
    };
    // A chunk that only the second snapshot needs is lost: the third brings the rest.
    let file = site.archive.root().join(&alone.path);
    let whole = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    damaged().await;
    assert!(!mirrored(2) && mirrored(3));
    damaged().await;
    std::fs::write(&file, whole).unwrap();
    site.push().await.unwrap();
    site.assert_mirrored();

    // The newest that the remote holds, and one that it lacks, cannot be read here.
    snapshot(&site.archive, &[("Orders", 750), ("Tickets", 9_000)]).await;
    snapshot(&site.archive, &[("Orders", 800), ("Tickets", 9_000)]).await;
    let file = |number: u64| site.archive.root().join(format!("snapshots/{number:06}.json.zst"));
    let good = [3, 4].map(|number| std::fs::read(file(number)).unwrap());
    for (number, good) in [3, 4].into_iter().zip(&good) {
        let mut torn = good.clone();
        torn[20] ^= 1;
        std::fs::write(file(number), torn).unwrap();
    }
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
    assert!(!mirrored(4) && mirrored(5));
    for (number, good) in [3, 4].into_iter().zip(good) {
        std::fs::write(file(number), good).unwrap();
    }
    site.assert_snapshots_complete();
    site.push().await.unwrap();
    site.assert_mirrored();
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Observer for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_reported_and_a_remote_that_is_ahead_is_warned_of() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    let remote = open_remote(&site.config, &site.archive.root().join(".remotes")).unwrap();
    let pushed = push(&site.archive, &remote, &PushOptions::default(), &observer).await.unwrap();
    let events = std::mem::take(&mut *recorder.0.lock().unwrap());
    let sent: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Uploaded { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .collect();
    assert_eq!((sent.len() as u64, sent.iter().sum::<u64>()), (pushed.uploaded, pushed.bytes));
    assert!(matches!(events[0], Event::Phase { total: Some(total), .. } if total == pushed.uploaded));

    std::fs::write(site.mirror.join("snapshots/000009.json.zst"), "from elsewhere").unwrap();
    push(&site.archive, &remote, &PushOptions::default(), &observer).await.unwrap();
    let events = std::mem::take(&mut *recorder.0.lock().unwrap());
    let warned = |event: &Event| matches!(event, Event::Warning { message } if message.contains("snapshot 9"));
    assert!(events.iter().any(warned), "{events:?}");
}
