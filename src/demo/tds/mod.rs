//! A TDS 7.4 server on loopback over the demo till's engine (MS-TDS).
//!
//! [`server`] listens; [`connection`] speaks with one client on the runtime and hands requests to its [`session`], which
//! runs on a thread of its own, owns a database connection and encodes rows. Pieces of a response pass through a short
//! channel, so that a slow client slows the query down and a client that leaves ends it.
//!
//! Promises: values leave with the SQL Server types they are declared with; a malformed request gets an error or a closed
//! connection, never a panic; only loopback addresses are listened on.

pub(in crate::demo) mod collation;
mod connection;
mod kept;
mod login;
pub(in crate::demo) mod moment;
mod packet;
mod prepared;
mod rpc;
mod server;
mod session;
pub(super) mod tamper;
mod tls;
mod token;
pub(in crate::demo) mod value;

pub use server::{Server, ServerOptions};
pub use tls::Certificate;
