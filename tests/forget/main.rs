//! Forgetting and pruning: what goes, what stays, and that no remaining answer changes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod acts;
mod pruning;
mod random;
mod support;
