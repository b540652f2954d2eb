//! A till on loopback: a TDS server over an embedded database, with simulated trade; and a WebDAV server in process.
//!
//! [`Engine`] holds the tables and answers T-SQL, [`Server`] lets any TDS client sign in, [`fault`] breaks things on demand,
//! [`browser`] plays SQL Browser, [`schema`] and [`trade`] supply the tables and the business, [`webdav`] the remote.
//!
//! Promises: only loopback addresses are listened on; nothing but `cli` and tests uses this room.

pub mod browser;
mod engine;
pub mod fault;
pub mod schema;
mod tds;
mod till;
pub mod trade;
pub mod webdav;

pub use engine::{About, Engine, EngineOptions, ExactCell, ExactTable, SqlError};
pub use tds::{Certificate, Server, ServerOptions};
pub use till::{DemoTill, TillOptions, TradeGuard};
