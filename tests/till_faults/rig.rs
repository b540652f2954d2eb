//! A small till, an archive that knows its state of yesterday, and what a run may and may not do when something goes wrong.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tillvault::{
    Error,
    archive::{Archive, snapshot::TableEntry},
    config::{Encryption, RowReader, TillConfig},
    demo::{Engine, EngineOptions, Server, fault::Answer, schema},
    model::{
        sql_type::SqlType,
        table::{Column, Table, TableName},
    },
    observe::silent,
    ops::{
        check::{CheckOptions, check, part::Part},
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    },
    source::sqlserver::SqlServer,
};

use crate::till::{PASSWORD, config, fill, serve};

/// Rows of `Orders`: more than a first page has.
pub(crate) const ORDERS: usize = 530;

/// A table without a key: read in one statement.
pub(crate) fn notes() -> Table {
    let words = Column::new("Words", SqlType::NVarChar { length: None });
    Table::new(TableName::dbo("Notes"), vec![Column::new("Shelf", SqlType::Int), words])
}

pub(crate) fn table(name: &str) -> Table {
    schema::tables().unwrap().into_iter().find(|table| table.name.name == name).unwrap()
}

/// A table of the till with these columns only, so that a run is quick.
fn slim(name: &str, columns: &[&str]) -> Table {
    let whole = table(name);
    let kept = whole.columns.into_iter().filter(|column| columns.contains(&column.name.as_str())).collect();
    let foreign = whole.foreign_keys.into_iter().filter(|key| columns.contains(&key.columns[0].as_str()));
    Table { foreign_keys: foreign.collect(), ..Table::new(whole.name, kept).with_key(&["Id"]) }
}

/// The settings of every reader for this server.
pub(crate) fn readers(server: &Server) -> Vec<TillConfig> {
    [RowReader::Fast, RowReader::Tiberius].map(|reader| TillConfig { reader, ..config(server) }).to_vec()
}

/// The reader of these settings, for messages.
pub(crate) fn reader_of(config: &TillConfig) -> &'static str {
    if config.reader == RowReader::Fast { "the fast reader" } else { "the slow reader" }
}

/// A till of a few tables, and archives of it.
pub(crate) struct Rig {
    pub(crate) server: Server,
    folder: TempDir,
    cases: std::cell::Cell<usize>,
    /// The tables as a full run that saw no fault has them.
    truth: Vec<TableEntry>,
    /// Whether runs are quick ones.
    quick: bool,
}

/// What a run with a fault gave.
pub(crate) struct Struck {
    /// Whether the fault came about.
    pub(crate) fired: bool,
    pub(crate) outcome: Result<SnapshotOutcome, Error>,
    pub(crate) took: Duration,
    root: PathBuf,
}

impl Rig {
    /// Full runs.
    pub(crate) async fn new(allow_snapshot_isolation: bool) -> Self {
        Self::build(allow_snapshot_isolation, false).await
    }

    /// Quick runs, which know the checksums of yesterday's rows: each asks for sums and goes on from them.
    pub(crate) async fn quick(allow_snapshot_isolation: bool) -> Self {
        Self::build(allow_snapshot_isolation, true).await
    }

    async fn build(allow_snapshot_isolation: bool, quick: bool) -> Self {
        let tables = [
            slim("Tickets", &["Id", "TicketNumber", "Date", "LastUpdateTime", "TotalAmount", "IsClosed"]),
            slim("Orders", &["Id", "TicketId", "MenuItemName", "Quantity"]),
            slim("Payments", &["Id", "TicketId", "Amount"]),
            slim("MenuItems", &["Id", "Name", "GroupCode"]),
            notes(),
        ];
        let options = EngineOptions { allow_snapshot_isolation, ..EngineOptions::default() };
        let engine = Engine::new(&tables, options).unwrap();
        for (table, rows) in tables.iter().zip([20, ORDERS, 40, 5, 30]) {
            fill(&engine, table, rows);
        }
        let server = serve(engine, Encryption::Off).await;
        let folder = scratch();
        let mut rig = Self { server, folder, cases: 0.into(), truth: Vec::new(), quick: false };
        drop(Archive::create(&rig.path("yesterday"), "Test").unwrap());
        rig.run(&rig.path("yesterday"), &config(&rig.server)).await.unwrap();
        if quick {
            // It adds no snapshot, but notes the sums.
            let options = SnapshotOptions { quick, ..SnapshotOptions::default() };
            let warmed = Box::pin(rig.run_as(&rig.path("yesterday"), &config(&rig.server), &options)).await.unwrap();
            assert!(warmed.unchanged);
        }
        // The last orders stay what they are: quick runs keep them.
        rig.change(
            "UPDATE dbo.Orders SET Quantity = 7 WHERE Id % 10 = 3 AND Id < 500; DELETE FROM dbo.Payments WHERE Id > 38",
        );
        rig.learn_truth().await;
        rig.quick = quick;
        if quick {
            rig.is_quick_indeed().await;
        }
        rig
    }

    /// A quick run comes to the truth without reading all orders, and one that finds nothing changed without reading any.
    async fn is_quick_indeed(&self) {
        let root = self.yesterday();
        for (expected, unchanged) in [(1..ORDERS as u64, false), (0..1, true)] {
            let taken = self.run(&root, &config(&self.server)).await.unwrap();
            let orders = taken.tables.iter().find(|table| table.name == "Orders").unwrap();
            assert!(expected.contains(&orders.rows_read), "{orders:?}");
            assert_eq!(taken.unchanged, unchanged);
            assert!(newest(&root).1 == self.truth, "a quick run is not like a full one");
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.server.engine()
    }

    /// Changes the till.
    pub(crate) fn change(&self, script: &str) {
        self.engine().connection().unwrap().execute_batch(script).unwrap();
    }

    /// What the till has now is the truth.
    async fn learn_truth(&mut self) {
        let root = self.yesterday();
        self.run(&root, &config(&self.server)).await.unwrap();
        self.truth = newest(&root).1;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh copy of the archive that holds yesterday's state.
    pub(crate) fn yesterday(&self) -> PathBuf {
        self.cases.set(self.cases.get() + 1);
        let root = self.path(&format!("case-{}", self.cases.get()));
        copy(&self.path("yesterday"), &root);
        root
    }

    /// One run into an archive, as the command does it.
    pub(crate) async fn run(&self, root: &Path, config: &TillConfig) -> Result<SnapshotOutcome, Error> {
        let options = SnapshotOptions { quick: self.quick, ..SnapshotOptions::default() };
        // In a box: futures of tests would grow deeper than the compiler likes.
        Box::pin(self.run_as(root, config, &options)).await
    }

    async fn run_as(
        &self,
        root: &Path,
        config: &TillConfig,
        options: &SnapshotOptions,
    ) -> Result<SnapshotOutcome, Error> {
        let archive = Archive::open(root)?;
        let mut till = SqlServer::connect(config).await?;
        snapshot(&archive, &mut till, options, &silent()).await
    }

    /// The answers of a run that sees no fault, in order.
    pub(crate) async fn answers(&self, config: &TillConfig) -> Vec<Answer> {
        self.server.faults().keep_answers();
        self.run(&self.yesterday(), config).await.unwrap();
        self.server.faults().take_answers()
    }

    /// A run that meets what is armed; nothing stays armed.
    pub(crate) async fn strike(&self, config: &TillConfig) -> Struck {
        let root = self.yesterday();
        let start = Instant::now();
        let outcome = self.run(&root, config).await;
        let took = start.elapsed();
        let fired = self.server.faults().are_spent();
        self.server.faults().clear();
        Struck { fired, outcome, took, root }
    }

    /// What must hold whatever happened: the snapshot of before is whole, a snapshot was added only when it is true, and the
    /// next run completes and equals one that never saw a fault. Tables that were recorded as missing are returned.
    pub(crate) async fn survives(&self, what: &str, struck: Struck, config: &TillConfig) -> Vec<String> {
        let Struck { outcome, root, took, .. } = struck;
        assert!(took < Duration::from_secs(30), "{what}: took {took:?}");
        let options = CheckOptions { read_data: Some(Part::ALL), ..CheckOptions::default() };
        let checked = check(&Arc::new(Archive::open(&root).unwrap()), &options, &silent()).await.unwrap();
        let damage = checked.findings.iter().any(|f| f.level == tillvault::ops::check::finding::Level::Damage);
        assert!(!damage, "{what}: {:#?}", checked.findings);
        let (number, tables) = newest(&root);
        let missing = match &outcome {
            Err(error) => {
                assert_eq!(number, 1, "{what}: a run that failed added a snapshot");
                speaks_plainly(what, error);
                Vec::new()
            }
            Ok(taken) => {
                assert_eq!(number, 2, "{what}");
                let missing: Vec<String> = taken.missing.iter().map(|missing| missing.table.clone()).collect();
                assert!(taken.missing.iter().all(|missing| missing.last_in == Some(1)), "{what}: {:?}", taken.missing);
                let told = |entry: &&TableEntry| !missing.contains(&entry.table.name.to_string());
                let truth: Vec<&TableEntry> = self.truth.iter().filter(told).collect();
                assert!(truth.iter().copied().eq(&tables), "{what}: the snapshot is not what the till has");
                missing
            }
        };
        self.run(&root, config).await.unwrap_or_else(|error| panic!("{what}, the next run: {error:?}"));
        assert!(newest(&root).1 == self.truth, "{what}: the next run is not like one that saw no fault");
        std::fs::remove_dir_all(root).unwrap();
        missing
    }
}

/// A folder, in memory where the machine has such: hundreds of runs wait for no disk. What a disk may do to an archive is the
/// matter of other tests.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Number and tables of the newest snapshot.
fn newest(root: &Path) -> (u64, Vec<TableEntry>) {
    let archive = Archive::open(root).unwrap();
    let number = *archive.snapshot_numbers().unwrap().last().unwrap();
    (number, archive.snapshot(number).unwrap().tables)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All an error says: message, next step, causes.
pub(crate) fn all_words(error: &Error) -> String {
    let mut words = format!("{error} | {}", error.next_step().unwrap_or_default());
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words} | {inner}");
        cause = inner.source();
    }
    words
}

/// An error is for people: a next step, no debug output, no words of the driver in the message, no secret.
pub(crate) fn speaks_plainly(what: &str, error: &Error) {
    let words = all_words(error);
    assert!(error.next_step().is_some_and(|step| !step.is_empty()), "{what}: no next step: {words}");
    for ugly in ["panicked", "Os {", "Custom {", "Some(", "Err(", "kind:", "unwrap", "src/", ".rs:", PASSWORD] {
        assert!(!words.contains(ugly), "{what}: '{ugly}' in: {words}");
    }
    for jargon in ["tiberius", "mssql", "TDS", "token", "Token", "packet", "EOF", "decode", "stream", "panic", "codec"]
    {
        assert!(!error.message().contains(jargon), "{what}: '{jargon}' in: {}", error.message());
    }
}
