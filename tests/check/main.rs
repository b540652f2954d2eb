//! `check` and its repair: every kind of damage is found and named, every flipped byte is noticed, and a remote brings back
//! what was lost.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod command;
mod damage;
mod fixtures;
mod flips;
mod mending;
mod support;
