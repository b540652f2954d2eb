//! The whole way from a till into an archive, against any SQL Server that somebody names:
//! `TILLVAULT_TEST_MSSQL=mssql://USER:PASSWORD@HOST:PORT/DATABASE?encryption=off`, or the path of a settings file.
//!
//! Further words of the address: `trust_server_certificate=false`, `ca_file=PATH`. Signs are percent-encoded as in any address.
//! Nothing is written to the server, which should be at rest meanwhile: two readers are compared. Without the variable the
//! same is asked of a demo till.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::{fmt::Write as _, path::Path};

use tempfile::TempDir;
use tillvault::{
    archive::{Archive, snapshot::TableEntry},
    config::{Config, RowReader, TillConfig},
    demo::{DemoTill, TillOptions},
    observe::silent,
    ops::{
        doctor::{self, Part, Verdict},
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    },
    source::{Source as _, sqlserver::SqlServer},
};
use url::Url;

const VARIABLE: &str = "TILLVAULT_TEST_MSSQL";

/// Settings from an address; archive and data lie in `folder`.
fn settings(address: &str, folder: &Path) -> Config {
    let url = Url::parse(address).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    assert_eq!(url.scheme(), "mssql", "{VARIABLE} begins with mssql://");
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let mut text = format!(
        "[till]\nsambapos_db_host = {}\nsambapos_db_port = {}\nsambapos_db_name = {}\nsambapos_db_username = {}\n",
        quoted(&plain(url.host_str().unwrap())),
        url.port().unwrap_or(1433),
        quoted(&plain(url.path().trim_start_matches('/'))),
        quoted(&plain(url.username())),
    );
    for (key, value) in url.query_pairs() {
        let is_word = ["true", "false"].contains(&&*value);
        let _ = writeln!(text, "{key} = {}", if is_word { value.into_owned() } else { quoted(&value) });
    }
    let password = plain(url.password().unwrap_or_default());
    let environment = |name: &str| (name == "TILLVAULT_SAMBAPOS_DB_PASSWORD").then(|| password.clone());
    Config::parse(&text, Path::new(VARIABLE), folder, &environment).unwrap()
}

async fn take(root: &Path, till: &TillConfig, quick: bool) -> (SnapshotOutcome, Vec<TableEntry>) {
    let archive = Archive::open(root).unwrap();
    let mut source = SqlServer::connect(till).await.unwrap();
    let options = SnapshotOptions { selection: till.tables.clone(), quick, ..SnapshotOptions::default() };
    let outcome = snapshot(&archive, &mut source, &options, &silent()).await.unwrap();
    let number = outcome.snapshot;
    (outcome, archive.snapshot(number).unwrap().tables)
}

/// Describes, reads with both readers, reads quickly twice, and asks the doctor.
async fn goes_all_the_way(config: &Config, folder: &Path) {
    let till = config.till().unwrap();
    let mut source = SqlServer::connect(till).await.unwrap();
    let info = source.describe().await.unwrap();
    let tables = source.tables(&till.tables).await.unwrap();
    drop(source);
    eprintln!("{} {} {}: {} tables", info.server, info.version, info.edition, tables.len());
    assert!(!info.version.is_empty() && !tables.is_empty());

    let mut taken = Vec::new();
    for reader in [RowReader::Fast, RowReader::Tiberius] {
        let root = folder.join(format!("{reader:?}"));
        drop(Archive::create(&root, "Live").unwrap());
        let till = TillConfig { reader, ..till.clone() };
        let (outcome, entries) = take(&root, &till, false).await;
        eprintln!("{reader:?}: {} rows in {:.1} s, {:?}", outcome.rows, outcome.seconds, outcome.missing);
        assert_eq!(outcome.tables.len() + outcome.missing.len(), tables.len());
        for pass in ["first", "second"] {
            let (quick, _) = take(&root, &till, true).await;
            eprintln!("{reader:?}, {pass} quick run: {} rows read, unchanged {}", quick.rows_read, quick.unchanged);
            assert!(quick.unchanged, "nothing changed in between");
            assert!(quick.rows_read <= outcome.rows_read);
        }
        taken.push((entries, outcome.missing));
    }
    let content = |entries: &[TableEntry]| -> Vec<(String, u64, Vec<String>)> {
        let hashes = |entry: &TableEntry| entry.chunks.iter().map(|chunk| chunk.content.clone()).collect();
        entries.iter().map(|entry| (entry.table.name.to_string(), entry.rows, hashes(entry))).collect()
    };
    assert_eq!(content(&taken[0].0), content(&taken[1].0), "the readers disagree");
    assert_eq!(taken[0].1, taken[1].1, "the readers disagree on what cannot be read");

    for check in Box::pin(doctor::look(config, &[Part::Till])).await {
        eprintln!("doctor: {:?} {}: {}", check.verdict, check.name, check.message);
        assert_ne!(check.verdict, Verdict::Failed, "{check:?}");
    }
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "live tests are chosen by environment variables")]
async fn a_live_till_is_read_all_the_way() {
    let Ok(named) = std::env::var(VARIABLE) else {
        eprintln!("SKIPPED: {VARIABLE} names no server");
        return;
    };
    let folder = TempDir::new().unwrap();
    let config = if named.starts_with("mssql://") {
        settings(&named, folder.path())
    } else {
        Config {
            archive: folder.path().join("none"),
            remotes: vec![],
            ..Config::load(Some(Path::new(&named))).unwrap()
        }
    };
    goes_all_the_way(&config, folder.path()).await;
}

#[tokio::test]
async fn a_demo_till_is_read_all_the_way() {
    let till = DemoTill::start(TillOptions { days: 1, tickets_per_day: 10, ..TillOptions::default() }).await.unwrap();
    let folder = TempDir::new().unwrap();
    let address = format!("mssql://tillvault:demo@127.0.0.1:{}/SambaPOS5?encryption=off", till.port());
    goes_all_the_way(&settings(&address, folder.path()), folder.path()).await;
}
