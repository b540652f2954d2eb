//! History end to end: views over chunk files, what queries may do, how answers look.

#![allow(clippy::unwrap_used)]

mod archived;
mod engine;
mod pruning;
mod query;
mod render;
mod session;
mod support;
