//! The journal: what was decided about snapshots after they were written (docs/FORMAT.md §Journal).
//!
//! Snapshot files never change, so a tag given later and the fact that a snapshot was forgotten stand in records of their own:
//! small, write-once, numbered and chained like snapshots. With them a gap in the snapshots can be told from a loss, and the
//! chain of parents can be followed across it.
//!
//! Promises: a record is written before the files it speaks of are removed; reading it all gives the present tags and every
//! forgotten snapshot. It never changes a record.

use std::{collections::BTreeMap, fs, io};

use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

use super::{
    flaw::{Flaw, Flawed},
    folder::{Archive, check_format, entries},
    index::Index,
    layout, put,
    snapshot::{FORMAT, Snapshot, SnapshotKind},
    snapshots::{compress, decompress},
};
use crate::error::{Error, Kind, OrFail, Result};

const FROM_A_REMOTE: &str = "`tillvault check --repair` fetches it from a remote that has it";

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// Archive id.
    pub archive: String,
    /// Number, from 1, without gaps.
    pub record: u64,
    /// BLAKE3 of the stored bytes of the record before, 64 hex digits; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was written.
    pub at: Timestamp,
    /// Version of tillvault that wrote it.
    pub tool: String,
    /// Tags given or taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tagging>,
    /// Snapshots forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget: Option<Forgetting>,
}

/// The tags of a snapshot from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tagging {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// All its tags, in place of those before.
    pub tags: Vec<String>,
}

/// Snapshots whose files are about to be removed on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgetting {
    /// By which rule, for people.
    pub why: String,
    /// Which ones, ascending.
    pub snapshots: Vec<Forgotten>,
}

/// What stays known of a forgotten snapshot: its link in the chain, and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Its number.
    pub snapshot: u64,
    /// BLAKE3 of its file.
    pub hash: String,
    /// The `parent` it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Its tags when it was forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The whole journal, read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    tags: BTreeMap<u64, Vec<String>>,
    forgotten: BTreeMap<u64, Forgotten>,
    /// BLAKE3 of every record's file, from the first on.
    hashes: Vec<String>,
}

impl Journal {
    /// The present tags of a snapshot: those given last, else those it was taken with.
    #[must_use]
    pub fn tags<'a>(&'a self, snapshot: &'a Snapshot) -> &'a [String] {
        self.tags_given(snapshot.snapshot).unwrap_or(&snapshot.tags)
    }

    /// The tags that a snapshot was given after it was taken, in place of its first ones; none when it still has those.
    #[must_use]
    pub fn tags_given(&self, snapshot: u64) -> Option<&[String]> {
        self.tags.get(&snapshot).map(Vec::as_slice)
    }

    /// Every snapshot that was ever forgotten, by number. Its file may still be there, or be there again.
    #[must_use]
    pub fn forgotten(&self) -> &BTreeMap<u64, Forgotten> {
        &self.forgotten
    }

    /// Number and BLAKE3 of the newest record.
    #[must_use]
    pub fn newest(&self) -> Option<(u64, &str)> {
        self.hashes.last().map(|hash| (self.hashes.len() as u64, hash.as_str()))
    }

    /// BLAKE3 of the file of a record.
    fn hash(&self, record: u64) -> Option<&str> {
        let at = usize::try_from(record.checked_sub(1)?).ok()?;
        self.hashes.get(at).map(String::as_str)
    }

    /// Whether the index knows a record that is not this journal's: one that is lost, or another of that number.
    ///
    /// # Errors
    /// `Damage` when it does. To go on from here would hide what that record says, and its loss.
    pub(super) fn check_witness(&self, index: Option<&Index>) -> Result<()> {
        let Some(known) = index.and_then(|index| index.journal.as_ref()) else { return Ok(()) };
        let path = layout::record_path(known.record);
        let what = match self.hash(known.record) {
            Some(hash) if hash == known.hash => return Ok(()),
            Some(_) => format!("{path} is not the one that the index knows"),
            None => format!("{path} is lost: the index knows it, and it is not there"),
        };
        let without = format!(
            "when no copy is left, move {} away: the archive goes on without what that record said",
            layout::INDEX_FILE
        );
        Err(Error::new(Kind::Damage, what).hint(format!("{FROM_A_REMOTE}; {without}")))
    }

    fn take_in(&mut self, record: Record, hash: String) {
        self.hashes.push(hash);
        if let Some(tagging) = record.tag {
            self.tags.insert(tagging.snapshot, tagging.tags);
        }
        for forgotten in record.forget.into_iter().flat_map(|forgetting| forgetting.snapshots) {
            self.forgotten.insert(forgotten.snapshot, forgotten);
        }
    }
}

impl Archive {
    /// Reads the journal.
    ///
    /// # Errors
    /// `Damage` when a record is missing, cannot be read for what it should be or does not follow the one before; `Store` when a
    /// newer tillvault wrote one.
    pub fn journal(&self) -> Result<Journal> {
        let mut journal = Journal::default();
        for (expected, number) in (1..).zip(self.record_numbers()?) {
            if number != expected {
                return Err(Error::new(
                    Kind::Damage,
                    format!("{} is missing from the journal", layout::record_path(expected)),
                )
                .hint(FROM_A_REMOTE));
            }
            let (record, hash) = self.record(number)?;
            if record.parent.as_deref() != journal.newest().map(|(_, hash)| hash) {
                let path = layout::record_path(number);
                return Err(Error::new(
                    Kind::Damage,
                    format!("{path} does not follow the record before it: one of the two was altered or exchanged"),
                )
                .hint(FROM_A_REMOTE));
            }
            journal.take_in(record, hash);
        }
        Ok(journal)
    }

    /// Numbers of the journal's records that are there, ascending.
    ///
    /// # Errors
    /// `Store` when the folder cannot be listed.
    pub fn record_numbers(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = entries(&self.root().join(layout::JOURNAL))?
            .iter()
            .filter_map(|entry| layout::snapshot_number(entry.file_name().to_str()?))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads one record and the BLAKE3 of its file.
    ///
    /// # Errors
    /// As [`Archive::journal`].
    pub fn record(&self, number: u64) -> Result<(Record, String)> {
        let path = layout::record_path(number);
        let bytes = fs::read(self.root().join(&path)).map_err(|error| {
            let kind = if error.kind() == io::ErrorKind::NotFound { Kind::Damage } else { Kind::Store };
            Error::new(kind, format!("{path} cannot be read")).hint(FROM_A_REMOTE).caused_by(error)
        })?;
        let record = self.parse_record(number, &bytes)?;
        Ok((record, blake3::hash(&bytes).to_hex().to_string()))
    }

    /// The record that the bytes of a file named `number` hold.
    ///
    /// # Errors
    /// What is wrong with them, sorted by [`Flaw`].
    pub fn parse_record(&self, number: u64, bytes: &[u8]) -> Result<Record, Flawed> {
        let path = layout::record_path(number);
        let damaged = || Error::new(Kind::Damage, format!("{path} is damaged")).hint(FROM_A_REMOTE);
        let text = decompress(bytes).map_err(|error| Flaw::of_frame(bytes, &error).with(damaged().caused_by(error)))?;
        let not_json = |error: serde_json::Error| {
            let flaw = if bytes.is_empty() { Flaw::Cut } else { Flaw::Altered };
            flaw.with(damaged().caused_by(error))
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(not_json)?;
        check_format(value.get("format"), &path).map_err(Flaw::of_format)?;
        let record: Record = serde_json::from_value(value).map_err(not_json)?;
        if record.record != number || record.archive != self.id() {
            return Err(Flaw::Exchanged.with(
                Error::new(Kind::Damage, format!("{path} is record {} of archive {}", record.record, record.archive))
                    .hint(FROM_A_REMOTE),
            ));
        }
        Ok(record)
    }

    /// Adds a record. Call it under [`Archive::lock`], with the journal as read under that lock.
    ///
    /// # Errors
    /// `Busy` when another record came in between; `Damage` when the index knows a record that is lost; `Store` when it cannot be
    /// written.
    pub async fn write_record(
        &self,
        journal: &mut Journal,
        tag: Option<Tagging>,
        forget: Option<Forgetting>,
    ) -> Result<()> {
        journal.check_witness(self.index().as_ref())?;
        let (number, parent) = match journal.newest() {
            Some((number, hash)) => (number + 1, Some(hash.to_owned())),
            None => (1, None),
        };
        let record = Record {
            format: FORMAT,
            archive: self.id().to_owned(),
            record: number,
            parent,
            at: Timestamp::now(),
            tool: env!("CARGO_PKG_VERSION").into(),
            tag,
            forget,
        };
        let path = layout::record_path(number);
        let text = serde_json::to_vec(&record).or_fail(Kind::Bug, || format!("{path} is not JSON"))?;
        let bytes = compress(&text).or_fail(Kind::Bug, || format!("{path} cannot be compressed"))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if !put::put_once(self.store.as_ref(), &path, bytes.into()).await? {
            return Err(Error::new(Kind::Busy, format!("{path} is there already: another run wrote it"))
                .hint("run again")
                .temporary());
        }
        journal.take_in(record, hash);
        Ok(())
    }
}
