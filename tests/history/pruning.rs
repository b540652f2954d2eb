//! DuckDB reads of a table only the chunks that can hold what is asked for: by key, and by date.
//!
//! The pages of the other chunks are overwritten in a copy of the archive, their footers are not. A query that answers has
//! not looked at them; one that must look at them fails, which shows that they were spoiled.

use std::{fs, ops::RangeInclusive, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Date32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Block, Chunk, TableEntry},
    },
    history::session::Session,
    model::table::{Column, Table, TableName},
};

use crate::support::snapshot;

const ROWS: i32 = 10_000;
/// 2026-03-01T00:00:00, in microseconds; a row comes each minute.
const START: i64 = 1_772_323_200_000_000;

fn orders() -> (Table, RecordBatch) {
    let column = |name: &str, sql_type: &str| Column {
        name: name.into(),
        sql_type: sql_type.parse().unwrap(),
        nullable: true,
        ..Column::default()
    };
    let table = Table {
        name: TableName::dbo("Orders"),
        columns: vec![
            column("Id", "int"),
            column("At", "datetime"),
            column("Day", "date"),
            column("Name", "nvarchar(max)"),
        ],
        key: vec!["Id".into()],
        ..Table::default()
    };
    let at = |id: i32| START + i64::from(id) * 60_000_000;
    let columns: Vec<ArrayRef> = vec![
        Arc::new((1..=ROWS).collect::<Int32Array>()),
        // Now and then it is NULL.
        Arc::new((1..=ROWS).map(|id| (id % 100 != 99).then(|| at(id))).collect::<TimestampMicrosecondArray>()),
        Arc::new((1..=ROWS).map(|id| Some(i32::try_from(at(id) / 86_400_000_000).unwrap())).collect::<Date32Array>()),
        Arc::new((1..=ROWS).map(|id| Some(format!("Item {}", id % 40))).collect::<StringArray>()),
    ];
    let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
    (table, rows)
}

/// Overwrites all pages of a chunk file.
fn spoil(root: &Path, entry: &TableEntry, chunk: &Chunk) {
    let path = root.join("tables").join(&entry.folder).join(chunk.file_name());
    let mut bytes = fs::read(&path).unwrap();
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    let end = tail - usize::try_from(footer).unwrap();
    bytes[4..end].fill(0xa5);
    fs::write(&path, bytes).unwrap();
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

/// Rows, and the sum of their ids; `None` when the query fails.
fn answer(session: &Session, condition: &str) -> Option<(i64, i64)> {
    let sql = format!("SELECT count(\"Name\"), coalesce(sum(\"Id\"), 0)::BIGINT FROM \"Orders\" WHERE {condition}");
    session.connection().query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

#[tokio::test]
async fn a_query_reads_only_chunks_that_may_hold_the_key_or_the_date() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("archive");
    let archive = Archive::create(&root, "Test").unwrap();
    let (table, rows) = orders();
    let mut writer = archive.table_writer(&table, None).unwrap();
    writer.push(rows).await.unwrap();
    let entry = writer.finish().await.unwrap().entry;
    assert_eq!(entry.chunks.len(), 6);
    let listed = snapshot(1, "2026-03-10T03:00:00Z", vec![entry.clone()]);
    let sum = |ids: RangeInclusive<i64>| Some((ids.clone().count().try_into().unwrap(), ids.sum()));

    for (number, (condition, needed, expected)) in [
        ("\"Id\" BETWEEN 4200 AND 4300", 4097..=8192, sum(4200..=4300)),
        ("\"Id\" = 9000", 8705..=9216, sum(9000..=9000)),
        ("\"Id\" IN (4100, 8192)", 4097..=8192, Some((2, 12_292))),
        ("\"Id\" <= 12", 1..=4096, sum(1..=12)),
        ("\"Id\" > 9990", 9729..=10_240, sum(9991..=10_000)),
        ("\"Id\" > 10000", 0..=0, Some((0, 0))),
        // Minutes 9,220 to 9,239 after the start.
        (
            "\"At\" >= TIMESTAMP '2026-03-07 09:40' AND \"At\" < TIMESTAMP '2026-03-07 10:00'",
            9217..=9728,
            sum(9220..=9239),
        ),
        ("\"At\" < '2026-03-01 00:03'", 1..=4096, sum(1..=2)),
        // The id ending in 99 has no date.
        ("\"At\" >= TIMESTAMP '2026-03-07 22:30'", 9729..=10_240, Some((10, 99_946))),
        ("\"Day\" = DATE '2026-03-01'", 1..=4096, sum(1..=1439)),
        ("\"Day\" BETWEEN '2026-03-04' AND '2026-03-05'", 4097..=8192, sum(4320..=7199)),
    ]
    .into_iter()
    .enumerate()
    {
        let copied = folder.path().join(format!("copy {number}"));
        copy(&root, &copied);
        assert_eq!(answer(&Session::open(&copied, &listed).unwrap(), condition), expected, "{condition}");
        for chunk in &entry.chunks {
            let Block::Range { lo, .. } = chunk.block else { panic!("a block of keys") };
            if !needed.contains(&lo) {
                spoil(&copied, &entry, chunk);
            }
        }
        let session = Session::open(&copied, &listed).unwrap();
        assert_eq!(answer(&session, condition), expected, "{condition}");
        assert_eq!(answer(&session, "true"), None);
        assert_eq!(answer(&session, "\"Name\" = 'Item 1'"), None);
    }
}
