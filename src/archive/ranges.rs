//! Rows of a table with an integer key, cut into blocks as they come (docs/FORMAT.md §6, "Range").
//!
//! Promises: the blocks are those of FORMAT §6, however the rows are cut into batches; each is given out as soon as no later
//! row can belong to it, so that never much more than the ladder's `heavy` is kept, unless a single key has more. Never does
//! IO, and never copies rows.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    buffer::ScalarBuffer,
    datatypes::{DataType, Int16Type, Int32Type, Int64Type},
};

use super::{blocks::Span, row_key, snapshot::Block};
use crate::{
    error::{Error, Kind, Result},
    model::table::Table,
};

/// All rows of one block.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The block.
    pub(super) block: Block,
    /// Its rows, in order of the leading key.
    pub(super) rows: Vec<RecordBatch>,
    /// Bytes of their values.
    pub(super) weight: u64,
}

/// Cuts rows that come in order of the table's leading key.
#[derive(Debug)]
pub(super) struct RangeCutter {
    table: String,
    column: String,
    /// Whether no two rows may have the same leading key: it is the whole key.
    unique: bool,
    open: u32,
    closed: u32,
    heavy: u64,
    /// Ranges around the newest key that will be cut whatever comes, each in the one before: a closed block's, an open
    /// block's, and halves.
    parted: Vec<Span>,
    /// The part of the last of them that holds the newest key, or else a whole closed block's range. Not known to be cut.
    present: Option<Span>,
    /// The rows of `present` so far; not heavier than `heavy`, unless it is a single key's range.
    pending: Vec<Piece>,
    weight: u64,
    last_key: Option<i64>,
    /// The table's highest key, where it is known beforehand.
    highest: Option<i64>,
}

/// Some rows with what decides where they are cut.
#[derive(Clone, Debug)]
struct Piece {
    rows: RecordBatch,
    keys: ScalarBuffer<i64>,
    weights: ScalarBuffer<u64>,
}

impl Piece {
    fn slice(&self, start: usize, end: usize) -> Self {
        Self {
            rows: self.rows.slice(start, end - start),
            keys: self.keys.slice(start, end - start),
            weights: self.weights.slice(start, end - start),
        }
    }
}

impl RangeCutter {
    /// For rows of `table`, on the range ladder with these numbers, which must be sound.
    pub(super) fn new(table: &Table, column: &str, open: u32, closed: u32, heavy: u64) -> Self {
        Self {
            table: table.name.to_string(),
            column: column.to_owned(),
            unique: table.key.len() == 1,
            open,
            closed,
            heavy,
            parted: Vec::new(),
            present: None,
            pending: Vec::new(),
            weight: 0,
            last_key: None,
            highest: None,
        }
    }

    /// Says which key will be the table's highest, before the first row: what is open is known then, and blocks can be kept
    /// between the rows.
    pub(super) fn expect_highest(&mut self, highest: i64) {
        self.highest = Some(highest);
    }

    /// Leaves out the keys `lo..=hi`, whose chunks are kept as they are, and returns the blocks of the rows before them.
    ///
    /// # Errors
    /// `Bug` when the highest key is not known, or the keys are not whole ranges behind all rows so far.
    pub(super) fn keep(&mut self, lo: i64, hi: i64) -> Result<Vec<Cut>> {
        let bug = |why: &str| {
            Error::new(Kind::Bug, format!("keys {lo} to {hi} of table {} cannot be kept: {why}", self.table))
        };
        let Some(highest) = self.highest else { return Err(bug("where the table ends is not known")) };
        if self.last_key.is_some_and(|last| last >= lo) || hi < lo {
            return Err(bug("rows of them were read"));
        }
        let size = if Span::aligned(lo, self.closed).ends_by(highest) { self.closed } else { self.open };
        if (Block::Range { lo, hi }) != Span::aligned(lo, size).block() {
            return Err(bug("they are not a range of their own"));
        }
        let mut done = Vec::new();
        self.give_out(&mut done);
        while self.parted.last().is_some_and(|span| !span.contains(lo)) {
            self.parted.pop();
        }
        // The range's end, or what the table has of it.
        self.last_key = Some(hi.min(highest));
        Ok(done)
    }

    /// The highest key so far, kept ones included.
    pub(super) fn last_key(&self) -> Option<i64> {
        self.last_key
    }

    /// Takes more rows and returns the blocks that they complete.
    ///
    /// # Errors
    /// `Source` when the rows are out of order, repeat a key or lack it.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<Vec<Cut>> {
        let keys = leading_keys(&self.table, &rows, &self.column)?;
        for key in &keys {
            self.check_order(*key)?;
        }
        let weights = row_key::row_weights(&rows)?.into();
        let mut done = Vec::new();
        self.take(&Piece { rows, keys, weights }, &mut done);
        Ok(done)
    }

    /// The blocks of what is left, after the last row.
    pub(super) fn finish(mut self) -> Vec<Cut> {
        let mut done = Vec::new();
        if let (Some(span), Some(last)) = (self.present, self.last_key) {
            // A closed block's range that the highest key has not reached the end of.
            if self.parted.is_empty() && !span.ends_by(last) {
                self.part(&mut done);
            }
        }
        self.give_out(&mut done);
        done
    }

    fn check_order(&mut self, key: i64) -> Result<()> {
        match self.last_key.replace(key) {
            Some(last) if key < last => Err(Error::new(
                Kind::Source,
                format!("rows of table {} came out of order: key {key} after {last}", self.table),
            )),
            Some(last) if key == last && self.unique => {
                Err(Error::new(Kind::Source, format!("key {key} of table {} came twice", self.table))
                    .hint("run again; if it stays, check the table for corruption (DBCC CHECKTABLE)"))
            }
            _ => Ok(()),
        }
    }

    /// Adds rows that lie behind all rows so far.
    fn take(&mut self, piece: &Piece, done: &mut Vec<Cut>) {
        let mut at = 0;
        while let Some(key) = piece.keys.get(at).copied() {
            let span = self.enter(key, done);
            let start = at;
            while at < piece.keys.len() && span.contains(piece.keys[at]) && !self.is_too_heavy(span) {
                self.weight += piece.weights[at];
                at += 1;
            }
            self.pending.push(piece.slice(start, at));
            if self.is_too_heavy(span) {
                self.part(done);
            }
        }
    }

    fn is_too_heavy(&self, span: Span) -> bool {
        self.weight > self.heavy && !span.is_one_key()
    }

    /// Makes the range that holds `key` the present one, and gives out the one before if that is another.
    fn enter(&mut self, key: i64, done: &mut Vec<Cut>) -> Span {
        if let Some(span) = self.present.filter(|span| span.contains(key)) {
            return span;
        }
        self.give_out(done);
        while self.parted.last().is_some_and(|span| !span.contains(key)) {
            self.parted.pop();
        }
        let span = match (self.parted.len(), self.parted.last()) {
            (2.., Some(parted)) => parted.half(key),
            (1, _) => Span::aligned(key, self.open),
            _ => {
                let span = Span::aligned(key, self.closed);
                if self.highest.is_none_or(|highest| span.ends_by(highest)) {
                    span
                } else {
                    self.parted.push(span);
                    Span::aligned(key, self.open)
                }
            }
        };
        self.present = Some(span);
        span
    }

    /// Cuts the present range: the rows go to its parts, of which the last one becomes the present range.
    fn part(&mut self, done: &mut Vec<Cut>) {
        self.parted.extend(self.present.take());
        self.weight = 0;
        for piece in std::mem::take(&mut self.pending) {
            self.take(&piece, done);
        }
    }

    /// Gives out the present range as a block.
    fn give_out(&mut self, done: &mut Vec<Cut>) {
        let rows: Vec<RecordBatch> = self.pending.drain(..).map(|piece| piece.rows).collect();
        let weight = std::mem::take(&mut self.weight);
        if let Some(span) = self.present.take().filter(|_| !rows.is_empty()) {
            done.push(Cut { block: span.block(), rows, weight });
        }
    }
}

/// The leading key of every row.
///
/// # Errors
/// `Source` when a row has none; `Bug` when the column is missing or not of an integer type.
pub(super) fn leading_keys(table: &str, rows: &RecordBatch, column: &str) -> Result<ScalarBuffer<i64>> {
    let array = rows
        .column_by_name(column)
        .ok_or_else(|| Error::new(Kind::Bug, format!("rows of table {table} lack {column}")))?;
    if array.null_count() > 0 {
        return Err(Error::new(Kind::Source, format!("table {table} has rows without {column}")));
    }
    Ok(match array.data_type() {
        DataType::Int16 => array.as_primitive::<Int16Type>().values().iter().copied().map(i64::from).collect(),
        DataType::Int32 => array.as_primitive::<Int32Type>().values().iter().copied().map(i64::from).collect(),
        DataType::Int64 => array.as_primitive::<Int64Type>().values().clone(),
        other => return Err(Error::new(Kind::Bug, format!("key {column} of table {table} is {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::model::table::{Column, TableName};

    /// Key and weight of a row; a key alone weighs 8.
    type Place = (i64, u64);
    type Found = (Block, usize);

    fn table(key: &[&str]) -> Table {
        let column = |name: &str, sql_type: &str| Column {
            name: name.into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: true,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("T"),
            columns: vec![column("Id", "bigint"), column("Text", "nvarchar(max)")],
            key: key.iter().map(ToString::to_string).collect(),
            ..Table::default()
        }
    }

    fn batch(table: &Table, places: &[Place]) -> RecordBatch {
        let text = |weight: u64| (weight > 8).then(|| "x".repeat(usize::try_from(weight - 8).unwrap()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(places.iter().map(|place| Some(place.0)).collect::<Int64Array>()),
            Arc::new(places.iter().map(|place| text(place.1)).collect::<StringArray>()),
        ];
        RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
    }

    /// Pushes rows in batches and checks on the way that little is kept.
    fn cut(places: &[Place], sizes: &[usize], (open, closed, heavy): (u32, u32, u64)) -> Vec<Found> {
        let table = table(&["Id", "Text"]);
        let mut cutter = RangeCutter::new(&table, "Id", open, closed, heavy);
        let mut cuts = Vec::new();
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        while at < places.len() {
            let end = places.len().min(at + sizes.next().unwrap());
            cuts.extend(cutter.push(batch(&table, &places[at..end])).unwrap());
            at = end;
            let kept: Vec<i64> = cutter.pending.iter().flat_map(|piece| piece.keys.iter().copied()).collect();
            let weight: u64 = cutter.pending.iter().flat_map(|piece| piece.weights.iter()).sum();
            assert_eq!(cutter.weight, weight);
            assert!(weight <= heavy || kept.iter().all(|key| *key == kept[0]), "{weight} bytes of {kept:?} are kept");
        }
        cuts.extend(cutter.finish());
        let mut keys = Vec::new();
        let found = cuts.iter().map(|cut| {
            let before = keys.len();
            for rows in &cut.rows {
                keys.extend_from_slice(&leading_keys("T", rows, "Id").unwrap());
            }
            let Block::Range { lo, hi } = cut.block else { panic!() };
            assert!(keys[before..].iter().all(|key| (lo..=hi).contains(key)));
            assert_eq!(cut.weight, places[before..keys.len()].iter().map(|place| place.1).sum::<u64>());
            assert!(cut.weight <= heavy || keys[before..].iter().all(|key| *key == keys[before]));
            (cut.block, keys.len() - before)
        });
        let found = found.collect();
        assert_eq!(keys, places.iter().map(|place| place.0).collect::<Vec<_>>());
        found
    }

    /// FORMAT §6 as it stands, with all rows at hand.
    fn model(places: &[Place], (open, closed, heavy): (u32, u32, u64)) -> Vec<Found> {
        let Some(highest) = places.last().map(|place| i128::from(place.0)) else { return Vec::new() };
        let weight = |rows: &[Place]| rows.iter().map(|row| row.1).sum::<u64>();
        let part = |rows: &[Place], lo: i128, hi: i128| -> Vec<Place> {
            rows.iter().copied().filter(|row| (lo..=hi).contains(&row.0.into())).collect()
        };
        fn made(lo: i128, hi: i128, rows: &[Place]) -> Found {
            let (lowest, topmost) = (i128::from(i64::MIN), i128::from(i64::MAX));
            let [lo, hi] = [lo, hi].map(|end| i64::try_from(end.clamp(lowest, topmost)).unwrap());
            (Block::Range { lo, hi }, rows.len())
        }
        let aligned = |key: i64, size: u32| {
            let lo = (i128::from(key) - 1).div_euclid(size.into()) * i128::from(size) + 1;
            (lo, lo + i128::from(size) - 1)
        };
        let (mut found, mut at) = (Vec::new(), 0);
        while at < places.len() {
            let (lo, hi) = aligned(places[at].0, closed);
            let rows = part(places, lo, hi);
            at += rows.len();
            if hi <= highest.div_euclid(closed.into()) * i128::from(closed) && weight(&rows) <= heavy {
                found.push(made(lo, hi, &rows));
                continue;
            }
            let mut todo: Vec<(i128, i128)> = (0..i128::from(closed / open))
                .map(|index| (lo + index * i128::from(open), lo + (index + 1) * i128::from(open) - 1))
                .rev()
                .collect();
            while let Some((lo, hi)) = todo.pop() {
                let rows = part(&rows, lo, hi);
                if weight(&rows) > heavy && lo < hi {
                    let middle = lo + (hi - lo) / 2;
                    todo.extend([(middle + 1, hi), (lo, middle)]);
                } else if !rows.is_empty() {
                    found.push(made(lo, hi, &rows));
                }
            }
        }
        found
    }

    fn bounds(found: &[Found]) -> Vec<(i64, i64)> {
        found.iter().map(|(block, _)| if let Block::Range { lo, hi } = block { (*lo, *hi) } else { panic!() }).collect()
    }

    const USUAL: (u32, u32, u64) = (512, 4_096, 1_000_000);

    #[test]
    fn the_documented_examples() {
        let at = |keys: &[i64]| bounds(&cut(&keys.iter().map(|key| (*key, 9)).collect::<Vec<_>>(), &[1], USUAL));
        assert_eq!(at(&[0, 1, 4_097, 5_000]), [(-4_095, 0), (1, 4_096), (4_097, 4_608), (4_609, 5_120)]);
        assert_eq!(at(&[1, 10]), [(1, 512)]);
        assert_eq!(at(&[513, 4_095]), [(513, 1_024), (3_585, 4_096)]);
        assert_eq!(at(&[513, 4_096]), [(1, 4_096)]);
        assert_eq!(at(&[0]), [(-4_095, 0)]);
        assert_eq!(at(&[-1]), [(-511, 0)]);
        assert_eq!(at(&[-4_096, -4_095, -1]), [(-8_191, -4_096), (-4_095, -3_584), (-511, 0)]);
        assert_eq!(at(&[i64::MIN, i64::MAX]), [(i64::MIN, i64::MIN), (i64::MAX - 510, i64::MAX)]);
        // One heavy row among small ones.
        let places: Vec<Place> = (1..=5_000).map(|key| (key, if key == 700 { 1_000_001 } else { 9 })).collect();
        let found = bounds(&cut(&places, &[333], USUAL));
        let start = [(1, 512), (513, 640), (641, 672), (673, 688), (689, 696), (697, 698), (699, 699), (700, 700)];
        assert_eq!(found[..8], start);
        assert_eq!(found[8..12], [(701, 704), (705, 768), (769, 1_024), (1_025, 1_536)]);
        assert_eq!(found[16..], [(3_585, 4_096), (4_097, 4_608), (4_609, 5_120)]);
    }

    #[test]
    fn rows_that_cannot_be_right_are_refused() {
        let table = table(&["Id"]);
        for keys in [[1, 1], [2, 1]] {
            let mut cutter = RangeCutter::new(&table, "Id", 512, 4_096, 99);
            let rows = batch(&table, &keys.map(|key| (key, 8)));
            let error = cutter.push(rows).unwrap_err();
            assert!(error.kind() == Kind::Source && !error.is_temporary(), "{error}");
        }
        let rows = batch(&table, &[(1, 8)]);
        let void = arrow::array::new_null_array(&DataType::Int64, 1);
        let rows = RecordBatch::try_new(rows.schema(), vec![void, Arc::clone(rows.column(1))]).unwrap();
        let error = RangeCutter::new(&table, "Id", 512, 4_096, 99).push(rows).unwrap_err();
        assert!(error.kind() == Kind::Source && !error.is_temporary(), "{error}");
    }

    /// Rows by their distance from the one before (0 for the same key) and weight.
    fn places(start: i64, steps: &[(i64, u64)]) -> Vec<Place> {
        let mut key = start;
        let place = |(gap, weight): &(i64, u64)| {
            key = key.saturating_add(*gap);
            (key, *weight)
        };
        steps.iter().map(place).collect()
    }

    fn steps() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let gap = prop_oneof![4 => Just(1i64), 2 => 0..4i64, 1 => 0..60i64];
        let weight = prop_oneof![8 => 8..20u64, 2 => 8..150u64, 1 => 8..900u64];
        vec((gap, weight), 0..250)
    }

    fn start() -> impl Strategy<Value = i64> {
        prop_oneof![Just(1i64), -200..200i64, Just(i64::MIN), Just(i64::MAX - 90)]
    }

    /// Sizes of blocks that are no powers of two as well.
    fn numbers() -> impl Strategy<Value = (u32, u32, u64)> {
        (1..20u32, 1..6u32, prop_oneof![50..300u64, 300..3_000u64])
            .prop_map(|(open, times, heavy)| (open, open * times, heavy))
    }

    /// As [`cut`], with some of the whole ranges kept instead of pushed, by the cuts of a full read.
    fn cut_around(places: &[Place], keep: &[bool], (open, closed, heavy): (u32, u32, u64)) -> Vec<Found> {
        let full = model(places, (open, closed, heavy));
        let Some(highest) = places.last().map(|place| place.0) else { return full };
        let table = table(&["Id", "Text"]);
        let mut cutter = RangeCutter::new(&table, "Id", open, closed, heavy);
        cutter.expect_highest(highest);
        let (mut found, mut at, mut unit) = (Vec::new(), 0, 0);
        let take = |found: &mut Vec<Found>, cuts: Vec<Cut>| {
            let rows = |cut: &Cut| cut.rows.iter().map(RecordBatch::num_rows).sum();
            found.extend(cuts.iter().map(|cut| (cut.block, rows(cut))));
        };
        while at < places.len() {
            let whole = Span::aligned(places[at].0, closed);
            let size = if whole.ends_by(highest) { closed } else { open };
            let span = Span::aligned(places[at].0, size);
            let end = at + places[at..].iter().take_while(|place| span.contains(place.0)).count();
            if keep[unit % keep.len()] {
                let Block::Range { lo, hi } = span.block() else { panic!() };
                take(&mut found, cutter.keep(lo, hi).unwrap());
                let within = |(block, _): &&Found| matches!(block, Block::Range { lo, .. } if span.contains(*lo));
                found.extend(full.iter().filter(within).copied());
            } else {
                take(&mut found, cutter.push(batch(&table, &places[at..end])).unwrap());
            }
            (at, unit) = (end, unit + 1);
        }
        assert_eq!(cutter.last_key(), Some(highest));
        take(&mut found, cutter.finish());
        found
    }

    #[test]
    fn only_whole_ranges_behind_the_rows_are_kept() {
        let table = table(&["Id", "Text"]);
        let cutter = || RangeCutter::new(&table, "Id", 512, 4_096, 1_000_000);
        assert_eq!(cutter().keep(1, 4_096).unwrap_err().kind(), Kind::Bug);
        let expecting = |highest| {
            let mut cutter = cutter();
            cutter.expect_highest(highest);
            cutter
        };
        assert!(expecting(5_000).keep(1, 4_096).is_ok() && expecting(5_000).keep(4_097, 4_608).is_ok());
        for (lo, hi) in [(1, 512), (4_097, 8_192), (2, 4_097), (5, 4)] {
            assert_eq!(expecting(5_000).keep(lo, hi).unwrap_err().kind(), Kind::Bug, "{lo} to {hi}");
        }
        let mut after = expecting(5_000);
        after.push(batch(&table, &[(4_100, 9)])).unwrap();
        assert_eq!(after.keep(4_097, 4_608).unwrap_err().kind(), Kind::Bug);
        assert_eq!(after.keep(4_609, 5_120).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn kept_ranges_change_no_cut(
            start in start(), steps in steps(), keep in vec(any::<bool>(), 1..9), numbers in numbers(),
        ) {
            let places = places(start, &steps);
            prop_assert_eq!(cut_around(&places, &keep, numbers), model(&places, numbers));
        }

        #[test]
        fn cuts_follow_from_the_rows_alone(
            start in start(), steps in steps(), sizes in vec(1..40usize, 1..5), numbers in numbers(),
        ) {
            let places = places(start, &steps);
            prop_assert_eq!(cut(&places, &sizes, numbers), model(&places, numbers));
        }

        #[test]
        fn blocks_stay_while_rows_are_added_above(
            start in start(), steps in steps(), more in steps(), numbers in numbers(),
        ) {
            let (open, closed, heavy) = numbers;
            let all = places(start, &[steps.clone(), more].concat());
            let highest = all[..steps.len()].last().map_or(i64::MIN, |place| place.0);
            let (before, after) = (cut(&all[..steps.len()], &[9], numbers), cut(&all, &[9], numbers));
            for (found, (lo, hi)) in before.iter().zip(bounds(&before)) {
                let range = Span::aligned(lo, closed);
                let in_range = all[..steps.len()].iter().filter(|place| range.contains(place.0));
                let is_settled = range.ends_by(highest) || in_range.map(|place| place.1).sum::<u64>() > heavy;
                let is_full = all.get(steps.len()).is_none_or(|next| next.0 > hi);
                if is_settled && is_full {
                    prop_assert!(after.contains(found), "{:?} of {:?}", found, (open, closed, heavy));
                }
            }
        }
    }
}
