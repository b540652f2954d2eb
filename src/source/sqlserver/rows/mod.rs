//! The row reader: one statement in, Arrow batches out.
//!
//! This is the narrow place where a driver's rows become columns. There are two drivers, behind one [`Connection`]:
//! [`tiberius`] and [`fast`]. Nothing beyond this folder and `connect` knows which one is at work.
//!
//! Promises, for both: a reader either gives all rows of its statement, in the order the server sent them, or fails: it says
//! that the end is reached only after the server said that the answer is complete, and only when there was an answer with
//! columns. No wait is longer than the statement time-out without a byte from the server.

mod contain;
pub(super) mod fast;
pub(super) mod tiberius;

use std::sync::Arc;

use arrow::array::RecordBatch;

use self::{
    fast::{FastClient, FastRows},
    tiberius::{Client, TiberiusRows},
};
use super::fault::Fault;
use crate::{error::Error, model::table::Table};

/// A parameter of a statement, typed as the column it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `tinyint`
    TinyInt(u8),
    /// `smallint`
    SmallInt(i16),
    /// `int`
    Int(i32),
    /// `bigint`
    BigInt(i64),
    /// `nvarchar`
    Text(String),
    /// `datetime` at midnight, in days from 1900-01-01.
    Midnight(i32),
}

/// Why no more rows come.
#[derive(Debug)]
pub(super) enum Stop {
    /// The driver or the server failed.
    Fault(Fault),
    /// A value cannot be kept. The connection is fine, and the rest of the answer has been skipped or will be.
    Value(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A statement whose answer has the columns of a table.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// The text; parameters are `@P1`, `@P2`, ….
    pub text: &'a str,
    /// The parameters.
    pub values: &'a [Value],
    /// The columns of the answer. A table of the till, or one that only declares an answer.
    pub columns: &'a Arc<Table>,
    /// Text columns come as the bytes of their UTF-16 (see `SqlType::is_text`).
    pub raw_text: bool,
}

/// A signed-in connection of either driver.
pub(super) enum Connection {
    /// Through tiberius.
    Tiberius(Box<Client>),
    /// Through `mssql-tds`.
    Fast(Box<FastClient>),
}

impl Connection {
    /// Sends a batch without parameters and without an answer: settings and transactions last beyond it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn batch(&mut self, text: &str) -> Result<(), Fault> {
        match self {
            Self::Tiberius(client) => tiberius::batch(client, text).await,
            Self::Fast(client) => client.batch(text).await,
        }
    }

    /// Sends a statement.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn rows<'a>(&'a mut self, question: &Question<'_>) -> Result<Rows<'a>, Stop> {
        Ok(match self {
            Self::Tiberius(client) => Rows::Tiberius(Box::new(TiberiusRows::open(client, question).await?)),
            Self::Fast(client) => Rows::Fast(Box::new(client.rows(question).await?)),
        })
    }
}

/// The rows of one statement as they arrive.
pub(super) enum Rows<'a> {
    Tiberius(Box<TiberiusRows<'a>>),
    Fast(Box<FastRows<'a>>),
}

impl Rows<'_> {
    /// The next batch: as soon as it has `max_rows` rows or about `max_bytes` bytes, or at the end with what there is;
    /// `None` when all rows were given.
    ///
    /// # Errors
    /// [`Stop`]; nothing more can be read then.
    pub(super) async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<RecordBatch>, Stop> {
        match self {
            Self::Tiberius(rows) => rows.next(max_rows, max_bytes).await,
            Self::Fast(rows) => rows.next(max_rows, max_bytes).await,
        }
    }

    /// Rows that arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        match self {
            Self::Tiberius(rows) => rows.arrived(),
            Self::Fast(rows) => rows.arrived(),
        }
    }
}
