//! Values as SQL Server sees them: UTF-16 units of text, bytes of a value as `varbinary`, styled text, checksums.
//!
//! Plain functions of one value, called by [`super::native`]. Errors are texts that begin with `T-SQL` and a number.
//!
//! Byte forms are those a real server's `CAST(… AS varbinary(n))` gives: whole numbers and money big-endian, floats
//! big-endian IEEE, `datetime` as days and three-hundredths big-endian, the newer times with their scale in front and then
//! little-endian, decimals as precision, scale, 0, sign and a little-endian number.
//!
//! `BINARY_CHECKSUM` of text is the real thing (a rotation by four bits and an XOR per character), of other types it has the
//! same character: 32 bits, weak, no sign and no scale of decimals.

use crate::{
    demo::tds::{
        collation::Collation,
        moment::{self, Moment},
        value::put_utf16,
    },
    model::sql_type::SqlType,
};

/// The checksum of NULL.
pub(super) const NULL_SUM: i32 = i32::MAX;

/// Bytes HASHBYTES takes before SQL Server 2016.
const OLD_HASH_LIMIT: usize = 8000;

/// UTF-16LE bytes.
pub(super) fn wide(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    put_utf16(&mut bytes, text);
    bytes
}

/// Bytes in the code page of a collation.
pub(super) fn narrow(text: &str, turkish: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    Collation::named(if turkish { "Turkish_CI_AS" } else { "Latin1_General_CI_AS" }).encode(text, &mut bytes);
    bytes
}

/// UTF-16 units of a character. The code points that stand for lone surrogates are one unit.
fn units_of(character: char) -> usize {
    if (0x10_D800..=0x10_DFFF).contains(&u32::from(character)) { 1 } else { character.len_utf16() }
}

/// UTF-16 units of a text.
pub(super) fn units(text: &str) -> i64 {
    let count = if text.is_ascii() { text.len() } else { text.chars().map(units_of).sum() };
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The range `start..end` of `length` items that SUBSTRING means: it counts from 1, and what lies before counts, too.
fn range(start: i64, count: i64, length: usize) -> Result<(usize, usize), String> {
    if count < 0 {
        return Err("T-SQL 537 Invalid length parameter passed to the LEFT or SUBSTRING function.".into());
    }
    let end = start.saturating_add(count).saturating_sub(1).max(0);
    let start = start.saturating_sub(1).max(0);
    let limit = |position: i64| usize::try_from(position).unwrap_or(usize::MAX).min(length);
    Ok((limit(start), limit(end).max(limit(start))))
}

/// SUBSTRING of text, in UTF-16 units. A character cut in half leaves a lone surrogate.
pub(super) fn cut(text: &str, start: i64, count: i64) -> Result<String, String> {
    if text.is_ascii() {
        let (from, to) = range(start, count, text.len())?;
        return Ok(text[from..to].to_owned());
    }
    let (from, to) = range(start, count, usize::MAX)?;
    let mut out = String::new();
    let mut at = 0;
    for character in text.chars() {
        if at >= to {
            break;
        }
        let size = units_of(character);
        if at >= from && at + size <= to {
            out.push(character);
        } else if size == 2 {
            let mut pair = [0u16; 2];
            let pair = character.encode_utf16(&mut pair);
            for (offset, unit) in pair.iter().enumerate() {
                if (from..to).contains(&(at + offset)) {
                    out.extend(char::from_u32(0x10_0000 + u32::from(*unit)));
                }
            }
        }
        at += size;
    }
    Ok(out)
}

/// CHARINDEX in UTF-16 units, of texts that are folded already.
pub(super) fn find(part: &str, text: &str, start: i64) -> i64 {
    let skip = usize::try_from(start - 1).unwrap_or(0);
    let mut rest = text;
    let mut passed = 0;
    if text.is_ascii() {
        passed = skip.min(text.len());
        rest = &text[passed..];
    } else {
        for (offset, character) in text.char_indices() {
            if passed >= skip {
                rest = &text[offset..];
                break;
            }
            passed += units_of(character);
            rest = "";
        }
    }
    match rest.find(part) {
        Some(offset) if !part.is_empty() => {
            i64::try_from(passed).unwrap_or(i64::MAX).saturating_add(units(&rest[..offset])).saturating_add(1)
        }
        _ => 0,
    }
}

/// A whole number in `size` bytes, big-endian.
pub(super) fn whole(number: i64, size: i32) -> Vec<u8> {
    let size = usize::try_from(size).unwrap_or(8).min(8);
    number.to_be_bytes()[8 - size..].to_vec()
}

/// The last `size` bytes as a whole number, big-endian; fewer bytes count as if zeros stood in front.
pub(super) fn number(bytes: &[u8], size: i32) -> i64 {
    let size = usize::try_from(size).unwrap_or(8).clamp(1, 8);
    let tail = &bytes[bytes.len().saturating_sub(size)..];
    let mut wide = [0u8; 8];
    wide[8 - tail.len()..].copy_from_slice(tail);
    let number = i64::from_be_bytes(wide);
    match size {
        // tinyint has no sign.
        1 => number,
        _ => {
            let shift = 64 - 8 * u32::try_from(size).unwrap_or(8);
            (number << shift) >> shift
        }
    }
}

/// A decimal from its digits.
pub(super) fn exact(digits: &str, precision: i32, scale: i32) -> Result<Vec<u8>, String> {
    let failed = || format!("T-SQL 8114 Error converting {digits} to varbinary.");
    let unscaled: i128 = digits.replace('.', "").parse().map_err(|_| failed())?;
    let (precision, scale) =
        (u8::try_from(precision).map_err(|_| failed())?, u8::try_from(scale).map_err(|_| failed())?);
    let size = match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    };
    let mut bytes = vec![precision, scale, 0, u8::from(unscaled >= 0)];
    bytes.extend_from_slice(&unscaled.unsigned_abs().to_le_bytes()[..size]);
    Ok(bytes)
}

fn known(sql_type: &str) -> SqlType {
    let Ok(sql_type) = sql_type.parse();
    sql_type
}

/// A point in time, or a time of day on 1970-01-01, of a type DuckDB keeps in microseconds.
pub(super) fn stamp(micros: i64, sql_type: &str) -> Result<Vec<u8>, String> {
    let scaled = |moment: Moment, scale: u8| {
        let mut bytes = Vec::new();
        moment.put(&mut bytes, scale)?;
        bytes[0] = scale;
        Some(bytes)
    };
    let bytes = match known(sql_type) {
        SqlType::DateTime => moment::datetime(micros).map(|mut bytes| {
            bytes[..4].reverse();
            bytes[4..].reverse();
            bytes.to_vec()
        }),
        SqlType::SmallDateTime => moment::smalldatetime(micros).map(|mut bytes| {
            bytes[..2].reverse();
            bytes[2..].reverse();
            bytes.to_vec()
        }),
        SqlType::Date => {
            i32::try_from(micros.div_euclid(86_400_000_000)).ok().and_then(moment::date).map(|bytes| bytes.to_vec())
        }
        SqlType::DateTime2 { scale } => scaled(Moment::stamp(micros), scale),
        SqlType::Time { scale } => scaled(Moment::time(micros), scale),
        _ => None,
    };
    bytes.ok_or_else(|| format!("T-SQL 529 Explicit conversion from {sql_type} to varbinary is not allowed."))
}

/// A point in time of a type finer than microseconds.
pub(super) fn moment(text: &str, sql_type: &str) -> Result<Vec<u8>, String> {
    let failed = || format!("T-SQL 241 Conversion failed when converting {text} to {sql_type}.");
    let sql_type = known(sql_type);
    let (SqlType::Time { scale } | SqlType::DateTime2 { scale } | SqlType::DateTimeOffset { scale }) = sql_type else {
        return Err(failed());
    };
    let mut bytes = Vec::new();
    Moment::parse(text, &sql_type).and_then(|moment| moment.put(&mut bytes, scale)).ok_or_else(failed)?;
    bytes[0] = scale;
    Ok(bytes)
}

pub(super) fn guid(text: &str) -> Result<Vec<u8>, String> {
    let failed = "T-SQL 8169 Conversion failed when converting from a character string to uniqueidentifier.";
    moment::guid(text).map(|bytes| bytes.to_vec()).ok_or_else(|| failed.into())
}

/// SUBSTRING of bytes.
pub(super) fn slice(bytes: &[u8], start: i64, count: i64) -> Result<Vec<u8>, String> {
    let (from, to) = range(start, count, bytes.len())?;
    Ok(bytes[from..to].to_vec())
}

/// Bytes as `binary(size)`, or as `varbinary` for a negative size: what is too long is cut, numbers on the left, all else on
/// the right; fixed lengths are filled with zeros there.
pub(super) fn fit(bytes: &[u8], size: i32, from_number: bool) -> Vec<u8> {
    let limit = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
    if bytes.len() >= limit {
        return if from_number { bytes[bytes.len() - limit..].to_vec() } else { bytes[..limit].to_vec() };
    }
    if size < 0 {
        return bytes.to_vec();
    }
    let mut out = vec![0; limit];
    if from_number {
        out[limit - bytes.len()..].copy_from_slice(bytes);
    } else {
        out[..bytes.len()].copy_from_slice(bytes);
    }
    out
}

/// A float as text: style 0 has up to 6 digits, 1 has 8, 2 has 16, 3 has 17 and loses nothing.
pub(super) fn float_text(number: f64, style: i32) -> String {
    let scientific = |digits: usize| {
        let text = format!("{number:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        (mantissa.to_owned(), exponent.parse::<i32>().unwrap_or_default())
    };
    let exponent_text = |exponent: i32| format!("e{}{:03}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    let digits = match style {
        1 => 7,
        2 => 15,
        3 => 16,
        _ => {
            let (mantissa, exponent) = scientific(5);
            let bare = |text: &str| {
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text.to_owned()
                }
            };
            if !(-5..6).contains(&exponent) {
                return format!("{}{}", bare(&mantissa), exponent_text(exponent));
            }
            let behind = usize::try_from(5 - exponent).unwrap_or_default();
            return bare(&format!("{number:.behind$}"));
        }
    };
    let (mantissa, exponent) = scientific(digits);
    format!("{mantissa}{}", exponent_text(exponent))
}

/// A point in time in style 120, 121 (ODBC) or 126 (ISO 8601, without a fraction that is zero). `datetime` shows the
/// milliseconds of its three-hundredths.
pub(super) fn stamp_text(micros: i64, sql_type: &str, style: i32) -> Result<String, String> {
    let failed = || format!("T-SQL 281 {style} is not a valid style number when converting from {sql_type} to text.");
    let sql_type = known(sql_type);
    let (micros, digits) = match &sql_type {
        SqlType::DateTime => {
            let [a, b, c, d, e, f, g, h] = moment::datetime(micros).ok_or_else(failed)?;
            let shown = moment::from_datetime(i32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            (shown, 3)
        }
        SqlType::SmallDateTime => {
            let [a, b, c, d] = moment::smalldatetime(micros).ok_or_else(failed)?;
            (moment::from_smalldatetime(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])), 3)
        }
        SqlType::DateTime2 { scale } | SqlType::Time { scale } => (micros, usize::from(*scale)),
        _ => (micros, 0),
    };
    let moment = jiff::Timestamp::from_microsecond(micros).map_err(|_| failed())?.to_zoned(jiff::tz::TimeZone::UTC);
    let date = moment.strftime("%Y-%m-%d").to_string();
    let nanos = format!("{:09}", moment.subsec_nanosecond());
    let fraction = match style {
        120 => String::new(),
        126 if moment.subsec_nanosecond() == 0 => String::new(),
        _ if digits == 0 => String::new(),
        _ => format!(".{}", &nanos[..digits.min(9)]),
    };
    let time = format!("{}{fraction}", moment.strftime("%H:%M:%S"));
    Ok(match &sql_type {
        SqlType::Date => date,
        SqlType::Time { .. } => time,
        _ => format!("{date}{}{time}", if style == 126 { 'T' } else { ' ' }),
    })
}

/// What HASHBYTES takes on a server before 2016.
pub(super) fn hash_input(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > OLD_HASH_LIMIT {
        return Err("T-SQL 8152 String or binary data would be truncated.".into());
    }
    Ok(bytes.to_vec())
}

/// One step of the checksum.
pub(super) fn add_sum(sum: i32, value: i32) -> i32 {
    sum.rotate_left(4) ^ value
}

/// The checksum of text: of its first `limit` characters, or of all of them.
pub(super) fn text_sum(text: &str, limit: i32) -> i32 {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    if text.is_ascii() {
        let text = &text.as_bytes()[..text.len().min(limit)];
        return text.iter().fold(0, |sum, byte| add_sum(sum, i32::from(*byte)));
    }
    wide(text)
        .chunks_exact(2)
        .take(limit)
        .fold(0, |sum, unit| add_sum(sum, i32::from(u16::from_le_bytes([unit[0], unit[1]]))))
}

/// The checksum of bytes.
pub(super) fn bytes_sum(bytes: &[u8]) -> i32 {
    bytes.iter().fold(0, |sum, byte| add_sum(sum, i32::from(*byte)))
}

/// The checksum of a whole number: an int is its own.
pub(super) fn whole_sum(number: i64) -> i32 {
    i32::try_from(number).unwrap_or_else(|_| {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        add_sum(i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_text_is_the_known_weak_one() {
        // Published examples of collisions.
        assert_eq!(text_sum("2Volvo Director 20", 0), -1_356_512_636);
        assert_eq!(text_sum("3Volvo Director 30", 0), -1_356_512_636);
        assert_eq!(text_sum("2Volvo Director20", 0), 1_257_395_465);
        assert_eq!(text_sum(&"a".repeat(32), 0), 0);
        assert_ne!(text_sum("McCavity", 0), text_sum("Mccavity", 0));
        let long = "é".repeat(255);
        assert_eq!(text_sum(&format!("{long}x"), 255), text_sum(&format!("{long}y"), 255));
    }

    #[test]
    fn text_is_counted_and_cut_in_units() {
        assert_eq!(units("a😀"), 3);
        assert_eq!(cut("a😀b", 2, 2).unwrap(), "😀");
        assert_eq!(cut("a😀b", 2, 1).unwrap(), "\u{10D83D}");
        assert_eq!(wide(&format!("{}{}", cut("a😀b", 1, 2).unwrap(), cut("a😀b", 3, 9).unwrap())), wide("a😀b"));
        assert_eq!(cut("abc", 0, 2).unwrap(), "a");
        assert_eq!(cut("abc", -5, 2).unwrap(), "");
        assert_eq!(cut("abc", 9, 2).unwrap(), "");
        assert!(cut("abc", 1, -1).unwrap_err().starts_with("T-SQL 537 "));
        assert_eq!(
            (find("b", "abcb", 3), find("", "abc", 1), find("ü", "ä😀ü", 1), find("ü", "ä😀ü", 5)),
            (4, 0, 4, 0)
        );
    }

    #[test]
    fn values_have_the_bytes_of_a_real_server() {
        assert_eq!(whole(-2, 4), [0xFF, 0xFF, 0xFF, 0xFE]);
        assert_eq!(number(&[0xFF, 0xFE], 8), 0xFFFE);
        assert_eq!(number(&[1, 0xFF, 0xFF, 0xFF, 0xFE], 4), -2);
        assert_eq!(exact("-1.5", 2, 1).unwrap(), [2, 1, 0, 0, 15, 0, 0, 0]);
        assert_eq!(stamp(0, "datetime").unwrap(), [0, 0, 0x63, 0xDF, 0, 0, 0, 0]);
        assert_eq!(stamp(1_000_000, "time(0)").unwrap(), [0, 1, 0, 0]);
        assert_eq!(fit(&[1, 2, 3], 2, true), [2, 3]);
        assert_eq!(fit(&[1, 2, 3], 2, false), [1, 2]);
        assert_eq!(fit(&[1], -2, false), [1]);
        assert_eq!(fit(&[1], 2, true), [0, 1]);
    }

    #[test]
    fn floats_and_times_have_styles() {
        assert_eq!(float_text(1.5, 0), "1.5");
        assert_eq!(float_text(1e10, 0), "1e+010");
        assert_eq!(float_text(0.1, 2), "1.000000000000000e-001");
        assert_eq!(float_text(0.1, 3), "1.0000000000000001e-001");
        let micros = 1_772_366_705_123_456;
        assert_eq!(stamp_text(micros, "datetime", 121).unwrap(), "2026-03-01 12:05:05.123");
        assert_eq!(stamp_text(micros + 1000, "datetime", 126).unwrap(), "2026-03-01T12:05:05.123");
        assert_eq!(stamp_text(1_772_366_705_000_000, "datetime", 126).unwrap(), "2026-03-01T12:05:05");
        assert_eq!(stamp_text(micros, "datetime2(6)", 121).unwrap(), "2026-03-01 12:05:05.123456");
        assert_eq!(stamp_text(micros, "smalldatetime", 121).unwrap(), "2026-03-01 12:05:00.000");
    }
}
