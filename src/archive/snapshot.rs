//! The snapshot file as data: one consistent state of the till, self-contained (docs/FORMAT.md §Snapshot).
//!
//! A snapshot lists every table's schema and ordered chunks. It is written once, after all chunks it refers to, and never
//! changed. `parent` is the BLAKE3 of the file before it (the stored, compressed bytes), so the files form a chain.

use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

use crate::model::table::Table;

/// The archive format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// How the rows were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Only ranges that differ were read.
    Quick,
    /// Every row was read.
    Full,
}

/// How one state was obtained (DESIGN D7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// One SNAPSHOT transaction.
    Snapshot,
    /// Read, then read again until no ticket had moved in between.
    Reread,
    /// Tickets still moved after the last allowed re-read: parents and children may disagree.
    Moving,
}

/// Who the till was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Server name.
    pub server: String,
    /// Database name.
    pub database: String,
    /// Product version.
    pub version: String,
    /// Database collation.
    pub collation: String,
}

/// How a table's rows are cut into chunks (DESIGN D3; docs/FORMAT.md §6). Stored per table with its numbers, so that a later
/// version keeps old boundaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Ladder {
    /// Aligned ranges of an integer column: blocks of `closed` keys up to the last closed block, then blocks of `open` keys;
    /// smaller ones where rows are heavy.
    Range {
        /// The column that leads the key.
        column: String,
        /// Keys per block at the open end.
        open: u32,
        /// Keys per closed block.
        closed: u32,
        /// Bytes of values above which a block is cut.
        heavy: u64,
    },
    /// One chunk.
    Whole,
    /// Cut by the leading bits of the BLAKE3 of each row's canonical key (or whole row, without a key).
    Hash {
        /// Number of leading bits; buckets that are too heavy have more.
        bits: u8,
        /// Rows that a bucket should hold at most, on average.
        rows: u64,
        /// Bytes of values above which a bucket is cut; a quarter of it is the most it should hold on average.
        heavy: u64,
    },
}

/// The rows a chunk may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Block {
    /// Keys `lo..=hi` of the leading column (the block's bounds, not the bounds of the rows in it).
    Range {
        /// Lowest key of the block.
        lo: i64,
        /// Highest key of the block.
        hi: i64,
    },
    /// Rows whose key hash begins with these bits.
    Hash {
        /// The bucket, `0 ..= 2^bits - 1`.
        bucket: u32,
        /// Number of leading bits that make this bucket: the ladder's, or more where that one was too heavy.
        bits: u8,
    },
    /// All rows of the table.
    Whole {},
}

/// One chunk file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// BLAKE3 of the file's bytes, 64 hex digits. The file is named `<file>-<bytes>.parquet`.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// The rows it may hold.
    pub block: Block,
    /// Content hash of the rows (docs/FORMAT.md §Content hash), 64 hex digits.
    pub content: String,
}

impl Chunk {
    /// The file's name within its table's folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.parquet", self.file, self.bytes)
    }
}

/// One table of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Schema of the table at that moment.
    #[serde(flatten)]
    pub table: Table,
    /// Folder below `tables/`, ASCII (docs/FORMAT.md §Names).
    pub folder: String,
    /// How it is cut.
    pub ladder: Ladder,
    /// Rows in all chunks.
    pub rows: u64,
    /// Chunks in block order. Empty for an empty table.
    pub chunks: Vec<Chunk>,
}

/// A table that should be here and is not, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingTable {
    /// Name as in [`crate::model::table::TableName`]'s display.
    pub table: String,
    /// Reason, for people.
    pub reason: String,
    /// The newest snapshot that has the table, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_in: Option<u64>,
}

/// A clear, restore or switch seen between the snapshot before and this one (DOMAIN §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearSeen {
    /// Tickets of the snapshot before that are gone.
    pub tickets_gone: u64,
    /// In words.
    pub note: String,
}

/// How the rows of a table were obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadHow {
    /// Every row was read, as asked.
    Full,
    /// Chunks whose checksums on the till had not changed were kept; the other rows were read.
    Quick,
    /// Every row was read although a quick snapshot was asked for.
    Whole,
}

/// How one table was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRead {
    /// Table as in [`crate::model::table::TableName`]'s display.
    pub table: String,
    /// In which way.
    pub how: ReadHow,
    /// The checksums that were compared, or that showed that nothing moved while reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums: Option<String>,
    /// Why every row was read, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How often rows of it were read, since they moved; absent for once.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub passes: u32,
    /// Its rows are of a later moment than those of the other tables: the read transaction did not reach it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

fn once() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_once(passes: &u32) -> bool {
    *passes == 1
}

/// One consistent state of the till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// Archive id, as in `tillvault-archive.json`.
    pub archive: String,
    /// Number, from 1, without gaps when written.
    pub snapshot: u64,
    /// BLAKE3 of the file of the snapshot before, 64 hex digits; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When reading began, by this machine's clock.
    pub taken_at: Timestamp,
    /// The till's wall clock at that moment.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// How one state was obtained.
    pub consistency: Consistency,
    /// Who the till was.
    pub source: SourceInfo,
    /// Life of the POS database between clears, from 1 (DOMAIN §3.1).
    pub epoch: u32,
    /// What was seen of a clear since the snapshot before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<ClearSeen>,
    /// Free words, such as `nightly`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Version of tillvault that wrote it.
    pub tool: String,
    /// Tables, sorted by name.
    pub tables: Vec<TableEntry>,
    /// Tables that could not be taken, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingTable>,
    /// How each table was read, where that is not simply once and in full. Sorted by table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<TableRead>,
}

impl Snapshot {
    /// Rows in all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().fold(0, |rows, table| rows.saturating_add(table.rows))
    }

    /// The entry of a table by its display name (`Tickets`, `other.Things`), exact case.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableEntry> {
        self.tables.iter().find(|entry| entry.table.name.to_string() == name)
    }
}
