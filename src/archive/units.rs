//! Which parts of a table are kept or read as a whole, by the till's checksums (DESIGN D8). Pure functions.
//!
//! A *unit* is a closed block's range of keys, or at the open end an open block's (docs/FORMAT.md §6), with everything that
//! it is cut into where it is heavy; a table without an integer key is one unit. Whether the chunks of a unit are the right
//! ones depends on the rows in it and on whether it is closed, on nothing else: so chunks of an unchanged unit are kept, those
//! of any other are made anew from its rows, and the table comes out as if it had been read in full.
//!
//! Promises: in doubt a unit is read.

use std::ops::Range;

use super::{
    blocks::{self, Span},
    snapshot::{Block, Chunk, Ladder},
};
use crate::model::{group_sum::GroupSum, table::KeyRange};

/// What the till says of the rows of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Rows.
    pub rows: u64,
    /// Sum of the first checksum.
    pub sum1: i128,
    /// Sum of the second one.
    pub sum2: i128,
}

impl Sum {
    fn of(groups: &[GroupSum]) -> Self {
        groups.iter().fold(Self::default(), |sum, group| Self {
            rows: sum.rows.saturating_add(group.rows),
            sum1: sum.sum1.wrapping_add(group.sum1),
            sum2: sum.sum2.wrapping_add(group.sum2),
        })
    }
}

/// A part of a table that has rows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Lowest and highest key of its range; none for a table without an integer key.
    pub keys: Option<(i64, i64)>,
    /// What the till says of its rows.
    pub sum: Sum,
    /// Whether the till saw all of its rows.
    pub is_seen: bool,
    /// Which of the table's chunks hold it; `None` where none do, or not as this unit would be cut now.
    pub chunks: Option<Range<usize>>,
}

/// The units of a table and its highest key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Ascending.
    pub units: Vec<Unit>,
    /// The highest leading key; none for an empty table, and without an integer key.
    pub highest: Option<i64>,
}

/// The units of a table whose groups the till has summed up, with the place of each among `chunks`: those of the snapshot
/// before, or those made of these very rows. `None` when the groups make no sense.
#[must_use]
pub fn units(ladder: Option<&Ladder>, chunks: &[Chunk], groups: &[GroupSum]) -> Option<Units> {
    match ladder {
        Some(Ladder::Range { open, closed, .. }) => ranges((*open, *closed), chunks, groups),
        _ => {
            let sum = Sum::of(groups);
            let chunks = (rows_of(chunks) == sum.rows).then_some(0..chunks.len());
            let is_seen = groups.iter().all(|group| group.long_rows == 0);
            let unit = Unit { keys: None, sum, is_seen, chunks };
            Some(Units { units: if sum.rows == 0 { Vec::new() } else { vec![unit] }, highest: None })
        }
    }
}

fn ranges((open, closed): (u32, u32), chunks: &[Chunk], groups: &[GroupSum]) -> Option<Units> {
    let spans: Vec<Span> = groups.iter().map(|group| span(group, open)).collect::<Option<_>>()?;
    if !groups.windows(2).all(|pair| pair[0].group < pair[1].group) {
        return None;
    }
    let Some(highest) = groups.last().and_then(|group| group.highest) else { return Some(Units::default()) };
    let (mut units, mut at) = (Vec::new(), 0);
    while let Some(first) = groups.get(at).and_then(|group| group.lowest) {
        let whole = Span::aligned(first, closed);
        let is_closed = whole.ends_by(highest);
        let unit = if is_closed { whole } else { spans[at] };
        let count = groups[at..].iter().take_while(|group| group.lowest.is_some_and(|key| unit.contains(key))).count();
        let of_unit = &groups[at..at + count];
        units.push(Unit {
            keys: bounds(unit.block()),
            sum: Sum::of(of_unit),
            is_seen: of_unit.iter().all(|group| group.long_rows == 0),
            chunks: chunks_of(unit, is_closed, chunks)
                .filter(|at| rows_of(&chunks[at.clone()]) == Sum::of(of_unit).rows),
        });
        at += count;
    }
    Some(Units { units, highest: Some(highest) })
}

/// The keys of a group, if its figures can be right.
fn span(group: &GroupSum, open: u32) -> Option<Span> {
    let (lowest, highest) = (group.lowest?, group.highest?);
    let span = Span::aligned(lowest, open);
    let number = (i128::from(lowest) - 1).div_euclid(open.into());
    let is_right = lowest <= highest && span.contains(highest) && number == i128::from(group.group) && group.rows > 0;
    is_right.then_some(span)
}

fn bounds(block: Block) -> Option<(i64, i64)> {
    match block {
        Block::Range { lo, hi } => Some((lo, hi)),
        _ => None,
    }
}

fn rows_of(chunks: &[Chunk]) -> u64 {
    chunks.iter().fold(0, |rows, chunk| rows.saturating_add(chunk.rows))
}

/// The chunks that hold a unit, if they are cut as it would be now, should its rows be the same.
fn chunks_of(unit: Span, is_closed: bool, chunks: &[Chunk]) -> Option<Range<usize>> {
    let (lo, hi) = bounds(unit.block())?;
    let start = chunks.partition_point(|chunk| bounds(chunk.block).is_some_and(|(_, end)| end < lo));
    let count =
        chunks[start..].iter().take_while(|chunk| bounds(chunk.block).is_some_and(|(from, _)| from <= hi)).count();
    let found = start..start + count;
    let is_within = |chunk: &Chunk| bounds(chunk.block).is_some_and(|(from, to)| lo <= from && to <= hi);
    if count == 0 || !chunks[found.clone()].iter().all(is_within) {
        return None;
    }
    // A closed range that is in pieces was heavy, or not closed yet: the latter unless rows lay behind it.
    let is_one = count == 1 && chunks[start].block == unit.block();
    let was_closed = || chunks.last().and_then(|last| bounds(last.block)).is_some_and(|(from, _)| from > hi);
    (!is_closed || is_one || was_closed()).then_some(found)
}

/// What becomes of one part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These chunks stay.
    Keep {
        /// The range of keys, as in [`Unit::keys`].
        keys: Option<(i64, i64)>,
        /// Which chunks.
        chunks: Range<usize>,
    },
    /// The till's rows in this range make new ones.
    Read(KeyRange),
}

/// What to keep and what to read, in key order. Neighbours that are read are read in one go, and never beyond the highest key
/// that the till has told.
#[must_use]
pub fn plan(units: &Units, may_keep: impl Fn(&Unit, Range<usize>) -> bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for unit in &units.units {
        if let Some(chunks) = unit.chunks.clone().filter(|chunks| unit.is_seen && may_keep(unit, chunks.clone())) {
            steps.push(Step::Keep { keys: unit.keys, chunks });
            continue;
        }
        let range = unit.keys.map_or(KeyRange::ALL, |(lo, hi)| KeyRange {
            after: lo.checked_sub(1),
            through: Some(units.highest.map_or(hi, |highest| hi.min(highest))),
        });
        match steps.last_mut() {
            Some(Step::Read(before)) => before.through = range.through,
            _ => steps.push(Step::Read(range)),
        }
    }
    steps
}

/// Whether the sums of a range are the same in two answers.
#[must_use]
pub fn is_still(keys: Option<(i64, i64)>, before: &[GroupSum], after: &[GroupSum]) -> bool {
    let within =
        |group: &&GroupSum| keys.is_none_or(|(lo, hi)| group.lowest.is_some_and(|lowest| (lo..=hi).contains(&lowest)));
    before.iter().filter(within).eq(after.iter().filter(within))
}

/// Groups of `open` keys, for callers that have no ladder yet.
#[must_use]
pub fn group_width(ladder: Option<&Ladder>) -> u32 {
    match ladder {
        Some(Ladder::Range { open, .. }) => *open,
        _ => blocks::OPEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder() -> Ladder {
        Ladder::Range { column: "Id".into(), open: 512, closed: 4_096, heavy: 99 }
    }

    fn group(lowest: i64, highest: i64, rows: u64) -> GroupSum {
        let group = (lowest - 1).div_euclid(512);
        GroupSum { group, rows, lowest: Some(lowest), highest: Some(highest), sum1: 7, sum2: -9, long_rows: 0 }
    }

    fn chunk(lo: i64, hi: i64, rows: u64) -> Chunk {
        let text = |what: &str| format!("{what} {lo}");
        Chunk { file: text("file"), bytes: 1, rows, block: Block::Range { lo, hi }, content: text("content") }
    }

    type Found = (Option<(i64, i64)>, Option<Range<usize>>);

    fn found(chunks: &[Chunk], groups: &[GroupSum]) -> Vec<Found> {
        let units = units(Some(&ladder()), chunks, groups).unwrap().units;
        units.into_iter().map(|unit| (unit.keys, unit.chunks)).collect()
    }

    #[test]
    fn closed_ranges_are_one_unit_and_open_ones_eight() {
        let groups =
            [group(-3, 0, 2), group(1, 500, 9), group(600, 700, 4), group(4_100, 4_100, 1), group(5_000, 5_001, 2)];
        let chunks = [chunk(-4_095, 0, 2), chunk(1, 4_096, 13), chunk(4_097, 4_608, 1), chunk(4_609, 5_120, 1)];
        let expected = [
            (Some((-4_095, 0)), Some(0..1)),
            (Some((1, 4_096)), Some(1..2)),
            (Some((4_097, 4_608)), Some(2..3)),
            // Another number of rows.
            (Some((4_609, 5_120)), None),
        ];
        assert_eq!(found(&chunks, &groups), expected);
        let units = units(Some(&ladder()), &chunks, &groups).unwrap();
        assert_eq!((units.highest, units.units[1].sum), (Some(5_001), Sum { rows: 13, sum1: 14, sum2: -18 }));
        let steps = plan(&units, |unit, _| unit.keys != Some((4_097, 4_608)));
        assert_eq!(
            steps[1..],
            [
                Step::Keep { keys: Some((1, 4_096)), chunks: 1..2 },
                Step::Read(KeyRange { after: Some(4_096), through: Some(5_001) }),
            ]
        );
    }

    #[test]
    fn a_range_that_closed_meanwhile_or_opened_again_is_read() {
        let open = [chunk(1, 512, 1), chunk(513, 1_024, 1)];
        let groups = [group(1, 1, 1), group(513, 513, 1)];
        assert_eq!(found(&open, &groups), [(Some((1, 512)), Some(0..1)), (Some((513, 1_024)), Some(1..2))]);
        let closing = [groups[0].clone(), groups[1].clone(), group(4_097, 4_097, 1)];
        assert_eq!(found(&open, &closing)[0], (Some((1, 4_096)), None));
        // In pieces although rows lie behind it: it is heavy.
        let heavy = [open[0].clone(), open[1].clone(), chunk(4_097, 4_608, 1)];
        assert_eq!(found(&heavy, &closing)[0], (Some((1, 4_096)), Some(0..2)));
        assert_eq!(found(&[chunk(1, 4_096, 2)], &groups), [(Some((1, 512)), None), (Some((513, 1_024)), None)]);
    }

    #[test]
    fn groups_that_cannot_be_right_are_no_groups() {
        let good = group(600, 700, 4);
        assert!(units(Some(&ladder()), &[], std::slice::from_ref(&good)).is_some());
        for wrong in [
            GroupSum { group: 0, ..good.clone() },
            GroupSum { highest: Some(1_025), ..good.clone() },
            GroupSum { highest: Some(599), ..good.clone() },
            GroupSum { lowest: None, ..good.clone() },
            GroupSum { rows: 0, ..good.clone() },
        ] {
            assert_eq!(units(Some(&ladder()), &[], &[wrong]), None);
        }
        assert_eq!(units(Some(&ladder()), &[], &[good.clone(), good]), None);
        assert_eq!(units(Some(&ladder()), &[], &[]), Some(Units::default()));
    }

    #[test]
    fn a_table_without_ranges_is_one_unit() {
        let groups = [GroupSum { lowest: None, highest: None, ..group(1, 1, 5) }];
        let chunk = Chunk { block: Block::Whole {}, ..chunk(1, 1, 5) };
        let all = units(Some(&Ladder::Whole), &[chunk], &groups).unwrap();
        assert_eq!(plan(&all, |_, _| true), [Step::Keep { keys: None, chunks: 0..1 }]);
        assert_eq!(plan(&all, |_, _| false), [Step::Read(KeyRange::ALL)]);
        assert_eq!(units(None, &[], &groups).unwrap().units[0].chunks, None);
    }

    #[test]
    fn what_the_till_did_not_see_is_read() {
        let groups = [GroupSum { long_rows: 1, ..group(1, 1, 5) }];
        let units = units(Some(&ladder()), &[chunk(1, 512, 5)], &groups).unwrap();
        assert_eq!(plan(&units, |_, _| true), [Step::Read(KeyRange { after: Some(0), through: Some(1) })]);
    }

    #[test]
    fn stillness_looks_at_the_range_alone() {
        let (before, after) = ([group(1, 1, 5), group(600, 600, 1)], [group(1, 1, 5), group(600, 600, 2)]);
        assert!(is_still(Some((1, 512)), &before, &after) && !is_still(Some((1, 4_096)), &before, &after));
        assert!(!is_still(Some((1, 512)), &[], &after) && !is_still(None, &before, &after));
    }
}
