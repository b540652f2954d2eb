//! Reports end to end: the replica's tables, the worked examples from both back ends.

#![allow(clippy::unwrap_used)]

#[path = "../history/engine.rs"]
mod engine;
mod examples;
mod live;
mod replica_rows;
mod rig;
mod trade;
