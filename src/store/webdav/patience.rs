//! How long to wait for what: time limits, pauses between tries, and how patient a run is with a server that asks for time.
//!
//! Every duration is a field, so that tests wait milliseconds.

use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Code, Problem};

/// Time limits per phase. An answer may take longer after a big body: `answer` + 1 s per MB sent.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Without a byte of the body being taken.
    pub stall: Duration,
    /// From the last byte of the request to the answer's head, and between two pieces of its body.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(60), answer: Duration::from_secs(60) }
    }
}

/// How often a request is tried, and how long to wait in between: `base`, doubled each time up to `cap`, with jitter.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, base: Duration::from_millis(250), cap: Duration::from_secs(8) }
    }
}

impl Retry {
    /// Half of the pause is fixed, half depends on `chance` (0 to 1): clients that failed together do not come back together.
    fn delay(&self, tried: u32, chance: f64) -> Duration {
        let full = self.base.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(self.cap);
        full.mul_f64(0.5 + chance / 2.0)
    }
}

/// How patient a run is with a server that works but asks for time (WEBDAV §1.3, §4.5, §9 rows 11, 12, 16, 17).
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Pause of the whole run after "too many requests", unless the server names one.
    pub throttled: Duration,
    /// Longest pause of that kind; a server that asks for more ends the run.
    pub throttled_most: Duration,
    /// First pause before asking whether maintenance is over; doubled each time.
    pub maintenance: Duration,
    /// Longest pause between two such questions.
    pub maintenance_cap: Duration,
    /// How long to wait for the end of maintenance.
    pub maintenance_most: Duration,
    /// Longest pause between two tries at something that is locked.
    pub locked_cap: Duration,
    /// How long to try at something that is locked.
    pub locked_most: Duration,
    /// First pause before looking whether the server has put an object together from its parts; doubled each time.
    pub assembly: Duration,
    /// Longest pause between two such looks.
    pub assembly_cap: Duration,
    /// How long to wait for that.
    pub assembly_most: Duration,
    /// And how much longer for each GB.
    pub assembly_per_gb: Duration,
}

impl Patience {
    /// Waits for nothing: whatever asks for time is a temporary failure at once.
    pub const NONE: Self = Self {
        throttled: Duration::ZERO,
        throttled_most: Duration::ZERO,
        maintenance: Duration::ZERO,
        maintenance_cap: Duration::ZERO,
        maintenance_most: Duration::ZERO,
        locked_cap: Duration::ZERO,
        locked_most: Duration::ZERO,
        assembly: Duration::ZERO,
        assembly_cap: Duration::ZERO,
        assembly_most: Duration::ZERO,
        assembly_per_gb: Duration::ZERO,
    };

    /// How long the assembly of an object of `bytes` may take.
    pub(super) fn assembly_of(&self, bytes: u64) -> Duration {
        let megabytes = u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX);
        self.assembly_most.saturating_add(self.assembly_per_gb.saturating_mul(megabytes) / 1000)
    }
}

impl Default for Patience {
    /// That of a run at night.
    fn default() -> Self {
        let (seconds, minutes) = (Duration::from_secs, |n: u64| Duration::from_secs(n * 60));
        Self {
            throttled: minutes(30),
            throttled_most: minutes(60),
            maintenance: seconds(30),
            maintenance_cap: minutes(5),
            maintenance_most: minutes(60),
            locked_cap: seconds(30),
            locked_most: minutes(10),
            assembly: seconds(2),
            assembly_cap: seconds(30),
            assembly_most: minutes(10),
            assembly_per_gb: minutes(3),
        }
    }
}

/// The tries at one thing.
#[derive(Debug)]
pub(super) struct Attempts {
    retry: Retry,
    patience: Patience,
    tried: u32,
    locked: Option<(Instant, u32)>,
}

impl Attempts {
    pub(super) fn new(retry: Retry, patience: Patience) -> Self {
        Self { retry, patience, tried: 0, locked: None }
    }

    /// The same without more patience for locks than for anything else.
    pub(super) fn hasty(retry: Retry) -> Self {
        Self::new(retry, Patience::NONE)
    }

    /// Takes note of a failed try. True after a pause, when another one makes sense.
    pub(super) async fn again(&mut self, problem: &Problem) -> bool {
        let Some(pause) = self.pause_after(problem, rand::random()) else { return false };
        tokio::time::sleep(pause).await;
        true
    }

    fn pause_after(&mut self, problem: &Problem, chance: f64) -> Option<Duration> {
        if problem.code() == Code::Locked && !self.patience.locked_most.is_zero() {
            let (since, tries) = self.locked.get_or_insert_with(|| (Instant::now(), 0));
            *tries += 1;
            let pauses = Retry { cap: self.patience.locked_cap, ..self.retry };
            return (since.elapsed() < self.patience.locked_most).then(|| pauses.delay(*tries, chance));
        }
        self.tried += 1;
        let again = problem.worth_retrying() && self.tried < self.retry.tries;
        again.then(|| self.retry.delay(self.tried, chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_the_cap() {
        let retry = Retry { tries: 5, base: Duration::from_secs(1), cap: Duration::from_secs(4) };
        for (tried, low, high) in [(1, 500, 1000), (2, 1000, 2000), (9, 2000, 4000), (u32::MAX, 2000, 4000)] {
            assert_eq!(retry.delay(tried, 0.0).as_millis(), low);
            assert_eq!(retry.delay(tried, 1.0).as_millis(), high);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_waited_for_by_time_and_anything_else_by_count() {
        let (locked, broken) = (Problem::new(Code::Locked, "x"), Problem::new(Code::Broken, "x"));
        let mut attempts = Attempts::new(Retry::default(), Patience::default());
        let started = Instant::now();
        while attempts.again(&locked).await {}
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(600) && waited < Duration::from_secs(640), "{waited:?}");
        let mut tries = 1;
        while attempts.again(&broken).await {
            tries += 1;
        }
        assert_eq!(tries, 5);
        assert!(!Attempts::hasty(Retry::default()).again(&Problem::new(Code::Forbidden, "x")).await);
    }

    #[test]
    fn the_assembly_of_a_large_object_may_take_longer() {
        let patience = Patience::default();
        assert_eq!(patience.assembly_of(0), Duration::from_secs(600));
        assert_eq!(patience.assembly_of(2_000_000_000), Duration::from_secs(600 + 360));
    }
}
