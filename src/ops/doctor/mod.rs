//! `doctor`: is everything a run needs there, and if not, what is to be done?
//!
//! Looks at each part on its own, so that one broken part does not hide the next, and says what it found in sentences for
//! whoever owns the till. [`Diagnosis`] is the outcome; the parts are in `settings`, `till`, `archive`, `remote`, `replica`.
//!
//! Promises: changes nothing, anywhere; the replica is opened only where that creates nothing; ends within a bounded time;
//! what could not be found out is said to be not known, never to be fine.

mod archive;
mod remote;
mod replica;
mod settings;
mod till;
pub(super) mod words;

use std::{fmt, path::Path};

pub use remote::try_remotes;
use serde::Serialize;

use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, Result},
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fine.
    Ok,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Failed,
    /// Could not be found out; nothing rests on it.
    Unknown,
}

/// A part of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The settings file and the files it names.
    Settings,
    /// The till.
    Till,
    /// The archive on this machine.
    Archive,
    /// Its copies elsewhere.
    Remotes,
    /// The PostgreSQL replica.
    Replica,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "Settings",
            Self::Till => "Till",
            Self::Archive => "Archive",
            Self::Remotes => "Remotes",
            Self::Replica => "Replica",
        })
    }
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The part of the site it belongs to.
    pub part: Part,
    /// What was looked at: one stable word, such as `clock`; README lists them.
    pub name: &'static str,
    /// Which one, where there may be several: the name of a remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Statements an administrator may run on the server to do it. Never run by tillvault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// Exit code it leads to.
    #[serde(skip)]
    pub exit_code: u8,
}

impl Check {
    fn new(part: Part, name: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        let exit_code = match verdict {
            Verdict::Ok | Verdict::Unknown => 0,
            Verdict::Warning => 3,
            Verdict::Failed => Kind::Source.exit_code(),
        };
        Self {
            part,
            name,
            object: None,
            verdict,
            message: message.into(),
            fix: None,
            statements: Vec::new(),
            exit_code,
        }
    }

    fn ok(part: Part, name: &'static str, message: impl Into<String>) -> Self {
        Self::new(part, name, Verdict::Ok, message)
    }

    fn warning(part: Part, name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(part, name, Verdict::Warning, message).with_fix(fix)
    }

    fn failed(part: Part, name: &'static str, error: &Error) -> Self {
        let check = Self::new(part, name, Verdict::Failed, with_cause(error));
        Self { fix: error.next_step().map(sentence), exit_code: error.exit_code(), ..check }
    }

    fn unknown(part: Part, name: &'static str, message: impl Into<String>) -> Self {
        Self::new(part, name, Verdict::Unknown, message)
    }

    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn with_statements(mut self, statements: Vec<String>) -> Self {
        self.statements = statements;
        self
    }

    fn of(mut self, object: &str) -> Self {
        self.object = Some(object.to_owned());
        self
    }
}

/// The message and what lies right behind it.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{} ({cause})", error.message()),
        None => error.message().to_owned(),
    }
}

/// A hint as a sentence.
fn sentence(hint: &str) -> String {
    let mut letters = hint.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if hint.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// The JSON of `doctor`.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The checks, in the order data flows.
    pub checks: Vec<Check>,
    /// How many there are of each verdict, and what to do first.
    pub summary: Summary,
}

/// The end of a diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Checks that are fine.
    pub ok: usize,
    /// Checks somebody should look at.
    pub warnings: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks without an answer.
    pub unknown: usize,
    /// The check to begin with: the first failure, else the first warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
}

/// The check to begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct First {
    /// Its part.
    pub part: Part,
    /// Its name.
    pub name: &'static str,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Diagnosis {
    fn new(checks: Vec<Check>) -> Self {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let first_of = |verdict| checks.iter().find(|check| check.verdict == verdict);
        let first = first_of(Verdict::Failed).or_else(|| first_of(Verdict::Warning));
        let summary = Summary {
            ok: count(Verdict::Ok),
            warnings: count(Verdict::Warning),
            failed: count(Verdict::Failed),
            unknown: count(Verdict::Unknown),
            first: first.map(|check| First { part: check.part, name: check.name, fix: check.fix.clone() }),
        };
        Self { checks, summary }
    }

    /// Exit code of the first failure, else 3 when something is to be looked at, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let failed = self.checks.iter().find(|check| check.verdict == Verdict::Failed);
        let warned = self.checks.iter().find(|check| check.verdict == Verdict::Warning);
        failed.or(warned).map_or(0, |check| check.exit_code)
    }
}

/// Looks at the parts in `parts`; at all of them when there is none. `explicit` is the settings file named on the command line.
pub async fn doctor(explicit: Option<&Path>, parts: &[Part]) -> Diagnosis {
    let wanted = |part: Part| parts.is_empty() || parts.contains(&part);
    let config = match Config::load(explicit) {
        Ok(config) => config,
        // Nothing else is known then, whatever part was asked for.
        Err(error) => return Diagnosis::new(vec![Check::failed(Part::Settings, "file", &error)]),
    };
    let mut checks = Vec::new();
    if wanted(Part::Settings) {
        checks.extend(settings::look(explicit));
    }
    checks.extend(look(&config, parts).await);
    Diagnosis::new(checks)
}

/// What [`doctor`] looks at beyond the settings file itself, with settings that were read already.
pub async fn look(config: &Config, parts: &[Part]) -> Vec<Check> {
    let wanted = |part: Part| parts.is_empty() || parts.contains(&part);
    let mut checks = Vec::new();
    let mut last_trade = None;
    if wanted(Part::Till) {
        // Boxed, as its depth is the sum of both drivers'.
        let (found, newest) = Box::pin(till::look(config)).await;
        checks.extend(found);
        last_trade = newest;
    }
    let archive = Archive::open(&config.archive);
    if wanted(Part::Archive) {
        checks.extend(archive::look(config, &archive, last_trade));
    }
    if wanted(Part::Remotes) {
        checks.extend(remote::look(config, archive.as_ref().ok()).await);
    }
    if wanted(Part::Replica) {
        checks.push(replica::look(config, archive.as_ref().ok()).await);
    }
    checks
}

/// What a check says when a question failed with `error`, for parts where nothing rests on the answer.
fn found<T>(part: Part, name: &'static str, result: Result<T>, check: impl FnOnce(T) -> Check) -> Check {
    match result {
        Ok(value) => check(value),
        Err(error) => Check::failed(part, name, &error),
    }
}
