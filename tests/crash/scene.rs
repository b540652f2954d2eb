//! Small archives, one per verb, on which that verb is then disturbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use object_store::{ObjectStore, local::LocalFileSystem};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Consistency, FORMAT, Ladder, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    error::Result,
    model::table::{KeyRange, TableName},
    observe::silent,
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    source::{Source as _, TableSelection},
};

use crate::scripted_till::{
    Cell, Rows, ScriptedTill, State,
    held::{Held, Reader, copy, files},
};

/// A till with a table of every kind of ladder: an order for each of `orders`, some of them named apart, and so on.
pub(crate) fn state(orders: &[i32], edited: &[i32], settings: i32) -> State {
    let columns = [
        ("Id", "int"),
        ("MenuItemName", "nvarchar(max)"),
        ("Price", "decimal(16,2)"),
        ("CreatedDateTime", "datetime"),
        ("Locked", "bit"),
        ("Image", "varbinary(max)"),
    ];
    let mut all = Rows::new(TableName::dbo("Orders"), &columns, &["Id"]);
    all.rows.extend(orders.iter().map(|id| {
        let name =
            if edited.contains(id) { Cell::from(format!("Raki {id}")) } else { format!("Item {}", id % 9).into() };
        let at = 1_790_000_000_000_000 + i128::from(*id) * 60_000_000;
        let image = if id % 5 == 0 { Cell::Bytes(vec![0, 255, 7]) } else { Cell::Null };
        vec![(*id).into(), name, Cell::Int(i128::from(*id) * 25), Cell::Int(at), Cell::Bit(id % 2 == 0), image]
    }));
    let mut links = Rows::new(TableName::dbo("Kasa Ürün"), &[("A", "int"), ("B", "nvarchar(9)")], &["A", "B"]);
    for (a, b) in orders.iter().take(6).flat_map(|id| ["ü", "b", "C"].map(|b| (*id, b))) {
        links.rows.push(vec![a.into(), b.into()]);
    }
    let columns = [("Name", "nvarchar(255)"), ("Value", "nvarchar(max)")];
    let mut named = Rows::new(TableName::dbo("ProgramSettings"), &columns, &["Name"]);
    named.rows.extend((0..settings).map(|n| vec![format!("Setting {n}").into(), format!("value {n}").into()]));
    let other = TableName { schema: "other".into(), name: "Things".into() };
    let mut heap = Rows::new(other, &[("What", "nvarchar(20)")], &[]);
    heap.rows.extend(["a", "b", "a"].map(|what| vec![what.into()]));
    let empty = Rows::new(TableName::dbo("Timers"), &[("Id", "bigint")], &["Id"]);
    State::of([all, links, named, heap, empty])
}

/// The states of the small till, one after the other.
pub(crate) fn states() -> [State; 5] {
    let upto = |last: i32| -> Vec<i32> { (1..=20).chain([3_000, 4_090]).chain(4_200..=last).collect() };
    [
        state(&upto(4_210), &[], 20),
        state(&upto(4_220), &[4_205], 20),
        // An old order is edited, and a setting comes.
        state(&upto(4_230), &[4_205, 3_000], 21),
        // A block is closed.
        state(&[&upto(4_230)[..], &[8_300]].concat(), &[4_205, 3_000], 22),
        // Much is gone.
        state(&upto(4_205), &[3_000], 15),
    ]
}

/// Every table of the scripted till, whatever its schema.
pub(crate) fn everything() -> SnapshotOptions {
    let selection = TableSelection { include: vec!["*".into()], ..TableSelection::default() };
    SnapshotOptions { selection, ..SnapshotOptions::default() }
}

/// Takes a snapshot of a state.
pub(crate) async fn take(archive: &Archive, state: &State) -> Result<SnapshotOutcome> {
    snapshot(archive, &mut ScriptedTill::new(state.clone()), &everything(), &silent()).await
}

/// The archive in `root` through a store of its own.
pub(crate) fn open(root: &Path, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Archive {
    let store = LocalFileSystem::new_with_prefix(root).unwrap();
    Archive::open_with_store(root, wrap(Arc::new(store))).unwrap()
}

/// The archive in `root`, written without waiting for the disk.
pub(crate) fn plain(root: &Path) -> Archive {
    open(root, |store| store)
}

/// The first snapshot, written by hand, so that few rows lie on a hash ladder.
async fn hash_ladder_first(archive: &Archive, state: &State) {
    let ladder: Ladder = serde_json::from_str(r#"{"kind": "hash", "bits": 1, "rows": 12, "heavy": 33554432}"#).unwrap();
    let lock = archive.lock().unwrap();
    let mut till = ScriptedTill::new(state.clone());
    let mut entries = Vec::new();
    for rows in state.tables.values() {
        let table = &rows.table;
        let large = TableEntry {
            table: table.clone(),
            folder: "ProgramSettings".into(),
            ladder: ladder.clone(),
            rows: 0,
            chunks: Vec::new(),
        };
        let before = (table.name.name == "ProgramSettings").then_some(&large);
        let mut writer = archive.table_writer(table, before).unwrap();
        let mut read = till.read(table, KeyRange::ALL);
        while let Some(batch) = futures::StreamExt::next(&mut read).await {
            writer.push(batch.unwrap()).await.unwrap();
        }
        entries.push(writer.finish().await.unwrap().entry);
    }
    assert_eq!(entries.iter().find(|entry| entry.folder == "ProgramSettings").unwrap().chunks.len(), 2);
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
    };
    archive.write_snapshot(&snapshot).await.unwrap();
    drop(lock);
}

/// What is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Snapshot,
}

impl Act {
    pub(crate) fn named(name: &str) -> Self {
        [Self::Snapshot].into_iter().find(|act| format!("{act:?}") == name).unwrap()
    }

    /// Does it.
    pub(crate) async fn run(self, archive: &Archive) -> Result<()> {
        match self {
            Self::Snapshot => take(archive, &states()[2]).await.map(drop),
        }
    }
}

/// An archive before an act, and what the act makes of it when nothing disturbs it.
pub(crate) struct Scene {
    pub(crate) act: Act,
    before: tempfile::TempDir,
    held_before: Held,
    held_after: Held,
    undisturbed: End,
    /// Calls of the store that the act makes.
    pub(crate) calls: u64,
}

/// How an archive looks in the end, whatever happened on the way.
#[derive(Debug, PartialEq, Eq)]
struct End {
    files: BTreeSet<String>,
    tables: BTreeMap<u64, Vec<TableEntry>>,
    forgotten: Vec<u64>,
    indexed: Vec<u64>,
}

impl End {
    fn of(archive: &Archive) -> Self {
        let numbers = archive.snapshot_numbers().unwrap();
        let tables = numbers.iter().map(|number| (*number, archive.snapshot(*number).unwrap().tables)).collect();
        let index = archive.index().expect("an index");
        assert_eq!(index, archive.present_index(true).unwrap(), "the index is up to date");
        Self {
            files: files(archive.root()),
            tables,
            forgotten: archive.journal().unwrap().forgotten().keys().copied().collect(),
            indexed: index.snapshots.iter().map(|entry| entry.snapshot).collect(),
        }
    }
}

impl Scene {
    /// Builds the archive and lets the act run undisturbed on a copy.
    pub(crate) async fn build(act: Act) -> Self {
        let before = tempfile::tempdir().unwrap();
        Archive::create(before.path(), "Test").unwrap();
        let archive = plain(before.path());
        let states = states();
        hash_ladder_first(&archive, &states[0]).await;
        take(&archive, &states[1]).await.unwrap();
        let held_before: Held = (1..).zip(states.iter().take(2).cloned().map(State::sorted)).collect();
        let mut held_after = held_before.clone();
        match act {
            Act::Snapshot => held_after.insert(3, states[2].clone().sorted()),
        };
        let copied = tempfile::tempdir().unwrap();
        copy(before.path(), copied.path());
        let faults = tillvault::store::fault::Faults::none();
        let counted =
            open(copied.path(), |store| Arc::new(tillvault::store::fault::Faulty::new(store, Arc::clone(&faults))));
        act.run(&counted).await.unwrap();
        let listed = Reader::default().assert_whole(&counted, &held_after);
        assert_eq!(listed, held_after.keys().copied().collect::<BTreeSet<u64>>());
        Self { act, before, held_before, held_after, undisturbed: End::of(&counted), calls: faults.calls() }
    }

    /// A copy of the archive as it was before the act.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(self.before.path(), folder.path());
        folder
    }

    /// After a disturbed act: nothing incomplete can be listed, nothing that should stay is gone, the next run completes, and
    /// the end is that of an undisturbed history.
    pub(crate) async fn assert_recovers(&self, root: &Path, reader: &mut Reader, what: &str) {
        let archive = plain(root);
        let all: Held = self.held_before.clone().into_iter().chain(self.held_after.clone()).collect();
        let listed = reader.assert_whole(&archive, &all);
        let stays = self.held_before.keys().filter(|number| self.held_after.contains_key(number));
        for number in stays {
            assert!(listed.contains(number), "{what}: snapshot {number} is lost");
        }
        archive.verify_chain().unwrap();
        if let Err(error) = self.act.run(&archive).await {
            panic!("{what}: the next run fails: {error}, {error:?}");
        }
        assert_eq!(End::of(&archive), self.undisturbed, "{what}");
        reader.assert_whole(&archive, &self.held_after);
    }
}
