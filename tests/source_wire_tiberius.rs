//! The tests of `source_wire` with the other reader.

#[path = "source_wire/main.rs"]
mod source_wire;
