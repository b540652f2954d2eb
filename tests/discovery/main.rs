//! Which tables the till has, what changes of their shape do to an archive, and whether closed tickets add up.

#![allow(clippy::unwrap_used, reason = "part of a test")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../source_till/till.rs"]
mod till;

#[path = "../scripted_till/mod.rs"]
mod scripted_till;

mod balance;
mod names;
mod schema;
mod shape;
mod told;
