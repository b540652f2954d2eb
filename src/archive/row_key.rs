//! The canonical bytes of a row's key (docs/FORMAT.md §7): they order the rows of tables that have no integer key, cut
//! them into buckets, and order rows that share their leading key. And the weight of a row, which counts the same bytes of
//! all its values (docs/FORMAT.md §6).
//!
//! Promises: equal keys have equal bytes and different keys different ones, in every version and on every machine. The order
//! of the bytes means nothing beyond being the same everywhere: it is not the server's.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::DataType,
};

use crate::{
    error::{Error, Kind, Result},
    model::table::Table,
};

/// Whether every column of the table's primary key is kept, so that no two rows may share their key bytes.
#[must_use]
pub fn has_whole_key(table: &Table) -> bool {
    !table.key.is_empty() && table.key.iter().all(|name| table.column(name).is_some())
}

/// The columns whose cells make a row's key bytes: the primary key in key order, or every column in byte order of the names
/// where there is no primary key or some of it is left out.
#[must_use]
pub fn key_columns(table: &Table) -> Vec<&str> {
    if has_whole_key(table) {
        return table.key.iter().map(String::as_str).collect();
    }
    let mut names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// The key bytes of every row.
///
/// # Errors
/// `Bug` when a key column is missing or has a type that chunks never hold.
pub fn row_keys(rows: &RecordBatch, columns: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut keys = vec![Vec::new(); rows.num_rows()];
    for name in columns {
        let array = rows
            .column_by_name(name)
            .ok_or_else(|| Error::new(Kind::Bug, format!("rows lack their key column {name}")))?;
        append_cells(&mut keys, name, array)?;
    }
    Ok(keys)
}

/// Appends one column: nothing for NULL, else name and value, each with its length before it.
fn append_cells(keys: &mut [Vec<u8>], name: &str, array: &ArrayRef) -> Result<()> {
    let mut put = |row: usize, value: &[u8]| {
        let key = &mut keys[row];
        for part in [name.as_bytes(), value] {
            key.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            key.extend_from_slice(part);
        }
    };
    let present = (0..array.len()).filter(|row| array.is_valid(*row));
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            present.for_each(|row| put(row, &[u8::from(values.value(row))]));
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            present.for_each(|row| put(row, values.value(row).as_bytes()));
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            present.for_each(|row| put(row, values.value(row)));
        }
        other => {
            let refused =
                || Error::new(Kind::Bug, format!("column {name} has type {other}, which has no place in a chunk"));
            let width = other.primitive_width().ok_or_else(refused)?;
            let data = array.to_data();
            let buffer = data.buffers().first().ok_or_else(refused)?.as_slice();
            let start = data.offset() * width;
            present.for_each(|row| put(row, &buffer[start + row * width..start + (row + 1) * width]));
        }
    }
    Ok(())
}

/// The weight of every row: the bytes of its values (`bool` 1, fixed-width types their width, `text` and `binary` their
/// length), nothing for NULL.
///
/// # Errors
/// `Bug` when a column has a type that chunks never hold.
pub fn row_weights(rows: &RecordBatch) -> Result<Vec<u64>> {
    let mut weights = vec![0; rows.num_rows()];
    // What each row has: most columns are of fixed width and without NULL.
    let mut everywhere = 0;
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let lengths = match array.data_type() {
            DataType::Boolean => Lengths::Fixed(1),
            DataType::Utf8 => Lengths::Each(array.as_string::<i32>().value_offsets()),
            DataType::Binary => Lengths::Each(array.as_binary::<i32>().value_offsets()),
            other => Lengths::Fixed(other.primitive_width().ok_or_else(|| {
                Error::new(
                    Kind::Bug,
                    format!("column {} has type {other}, which has no place in a chunk", field.name()),
                )
            })?),
        };
        if array.null_count() == array.len() {
            continue;
        }
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        match (&lengths, nulls) {
            (Lengths::Fixed(_), None) => everywhere += lengths.of(0),
            _ => weights
                .iter_mut()
                .enumerate()
                .filter(|(row, _)| nulls.is_none_or(|nulls| nulls.is_valid(*row)))
                .for_each(|(row, weight)| *weight += lengths.of(row)),
        }
    }
    weights.iter_mut().for_each(|weight| *weight += everywhere);
    Ok(weights)
}

/// How long the values of a column are.
enum Lengths<'a> {
    Fixed(usize),
    /// Arrow's offsets, which never descend.
    Each(&'a [i32]),
}

impl Lengths<'_> {
    fn of(&self, row: usize) -> u64 {
        match self {
            Self::Fixed(width) => *width as u64,
            Self::Each(offsets) => u64::from(offsets[row + 1].abs_diff(offsets[row])),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            BinaryArray, BooleanArray, Decimal128Array, Int16Array, Int32Array, StringArray, TimestampMicrosecondArray,
        },
        datatypes::{Field, Schema},
    };

    use super::*;

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let field = |(at, array): (usize, &ArrayRef)| Field::new(format!("c{at}"), array.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    #[test]
    fn a_row_weighs_what_its_values_weigh() {
        let money = Decimal128Array::from(vec![Some(1), None, Some(-1), None]).with_precision_and_scale(9, 2).unwrap();
        // Something lies under the NULL of the texts.
        let (full, seen) = (StringArray::from(vec!["Çay", "junk", "", "ab"]), vec![true, false, true, true]);
        let texts = StringArray::new(full.offsets().clone(), full.values().clone(), Some(seen.into()));
        let rows = batch(vec![
            Arc::new(Int32Array::from(vec![1, 2, 3, 4])),
            Arc::new(Int16Array::from(vec![Some(1), None, None, None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None])),
            Arc::new(money),
            Arc::new(texts),
            Arc::new(BinaryArray::from(vec![None, Some(&[0u8, 1, 2][..]), None, None])),
            Arc::new(TimestampMicrosecondArray::from(vec![None::<i64>; 4])),
        ]);
        let expected = [4 + 2 + 1 + 16 + 4, 4 + 1 + 3, 4 + 16, 4 + 2];
        assert_eq!(row_weights(&rows).unwrap(), expected);
        assert_eq!(row_weights(&rows.slice(1, 2)).unwrap(), expected[1..3]);
        assert!(row_weights(&rows.slice(2, 0)).unwrap().is_empty());
        // A column that was added and has no value yet weighs nothing.
        let mut wider = rows.columns().to_vec();
        wider.push(arrow::array::new_null_array(&DataType::Int64, 4));
        assert_eq!(row_weights(&batch(wider)).unwrap(), expected);
    }

    #[test]
    fn different_keys_have_different_bytes() {
        let texts = |values: [Option<&str>; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let rows = batch(vec![texts([Some("ab"), Some("a"), None]), texts([Some("c"), Some("bc"), Some("abc")])]);
        let keys = row_keys(&rows, &["c0", "c1"]).unwrap();
        assert_eq!(keys[2], b"\x02\0\0\0c1\x03\0\0\0abc");
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(row_keys(&rows, &["nix"]).unwrap_err().kind(), Kind::Bug);
    }
}
