//! `sync` and `nightly`: the runs that a schedule starts.
//!
//! The archive comes first. What follows it (push, load, forget) is tried even when its neighbour failed, since each can catch up
//! later; the first failure is reported at the end, together with everything that did work.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    forget::{Choice, ForgetOptions, ForgetOutcome, forget},
    load::{self, LoadOutcome},
    policy::Lifted,
    check::Part,
    push::{Destinations, PushOptions, PushReport, push_each},
    snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
};
use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    source::Source,
};

/// The tag of every snapshot that `nightly` takes.
pub const NIGHTLY: &str = "nightly";

/// The JSON of `sync` and `nightly`.
#[derive(Debug, Serialize)]
pub struct RunOutcome {
    /// The archive's part.
    pub snapshot: SnapshotOutcome,
    /// One per remote that was pushed to, or was to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<PushReport>,
    /// The replica's part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadOutcome>,
    /// What was forgotten and pruned; the snapshots that stay are counted, not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget: Option<ForgetOutcome>,
    /// What failed after the archive was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// The first of those failures, or the first damage; decides the exit code.
    #[serde(skip)]
    pub error: Option<Error>,
}

impl RunOutcome {
    /// A run that has its snapshot and nothing else yet.
    fn of(snapshot: SnapshotOutcome) -> Self {
        Self { snapshot, push: Vec::new(), load: None, forget: None, failures: Vec::new(), error: None }
    }

    /// Brings the replica up to the archive.
    async fn load(&mut self, config: &Config, archive: &Archive, observer: &SharedObserver) {
        match load::load(config, archive, false, observer).await {
            Ok(loaded) => self.load = Some(loaded),
            Err(error) => self.failed(error),
        }
    }

    /// Thins the snapshots as the settings say, and prunes. Somebody else's push or snapshot goes first: the next night comes.
    async fn forget(&mut self, config: &Config, archive: &Archive, observer: &SharedObserver) {
        if !config.forget.enabled {
            return;
        }
        let options = ForgetOptions {
            choice: Choice::Rules(config.forget.keep.clone()),
            lifted: Lifted::default(),
            dry_run: false,
            prune: Some(config.prune.grace),
            zone: config.zone(),
            now: Timestamp::now(),
        };
        match forget(archive, &options, observer).await {
            Ok(mut forgotten) => {
                // Those that stay, night after night, are no news.
                forgotten.snapshots.retain(|line| !line.keep);
                self.forget = Some(forgotten);
            }
            Err(error) if error.kind() == Kind::Busy => {
                let message = format!("nothing was forgotten or pruned this time: {}", error.message());
                observer.event(Event::Note { message });
            }
            Err(error) => self.failed(error),
        }
    }

    /// The first failure decides how the run ends, unless a later one is damage: a remote that is off must not hide it.
    fn failed(&mut self, error: Error) {
        self.failures.push(error.message().to_owned());
        match &self.error {
            Some(first) if error.kind() != Kind::Damage || first.kind() == Kind::Damage => {}
            _ => self.error = Some(error),
        }
    }
}

/// Snapshot, quick if the options say so, then load: what runs every 15 minutes.
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

/// Full snapshot tagged [`NIGHTLY`], push to every remote, load, forget and prune: what runs before the site clears the till.
///
/// # Errors
/// As [`snapshot`]. What failed after it is in the outcome.
pub async fn nightly(
    config: &Config,
    archive: &Archive,
    source: &mut dyn Source,
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<RunOutcome> {
    let mut options = options.clone();
    if !options.tags.iter().any(|tag| tag == NIGHTLY) {
        options.tags.push(NIGHTLY.to_owned());
    }
    let mut outcome = RunOutcome::of(snapshot(archive, source, &options, observer).await?);
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
    outcome.forget(config, archive, observer).await;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::snapshot::{Consistency, SnapshotKind};

    #[test]
    fn damage_decides_how_a_run_ends_whatever_failed_before() {
        let snapshot = SnapshotOutcome {
            snapshot: 1,
            kind: SnapshotKind::Full,
            rows: 0,
            rows_read: 0,
            chunks: 0,
            chunks_new: 0,
            bytes_new: 0,
            seconds: 0.0,
            unchanged: false,
            consistency: Consistency::Snapshot,
            epoch: 1,
            clear: None,
            missing: Vec::new(),
            changes: Vec::new(),
            collisions: Vec::new(),
            reads: Vec::new(),
            tables: Vec::new(),
        };
        let mut outcome = RunOutcome::of(snapshot);
        let ends = |outcome: &RunOutcome| outcome.error.as_ref().map(Error::exit_code);
        outcome.failed(Error::new(Kind::Store, "the remote is off").temporary());
        outcome.failed(Error::new(Kind::Replica, "no server"));
        assert_eq!(ends(&outcome), Some(75));
        outcome.failed(Error::new(Kind::Damage, "a chunk is missing"));
        outcome.failed(Error::new(Kind::Damage, "another one, too"));
        assert_eq!(ends(&outcome), Some(13));
        assert_eq!(outcome.error.as_ref().map(Error::message), Some("a chunk is missing"));
        assert_eq!(outcome.failures.len(), 4);
    }
}
