//! Tables, rows and runs for the tests.

use std::{path::Path, process::Command, sync::Arc};

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tillvault::{
    archive::{
        Archive, TableWritten,
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    error::Result,
    model::table::{Column, Table, TableName},
};

pub(crate) fn column(name: &str, sql_type: &str, nullable: bool) -> Column {
    Column { name: name.into(), sql_type: sql_type.parse().unwrap(), nullable, ..Column::default() }
}

pub(crate) fn table(name: &str, columns: Vec<Column>, key: &[&str]) -> Table {
    Table {
        name: TableName::dbo(name),
        columns,
        key: key.iter().map(ToString::to_string).collect(),
        ..Table::default()
    }
}

/// A table with an integer key and the usual kinds of columns.
pub(crate) fn orders() -> Table {
    table(
        "Orders",
        vec![
            column("Id", "int", false),
            column("MenuItemName", "nvarchar(max)", true),
            column("Price", "decimal(16,2)", false),
            column("CreatedDateTime", "datetime", false),
            column("Note", "nvarchar(50)", true),
        ],
        &["Id"],
    )
}

/// Rows of [`orders`] with the given ids; what they hold follows from the id.
pub(crate) fn order_rows(ids: impl IntoIterator<Item = i32>) -> RecordBatch {
    let ids: Vec<i32> = ids.into_iter().collect();
    let names: StringArray = ids.iter().map(|id| (id % 7 != 0).then(|| format!("Item {}", id % 40))).collect();
    let prices = Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(*id) * 25));
    let times = ids.iter().map(|id| 1_700_000_000_000_000 + i64::from(*id) * 61_000_000);
    let notes: StringArray = ids.iter().map(|_| None::<String>).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(ids.clone())),
        Arc::new(names),
        Arc::new(prices.with_precision_and_scale(16, 2).unwrap()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
        Arc::new(notes),
    ];
    RecordBatch::try_new(orders().arrow_schema(), columns).unwrap()
}

/// The same rows with another value in one column of one row.
pub(crate) fn with_name(rows: &RecordBatch, row: usize, name: &str) -> RecordBatch {
    let old = rows.column(1).as_any().downcast_ref::<StringArray>().unwrap();
    let names: StringArray =
        old.iter().enumerate().map(|(at, value)| if at == row { Some(name) } else { value }).collect();
    let mut columns = rows.columns().to_vec();
    columns[1] = Arc::new(names);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

pub(crate) fn snapshot(archive: &Archive, tables: Vec<TableEntry>) -> Result<Snapshot> {
    let (number, parent) = archive.next_link()?;
    Ok(Snapshot {
        format: FORMAT,
        archive: archive.id().into(),
        snapshot: number,
        parent,
        taken_at: "2026-11-22T03:00:37Z".parse().unwrap(),
        till_time: "2026-11-22T06:00:37".parse().unwrap(),
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
        tables,
        missing: Vec::new(),
        reads: Vec::new(),
    })
}

/// Writes one table against the newest snapshot, in batches of `batch` rows.
pub(crate) async fn write_table(
    archive: &Archive,
    table: &Table,
    rows: &RecordBatch,
    batch: usize,
) -> Result<TableWritten> {
    let previous = archive.latest()?;
    let previous = previous.as_ref().and_then(|snapshot| snapshot.table(&table.name.to_string()));
    write_onto(archive, table, rows, batch, previous).await
}

/// Writes one table against an entry of a snapshot before.
pub(crate) async fn write_onto(
    archive: &Archive,
    table: &Table,
    rows: &RecordBatch,
    batch: usize,
    previous: Option<&TableEntry>,
) -> Result<TableWritten> {
    let mut writer = archive.table_writer(table, previous)?;
    let mut at = 0;
    while at < rows.num_rows() {
        let length = batch.min(rows.num_rows() - at);
        writer.push(rows.slice(at, length)).await?;
        at += length;
    }
    writer.finish().await
}

/// A whole run: some tables and the snapshot.
pub(crate) async fn run(archive: &Archive, tables: &[(&Table, &RecordBatch)]) -> Result<Vec<TableWritten>> {
    let _lock = archive.lock()?;
    let mut written = Vec::new();
    for (table, rows) in tables {
        written.push(write_table(archive, table, rows, 1_000).await?);
    }
    let entries = written.iter().map(|table| table.entry.clone()).collect();
    archive.write_snapshot(&snapshot(archive, entries)?).await?;
    Ok(written)
}

/// All rows of a table in a snapshot, in chunk order.
pub(crate) fn read_back(archive: &Archive, entry: &TableEntry) -> RecordBatch {
    let schema = entry.table.arrow_schema();
    let chunks: Vec<RecordBatch> = entry.chunks.iter().map(|chunk| archive.read_chunk(entry, chunk).unwrap()).collect();
    arrow::compute::concat_batches(&schema, &chunks).unwrap()
}

pub(crate) fn ids(entry: &TableEntry) -> Vec<serde_json::Value> {
    entry.chunks.iter().map(|chunk| serde_json::to_value(chunk.block).unwrap()).collect()
}

/// The reader that was written from docs/FORMAT.md, ready for its arguments.
pub(crate) fn python(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: {} is not there; scripts/setup.sh makes it", python.display());
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests/python").join(script));
    Some(command)
}
