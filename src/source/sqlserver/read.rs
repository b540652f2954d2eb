//! Reading a table: pages over an integer key, or one statement.
//!
//! A page is a statement of its own that starts after the last key seen, so no lock outlives it, and a page that a lock
//! stopped can be asked for again. It is read whole before it is handed on: the till never waits for whoever works on the
//! rows. Pages shrink when rows are fat, so that memory stays bounded.

use std::pin::Pin;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Int16Type, Int32Type, Int64Type},
};
use futures::{Stream, stream};
use tiberius::error::Error as Driver;

use super::{
    failure::{self, Doing},
    queries::{self, Lower, PAGE_ROWS},
    rows::{Rows, Stop},
    session::{Pauses, Session, State, Value, statement},
};
use crate::{
    config::TillConfig,
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{KeyRange, Table},
    },
};

/// Rows of the first page, before it is known how fat they are.
const FIRST_PAGE_ROWS: usize = 512;
/// Fewest rows of a page.
const LEAST_PAGE_ROWS: usize = 16;
/// Bytes a page or a batch should not go far beyond.
const BATCH_BYTES: usize = 8 << 20;

/// What [`super::SqlServer`] hands out.
type Batches<'a> = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send + 'a>>;

/// Streams the rows of `table` in `range`.
pub(super) fn read<'a>(session: &'a mut Session, table: &'a Table, range: KeyRange) -> Batches<'a> {
    match Bounds::new(table, range) {
        Err(error) => Box::pin(stream::once(async { Err(error) })),
        Ok(None) => Box::pin(stream::empty()),
        Ok(Some(bounds)) if queries::is_paged(table) => {
            let pages = Pages { session, table, bounds, last: None, rows: 0, page_rows: FIRST_PAGE_ROWS, ended: false };
            Box::pin(stream::try_unfold(pages, |mut pages| async move {
                Ok(pages.next().await?.map(|batch| (batch, pages)))
            }))
        }
        Ok(Some(bounds)) => {
            let whole = Whole::Start { session, table, bounds };
            Box::pin(stream::try_unfold(whole, Whole::next))
        }
    }
}

/// A key range as parameters of the leading column's type.
#[derive(Debug)]
struct Bounds {
    after: Option<Value>,
    through: Option<Value>,
}

impl Bounds {
    /// `None` when the range holds no value of the column's type.
    fn new(table: &Table, range: KeyRange) -> Result<Option<Self>> {
        if range == KeyRange::ALL {
            return Ok(Some(Self { after: None, through: None }));
        }
        let Some(column) = table.range_column() else {
            return Err(Error::new(Kind::Bug, format!("table {} has no integer key to cut a range on", table.name)));
        };
        let (least, most) = limits(&column.sql_type);
        if range.after.is_some_and(|after| after >= most) || range.through.is_some_and(|through| through < least) {
            return Ok(None);
        }
        if let (Some(after), Some(through)) = (range.after, range.through)
            && after >= through
        {
            return Ok(None);
        }
        // A bound outside the type bounds nothing.
        let after = range.after.filter(|after| *after >= least).and_then(|after| typed(&column.sql_type, after));
        let through = range.through.filter(|through| *through <= most).and_then(|v| typed(&column.sql_type, v));
        Ok(Some(Self { after, through }))
    }
}

impl Bounds {
    /// The statement that reads `table` within these bounds at once.
    fn whole(&self, table: &Table) -> String {
        queries::whole(table, self.after.is_some(), self.through.is_some())
    }

    /// Its parameters.
    fn values(&self) -> Vec<Value> {
        self.after.iter().chain(&self.through).cloned().collect()
    }
}

fn limits(sql_type: &SqlType) -> (i64, i64) {
    match sql_type {
        SqlType::TinyInt => (0, 255),
        SqlType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SqlType::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn typed(sql_type: &SqlType, value: i64) -> Option<Value> {
    Some(match sql_type {
        SqlType::TinyInt => Value::TinyInt(u8::try_from(value).ok()?),
        SqlType::SmallInt => Value::SmallInt(i16::try_from(value).ok()?),
        SqlType::Int => Value::Int(i32::try_from(value).ok()?),
        SqlType::BigInt => Value::BigInt(value),
        _ => return None,
    })
}

/// A table read page by page.
struct Pages<'a> {
    session: &'a mut Session,
    table: &'a Table,
    bounds: Bounds,
    /// The key of the last row handed on.
    last: Option<Vec<i64>>,
    rows: u64,
    page_rows: usize,
    ended: bool,
}

impl Pages<'_> {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        let (text, values) = self.statement(self.table)?;
        let Some((batch, bytes)) = self.page(&text, &values).await? else {
            self.ended = true;
            return Ok(None);
        };
        let rows = batch.num_rows();
        self.ended = rows < self.page_rows;
        let key = last_key(self.table, &batch)?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(Error::new(
                Kind::Source,
                format!("the till sent rows of table {} out of key order", self.table.name),
            )
            .hint("this is not expected of SQL Server: run again, then report it"));
        }
        self.last = Some(key);
        self.rows += rows as u64;
        self.page_rows = next_page_rows(rows, bytes);
        Ok(Some(batch))
    }

    /// The next page's text and parameters, for all columns of `table`.
    fn statement(&self, table: &Table) -> Result<(String, Vec<Value>)> {
        let mut values = Vec::new();
        let lower = if let Some(last) = &self.last {
            for (name, value) in self.table.key.iter().zip(last) {
                let value = self.table.column(name).and_then(|column| typed(&column.sql_type, *value));
                values.push(value.ok_or_else(|| {
                    Error::new(Kind::Bug, format!("key column {name} of table {} is no integer", self.table.name))
                })?);
            }
            Lower::AfterKey
        } else if let Some(after) = &self.bounds.after {
            values.push(after.clone());
            Lower::AfterLeading
        } else {
            Lower::Start
        };
        values.extend(self.bounds.through.clone());
        Ok((queries::page(table, self.page_rows, lower, self.bounds.through.is_some()), values))
    }

    /// One page with its size; `None` when it is empty. Repeated while locks are in its way.
    async fn page(&mut self, text: &str, values: &[Value]) -> Result<Option<(RecordBatch, usize)>> {
        let mut pauses = Pauses::default();
        loop {
            let (client, state) = self.session.parts().await?;
            state.started();
            let mut arrived = 0;
            let outcome = async {
                let mut rows = Rows::open(client, text, values, self.table).await?;
                let batch = rows.next(usize::MAX, usize::MAX).await;
                arrived = rows.arrived();
                batch
            }
            .await;
            match outcome {
                Ok(batch) => {
                    state.finished();
                    return Ok(batch.map(|batch| {
                        let bytes = batch.get_array_memory_size();
                        (batch, bytes)
                    }));
                }
                Err(Stop::Value(error)) => {
                    state.finished();
                    return Err(error);
                }
                Err(Stop::Driver(error)) => {
                    state.failed(&error);
                    if failure::lock_was_in_the_way(&error) && state.may_repeat() && pauses.wait().await {
                        continue;
                    }
                    if failure::broken_text(&error) {
                        let narrow = text_columns(self.table);
                        let tries = narrow.into_iter().map(|table| Ok((self.statement(&table)?.0, table)));
                        let tries = tries.collect::<Result<Vec<_>>>()?;
                        return Err(broken_text(self.session.config(), self.table, tries, values, error).await);
                    }
                    let doing = reading(self.table, self.rows + arrived, self.session.config());
                    return Err(failure::statement_failed(error, &doing));
                }
            }
        }
    }
}

/// Rows of the next page after one of `rows` rows (at least one) and `bytes` bytes. Few sizes occur, so that the server
/// keeps few plans.
fn next_page_rows(rows: usize, bytes: usize) -> usize {
    (BATCH_BYTES / (bytes / rows).max(1)).clamp(LEAST_PAGE_ROWS, PAGE_ROWS).next_power_of_two()
}

/// The key of a batch's last row. Keys cannot be NULL.
fn last_key(table: &Table, batch: &RecordBatch) -> Result<Vec<i64>> {
    let missing = |name: &str| Error::new(Kind::Bug, format!("key column {name} of table {} is missing", table.name));
    let last = batch.num_rows().checked_sub(1).ok_or_else(|| missing("(no row)"))?;
    let value = |name: &String| {
        let column = batch.column_by_name(name).filter(|column| column.is_valid(last)).ok_or_else(|| missing(name))?;
        match column.data_type() {
            DataType::Int16 => Ok(i64::from(column.as_primitive::<Int16Type>().value(last))),
            DataType::Int32 => Ok(i64::from(column.as_primitive::<Int32Type>().value(last))),
            DataType::Int64 => Ok(column.as_primitive::<Int64Type>().value(last)),
            _ => Err(missing(name)),
        }
    };
    table.key.iter().map(value).collect()
}

/// A table read in one statement.
enum Whole<'a> {
    Start { session: &'a mut Session, table: &'a Table, bounds: Bounds },
    Rows(Box<WholeRows<'a>>),
}

/// The rows of a table under way, with what is needed to explain a failure.
struct WholeRows<'a> {
    rows: Rows<'a>,
    state: &'a mut State,
    table: &'a Table,
    bounds: Bounds,
    config: TillConfig,
}

impl<'a> Whole<'a> {
    async fn next(self) -> Result<Option<(RecordBatch, Self)>> {
        let mut whole = match self {
            Whole::Rows(rows) => rows,
            Whole::Start { session, table, bounds } => {
                let (text, values) = (bounds.whole(table), bounds.values());
                let config = session.config().clone();
                let doing = session.doing("read table", Some(&table.name), 0);
                let (client, state) = session.parts().await?;
                state.started();
                match Rows::open(client, &text, &values, table).await {
                    Ok(rows) => Box::new(WholeRows { rows, state, table, bounds, config }),
                    Err(Stop::Value(error)) => {
                        state.finished();
                        return Err(error);
                    }
                    Err(Stop::Driver(error)) => {
                        state.failed(&error);
                        return Err(failure::statement_failed(error, &doing));
                    }
                }
            }
        };
        match whole.rows.next(PAGE_ROWS, BATCH_BYTES).await {
            Ok(Some(batch)) => Ok(Some((batch, Whole::Rows(whole)))),
            Ok(None) => {
                whole.state.finished();
                Ok(None)
            }
            Err(Stop::Value(error)) => {
                whole.state.finished();
                Err(error)
            }
            Err(Stop::Driver(error)) => Err(whole.explain(error).await),
        }
    }
}

impl WholeRows<'_> {
    async fn explain(self, error: Driver) -> Error {
        let arrived = self.rows.arrived();
        self.state.failed(&error);
        if failure::broken_text(&error) {
            let narrow = text_columns(self.table);
            let tries = narrow.into_iter().map(|table| (self.bounds.whole(&table), table)).collect();
            return broken_text(&self.config, self.table, tries, &self.bounds.values(), error).await;
        }
        failure::statement_failed(error, &reading(self.table, arrived, &self.config))
    }
}

fn reading<'a>(table: &'a Table, rows: u64, config: &TillConfig) -> Doing<'a> {
    Doing { what: "read table", table: Some(&table.name), rows, patience: config.statement_timeout }
}

/// `table` once per text column, with that column alone.
fn text_columns(table: &Table) -> Vec<Table> {
    let is_text = |sql_type: &SqlType| sql_type.arrow() == Some(DataType::Utf8);
    let columns = table.columns.iter().filter(|column| is_text(&column.sql_type));
    columns.map(|column| Table { columns: vec![column.clone()], ..table.clone() }).collect()
}

/// Finds the column that holds text which is not valid Unicode, by asking a fresh connection for one column at a time: the
/// driver only says that there is such a text. `tries` are tables of one column, with the statement for it.
async fn broken_text(
    config: &TillConfig,
    table: &Table,
    tries: Vec<(String, Table)>,
    values: &[Value],
    error: Driver,
) -> Error {
    for (text, narrow) in tries {
        let Ok(mut probe) = Session::open(config).await else { break };
        let Ok((client, _)) = probe.parts().await else { break };
        let outcome = async { statement(&text, values).query(client).await?.into_first_result().await }.await;
        if let (Err(found), Some(column)) = (outcome, narrow.columns.first())
            && failure::broken_text(&found)
        {
            return Error::new(
                Kind::Source,
                format!("cannot keep a value of table {}, column {} ({})", table.name, column.name, column.sql_type),
            )
            .hint("repair the value on the till, or exclude the table")
            .caused_by("the text is not valid Unicode: half of a surrogate pair stands alone");
        }
    }
    failure::statement_failed(error, &reading(table, 0, config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Column, TableName};

    fn table(key: &[(&str, SqlType)]) -> Table {
        let column = |(name, sql_type): &(&str, SqlType)| Column {
            name: (*name).into(),
            sql_type: sql_type.clone(),
            nullable: false,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("T"),
            columns: key.iter().map(column).collect(),
            key: key.iter().map(|(name, _)| (*name).into()).collect(),
            ..Table::default()
        }
    }

    fn bounds(sql_type: SqlType, after: Option<i64>, through: Option<i64>) -> Option<(Option<Value>, Option<Value>)> {
        let found = Bounds::new(&table(&[("Id", sql_type)]), KeyRange { after, through }).unwrap();
        found.map(|bounds| (bounds.after, bounds.through))
    }

    #[test]
    fn bounds_have_the_column_s_type() {
        assert_eq!(bounds(SqlType::Int, Some(5), Some(9)), Some((Some(Value::Int(5)), Some(Value::Int(9)))));
        assert_eq!(bounds(SqlType::Int, Some(5), None), Some((Some(Value::Int(5)), None)));
        assert_eq!(bounds(SqlType::BigInt, None, Some(9)), Some((None, Some(Value::BigInt(9)))));
    }

    #[test]
    fn bounds_beyond_the_type_bound_nothing_or_everything() {
        assert_eq!(bounds(SqlType::TinyInt, Some(-1), Some(4096)), Some((None, None)));
        assert_eq!(bounds(SqlType::Int, Some(i64::MAX), None), None);
        assert_eq!(bounds(SqlType::TinyInt, None, Some(-1)), None);
        assert_eq!(bounds(SqlType::Int, Some(9), Some(9)), None);
    }

    #[test]
    fn fat_rows_come_in_smaller_pages() {
        assert_eq!(next_page_rows(512, 512 * 100), 4096);
        assert_eq!(next_page_rows(512, 512 * 20_000), 512);
        assert_eq!(next_page_rows(100, 100 * 2_000_000), 16);
        assert_eq!(next_page_rows(1, 0), 4096);
    }

    #[test]
    fn a_range_needs_an_integer_key() {
        let text = table(&[("Name", SqlType::NVarChar { length: Some(10) })]);
        let range = KeyRange { after: Some(1), through: None };
        assert_eq!(Bounds::new(&text, range).unwrap_err().kind(), Kind::Bug);
        assert!(Bounds::new(&text, KeyRange::ALL).unwrap().is_some());
    }
}
