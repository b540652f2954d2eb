//! A SambaPOS till on SQL Server, read over TDS.

pub mod queries;
