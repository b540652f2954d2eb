//! (to be written)
pub mod webdav;
