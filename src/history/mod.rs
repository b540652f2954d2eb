//! History: DuckDB over the archive's chunk files, at any snapshot.
//!
//! A [`session::Session`] shows the tables of one snapshot as views, [`query::query`] answers one reading statement over them,
//! [`render`] turns the answer into text, CSV or JSON, [`as_of`] picks the snapshot that was true at a given moment.
//!
//! Promises: nothing is ever written to the archive; a query sees exactly the rows, columns and types of its snapshot, whatever
//! later snapshots hold; what a user's SQL may touch is the views and the chunk files, nothing else of the machine.
//! Nothing here knows the till, `PostgreSQL` or the network. Start with [`session`].

pub mod as_of;
pub mod query;
pub mod render;
pub mod session;
pub mod tickets;
