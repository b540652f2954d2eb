//! An archive, a server over a folder, and the remote between them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use object_store::{ObjectStore, local::LocalFileSystem};
use secrecy::SecretString;
use tillvault::{
    archive::{
        Archive,
        journal::{Forgetting, Forgotten},
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo},
    },
    config::{RemoteConfig, RemoteKind},
    demo::webdav::{WebDavOptions, WebDavServer},
    error::{Error, Result},
    model::table::{Column, Table, TableName},
    observe::{Event, Observer, silent},
    ops::push::{PushOptions, PushOutcome, push},
    store::{
        Remote,
        profile::ServerKind,
        webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
    },
};

pub(crate) fn table(name: &str) -> Table {
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

pub(crate) fn rows(table: &Table, through: i32) -> RecordBatch {
    let ids: Vec<i32> = (1..=through).collect();
    let names: StringArray = ids.iter().map(|id| Some(format!("{} {}", table.name, id * 31 % 97))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(ids)), Arc::new(names)];
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

/// Takes a snapshot of tables with that many rows; returns the number of chunk files that were new.
pub(crate) async fn snapshot(archive: &Archive, tables: &[(&str, i32)]) -> u64 {
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
pub(crate) struct Site {
    pub(crate) _folder: tempfile::TempDir,
    pub(crate) archive: Archive,
    pub(crate) server: WebDavServer,
    pub(crate) mirror: std::path::PathBuf,
    pub(crate) config: RemoteConfig,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (local, served) = (folder.path().join("archive"), folder.path().join("cloud"));
        std::fs::create_dir(&served).unwrap();
        let archive = Archive::create(&local, "Beach Bar").unwrap();
        let options = WebDavOptions { root: Some(served.clone()), ..WebDavOptions::default() };
        let server = WebDavServer::start(options).await.unwrap();
        let config = RemoteConfig {
            name: "nextcloud".into(),
            kind: RemoteKind::WebDav {
                url: server.url().join("till").unwrap(),
                username: "kitchen".into(),
                password: SecretString::from("app-password"),
                ca_file: None,
            },
            rate_limit: 0,
            connections: 4,
        };
        Self { _folder: folder, archive, server, mirror: served.join("till"), config }
    }

    /// The remote with pauses short enough for tests.
    pub(crate) fn remote(&self) -> Remote {
        let store = WebDav::tuned(
            &WebDavSettings {
                url: self.server.url().join("till").unwrap(),
                username: "kitchen".into(),
                password: SecretString::from("app-password"),
                ca_file: None,
                retry: Retry { tries: 2, base: Duration::from_millis(2), cap: Duration::from_millis(5) },
                timeouts: Timeouts::default(),
            },
            Tuning { state: Some(self._folder.path().join("state")), patience: Patience::NONE, ..Tuning::default() },
        )
        .unwrap();
        Remote::webdav("nextcloud", store)
    }

    pub(crate) async fn push(&self) -> Result<PushOutcome> {
        push(&self.archive, &self.remote(), &PushOptions::default(), &silent()).await
    }

    /// Asserts that the mirror holds what the archive holds, byte by byte, and nothing else.
    pub(crate) fn assert_mirrored(&self) {
        let mirrored = |name: &String| name == "tillvault-archive.json" || name.contains('/');
        let local: BTreeSet<String> = files(self.archive.root()).into_iter().filter(mirrored).collect();
        assert_eq!(files(&self.mirror), local);
        for name in local {
            let (ours, theirs) = (self.archive.root().join(&name), self.mirror.join(&name));
            assert_eq!(std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap(), "{name}");
        }
    }

    /// Asserts that every snapshot of the mirror has all its chunks there.
    pub(crate) fn assert_snapshots_complete(&self) {
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
pub(crate) fn files(root: &Path) -> BTreeSet<String> {
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

pub(crate) fn chain(error: &Error) -> String {
    let mut text = format!("{error} {}", error.next_step().unwrap_or_default());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(" / {inner}"));
        cause = inner.source();
    }
    text
}

/// Remembers what was reported.
#[derive(Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<Event>>);

impl Observer for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub(crate) fn warnings(&self) -> Vec<String> {
        let take = |event: &Event| match event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(take).collect()
    }
}

/// An archive and the folder that is its remote: no server between them.
pub(crate) struct Pair {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) archive: Arc<Archive>,
    pub(crate) mirror: PathBuf,
}

impl Pair {
    /// Three snapshots: orders that grow, tickets that come with the second, and a chunk that only the second has.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("archive"), "Beach Bar").unwrap();
        for tables in
            [&[("Orders", 600)][..], &[("Orders", 650), ("Tickets", 9_000)], &[("Orders", 700), ("Tickets", 9_000)]]
        {
            snapshot(&archive, tables).await;
        }
        archive.write_index(false).await.unwrap();
        let mirror = folder.path().join("cloud");
        std::fs::create_dir(&mirror).unwrap();
        Self { folder, archive: Arc::new(archive), mirror }
    }

    pub(crate) async fn pushed() -> Self {
        let pair = Self::new().await;
        pair.push().await.unwrap();
        pair
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(LocalFileSystem::new_with_prefix(&self.mirror).unwrap())
    }

    pub(crate) fn remote(&self) -> Remote {
        self.over(self.store())
    }

    pub(crate) fn over(&self, store: Arc<dyn ObjectStore>) -> Remote {
        Remote::over("cloud", store, ServerKind::Folder)
    }

    pub(crate) async fn push(&self) -> Result<PushOutcome> {
        push(&self.archive, &self.remote(), &PushOptions::default(), &silent()).await
    }

    /// What only the snapshot `number` needs.
    pub(crate) fn alone(&self, number: u64) -> Vec<String> {
        let of = |number: u64| self.archive.chunk_objects(&self.archive.snapshot(number).unwrap());
        let others: BTreeSet<String> = self
            .archive
            .snapshot_numbers()
            .unwrap()
            .into_iter()
            .filter(|other| *other != number)
            .flat_map(|other| of(other).into_iter().map(|chunk| chunk.path))
            .collect();
        of(number).into_iter().map(|chunk| chunk.path).filter(|path| !others.contains(path)).collect()
    }

    /// Forgets a snapshot and removes the chunks that only it had, as `forget --prune` does.
    pub(crate) async fn forget(&self, number: u64) {
        let alone = self.alone(number);
        let snapshot = self.archive.snapshot(number).unwrap();
        let mut journal = self.archive.journal().unwrap();
        let forgotten = Forgotten {
            snapshot: number,
            hash: self.archive.snapshot_hash(number).unwrap(),
            parent: snapshot.parent,
            taken_at: snapshot.taken_at,
            till_time: snapshot.till_time,
            kind: snapshot.kind,
            epoch: 1,
            tags: Vec::new(),
        };
        let forgetting = Forgetting { why: "a test".into(), snapshots: vec![forgotten] };
        self.archive.write_record(&mut journal, None, Some(forgetting)).await.unwrap();
        self.archive.remove_snapshot(number, &journal).await.unwrap();
        for path in alone {
            self.archive.remove_chunk(&path).await.unwrap();
        }
        self.archive.write_index(false).await.unwrap();
    }

    /// Asserts that the remote holds what the archive holds, byte by byte, and no other snapshot, record or chunk.
    pub(crate) fn assert_mirrored(&self) {
        assert_eq!(content(&self.mirror), content(self.archive.root()));
    }
}

/// What of a folder is the archive's own, with its bytes: header, snapshots, records and chunks.
pub(crate) fn content(root: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let is_own = |name: &str| {
        name == "tillvault-archive.json"
            || ["snapshots/", "journal/", "tables/"].iter().any(|folder| name.starts_with(folder))
    };
    let names = files(root).into_iter().filter(|name| is_own(name));
    names.map(|name| (name.clone(), std::fs::read(root.join(&name)).unwrap())).collect()
}
