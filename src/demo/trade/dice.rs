//! Seeded chance. Equal seed and stream give equal throws on every machine; the trade knows no other randomness.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

const UID_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// A stream of throws.
#[derive(Clone, Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream number `stream` of `seed`; streams are independent of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&stream.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number from `low` to `high`, both included; `low` when `high` is not above it.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs() + 1;
        low.saturating_add_unsigned(self.0.next_u64() % span)
    }

    /// An index below `len`, or 0 when `len` is 0.
    pub(super) fn below(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % len).unwrap_or(0)
    }

    /// Whether something of `percent` in a hundred happens.
    pub(super) fn chance(&mut self, percent: i64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several things, none when there are none.
    pub(super) fn pick<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        things.get(self.below(things.len()))
    }

    /// An index, likelier where the weight is higher; 0 when all weights are 0.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = i64> + Clone) -> usize {
        let mut throw = self.between(0, weights.clone().sum::<i64>() - 1);
        for (index, weight) in weights.enumerate() {
            throw -= weight;
            if throw < 0 {
                return index;
            }
        }
        0
    }

    /// A token as V5 makes them for tickets and lines: 22 letters of URL-safe base64 (DOMAIN §2.1).
    pub(super) fn uid(&mut self) -> String {
        (0..22).map(|_| char::from(UID_LETTERS[self.below(UID_LETTERS.len())])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_throw_equally_and_streams_differ() {
        let throws = |seed, stream| -> Vec<i64> {
            let mut dice = Dice::new(seed, stream);
            (0..20).map(|_| dice.between(1, 1_000_000)).collect()
        };
        assert_eq!(throws(7, 1), throws(7, 1));
        assert_ne!(throws(7, 1), throws(7, 2));
        assert_ne!(throws(7, 1), throws(8, 1));
        assert_eq!(Dice::new(1, 1).uid().len(), 22);
    }

    #[test]
    fn weights_decide() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..50 {
            assert_eq!(dice.weighted([0, 3, 0].into_iter()), 1);
        }
        assert_eq!(dice.weighted([0, 0].into_iter()), 0);
    }
}
