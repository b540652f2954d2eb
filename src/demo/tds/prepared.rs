//! Answers that are ready: the rows of a table encoded once, for an engine whose data stands still.
//!
//! A till that is read over and over by a benchmark must not spend its time on turning the same rows into the same bytes. While
//! the engine is frozen, [`Cache`] keeps for each (table, select list) the bytes of all rows, where each begins, and its key; a
//! page is then two searches and a slice. The bytes are those of the ordinary way, since it made them.
//!
//! A table may be served several times over, its keys going on, for runs longer than memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{array::AsArray as _, datatypes::Int64Type, record_batch::RecordBatch};
use duckdb::Connection;

use super::{
    collation::Collation,
    packet::{Cancel, Outgoing},
    value::{self, RowWriter},
};
use crate::demo::engine::{Frozen, Page, Plan, SqlError};

/// Rows whose leading key is changed before they are sent, at a time.
const PATCHED_ROWS: usize = 1024;

/// All rows of one select list of one table.
pub(super) struct Prepared {
    metadata: Vec<u8>,
    bytes: Vec<u8>,
    /// Where each row begins, and the end of the last.
    starts: Vec<u64>,
    /// The keys, row by row.
    keys: Vec<i64>,
    width: usize,
    /// How often the rows are served, their leading key raised by `span` each time.
    times: u64,
    span: i64,
    /// Bytes of the NULL bitmap and of the leading key, where rows are repeated.
    patch: Option<(usize, usize)>,
}

/// What was prepared since the engine was frozen.
#[derive(Default)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    served: AtomicU64,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    answers: HashMap<String, Slot>,
}

/// Filled by whoever asks first, while others wait; `None` inside: cannot be prepared.
type Slot = Arc<Mutex<Option<Option<Arc<Prepared>>>>>;

impl Cache {
    /// How many answers came from here.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// The rows for `page`, prepared at the first request; `None` when they cannot be.
    pub(super) fn get(
        &self,
        frozen: &Frozen,
        page: &Page,
        whole: impl FnOnce() -> Result<Plan, SqlError>,
        connection: &Connection,
        collation: Collation,
    ) -> Result<Option<Arc<Prepared>>, SqlError> {
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.generation != frozen.generation {
                *kept = Kept { generation: frozen.generation, answers: HashMap::new() };
            }
            Arc::clone(kept.answers.entry(page.whole.to_string()).or_default())
        };
        let mut filled = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*filled {
            return Ok(known.clone());
        }
        let times = frozen.times(&page.table.name);
        let made = Prepared::make(connection, page, &whole()?, collation, times)?.map(Arc::new);
        *filled = Some(made.clone());
        Ok(made)
    }
}

impl Prepared {
    fn make(
        connection: &Connection,
        page: &Page,
        plan: &Plan,
        collation: Collation,
        times: u64,
    ) -> Result<Option<Self>, SqlError> {
        let failed = |error: duckdb::Error| SqlError::of_engine(&error);
        let mut keys = Vec::new();
        let mut statement = connection.prepare(&page.keys_sql()).map_err(failed)?;
        for batch in statement.query_arrow([]).map_err(failed)? {
            let columns: Option<Vec<_>> =
                batch.columns().iter().map(|column| column.as_primitive_opt::<Int64Type>()).collect();
            let columns = columns.ok_or_else(|| SqlError::internal("keys are not whole numbers"))?;
            for row in 0..batch.num_rows() {
                keys.extend(columns.iter().map(|column| column.value(row)));
            }
        }
        let width = page.key_width();
        // Rows of equal key have no order of their own, so there would be no telling which page they are in.
        if keys.chunks_exact(width).zip(keys.chunks_exact(width).skip(1)).any(|(a, b)| a >= b) {
            return Ok(None);
        }
        let mut metadata = Vec::new();
        value::column_metadata(&mut metadata, &plan.columns, collation)?;
        let (mut bytes, mut starts) = (Vec::new(), vec![0u64]);
        let mut statement = connection.prepare(&plan.sql).map_err(failed)?;
        statement.stream_arrow([]).map(drop).map_err(failed)?;
        while let Some(batch) = statement.step().map_err(failed)? {
            let batch = RecordBatch::from(batch);
            let mut writer = RowWriter::new(&batch, &plan.columns, collation)?;
            for row in 0..batch.num_rows() {
                writer.row(&mut bytes, row)?;
                starts.push(bytes.len() as u64);
            }
            if let (Some(left), true) = ((keys.len() / width).checked_sub(starts.len()), bytes.capacity() < 64 << 20) {
                // What is to come is about as large as what came: growing step by step would need twice the memory.
                bytes.reserve_exact(bytes.len() / starts.len() * (left + left / 16));
            }
        }
        if starts.len() - 1 != keys.len() / width {
            return Err(SqlError::internal("a frozen table has changed"));
        }
        let span = match (keys.first(), keys.len().checked_sub(width).and_then(|at| keys.get(at))) {
            (Some(first), Some(last)) => last - first.min(&1) + 1,
            _ => 0,
        };
        let mut prepared = Self { metadata, bytes, starts, keys, width, times: 1, span, patch: None };
        if times > 1 {
            prepared.repeat(page, plan, times)?;
        }
        Ok(Some(prepared))
    }

    /// Lets the rows be served `times` over.
    fn repeat(&mut self, page: &Page, plan: &Plan, times: u64) -> Result<(), SqlError> {
        use crate::model::sql_type::SqlType;
        let refused = || SqlError::unsupported(format!("repeating the rows of {}", page.table));
        let first = plan.columns.first().filter(|column| page.leads_key(&column.name) && !column.nullable);
        let (size, limit) = match first.map(|column| &column.sql_type) {
            Some(SqlType::Int) => (4, i64::from(i32::MAX)),
            Some(SqlType::BigInt) => (8, i64::MAX),
            _ => return Err(refused()),
        };
        let highest = i64::try_from(times).ok().and_then(|times| self.span.checked_mul(times));
        highest.filter(|highest| *highest <= limit).ok_or_else(refused)?;
        (self.times, self.patch) = (times, Some((plan.columns.len().div_ceil(8), size)));
        Ok(())
    }

    fn rows(&self) -> u64 {
        (self.starts.len() as u64 - 1) * self.times
    }

    /// The first of the rows for which `test` does not hold; it must hold for none behind that.
    fn first_not(&self, test: impl Fn(&[i64]) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.rows());
        let mut key = vec![0; self.width];
        while low < high {
            let middle = low + (high - low) / 2;
            let (round, row) = self.place(middle);
            key.copy_from_slice(&self.keys[row * self.width..(row + 1) * self.width]);
            key[0] += self.shift(round);
            if test(&key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Which round a row is in, and which row it is there.
    fn place(&self, row: u64) -> (u64, usize) {
        let count = (self.starts.len() as u64 - 1).max(1);
        (row / count, usize::try_from(row % count).unwrap_or_default())
    }

    fn shift(&self, round: u64) -> i64 {
        i64::try_from(round).unwrap_or_default() * self.span
    }

    fn slice(&self, from: usize, to: usize) -> &[u8] {
        let at = |row: usize| usize::try_from(self.starts[row]).unwrap_or(usize::MAX);
        &self.bytes[at(from)..at(to)]
    }

    /// Writes the answer to `page` up to its last row; the number of rows, or `None` when the client wants no more.
    pub(super) fn send(
        &self,
        page: &Page,
        out: &mut Outgoing,
        cancel: &Cancel,
    ) -> Result<Option<u64>, super::packet::Gone> {
        out.body.extend_from_slice(&self.metadata);
        let begin = self.first_not(|key| page.is_before(key));
        let mut end = self.first_not(|key| !page.is_behind(key)).max(begin);
        if let Some(top) = page.top {
            end = end.min(begin.saturating_add(top));
        }
        let mut at = begin;
        while at < end {
            let (round, row) = self.place(at);
            let in_round = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.starts.len() - 1 - row);
            let sent = match self.patch {
                Some(patch) if round > 0 => {
                    let count = in_round.min(PATCHED_ROWS);
                    let bytes = self.patched(row, row + count, self.shift(round), patch);
                    out.send_bytes(&bytes, cancel)?.then_some(count)
                }
                _ => out.send_bytes(self.slice(row, row + in_round), cancel)?.then_some(in_round),
            };
            match sent {
                Some(count) => at += count as u64,
                None => return Ok(None),
            }
        }
        Ok(Some(end - begin))
    }

    /// Rows with their leading key raised.
    fn patched(&self, from: usize, to: usize, shift: i64, (bitmap, size): (usize, usize)) -> Vec<u8> {
        let mut bytes = self.slice(from, to).to_vec();
        let base = self.starts[from];
        for row in from..to {
            let start = usize::try_from(self.starts[row] - base).unwrap_or(usize::MAX);
            let at = start + 1 + if bytes[start] == value::NBCROW { bitmap } else { 0 };
            let key = (self.keys[row * self.width] + shift).to_le_bytes();
            bytes[at..at + size].copy_from_slice(&key[..size]);
        }
        bytes
    }
}
