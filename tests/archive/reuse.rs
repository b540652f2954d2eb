//! What a run writes: only what changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array};
use serde_json::json;
use tillvault::archive::{Archive, snapshot::Ladder};

use crate::support::{column, ids, order_rows, orders, read_back, run, table, with_name};

#[tokio::test]
async fn an_unchanged_table_is_neither_encoded_nor_written() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=10_000);
    let first = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    assert_eq!((first[0].chunks_new, first[0].chunks_encoded, first[0].entry.rows), (6, 6, 10_000));
    assert_eq!(
        ids(&first[0].entry),
        [(1, 4096), (4097, 8192), (8193, 8704), (8705, 9216), (9217, 9728), (9729, 10_240)]
            .map(|(lo, hi)| json!({"lo": lo, "hi": hi}))
    );
    let second = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    assert_eq!((second[0].chunks_new, second[0].chunks_encoded, second[0].bytes_new), (0, 0, 0));
    assert_eq!(second[0].entry, first[0].entry);
    assert_eq!(archive.snapshot_numbers().unwrap(), [1, 2]);
    archive.verify_chain().unwrap();
    assert_eq!(read_back(&archive, &second[0].entry), rows);
}

#[tokio::test]
async fn appended_rows_rewrite_the_tail_alone() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    run(&archive, &[(&orders(), &order_rows(1..=5_000))]).await.unwrap();
    let next = run(&archive, &[(&orders(), &order_rows(1..=5_001))]).await.unwrap();
    assert_eq!((next[0].chunks_new, next[0].chunks_encoded), (1, 1));
    // The block closes: one chunk takes the place of eight.
    let closed = run(&archive, &[(&orders(), &order_rows(1..=8_192))]).await.unwrap();
    assert_eq!(ids(&closed[0].entry), [json!({"lo": 1, "hi": 4096}), json!({"lo": 4097, "hi": 8192})]);
    assert_eq!(closed[0].chunks_new, 1);
}

#[tokio::test]
async fn an_edited_old_row_rewrites_its_block_and_its_return_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=10_000);
    let first = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    let edited = run(&archive, &[(&orders(), &with_name(&rows, 5_000, "Raki"))]).await.unwrap();
    assert_eq!((edited[0].chunks_new, edited[0].chunks_encoded), (1, 1));
    // Back to the old value: encoded, since the snapshot before had other content, but its file is there.
    let back = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    assert_eq!((back[0].chunks_new, back[0].chunks_encoded, back[0].bytes_new), (0, 1, 0));
    assert_eq!(back[0].entry, first[0].entry);
}

#[tokio::test]
async fn an_added_empty_column_rewrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=5_000);
    let first = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    let mut wider = orders();
    wider.columns.insert(1, column("Course", "nvarchar(max)", true));
    let mut columns = rows.columns().to_vec();
    columns.insert(1, new_null_array(&arrow::datatypes::DataType::Utf8, rows.num_rows()));
    let wide_rows = RecordBatch::try_new(wider.arrow_schema(), columns.clone()).unwrap();
    let second = run(&archive, &[(&wider, &wide_rows)]).await.unwrap();
    assert_eq!((second[0].chunks_new, second[0].chunks_encoded), (0, 0));
    assert_eq!(second[0].entry.chunks, first[0].entry.chunks);
    assert_eq!(read_back(&archive, &second[0].entry), wide_rows);
    // The first value in it rewrites the chunk that holds it.
    columns[1] = Arc::new((0..5_000).map(|row| (row == 4_500).then_some("Main")).collect::<StringArray>());
    let valued = RecordBatch::try_new(wider.arrow_schema(), columns).unwrap();
    let third = run(&archive, &[(&wider, &valued)]).await.unwrap();
    assert_eq!(third[0].chunks_new, 1);
    assert_eq!(read_back(&archive, &third[0].entry), valued);
}

#[tokio::test]
async fn batch_cuts_and_nullability_make_no_difference() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (Archive::create(one.path(), "A").unwrap(), Archive::create(two.path(), "B").unwrap());
    let rows = order_rows(1..=6_000);
    let first = crate::support::write_table(&a, &orders(), &rows, 6_000).await.unwrap();
    let mut loose = orders();
    loose.columns.iter_mut().for_each(|column| column.nullable = true);
    let loose_rows = RecordBatch::try_new(loose.arrow_schema(), rows.columns().to_vec()).unwrap();
    let second = crate::support::write_table(&b, &loose, &loose_rows, 77).await.unwrap();
    assert_eq!(first.entry.chunks, second.entry.chunks);
}

#[tokio::test]
async fn a_cleared_table_is_empty_and_restarted_ids_are_new_content() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=600);
    run(&archive, &[(&orders(), &rows)]).await.unwrap();
    let cleared = run(&archive, &[(&orders(), &order_rows([]))]).await.unwrap();
    assert!(cleared[0].entry.chunks.is_empty());
    assert_eq!(read_back(&archive, &cleared[0].entry).num_rows(), 0);
    let again = run(&archive, &[(&orders(), &with_name(&rows, 0, "Other"))]).await.unwrap();
    assert_eq!(again[0].entry.rows, 600);
    // The old rows are still there, as they were.
    let old = archive.snapshot(1).unwrap();
    assert_eq!(read_back(&archive, old.table("Orders").unwrap()), rows);
}

#[tokio::test]
async fn a_table_without_integer_key_is_sorted_and_cut_by_hash() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let settings = table("Settings", vec![column("Name", "nvarchar(255)", false), column("N", "int", true)], &["Name"]);
    let rows = |numbers: Vec<i32>| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(numbers.iter().map(|n| Some(format!("name {n}"))).collect::<StringArray>()),
            Arc::new(Int32Array::from(numbers)),
        ];
        RecordBatch::try_new(settings.arrow_schema(), columns).unwrap()
    };
    let small = run(&archive, &[(&settings, &rows((0..100).collect()))]).await.unwrap();
    assert_eq!(small[0].entry.ladder, Ladder::Whole);
    assert_eq!(ids(&small[0].entry), [json!({})]);
    // Another order of arrival is the same content.
    let turned = run(&archive, &[(&settings, &rows((0..100).rev().collect()))]).await.unwrap();
    assert_eq!(turned[0].chunks_encoded, 0);
    // Many rows: buckets; one more row touches one bucket.
    let many = run(&archive, &[(&settings, &rows((0..20_000).collect()))]).await.unwrap();
    assert_eq!(many[0].entry.ladder, Ladder::Hash { bits: 3, rows: 4_096, heavy: 33_554_432 });
    assert_eq!(many[0].entry.chunks.len(), 8);
    let more = run(&archive, &[(&settings, &rows((0..20_001).collect()))]).await.unwrap();
    assert_eq!(more[0].chunks_new, 1);
    assert_eq!(read_back(&archive, &more[0].entry).num_rows(), 20_001);
}

#[tokio::test]
async fn a_heap_may_hold_the_same_row_twice() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let heap = table("VersionInfo", vec![column("Version", "bigint", false)], &[]);
    let values: Vec<ArrayRef> = vec![Arc::new(arrow::array::Int64Array::from(vec![3, 1, 3, 2]))];
    let rows = RecordBatch::try_new(heap.arrow_schema(), values).unwrap();
    let written = run(&archive, &[(&heap, &rows)]).await.unwrap();
    let expected: Vec<ArrayRef> = vec![Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3, 3]))];
    assert_eq!(read_back(&archive, &written[0].entry), RecordBatch::try_new(heap.arrow_schema(), expected).unwrap());
}

#[tokio::test]
async fn ties_of_a_composite_key_have_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let links = table("Links", vec![column("A", "int", false), column("B", "nvarchar(9)", false)], &["A", "B"]);
    let rows = |second: [&str; 4]| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![1, 2, 2, 2])), Arc::new(StringArray::from(second.to_vec()))];
        RecordBatch::try_new(links.arrow_schema(), columns).unwrap()
    };
    run(&archive, &[(&links, &rows(["x", "a", "b", "C"]))]).await.unwrap();
    let turned = run(&archive, &[(&links, &rows(["x", "C", "b", "a"]))]).await.unwrap();
    assert_eq!(turned[0].chunks_encoded, 0);
}

#[tokio::test]
async fn a_key_that_is_partly_left_out_still_gives_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    for key in [["A", "Secret"], ["Secret", "A"]] {
        let mut links = table("Links", vec![column("A", "int", false), column("B", "nvarchar(9)", false)], &key);
        links.left_out = vec!["Secret".into()];
        let rows = |second: [&str; 3]| {
            let columns: Vec<ArrayRef> =
                vec![Arc::new(Int32Array::from(vec![1, 2, 2])), Arc::new(StringArray::from(second.to_vec()))];
            RecordBatch::try_new(links.arrow_schema(), columns).unwrap()
        };
        run(&archive, &[(&links, &rows(["x", "b", "b"]))]).await.unwrap();
        run(&archive, &[(&links, &rows(["x", "b", "a"]))]).await.unwrap();
        let turned = run(&archive, &[(&links, &rows(["x", "a", "b"]))]).await.unwrap();
        assert_eq!(turned[0].chunks_encoded, 0);
    }
}

#[tokio::test]
async fn tables_that_differ_by_case_have_folders_that_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let (mut upper, mut lower) = (orders(), orders());
    upper.name.name = "Logs".into();
    lower.name.name = "LOGS".into();
    let rows = order_rows(1..=3);
    let written = run(&archive, &[(&upper, &rows), (&lower, &rows)]).await.unwrap();
    assert_eq!(written[0].entry.folder, "Logs");
    assert_eq!(written[1].entry.folder, "-4c-4f-47-53");
    // And they keep them, in whatever order they come.
    let reopened = Archive::open(folder.path()).unwrap();
    let again = run(&reopened, &[(&lower, &rows), (&upper, &rows)]).await.unwrap();
    assert_eq!(again[0].entry.folder, "-4c-4f-47-53");
    assert_eq!((again[0].chunks_new, again[1].chunks_new), (0, 0));
}
