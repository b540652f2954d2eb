//! Archives of a scripted till: opened through a store of the test's own, and written to.

use std::{path::Path, sync::Arc};

use futures::StreamExt as _;
use object_store::{ObjectStore, local::LocalFileSystem};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Consistency, FORMAT, Ladder, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    error::Result,
    model::table::KeyRange,
    observe::silent,
    ops::{
        check::{
            CheckOptions, check,
            finding::{Finding, FindingKind, Level},
            part::Part,
        },
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    },
    source::{Source as _, TableSelection},
};

use super::{ScriptedTill, State};

/// Every table of the scripted till, whatever its schema.
pub fn everything() -> SnapshotOptions {
    let selection = TableSelection { include: vec!["*".into()], ..TableSelection::default() };
    SnapshotOptions { selection, ..SnapshotOptions::default() }
}

/// Takes a snapshot of a state.
pub async fn take(archive: &Archive, state: &State) -> Result<SnapshotOutcome> {
    snapshot(archive, &mut ScriptedTill::new(state.clone()), &everything(), &silent()).await
}

/// The archive in `root` through a store of its own.
pub fn open(root: &Path, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Archive {
    let store = LocalFileSystem::new_with_prefix(root).unwrap();
    Archive::open_with_store(root, wrap(Arc::new(store))).unwrap()
}

/// The archive in `root`, written without waiting for the disk.
pub fn plain(root: &Path) -> Archive {
    open(root, |store| store)
}

/// The first snapshot, written by hand, so that the few rows of one table (of `dbo`, plainly named) lie on a hash ladder.
pub async fn first_with_hash_ladder(archive: &Archive, state: &State, cut: &str) {
    let ladder: Ladder = serde_json::from_str(r#"{"kind": "hash", "bits": 1, "rows": 12, "heavy": 33554432}"#).unwrap();
    let lock = archive.lock().unwrap();
    let mut till = ScriptedTill::new(state.clone());
    let mut entries = Vec::new();
    for rows in state.tables.values() {
        let table = &rows.table;
        let large = TableEntry {
            table: table.clone(),
            folder: cut.into(),
            ladder: ladder.clone(),
            rows: 0,
            chunks: Vec::new(),
        };
        let before = (table.name.name == cut).then_some(&large);
        let mut writer = archive.table_writer(table, before).unwrap();
        let mut read = till.read(table, KeyRange::ALL);
        while let Some(batch) = read.next().await {
            writer.push(batch.unwrap()).await.unwrap();
        }
        entries.push(writer.finish().await.unwrap().entry);
    }
    assert_eq!(entries.iter().find(|entry| entry.folder == cut).unwrap().chunks.len(), 2);
    let (number, parent) = archive.next_link().unwrap();
    let snapshot = Snapshot {
        format: FORMAT,
        archive: archive.id().into(),
        snapshot: number,
        parent,
        taken_at: "2026-11-20T03:00:37Z".parse().unwrap(),
        till_time: "2026-11-20T06:00:37".parse().unwrap(),
        kind: SnapshotKind::Full,
        consistency: Consistency::Reread,
        source: SourceInfo {
            server: "TILL".into(),
            database: "SambaPOS5".into(),
            version: "14.0".into(),
            collation: "Turkish_CI_AS".into(),
        },
        epoch: 1,
        clear: None,
        tags: vec!["nightly".into()],
        tool: "0.1.0".into(),
        tables: entries,
        missing: Vec::new(),
        reads: Vec::new(),
    };
    archive.write_snapshot(&snapshot).await.unwrap();
    drop(lock);
}

/// What a deep check finds; with bytes read, rows decoded and content hashed again.
pub async fn deep_check(root: &Path) -> Vec<Finding> {
    let options = CheckOptions { read_data: Some(Part::ALL), deep: Some(Part::ALL), ..CheckOptions::default() };
    check(&Arc::new(plain(root)), &options, &silent()).await.unwrap().findings
}

/// Asserts that a check finds no damage after a run that broke off: at most an index that the next run brings up to date, chunks
/// of that run that nobody names, and unfinished files.
pub async fn assert_undamaged(root: &Path, what: &str) {
    let options = CheckOptions { read_data: Some(Part::ALL), ..CheckOptions::default() };
    let findings = check(&Arc::new(plain(root)), &options, &silent()).await.unwrap().findings;
    let harmless = |finding: &Finding| {
        finding.level == Level::Note || [FindingKind::IndexOutdated, FindingKind::IndexAbsent].contains(&finding.kind)
    };
    assert!(findings.iter().all(harmless), "{what}: {findings:#?}");
}
