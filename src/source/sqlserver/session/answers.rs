//! Small answers: declared as pseudo tables, taken whole, and read value by value.

use ::tiberius::{ColumnData, Row};
use arrow::{array::RecordBatch, compute::concat_batches};

use super::super::rows::{Rows, Stop};
use crate::{
    error::{Kind, OrFail as _},
    model::{
        sql_type::SqlType,
        table::{Column, Table, TableName},
    },
};

/// All rows of an answer.
pub(super) async fn whole(mut rows: Rows<'_>, columns: &Table) -> Result<RecordBatch, Stop> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next(usize::MAX, usize::MAX).await? {
        batches.push(batch);
    }
    let schema = columns.arrow_schema();
    Ok(concat_batches(&schema, &batches).or_fail(Kind::Bug, || "parts of an answer do not fit together".to_owned())?)
}

/// A table that only declares the columns of an answer; each may be NULL.
pub(in crate::source::sqlserver) fn pseudo_table(name: &str, columns: &[(&str, SqlType)]) -> Table {
    let column = |(name, sql_type): &(&str, SqlType)| Column::new(*name, sql_type.clone());
    Table::new(TableName::dbo(name), columns.iter().map(column).collect())
}

/// The first value of an answer, where it is an int.
pub(super) fn first_integer(batch: &RecordBatch) -> Option<i64> {
    let column = batch.columns().first()?.as_any().downcast_ref::<arrow::array::Int32Array>()?;
    column.iter().next().flatten().map(i64::from)
}

/// A text of an answer; `None` for NULL, for a column that did not come and for another type.
pub(in crate::source::sqlserver) fn text(row: &Row, column: &str) -> Option<String> {
    match row.get_column_data(column) {
        Ok(ColumnData::String(Some(text))) => Some(text.to_string()),
        _ => None,
    }
}

/// A whole number or a bit of an answer, whatever its width.
pub(in crate::source::sqlserver) fn integer(row: &Row, column: &str) -> Option<i64> {
    match row.get_column_data(column) {
        Ok(ColumnData::U8(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I16(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I32(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I64(Some(v))) => Some(*v),
        Ok(ColumnData::Bit(Some(v))) => Some(i64::from(*v)),
        _ => None,
    }
}
