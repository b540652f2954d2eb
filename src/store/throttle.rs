//! A limit on upload speed that can be changed while uploads run.
//!
//! One [`Throttle`] is shared by all uploads of a remote. Whoever is about to send some bytes reserves them and waits as long as it
//! is told; so the sum over all connections keeps to the rate. Pieces are small, hence a new rate is felt within a second.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Bytes per second that uploads may take in all; 0 is no limit.
#[derive(Debug, Default)]
pub struct Throttle {
    bytes_per_second: AtomicU64,
    /// When the bytes reserved so far are through.
    free_at: Mutex<Option<Instant>>,
}

impl Throttle {
    /// A limit of `bytes_per_second`; 0 is none.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.into(), free_at: Mutex::default() }
    }

    /// Changes the limit, also for uploads under way.
    pub fn set(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// The limit; 0 is none.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.bytes_per_second.load(Ordering::Relaxed)
    }

    /// The largest piece that should be sent at once: a quarter of a second's bytes, at most `most`.
    #[must_use]
    pub fn piece(&self, most: usize) -> usize {
        match self.get() {
            0 => most,
            rate => usize::try_from(rate / 4).unwrap_or(most).clamp(1.min(most), most).max(512.min(most)),
        }
    }

    /// Reserves `bytes`, and says how long to wait before (or after) sending them.
    #[must_use]
    pub fn reserve(&self, bytes: u64) -> Duration {
        let rate = self.get();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if rate == 0 {
            *free_at = None;
            return Duration::ZERO;
        }
        let now = Instant::now();
        let start = free_at.map_or(now, |at| at.max(now));
        let end = start + Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        *free_at = Some(end);
        end.saturating_duration_since(now)
    }

    /// Reserves `bytes` and waits until they may be sent.
    pub async fn wait(&self, bytes: u64) {
        let pause = self.reserve(bytes);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reservations_queue_up_at_the_rate_and_none_costs_nothing() {
        let throttle = Throttle::new(1000);
        assert_eq!(throttle.reserve(500), Duration::from_millis(500));
        assert_eq!(throttle.reserve(500), Duration::from_secs(1), "side by side they share the rate");
        throttle.set(0);
        assert_eq!(throttle.reserve(1 << 40), Duration::ZERO);
        throttle.set(100);
        assert_eq!(throttle.reserve(100), Duration::from_secs(1), "an old debt is not kept");
    }

    #[test]
    fn pieces_are_a_quarter_of_a_second_and_never_nothing() {
        let throttle = Throttle::default();
        assert_eq!(throttle.piece(65536), 65536);
        throttle.set(100_000);
        assert_eq!(throttle.piece(65536), 25_000);
        throttle.set(3);
        assert_eq!(throttle.piece(65536), 512);
    }
}
