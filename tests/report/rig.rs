//! Private replicas in a temporary folder, and an archive of the report examples' till to load it from.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use tempfile::TempDir;
use tillvault::{
    Error, Kind, Result,
    archive::{
        Archive,
        snapshot::{Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    config::ReplicaConfig,
    model::table::Table,
    observe::Silent,
    replica::Replica,
    report::{
        Backends, LiveConnection, SourceChoice, answer::Report, definition::ReportRequest, replica::ReplicaReports, run,
    },
};

use crate::engine::{archived, till};

pub(crate) const DATABASE: &str = "SambaPOS5";
const KITCHEN: i32 = 1;

/// A private cluster of its own, running until [`Server::stop`]. Making one takes seconds, so tests share it by schema.
pub(crate) struct Server {
    // Dropped before its folder: that stops the server of a test that failed.
    keeper: Replica,
    folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keeper = open(folder.path(), "keeper").await;
        Self { keeper, folder }
    }

    /// An empty replica in a schema of that name.
    pub(crate) async fn replica(&self, schema: &str) -> Rig {
        Rig { replica: open(self.folder.path(), schema).await }
    }

    pub(crate) async fn stop(self) {
        self.keeper.close().await.unwrap();
    }
}

async fn open(data: &Path, schema: &str) -> Replica {
    let config = ReplicaConfig {
        url: None,
        programs: None,
        schema: schema.into(),
        kitchen_id: KITCHEN,
        table_entity_type_id: 2,
        room_entity_type_id: 3,
        customer_entity_type_id: 1,
    };
    Replica::open(&config, data, DATABASE).await.unwrap()
}

/// One replica. Call [`Rig::close`] at the end.
pub(crate) struct Rig {
    pub(crate) replica: Replica,
}

impl Rig {
    pub(crate) fn reports(&self) -> ReplicaReports<'_> {
        let (client, schema) = (self.replica.client(), self.replica.schema());
        ReplicaReports { client, schema, kitchen_id: KITCHEN, source_database: DATABASE }
    }

    /// Asks the replica alone.
    pub(crate) async fn ask(&self, request: &ReportRequest) -> Result<Report> {
        self.choose(request, SourceChoice::Replica, no_till()).await
    }

    /// Asks by choice; the till is given.
    pub(crate) async fn choose<'a>(
        &'a self,
        request: &ReportRequest,
        choice: SourceChoice,
        live: LiveConnection<'a>,
    ) -> Result<Report> {
        let now = "2026-03-05T00:00:00Z".parse().unwrap();
        run(request, choice, Backends { replica: Ok(self.reports()), live, now }).await
    }

    pub(crate) async fn close(self) {
        self.replica.close().await.unwrap();
    }
}

pub(crate) fn no_till<'a>() -> LiveConnection<'a> {
    Box::pin(async { Err(Error::new(Kind::Source, "there is no till here")) })
}

/// The report examples' till with an archive that snapshots of it go into.
pub(crate) struct Site {
    pub(crate) till: Connection,
    tables: Vec<Table>,
    archive: Archive,
    entries: Vec<TableEntry>,
    _folder: TempDir,
}

impl Site {
    /// With the rows of the examples.
    pub(crate) fn new() -> Self {
        let (till, tables) = till();
        Self::over(till, tables)
    }

    /// Over tables that somebody else fills.
    pub(crate) fn over(till: Connection, tables: Vec<Table>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root: PathBuf = folder.path().join("archive");
        let archive = Archive::create(&root, "Test").unwrap();
        Self { till, tables, archive, entries: vec![], _folder: folder }
    }

    /// Takes a snapshot at 03:00 of that day and loads it.
    pub(crate) async fn load(&mut self, rig: &mut Rig, day: &str) {
        self.entries = archived(&self.archive, &self.till, &self.tables, &self.entries).await;
        let (number, parent) = self.archive.next_link().unwrap();
        let snapshot = Snapshot {
            format: FORMAT,
            archive: self.archive.id().to_owned(),
            snapshot: number,
            parent,
            taken_at: format!("{day}T03:00:00Z").parse().unwrap(),
            till_time: format!("{day}T03:00:00").parse().unwrap(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Snapshot,
            source: SourceInfo {
                server: "TILL".into(),
                database: DATABASE.into(),
                version: "14.0.1000.169".into(),
                collation: "Latin1_General_CI_AS".into(),
            },
            epoch: 1,
            clear: None,
            tags: vec![],
            tool: "test".into(),
            tables: self.entries.clone(),
            missing: vec![],
            reads: Vec::new(),
        };
        self.archive.write_snapshot(&snapshot).await.unwrap();
        rig.replica.load(self.archive.root(), &snapshot, &Silent).await.unwrap();
    }
}
