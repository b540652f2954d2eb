//! A few rows for the tables that trade does not move, so that snapshots are as long as real ones.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
        Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, TimeUnit},
};
use tillvault::model::table::Table;

const ROWS: i16 = 30;

/// Thirty rows that differ in every column that can.
pub(crate) fn rows(table: &Table) -> RecordBatch {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().map(|field| column(field.data_type())).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn column(data_type: &DataType) -> ArrayRef {
    let numbers = 1..=ROWS;
    match data_type {
        DataType::Boolean => Arc::new(numbers.map(|n| Some(n % 2 == 0)).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(numbers.collect::<Int16Array>()),
        DataType::Int32 => Arc::new(numbers.map(i32::from).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(numbers.map(i64::from).collect::<Int64Array>()),
        DataType::Float32 => Arc::new(numbers.map(f32::from).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(numbers.map(f64::from).collect::<Float64Array>()),
        DataType::Date32 => Arc::new(Date32Array::from_iter_values(numbers.map(i32::from))),
        DataType::Decimal128(precision, scale) => Arc::new(
            numbers.map(i128::from).collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale).unwrap(),
        ),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers.map(|n| i64::from(n) * 1_000_000)))
        }
        DataType::Utf8 => Arc::new(numbers.map(|n| Some(format!("Name {n}"))).collect::<StringArray>()),
        DataType::Binary => Arc::new(numbers.map(|n| Some(n.to_be_bytes())).collect::<BinaryArray>()),
        other => panic!("no filler for {other}"),
    }
}
