//! Ways to keep the till's state: archives with a ladder each, and a whole-table Parquet file per table and night.

use std::{path::PathBuf, sync::Arc};

use arrow::compute::concat_batches;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use tillvault::{
    archive::{
        Archive, blocks, content_hash, parquet,
        snapshot::{Consistency, FORMAT, Ladder, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    demo::schema,
    model::table::Table,
};

use crate::{
    filler,
    trade::{TABLES, Trade},
};

/// What one step cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// New files, the snapshot's own file apart.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Length of the snapshot's file; 0 where there is none.
    pub(crate) snapshot: u64,
}

impl Cost {
    pub(crate) fn all_bytes(self) -> u64 {
        self.bytes + self.snapshot
    }

    pub(crate) fn all_objects(self) -> u64 {
        self.objects + u64::from(self.snapshot > 0)
    }
}

/// An archive whose trade tables are cut by one ladder. Its snapshots name every table of the schema: those that trade does
/// not move hold a few rows each, and stay as they are.
pub(crate) struct Ladders {
    archive: Archive,
    open: u32,
    closed: u32,
    /// The newest snapshot.
    newest: Option<Snapshot>,
    standing: Vec<TableEntry>,
    _folder: TempDir,
}

impl Ladders {
    pub(crate) async fn create(open: u32, closed: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Archive::create(folder.path(), "bench").unwrap();
        // Bytes are counted here, not seconds: nothing is synced to the disk.
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let archive = Archive::open_with_store(folder.path(), Arc::new(store)).unwrap();
        let mut standing = Vec::new();
        for table in schema::tables().unwrap() {
            if !TABLES.contains(&table.name.name.as_str()) {
                let mut writer = archive.table_writer(&table, None).unwrap();
                writer.push(filler::rows(&table)).await.unwrap();
                standing.push(writer.finish().await.unwrap().entry);
            }
        }
        Self { archive, open, closed, newest: None, standing, _folder: folder }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}–{}", thousands(self.open), thousands(self.closed))
    }

    /// Takes a snapshot, as `snapshot` does: none when nothing changed.
    pub(crate) async fn take(&mut self, trade: &mut Trade) -> Option<Cost> {
        let mut cost = Cost::default();
        let mut entries = self.standing.clone();
        for rows in &mut trade.tables {
            let empty = self.empty_entry(rows.table());
            let before = self.newest.as_ref().and_then(|newest| newest.table(&rows.table().name.to_string()));
            let mut writer = self.archive.table_writer(rows.table(), before.or(Some(&empty))).unwrap();
            for batch in rows.batches() {
                writer.push(batch).await.unwrap();
            }
            let written = writer.finish().await.unwrap();
            assert_eq!(written.entry.ladder, empty.ladder);
            assert_eq!(written.entry.rows, rows.len() as u64);
            cost.objects += written.chunks_new;
            cost.bytes += written.bytes_new;
            entries.push(written.entry);
        }
        entries.sort_by_key(|entry| entry.table.name.to_string());
        if self.newest.as_ref().is_some_and(|newest| newest.tables == entries) {
            return None;
        }
        let (number, parent) = self.archive.next_link().unwrap();
        let snapshot = Snapshot {
            format: FORMAT,
            archive: self.archive.id().to_owned(),
            snapshot: number,
            parent,
            taken_at: Timestamp::now(),
            till_time: jiff::civil::date(2026, 3, 1).at(4, 0, 0, 0),
            kind: SnapshotKind::Full,
            consistency: Consistency::Snapshot,
            source: SourceInfo {
                server: "TILL\\SAMBAPOS".into(),
                database: "SambaPOS5".into(),
                version: "15.0.2000.5".into(),
                collation: schema::COLLATION.into(),
            },
            epoch: 1,
            clear: None,
            tags: Vec::new(),
            tool: env!("CARGO_PKG_VERSION").into(),
            tables: entries,
            missing: Vec::new(),
            reads: Vec::new(),
        };
        self.archive.write_snapshot(&snapshot).await.unwrap();
        cost.snapshot = self.archive.snapshot_object(number).unwrap().bytes;
        self.newest = Some(snapshot);
        Some(cost)
    }

    /// What makes a table begin with this ladder.
    fn empty_entry(&self, table: &Table) -> TableEntry {
        TableEntry {
            table: table.clone(),
            folder: table.name.name.clone(),
            ladder: Ladder::Range {
                column: table.key[0].clone(),
                open: self.open,
                closed: self.closed,
                heavy: blocks::HEAVY,
            },
            rows: 0,
            chunks: Vec::new(),
        }
    }

    /// The newest snapshot's files of the trade tables; those of one table, if named.
    pub(crate) fn files(&self, table: Option<&str>) -> Vec<PathBuf> {
        let entries = self.newest.iter().flat_map(|newest| &newest.tables);
        let wanted = entries.filter(|entry| {
            let name = entry.table.name.name.as_str();
            table.map_or(TABLES.contains(&name), |table| table == name)
        });
        wanted.flat_map(|entry| entry.chunks.iter().map(|chunk| self.archive.chunk_path(entry, chunk))).collect()
    }
}

/// A file per table, written anew whenever the table changed: no blocks, no snapshot files.
pub(crate) struct WholeTables {
    /// Content of the newest file per table.
    contents: Vec<String>,
    folder: TempDir,
}

impl WholeTables {
    pub(crate) fn create() -> Self {
        Self { contents: vec![String::new(); TABLES.len()], folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn take(&mut self, trade: &mut Trade) -> Cost {
        let mut cost = Cost::default();
        for ((rows, known), name) in trade.tables.iter_mut().zip(&mut self.contents).zip(TABLES) {
            let all = concat_batches(&rows.table().arrow_schema(), &rows.batches()).unwrap();
            let content = content_hash::content_hash(&all).unwrap().to_hex().to_string();
            if *known != content {
                *known = content;
                let file = parquet::encode(&all, rows.table()).unwrap();
                cost.objects += 1;
                cost.bytes += file.len() as u64;
                std::fs::write(whole_file(&self.folder, name), file).unwrap();
            }
        }
        cost
    }

    pub(crate) fn file(&self, table: &str) -> PathBuf {
        whole_file(&self.folder, table)
    }
}

fn whole_file(folder: &TempDir, table: &str) -> PathBuf {
    folder.path().join(format!("{table}.parquet"))
}

fn thousands(number: u32) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
