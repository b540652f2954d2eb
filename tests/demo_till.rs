//! The demo till's server, seen by a real client.

#[path = "demo_till/support.rs"]
mod support;

#[path = "demo_till/signing_in.rs"]
mod signing_in;
#[path = "demo_till/values.rs"]
mod values;
