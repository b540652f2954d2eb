//! Reading a chunk only where one of its columns holds something that is wanted.

use ::parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use arrow::array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;

use super::{
    folder::Archive,
    parquet,
    snapshot::{Chunk, TableEntry},
};
use crate::error::{Kind, OrFail, Result};

impl Archive {
    /// The rows of a chunk if `wanted` says so of its column `column`, which alone is decoded first. `wanted` may be asked several
    /// times, about parts of the column; a column without any value is not asked about.
    ///
    /// # Errors
    /// As [`Archive::read_chunk`], and what `wanted` returns.
    pub fn read_chunk_where(
        &self,
        table: &TableEntry,
        chunk: &Chunk,
        column: &str,
        wanted: impl Fn(&ArrayRef) -> Result<bool>,
    ) -> Result<Option<RecordBatch>> {
        let bytes = self.chunk_bytes(table, chunk)?;
        let broken = || format!("a chunk of table {} is not a readable Parquet file", table.table.name);
        let is_wanted = || parquet::guarded(broken, || holds(&bytes, column, &wanted));
        if table.table.column(column).is_none() || !is_wanted()? {
            return Ok(None);
        }
        parquet::decode(bytes, &table.table).map(Some)
    }
}

fn holds(file: &Bytes, column: &str, wanted: impl Fn(&ArrayRef) -> Result<bool>) -> Result<bool> {
    let broken = || "a chunk is not a readable Parquet file";
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).or_fail(Kind::Damage, broken)?;
    let Ok(index) = builder.schema().index_of(column) else { return Ok(false) };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    for batch in builder.with_projection(mask).build().or_fail(Kind::Damage, broken)? {
        let batch = batch.or_fail(Kind::Damage, broken)?;
        if batch.num_columns() == 1 && batch.column(0).null_count() < batch.num_rows() && wanted(batch.column(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}
