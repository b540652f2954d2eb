//! One suite for every store, and one table of what servers can do, checked both ways.

mod proof;
mod servers;
mod stores;
mod suite;
