//! `index/snapshots.json`: which snapshots there are, with the hash of each file. Derived, and a witness.
//!
//! Every other file of the archive is vouched for by a later one: a chunk by the snapshots that name it, a snapshot by the
//! `parent` of its successor. The newest snapshot has no successor yet; this file tells when it is altered or gone.
//!
//! Promises: an entry stays until its snapshot is forgotten, also when the file is lost, so that a loss shows. It never decides
//! what is read: only the files themselves do.

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
    /// Snapshots, ascending by number.
    pub snapshots: Vec<IndexEntry>,
}

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
    /// The entry of a snapshot.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<&IndexEntry> {
        self.snapshots.binary_search_by_key(&number, |entry| entry.snapshot).ok().map(|at| &self.snapshots[at])
    }
}

impl IndexEntry {
    fn new(snapshot: &Snapshot, hash: String, bytes: u64) -> Self {
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
    /// The index, when it is there and makes sense. It is derived: anything else counts as absent.
    #[must_use]
    pub fn index(&self) -> Option<Index> {
        let bytes = fs::read(self.root().join(layout::INDEX_FILE)).ok()?;
        let index: Index = serde_json::from_slice(&bytes).ok()?;
        let ascending = index.snapshots.is_sorted_by(|a, b| a.snapshot < b.snapshot);
        (index.format == FORMAT && index.archive == self.id() && ascending).then_some(index)
    }

    /// What the index should say now: what it said, and the readable snapshots it did not know, without those that were
    /// forgotten and are gone. With `anew` every readable file is read again.
    ///
    /// # Errors
    /// `Store` when a folder cannot be listed; as [`Archive::journal`].
    pub fn present_index(&self, anew: bool) -> Result<Index> {
        let numbers = self.snapshot_numbers()?;
        let journal = self.journal()?;
        let old = self.index().map(|index| index.snapshots).unwrap_or_default();
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
        Ok(Index { format: FORMAT, archive: self.id().to_owned(), snapshots: entries.into_values().collect() })
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
        let text = serde_json::to_string(&index).or_fail(Kind::Bug, || "the index is not JSON")?;
        // One snapshot a line: readable with any editor, and small differences stay small.
        let text = text.replace("{\"snapshot\":", "\n{\"snapshot\":") + "\n";
        put::put_derived(self.store.as_ref(), layout::INDEX_FILE, text.into()).await
    }
}
