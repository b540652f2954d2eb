//! What a run has read so far, and what it says of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    Collision, SnapshotOptions, TableOutcome,
    copy::{Checked, Pending},
};
use crate::{
    archive::{
        Archive,
        snapshot::{Consistency, MissingTable, ReadHow, Snapshot, TableEntry, TableRead},
        sums::KnownSums,
    },
    error::{Error, Kind, Result},
    model::table::{Table, TableName},
    observe::{Event, SharedObserver},
    ops::changes::{self, Change},
    source::{Source, TableSelection, TillInfo, pattern},
};

/// One table that was read.
#[derive(Debug)]
pub(super) struct TableTaken {
    pub(super) entry: TableEntry,
    pub(super) outcome: TableOutcome,
    pub(super) read: TableRead,
    /// The checksums that belong to its rows.
    pub(super) checked: Option<Checked>,
    /// The entry before, where all rows were read, to find what checksums have missed.
    pub(super) compare: Option<TableEntry>,
}

/// What earlier beginnings of a run have met that will not pass by itself: it is left alone in the next.
#[derive(Debug, Default)]
pub(super) struct Failing {
    /// Tables that cannot be read.
    tables: BTreeMap<String, MissingTable>,
    /// Tables that the till does not sum up, and why.
    sums: BTreeMap<String, String>,
}

impl Failing {
    /// How much is known.
    pub(super) fn len(&self) -> usize {
        self.tables.len() + self.sums.len()
    }
}

/// A run's tables so far.
pub(super) struct Run<'a> {
    pub(super) archive: &'a Archive,
    pub(super) observer: &'a SharedObserver,
    pub(super) previous: Option<&'a Snapshot>,
    pub(super) known: &'a KnownSums,
    /// Who the till is, as far as checksums depend on it.
    till: String,
    pub(super) quick: bool,
    pub(super) in_transaction: bool,
    /// What is read now lies outside of the read transaction that held the tables before.
    pub(super) apart: bool,
    consistency: Consistency,
    pub(super) taken: BTreeMap<String, std::result::Result<TableTaken, MissingTable>>,
    /// Tables whose last chunks are still being written.
    pub(super) pending: Vec<Pending>,
    pub(super) rows_read: BTreeMap<String, u64>,
    /// Chunk files that this run has added, also by an earlier read of the same table.
    pub(super) new_files: HashSet<String>,
    pub(super) collisions: Vec<Collision>,
    /// What changed in the tables' shape.
    changes: Vec<Change>,
    failing: Failing,
}

/// What reading gave.
pub(super) struct Taken {
    pub(super) entries: Vec<TableEntry>,
    pub(super) tables: Vec<TableOutcome>,
    pub(super) missing: Vec<MissingTable>,
    pub(super) reads: Vec<TableRead>,
    pub(super) collisions: Vec<Collision>,
    pub(super) changes: Vec<Change>,
    pub(super) rows_read: u64,
    pub(super) consistency: Consistency,
    checked: BTreeMap<String, Checked>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        archive: &'a Archive,
        observer: &'a SharedObserver,
        (previous, till, known): (Option<&'a Snapshot>, &TillInfo, &'a KnownSums),
        quick: bool,
        failing: Failing,
    ) -> Self {
        let major = till.version.split('.').next().unwrap_or_default();
        Self {
            archive,
            observer,
            previous,
            known,
            till: format!("{}\0{}\0{}\0{major}", till.server, till.database, till.collation),
            quick,
            in_transaction: false,
            apart: false,
            consistency: Consistency::Moving,
            taken: BTreeMap::new(),
            pending: Vec::new(),
            rows_read: BTreeMap::new(),
            new_files: HashSet::new(),
            collisions: Vec::new(),
            changes: Vec::new(),
            failing,
        }
    }

    /// What the next beginning need not ask for.
    pub(super) fn into_failing(self) -> Failing {
        self.failing
    }

    /// Why the till does not sum a table up, where that is known.
    pub(super) fn unsummed(&self, name: &str) -> Option<&str> {
        self.failing.sums.get(name).map(String::as_str)
    }

    /// The till does not sum a table up. Asking once more would not help, and may cost a read transaction.
    pub(super) fn note_unsummed(&mut self, name: &str, why: &str) {
        self.failing.sums.insert(name.to_owned(), why.to_owned());
    }

    /// Whether checksums are worth asking for where nothing but later quick snapshots needs them.
    pub(super) fn wants_sums(&self) -> bool {
        self.quick || !self.known.is_empty()
    }

    /// All that sums of this till in this form depend on apart from the rows.
    pub(super) fn form(&self, form: &str) -> String {
        let hash = blake3::hash(format!("{}\0{form}", self.till).as_bytes());
        hex::encode(&hash.as_bytes()[..16])
    }

    /// Opens the read transaction, where the till allows one.
    pub(super) async fn begin(&mut self, source: &mut dyn Source) -> Result<()> {
        source.prepare_sums().await?;
        self.in_transaction = source.begin().await?;
        Ok(())
    }

    /// Reads every table. The catalog is read inside the transaction, and every table that it reaches; then it ends.
    pub(super) async fn read(&mut self, source: &mut dyn Source, options: &SnapshotOptions) -> Result<()> {
        let tables = source.tables(&options.selection).await?;
        source.notices().into_iter().for_each(|notice| self.observer.event(notice));
        if tables.is_empty() {
            return Err(Error::new(Kind::Source, "no table of the till is to be read")
                .hint("check the database name and [tables] in the settings; the login needs the role db_datareader"));
        }
        self.changes = changes::compare(self.previous, &tables);
        let tables = self.without_failing(tables);
        self.name_vanished(source, &tables, &options.selection).await?;
        self.observer.event(Event::Phase { name: "read the till", total: Some(tables.len() as u64) });
        let (apart, together): (Vec<Table>, Vec<Table>) =
            tables.into_iter().partition(|table| self.in_transaction && table.is_memory_optimised());
        self.consistency = self.read_all(source, &together).await?;
        self.confirm_emptied(source, &together).await?;
        source.end().await?;
        self.read_apart(source, &apart).await?;
        self.confirm_emptied(source, &apart).await
    }

    /// Names the tables that an earlier beginning could not read, and leaves them out.
    fn without_failing(&mut self, mut tables: Vec<Table>) -> Vec<Table> {
        let failing = &self.failing.tables;
        tables.retain(|table| !failing.contains_key(&table.name.to_string()));
        self.taken.extend(failing.iter().map(|(name, missing)| (name.clone(), Err(missing.clone()))));
        tables
    }

    /// Waits until nothing of this run is under way any more, whatever became of it.
    pub(super) async fn abandon(&mut self) {
        for pending in self.pending.drain(..) {
            let _ = pending.written.await;
        }
    }

    /// Tables of the snapshot before that the till does not show any more: dropped there, or hidden from the login. They are
    /// missing, not empty. A table that the settings leave out now is neither.
    ///
    /// # Errors
    /// `Source` when the till contradicts its own catalog, or fails as a whole.
    async fn name_vanished(
        &mut self,
        source: &mut dyn Source,
        tables: &[Table],
        selection: &TableSelection,
    ) -> Result<()> {
        let Some(previous) = self.previous else { return Ok(()) };
        let mut now: BTreeSet<String> = tables.iter().map(|table| table.name.to_string()).collect();
        now.extend(self.taken.keys().cloned());
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
            let Ok(table) = name.parse();
            if let Err(error) = changes::confirm(source, &table, None).await {
                self.miss(&name, error)?;
                continue;
            }
            let reason =
                "the till does not show it any more: it was dropped there, or the login may not see it".to_owned();
            let message = format!(
                "table {name} is not in this snapshot: {reason}; its rows stay in snapshot {last_in} and before. If that is meant, exclude it under [tables] in the settings"
            );
            self.observer.event(Event::Warning { message });
            self.taken.insert(name.clone(), Err(MissingTable { table: name, reason, last_in: Some(last_in) }));
        }
        Ok(())
    }

    /// Tables that had rows and read empty now: the till is asked once more before its neighbours' moment is over.
    async fn confirm_emptied(&mut self, source: &mut dyn Source, tables: &[Table]) -> Result<()> {
        let is_emptied = |name: &TableName| {
            let (taken, before) = (self.taken.get(&name.to_string()), self.entry_before(&name.to_string()));
            taken.is_some_and(|taken| taken.as_ref().is_ok_and(|taken| taken.entry.rows == 0))
                && before.is_some_and(|before| before.rows > 0)
        };
        let emptied: Vec<&TableName> = tables.iter().map(|table| &table.name).filter(|name| is_emptied(name)).collect();
        for table in emptied {
            if let Err(error) = changes::confirm(source, table, Some(0)).await {
                self.miss(&table.to_string(), error)?;
            }
        }
        Ok(())
    }

    /// The newest entry of a table: in the snapshot before, or where it was seen last when it is missing there.
    pub(super) fn entry_before(&self, name: &str) -> Option<TableEntry> {
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

    /// Notes a table that cannot be read, if it is that table alone.
    ///
    /// # Errors
    /// The error itself, if it is not.
    pub(super) fn miss(&mut self, name: &str, error: Error) -> Result<()> {
        if !is_about_one_table(&error) {
            return Err(error);
        }
        let reason = error.message().to_owned();
        // The snapshot keeps our own words alone; a person is told the server's as well, and the next step.
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        let next = error.next_step().map(|next| format!("; {next}")).unwrap_or_default();
        let message = format!("table {name} is not in this snapshot: {reason}{cause}{next}");
        self.observer.event(Event::Warning { message });
        let missing = MissingTable { table: name.to_owned(), reason, last_in: self.last_in(name) };
        if self.in_transaction {
            self.failing.tables.insert(name.to_owned(), missing.clone());
        }
        self.taken.insert(name.to_owned(), Err(missing));
        Ok(())
    }

    /// What was taken, when everything is read.
    ///
    /// # Errors
    /// `Source` when not one table could be read.
    pub(super) fn finish(self) -> Result<Taken> {
        let mut taken = Taken {
            entries: Vec::new(),
            tables: Vec::new(),
            missing: Vec::new(),
            reads: Vec::new(),
            collisions: self.collisions,
            changes: self.changes,
            rows_read: self.rows_read.values().sum(),
            consistency: self.consistency,
            checked: BTreeMap::new(),
        };
        for (name, result) in self.taken {
            match result {
                Ok(table) => {
                    if table.read.how != ReadHow::Full || table.read.passes != 1 || table.read.apart {
                        taken.reads.push(table.read);
                    }
                    taken.entries.push(table.entry);
                    taken.tables.push(table.outcome);
                    taken.checked.extend(table.checked.map(|checked| (name, checked)));
                }
                Err(missing) => taken.missing.push(missing),
            }
        }
        if taken.entries.is_empty() {
            return Err(Error::new(Kind::Source, "not one table could be read, so no snapshot was written")
                .hint("the warnings above name the cause; the login needs the role db_datareader"));
        }
        taken.changes.iter().for_each(|change| self.observer.event(change.event()));
        for Collision { table, keys } in &taken.collisions {
            let place = keys.map_or(String::new(), |(lo, hi)| format!(" among the keys {lo} to {hi}"));
            let message = format!(
                "rows of table {table} changed{place}, and the quick checksum did not see a change: quick snapshots since the last full one may lack it, this one has it"
            );
            self.observer.event(Event::Warning { message });
        }
        Ok(taken)
    }
}

impl Taken {
    /// Files the checksums of what is in this state, and drops all others.
    pub(super) fn remember(&self, known: &mut KnownSums) {
        let tables: HashSet<String> = self.checked.keys().cloned().collect();
        known.retain(&tables);
        for entry in &self.entries {
            let name = entry.table.name.to_string();
            if let Some(checked) = self.checked.get(&name) {
                checked.remember(&name, entry, known);
            }
        }
    }
}

/// Whether the settings would still take a table of this display name. A point may part schema and name, or be in the name.
fn may_be_meant(selection: &TableSelection, name: &str) -> bool {
    let with_schema = name.parse().ok();
    [Some(TableName::dbo(name)), with_schema].iter().flatten().any(|table| pattern::selects(selection, table))
}

/// Something is wrong with one table alone: the till said no, or its rows cannot be kept. Anything else ends the run: the
/// archive, the connection, the login.
pub(super) fn is_about_one_table(error: &Error) -> bool {
    matches!(error.kind(), Kind::Source | Kind::Bug) && !error.is_temporary()
}
