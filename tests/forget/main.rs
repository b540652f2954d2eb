//! Forgetting and pruning: what goes, what stays, and that no remaining answer changes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod acts;
mod command;
mod lost;
mod nightly;
mod pruning;
mod random;
#[path = "../support/mod.rs"]
mod site;
mod support;
