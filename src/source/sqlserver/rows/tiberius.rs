//! Rows through tiberius.
//!
//! The driver decodes a row into values of its own first; it breaks the connection on text that is not valid Unicode, which
//! is then asked for as bytes ([`Question::raw_text`]).

use std::borrow::Cow;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use tiberius::{ColumnData, IntoSql, Query, QueryItem, QueryStream};
use tokio::net::TcpStream;
use tokio_util::compat::Compat;

use super::{Question, Stop, Value};
use crate::source::sqlserver::{
    columns::BatchWriter,
    fault::Fault,
    types::{Cell, ClockTime},
};

/// The driver's client over TCP.
pub(in crate::source::sqlserver) type Client = tiberius::Client<Compat<TcpStream>>;

impl<'a> IntoSql<'a> for &'a Value {
    fn into_sql(self) -> ColumnData<'a> {
        match self {
            Value::TinyInt(v) => ColumnData::U8(Some(*v)),
            Value::SmallInt(v) => ColumnData::I16(Some(*v)),
            Value::Int(v) => ColumnData::I32(Some(*v)),
            Value::BigInt(v) => ColumnData::I64(Some(*v)),
            Value::Text(v) => ColumnData::String(Some(Cow::Borrowed(v))),
            Value::Midnight(days) => ColumnData::DateTime(Some(tiberius::time::DateTime::new(*days, 0))),
        }
    }
}

/// A statement with its parameters.
pub(in crate::source::sqlserver) fn statement<'a>(text: &'a str, values: &'a [Value]) -> Query<'a> {
    let mut query = Query::new(text);
    for value in values {
        query.bind(value);
    }
    query
}

/// Sends a batch outside `sp_executesql`.
///
/// # Errors
/// [`Fault`].
pub(super) async fn batch(client: &mut Client, text: &str) -> Result<(), Fault> {
    client.simple_query(text).await?.into_results().await?;
    Ok(())
}

/// The rows of one statement.
pub(in crate::source::sqlserver) struct TiberiusRows<'a> {
    stream: QueryStream<'a>,
    writer: BatchWriter,
    /// Which columns are text that comes as bytes.
    raw: Vec<bool>,
    has_columns: bool,
    arrived: u64,
}

impl<'a> TiberiusRows<'a> {
    /// Sends the statement.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn open(client: &'a mut Client, question: &Question<'_>) -> Result<Self, Stop> {
        let writer = BatchWriter::new(question.columns)?;
        let raw = question.columns.columns.iter().map(|c| question.raw_text && c.sql_type.is_text()).collect();
        let stream = statement(question.text, question.values).query(client).await.map_err(Fault::from)?;
        Ok(Self { stream, writer, raw, has_columns: false, arrived: 0 })
    }

    /// See [`super::Rows::next`].
    pub(super) async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<RecordBatch>, Stop> {
        while let Some(item) = self.stream.try_next().await.map_err(Fault::from)? {
            let row = match item {
                QueryItem::Metadata(metadata) => {
                    if self.has_columns {
                        return Err(Fault::NotUnderstood("two answers came to one question".to_owned()).into());
                    }
                    self.has_columns = true;
                    self.writer.expect_columns(metadata.columns().len())?;
                    continue;
                }
                QueryItem::Row(row) => row,
            };
            let values = row.into_iter();
            self.writer.expect_columns(values.len())?;
            for (index, value) in values.enumerate() {
                let raw = self.raw.get(index).is_some_and(|raw| *raw);
                self.writer.put(index, cell(&value, raw)?)?;
            }
            self.writer.end_row();
            self.arrived += 1;
            if self.writer.rows() >= max_rows || self.writer.bytes() >= max_bytes {
                return Ok(Some(self.writer.take()?));
            }
        }
        if !self.has_columns {
            return Err(Fault::NotUnderstood("the answer has no columns".to_owned()).into());
        }
        if self.writer.rows() == 0 {
            return Ok(None);
        }
        Ok(Some(self.writer.take()?))
    }

    /// Rows that arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }
}

fn cell<'a>(value: &'a ColumnData<'static>, raw: bool) -> Result<Cell<'a>, Stop> {
    let cell = match value {
        ColumnData::U8(v) => v.map(|v| Cell::Integer(i64::from(v))),
        ColumnData::I16(v) => v.map(|v| Cell::Integer(i64::from(v))),
        ColumnData::I32(v) => v.map(|v| Cell::Integer(i64::from(v))),
        ColumnData::I64(v) => v.map(Cell::Integer),
        ColumnData::F32(v) => v.map(Cell::Real),
        ColumnData::F64(v) => v.map(Cell::Float),
        ColumnData::Bit(v) => v.map(Cell::Bit),
        ColumnData::String(v) => v.as_deref().map(Cell::Text),
        ColumnData::Guid(v) => v.map(Cell::Guid),
        ColumnData::Binary(v) if raw => v.as_deref().map(Cell::Utf16),
        ColumnData::Binary(v) => v.as_deref().map(Cell::Bytes),
        ColumnData::Numeric(v) => v.map(|v| Cell::Decimal(v.value(), v.scale())),
        ColumnData::Xml(None) => None,
        // Asked for as text.
        ColumnData::Xml(Some(_)) => return Err(Fault::NotUnderstood("xml came unasked".to_owned()).into()),
        ColumnData::DateTime(v) => v.map(|v| Cell::DateTime(v.days(), v.seconds_fragments())),
        ColumnData::SmallDateTime(v) => v.map(|v| Cell::SmallDateTime(v.days(), v.seconds_fragments())),
        ColumnData::Time(v) => v.map(|v| Cell::Time(clock(v))),
        ColumnData::Date(v) => v.map(|v| Cell::Date(v.days())),
        ColumnData::DateTime2(v) => v.map(|v| Cell::DateTime2(v.date().days(), clock(v.time()))),
        ColumnData::DateTimeOffset(v) => v.map(|v| {
            let utc = v.datetime2();
            Cell::DateTimeOffset(utc.date().days(), clock(utc.time()), v.offset())
        }),
    };
    Ok(cell.unwrap_or(Cell::Null))
}

fn clock(time: tiberius::time::Time) -> ClockTime {
    ClockTime { units: time.increments(), scale: time.scale() }
}
