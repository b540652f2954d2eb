//! Readers that are not tillvault: a Python script written from docs/FORMAT.md, and DuckDB with the words of the archive's
//! own README.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array};
use tillvault::archive::Archive;

use crate::support::{column, order_rows, orders, python, run, table, with_name};

fn reader(root: &Path, more: &[&str]) -> Output {
    python("read_archive.py").unwrap().arg(root).args(more).output().unwrap()
}

/// Three snapshots of four tables: one cut by ranges, one by hash, a heap, an empty one.
async fn archive(root: &Path) -> Archive {
    let archive = Archive::create(root, "Otel Güneş").unwrap();
    let settings =
        table("Kasa Ürün", vec![column("Name", "nvarchar(255)", false), column("N", "int", true)], &["Name"]);
    let many: Vec<i32> = (0..9_000).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(many.iter().map(|n| Some(format!("ad {n}"))).collect::<StringArray>()),
        Arc::new(many.iter().map(|n| (n % 3 > 0).then_some(*n)).collect::<Int32Array>()),
    ];
    let settings_rows = RecordBatch::try_new(settings.arrow_schema(), columns).unwrap();
    let heap = table("Heap", vec![column("V", "int", true)], &[]);
    let heap_rows = RecordBatch::try_new(
        heap.arrow_schema(),
        vec![Arc::new(Int32Array::from(vec![Some(3), None, Some(3), Some(-1)])) as ArrayRef],
    )
    .unwrap();
    let mut empty = orders();
    empty.name.schema = "other".into();
    let nothing = order_rows([]);
    let rows = order_rows((-700..0).chain(1..=9_000));
    let all = |orders: &RecordBatch| {
        [(settings.clone(), settings_rows.clone()), (heap.clone(), heap_rows.clone()), (empty.clone(), nothing.clone())]
            .into_iter()
            .chain([(self::orders(), orders.clone())])
            .collect::<Vec<_>>()
    };
    for state in [all(&rows), all(&with_name(&rows, 4_000, "Çay"))] {
        let tables: Vec<_> = state.iter().map(|(table, rows)| (table, rows)).collect();
        run(&archive, &tables).await.unwrap();
    }
    // A column is added; most chunks do not have it.
    let mut wider = orders();
    wider.columns.push(column("Course", "nvarchar(max)", true));
    let mut columns = rows.columns().to_vec();
    columns.push(new_null_array(&arrow::datatypes::DataType::Utf8, rows.num_rows()));
    run(&archive, &[(&wider, &RecordBatch::try_new(wider.arrow_schema(), columns).unwrap())]).await.unwrap();
    archive
}

#[tokio::test]
async fn a_python_script_checks_the_archive_and_reads_its_rows() {
    if python("read_archive.py").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path()).await;
    let output = reader(folder.path(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["archive"], archive.id());
    assert_eq!(found["site"], "Otel Güneş");
    for (at, number) in archive.snapshot_numbers().unwrap().into_iter().enumerate() {
        let snapshot = archive.snapshot(number).unwrap();
        let seen = &found["snapshots"][at];
        assert_eq!(seen["snapshot"], number);
        assert_eq!(seen["rows"].as_object().unwrap().len(), snapshot.tables.len());
        for entry in &snapshot.tables {
            assert_eq!(seen["rows"][entry.table.name.to_string()], entry.rows);
        }
    }
    assert_eq!(found["snapshots"][1]["rows"]["Orders"], 9_700);

    let output = reader(folder.path(), &["--dump", "Orders", "--snapshot", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9_700);
    assert_eq!(lines[0], serde_json::json!([-700, null, "-175.00", "2023-11-14T10:21:40", null]));
    assert_eq!(lines[4_000], serde_json::json!([3_301, "Çay", "825.25", "2023-11-17T06:09:21", null]));
}

#[tokio::test]
async fn the_python_script_notices_damage() {
    if python("read_archive.py").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path()).await;
    let newest = archive.latest().unwrap().unwrap();
    let entry = newest.table("Orders").unwrap();
    let path = archive.chunk_path(entry, &entry.chunks[2]);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 4;
    for (bytes, word) in [(&bad[..], "other bytes"), (&good[..good.len() - 1], "another length")] {
        fs::write(&path, bytes).unwrap();
        let output = reader(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(word));
    }
    fs::remove_file(&path).unwrap();
    assert!(String::from_utf8_lossy(&reader(folder.path(), &[]).stderr).contains("is missing"));
    fs::write(&path, good).unwrap();
    // A chunk that is whole but holds other rows than the snapshot says.
    let file = folder.path().join("snapshots/000003.json.zst");
    let stored = fs::read(&file).unwrap();
    let text = String::from_utf8(zstd::decode_all(stored.as_slice()).unwrap()).unwrap();
    let (content, other) = (&entry.chunks[0].content, "0".repeat(64));
    fs::write(&file, zstd::bulk::compress(text.replacen(content, &other, 1).as_bytes(), 3).unwrap()).unwrap();
    let output = reader(folder.path(), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("other content hash"), "{errors}");
    fs::write(&file, stored).unwrap();
    // A snapshot that says something else than it did.
    let file = folder.path().join("snapshots/000001.json.zst");
    let text = String::from_utf8(zstd::decode_all(fs::read(&file).unwrap().as_slice()).unwrap()).unwrap();
    fs::write(&file, zstd::bulk::compress(text.replacen("TILL", "KILL", 1).as_bytes(), 3).unwrap()).unwrap();
    let output = reader(folder.path(), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("does not follow"), "{errors}");
}

#[tokio::test]
async fn pyarrow_notices_a_spoiled_page_by_its_crc() {
    let Some(mut python) = python("page_crc.py") else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path()).await;
    let newest = archive.snapshot(2).unwrap();
    let files: Vec<PathBuf> = newest
        .tables
        .iter()
        .flat_map(|entry| entry.chunks.iter().map(|chunk| archive.chunk_path(entry, chunk)))
        .collect();
    let output = python.args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let spoiled: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(spoiled > files.len() * 2, "{spoiled} pages of {} files", files.len());
}

#[tokio::test]
async fn duckdb_reads_a_table_by_the_words_of_the_readme() {
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path()).await;
    let readme = fs::read_to_string(folder.path().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```sql\n").unwrap();
    let (sql, _) = rest.split_once("```").unwrap();
    let sql = sql
        .replace("000001", "000002")
        .replace("'Tickets'", "'Orders'")
        .replace("'snapshots/", &format!("'{}/snapshots/", folder.path().display()))
        .replace("'tables/'", &format!("'{}/tables/'", folder.path().display()));
    let (set, select) = sql.trim().split_once(";\n").unwrap();
    let connection = duckdb::Connection::open_in_memory().unwrap();
    connection.execute_batch(set).unwrap();
    let select = select
        .trim_end_matches(';')
        .replace('*', "count(*), count(DISTINCT \"Id\"), min(\"Id\"), max(\"Price\")::VARCHAR");
    let found: (i64, i64, i32, String) =
        connection.query_row(&select, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    assert_eq!(found, (9_700, 9_700, -700, "2250.00".to_owned()));
}
