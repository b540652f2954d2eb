//! `forget --lost`: accepts the loss of snapshots whose file is gone or damaged and of which no good copy is left.
//!
//! While a snapshot is lost, nothing is forgotten or pruned, and every check says so. When the file cannot be brought back, this
//! is the way on: the journal names the snapshot as forgotten, with its place in the chain as far as anything tells it.
//!
//! Promises: a snapshot that can be read is never dropped this way; a damaged file is kept in `damaged/`; chunks stay until
//! `prune`. It reads nothing but snapshot files, the journal and the index.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::DateTime};
use serde::Serialize;

use crate::{
    archive::{
        Archive,
        index::Index,
        journal::{Forgetting, Forgotten, Journal},
        layout,
        snapshot::{Snapshot, SnapshotKind},
    },
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
};

/// Stands for the hash of a file that nothing vouches for any more (docs/FORMAT.md §11).
const NOT_KNOWN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The JSON of `forget --lost`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostOutcome {
    /// Nothing was changed: what follows would be done.
    pub dry_run: bool,
    /// Numbers of the snapshots whose loss was accepted.
    pub forgotten: Vec<u64>,
    /// Where damaged files were moved.
    pub set_aside: Vec<String>,
}

/// Records lost snapshots as forgotten and moves their damaged files aside.
///
/// # Errors
/// `Refused` when one of them can be read, or is newer than any that can; `Usage` when there never was one of that number;
/// `Damage` when the journal cannot be read; `Busy` when another run is active; `Store` when the disk fails.
pub async fn forget_lost(
    archive: &Archive,
    numbers: &BTreeSet<u64>,
    dry_run: bool,
    observer: &SharedObserver,
) -> Result<LostOutcome> {
    let _locks = if dry_run { None } else { Some((archive.lock()?, archive.lock_push()?)) };
    let mut journal = archive.journal()?;
    let view = View::of(archive, &journal)?;
    let mut lost: BTreeMap<u64, Forgotten> = BTreeMap::new();
    for number in numbers {
        view.refuse_unless_lost(*number)?;
        let found = view.describe(*number, &lost);
        lost.insert(*number, found);
    }
    let damaged: Vec<u64> = numbers.iter().copied().filter(|number| view.listed.contains(number)).collect();
    let mut outcome = LostOutcome { dry_run, forgotten: numbers.iter().copied().collect(), set_aside: Vec::new() };
    if dry_run {
        return Ok(outcome);
    }
    let new: Vec<Forgotten> =
        lost.into_values().filter(|one| !journal.forgotten().contains_key(&one.snapshot)).collect();
    if !new.is_empty() {
        let why = "lost: the file was damaged or gone, and its loss was accepted".to_owned();
        archive.write_record(&mut journal, None, Some(Forgetting { why, snapshots: new })).await?;
    }
    for number in damaged {
        outcome.set_aside.push(archive.set_aside(&layout::snapshot_path(number)).await?);
    }
    if let Err(error) = archive.write_index(false).await {
        let message = format!("the archive's index is not up to date: {}", error.message());
        observer.event(Event::Warning { message });
    }
    Ok(outcome)
}

/// What is known of the snapshots around the lost ones.
struct View<'a> {
    journal: &'a Journal,
    index: Option<Index>,
    /// Numbers whose file is there.
    listed: BTreeSet<u64>,
    /// Those that can be read, with the hash of their file.
    readable: BTreeMap<u64, (Snapshot, String)>,
}

impl<'a> View<'a> {
    fn of(archive: &Archive, journal: &'a Journal) -> Result<Self> {
        let listed: BTreeSet<u64> = archive.snapshot_numbers()?.into_iter().collect();
        let mut readable = BTreeMap::new();
        for number in &listed {
            match archive.snapshot(*number) {
                Ok(snapshot) => {
                    readable.insert(*number, (snapshot, archive.snapshot_hash(*number)?));
                }
                Err(error) if error.kind() == Kind::Damage => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { journal, index: archive.index(), listed, readable })
    }

    /// The hash its file should have, by its successor, the journal or the index.
    fn vouched(&self, number: u64) -> Option<String> {
        let successor = self.readable.get(&(number + 1)).and_then(|(next, _)| next.parent.clone());
        let next_forgotten = || self.journal.forgotten().get(&(number + 1)).and_then(|next| next.parent.clone());
        let indexed = || self.index.as_ref()?.entry(number).map(|entry| entry.hash.clone());
        successor.or_else(next_forgotten).or_else(indexed)
    }

    fn refuse_unless_lost(&self, number: u64) -> Result<()> {
        if let Some((_, hash)) = self.readable.get(&number)
            && self.vouched(number).is_none_or(|vouched| vouched == *hash)
        {
            return Err(Error::new(Kind::Refused, format!("snapshot {number} can be read: it is not lost"))
                .hint("leave out --lost to forget it; nothing was forgotten"));
        }
        if self.journal.forgotten().contains_key(&number) && !self.listed.contains(&number) {
            return Ok(());
        }
        let newest = self.readable.keys().copied().filter(|other| *other != number).max().unwrap_or(0);
        if number < newest {
            return Ok(());
        }
        let was_there = self.listed.contains(&number) || self.vouched(number).is_some();
        Err(if was_there {
            Error::new(Kind::Refused, format!("snapshot {number} is newer than any that can be read"))
                .hint("take another snapshot first: it takes its place in the chain; nothing was forgotten")
        } else {
            Error::new(Kind::Usage, format!("this archive never had a snapshot {number}"))
                .hint("`tillvault check` names those that are lost; nothing was forgotten")
        })
    }

    /// What the journal will say of a lost snapshot. `lost` are those below it that are lost, too.
    fn describe(&self, number: u64, lost: &BTreeMap<u64, Forgotten>) -> Forgotten {
        let before = number - 1;
        let parent = (before > 0).then(|| {
            let readable = self.readable.get(&before).map(|(_, hash)| hash.clone());
            // What is about to be recorded of a lost one comes first: its altered file may still be readable.
            let recorded = lost.get(&before).or_else(|| self.journal.forgotten().get(&before));
            let recorded = recorded.map(|one| one.hash.clone());
            let hash = if lost.contains_key(&before) { recorded } else { readable.or(recorded) };
            hash.or_else(|| self.vouched(before)).unwrap_or_else(|| NOT_KNOWN.to_owned())
        });
        let (taken_at, till_time, kind, epoch) = self.moment(number, lost);
        Forgotten {
            snapshot: number,
            hash: self.vouched(number).unwrap_or_else(|| NOT_KNOWN.to_owned()),
            parent,
            taken_at,
            till_time,
            kind,
            epoch,
            tags: self.journal.tags_given(number).map(<[String]>::to_vec).unwrap_or_default(),
        }
    }

    /// When it was taken: by the index, else as its nearest known predecessor, else as its successor.
    fn moment(&self, number: u64, lost: &BTreeMap<u64, Forgotten>) -> (Timestamp, DateTime, SnapshotKind, u32) {
        if let Some(entry) = self.index.as_ref().and_then(|index| index.entry(number)) {
            return (entry.taken_at, entry.till_time, entry.kind, entry.epoch);
        }
        let readable = |(number, (one, _)): (&u64, &(Snapshot, String))| {
            (*number, (one.taken_at, one.till_time, one.kind, one.epoch))
        };
        let recorded =
            |(number, one): (&u64, &Forgotten)| (*number, (one.taken_at, one.till_time, one.kind, one.epoch));
        let before = self.readable.range(..number).next_back().map(readable).into_iter();
        let before = before.chain(self.journal.forgotten().range(..number).next_back().map(recorded));
        let before = before.chain(lost.range(..number).next_back().map(recorded));
        let after = self.readable.range(number + 1..).next().map(readable);
        before
            .max_by_key(|(number, _)| *number)
            .or(after)
            .map_or_else(|| (Timestamp::UNIX_EPOCH, DateTime::default(), SnapshotKind::Full, 1), |(_, moment)| moment)
    }
}
