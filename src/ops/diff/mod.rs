//! `diff`: what changed from one snapshot to another, table by table.
//!
//! The chunk lists decide first: chunks with the same content hash and number of rows in both snapshots hold the same rows and are
//! never read. Only the blocks that are left are read ([`rows`]), a few at a time. Rows are matched by primary key; in tables
//! without one, whole rows are counted.

mod rows;

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, civil::DateTime};
use serde::Serialize;
use serde_json::{Map, Value};

use self::rows::Comparison;
use super::names;
use crate::{
    archive::{
        Archive,
        snapshot::{Chunk, Snapshot, TableEntry},
    },
    error::Result,
    model::table::{Table, TableName},
    observe::{Event, SharedObserver},
};

/// What to compare, and how much to show.
#[derive(Clone, Debug, Default)]
pub struct DiffOptions {
    /// Only these tables, by display name in any case; all when there is none.
    pub tables: Vec<String>,
    /// Rows to give of each table; `None` only counts.
    pub rows: Option<usize>,
}

/// The JSON of `diff`.
#[derive(Debug, Serialize)]
pub struct DiffOutcome {
    /// The older side.
    pub from: Side,
    /// The newer side.
    pub to: Side,
    /// Whether the database was cleared in between, so that the same Id may stand for something else.
    pub ids_may_be_reused: bool,
    /// Tables that differ, by name.
    pub tables: Vec<TableDiff>,
    /// Tables that are equal.
    pub unchanged: u64,
    /// Chunk files that were read.
    pub chunks_read: u64,
    /// Chunks that both snapshots have, which were not.
    pub chunks_shared: u64,
}

/// Which snapshot, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Number.
    pub snapshot: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Life of the POS database between clears.
    pub epoch: u32,
}

impl Side {
    fn of(snapshot: &Snapshot) -> Self {
        let Snapshot { snapshot, taken_at, till_time, epoch, .. } = *snapshot;
        Self { snapshot, taken_at, till_time, epoch }
    }
}

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In both snapshots.
    Changed,
    /// In the newer one only.
    Came,
    /// In the older one only.
    Gone,
    /// One of the snapshots could not take it: nothing can be said about its rows.
    NotTaken,
}

/// A table that differs.
#[derive(Debug, Serialize)]
pub struct TableDiff {
    /// Display name.
    pub table: String,
    /// Changed, came, gone, or not taken.
    pub state: State,
    /// Rows that are new.
    pub added: u64,
    /// Rows of the same key with another value somewhere. Always 0 without a key.
    pub changed: u64,
    /// Rows that are gone.
    pub removed: u64,
    /// Columns that are new.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_added: Vec<ColumnIs>,
    /// Columns that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_removed: Vec<ColumnIs>,
    /// Columns of another type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_retyped: Vec<Retyped>,
    /// What to know about the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The rows, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<RowChange>>,
    /// Whether rows were left off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A column and its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnIs {
    /// Name.
    pub column: String,
    /// SQL Server's type.
    #[serde(rename = "type")]
    pub sql_type: String,
}

/// A column whose declared type is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retyped {
    /// Name.
    pub column: String,
    /// Type before.
    pub from: String,
    /// Type after.
    pub to: String,
}

/// A row that differs. Values are as in the JSON of `query`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum RowChange {
    /// Only in the newer snapshot.
    Added {
        /// The row.
        row: Map<String, Value>,
    },
    /// Only in the older snapshot.
    Removed {
        /// The row.
        row: Map<String, Value>,
    },
    /// In both.
    Changed {
        /// Its key.
        key: Map<String, Value>,
        /// The columns whose values differ.
        columns: Vec<ValueChange>,
    },
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueChange {
    /// Column.
    pub column: String,
    /// Value before; null where the column was not there.
    pub old: Value,
    /// Value after.
    pub new: Value,
}

/// Compares two snapshots of the archive. Blocks.
///
/// # Errors
/// `Usage` when a table of the options is in neither; `Damage` when a chunk that has to be read is missing or altered.
pub fn diff(
    archive: &Archive,
    from: &Snapshot,
    to: &Snapshot,
    options: &DiffOptions,
    observer: &SharedObserver,
) -> Result<DiffOutcome> {
    let pairs = chosen(pairs(from, to), &options.tables)?;
    observer.event(Event::Phase { name: "compare", total: None });
    let mut outcome = DiffOutcome {
        from: Side::of(from),
        to: Side::of(to),
        ids_may_be_reused: from.epoch != to.epoch,
        tables: Vec::new(),
        unchanged: 0,
        chunks_read: 0,
        chunks_shared: 0,
    };
    for (name, pair) in pairs {
        let name = name.to_string();
        let mut table = TableDiff::new(name.clone());
        match pair {
            (Some(a), Some(b)) => {
                let (old, new) = chunks_apart(a, b);
                let shared = b.chunks.len() - new.len();
                outcome.chunks_shared += shared as u64;
                outcome.chunks_read += (old.len() + new.len()) as u64;
                table.columns(&a.table, &b.table);
                Comparison::new(archive, a, b, options.rows).run(&old, &new, &mut table)?;
            }
            (Some(entry), None) => {
                table.one_sided(archive, entry, State::Gone, not_taken(to, &name), options.rows)?;
            }
            (None, Some(entry)) => {
                table.one_sided(archive, entry, State::Came, not_taken(from, &name), options.rows)?;
            }
            (None, None) => {}
        }
        if table.is_equal() { outcome.unchanged += 1 } else { outcome.tables.push(table) }
    }
    Ok(outcome)
}

type Pair<'a> = (Option<&'a TableEntry>, Option<&'a TableEntry>);

/// Every table of either snapshot, by name.
fn pairs<'a>(from: &'a Snapshot, to: &'a Snapshot) -> BTreeMap<&'a TableName, Pair<'a>> {
    let mut pairs: BTreeMap<&TableName, Pair<'_>> = BTreeMap::new();
    for entry in &from.tables {
        pairs.entry(&entry.table.name).or_default().0 = Some(entry);
    }
    for entry in &to.tables {
        pairs.entry(&entry.table.name).or_default().1 = Some(entry);
    }
    pairs
}

/// Those that were asked for.
fn chosen<'a>(
    mut pairs: BTreeMap<&'a TableName, Pair<'a>>,
    asked: &[String],
) -> Result<BTreeMap<&'a TableName, Pair<'a>>> {
    if asked.is_empty() {
        return Ok(pairs);
    }
    let known: Vec<String> = pairs.keys().map(ToString::to_string).collect();
    let mut wanted = Vec::new();
    for name in asked {
        wanted.push(names::meant(name, known.iter().map(String::as_str), "table", "in these snapshots")?);
    }
    pairs.retain(|name, _| wanted.contains(&name.to_string().as_str()));
    Ok(pairs)
}

/// Why a snapshot could not take a table, if it says so.
fn not_taken(snapshot: &Snapshot, table: &str) -> Option<String> {
    let missing = snapshot.missing.iter().find(|missing| missing.table == table)?;
    Some(format!("snapshot {} could not take it: {}", snapshot.snapshot, missing.reason))
}

/// Chunks of each side that the other does not have. Equal content hash and number of rows mean equal rows.
fn chunks_apart<'a>(a: &'a TableEntry, b: &'a TableEntry) -> (Vec<&'a Chunk>, Vec<&'a Chunk>) {
    fn less<'a>(these: &'a TableEntry, those: &'a TableEntry) -> Vec<&'a Chunk> {
        let mut known: HashMap<(&str, u64), usize> = HashMap::new();
        for chunk in &those.chunks {
            *known.entry((&chunk.content, chunk.rows)).or_default() += 1;
        }
        let mut left = these.chunks.iter().collect::<Vec<_>>();
        left.retain(|chunk| match known.get_mut(&(chunk.content.as_str(), chunk.rows)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        left
    }
    (less(a, b), less(b, a))
}

impl TableDiff {
    fn new(table: String) -> Self {
        Self {
            table,
            state: State::Changed,
            added: 0,
            changed: 0,
            removed: 0,
            columns_added: Vec::new(),
            columns_removed: Vec::new(),
            columns_retyped: Vec::new(),
            note: None,
            rows: None,
            truncated: false,
        }
    }

    fn is_equal(&self) -> bool {
        let rows = self.added + self.changed + self.removed;
        let columns = self.columns_added.len() + self.columns_removed.len() + self.columns_retyped.len();
        self.state == State::Changed && rows == 0 && columns == 0
    }

    fn columns(&mut self, a: &Table, b: &Table) {
        let is = |column: &crate::model::table::Column| ColumnIs {
            column: column.name.clone(),
            sql_type: column.sql_type.to_string(),
        };
        self.columns_added = b.columns.iter().filter(|column| a.column(&column.name).is_none()).map(is).collect();
        self.columns_removed = a.columns.iter().filter(|column| b.column(&column.name).is_none()).map(is).collect();
        for (old, new) in a.columns.iter().filter_map(|old| Some((old, b.column(&old.name)?))) {
            if old.sql_type != new.sql_type {
                let (from, to) = (old.sql_type.to_string(), new.sql_type.to_string());
                self.columns_retyped.push(Retyped { column: old.name.clone(), from, to });
            }
        }
    }

    /// A table that only one snapshot has. Its rows are read only to be shown.
    fn one_sided(
        &mut self,
        archive: &Archive,
        entry: &TableEntry,
        state: State,
        not_taken: Option<String>,
        rows: Option<usize>,
    ) -> Result<()> {
        if not_taken.is_some() {
            self.state = State::NotTaken;
            self.note = not_taken;
            return Ok(());
        }
        self.state = state;
        let count = if state == State::Came { &mut self.added } else { &mut self.removed };
        *count = entry.rows;
        let Some(limit) = rows else { return Ok(()) };
        let mut shown = Vec::new();
        for chunk in &entry.chunks {
            if shown.len() >= limit {
                break;
            }
            let batch = archive.read_chunk(entry, chunk)?;
            let batch = batch.slice(0, batch.num_rows().min(limit - shown.len()));
            crate::history::render::json_batch(&batch, |row| {
                shown.push(if state == State::Came { RowChange::Added { row } } else { RowChange::Removed { row } });
                Ok(())
            })?;
        }
        self.truncated = (shown.len() as u64) < entry.rows;
        self.rows = Some(shown);
        Ok(())
    }
}
