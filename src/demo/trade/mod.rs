//! Simulated trade of a hotel restaurant.
