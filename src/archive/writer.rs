//! [`TableWriter`]: a stream of rows becomes chunks of one table.
//!
//! Rows are cut as they come. Each block is sorted where its key asks for it, hashed, and, only when its content hash is new,
//! encoded and written; that happens on blocking threads while more rows arrive. What waits is bounded: a block is handed
//! over only when one of the archive's few places is free.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Int16Type, Int32Type, Int64Type, SchemaRef},
};
use bytes::Bytes;
use object_store::ObjectStore;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    blocks, content_hash,
    folder::{Archive, lengths},
    layout, parquet, put, row_key,
    snapshot::{Block, Chunk, Ladder, TableEntry},
};
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::Table,
};

/// A table as it stands in the next snapshot, and what it cost.
#[derive(Clone, Debug)]
pub struct TableWritten {
    /// The table's entry for the snapshot.
    pub entry: TableEntry,
    /// Chunks whose content the snapshot before did not have, so that they were encoded.
    pub chunks_encoded: u64,
    /// Chunk files that were written, since the archive did not have them.
    pub chunks_new: u64,
    /// Their length together.
    pub bytes_new: u64,
}

/// Takes the rows of one table. Made by [`Archive::table_writer`].
///
/// Drop it to give up: what was written stays behind as files that no snapshot names. A [`TableWriter::push`] that is dropped
/// half-way means giving up, too.
#[derive(Debug)]
pub struct TableWriter {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    ladder: Ladder,
    /// Rows that are not handed over yet: those of the present closed block, or all of a table without an integer key.
    pending: Vec<RecordBatch>,
    /// Bounds of the closed block that `pending` belongs to.
    present: Option<(i64, i64)>,
    last_key: Option<i64>,
    rows: u64,
    tasks: JoinSet<Result<(usize, Finished)>>,
    finished: Vec<Option<Finished>>,
}

/// What the tasks need to know.
#[derive(Debug)]
struct Shared {
    table: Table,
    schema: SchemaRef,
    folder: String,
    /// Chunks of the snapshot before whose files are there, by content hash and rows.
    known: HashMap<(String, u64), Chunk>,
    store: Arc<dyn ObjectStore>,
}

/// A chunk that is in the archive.
#[derive(Debug)]
struct Finished {
    chunk: Chunk,
    encoded: bool,
    written: bool,
}

impl TableWriter {
    pub(super) fn new(archive: &Archive, table: &Table, folder: String, previous: Option<&TableEntry>) -> Result<Self> {
        if let Some(column) = table.unsupported() {
            return Err(Error::new(
                Kind::Source,
                format!(
                    "table {} cannot be archived: column {} has type {}, which cannot be kept exactly",
                    table.name, column.name, column.sql_type
                ),
            )
            .hint("exclude the table"));
        }
        if table.columns.is_empty() {
            return Err(Error::new(
                Kind::Source,
                format!("table {} cannot be archived: it has no columns", table.name),
            ));
        }
        let mut known = HashMap::new();
        if let Some(entry) = previous.filter(|entry| !entry.chunks.is_empty()) {
            // Only what is really there can be used again; anything else is written anew.
            let there = lengths(&archive.root().join(layout::TABLES).join(&folder))?;
            let whole = entry.chunks.iter().filter(|chunk| there.get(&chunk.file_name()) == Some(&chunk.bytes));
            known.extend(whole.map(|chunk| ((chunk.content.clone(), chunk.rows), chunk.clone())));
        }
        let shared = Shared {
            schema: table.arrow_schema(),
            table: table.clone(),
            folder,
            known,
            store: Arc::clone(&archive.store),
        };
        Ok(Self {
            shared: Arc::new(shared),
            permits: Arc::clone(&archive.permits),
            ladder: blocks::ladder_for(table, previous.map(|entry| &entry.ladder)),
            pending: Vec::new(),
            present: None,
            last_key: None,
            rows: 0,
            tasks: JoinSet::new(),
            finished: Vec::new(),
        })
    }

    /// Takes more rows: a batch of [`Table::arrow_schema`], in order of the leading integer key where the table has one.
    ///
    /// # Errors
    /// `Source` when the rows are out of order, repeat a key or lack it; `Store` when an earlier block could not be
    /// written. The writer is of no use after an error.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.shared.under_schema(&rows)?;
        self.rows += rows.num_rows() as u64;
        let Ladder::Range { column, closed, .. } = self.ladder.clone() else {
            self.pending.push(rows);
            return Ok(());
        };
        let keys = self.shared.leading_keys(&rows, &column)?;
        let mut start = 0;
        for (row, key) in keys.iter().copied().enumerate() {
            self.check_order(key)?;
            if self.present.is_some_and(|(_, hi)| key > hi) {
                self.pending.push(rows.slice(start, row - start));
                start = row;
                self.hand_over_closed().await?;
            }
            if self.present.is_none() {
                self.present = Some(blocks::aligned(key, closed));
            }
        }
        self.pending.push(rows.slice(start, rows.num_rows() - start));
        Ok(())
    }

    fn check_order(&mut self, key: i64) -> Result<()> {
        let table = &self.shared.table;
        match self.last_key.replace(key) {
            Some(last) if key < last => Err(Error::new(
                Kind::Source,
                format!("rows of table {} came out of order: key {key} after {last}", table.name),
            )),
            Some(last) if key == last && table.key.len() == 1 => {
                Err(Error::new(Kind::Source, format!("key {key} of table {} came twice", table.name))
                    .hint("run again; if it stays, check the table for corruption (DBCC CHECKTABLE)")
                    .temporary())
            }
            _ => Ok(()),
        }
    }

    /// Hands over the rows of the present closed block, beyond which a key has been seen.
    async fn hand_over_closed(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        match self.present.take() {
            Some((lo, hi)) => self.hand_over(Block::Range { lo, hi }, rows).await,
            None => Ok(()),
        }
    }

    /// Waits for a free place, then lets a task make the chunk.
    async fn hand_over(&mut self, block: Block, rows: Vec<RecordBatch>) -> Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.take_in(ended)?;
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.or_fail(Kind::Bug, || "the archive was closed")?;
        let (shared, index) = (Arc::clone(&self.shared), self.finished.len());
        self.finished.push(None);
        self.tasks.spawn(async move {
            let _permit = permit;
            Ok((index, shared.make_chunk(block, rows).await?))
        });
        Ok(())
    }

    fn take_in(&mut self, ended: Result<Result<(usize, Finished)>, tokio::task::JoinError>) -> Result<()> {
        let (index, finished) =
            ended.or_fail(Kind::Bug, || format!("a chunk of table {} was not finished", self.shared.table.name))??;
        self.finished[index] = Some(finished);
        Ok(())
    }

    /// Ends the table: hands over what is left and waits until every chunk is in the archive.
    ///
    /// # Errors
    /// As [`TableWriter::push`].
    pub async fn finish(mut self) -> Result<TableWritten> {
        let rest = std::mem::take(&mut self.pending);
        let cut = match self.ladder.clone() {
            Ladder::Range { column, open, closed } => self.cut_open_end(rest, &column, open, closed)?,
            Ladder::Whole => self.cut_by_hash(rest, 0).await?,
            Ladder::Hash { bits } => self.cut_by_hash(rest, bits).await?,
        };
        for (block, rows) in cut {
            self.hand_over(block, rows).await?;
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.take_in(ended)?;
        }
        let mut written = TableWritten {
            entry: TableEntry {
                table: self.shared.table.clone(),
                folder: self.shared.folder.clone(),
                ladder: self.ladder,
                rows: self.rows,
                chunks: Vec::with_capacity(self.finished.len()),
            },
            chunks_encoded: 0,
            chunks_new: 0,
            bytes_new: 0,
        };
        for finished in self.finished.into_iter().flatten() {
            written.chunks_encoded += u64::from(finished.encoded);
            if finished.written {
                written.chunks_new += 1;
                written.bytes_new += finished.chunk.bytes;
            }
            written.entry.chunks.push(finished.chunk);
        }
        Ok(written)
    }

    /// The rows of the last closed block's range: as one closed block when the last key closes it, else in open blocks.
    fn cut_open_end(
        &self,
        rest: Vec<RecordBatch>,
        column: &str,
        open: u32,
        closed: u32,
    ) -> Result<Vec<(Block, Vec<RecordBatch>)>> {
        let Some(highest) = self.last_key else { return Ok(Vec::new()) };
        let mut cut: Vec<(Block, Vec<RecordBatch>)> = Vec::new();
        for rows in rest {
            let keys = self.shared.leading_keys(&rows, column)?;
            let mut start = 0;
            while start < keys.len() {
                let block = blocks::range_block(keys[start], highest, open, closed);
                let Block::Range { hi, .. } = block else { break };
                let end = start + keys[start..].partition_point(|key| *key <= hi);
                let part = rows.slice(start, end - start);
                match cut.last_mut() {
                    Some((last, parts)) if *last == block => parts.push(part),
                    _ => cut.push((block, vec![part])),
                }
                start = end;
            }
        }
        Ok(cut)
    }

    /// All rows of a table without an integer key, sorted by their canonical key and cut by its hash.
    async fn cut_by_hash(&mut self, rest: Vec<RecordBatch>, before: u8) -> Result<Vec<(Block, Vec<RecordBatch>)>> {
        let bits = blocks::hash_bits(self.rows, Some(before));
        self.ladder = if bits == 0 { Ladder::Whole } else { Ladder::Hash { bits } };
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.sort_and_cut(&rest, bits))
            .await
            .or_fail(Kind::Bug, || format!("table {} could not be sorted", self.shared.table.name))?
    }
}

impl Shared {
    /// The batch under the table's own schema: same names, types and order are asked for, metadata is not.
    fn under_schema(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let found = rows.schema();
        let same =
            found.fields().len() == self.schema.fields().len()
                && found.fields().iter().zip(self.schema.fields()).all(|(found, declared)| {
                    found.name() == declared.name() && found.data_type() == declared.data_type()
                });
        if !same {
            return Err(Error::new(
                Kind::Bug,
                format!("rows of table {} came with other columns than declared", self.table.name),
            ));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())
            .or_fail(Kind::Source, || format!("table {} sent NULL in a column that allows none", self.table.name))
    }

    /// The leading key of every row.
    fn leading_keys(&self, rows: &RecordBatch, column: &str) -> Result<Vec<i64>> {
        let array = rows
            .column_by_name(column)
            .ok_or_else(|| Error::new(Kind::Bug, format!("rows of table {} lack {column}", self.table.name)))?;
        if array.null_count() > 0 {
            return Err(Error::new(Kind::Source, format!("table {} has rows without {column}", self.table.name)));
        }
        Ok(match array.data_type() {
            DataType::Int16 => array.as_primitive::<Int16Type>().values().iter().copied().map(i64::from).collect(),
            DataType::Int32 => array.as_primitive::<Int32Type>().values().iter().copied().map(i64::from).collect(),
            DataType::Int64 => array.as_primitive::<Int64Type>().values().to_vec(),
            other => {
                return Err(Error::new(Kind::Bug, format!("key {column} of table {} is {other}", self.table.name)));
            }
        })
    }

    /// One batch of all rows.
    fn together(&self, rows: &[RecordBatch]) -> Result<RecordBatch> {
        concat_batches(&self.schema, rows)
            .or_fail(Kind::Store, || format!("rows of table {} are too large for one chunk", self.table.name))
    }

    fn sort_and_cut(&self, rows: &[RecordBatch], bits: u8) -> Result<Vec<(Block, Vec<RecordBatch>)>> {
        let rows = self.together(rows)?;
        let keys = row_key::row_keys(&rows, &row_key::key_columns(&self.table))?;
        let buckets: Vec<u32> = keys.iter().map(|key| blocks::bucket(&blake3::hash(key), bits)).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|a, b| (buckets[*a], &keys[*a]).cmp(&(buckets[*b], &keys[*b])));
        self.refuse_twins(&keys, &order)?;
        let sorted = row_key::reorder(&rows, &order)?;
        let mut cut = Vec::new();
        let mut start = 0;
        while start < order.len() {
            let bucket = buckets[order[start]];
            let end = start + order[start..].partition_point(|row| buckets[*row] == bucket);
            let block = if bits == 0 { Block::Whole {} } else { Block::Hash { bucket } };
            cut.push((block, vec![sorted.slice(start, end - start)]));
            start = end;
        }
        Ok(cut)
    }

    /// Rows in order must differ in their key, where there is one.
    fn refuse_twins(&self, keys: &[Vec<u8>], order: &[usize]) -> Result<()> {
        if row_key::has_whole_key(&self.table) && order.windows(2).any(|pair| keys[pair[0]] == keys[pair[1]]) {
            return Err(Error::new(Kind::Source, format!("a key of table {} came twice", self.table.name))
                .hint("run again; if it stays, check the table for corruption (DBCC CHECKTABLE)")
                .temporary());
        }
        Ok(())
    }

    /// Puts rows that share their leading key into an order of our own: the server's may depend on a collation.
    fn sort_ties(&self, rows: &RecordBatch, column: &str) -> Result<RecordBatch> {
        let leading = self.leading_keys(rows, column)?;
        let keys = row_key::row_keys(rows, &row_key::key_columns(&self.table))?;
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|a, b| (leading[*a], &keys[*a]).cmp(&(leading[*b], &keys[*b])));
        self.refuse_twins(&keys, &order)?;
        row_key::reorder(rows, &order)
    }

    /// One block of rows becomes a chunk of the archive: the known one, or a new file.
    async fn make_chunk(self: Arc<Self>, block: Block, rows: Vec<RecordBatch>) -> Result<Finished> {
        let shared = Arc::clone(&self);
        let (chunk, file) = tokio::task::spawn_blocking(move || shared.prepare(block, &rows))
            .await
            .or_fail(Kind::Bug, || format!("a chunk of table {} was not finished", self.table.name))??;
        let Some(bytes) = file else { return Ok(Finished { chunk, encoded: false, written: false }) };
        let path = layout::chunk_path(&self.folder, &chunk.file_name());
        let written = put::put_chunk(self.store.as_ref(), &path, bytes).await?;
        Ok(Finished { chunk, encoded: true, written })
    }

    /// Reads an encoded chunk back before it is written: it may become the only copy of these rows, so a defect of the codec
    /// must stop the run, not be found by whoever restores.
    fn check_encoded(&self, file: Bytes, content: &str) -> Result<()> {
        let found = content_hash::content_hash(&parquet::decode(file, &self.table)?)?;
        if found.to_hex().as_str() == content {
            return Ok(());
        }
        Err(Error::new(Kind::Bug, format!("rows of table {} do not survive being written as Parquet", self.table.name))
            .hint("report this; nothing wrong was stored"))
    }

    /// Hashes the rows and, only if their content is new, encodes them.
    fn prepare(&self, block: Block, rows: &[RecordBatch]) -> Result<(Chunk, Option<Bytes>)> {
        let mut rows = self.together(rows)?;
        if let (Block::Range { .. }, Some(column), true) = (block, self.table.key.first(), self.table.key.len() > 1) {
            rows = self.sort_ties(&rows, column)?;
        }
        let content = content_hash::content_hash(&rows)?.to_hex().to_string();
        let count = rows.num_rows() as u64;
        if let Some(known) = self.known.get(&(content.clone(), count)) {
            return Ok((Chunk { block, ..known.clone() }, None));
        }
        let bytes = parquet::encode(&rows, &self.table)?;
        self.check_encoded(bytes.clone(), &content)?;
        let file = blake3::hash(&bytes).to_hex().to_string();
        Ok((Chunk { file, bytes: bytes.len() as u64, rows: count, block, content }, Some(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use object_store::memory::InMemory;

    use super::*;
    use crate::model::table::{Column, TableName};

    #[test]
    fn a_chunk_that_does_not_read_back_is_not_written() {
        let column = Column {
            name: "Id".into(),
            sql_type: "int".parse().unwrap(),
            nullable: false,
            identity: true,
            collation: None,
            default: None,
        };
        let table = Table {
            name: TableName::dbo("T"),
            columns: vec![column],
            key: vec!["Id".into()],
            foreign_keys: Vec::new(),
            left_out: Vec::new(),
        };
        let rows =
            |ids: Vec<i32>| RecordBatch::try_new(table.arrow_schema(), vec![Arc::new(Int32Array::from(ids))]).unwrap();
        let shared = Shared {
            schema: table.arrow_schema(),
            table: table.clone(),
            folder: "T".into(),
            known: HashMap::new(),
            store: Arc::new(InMemory::new()),
        };
        let content = content_hash::content_hash(&rows(vec![1, 2])).unwrap().to_hex();
        let file = |ids| parquet::encode(&rows(ids), &table).unwrap();
        shared.check_encoded(file(vec![1, 2]), &content).unwrap();
        assert_eq!(shared.check_encoded(file(vec![1, 3]), &content).unwrap_err().kind(), Kind::Bug);
        assert_eq!(shared.check_encoded(file(vec![1]), &content).unwrap_err().kind(), Kind::Bug);
        assert!(shared.check_encoded(file(vec![1, 2]).slice(4..), &content).is_err());
    }
}
