//! `sync` and `nightly`: the runs that a schedule starts.
//!
//! The archive comes first. What follows it (push, load) is tried even when its neighbour failed, since each can catch up
//! later; the first failure is reported at the end, together with everything that did work.

use serde::Serialize;

use super::{
    load::{self, LoadOutcome},
    push::{self, PushOptions, PushOutcome},
    snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
};
use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Result},
    observe::{Event, SharedObserver},
    source::Source,
};

/// The JSON of `sync` and `nightly`.
#[derive(Debug, Serialize)]
pub struct RunOutcome {
    /// The archive's part.
    pub snapshot: SnapshotOutcome,
    /// One per remote that was pushed to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<PushOutcome>,
    /// The replica's part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadOutcome>,
    /// What failed after the archive was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// The first of those failures; decides the exit code.
    #[serde(skip)]
    pub error: Option<Error>,
}

impl RunOutcome {
    /// A run that has its snapshot and nothing else yet.
    fn of(snapshot: SnapshotOutcome) -> Self {
        Self { snapshot, push: Vec::new(), load: None, failures: Vec::new(), error: None }
    }

    /// Brings the replica up to the archive.
    async fn load(&mut self, config: &Config, archive: &Archive, observer: &SharedObserver) {
        match load::load(config, archive, false, observer).await {
            Ok(loaded) => self.load = Some(loaded),
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) {
        self.failures.push(error.message().to_owned());
        self.error.get_or_insert(error);
    }
}

/// Snapshot, then load: what runs every 15 minutes.
///
/// # Errors
/// As [`snapshot`]. A failed load is in the outcome.
pub async fn sync(
    config: &Config,
    archive: &Archive,
    source: &mut dyn Source,
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<RunOutcome> {
    let mut outcome = RunOutcome::of(snapshot(archive, source, options, observer).await?);
    outcome.load(config, archive, observer).await;
    Ok(outcome)
}

/// Full snapshot, push to every remote, load: what runs before the site clears the till.
///
/// # Errors
/// As [`snapshot`]. Failed pushes and loads are in the outcome.
pub async fn nightly(
    config: &Config,
    archive: &Archive,
    source: &mut dyn Source,
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<RunOutcome> {
    let mut outcome = RunOutcome::of(snapshot(archive, source, options, observer).await?);
    if config.remotes.is_empty() {
        observer.event(Event::Note {
            message: "no remote is configured: the archive on this machine is the only copy".into(),
        });
    }
    for remote in &config.remotes {
        match push::push_to(archive, remote, &PushOptions::default(), observer).await {
            Ok(pushed) => outcome.push.push(pushed),
            Err(error) => outcome.failed(error),
        }
    }
    outcome.load(config, archive, observer).await;
    Ok(outcome)
}
