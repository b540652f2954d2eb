//! The verbs: one file per operation, called by `cli` and later by the web page, so that neither can do more than the other.
//!
//! An operation takes settings and open rooms, reports [`crate::observe::Event`]s, and returns an outcome that serialises to
//! the JSON of its command. Where it changes something it plans first, as data, and acts second.
//! It never prints, never reads arguments and never names a driver crate.

pub mod check;
pub mod clear;
pub mod doctor;
pub mod init;
pub mod load;
pub mod nightly;
pub mod overview;
pub mod push;
pub mod query;
pub mod report;
pub mod snapshot;
