//! What a check found, as data.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something of the archive is lost or wrong, unless a good copy is found elsewhere.
    Damage,
    /// Nothing is lost, but somebody should act.
    Warning,
    /// Worth knowing.
    Note,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The archive's header is missing, or is none.
    HeaderDamaged,
    /// The header is not the one that the index knows, or names another archive than the snapshots.
    HeaderAltered,
    /// A newer version wrote this file: it was not checked.
    UnknownFormat,
    /// A file or folder that the disk does not hand out.
    Unreadable,
    /// Neither a file of that number is there, nor was it forgotten.
    SnapshotMissing,
    /// The end of the file is missing.
    SnapshotTruncated,
    /// The file is not what was written.
    SnapshotAltered,
    /// The file is another snapshot's, or another archive's.
    SnapshotExchanged,
    /// The snapshot says things that cannot all be true.
    SnapshotContradictory,
    /// A snapshot follows another parent than the one that is here.
    SnapshotFork,
    /// A record of the journal is not there.
    RecordMissing,
    /// A record of the journal is not what was written.
    RecordAltered,
    /// A chunk that snapshots name is not there.
    ChunkMissing,
    /// A chunk is shorter than its name says.
    ChunkTruncated,
    /// A chunk is longer than its name says.
    ChunkOverlong,
    /// A chunk is not there, but lies in another table's folder.
    ChunkMisplaced,
    /// The bytes of a chunk do not match its name.
    ChunkAltered,
    /// The bytes of a chunk are those of another one.
    ChunkSwapped,
    /// The rows of a chunk cannot be decoded, though its bytes match its name.
    ChunkUndecodable,
    /// A column is stored with another type than declared.
    ColumnType,
    /// A column has values that the snapshot does not declare.
    ColumnUndeclared,
    /// A chunk holds another number of rows.
    RowCount,
    /// Rows of a chunk are not in order.
    RowsOutOfOrder,
    /// Rows of a chunk do not belong into its block.
    RowsOutOfBlock,
    /// The rows of a chunk have another content hash.
    ContentMismatch,
    /// The index is not there, or was altered.
    IndexAbsent,
    /// The index does not say what it should.
    IndexOutdated,
    /// `README.md` is not there.
    ReadmeAbsent,
    /// `README.md` is not the text that this version writes.
    ReadmeOutdated,
    /// A chunk that no snapshot names.
    ChunkOrphaned,
    /// A file that was not finished.
    Leftover,
    /// Something that does not belong here.
    Foreign,
    /// The archive has it, and the remote has never had it: it waits for a push.
    NotPushed,
}

impl FindingKind {
    /// How bad it is.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::ChunkOrphaned | Self::Leftover | Self::Foreign | Self::NotPushed => Level::Note,
            Self::UnknownFormat
            | Self::ColumnUndeclared
            | Self::IndexAbsent
            | Self::IndexOutdated
            | Self::ReadmeAbsent
            | Self::ReadmeOutdated => Level::Warning,
            _ => Level::Damage,
        }
    }
}

/// As in JSON: `chunk-missing`.
impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Numbers of snapshots, kept as ranges: a chunk may be part of every one of many thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// One number.
    #[must_use]
    pub fn one(number: u64) -> Self {
        Self(vec![(number, number)])
    }

    /// Adds a number that is not below those that are in.
    pub fn push(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last >= number => {}
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.0.push((number, number)),
        }
    }

    /// Every number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// As a list of numbers.
impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// For people: `1, 3-7`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// How bad.
    pub level: Level,
    /// The file or folder it is about, relative to the archive's root.
    pub path: String,
    /// In words.
    pub message: String,
    /// The table, as its snapshots name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Snapshots that cannot be read in full because of it, as far as known.
    pub snapshots: Numbers,
    /// Length of the file, where it says how much is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            level: kind.level(),
            path: path.into(),
            message: message.into(),
            table: None,
            snapshots: Numbers::default(),
            bytes: None,
            next_step: None,
        }
    }

    pub(super) fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }

    pub(super) fn of_snapshots(mut self, snapshots: Numbers) -> Self {
        self.snapshots = snapshots;
        self
    }

    pub(super) fn of_table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    pub(super) fn of_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(super) fn at_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

/// How many findings of each level there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Damage.
    pub damage: u64,
    /// Warnings.
    pub warnings: u64,
    /// Notes.
    pub notes: u64,
}

/// What a check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Snapshot files that were read.
    pub snapshots: u64,
    /// Records of the journal that were read.
    pub records: u64,
    /// Chunks that snapshots name, each counted once.
    pub chunks: u64,
    /// Their length together.
    pub chunk_bytes: u64,
    /// Chunk files whose bytes were compared with their names.
    pub chunks_read: u64,
    /// Their length together.
    pub bytes_read: u64,
    /// Chunks whose rows were decoded.
    pub chunks_decoded: u64,
    /// Chunk files that no snapshot names.
    pub orphans: u64,
    /// Their length together.
    pub orphan_bytes: u64,
}

/// What a check found and what it covered. Serialises to the JSON of the command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckOutcome {
    /// Everything found: damage first, then by path.
    pub findings: Vec<Finding>,
    /// How many of each level.
    pub counts: Counts,
    /// What was looked at.
    pub covered: Covered,
    /// The part of the chunks that was read, `n/m`, where some were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_data: Option<String>,
    /// The part of the chunks that was decoded, `n/m`, where some were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deep: Option<String>,
    /// What a repair did before this check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Vec<super::repair::Repaired>>,
    /// What a repair would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<super::repair::RepairPlan>,
    /// Wall time.
    pub seconds: f64,
}

impl CheckOutcome {
    /// Whether anything is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.counts.damage > 0
    }
}

/// Puts findings in order and counts them.
pub(super) fn sorted(mut findings: Vec<Finding>) -> (Vec<Finding>, Counts) {
    findings.sort_by(|a, b| (a.level, &a.path, a.kind, &a.message).cmp(&(b.level, &b.path, b.kind, &b.message)));
    findings.dedup();
    let mut counts = Counts::default();
    for finding in &findings {
        match finding.level {
            Level::Damage => counts.damage += 1,
            Level::Warning => counts.warnings += 1,
            Level::Note => counts.notes += 1,
        }
    }
    (findings, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_ranges() {
        let mut numbers = Numbers::default();
        for number in [1, 3, 4, 4, 5, 9] {
            numbers.push(number);
        }
        assert_eq!(numbers.to_string(), "1, 3-5, 9");
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[1,3,4,5,9]");
        assert_eq!(numbers.count(), 5);
    }

    #[test]
    fn kinds_read_as_in_json() {
        assert_eq!(FindingKind::RowsOutOfBlock.to_string(), "rows-out-of-block");
        assert_eq!(Level::Damage.to_string(), "damage");
    }
}
