//! The archive from outside: what is written again and what is not, what is refused, what survives accidents.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod accidents;
mod content;
mod heavy;
mod outside;
mod pages;
mod random;
mod reuse;
mod support;
