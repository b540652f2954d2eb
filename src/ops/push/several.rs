//! Pushing to several remotes: one that fails hides nothing of the others.

use serde::{Serialize, Serializer};

use super::{PushOptions, PushOutcome, push_so_far};
use crate::{
    archive::Archive,
    error::{Error, Kind},
    observe::SharedObserver,
    store::Remote,
};

/// What became of the push to one remote.
#[derive(Debug)]
pub struct PushReport {
    /// What was done, until it failed if it did.
    pub outcome: PushOutcome,
    /// Why it ended early.
    pub error: Option<Error>,
}

/// The outcome's fields, and `error` with `message`, `next`, `temporary` and `exit_code` where there is one.
impl Serialize for PushReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Failure<'a> {
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<&'a str>,
            temporary: bool,
            exit_code: u8,
        }
        #[derive(Serialize)]
        struct Flat<'a> {
            #[serde(flatten)]
            outcome: &'a PushOutcome,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<Failure<'a>>,
        }
        let error = self.error.as_ref().map(|error| Failure {
            message: error.message(),
            next: error.next_step(),
            temporary: error.is_temporary(),
            exit_code: error.exit_code(),
        });
        Flat { outcome: &self.outcome, error }.serialize(serializer)
    }
}

/// Pushes to one remote after the other. Every one is tried.
pub async fn push_each(
    archive: &Archive,
    remotes: &[Remote],
    options: &PushOptions,
    observer: &SharedObserver,
) -> Vec<PushReport> {
    let mut reports = Vec::with_capacity(remotes.len());
    for remote in remotes {
        let (outcome, result) = push_so_far(archive, remote, options, observer).await;
        reports.push(PushReport { outcome, error: result.err() });
    }
    reports
}

/// The failure that decides how a run over several remotes ends: damage before anything else, then what somebody has to act on, then
/// what may pass by itself.
pub fn worst<'a>(errors: impl Iterator<Item = &'a Error>) -> Option<&'a Error> {
    let weight = |error: &Error| match error.kind() {
        Kind::Damage => 5,
        Kind::Refused => 4,
        Kind::Credentials => 3,
        Kind::Busy => 0,
        _ if error.is_temporary() => 1,
        _ => 2,
    };
    // The first of equals.
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
