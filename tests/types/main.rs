//! Every SQL Server type from the wire to the archive, and out of it again: by this code, by pyarrow, by DuckDB.
//!
//! `fixtures/types/cases.tsv` says what a server sends and what must be kept. The demo till sends exactly those bytes.

mod cases;
mod long;
mod random;
mod render;
mod served;
mod till;
