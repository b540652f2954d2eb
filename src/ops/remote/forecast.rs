//! When a remote will be full: from how the archive has grown and the room that is left there.
//!
//! A hint, told in time for somebody to act. Whoever does not tell its room is not guessed about, and nothing else rests on the answer.

use std::{collections::HashSet, fmt};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::super::{
    doctor::words,
    overview::{ChunkRef, read_each, table_refs},
};
use crate::{
    archive::{Archive, snapshot::Snapshot},
    error::Result,
    observe::{Event, SharedObserver},
    store::Remote,
};

/// Days that are looked back, and ahead.
const DAYS: i64 = 30;
/// Growth over less time says nothing.
const SHORTEST: SignedDuration = SignedDuration::from_hours(48);

/// What is known of a remote's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Bytes that are left there.
    pub free: u64,
    /// Bytes by which the archive grows a day.
    pub per_day: u64,
    /// The day on which it will be full, when that is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_on: Option<Date>,
}

impl Forecast {
    /// What will come of `free` bytes when `per_day` are used each day from `today` on.
    #[must_use]
    pub fn new(free: u64, per_day: u64, today: Date) -> Self {
        let days = free.checked_div(per_day).and_then(|days| i64::try_from(days).ok());
        let near = days.filter(|days| *days <= DAYS);
        let full_on = near.and_then(|days| today.checked_add(SignedDuration::from_hours(days * 24)).ok());
        Self { free, per_day, full_on }
    }

    /// What to do when it is near.
    #[must_use]
    pub fn fix() -> &'static str {
        "Raise the quota of its account, make room there (what lies in the trash bin fills the disk, too), or keep fewer snapshots: \
         [forget] in the settings and `tillvault forget --dry-run`."
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} are free there and the archive grows by {} a day",
            words::bytes(self.free),
            words::bytes(self.per_day)
        )?;
        match self.full_on {
            Some(day) => write!(f, ": it will be full about {day}"),
            None => Ok(()),
        }
    }
}

/// Warns through `observer` when `remote` will be full within 30 days. One request; whatever fails is passed over in silence, for
/// the push itself has worked.
pub async fn warn(archive: &Archive, remote: &Remote, zone: &TimeZone, observer: &SharedObserver) {
    if let Ok(Some(forecast)) = forecast(archive, remote, zone).await
        && forecast.full_on.is_some()
    {
        observer.event(Event::Warning { message: format!("remote {}: {forecast}", remote.name) });
    }
}

/// The forecast for a remote; `None` when it does not tell its room or the archive is too young.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be asked, or the archive not be listed.
pub async fn forecast(archive: &Archive, remote: &Remote, zone: &TimeZone) -> Result<Option<Forecast>> {
    let Some(quota) = remote.quota().await? else { return Ok(None) };
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    Ok(daily_growth(archive)?.map(|per_day| Forecast::new(quota.free, per_day, today)))
}

/// Bytes a day by which the archive has grown: chunks and snapshot files of the last 30 days that the snapshot before did not need.
/// `None` for less than two days of snapshots. Reads their files, so it may take a second.
///
/// # Errors
/// `Store` when the archive cannot be listed.
pub fn daily_growth(archive: &Archive) -> Result<Option<u64>> {
    let numbers = archive.snapshot_numbers()?;
    let Some(newest) = numbers.iter().rev().find_map(|number| archive.snapshot(*number).ok()) else { return Ok(None) };
    let since = newest.taken_at - SignedDuration::from_hours(24 * DAYS);
    // A damaged one tells no time; those around it do.
    let before = |number: &u64| archive.snapshot(*number).is_ok_and(|snapshot| snapshot.taken_at < since);
    let start = numbers.partition_point(before).saturating_sub(1);
    let read = read_each(archive, &numbers[start..], |snapshot| Step::of(archive, &snapshot));
    let steps: Vec<Step> = read.into_iter().filter_map(Result::ok).collect();
    Ok(growth(&steps))
}

/// What one snapshot needs.
struct Step {
    at: Timestamp,
    file: u64,
    chunks: Vec<ChunkRef>,
}

impl Step {
    fn of(archive: &Archive, snapshot: &Snapshot) -> Self {
        let file = archive.snapshot_object(snapshot.snapshot).map_or(0, |object| object.bytes);
        Self { at: snapshot.taken_at, file, chunks: snapshot.tables.iter().flat_map(table_refs).collect() }
    }
}

/// New bytes after the first step, by day.
fn growth(steps: &[Step]) -> Option<u64> {
    let (first, last) = (steps.first()?, steps.last()?);
    let span = last.at.duration_since(first.at);
    if span < SHORTEST {
        return None;
    }
    let mut seen: HashSet<[u8; 16]> = first.chunks.iter().map(|chunk| chunk.id).collect();
    let mut bytes = 0u128;
    for step in &steps[1..] {
        bytes += u128::from(step.file);
        bytes +=
            step.chunks.iter().filter(|chunk| seen.insert(chunk.id)).map(|chunk| u128::from(chunk.bytes)).sum::<u128>();
    }
    let seconds = u128::try_from(span.as_secs()).ok()?;
    u64::try_from(bytes * 86_400 / seconds).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::archive::snapshot::{Consistency, FORMAT, SnapshotKind, SourceInfo};

    fn step(day: i64, chunks: &[(u8, u64)]) -> Step {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day);
        Step {
            at,
            file: 10,
            chunks: chunks.iter().map(|(id, bytes)| ChunkRef { id: [*id; 16], bytes: *bytes }).collect(),
        }
    }

    fn empty_snapshot(archive: &Archive, taken_at: Timestamp) -> Snapshot {
        let (snapshot, parent) = archive.next_link().unwrap();
        let text = |text: &str| text.to_owned();
        Snapshot {
            format: FORMAT,
            archive: archive.id().to_owned(),
            snapshot,
            parent,
            taken_at,
            till_time: taken_at.to_zoned(TimeZone::UTC).datetime(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Snapshot,
            source: SourceInfo { server: text("T"), database: text("D"), version: text("16"), collation: text("C") },
            epoch: 1,
            clear: None,
            tags: Vec::new(),
            tool: text("0.1.0"),
            tables: Vec::new(),
            missing: Vec::new(),
            reads: Vec::new(),
        }
    }

    #[test]
    fn only_what_is_new_after_the_first_counts() {
        let steps = [step(0, &[(1, 1000)]), step(1, &[(1, 1000), (2, 100)]), step(4, &[(2, 100), (3, 280)])];
        assert_eq!(growth(&steps), Some((100 + 280 + 20) / 4));
        assert_eq!(growth(&steps[..2]), None, "a day is too short");
        assert_eq!(growth(&[]), None);
    }

    #[tokio::test]
    async fn the_growth_of_an_archive_is_that_of_its_last_month() {
        let home = tempfile::tempdir().unwrap();
        let archive = Archive::create(&home.path().join("archive"), "Beach Bar").unwrap();
        assert_eq!(daily_growth(&archive).unwrap(), None);
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        // 50 days of snapshots without rows: each adds its own file and nothing else.
        let mut sizes = Vec::new();
        for day in 0..50 {
            let snapshot = empty_snapshot(&archive, start + SignedDuration::from_hours(24 * day));
            archive.write_snapshot(&snapshot).await.unwrap();
            sizes.push(archive.snapshot_object(snapshot.snapshot).unwrap().bytes);
        }
        // The newest is of day 49; the one before its last 30 days is of day 18.
        let expected = sizes[19..].iter().sum::<u64>() / 31;
        assert_eq!(daily_growth(&archive).unwrap(), Some(expected));
        assert!(expected > 50);
    }

    #[test]
    fn a_day_is_named_when_it_is_near() {
        let today = date(2026, 11, 22);
        let full = |free, per_day| Forecast::new(free, per_day, today).full_on;
        assert_eq!(full(1000, 100), Some(date(2026, 12, 2)));
        assert_eq!(full(50, 100), Some(today));
        assert_eq!(full(3099, 100), Some(date(2026, 12, 22)));
        assert_eq!(full(3100, 100), None);
        assert_eq!(full(1000, 0), None);
        assert_eq!(full(u64::MAX, 1), None);
        assert_eq!(
            Forecast::new(5 << 20, 1 << 20, today).to_string(),
            "5.0 MB are free there and the archive grows by 1.0 MB a day: it will be full about 2026-11-27"
        );
    }
}
