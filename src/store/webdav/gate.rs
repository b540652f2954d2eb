//! What all requests to one remote share: whether anything may be sent at all, and who waits for what.
//!
//! Promises: after a refused sign-in nothing is sent any more; until the first sign-in has worked only one request is under way;
//! "too many requests" pauses everybody, and the second time it ends the run; a server without room gets no new objects.

use std::{
    fmt,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    patience::Patience,
    problem::{Code, Problem},
};
use crate::observe::{Event, SharedObserver};

/// The state that requests to one remote share.
#[derive(Default)]
pub(super) struct Gate {
    /// Why nothing may be sent any more.
    stopped: OnceLock<(Code, String)>,
    signed_in: AtomicBool,
    /// Held by the one that signs in.
    pub(super) first: tokio::sync::Mutex<()>,
    full: AtomicBool,
    throttled: Mutex<Throttled>,
    /// Held by the one that watches the maintenance; its value is when that was seen to be over.
    pub(super) maintenance: tokio::sync::Mutex<Option<Instant>>,
    observer: OnceLock<SharedObserver>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Throttled {
    /// Pauses so far.
    pauses: u32,
    until: Option<Instant>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl Gate {
    /// Refuses a request that may not be sent.
    pub(super) fn check(&self, method: &str, what: &str) -> Result<(), Problem> {
        if let Some((code, why)) = self.stopped.get() {
            return Err(Problem::new(*code, format!("{what}: not tried, since {why}")));
        }
        if self.full.load(Ordering::Acquire) && matches!(method, "PUT" | "COPY" | "MKCOL") {
            return Err(Problem::new(Code::Full, format!("{what}: not tried, since the server has no room left")));
        }
        Ok(())
    }

    /// Nothing is sent from now on. The first reason stays.
    pub(super) fn stop(&self, code: Code, why: &str) {
        let _first_reason_stays = self.stopped.set((code, why.to_owned()));
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.signed_in.load(Ordering::Acquire)
    }

    pub(super) fn signed_in(&self) {
        self.signed_in.store(true, Ordering::Release);
    }

    /// The server has no room, or has some again.
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// How many pauses there were: to be noted before a request is sent.
    pub(super) fn pauses(&self) -> u32 {
        self.lock().pauses
    }

    /// Waits out a pause that the server has asked for.
    pub(super) async fn wait(&self) {
        let until = self.lock().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A request that was sent after `pauses` pauses was answered "too many requests". True when it may be sent again after
    /// [`Gate::wait`]; else the run is over.
    pub(super) fn throttled(&self, pauses: u32, asked: Option<Duration>, patience: &Patience) -> bool {
        let pause = asked.unwrap_or(patience.throttled);
        let mut state = self.lock();
        if pauses < state.pauses {
            // It was under way when the pause began.
            return true;
        }
        if state.pauses > 0 || pause > patience.throttled_most || patience.throttled_most.is_zero() {
            drop(state);
            self.stop(Code::Throttled, "the server has asked for a pause");
            return false;
        }
        state.pauses += 1;
        state.until = Some(Instant::now() + pause);
        drop(state);
        // The next to be sent signs in alone.
        self.signed_in.store(false, Ordering::Release);
        self.say(format!("the server wants no more requests for now: going on in {} s", pause.as_secs()));
        true
    }

    /// Who is told what is waited for.
    pub(super) fn observe(&self, observer: SharedObserver) {
        let _first_stays = self.observer.set(observer);
    }

    pub(super) fn say(&self, message: String) {
        if let Some(observer) = self.observer.get() {
            observer.event(Event::Note { message });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Throttled> {
        self.throttled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_pause_for_all_and_the_second_is_the_end() {
        let (gate, patience) = (Gate::default(), Patience::default());
        gate.signed_in();
        let started = Instant::now();
        assert!(gate.throttled(0, None, &patience));
        assert!(gate.throttled(0, None, &patience), "its neighbour was under way");
        assert!(!gate.is_signed_in());
        gate.wait().await;
        assert_eq!(started.elapsed().as_secs(), 30 * 60);
        assert!(gate.check("GET", "x").is_ok());
        assert!(!gate.throttled(1, None, &patience));
        assert_eq!(gate.check("GET", "x").unwrap_err().code(), Code::Throttled);
    }

    #[test]
    fn a_pause_that_is_too_long_or_not_wanted_ends_the_run() {
        let gate = Gate::default();
        assert!(!gate.throttled(0, Some(Duration::from_secs(86_400)), &Patience::default()));
        let gate = Gate::default();
        assert!(!gate.throttled(0, None, &Patience::NONE));
        assert!(gate.check("PUT", "x").unwrap_err().is_temporary());
    }

    #[test]
    fn a_full_server_gets_no_new_objects_but_may_be_read_and_emptied() {
        let gate = Gate::default();
        gate.set_full(true);
        assert_eq!(gate.check("PUT", "x").unwrap_err().code(), Code::Full);
        assert!(gate.check("GET", "x").is_ok() && gate.check("DELETE", "x").is_ok());
        gate.set_full(false);
        assert!(gate.check("PUT", "x").is_ok());
    }
}
