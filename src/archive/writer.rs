//! [`TableWriter`]: a stream of rows becomes chunks of one table.
//!
//! Rows are cut as they come. Each block is put in order where its key asks for it, hashed, and, only when its content hash
//! is new, encoded and written; that happens on blocking threads while more rows arrive. What is under way is bounded: a block
//! is handed over only when a core and room are free ([`Room`]), and the rows that wait for the end of their block are hardly
//! ever heavier than one block may be.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::RecordBatch;
use tokio::task::JoinSet;

use super::{
    blocks, buckets,
    chunks::{ChunkMaker, Finished, Rows},
    folder::{Archive, lengths},
    layout,
    ranges::{Cut, RangeCutter},
    room::Room,
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
    /// Their names within the table's folder, and their lengths. A run that reads a table twice can tell from them what of
    /// the first read is in use at its end.
    pub new_files: Vec<(String, u64)>,
}

impl TableWritten {
    /// A table whose chunks are all those of before.
    #[must_use]
    pub fn kept(entry: TableEntry) -> Self {
        Self { entry, chunks_encoded: 0, chunks_new: 0, bytes_new: 0, new_files: Vec::new() }
    }
}

/// The chunks of an entry that are really there, by content hash and rows: anything else is written anew.
fn known_chunks(root: &Path, entry: &TableEntry) -> Result<HashMap<(String, u64), Chunk>> {
    if entry.chunks.is_empty() {
        return Ok(HashMap::new());
    }
    let there = lengths(&root.join(layout::TABLES).join(&entry.folder))?;
    let whole = entry.chunks.iter().filter(|chunk| there.get(&chunk.file_name()) == Some(&chunk.bytes));
    Ok(whole.map(|chunk| ((chunk.content.clone(), chunk.rows), chunk.clone())).collect())
}

/// Takes the rows of one table. Made by [`Archive::table_writer`].
///
/// Drop it to give up: what was written stays behind as files that no snapshot names. A [`TableWriter::push`] that is dropped
/// half-way means giving up, too.
#[derive(Debug)]
pub struct TableWriter {
    maker: Arc<ChunkMaker>,
    room: Room,
    cutter: Cutter,
    rows: u64,
    tasks: JoinSet<Result<(usize, Finished)>>,
    finished: Vec<Option<Finished>>,
    /// The table's highest key, where it is known beforehand.
    highest: Option<i64>,
    /// The archive's folder.
    root: PathBuf,
}

/// How the rows are cut.
#[derive(Debug)]
enum Cutter {
    /// While they come.
    Ranges(Ladder, RangeCutter),
    /// When all are there; with the ladder of the snapshot before.
    Buckets(Option<Ladder>, Vec<RecordBatch>),
}

impl TableWriter {
    pub(super) fn new(archive: &Archive, table: &Table, folder: String, previous: Option<&TableEntry>) -> Result<Self> {
        let cannot = |why: String| Error::new(Kind::Source, format!("table {} cannot be archived: {why}", table.name));
        if let Some(column) = table.unsupported() {
            let why = format!("column {} has type {}, which cannot be kept exactly", column.name, column.sql_type);
            return Err(cannot(why).hint("exclude the table"));
        }
        if table.columns.is_empty() {
            return Err(cannot("it has no columns".into()));
        }
        let root = archive.root().to_owned();
        let known = previous.map(|entry| known_chunks(&root, entry)).transpose()?.unwrap_or_default();
        let ladder = previous.map(|entry| &entry.ladder);
        let cutter = match blocks::range_ladder(table, ladder) {
            Some(Ladder::Range { column, open, closed, heavy }) => {
                let cutter = RangeCutter::new(table, &column, open, closed, heavy);
                Cutter::Ranges(Ladder::Range { column, open, closed, heavy }, cutter)
            }
            _ => Cutter::Buckets(ladder.cloned(), Vec::new()),
        };
        let maker = ChunkMaker {
            schema: table.arrow_schema(),
            table: table.clone(),
            folder,
            known,
            store: Arc::clone(&archive.store),
        };
        Ok(Self {
            maker: Arc::new(maker),
            room: archive.room.clone(),
            cutter,
            rows: 0,
            tasks: JoinSet::new(),
            finished: Vec::new(),
            highest: None,
            root,
        })
    }

    /// The ladder that the table is cut by, if it has an integer key.
    #[must_use]
    pub fn range_ladder(&self) -> Option<&Ladder> {
        match &self.cutter {
            Cutter::Ranges(ladder, _) => Some(ladder),
            Cutter::Buckets(..) => None,
        }
    }

    /// Whether a chunk of the snapshot before can be kept: its file is there, with its length.
    #[must_use]
    pub fn holds(&self, chunk: &Chunk) -> bool {
        self.maker.known.get(&(chunk.content.clone(), chunk.rows)).is_some_and(|known| known.file == chunk.file)
    }

    /// Whether the rows and kept chunks so far end at the key that was expected, if one was.
    #[must_use]
    pub fn ends_as_expected(&self) -> bool {
        match (&self.cutter, self.highest) {
            (Cutter::Ranges(_, cutter), Some(highest)) => cutter.last_key() == Some(highest),
            _ => true,
        }
    }

    /// Lets chunks of another entry of the table be found again, too. To be called before the first row.
    ///
    /// # Errors
    /// `Store` when the table's folder cannot be read; `Bug` when rows are in work already.
    pub fn also_knows(&mut self, entry: &TableEntry) -> Result<()> {
        let late = || Error::new(Kind::Bug, format!("rows of table {} are in work already", entry.table.name));
        let maker = Arc::get_mut(&mut self.maker).ok_or_else(late)?;
        if entry.folder == maker.folder {
            for (name, chunk) in known_chunks(&self.root, entry)? {
                maker.known.entry(name).or_insert(chunk);
            }
        }
        Ok(())
    }

    /// Says which key will be the table's highest, before the first row. [`TableWriter::keep`] needs it, since it decides
    /// where blocks are open; [`TableWriter::finish`] refuses a table that ends elsewhere.
    pub fn expect_highest(&mut self, highest: i64) {
        self.highest = Some(highest);
        if let Cutter::Ranges(_, cutter) = &mut self.cutter {
            cutter.expect_highest(highest);
        }
    }

    /// Takes the chunks of the keys `lo..=hi` as they stand in the snapshot before: the till's rows there are the same. The
    /// keys are one whole closed block, or one whole open block, as docs/FORMAT.md §6 cuts the table that is being written.
    ///
    /// # Errors
    /// `Bug` when the keys are not such a range behind everything so far, a chunk does not lie in it or is not
    /// [held](TableWriter::holds), or [`TableWriter::expect_highest`] was not called; else as [`TableWriter::push`].
    pub async fn keep(&mut self, lo: i64, hi: i64, chunks: &[Chunk]) -> Result<()> {
        let bug = |why: &str| {
            Error::new(Kind::Bug, format!("chunks of table {} cannot be kept: {why}", self.maker.table.name))
        };
        let within = |chunk: &Chunk| matches!(chunk.block, Block::Range { lo: from, hi: to } if lo <= from && to <= hi);
        if !chunks.iter().all(within) || !chunks.windows(2).all(|pair| blocks::follows(pair[0].block, pair[1].block)) {
            return Err(bug("they do not lie in the range"));
        }
        if !chunks.iter().all(|chunk| self.holds(chunk)) {
            return Err(bug("a file is not there"));
        }
        let done = match &mut self.cutter {
            Cutter::Ranges(_, cutter) => cutter.keep(lo, hi)?,
            Cutter::Buckets(..) => return Err(bug("the table has no ranges")),
        };
        self.hand_over_all(done).await?;
        for chunk in chunks {
            self.rows += chunk.rows;
            self.finished.push(Some(Finished { chunk: chunk.clone(), encoded: false, written: false }));
        }
        Ok(())
    }

    /// Takes more rows: a batch of [`Table::arrow_schema`], in order of the leading integer key where the table has one.
    ///
    /// Returns when the blocks that the rows complete are in work; meanwhile it waits for a core and room.
    ///
    /// # Errors
    /// `Source` when something is wrong with this table's rows: out of order, a key repeated or missing, NULL where none is
    /// allowed, too large for a chunk; `Bug` when they do not survive being written as Parquet; `Store` when an earlier block
    /// could not be written. The writer is of no use after an error.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.under_schema(&rows)?;
        self.rows += rows.num_rows() as u64;
        match &mut self.cutter {
            Cutter::Ranges(_, cutter) => {
                let done = cutter.push(rows)?;
                self.hand_over_all(done).await
            }
            Cutter::Buckets(_, batches) => {
                batches.push(rows);
                Ok(())
            }
        }
    }

    /// The batch under the table's own schema: same names, types and order are asked for, metadata is not.
    fn under_schema(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let (found, schema, table) = (rows.schema(), &self.maker.schema, &self.maker.table.name);
        let same =
            found.fields().len() == schema.fields().len()
                && found.fields().iter().zip(schema.fields()).all(|(found, declared)| {
                    found.name() == declared.name() && found.data_type() == declared.data_type()
                });
        if !same {
            return Err(Error::new(Kind::Bug, format!("rows of table {table} came with other columns than declared")));
        }
        RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())
            .or_fail(Kind::Source, || format!("table {table} sent NULL in a column that allows none"))
    }

    async fn hand_over_all(&mut self, done: Vec<Cut>) -> Result<()> {
        for cut in done {
            self.hand_over(Rows::Range(cut)).await?;
        }
        Ok(())
    }

    /// Waits for a free place, then lets a task make the chunk.
    async fn hand_over(&mut self, rows: Rows) -> Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.take_in(ended)?;
        }
        let place = self.room.enter(rows.weight()).await?;
        let (maker, index) = (Arc::clone(&self.maker), self.finished.len());
        self.finished.push(None);
        self.tasks.spawn(async move { Ok((index, maker.make(rows, place).await?)) });
        Ok(())
    }

    fn take_in(&mut self, ended: Result<Result<(usize, Finished)>, tokio::task::JoinError>) -> Result<()> {
        let (index, finished) =
            ended.or_fail(Kind::Bug, || format!("a chunk of table {} was not finished", self.maker.table.name))??;
        self.finished[index] = Some(finished);
        Ok(())
    }

    /// Ends the table: hands over what is left and waits until every chunk is in the archive.
    ///
    /// # Errors
    /// As [`TableWriter::push`]; `Source`, temporary, when the table does not end at the key that was
    /// [expected](TableWriter::expect_highest): rows came or went meanwhile, and the blocks are not those of its keys.
    pub async fn finish(mut self) -> Result<TableWritten> {
        if !self.ends_as_expected() {
            let message = format!("the rows of table {} changed while they were read", self.maker.table.name);
            return Err(Error::new(Kind::Source, message).hint("run again").temporary());
        }
        let ladder = self.hand_over_rest().await?;
        while let Some(ended) = self.tasks.join_next().await {
            self.take_in(ended)?;
        }
        let mut written = TableWritten {
            entry: TableEntry {
                table: self.maker.table.clone(),
                folder: self.maker.folder.clone(),
                ladder,
                rows: self.rows,
                chunks: Vec::with_capacity(self.finished.len()),
            },
            chunks_encoded: 0,
            chunks_new: 0,
            bytes_new: 0,
            new_files: Vec::new(),
        };
        for finished in self.finished.into_iter().flatten() {
            written.chunks_encoded += u64::from(finished.encoded);
            if finished.written {
                written.chunks_new += 1;
                written.bytes_new += finished.chunk.bytes;
                written.new_files.push((finished.chunk.file_name(), finished.chunk.bytes));
            }
            written.entry.chunks.push(finished.chunk);
        }
        Ok(written)
    }

    /// Hands over what waited for the last row, and returns the table's ladder.
    async fn hand_over_rest(&mut self) -> Result<Ladder> {
        let none = Cutter::Buckets(None, Vec::new());
        match std::mem::replace(&mut self.cutter, none) {
            Cutter::Ranges(ladder, cutter) => {
                self.hand_over_all(cutter.finish()).await?;
                Ok(ladder)
            }
            Cutter::Buckets(previous, batches) => {
                let maker = Arc::clone(&self.maker);
                let cut = move || buckets::cut(&maker.table, batches, previous.as_ref());
                let (ladder, cut) = tokio::task::spawn_blocking(cut)
                    .await
                    .or_fail(Kind::Bug, || format!("table {} could not be cut", self.maker.table.name))??;
                for bucket in cut {
                    self.hand_over(Rows::Bucket(bucket)).await?;
                }
                Ok(ladder)
            }
        }
    }
}
