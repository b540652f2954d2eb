//! The verbs: one file per operation, called by `cli` and later by the web page, so that neither can do more than the other.
//!
//! An operation takes settings and open rooms, reports [`crate::observe::Event`]s, and returns an outcome that serialises to
//! the JSON of its command. Where it changes something it plans first, as data, and acts second.
//! It never prints, never reads arguments and never names a driver crate.

pub mod balance;
pub mod changes;
pub mod check;
pub mod clear;
pub mod diff;
pub mod doctor;
pub mod find;
pub mod forget;
pub mod init;
pub mod load;
pub mod lost;
pub mod mirror;
mod names;
pub mod nightly;
pub mod overview;
pub mod policy;
pub mod prune;
pub mod prune_remote;
pub mod pull;
pub mod push;
pub mod query;
pub mod remote;
pub mod report;
pub mod snapshot;
pub mod stats;
pub mod tag;
mod threads;
