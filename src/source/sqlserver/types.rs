//! Values off the wire into Arrow, exactly.
//!
//! One [`ColumnWriter`] per column. A value either fits the column's Arrow type without loss or is refused with a reason;
//! [`BatchWriter`] turns the reason into an error that names table and column. Nothing is rounded, cut or replaced, and no
//! decimal ever passes through a float.
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

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
        Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder, Time64MicrosecondBuilder,
        Time64NanosecondBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, SchemaRef, TimeUnit},
};
use tiberius::{
    ColumnData, Uuid,
    numeric::Numeric,
    time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time},
};

use super::variant;
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    model::{
        sql_type::SqlType,
        table::{Column, Table},
        text,
    },
};

/// Days from 0001-01-01, where `date` counts from, to 1970-01-01.
const YEAR_1_TO_1970: i64 = 719_162;
/// Days from 1900-01-01, where `datetime` counts from, to 1970-01-01.
const YEAR_1900_TO_1970: i64 = 25_567;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Why a value was refused.
type Refusal = String;

/// Builds batches of a table, row by row.
pub(super) struct BatchWriter<'a> {
    table: &'a Table,
    schema: SchemaRef,
    columns: Vec<ColumnWriter>,
    rows: usize,
    bytes: usize,
}

impl<'a> BatchWriter<'a> {
    /// An empty batch of `table`.
    ///
    /// # Errors
    /// `Source` when a column has a type that cannot be kept exactly.
    pub(super) fn new(table: &'a Table) -> Result<Self> {
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
        Ok(Self { table, schema: table.arrow_schema(), columns, rows: 0, bytes: 0 })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// `Source` when a value does not fit; the batch is of no use then.
    pub(super) fn push(&mut self, row: impl ExactSizeIterator<Item = ColumnData<'static>>) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::new(
                Kind::Source,
                format!("table {}: {} columns were asked for, {} came", self.table.name, self.columns.len(), row.len()),
            ));
        }
        for ((writer, column), value) in self.columns.iter_mut().zip(&self.table.columns).zip(row) {
            let written =
                if is_null(&value) { writer.append_null(column) } else { writer.append(&column.sql_type, value) };
            self.bytes += written.map_err(|reason| {
                Error::new(
                    Kind::Source,
                    format!(
                        "cannot keep a value of table {}, column {} ({})",
                        self.table.name, column.name, column.sql_type
                    ),
                )
                .caused_by(reason)
            })?;
        }
        self.rows += 1;
        Ok(())
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
        let arrays = self.columns.iter_mut().map(ColumnWriter::finish).collect();
        RecordBatch::try_new(self.schema.clone(), arrays)
            .or_fail(Kind::Bug, || format!("the rows of table {} do not form a batch", self.table.name))
    }
}

fn is_null(value: &ColumnData<'_>) -> bool {
    matches!(
        value,
        ColumnData::U8(None)
            | ColumnData::I16(None)
            | ColumnData::I32(None)
            | ColumnData::I64(None)
            | ColumnData::F32(None)
            | ColumnData::F64(None)
            | ColumnData::Bit(None)
            | ColumnData::String(None)
            | ColumnData::Guid(None)
            | ColumnData::Binary(None)
            | ColumnData::Numeric(None)
            | ColumnData::Xml(None)
            | ColumnData::DateTime(None)
            | ColumnData::SmallDateTime(None)
            | ColumnData::Time(None)
            | ColumnData::Date(None)
            | ColumnData::DateTime2(None)
            | ColumnData::DateTimeOffset(None)
    )
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
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

/// Calls the same method on whichever builder it is.
macro_rules! each {
    ($writer:expr, $builder:ident => $body:expr) => {
        match $writer {
            ColumnWriter::Boolean($builder) => $body,
            ColumnWriter::Int16($builder) => $body,
            ColumnWriter::Int32($builder) => $body,
            ColumnWriter::Int64($builder) => $body,
            ColumnWriter::Decimal($builder) => $body,
            ColumnWriter::Float32($builder) => $body,
            ColumnWriter::Float64($builder) => $body,
            ColumnWriter::Date($builder) => $body,
            ColumnWriter::TimeMicro($builder) => $body,
            ColumnWriter::TimeNano($builder) => $body,
            ColumnWriter::Timestamp($builder) => $body,
            ColumnWriter::Text($builder) => $body,
            ColumnWriter::Binary($builder) => $body,
        }
    };
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
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            _ => return None,
        })
    }

    fn append_null(&mut self, column: &Column) -> Result<usize, Refusal> {
        if !column.nullable {
            return Err("the server sent NULL where the column does not allow it".to_owned());
        }
        each!(self, builder => builder.append_null());
        Ok(1)
    }

    /// Adds a value that is not NULL; says how many bytes it takes.
    fn append(&mut self, declared: &SqlType, value: ColumnData<'static>) -> Result<usize, Refusal> {
        match (self, value) {
            (Self::Boolean(b), ColumnData::Bit(Some(v))) => b.append_value(v),
            (Self::Int16(b), v) => b.append_value(integer(&v)?),
            (Self::Int32(b), v) => b.append_value(integer(&v)?),
            (Self::Int64(b), v) => b.append_value(integer(&v)?),
            (Self::Decimal(b), ColumnData::Numeric(Some(v))) => b.append_value(decimal(v, declared)?),
            (Self::Float32(b), ColumnData::F32(Some(v))) => b.append_value(v),
            (Self::Float64(b), ColumnData::F64(Some(v))) => b.append_value(v),
            (Self::Date(b), ColumnData::Date(Some(v))) => b.append_value(date(v)?),
            (Self::TimeMicro(b), ColumnData::Time(Some(v))) => b.append_value(time(v, 6)?),
            (Self::TimeNano(b), ColumnData::Time(Some(v))) => b.append_value(time(v, 9)?),
            (Self::Timestamp(b), ColumnData::DateTime(Some(v))) => b.append_value(datetime(v)?),
            (Self::Timestamp(b), ColumnData::SmallDateTime(Some(v))) => b.append_value(small_datetime(v)?),
            (Self::Timestamp(b), ColumnData::DateTime2(Some(v))) => b.append_value(datetime2(v)?),
            (Self::Text(b), ColumnData::String(Some(v))) => {
                let v = kept_text(declared, &v)?;
                check_total(b.values_slice().len(), v.len())?;
                b.append_value(&v);
                return Ok(v.len() + 4);
            }
            (Self::Text(b), ColumnData::Guid(Some(v))) => b.append_value(guid(v)),
            (Self::Text(b), ColumnData::DateTime2(Some(v))) => b.append_value(datetime2_text(v)?),
            (Self::Text(b), ColumnData::DateTimeOffset(Some(v))) => b.append_value(datetimeoffset_text(v)?),
            (Self::Binary(b), ColumnData::Binary(Some(v))) => {
                check_total(b.values_slice().len(), v.len())?;
                b.append_value(&v);
                return Ok(v.len() + 4);
            }
            (_, v) => return Err(format!("the server sent a value of another type: {}", kind_of(&v))),
        }
        Ok(8)
    }

    fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// Text as the archive keeps it.
fn kept_text<'v>(declared: &SqlType, value: &'v str) -> Result<Cow<'v, str>, Refusal> {
    match declared {
        SqlType::Variant => variant::decode(value).map(Cow::Owned),
        _ => Ok(text::escaped(value)),
    }
}

/// Arrow's text and binary columns count their bytes in 31 bits.
fn check_total(present: usize, added: usize) -> Result<(), Refusal> {
    if present.saturating_add(added) > i32::MAX as usize {
        return Err("more than 2 GiB in one batch".to_owned());
    }
    Ok(())
}

/// The name of a value's kind, for messages; never the value itself.
fn kind_of(value: &ColumnData<'_>) -> &'static str {
    match value {
        ColumnData::U8(_) => "tinyint",
        ColumnData::I16(_) => "smallint",
        ColumnData::I32(_) => "int",
        ColumnData::I64(_) => "bigint",
        ColumnData::F32(_) => "real",
        ColumnData::F64(_) => "float",
        ColumnData::Bit(_) => "bit",
        ColumnData::String(_) => "text",
        ColumnData::Guid(_) => "uniqueidentifier",
        ColumnData::Binary(_) => "binary",
        ColumnData::Numeric(_) => "decimal",
        ColumnData::Xml(_) => "xml",
        ColumnData::DateTime(_) => "datetime",
        ColumnData::SmallDateTime(_) => "smalldatetime",
        ColumnData::Time(_) => "time",
        ColumnData::Date(_) => "date",
        ColumnData::DateTime2(_) => "datetime2",
        ColumnData::DateTimeOffset(_) => "datetimeoffset",
    }
}

fn integer<T: TryFrom<i64>>(value: &ColumnData<'_>) -> Result<T, Refusal> {
    let wide = match value {
        ColumnData::U8(Some(v)) => i64::from(*v),
        ColumnData::I16(Some(v)) => i64::from(*v),
        ColumnData::I32(Some(v)) => i64::from(*v),
        ColumnData::I64(Some(v)) => *v,
        other => return Err(format!("the server sent a value of another type: {}", kind_of(other))),
    };
    T::try_from(wide).map_err(|_| "the number is too large for the declared type".to_owned())
}

fn decimal(value: Numeric, declared: &SqlType) -> Result<i128, Refusal> {
    let (precision, scale) = match declared {
        SqlType::Decimal { precision, scale } => (*precision, *scale),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        other => return Err(format!("{other} is no decimal")),
    };
    let too_large = || "the number is too large for the declared type".to_owned();
    let up = scale.checked_sub(value.scale()).ok_or("the number has more decimals than the declared type")?;
    let factor = 10_i128.checked_pow(u32::from(up)).ok_or_else(too_large)?;
    let exact = value.value().checked_mul(factor).ok_or_else(too_large)?;
    // 10^38 still fits an i128; no type has more digits.
    let bound = 10_u128.checked_pow(u32::from(precision)).ok_or_else(too_large)?;
    if exact.unsigned_abs() < bound { Ok(exact) } else { Err(too_large()) }
}

fn date(value: Date) -> Result<i32, Refusal> {
    i32::try_from(i64::from(value.days()) - YEAR_1_TO_1970).map_err(|_| "the date is out of range".to_owned())
}

/// Units of 10^-`digits` seconds since midnight.
fn time(value: Time, digits: u8) -> Result<i64, Refusal> {
    let up = digits.checked_sub(value.scale()).ok_or("the time has more digits than the declared type")?;
    let out_of_range = || "the time of day is out of range".to_owned();
    let units = i64::try_from(value.increments()).map_err(|_| out_of_range())?;
    let result = units.checked_mul(10_i64.pow(u32::from(up))).ok_or_else(out_of_range)?;
    if result < 86_400 * 10_i64.pow(u32::from(digits)) { Ok(result) } else { Err(out_of_range()) }
}

fn datetime(value: DateTime) -> Result<i64, Refusal> {
    let fragments = i64::from(value.seconds_fragments());
    if fragments >= 300 * 86_400 {
        return Err("the time of day is out of range".to_owned());
    }
    let milliseconds = (fragments * 10 + 1) / 3;
    Ok((i64::from(value.days()) - YEAR_1900_TO_1970) * DAY + milliseconds * 1000)
}

fn small_datetime(value: SmallDateTime) -> Result<i64, Refusal> {
    let minutes = i64::from(value.seconds_fragments());
    if minutes >= 24 * 60 {
        return Err("the time of day is out of range".to_owned());
    }
    Ok((i64::from(value.days()) - YEAR_1900_TO_1970) * DAY + minutes * 60_000_000)
}

fn datetime2(value: DateTime2) -> Result<i64, Refusal> {
    Ok(i64::from(date(value.date())?) * DAY + time(value.time(), 6)?)
}

fn datetime2_text(value: DateTime2) -> Result<String, Refusal> {
    let nanoseconds = time(value.time(), 9)?;
    wall_clock(i64::from(value.date().days()), nanoseconds, value.time().scale())
}

fn datetimeoffset_text(value: DateTimeOffset) -> Result<String, Refusal> {
    let utc = value.datetime2();
    let offset = i64::from(value.offset());
    let day = 86_400_000_000_000;
    let nanoseconds = time(utc.time(), 9)? + offset * 60_000_000_000;
    let days = i64::from(utc.date().days()) + nanoseconds.div_euclid(day);
    let text = wall_clock(days, nanoseconds.rem_euclid(day), utc.time().scale())?;
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

fn guid(value: Uuid) -> String {
    value.hyphenated().to_string().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_38: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

    fn days_2(year: i16, month: i8, day: i8) -> u32 {
        let date = jiff::civil::date(year, month, day);
        u32::try_from((date - jiff::civil::date(1, 1, 1)).get_days()).unwrap()
    }

    #[test]
    fn datetime_keeps_the_millisecond_the_server_shows() {
        for (fragments, milliseconds) in [(0, 0), (1, 3), (2, 7), (3, 10), (299, 997), (300, 1000)] {
            let micros = datetime(DateTime::new(25_567, fragments)).unwrap();
            assert_eq!(micros, milliseconds * 1000, "{fragments}");
        }
        let earliest = datetime(DateTime::new(-53_690, 0)).unwrap();
        assert_eq!(jiff::Timestamp::from_microsecond(earliest).unwrap().to_string(), "1753-01-01T00:00:00Z");
        let latest = datetime(DateTime::new(2_958_463, 25_919_999)).unwrap();
        // 9999-12-31T23:59:59.997
        assert_eq!(latest, 253_402_300_799_997_000);
        assert!(datetime(DateTime::new(0, 25_920_000)).is_err());
    }

    #[test]
    fn other_times_are_exact_at_their_ends() {
        assert_eq!(date(Date::new(0)).unwrap(), -719_162);
        assert_eq!(date(Date::new(days_2(1970, 1, 1))).unwrap(), 0);
        assert_eq!(time(Time::new(863_999_999_999, 7), 9).unwrap(), 86_399_999_999_900);
        assert_eq!(time(Time::new(86_399, 0), 6).unwrap(), 86_399_000_000);
        assert!(time(Time::new(86_400, 0), 6).is_err());
        assert!(time(Time::new(1, 7), 6).is_err());
        assert_eq!(small_datetime(SmallDateTime::new(25_567, 1)).unwrap(), 60_000_000);
        let last = DateTime2::new(Date::new(days_2(9999, 12, 31)), Time::new(863_999_999_999, 7));
        assert_eq!(datetime2_text(last).unwrap(), "9999-12-31T23:59:59.9999999");
        let first = DateTime2::new(Date::new(0), Time::new(0, 7));
        assert_eq!(datetime2_text(first).unwrap(), "0001-01-01T00:00:00.0000000");
        assert_eq!(datetime2(DateTime2::new(Date::new(719_162), Time::new(1234, 3))).unwrap(), 1_234_000);
    }

    #[test]
    fn an_offset_shows_the_local_time() {
        let utc = DateTime2::new(Date::new(days_2(2026, 3, 1)), Time::new(0, 2));
        assert_eq!(datetimeoffset_text(DateTimeOffset::new(utc, -330)).unwrap(), "2026-02-28T18:30:00.00-05:30");
        let whole = DateTime2::new(Date::new(days_2(2026, 3, 1)), Time::new(3600, 0));
        assert_eq!(datetimeoffset_text(DateTimeOffset::new(whole, 840)).unwrap(), "2026-03-01T15:00:00+14:00");
        let before_time = DateTime2::new(Date::new(0), Time::new(0, 7));
        assert!(datetimeoffset_text(DateTimeOffset::new(before_time, -60)).is_err());
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let d = |precision, scale| SqlType::Decimal { precision, scale };
        assert_eq!(decimal(Numeric::new_with_scale(-12_345, 2), &d(16, 2)).unwrap(), -12_345);
        assert_eq!(decimal(Numeric::new_with_scale(5, 0), &d(16, 3)).unwrap(), 5000);
        assert_eq!(decimal(Numeric::new_with_scale(MAX_38, 0), &d(38, 0)).unwrap(), MAX_38);
        assert_eq!(decimal(Numeric::new_with_scale(-MAX_38, 38), &d(38, 38)).unwrap(), -MAX_38);
        assert!(decimal(Numeric::new_with_scale(1, 3), &d(16, 2)).is_err());
        assert!(decimal(Numeric::new_with_scale(100, 0), &d(2, 0)).is_err());
        let money = Numeric::new_with_scale(i128::from(i64::MIN), 4);
        assert_eq!(decimal(money, &SqlType::Money).unwrap(), i128::from(i64::MIN));
    }

    #[test]
    fn a_refused_value_names_table_and_column() {
        let column =
            |name: &str, sql_type, nullable| Column { name: name.into(), sql_type, nullable, ..Column::default() };
        let table = Table {
            name: crate::model::table::TableName::dbo("Odd"),
            columns: vec![column("Id", SqlType::Int, false), column("N", SqlType::SmallInt, true)],
            key: vec!["Id".into()],
            ..Table::default()
        };
        let mut writer = BatchWriter::new(&table).unwrap();
        writer.push(vec![ColumnData::I32(Some(1)), ColumnData::I32(None)].into_iter()).unwrap();
        writer.push(vec![ColumnData::I32(Some(2)), ColumnData::I32(Some(7))].into_iter()).unwrap();
        assert_eq!(writer.take().unwrap().num_rows(), 2);
        let error = writer.push(vec![ColumnData::I32(Some(1)), ColumnData::I32(Some(70_000))].into_iter()).unwrap_err();
        assert_eq!(error.message(), "cannot keep a value of table Odd, column N (smallint)");
        let error = writer.push(vec![ColumnData::I32(None), ColumnData::I16(None)].into_iter()).unwrap_err();
        assert_eq!(error.message(), "cannot keep a value of table Odd, column Id (int)");
        let mut other = table.clone();
        other.columns[1].sql_type = SqlType::Other("vector".into());
        let error = BatchWriter::new(&other).err().unwrap();
        assert_eq!(error.message(), "cannot keep table Odd: column N has the type vector");
    }
}
