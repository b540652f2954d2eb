//! Random tables: whatever is written is read back, by tillvault and by DuckDB, with the declared types.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
        Int32Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, Time64NanosecondArray,
        TimestampMicrosecondArray,
    },
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Schema},
};
use object_store::local::LocalFileSystem;
use proptest::{collection::vec, option, prelude::*};
use tillvault::{
    archive::{
        Archive,
        row_key::row_weights,
        snapshot::{Block, Ladder, TableEntry},
    },
    model::table::Table,
};

use crate::support::{column, read_back, snapshot, table, write_onto, write_table};

/// One row of every kept type besides the key.
type Cells = (
    (Option<bool>, Option<u8>, Option<i64>, Option<i32>, Option<i64>),
    (Option<f32>, Option<f64>, Option<i32>, Option<i64>, Option<i64>),
    (Option<i64>, Option<String>, Option<Vec<u8>>),
);

fn cells() -> impl Strategy<Value = Cells> {
    let finite32 = any::<f32>().prop_filter("a number", |value| value.is_finite());
    let finite64 = any::<f64>().prop_filter("a number", |value| value.is_finite());
    (
        (
            option::of(any::<bool>()),
            option::of(any::<u8>()),
            option::of(any::<i64>()),
            option::of(-999_999_999..=999_999_999i32),
            option::of(any::<i64>()),
        ),
        (
            option::of(finite32),
            option::of(finite64),
            option::of(-719_162..=2_932_896i32),
            option::of(0..86_400_000_000i64),
            option::of((0..864_000_000_000i64).prop_map(|ticks| ticks * 100)),
        ),
        (
            option::of(-62_135_596_800_000_000..=253_402_300_799_999_999i64),
            option::of(".{0,6}"),
            option::of(vec(any::<u8>(), 0..6)),
        ),
    )
}

fn mixed(key: &[&str]) -> Table {
    let columns = [
        ("Flag", "bit"),
        ("Tiny", "tinyint"),
        ("Big", "bigint"),
        ("Small price", "decimal(9,2)"),
        ("Money", "money"),
        ("Real", "real"),
        ("Float", "float"),
        ("Day", "date"),
        ("At", "time(6)"),
        ("Exact", "time(7)"),
        ("Stamp", "datetime"),
        ("Text; {x}=(ü)%,.", "nvarchar(max)"),
        ("Blob", "varbinary(max)"),
    ];
    let mut all = vec![column("Id", "int", false)];
    all.extend(columns.map(|(name, sql_type)| column(name, sql_type, true)));
    table("Mixed", all, key)
}

fn batch(table: &Table, ids: &[i32], rows: &[Cells]) -> RecordBatch {
    let decimal = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(ids.to_vec())),
        Arc::new(rows.iter().map(|row| row.0.0).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.0.1.map(i16::from)).collect::<Int16Array>()),
        Arc::new(rows.iter().map(|row| row.0.2).collect::<Int64Array>()),
        decimal(rows.iter().map(|row| row.0.3.map(i128::from)).collect(), 9, 2),
        decimal(rows.iter().map(|row| row.0.4.map(i128::from)).collect(), 19, 4),
        Arc::new(rows.iter().map(|row| row.1.0).collect::<Float32Array>()),
        Arc::new(rows.iter().map(|row| row.1.1).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.1.2).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|row| row.1.3).collect::<Time64MicrosecondArray>()),
        Arc::new(rows.iter().map(|row| row.1.4).collect::<Time64NanosecondArray>()),
        Arc::new(rows.iter().map(|row| row.2.0).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|row| row.2.1.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2.2.as_deref()).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

fn written(table: &Table, rows: &RecordBatch, cut: usize) -> (tempfile::TempDir, Archive, TableEntry) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let entry = runtime.block_on(write_table(&archive, table, rows, cut)).unwrap().entry;
    (folder, archive, entry)
}

/// The snapshot file refuses blocks that overlap, are out of order, or are none of their ladder's.
fn listed(archive: &Archive, entry: &TableEntry) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(archive.write_snapshot(&snapshot(archive, vec![entry.clone()]).unwrap())).unwrap();
}

/// Small numbers, so that few rows are heavy.
fn tight(table: &Table, heavy: u64) -> TableEntry {
    let ladder = match table.range_column() {
        Some(column) => Ladder::Range { column: column.name.clone(), open: 32, closed: 128, heavy },
        None => Ladder::Hash { bits: 0, rows: 16, heavy },
    };
    TableEntry { table: table.clone(), folder: "Mixed".into(), ladder, rows: 0, chunks: Vec::new() }
}

fn by_id(rows: &RecordBatch) -> RecordBatch {
    let order = arrow::compute::sort_to_indices(rows.column(0), None, None).unwrap();
    arrow::compute::take_record_batch(rows, &order).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back(
        rows in vec((1..400i32, cells()), 1..60),
        start in prop_oneof![Just(0i32), Just(4_000), Just(-600), Just(i32::MIN), Just(i32::MAX - 30_000)],
        cut in 1..50usize,
        heap in any::<bool>(),
    ) {
        let mut last = start;
        let ids: Vec<i32> = rows.iter().map(|(gap, _)| { last += gap; last }).collect();
        let cells: Vec<Cells> = rows.into_iter().map(|(_, cells)| cells).collect();
        let table = mixed(if heap { &[] } else { &["Id"] });
        let rows = batch(&table, &ids, &cells);
        let (_folder, archive, entry) = written(&table, &rows, cut);
        prop_assert_eq!(by_id(&read_back(&archive, &entry)), rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However heavy the rows are and in whatever portions they come: the same chunks, none too heavy; and rows that are
    /// added above change only what is still open.
    #[test]
    fn heavy_rows_come_back_from_light_chunks(
        rows in vec((1..9i32, cells(), prop_oneof![6 => Just(0usize), 1 => 0..900usize]), 2..90),
        (heavy, cut, other) in (600..6_000u64, 1..50usize, 1..50usize),
        (share, heap) in (1..100usize, any::<bool>()),
    ) {
        let mut last = -50;
        let ids: Vec<i32> = rows.iter().map(|(gap, ..)| { last += gap; last }).collect();
        let cells: Vec<Cells> = rows.into_iter().map(|(_, mut cells, more)| {
            cells.2.1 = cells.2.1.map(|text| text.repeat(1 + more / 4));
            cells
        }).collect();
        let table = mixed(if heap { &[] } else { &["Id"] });
        let rows = batch(&table, &ids, &cells);
        let folder = tempfile::tempdir().unwrap();
        Archive::create(folder.path(), "Test").unwrap();
        // Many small files: without fsync.
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let archive = Archive::open_with_store(folder.path(), Arc::new(store)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let write = |rows: &RecordBatch, cut: usize, before: &TableEntry| {
            runtime.block_on(write_onto(&archive, &table, rows, cut, Some(before))).unwrap().entry
        };
        let start = tight(&table, heavy);
        let entry = write(&rows, cut, &start);
        prop_assert_eq!(&write(&rows, other, &start), &entry);
        prop_assert_eq!(by_id(&read_back(&archive, &entry)), rows.clone());
        for chunk in &entry.chunks {
            let held = archive.read_chunk(&entry, chunk).unwrap();
            prop_assert!(held.num_rows() == 1 || row_weights(&held).unwrap().iter().sum::<u64>() <= heavy);
        }
        listed(&archive, &entry);
        // Some of the rows first, then all.
        let some = (rows.num_rows() * share / 100).max(1);
        let first = write(&rows.slice(0, some), cut, &start);
        let second = write(&rows, cut, &first);
        prop_assert_eq!(by_id(&read_back(&archive, &second)), rows);
        for chunk in &first.chunks {
            // Past rows of an ended range that closed, or that is too heavy to close.
            let Block::Range { lo, hi } = chunk.block else { continue };
            let closed = (lo - 1).div_euclid(128) * 128 + 128;
            if closed <= i64::from(ids[some - 1]) {
                prop_assert!(second.chunks.contains(chunk), "{:?} was cut anew", (lo, hi));
            }
        }
    }
}

/// A few fixed rows with every type's extremes, read by DuckDB.
#[test]
fn duckdb_sees_the_declared_types_and_values() {
    let table = mixed(&["Id"]);
    let extreme: Cells = (
        (Some(true), Some(255), Some(i64::MAX), Some(-999_999_999), Some(i64::MIN)),
        (Some(f32::MAX), Some(-0.0), Some(-719_162), Some(86_399_999_999), Some(86_399_999_999_900)),
        (Some(-62_135_596_800_000_000), Some("a\0b Çay \u{1f600}".into()), Some(vec![0, 255])),
    );
    let empty: Cells = ((None, None, None, None, None), (None, None, None, None, None), (None, None, None));
    let plain: Cells = (
        (Some(false), Some(0), Some(0), Some(0), Some(1)),
        (Some(0.5), Some(0.1), Some(0), Some(0), Some(0)),
        (Some(253_402_300_799_999_999), Some(String::new()), Some(vec![])),
    );
    let rows = batch(&table, &[1, 2, 700], &[extreme, empty.clone(), plain]);
    let (_folder, archive, entry) = written(&table, &rows, 10);
    let names: Vec<String> =
        entry.chunks.iter().map(|chunk| format!("'{}'", archive.chunk_path(&entry, chunk).display())).collect();
    let connection = duckdb::Connection::open_in_memory().unwrap();
    let sql = format!("SELECT * FROM read_parquet([{}], union_by_name = true) ORDER BY \"Id\"", names.join(", "));
    let describe = format!("SELECT string_agg(column_type, ' ') FROM (DESCRIBE {sql})");
    let types: String = connection.query_row(&describe, [], |row| row.get(0)).unwrap();
    assert_eq!(
        types,
        "INTEGER BOOLEAN SMALLINT BIGINT DECIMAL(9,2) DECIMAL(19,4) FLOAT DOUBLE DATE TIME TIME_NS TIMESTAMP VARCHAR BLOB"
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let found: Vec<RecordBatch> = statement.query_arrow([]).unwrap().collect();
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    let columns: Vec<ArrayRef> = found
        .columns()
        .iter()
        .zip(rows.columns())
        .map(|(found, kept)| cast(found, kept.data_type()).unwrap())
        .collect();
    assert_eq!(RecordBatch::try_new(table.arrow_schema(), columns).unwrap(), rows);
    // A chunk without any value in some columns still has its rows.
    let lone = batch(&table, &[5], &[empty]);
    let (_folder, archive, entry) = written(&table, &lone, 1);
    assert_eq!(read_back(&archive, &entry), lone);
}

#[test]
fn rows_that_are_nothing_but_null_are_kept() {
    let table = table("Void", vec![column("A", "nvarchar(9)", true), column("B", "int", true)], &[]);
    let schema =
        Arc::new(Schema::new(vec![Field::new("A", DataType::Utf8, true), Field::new("B", DataType::Int32, true)]));
    let rows = RecordBatch::try_new(
        schema,
        vec![arrow::array::new_null_array(&DataType::Utf8, 3), arrow::array::new_null_array(&DataType::Int32, 3)],
    )
    .unwrap();
    let (_folder, archive, entry) = written(&table, &rows, 2);
    assert_eq!(read_back(&archive, &entry), rows);
}
