//! Some columns of a chunk, without decoding the others.

use ::parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use bytes::Bytes;

use super::{
    folder::Archive,
    parquet,
    snapshot::{Chunk, TableEntry},
};
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::Table,
};

impl Archive {
    /// As [`Archive::read_chunk`], with the columns of these names alone, in the table's order. Names that the table does not
    /// have are passed over.
    ///
    /// # Errors
    /// As [`Archive::read_chunk`].
    pub fn read_chunk_columns(&self, table: &TableEntry, chunk: &Chunk, names: &[&str]) -> Result<RecordBatch> {
        let bytes = self.chunk_bytes(table, chunk)?;
        let columns = table.table.columns.iter().filter(|column| names.contains(&column.name.as_str()));
        let narrow = Table::new(table.table.name.clone(), columns.cloned().collect());
        let broken = || format!("a chunk of table {} is not a readable Parquet file", table.table.name);
        let found = parquet::guarded(broken, || read(bytes, names, &broken))?;
        if found.num_rows() as u64 != chunk.rows {
            return Err(Error::new(Kind::Damage, broken()));
        }
        parquet::declared(&found, &narrow)
    }
}

fn read(file: Bytes, names: &[&str], broken: &impl Fn() -> String) -> Result<RecordBatch> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).or_fail(Kind::Damage, broken)?;
    let fields = builder.schema().fields().iter().enumerate();
    let wanted: Vec<usize> =
        fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(place, _)| place).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().or_fail(Kind::Damage, broken)?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches = reader.collect::<Result<Vec<_>, _>>().or_fail(Kind::Damage, broken)?;
    concat_batches(&schema, &batches).or_fail(Kind::Damage, broken)
}
