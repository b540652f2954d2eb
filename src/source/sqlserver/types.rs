//! Values off the wire as the archive keeps them, exactly.
//!
//! Each function takes what the wire carries, in plain numbers, whichever driver took it off, and gives the value of the
//! column's Arrow type, or a reason why it cannot be kept. Nothing is rounded, cut or replaced, and no decimal ever passes
//! through a float. `columns` turns the reason into an error that names table and column.
//!
//! The forms of the types that are kept as text (part of the archive format):
//!
//! * `datetime2(7)`: `2026-03-01T12:05:00.1234567`, always seven digits;
//! * `datetimeoffset(n)`: local time with `n` digits and the offset: `2026-03-01T12:05:00.12+01:00`; no point when `n` is 0;
//! * `uniqueidentifier`: upper case with hyphens, as SQL Server shows it;
//! * `sql_variant`: see [`variant`]; other text: see [`text`].
//!
//! `datetime` counts thirds of a hundredth of a second; kept is the millisecond that SQL Server shows (.000 .003 .007,
//! DOMAIN §11).

use tiberius::Uuid;

use super::variant;
use crate::model::{sql_type::SqlType, text};

/// Days from 0001-01-01, where `date` counts from, to 1970-01-01.
const YEAR_1_TO_1970: i64 = 719_162;
/// Days from 1900-01-01, where `datetime` counts from, to 1970-01-01.
const YEAR_1900_TO_1970: i64 = 25_567;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Why a value was refused.
pub(super) type Refusal = String;

/// A time of day as the wire has it: units of 10^-`scale` seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockTime {
    /// The count.
    pub units: u64,
    /// Digits after the second, 0 to 7.
    pub scale: u8,
}

/// One value of a row, between a driver and a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    /// NULL of any type.
    Null,
    /// `bit`
    Bit(bool),
    /// `tinyint` to `bigint`
    Integer(i64),
    /// `decimal`: the digits without the point, and how many stand after it.
    Decimal(i128, u8),
    /// `real`
    Real(f32),
    /// `float`
    Float(f64),
    /// `date`: days since 0001-01-01.
    Date(u32),
    /// `time`
    Time(ClockTime),
    /// `datetime`: days since 1900-01-01, and 1/300 seconds since midnight.
    DateTime(i32, u32),
    /// `smalldatetime`: days since 1900-01-01, and minutes since midnight.
    SmallDateTime(u16, u16),
    /// `datetime2`: days since 0001-01-01, and the time.
    DateTime2(u32, ClockTime),
    /// `datetimeoffset`: the same in UTC, and the minutes that local time is ahead.
    DateTimeOffset(u32, ClockTime, i16),
    /// Text.
    Text(&'a str),
    /// Text as the wire has it: UTF-16, low byte first.
    Utf16(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// `uniqueidentifier`
    Guid(Uuid),
}

impl Cell<'_> {
    /// The name of the value's kind, for messages; never the value itself.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Cell::Null => "NULL",
            Cell::Bit(_) => "bit",
            Cell::Integer(_) => "whole number",
            Cell::Decimal(..) => "decimal",
            Cell::Real(_) => "real",
            Cell::Float(_) => "float",
            Cell::Date(_) => "date",
            Cell::Time(_) => "time",
            Cell::DateTime(..) => "datetime",
            Cell::SmallDateTime(..) => "smalldatetime",
            Cell::DateTime2(..) => "datetime2",
            Cell::DateTimeOffset(..) => "datetimeoffset",
            Cell::Text(_) | Cell::Utf16(_) => "text",
            Cell::Bytes(_) => "binary",
            Cell::Guid(_) => "uniqueidentifier",
        }
    }
}

/// A whole number as the type of its column.
pub(super) fn integer<T: TryFrom<i64>>(value: i64) -> Result<T, Refusal> {
    T::try_from(value).map_err(|_| "the number is too large for the declared type".to_owned())
}

/// A decimal as digits at the declared scale.
pub(super) fn decimal(digits: i128, scale: u8, declared: &SqlType) -> Result<i128, Refusal> {
    let (precision, declared_scale) = match declared {
        SqlType::Decimal { precision, scale } => (*precision, *scale),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        other => return Err(format!("{other} is no decimal")),
    };
    let too_large = || "the number is too large for the declared type".to_owned();
    let up = declared_scale.checked_sub(scale).ok_or("the number has more decimals than the declared type")?;
    let factor = 10_i128.checked_pow(u32::from(up)).ok_or_else(too_large)?;
    let exact = digits.checked_mul(factor).ok_or_else(too_large)?;
    // 10^38 still fits an i128; no type has more digits.
    let bound = 10_u128.checked_pow(u32::from(precision)).ok_or_else(too_large)?;
    if exact.unsigned_abs() < bound { Ok(exact) } else { Err(too_large()) }
}

/// Days since 1970-01-01.
pub(super) fn date(days: u32) -> Result<i32, Refusal> {
    i32::try_from(i64::from(days) - YEAR_1_TO_1970).map_err(|_| "the date is out of range".to_owned())
}

/// Units of 10^-`digits` seconds since midnight.
pub(super) fn time(value: ClockTime, digits: u8) -> Result<i64, Refusal> {
    let out_of_range = || "the time of day is out of range".to_owned();
    let units = i64::try_from(value.units).map_err(|_| out_of_range())?;
    let result = match digits.checked_sub(value.scale) {
        Some(up) => units.checked_mul(10_i64.pow(u32::from(up))).ok_or_else(out_of_range)?,
        // Babelfish declares six digits where it sends seven, of which the last is 0.
        None => {
            let beyond = 10_i64.checked_pow(u32::from(value.scale - digits)).ok_or_else(out_of_range)?;
            if units % beyond != 0 {
                return Err("the time has more digits than the declared type".to_owned());
            }
            units / beyond
        }
    };
    if result < 86_400 * 10_i64.pow(u32::from(digits)) { Ok(result) } else { Err(out_of_range()) }
}

/// Microseconds since 1970-01-01 of a `datetime`.
pub(super) fn datetime(days: i32, fragments: u32) -> Result<i64, Refusal> {
    let fragments = i64::from(fragments);
    if fragments >= 300 * 86_400 {
        return Err("the time of day is out of range".to_owned());
    }
    let milliseconds = (fragments * 10 + 1) / 3;
    Ok((i64::from(days) - YEAR_1900_TO_1970) * DAY + milliseconds * 1000)
}

/// Microseconds since 1970-01-01 of a `smalldatetime`.
pub(super) fn small_datetime(days: u16, minutes: u16) -> Result<i64, Refusal> {
    if minutes >= 24 * 60 {
        return Err("the time of day is out of range".to_owned());
    }
    Ok((i64::from(days) - YEAR_1900_TO_1970) * DAY + i64::from(minutes) * 60_000_000)
}

/// Microseconds since 1970-01-01 of a `datetime2`.
pub(super) fn datetime2(days: u32, clock: ClockTime) -> Result<i64, Refusal> {
    Ok(i64::from(date(days)?) * DAY + time(clock, 6)?)
}

/// A `datetime2` as text.
pub(super) fn datetime2_text(days: u32, clock: ClockTime) -> Result<String, Refusal> {
    wall_clock(i64::from(days), time(clock, 9)?, clock.scale)
}

/// A `datetimeoffset` as text.
pub(super) fn datetimeoffset_text(days: u32, clock: ClockTime, offset: i16) -> Result<String, Refusal> {
    let offset = i64::from(offset);
    let day = 86_400_000_000_000;
    let nanoseconds = time(clock, 9)? + offset * 60_000_000_000;
    let days = i64::from(days) + nanoseconds.div_euclid(day);
    let text = wall_clock(days, nanoseconds.rem_euclid(day), clock.scale)?;
    let sign = if offset < 0 { '-' } else { '+' };
    Ok(format!("{text}{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60))
}

/// `2026-03-01T12:05:00.123` with `digits` digits; `days` count from 0001-01-01.
fn wall_clock(days: i64, nanoseconds: i64, digits: u8) -> Result<String, Refusal> {
    let out_of_range = "the date is out of range";
    let span = jiff::Span::new().try_days(days).map_err(|_| out_of_range)?;
    let date = jiff::civil::date(1, 1, 1).checked_add(span).map_err(|_| out_of_range)?;
    if !(1..=9999).contains(&date.year()) {
        return Err(out_of_range.to_owned());
    }
    let seconds = nanoseconds / 1_000_000_000;
    let mut text = format!("{date}T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let fraction = format!("{:09}", nanoseconds % 1_000_000_000);
        text.push('.');
        text.push_str(&fraction[..usize::from(digits.min(9))]);
    }
    Ok(text)
}

/// A `uniqueidentifier` as text.
pub(super) fn guid(value: Uuid) -> String {
    value.hyphenated().to_string().to_uppercase()
}

/// Appends UTF-16 text, low byte first, as the archive keeps it.
#[inline]
pub(super) fn push_utf16(declared: &SqlType, bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), Refusal> {
    let half = |_| "the text ends in the middle of a character".to_owned();
    if *declared == SqlType::Variant {
        return push_text(declared, &text::from_utf16le(bytes).map_err(half)?, kept);
    }
    text::push_utf16le(bytes, kept).map_err(half)
}

/// Appends text that a driver has decoded, as the archive keeps it.
pub(super) fn push_text(declared: &SqlType, sent: &str, kept: &mut Vec<u8>) -> Result<(), Refusal> {
    match declared {
        SqlType::Variant => kept.extend_from_slice(variant::decode(sent)?.as_bytes()),
        _ => kept.extend_from_slice(text::escaped(sent).as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_38: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

    fn clock(units: u64, scale: u8) -> ClockTime {
        ClockTime { units, scale }
    }

    fn days_2(year: i16, month: i8, day: i8) -> u32 {
        let date = jiff::civil::date(year, month, day);
        u32::try_from((date - jiff::civil::date(1, 1, 1)).get_days()).unwrap()
    }

    #[test]
    fn datetime_keeps_the_millisecond_the_server_shows() {
        for (fragments, milliseconds) in [(0, 0), (1, 3), (2, 7), (3, 10), (299, 997), (300, 1000)] {
            let micros = datetime(25_567, fragments).unwrap();
            assert_eq!(micros, milliseconds * 1000, "{fragments}");
        }
        let earliest = datetime(-53_690, 0).unwrap();
        assert_eq!(jiff::Timestamp::from_microsecond(earliest).unwrap().to_string(), "1753-01-01T00:00:00Z");
        let latest = datetime(2_958_463, 25_919_999).unwrap();
        // 9999-12-31T23:59:59.997
        assert_eq!(latest, 253_402_300_799_997_000);
        assert!(datetime(0, 25_920_000).is_err());
    }

    #[test]
    fn other_times_are_exact_at_their_ends() {
        assert_eq!(date(0).unwrap(), -719_162);
        assert_eq!(date(days_2(1970, 1, 1)).unwrap(), 0);
        assert_eq!(time(clock(863_999_999_999, 7), 9).unwrap(), 86_399_999_999_900);
        assert_eq!(time(clock(86_399, 0), 6).unwrap(), 86_399_000_000);
        assert!(time(clock(86_400, 0), 6).is_err());
        assert!(time(clock(1, 7), 6).is_err());
        assert_eq!(time(clock(123_456_780, 7), 6).unwrap(), 12_345_678);
        assert_eq!(small_datetime(25_567, 1).unwrap(), 60_000_000);
        let last = datetime2_text(days_2(9999, 12, 31), clock(863_999_999_999, 7));
        assert_eq!(last.unwrap(), "9999-12-31T23:59:59.9999999");
        assert_eq!(datetime2_text(0, clock(0, 7)).unwrap(), "0001-01-01T00:00:00.0000000");
        assert_eq!(datetime2(719_162, clock(1234, 3)).unwrap(), 1_234_000);
    }

    #[test]
    fn an_offset_shows_the_local_time() {
        let day = days_2(2026, 3, 1);
        let text = |days, clock, offset| datetimeoffset_text(days, clock, offset);
        assert_eq!(text(day, clock(0, 2), -330).unwrap(), "2026-02-28T18:30:00.00-05:30");
        assert_eq!(text(day, clock(3600, 0), 840).unwrap(), "2026-03-01T15:00:00+14:00");
        assert!(text(0, clock(0, 7), -60).is_err());
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let d = |precision, scale| SqlType::Decimal { precision, scale };
        assert_eq!(decimal(-12_345, 2, &d(16, 2)).unwrap(), -12_345);
        assert_eq!(decimal(5, 0, &d(16, 3)).unwrap(), 5000);
        assert_eq!(decimal(MAX_38, 0, &d(38, 0)).unwrap(), MAX_38);
        assert_eq!(decimal(-MAX_38, 38, &d(38, 38)).unwrap(), -MAX_38);
        assert!(decimal(1, 3, &d(16, 2)).is_err());
        assert!(decimal(100, 0, &d(2, 0)).is_err());
        assert_eq!(decimal(i128::from(i64::MIN), 4, &SqlType::Money).unwrap(), i128::from(i64::MIN));
    }

    #[test]
    fn both_drivers_text_is_kept_alike() {
        let declared = SqlType::NVarChar { length: None };
        for sample in ["", "plain", "ä€😀", "\0", "\u{ffff}", "x\u{ffff}y"] {
            let bytes: Vec<u8> = sample.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let (mut from_units, mut from_text) = (b"before".to_vec(), b"before".to_vec());
            push_utf16(&declared, &bytes, &mut from_units).unwrap();
            push_text(&declared, sample, &mut from_text).unwrap();
            assert_eq!(from_units, from_text);
        }
        assert!(push_utf16(&declared, &[0x41, 0, 0x41], &mut Vec::new()).is_err());
    }
}
