//! What the archive costs and how fast it is: bytes and objects per night and per sync of two simulated sites for several
//! ladders, beside restic, borg and whole-table Parquet in the same run; then hashing, encoding and writing, and memory.
//!
//! `scripts/bench.sh archive [--quick]`. Sizes are exact and repeatable; times depend on the machine, their ratios hardly.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its tables and fails by panicking")]

mod dice;
mod filler;
mod keeper;
mod peers;
mod report;
mod rows;
mod site;
mod speed;
mod trade;

use peers::Program;
use site::Plan;
use trade::Ids;

const PROGRAMS: &[Program] = &[Program::Restic, Program::ResticMax, Program::Borg];
/// restic cuts files by a polynomial it draws for each repository: few nights of one alone would be a matter of luck.
const MORE_RESTIC: &[Program] = &[Program::Restic, Program::Restic, Program::Restic, Program::ResticMax, Program::Borg];

fn main() {
    // Cargo hands benches flags of its own; what is not known here is not for us.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(at) = arguments.iter().position(|argument| argument == "--memory") {
        return runtime.block_on(speed::write_orders(arguments[at + 1].parse().unwrap()));
    }
    runtime.block_on(run(arguments.iter().any(|argument| argument == "--quick")));
}

async fn run(quick: bool) {
    println!("# Archive\n\n7 tables that trade moves; kB and MB are thousands and millions of bytes; medians.");
    if quick {
        println!("Quick: too few nights for the goals to mean much.");
    }
    for program in PROGRAMS {
        match program.version() {
            Some(version) => println!("{}: {version}", program.name()),
            None => println!("SKIPPED: {}, since it is not installed", program.name()),
        }
    }
    let (days, syncs) = if quick { (4, 4) } else { (60, 96) };
    let site_a = Plan {
        name: "Site A: cleared twice",
        history: 0,
        nights: days,
        clears: if quick { &[(2, Ids::LeavesRestart)] } else { &[(20, Ids::GoOn), (40, Ids::LeavesRestart)] },
        old_edits: true,
        syncs,
        peers_sync: true,
        programs: PROGRAMS,
    };
    let (kept, _) = site::play(&site_a).await;
    report::site(&kept);
    report::site_goals(&kept, Some(0.75));

    let site_b = Plan {
        name: "Site B: never cleared",
        history: if quick { 15 } else { 200 },
        nights: if quick { 2 } else { 10 },
        clears: &[],
        peers_sync: false,
        programs: MORE_RESTIC,
        ..site_a
    };
    let (kept, mut trade) = site::play(&site_b).await;
    report::site(&kept);
    report::site_goals(&kept, Some(0.4));

    speed::run(&mut trade).await;
    drop(trade);
    speed::memory(if quick { &[10_000, 50_000] } else { &[200_000, 1_000_000] });

    let calm = Plan {
        name: "Site B without edits of old rows",
        old_edits: false,
        syncs: 0,
        programs: &[Program::Restic, Program::Restic, Program::Restic],
        ..site_b
    };
    let (kept, _) = site::play(&calm).await;
    report::site(&kept);
    report::site_goals(&kept, None);
}
