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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, AsArray, StringArray};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::model::table::{Column, TableName};

    /// The number of bucket bits, the rows in order of the hashes, the weight.
    type Found = (Block, Vec<String>, u64);

    fn table() -> Table {
        let column = |name: &str| Column {
            name: name.into(),
            sql_type: "nvarchar(max)".parse().unwrap(),
            nullable: true,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("T"),
            columns: vec![column("Name"), column("Value")],
            key: vec!["Name".into()],
            ..Table::default()
        }
    }

    /// Cuts rows of the given weights that come in batches of the given size.
    fn found(rows: &[(String, u64)], size: usize, previous: Option<&Ladder>) -> (Ladder, Vec<Found>) {
        let table = table();
        let batch = |rows: &[(String, u64)]| {
            let value = |row: &(String, u64)| {
                (row.1 > row.0.len() as u64).then(|| "x".repeat(usize::try_from(row.1).unwrap() - row.0.len()))
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<StringArray>()),
                Arc::new(rows.iter().map(value).collect::<StringArray>()),
            ];
            RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
        };
        let (ladder, buckets) = cut(&table, rows.chunks(size).map(batch).collect(), previous).unwrap();
        let found = buckets.iter().map(|bucket| {
            let rows = bucket.gather(&table).unwrap();
            let mut names: Vec<String> =
                rows.column(0).as_string::<i32>().iter().map(|name| name.unwrap().to_owned()).collect();
            names.sort_unstable();
            assert_eq!(bucket.weight, row_key::row_weights(&rows).unwrap().iter().sum::<u64>());
            (bucket.block, names, bucket.weight)
        });
        (ladder, found.collect())
    }

    fn rows(weights: &[u64]) -> Vec<(String, u64)> {
        weights.iter().enumerate().map(|(n, weight)| (format!("n{n:04}"), *weight)).collect()
    }

    #[test]
    fn a_heavy_bucket_is_cut_and_a_heavy_row_stands_alone() {
        let previous = Ladder::Hash { bits: 2, rows: 4, heavy: 400 };
        let light = vec![10; 16];
        let (ladder, buckets) = found(&rows(&light), 5, Some(&previous));
        assert_eq!(ladder, previous);
        assert!(buckets.iter().all(|(block, ..)| matches!(block, Block::Hash { bits: 2, .. })), "{buckets:?}");
        // One row of 800 bytes: the mean asks for four bits, and the row has a bucket of its own.
        let mut heavy = light.clone();
        heavy[7] = 800;
        let (ladder, buckets) = found(&rows(&heavy), 5, Some(&previous));
        assert_eq!(ladder, Ladder::Hash { bits: 4, rows: 4, heavy: 400 });
        let alone: Vec<_> = buckets.iter().filter(|(_, names, _)| names.contains(&"n0007".into())).collect();
        assert!(matches!(alone[..], [(Block::Hash { bits: 32, .. }, names, 800)] if names.len() == 1), "{alone:?}");
        // Where nothing is known, a small table is one chunk, and an empty one none.
        let (ladder, buckets) = found(&rows(&light), 5, None);
        assert!(ladder == Ladder::Whole && buckets.len() == 1 && buckets[0].0 == Block::Whole {});
        assert_eq!(found(&[], 5, None), (Ladder::Whole, Vec::new()));
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_bucket_whatever_its_place(
            weights in vec(prop_oneof![8 => 5..30u64, 1 => 5..2_000u64], 1..120),
            (bits, aim, heavy) in (0..6u8, 1..40u64, 4..900u64),
            (turn, size, other) in (0..120usize, 1..50usize, 1..50usize),
        ) {
            let previous = Ladder::Hash { bits, rows: aim, heavy };
            let rows = rows(&weights);
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            let (ladder, buckets) = found(&rows, size, Some(&previous));
            prop_assert_eq!(&found(&turned, other, Some(&previous)), &(ladder.clone(), buckets.clone()));
            prop_assert_eq!(buckets.iter().map(|bucket| bucket.1.len()).sum::<usize>(), rows.len());
            let mut home = BTreeMap::new();
            for (block, names, weight) in &buckets {
                prop_assert!(*weight <= heavy || names.len() == 1);
                for name in names {
                    prop_assert!(home.insert(name.clone(), *block).is_none());
                    if let Block::Hash { bucket, bits } = block {
                        prop_assert_eq!(blocks::bucket(prefix(name), *bits), *bucket);
                    }
                }
            }
            for pair in buckets.windows(2) {
                prop_assert!(blocks::follows(pair[0].0, pair[1].0));
            }
            prop_assert!(buckets.iter().all(|bucket| blocks::fits(&ladder, bucket.0)));
            // A light row more changes one bucket, or its cut, as long as the ladder stays.
            let more = [rows, vec![("n9999".to_owned(), 5)]].concat();
            let (next, after) = found(&more, size, Some(&ladder));
            if next == ladder {
                let changed = buckets.iter().filter(|bucket| !after.contains(bucket)).count();
                prop_assert!(changed <= 1, "{} buckets changed", changed);
            }
        }
    }

    fn prefix(name: &str) -> u32 {
        let key =
            [&4u32.to_le_bytes()[..], b"Name", &u32::try_from(name.len()).unwrap().to_le_bytes(), name.as_bytes()];
        blocks::hash_prefix(&blake3::hash(&key.concat()))
    }
}
