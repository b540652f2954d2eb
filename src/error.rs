//! The one error type that crosses module boundaries.
//!
//! An [`Error`] says three things: what failed and on which object (`message`), what to do next (`hint`), and what kind of
//! thing went wrong ([`Kind`]), which decides the exit code. Causes are chained as `source`, never pasted into the message.
//! Retry code asks [`Error::is_temporary`] and nothing else.
//!
//! Rules: no secret ever enters a message, a hint or a chained cause; a module may have its own narrower error enum inside,
//! but what it hands out is this type; nothing below `cli` decides an exit code by itself.

use std::fmt;

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is; each maps to one exit code (see [`Kind::exit_code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The command line or an argument makes no sense.
    Usage,
    /// The configuration file or environment is missing something or is wrong.
    Config,
    /// There is no archive at the given place.
    NoArchive,
    /// Another run holds the archive's lock.
    Busy,
    /// A server refused the credentials.
    Credentials,
    /// The till could not be reached or read.
    Source,
    /// A local or remote store failed.
    Store,
    /// `PostgreSQL` failed or refused.
    Replica,
    /// The archive is damaged: a file is missing, truncated or altered.
    Damage,
    /// A query or report could not be answered.
    Query,
    /// A safety gate said no.
    Refused,
    /// The user stopped the run.
    Interrupted,
    /// A defect of tillvault itself.
    Bug,
}

impl Kind {
    /// The process exit code for this kind, before [`Error::is_temporary`] is considered. The codes are public interface.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage | Kind::Config => 2,
            Kind::NoArchive => 10,
            Kind::Busy => 11,
            Kind::Credentials => 12,
            Kind::Damage => 13,
            Kind::Refused => 20,
            Kind::Interrupted => 130,
            Kind::Source | Kind::Store | Kind::Replica | Kind::Query | Kind::Bug => 1,
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A failure: kind, message, what to do next, cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    temporary: bool,
    transaction_lost: bool,
    source: Option<Cause>,
}

impl Error {
    /// A failure of `kind`; `message` says what failed on which object.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, temporary: false, transaction_lost: false, source: None }
    }

    /// Adds what the reader should do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Chains the cause. It must not contain a secret.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Marks the failure as one that may pass by itself: trying later is sensible.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// Marks the failure as the end of the till's read transaction: what was read before it belongs to a moment that cannot
    /// be seen any more. It is temporary, too: reading anew from the beginning is sensible, at once.
    #[must_use]
    pub fn lost_transaction(mut self) -> Self {
        self.transaction_lost = true;
        self.temporary()
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, on which object.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Whether the till's read transaction ended with this failure, so that a run has to begin again.
    #[must_use]
    pub fn transaction_lost(&self) -> bool {
        self.transaction_lost
    }

    /// The process exit code: 75 for temporary failures that have no code of their own.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind.exit_code() {
            1 if self.temporary => 75,
            code => code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// Turns a foreign error into ours with a message: `result.or_fail(Kind::Store, || "cannot list …")?`.
pub trait OrFail<T> {
    /// Wraps the error with a kind and a message; the foreign error becomes the cause.
    ///
    /// # Errors
    /// The wrapped error, if `self` is one.
    fn or_fail<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Cause>> OrFail<T> for std::result::Result<T, E> {
    fn or_fail<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).caused_by(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_failures_exit_with_75_unless_they_have_a_code_of_their_own() {
        assert_eq!(Error::new(Kind::Source, "till is off").temporary().exit_code(), 75);
        assert_eq!(Error::new(Kind::Source, "table is odd").exit_code(), 1);
        assert_eq!(Error::new(Kind::Busy, "locked").temporary().exit_code(), 11);
    }
}
