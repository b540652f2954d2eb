//! (to be written)
pub mod snapshot;
