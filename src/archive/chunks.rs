//! One block of rows becomes a chunk of the archive: the known one, or a new file.
//!
//! Promises: rows are in chunk order (docs/FORMAT.md §6) before they are hashed; what has a content hash that the snapshot
//! before has is neither encoded nor written; what is written was read back first. Everything heavy happens on blocking
//! threads.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{concat_batches, take_record_batch},
    datatypes::SchemaRef,
};
use bytes::Bytes;
use object_store::ObjectStore;

use super::{
    buckets::Bucket,
    content_hash, layout, parquet, put,
    ranges::{self, Cut},
    room::Place,
    row_key,
    snapshot::{Block, Chunk},
};
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::Table,
};

/// What chunks of one table have in common.
#[derive(Debug)]
pub(super) struct ChunkMaker {
    pub(super) table: Table,
    pub(super) schema: SchemaRef,
    pub(super) folder: String,
    /// Chunks of the snapshot before whose files are there, by content hash and rows.
    pub(super) known: HashMap<(String, u64), Chunk>,
    pub(super) store: Arc<dyn ObjectStore>,
}

/// The rows of one block.
#[derive(Debug)]
pub(super) enum Rows {
    /// In order of the leading key.
    Range(Cut),
    /// In no order, among others.
    Bucket(Bucket),
}

impl Rows {
    /// Bytes of their values.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Range(cut) => cut.weight,
            Self::Bucket(bucket) => bucket.weight,
        }
    }

    fn block(&self) -> Block {
        match self {
            Self::Range(cut) => cut.block,
            Self::Bucket(bucket) => bucket.block,
        }
    }
}

/// A chunk that is in the archive.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) chunk: Chunk,
    pub(super) encoded: bool,
    pub(super) written: bool,
}

impl ChunkMaker {
    /// Makes the chunk of one block, and holds its place among the work under way until the chunk is in the archive.
    ///
    /// # Errors
    /// `Source` when a key came twice or the rows are too large for a chunk; `Bug` when the rows do not survive encoding;
    /// `Store` when the file cannot be written.
    pub(super) async fn make(self: Arc<Self>, rows: Rows, place: Place) -> Result<Finished> {
        let maker = Arc::clone(&self);
        // The place goes along: a blocking thread works on when this future is dropped.
        let (prepared, mut place) = tokio::task::spawn_blocking(move || (maker.prepare(rows), place))
            .await
            .or_fail(Kind::Bug, || format!("a chunk of table {} was not finished", self.table.name))?;
        let (chunk, file) = prepared?;
        let Some(bytes) = file else { return Ok(Finished { chunk, encoded: false, written: false }) };
        place.leave_core();
        let path = layout::chunk_path(&self.folder, &chunk.file_name());
        let written = put::put_chunk(self.store.as_ref(), &path, bytes).await?;
        Ok(Finished { chunk, encoded: true, written })
    }

    /// Hashes the rows and, only if their content is new, encodes them.
    fn prepare(&self, rows: Rows) -> Result<(Chunk, Option<Bytes>)> {
        let block = rows.block();
        let rows = self.in_order(rows)?;
        let content = content_hash::content_hash(&rows)?.to_hex().to_string();
        let count = rows.num_rows() as u64;
        if let Some(known) = self.known.get(&(content.clone(), count)) {
            return Ok((Chunk { block, ..known.clone() }, None));
        }
        let bytes = parquet::encode(&rows, &self.table)?;
        // Not needed any more, and it may be large.
        drop(rows);
        self.check_encoded(bytes.clone(), &content)?;
        let file = blake3::hash(&bytes).to_hex().to_string();
        Ok((Chunk { file, bytes: bytes.len() as u64, rows: count, block, content }, Some(bytes)))
    }

    /// The rows of a block as one batch, in chunk order.
    fn in_order(&self, rows: Rows) -> Result<RecordBatch> {
        match rows {
            Rows::Bucket(bucket) => self.sort(&bucket.gather(&self.table)?, None),
            Rows::Range(cut) => {
                let rows = self.together(cut.rows)?;
                match self.table.key.as_slice() {
                    // The only column of the key leads it.
                    [_] | [] => Ok(rows),
                    [column, ..] => self.sort(&rows, Some(column)),
                }
            }
        }
    }

    /// One batch of all rows; without a copy where it is one already.
    fn together(&self, mut rows: Vec<RecordBatch>) -> Result<RecordBatch> {
        match rows.pop() {
            Some(only) if rows.is_empty() => Ok(only),
            last => {
                rows.extend(last);
                concat_batches(&self.schema, &rows)
                    .or_fail(Kind::Source, || format!("rows of table {} are too large for one chunk", self.table.name))
            }
        }
    }

    /// Sorts rows by their leading key, where there is one, then by the bytes of their row key: an order of our own, since the
    /// server's may depend on a collation.
    fn sort(&self, rows: &RecordBatch, column: Option<&str>) -> Result<RecordBatch> {
        let leading =
            column.map(|column| ranges::leading_keys(&self.table.name.to_string(), rows, column)).transpose()?;
        let lead = |row: u32| leading.as_ref().map(|keys| keys[row as usize]);
        let keys = row_key::row_keys(rows, &row_key::key_columns(&self.table))?;
        let count = u32::try_from(keys.len())
            .or_fail(Kind::Source, || format!("rows of table {} are too many for one chunk", self.table.name))?;
        let key = |row: u32| &keys[row as usize];
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by(|a, b| lead(*a).cmp(&lead(*b)).then_with(|| key(*a).cmp(key(*b))));
        if row_key::has_whole_key(&self.table) && order.windows(2).any(|pair| key(pair[0]) == key(pair[1])) {
            return Err(Error::new(Kind::Source, format!("a key of table {} came twice", self.table.name))
                .hint("run again; if it stays, check the table for corruption (DBCC CHECKTABLE)"));
        }
        if order.is_sorted() {
            return Ok(rows.clone());
        }
        take_record_batch(rows, &UInt32Array::from(order))
            .or_fail(Kind::Bug, || format!("rows of table {} could not be put in order", self.table.name))
    }

    /// Reads an encoded chunk back before it is written: it may become the only copy of these rows, so a defect of the codec
    /// must be met here, not by whoever restores.
    fn check_encoded(&self, file: Bytes, content: &str) -> Result<()> {
        let changed = || format!("rows of table {} do not survive being written as Parquet", self.table.name);
        let hint = "report this; nothing wrong was stored";
        let rows = parquet::decode(file, &self.table)
            .map_err(|error| Error::new(Kind::Bug, changed()).hint(hint).caused_by(error))?;
        if content_hash::content_hash(&rows)?.to_hex().as_str() == content {
            return Ok(());
        }
        Err(Error::new(Kind::Bug, changed()).hint(hint))
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
            ..Column::default()
        };
        let table =
            Table { name: TableName::dbo("T"), columns: vec![column], key: vec!["Id".into()], ..Table::default() };
        let rows =
            |ids: Vec<i32>| RecordBatch::try_new(table.arrow_schema(), vec![Arc::new(Int32Array::from(ids))]).unwrap();
        let maker = ChunkMaker {
            schema: table.arrow_schema(),
            table: table.clone(),
            folder: "T".into(),
            known: HashMap::new(),
            store: Arc::new(InMemory::new()),
        };
        let content = content_hash::content_hash(&rows(vec![1, 2])).unwrap().to_hex();
        let file = |ids| parquet::encode(&rows(ids), &table).unwrap();
        maker.check_encoded(file(vec![1, 2]), &content).unwrap();
        assert_eq!(maker.check_encoded(file(vec![1, 3]), &content).unwrap_err().kind(), Kind::Bug);
        assert_eq!(maker.check_encoded(file(vec![1]), &content).unwrap_err().kind(), Kind::Bug);
        let cut_off = maker.check_encoded(file(vec![1, 2]).slice(4..), &content).unwrap_err();
        assert_eq!(cut_off.kind(), Kind::Bug);
    }
}
