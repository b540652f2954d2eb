//! Which chunks a table ever had, and the rows in them that have the value.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, Int64Type},
};
use jiff::civil::DateTime;

use super::{
    super::{names, overview::chunk_id},
    Interval,
};
use crate::{
    archive::{
        Archive,
        row_key::{key_columns, row_keys},
        snapshot::{Block, Chunk, Ladder, Snapshot, TableEntry},
    },
    error::{Kind, OrFail, Result},
    history::render::Cells,
};

/// The value that is looked for.
pub(super) struct Needle<'a> {
    pub(super) text: &'a str,
    pub(super) contains: bool,
}

impl Needle<'_> {
    /// The rows of a column that have it.
    fn rows(&self, array: &ArrayRef) -> Result<Vec<u32>> {
        let wanted = self.spelled(array.data_type());
        let is = |text: &str| if self.contains { text.contains(&*wanted) } else { text == wanted };
        let mut rows = Vec::new();
        let length = u32::try_from(array.len()).or_fail(Kind::Bug, || "a chunk of more than 2³² rows")?;
        if let Some(texts) = array.as_string_opt::<i32>() {
            rows.extend((0..length).zip(texts).filter(|(_, text)| text.is_some_and(is)).map(|(row, _)| row));
            return Ok(rows);
        }
        let cells = Cells::new(array.as_ref())?;
        for row in 0..length {
            if cells.text(row as usize)?.is_some_and(|text| is(&text)) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The value as columns of the type are shown: times may be given with a `T`, bits as 0 and 1.
    fn spelled(&self, kind: &DataType) -> String {
        match (kind, self.text) {
            (DataType::Timestamp(..), text) => text.replacen('T', " ", 1),
            (DataType::Boolean, "1") if !self.contains => "true".into(),
            (DataType::Boolean, "0") if !self.contains => "false".into(),
            (_, text) => text.into(),
        }
    }
}

/// Every chunk of the tables of a name, whatever its case, as the snapshots are read.
pub(super) struct Catalog {
    asked: String,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    names: BTreeSet<String>,
    tables: HashMap<String, SearchedTable>,
}

/// One table through all snapshots.
pub(super) struct SearchedTable {
    pub(super) name: String,
    /// Its schemas, without chunks.
    schemas: Vec<TableEntry>,
    pub(super) chunks: Vec<SearchedChunk>,
    by_id: HashMap<[u8; 16], usize>,
    /// The schema and number of the newest snapshot that has it.
    newest: (u64, usize),
}

pub(super) struct SearchedChunk {
    chunk: Chunk,
    /// The newest snapshot that names it, and the schema there. All that name it agree about its rows, since its content hash has
    /// names and types in it; they may differ about columns without any value.
    named: (u64, usize),
}

/// A snapshot that was read.
pub(super) struct Seen {
    snapshot: u64,
    till_time: DateTime,
    epoch: u32,
    tables: Vec<(String, Vec<usize>)>,
}

/// A snapshot and the chunks of the table in it.
pub(super) struct Stood {
    snapshot: u64,
    till_time: DateTime,
    pub(super) epoch: u32,
    pub(super) chunks: Vec<usize>,
}

impl Seen {
    pub(super) fn of(self, table: &str) -> Stood {
        let Self { snapshot, till_time, epoch, tables } = self;
        let chunks = tables.into_iter().find(|(name, _)| name == table).map(|(_, chunks)| chunks).unwrap_or_default();
        Stood { snapshot, till_time, epoch, chunks }
    }

    pub(super) fn to(&self, last: &Self) -> Interval {
        interval((self.snapshot, self.till_time), (last.snapshot, last.till_time))
    }
}

impl Stood {
    pub(super) fn to(&self, last: &Self) -> Interval {
        interval((self.snapshot, self.till_time), (last.snapshot, last.till_time))
    }
}

fn interval((from, from_till_time): (u64, DateTime), (to, to_till_time): (u64, DateTime)) -> Interval {
    Interval { from, to, from_till_time, to_till_time }
}

impl Catalog {
    pub(super) fn new(asked: &str) -> Self {
        Self { asked: asked.to_owned(), inner: Mutex::default() }
    }

    /// Keeps what a snapshot says of the tables of the name.
    pub(super) fn take_in(&self, snapshot: Snapshot) -> Seen {
        let asked = self.asked.to_lowercase();
        let Snapshot { snapshot: number, till_time, epoch, tables, .. } = snapshot;
        let mut seen = Seen { snapshot: number, till_time, epoch, tables: Vec::new() };
        // Hashed before the lock is taken.
        let names: Vec<String> = tables.iter().map(|entry| entry.table.name.to_string()).collect();
        let mut wanted = Vec::new();
        for (name, entry) in names.iter().zip(tables) {
            if name.to_lowercase() == asked {
                let id = |chunk: &Chunk| chunk_id(&entry.folder, &chunk.file_name());
                let ids: Vec<_> = entry.chunks.iter().map(id).collect();
                wanted.push((name.clone(), entry, ids));
            }
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, entry, ids) in wanted {
            let table = inner.tables.entry(name.clone()).or_insert_with(|| SearchedTable::new(&name));
            seen.tables.push((name, table.take_in(number, entry, ids)));
        }
        for name in names {
            if !inner.names.contains(&name) {
                inner.names.insert(name);
            }
        }
        seen
    }

    /// The table that is meant.
    pub(super) fn table(self) -> Result<SearchedTable> {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let name = names::meant(&self.asked, inner.names.iter().map(String::as_str), "table", "in these snapshots")?;
        Ok(inner.tables.remove(name).unwrap_or_else(|| SearchedTable::new(name)))
    }
}

impl SearchedTable {
    fn new(name: &str) -> Self {
        Self { name: name.into(), schemas: Vec::new(), chunks: Vec::new(), by_id: HashMap::new(), newest: (0, 0) }
    }

    fn take_in(&mut self, snapshot: u64, mut entry: TableEntry, ids: Vec<[u8; 16]>) -> Vec<usize> {
        let chunks = std::mem::take(&mut entry.chunks);
        entry.rows = 0;
        let schema = self.schemas.iter().position(|known| *known == entry).unwrap_or_else(|| {
            self.schemas.push(entry);
            self.schemas.len() - 1
        });
        self.newest = self.newest.max((snapshot, schema));
        let mut places = Vec::with_capacity(ids.len());
        for (id, chunk) in ids.into_iter().zip(chunks) {
            let place = *self.by_id.entry(id).or_insert(self.chunks.len());
            match self.chunks.get_mut(place) {
                Some(known) => known.named = known.named.max((snapshot, schema)),
                None => self.chunks.push(SearchedChunk { chunk, named: (snapshot, schema) }),
            }
            places.push(place);
        }
        places
    }

    /// The column that is meant, of all that the table ever had.
    pub(super) fn column(&self, asked: &str) -> Result<String> {
        let columns = self.schemas.iter().flat_map(|entry| &entry.table.columns);
        let names: BTreeSet<&str> = columns.map(|column| column.name.as_str()).collect();
        names::meant(asked, names.iter().copied(), "column", &format!("in table {}", self.name)).map(str::to_owned)
    }

    /// The key in the newest snapshot.
    pub(super) fn key(&self) -> Vec<String> {
        self.schemas.get(self.newest.1).map(|entry| entry.table.key.clone()).unwrap_or_default()
    }

    /// Whether a chunk's block allows the value.
    pub(super) fn may_hold(&self, chunk: usize, column: &str, needle: &Needle<'_>) -> bool {
        let SearchedChunk { chunk, named } = &self.chunks[chunk];
        match (&self.schemas[named.1].ladder, chunk.block) {
            (Ladder::Range { column: leads, .. }, Block::Range { lo, hi }) if leads == column && !needle.contains => {
                needle.text.parse().is_ok_and(|key: i64| (lo..=hi).contains(&key))
            }
            _ => true,
        }
    }

    /// The rows of a chunk that have the value.
    pub(super) fn search(
        &self,
        archive: &Archive,
        chunk: usize,
        column: &str,
        needle: &Needle<'_>,
    ) -> Result<Option<Rows>> {
        let SearchedChunk { chunk, named } = &self.chunks[chunk];
        let entry = &self.schemas[named.1];
        let some = |array: &ArrayRef| needle.rows(array).map(|rows| !rows.is_empty());
        let Some(batch) = archive.read_chunk_where(entry, chunk, column, some)? else { return Ok(None) };
        let Some(array) = batch.column_by_name(column) else { return Ok(None) };
        let rows = UInt32Array::from(needle.rows(array)?);
        let batch = take_record_batch(&batch, &rows).or_fail(Kind::Bug, || "rows cannot be taken from a chunk")?;
        Rows::new(batch, entry).map(Some)
    }
}

/// Rows of a chunk that have the value.
pub(super) struct Rows {
    batch: RecordBatch,
    /// The integer that leads the key, so that people see rows in its order.
    leading: Vec<i64>,
    keys: Vec<Vec<u8>>,
    whole: Vec<[u8; 32]>,
}

impl Rows {
    fn new(batch: RecordBatch, entry: &TableEntry) -> Result<Self> {
        let schema = batch.schema();
        let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.sort_unstable();
        let whole = row_keys(&batch, &names)?.iter().map(|bytes| *blake3::hash(bytes).as_bytes()).collect();
        let keys = row_keys(&batch, &key_columns(&entry.table))?;
        let leading = match entry.table.range_column().and_then(|column| batch.column_by_name(&column.name)) {
            Some(array) => {
                let wide = cast(array, &DataType::Int64).or_fail(Kind::Bug, || "an integer that is none")?;
                wide.as_primitive::<Int64Type>().values().to_vec()
            }
            None => vec![0; batch.num_rows()],
        };
        Ok(Self { batch, leading, keys, whole })
    }

    pub(super) fn len(&self) -> usize {
        self.whole.len()
    }

    /// What makes a row the same row in another chunk: all its values. NULL and an absent column are the same.
    pub(super) fn identity(&self, row: usize) -> [u8; 32] {
        self.whole[row]
    }

    /// Where a row sorts.
    pub(super) fn place(&self, row: usize) -> (i64, &[u8]) {
        (self.leading[row], &self.keys[row])
    }

    pub(super) fn one(&self, row: usize) -> RecordBatch {
        self.batch.slice(row, 1)
    }
}
