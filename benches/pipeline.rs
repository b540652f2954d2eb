//! The main job against its floor, in one run: how fast is a snapshot compared with reading the same rows and throwing them
//! away, what does an unchanged run cost, how fast is the replica loaded. Ratios count, not seconds: machines differ.
//!
//! `scripts/bench.sh [ORDER LINES]`, 200,000 by default.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its table and fails by panicking")]

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use tillvault::{
    archive::Archive,
    config::Config,
    demo::{DemoTill, TillOptions},
    observe,
    ops::{
        load::load,
        overview::{self, ListOptions},
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    },
    source::{TableSelection, sqlserver::SqlServer},
};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

const ROUNDS: usize = 3;

fn main() {
    // Cargo hands benches their own flags; the number is what is left.
    let lines: u32 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(lines));
}

async fn run(lines: u32) {
    // About 4.8 lines a ticket.
    let per_day = 500;
    let days = (lines / (per_day * 48 / 10)).max(1);
    println!("{days} days of {per_day} tickets …");
    let till = DemoTill::start(TillOptions { days, tickets_per_day: per_day, ..TillOptions::default() }).await.unwrap();
    let folder =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    fs::write(folder.path().join("password"), "demo").unwrap();
    let settings = format!(
        "[till]\nsambapos_db_host = '127.0.0.1'\nsambapos_db_port = {}\nsambapos_db_name = 'SambaPOS5'\n\
         sambapos_db_username = 'tillvault'\nsambapos_db_password_file = 'password'\nencryption = 'off'\n",
        till.port()
    );
    let path = folder.path().join("tillvault.toml");
    fs::write(&path, settings).unwrap();
    let config = Config::load(Some(&path)).unwrap();

    println!("\n{:44} {:>9} {:>9} {:>11}", "measure (median of 3)", "rows", "seconds", "rows/s");
    for table in ["Orders", "Tickets"] {
        let (mut drains, mut firsts, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = 0;
        for round in 0..ROUNDS {
            let (count, seconds) = drain(&till, table).await;
            rows = count;
            drains.push(seconds);
            let archive = Archive::create(&folder.path().join(format!("{table}{round}")), "bench").unwrap();
            firsts.push(taken(&config, &archive, &[table]).await.1);
            let (outcome, seconds) = taken(&config, &archive, &[table]).await;
            assert!(outcome.unchanged && outcome.chunks_new == 0);
            unchanged.push(seconds);
        }
        let (drain, first, again) = (median(drains), median(firsts), median(unchanged));
        line(&format!("{table}: tiberius, thrown away"), rows, drain);
        line(&format!("{table}: first snapshot"), rows, first);
        line(&format!("{table}: unchanged snapshot"), rows, again);
        println!("  first / drain speed {:.2}   unchanged / first wall {:.2}", drain / first, again / first);
    }

    let archive = Archive::create(&config.archive, "bench").unwrap();
    let (outcome, seconds) = taken(&config, &archive, &[]).await;
    line("all 83 tables: first snapshot", outcome.rows, seconds);
    let (outcome, again) = taken(&config, &archive, &[]).await;
    assert!(outcome.unchanged);
    line("all 83 tables: unchanged snapshot", outcome.rows, again);
    println!("  stored {:.1} MB", outcome_bytes(&archive));

    let started = Instant::now();
    load(&config, &archive, false, &observe::silent()).await.unwrap();
    line("replica: first load, with set-up", outcome.rows, started.elapsed().as_secs_f64());
    let started = Instant::now();
    load(&config, &archive, true, &observe::silent()).await.unwrap();
    line("replica: rebuild", outcome.rows, started.elapsed().as_secs_f64());
    till.trade().trade_day().unwrap();
    let (outcome, seconds) = taken(&config, &archive, &[]).await;
    line("a day later: snapshot", outcome.rows, seconds);
    let started = Instant::now();
    let loaded = load(&config, &archive, false, &observe::silent()).await.unwrap();
    line("a day later: load", loaded.inserted + loaded.updated, started.elapsed().as_secs_f64());
    println!("  {} chunks new, {:.2} MB", outcome.chunks_new, outcome.bytes_new as f64 / 1e6);
}

fn line(name: &str, rows: u64, seconds: f64) {
    println!("{name:44} {rows:>9} {seconds:>9.2} {:>11.0}", rows as f64 / seconds);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn outcome_bytes(archive: &Archive) -> f64 {
    let bytes: u64 = overview::snapshots(archive, &ListOptions::default())
        .unwrap()
        .snapshots
        .iter()
        .map(|line| line.bytes_new)
        .sum();
    bytes as f64 / 1e6
}

/// One snapshot of the given tables (of all, for none), connection included.
async fn taken(config: &Config, archive: &Archive, tables: &[&str]) -> (SnapshotOutcome, f64) {
    let started = Instant::now();
    let mut till = SqlServer::connect(config.till().unwrap()).await.unwrap();
    let selection = TableSelection {
        include: tables.iter().map(|table| (*table).to_owned()).collect(),
        ..TableSelection::default()
    };
    let options = SnapshotOptions { selection, ..SnapshotOptions::default() };
    let outcome = snapshot(archive, &mut till, &options, &observe::silent()).await.unwrap();
    (outcome, started.elapsed().as_secs_f64())
}

/// Reads every column of a table with tiberius and keeps nothing: the floor of any export through this driver.
async fn drain(till: &DemoTill, table: &str) -> (u64, f64) {
    let mut config = tiberius::Config::new();
    config.host("127.0.0.1");
    config.port(till.port());
    config.database("SambaPOS5");
    config.authentication(tiberius::AuthMethod::sql_server("tillvault", "demo"));
    config.encryption(tiberius::EncryptionLevel::NotSupported);
    config.command_timeout(Some(Duration::from_secs(600)));
    let started = Instant::now();
    let tcp = tokio::net::TcpStream::connect(config.get_addr()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let mut client = tiberius::Client::connect(config, tcp.compat_write()).await.unwrap();
    let query = format!("SELECT * FROM [dbo].[{table}] ORDER BY [Id]");
    let mut stream = client.simple_query(query).await.unwrap().into_row_stream();
    let mut rows = 0;
    while stream.try_next().await.unwrap().is_some() {
        rows += 1;
    }
    (rows, started.elapsed().as_secs_f64())
}
