//! Events of a run, kept.

use std::sync::{Arc, Mutex};

use tillvault::observe::{Event, Observer, SharedObserver};

/// Keeps warnings and notes.
#[derive(Default)]
pub(crate) struct Told {
    lines: Mutex<Vec<String>>,
}

impl Told {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn observer(self: &Arc<Self>) -> SharedObserver {
        Arc::clone(self) as SharedObserver
    }

    /// `warning: …` and `note: …`, in order; forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl Observer for Told {
    fn event(&self, event: Event) {
        self.lines.lock().unwrap().extend(line(&event));
    }
}

pub(crate) fn line(event: &Event) -> Option<String> {
    match event {
        Event::Warning { message } => Some(format!("warning: {message}")),
        Event::Note { message } => Some(format!("note: {message}")),
        _ => None,
    }
}
