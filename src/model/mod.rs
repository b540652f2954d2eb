//! Plain data that every room shares: SQL Server types, tables, key ranges, time words.
//!
//! Promises: no IO, no async, no clock, no randomness; everything here can be tested with values alone.
//! Start with [`table::Table`] (what a till's table looks like) and [`sql_type::SqlType`] (what its columns hold).

pub mod constraint;
pub mod group_sum;
pub mod identifier;
pub mod keep;
pub mod report;
pub mod sql_type;
pub mod table;
pub mod table_name;
pub mod text;
