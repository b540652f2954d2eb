//! Arrow batches, value by value.
//!
//! One [`ColumnWriter`] per column. A value either fits the column's Arrow type without loss or is refused with a reason;
//! [`BatchWriter`] turns the reason into an error that names table and column. Both drivers write here, so they cannot differ
//! in what they keep and what they refuse.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
        Int16Builder, Int32Builder, Int64Builder, NullBufferBuilder, RecordBatch, StringArray,
        Time64MicrosecondBuilder, Time64NanosecondBuilder, TimestampMicrosecondBuilder,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, SchemaRef, TimeUnit},
    error::ArrowError,
};

use super::types::{self, Cell, Refusal};
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    model::{
        sql_type::SqlType,
        table::{Column, Table},
    },
};

/// Builds batches of a table, row by row.
pub(super) struct BatchWriter {
    table: Arc<Table>,
    schema: SchemaRef,
    columns: Vec<ColumnWriter>,
    rows: usize,
    bytes: usize,
}

impl BatchWriter {
    /// An empty batch of `table`.
    ///
    /// # Errors
    /// `Source` when a column has a type that cannot be kept exactly.
    pub(super) fn new(table: &Arc<Table>) -> Result<Self> {
        if let Some(column) = table.unsupported() {
            return Err(Error::new(
                Kind::Source,
                format!("cannot keep table {}: column {} has the type {}", table.name, column.name, column.sql_type),
            )
            .hint("exclude the table; its type cannot be stored without loss"));
        }
        let columns = table
            .columns
            .iter()
            .map(ColumnWriter::new)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::new(Kind::Bug, format!("table {} has a column without a writer", table.name)))?;
        Ok(Self { table: table.clone(), schema: table.arrow_schema(), columns, rows: 0, bytes: 0 })
    }

    /// Says that the answer has `came` columns.
    ///
    /// # Errors
    /// `Source` when others were asked for.
    pub(super) fn expect_columns(&self, came: usize) -> Result<()> {
        if came == self.columns.len() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Source,
            format!("table {}: {} columns were asked for, {came} came", self.table.name, self.columns.len()),
        )
        .hint("the answer was damaged on its way: run again; if it stays, report it"))
    }

    /// Adds the value of one column; every column of a row needs one, then [`BatchWriter::end_row`].
    ///
    /// # Errors
    /// `Source` when the value does not fit; the batch is of no use then.
    #[inline]
    pub(super) fn put(&mut self, index: usize, cell: Cell<'_>) -> Result<()> {
        let (Some(writer), Some(column)) = (self.columns.get_mut(index), self.table.columns.get(index)) else {
            return self.expect_columns(index + 1);
        };
        let written = match cell {
            Cell::Null => writer.append_null(column),
            cell => writer.append(&column.sql_type, cell),
        };
        match written {
            Ok(bytes) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(reason) => Err(refused(&self.table, column, reason)),
        }
    }

    /// A row is complete.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of values so far, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows so far as a batch; goes on empty.
    ///
    /// # Errors
    /// `Bug` when the columns do not fit together.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(ColumnWriter::finish).collect::<std::result::Result<_, _>>();
        arrays
            .and_then(|arrays| RecordBatch::try_new(self.schema.clone(), arrays))
            .or_fail(Kind::Bug, || format!("the rows of table {} do not form a batch", self.table.name))
    }
}

#[cold]
fn refused(table: &Table, column: &Column, reason: Refusal) -> Error {
    Error::new(
        Kind::Source,
        format!("cannot keep a value of table {}, column {} ({})", table.name, column.name, column.sql_type),
    )
    .hint("repair the value on the till, or exclude the table")
    .caused_by(reason)
}

/// Builds one column.
enum ColumnWriter {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Decimal(Decimal128Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    TimeMicro(Time64MicrosecondBuilder),
    TimeNano(Time64NanosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(TextBuilder),
    Binary(BinaryBuilder),
}

impl ColumnWriter {
    fn new(column: &Column) -> Option<Self> {
        let data_type = column.sql_type.arrow()?;
        Some(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Decimal128(..) => Self::Decimal(Decimal128Builder::new().with_data_type(data_type)),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::TimeMicro(Time64MicrosecondBuilder::new()),
            DataType::Time64(TimeUnit::Nanosecond) => Self::TimeNano(Time64NanosecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            DataType::Utf8 => Self::Text(TextBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            _ => return None,
        })
    }

    fn append_null(&mut self, column: &Column) -> Result<usize, Refusal> {
        if !column.nullable {
            return Err("the server sent NULL where the column does not allow it".to_owned());
        }
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Decimal(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::TimeMicro(builder) => builder.append_null(),
            Self::TimeNano(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Binary(builder) => builder.append_null(),
        }
        Ok(1)
    }

    /// Adds a value that is not NULL; says how many bytes it takes.
    #[inline]
    fn append(&mut self, declared: &SqlType, cell: Cell<'_>) -> Result<usize, Refusal> {
        match (self, cell) {
            (Self::Boolean(b), Cell::Bit(v)) => b.append_value(v),
            (Self::Int16(b), Cell::Integer(v)) => b.append_value(types::integer(v)?),
            (Self::Int32(b), Cell::Integer(v)) => b.append_value(types::integer(v)?),
            (Self::Int64(b), Cell::Integer(v)) => b.append_value(v),
            (Self::Decimal(b), Cell::Decimal(digits, scale)) => {
                b.append_value(types::decimal(digits, scale, declared)?);
                return Ok(16);
            }
            (Self::Float32(b), Cell::Real(v)) => b.append_value(v),
            (Self::Float64(b), Cell::Float(v)) => b.append_value(v),
            (Self::Date(b), Cell::Date(days)) => b.append_value(types::date(days)?),
            (Self::TimeMicro(b), Cell::Time(clock)) => b.append_value(types::time(clock, 6)?),
            (Self::TimeNano(b), Cell::Time(clock)) => b.append_value(types::time(clock, 9)?),
            (Self::Timestamp(b), Cell::DateTime(days, time)) => b.append_value(types::datetime(days, time)?),
            (Self::Timestamp(b), Cell::SmallDateTime(days, time)) => b.append_value(types::small_datetime(days, time)?),
            (Self::Timestamp(b), Cell::DateTime2(days, clock)) => b.append_value(types::datetime2(days, clock)?),
            (Self::Text(b), cell) => return b.append(declared, cell),
            (Self::Binary(b), Cell::Bytes(v)) => {
                check_total(b.values_slice().len(), v.len())?;
                b.append_value(v);
                return Ok(v.len() + 4);
            }
            (_, cell) => return Err(other_type(cell)),
        }
        Ok(8)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::TimeMicro(builder) => Arc::new(builder.finish()),
            Self::TimeNano(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()?),
            Self::Binary(builder) => Arc::new(builder.finish()),
        })
    }
}

#[cold]
fn other_type(cell: Cell<'_>) -> Refusal {
    format!("the server sent a value of another type: {}", cell.kind())
}

/// Arrow's text and binary columns count their bytes in 31 bits.
fn check_total(present: usize, added: usize) -> Result<(), Refusal> {
    if present.saturating_add(added) > i32::MAX as usize {
        return Err("more than 2 GiB in one batch".to_owned());
    }
    Ok(())
}

/// A text column whose values are decoded into place; whether they are UTF-8 is checked of all together at the end.
struct TextBuilder {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl TextBuilder {
    fn new() -> Self {
        Self { values: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    fn append_null(&mut self) {
        self.nulls.append_null();
        self.offsets.push(self.offsets.last().copied().unwrap_or_default());
    }

    /// Adds a value; says how many bytes it takes. After a refusal the column is of no use.
    #[inline]
    fn append(&mut self, declared: &SqlType, cell: Cell<'_>) -> Result<usize, Refusal> {
        let before = self.values.len();
        match cell {
            Cell::Utf16(bytes) => types::push_utf16(declared, bytes, &mut self.values)?,
            Cell::Text(text) => types::push_text(declared, text, &mut self.values)?,
            Cell::Guid(value) => self.values.extend_from_slice(types::guid(value).as_bytes()),
            Cell::DateTime2(days, clock) => {
                self.values.extend_from_slice(types::datetime2_text(days, clock)?.as_bytes());
            }
            Cell::DateTimeOffset(days, clock, offset) => {
                self.values.extend_from_slice(types::datetimeoffset_text(days, clock, offset)?.as_bytes());
            }
            other => return Err(other_type(other)),
        }
        check_total(self.values.len(), 0)?;
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
        self.nulls.append_non_null();
        Ok(self.values.len() - before + 4)
    }

    fn finish(&mut self) -> Result<StringArray, ArrowError> {
        // The next batch will need about as much.
        let values = std::mem::take(&mut self.values);
        let rows = self.offsets.len();
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
        self.offsets.push(0);
        self.values.reserve(values.len());
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        StringArray::try_new(offsets, Buffer::from_vec(values), self.nulls.finish())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray as _};

    use super::*;

    fn table(columns: &[(&str, SqlType, bool)]) -> Arc<Table> {
        let column = |(name, sql_type, nullable): &(&str, SqlType, bool)| Column {
            nullable: *nullable,
            ..Column::new(*name, sql_type.clone())
        };
        Arc::new(Table::new(crate::model::table::TableName::dbo("Odd"), columns.iter().map(column).collect()))
    }

    #[test]
    fn a_refused_value_names_table_and_column() {
        let mut writer =
            BatchWriter::new(&table(&[("Id", SqlType::Int, false), ("N", SqlType::SmallInt, true)])).unwrap();
        writer.put(0, Cell::Integer(1)).unwrap();
        writer.put(1, Cell::Null).unwrap();
        writer.end_row();
        writer.put(0, Cell::Integer(2)).unwrap();
        writer.put(1, Cell::Integer(7)).unwrap();
        writer.end_row();
        assert_eq!(writer.take().unwrap().num_rows(), 2);
        writer.put(0, Cell::Integer(1)).unwrap();
        let error = writer.put(1, Cell::Integer(70_000)).unwrap_err();
        assert_eq!(error.message(), "cannot keep a value of table Odd, column N (smallint)");
        let error = writer.put(0, Cell::Null).unwrap_err();
        assert_eq!(error.message(), "cannot keep a value of table Odd, column Id (int)");
        let error = writer.put(2, Cell::Integer(1)).unwrap_err();
        assert_eq!(error.message(), "table Odd: 2 columns were asked for, 3 came");
        let error = BatchWriter::new(&table(&[("N", SqlType::Other("vector".into()), true)])).err().unwrap();
        assert_eq!(error.message(), "cannot keep table Odd: column N has the type vector");
    }

    #[test]
    fn text_of_several_forms_makes_one_column() {
        let mut writer = BatchWriter::new(&table(&[("T", SqlType::NVarChar { length: None }, true)])).unwrap();
        for round in 0..2 {
            for cell in
                [Cell::Text("one"), Cell::Null, Cell::Utf16(b"t\0w\0o\0"), Cell::Utf16(&[]), Cell::Utf16(&[0xE4, 0])]
            {
                writer.put(0, cell).unwrap();
                writer.end_row();
            }
            let batch = writer.take().unwrap();
            let texts: Vec<_> = batch.column(0).as_string::<i32>().iter().collect();
            assert_eq!(texts, [Some("one"), None, Some("two"), Some(""), Some("ä")], "{round}");
            assert_eq!(batch.column(0).null_count(), 1);
        }
        assert!(writer.put(0, Cell::Bytes(&[0x3D, 0])).is_err());
        let error = writer.put(0, Cell::Utf16(&[0x3D, 0xD8, 0x41])).unwrap_err();
        assert_eq!(error.message(), "cannot keep a value of table Odd, column T (nvarchar(max))");
    }
}
