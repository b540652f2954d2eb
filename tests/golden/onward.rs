//! Every golden archive is written on by the present code, which takes up what is there: an upgrade encodes and uploads nothing.

use std::collections::BTreeSet;

use arrow::{array::RecordBatch, compute::concat_batches};
use tillvault::archive::{
    Archive, TableWritten, layout,
    snapshot::{Snapshot, TableEntry},
};

use crate::{
    copied,
    describe::{assert_same, described, without_files},
    files, golden_archives, make,
};

/// Writes the rows that an entry has once more, in portions, with the entry as the one before.
async fn again(archive: &Archive, entry: &TableEntry) -> TableWritten {
    let chunks: Vec<RecordBatch> = entry.chunks.iter().map(|chunk| archive.read_chunk(entry, chunk).unwrap()).collect();
    let rows = concat_batches(&entry.table.arrow_schema(), &chunks).unwrap();
    let mut writer = archive.table_writer(&entry.table, Some(entry)).unwrap();
    for at in (0..rows.num_rows()).step_by(1_000) {
        writer.push(rows.slice(at, 1_000.min(rows.num_rows() - at))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

#[tokio::test]
async fn the_same_rows_make_the_same_blocks_and_no_file() {
    for golden in golden_archives() {
        let folder = copied(&golden.root);
        let archive = Archive::open(folder.path()).unwrap();
        let mut seen = Vec::new();
        for number in archive.snapshot_numbers().unwrap() {
            for entry in archive.snapshot(number).unwrap().tables {
                if seen.contains(&entry) {
                    continue;
                }
                let written = again(&archive, &entry).await;
                assert_eq!(written.entry, entry, "{} {number}", golden.name);
                assert_eq!((written.chunks_encoded, written.chunks_new), (0, 0), "{} {number}", golden.name);
                seen.push(entry);
            }
        }
        assert_eq!(files(folder.path()), files(&golden.root), "{}", golden.name);
    }
}

#[tokio::test]
async fn a_golden_archive_gets_one_more_snapshot() {
    for golden in golden_archives() {
        let folder = copied(&golden.root);
        let archive = Archive::open(folder.path()).unwrap();
        let before = archive.latest().unwrap().unwrap();
        let lock = archive.lock().unwrap();
        let mut tables = Vec::new();
        for entry in &before.tables {
            let written = again(&archive, entry).await;
            assert_eq!((written.chunks_encoded, written.entry.ladder == entry.ladder), (0, true), "{}", golden.name);
            tables.push(written.entry);
        }
        let (snapshot, parent) = archive.next_link().unwrap();
        let next = Snapshot { snapshot, parent, tables, clear: None, ..before.clone() };
        archive.write_snapshot(&next).await.unwrap();
        archive.write_index(false).await.unwrap();
        drop(lock);
        assert_eq!(next.tables, before.tables);
        archive.verify_chain().unwrap();
        assert_eq!(archive.latest().unwrap().unwrap(), next);
        let mut expected: BTreeSet<String> = files(&golden.root).into_iter().collect();
        expected.extend([layout::snapshot_path(snapshot), layout::LOCK_FILE.to_owned()]);
        assert_eq!(files(folder.path()), expected.into_iter().collect::<Vec<_>>(), "{}", golden.name);
    }
}

#[tokio::test]
async fn the_present_writer_makes_what_v1_holds() {
    let golden = golden_archives().remove(0);
    let folder = tempfile::tempdir().unwrap();
    let archive = make::made(folder.path()).await;
    assert_same(&without_files(described(&archive)), &without_files(golden.holds), &golden.name);
}
