//! (to be written)
pub mod push;
