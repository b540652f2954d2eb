//! `snapshot`: one consistent state of the till into the archive.
//!
//! Order of work: lock, describe, discover, read (trade tables first), settle what moved meanwhile, look for a clear, write
//! the snapshot file last. A run that dies before that last step leaves chunks that the next run finds and uses, and nothing
//! that can be listed. A table that cannot be read, or that the till no longer shows, is named in the snapshot and in a warning;
//! the others go on. A damaged snapshot file does not keep today's rows out of the archive either.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::clear;
use crate::{
    archive::{
        Archive, layout,
        snapshot::{Consistency, FORMAT, MissingTable, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    error::{Error, Kind, Result},
    model::table::{KeyRange, Table, TableName},
    observe::{Event, SharedObserver},
    source::{Source, TableSelection, TillInfo, TradeMark, pattern},
};

/// Tables whose rows belong to one ticket or its ledger document, parents first. They are read in one go and read again
/// when a ticket moved meanwhile (DOMAIN §11).
const TRADE_TABLES: [&str; 12] = [
    "Tickets",
    "Orders",
    "Payments",
    "ChangePayments",
    "Calculations",
    "PaidItems",
    "TicketEntities",
    "ProductTimerValues",
    "AccountTransactionDocuments",
    "AccountTransactions",
    "AccountTransactionValues",
    "Numerators",
];

/// How often the trade tables are read before giving up on a still moment.
const MAX_READS: u32 = 3;

/// Place of a table among [`TRADE_TABLES`]. Letters match in either case: Babelfish keeps names in lower case.
fn trade_rank(table: &TableName) -> usize {
    let name = table.to_string();
    TRADE_TABLES.iter().position(|trade| trade.eq_ignore_ascii_case(&name)).unwrap_or(TRADE_TABLES.len())
}

/// What a snapshot is asked for.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    /// Which tables.
    pub selection: TableSelection,
    /// Words to keep with it.
    pub tags: Vec<String>,
    /// Write a snapshot even when nothing changed since the one before.
    pub always: bool,
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
    /// Tables, sorted by name.
    pub tables: Vec<TableOutcome>,
}

/// Takes a full snapshot of the till.
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
    let tables = source.tables(&options.selection).await?;
    if tables.is_empty() {
        return Err(Error::new(Kind::Source, format!("no table to read in database {}", till.database))
            .hint("check the database name and [tables] in the settings; the login needs the role db_datareader"));
    }
    let mut run = Run {
        archive,
        observer,
        previous: previous.as_ref(),
        taken: BTreeMap::new(),
        rows_read: 0,
        new_files: HashSet::new(),
    };
    run.name_vanished(&tables, &options.selection);
    let in_transaction = source.begin().await?;
    observer.event(Event::Phase { name: "read the till", total: Some(tables.len() as u64) });
    let settled = run.read_all(source, &tables, in_transaction).await?;
    source.end().await?;
    let consistency = match (in_transaction, settled) {
        (true, _) => Consistency::Snapshot,
        (false, true) => Consistency::Reread,
        (false, false) => {
            let message = format!(
                "tickets kept moving, or could not be watched, through {MAX_READS} reads: lines and payments of open tickets may disagree with their ticket in this snapshot"
            );
            observer.event(Event::Warning { message });
            Consistency::Moving
        }
    };

    let taken = run.finish()?;
    let clear = match clear::detect(archive, previous.as_ref(), &taken.entries, &taken.missing).await {
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
    };
    let epoch = epoch_so_far(archive, previous.as_ref()) + u32::from(clear.is_some());
    let (number, parent) = archive.next_link()?;
    if let Some(seen) = &clear {
        observer.event(Event::Note { message: seen.note.clone() });
    }
    let new_tags = options.tags.iter().any(|tag| !previous.as_ref().is_some_and(|p| p.tags.contains(tag)));
    let mut outcome = SnapshotOutcome {
        snapshot: number,
        kind: SnapshotKind::Full,
        rows: taken.entries.iter().map(|entry| entry.rows).sum(),
        rows_read: taken.rows_read,
        chunks: taken.entries.iter().map(|entry| entry.chunks.len() as u64).sum(),
        chunks_new: taken.tables.iter().map(|table| table.chunks_new).sum(),
        bytes_new: taken.tables.iter().map(|table| table.bytes_new).sum(),
        seconds: 0.0,
        unchanged: false,
        consistency,
        epoch,
        clear: clear.as_ref().map(|seen| seen.note.clone()),
        missing: taken.missing.clone(),
        tables: taken.tables,
    };
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
                kind: SnapshotKind::Full,
                consistency,
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
            };
            archive.write_snapshot(&snapshot).await?;
        }
    }
    if let Err(error) = archive.write_index(false).await {
        // Derived: the snapshot is whole without it.
        let message = format!(
            "the archive's index is not up to date: {}; `tillvault check --repair` rebuilds it",
            error.message()
        );
        observer.event(Event::Warning { message });
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
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

/// Whether the settings would still take a table of this display name. A point may part schema and name, or be in the name.
fn may_be_meant(selection: &TableSelection, name: &str) -> bool {
    let with_schema =
        name.split_once('.').map(|(schema, name)| TableName { schema: schema.to_owned(), name: name.to_owned() });
    [Some(TableName::dbo(name)), with_schema].iter().flatten().any(|table| pattern::selects(selection, table))
}

/// The trade mark, or none when the till does not show its tickets; reading them then says why.
async fn trade_mark(source: &mut dyn Source) -> Result<Option<TradeMark>> {
    match source.trade_mark().await {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if is_about_one_table(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Something is wrong with one table alone: the till said no, or its rows cannot be kept. Anything else ends the run: the
/// archive, the connection, the login.
fn is_about_one_table(error: &Error) -> bool {
    matches!(error.kind(), Kind::Source | Kind::Bug) && !error.is_temporary()
}

/// Whether the tables are, to the chunk, those of the snapshot before.
fn same_state(before: &Snapshot, entries: &[TableEntry], missing: &[MissingTable]) -> bool {
    before.tables == entries && before.missing == missing
}

/// A run's tables so far.
struct Run<'a> {
    archive: &'a Archive,
    observer: &'a SharedObserver,
    previous: Option<&'a Snapshot>,
    taken: BTreeMap<String, std::result::Result<(TableEntry, TableOutcome), MissingTable>>,
    rows_read: u64,
    /// Chunk files that this run has added, also by an earlier read of the same table.
    new_files: HashSet<String>,
}

/// What reading gave.
struct Taken {
    entries: Vec<TableEntry>,
    tables: Vec<TableOutcome>,
    missing: Vec<MissingTable>,
    rows_read: u64,
}

impl Run<'_> {
    /// Tables of the snapshot before that the till does not show any more: dropped there, or hidden from the login. They are
    /// missing, not empty. A table that the settings leave out now is neither.
    fn name_vanished(&mut self, tables: &[Table], selection: &TableSelection) {
        let Some(previous) = self.previous else { return };
        let now: BTreeSet<String> = tables.iter().map(|table| table.name.to_string()).collect();
        let listed = previous.tables.iter().map(|entry| {
            let table = &entry.table.name;
            (table.to_string(), Some(previous.snapshot), pattern::selects(selection, table))
        });
        let missed = previous
            .missing
            .iter()
            .map(|missing| (missing.table.clone(), missing.last_in, may_be_meant(selection, &missing.table)));
        for (name, last_in, meant) in listed.chain(missed) {
            let Some(last_in) = last_in.filter(|_| meant && !now.contains(&name)) else { continue };
            let reason =
                "the till does not show it any more: it was dropped there, or the login may not see it".to_owned();
            let message = format!(
                "table {name} is not in this snapshot: {reason}; its rows stay in snapshot {last_in} and before. If that is meant, exclude it under [tables] in the settings"
            );
            self.observer.event(Event::Warning { message });
            self.taken.insert(name.clone(), Err(MissingTable { table: name, reason, last_in: Some(last_in) }));
        }
    }

    /// The newest entry of a table: in the snapshot before, or where it was seen last when it is missing there.
    fn entry_before(&self, name: &str) -> Option<TableEntry> {
        let previous = self.previous?;
        if let Some(entry) = previous.table(name) {
            return Some(entry.clone());
        }
        let last_in = previous.missing.iter().find(|missing| missing.table == name)?.last_in?;
        // Only to reuse chunks and boundaries: without it they are found or written anew.
        self.archive.snapshot(last_in).ok()?.table(name).cloned()
    }

    /// The newest snapshot that has the table.
    fn last_in(&self, name: &str) -> Option<u64> {
        let previous = self.previous?;
        match previous.table(name) {
            Some(_) => Some(previous.snapshot),
            None => previous.missing.iter().find(|missing| missing.table == name)?.last_in,
        }
    }

    /// Reads every table. Returns whether no ticket moved between the first and the last row of the trade tables.
    async fn read_all(&mut self, source: &mut dyn Source, tables: &[Table], in_transaction: bool) -> Result<bool> {
        let (mut trade, rest): (Vec<&Table>, Vec<&Table>) =
            tables.iter().partition(|table| trade_rank(&table.name) < TRADE_TABLES.len());
        trade.sort_by_key(|table| trade_rank(&table.name));
        let mut settled = in_transaction;
        for _ in 0..MAX_READS {
            let before = if in_transaction { None } else { trade_mark(source).await? };
            for table in &trade {
                self.read_table(source, table).await?;
            }
            settled |= before.is_some() && trade_mark(source).await? == before;
            if settled || before.is_none() {
                break;
            }
        }
        for table in rest {
            self.read_table(source, table).await?;
        }
        Ok(settled)
    }

    /// Reads one table, replacing what an earlier read of it gave.
    async fn read_table(&mut self, source: &mut dyn Source, table: &Table) -> Result<()> {
        let name = table.name.to_string();
        let result = match table.unsupported() {
            Some(column) => Err(Error::new(
                Kind::Source,
                format!("column {name}.{} has type {}, which cannot be kept exactly", column.name, column.sql_type),
            )),
            None => self.copy(source, table).await,
        };
        let result = match result {
            Ok(copied) => Ok(copied),
            Err(error) if is_about_one_table(&error) => {
                let reason = error.message().to_owned();
                self.observer
                    .event(Event::Warning { message: format!("table {name} is not in this snapshot: {reason}") });
                Err(MissingTable { table: name.clone(), reason, last_in: self.last_in(&name) })
            }
            Err(error) => return Err(error),
        };
        self.taken.insert(name, result);
        Ok(())
    }

    async fn copy(&mut self, source: &mut dyn Source, table: &Table) -> Result<(TableEntry, TableOutcome)> {
        let name = table.name.to_string();
        let before = self.entry_before(&name);
        let rows_expected = before.as_ref().map(|entry| entry.rows);
        self.observer.event(Event::TableStarted { table: name.clone(), rows_expected });
        let mut writer = self.archive.table_writer(table, before.as_ref())?;
        let mut rows = source.read(table, KeyRange::ALL);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let count = batch.num_rows() as u64;
            self.rows_read += count;
            writer.push(batch).await?;
            self.observer.event(Event::Rows { table: name.clone(), rows: count });
        }
        let written = writer.finish().await?;
        let path = |file: &str| layout::chunk_path(&written.entry.folder, file);
        self.new_files.extend(written.new_files.iter().map(|(file, _)| path(file)));
        let new = written.entry.chunks.iter().filter(|chunk| self.new_files.contains(&path(&chunk.file_name())));
        let outcome = TableOutcome {
            name: name.clone(),
            rows: written.entry.rows,
            chunks: written.entry.chunks.len() as u64,
            chunks_new: new.clone().count() as u64,
            bytes_new: new.map(|chunk| chunk.bytes).sum(),
        };
        self.observer.event(Event::TableDone {
            table: name,
            rows: outcome.rows,
            chunks: outcome.chunks,
            chunks_new: outcome.chunks_new,
            bytes_new: outcome.bytes_new,
        });
        Ok((written.entry, outcome))
    }

    fn finish(self) -> Result<Taken> {
        let mut taken =
            Taken { entries: Vec::new(), tables: Vec::new(), missing: Vec::new(), rows_read: self.rows_read };
        for result in self.taken.into_values() {
            match result {
                Ok((entry, outcome)) => {
                    taken.entries.push(entry);
                    taken.tables.push(outcome);
                }
                Err(missing) => taken.missing.push(missing),
            }
        }
        if taken.entries.is_empty() {
            return Err(Error::new(Kind::Source, "not one table could be read, so no snapshot was written")
                .hint("the warnings above name the cause; the login needs the role db_datareader"));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trade_tables_are_known_in_any_case() {
        assert_eq!(trade_rank(&TableName::dbo("tickets")), trade_rank(&TableName::dbo("Tickets")));
        assert_eq!(trade_rank(&TableName::dbo("orders")), 1);
        assert_eq!(trade_rank(&TableName::dbo("MenuItems")), TRADE_TABLES.len());
    }
}
