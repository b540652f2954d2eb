#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test that cannot go on fails")]
//! A till in DuckDB's memory whose tables become Parquet chunks and snapshots, and the replica they are loaded into.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use rust_decimal::Decimal;
use tillvault::{
    archive::snapshot::{Block, Chunk, Consistency, FORMAT, Ladder, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    config::ReplicaConfig,
    demo::{schema, trade::fixture},
    model::{sql_type::SqlType, table::Table},
    observe::Silent,
    replica::Replica,
};

/// Name of the till database in all tests.
pub(crate) const DATABASE: &str = "SambaPOS5";

/// A composed till and the archive folder its snapshots lie in.
pub(crate) struct Till {
    /// The till's tables, in schema `dbo`.
    pub(crate) conn: Connection,
    folder: tempfile::TempDir,
    tables: Vec<Table>,
    copies: Cell<u32>,
}

impl Till {
    /// An empty till.
    pub(crate) fn new(conn: Connection) -> Self {
        let tables = schema::tables().unwrap();
        schema::create_tables(&conn, &tables).unwrap();
        Self { conn, folder: tempfile::tempdir().unwrap(), tables, copies: Cell::new(0) }
    }

    /// The rows of the report examples.
    pub(crate) fn with_examples() -> Self {
        let till = Self::new(Connection::open_in_memory().unwrap());
        fixture::load_queries_fixture(&till.conn).unwrap();
        till
    }

    /// Archive folder.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Runs SQL on the till.
    pub(crate) fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap();
    }

    /// Gives a column another type, as an update of the till might.
    pub(crate) fn retype(&mut self, table: &str, column: &str, sql_type: &str) {
        let sql_type: SqlType = sql_type.parse().unwrap();
        let stored = schema::duckdb_type(&sql_type).unwrap();
        self.run(&format!("ALTER TABLE dbo.\"{table}\" ALTER COLUMN \"{column}\" TYPE {stored}"));
        let table = self.tables.iter_mut().find(|known| known.name.name == table).unwrap();
        table.columns.iter_mut().find(|known| known.name == column).unwrap().sql_type = sql_type;
    }

    /// The present state as a snapshot.
    pub(crate) fn snapshot(&self, number: u64, epoch: u32) -> Snapshot {
        self.snapshot_without(number, epoch, &[])
    }

    /// As [`Till::snapshot`], as if the till lacked some tables.
    pub(crate) fn snapshot_without(&self, number: u64, epoch: u32, lacking: &[&str]) -> Snapshot {
        let tables = self.tables.iter().filter(|table| !lacking.contains(&table.name.name.as_str()));
        Snapshot {
            format: FORMAT,
            archive: "0123456789abcdef".into(),
            snapshot: number,
            parent: None,
            taken_at: "2026-03-09T03:00:00Z".parse().unwrap(),
            till_time: "2026-03-09T03:00:00".parse().unwrap(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Snapshot,
            source: SourceInfo {
                server: "TILL".into(),
                database: DATABASE.into(),
                version: "14.0".into(),
                collation: "Latin1_General_CI_AS".into(),
            },
            epoch,
            clear: None,
            tags: vec!["nightly".into()],
            tool: "test".into(),
            tables: tables.map(|table| self.entry(table)).collect(),
            missing: Vec::new(),
            reads: Vec::new(),
        }
    }

    fn entry(&self, table: &Table) -> TableEntry {
        let name = table.name.to_string();
        let folder = self.root().join("tables").join(&name);
        let rows: u64 = self
            .conn
            .query_row(&format!("SELECT count(*)::UBIGINT FROM dbo.\"{name}\""), [], |row| row.get(0))
            .unwrap();
        let chunks = if rows == 0 { Vec::new() } else { vec![self.chunk(&folder, &name, rows)] };
        TableEntry { table: table.clone(), folder: name, ladder: Ladder::Whole, rows, chunks }
    }

    fn chunk(&self, folder: &PathBuf, name: &str, rows: u64) -> Chunk {
        fs::create_dir_all(folder).unwrap();
        self.copies.set(self.copies.get() + 1);
        let new = folder.join(format!("new-{}", self.copies.get()));
        self.run(&format!("COPY dbo.\"{name}\" TO '{}' (FORMAT parquet)", new.display()));
        let bytes = fs::read(&new).unwrap();
        let chunk = Chunk {
            file: blake3::hash(&bytes).to_hex().to_string(),
            bytes: bytes.len() as u64,
            rows,
            block: Block::Whole {},
            content: String::new(),
        };
        fs::rename(new, folder.join(chunk.file_name())).unwrap();
        chunk
    }
}

/// Opens the replica of a schema on the shared cluster, as it is.
pub(crate) async fn open(schema: &str) -> Replica {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replica-tests");
    Replica::open(&config(schema), &data, DATABASE).await.unwrap()
}

/// Opens an empty replica in a schema of its own on the shared cluster.
pub(crate) async fn replica(schema: &str) -> Replica {
    let old = open(schema).await;
    old.client().batch_execute(&format!("DROP SCHEMA {} CASCADE", old.schema())).await.unwrap();
    let new = open(schema).await;
    old.close().await.unwrap();
    new
}

/// Settings for the private cluster.
pub(crate) fn config(schema: &str) -> ReplicaConfig {
    ReplicaConfig {
        url: None,
        programs: None,
        schema: schema.into(),
        kitchen_id: 7,
        table_entity_type_id: 2,
        room_entity_type_id: 3,
        customer_entity_type_id: 1,
    }
}

/// An observer.
pub(crate) fn silent() -> Silent {
    Silent
}

/// A count.
pub(crate) async fn count(replica: &Replica, sql: &str) -> i64 {
    replica.client().query_one(sql, &[]).await.unwrap().get(0)
}

/// A text, `""` for NULL.
pub(crate) async fn text(replica: &Replica, sql: &str) -> String {
    replica.client().query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
}

/// A number.
pub(crate) async fn decimal(replica: &Replica, sql: &str) -> Decimal {
    replica.client().query_one(sql, &[]).await.unwrap().get(0)
}
