//! A small read of one table through the row reader, timed: what a first run may come to.

use std::time::Duration;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    config::RowReader,
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{KeyRange, Table},
    },
    source::{
        Source,
        sqlserver::{SqlServer, queries::examine as queries, session::pseudo_table},
    },
};

/// When enough was read.
const ENOUGH: Duration = Duration::from_millis(1500);
/// When to stop waiting.
const PATIENCE: Duration = Duration::from_secs(3);
/// The first pages are small and the first of them pays for the server's plan: a table read in less than this tells nothing.
const LEAST_ROWS: u64 = 1000;

/// What reading a part of a table took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Rows read.
    pub rows: u64,
    /// Their size in memory, in bytes.
    pub bytes: u64,
    /// Time it took.
    pub time: Duration,
}

impl SqlServer {
    /// Connects the row reader and has it read one row. Returns which driver it came to.
    ///
    /// # Errors
    /// As [`Source::read`]: no driver that the settings allow can sign in.
    pub async fn try_reader(&mut self) -> Result<RowReader> {
        let columns = pseudo_table("trial", &[("one", SqlType::BigInt)]);
        let trial = self.answer("try the row reader", None, queries::READER_TRIAL, columns);
        timeout(PATIENCE * 3, trial).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Source, "the row reader got no answer in time").hint("try again later").temporary())
        })?;
        Ok(self.reader().await)
    }

    /// Reads the beginning of `table` for at most about two seconds. `None` when it is too small to tell anything.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub async fn sample(&mut self, table: &Table) -> Result<Option<Sample>> {
        let start = Instant::now();
        let (mut rows, mut bytes, mut time) = (0, 0, Duration::ZERO);
        {
            let mut batches = self.read(table, KeyRange::ALL);
            while start.elapsed() < ENOUGH {
                let next = timeout_at(start + PATIENCE, batches.try_next()).await;
                let Ok(next) = next else { break };
                let Some(batch) = next? else { break };
                rows += batch.num_rows() as u64;
                bytes += RecordBatch::get_array_memory_size(&batch) as u64;
                time = start.elapsed();
            }
        }
        Ok((rows >= LEAST_ROWS).then_some(Sample { rows, bytes, time }))
    }
}
