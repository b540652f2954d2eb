//! Where a table is cut into chunks (DESIGN D3; docs/FORMAT.md §6). Pure functions.
//!
//! A table with an integer column at the head of its key is cut by ranges of that column: aligned blocks of [`CLOSED`] keys
//! up to the last multiple of [`CLOSED`] that the highest key reaches, then blocks of [`OPEN`] keys. Other tables are one
//! chunk while they are small, else cut by leading bits of a hash of each row's key. Where rows are heavy, both are cut
//! further, so that no chunk goes beyond [`HEAVY`] unless a single key does.
//!
//! Promises: every key is in exactly one block; where the cuts lie follows from the rows and the ladder alone; a block that
//! is closed, or cut since it is heavy, keeps its bounds while keys are added above it.

use crate::{
    archive::snapshot::{Block, Ladder},
    model::table::Table,
};

/// Keys per closed block.
pub const CLOSED: u32 = 4_096;
/// Keys per block at the open end.
pub const OPEN: u32 = 512;
/// Bytes of values (docs/FORMAT.md §6, "Weight") above which a block is cut further.
pub const HEAVY: u64 = 32 << 20;
/// Rows up to which a table without an integer key is one chunk, and the aim for a bucket's mean beyond.
pub const WHOLE_ROWS: u64 = 4_096;
/// Most bits a hash ladder takes.
pub const MOST_BITS: u8 = 20;
/// Most bits a heavy bucket is cut to.
pub const LAST_BIT: u8 = 32;

/// The ladder of a table with an integer column at the head of its key, `None` for any other. A ladder once chosen is kept
/// with its numbers.
#[must_use]
pub fn range_ladder(table: &Table, previous: Option<&Ladder>) -> Option<Ladder> {
    let column = table.range_column()?;
    Some(match previous {
        Some(kept @ Ladder::Range { column: old, .. }) if *old == column.name && is_sound(kept) => kept.clone(),
        _ => Ladder::Range { column: column.name.clone(), open: OPEN, closed: CLOSED, heavy: HEAVY },
    })
}

/// The ladder of a table without an integer key that has `rows` rows of `weight` bytes together.
///
/// The wanted number of bits is the least that brings the mean of a bucket to the ladder's rows and to a quarter of its
/// `heavy`. The previous number is kept while it is at most one off, so that a table that breathes around a bound is not cut
/// anew at each turn; a bucket's mean weight is never above half of `heavy` then, and a table in one chunk never above it.
#[must_use]
pub fn hash_ladder(rows: u64, weight: u64, previous: Option<&Ladder>) -> Ladder {
    let (before, aim, heavy) = match previous {
        Some(kept @ Ladder::Hash { bits, rows, heavy }) if is_sound(kept) => (Some(*bits), *rows, *heavy),
        Some(Ladder::Whole) => (Some(0), WHOLE_ROWS, HEAVY),
        _ => (None, WHOLE_ROWS, HEAVY),
    };
    let fits =
        |bits: u8| u128::from(rows) <= u128::from(aim) << bits && u128::from(weight) <= u128::from(heavy / 4) << bits;
    let wanted = (0..MOST_BITS).find(|bits| fits(*bits)).unwrap_or(MOST_BITS);
    match before.filter(|kept| kept.abs_diff(wanted) <= 1).unwrap_or(wanted) {
        0 => Ladder::Whole,
        bits => Ladder::Hash { bits, rows: aim, heavy },
    }
}

/// Whether blocks can be computed from a ladder's numbers.
#[must_use]
pub fn is_sound(ladder: &Ladder) -> bool {
    match ladder {
        Ladder::Range { open, closed, heavy, .. } => *open > 0 && *closed > 0 && closed % open == 0 && *heavy > 0,
        // A quarter of `heavy` is the aim of a bucket.
        Ladder::Hash { bits, rows, heavy } => *bits <= MOST_BITS && *rows > 0 && *heavy >= 4,
        Ladder::Whole => true,
    }
}

/// Whether the ladder can have such a block.
#[must_use]
pub fn fits(ladder: &Ladder, block: Block) -> bool {
    match (ladder, block) {
        _ if !is_sound(ladder) => false,
        (Ladder::Range { open, closed, .. }, Block::Range { lo, .. }) => {
            let mut span = Span::aligned(lo, *open);
            let mut found = span.block() == block || Span::aligned(lo, *closed).block() == block;
            while !found && !span.is_one_key() {
                span = span.half(lo);
                found = span.block() == block;
            }
            found
        }
        (Ladder::Hash { bits: least, .. }, Block::Hash { bucket, bits }) => {
            (*least..=LAST_BIT).contains(&bits) && bucket.checked_shr(bits.into()).unwrap_or(0) == 0
        }
        (Ladder::Whole, Block::Whole {}) => true,
        _ => false,
    }
}

/// Whether `next` lies behind `before`, without a key in common.
#[must_use]
pub fn follows(before: Block, next: Block) -> bool {
    let first_hash = |bucket: u32, bits: u8| u64::from(bucket) << (u32::from(LAST_BIT) - u32::from(bits.min(LAST_BIT)));
    match (before, next) {
        (Block::Range { hi, .. }, Block::Range { lo, .. }) => hi < lo,
        (Block::Hash { bucket: a, bits: m }, Block::Hash { bucket: b, bits: n }) => {
            let width = 1u64 << (u32::from(LAST_BIT) - u32::from(m.min(LAST_BIT)));
            first_hash(a, m) + width <= first_hash(b, n)
        }
        _ => false,
    }
}

/// A range of keys, both ends included. May reach beyond what `i64` holds, where blocks are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    lo: i128,
    hi: i128,
}

impl Span {
    /// The aligned range of `size` keys (at least one) that holds `key`. Such ranges start at 1, `size + 1`, …; and
    /// `1 - size` and so on below.
    #[must_use]
    pub fn aligned(key: i64, size: u32) -> Self {
        let size = i128::from(size.max(1));
        let lo = (i128::from(key) - 1).div_euclid(size) * size + 1;
        Self { lo, hi: lo + size - 1 }
    }

    /// Whether the range has no halves.
    #[must_use]
    pub fn is_one_key(self) -> bool {
        self.lo == self.hi
    }

    /// Whether the key is in the range.
    #[must_use]
    pub fn contains(self, key: i64) -> bool {
        (self.lo..=self.hi).contains(&key.into())
    }

    /// Whether the range ends at `key` or below it.
    #[must_use]
    pub fn ends_by(self, key: i64) -> bool {
        self.hi <= key.into()
    }

    /// The half that holds `key`, which is in the range; the lower one is larger by one where the size is odd.
    #[must_use]
    pub fn half(self, key: i64) -> Self {
        let middle = self.lo + (self.hi - self.lo).div_euclid(2);
        if i128::from(key) <= middle { Self { hi: middle, ..self } } else { Self { lo: middle + 1, ..self } }
    }

    /// The block of this range, with its bounds cut to what `i64` holds.
    #[must_use]
    pub fn block(self) -> Block {
        let cut = |bound: i128, end: i64| i64::try_from(bound).unwrap_or(end);
        Block::Range { lo: cut(self.lo, i64::MIN), hi: cut(self.hi, i64::MAX) }
    }
}

/// The first 32 bits of a key's hash, most significant first: what buckets are cut by.
#[must_use]
pub fn hash_prefix(hash: &blake3::Hash) -> u32 {
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The bucket of a row: the leading `bits` of the first 32 bits of its key's hash.
#[must_use]
pub fn bucket(prefix: u32, bits: u8) -> u32 {
    prefix.checked_shr(u32::from(LAST_BIT - bits.min(LAST_BIT))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::table::{Column, TableName};

    fn bounds(span: Span) -> (i64, i64) {
        match span.block() {
            Block::Range { lo, hi } => (lo, hi),
            other => panic!("{other:?}"),
        }
    }

    fn range(column: &str, open: u32, closed: u32, heavy: u64) -> Ladder {
        Ladder::Range { column: column.into(), open, closed, heavy }
    }

    #[test]
    fn blocks_are_aligned() {
        assert_eq!(bounds(Span::aligned(1, 512)), (1, 512));
        assert_eq!(bounds(Span::aligned(512, 512)), (1, 512));
        assert_eq!(bounds(Span::aligned(513, 512)), (513, 1_024));
        assert_eq!(bounds(Span::aligned(0, 512)), (-511, 0));
        assert_eq!(bounds(Span::aligned(-4_096, 4_096)), (-8_191, -4_096));
        assert_eq!(bounds(Span::aligned(i64::MIN, 512)), (i64::MIN, i64::MIN));
        assert_eq!(bounds(Span::aligned(i64::MAX, 512)), (i64::MAX - 510, i64::MAX));
    }

    #[test]
    fn halves_part_a_range() {
        let span = Span::aligned(600, 512);
        assert_eq!(bounds(span.half(513)), (513, 768));
        assert_eq!(bounds(span.half(768)), (513, 768));
        assert_eq!(bounds(span.half(769)), (769, 1_024));
        let odd = Span::aligned(5, 3);
        assert_eq!((bounds(odd.half(5)), bounds(odd.half(6))), ((4, 5), (6, 6)));
        assert!(odd.half(6).is_one_key() && !odd.half(5).is_one_key());
    }

    #[test]
    fn buckets_are_leading_bits() {
        let prefix = hash_prefix(&blake3::Hash::from_bytes([0b1010_0000; 32]));
        assert_eq!((bucket(prefix, 0), bucket(prefix, 1), bucket(prefix, 3)), (0, 1, 0b101));
        assert_eq!(bucket(prefix, 32), prefix);
    }

    #[test]
    fn a_ladder_once_chosen_is_kept() {
        let column = |name: &str, sql_type: &str| Column {
            name: name.into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: false,
            ..Column::default()
        };
        let table = |key: &str| Table {
            name: TableName::dbo("T"),
            columns: vec![column("Id", "int"), column("Name", "nvarchar(9)")],
            key: vec![key.into()],
            ..Table::default()
        };
        let usual = Some(range("Id", 512, 4_096, 33_554_432));
        let other = range("Id", 256, 1_024, 1_000);
        assert_eq!(range_ladder(&table("Id"), None), usual);
        assert_eq!(range_ladder(&table("Id"), Some(&other)), Some(other));
        // Another key column, or a ladder that cannot be right.
        for wrong in [range("Nr", 256, 1_024, 9), range("Id", 0, 9, 9), range("Id", 3, 1_024, 9), range("Id", 3, 9, 0)]
        {
            assert_eq!(range_ladder(&table("Id"), Some(&wrong)), usual);
        }
        assert_eq!(range_ladder(&table("Id"), Some(&Ladder::Whole)), usual);
        assert_eq!(range_ladder(&table("Name"), None), None);
    }

    #[test]
    fn hash_bits_follow_rows_and_weight_with_some_patience() {
        let usual =
            |bits| if bits == 0 { Ladder::Whole } else { Ladder::Hash { bits, rows: WHOLE_ROWS, heavy: HEAVY } };
        for (rows, weight, before, bits) in [
            (0, 0, None, 0),
            (4_096, 8 << 20, None, 0),
            (4_097, 0, None, 1),
            (4_097, 0, Some(0), 0),
            (8_193, 0, Some(0), 2),
            (4_000, 0, Some(1), 1),
            (4_000, 0, Some(2), 0),
            (u64::MAX, 0, None, MOST_BITS),
            (10, (8 << 20) + 1, None, 1),
            (10, 16 << 20, Some(0), 0),
            (10, (16 << 20) + 1, Some(0), 2),
            (10, u64::MAX, Some(3), MOST_BITS),
            (10, 100 << 20, Some(4), 4),
        ] {
            let before = before.map(usual);
            assert_eq!(hash_ladder(rows, weight, before.as_ref()), usual(bits), "{rows} {weight} {before:?}");
        }
        let own = Ladder::Hash { bits: 3, rows: 10, heavy: 400 };
        assert_eq!(hash_ladder(80, 0, Some(&own)), own);
        assert_eq!(hash_ladder(1, 1_700, Some(&own)), Ladder::Hash { bits: 5, rows: 10, heavy: 400 });
        assert_eq!(hash_ladder(9, 9, Some(&own)), Ladder::Whole);
        assert_eq!(hash_ladder(9, 9, Some(&Ladder::Hash { bits: 21, rows: 1, heavy: 400 })), Ladder::Whole);
    }

    #[test]
    fn blocks_that_a_ladder_cannot_have_are_told() {
        let ladder = range("Id", 512, 4_096, 9);
        let block = |lo, hi| Block::Range { lo, hi };
        for (lo, hi) in [(1, 4_096), (1, 512), (257, 512), (5, 5), (-4_095, 0), (i64::MIN, i64::MIN)] {
            assert!(fits(&ladder, block(lo, hi)), "{lo} to {hi}");
        }
        for (lo, hi) in [(2, 4_097), (1, 1_024), (2, 3), (5, 4), (i64::MIN, i64::MAX)] {
            assert!(!fits(&ladder, block(lo, hi)), "{lo} to {hi}");
        }
        assert!(!fits(&range("Id", 0, 0, 9), block(1, 1)) && !fits(&ladder, Block::Whole {}));
        let ladder = Ladder::Hash { bits: 2, rows: 9, heavy: 9 };
        let block = |bucket, bits| Block::Hash { bucket, bits };
        assert!(fits(&ladder, block(3, 2)) && fits(&ladder, block(4, 3)) && fits(&ladder, block(u32::MAX, 32)));
        assert!(!fits(&ladder, block(4, 2)) && !fits(&ladder, block(1, 1)) && !fits(&ladder, block(1, 33)));
        assert!(
            follows(block(0, 2), block(2, 3)) && follows(block(2, 3), block(3, 3)) && follows(block(6, 3), block(7, 3))
        );
        assert!(
            !follows(block(1, 2), block(3, 3))
                && !follows(block(3, 3), block(2, 3))
                && !follows(block(1, 2), block(1, 2))
        );
        assert!(follows(block(u32::MAX - 1, 32), block(u32::MAX, 32)) && !follows(Block::Whole {}, Block::Whole {}));
    }

    proptest! {
        #[test]
        fn ranges_of_one_size_part_all_keys(a in any::<i64>(), b in any::<i64>(), size in 1u32..9_000) {
            let (one, other) = (Span::aligned(a, size), Span::aligned(b, size));
            prop_assert!(one.contains(a) && other.contains(b));
            prop_assert_eq!(one.contains(b), one == other);
            prop_assert_eq!(other.contains(a), one == other);
            let (lo, hi) = bounds(one);
            prop_assert!(lo <= a && a <= hi);
        }

        #[test]
        fn halves_end_in_one_key(key in any::<i64>(), size in 1u32..9_000) {
            let mut span = Span::aligned(key, size);
            let mut steps = 0;
            while !span.is_one_key() {
                span = span.half(key);
                steps += 1;
                prop_assert!(span.contains(key) && steps <= 14);
            }
            prop_assert_eq!(span, Span::aligned(key, 1));
        }
    }
}
