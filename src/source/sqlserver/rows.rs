//! The row reader: one statement in, Arrow batches out.
//!
//! This is the narrow place where the driver's rows become columns; another driver would replace this module and nothing
//! else. A reader either gives all rows of its statement, in the order the server sent them, or fails: it says that the
//! end is reached only after the server said that the answer is complete.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use tiberius::{QueryStream, error::Error as Driver};

use super::{
    connect::Client,
    session::{Value, statement},
    types::BatchWriter,
};
use crate::{
    error::{Error, Result},
    model::table::Table,
};

/// Why no more rows come.
#[derive(Debug)]
pub(super) enum Stop {
    /// The driver or the server failed.
    Driver(Driver),
    /// A value cannot be kept. The connection is fine, but the rest of the answer is still on its way.
    Value(Error),
}

impl From<Driver> for Stop {
    fn from(error: Driver) -> Self {
        Self::Driver(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

/// The rows of one statement as they arrive.
pub(super) struct Rows<'a> {
    stream: QueryStream<'a>,
    writer: BatchWriter<'a>,
    arrived: u64,
}

impl<'a> Rows<'a> {
    /// Sends the statement, whose columns are those of `table`.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn open(
        client: &'a mut Client,
        text: &str,
        values: &[Value],
        table: &'a Table,
    ) -> Result<Self, Stop> {
        let writer = BatchWriter::new(table)?;
        let stream = statement(text, values).query(client).await?;
        Ok(Self { stream, writer, arrived: 0 })
    }

    /// The next batch: as soon as it has `max_rows` rows or about `max_bytes` bytes, or at the end with what there is;
    /// `None` when all rows were given.
    ///
    /// # Errors
    /// [`Stop`]; nothing more can be read then.
    pub(super) async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<RecordBatch>, Stop> {
        while let Some(item) = self.stream.try_next().await? {
            let Some(row) = item.into_row() else { continue };
            self.writer.push(row.into_iter())?;
            self.arrived += 1;
            if self.writer.rows() >= max_rows || self.writer.bytes() >= max_bytes {
                return Ok(Some(self.writer.take()?));
            }
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
