//! A tiny archive with fixed content, and what tests ask of it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray};
use object_store::{ObjectStore, local::LocalFileSystem};
use serde::Serialize;
use tillvault::{
    archive::{
        Archive,
        journal::{Forgetting, Forgotten, Record, Tagging},
        layout,
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo},
    },
    model::table::{Column, Table, TableName},
    observe,
    ops::check::{
        CheckOptions, CheckOutcome, Part, check,
        repair::{RepairOptions, repair},
    },
    store::{Remote, profile::ServerKind},
};

/// Id of the tiny archive.
pub(crate) const ID: &str = "5eed5eed5eed5eed5eed5eed5eed5eed";
/// Nights it holds; the second one was forgotten.
pub(crate) const NIGHTS: u64 = 5;
pub(crate) const FORGOTTEN: u64 = 2;

fn column(name: &str, sql_type: &str, nullable: bool) -> Column {
    Column { name: name.into(), sql_type: sql_type.parse().unwrap(), nullable, ..Column::default() }
}

fn table(name: &str, columns: Vec<Column>, key: &str) -> Table {
    Table { name: TableName::dbo(name), columns, key: vec![key.to_owned()], ..Table::default() }
}

/// The tables of one night: orders in three blocks, the last of which grows, and a few tags without an integer key.
pub(crate) fn till(night: u64) -> Vec<(Table, RecordBatch)> {
    let night = i32::try_from(night).unwrap();
    let orders = table(
        "Orders",
        vec![
            column("Id", "int", false),
            column("MenuItemName", "nvarchar(max)", true),
            column("Price", "decimal(16,2)", false),
        ],
        "Id",
    );
    let ids: Vec<i32> = (1..=30).chain(600..=620).chain(1_100..=1_100 + 3 * night).collect();
    let name = |id: i32| match id {
        605 if night > 3 => Some("Çay, corrected".to_owned()),
        _ => (id % 7 != 0).then(|| format!("Item {}", id % 11)),
    };
    let names: StringArray = ids.iter().map(|id| name(*id)).collect();
    let prices = Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(*id) * 25));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(ids)),
        Arc::new(names),
        Arc::new(prices.with_precision_and_scale(16, 2).unwrap()),
    ];
    let order_rows = RecordBatch::try_new(orders.arrow_schema(), columns).unwrap();
    let tags = table("Tags", vec![column("Name", "nvarchar(20)", false)], "Name");
    let names = if night < 3 { vec!["bar", "garden"] } else { vec!["bar", "garden", "terrace"] };
    let tag_rows = RecordBatch::try_new(tags.arrow_schema(), vec![Arc::new(StringArray::from(names))]).unwrap();
    vec![(orders, order_rows), (tags, tag_rows)]
}

/// Compresses as snapshots and records are.
pub(crate) fn pack(value: &impl Serialize) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(9).unwrap();
    compressor.include_checksum(true).unwrap();
    compressor.include_contentsize(true).unwrap();
    compressor.compress(&serde_json::to_vec(value).unwrap()).unwrap()
}

pub(crate) fn unpack(file: &[u8]) -> serde_json::Value {
    serde_json::from_slice(&zstd::stream::decode_all(file).unwrap()).unwrap()
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Builds the tiny archive: five nights, a tag, one snapshot forgotten and its chunk pruned. `hook` may change a snapshot
/// before it is written.
pub(crate) async fn build(root: &Path, hook: impl Fn(&mut Snapshot)) {
    fs::create_dir_all(root).unwrap();
    let header = format!(
        "{{\n  \"format\": 1,\n  \"archive\": \"{ID}\",\n  \"site\": \"Tiny\",\n  \"created_at\": \"2026-11-01T00:00:00Z\"\n}}\n"
    );
    fs::write(root.join(layout::HEADER_FILE), header).unwrap();
    fs::write(root.join(layout::README_FILE), readme()).unwrap();
    let archive = Archive::open(root).unwrap();
    let _lock = archive.lock().unwrap();
    for night in 1..=NIGHTS {
        let snapshot = one_night(&archive, night, &hook).await;
        archive.write_snapshot(&snapshot).await.unwrap();
    }
    let tag = Tagging { snapshot: 1, tags: vec!["first".into()] };
    let record = write_record(root, 1, None, Some(tag), None);
    let forgotten = archive.snapshot(FORGOTTEN).unwrap();
    let forgetting = Forgetting {
        why: "thinned out".into(),
        snapshots: vec![Forgotten {
            snapshot: FORGOTTEN,
            hash: archive.snapshot_hash(FORGOTTEN).unwrap(),
            parent: forgotten.parent.clone(),
            taken_at: forgotten.taken_at,
            till_time: forgotten.till_time,
            kind: forgotten.kind,
            epoch: 1,
            tags: Vec::new(),
        }],
    };
    write_record(root, 2, Some(record), None, Some(forgetting));
    archive.remove_snapshot(FORGOTTEN, &archive.journal().unwrap()).await.unwrap();
    archive.write_index(true).await.unwrap();
    let needed: Vec<String> = snapshots(&archive).iter().flat_map(|one| chunks(&archive, one)).collect();
    for path in chunks(&archive, &forgotten).iter().filter(|path| !needed.contains(path)) {
        fs::remove_file(root.join(path)).unwrap();
    }
    drop(_lock);
    fs::remove_file(root.join(layout::LOCK_FILE)).unwrap();
}

pub(crate) async fn one_night(archive: &Archive, night: u64, hook: impl Fn(&mut Snapshot)) -> Snapshot {
    let previous = archive.latest().unwrap();
    let mut tables = Vec::new();
    for (table, rows) in till(night) {
        let before = previous.as_ref().and_then(|snapshot| snapshot.table(&table.name.to_string()));
        let mut writer = archive.table_writer(&table, before).unwrap();
        writer.push(rows).await.unwrap();
        tables.push(writer.finish().await.unwrap().entry);
    }
    let (number, parent) = archive.next_link().unwrap();
    let mut snapshot = Snapshot {
        format: FORMAT,
        archive: archive.id().into(),
        snapshot: number,
        parent,
        taken_at: format!("2026-11-{night:02}T03:00:37Z").parse().unwrap(),
        till_time: format!("2026-11-{night:02}T06:00:37").parse().unwrap(),
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
        tags: Vec::new(),
        tool: "0.1.0".into(),
        tables,
        missing: Vec::new(),
        reads: Vec::new(),
    };
    hook(&mut snapshot);
    snapshot
}

/// Writes a record with fixed times and returns its hash.
fn write_record(
    root: &Path,
    number: u64,
    parent: Option<String>,
    tag: Option<Tagging>,
    forget: Option<Forgetting>,
) -> String {
    let record = Record {
        format: FORMAT,
        archive: ID.into(),
        record: number,
        parent,
        at: "2026-11-07T12:00:00Z".parse().unwrap(),
        tool: "0.1.0".into(),
        tag,
        forget,
    };
    let bytes = pack(&record);
    let path = root.join(layout::record_path(number));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &bytes).unwrap();
    hash(&bytes)
}

/// The text that archives are made with.
pub(crate) fn readme() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "any").unwrap();
    fs::read(folder.path().join(layout::README_FILE)).unwrap()
}

/// The tiny archive in a folder that goes with the test.
pub(crate) async fn tiny() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("archive");
    build(&root, |_| {}).await;
    (folder, root)
}

/// A copy of an archive as a remote.
pub(crate) fn remote_of(root: &Path, name: &str) -> (tempfile::TempDir, Remote) {
    let folder = tempfile::tempdir().unwrap();
    copy(root, folder.path());
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    (folder, Remote::over(name, store, ServerKind::Folder).with_connections(3))
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(&path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&path), target).unwrap();
    }
}

/// Every file below a folder, sorted, without locks.
pub(crate) fn files(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.retain(|path| !path.starts_with(".lock"));
    found.sort();
    found
}

/// Every file with its content.
pub(crate) fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    files(root).into_iter().map(|path| (path.clone(), fs::read(root.join(path)).unwrap())).collect()
}

pub(crate) fn snapshots(archive: &Archive) -> Vec<Snapshot> {
    archive.snapshot_numbers().unwrap().into_iter().map(|number| archive.snapshot(number).unwrap()).collect()
}

/// Paths of the chunks of a snapshot.
pub(crate) fn chunks(archive: &Archive, snapshot: &Snapshot) -> Vec<String> {
    archive.chunk_objects(snapshot).into_iter().map(|object| object.path).collect()
}

pub(crate) const STRUCTURE: CheckOptions = CheckOptions { read_data: None, deep: None, snapshot: None };
pub(crate) const READ_DATA: CheckOptions = CheckOptions { read_data: Some(Part::ALL), ..STRUCTURE };
pub(crate) const DEEP: CheckOptions = CheckOptions { deep: Some(Part::ALL), ..STRUCTURE };

pub(crate) async fn run_check(root: &Path, options: &CheckOptions) -> CheckOutcome {
    let archive = Arc::new(Archive::open_anyway(root).unwrap());
    check(&archive, options, &observe::silent()).await.unwrap()
}

pub(crate) async fn run_repair(root: &Path, options: &CheckOptions, remotes: &[Remote]) -> CheckOutcome {
    let archive = Arc::new(Archive::open_anyway(root).unwrap());
    let options = RepairOptions { check: *options, dry_run: false };
    repair(&archive, &options, remotes, &observe::silent()).await.unwrap()
}

/// What was found, as `level kind path`.
pub(crate) fn lines(outcome: &CheckOutcome) -> Vec<String> {
    outcome.findings.iter().map(|finding| format!("{} {} {}", finding.level, finding.kind, finding.path)).collect()
}
