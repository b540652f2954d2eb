//! The server's own time for checksums: every table summed up once, with nothing kept from before.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tillvault::{
    config::{Encryption, RateLimit, RowReader, TillConfig},
    source::{Source as _, Sums, TableSelection, sqlserver::SqlServer},
};

use crate::server::{Server, Target};

/// Keys of a group, as snapshots ask for them.
const GROUP: u32 = 512;

/// What one pass over all tables took.
pub(crate) struct Pass {
    tables: usize,
    refused: usize,
    rows: u64,
    seconds: f64,
}

/// Asks for the sums of every table, one after the other.
pub(crate) async fn pass(server: &Server) -> Pass {
    server.forget_answers();
    let mut till = SqlServer::connect(&settings(server.target())).await.unwrap();
    let tables = till.tables(&TableSelection::default()).await.unwrap();
    till.prepare_sums().await.unwrap();
    let mut pass = Pass { tables: tables.len(), refused: 0, rows: 0, seconds: 0.0 };
    let started = Instant::now();
    for table in &tables {
        match till.sums(table, GROUP).await.unwrap() {
            Sums::Table(sums) => pass.rows += sums.groups.iter().map(|group| group.rows).sum::<u64>(),
            Sums::Cannot(_) => pass.refused += 1,
        }
    }
    pass.seconds = started.elapsed().as_secs_f64();
    pass
}

fn settings(target: &Target) -> TillConfig {
    TillConfig {
        host: target.host.clone(),
        port: target.port,
        database: target.database.clone(),
        username: target.user.clone(),
        password: SecretString::from(target.password.clone()),
        encryption: Encryption::Off,
        trust_server_certificate: true,
        ca_file: None,
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(600),
        browser_port: 1434,
        reader: RowReader::Auto,
        rate_limit: RateLimit::default(),
        tables: TableSelection::default(),
    }
}

impl Pass {
    /// Prints it; beside the walls of quick and full, where those do not hold it.
    pub(crate) fn tell(&self, walls: Option<(f64, f64)>) {
        let Self { tables, refused, rows, seconds } = self;
        let rate = *rows as f64 / seconds;
        println!(
            "- the server's own time for one pass of checksums over {tables} tables, {rows} rows: {seconds:.2} s ({rate:.0} rows/s); \
             {refused} tables it does not sum up"
        );
        let Some((quick, full)) = walls else { return };
        println!(
            "  The demo till computes them with DuckDB, once, and kept them for the figures above: these are tillvault and the wire. \
             With that pass in each of them quick / full would be {:.2}. What a SQL Server takes is not in any of it",
            (quick + seconds) / (full + seconds)
        );
    }
}
