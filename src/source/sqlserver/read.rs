//! Reading a table: pages over an integer key, or one statement.
//!
//! A page is a statement of its own that starts after the last key seen, so no lock outlives it, and a page that a lock
//! stopped can be asked for again. Reading happens in a task of its own, a few batches ahead of whoever works on the rows, so
//! that the till never waits for hashing, encoding or a slow disk. Pages shrink when rows are fat, and a batch ends when it
//! has many bytes, so that memory stays bounded.

use std::{pin::Pin, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Int16Type, Int32Type, Int64Type},
};
use futures::{Stream, stream};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    failure::Doing,
    fault::Fault,
    queries::{self, Lower, PAGE_ROWS},
    rows::{Question, Stop, Value},
    session::{Pauses, Session},
};
use crate::{
    config::RateLimit,
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{Column, KeyRange, Table},
    },
};

/// Rows of the first page, before it is known how fat they are.
const FIRST_PAGE_ROWS: usize = 512;
/// Fewest rows of a page.
const LEAST_PAGE_ROWS: usize = 16;
/// Bytes a page or a batch should not go far beyond.
const BATCH_BYTES: usize = 8 << 20;
/// Batches read ahead of whoever works on them.
const AHEAD: usize = 2;

/// What [`super::SqlServer`] hands out.
type Batches<'a> = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send + 'a>>;

/// What the reading task says.
enum Said {
    Batch(RecordBatch),
    /// The server said that the answer is complete. Silence is no end.
    End,
    Failed(Error),
}

/// Streams the rows of `table` in `range`.
pub(super) fn read<'a>(session: Arc<Mutex<Session>>, table: &Table, range: KeyRange) -> Batches<'a> {
    match Bounds::new(table, range) {
        Err(error) => Box::pin(stream::once(async { Err(error) })),
        Ok(None) => Box::pin(stream::empty()),
        Ok(Some(bounds)) => {
            let table = Arc::new(table.clone());
            Box::pin(stream::try_unfold(Ahead::Start { session, table, bounds }, Ahead::next))
        }
    }
}

/// The stream's state: the task is started by whoever first asks for a row, and stopped by whoever drops the stream.
enum Ahead {
    Start { session: Arc<Mutex<Session>>, table: Arc<Table>, bounds: Bounds },
    Under(mpsc::Receiver<Said>, Stopped),
}

/// Stops the task when dropped. Its statement's answer is not read to the end then, and the connection is given up.
struct Stopped(JoinHandle<()>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ahead {
    async fn next(self) -> Result<Option<(RecordBatch, Self)>> {
        let (mut said, task) = match self {
            Self::Under(said, task) => (said, task),
            Self::Start { session, table, bounds } => {
                let (tell, said) = mpsc::channel(AHEAD);
                let task = tokio::spawn(async move {
                    let mut session = session.lock_owned().await;
                    let mut reader = Reader { session: &mut session, table, bounds, last: None, rows: 0, tell };
                    let outcome = reader.read().await;
                    let Reader { tell, .. } = reader;
                    drop(session);
                    let last = match outcome {
                        Ok(()) => Said::End,
                        Err(error) => Said::Failed(error),
                    };
                    // Nobody may be there any more to hear it.
                    let _ = tell.send(last).await;
                });
                (said, Stopped(task))
            }
        };
        match said.recv().await {
            Some(Said::Batch(batch)) => Ok(Some((batch, Self::Under(said, task)))),
            Some(Said::End) => Ok(None),
            Some(Said::Failed(error)) => Err(error),
            None => Err(Error::new(Kind::Bug, "the reader of the till stopped without saying why").hint("report it")),
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
    fn whole(&self, table: &Table, item: fn(&Column) -> String) -> String {
        queries::whole_of(table, item, self.after.is_some(), self.through.is_some())
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

/// The reading task.
struct Reader<'a> {
    session: &'a mut Session,
    table: Arc<Table>,
    bounds: Bounds,
    /// The key of the last row handed on, of a table read in pages.
    last: Option<Vec<i64>>,
    /// Rows handed on.
    rows: u64,
    tell: mpsc::Sender<Said>,
}

/// How an attempt at a statement ended, when not with an error.
enum Attempt {
    /// All its rows were handed on: so many, of so many bytes.
    Done { rows: usize, bytes: usize },
    /// To be asked again, from the last row handed on.
    Again,
}

impl Reader<'_> {
    async fn read(&mut self) -> Result<()> {
        if !queries::is_paged(&self.table) {
            return self.whole().await;
        }
        let mut page_rows = FIRST_PAGE_ROWS;
        let mut pauses = Pauses::default();
        loop {
            let (text, values) = self.page(page_rows)?;
            match self.attempt(&text, &values, &mut pauses).await? {
                Attempt::Done { rows, .. } if rows < page_rows => return Ok(()),
                Attempt::Done { rows, bytes } => {
                    page_rows = next_page_rows(rows, bytes);
                    pauses = Pauses::default();
                }
                Attempt::Again => {}
            }
        }
    }

    async fn whole(&mut self) -> Result<()> {
        let mut pauses = Pauses::default();
        loop {
            let item = self.item();
            let (text, values) = (self.bounds.whole(&self.table, item), self.bounds.values());
            if let Attempt::Done { .. } = self.attempt(&text, &values, &mut pauses).await? {
                return Ok(());
            }
        }
    }

    fn item(&self) -> fn(&Column) -> String {
        let raw = self.session.wants_raw_text(&self.table.name);
        if raw { queries::raw_select_item } else { queries::select_item }
    }

    /// The next page's text and parameters.
    fn page(&self, rows: usize) -> Result<(String, Vec<Value>)> {
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
        Ok((queries::page_of(&self.table, self.item(), rows, lower, self.bounds.through.is_some()), values))
    }

    /// Sends a statement and hands on its rows.
    async fn attempt(&mut self, text: &str, values: &[Value], pauses: &mut Pauses) -> Result<Attempt> {
        self.session.pace().await;
        let table = self.table.clone();
        let question = Question { text, values, columns: &table, raw_text: self.session.wants_raw_text(&table.name) };
        let patience = self.session.patience();
        let before = self.rows;
        let mut arrived = 0;
        let (connection, state) = self.session.parts().await?;
        state.started();
        let outcome = async {
            let mut rows = connection.rows(&question).await?;
            let mut bytes = 0;
            loop {
                let next = rows.next(PAGE_ROWS, BATCH_BYTES).await;
                arrived = rows.arrived();
                let Some(batch) = next? else { return Ok(bytes) };
                bytes += batch.get_array_memory_size();
                let count = batch.num_rows() as u64;
                hand_on(&table, &mut self.last, batch, &self.tell).await?;
                self.rows += count;
            }
        };
        let fault = match outcome.await {
            Ok(bytes) => {
                state.finished();
                let rows = usize::try_from(arrived).unwrap_or(usize::MAX);
                self.session.read(rows, bytes);
                return Ok(Attempt::Done { rows, bytes });
            }
            Err(Cut::Ours(error)) => return Err(error),
            Err(Cut::Stop(Stop::Value(error))) => {
                state.finished();
                return Err(error);
            }
            Err(Cut::Stop(Stop::Fault(fault))) => fault,
        };
        state.failed(&fault);
        let goes_on = state.may_repeat() && (queries::is_paged(&table) || self.rows == before);
        let doing = Doing { what: "read table", table: Some(&table.name), rows: before + arrived, patience };
        let error = state.error(&fault, &doing);
        if fault == Fault::BrokenText && self.session.take_raw_text(&table.name) {
            if goes_on {
                return Ok(Attempt::Again);
            }
            self.session.take_all_raw();
            return Err(error.lost_transaction());
        }
        if fault.lock_was_in_the_way() && goes_on && pauses.wait().await {
            return Ok(Attempt::Again);
        }
        Err(error)
    }
}

/// Why an answer was not read to its end.
enum Cut {
    /// The row reader stopped.
    Stop(Stop),
    /// We did, with rows still on their way: the connection is given up.
    Ours(Error),
}

impl<E: Into<Stop>> From<E> for Cut {
    fn from(stop: E) -> Self {
        Self::Stop(stop.into())
    }
}

/// Hands a batch on. Of a table read in pages the last key is noted, which has to lie behind the one before.
async fn hand_on(
    table: &Table,
    last: &mut Option<Vec<i64>>,
    batch: RecordBatch,
    tell: &mpsc::Sender<Said>,
) -> Result<(), Cut> {
    if queries::is_paged(table) {
        let key = last_key(table, &batch).map_err(Cut::Ours)?;
        if last.as_ref().is_some_and(|last| *last >= key) {
            let message = format!("the till sent rows of table {} out of key order", table.name);
            let error = Error::new(Kind::Source, message);
            return Err(Cut::Ours(error.hint("this is not expected of SQL Server: run again, then report it")));
        }
        *last = Some(key);
    }
    let sent = tell.send(Said::Batch(batch)).await;
    sent.map_err(|_| Cut::Ours(Error::new(Kind::Interrupted, "nobody takes the rows any more")))
}

/// Spreads reading over time: nothing is asked before what was read is paid for.
#[derive(Debug)]
pub(super) struct Pace {
    limit: RateLimit,
    due: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, due: None }
    }

    /// Waits until the next statement may be sent.
    pub(super) async fn wait(&self) {
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
    }

    /// So much has been read.
    pub(super) fn read(&mut self, rows: usize, bytes: usize) {
        let seconds = |amount: usize, limit: u64| if limit == 0 { 0.0 } else { amount as f64 / limit as f64 };
        let cost = seconds(rows, self.limit.rows_per_second).max(seconds(bytes, self.limit.bytes_per_second));
        // A day is long enough for any limit that is meant.
        let cost = std::time::Duration::from_secs_f64(cost.min(86_400.0));
        if !cost.is_zero() {
            let now = Instant::now();
            self.due = Some(self.due.map_or(now, |due| due.max(now)) + cost);
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

    #[tokio::test]
    async fn a_rate_is_kept_on_average() {
        let mut pace = Pace::new(RateLimit { rows_per_second: 10_000, bytes_per_second: 10_000_000 });
        let started = Instant::now();
        for (rows, bytes) in [(500, 0), (500, 2_000_000), (1, 0)] {
            pace.wait().await;
            pace.read(rows, bytes);
        }
        let taken = started.elapsed().as_secs_f64();
        assert!((0.25..1.5).contains(&taken), "{taken}");
        let mut free = Pace::new(RateLimit::default());
        free.read(usize::MAX, usize::MAX);
        assert!(free.due.is_none());
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
