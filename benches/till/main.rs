//! How fast a till is read: tillvault with either reader beside bare drains, odbc2parquet over FreeTDS and ConnectorX, in one
//! run; quick against full when nothing changed, and the server's own time for checksums apart from it; and memory. On the demo till with a million order lines, or, where
//! `TILLVAULT_TEST_MSSQL` is set, on that server as it is.
//!
//! `scripts/bench.sh till [ORDER LINES]`. Seconds depend on the machine; the ratios of one run count (DESIGN §9).

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its tables and fails by panicking")]

mod measure;
mod peers;
mod rate;
#[path = "../../tests/support/raw_tds.rs"]
mod raw_tds;
mod relay;
mod server;
mod sums;
mod vault;

use std::path::{Path, PathBuf};

use measure::Took;
use peers::Peer;
use server::{Server, Target};
use vault::Vault;

const ROUNDS: usize = 3;
const LINES: u32 = 1_000_000;

fn main() {
    // Cargo hands benches flags of its own; what is not known here is not for us.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(at) = arguments.iter().position(|argument| argument == "--drain") {
        let rows = runtime.block_on(peers::throw_away(&Target::of(&arguments[at + 1]), &arguments[at + 2]));
        println!("{rows}");
        return;
    }
    let lines = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(LINES);
    runtime.block_on(run(lines));
}

async fn run(lines: u32) {
    println!("# Reading the till\n");
    let server = Server::start(lines).await;
    for table in ["Orders", "Tickets"] {
        let target = server.target().clone();
        let query = target.query(table).await;
        // Other programs do the reading: this runtime's threads serve the demo till.
        tokio::task::spawn_blocking(move || one_table(&target, table, &query)).await.unwrap();
    }
    quick(&server).await;
    memory(&server).await;
}

/// One table, by everything that can read it, in turns.
fn one_table(target: &Target, table: &str, query: &str) {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools();
    let mut peers = vec![peers::drain(target, query)];
    peers.extend(peers::others(target, query, &tools));
    let mut took: Vec<Vec<Took>> = peers.iter().map(|_| Vec::new()).collect();
    let readers = ["fast", "tiberius"];
    let mut first: [Vec<Took>; 2] = Default::default();
    let mut again: [Vec<Took>; 2] = Default::default();
    let mut rows = 0;
    for _ in 0..ROUNDS {
        for (peer, took) in peers.iter().zip(&mut took) {
            match measure::run(&peer.program, &peer.arguments, folder.path()) {
                Ok((_, figures)) => took.push(figures),
                Err(error) => println!("FAILED: {}: {}", peer.name, error.lines().last().unwrap_or_default()),
            }
        }
        for (index, reader) in readers.iter().enumerate() {
            let vault = Vault::create(target, &[("reader", reader)], &[table]);
            let (outcome, figures) = vault.snapshot(&[]);
            rows = outcome["rows"].as_u64().unwrap();
            first[index].push(figures);
            let (outcome, figures) = vault.snapshot(&[]);
            assert_eq!((&outcome["unchanged"], &outcome["chunks_new"]), (&true.into(), &0.into()), "{outcome}");
            again[index].push(figures);
        }
    }

    println!("\n## {table}, {rows} rows, medians of {ROUNDS}\n");
    println!("| reader | wall s | rows/s | its CPU s | server CPU s | peak MB |\n|---|---|---|---|---|---|");
    for (peer, took) in peers.iter().zip(&took) {
        line(peer.name, rows, took);
    }
    for (index, reader) in readers.iter().enumerate() {
        line(&format!("tillvault, {reader} reader: first snapshot"), rows, &first[index]);
        line(&format!("tillvault, {reader} reader: nothing changed"), rows, &again[index]);
    }
    let wall = |took: &[Took]| Took::median(took).wall;
    let of = |name: &str| peers.iter().position(|peer: &Peer| peer.name.starts_with(name)).map(|at| wall(&took[at]));
    println!();
    for (name, goals) in [
        ("tiberius, thrown away", [Some(1.8), Some(0.85)]),
        ("odbc2parquet, its defaults", [Some(2.5), None]),
        ("odbc2parquet, text bounded", [Some(1.3), None]),
        ("ConnectorX", [None, None]),
    ] {
        for (index, reader) in readers.iter().enumerate() {
            if let Some(peer) = of(name) {
                verdict(&format!("speed, {reader} reader / {name}"), peer / wall(&first[index]), goals[index], true);
            }
        }
    }
    let [fast, _] = &first;
    let cpu = Took::median(&again[0]).cpu / Took::median(fast).cpu;
    verdict("nothing changed / first, wall", wall(&again[0]) / wall(fast), Some(1.0), false);
    verdict("nothing changed / first, CPU", cpu, Some(0.8), false);
    verdict("peak MB, fast reader", Took::median(fast).peak, Some(250.0), false);
}

/// Nothing changed: quick against full, over all tables; wall directly, bytes through a relay that counts.
async fn quick(server: &Server) {
    let target = server.target().clone();
    let pass = sums::pass(server).await;
    let relay = relay::Relay::start(&target.host, target.port).await;
    let counted = Target { host: "127.0.0.1".into(), port: relay.port, ..target.clone() };
    let (walls, bytes) = tokio::task::spawn_blocking(move || {
        let vault = Vault::create(&target, &[("reader", "fast")], &[]);
        vault.snapshot(&["--full"]);
        vault.snapshot(&["--quick"]);
        let (mut full, mut quick) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            full.push(vault.snapshot(&["--full"]).1);
            let (outcome, figures) = vault.snapshot(&["--quick"]);
            assert_eq!(outcome["unchanged"], true, "{outcome}");
            quick.push(figures);
        }
        vault.point_at(&counted);
        relay.take();
        vault.snapshot(&["--full"]);
        let full_bytes = relay.take();
        let (outcome, _) = vault.snapshot(&["--quick"]);
        let quick_bytes = relay.take();
        ((outcome["rows"].as_u64().unwrap(), full, quick), (full_bytes, quick_bytes))
    })
    .await
    .unwrap();
    let (rows, full, quick) = walls;
    let (full_bytes, quick_bytes) = bytes;
    println!("\n## All tables, {rows} rows, nothing changed, medians of {ROUNDS}\n");
    println!("| snapshot | wall s | rows/s | its CPU s | server CPU s | peak MB |\n|---|---|---|---|---|---|");
    line("full", rows, &full);
    line("quick", rows, &quick);
    println!("\nfull {:.1} MB over the wire, quick {:.3} MB\n", full_bytes as f64 / 1e6, quick_bytes as f64 / 1e6);
    verdict("quick / full, bytes over the wire", quick_bytes as f64 / full_bytes as f64, Some(0.05), false);
    let (quick, full) = (Took::median(&quick).wall, Took::median(&full).wall);
    verdict("quick / full, wall", quick / full, Some(0.2), false);
    pass.tell(server.keeps_answers().then_some((quick, full)));
}

/// Peak memory while ten times as many rows are read.
async fn memory(server: &Server) {
    let orders = |target: Target| {
        tokio::task::spawn_blocking(move || {
            let vault = Vault::create(&target, &[("reader", "fast")], &["Orders"]);
            let (outcome, figures) = vault.snapshot(&[]);
            (outcome["rows"].as_u64().unwrap(), figures)
        })
    };
    let fewer = orders(server.target().clone()).await.unwrap();
    if !server.repeat_orders() {
        return;
    }
    let more = orders(server.target().clone()).await.unwrap();
    println!("\n## Memory\n");
    for (rows, figures) in [&fewer, &more] {
        println!("- {rows} orders: {:.0} MB, {:.0} rows/s", figures.peak, *rows as f64 / figures.wall);
    }
    println!();
    verdict("peak MB, ten times the rows", more.1.peak, Some(250.0), false);
    verdict("peak, ten times the rows / once", more.1.peak / fewer.1.peak, None, false);
}

/// Where `scripts/bench.sh` puts the peers.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bench")
}

fn line(name: &str, rows: u64, took: &[Took]) {
    if took.is_empty() {
        return println!("| {name} | – | – | – | – | – |");
    }
    let Took { wall, cpu, peak, server } = Took::median(took);
    println!("| {name} | {wall:.2} | {:.0} | {cpu:.2} | {server:.2} | {peak:.0} |", rows as f64 / wall);
}

/// A ratio beside its goal: at least, or at most.
fn verdict(what: &str, value: f64, goal: Option<f64>, at_least: bool) {
    let goal = match goal {
        None => String::new(),
        Some(goal) => {
            let holds = if at_least { value >= goal } else { value <= goal };
            let (word, met) = (if at_least { "at least" } else { "at most" }, if holds { "met" } else { "NOT MET" });
            format!("   goal {word} {goal}: {met}")
        }
    };
    println!("- {what}: {value:.2}{goal}");
}
