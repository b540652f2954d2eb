//! A small archive folder written with DuckDB's own Parquet writer, for the tests of history.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use tillvault::{
    archive::snapshot::{Block, Chunk, Consistency, Ladder, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    model::table::{Column, Table, TableName},
};

/// An archive folder under construction. The folder name has characters that patterns and SQL would stumble over.
pub(crate) struct Folder {
    _temp: tempfile::TempDir,
    pub(crate) root: PathBuf,
    writer: Connection,
    files: u64,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("arch [1]* it's?");
        std::fs::create_dir_all(root.join("tables")).unwrap();
        Self { _temp: temp, root, writer: Connection::open_in_memory().unwrap(), files: 0 }
    }

    /// A table of the given `name type` columns whose chunks hold the rows of the given SELECTs.
    pub(crate) fn table(&mut self, name: TableName, columns: &[(&str, &str)], selects: &[&str]) -> TableEntry {
        let folder = name.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        std::fs::create_dir_all(self.root.join("tables").join(&folder)).unwrap();
        let chunks: Vec<Chunk> = selects.iter().map(|select| self.chunk(&folder, select)).collect();
        TableEntry {
            table: Table {
                name,
                columns: columns
                    .iter()
                    .map(|(name, kind)| Column {
                        name: (*name).into(),
                        sql_type: kind.parse().unwrap(),
                        nullable: true,
                        ..Column::default()
                    })
                    .collect(),
                key: vec![],
                ..Table::default()
            },
            folder,
            ladder: Ladder::Whole,
            rows: chunks.iter().map(|chunk| chunk.rows).sum(),
            chunks,
        }
    }

    fn chunk(&mut self, folder: &str, select: &str) -> Chunk {
        self.files += 1;
        let file = format!("{:064x}", self.files);
        let plain = self.root.parent().unwrap().join(format!("{file}.parquet"));
        let plain_name = plain.to_str().unwrap();
        self.writer.execute_batch(&format!("COPY ({select}) TO '{plain_name}' (FORMAT parquet)")).unwrap();
        let rows: i64 = self
            .writer
            .query_row(&format!("SELECT count(*) FROM read_parquet('{plain_name}')"), [], |row| row.get(0))
            .unwrap();
        let bytes = std::fs::metadata(&plain).unwrap().len();
        let chunk =
            Chunk { file, bytes, rows: u64::try_from(rows).unwrap(), block: Block::Whole {}, content: String::new() };
        std::fs::rename(plain, self.path(folder, &chunk)).unwrap();
        chunk
    }

    pub(crate) fn path(&self, folder: &str, chunk: &Chunk) -> PathBuf {
        self.root.join("tables").join(folder).join(chunk.file_name())
    }
}

/// A snapshot of these tables.
pub(crate) fn snapshot(number: u64, taken_at: &str, tables: Vec<TableEntry>) -> Snapshot {
    Snapshot {
        format: 1,
        archive: "test".into(),
        snapshot: number,
        parent: None,
        taken_at: taken_at.parse().unwrap(),
        till_time: "2026-10-01T03:00:00".parse().unwrap(),
        kind: SnapshotKind::Full,
        consistency: Consistency::Snapshot,
        source: SourceInfo { server: "T".into(), database: "D".into(), version: "11".into(), collation: "C".into() },
        epoch: 1,
        clear: None,
        tags: vec![],
        tool: "test".into(),
        tables,
        missing: vec![],
        reads: Vec::new(),
    }
}

/// Every file below a folder, with its length.
pub(crate) fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}
