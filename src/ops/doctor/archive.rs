//! The archive on this machine: is it there, is it fresh, is there room for more?

use std::{path::Path, time::Duration};

use jiff::{Timestamp, civil::DateTime};

use super::{Check, Part, words};
use crate::{archive::Archive, config::Config, error::Result};

/// A newest snapshot older than this was missed by the nightly run.
const STALE: Duration = Duration::from_secs(26 * 3600);
/// Less free space than this will soon be none.
const LITTLE_ROOM: u64 = 1 << 30;

/// Looks at the archive. `last_trade` is when the till made its newest ticket, by its own clock.
pub(super) fn look(config: &Config, archive: &Result<Archive>, last_trade: Option<DateTime>) -> Vec<Check> {
    let archive = match archive {
        Ok(archive) => archive,
        Err(error) => return vec![Check::failed(Part::Archive, "folder", error), room(&config.archive)],
    };
    let mut checks = vec![Check::ok(Part::Archive, "folder", archive.root().display().to_string())];
    checks.push(match archive.latest() {
        Ok(Some(latest)) => {
            let taken = Taken { number: latest.snapshot, at: latest.taken_at, till_time: latest.till_time };
            fresh(&taken, Timestamp::now(), last_trade)
        }
        Ok(None) => Check::warning(
            Part::Archive,
            "snapshots",
            "there is no snapshot yet",
            "Run `tillvault nightly` and let a schedule do so every night.",
        ),
        Err(error) => Check::failed(Part::Archive, "snapshots", &error),
    });
    if archive.is_being_written() {
        checks.push(Check::ok(Part::Archive, "lock", "a run is writing to it at this moment"));
    }
    checks.push(room(archive.root()));
    checks.push(Check::ok(
        Part::Archive,
        "content",
        "not looked at here: `tillvault check --read-data` says whether every file is there and unaltered",
    ));
    checks
}

/// The newest snapshot.
struct Taken {
    number: u64,
    at: Timestamp,
    till_time: DateTime,
}

fn fresh(taken: &Taken, now: Timestamp, last_trade: Option<DateTime>) -> Check {
    let age = Duration::try_from(now.duration_since(taken.at)).unwrap_or_default();
    let mut message = format!("the newest, number {}, is {} old", taken.number, words::time(age));
    let since = last_trade.and_then(|trade| Duration::try_from(trade.duration_since(taken.till_time)).ok());
    match since.filter(|since| !since.is_zero()) {
        Some(since) => message.push_str(&format!("; the till made tickets until {} after it", words::time(since))),
        None if last_trade.is_some() => message.push_str("; the till made no ticket since"),
        None => {}
    }
    if age > STALE {
        let fix = "Run `tillvault nightly`, and see that a schedule runs it every night: README, \"Use it\", has the lines for cron.";
        Check::warning(Part::Archive, "snapshots", message, fix)
    } else {
        Check::ok(Part::Archive, "snapshots", message)
    }
}

/// Free space where the archive lies, or will lie.
fn room(folder: &Path) -> Check {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    match free_bytes(there) {
        Ok(free) if free < LITTLE_ROOM => Check::warning(
            Part::Archive,
            "space",
            format!("only {} are free on its disk", words::bytes(free)),
            "Make room, or move the archive to a larger disk and set archive in the settings: the folder may be moved as it is.",
        ),
        Ok(free) => Check::ok(Part::Archive, "space", format!("{} are free on its disk", words::bytes(free))),
        Err(error) => Check::unknown(Part::Archive, "space", format!("free space is not known: {error}")),
    }
}

/// Bytes that a user without privileges may still write where `path` lies.
pub(super) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::ops::doctor::Verdict;

    fn taken() -> Taken {
        let at = "2026-10-01T03:00:00Z".parse().unwrap();
        Taken { number: 42, at, till_time: date(2026, 10, 1).at(4, 0, 0, 0) }
    }

    #[test]
    fn a_snapshot_grows_old_after_a_day() {
        let after = |hours: i64| taken().at + jiff::SignedDuration::from_hours(hours);
        let check = fresh(&taken(), after(3), Some(date(2026, 10, 1).at(5, 30, 0, 0)));
        assert_eq!(check.verdict, Verdict::Ok);
        assert_eq!(
            check.message,
            "the newest, number 42, is 3 hours old; the till made tickets until 1 hour 30 minutes after it"
        );
        let check = fresh(&taken(), after(30), Some(date(2026, 9, 30).at(5, 30, 0, 0)));
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.message, "the newest, number 42, is 1 day 6 hours old; the till made no ticket since");
    }

    #[test]
    fn free_space_is_that_of_the_nearest_folder() {
        let folder = tempfile::tempdir().unwrap();
        let check = room(&folder.path().join("not/yet/there"));
        assert!(check.message.contains("free on its disk"), "{check:?}");
    }
}
