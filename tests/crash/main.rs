//! What happens to an archive when things go wrong: a store call that fails, a process that is killed, a second writer, a disk
//! that is full or read-only. Afterwards every snapshot that can be listed is complete, and the next run completes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests; children take their orders from the environment"
)]

#[path = "../scripted_till/mod.rs"]
mod scripted_till;
#[path = "../support/mod.rs"]
mod support;

mod child;
mod clock;
mod disk;
mod faults;
mod kill;
mod locks;
mod readers;
mod scene;
