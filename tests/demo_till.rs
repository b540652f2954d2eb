//! The demo till's server, seen by a real client.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

#[path = "support/raw_tds.rs"]
mod raw_tds;
#[path = "demo_till/support.rs"]
mod support;

#[path = "demo_till/signing_in.rs"]
mod signing_in;
#[path = "demo_till/values.rs"]
mod values;

#[path = "demo_till/checksums.rs"]
mod checksums;
#[path = "demo_till/clients.rs"]
mod clients;
#[path = "demo_till/faults.rs"]
mod faults;
#[path = "demo_till/prepared.rs"]
mod prepared;
#[path = "demo_till/queries.rs"]
mod queries;
#[path = "demo_till/transactions.rs"]
mod transactions;
