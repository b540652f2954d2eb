//! What the demo till itself can do, so that a benchmark of its clients knows whether it measured them or the till: rows and
//! bytes a second to a client that throws them away, and the time the checksums of a table take.
//!
//! `cargo bench --bench demo_rate -- [ORDER LINES]`, 1,000,000 by default.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its table and fails by panicking")]

mod rate;
#[path = "../../tests/support/raw_tds.rs"]
mod raw_tds;

use std::time::Instant;

use tillvault::demo::{DemoTill, TillOptions};

fn main() {
    // Cargo hands benches their own flags; the number is what is left.
    let lines: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let started = Instant::now();
        let till = DemoTill::start(TillOptions { tickets_per_day: 500, ..TillOptions::default() }).await.unwrap();
        let lines = till.grow(lines).unwrap();
        println!("a till of {lines} order lines: {:.1} s", started.elapsed().as_secs_f64());
        rate::demo_rate(&till);
    });
}
