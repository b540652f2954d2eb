//! Random tables.
