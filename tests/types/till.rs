//! A demo till with exact tables, and snapshots of it.

use std::{path::Path, process::Command};

use arrow::{array::RecordBatch, compute::concat_batches};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Snapshot, TableEntry},
    },
    config::Config,
    demo::{Engine, EngineOptions, ExactTable, Server, ServerOptions},
    observe::silent,
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    source::sqlserver::SqlServer,
};

/// Settings that make the reader: every test runs with each.
pub(crate) const READERS: [&str; 2] = ["reader = 'fast'", "reader = 'tiberius'"];

/// A server with these tables. A reader that cannot decode a text asks for it once more in another form, which ends a read
/// transaction: so not every test has one.
pub(crate) async fn serve(tables: Vec<ExactTable>, allow_snapshot_isolation: bool) -> Server {
    let engine = Engine::new(&[], EngineOptions { allow_snapshot_isolation, ..EngineOptions::default() }).unwrap();
    for table in tables {
        engine.add_exact_table(table).unwrap();
    }
    let options = ServerOptions { user: "reader".into(), password: "x".into(), ..ServerOptions::default() };
    Server::start(engine, options).await.unwrap()
}

/// Takes a snapshot of everything the server has into a new archive in `folder`.
pub(crate) async fn take(server: &Server, reader: &str, folder: &Path) -> (Archive, SnapshotOutcome) {
    let text = format!(
        "[till]\nsambapos_db_host = '127.0.0.1'\nsambapos_db_port = {}\nsambapos_db_name = 'SambaPOS5'\n\
         sambapos_db_username = 'reader'\nsambapos_db_password_file = 'p'\nencryption = 'off'\n{reader}\n",
        server.port()
    );
    std::fs::write(folder.join("p"), "x").unwrap();
    let config = Config::parse(&text, &folder.join("tillvault.toml"), folder, &|_| None).unwrap();
    let mut till = SqlServer::connect(config.till().unwrap()).await.unwrap();
    let archive = Archive::create(&folder.join("archive"), "types").unwrap();
    let outcome = snapshot(&archive, &mut till, &SnapshotOptions::default(), &silent()).await.unwrap();
    (archive, outcome)
}

pub(crate) fn newest(archive: &Archive) -> Snapshot {
    archive.latest().unwrap().unwrap()
}

/// All rows of a table, in the order of their blocks.
pub(crate) fn rows(archive: &Archive, entry: &TableEntry) -> RecordBatch {
    let chunks: Vec<_> = entry.chunks.iter().map(|chunk| archive.read_chunk(entry, chunk).unwrap()).collect();
    concat_batches(&entry.table.arrow_schema(), &chunks).unwrap()
}

/// A script of tests/python, ready for its arguments.
pub(crate) fn python(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: {} is not there; scripts/setup.sh makes it", python.display());
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests/python").join(script));
    Some(command)
}
