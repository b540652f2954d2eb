//! The rows of blocks that differ: matched, counted, shown.
//!
//! Blocks that overlap are compared together (`groups`): eight open blocks of yesterday and the closed one they became today
//! hold the same keys. Each group is small, so a table of any size is compared in bounded memory, unless it changed its key or
//! its ladder: then it is one group.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema},
};
use serde_json::{Map, Value};

use super::{super::threads::side_by_side, RowChange, TableDiff, ValueChange};
use crate::{
    archive::{
        Archive,
        row_key::{has_whole_key, row_keys},
        snapshot::{Block, Chunk, Ladder, TableEntry},
    },
    error::{Error, Kind, OrFail, Result},
    history::render::{Cells, json_batch},
    model::table::Table,
};

/// Groups that are worked on before their results are put together.
const AT_ONCE: usize = 16;

/// Chunks of both sides whose blocks overlap.
#[derive(Default)]
struct Group<'a> {
    old: Vec<&'a Chunk>,
    new: Vec<&'a Chunk>,
}

/// What a group came to.
#[derive(Default)]
struct Part {
    added: u64,
    changed: u64,
    removed: u64,
    rows: Vec<RowChange>,
}

/// How two states of one table are compared.
pub(super) struct Comparison<'a> {
    archive: &'a Archive,
    old: &'a TableEntry,
    new: &'a TableEntry,
    /// Key columns, sorted; empty when rows are compared whole.
    key: Vec<&'a str>,
    limit: Option<usize>,
}

/// The primary key, sorted; nothing when some of it is not kept.
fn sorted_key(table: &Table) -> Vec<&str> {
    let mut key: Vec<&str> = table.key.iter().map(String::as_str).collect();
    key.sort_unstable();
    if has_whole_key(table) { key } else { Vec::new() }
}

fn arrow_type(table: &Table, column: &str) -> Option<DataType> {
    table.column(column).and_then(|column| column.sql_type.arrow())
}

impl<'a> Comparison<'a> {
    pub(super) fn new(archive: &'a Archive, old: &'a TableEntry, new: &'a TableEntry, limit: Option<usize>) -> Self {
        let key = sorted_key(&old.table);
        let key = if key == sorted_key(&new.table) { key } else { Vec::new() };
        Self { archive, old, new, key, limit }
    }

    /// Compares the chunks that are not shared and fills in what it finds.
    pub(super) fn run(&self, old: &[&'a Chunk], new: &[&'a Chunk], into: &mut TableDiff) -> Result<()> {
        if sorted_key(&self.old.table) != sorted_key(&self.new.table) {
            into.note = Some("the primary key is another: rows are compared whole".into());
        } else if self.key.is_empty() && !(old.is_empty() && new.is_empty()) {
            into.note = Some("no primary key: rows are compared whole".into());
        }
        let limit = self.limit.unwrap_or(0);
        let mut shown = Vec::new();
        for some in self.groups(old, new).chunks(AT_ONCE) {
            for part in side_by_side(some, |group| self.compare(group, limit - shown.len())) {
                let part = part?;
                into.added += part.added;
                into.changed += part.changed;
                into.removed += part.removed;
                shown.extend(part.rows.into_iter().take(limit - shown.len()));
            }
        }
        if self.limit.is_some() {
            into.truncated = (shown.len() as u64) < into.added + into.changed + into.removed;
            into.rows = Some(shown);
        }
        Ok(())
    }

    /// Whether rows in blocks of the two sides that do not overlap cannot belong together.
    fn blocks_tell(&self) -> bool {
        let (old, new) = (&self.old.table, &self.new.table);
        match (&self.old.ladder, &self.new.ladder) {
            (Ladder::Range { column: a, .. }, Ladder::Range { column: b, .. }) => a == b,
            (Ladder::Range { .. }, _) | (_, Ladder::Range { .. }) => false,
            // A bucket follows from the bytes of the key, which are others where a type is.
            _ => {
                let same = |name: &str| match (arrow_type(old, name), arrow_type(new, name)) {
                    (Some(old), Some(new)) => old == new,
                    // NULL on one side: a row with a value there differs from every row of the other side anyway.
                    _ => true,
                };
                sorted_key(old) == sorted_key(new)
                    && match self.key.as_slice() {
                        [] => old.columns.iter().all(|column| same(&column.name)),
                        key => key.iter().all(|name| same(name)),
                    }
            }
        }
    }

    fn groups(&self, old: &[&'a Chunk], new: &[&'a Chunk]) -> Vec<Group<'a>> {
        let tell = self.blocks_tell();
        let span = |chunk: &Chunk| if tell { span(chunk) } else { (0, 0) };
        let mut all: Vec<((i64, i64), bool, &Chunk)> = Vec::with_capacity(old.len() + new.len());
        all.extend(old.iter().map(|chunk| (span(chunk), false, *chunk)));
        all.extend(new.iter().map(|chunk| (span(chunk), true, *chunk)));
        all.sort_by_key(|(span, is_new, _)| (*span, *is_new));
        let (mut groups, mut through): (Vec<Group<'_>>, i64) = (Vec::new(), i64::MIN);
        for ((lo, hi), is_new, chunk) in all {
            if lo > through || groups.is_empty() {
                groups.push(Group::default());
            }
            through = through.max(hi);
            if let Some(group) = groups.last_mut() {
                if is_new { group.new.push(chunk) } else { group.old.push(chunk) }
            }
        }
        groups
    }

    fn compare(&self, group: &Group<'_>, limit: usize) -> Result<Part> {
        let read = |entry: &TableEntry, chunks: &[&Chunk]| {
            chunks.iter().map(|chunk| self.archive.read_chunk(entry, chunk)).collect::<Result<Vec<_>>>()
        };
        let (mut old, mut new) = (read(self.old, &group.old)?, read(self.new, &group.new)?);
        self.same_types(&mut old, &mut new)?;
        let order = match (&self.old.ladder, &self.new.ladder) {
            (Ladder::Range { column, .. }, Ladder::Range { column: other, .. }) if column == other => Some(column),
            _ => None,
        };
        let (old, new) = (Rows::new(old, &self.key, order)?, Rows::new(new, &self.key, order)?);
        let mut part = Part::default();
        let (mut left, mut right) = (old.sorted.iter().peekable(), new.sorted.iter().peekable());
        loop {
            let side = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.key().cmp(&b.key()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let a = if side.is_le() { left.next() } else { None };
            let b = if side.is_ge() { right.next() } else { None };
            if let (Some(a), Some(b)) = (a, b)
                && a.whole == b.whole
            {
                continue;
            }
            match (a, b) {
                (Some(_), Some(_)) => part.changed += 1,
                (Some(_), None) => part.removed += 1,
                _ => part.added += 1,
            }
            if part.rows.len() < limit {
                part.rows.push(self.change(a.map(|row| old.one(row)), b.map(|row| new.one(row)))?);
            }
        }
        Ok(part)
    }

    /// Gives columns that changed their type one type on both sides: the new one where every old value fits it and comes back
    /// unchanged, else text.
    fn same_types(&self, old: &mut [RecordBatch], new: &mut [RecordBatch]) -> Result<()> {
        for column in &self.old.table.columns {
            let name = column.name.as_str();
            let (Some(from), Some(to)) = (arrow_type(&self.old.table, name), arrow_type(&self.new.table, name)) else {
                continue;
            };
            if from == to {
                continue;
            }
            let fits = old.iter().filter_map(|batch| batch.column_by_name(name)).all(|array| fits(array, &to));
            for batch in old.iter_mut() {
                *batch = with_column(batch, name, |array| if fits { casted(array, &to) } else { as_text(array) })?;
            }
            if !fits {
                for batch in new.iter_mut() {
                    *batch = with_column(batch, name, as_text)?;
                }
            }
        }
        Ok(())
    }

    fn change(&self, old: Option<RecordBatch>, new: Option<RecordBatch>) -> Result<RowChange> {
        Ok(match (old, new) {
            (None, None) => return Err(Error::new(Kind::Bug, "a difference between no rows")),
            (None, Some(row)) => RowChange::Added { row: object(&row)? },
            (Some(row), None) => RowChange::Removed { row: object(&row)? },
            (Some(old), Some(new)) => {
                let (old, new) = (object(&old)?, object(&new)?);
                let key_columns = self.new.table.key.iter();
                let key = key_columns.map(|name| (name.clone(), new.get(name).cloned().unwrap_or_default())).collect();
                let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
                let columns = names
                    .map(|name| ValueChange {
                        column: name.clone(),
                        old: old.get(name).cloned().unwrap_or_default(),
                        new: new.get(name).cloned().unwrap_or_default(),
                    })
                    .filter(|change| change.old != change.new)
                    .collect();
                RowChange::Changed { key, columns }
            }
        })
    }
}

/// The place of a chunk's rows on its ladder: keys, or leading bits of hashes as 32-bit numbers.
fn span(chunk: &Chunk) -> (i64, i64) {
    match chunk.block {
        Block::Range { lo, hi } => (lo, hi),
        Block::Hash { bucket, bits } => {
            let width = 32_u32.saturating_sub(u32::from(bits));
            let lo = i64::from(bucket) << width;
            (lo, lo + (1 << width) - 1)
        }
        Block::Whole {} => (0, i64::from(u32::MAX)),
    }
}

fn object(row: &RecordBatch) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    json_batch(row, |row| {
        object = row;
        Ok(())
    })?;
    Ok(object)
}

fn fits(array: &ArrayRef, to: &DataType) -> bool {
    let there = cast(array, to).ok().filter(|there| there.null_count() == array.null_count());
    there.and_then(|there| cast(&there, array.data_type()).ok()).is_some_and(|back| back.to_data() == array.to_data())
}

fn casted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast(array, to).or_fail(Kind::Bug, || format!("values do not become {to}"))
}

fn as_text(array: &ArrayRef) -> Result<ArrayRef> {
    let cells = Cells::new(array.as_ref())?;
    let texts: Vec<Option<String>> = (0..array.len()).map(|row| cells.text(row)).collect::<Result<_>>()?;
    Ok(Arc::new(StringArray::from(texts)))
}

/// The rows with one column replaced.
fn with_column(batch: &RecordBatch, name: &str, make: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<RecordBatch> {
    let Ok(index) = batch.schema_ref().index_of(name) else { return Ok(batch.clone()) };
    let mut columns = batch.columns().to_vec();
    columns[index] = make(&columns[index])?;
    let schema = batch.schema();
    let field = |(at, field): (usize, &Arc<Field>)| {
        if at == index {
            Arc::new(Field::new(name, columns[index].data_type().clone(), true))
        } else {
            Arc::clone(field)
        }
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().enumerate().map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).or_fail(Kind::Bug, || "rows do not fit their columns")
}

/// Rows of one side, sorted by key.
struct Rows {
    batches: Vec<RecordBatch>,
    sorted: Vec<Row>,
}

/// A row: where it sorts, what it is, where it lies.
struct Row {
    /// The integer that leads the key, so that people see rows in its order.
    first: i64,
    key: Vec<u8>,
    /// BLAKE3 of all values with their columns' names; NULL and an absent column are the same.
    whole: [u8; 32],
    batch: usize,
    row: usize,
}

impl Row {
    fn key(&self) -> (i64, &[u8]) {
        (self.first, &self.key)
    }
}

impl Rows {
    fn new(batches: Vec<RecordBatch>, key: &[&str], order: Option<&String>) -> Result<Self> {
        let mut sorted = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (batch, rows) in batches.iter().enumerate() {
            let schema = rows.schema();
            let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            names.sort_unstable();
            let whole = row_keys(rows, &names)?.into_iter().map(|bytes| *blake3::hash(&bytes).as_bytes());
            let keys = if key.is_empty() { vec![Vec::new(); rows.num_rows()] } else { row_keys(rows, key)? };
            let leading = match order.and_then(|name| rows.column_by_name(name)) {
                Some(array) => Some(casted(array, &DataType::Int64)?),
                None => None,
            };
            let leading = leading.as_ref().map(AsArray::as_primitive::<Int64Type>);
            for (row, (mut bytes, whole)) in keys.into_iter().zip(whole).enumerate() {
                if key.is_empty() {
                    bytes.extend_from_slice(&whole);
                }
                let first = leading.map_or(0, |leading| leading.value(row));
                sorted.push(Row { first, key: bytes, whole, batch, row });
            }
        }
        sorted.sort_unstable_by(|a, b| a.key().cmp(&b.key()).then_with(|| (a.batch, a.row).cmp(&(b.batch, b.row))));
        Ok(Self { batches, sorted })
    }

    fn one(&self, row: &Row) -> RecordBatch {
        self.batches[row.batch].slice(row.row, 1)
    }
}
