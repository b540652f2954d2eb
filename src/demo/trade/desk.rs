//! Writing rows: identity counters as SQL Server keeps them, rows by column name, everything of one step in one transaction.
//!
//! A step collects rows and removals and [`Desk::flush`]es them at once, so that a reader sees the till before or after a
//! step, never in between. Columns that a row does not mention hold their default, NULL, or 0 and '' where NULL is refused.

use std::collections::{BTreeMap, HashMap};

use duckdb::{
    Connection, appender_params_from_iter,
    types::{Decimal, TimeUnit, Value},
};

use super::at::At;
use crate::{
    demo::schema,
    error::{Error, Kind, OrFail, Result},
    model::{
        identifier::quoted,
        sql_type::SqlType,
        table::{Column, Table},
    },
};

/// A money value from hundredths.
pub(super) fn cents(value: i64) -> Value {
    decimal(16, 2, value)
}

/// A quantity from thousandths.
pub(super) fn milli(value: i64) -> Value {
    decimal(16, 3, value)
}

fn decimal(width: u8, scale: u8, value: i64) -> Value {
    Decimal::new(width, scale, i128::from(value)).map_or(Value::Null, Value::Decimal)
}

/// A text value, NULL for `None`.
pub(super) fn text(value: Option<&str>) -> Value {
    value.map_or(Value::Null, |value| Value::Text(value.to_owned()))
}

impl From<At> for Value {
    fn from(at: At) -> Self {
        Value::Timestamp(TimeUnit::Microsecond, at.micros())
    }
}

/// The last identity value of each table.
pub(super) type Counters = BTreeMap<String, i32>;

/// A row under construction.
#[derive(Debug)]
pub(super) struct Row {
    table: usize,
    values: Vec<Value>,
    cursor: usize,
}

/// The connection, the counters, and what the present step will write.
#[derive(Debug)]
pub(super) struct Desk {
    conn: Connection,
    tables: Vec<Table>,
    templates: Vec<Vec<Value>>,
    places: HashMap<String, usize>,
    counters: Counters,
    pending: Vec<Vec<Vec<Value>>>,
    removals: Vec<String>,
    mistake: Option<String>,
}

impl Desk {
    /// A desk over empty tables of `fixtures/schema.sql`.
    pub(super) fn new(conn: Connection) -> Result<Self> {
        let tables = schema::tables()?;
        let templates = tables.iter().map(|table| table.columns.iter().map(blank).collect()).collect();
        let places = tables.iter().enumerate().map(|(place, table)| (table.name.name.clone(), place)).collect();
        let pending = tables.iter().map(|_| Vec::new()).collect();
        Ok(Self {
            conn,
            tables,
            templates,
            places,
            counters: Counters::new(),
            pending,
            removals: Vec::new(),
            mistake: None,
        })
    }

    /// The connection, for single statements between steps.
    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The next identity value of a table.
    pub(super) fn next_id(&mut self, table: &str) -> i32 {
        let counter = self.counters.entry(table.to_owned()).or_default();
        *counter += 1;
        *counter
    }

    /// Lets the identity of a table start at 1 again (`TRUNCATE`, or `DBCC CHECKIDENT (…, RESEED, 0)`).
    pub(super) fn restart(&mut self, table: &str) {
        self.counters.remove(table);
    }

    /// The last identity value given out in a table, 0 if none.
    pub(super) fn last_id(&self, table: &str) -> i32 {
        self.counters.get(table).copied().unwrap_or(0)
    }

    /// The identity counters, for a backup.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Puts the identity counters back to a backup's.
    pub(super) fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// Lets the identity of a table go on behind `last`.
    pub(super) fn go_on_from(&mut self, table: &str, last: i32) {
        self.counters.insert(table.to_owned(), last);
    }

    /// All tables.
    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The names of all tables.
    pub(super) fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|table| table.name.name.clone()).collect()
    }

    /// A row of `table` with nothing but defaults.
    pub(super) fn row(&mut self, table: &str) -> Row {
        let place = self.places.get(table).copied().unwrap_or_else(|| {
            self.mistake.get_or_insert(format!("there is no table {table}"));
            0
        });
        Row { table: place, values: self.templates[place].clone(), cursor: 0 }
    }

    /// A row of `table` with the next identity value as its Id; returns that, too.
    pub(super) fn numbered_row(&mut self, table: &str) -> (i32, Row) {
        let id = self.next_id(table);
        let mut row = self.row(table);
        self.set(&mut row, "Id", id.into());
        (id, row)
    }

    fn set(&mut self, row: &mut Row, column: &str, value: Value) {
        let columns = &self.tables[row.table].columns;
        // Values come in declared order nearly always, so look on from the last place first.
        let found = columns[row.cursor..].iter().position(|c| c.name == column).map(|offset| row.cursor + offset);
        match found.or_else(|| columns.iter().position(|c| c.name == column)) {
            Some(place) => {
                row.values[place] = value;
                row.cursor = place + 1;
            }
            None => {
                let table = &self.tables[row.table].name;
                self.mistake.get_or_insert(format!("there is no column {column} in {table}"));
            }
        }
    }

    /// Fills columns of a row and adds it to the step.
    pub(super) fn add<const N: usize>(&mut self, mut row: Row, cells: [(&str, Value); N]) {
        for (column, value) in cells {
            self.set(&mut row, column, value);
        }
        self.pending[row.table].push(row.values);
    }

    /// A new row with the next identity value; returns that.
    pub(super) fn insert<const N: usize>(&mut self, table: &str, cells: [(&str, Value); N]) -> i32 {
        let (id, row) = self.numbered_row(table);
        self.add(row, cells);
        id
    }

    /// Removes rows at the beginning of the step: those of `table` whose `column` holds one of `ids`.
    pub(super) fn remove(&mut self, table: &str, column: &str, ids: &[i32]) {
        if !ids.is_empty() {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            self.removals.push(format!(
                "DELETE FROM dbo.{} WHERE {} IN ({})",
                quoted(table),
                quoted(column),
                ids.join(",")
            ));
        }
    }

    /// Runs one statement at the beginning of the step.
    pub(super) fn statement(&mut self, sql: impl Into<String>) {
        self.removals.push(sql.into());
    }

    /// Writes the step in one transaction.
    pub(super) fn flush(&mut self) -> Result<()> {
        if let Some(mistake) = self.mistake.take() {
            return Err(Error::new(Kind::Bug, format!("the simulated trade does not fit its schema: {mistake}")));
        }
        self.conn.execute_batch("BEGIN").or_fail(Kind::Bug, || "cannot begin a step of the simulated trade")?;
        match self.write() {
            Ok(()) => {
                self.conn.execute_batch("COMMIT").or_fail(Kind::Bug, || "cannot commit a step of the simulated trade")
            }
            Err(error) => {
                // The first failure is the one to report; the transaction is void either way.
                let _ = self.conn.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        for sql in std::mem::take(&mut self.removals) {
            self.conn.execute_batch(&sql).or_fail(Kind::Bug, || format!("the simulated trade failed at {sql}"))?;
        }
        for (table, rows) in self.tables.iter().zip(&mut self.pending) {
            if rows.is_empty() {
                continue;
            }
            let failed = || format!("the simulated trade cannot write to {}", table.name);
            let mut appender =
                self.conn.appender_to_db(&table.name.name, &table.name.schema).or_fail(Kind::Bug, failed)?;
            for row in std::mem::take(rows) {
                appender.append_row(appender_params_from_iter(row)).or_fail(Kind::Bug, failed)?;
            }
            appender.flush().or_fail(Kind::Bug, failed)?;
        }
        Ok(())
    }
}

/// What a column holds when a row does not mention it.
fn blank(column: &Column) -> Value {
    let default = column.default.as_deref().and_then(|value| value.trim_matches(['(', ')']).parse::<i32>().ok());
    if column.nullable && default.is_none() {
        return Value::Null;
    }
    let number = default.unwrap_or(0);
    match &column.sql_type {
        SqlType::Bit => Value::Boolean(number != 0),
        SqlType::Int => Value::Int(number),
        SqlType::BigInt => Value::BigInt(number.into()),
        SqlType::Float => Value::Double(number.into()),
        SqlType::Decimal { precision, scale } => {
            decimal(*precision, *scale, i64::from(number) * 10_i64.pow(u32::from(*scale)))
        }
        SqlType::RowVersion | SqlType::VarBinary { .. } => Value::Blob(vec![0; 8]),
        SqlType::DateTime => Value::Null,
        _ => Value::Text(String::new()),
    }
}
