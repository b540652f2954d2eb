//! `sync` and `nightly`: the runs that a schedule starts.
//!
//! The archive comes first. What follows it (push, load, forget) is tried even when its neighbour failed, since each can catch up
//! later; the first failure is reported at the end, together with everything that did work.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    check::Part,
    forget::{Choice, ForgetOptions, ForgetOutcome, forget},
    load::{self, LoadOutcome},
    policy::Lifted,
    prune_remote::{RemotePruneOptions, RemotePruneOutcome, prune_remote},
    push::{Destinations, PushOptions, PushReport, push_each, refresh_derived},
    remote::forecast,
    snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
};
use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    source::Source,
    store::proof::Trash,
};

/// `nightly` looks at one of so many parts of a remote's folders each night.
const FOLDER_SHARES: u64 = 7;

/// Which configured remotes are not known to hold each snapshot, as far as there are any.
fn lacking(config: &Config, archive: &Archive) -> BTreeMap<u64, BTreeSet<String>> {
    let notes = archive.pushed();
    let mut lacking: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for number in archive.snapshot_numbers().unwrap_or_default() {
        let without = config.remotes.iter().map(|remote| &remote.name);
        let without = without.filter(|name| !notes.iter().any(|note| note.remote == **name && note.holds(number)));
        let without: BTreeSet<String> = without.cloned().collect();
        if !without.is_empty() {
            lacking.insert(number, without);
        }
    }
    lacking
}

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
    /// What was removed from the remotes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prune_remotes: Vec<RemotePruneOutcome>,
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
        Self {
            snapshot,
            push: Vec::new(),
            load: None,
            forget: None,
            prune_remotes: Vec::new(),
            failures: Vec::new(),
            error: None,
        }
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
        let keep = config.forget.keep.clone();
        let lacking = if config.forget.wait_for_remotes { lacking(config, archive) } else { BTreeMap::new() };
        let options = ForgetOptions {
            choice: Choice::Unless { rules: keep, lacking },
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

    /// Pushes to every remote. One that fails keeps no other from being served.
    async fn push(
        &mut self,
        archive: &Archive,
        remotes: &mut Destinations,
        options: &PushOptions,
        observer: &SharedObserver,
    ) {
        let mut reports = push_each(archive, remotes, options, observer).await;
        for error in reports.iter_mut().filter_map(|report| report.cause.take()) {
            self.failed(error);
        }
        self.push = reports;
    }

    /// Takes from the remotes what was forgotten, and brings their derived files up to date: those that the push has reached.
    async fn tidy_remotes(
        &mut self,
        config: &Config,
        archive: &Archive,
        remotes: &Destinations,
        observer: &SharedObserver,
    ) {
        let now = Timestamp::now();
        let options = RemotePruneOptions {
            grace: config.prune.grace,
            dry_run: false,
            now,
            trash: Trash::Keep,
            folders: Part::daily(FOLDER_SHARES, now),
        };
        let failed = |name: &str| self.push.iter().any(|push| push.outcome.remote == name && push.error.is_some());
        let reached: Vec<_> = remotes.remotes.iter().filter(|remote| !failed(&remote.name)).collect();
        for remote in reached {
            if config.forget.enabled && config.prune.remotes {
                match prune_remote(archive, remote, &options, observer).await {
                    Ok(pruned) => self.prune_remotes.push(pruned),
                    Err(error) => self.failed(error),
                }
            }
            if let Err(error) = refresh_derived(archive, remote).await {
                self.failed(error);
            }
            forecast::warn(archive, remote, &config.zone(), observer).await;
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

/// Snapshot, quick if the options say so, then load: what runs every 15 minutes. With `remotes` it is pushed in between, without
/// derived files, which wait for the night.
///
/// # Errors
/// As [`snapshot`]. A failed push or load is in the outcome.
pub async fn sync(
    config: &Config,
    archive: &Archive,
    source: &mut dyn Source,
    remotes: Option<&mut Destinations>,
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<RunOutcome> {
    let mut outcome = RunOutcome::of(snapshot(archive, source, options, observer).await?);
    if let Some(remotes) = remotes {
        outcome.push(archive, remotes, &PushOptions::default(), observer).await;
    }
    outcome.load(config, archive, observer).await;
    Ok(outcome)
}

/// Full snapshot tagged [`NIGHTLY`], push to every remote, load, forget and prune, here and on the remotes: what runs before the site
/// clears the till. The push looks whether a seventh of the remote's folders still hold what they should.
///
/// # Errors
/// As [`snapshot`]. What failed after it is in the outcome.
pub async fn nightly(
    config: &Config,
    archive: &Archive,
    source: &mut dyn Source,
    remotes: &mut Destinations,
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
    let verify = Some(Part::daily(FOLDER_SHARES, Timestamp::now()));
    let push = PushOptions { verify, ..PushOptions::default() };
    outcome.push(archive, remotes, &push, observer).await;
    outcome.load(config, archive, observer).await;
    outcome.forget(config, archive, observer).await;
    outcome.tidy_remotes(config, archive, remotes, observer).await;
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
