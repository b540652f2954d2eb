//! One table of a run: read in full, or around the chunks that the till's checksums allow to keep.
//!
//! Promises: a chunk is kept only where the till's sums of its rows are those that are known to belong to just these rows; the
//! entry is the one that a full read would give; in doubt rows are read. The last chunks of a table are written while the next
//! table is read, one table ahead at most.

use std::ops::Range;

use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::{
    Collision, TableOutcome,
    run::{Run, TableTaken, is_about_one_table},
};
use crate::{
    archive::{
        TableWriter, TableWritten, layout,
        snapshot::{Chunk, Ladder, ReadHow, TableEntry, TableRead},
        sums::KnownSums,
        units::{self, Step, Units},
    },
    error::{Error, Kind, OrFail as _, Result},
    model::table::{KeyRange, Table},
    observe::Event,
    source::{GroupSum, Source, Sums, TableSums},
};

/// Which chunks may be kept.
pub(super) enum Keep<'k> {
    /// None: every row is read.
    Nothing,
    /// Those of the snapshot before whose sums are known and the same now.
    Known,
    /// Those that this run has read, where the till's sums are the same as these, from before that read.
    Still(&'k TableSums),
}

/// How a table is to be read.
pub(super) struct Asked<'k> {
    /// The till's checksums at this moment, if it was asked.
    pub(super) sums: Option<Sums>,
    pub(super) keep: Keep<'k>,
    /// Which read of the table in this run it is, from 1.
    pub(super) pass: u32,
}

/// Checksums of the till, and whether they are of the rows that were read.
#[derive(Debug)]
pub(super) struct Checked {
    form: String,
    before: Vec<GroupSum>,
    /// The same question after the rows were read; none where one transaction held both.
    after: Option<Vec<GroupSum>>,
}

impl Checked {
    pub(super) fn new(form: String, before: Vec<GroupSum>, after: Option<Vec<GroupSum>>) -> Self {
        Self { form, before, after }
    }

    fn is_safe(&self, keys: Option<(i64, i64)>) -> bool {
        self.after.as_ref().is_none_or(|after| units::is_still(keys, &self.before, after))
    }

    fn units(&self, entry: &TableEntry) -> Units {
        units::units(Some(&entry.ladder), &entry.chunks, &self.before).unwrap_or_default()
    }

    /// Files these sums under the chunks of `entry`, which was read with them.
    pub(super) fn remember(&self, name: &str, entry: &TableEntry, known: &mut KnownSums) {
        let units = self.units(entry);
        let filed = units.units.iter().filter_map(|unit| {
            let chunks = entry.chunks.get(unit.chunks.clone()?)?;
            Some((chunks, Some(unit.sum).filter(|_| self.is_safe(unit.keys))))
        });
        known.file(name, &self.form, filed);
    }

    /// Ranges whose sums have not changed although their rows have.
    fn collisions(&self, name: &str, before: &TableEntry, now: &TableEntry, known: &KnownSums) -> Vec<Collision> {
        let (old, new) = (self.units(before), self.units(now));
        let contents = |entry: &TableEntry, at: &Option<Range<usize>>| -> Option<Vec<String>> {
            Some(entry.chunks.get(at.clone()?)?.iter().map(|chunk| chunk.content.clone()).collect())
        };
        let is_unseen = |(was, is): &(&units::Unit, &units::Unit)| {
            let sums = was.chunks.clone().and_then(|at| known.of(name, &self.form, before.chunks.get(at)?));
            let (old, new) = (contents(before, &was.chunks), contents(now, &is.chunks));
            was.is_seen && self.is_safe(was.keys) && sums == Some(was.sum) && new.is_some() && old != new
        };
        let found = old.units.iter().zip(&new.units).filter(is_unseen);
        found.map(|(unit, _)| Collision { table: name.to_owned(), keys: unit.keys }).collect()
    }
}

/// A table whose rows are read, and whose last chunks are being written.
pub(super) struct Pending {
    name: String,
    pub(super) written: JoinHandle<Result<TableWritten>>,
    read: TableRead,
    checked: Option<Checked>,
    /// The entry before, where all rows were read, to find what checksums have missed.
    compare: Option<TableEntry>,
}

/// What to keep and what to read.
struct Planned {
    steps: Vec<Step>,
    highest: Option<i64>,
}

impl Run<'_> {
    /// Reads one table, replacing what an earlier read of it gave. Its last chunks may still be on their way then:
    /// [`Run::complete_all`].
    pub(super) async fn read_table(&mut self, source: &mut dyn Source, table: &Table, asked: Asked<'_>) -> Result<()> {
        let name = table.name.to_string();
        let result = match table.unsupported() {
            Some(column) => Err(Error::new(
                Kind::Source,
                format!("column {name}.{} has type {}, which cannot be kept exactly", column.name, column.sql_type),
            )),
            None => self.copy(source, table, asked).await,
        };
        match result {
            Ok(pending) => {
                self.complete_all().await?;
                self.pending.push(pending);
                Ok(())
            }
            Err(error) => self.miss(&name, error),
        }
    }

    /// Asks the till for the sums of a table. One that is not summed up, for whatever reason that is about it alone, is read
    /// without: reading tells what is wrong with it, if anything is.
    ///
    /// # Errors
    /// `Source` when something is wrong with more than this table.
    pub(super) async fn ask_sums(&mut self, source: &mut dyn Source, table: &Table) -> Result<Sums> {
        if table.unsupported().is_some() {
            return Ok(Sums::Cannot("a column of it cannot be kept".into()));
        }
        let name = table.name.to_string();
        if let Some(why) = self.unsummed(&name) {
            return Ok(Sums::Cannot(why.to_owned()));
        }
        let before = self.entry_before(&name);
        let sums = match source.sums(table, units::group_width(before.as_ref().map(|entry| &entry.ladder))).await {
            Err(error) if is_about_one_table(&error) => Sums::Cannot(error.message().to_owned()),
            answer => answer?,
        };
        if let Sums::Cannot(why) = &sums {
            self.note_unsummed(&name, why);
        }
        Ok(sums)
    }

    async fn copy(&mut self, source: &mut dyn Source, table: &Table, asked: Asked<'_>) -> Result<Pending> {
        let name = table.name.to_string();
        let snapshot_before = self.entry_before(&name);
        let before = match &asked.keep {
            Keep::Still(_) => self.taken.get(&name).and_then(|taken| taken.as_ref().ok()).map(|t| t.entry.clone()),
            _ => snapshot_before.clone(),
        };
        let rows_expected = before.as_ref().map(|entry| entry.rows);
        self.observer.event(Event::TableStarted { table: name.clone(), rows_expected });
        let mut writer = self.writer(table, before.as_ref(), snapshot_before.as_ref())?;
        let planned = self.planned(table, &writer, before.as_ref(), &asked);
        let mut read = TableRead {
            table: name.clone(),
            how: ReadHow::Full,
            checksums: None,
            why: None,
            passes: asked.pass,
            apart: self.apart,
        };
        if let Some(Sums::Table(sums)) = &asked.sums {
            read.checksums = Some(sums.checksums.clone());
        }
        if self.quick {
            read.how = if planned.is_ok() { ReadHow::Quick } else { ReadHow::Whole };
            read.why = planned.as_ref().err().cloned();
        }
        let around = match (&planned, &before) {
            (Ok(plan), Some(before)) => self.read_around(source, table, &mut writer, plan, before).await?,
            _ => None,
        };
        let written = match around {
            Some(Kept::Whole(written)) => tokio::spawn(async move { Ok(*written) }),
            Some(Kept::Parts) => tokio::spawn(writer.finish()),
            None => {
                writer = self.writer(table, before.as_ref(), snapshot_before.as_ref())?;
                self.read_range(source, table, KeyRange::ALL, &mut writer).await?;
                tokio::spawn(writer.finish())
            }
        };
        let checked = match asked.sums {
            Some(Sums::Table(sums)) => Some(Checked::new(self.form(&sums.form), sums.groups, None)),
            _ => None,
        };
        let compare = snapshot_before.filter(|before| matches!(asked.keep, Keep::Nothing) && is_alike(before, table));
        Ok(Pending { name, written, read, checked, compare })
    }

    /// A writer that knows the chunks of the snapshot before, whichever entry it goes on from.
    fn writer(&self, table: &Table, before: Option<&TableEntry>, also: Option<&TableEntry>) -> Result<TableWriter> {
        let mut writer = self.archive.table_writer(table, before)?;
        if let Some(also) = also {
            writer.also_knows(also)?;
        }
        Ok(writer)
    }

    /// What can be kept of a table; why nothing can, for people.
    fn planned(
        &self,
        table: &Table,
        writer: &TableWriter,
        before: Option<&TableEntry>,
        asked: &Asked<'_>,
    ) -> std::result::Result<Planned, String> {
        if matches!(asked.keep, Keep::Nothing) {
            return Err("a full read was asked for".into());
        }
        let sums = match &asked.sums {
            Some(Sums::Table(sums)) => sums,
            Some(Sums::Cannot(why)) => return Err(why.clone()),
            None => return Err("the till was not asked for checksums".into()),
        };
        let before = before.ok_or("it is not in the snapshot before")?;
        if !is_alike(before, table) || (table.range_column().is_some() && writer.range_ladder() != Some(&before.ladder))
        {
            return Err("its columns or its key changed".into());
        }
        let units = units::units(Some(&before.ladder), &before.chunks, &sums.groups)
            .ok_or("the till's checksums of it make no sense")?;
        let name = table.name.to_string();
        let form = self.form(&sums.form);
        let are_known = |chunks: &[Chunk]| self.known.of(&name, &form, chunks);
        let is_any_known = || {
            units.units.iter().any(|unit| unit.chunks.clone().and_then(|at| are_known(&before.chunks[at])).is_some())
        };
        if matches!(asked.keep, Keep::Known) && !units.units.is_empty() && !before.chunks.is_empty() && !is_any_known()
        {
            return Err("checksums of its rows were not known yet".into());
        }
        let steps = units::plan(&units, |unit, at| {
            let chunks = &before.chunks[at];
            let is_same = match &asked.keep {
                Keep::Nothing => false,
                Keep::Known => are_known(chunks) == Some(unit.sum),
                Keep::Still(earlier) => {
                    earlier.form == sums.form && units::is_still(unit.keys, &earlier.groups, &sums.groups)
                }
            };
            is_same && chunks.iter().all(|chunk| writer.holds(chunk))
        });
        Ok(Planned { steps, highest: units.highest })
    }

    /// Carries out a plan. `None` when it is better to read all: there is nothing to keep, or rows came or went meanwhile.
    async fn read_around(
        &mut self,
        source: &mut dyn Source,
        table: &Table,
        writer: &mut TableWriter,
        plan: &Planned,
        before: &TableEntry,
    ) -> Result<Option<Kept>> {
        if !plan.steps.iter().any(|step| matches!(step, Step::Keep { .. })) {
            return Ok(None);
        }
        if let Some(highest) = plan.highest {
            writer.expect_highest(highest);
        }
        for step in &plan.steps {
            match step {
                Step::Keep { keys: Some((lo, hi)), chunks } => {
                    writer.keep(*lo, *hi, &before.chunks[chunks.clone()]).await?;
                }
                Step::Keep { keys: None, .. } => {
                    // The table as a whole, with what its columns are called now.
                    let entry = TableEntry { table: table.clone(), ..before.clone() };
                    return Ok(Some(Kept::Whole(Box::new(TableWritten::kept(entry)))));
                }
                Step::Read(range) => self.read_range(source, table, *range, writer).await?,
            }
        }
        Ok(writer.ends_as_expected().then_some(Kept::Parts))
    }

    /// Reads a range; the next rows come while the last ones are taken in.
    async fn read_range(
        &mut self,
        source: &mut dyn Source,
        table: &Table,
        range: KeyRange,
        writer: &mut TableWriter,
    ) -> Result<()> {
        let name = table.name.to_string();
        let mut rows = source.read(table, range);
        let mut next = rows.next().await;
        while let Some(batch) = next {
            let batch = batch?;
            let count = batch.num_rows() as u64;
            *self.rows_read.entry(name.clone()).or_default() += count;
            let (pushed, following) = futures::join!(writer.push(batch), rows.next());
            pushed?;
            self.observer.event(Event::Rows { table: name.clone(), rows: count });
            next = following;
        }
        Ok(())
    }

    /// Waits for the last chunks of every table that was read.
    pub(super) async fn complete_all(&mut self) -> Result<()> {
        while let Some(pending) = self.pending.pop() {
            let name = pending.name.clone();
            if let Err(error) = self.complete(pending).await {
                self.miss(&name, error)?;
            }
        }
        Ok(())
    }

    async fn complete(&mut self, pending: Pending) -> Result<()> {
        let Pending { name, written, read, checked, compare } = pending;
        let written = written.await.or_fail(Kind::Bug, || format!("table {name} was not finished"))??;
        let path = |file: &str| layout::chunk_path(&written.entry.folder, file);
        self.new_files.extend(written.new_files.iter().map(|(file, _)| path(file)));
        let new = written.entry.chunks.iter().filter(|chunk| self.new_files.contains(&path(&chunk.file_name())));
        let outcome = TableOutcome {
            name: name.clone(),
            rows: written.entry.rows,
            chunks: written.entry.chunks.len() as u64,
            chunks_new: new.clone().count() as u64,
            bytes_new: new.map(|chunk| chunk.bytes).sum(),
            rows_read: self.rows_read.get(&name).copied().unwrap_or(0),
            how: read.how,
        };
        self.observer.event(Event::TableDone {
            table: name.clone(),
            rows: outcome.rows,
            chunks: outcome.chunks,
            chunks_new: outcome.chunks_new,
            bytes_new: outcome.bytes_new,
        });
        let taken = TableTaken { entry: written.entry, outcome, read, checked, compare };
        self.taken.insert(name, Ok(taken));
        Ok(())
    }

    /// The till's sums of a table after its rows were read, where no transaction held both.
    pub(super) fn note_after(&mut self, name: &str, after: &TableSums) {
        if let Some(Ok(taken)) = self.taken.get_mut(name)
            && let Some(checked) = &mut taken.checked
        {
            checked.after = Some(after.groups.clone());
        }
    }

    /// Looks for changes in these tables that the checksums missed, when they are read.
    pub(super) fn find_collisions(&self, tables: &[Table]) -> Vec<Collision> {
        let mut names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
        names.sort();
        let found = names.iter().filter_map(|name| {
            let taken = self.taken.get(name)?.as_ref().ok()?;
            let (checked, before) = (taken.checked.as_ref()?, taken.compare.as_ref()?);
            let is_proof = self.in_transaction || checked.after.is_some();
            is_proof.then(|| checked.collisions(name, before, &taken.entry, self.known))
        });
        found.flatten().collect()
    }
}

/// What came of a plan.
enum Kept {
    /// Nothing was read.
    Whole(Box<TableWritten>),
    /// The writer has it all.
    Parts,
}

/// Whether rows of the table as it is now have the same content hashes as those of an entry.
fn is_alike(before: &TableEntry, table: &Table) -> bool {
    let columns = |table: &Table| -> Vec<_> {
        table.columns.iter().map(|column| (column.name.clone(), column.sql_type.clone())).collect()
    };
    columns(&before.table) == columns(table)
        && before.table.key == table.key
        && before.table.left_out == table.left_out
        && before.table.masked == table.masked
        && (table.range_column().is_some() == matches!(before.ladder, Ladder::Range { .. }))
}
