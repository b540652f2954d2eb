//! The chunk codec: rows to one Parquet file and back (docs/FORMAT.md §9; settings measured, DESIGN §4).
//!
//! Promises: reading gives back exactly what was written, with the declared types; the file does not depend on batch cuts or
//! on declared nullability; it carries no engine's private metadata. The bytes may change with the `parquet` or `zstd` crate:
//! nothing rests on them but the file's own name. Every page carries a CRC, which reading verifies.

mod page_crc;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ::parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion},
    },
    schema::types::ColumnPath,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    compute::concat_batches,
    datatypes::{DataType, Field, Int16Type, Int32Type, Int64Type, Schema},
};
use bytes::Bytes;

use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::Table,
};

/// What every chunk file names as its writer, whatever the version.
pub const CREATED_BY: &str = "tillvault";
const ZSTD_LEVEL: i32 = 3;
/// A dictionary is written for a column with fewer distinct values than one for this many rows.
const ROWS_PER_DISTINCT: usize = 8;
/// Rows that are decoded at once: memory must not follow what a damaged footer says.
const ROWS_AT_ONCE: usize = 1 << 16;

/// Encodes the rows of one chunk, which must not be empty.
///
/// # Errors
/// `Bug` when the Parquet writer refuses.
pub fn encode(rows: &RecordBatch, table: &Table) -> Result<Bytes> {
    let failed = || format!("rows of table {} could not be written as Parquet", table.name);
    let (file, metadata) = write(rows, table)?;
    let file = page_crc::with_page_crcs(&file, metadata).or_fail(Kind::Bug, failed)?;
    Ok(file.into())
}

/// The file as the Parquet writer makes it, without page CRCs, and what its footer says.
fn write(rows: &RecordBatch, table: &Table) -> Result<(Vec<u8>, ParquetMetaData)> {
    let failed = || format!("rows of table {} could not be written as Parquet", table.name);
    let kept = without_empty_columns(rows).or_fail(Kind::Bug, failed)?;
    let properties = properties(&kept, table)?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_schema_root("schema".to_owned());
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut file, kept.schema(), options).or_fail(Kind::Bug, failed)?;
    writer.write(&kept).or_fail(Kind::Bug, failed)?;
    let metadata = writer.close().or_fail(Kind::Bug, failed)?;
    Ok((file, metadata))
}

/// Leaves out columns without any value (the first one stays when all are so) and declares the rest nullable.
fn without_empty_columns(rows: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = rows.schema();
    let mut kept: Vec<usize> =
        (0..rows.num_columns()).filter(|index| rows.column(*index).null_count() < rows.num_rows()).collect();
    if kept.is_empty() {
        kept.push(0);
    }
    let fields: Vec<Field> = kept
        .iter()
        .map(|index| Field::new(schema.field(*index).name(), schema.field(*index).data_type().clone(), true))
        .collect();
    let columns = kept.iter().map(|index| Arc::clone(rows.column(*index))).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Writer settings: fixed ones, and per column what the chunk's own values ask for.
fn properties(rows: &RecordBatch, table: &Table) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).or_fail(Kind::Bug, || "zstd refuses its level")?;
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_statistics_truncate_length(None)
        .set_offset_index_disabled(true)
        // The crate's defaults, written down so that they stay.
        .set_write_batch_size(1_024)
        .set_data_page_row_count_limit(20_000)
        .set_data_page_size_limit(1 << 20)
        .set_dictionary_page_size_limit(1 << 20);
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        builder = column_properties(builder, field, array, table.key.contains(field.name()));
    }
    Ok(builder.build())
}

fn column_properties(
    mut builder: WriterPropertiesBuilder,
    field: &Field,
    array: &ArrayRef,
    is_key: bool,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::new(vec![field.name().clone()]);
    let whole = matches!(field.data_type(), DataType::Int16 | DataType::Int32 | DataType::Int64);
    let time = matches!(field.data_type(), DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..));
    let text = matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
    if time || (whole && is_key) || ascends(array) || !has_few_values(array) {
        if whole || time {
            builder = builder.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
    } else {
        builder = builder.set_column_dictionary_enabled(path.clone(), true);
    }
    // Bounds of text would put personal data into the footer; they would prune next to nothing.
    if time || (is_key && !text) {
        builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    builder
}

/// Whether the column has fewer than rows / 8 distinct values.
fn has_few_values(array: &ArrayRef) -> bool {
    let rows = array.len();
    let enough = rows.div_ceil(ROWS_PER_DISTINCT);
    let present = (0..rows).filter(|row| array.is_valid(*row));
    match array.data_type() {
        DataType::Boolean => false,
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            fewer(present.map(|row| values.value(row).as_bytes()), enough)
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            fewer(present.map(|row| values.value(row)), enough)
        }
        fixed => {
            let (Some(width), data) = (fixed.primitive_width(), array.to_data()) else { return false };
            let Some(buffer) = data.buffers().first() else { return false };
            let start = data.offset() * width;
            fewer(present.map(|row| &buffer.as_slice()[start + row * width..start + (row + 1) * width]), enough)
        }
    }
}

/// Whether the column holds whole numbers that never get smaller from row to row, as ids of a parent do.
fn ascends(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Int16 => array.as_primitive::<Int16Type>().iter().flatten().is_sorted(),
        DataType::Int32 => array.as_primitive::<Int32Type>().iter().flatten().is_sorted(),
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().flatten().is_sorted(),
        _ => false,
    }
}

fn fewer<'a>(values: impl Iterator<Item = &'a [u8]>, enough: usize) -> bool {
    let mut seen = HashSet::with_capacity(enough);
    let mut before = None;
    for value in values {
        // Neighbours are often alike, and cheaper to compare than to look up.
        if before != Some(value) {
            before = Some(value);
            seen.insert(value);
            if seen.len() >= enough {
                return false;
            }
        }
    }
    seen.len() < enough
}

/// Decodes a chunk file into the columns the table declares, in declared order and with declared types: columns that the
/// file lacks, or has without any value, are NULL; columns that the table no longer has are dropped.
///
/// # Errors
/// `Damage` when the bytes are not such a file.
pub fn decode(file: Bytes, table: &Table) -> Result<RecordBatch> {
    let broken = || format!("a chunk of table {} is not a readable Parquet file", table.name);
    let found = guarded(broken, || read(file, broken))?;
    declared(&found, table)
}

/// What `read` gives of a file, or `broken` as an error: the library panics over some damaged headers. Nothing that it may leave
/// half done outlives the call.
///
/// # Errors
/// `Damage` in place of a panic; else as `read`.
pub(super) fn guarded<T>(broken: impl Fn() -> String, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Error::new(Kind::Damage, broken())))
}

/// The rows with the types and columns of the file.
fn read(file: Bytes, broken: impl Fn() -> String) -> Result<RecordBatch> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).or_fail(Kind::Damage, &broken)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).or_fail(Kind::Damage, &broken)?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.with_batch_size(rows.clamp(1, ROWS_AT_ONCE)).build().or_fail(Kind::Damage, &broken)?;
    let batches = reader.collect::<Result<Vec<_>, _>>().or_fail(Kind::Damage, &broken)?;
    let found = concat_batches(&schema, &batches).or_fail(Kind::Damage, &broken)?;
    if found.num_rows() != rows {
        return Err(Error::new(Kind::Damage, broken()));
    }
    Ok(found)
}

/// The rows under the table's declared schema.
pub(super) fn declared(found: &RecordBatch, table: &Table) -> Result<RecordBatch> {
    let schema = table.arrow_schema();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match found.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Arc::clone(array),
            // The one column that a chunk of nothing but NULL keeps: its type may have changed since, the content has not.
            Some(array) if array.null_count() == array.len() => new_null_array(field.data_type(), found.num_rows()),
            Some(array) => {
                return Err(Error::new(
                    Kind::Damage,
                    format!(
                        "column {} of table {} is declared {} and stored as {}",
                        field.name(),
                        table.name,
                        field.data_type(),
                        array.data_type()
                    ),
                ));
            }
            None => new_null_array(field.data_type(), found.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(found.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .or_fail(Kind::Damage, || format!("a chunk of table {} has NULL where none is allowed", table.name))
}

#[cfg(test)]
mod tests {
    use ::parquet::{basic::LogicalType, file::metadata::ParquetMetaDataReader};
    use arrow::array::{Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::model::table::{Column, TableName};

    pub(super) fn table(columns: &[(&str, &str)]) -> Table {
        let column = |(name, sql_type): &(&str, &str)| Column {
            name: (*name).into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: true,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("T"),
            columns: columns.iter().map(column).collect(),
            key: vec!["Id".into()],
            ..Table::default()
        }
    }

    #[test]
    fn settings_are_the_documented_ones() {
        let table = table(&[
            ("Id", "int"),
            ("Few", "nvarchar(9)"),
            ("Many", "nvarchar(9)"),
            ("At", "datetime"),
            ("Void", "int"),
            ("N", "int"),
            ("TicketId", "int"),
            ("MenuItemId", "int"),
        ]);
        let ids = 0..1_000;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.clone().collect::<Int32Array>()),
            Arc::new(ids.clone().map(|id| Some(format!("{}", id % 9))).collect::<StringArray>()),
            Arc::new(ids.clone().map(|id| Some(format!("{}", id % 200))).collect::<StringArray>()),
            Arc::new(ids.clone().map(|_| Some(5)).collect::<TimestampMicrosecondArray>()),
            new_null_array(&DataType::Int32, 1_000),
            Arc::new(ids.clone().map(|id| (id / 3) ^ 1).collect::<Int32Array>()),
            Arc::new(ids.clone().map(|id| (id % 7 > 0).then_some(id / 20)).collect::<Int32Array>()),
            Arc::new(ids.map(|id| id / 20 % 9).collect::<Int32Array>()),
        ];
        let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
        let file = encode(&rows, &table).unwrap();
        assert_eq!(decode(file.clone(), &table).unwrap(), rows);

        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        assert_eq!(metadata.file_metadata().created_by(), Some(CREATED_BY));
        assert_eq!(metadata.file_metadata().key_value_metadata(), None);
        assert_eq!(metadata.num_row_groups(), 1);
        let group = metadata.row_group(0);
        let names: Vec<String> = group.columns().iter().map(|column| column.column_path().string()).collect();
        assert_eq!(names, ["Id", "Few", "Many", "At", "N", "TicketId", "MenuItemId"]);
        let bounds: Vec<bool> = group.columns().iter().map(|column| column.statistics().is_some()).collect();
        assert_eq!(bounds, [true, false, false, true, false, false, false]);
        let dictionary: Vec<bool> =
            group.columns().iter().map(|column| column.dictionary_page_offset().is_some()).collect();
        assert_eq!(dictionary, [false, true, false, false, false, false, true]);
        for column in [0, 3, 4, 5] {
            assert!(group.column(column).encodings().any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED));
        }
        assert!(group.columns().iter().all(|column| matches!(column.compression(), Compression::ZSTD(_))));
        assert!(group.columns().iter().all(|column| column.offset_index_offset().is_none()));
        let stamp = group.column(3).column_descr().logical_type_ref();
        assert!(matches!(stamp, Some(LogicalType::Timestamp { is_adjusted_to_u_t_c: false, .. })), "{stamp:?}");
    }

    #[test]
    fn what_is_not_a_chunk_of_the_table_is_damage() {
        let narrow = table(&[("Id", "int")]);
        let rows = RecordBatch::try_new(narrow.arrow_schema(), vec![Arc::new(Int32Array::from(vec![1]))]).unwrap();
        let file = encode(&rows, &narrow).unwrap();
        assert_eq!(decode(file.clone(), &table(&[("Id", "bigint")])).unwrap_err().kind(), Kind::Damage);
        assert_eq!(decode(file.slice(..file.len() - 3), &narrow).unwrap_err().kind(), Kind::Damage);
        assert_eq!(decode(Bytes::new(), &narrow).unwrap_err().kind(), Kind::Damage);
        // Without any value, a column has no type that could be wrong.
        let nothing = |table: &Table| RecordBatch::new_empty(table.arrow_schema());
        let void = |table: &Table| {
            let columns = nothing(table).columns().iter().map(|column| new_null_array(column.data_type(), 2)).collect();
            RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
        };
        let wide = table(&[("Id", "bigint"), ("More", "int")]);
        assert_eq!(decode(encode(&void(&table(&[("Id", "int")])), &wide).unwrap(), &wide).unwrap(), void(&wide));
        let mut strict = table(&[("Id", "int"), ("More", "int")]);
        strict.columns[1].nullable = false;
        assert_eq!(decode(file, &strict).unwrap_err().kind(), Kind::Damage);
    }
}
