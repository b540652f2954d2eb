//! Wall-clock moments of the till, as SQL Server's `datetime` shows them.
//!
//! An [`At`] is local time without a zone, always on the grid of 1/300 s (last digit of the milliseconds 0, 3 or 7: DOMAIN §8).
//! The till stands in the United Kingdom; JSON dates are UTC milliseconds with that offset.

use jiff::{
    SignedDuration,
    civil::{Date, DateTime, Time, Weekday},
};

/// Milliseconds of local wall clock since 1970-01-01 00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At(i64);

/// One second in milliseconds.
pub(super) const SECOND: i64 = 1_000;
/// One minute in milliseconds.
pub(super) const MINUTE: i64 = 60 * SECOND;
/// One hour in milliseconds.
pub(super) const HOUR: i64 = 60 * MINUTE;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl At {
    /// The moment `ms` milliseconds after midnight of `date`, moved to the nearest tick of 1/300 s.
    pub(super) fn on(date: Date, ms: i64) -> Self {
        Self(grid(date.to_datetime(Time::midnight()).duration_since(EPOCH).as_secs() * SECOND + ms))
    }

    /// This moment `ms` milliseconds later (earlier when negative), on the grid.
    pub(super) fn plus(self, ms: i64) -> Self {
        Self(grid(self.0 + ms))
    }

    /// This moment without fractions of a second.
    pub(super) fn whole_second(self) -> Self {
        Self(self.0.div_euclid(SECOND) * SECOND)
    }

    /// Microseconds since 1970, as `DuckDB` stores it.
    pub(super) fn micros(self) -> i64 {
        self.0 * 1_000
    }

    /// Milliseconds from `earlier` to this moment.
    pub(super) fn since(self, earlier: At) -> i64 {
        self.0 - earlier.0
    }

    /// As a civil date and time.
    pub(super) fn civil(self) -> DateTime {
        EPOCH.saturating_add(SignedDuration::from_millis(self.0))
    }

    /// As .NET's JSON serializer writes it: `\/Date(1772366400000+0000)\/` (DOMAIN §6).
    pub(super) fn json(self) -> String {
        if self.is_summer() {
            format!("\\/Date({}+0100)\\/", self.0 - HOUR)
        } else {
            format!("\\/Date({}+0000)\\/", self.0)
        }
    }

    /// British summer time: last Sunday of March to last Sunday of October, both at 02:00 by the summer clock.
    fn is_summer(self) -> bool {
        let year = self.civil().year();
        let start = At::on(last_sunday(year, 3), 2 * HOUR);
        let end = At::on(last_sunday(year, 10), 2 * HOUR);
        start <= self && self < end
    }
}

fn last_sunday(year: i16, month: i8) -> Date {
    let first = Date::constant(year, month, 1);
    first.nth_weekday_of_month(-1, Weekday::Sunday).unwrap_or(first)
}

/// Rounds to ticks of 1/300 s and back, as `datetime` does.
fn grid(ms: i64) -> i64 {
    let ticks = (ms * 3 + 5).div_euclid(10);
    (ticks * 10 + 1).div_euclid(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn moments_fall_on_the_grid_of_datetime() {
        let day = date(2026, 3, 1);
        let shown: Vec<_> = (0..=10).map(|ms| At::on(day, ms).since(At::on(day, 0))).collect();
        assert_eq!(shown, [0, 0, 3, 3, 3, 7, 7, 7, 7, 10, 10]);
        assert_eq!(At::on(day, 999).civil(), date(2026, 3, 1).at(0, 0, 1, 0));
        assert_eq!(At::on(day, 996).civil(), date(2026, 3, 1).at(0, 0, 0, 997_000_000));
    }

    #[test]
    fn json_dates_are_utc_with_the_british_offset() {
        assert_eq!(At::on(date(2026, 3, 1), 12 * HOUR).json(), r"\/Date(1772366400000+0000)\/");
        assert_eq!(At::on(date(2026, 7, 1), 13 * HOUR).json(), r"\/Date(1782907200000+0100)\/");
        assert_eq!(last_sunday(2026, 3), date(2026, 3, 29));
        assert_eq!(last_sunday(2027, 10), date(2027, 10, 31));
    }
}
