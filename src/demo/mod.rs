//! A till on loopback with simulated trade.

pub mod schema;
pub mod trade;
