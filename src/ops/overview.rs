//! `snapshots` and `show`: what the archive holds, from its small files alone; and which snapshot a person means.
//!
//! [`find`] is the one place that turns `42`, `latest` or `yesterday` into a snapshot. A listing survives damage: what can be
//! read is listed, what cannot is named.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;

use super::threads::side_by_side;
use crate::{
    archive::{
        Archive,
        journal::Journal,
        layout,
        snapshot::{Consistency, Snapshot, SnapshotKind, TableEntry},
    },
    error::{Error, Kind, Result},
    history::as_of::{AsOf, Taken},
};

/// What to do about a lost file.
const RESTORE: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Names of the remotes that a line speaks of.
    pub remotes: Vec<String>,
    /// Only snapshots with one of these tags; all of them when there is none.
    pub tags: Vec<String>,
    /// Only so many, the newest.
    pub last: Option<usize>,
}

/// The JSON of `snapshots`.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// What can be read, ascending by number.
    pub snapshots: Vec<SnapshotLine>,
    /// What waits for a push, by remote; those that are known to hold everything are not named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backlog: Vec<Backlog>,
    /// What should be there and cannot be read.
    pub damaged: Vec<Damaged>,
    /// The exit code of the first thing that cannot be read.
    #[serde(skip)]
    pub code: Option<u8>,
}

/// A file that cannot be read for what it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    /// Number of the snapshot; absent for a record of the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Damaged {
    pub(super) fn new(snapshot: Option<u64>, error: &Error) -> Self {
        Self { snapshot, message: error.message().to_owned(), next: error.next_step().map(str::to_owned) }
    }
}

/// What a remote is not known to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Name of the remote.
    pub remote: String,
    /// Snapshots that the last push from here did not see or bring there, ascending.
    pub snapshots: Vec<u64>,
    /// When it was last pushed to; absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
}

/// One line of `snapshots`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotLine {
    /// Number.
    pub snapshot: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// How one state was obtained.
    pub consistency: Consistency,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Tickets that were gone when this one was taken, if a clear was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared: Option<u64>,
    /// Words kept with it, as they are now.
    pub tags: Vec<String>,
    /// Remotes that are known to hold it. A remote may hold it and not be named, when something else pushed it there.
    pub pushed: Vec<String>,
    /// Tables.
    pub tables: usize,
    /// Tables that could not be taken.
    pub missing: usize,
    /// Rows.
    pub rows: u64,
    /// Bytes of its chunks that no snapshot before it has, each chunk once.
    pub bytes_new: u64,
}

/// Every snapshot, oldest first, and what cannot be read.
///
/// # Errors
/// `Store` when the archive's folders cannot be listed.
pub fn snapshots(archive: &Archive, options: &ListOptions) -> Result<Listing> {
    let mut problems = Problems::default();
    let journal = problems.journal(archive);
    let pushed = archive.pushed();
    let numbers = archive.snapshot_numbers()?;
    let read = read_each(archive, &numbers, |snapshot| (line(&snapshot, &journal), chunk_refs(&snapshot)));
    let (mut lines, mut seen) = (Vec::new(), HashSet::new());
    for (number, result) in numbers.iter().zip(read) {
        let Some((mut line, chunks)) = problems.take(*number, result) else { continue };
        line.bytes_new = chunks.iter().filter(|chunk| seen.insert(chunk.id)).map(|chunk| chunk.bytes).sum();
        line.pushed = options
            .remotes
            .iter()
            .filter(|name| pushed.iter().any(|note| note.remote == **name && note.holds(*number)))
            .cloned()
            .collect();
        lines.push(line);
    }
    problems.lost(archive, &numbers, &journal);
    if !options.tags.is_empty() {
        lines.retain(|line| line.tags.iter().any(|tag| options.tags.contains(tag)));
    }
    if let Some(last) = options.last {
        lines.drain(..lines.len().saturating_sub(last));
    }
    let (damaged, code) = problems.told();
    let backlog = options.remotes.iter().map(|name| {
        let note = pushed.iter().find(|note| note.remote == *name);
        let lacks = |number: &u64| note.is_none_or(|note| !note.holds(*number));
        Backlog {
            remote: name.clone(),
            snapshots: numbers.iter().copied().filter(lacks).collect(),
            pushed_at: note.map(|note| note.at),
        }
    });
    let backlog = backlog.filter(|backlog| !backlog.snapshots.is_empty()).collect();
    Ok(Listing { snapshots: lines, backlog, damaged, code })
}

fn line(snapshot: &Snapshot, journal: &Journal) -> SnapshotLine {
    SnapshotLine {
        snapshot: snapshot.snapshot,
        taken_at: snapshot.taken_at,
        till_time: snapshot.till_time,
        kind: snapshot.kind,
        consistency: snapshot.consistency,
        epoch: snapshot.epoch,
        cleared: snapshot.clear.as_ref().map(|seen| seen.tickets_gone),
        tags: journal.tags(snapshot).to_vec(),
        pushed: Vec::new(),
        tables: snapshot.tables.len(),
        missing: snapshot.missing.len(),
        rows: snapshot.rows(),
        bytes_new: 0,
    }
}

/// What stood in the way of reading everything. Collected, so that the rest is still answered.
#[derive(Default)]
pub(super) struct Problems {
    damaged: Vec<Damaged>,
    codes: Vec<u8>,
}

impl Problems {
    pub(super) fn add(&mut self, snapshot: Option<u64>, error: &Error) {
        self.codes.push(error.exit_code());
        self.damaged.push(Damaged::new(snapshot, error));
    }

    /// What was read of a snapshot, or nothing, noted.
    pub(super) fn take<T>(&mut self, number: u64, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.add(Some(number), &error)).ok()
    }

    /// The journal; an empty one when it cannot be read, so that tags are those of the snapshot files.
    pub(super) fn journal(&mut self, archive: &Archive) -> Journal {
        archive.journal().unwrap_or_else(|error| {
            self.add(None, &error);
            Journal::default()
        })
    }

    /// Snapshots that the index witnesses, that were not forgotten, and whose files are gone.
    fn lost(&mut self, archive: &Archive, numbers: &[u64], journal: &Journal) {
        for entry in archive.index().into_iter().flat_map(|index| index.snapshots) {
            let there = numbers.binary_search(&entry.snapshot).is_ok();
            if !there && !journal.forgotten().contains_key(&entry.snapshot) {
                let path = layout::snapshot_path(entry.snapshot);
                let error = Error::new(Kind::Damage, format!("snapshot file {path} is missing")).hint(RESTORE);
                self.add(Some(entry.snapshot), &error);
            }
        }
    }

    /// What was noted, by number, and the exit code it leads to: damage before anything else.
    pub(super) fn told(mut self) -> (Vec<Damaged>, Option<u8>) {
        let damage = Kind::Damage.exit_code();
        let code = self.codes.iter().find(|code| **code == damage).or(self.codes.first()).copied();
        self.damaged.sort_by_key(|damaged| damaged.snapshot);
        (self.damaged, code)
    }
}

/// A chunk file as a short id, which is the same wherever the file is named, and its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRef {
    pub(super) id: [u8; 16],
    pub(super) bytes: u64,
}

/// The short id of a chunk file.
pub(super) fn chunk_id(folder: &str, file_name: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(folder.as_bytes()).update(b"/").update(file_name.as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

pub(super) fn table_refs(entry: &TableEntry) -> impl Iterator<Item = ChunkRef> + '_ {
    entry.chunks.iter().map(|chunk| ChunkRef { id: chunk_id(&entry.folder, &chunk.file_name()), bytes: chunk.bytes })
}

fn chunk_refs(snapshot: &Snapshot) -> Vec<ChunkRef> {
    snapshot.tables.iter().flat_map(table_refs).collect()
}

/// Reads snapshots side by side and keeps what `take` makes of each, in the order of the numbers: a thousand of them whole would
/// fill the memory. Blocks.
pub(super) fn read_each<T: Send>(
    archive: &Archive,
    numbers: &[u64],
    take: impl Fn(Snapshot) -> T + Sync,
) -> Vec<Result<T>> {
    side_by_side(numbers, |number| archive.snapshot(*number).map(&take))
}

/// The JSON of `show`: the snapshot as its file has it, with its present tags.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The snapshot; `tags` are those it has now.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Remotes that are known to hold it.
    pub pushed: Vec<String>,
}

/// One snapshot with what is known about it beside its file; `asked` as in [`find`].
///
/// # Errors
/// As [`find`], and [`Archive::journal`].
pub fn show(archive: &Archive, asked: Option<&str>, zone: &TimeZone, remotes: &[String]) -> Result<Shown> {
    let mut snapshot = find(archive, asked, zone)?;
    snapshot.tags = archive.journal()?.tags(&snapshot).to_vec();
    let mut pushed: Vec<String> = remotes.to_vec();
    let notes = archive.pushed();
    pushed.retain(|name| notes.iter().any(|note| note.remote == *name && note.holds(snapshot.snapshot)));
    Ok(Shown { snapshot, pushed })
}

/// The snapshot a person means by a number, `latest`, a time, a day or `yesterday` ([`AsOf::parse`]); the newest for `None`. Local
/// times are in `zone`.
///
/// # Errors
/// `Usage` when it is no moment or no snapshot's number; `Query` when no snapshot is that old; `NoArchive` when there is none at
/// all; `Damage` when it, or one that had to be looked at first, cannot be read.
pub fn find(archive: &Archive, asked: Option<&str>, zone: &TimeZone) -> Result<Snapshot> {
    let wanted = match asked {
        Some(text) => AsOf::parse(text, Timestamp::now(), zone)?,
        None => AsOf::Latest,
    };
    let numbers = archive.snapshot_numbers()?;
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Err(Error::new(Kind::NoArchive, format!("{} holds no snapshot yet", archive.root().display()))
            .hint("run `tillvault snapshot` first"));
    };
    match wanted {
        AsOf::Latest => match lost(archive, *last + 1..newest_known(archive, *last) + 1, None) {
            Some(number) => Err(is_lost(number)),
            None => archive.snapshot(*last),
        },
        AsOf::Snapshot(number) if numbers.binary_search(&number).is_ok() => archive.snapshot(number),
        AsOf::Snapshot(number)
            if (1..=newest_known(archive, *last)).contains(&number)
                && lost(archive, number..number + 1, None).is_some() =>
        {
            Err(is_lost(number))
        }
        AsOf::Snapshot(number) => Err(absent(archive, number, *first, *last)),
        AsOf::At(moment) => {
            let mut taken: Vec<Taken> = Vec::new();
            let newest = newest_known(archive, *last);
            // Newest first: the first one that is old enough is the one.
            for number in numbers.into_iter().rev() {
                let snapshot = archive.snapshot(number)?;
                if snapshot.taken_at <= moment {
                    let next = taken.last().map_or(newest + 1, |taken| taken.snapshot);
                    // An older one would be a wrong answer.
                    return match lost(archive, number + 1..next, Some(moment)) {
                        Some(number) => Err(is_lost(number)),
                        None => Ok(snapshot),
                    };
                }
                taken.push(Taken { snapshot: number, taken_at: snapshot.taken_at });
            }
            // None is: let the rule itself say why.
            archive.snapshot(wanted.choose(&taken)?)
        }
    }
}

/// The newest snapshot there is, or was when the index was written.
fn newest_known(archive: &Archive, newest: u64) -> u64 {
    archive.index().and_then(|index| index.snapshots.last().map(|entry| entry.snapshot)).unwrap_or_default().max(newest)
}

/// The first of these numbers that has no file and was not forgotten; with `by`, one that was taken by then as far as
/// the index knows. `None` when the journal cannot be read: then nobody knows what was forgotten.
fn lost(archive: &Archive, mut numbers: Range<u64>, by: Option<Timestamp>) -> Option<u64> {
    let journal = archive.journal().ok()?;
    let entries = archive.index().map(|index| index.snapshots).unwrap_or_default();
    let known: HashMap<u64, Timestamp> = entries.iter().map(|entry| (entry.snapshot, entry.taken_at)).collect();
    let is_too_late = |number: &u64| by.zip(known.get(number)).is_some_and(|(by, taken_at)| *taken_at > by);
    // One that was being written when the folder was listed is there by now.
    let is_there = |number: &u64| archive.root().join(layout::snapshot_path(*number)).exists();
    numbers.find(|number| !journal.forgotten().contains_key(number) && !is_too_late(number) && !is_there(number))
}

fn is_lost(number: u64) -> Error {
    Error::new(Kind::Damage, format!("snapshot {number} is lost: its file is not there, and it was not forgotten"))
        .hint(RESTORE)
}

/// The snapshot before another.
///
/// # Errors
/// `Usage` when there is none; as [`Archive::snapshot`].
pub fn before(archive: &Archive, snapshot: &Snapshot) -> Result<Snapshot> {
    let numbers = archive.snapshot_numbers()?;
    match numbers.iter().rfind(|number| **number < snapshot.snapshot) {
        Some(number) => archive.snapshot(*number),
        None => Err(Error::new(Kind::Usage, format!("there is no snapshot before {}", snapshot.snapshot))
            .hint("`tillvault snapshots` lists those there are")),
    }
}

/// Why there is no snapshot of this number.
fn absent(archive: &Archive, number: u64, first: u64, last: u64) -> Error {
    let journal = archive.journal().unwrap_or_default();
    let message = match journal.forgotten().get(&number) {
        Some(forgotten) => format!(
            "there is no snapshot {number} any more: the one of {} was forgotten",
            forgotten.till_time.strftime("%Y-%m-%d %H:%M:%S")
        ),
        None => format!("there is no snapshot {number}"),
    };
    Error::new(Kind::Usage, message)
        .hint(format!("the archive holds snapshots {first} to {last}: see `tillvault snapshots`"))
}
