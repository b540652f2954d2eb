//! Pushes to two Nextclouds while everything goes wrong that may: afterwards both hold what the archive holds, byte by byte, and
//! nothing was sent twice without need.
//!
//! A run draws its faults from a seed, which it prints. A short one is part of the suite. By hand:
//! `TILLVAULT_SOAK=200 [TILLVAULT_SOAK_SEED=…] cargo nextest run --test push soak --no-capture`. The same seed draws the same faults;
//! which of several uploads under way meets one is not up to it.

mod faults;
mod ledger;
mod side;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tillvault::{
    archive::Archive,
    error::Kind,
    observe::silent,
    ops::{
        check::Part,
        push::{Destinations, PushOptions, PushReport, push_each},
    },
};

use crate::{
    double::Options,
    site::{chain, snapshot},
};
use side::Side;

/// Pushes of a run of the suite.
const PUSHES: u32 = 15;

#[allow(clippy::disallowed_methods, reason = "a run by hand says how long it is to be")]
fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_on_disks() {
    soak("a disk each", [Options::default(), Options { version: 30, ..Options::default() }]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_on_an_object_store_and_a_disk() {
    let s3 = Options { smallest_part: side::PART, ..Options::s3() };
    soak("an object store and a disk", [s3, Options::default()]).await;
}

/// What became of the pushes.
#[derive(Debug, Default)]
struct Tally {
    pushes: u32,
    killed: u32,
    whole: u32,
    failed: u32,
    uploaded: u64,
}

async fn soak(what: &str, servers: [Options; 2]) {
    let seed: u64 = asked("TILLVAULT_SOAK_SEED").unwrap_or_else(rand::random);
    let pushes = asked("TILLVAULT_SOAK").unwrap_or(PUSHES);
    eprintln!("soak on {what}: {pushes} pushes, TILLVAULT_SOAK_SEED={seed}");
    let (started, mut random) = (Instant::now(), ChaCha8Rng::seed_from_u64(seed));
    let folder = tempfile::tempdir().unwrap();
    let archive = std::sync::Arc::new(Archive::create(&folder.path().join("archive"), "Beach Bar").unwrap());
    let mut sides = Vec::new();
    for (name, options) in ["first", "second"].into_iter().zip(servers) {
        sides.push(Side::new(name, options, &folder.path().join(name)).await);
    }
    let mut tables: BTreeMap<String, i32> = (0..6).map(|number| (format!("Table{number}"), 30)).collect();
    let mut tally = Tally::default();
    for round in 0..pushes {
        if round % 3 == 0 {
            grow(&archive, &mut tables, &mut random).await;
        }
        for side in &mut sides {
            for _ in 0..random.random_range(0..3) {
                side.double.inject(faults::fault(&mut random));
            }
            if random.random_range(0..6) == 0 {
                side.suffer(&mut random);
            }
        }
        push_once(&archive, &mut sides, &mut random, &mut tally).await;
        for side in &mut sides {
            side.assert_snapshots_complete(&archive);
        }
    }
    for side in &mut sides {
        side.heal(&archive).await;
        side.ledger.assert_nothing_sent_without_need();
        eprintln!("  {}: {}", side.name, side.ledger);
    }
    eprintln!("  {tally:?} in {:.1} s", started.elapsed().as_secs_f64());
    // A run that met no trouble would say nothing.
    assert!(pushes < 100 || (tally.killed > 5 && tally.failed > 10 && tally.whole > 10 && tally.uploaded > 100));
}

/// Some tables get more rows, and a snapshot is taken.
async fn grow(archive: &Archive, tables: &mut BTreeMap<String, i32>, random: &mut ChaCha8Rng) {
    for rows in tables.values_mut() {
        *rows += if random.random_range(0..3) == 0 { random.random_range(1..60) } else { 0 };
    }
    let now: Vec<(&str, i32)> = tables.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
    snapshot(archive, &now).await;
    archive.write_index(false).await.unwrap();
}

/// One push to both; one of five is killed.
async fn push_once(archive: &Archive, sides: &mut [Side], random: &mut ChaCha8Rng, tally: &mut Tally) {
    tally.pushes += 1;
    let verify = (random.random_range(0..4) == 0).then_some(Part::ALL);
    let options = PushOptions { verify, derived: random.random_range(0..3) == 0, ..PushOptions::default() };
    let remotes = sides.iter().map(Side::remote).collect();
    let mut destinations = Destinations { remotes, ..Destinations::default() };
    let kill = (random.random_range(0..5) == 0).then(|| Duration::from_millis(random.random_range(1..60)));
    let push = async {
        let reports = push_each(archive, &mut destinations, &options, &silent()).await;
        reports.into_iter().map(Some).collect::<Vec<Option<PushReport>>>()
    };
    let reports = match kill {
        // Dropped where it stands, as a process that is killed.
        Some(after) => match tokio::time::timeout(after, push).await {
            Ok(reports) => reports,
            Err(_) => {
                tally.killed += 1;
                sides.iter().map(|_| None).collect()
            }
        },
        None => push.await,
    };
    for (side, report) in sides.iter_mut().zip(reports) {
        let whole = report.as_ref().is_some_and(|report| report.cause.is_none());
        side.pushed(whole, verify.is_some());
        let Some(report) = report else { continue };
        tally.uploaded += report.outcome.uploaded;
        match &report.cause {
            None => tally.whole += 1,
            Some(error) => {
                tally.failed += 1;
                // The remote's trouble, and never a verdict about the archive.
                assert_eq!(error.kind(), Kind::Store, "{}: {}", side.name, chain(error));
            }
        }
    }
}
