//! Dates, times and GUIDs as SQL Server writes them on the wire (MS-TDS 2.2.5.5.1), and back from parameters.

use crate::model::sql_type::SqlType;

const MICROS_A_DAY: i64 = 86_400_000_000;
/// Days from 0001-01-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_162;
/// Days from 1900-01-01 to 1970-01-01.
const DAYS_1900_TO_1970: i64 = 25_567;
/// Ticks of `datetime` a day: 300 a second.
const TICKS_A_DAY: i64 = 86_400 * 300;

/// `datetime`: days since 1900 and ticks of 1/300 s, rounded to the nearest.
pub(in crate::demo) fn datetime(micros: i64) -> Option<[u8; 8]> {
    let mut day = micros.div_euclid(MICROS_A_DAY) + DAYS_1900_TO_1970;
    let mut ticks = (micros.rem_euclid(MICROS_A_DAY) * 3 + 5_000) / 10_000;
    if ticks == TICKS_A_DAY {
        (day, ticks) = (day + 1, 0);
    }
    let [a, b, c, d] = i32::try_from(day).ok()?.to_le_bytes();
    let [e, f, g, h] = u32::try_from(ticks).ok()?.to_le_bytes();
    Some([a, b, c, d, e, f, g, h])
}

/// Microseconds since 1970 of a `datetime`, to the millisecond SQL Server displays (.003, .007).
pub(in crate::demo) fn from_datetime(days: i32, ticks: u32) -> i64 {
    let millis = (i64::from(ticks) * 10 + 1) / 3;
    (i64::from(days) - DAYS_1900_TO_1970) * MICROS_A_DAY + millis * 1000
}

/// `smalldatetime`: days since 1900 and minutes.
pub(in crate::demo) fn smalldatetime(micros: i64) -> Option<[u8; 4]> {
    let minutes = (micros + 30_000_000).div_euclid(60_000_000);
    let [a, b] = u16::try_from(minutes.div_euclid(1440) + DAYS_1900_TO_1970).ok()?.to_le_bytes();
    let [c, d] = u16::try_from(minutes.rem_euclid(1440)).ok()?.to_le_bytes();
    Some([a, b, c, d])
}

/// Microseconds since 1970 of a `smalldatetime`.
pub(in crate::demo) fn from_smalldatetime(days: u16, minutes: u16) -> i64 {
    (i64::from(days) - DAYS_1900_TO_1970) * MICROS_A_DAY + i64::from(minutes) * 60_000_000
}

/// `date`: days since the year 1, in three bytes. `days` counts from 1970.
pub(in crate::demo) fn date(days: i32) -> Option<[u8; 3]> {
    let [a, b, c, high] = u32::try_from(i64::from(days) + DAYS_TO_1970).ok()?.to_le_bytes();
    (high == 0).then_some([a, b, c])
}

/// Days since 1970 of a `date`.
pub(in crate::demo) fn from_date(bytes: [u8; 3]) -> i32 {
    let days = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    i32::try_from(i64::from(days) - DAYS_TO_1970).unwrap_or_default()
}

/// Bytes of the time of day at a scale.
pub(in crate::demo) fn time_bytes(scale: u8) -> usize {
    match scale {
        0..=2 => 3,
        3..=4 => 4,
        _ => 5,
    }
}

/// A point in time or a time of day, in ticks of 100 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Moment {
    /// Days since 1970, of types that have a date.
    days: Option<i64>,
    /// Since midnight.
    ticks: i64,
    /// Minutes from UTC, of types that have an offset; day and ticks are UTC then.
    offset: Option<i16>,
}

const TICKS_OF_DAY: i64 = MICROS_A_DAY * 10;

impl Moment {
    pub(in crate::demo) fn time(micros: i64) -> Self {
        Self { days: None, ticks: micros * 10, offset: None }
    }

    pub(in crate::demo) fn stamp(micros: i64) -> Self {
        let days = micros.div_euclid(MICROS_A_DAY);
        Self { days: Some(days), ticks: micros.rem_euclid(MICROS_A_DAY) * 10, offset: None }
    }

    /// Reads ISO 8601 text: `2026-03-01T12:05:00.1234567`, a blank in place of the T, `+01:00` at the end of offsets.
    pub(in crate::demo) fn parse(text: &str, sql_type: &SqlType) -> Option<Self> {
        let (date, rest) = match sql_type {
            SqlType::Time { .. } => (None, text),
            _ => {
                let (date, rest) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
                let date: jiff::civil::Date = date.parse().ok()?;
                let days = date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
                (Some(i64::from(days)), rest)
            }
        };
        let (clock, offset) = if let SqlType::DateTimeOffset { .. } = sql_type {
            let at = rest.find(['+', '-', 'Z'])?;
            let (clock, zone) = rest.split_at(at);
            (clock.trim_end(), Some(offset_minutes(zone)?))
        } else {
            (rest, None)
        };
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
        let (hours, minutes) = (parts.next()??, parts.next()??);
        let seconds = parts.next().unwrap_or(Some(0))?;
        let digits = format!("{:0<7}", fraction.get(..fraction.len().min(7))?);
        let mut ticks = ((hours * 60 + minutes) * 60 + seconds) * 10_000_000 + digits.parse::<i64>().ok()?;
        let mut days = date;
        if let (Some(day), Some(offset)) = (days, offset) {
            ticks -= i64::from(offset) * 600_000_000;
            days = Some(day + ticks.div_euclid(TICKS_OF_DAY));
            ticks = ticks.rem_euclid(TICKS_OF_DAY);
        }
        Some(Self { days, ticks, offset })
    }

    /// Appends length and value at `scale` (decimal digits of a second).
    pub(in crate::demo) fn put(self, out: &mut Vec<u8>, scale: u8) -> Option<()> {
        let units = self.ticks / 10i64.pow(7u32.checked_sub(u32::from(scale))?);
        let time = time_bytes(scale);
        let length = time + if self.days.is_some() { 3 } else { 0 } + if self.offset.is_some() { 2 } else { 0 };
        out.push(u8::try_from(length).ok()?);
        out.extend_from_slice(units.to_le_bytes().get(..time)?);
        if let Some(days) = self.days {
            out.extend_from_slice(&date(i32::try_from(days).ok()?)?);
        }
        if let Some(offset) = self.offset {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        Some(())
    }
}

fn offset_minutes(zone: &str) -> Option<i16> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i16>().ok()? * 60 + minutes.parse::<i16>().ok()?;
    Some(if zone.starts_with('-') { -minutes } else { minutes })
}

/// A GUID's 16 bytes: the first three groups are little-endian.
pub(in crate::demo) fn guid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes: [u8; 16] = hex::decode(digits).ok()?.try_into().ok()?;
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Some(bytes)
}

/// The text of a GUID.
pub(in crate::demo) fn guid_text(mut bytes: [u8; 16]) -> String {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    let digits = hex::encode_upper(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetime_goes_by_thirds_of_a_hundredth() {
        for (millis, ticks) in [(0, 0u32), (3, 1), (7, 2), (10, 3), (997, 299)] {
            let bytes = datetime(millis * 1000).unwrap();
            assert_eq!(bytes[4..], ticks.to_le_bytes());
            assert_eq!(from_datetime(25_567, ticks), millis * 1000);
        }
        assert_eq!(
            datetime(MICROS_A_DAY - 1).unwrap()[..4],
            25_568i32.to_le_bytes(),
            "rounding may reach the next day"
        );
    }

    #[test]
    fn long_fractions_and_offsets_are_kept() {
        let mut out = Vec::new();
        let kind = SqlType::DateTime2 { scale: 7 };
        Moment::parse("0001-01-01T00:00:00.0000001", &kind).unwrap().put(&mut out, 7).unwrap();
        assert_eq!(out, [8, 1, 0, 0, 0, 0, 0, 0, 0]);
        let kind = SqlType::DateTimeOffset { scale: 0 };
        let moment = Moment::parse("2026-03-01 00:30:00+01:00", &kind).unwrap();
        assert_eq!((moment.ticks, moment.offset), (23 * 36_000_000_000 + 30 * 600_000_000, Some(60)));
    }

    #[test]
    fn guids_survive_a_round_trip() {
        let text = "6F9619FF-8B86-D011-B42D-00C04FC964FF";
        let bytes = guid(text).unwrap();
        assert_eq!(bytes[0], 0xFF);
        assert_eq!(guid_text(bytes), text);
    }
}
