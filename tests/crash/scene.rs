//! Small archives, one per verb, on which that verb is then disturbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tillvault::{
    archive::{Archive, snapshot::TableEntry},
    error::Result,
    model::{
        keep::{Count, KeepRules},
        table::TableName,
    },
    observe::silent,
    ops::{
        forget::{Choice, ForgetOptions, forget},
        policy::Lifted,
        prune::{PruneOptions, prune},
        tag::{TagOptions, tag},
    },
    store::fault::{Faults, Faulty},
};

use crate::scripted_till::{
    Cell, Rows, State,
    archives::{first_with_hash_ladder, open, plain, take},
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

/// What is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Snapshot,
    Tag,
    Forget,
    Prune,
    /// Both in one run.
    ForgetAndPrune,
}

impl Act {
    pub(crate) fn named(name: &str) -> Self {
        let all = [Self::Snapshot, Self::Tag, Self::Forget, Self::Prune, Self::ForgetAndPrune];
        all.into_iter().find(|act| format!("{act:?}") == name).unwrap()
    }

    /// Does it.
    pub(crate) async fn run(self, archive: &Archive) -> Result<()> {
        match self {
            Self::Snapshot => take(archive, &states()[2]).await.map(drop),
            Self::Tag => {
                let options = TagOptions { add: vec!["kept".into()], ..TagOptions::default() };
                tag(archive, &archive.snapshot(2)?, &options).await.map(drop)
            }
            Self::Forget => forget(archive, &forgetting(None), &silent()).await.map(drop),
            Self::Prune => prune(archive, &at_once(), &silent()).await.map(drop),
            Self::ForgetAndPrune => forget(archive, &forgetting(Some(SignedDuration::ZERO)), &silent()).await.map(drop),
        }
    }

    /// How many snapshots there are before, and which of them are not there afterwards.
    fn history(self) -> (usize, &'static [u64]) {
        match self {
            Self::Snapshot | Self::Tag => (2, &[]),
            Self::Forget | Self::ForgetAndPrune => (5, &[2, 3]),
            Self::Prune => (5, &[]),
        }
    }
}

/// Keeps the newest two, and the nightly one: of five snapshots, the second and third go.
fn forgetting(prune: Option<SignedDuration>) -> ForgetOptions {
    let rules = KeepRules { last: Count::Newest(2), tags: ["nightly".to_owned()].into(), ..KeepRules::default() };
    ForgetOptions {
        choice: Choice::Rules(rules),
        lifted: Lifted::default(),
        dry_run: false,
        prune,
        zone: TimeZone::UTC,
        now: Timestamp::now(),
    }
}

fn at_once() -> PruneOptions {
    PruneOptions { grace: SignedDuration::ZERO, dry_run: false, now: Timestamp::now() }
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
    tags: BTreeMap<u64, Vec<String>>,
}

impl End {
    fn of(archive: &Archive) -> Self {
        let numbers = archive.snapshot_numbers().unwrap();
        let journal = archive.journal().unwrap();
        let (mut tables, mut tags) = (BTreeMap::new(), BTreeMap::new());
        for number in numbers {
            let snapshot = archive.snapshot(number).unwrap();
            tags.insert(number, journal.tags(&snapshot).to_vec());
            tables.insert(number, snapshot.tables);
        }
        let index = archive.index().expect("an index");
        assert_eq!(index, archive.present_index(true).unwrap(), "the index is up to date");
        Self {
            files: files(archive.root()),
            tables,
            forgotten: journal.forgotten().keys().copied().collect(),
            indexed: index.snapshots.iter().map(|entry| entry.snapshot).collect(),
            tags,
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
        first_with_hash_ladder(&archive, &states[0], "ProgramSettings").await;
        let (count, gone) = act.history();
        for state in &states[1..count] {
            take(&archive, state).await.unwrap();
        }
        let mut held_before: Held = (1..).zip(states.iter().take(count).cloned().map(State::sorted)).collect();
        if act == Act::Prune {
            Act::Forget.run(&archive).await.unwrap();
            held_before.retain(|number, _| archive.snapshot_numbers().unwrap().contains(number));
        }
        let mut held_after = held_before.clone();
        held_after.retain(|number, _| !gone.contains(number));
        if act == Act::Snapshot {
            held_after.insert(3, states[2].clone().sorted());
        }
        let copied = tempfile::tempdir().unwrap();
        copy(before.path(), copied.path());
        let faults = Faults::none();
        let counted = open(copied.path(), |store| Arc::new(Faulty::new(store, Arc::clone(&faults))));
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
