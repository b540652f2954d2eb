//! `snapshot`: one consistent state of the till into the archive.
//!
//! Order of work: lock, describe, discover, read (trade tables first), settle what moved meanwhile, look for a clear, write
//! the snapshot file last. A run that dies before that last step leaves chunks that the next run finds and uses, and nothing
//! that can be listed. A table that cannot be read is named in the snapshot and in a warning; the others go on.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::clear;
use crate::{
    archive::{
        Archive,
        snapshot::{Consistency, FORMAT, MissingTable, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    error::{Error, Kind, Result},
    model::table::{KeyRange, Table, TableName},
    observe::{Event, SharedObserver},
    source::{Source, TableSelection, TillInfo, TradeMark},
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
    /// Chunks that were not in the snapshot before.
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
    let previous = archive.latest()?;
    let taken_at = Timestamp::now();
    let till = source.describe().await?;
    refuse_other_till(previous.as_ref(), &till)?;
    let tables = source.tables(&options.selection).await?;
    if tables.is_empty() {
        return Err(Error::new(Kind::Source, format!("no table to read in database {}", till.database))
            .hint("check the database name and [tables] in the settings; the login needs the role db_datareader"));
    }
    warn_of_vanished(previous.as_ref(), &tables, observer);

    let mut run = Run { archive, observer, previous: previous.as_ref(), taken: BTreeMap::new(), rows_read: 0 };
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
    let epoch = previous.as_ref().map_or(1, |snapshot| snapshot.epoch) + u32::from(clear.is_some());
    if let Some(seen) = &clear {
        observer.event(Event::Note { message: seen.note.clone() });
    }
    let new_tags = options.tags.iter().any(|tag| !previous.as_ref().is_some_and(|p| p.tags.contains(tag)));
    let mut outcome = SnapshotOutcome {
        snapshot: previous.as_ref().map_or(0, |snapshot| snapshot.snapshot) + 1,
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
        Some(before) if !options.always && !new_tags && same_state(before, &taken.entries, &taken.missing) => {
            outcome.snapshot = before.snapshot;
            outcome.unchanged = true;
        }
        _ => {
            let snapshot = Snapshot {
                format: FORMAT,
                archive: archive.id().to_owned(),
                snapshot: outcome.snapshot,
                parent: match &previous {
                    Some(before) => Some(archive.snapshot_hash(before.snapshot)?),
                    None => None,
                },
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

fn warn_of_vanished(previous: Option<&Snapshot>, tables: &[Table], observer: &SharedObserver) {
    let now: BTreeSet<String> = tables.iter().map(|table| table.name.to_string()).collect();
    for entry in previous.iter().flat_map(|snapshot| &snapshot.tables) {
        let name = entry.table.name.to_string();
        if !now.contains(&name) {
            observer.event(Event::Warning {
                message: format!(
                    "table {name} is gone from the till, or not to be read any more; its rows stay in the snapshots before"
                ),
            });
        }
    }
}

/// The trade mark, or none when the till does not show its tickets; reading them then says why.
async fn trade_mark(source: &mut dyn Source) -> Result<Option<TradeMark>> {
    match source.trade_mark().await {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if is_about_one_table(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The till said no for one table alone. Anything else ends the run: the archive, the connection, the login.
fn is_about_one_table(error: &Error) -> bool {
    error.kind() == Kind::Source && !error.is_temporary()
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
}

/// What reading gave.
struct Taken {
    entries: Vec<TableEntry>,
    tables: Vec<TableOutcome>,
    missing: Vec<MissingTable>,
    rows_read: u64,
}

impl Run<'_> {
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
                Err(MissingTable { table: name.clone(), reason })
            }
            Err(error) => return Err(error),
        };
        self.taken.insert(name, result);
        Ok(())
    }

    async fn copy(&mut self, source: &mut dyn Source, table: &Table) -> Result<(TableEntry, TableOutcome)> {
        let name = table.name.to_string();
        let before = self.previous.and_then(|snapshot| snapshot.table(&name));
        self.observer.event(Event::TableStarted { table: name.clone(), rows_expected: before.map(|entry| entry.rows) });
        let mut writer = self.archive.table_writer(table, before)?;
        let mut rows = source.read(table, KeyRange::ALL);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let count = batch.num_rows() as u64;
            self.rows_read += count;
            writer.push(batch).await?;
            self.observer.event(Event::Rows { table: name.clone(), rows: count });
        }
        let written = writer.finish().await?;
        let outcome = TableOutcome {
            name: name.clone(),
            rows: written.entry.rows,
            chunks: written.entry.chunks.len() as u64,
            chunks_new: written.chunks_new,
            bytes_new: written.bytes_new,
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
