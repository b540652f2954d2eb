//! Small archives with a history.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tillvault::{
    archive::{
        Archive,
        snapshot::{ClearSeen, Consistency, FORMAT, MissingTable, Snapshot, SnapshotKind, SourceInfo},
    },
    model::{
        keep::KeepRules,
        table::{Column, Table, TableName},
    },
    observe::silent,
    ops::{
        forget::{Choice, ForgetOptions, ForgetOutcome, forget},
        policy::Lifted,
        prune::{PruneOptions, PruneOutcome, prune},
    },
};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A table with an integer key, or one that is cut by hash.
pub(crate) fn table(name: &str, integer_key: bool) -> Table {
    let column = |name: &str, sql_type: &str, nullable| Column {
        name: name.into(),
        sql_type: sql_type.parse().unwrap(),
        nullable,
        ..Column::default()
    };
    Table {
        name: TableName::dbo(name),
        columns: vec![column("Id", "int", false), column("Name", "nvarchar(50)", false)],
        key: vec![if integer_key { "Id" } else { "Name" }.into()],
        ..Table::default()
    }
}

/// Rows of [`table`].
pub(crate) fn rows(table: &Table, values: &BTreeMap<i32, String>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(values.keys().copied())),
        Arc::new(values.values().map(|name| Some(name.as_str())).collect::<StringArray>()),
    ];
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

/// What a snapshot to be taken says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    pub(crate) taken_at: Timestamp,
    pub(crate) tags: Vec<String>,
    pub(crate) epoch: u32,
    pub(crate) clear: bool,
    pub(crate) missing: Vec<String>,
}

impl Say {
    pub(crate) fn at(time: &str) -> Self {
        Self { taken_at: at(time), tags: Vec::new(), epoch: 1, clear: false, missing: Vec::new() }
    }
}

/// Takes a snapshot of these tables.
pub(crate) async fn take(archive: &Archive, say: &Say, tables: &[(&Table, &BTreeMap<i32, String>)]) -> u64 {
    let _lock = archive.lock().unwrap();
    let previous = archive.latest().unwrap();
    let mut entries = Vec::new();
    for (table, values) in tables {
        let before = previous.as_ref().and_then(|snapshot| snapshot.table(&table.name.to_string()));
        let mut writer = archive.table_writer(table, before).unwrap();
        if !values.is_empty() {
            writer.push(rows(table, values)).await.unwrap();
        }
        entries.push(writer.finish().await.unwrap().entry);
    }
    let (snapshot, parent) = archive.next_link().unwrap();
    archive
        .write_snapshot(&Snapshot {
            format: FORMAT,
            archive: archive.id().into(),
            snapshot,
            parent,
            taken_at: say.taken_at,
            till_time: say.taken_at.to_zoned(TimeZone::UTC).datetime(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Reread,
            source: SourceInfo {
                server: "TILL".into(),
                database: "SambaPOS5".into(),
                version: "14.0".into(),
                collation: "Turkish_CI_AS".into(),
            },
            epoch: say.epoch,
            clear: say.clear.then(|| ClearSeen { tickets_gone: 7, note: "cleared".into() }),
            tags: say.tags.clone(),
            tool: "0.1.0".into(),
            tables: entries,
            missing: say
                .missing
                .iter()
                .map(|table| MissingTable { table: table.clone(), reason: "denied".into(), last_in: None })
                .collect(),
            reads: Vec::new(),
        })
        .await
        .unwrap();
    archive.write_index(false).await.unwrap();
    snapshot
}

/// An archive of one table `T` whose snapshots are taken at these times, each with another row.
pub(crate) async fn history(folder: &Path, says: &[Say]) -> Archive {
    let archive = Archive::create(folder, "Test").unwrap();
    let table = table("T", true);
    for (at, say) in says.iter().enumerate() {
        let values = BTreeMap::from([(1, format!("state {at}"))]);
        take(&archive, say, &[(&table, &values)]).await;
    }
    archive
}

pub(crate) fn options(choice: Choice) -> ForgetOptions {
    ForgetOptions {
        choice,
        lifted: Lifted::default(),
        dry_run: false,
        prune: None,
        zone: TimeZone::UTC,
        now: at("2026-12-01T00:00:00Z"),
    }
}

pub(crate) fn numbers(numbers: impl IntoIterator<Item = u64>) -> ForgetOptions {
    options(Choice::Numbers(numbers.into_iter().collect()))
}

/// Keeps the newest so many.
pub(crate) fn last(count: u32) -> ForgetOptions {
    options(Choice::Rules(KeepRules { last: tillvault::model::keep::Count::Newest(count), ..KeepRules::default() }))
}

pub(crate) async fn forget_with(archive: &Archive, options: &ForgetOptions) -> ForgetOutcome {
    forget(archive, options, &silent()).await.unwrap()
}

pub(crate) async fn prune_at(archive: &Archive, now: Timestamp, grace: SignedDuration) -> PruneOutcome {
    prune(archive, &PruneOptions { grace, dry_run: false, now }, &silent()).await.unwrap()
}

/// All answers: per snapshot and table the hash of its rows, read from the files.
pub(crate) fn answers(archive: &Archive) -> BTreeMap<(u64, String), String> {
    let mut answers = BTreeMap::new();
    for number in archive.snapshot_numbers().unwrap() {
        let snapshot = archive.snapshot(number).unwrap();
        assert_eq!(archive.missing_chunks(&snapshot).unwrap(), Vec::<String>::new());
        for entry in &snapshot.tables {
            let mut hasher = blake3::Hasher::new();
            for chunk in &entry.chunks {
                let rows = archive.read_chunk(entry, chunk).unwrap();
                hasher.update(format!("{} rows\n{rows:?}\n", rows.num_rows()).as_bytes());
            }
            answers.insert((number, entry.table.name.to_string()), hasher.finalize().to_hex().to_string());
        }
    }
    answers
}

/// Paths of the chunk files that are there.
pub(crate) fn chunks(archive: &Archive) -> Vec<String> {
    archive.chunk_files().unwrap().into_iter().map(|file| file.path).collect()
}

/// Every file below a folder with its bytes; locks apart.
pub(crate) fn everything(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, base: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
                if !name.starts_with(".lock") {
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}
