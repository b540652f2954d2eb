//! Pushing to several remotes: one that fails hides nothing of the others.

use std::path::Path;

use serde::Serialize;

use super::{PushOptions, PushOutcome, push_so_far};
use crate::{
    archive::Archive,
    config::RemoteConfig,
    error::{Error, Kind},
    observe::SharedObserver,
    ops::mirror,
    store::Remote,
};

/// The remotes of a run, opened.
#[derive(Debug, Default)]
pub struct Destinations {
    /// Those that can be used, in the order of the settings.
    pub remotes: Vec<Remote>,
    /// Names of those whose settings cannot be used, and why.
    pub unusable: Vec<(String, Error)>,
}

impl Destinations {
    /// Opens remotes. Nothing is sent yet. `archive` is the archive's folder.
    pub fn open<'a>(archive: &Path, configs: impl IntoIterator<Item = &'a RemoteConfig>) -> Self {
        let mut opened = Self::default();
        for config in configs {
            match mirror::open(archive, config) {
                Ok(remote) => opened.remotes.push(remote),
                Err(error) => opened.unusable.push((config.name.clone(), error)),
            }
        }
        opened
    }
}

/// Why the push to a remote ended early, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushFailure {
    /// What failed.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether it may pass by itself.
    pub temporary: bool,
    /// The exit code that it stands for.
    pub exit_code: u8,
}

impl PushFailure {
    fn of(error: &Error) -> Self {
        Self {
            message: error.message().to_owned(),
            next: error.next_step().map(str::to_owned),
            temporary: error.is_temporary(),
            exit_code: error.exit_code(),
        }
    }
}

/// What became of the push to one remote.
#[derive(Debug, Serialize)]
pub struct PushReport {
    /// What was done, until it failed if it did.
    #[serde(flatten)]
    pub outcome: PushOutcome,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<PushFailure>,
    /// The same with its causes.
    #[serde(skip)]
    pub cause: Option<Error>,
}

impl PushReport {
    fn new(outcome: PushOutcome, cause: Option<Error>) -> Self {
        Self { outcome, error: cause.as_ref().map(PushFailure::of), cause }
    }
}

/// Pushes to one remote after the other. Every one is tried; those that cannot be used are reported, too.
pub async fn push_each(
    archive: &Archive,
    destinations: &mut Destinations,
    options: &PushOptions,
    observer: &SharedObserver,
) -> Vec<PushReport> {
    let mut reports = Vec::new();
    for remote in &destinations.remotes {
        let (outcome, result) = push_so_far(archive, remote, options, observer).await;
        reports.push(PushReport::new(outcome, result.err()));
    }
    let unusable = destinations.unusable.drain(..);
    reports.extend(unusable.map(|(name, error)| PushReport::new(PushOutcome::of(&name), Some(error))));
    reports
}

/// The failure that decides how a run over several remotes ends, by its place: damage before anything else, then what somebody has to
/// act on, then what may pass by itself; the first of equals.
pub fn worst<'a>(errors: impl Iterator<Item = &'a Error>) -> Option<&'a Error> {
    let weight = |error: &Error| match error.kind() {
        Kind::Damage => 5,
        Kind::Refused => 4,
        Kind::Credentials => 3,
        Kind::Busy => 0,
        _ if error.is_temporary() => 1,
        _ => 2,
    };
    errors.fold(None, |worst: Option<&Error>, error| match worst {
        Some(known) if weight(known) >= weight(error) => worst,
        _ => Some(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_somebody_decides_before_what_passes() {
        let off = Error::new(Kind::Store, "the first is off").temporary();
        let full = Error::new(Kind::Store, "the second is full");
        let refused = Error::new(Kind::Refused, "the third is another archive's");
        let damaged = Error::new(Kind::Damage, "a chunk is damaged");
        let named = |errors: &[&Error]| worst(errors.iter().copied()).map(|error| error.message().to_owned());
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[&off, &full]).as_deref(), Some("the second is full"));
        assert_eq!(named(&[&refused, &full, &off]).as_deref(), Some("the third is another archive's"));
        assert_eq!(named(&[&off, &damaged, &refused]).as_deref(), Some("a chunk is damaged"));
    }
}
