//! The till's clock against this machine's, in the zone of the site.

use std::time::Duration;

use jiff::{SignedDuration, civil::DateTime, tz::TimeZone};

use super::{Check, Part, on};
use crate::{
    ops::doctor::words,
    source::sqlserver::examine::{ClockFacts, Examination},
};

/// A difference from which somebody should look.
const NOTABLE: SignedDuration = SignedDuration::from_mins(2);
/// Zones differ by whole quarters of an hour.
const QUARTER: i64 = 15 * 60;

/// Compares the clocks; `named` is the zone in the settings.
pub(super) fn check(found: &Examination, zone: &TimeZone, named: Option<&str>) -> Check {
    on("clock", &found.clock, |clock| compare(clock, zone, named))
}

fn compare(clock: &ClockFacts, zone: &TimeZone, named: Option<&str>) -> Check {
    let zone_name = named.map_or_else(|| "this machine's zone".to_owned(), str::to_owned);
    let Some(ahead) = ahead(clock, zone) else {
        return Check::unknown(
            Part::Till,
            "clock",
            format!("not known: the till says {}, which cannot be compared", clock.local),
        );
    };
    if ahead.abs() < NOTABLE {
        let shown = clock.local.strftime("%H:%M:%S");
        return Check::ok(Part::Till, "clock", format!("the till says {shown}, as it should in {zone_name}"));
    }
    // Beside many minutes a few seconds of network tell nothing.
    let seconds = ahead.unsigned_abs().as_secs();
    let off = words::time(Duration::from_secs(if seconds > 600 { (seconds + 30) / 60 * 60 } else { seconds }));
    let direction = if ahead.is_negative() { "behind" } else { "ahead of" };
    let off_by = ahead.abs().as_secs();
    let nearest = (off_by + QUARTER / 2) / QUARTER * QUARTER;
    let by_zone = nearest > 0 && nearest <= 26 * 3600 && (off_by - nearest).abs() < NOTABLE.as_secs();
    let utc_is_right = clock.utc_ahead.map(|utc| SignedDuration::from_millis(utc).abs() < NOTABLE);
    let an_hour = nearest == 3600;
    let zone_fix = format!(
        "{}Set timezone in the settings to the zone of the till, or the right zone on the till (Windows: Settings, Time & \
         language, Date & time).",
        if an_hour { "Is \"Adjust for daylight saving time automatically\" switched on there? " } else { "" }
    );
    match utc_is_right {
        Some(true) => Check::warning(
            Part::Till,
            "clock",
            format!("the till's clock is right, but it shows the time of another zone: {off} {direction} {zone_name}"),
            zone_fix,
        ),
        None if by_zone => Check::warning(
            Part::Till,
            "clock",
            format!(
                "the till's clock is {off} {direction} {zone_name}: another zone, or daylight saving time, most likely"
            ),
            zone_fix,
        ),
        _ => Check::warning(
            Part::Till,
            "clock",
            format!("the till's clock is {off} {direction} this machine's ({zone_name})"),
            "Set the clock that is wrong: on the till Windows, Settings, Time & language, Date & time, Sync now; on this machine \
             `timedatectl`. Tickets carry the till's time, and reports go by it.",
        ),
    }
}

/// By how much the till's wall clock is ahead. In the hour that comes twice in autumn the nearer of both readings counts.
fn ahead(clock: &ClockFacts, zone: &TimeZone) -> Option<SignedDuration> {
    let readings = readings(clock.local, zone);
    readings.into_iter().map(|reading| reading.duration_since(clock.here)).min_by_key(|ahead| ahead.abs())
}

fn readings(local: DateTime, zone: &TimeZone) -> Vec<jiff::Timestamp> {
    let ambiguous = |earlier: bool| {
        let reading = zone.to_ambiguous_timestamp(local);
        if earlier { reading.earlier() } else { reading.later() }
    };
    [true, false].into_iter().filter_map(|earlier| ambiguous(earlier).ok()).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::ops::doctor::Verdict;

    fn told(local: DateTime, here: &str, utc_ahead: Option<i64>) -> Check {
        let clock = ClockFacts { local, here: here.parse().unwrap(), utc_ahead };
        compare(&clock, &TimeZone::get("Europe/London").unwrap(), Some("Europe/London"))
    }

    #[test]
    fn a_clock_that_is_right_is_fine() {
        let check = told(date(2026, 7, 1).at(13, 1, 0, 0), "2026-07-01T12:00:00Z", Some(60_000));
        assert_eq!(check.verdict, Verdict::Ok);
        assert_eq!(check.message, "the till says 13:01:00, as it should in Europe/London");
    }

    #[test]
    fn minutes_are_a_wrong_clock() {
        let check = told(date(2026, 7, 1).at(12, 55, 30, 0), "2026-07-01T12:00:00Z", Some(-270_000));
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.message, "the till's clock is 4 minutes 30 seconds behind this machine's (Europe/London)");
    }

    #[test]
    fn an_hour_is_a_matter_of_zones_when_the_time_of_the_world_is_right() {
        let check = told(date(2026, 7, 1).at(12, 0, 0, 0), "2026-07-01T12:00:00Z", Some(0));
        assert!(check.message.contains("another zone: 1 hour behind"), "{check:?}");
        assert!(check.fix.unwrap().contains("daylight saving"));
        let check = told(date(2026, 7, 1).at(14, 0, 30, 0), "2026-07-01T12:00:00Z", None);
        assert!(check.message.contains("most likely"), "{check:?}");
        // The same difference, and the time of the world is off, too: the clock was set wrong.
        let check = told(date(2026, 7, 1).at(14, 0, 0, 0), "2026-07-01T12:00:00Z", Some(3_600_000));
        assert!(check.message.contains("1 hour ahead of this machine's"), "{check:?}");
    }

    #[test]
    fn the_hour_that_comes_twice_is_read_the_nearer_way() {
        // 01:30 on the morning the clocks go back is 00:30Z and 01:30Z.
        for here in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(told(date(2026, 10, 25).at(1, 30, 0, 0), here, None).verdict, Verdict::Ok);
        }
    }
}
