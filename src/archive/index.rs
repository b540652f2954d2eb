//! `index/snapshots.json`: which snapshots there are, with the hash of each file. Derived, and a witness.
//!
//! Every other file of the archive is vouched for by a later one: a chunk by the snapshots that name it, a snapshot by the
//! `parent` of its successor. The newest snapshot and the newest record of the journal have no successor yet, and the header
//! never has one; this file tells when they are altered or gone.
//!
//! Promises: an entry stays until its snapshot is forgotten, also when the file is lost, so that a loss shows. It vouches for
//! itself: one that was altered counts as absent. It never decides what is read: only the files themselves do.

use std::{collections::BTreeMap, fs};

use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

use super::{
    folder::Archive,
    layout, put,
    snapshot::{FORMAT, Snapshot, SnapshotKind},
};
use crate::error::{Kind, OrFail, Result};

/// The index file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// Archive id.
    pub archive: String,
    /// BLAKE3 of the archive's header file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The newest record of the journal, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<NewestRecord>,
    /// Snapshots, ascending by number.
    pub snapshots: Vec<IndexEntry>,
}

/// The newest record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestRecord {
    /// Its number.
    pub record: u64,
    /// BLAKE3 of its file.
    pub hash: String,
}

/// The file: the index behind a hash of itself.
#[derive(Serialize)]
struct Sealed<'a> {
    /// BLAKE3 of the whole file with zeros in these 64 places.
    check: String,
    #[serde(flatten)]
    index: &'a Index,
}

/// What stands before the digits of `check`, at the very beginning of the file.
const BEFORE_CHECK: &str = "{\"check\":\"";
const DIGITS: usize = 64;

/// One snapshot in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Number.
    pub snapshot: u64,
    /// BLAKE3 of its file.
    pub hash: String,
    /// Length of its file.
    pub bytes: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Rows in all tables.
    pub rows: u64,
}

impl Index {
    /// The index that the bytes of its file hold, when they are unaltered and of the archive with that id.
    #[must_use]
    pub fn read(bytes: &[u8], archive: &str) -> Option<Self> {
        if !is_sealed(bytes) {
            return None;
        }
        let index: Self = serde_json::from_slice(bytes).ok()?;
        let ascending = index.snapshots.is_sorted_by(|a, b| a.snapshot < b.snapshot);
        (index.format == FORMAT && index.archive == archive && ascending).then_some(index)
    }

    /// The entry of a snapshot.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<&IndexEntry> {
        self.snapshots.binary_search_by_key(&number, |entry| entry.snapshot).ok().map(|at| &self.snapshots[at])
    }
}

impl IndexEntry {
    /// The entry of a snapshot whose file has that hash and length.
    #[must_use]
    pub fn new(snapshot: &Snapshot, hash: String, bytes: u64) -> Self {
        Self {
            snapshot: snapshot.snapshot,
            hash,
            bytes,
            taken_at: snapshot.taken_at,
            till_time: snapshot.till_time,
            kind: snapshot.kind,
            epoch: snapshot.epoch,
            rows: snapshot.rows(),
        }
    }
}

impl Archive {
    /// The index, when it is there, unaltered and this archive's. It is derived: anything else counts as absent.
    #[must_use]
    pub fn index(&self) -> Option<Index> {
        Index::read(&fs::read(self.root().join(layout::INDEX_FILE)).ok()?, self.id())
    }

    /// What the index should say now: what it said, and the readable snapshots it did not know, without those that were
    /// forgotten and are gone. With `anew` every readable file is read again.
    ///
    /// # Errors
    /// `Store` when a folder cannot be listed; as [`Archive::journal`].
    pub fn present_index(&self, anew: bool) -> Result<Index> {
        let numbers = self.snapshot_numbers()?;
        let journal = self.journal()?;
        let old = self.index();
        // What is known already stays: a file that differs from it now is a damaged one.
        let header = old.as_ref().and_then(|old| old.header.clone()).or_else(|| self.header_hash());
        let newest = journal.newest().map(|(record, hash)| NewestRecord { record, hash: hash.to_owned() });
        let witnessed = old.as_ref().and_then(|old| old.journal.clone());
        let newest = match (witnessed, newest) {
            (Some(old), Some(new)) if new.record > old.record => Some(new),
            (old, new) => old.or(new),
        };
        let old = old.map(|index| index.snapshots).unwrap_or_default();
        let mut entries: BTreeMap<u64, IndexEntry> = old.into_iter().map(|entry| (entry.snapshot, entry)).collect();
        entries.retain(|number, _| numbers.binary_search(number).is_ok() || !journal.forgotten().contains_key(number));
        for number in numbers {
            if !anew && entries.contains_key(&number) {
                continue;
            }
            if let (Ok(snapshot), Ok(hash), Ok(file)) =
                (self.snapshot(number), self.snapshot_hash(number), self.snapshot_object(number))
            {
                entries.insert(number, IndexEntry::new(&snapshot, hash, file.bytes));
            }
        }
        let snapshots = entries.into_values().collect();
        Ok(Index { format: FORMAT, archive: self.id().to_owned(), header, journal: newest, snapshots })
    }

    /// Lets the index know snapshots whose files are about to be fetched from a copy of the archive: until they are here they count as lost,
    /// so that no number is given twice, and nothing is forgotten or pruned. What it knows already stays.
    ///
    /// # Errors
    /// As [`Archive::present_index`], and `Store` when it cannot be written.
    pub async fn expect_in_index(&self, expected: Vec<IndexEntry>) -> Result<()> {
        if expected.is_empty() {
            return Ok(());
        }
        let mut index = self.present_index(false)?;
        for entry in expected {
            if let Err(at) = index.snapshots.binary_search_by_key(&entry.snapshot, |entry| entry.snapshot) {
                index.snapshots.insert(at, entry);
            }
        }
        put::put_derived(self.store.as_ref(), layout::INDEX_FILE, seal(&index)?.into()).await
    }

    /// BLAKE3 of the archive's header file, when it can be read and is this archive's.
    #[must_use]
    pub fn header_hash(&self) -> Option<String> {
        let bytes = fs::read(self.root().join(layout::HEADER_FILE)).ok()?;
        Self::header_id(&bytes).ok().filter(|id| id == self.id())?;
        Some(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Brings the index up to date; see [`Archive::present_index`].
    ///
    /// # Errors
    /// As there, and `Store` when it cannot be written.
    pub async fn write_index(&self, anew: bool) -> Result<()> {
        let index = self.present_index(anew)?;
        if self.index().as_ref() == Some(&index) {
            return Ok(());
        }
        put::put_derived(self.store.as_ref(), layout::INDEX_FILE, seal(&index)?.into()).await
    }
}

/// The text of the index file.
fn seal(index: &Index) -> Result<String> {
    let sealed = Sealed { check: "0".repeat(DIGITS), index };
    let text = serde_json::to_string(&sealed).or_fail(Kind::Bug, || "the index is not JSON")?;
    // One snapshot a line: readable with any editor, and small differences stay small.
    let text = text.replace("{\"snapshot\":", "\n{\"snapshot\":") + "\n";
    let check = blake3::hash(text.as_bytes()).to_hex();
    Ok(format!("{BEFORE_CHECK}{check}{}", &text[BEFORE_CHECK.len() + DIGITS..]))
}

/// Whether the bytes are those of an index file as it was written.
fn is_sealed(bytes: &[u8]) -> bool {
    let Some((check, rest)) =
        bytes.strip_prefix(BEFORE_CHECK.as_bytes()).and_then(|rest| rest.split_at_checked(DIGITS))
    else {
        return false;
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(BEFORE_CHECK.as_bytes()).update(&[b'0'; DIGITS]).update(rest);
    hasher.finalize().to_hex().as_bytes() == check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_vouches_for_itself() {
        let entry = IndexEntry {
            snapshot: 1,
            hash: "ab".into(),
            bytes: 5,
            taken_at: Timestamp::UNIX_EPOCH,
            till_time: DateTime::constant(2026, 11, 22, 3, 0, 0, 0),
            kind: SnapshotKind::Full,
            epoch: 1,
            rows: 9,
        };
        let index = Index { format: FORMAT, archive: "x".into(), header: None, journal: None, snapshots: vec![entry] };
        let text = seal(&index).unwrap();
        assert!(is_sealed(text.as_bytes()));
        assert_eq!(serde_json::from_str::<Index>(&text).unwrap(), index);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] ^= 4;
            assert!(!is_sealed(&altered), "byte {at}");
        }
        assert!(!is_sealed(b"") && !is_sealed(BEFORE_CHECK.as_bytes()));
    }
}
