//! Request bodies: of known length, handed out in pieces, so that a stalled upload shows.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use object_store::PutPayload;
use tokio::time::{Sleep, sleep};

use crate::store::throttle::Throttle;

/// Length of a piece.
const PIECE: usize = 64 * 1024;

/// How much of a body has been taken.
#[derive(Debug, Default)]
pub(super) struct Progress {
    taken: AtomicU64,
    done: AtomicBool,
    /// It stands still because of our own speed limit.
    paused: AtomicBool,
}

impl Progress {
    /// The progress of a request without a body.
    pub(super) fn done() -> Self {
        Self { done: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether it stands still because of our own speed limit.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Bytes taken so far, and whether that is all.
    pub(super) fn mark(&self) -> (u64, bool) {
        (self.taken.load(Ordering::Acquire), self.done.load(Ordering::Acquire))
    }
}

/// A request body of known length that reports how far it has got and keeps to a speed limit.
pub(super) struct Upload {
    parts: VecDeque<Bytes>,
    left: u64,
    progress: Arc<Progress>,
    throttle: Arc<Throttle>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    pub(super) fn new(payload: PutPayload, progress: Arc<Progress>, throttle: Arc<Throttle>) -> Self {
        let left = payload.content_length() as u64;
        progress.done.store(left == 0, Ordering::Release);
        let parts = payload.into_iter().filter(|part| !part.is_empty()).collect();
        Self { parts, left, progress, throttle, pause: None }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
            this.progress.paused.store(false, Ordering::Release);
        }
        let Some(front) = this.parts.front_mut() else { return Poll::Ready(None) };
        let piece = front.split_to(front.len().min(this.throttle.piece(PIECE)));
        let pause = this.throttle.reserve(piece.len() as u64);
        this.pause = (!pause.is_zero()).then(|| Box::pin(sleep(pause)));
        if front.is_empty() {
            this.parts.pop_front();
        }
        this.left -= piece.len() as u64;
        // After the last piece nobody waits.
        this.progress.paused.store(this.pause.is_some() && this.left > 0, Ordering::Release);
        this.progress.taken.fetch_add(piece.len() as u64, Ordering::AcqRel);
        this.progress.done.store(this.left == 0, Ordering::Release);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
