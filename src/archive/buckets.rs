//! Rows of a table without an integer key, cut into buckets by a hash of their key (docs/FORMAT.md §6, "Whole and hash").
//!
//! Promises: the buckets are those of FORMAT §6, in whatever order the rows came. The whole table waits in memory until its
//! last row has come; beyond that there are a few bytes for each row here, and copies only of the buckets in work.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::interleave_record_batch};

use super::{
    blocks, row_key,
    snapshot::{Block, Ladder},
};
use crate::{
    error::{Kind, OrFail, Result},
    model::table::Table,
};

/// The rows of one bucket, still among the others.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// The block.
    pub(super) block: Block,
    /// Batch and row of each of its rows.
    places: Vec<(usize, usize)>,
    batches: Arc<Vec<RecordBatch>>,
    /// Bytes of their values.
    pub(super) weight: u64,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    prefix: u32,
    batch: usize,
    row: usize,
    weight: u64,
}

/// Cuts all rows of `table`; returns the ladder, too. `previous` is the one of the snapshot before.
///
/// # Errors
/// `Bug` when rows are not what their table declares.
pub(super) fn cut(
    table: &Table,
    batches: Vec<RecordBatch>,
    previous: Option<&Ladder>,
) -> Result<(Ladder, Vec<Bucket>)> {
    let columns = row_key::key_columns(table);
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (batch, held) in batches.iter().enumerate() {
        let keys = row_key::row_keys(held, &columns)?;
        let weights = row_key::row_weights(held)?;
        rows.extend(keys.iter().zip(weights).enumerate().map(|(row, (key, weight))| Row {
            prefix: blocks::hash_prefix(&blake3::hash(key)),
            batch,
            row,
            weight,
        }));
    }
    rows.sort_unstable();
    let ladder = blocks::hash_ladder(rows.len() as u64, weight_of(&rows), previous);
    let batches = Arc::new(batches);
    let mut cut = Vec::new();
    match ladder {
        Ladder::Hash { bits, heavy, .. } => part(&rows, bits, heavy, &batches, &mut cut),
        _ if rows.is_empty() => {}
        _ => cut.push(Bucket::of(&rows, Block::Whole {}, &batches)),
    }
    Ok((ladder, cut))
}

/// The buckets of `bits` bits among the sorted rows; those heavier than `heavy` are cut by their next bit, and so on.
fn part(rows: &[Row], bits: u8, heavy: u64, batches: &Arc<Vec<RecordBatch>>, cut: &mut Vec<Bucket>) {
    for rows in rows.chunk_by(|a, b| blocks::bucket(a.prefix, bits) == blocks::bucket(b.prefix, bits)) {
        if weight_of(rows) > heavy && bits < blocks::LAST_BIT {
            part(rows, bits + 1, heavy, batches, cut);
        } else if let Some(first) = rows.first() {
            let block = Block::Hash { bucket: blocks::bucket(first.prefix, bits), bits };
            cut.push(Bucket::of(rows, block, batches));
        }
    }
}

fn weight_of(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.weight).sum()
}

impl Bucket {
    fn of(rows: &[Row], block: Block, batches: &Arc<Vec<RecordBatch>>) -> Self {
        Self {
            block,
            places: rows.iter().map(|row| (row.batch, row.row)).collect(),
            batches: Arc::clone(batches),
            weight: weight_of(rows),
        }
    }

    /// The rows of the bucket as a batch of their own, in no particular order.
    ///
    /// # Errors
    /// `Source` when they are too large for one batch: more than 2 GiB in one column.
    pub(super) fn gather(&self, table: &Table) -> Result<RecordBatch> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        interleave_record_batch(&batches, &self.places)
            .or_fail(Kind::Source, || format!("rows of table {} are too large for one chunk", table.name))
    }
}
