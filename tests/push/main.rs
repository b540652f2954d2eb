//! `push`, `pull`, and what check and prune do to remotes: from real archives, to a WebDAV server or a folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budgets;
mod checks;
#[path = "../nextcloud/double/mod.rs"]
mod double;
mod keeps;
mod prunes;
mod pulls;
mod site;
mod soak;
mod upload;
