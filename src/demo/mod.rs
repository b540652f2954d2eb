//! A till on loopback: a TDS server over an embedded database, with simulated trade.
//!
//! [`Engine`] holds the tables and answers T-SQL, [`Server`] lets any TDS client sign in, [`fault`] breaks things on demand,
//! [`browser`] plays SQL Browser, [`schema`] and [`trade`] supply the tables and the business.
//!
//! Promises: only loopback addresses are listened on; nothing but `cli` and tests uses this room.

pub mod browser;
mod engine;
pub mod fault;
pub mod schema;
mod tds;
pub mod trade;

pub use engine::{Engine, EngineOptions, SqlError};
pub use tds::{Server, ServerOptions};
