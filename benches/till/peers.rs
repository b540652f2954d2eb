//! What else reads such a table: tiberius and mssql-tds that throw the rows away, odbc2parquet over FreeTDS, ConnectorX.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;

use crate::server::Target;

/// A program that reads a table over TDS, with its arguments.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// The bare drain, as a process of its own.
pub(crate) fn drain(target: &Target, query: &str) -> Peer {
    let program = std::env::current_exe().unwrap();
    let arguments = vec!["--drain".into(), target.spelled(), query.into()];
    Peer { name: "tiberius, thrown away", program, arguments }
}

/// odbc2parquet over FreeTDS and ConnectorX, those that are installed (`scripts/bench.sh` does that) and can connect.
pub(crate) fn others(target: &Target, query: &str, tools: &Path) -> Vec<Peer> {
    let mut peers = Vec::new();
    let odbc2parquet = tools.join("bin/odbc2parquet");
    let driver = Path::new("/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so");
    if odbc2parquet.exists() && driver.exists() {
        let connection = format!(
            "Driver={};Server={};Port={};Database={};UID={};PWD={};TDS_Version=7.4;ClientCharset=UTF-8",
            driver.display(),
            target.host,
            target.port,
            target.database,
            target.user,
            target.password
        );
        let arguments = |bounds: &[&str]| {
            let mut all = vec!["--quiet".to_owned(), "query".into(), "--connection-string".into(), connection.clone()];
            all.extend(bounds.iter().map(|&bound| bound.to_owned()));
            all.extend(["peer.parquet".to_owned(), query.into()]);
            all
        };
        peers.push(Peer {
            name: "odbc2parquet, its defaults",
            program: odbc2parquet.clone(),
            arguments: arguments(&[]),
        });
        peers.push(Peer {
            name: "odbc2parquet, text bounded to 2,000 characters",
            program: odbc2parquet,
            arguments: arguments(&["--column-length-limit", "2000", "--batch-size-memory", "64MiB"]),
        });
    } else {
        println!("SKIPPED: odbc2parquet over FreeTDS, since it is not installed");
    }
    let python = tools.join("python/bin/python");
    if python.exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/till/with_connectorx.py");
        let address =
            format!("mssql://{}:{}@{}:{}/{}", target.user, target.password, target.host, target.port, target.database);
        let arguments = vec![script.display().to_string(), address, query.into(), "peer.parquet".into()];
        peers.push(Peer { name: "ConnectorX to Parquet", program: python, arguments });
    } else {
        println!("SKIPPED: ConnectorX, since it is not installed");
    }
    peers
}

/// Reads every row of a query with tiberius and keeps nothing: the floor of any export through that driver.
pub(crate) async fn throw_away(target: &Target, query: &str) -> u64 {
    let mut client = target.connect().await;
    let mut stream = client.simple_query(query).await.unwrap().into_row_stream();
    let mut rows = 0;
    while stream.try_next().await.unwrap().is_some() {
        rows += 1;
    }
    rows
}
