//! Canonical content, version 1: what decides whether a chunk is new (DESIGN D2, §4; docs/FORMAT.md §Content hash).
//!
//! The hash depends on the rows, the column names and the kept types alone: not on Parquet settings, crate versions, batch
//! cuts, array offsets, what lies under NULL slots, nullability or the order of columns. Columns that are NULL in every row
//! do not count, so that a column added later rewrites nothing.
//!
//! Every byte is frozen: fixtures/content-hash holds golden vectors. A change here is a new version with a new tag.

use arrow::{
    array::{Array, AsArray, BooleanBufferBuilder, RecordBatch},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{DataType, TimeUnit},
};
use blake3::{Hash, Hasher};

use crate::error::{Error, Kind, Result};

#[cfg(target_endian = "big")]
compile_error!("the content hash feeds value buffers as they lie in memory, which must be little-endian");

/// First bytes of what a chunk's hash covers.
const VERSION_TAG: &[u8] = b"tv1";

/// The name of a kept type inside the hash; `None` for types that chunks never hold.
#[must_use]
pub fn type_tag(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "bool".into(),
        DataType::Int16 => "int16".into(),
        DataType::Int32 => "int32".into(),
        DataType::Int64 => "int64".into(),
        DataType::Float32 => "float32".into(),
        DataType::Float64 => "float64".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".into(),
        DataType::Time64(TimeUnit::Microsecond) => "time(us)".into(),
        DataType::Time64(TimeUnit::Nanosecond) => "time(ns)".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp(us)".into(),
        DataType::Utf8 => "text".into(),
        DataType::Binary => "binary".into(),
        _ => return None,
    })
}

/// The content hash of a chunk's rows, which must be in chunk order.
///
/// # Errors
/// `Bug` for a type that chunks never hold.
pub fn content_hash(rows: &RecordBatch) -> Result<Hash> {
    let schema = rows.schema();
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, array) in schema.fields().iter().zip(rows.columns()) {
        if array.null_count() < array.len() {
            columns.push(*column_hash(field.name(), array.as_ref())?.as_bytes());
        }
    }
    columns.sort_unstable();
    let mut hasher = Hasher::new();
    hasher.update(VERSION_TAG);
    hasher.update(&length(rows.num_rows()).to_le_bytes());
    for column in &columns {
        hasher.update(column);
    }
    Ok(hasher.finalize())
}

/// The hash of one column.
///
/// # Errors
/// `Bug` for a type that chunks never hold.
pub fn column_hash(name: &str, array: &dyn Array) -> Result<Hash> {
    let refused = || {
        Error::new(Kind::Bug, format!("column {name} has type {}, which has no place in a chunk", array.data_type()))
    };
    let tag = type_tag(array.data_type()).ok_or_else(refused)?;
    let mut hasher = Hasher::new();
    prefixed(&mut hasher, name);
    prefixed(&mut hasher, &tag);
    hasher.update(&length(array.len()).to_le_bytes());
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    match nulls {
        Some(nulls) => bits(&mut hasher, nulls.inner()),
        None => bits(&mut hasher, &BooleanBuffer::new_set(array.len())),
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values();
            match nulls {
                Some(nulls) => bits(&mut hasher, &(values & nulls.inner())),
                None => bits(&mut hasher, values),
            }
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            texts(&mut hasher, array.value_offsets(), array.value_data(), nulls);
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            texts(&mut hasher, array.value_offsets(), array.value_data(), nulls);
        }
        fixed => {
            let width = fixed.primitive_width().ok_or_else(refused)?;
            let data = array.to_data();
            let buffer = data.buffers().first().ok_or_else(refused)?.as_slice();
            let values = &buffer[data.offset() * width..(data.offset() + data.len()) * width];
            match nulls {
                Some(nulls) => {
                    let mut zeroed = values.to_vec();
                    for (index, slot) in zeroed.chunks_exact_mut(width).enumerate() {
                        if nulls.is_null(index) {
                            slot.fill(0);
                        }
                    }
                    hasher.update(&zeroed);
                }
                None => {
                    hasher.update(values);
                }
            }
        }
    }
    Ok(hasher.finalize())
}

fn length(rows: usize) -> u64 {
    rows as u64
}

/// Length as four bytes, then the bytes.
fn prefixed(hasher: &mut Hasher, text: &str) {
    // Names and tags come from the catalog: at most a few hundred bytes.
    hasher.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Bits, lowest first in each byte, the last byte filled up with zeros.
fn bits(hasher: &mut Hasher, bits: &BooleanBuffer) {
    let mut aligned = BooleanBufferBuilder::new(bits.len());
    aligned.append_buffer(bits);
    let bytes = aligned.as_slice();
    let whole = bits.len() / 8;
    hasher.update(&bytes[..whole]);
    if !bits.len().is_multiple_of(8) {
        hasher.update(&[bytes[whole] & ((1u8 << (bits.len() % 8)) - 1)]);
    }
}

/// All lengths as four bytes each (0 for NULL), then all bytes one after the other.
fn texts(hasher: &mut Hasher, offsets: &[i32], data: &[u8], nulls: Option<&NullBuffer>) {
    let range = |index: usize| {
        let is_null = nulls.is_some_and(|nulls| nulls.is_null(index));
        // Arrow's offsets are neither negative nor descending.
        let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
        if is_null { 0..0 } else { at(offsets[index])..at(offsets[index + 1]) }
    };
    let rows = offsets.len().saturating_sub(1);
    let mut lengths = Vec::with_capacity(rows * 4);
    let mut total = 0;
    for index in 0..rows {
        let len = range(index).len();
        total += len;
        lengths.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    }
    hasher.update(&lengths);
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let all = usize::try_from(first).unwrap_or(0)..usize::try_from(last).unwrap_or(0);
    if all.len() == total {
        hasher.update(&data[all]);
    } else {
        // Something lies under NULL slots: leave it out.
        let mut bytes = Vec::with_capacity(total);
        for index in 0..rows {
            bytes.extend_from_slice(&data[range(index)]);
        }
        hasher.update(&bytes);
    }
}
