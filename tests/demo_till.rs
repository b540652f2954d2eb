//! The demo till's server, seen by a real client.

#[path = "demo_till/support.rs"]
mod support;

#[path = "demo_till/signing_in.rs"]
mod signing_in;
#[path = "demo_till/values.rs"]
mod values;

#[path = "demo_till/faults.rs"]
mod faults;
#[path = "demo_till/queries.rs"]
mod queries;
#[path = "demo_till/transactions.rs"]
mod transactions;
