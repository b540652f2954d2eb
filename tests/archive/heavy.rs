//! Tables whose rows are heavy, files that are not what their name says, rows that cannot be right: chunks stay small, and
//! what comes back is what was given.

use std::{fs, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray},
    compute::concat_batches,
};
use tillvault::{
    archive::{
        Archive, TableWritten,
        blocks::HEAVY,
        row_key::row_weights,
        snapshot::{Block, Ladder, TableEntry},
    },
    error::Kind,
    model::table::Table,
};

use crate::support::{column, order_rows, orders, python, read_back, run, snapshot, table, with_name, write_table};

fn notes(key: &[&str]) -> Table {
    table("Notes", vec![column("Id", "int", false), column("Text", "nvarchar(max)", true)], key)
}

/// Notes with the given ids; every 50th is long, one in a thousand very long.
fn note_rows(ids: impl IntoIterator<Item = i32>) -> RecordBatch {
    let ids: Vec<i32> = ids.into_iter().collect();
    let text = |id: &i32| match id {
        id if id % 1_000 == 700 => Some("long ".repeat(9_000)),
        id if id % 50 == 3 => Some(format!("note {id} ").repeat(90)),
        id => (id % 3 > 0).then(|| format!("note {id}")),
    };
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(ids.clone())), Arc::new(ids.iter().map(text).collect::<StringArray>())];
    RecordBatch::try_new(notes(&[]).arrow_schema(), columns).unwrap()
}

/// An archive whose first snapshot has the table empty, on a ladder of its own.
async fn archive_with(table: &Table, ladder: Ladder) -> (tempfile::TempDir, Archive) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let entry =
        TableEntry { table: table.clone(), folder: table.name.name.clone(), ladder, rows: 0, chunks: Vec::new() };
    archive.write_snapshot(&snapshot(&archive, vec![entry]).unwrap()).await.unwrap();
    (folder, archive)
}

fn weight(rows: &RecordBatch) -> u64 {
    row_weights(rows).unwrap().iter().sum()
}

/// No chunk is heavier than the ladder allows, unless it holds a single row.
fn assert_light(archive: &Archive, entry: &TableEntry, heavy: u64) {
    for chunk in &entry.chunks {
        let rows = archive.read_chunk(entry, chunk).unwrap();
        assert!(weight(&rows) <= heavy || rows.num_rows() == 1, "{chunk:?} weighs {}", weight(&rows));
    }
}

/// A program written from FORMAT alone computes the same cuts.
fn assert_python_agrees(archive: &Archive) {
    let Some(mut python) = python("read_archive.py") else { return };
    let output = python.arg(archive.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn ranges_of_heavy_rows_are_cut_finer_and_stay_when_rows_are_added() {
    let ladder = Ladder::Range { column: "Id".into(), open: 64, closed: 512, heavy: 20_000 };
    let (_folder, archive) = archive_with(&notes(&["Id"]), ladder.clone()).await;
    let (table, rows) = (notes(&["Id"]), note_rows((-300..900).chain(1_500..2_000)));
    let first = run(&archive, &[(&table, &rows)]).await.unwrap().remove(0);
    assert_eq!(first.entry.ladder, ladder);
    assert_light(&archive, &first.entry, 20_000);
    assert_eq!(read_back(&archive, &first.entry), rows);
    let sizes: Vec<i64> = first
        .entry
        .chunks
        .iter()
        .map(|chunk| match chunk.block {
            Block::Range { lo, hi } => hi - lo + 1,
            other => panic!("{other:?}"),
        })
        .collect();
    for size in [512, 64, 32, 1] {
        assert!(sizes.contains(&size), "no block of {size} among {sizes:?}");
    }
    // Other portions, the same chunks.
    let turned = write_table(&archive, &table, &rows, 7).await.unwrap();
    assert_eq!(turned.entry, first.entry);
    // More rows above: what is closed or was cut since it is heavy stays; the end of the table closes.
    let more = concat_batches(&rows.schema(), [&rows, &note_rows(2_000..4_000)]).unwrap();
    let second = run(&archive, &[(&table, &more)]).await.unwrap().remove(0);
    let settled =
        first.entry.chunks.iter().filter(|chunk| matches!(chunk.block, Block::Range { hi, .. } if hi <= 1_536));
    for chunk in settled {
        assert!(second.entry.chunks.contains(chunk), "{chunk:?} was cut anew");
    }
    assert_light(&archive, &second.entry, 20_000);
    assert_eq!(read_back(&archive, &second.entry), more);
    assert_python_agrees(&archive);
}

#[tokio::test]
async fn buckets_of_heavy_rows_are_cut_finer() {
    let ladder = Ladder::Hash { bits: 1, rows: 300, heavy: 40_000 };
    // With a key, and as a heap, where equal rows lie together.
    for key in [&["Text", "Id"][..], &[]] {
        let table = notes(key);
        let (_folder, archive) = archive_with(&table, ladder.clone()).await;
        let rows = note_rows(1..=1_600);
        let rows =
            if key.is_empty() { concat_batches(&rows.schema(), [&rows, &note_rows(1..=9)]).unwrap() } else { rows };
        let first = run(&archive, &[(&table, &rows)]).await.unwrap().remove(0);
        let Ladder::Hash { bits, rows: 300, heavy: 40_000 } = first.entry.ladder else {
            panic!("{:?}", first.entry.ladder)
        };
        assert!(
            first.entry.chunks.iter().any(|chunk| matches!(chunk.block, Block::Hash { bits: more, .. } if more > bits))
        );
        assert_light(&archive, &first.entry, 40_000);
        let turned = run(&archive, &[(&table, &backwards(&rows))]).await.unwrap().remove(0);
        assert_eq!(turned.entry, first.entry);
        assert_eq!((turned.chunks_new, turned.chunks_encoded), (0, 0));
        assert_eq!(by_id(&read_back(&archive, &first.entry)), by_id(&rows));
        assert_python_agrees(&archive);
    }
}

fn backwards(rows: &RecordBatch) -> RecordBatch {
    let order: arrow::array::UInt32Array = (0..u32::try_from(rows.num_rows()).unwrap()).rev().collect();
    arrow::compute::take_record_batch(rows, &order).unwrap()
}

fn by_id(rows: &RecordBatch) -> RecordBatch {
    let order = arrow::compute::sort_to_indices(rows.column(0), None, None).unwrap();
    arrow::compute::take_record_batch(rows, &order).unwrap()
}

/// A table of pictures at the real bound: two that share a chunk, and one that is heavier than a chunk may be.
#[tokio::test]
async fn a_row_heavier_than_a_chunk_may_be_is_a_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let pictures = table("Pictures", vec![column("Id", "int", false), column("Data", "image", true)], &["Id"]);
    let picture = |mib: usize| vec![7u8; mib << 20];
    let pictures_of = |sizes: [usize; 4]| {
        let data: Vec<Vec<u8>> = sizes.map(picture).into();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2, 3, 4])),
            Arc::new(data.iter().map(|data| Some(data.as_slice())).collect::<BinaryArray>()),
        ];
        RecordBatch::try_new(pictures.arrow_schema(), columns).unwrap()
    };
    let rows = pictures_of([10, 10, 33, 1]);
    let written = run(&archive, &[(&pictures, &rows)]).await.unwrap().remove(0);
    let blocks: Vec<Block> = written.entry.chunks.iter().map(|chunk| chunk.block).collect();
    assert_eq!(blocks, [(1, 2), (3, 3), (4, 4)].map(|(lo, hi)| Block::Range { lo, hi }));
    assert_light(&archive, &written.entry, HEAVY);
    assert_eq!(read_back(&archive, &written.entry), rows);
}

#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_replaced() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = folders.each_ref().map(|folder| Archive::create(folder.path(), "Test").unwrap());
    let rows = order_rows(1..=1_000);
    let good = run(&one, &[(&orders(), &rows)]).await.unwrap().remove(0);
    // What a run that was killed might leave behind on a careless file system: the right name and length, other bytes.
    let [first, second] = &good.entry.chunks[..] else { panic!() };
    fs::create_dir(folders[1].path().join("tables/Orders")).unwrap();
    let whole = fs::read(one.chunk_path(&good.entry, first)).unwrap();
    fs::write(two.chunk_path(&good.entry, first), vec![0; whole.len()]).unwrap();
    fs::copy(one.chunk_path(&good.entry, second), two.chunk_path(&good.entry, second)).unwrap();
    let found = run(&two, &[(&orders(), &rows)]).await.unwrap().remove(0);
    assert_eq!(found.entry, good.entry);
    assert_eq!((found.chunks_encoded, found.new_files), (2, vec![(first.file_name(), first.bytes)]));
    assert_eq!(read_back(&two, &found.entry), rows);
}

#[tokio::test]
async fn what_is_new_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let sum = |written: &TableWritten| written.new_files.iter().map(|file| file.1).sum::<u64>();
    let rows = order_rows(1..=2_000);
    // A table is read, moves, and is read again before the snapshot is written.
    let first = write_table(&archive, &orders(), &rows, 500).await.unwrap();
    assert_eq!((first.new_files.len(), sum(&first)), (4, first.bytes_new));
    let second = write_table(&archive, &orders(), &with_name(&rows, 1_999, "Raki"), 500).await.unwrap();
    assert_eq!((second.new_files.len(), sum(&second), second.chunks_new), (1, second.bytes_new, 1));
    let names: Vec<String> = second.entry.chunks.iter().map(tillvault::archive::snapshot::Chunk::file_name).collect();
    let made: Vec<&String> = first.new_files.iter().chain(&second.new_files).map(|file| &file.0).collect();
    assert_eq!(names.iter().filter(|name| made.contains(name)).count(), 4);
    assert_eq!(made.iter().filter(|name| !names.contains(name)).count(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_rows_is_about_their_table() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let links = |key: &[&str]| table("Links", vec![column("A", "int", false), column("B", "int", true)], key);
    let rows = |table: &Table, a: &[Option<i32>], b: &[Option<i32>]| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(a.to_vec())), Arc::new(Int32Array::from(b.to_vec()))];
        let mut loose = table.clone();
        loose.columns[0].nullable = true;
        RecordBatch::try_new(loose.arrow_schema(), columns).unwrap()
    };
    let some = |values: &[i32]| values.iter().copied().map(Some).collect::<Vec<_>>();
    let null = [Some(1), None];
    let (both, single) = (links(&["A", "B"]), links(&["A"]));
    let mut open = single.clone();
    open.columns[0].nullable = true;
    for (table, a, b, words) in [
        (&single, some(&[1, 1]), some(&[1, 2]), "came twice"),
        (&single, some(&[2, 1]), some(&[1, 2]), "out of order"),
        (&both, some(&[1, 1]), some(&[2, 2]), "came twice"),
        (&single, null.to_vec(), some(&[1, 2]), "NULL"),
        (&open, null.to_vec(), some(&[1, 2]), "without A"),
    ] {
        let error = write_table(&archive, table, &rows(table, &a, &b), 1).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (Kind::Source, false), "{error}");
        assert!(error.message().contains(words) && error.message().contains("Links"), "{error}");
    }
    // A table that failed keeps no place from the others.
    let good = rows(&both, &some(&[1, 1]), &some(&[2, 3]));
    assert_eq!(write_table(&archive, &both, &good, 1).await.unwrap().entry.rows, 2);
}

/// The end of a table and the beginning of the next can overlap: a writer may be finished by another task.
#[tokio::test]
async fn tables_can_be_written_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=5_000);
    let mut ends = Vec::new();
    for name in ["A", "B", "C"] {
        let mut table = orders();
        table.name.name = name.into();
        let mut writer = archive.table_writer(&table, None).unwrap();
        writer.push(rows.clone()).await.unwrap();
        ends.push(tokio::spawn(writer.finish()));
    }
    for end in ends {
        let written = end.await.unwrap().unwrap();
        assert_eq!(read_back(&archive, &written.entry), rows);
    }
}
