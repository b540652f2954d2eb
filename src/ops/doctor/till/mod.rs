//! The till: the way to it, who it is, what may be read there and whether that is enough.
//!
//! What was found comes from `source::sqlserver::examine`; here it becomes sentences, with the fix to make. The judging
//! functions are pure: facts in, checks out.

mod clock;
mod rights;
mod server;
mod size;
mod tables;
mod way;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::DateTime;

use super::{Check, Part, Verdict};
use crate::{
    config::{Config, TillConfig},
    error::{Error, Kind},
    model::table::Table,
    observe::{Event, Observer},
    source::{
        TableSelection, pattern, secrets,
        sqlserver::{
            SqlServer,
            examine::{self, Answer, Examination},
        },
    },
};

/// Looks at the till. Also says when it made its newest ticket, by its own clock, if that could be found out.
pub(super) async fn look(config: &Config) -> (Vec<Check>, Option<DateTime>) {
    let settings = match config.till() {
        Ok(settings) => settings,
        Err(error) => return (vec![failed("settings", &error)], None),
    };
    // Boxed, here and below: their depth is the drivers', and stacks are small.
    let reach = Box::pin(examine::reach(settings)).await;
    let mut checks = way::checks(settings, &reach);
    if !way::is_open(&checks, &reach) {
        return (checks, None);
    }
    match Box::pin(examine::examine(settings)).await {
        Ok((till, found)) => {
            checks.extend(way::greeting(settings, &reach, true));
            judge(config, settings, &found, &mut checks);
            let heard = Arc::new(Heard::default());
            let mut till = till.reporting_to(heard.clone());
            let tried = Box::pin(till.try_reader()).await;
            checks.push(server::reader(settings, &tried, &heard.take()));
            Box::pin(sample(config, settings, &mut till, &found, &mut checks)).await;
            (checks, found.newest_ticket.ok().flatten())
        }
        Err(error) => {
            checks.extend(way::greeting(settings, &reach, false));
            if checks.iter().all(|check| check.verdict != Verdict::Failed) {
                checks.extend(refused(settings, &error).await);
            }
            (checks, None)
        }
    }
}

/// Everything that is known without reading rows.
fn judge(config: &Config, settings: &TillConfig, found: &Examination, checks: &mut Vec<Check>) {
    checks.push(server::login(found));
    checks.push(server::state(settings, found));
    checks.extend(server::version(found, jiff::Timestamp::now()));
    checks.push(server::collation(found));
    checks.push(server::consistency(found));
    checks.push(server::connection(found));
    checks.push(clock::check(found, &config.zone(), config.timezone.as_deref()));
    match &found.tables {
        Err(error) => checks.push(failed("tables", error)),
        Ok(all) => {
            let selected = selected(&settings.tables, all);
            checks.extend(tables::checks(&settings.tables, all, &selected, found));
            checks.push(rights::reading(settings, &selected, found));
        }
    }
    checks.push(rights::beyond_reading(settings, found));
    checks.push(server::quick(found));
}

/// The size of it all, and what a full run may take.
async fn sample(
    config: &Config,
    settings: &TillConfig,
    till: &mut SqlServer,
    found: &Examination,
    checks: &mut Vec<Check>,
) {
    let Ok(all) = &found.tables else { return };
    let selected = selected(&settings.tables, all);
    checks.push(size::size(&selected, found));
    let sample = match size::best_sample(&selected, found) {
        Some(table) => till.sample(table).await.map(|sample| sample.map(|sample| (table, sample))),
        None => Ok(None),
    };
    checks.push(match sample {
        Ok(sample) => size::first_run(config, &selected, found, sample),
        Err(error) => Check::unknown(Part::Till, "first_run", format!("it cannot be estimated: {error}")),
    });
}

/// What the connection has to say.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Heard {
    fn event(&self, event: Event) {
        if let Event::Note { message } | Event::Warning { message } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
    }
}

/// The sign-in failed. Where it may be for the database alone, the server is asked which ones it has.
async fn refused(settings: &TillConfig, error: &Error) -> Vec<Check> {
    if error.kind() == Kind::Credentials {
        return vec![failed("login", error)];
    }
    match examine::other_databases(settings).await {
        Ok(others) => vec![
            Check::ok(Part::Till, "login", format!("the server knows the login \"{}\"", settings.username)),
            server::database_closed(settings, error, &others),
        ],
        Err(_) => vec![failed("login", error)],
    }
}

/// The tables a run takes, without what is left out of them.
fn selected(selection: &TableSelection, all: &[Table]) -> Vec<Table> {
    let taken = all.iter().filter(|table| pattern::selects(selection, &table.name)).cloned();
    if selection.with_secrets { taken.collect() } else { taken.filter_map(secrets::leave_out).collect() }
}

fn failed(name: &'static str, error: &Error) -> Check {
    Check::failed(Part::Till, name, error)
}

/// A check on an answer; one that did not come is not known, for the server's own reason.
fn on<T>(name: &'static str, answer: &Answer<T>, check: impl FnOnce(&T) -> Check) -> Check {
    match answer {
        Ok(value) => check(value),
        Err(unanswered) => Check::unknown(Part::Till, name, format!("not known: {}", unanswered.reason)),
    }
}
