//! Which snapshots a policy keeps, and why: pure, no archive, no clock.
//!
//! Order is the snapshots' number, never their time. Three kinds are kept whatever the rules say: the newest; the last before
//! a clear, since nothing later holds its tickets; and those whose time cannot be trusted. Where one of the first two lacks
//! tables, the last snapshot that has them is kept with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::model::keep::{Count, KeepRules};

/// What the policy looks at in one snapshot.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Number.
    pub snapshot: u64,
    /// When reading began, by this machine's clock then.
    pub taken_at: Timestamp,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Whether a clear was seen since the snapshot before.
    pub clear: bool,
    /// Its present tags.
    pub tags: Vec<String>,
    /// For each table that it could not take: the newest earlier snapshot that has the table.
    pub stand_ins: Vec<u64>,
}

/// Why a snapshot is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the newest, or holds tables that the newest could not take.
    Newest,
    /// It is the last before a clear, or holds tables that the last could not take.
    BeforeClear,
    /// It was taken after a later one, says its time: a clock was set back, and neither can be trusted.
    Clock,
    /// Among the newest so many.
    Last,
    /// Young enough.
    Within,
    /// It has this tag.
    Tag(String),
    /// The newest of an hour.
    Hourly,
    /// The newest of a day.
    Daily,
    /// The newest of a week.
    Weekly,
    /// The newest of a month.
    Monthly,
    /// The newest of a year.
    Yearly,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "newest",
            Self::BeforeClear => "before a clear",
            Self::Clock => "clock",
            Self::Last => "last",
            Self::Within => "within",
            Self::Tag(tag) => return write!(f, "tag {tag}"),
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}

/// Protections that were lifted by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifted {
    /// The last snapshots before clears are judged like any other.
    pub before_clears: bool,
    /// Snapshots whose time cannot be trusted are judged like any other.
    pub doubtful_clocks: bool,
}

/// Why each snapshot is kept; no reason means it is to be forgotten. `snapshots` ascend by number; days and hours are those
/// of `zone`.
#[must_use]
pub fn judge(
    snapshots: &[Candidate],
    rules: &KeepRules,
    lifted: Lifted,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<BTreeSet<Reason>> {
    let mut reasons = protections(snapshots, lifted);
    for (_, reasons) in reasons.iter_mut().rev().enumerate().take_while(|(kept, _)| rules.last.has_room(*kept)) {
        reasons.insert(Reason::Last);
    }
    let oldest = oldest_within(snapshots, rules, zone, now);
    for (snapshot, reasons) in snapshots.iter().zip(&mut reasons) {
        if oldest.is_some_and(|oldest| snapshot.taken_at >= oldest) {
            reasons.insert(Reason::Within);
        }
        reasons.extend(snapshot.tags.iter().filter(|tag| rules.tags.contains(*tag)).cloned().map(Reason::Tag));
    }
    let periods: [(Count, Reason, fn(&Zoned) -> Period); 5] = [
        (rules.hourly, Reason::Hourly, hour),
        (rules.daily, Reason::Daily, day),
        (rules.weekly, Reason::Weekly, week),
        (rules.monthly, Reason::Monthly, month),
        (rules.yearly, Reason::Yearly, year),
    ];
    // A time that cannot be trusted must not use up a period.
    let trusted: Vec<bool> = reasons.iter().map(|reasons| !reasons.contains(&Reason::Clock)).collect();
    for (count, reason, period) in periods.into_iter().filter(|(count, ..)| *count != Count::NONE) {
        let mut seen = BTreeSet::new();
        for at in (0..snapshots.len()).rev().filter(|at| trusted[*at]) {
            let period = period(&snapshots[at].taken_at.to_zoned(zone.clone()));
            if !seen.contains(&period) && count.has_room(seen.len()) {
                seen.insert(period);
                reasons[at].insert(reason.clone());
            }
        }
    }
    reasons
}

/// Why each snapshot is kept whatever the rules are.
#[must_use]
pub fn protections(snapshots: &[Candidate], lifted: Lifted) -> Vec<BTreeSet<Reason>> {
    let mut reasons = vec![BTreeSet::new(); snapshots.len()];
    let places: BTreeMap<u64, usize> = snapshots.iter().enumerate().map(|(at, one)| (one.snapshot, at)).collect();
    let mut earliest_later: Option<Timestamp> = None;
    for (at, this) in snapshots.iter().enumerate().rev() {
        let last_of_its_kind = match snapshots.get(at + 1) {
            None => Some(Reason::Newest),
            // The one that saw the clear may be forgotten itself: then the epochs tell.
            Some(next) if next.clear || next.epoch != this.epoch => {
                (!lifted.before_clears).then_some(Reason::BeforeClear)
            }
            Some(_) => None,
        };
        if let Some(reason) = last_of_its_kind {
            for at in this.stand_ins.iter().filter_map(|number| places.get(number)).chain([&at]) {
                reasons[*at].insert(reason.clone());
            }
        }
        if !lifted.doubtful_clocks && earliest_later.is_some_and(|later| this.taken_at > later) {
            reasons[at].insert(Reason::Clock);
        }
        earliest_later = Some(earliest_later.map_or(this.taken_at, |later| later.min(this.taken_at)));
    }
    reasons
}

/// The earliest time that `within` keeps. It counts back from the newest snapshot, or from now when that is earlier: neither
/// a till that was off for a month nor a clock that ran ahead makes the past older than it is.
fn oldest_within(snapshots: &[Candidate], rules: &KeepRules, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let from = snapshots.last()?.taken_at.min(now).to_zoned(zone.clone());
    // Before the calendar begins: everything is within.
    Some(from.checked_sub(rules.within?.span()).map_or(Timestamp::MIN, |oldest| oldest.timestamp()))
}

/// What names a period: year, then month, day, hour and offset, or the week, as far as they count.
type Period = [i32; 5];

/// An hour by the wall clock. The hour that comes twice when summer time ends is two.
fn hour(time: &Zoned) -> Period {
    let [year, month, day, ..] = day(time);
    [year, month, day, i32::from(time.hour()), time.offset().seconds()]
}

fn day(time: &Zoned) -> Period {
    [i32::from(time.year()), i32::from(time.month()), i32::from(time.day()), 0, 0]
}

fn week(time: &Zoned) -> Period {
    let week = time.date().iso_week_date();
    [i32::from(week.year()), i32::from(week.week()), 0, 0, 0]
}

fn month(time: &Zoned) -> Period {
    [i32::from(time.year()), i32::from(time.month()), 0, 0, 0]
}

fn year(time: &Zoned) -> Period {
    [i32::from(time.year()), 0, 0, 0, 0]
}
