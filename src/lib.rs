//! tillvault keeps every row a `SambaPOS` till ever had.
//!
//! Data flows one way:
//!
//! ```text
//! SQL Server ─TDS→ source ─rows→ archive (blocks, content hash, Parquet, snapshot) ─→ local archive folder
//!                                          ├─ push ─→ Nextcloud (WebDAV)
//!                                          ├─ load ─→ PostgreSQL replica ──→ reports (else live till)
//!                                          └─ history → DuckDB views
//! ```
//!
//! Rooms, from the ground up; each may use only those below it (`scripts/check.sh` checks that):
//!
//! | room | what it is |
//! |---|---|
//! | [`model`] | plain data: SQL types, tables, reports as values; no IO |
//! | [`error`], [`observe`], [`config`] | the error type, the event stream, the settings |
//! | [`source`] | the till: the only place that writes T-SQL |
//! | [`store`] | object stores: the only place that speaks HTTP to remotes |
//! | [`archive`] | the format: blocks, content hash, Parquet, snapshots |
//! | [`history`] | DuckDB over the archive's chunks, at any snapshot |
//! | [`replica`] | PostgreSQL: migrations, normalisation, load |
//! | [`report`] | definitions once, back ends: replica and live |
//! | [`ops`] | the verbs: snapshot, push, load, sync, nightly, doctor |
//! | [`demo`] | a till on loopback with simulated trade, and a WebDAV server |
//! | [`cli`] | arguments in, rendered outcome out |

pub mod archive;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod history;
pub mod model;
pub mod observe;
pub mod ops;
pub mod replica;
pub mod report;
pub mod source;
pub mod store;

pub use error::{Error, Kind, Result};
