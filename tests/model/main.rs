//! Random histories against a model: a till whose tables change in every way a till's do, snapshots, tags, forget, prune, runs
//! that break off. A model in memory keeps what each snapshot held; after every step each remaining snapshot equals it.
//!
//! `TILLVAULT_MODEL_SEED=n` replays the history of that seed, which every failure prints.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests; the seed to replay comes from the environment"
)]

#[path = "../scripted_till/mod.rs"]
mod scripted_till;

mod changes;
mod dice;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use world::World;

/// Steps of one history.
const STEPS: u32 = 120;

fn history(seed: u64) {
    eprintln!("seed {seed}: replay with TILLVAULT_MODEL_SEED={seed} and the test a_random_history");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.end().await;
    });
}

#[test]
fn a_first_fixed_history() {
    history(1);
}

#[test]
fn a_second_fixed_history() {
    history(2);
}

#[test]
fn a_third_fixed_history() {
    history(3);
}

#[test]
fn a_random_history() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    history(std::env::var("TILLVAULT_MODEL_SEED").map_or(u64::from(now), |seed| seed.parse().unwrap()));
}
