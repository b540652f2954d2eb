//! Plain rows as Arrow batches, and back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Int16Array, Int32Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use tillvault::model::table::Table;

use super::{Cell, Row};

fn int<T: TryFrom<i128>>(cell: &Cell) -> Option<T> {
    match cell {
        Cell::Null => None,
        Cell::Int(value) => Some(T::try_from(*value).ok().unwrap()),
        other => panic!("{other:?} as a number"),
    }
}

fn array(kind: &DataType, cells: &[&Cell]) -> ArrayRef {
    match kind {
        DataType::Int16 => Arc::new(cells.iter().map(|cell| int::<i16>(cell)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(cells.iter().map(|cell| int::<i32>(cell)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(cells.iter().map(|cell| int::<i64>(cell)).collect::<Int64Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(cells.iter().map(|cell| int::<i64>(cell)).collect::<TimestampMicrosecondArray>())
        }
        DataType::Decimal128(precision, scale) => {
            let values = cells.iter().map(|cell| int::<i128>(cell)).collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Boolean => {
            let bit = |cell: &&Cell| match cell {
                Cell::Bit(bit) => Some(*bit),
                _ => None,
            };
            Arc::new(cells.iter().map(bit).collect::<BooleanArray>())
        }
        DataType::Utf8 => {
            let text = |cell: &&Cell| match cell {
                Cell::Text(text) => Some(text.clone()),
                _ => None,
            };
            Arc::new(cells.iter().map(text).collect::<StringArray>())
        }
        DataType::Binary => {
            let bytes = cells.iter().map(|cell| match cell {
                Cell::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            Arc::new(bytes.collect::<BinaryArray>())
        }
        other => panic!("no column of {other}"),
    }
}

/// Rows as one batch of the table's schema.
pub(super) fn batch(table: &Table, rows: &[Row]) -> RecordBatch {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let cells: Vec<&Cell> = rows.iter().map(|row| &row[at]).collect();
        array(field.data_type(), &cells)
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn cell(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Int16 => Cell::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::Timestamp(..) => Cell::Int(array.as_primitive::<TimestampMicrosecondType>().value(row).into()),
        DataType::Decimal128(..) => Cell::Int(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Boolean => Cell::Bit(array.as_boolean().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).into()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row).into()),
        other => panic!("no cell of {other}"),
    }
}

/// A batch as rows.
pub(super) fn rows(batch: &RecordBatch) -> Vec<Row> {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|array| cell(array, row)).collect()).collect()
}
