//! `snapshot`: one consistent state of the till into the archive.
//!
//! Order of work: lock, describe, begin, discover, read (trade tables first), settle what moved meanwhile, look for a clear,
//! write the snapshot file last. A run that dies before that last step leaves chunks that the next run finds and uses, and
//! nothing that can be listed. A table that cannot be read, or that the till no longer shows, is named in the snapshot and in a
//! warning; the others go on. A damaged snapshot file does not keep today's rows out of the archive either.
//!
//! [`run`] keeps what a run has so far, [`copy`] reads one table, in full or around what is kept, [`settle`] sees to it that
//! the trade tables belong together where the till gives no transaction.

mod copy;
mod run;
mod settle;

use jiff::Timestamp;
use serde::Serialize;

use self::run::{Failing, Run, Taken};
use super::{balance, changes::Change, clear};
use crate::{
    archive::{
        Archive,
        snapshot::{
            ClearSeen, Consistency, FORMAT, MissingTable, ReadHow, Snapshot, SnapshotKind, SourceInfo, TableEntry,
            TableRead,
        },
        sums::KnownSums,
    },
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    source::{Source, TableSelection, TillInfo},
};

/// How often a run begins anew when its read transaction was lost.
const MAX_STARTS: u32 = 3;

/// What a snapshot is asked for.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    /// Which tables.
    pub selection: TableSelection,
    /// Words to keep with it.
    pub tags: Vec<String>,
    /// Write a snapshot even when nothing changed since the one before.
    pub always: bool,
    /// Read only what differs from the snapshot before by the till's own checksums.
    pub quick: bool,
}

/// One table of the outcome.
#[derive(Clone, Debug, Serialize)]
pub struct TableOutcome {
    /// Name.
    pub name: String,
    /// Rows in the snapshot.
    pub rows: u64,
    /// Chunks in the snapshot.
    pub chunks: u64,
    /// Chunks of the snapshot whose files this run has added.
    pub chunks_new: u64,
    /// Bytes of those.
    pub bytes_new: u64,
    /// Rows read from the till, repeated reads included.
    pub rows_read: u64,
    /// In which way they were read.
    pub how: ReadHow,
}

/// Rows that changed without the quick checksums showing it: a full read found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collision {
    /// Table.
    pub table: String,
    /// Lowest and highest key of the range; absent for a table without an integer key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<(i64, i64)>,
}

/// What a snapshot run did: the JSON of `snapshot`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotOutcome {
    /// Number of the snapshot that holds this state.
    pub snapshot: u64,
    /// `full` or `quick`.
    pub kind: SnapshotKind,
    /// Rows in the snapshot.
    pub rows: u64,
    /// Rows read from the till, repeated reads included.
    pub rows_read: u64,
    /// Chunks in the snapshot.
    pub chunks: u64,
    /// Chunks written.
    pub chunks_new: u64,
    /// Bytes of those.
    pub bytes_new: u64,
    /// Wall time.
    pub seconds: f64,
    /// Nothing had changed: `snapshot` is the one before, and none was written.
    pub unchanged: bool,
    /// How one state was obtained.
    pub consistency: Consistency,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// What was seen of a clear, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
    /// Tables that could not be taken, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingTable>,
    /// What changed in the shape of tables since the snapshot before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Changes that the quick checksums had not shown; found by a full read only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collisions: Vec<Collision>,
    /// How tables were read, where that is not once and in full.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<TableRead>,
    /// Tables, sorted by name.
    pub tables: Vec<TableOutcome>,
}

/// Takes a snapshot of the till, full or quick.
///
/// # Errors
/// `Busy` when another run holds the archive; `Source` when the till fails as a whole; `Store` when the archive cannot be
/// written. In each case no snapshot was added.
pub async fn snapshot(
    archive: &Archive,
    source: &mut dyn Source,
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<SnapshotOutcome> {
    let started = std::time::Instant::now();
    let _lock = archive.lock()?;
    let (previous, unreadable) = archive.latest_readable()?;
    for error in &unreadable {
        let message = format!(
            "{}; today's rows are archived all the same, compared with the newest snapshot that can be read",
            error.message()
        );
        observer.event(Event::Warning { message });
    }
    let taken_at = Timestamp::now();
    let till = source.describe().await?;
    refuse_other_till(previous.as_ref(), &till)?;
    let mut known = archive.known_sums();
    let taken = read_till(archive, source, (previous.as_ref(), &till, &known), options, observer).await?;
    if taken.consistency != Consistency::Snapshot || taken.reads.iter().any(|read| read.apart) {
        check_balance(archive, previous.as_ref(), &taken, &till, observer);
    }
    let clear = clear_seen(archive, previous.as_ref(), &taken, observer).await;
    let epoch = epoch_so_far(archive, previous.as_ref()) + u32::from(clear.is_some());
    let (number, parent) = archive.next_link()?;
    if let Some(seen) = &clear {
        observer.event(Event::Note { message: seen.note.clone() });
    }
    let new_tags = options.tags.iter().any(|tag| !previous.as_ref().is_some_and(|p| p.tags.contains(tag)));
    let kind = if options.quick { SnapshotKind::Quick } else { SnapshotKind::Full };
    let mut outcome = SnapshotOutcome {
        snapshot: number,
        kind,
        rows: taken.entries.iter().map(|entry| entry.rows).sum(),
        rows_read: taken.rows_read,
        chunks: taken.entries.iter().map(|entry| entry.chunks.len() as u64).sum(),
        chunks_new: taken.tables.iter().map(|table| table.chunks_new).sum(),
        bytes_new: taken.tables.iter().map(|table| table.bytes_new).sum(),
        seconds: 0.0,
        unchanged: false,
        consistency: taken.consistency,
        epoch,
        clear: clear.as_ref().map(|seen| seen.note.clone()),
        missing: taken.missing.clone(),
        changes: taken.changes.clone(),
        collisions: taken.collisions.clone(),
        reads: taken.reads.clone(),
        tables: taken.tables.clone(),
    };
    taken.remember(&mut known);
    match &previous {
        Some(before)
            if unreadable.is_empty()
                && !options.always
                && !new_tags
                && same_state(before, &taken.entries, &taken.missing) =>
        {
            outcome.snapshot = before.snapshot;
            outcome.unchanged = true;
        }
        _ => {
            let snapshot = Snapshot {
                format: FORMAT,
                archive: archive.id().to_owned(),
                snapshot: outcome.snapshot,
                parent,
                taken_at,
                till_time: till.local_time,
                kind,
                consistency: taken.consistency,
                source: SourceInfo {
                    server: till.server,
                    database: till.database,
                    version: till.version,
                    collation: till.collation,
                },
                epoch,
                clear,
                tags: options.tags.clone(),
                tool: env!("CARGO_PKG_VERSION").into(),
                tables: taken.entries,
                missing: taken.missing,
                reads: taken.reads,
            };
            archive.write_snapshot(&snapshot).await?;
        }
    }
    write_derived(archive, &known, observer).await;
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// Reads every table as of one moment. Begins anew when the read transaction was lost: what was read before and what would be
/// read then are different moments. Chunks that were written are found and used.
///
/// On some servers every error ends the transaction. What is known to fail is not asked for again then, and a beginning that
/// has learned such a thing is not one of the few: else one table that cannot be read would keep all others out.
async fn read_till(
    archive: &Archive,
    source: &mut dyn Source,
    (previous, till, known): (Option<&Snapshot>, &TillInfo, &KnownSums),
    options: &SnapshotOptions,
    observer: &SharedObserver,
) -> Result<Taken> {
    let mut starts = 0;
    let mut failing = Failing::default();
    loop {
        starts += 1;
        let knew = failing.len();
        let mut run = Run::new(archive, observer, (previous, till, known), options.quick, failing);
        let (error, in_transaction) = match run.begin(source).await {
            Ok(()) => match run.read(source, options).await {
                Ok(()) => return run.finish(),
                Err(error) => (error, run.in_transaction),
            },
            Err(error) => (error, false),
        };
        run.abandon().await;
        failing = run.into_failing();
        if failing.len() > knew {
            starts -= 1;
        }
        let is_temporary = in_transaction && error.kind() == Kind::Source && error.is_temporary();
        let is_lost = is_temporary || error.transaction_lost();
        if !is_lost || starts >= MAX_STARTS || source.end().await.is_err() {
            return Err(error);
        }
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        let message = format!("the read transaction was lost, so the till is read anew: {}{cause}", error.message());
        observer.event(Event::Note { message });
    }
}

/// What was seen of a clear since the snapshot before.
async fn clear_seen(
    archive: &Archive,
    previous: Option<&Snapshot>,
    taken: &Taken,
    observer: &SharedObserver,
) -> Option<ClearSeen> {
    match clear::detect(archive, previous, &taken.entries, &taken.missing).await {
        Ok(clear) => clear,
        // A fault in older files must not keep today's rows out of the archive: the till may be cleared next.
        Err(error) => {
            let message = format!(
                "whether the till was cleared cannot be told, since its earlier tickets cannot be compared: {}",
                error.message()
            );
            observer.event(Event::Warning { message });
            None
        }
    }
}

/// The sum check on closed tickets, where they were not read in one transaction.
fn check_balance(
    archive: &Archive,
    previous: Option<&Snapshot>,
    taken: &Taken,
    till: &TillInfo,
    observer: &SharedObserver,
) {
    let before = previous.map(|snapshot| snapshot.tables.as_slice());
    let message = match balance::check(archive, before, &taken.entries, &taken.missing, till.local_time) {
        Ok(deviations) => balance::warning(&deviations),
        // The rows are in the archive, whatever is wrong with earlier ones.
        Err(error) => Some(format!("closed tickets cannot be checked against their payments: {}", error.message())),
    };
    if let Some(message) = message {
        observer.event(Event::Warning { message });
    }
}

/// The index and the known sums: derived, so that the snapshot is whole without them.
async fn write_derived(archive: &Archive, known: &KnownSums, observer: &SharedObserver) {
    if let Err(error) = archive.write_known_sums(known).await {
        let message =
            format!("the till's checksums were not noted, so the next quick snapshot reads more: {}", error.message());
        observer.event(Event::Note { message });
    }
    if let Err(error) = archive.write_index(false).await {
        let message = format!(
            "the archive's index is not up to date: {}; `tillvault check --repair` rebuilds it",
            error.message()
        );
        observer.event(Event::Warning { message });
    }
}

/// An archive belongs to one till: rows of another database must not be taken for its next state (DOMAIN §3.1, "switch").
fn refuse_other_till(previous: Option<&Snapshot>, till: &TillInfo) -> Result<()> {
    let Some(previous) = previous else { return Ok(()) };
    if previous.source.database.eq_ignore_ascii_case(&till.database) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Refused,
        format!(
            "the archive holds database {}, and the till's settings name {}",
            previous.source.database, till.database
        ),
    )
    .hint("correct sambapos_db_name, or use an archive of its own for the other database"))
}

/// The epoch before this run. The index remembers it where the newest snapshots cannot be read.
fn epoch_so_far(archive: &Archive, previous: Option<&Snapshot>) -> u32 {
    let indexed = archive.index().and_then(|index| index.snapshots.last().map(|entry| entry.epoch));
    previous.map_or(1, |snapshot| snapshot.epoch).max(indexed.unwrap_or(1))
}

/// Whether the tables are, to the chunk, those of the snapshot before.
fn same_state(before: &Snapshot, entries: &[TableEntry], missing: &[MissingTable]) -> bool {
    before.tables == entries && before.missing == missing
}
