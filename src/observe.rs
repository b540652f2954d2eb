//! The one event stream: everything a person or a machine sees of a running operation.
//!
//! Operations report [`Event`]s to an [`Observer`]; progress bars, plain lines, logs and later the web page render the same
//! stream. Nothing below `cli` prints. Events carry names and figures, never row contents and never secrets.

use std::sync::Arc;

/// One thing that happened inside an operation.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what they are; each variant is documented")]
pub enum Event {
    /// A phase began, such as "read the till"; `total` is its expected number of steps where known.
    Phase { name: &'static str, total: Option<u64> },
    /// A table is being read.
    TableStarted { table: String, rows_expected: Option<u64> },
    /// More rows of the current table have arrived.
    Rows { table: String, rows: u64 },
    /// A table is done.
    TableDone { table: String, rows: u64, chunks: u64, chunks_new: u64, bytes_new: u64 },
    /// An object was uploaded (or found to be there already, with `bytes` 0).
    Uploaded { name: String, bytes: u64 },
    /// What a push has left to upload, or a pull to fetch: told at the beginning and after each object.
    Left { objects: u64, bytes: u64 },
    /// A file was fetched from a remote (or found to be there already, with `bytes` 0).
    Fetched { name: String, bytes: u64 },
    /// A file of the archive was removed: a forgotten snapshot's, or a chunk that none names.
    Removed { name: String, bytes: u64 },
    /// A snapshot was loaded into the replica.
    SnapshotLoaded { snapshot: u64 },
    /// Files were checked; `bytes` of them were read.
    Checked { files: u64, bytes: u64 },
    /// Something a person should know that did not stop the operation. Leads to exit code 3.
    Warning { message: String },
    /// A line for people, such as a step of the demo.
    Note { message: String },
}

/// Receives events. Implementations must be cheap and must not block for long.
pub trait Observer: Send + Sync {
    /// Takes note of one event.
    fn event(&self, event: Event);
}

/// Shared observer, as operations take it.
pub type SharedObserver = Arc<dyn Observer>;

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event) {}
}

/// A shared [`Silent`] observer.
#[must_use]
pub fn silent() -> SharedObserver {
    Arc::new(Silent)
}
