//! The tests of `source_till` with the other reader.

#[path = "source_till/main.rs"]
mod source_till;
