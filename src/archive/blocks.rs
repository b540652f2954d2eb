//! Where a table is cut into chunks (DESIGN D3; docs/FORMAT.md §Blocks). Pure functions.
//!
//! A table with an integer column at the head of its key is cut by ranges of that column: aligned blocks of [`CLOSED`] keys
//! up to the last multiple of [`CLOSED`] that the highest key reaches, then blocks of [`OPEN`] keys. Other tables are one
//! chunk while they are small, else cut by leading bits of a hash of each row's key.
//!
//! Promises: every key is in exactly one block; a block that is closed keeps its bounds while keys are added above it.

use crate::{
    archive::snapshot::{Block, Ladder},
    model::table::Table,
};

/// Keys per closed block.
pub const CLOSED: u32 = 4_096;
/// Keys per block at the open end.
pub const OPEN: u32 = 512;
/// Rows up to which a table without an integer key is one chunk, and the aim for a bucket's mean beyond.
pub const WHOLE_ROWS: u64 = 4_096;
/// Most bits a hash ladder takes.
const MOST_BITS: u8 = 20;

/// The ladder of a table that is seen for the first time, or the one it had: boundaries once chosen are kept.
///
/// For tables without an integer key this is the ladder before the rows are counted; see [`hash_bits`].
#[must_use]
pub fn ladder_for(table: &Table, previous: Option<&Ladder>) -> Ladder {
    match (table.range_column(), previous) {
        (Some(column), Some(kept @ Ladder::Range { column: old, open, closed }))
            if *old == column.name && *open > 0 && *closed > 0 && closed % open == 0 =>
        {
            kept.clone()
        }
        (Some(column), _) => Ladder::Range { column: column.name.clone(), open: OPEN, closed: CLOSED },
        (None, Some(kept @ Ladder::Hash { bits })) if *bits <= MOST_BITS => kept.clone(),
        (None, _) => Ladder::Whole,
    }
}

/// The last key that lies in a closed block, given the highest key: the last multiple of `closed` not above it.
///
/// May lie below every `i64`, when the highest key is near the lowest one; hence the wider type.
#[must_use]
pub fn closed_through(highest: i64, closed: u32) -> i128 {
    i128::from(highest).div_euclid(i128::from(closed)) * i128::from(closed)
}

/// The bounds of the aligned block of `size` keys that holds `key`. Blocks start at 1, `size + 1`, …; and `1 - size` and so
/// on below. Bounds are cut to what `i64` holds.
#[must_use]
pub fn aligned(key: i64, size: u32) -> (i64, i64) {
    let size = i128::from(size);
    let lo = (i128::from(key) - 1).div_euclid(size) * size + 1;
    let clamp = |bound: i128| i64::try_from(bound.clamp(i64::MIN.into(), i64::MAX.into())).unwrap_or(key);
    (clamp(lo), clamp(lo + size - 1))
}

/// The block that holds `key` in a table whose highest key is `highest`.
#[must_use]
pub fn range_block(key: i64, highest: i64, open: u32, closed: u32) -> Block {
    let size = if i128::from(key) <= closed_through(highest, closed) { closed } else { open };
    let (lo, hi) = aligned(key, size);
    Block::Range { lo, hi }
}

/// Bits of the hash ladder for a table of `rows` rows that had `previous` bits (0 = one chunk).
///
/// The wanted number is the least that brings the mean of a bucket to [`WHOLE_ROWS`]; the previous number is kept while it is
/// at most one off, so that a table that breathes around a bound is not cut anew at each turn.
#[must_use]
pub fn hash_bits(rows: u64, previous: Option<u8>) -> u8 {
    let mut wanted = 0;
    while wanted < MOST_BITS && rows > WHOLE_ROWS << wanted {
        wanted += 1;
    }
    match previous {
        // A small table is always one chunk; a table cut before is joined only when it is clearly small.
        Some(kept) if kept <= MOST_BITS && kept.abs_diff(wanted) <= 1 => kept,
        _ => wanted,
    }
}

/// The bucket of a key's hash: its leading `bits` bits.
#[must_use]
pub fn bucket(hash: &blake3::Hash, bits: u8) -> u32 {
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d]).checked_shr(32 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(block: Block) -> (i64, i64) {
        match block {
            Block::Range { lo, hi } => (lo, hi),
            other => panic!("{other:?}"),
        }
    }

    fn at(key: i64, highest: i64) -> (i64, i64) {
        bounds(range_block(key, highest, OPEN, CLOSED))
    }

    #[test]
    fn the_documented_examples() {
        assert_eq!(at(1, 10), (1, 512));
        assert_eq!(at(512, 4_095), (1, 512));
        assert_eq!(at(513, 4_095), (513, 1_024));
        assert_eq!(at(513, 4_096), (1, 4_096));
        assert_eq!(at(4_097, 5_000), (4_097, 4_608));
        assert_eq!(at(0, 5_000), (-4_095, 0));
        assert_eq!(at(0, 0), (-4_095, 0));
        assert_eq!(at(-1, -1), (-511, 0));
        assert_eq!(at(-4_096, -1), (-8_191, -4_096));
        assert_eq!(at(-4_095, -1), (-4_095, -3_584));
    }

    #[test]
    fn the_ends_of_the_number_line_are_blocks_like_any_other() {
        assert_eq!(at(i64::MIN, i64::MAX), (i64::MIN, i64::MIN));
        assert_eq!(at(i64::MAX, i64::MAX), (i64::MAX - 510, i64::MAX));
    }

    #[test]
    fn buckets_are_leading_bits() {
        let hash = blake3::Hash::from_bytes([0b1010_0000; 32]);
        assert_eq!((bucket(&hash, 0), bucket(&hash, 1), bucket(&hash, 3)), (0, 1, 0b101));
    }

    #[test]
    fn a_ladder_once_chosen_is_kept() {
        use crate::model::table::{Column, TableName};
        let column = |name: &str, sql_type: &str| Column {
            name: name.into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: false,
            identity: false,
            collation: None,
            default: None,
        };
        let table = |key: &str| Table {
            name: TableName::dbo("T"),
            columns: vec![column("Id", "int"), column("Name", "nvarchar(9)")],
            key: vec![key.into()],
            foreign_keys: Vec::new(),
            left_out: Vec::new(),
        };
        let range = |column: &str, open, closed| Ladder::Range { column: column.into(), open, closed };
        assert_eq!(ladder_for(&table("Id"), None), range("Id", 512, 4_096));
        assert_eq!(ladder_for(&table("Id"), Some(&range("Id", 256, 1_024))), range("Id", 256, 1_024));
        // Another key column, or a ladder that cannot be right.
        assert_eq!(ladder_for(&table("Id"), Some(&range("Nr", 256, 1_024))), range("Id", 512, 4_096));
        assert_eq!(ladder_for(&table("Id"), Some(&range("Id", 0, 1_024))), range("Id", 512, 4_096));
        assert_eq!(ladder_for(&table("Id"), Some(&range("Id", 3, 1_024))), range("Id", 512, 4_096));
        assert_eq!(ladder_for(&table("Id"), Some(&Ladder::Whole)), range("Id", 512, 4_096));
        assert_eq!(ladder_for(&table("Name"), None), Ladder::Whole);
        assert_eq!(ladder_for(&table("Name"), Some(&Ladder::Hash { bits: 4 })), Ladder::Hash { bits: 4 });
        assert_eq!(ladder_for(&table("Name"), Some(&range("Id", 512, 4_096))), Ladder::Whole);
    }

    #[test]
    fn hash_bits_follow_the_rows_with_some_patience() {
        assert_eq!(hash_bits(0, None), 0);
        assert_eq!(hash_bits(4_096, None), 0);
        assert_eq!(hash_bits(4_097, None), 1);
        assert_eq!(hash_bits(4_097, Some(0)), 0);
        assert_eq!(hash_bits(8_193, Some(0)), 2);
        assert_eq!(hash_bits(4_000, Some(1)), 1);
        assert_eq!(hash_bits(4_000, Some(2)), 0);
        assert_eq!(hash_bits(u64::MAX, None), MOST_BITS);
    }

    proptest! {
        #[test]
        fn every_key_is_in_exactly_one_block(a in any::<i64>(), b in any::<i64>(), c in any::<i64>()) {
            let highest = a.max(b).max(c);
            let (lo, hi) = at(a, highest);
            prop_assert!(lo <= a && a <= hi);
            // Two blocks are the same or apart.
            let other = at(b, highest);
            prop_assert!(other == (lo, hi) || other.1 < lo || hi < other.0);
            prop_assert_eq!(lo <= b && b <= hi, other == (lo, hi));
        }

        #[test]
        fn near_keys_too(base in -20_000i64..20_000, offset in 0i64..9_000, more in 0i64..9_000) {
            let (highest, key, other) = (base + offset + more, base + offset, base);
            let (lo, hi) = at(key, highest);
            prop_assert!(lo <= key && key <= hi);
            prop_assert_eq!(lo <= other && other <= hi, at(other, highest) == (lo, hi));
        }

        #[test]
        fn a_closed_block_stays(key in -50_000i64..50_000, up in 0i64..50_000, more in 0i64..50_000) {
            let highest = key + up;
            let (lo, hi) = at(key, highest);
            if hi - lo + 1 == i64::from(CLOSED) {
                prop_assert_eq!(at(key, highest + more), (lo, hi));
            }
            // And it is closed exactly when the highest key has reached its end.
            prop_assert_eq!(hi - lo + 1 == i64::from(CLOSED), highest >= aligned(key, CLOSED).1);
        }
    }
}
