//! The Nextcloud store against a Nextcloud double: what the double itself does, and what each failure must lead to (WEBDAV §9).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod double;
mod measured;
mod rows;
