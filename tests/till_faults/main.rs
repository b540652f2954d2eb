//! The fault matrix: whatever goes wrong between here and the till, the run says what it was and ends with the right exit
//! code, the snapshots of before are whole, nothing false is added, and the next run equals one that never saw the fault.
//!
//! `matrix` strikes every place of a run with every fault, `tokens` cuts answers at every token and byte and breaks their
//! structure, `between` changes the till under the reader, `encryption` has wrong certificates, `program` looks at the whole
//! thing from outside. `docs/FAULTS.md` is the table for people.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod anatomy;
mod between;
mod encryption;
mod matrix;
mod program;
mod rig;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "shared with the tests of the source")]
#[path = "../source_till/till.rs"]
mod till;
mod tokens;
