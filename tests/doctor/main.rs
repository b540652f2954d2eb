//! `doctor` against the demo till: every verdict, the words with it, the exit code, and that nothing rests on a single answer.

#![allow(clippy::unwrap_used, reason = "part of a test")]

#[path = "../support/mod.rs"]
mod support;

mod parts;
mod rig;
mod till;
mod way;
