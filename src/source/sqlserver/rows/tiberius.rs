//! Rows through tiberius.
//!
//! The driver decodes a row into values of its own first; it breaks the connection on text that is not valid Unicode, which
//! is then asked for as bytes ([`Question::raw_text`]). It also takes an answer for whole whose last packet says that it is
//! the last, without the server's word that the statement is done; so every statement is followed by the number of its rows
//! ([`queries::AND_ROW_COUNT`]), which has to be that of the rows that came.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use tiberius::{ColumnData, IntoSql, Query, QueryItem, QueryStream, Row};
use tokio::net::TcpStream;
use tokio_util::compat::Compat;

use super::{Question, Stop, Value};
use crate::source::sqlserver::{
    columns::BatchWriter,
    fault::Fault,
    queries,
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

/// A statement with its parameters; the number of its rows follows as a second answer.
fn statement<'a>(text: &str, values: &'a [Value]) -> Query<'a> {
    let mut query = Query::new(format!("{text}{}", queries::AND_ROW_COUNT));
    for value in values {
        query.bind(value);
    }
    query
}

/// Sends a batch outside `sp_executesql`, and waits for a row that comes after it: this driver would also take an answer for
/// whole that lacks the server's word that the batch is done.
///
/// # Errors
/// [`Fault`].
pub(super) async fn batch(client: &mut Client, text: &str) -> Result<(), Fault> {
    let text = format!("{}{AND_DONE}", text.trim_end_matches(';'));
    let results = client.simple_query(text).await?.into_results().await?;
    match results.last().map(Vec::as_slice) {
        Some([done]) if done.try_get::<i32, _>(0)? == Some(DONE) => Ok(()),
        _ => Err(Fault::Lost("the answer ended before the server said that it is complete".to_owned())),
    }
}

/// What follows a batch in the same request, and what it answers.
const AND_DONE: &str = "; SELECT 4711 AS done";
const DONE: i32 = 4711;

/// Sends a statement with a small answer, and returns all its rows.
///
/// # Errors
/// [`Fault`].
pub(in crate::source::sqlserver) async fn ask(
    client: &mut Client,
    text: &str,
    values: &[Value],
) -> Result<Vec<Row>, Fault> {
    let mut results = statement(text, values).query(client).await?.into_results().await?.into_iter();
    // No rows is an answer, but only with columns.
    let rows = results.next().ok_or_else(|| Fault::NotUnderstood("the answer has no columns".to_owned()))?;
    let counts = results.next().unwrap_or_default();
    let count = match counts.as_slice() {
        [count] => count.try_get::<i64, _>(0)?,
        _ => None,
    };
    is_whole(rows.len() as u64, count)?;
    match results.next() {
        None => Ok(rows),
        Some(_) => Err(two_answers()),
    }
}

fn two_answers() -> Fault {
    Fault::NotUnderstood("two answers came to one question".to_owned())
}

/// Whether as many rows came as the server says it sent. Less than its word is a broken connection.
fn is_whole(arrived: u64, count: Option<i64>) -> Result<(), Fault> {
    match count {
        Some(count) if u64::try_from(count) == Ok(arrived) => Ok(()),
        Some(count) => Err(Fault::Lost(format!("the server sent {count} rows, and {arrived} arrived"))),
        None => Err(Fault::Lost("the answer ended before the server said that it is complete".to_owned())),
    }
}

/// The rows of one statement.
pub(in crate::source::sqlserver) struct TiberiusRows<'a> {
    stream: QueryStream<'a>,
    writer: BatchWriter,
    /// Which columns are text that comes as bytes.
    raw: Vec<bool>,
    has_columns: bool,
    arrived: u64,
    counted: Counted,
}

/// What the server said of the number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Not,
    /// The number comes next.
    Now,
    Rows(i64),
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
        Ok(Self { stream, writer, raw, has_columns: false, arrived: 0, counted: Counted::Not })
    }

    /// See [`super::Rows::next`].
    pub(super) async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<RecordBatch>, Stop> {
        while let Some(item) = self.stream.try_next().await.map_err(Fault::from)? {
            let row = match item {
                QueryItem::Metadata(metadata) => {
                    if self.has_columns {
                        if self.counted != Counted::Not {
                            return Err(two_answers().into());
                        }
                        self.counted = Counted::Now;
                        continue;
                    }
                    self.has_columns = true;
                    self.writer.expect_columns(metadata.columns().len())?;
                    continue;
                }
                QueryItem::Row(row) if self.counted == Counted::Not => row,
                QueryItem::Row(row) => {
                    let count = row.try_get::<i64, _>(0).map_err(Fault::from)?;
                    self.counted = match (self.counted, count) {
                        (Counted::Now, Some(count)) => Counted::Rows(count),
                        _ => return Err(two_answers().into()),
                    };
                    continue;
                }
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
        let count = match self.counted {
            Counted::Rows(count) => Some(count),
            Counted::Not | Counted::Now => None,
        };
        is_whole(self.arrived, count)?;
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
