//! Seeded chance: equal seeds give equal trade on every machine.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

const UID_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// A stream of throws.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low.saturating_add_unsigned(self.0.next_u64() % ((high - low).unsigned_abs() + 1))
    }

    /// An index below `len`, which must not be 0.
    pub(crate) fn below(&mut self, len: usize) -> usize {
        usize::try_from(self.0.next_u64() % len as u64).unwrap()
    }

    /// Whether something of `percent` in a hundred happens.
    pub(crate) fn chance(&mut self, percent: i64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several things.
    pub(crate) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// A token as V5 makes them for tickets and orders: 22 letters of URL-safe base64.
    pub(crate) fn uid(&mut self) -> String {
        (0..22).map(|_| char::from(self.pick(UID_LETTERS))).collect()
    }
}
