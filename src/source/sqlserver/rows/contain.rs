//! Keeps a driver's panics and silences inside.
//!
//! The fast driver panics on some malformed input. Its futures are polled here and nowhere else: a panic becomes a [`Fault`],
//! nothing is printed, and whoever gets it drops the connection. The same wrapper keeps the time: the clock starts anew
//! whenever the driver was woken, that is when bytes came, so that an answer may take as long as it likes while it goes on.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::time::{Instant, sleep};

use crate::source::sqlserver::fault::Fault;

thread_local! {
    /// A panic on this thread now is the driver's.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// Where the last one happened.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Wakes the task, and remembers that it was for the driver's sake.
#[derive(Default)]
struct Progress {
    came: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Progress {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Runs one of the driver's futures, with `patience` between signs of life.
///
/// # Errors
/// The driver's own fault; [`Fault::TimedOut`] when nothing came for `patience`; [`Fault::NotUnderstood`] when it panicked.
/// After the last two the connection must not be used again.
pub(super) async fn contained<T, E: Into<Fault>>(
    patience: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Fault> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(patience));
    let progress = Arc::new(Progress { came: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(progress.clone());
    poll_fn(move |context| {
        progress.task.register(context.waker());
        if progress.came.swap(false, Ordering::AcqRel) {
            match quietly(|| future.as_mut().poll(&mut Context::from_waker(&waker))) {
                Ok(Poll::Ready(outcome)) => return Poll::Ready(outcome.map_err(Into::into)),
                Ok(Poll::Pending) => timer.as_mut().reset(Instant::now() + patience),
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        timer.as_mut().poll(context).map(|()| Err(Fault::TimedOut))
    })
    .await
}

/// Calls `work`; a panic in it is a fault and is not printed.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                return others(info);
            }
            let place = info.location().map(|at| format!("{}:{}", file_name(at.file()), at.line()));
            PLACE.with_borrow_mut(|last| *last = place.unwrap_or_default());
        }));
    });
    let before = CONTAINED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    outcome.map_err(|_| Fault::NotUnderstood(format!("the driver gave up at {}", PLACE.take())))
}

/// The last part of a path: the rest names folders of the machine that compiled it.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_fault() {
        let text: Result<u8, String> = Err("no text".into());
        let text = &text;
        let outcome = contained(Duration::from_secs(5), async {
            tokio::task::yield_now().await;
            Ok::<_, Fault>(*text.as_ref().unwrap())
        });
        let Err(Fault::NotUnderstood(said)) = outcome.await else { panic!("it was not contained") };
        assert!(said.starts_with("the driver gave up at contain.rs:"), "{said}");
        // One of our own still is one.
        assert!(panic::catch_unwind(|| *text.as_ref().unwrap()).is_err());
        assert!(!CONTAINED.get());
    }

    #[tokio::test]
    async fn time_runs_from_the_last_sign_of_life() {
        let patience = Duration::from_millis(300);
        let alive = contained(patience, async {
            for _ in 0..5 {
                sleep(Duration::from_millis(100)).await;
            }
            Ok::<_, Fault>(7)
        });
        assert_eq!(alive.await, Ok(7));
        let dead = contained(patience, async {
            sleep(Duration::from_secs(11)).await;
            Ok::<_, Fault>(7)
        });
        assert_eq!(dead.await, Err(Fault::TimedOut));
    }

    #[tokio::test]
    async fn polls_for_others_are_no_sign_of_life() {
        let dead = contained(Duration::from_millis(200), std::future::pending::<Result<(), Fault>>());
        let others = async {
            for _ in 0..1000 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let started = Instant::now();
        let outcome = tokio::select! { outcome = dead => outcome, () = others => Ok(()) };
        assert_eq!(outcome, Err(Fault::TimedOut));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
