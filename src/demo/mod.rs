//! A till on loopback with simulated trade, and a WebDAV server in process.

pub mod schema;
pub mod trade;
pub mod webdav;
