//! Asks remotes for good copies of damaged files. What comes is trusted only as far as the caller can verify it.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    error::{Error, Kind},
    observe::{Event, SharedObserver},
    store::{self, Remote},
};

/// A remote that failed so often is not asked any more.
const FAILURES: u32 = 3;

/// The remotes, in the order in which they are asked.
pub(super) struct Remotes<'a> {
    remotes: Vec<(&'a Remote, AtomicU32)>,
    observer: &'a SharedObserver,
}

/// A good copy and who had it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) remote: String,
}

impl<'a> Remotes<'a> {
    pub(super) fn new(remotes: &'a [Remote], observer: &'a SharedObserver) -> Self {
        Self { remotes: remotes.iter().map(|remote| (remote, AtomicU32::new(0))).collect(), observer }
    }

    /// How many requests may be under way at once.
    pub(super) fn connections(&self) -> usize {
        self.remotes.iter().map(|(remote, _)| remote.connections).min().unwrap_or(1).max(1)
    }

    /// The first copy of a file that `accept` takes. `length` is the file's, when it is known. Remotes that fail are named in a
    /// warning, and the next one is asked.
    pub(super) async fn fetch(
        &self,
        path: &str,
        length: Option<u64>,
        accept: impl Fn(&Bytes) -> bool,
    ) -> Option<Fetched> {
        for (remote, failures) in &self.remotes {
            if failures.load(Ordering::Relaxed) >= FAILURES {
                continue;
            }
            match get(remote, path, length).await {
                Ok(Some(bytes)) if accept(&bytes) => return Some(Fetched { bytes, remote: remote.name.clone() }),
                Ok(Some(_)) => self.warn(format!("remote {} holds a damaged or another {path}", remote.name)),
                Ok(None) => {}
                Err(error) => {
                    let more = if error.kind() == Kind::Credentials { FAILURES } else { 1 };
                    failures.fetch_add(more, Ordering::Relaxed);
                    self.warn(super::derived::in_words(&error));
                }
            }
        }
        None
    }

    /// Whether some remote could not be asked for everything: what was not found may lie there.
    pub(super) fn have_failed(&self) -> bool {
        self.remotes.iter().any(|(_, failures)| failures.load(Ordering::Relaxed) > 0)
    }

    fn warn(&self, message: String) {
        self.observer.event(Event::Warning { message });
    }
}

/// The bytes of an object; `None` when it is not there. A file of another length than `length` is not downloaded.
async fn get(remote: &Remote, path: &str, length: Option<u64>) -> Result<Option<Bytes>, Error> {
    let cannot = |error| store::failure(format!("cannot read {path} from remote {}", remote.name), error);
    let found = match remote.store.get(&Path::from(path)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    if length.is_some_and(|length| found.meta.size != length) {
        return Ok(Some(Bytes::new()));
    }
    found.bytes().await.map(Some).map_err(cannot)
}
