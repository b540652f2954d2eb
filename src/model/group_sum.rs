//! What a till computed over rows that stay there: counts, bounds and checksums of a group of keys.

/// What the till computed over the rows of one group: keys `open·group + 1` to `open·(group + 1)` of the column that leads
/// the key (docs/FORMAT.md §6). A table without such a column is one group, number 0, without bounds.
///
/// Both checksums are sums of a number per row, so that those of several groups add up, and every row's number depends on its
/// key, so that exchanged rows are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSum {
    /// Number of the group; negative below key 1.
    pub group: i64,
    /// Rows in it.
    pub rows: u64,
    /// Lowest leading key.
    pub lowest: Option<i64>,
    /// Highest leading key.
    pub highest: Option<i64>,
    /// The first checksum.
    pub sum1: i128,
    /// The second one, by another rule.
    pub sum2: i128,
    /// Rows that are too long for the till to see all of: the group must be read.
    pub long_rows: u64,
}
