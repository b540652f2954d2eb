//! Simulated trade of a hotel restaurant.

pub mod fixture;
