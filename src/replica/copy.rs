//! Arrow batches as `PostgreSQL` binary COPY: a small encoder chosen per column from the Arrow type and the target's type.
//!
//! Promises: numbers are exact (decimals never pass through floats), times keep their microseconds. `PostgreSQL` text cannot
//! hold U+0000: it becomes U+FFFD. JSON text is checked here for what `jsonb` refuses although a JSON reader may take it:
//! escapes of U+0000 and of lone surrogates become U+FFFD; text that is no strict JSON, or holds absurd numbers, becomes NULL
//! and is counted ([`Encoder::refused_json`]). A pair of types that is not known is an error, never a guess.

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int16Array, Int32Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, TimeUnit},
};
use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::types::Type;

use crate::error::{Error, Kind, Result};

/// First bytes of a binary COPY stream: signature, flags, header extension.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Last bytes of a binary COPY stream.
pub(crate) const TRAILER: &[u8] = &[0xff, 0xff];

/// 2000-01-01 in microseconds and in days since 1970: `PostgreSQL`'s zero.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// Encodes batches of one shape.
pub(crate) struct Encoder {
    columns: Vec<(String, Type)>,
    refused_json: u64,
}

/// One column of one batch, with its types resolved.
enum Values<'a> {
    Bool(&'a BooleanArray),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Int32AsInt64(&'a Int32Array),
    Decimal(&'a Decimal128Array, u16),
    Text(&'a StringArray),
    Json(&'a StringArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Date(&'a Date32Array),
    Bytes(&'a BinaryArray),
    Null,
}

impl Encoder {
    /// An encoder for a target with these columns, in the order of the batches' columns.
    pub(crate) fn new(columns: Vec<(String, Type)>) -> Self {
        Self { columns, refused_json: 0 }
    }

    /// How many JSON texts were no strict JSON and became NULL.
    pub(crate) fn refused_json(&self) -> u64 {
        self.refused_json
    }

    /// The rows of a batch as COPY tuples.
    ///
    /// # Errors
    /// `Bug` when the batch has another shape than the target.
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::new(Kind::Bug, "a batch for the replica has another number of columns than its table"));
        }
        let columns = batch
            .columns()
            .iter()
            .zip(&self.columns)
            .map(|(array, (name, target))| resolve(array, name, target))
            .collect::<Result<Vec<_>>>()?;
        let count = i16::try_from(columns.len())
            .map_err(|_| Error::new(Kind::Bug, "a table of the replica has too many columns"))?;
        let mut out = BytesMut::with_capacity(batch.num_rows() * 256);
        for row in 0..batch.num_rows() {
            out.put_i16(count);
            for values in &columns {
                self.refused_json += u64::from(!put(&mut out, values, row)?);
            }
        }
        Ok(out.freeze())
    }
}

fn resolve<'a>(array: &'a ArrayRef, name: &str, target: &Type) -> Result<Values<'a>> {
    let any = array.as_any();
    let found = match (array.data_type(), target) {
        (DataType::Null, _) => Some(Values::Null),
        (DataType::Boolean, &Type::BOOL) => any.downcast_ref().map(Values::Bool),
        (DataType::Int16, &Type::INT2) => any.downcast_ref().map(Values::Int16),
        (DataType::Int32, &Type::INT4) => any.downcast_ref().map(Values::Int32),
        (DataType::Int32, &Type::INT8) => any.downcast_ref().map(Values::Int32AsInt64),
        (DataType::Int64, &Type::INT8) => any.downcast_ref().map(Values::Int64),
        (DataType::Decimal128(_, scale), &Type::NUMERIC) => {
            u16::try_from(*scale).ok().and_then(|scale| any.downcast_ref().map(|values| Values::Decimal(values, scale)))
        }
        (DataType::Utf8, &Type::TEXT | &Type::VARCHAR) => any.downcast_ref().map(Values::Text),
        (DataType::Utf8, &Type::JSONB) => any.downcast_ref().map(Values::Json),
        (DataType::Timestamp(TimeUnit::Microsecond, None), &Type::TIMESTAMP) => {
            any.downcast_ref().map(Values::Timestamp)
        }
        (DataType::Date32, &Type::DATE) => any.downcast_ref().map(Values::Date),
        (DataType::Binary, &Type::BYTEA) => any.downcast_ref().map(Values::Bytes),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::new(Kind::Bug, format!("column {name}: {} cannot be written as {target}", array.data_type()))
    })
}

/// Writes one field; `false` when JSON was refused and NULL written in its place.
fn put(out: &mut BytesMut, values: &Values<'_>, row: usize) -> Result<bool> {
    let array: &dyn Array = match values {
        Values::Bool(array) => *array,
        Values::Int16(array) => *array,
        Values::Int32(array) | Values::Int32AsInt64(array) => *array,
        Values::Int64(array) => *array,
        Values::Decimal(array, _) => *array,
        Values::Text(array) | Values::Json(array) => *array,
        Values::Timestamp(array) => *array,
        Values::Date(array) => *array,
        Values::Bytes(array) => *array,
        Values::Null => {
            out.put_i32(-1);
            return Ok(true);
        }
    };
    if array.is_null(row) {
        out.put_i32(-1);
        return Ok(true);
    }
    match values {
        Values::Bool(array) => sized(out, &[u8::from(array.value(row))])?,
        Values::Int16(array) => sized(out, &array.value(row).to_be_bytes())?,
        Values::Int32(array) => sized(out, &array.value(row).to_be_bytes())?,
        Values::Int32AsInt64(array) => sized(out, &i64::from(array.value(row)).to_be_bytes())?,
        Values::Int64(array) => sized(out, &array.value(row).to_be_bytes())?,
        Values::Decimal(array, scale) => put_numeric(out, array.value(row), *scale)?,
        Values::Text(array) => put_text(out, array.value(row))?,
        Values::Json(array) => return put_json(out, array.value(row)),
        Values::Timestamp(array) => sized(out, &(array.value(row) - EPOCH_MICROS).to_be_bytes())?,
        Values::Date(array) => sized(out, &(array.value(row) - EPOCH_DAYS).to_be_bytes())?,
        Values::Bytes(array) => sized(out, array.value(row))?,
        Values::Null => {}
    }
    Ok(true)
}

fn sized(out: &mut BytesMut, bytes: &[u8]) -> Result<()> {
    let length = i32::try_from(bytes.len())
        .map_err(|_| Error::new(Kind::Replica, "a value is larger than PostgreSQL can hold (2 GB)"))?;
    out.put_i32(length);
    out.put_slice(bytes);
    Ok(())
}

/// `PostgreSQL`'s numeric: groups of four decimal digits, base 10,000, aligned at the decimal point.
fn put_numeric(out: &mut BytesMut, value: i128, scale: u16) -> Result<()> {
    let padding = (4 - u32::from(scale) % 4) % 4;
    let fraction_groups = usize::from(scale.div_ceil(4));
    let mut rest = value.unsigned_abs();
    let mut groups: Vec<u16> = Vec::with_capacity(12);
    // The first group takes fewer digits when the scale is no multiple of four, so nothing is ever multiplied up.
    if padding > 0 && scale > 0 {
        let digits = 10_u128.pow(4 - padding);
        groups.push(group((rest % digits) * 10_u128.pow(padding))?);
        rest /= digits;
    }
    while rest > 0 || groups.len() < fraction_groups {
        groups.push(group(rest % 10_000)?);
        rest /= 10_000;
    }
    groups.reverse();
    let weight =
        i16::try_from(groups.len()).unwrap_or(i16::MAX) - i16::try_from(fraction_groups).unwrap_or(i16::MAX) - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = if kept.is_empty() { 0 } else { weight - i16::try_from(leading).unwrap_or(i16::MAX) };
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    out.put_i32(i32::try_from(8 + 2 * kept.len()).unwrap_or(i32::MAX));
    out.put_i16(i16::try_from(kept.len()).unwrap_or(i16::MAX));
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
    kept.iter().for_each(|group| out.put_u16(*group));
    Ok(())
}

fn group(digits: u128) -> Result<u16> {
    u16::try_from(digits).map_err(|_| Error::new(Kind::Bug, "a group of four digits is larger than 9999"))
}

fn put_text(out: &mut BytesMut, text: &str) -> Result<()> {
    if text.contains('\0') {
        sized(out, text.replace('\0', "\u{fffd}").as_bytes())
    } else {
        sized(out, text.as_bytes())
    }
}

/// jsonb: a version byte, then the text.
fn put_json(out: &mut BytesMut, text: &str) -> Result<bool> {
    let Some(text) = strict_json(text) else {
        out.put_i32(-1);
        return Ok(false);
    };
    let length = i32::try_from(text.len() + 1)
        .map_err(|_| Error::new(Kind::Replica, "a JSON value is larger than PostgreSQL can hold"))?;
    out.put_i32(length);
    out.put_u8(1);
    out.put_slice(text.as_bytes());
    Ok(true)
}

/// The text as `jsonb` takes it, or `None` when it is no strict JSON, nests deeper than 100, or holds a number with more
/// than 400 digits or an exponent of more than three.
fn strict_json(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    // serde_json checks the grammar and stops at a depth of 128.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let bytes = text.as_bytes();
    let (mut replaced, mut at, mut in_string, mut digits, mut exponent) = (Vec::new(), 0, false, 0_u32, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                let length = match unit(text, at) {
                    Some(0xd800..=0xdbff) if matches!(unit(text, at + 6), Some(0xdc00..=0xdfff)) => 12,
                    Some(0 | 0xd800..=0xdfff) => {
                        replaced.push(at);
                        6
                    }
                    _ => 6,
                };
                at += length;
                continue;
            }
            b'\\' => at += 1,
            b'0'..=b'9' if !in_string => {
                digits += 1;
                if digits > if exponent { 3 } else { 400 } {
                    return None;
                }
            }
            b'e' | b'E' if !in_string && digits > 0 => (digits, exponent) = (0, true),
            b'.' | b'+' | b'-' => {}
            _ => (digits, exponent) = (0, false),
        }
        at += 1;
    }
    if replaced.is_empty() {
        return Some(text.into());
    }
    let mut out = text.to_owned();
    for at in replaced {
        out.replace_range(at..at + 6, "\\ufffd");
    }
    Some(out.into())
}

/// The UTF-16 unit of an escape `\uXXXX` at a byte position.
fn unit(text: &str, at: usize) -> Option<u16> {
    u16::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a numeric back by the documented layout: sum of group * 10000^(weight - i).
    fn read(bytes: &[u8]) -> String {
        let at = |i: usize| i32::from(i16::from_be_bytes([bytes[i], bytes[i + 1]]));
        let (count, weight, scale) = (at(4), at(6), at(10));
        let mut digits = String::new();
        for i in 0..=(weight.max(-1) + scale.div_euclid(4) + 2) {
            let group = if i < weight.max(-1) - weight { 0 } else { i - (weight.max(-1) - weight) };
            let value = if i >= weight.max(-1) - weight && group < count {
                at(12 + 2 * usize::try_from(group).unwrap())
            } else {
                0
            };
            digits.push_str(&format!("{value:04}"));
        }
        let point = usize::try_from((weight.max(-1) + 1) * 4).unwrap();
        let (whole, fraction) = digits.split_at(point);
        let whole = whole.trim_start_matches('0');
        let sign = if at(8) == 0x4000 { "-" } else { "" };
        let fraction = &fraction[..usize::try_from(scale).unwrap()];
        let point = if scale > 0 { "." } else { "" };
        format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole })
    }

    #[test]
    fn decimals_are_exact() {
        for (value, scale, expected) in [
            (0, 2, "0.00"),
            (1, 2, "0.01"),
            (-650, 2, "-6.50"),
            (4_966_500, 5, "49.66500"),
            (505, 3, "0.505"),
            (100_000_000, 2, "1000000.00"),
            (12_345_678_901_234, 2, "123456789012.34"),
            (-1, 5, "-0.00001"),
            (7, 0, "7"),
            (120_000, 0, "120000"),
            (i128::from(u64::MAX), 5, "184467440737095.51615"),
        ] {
            let mut out = BytesMut::new();
            put_numeric(&mut out, value, scale).unwrap();
            assert_eq!(read(&out), expected);
        }
    }

    #[test]
    fn json_is_made_fit_for_jsonb_or_refused() {
        assert_eq!(strict_json(r#"[{"a":"x\u0000y"}]"#).unwrap(), r#"[{"a":"x\ufffdy"}]"#);
        assert_eq!(
            strict_json(r#"["\ud800","\ud83d\ude00","\udc00"]"#).unwrap(),
            r#"["\ufffd","\ud83d\ude00","\ufffd"]"#
        );
        // An escaped backslash before u0000 is no escape of U+0000.
        assert_eq!(strict_json(r#"["\\u0000"]"#).unwrap(), r#"["\\u0000"]"#);
        assert_eq!(strict_json(r#"[1.50,-2e10,"1e99999"]"#).unwrap(), r#"[1.50,-2e10,"1e99999"]"#);
        for bad in ["[1,]", "[NaN]", "[1e99999]", "[\"a\nb\"]", "", "Kitchen Course:Mains"] {
            assert!(strict_json(bad).is_none(), "{bad}");
        }
        assert!(strict_json(&"[".repeat(5000)).is_none());
    }

    #[test]
    fn an_unknown_pair_of_types_is_an_error() {
        let array: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
        let failure = Encoder::new(vec![("a".into(), Type::NUMERIC)]).encode(&batch).unwrap_err();
        assert_eq!(failure.kind(), Kind::Bug);
    }
}
