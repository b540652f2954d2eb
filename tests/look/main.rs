//! The commands that look into an archive: `snapshots`, `show`, `diff`, `stats`, `tag`, `find`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod book;
mod diff;
mod find;
mod listing;
mod pushed;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod tags;
