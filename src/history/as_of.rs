//! Which snapshot was true at a given moment.
//!
//! A moment is a snapshot's number (`42`, `#42`), `latest`, a date or a date with a time in the site's zone
//! (`2026-10-01`, `2026-10-01 03:00`), ISO 8601 with an offset (`2026-10-01T03:00:00+01:00`), or `now`, `today`,
//! `yesterday`. A date means the end of that day: everything taken on it counts. The answer is the newest snapshot taken at
//! or before the moment, by this machine's clock at the time it was taken.
//!
//! Pure: the present moment and the zone are given by the caller.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use crate::error::{Error, Kind, OrFail, Result};

/// A moment of the past, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The newest snapshot there is.
    Latest,
    /// The snapshot of this number.
    Snapshot(u64),
    /// The newest snapshot taken at this moment or before.
    At(Timestamp),
}

/// A snapshot's number and when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Number.
    pub snapshot: u64,
    /// [`Snapshot::taken_at`](crate::archive::snapshot::Snapshot::taken_at).
    pub taken_at: Timestamp,
}

impl AsOf {
    /// Reads what a person typed; `now` and `zone` give words and local times their meaning.
    ///
    /// # Errors
    /// `Usage` when it is no moment, or lies outside the calendar.
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self> {
        let text = text.trim();
        let today = now.to_zoned(zone.clone()).date();
        match text.to_ascii_lowercase().as_str() {
            "latest" | "newest" => return Ok(Self::Latest),
            "now" => return Ok(Self::At(now)),
            "today" => return end_of_day(today, zone),
            "yesterday" => {
                let day = today.yesterday().or_fail(Kind::Usage, || "there is no day before today")?;
                return end_of_day(day, zone);
            }
            _ => {}
        }
        let number = text.strip_prefix('#').unwrap_or(text);
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = number.parse().or_fail(Kind::Usage, || format!("{text} is no snapshot number"))?;
            return Ok(Self::Snapshot(number));
        }
        // With an offset first: a civil date-time would ignore it.
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self::At(moment));
        }
        if text.len() <= "2026-10-01".len()
            && let Ok(day) = text.parse::<Date>()
        {
            return end_of_day(day, zone);
        }
        let unclear = || {
            Error::new(Kind::Usage, format!("{text:?} is no moment")).hint(
                "give a snapshot number, 2026-10-01, \"2026-10-01 03:00\", 2026-10-01T03:00:00Z, yesterday, or latest",
            )
        };
        let local: DateTime = text.parse().map_err(|_| unclear())?;
        let moment = zone.to_timestamp(local).map_err(|error| unclear().caused_by(error))?;
        Ok(Self::At(moment))
    }

    /// The number of the snapshot that was true at this moment.
    ///
    /// # Errors
    /// `Query` when none is that old: it names the oldest there is; `Usage` when none has that number; `NoArchive` when there is
    /// none at all.
    pub fn choose(self, snapshots: &[Taken]) -> Result<u64> {
        let by_time = |taken: &&Taken| (taken.taken_at, taken.snapshot);
        let newest = snapshots.iter().max_by_key(|taken| taken.snapshot).ok_or_else(|| {
            Error::new(Kind::NoArchive, "the archive holds no snapshot yet").hint("run `tillvault snapshot` first")
        })?;
        match self {
            Self::Latest => Ok(newest.snapshot),
            Self::Snapshot(number) => {
                snapshots.iter().find(|taken| taken.snapshot == number).map(|taken| taken.snapshot).ok_or_else(|| {
                    Error::new(Kind::Usage, format!("there is no snapshot {number}; the newest is {}", newest.snapshot))
                        .hint("`tillvault snapshots` lists them")
                })
            }
            Self::At(moment) => {
                let chosen = snapshots.iter().filter(|taken| taken.taken_at <= moment).max_by_key(by_time);
                chosen.map(|taken| taken.snapshot).ok_or_else(|| {
                    let oldest = snapshots.iter().min_by_key(by_time).unwrap_or(newest);
                    let (number, taken_at) = (oldest.snapshot, seconds(oldest.taken_at));
                    let moment = seconds(moment);
                    Error::new(
                        Kind::Query,
                        format!("no snapshot is as old as {moment}; the oldest is {number}, taken at {taken_at}"),
                    )
                    .hint("`tillvault snapshots` lists them")
                })
            }
        }
    }
}

/// The last moment of a day in the zone; such days may have 23 or 25 hours.
fn end_of_day(day: Date, zone: &TimeZone) -> Result<AsOf> {
    let bad = || format!("{day} is too late a day");
    let next = day.tomorrow().or_fail(Kind::Usage, bad)?;
    let midnight = zone.to_timestamp(next.at(0, 0, 0, 0)).or_fail(Kind::Usage, bad)?;
    midnight.checked_sub(1.nanosecond()).map(AsOf::At).or_fail(Kind::Usage, bad)
}

/// Whole seconds, for messages.
fn seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn london() -> TimeZone {
        TimeZone::get("Europe/London").unwrap()
    }

    fn at(text: &str) -> String {
        match AsOf::parse(text, now(), &london()).unwrap() {
            AsOf::At(moment) => moment.to_string(),
            other => format!("{other:?}"),
        }
    }

    fn taken() -> Vec<Taken> {
        [(1, "2026-10-01T02:00:00Z"), (2, "2026-10-02T02:00:00Z"), (3, "2026-10-02T02:15:00Z")]
            .map(|(snapshot, taken_at)| Taken { snapshot, taken_at: taken_at.parse().unwrap() })
            .to_vec()
    }

    #[test]
    fn moments_are_read_in_the_sites_zone() {
        assert_eq!(at("2026-10-01 03:00"), "2026-10-01T02:00:00Z", "summer time");
        assert_eq!(at("2026-11-01 03:00:30"), "2026-11-01T03:00:30Z");
        assert_eq!(at("2026-10-01T03:00"), "2026-10-01T02:00:00Z");
        assert_eq!(at("2026-10-01T03:00:00Z"), "2026-10-01T03:00:00Z");
        assert_eq!(at("2026-10-01T03:00:00+05:00"), "2026-09-30T22:00:00Z");
        assert_eq!(at("2026-10-01 03:00:00-01"), "2026-10-01T04:00:00Z");
        assert_eq!(at("now"), "2026-11-22T12:00:00Z");
        assert_eq!(at("42"), "Snapshot(42)");
        assert_eq!(at("#7"), "Snapshot(7)");
        assert_eq!(at(" Latest "), "Latest");
    }

    #[test]
    fn a_day_means_its_end_also_when_it_has_25_hours() {
        assert_eq!(at("2026-10-01"), "2026-10-01T22:59:59.999999999Z");
        assert_eq!(at("2026-10-25"), "2026-10-25T23:59:59.999999999Z");
        assert_eq!(at("yesterday"), "2026-11-21T23:59:59.999999999Z");
        assert_eq!(at("TODAY"), "2026-11-22T23:59:59.999999999Z");
    }

    #[test]
    fn what_is_no_moment_is_a_usage_error_with_examples() {
        for text in ["", "soon", "2026-13-01", "2026-10-32 10:00", "01.10.2026", "#", "-1", "99999999999999999999999"] {
            let error = AsOf::parse(text, now(), &london()).expect_err(text);
            assert_eq!(error.kind(), Kind::Usage, "{text}");
        }
        assert!(AsOf::parse("soon", now(), &london()).unwrap_err().next_step().unwrap().contains("yesterday"));
    }

    #[test]
    fn the_newest_snapshot_not_after_the_moment_is_chosen() {
        let choose = |text: &str| AsOf::parse(text, now(), &TimeZone::UTC).unwrap().choose(&taken());
        assert_eq!(choose("2026-10-01 02:00").unwrap(), 1, "the very moment counts");
        assert_eq!(choose("2026-10-02 02:14:59").unwrap(), 2);
        assert_eq!(choose("2026-10-01").unwrap(), 1);
        assert_eq!(choose("2026-10-02").unwrap(), 3);
        assert_eq!(choose("yesterday").unwrap(), 3);
        assert_eq!(choose("latest").unwrap(), 3);
        assert_eq!(choose("2").unwrap(), 2);
    }

    #[test]
    fn a_clock_that_went_back_does_not_hide_the_newest_state() {
        let mut taken = taken();
        taken.push(Taken { snapshot: 4, taken_at: "2026-10-01T12:00:00Z".parse().unwrap() });
        let at = |text: &str| AsOf::parse(text, now(), &TimeZone::UTC).unwrap().choose(&taken).unwrap();
        assert_eq!(at("latest"), 4);
        assert_eq!(at("2026-10-01 13:00"), 4);
        assert_eq!(at("2026-10-02 13:00"), 3);
    }

    #[test]
    fn when_none_is_old_enough_the_error_names_the_oldest() {
        let error = AsOf::parse("2026-09-30", now(), &TimeZone::UTC).unwrap().choose(&taken()).unwrap_err();
        assert_eq!(error.kind(), Kind::Query);
        assert_eq!(
            error.message(),
            "no snapshot is as old as 2026-09-30 23:59:59Z; the oldest is 1, taken at 2026-10-01 02:00:00Z"
        );
        let error = AsOf::Snapshot(9).choose(&taken()).unwrap_err();
        assert_eq!(error.message(), "there is no snapshot 9; the newest is 3");
        assert!(AsOf::Latest.choose(&[]).unwrap_err().next_step().unwrap().contains("tillvault snapshot"));
    }
}
