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
    /// This remote has not got it yet.
    NotPushed(String),
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
            Self::NotPushed(remote) => return write!(f, "not on {remote} yet"),
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

/// What snapshots are judged under.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Forgotten snapshots and when they were taken: they still bear witness to a clock that was set back.
    pub gone: BTreeMap<u64, Timestamp>,
    /// Protections that do not hold.
    pub lifted: Lifted,
    /// Zone of days and hours.
    pub zone: TimeZone,
    /// The present moment.
    pub now: Timestamp,
}

/// Why each snapshot is kept; no reason means it is to be forgotten. `snapshots` ascend by number.
#[must_use]
pub fn judge(snapshots: &[Candidate], rules: &KeepRules, under: &Circumstances) -> Vec<BTreeSet<Reason>> {
    let mut reasons = protections(snapshots, under);
    for (_, reasons) in reasons.iter_mut().rev().enumerate().take_while(|(kept, _)| rules.last.has_room(*kept)) {
        reasons.insert(Reason::Last);
    }
    let oldest = oldest_within(snapshots, rules, under);
    for (snapshot, reasons) in snapshots.iter().zip(&mut reasons) {
        if oldest.is_some_and(|oldest| snapshot.taken_at >= oldest) {
            reasons.insert(Reason::Within);
        }
        reasons.extend(snapshot.tags.iter().filter(|tag| rules.tags.contains(*tag)).cloned().map(Reason::Tag));
    }
    let periods: [(Count, Reason, PeriodOf); 5] = [
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
            let period = period(&snapshots[at].taken_at.to_zoned(under.zone.clone()));
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
pub fn protections(snapshots: &[Candidate], under: &Circumstances) -> Vec<BTreeSet<Reason>> {
    let mut reasons = vec![BTreeSet::new(); snapshots.len()];
    let places: BTreeMap<u64, usize> = snapshots.iter().enumerate().map(|(at, one)| (one.snapshot, at)).collect();
    for (at, this) in snapshots.iter().enumerate() {
        let reason = match snapshots.get(at + 1) {
            None => Reason::Newest,
            // The one that saw the clear may be forgotten itself: then the epochs tell.
            Some(next) if !under.lifted.before_clears && (next.clear || next.epoch != this.epoch) => {
                Reason::BeforeClear
            }
            Some(_) => continue,
        };
        for at in this.stand_ins.iter().filter_map(|number| places.get(number)).chain([&at]) {
            reasons[*at].insert(reason.clone());
        }
    }
    if under.lifted.doubtful_clocks {
        return reasons;
    }
    let mut times = under.gone.clone();
    times.extend(snapshots.iter().map(|one| (one.snapshot, one.taken_at)));
    let mut earliest_later = Timestamp::MAX;
    for (number, taken_at) in times.into_iter().rev() {
        if let Some(at) = places.get(&number).filter(|_| taken_at > earliest_later) {
            reasons[*at].insert(Reason::Clock);
        }
        earliest_later = earliest_later.min(taken_at);
    }
    reasons
}

/// The earliest time that `within` keeps. It counts back from the newest snapshot, or from now when that is earlier: neither
/// a till that was off for a month nor a clock that ran ahead makes the past older than it is.
fn oldest_within(snapshots: &[Candidate], rules: &KeepRules, under: &Circumstances) -> Option<Timestamp> {
    let from = snapshots.last()?.taken_at.min(under.now).to_zoned(under.zone.clone());
    // Before the calendar begins: everything is within.
    Some(from.checked_sub(rules.within?.span()).map_or(Timestamp::MIN, |oldest| oldest.timestamp()))
}

/// What names a period: year, then month, day, hour and offset, or the week, as far as they count.
type Period = [i32; 5];
/// Which period a time lies in.
type PeriodOf = fn(&Zoned) -> Period;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(snapshot: u64, taken_at: &str) -> Candidate {
        Candidate {
            snapshot,
            taken_at: taken_at.parse().unwrap(),
            epoch: 1,
            clear: false,
            tags: Vec::new(),
            stand_ins: Vec::new(),
        }
    }

    /// Snapshots 1, 2, … taken at these times.
    fn taken(times: &[&str]) -> Vec<Candidate> {
        (1..).zip(times).map(|(number, time)| candidate(number, time)).collect()
    }

    fn under(zone: &str, now: &str) -> Circumstances {
        Circumstances {
            gone: BTreeMap::new(),
            lifted: Lifted::default(),
            zone: TimeZone::get(zone).unwrap(),
            now: now.parse().unwrap(),
        }
    }

    /// `last 2, daily all, within 2d, tag gold` as rules.
    fn rules(text: &str) -> KeepRules {
        let mut rules = KeepRules::default();
        for rule in text.split(", ").filter(|rule| !rule.is_empty()) {
            let (name, value) = rule.split_once(' ').unwrap();
            let count = || value.parse().unwrap();
            match name {
                "tag" => drop(rules.tags.insert(value.into())),
                "within" => rules.within = Some(value.parse().unwrap()),
                "last" => rules.last = count(),
                "hourly" => rules.hourly = count(),
                "daily" => rules.daily = count(),
                "weekly" => rules.weekly = count(),
                "monthly" => rules.monthly = count(),
                "yearly" => rules.yearly = count(),
                other => panic!("{other}"),
            }
        }
        rules
    }

    /// Numbers of the snapshots that are kept, each with its reasons: `2 daily`, `3 newest+daily`.
    fn kept(snapshots: &[Candidate], text: &str, under: &Circumstances) -> String {
        let words: Vec<String> = snapshots
            .iter()
            .zip(judge(snapshots, &rules(text), under))
            .filter(|(_, reasons)| !reasons.is_empty())
            .map(|(one, reasons)| {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                format!("{} {}", one.snapshot, reasons.join("+"))
            })
            .collect();
        words.join("; ")
    }

    const LATER: &str = "2030-01-01T00:00:00Z";

    #[test]
    fn examples_checked_by_hand() {
        // Two on Friday the 6th, one on Saturday, two on Sunday, one on Monday the 9th; then a gap over the month's end.
        let snapshots = taken(&[
            "2026-11-06T10:00:00Z",
            "2026-11-06T10:30:00Z",
            "2026-11-07T10:00:00Z",
            "2026-11-08T10:00:00Z",
            "2026-11-08T22:00:00Z",
            "2026-11-09T09:00:00Z",
            "2026-12-24T09:00:00Z",
            "2027-01-02T09:00:00Z",
        ]);
        for (text, expected) in [
            ("last 1", "8 newest+last"),
            ("last 3", "6 last; 7 last; 8 newest+last"),
            ("last all", "1 last; 2 last; 3 last; 4 last; 5 last; 6 last; 7 last; 8 newest+last"),
            ("hourly 7", "2 hourly; 3 hourly; 4 hourly; 5 hourly; 6 hourly; 7 hourly; 8 newest+hourly"),
            ("daily 4", "5 daily; 6 daily; 7 daily; 8 newest+daily"),
            ("daily all", "2 daily; 3 daily; 5 daily; 6 daily; 7 daily; 8 newest+daily"),
            // The week of the 2nd ends on Sunday the 8th; 2027-01-02 is in the last week of 2026, as 2026-12-31 would be.
            ("weekly all", "5 weekly; 6 weekly; 7 weekly; 8 newest+weekly"),
            ("weekly 2", "7 weekly; 8 newest+weekly"),
            ("monthly 2", "7 monthly; 8 newest+monthly"),
            ("monthly 99", "6 monthly; 7 monthly; 8 newest+monthly"),
            ("yearly 5", "7 yearly; 8 newest+yearly"),
            ("within 9d", "7 within; 8 newest+within"),
            ("within 215h", "8 newest+within"),
            // From 09:00 on 2 January back to 09:00 on 7 November, and not a minute more.
            ("within 8w", "3 within; 4 within; 5 within; 6 within; 7 within; 8 newest+within"),
            ("within 500y", "1 within; 2 within; 3 within; 4 within; 5 within; 6 within; 7 within; 8 newest+within"),
            ("last 1, daily 2, yearly 2", "7 daily+yearly; 8 newest+last+daily+yearly"),
        ] {
            assert_eq!(kept(&snapshots, text, &under("UTC", LATER)), expected, "{text}");
        }
        assert_eq!(kept(&[], "last 1", &under("UTC", LATER)), "");
    }

    #[test]
    fn days_and_hours_are_those_of_the_site() {
        // 23:30 and 00:30 in London in summer, an hour earlier in UTC.
        let snapshots = taken(&["2026-07-01T22:30:00Z", "2026-07-01T23:30:00Z"]);
        assert_eq!(kept(&snapshots, "daily all", &under("Europe/London", LATER)), "1 daily; 2 newest+daily");
        assert_eq!(kept(&snapshots, "daily all", &under("UTC", LATER)), "2 newest+daily");
        // New Year comes to Auckland first.
        let snapshots = taken(&["2026-12-31T10:59:00Z", "2026-12-31T11:00:00Z"]);
        assert_eq!(kept(&snapshots, "yearly all", &under("Pacific/Auckland", LATER)), "1 yearly; 2 newest+yearly");
        assert_eq!(kept(&snapshots, "yearly all", &under("Europe/London", LATER)), "2 newest+yearly");
        // Kathmandu's hours begin at a quarter past.
        let snapshots = taken(&["2026-07-01T10:10:00Z", "2026-07-01T10:20:00Z"]);
        assert_eq!(kept(&snapshots, "hourly all", &under("Asia/Kathmandu", LATER)), "1 hourly; 2 newest+hourly");
    }

    #[test]
    fn weeks_at_the_turn_of_the_year_are_iso_weeks() {
        // 2024-12-30 is the Monday of week 1 of 2025.
        let snapshots = taken(&["2024-12-29T12:00:00Z", "2024-12-30T12:00:00Z", "2025-01-05T12:00:00Z"]);
        assert_eq!(kept(&snapshots, "weekly all", &under("UTC", LATER)), "1 weekly; 3 newest+weekly");
        assert_eq!(kept(&snapshots, "yearly all", &under("UTC", LATER)), "2 yearly; 3 newest+yearly");
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_and_the_day_of_25_hours_is_one() {
        // London, 2026-10-25: at 02:00 summer time it is 01:00 again, which is 01:00 UTC.
        let snapshots = taken(&[
            "2026-10-24T23:00:00Z",
            "2026-10-25T00:15:00Z",
            "2026-10-25T00:45:00Z",
            "2026-10-25T01:15:00Z",
            "2026-10-25T01:45:00Z",
            "2026-10-25T23:59:59Z",
        ]);
        let london = under("Europe/London", LATER);
        assert_eq!(kept(&snapshots, "hourly all", &london), "1 hourly; 3 hourly; 5 hourly; 6 newest+hourly");
        assert_eq!(kept(&snapshots, "daily all", &london), "6 newest+daily");
        // A day back from 23:59:59 is 23:59:59 of the day before, 25 hours earlier; 24 hours are 24 hours.
        assert!(kept(&snapshots, "within 1d", &london).starts_with("1 within"));
        assert!(kept(&snapshots, "within 24h", &london).starts_with("2 within"));
    }

    #[test]
    fn the_day_of_23_hours_has_no_second_hour() {
        // London, 2026-03-29: after 00:59 UTC comes 02:00 summer time.
        let snapshots =
            taken(&["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T22:59:00Z", "2026-03-29T23:00:00Z"]);
        let london = under("Europe/London", LATER);
        assert_eq!(kept(&snapshots, "hourly all", &london), "1 hourly; 2 hourly; 3 hourly; 4 newest+hourly");
        assert_eq!(kept(&snapshots, "daily all", &london), "3 daily; 4 newest+daily");
    }

    #[test]
    fn the_last_of_every_life_of_the_till_stays() {
        let mut snapshots = taken(&[
            "2026-11-01T03:00:00Z",
            "2026-11-02T03:00:00Z",
            "2026-11-03T03:00:00Z",
            "2026-11-04T03:00:00Z",
            "2026-11-05T03:00:00Z",
            "2026-11-06T03:00:00Z",
        ]);
        snapshots[2].clear = true;
        for (at, epoch) in [(2, 2), (3, 2), (4, 4), (5, 4)] {
            snapshots[at].epoch = epoch;
        }
        // 2 is the last of the first life; of what came between 4 and 5, one life and its end are gone: 4 is the last of its own.
        let mut utc = under("UTC", LATER);
        assert_eq!(kept(&snapshots, "last 1", &utc), "2 before a clear; 4 before a clear; 6 newest+last");
        utc.lifted.before_clears = true;
        assert_eq!(kept(&snapshots, "last 1", &utc), "6 newest+last");
        // A clear that is written down without a new life counts, too.
        utc.lifted.before_clears = false;
        snapshots.iter_mut().for_each(|one| one.epoch = 1);
        assert_eq!(kept(&snapshots, "last 1", &utc), "2 before a clear; 6 newest+last");
    }

    #[test]
    fn who_has_the_tables_that_the_last_lacks_stays_with_it() {
        let mut snapshots = taken(&[
            "2026-11-01T03:00:00Z",
            "2026-11-02T03:00:00Z",
            "2026-11-03T03:00:00Z",
            "2026-11-04T03:00:00Z",
            "2026-11-05T03:00:00Z",
        ]);
        snapshots[2].stand_ins = vec![1];
        snapshots[4].stand_ins = vec![2, 4, 99];
        for one in &mut snapshots[3..] {
            one.epoch = 2;
        }
        let mut utc = under("UTC", LATER);
        let expected = "1 before a clear; 2 newest; 3 before a clear; 4 newest; 5 newest+last";
        assert_eq!(kept(&snapshots, "last 1", &utc), expected);
        utc.lifted.before_clears = true;
        assert_eq!(kept(&snapshots, "last 1", &utc), "2 newest; 4 newest; 5 newest+last");
    }

    #[test]
    fn a_time_that_a_later_snapshot_contradicts_keeps_and_uses_up_no_period() {
        // The clock ran a year ahead for 2 and 3.
        let snapshots = taken(&[
            "2026-11-01T03:00:00Z",
            "2027-11-02T03:00:00Z",
            "2027-11-03T03:00:00Z",
            "2026-11-04T03:00:00Z",
            "2026-11-05T03:00:00Z",
        ]);
        let mut utc = under("UTC", LATER);
        assert_eq!(kept(&snapshots, "daily 3", &utc), "1 daily; 2 clock; 3 clock; 4 daily; 5 newest+daily");
        assert_eq!(kept(&snapshots, "yearly all", &utc), "2 clock; 3 clock; 5 newest+yearly");
        utc.lifted.doubtful_clocks = true;
        assert_eq!(kept(&snapshots, "yearly all", &utc), "3 yearly; 5 newest+yearly");
        // The witnesses are forgotten; what they said is not.
        utc.lifted.doubtful_clocks = false;
        let newest = snapshots[..3].iter().cloned().chain([candidate(6, "2028-01-01T00:00:00Z")]).collect::<Vec<_>>();
        utc.gone = snapshots[3..].iter().map(|one| (one.snapshot, one.taken_at)).collect();
        assert_eq!(kept(&newest, "last 1", &utc), "2 clock; 3 clock; 6 newest+last");
    }

    #[test]
    fn within_counts_from_the_newest_or_from_now_whichever_is_earlier() {
        let snapshots = taken(&["2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z", "2026-11-05T00:00:00Z"]);
        let both = "2 within; 3 newest+within";
        // The till was off for years; the newest is from tomorrow, since the clock was set back.
        assert_eq!(kept(&snapshots, "within 2d", &under("UTC", LATER)), both);
        assert_eq!(kept(&snapshots, "within 2d", &under("UTC", "2026-11-04T12:00:00Z")), both);
        assert_eq!(kept(&snapshots, "within 2d", &under("UTC", "2026-11-03T00:00:00Z")), format!("1 within; {both}"));
    }

    #[test]
    fn the_usual_rules_keep_every_night_and_thin_the_quarters() {
        // Sixteen days of 15 minutes, London, a nightly run at 04:30 UTC; 2026-11-01 to 2026-11-16.
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let snapshots: Vec<Candidate> = (0..16 * 96_u64)
            .map(|at| {
                let taken_at = start + jiff::SignedDuration::from_mins(15 * i64::try_from(at).unwrap());
                let tags = if at % 96 == 18 { vec!["nightly".to_owned()] } else { Vec::new() };
                Candidate { taken_at, tags, ..candidate(at + 1, LATER) }
            })
            .collect();
        let reasons = judge(&snapshots, &KeepRules::usual(), &under("Europe/London", LATER));
        let kept = |day: usize| reasons[day * 96..(day + 1) * 96].iter().filter(|reasons| !reasons.is_empty()).count();
        // The first nine days: the nightly one and the day's last. The 168 hours before the end: the newest of each, and the
        // nightly one at half past. Back from 23:45 on the 16th to 23:45 on the 14th: all.
        let counts: Vec<usize> = (0..16).map(kept).collect();
        assert_eq!(counts, [2, 2, 2, 2, 2, 2, 2, 2, 2, 25, 25, 25, 25, 25, 96, 96]);
    }
}
