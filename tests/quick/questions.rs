//! How much a quick snapshot asks of a till, and what a frozen demo till takes to answer.

use std::time::Instant;

use secrecy::SecretString;
use tillvault::{
    archive::Archive,
    config::{RowReader, TillConfig},
    demo::{DemoTill, EngineOptions, TillOptions},
    observe::silent,
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    source::sqlserver::SqlServer,
};

use crate::{archive, served};

async fn till(allow_snapshot_isolation: bool) -> (DemoTill, TillConfig) {
    let engine = EngineOptions { allow_snapshot_isolation, ..EngineOptions::default() };
    let options = TillOptions { days: 1, tickets_per_day: 30, engine, ..TillOptions::default() };
    let till = DemoTill::start(options).await.unwrap();
    let config = TillConfig {
        port: till.port(),
        username: "tillvault".into(),
        password: SecretString::from("demo"),
        reader: RowReader::Fast,
        ..served::config(till.server())
    };
    (till, config)
}

async fn take(config: &TillConfig, archive: &Archive, quick: bool) -> SnapshotOutcome {
    let mut till = SqlServer::connect(config).await.unwrap();
    let options = SnapshotOptions { quick, ..SnapshotOptions::default() };
    snapshot(archive, &mut till, &options, &silent()).await.unwrap()
}

/// One question a table, two where no transaction holds them together; what else is asked does not grow with the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_snapshot_of_an_unchanged_till_asks_no_more_than_it_must() {
    for (isolation, a_table) in [(true, 1), (false, 2)] {
        let (till, config) = till(isolation).await;
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        take(&config, &archive, true).await;
        till.faults().take_statements();
        let taken = take(&config, &archive, true).await;
        assert!(taken.unchanged && taken.rows_read == 0);
        let asked = till.faults().take_statements();
        let sums = asked.iter().filter(|text| text.contains("AS long_rows")).count();
        assert_eq!(sums, a_table * taken.tables.len());
        let others: Vec<&String> = asked.iter().filter(|text| !text.contains("AS long_rows")).collect();
        // The control connection asks for the number of rows in the same request.
        let twofold = others.iter().filter(|text| text.contains("@@ROWCOUNT")).count();
        let requests = others.len() - twofold / 2;
        println!("isolation {isolation}: {sums} questions for sums, {requests} others");
        assert!(requests <= 19, "{requests}: {others:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_till_computes_the_sums_of_its_rows_once() {
    let (till, config) = till(true).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    take(&config, &archive, true).await;
    let thawed = archive.latest().unwrap().unwrap();
    till.engine().freeze();
    let mut ready = Vec::new();
    for _ in 0..3 {
        let before = till.server().prepared_answers();
        let started = Instant::now();
        let taken = take(&config, &archive, true).await;
        assert!(taken.unchanged && taken.rows_read == 0 && taken.tables.len() == thawed.tables.len());
        ready.push((till.server().prepared_answers() - before, started.elapsed()));
    }
    println!("answers that were ready, and the wall: {ready:?}");
    // What the first run had to be computed for, every sum and the catalog, is there for the second.
    assert!(ready[1].0 >= ready[0].0 + thawed.tables.len() as u64 && ready[2].0 == ready[1].0, "{ready:?}");
    // What changes is seen.
    till.trade().trade_day().unwrap();
    till.engine().freeze();
    assert!(!take(&config, &archive, true).await.unchanged);
}
