//! Answers of queries as text, CSV and JSON.
//!
//! Values are exact in all three: decimals keep their scale, times are wall clock as stored (`2026-10-01 03:00:00.003`; in JSON
//! with `T`), `TIMESTAMP WITH TIME ZONE` is UTC with `Z`, binary is lower-case hex.
//!
//! - [`text`]: an aligned table for people. Numbers stand right, NULL reads `NULL`, line ends and other control characters are
//!   escaped (a value cannot drive the terminal), long values are cut with `…`.
//! - [`csv_header`], [`csv_rows`]: RFC 4180 with line feeds. NULL is an empty field (a row of one NULL is an empty line), the
//!   empty text is `""`.
//! - [`json_rows`]: one object per row. Decimals are strings (so are sums of integers, which DuckDB makes 38-digit numbers);
//!   NaN and infinities are strings; lists and structs are JSON; a column name that occurs again gets `_2`, `_3`.

use std::{collections::HashMap, io::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type, Schema},
    util::display::{ArrayFormatter, FormatOptions},
};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Number, Value};

use super::query::QueryResult;
use crate::error::{Error, Kind, OrFail, Result};

const CIVIL: &str = "%Y-%m-%d %H:%M:%S%.f";
const CIVIL_ISO: &str = "%Y-%m-%dT%H:%M:%S%.f";
const ZONED: &str = "%Y-%m-%d %H:%M:%S%.fZ";
const ZONED_ISO: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// An aligned table and a line with the number of rows. Values longer than `width` characters are cut; 0 means never.
///
/// # Errors
/// `Query` when a value has no text, such as an infinite time.
pub fn text(result: &QueryResult, width: usize) -> Result<String> {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(result.schema.fields().iter().map(|field| cut(field.name(), width)));
    for batch in &result.batches {
        let columns = Columns::new(batch, CIVIL, ZONED)?;
        for row in 0..batch.num_rows() {
            let cells: Result<Vec<String>> = (0..batch.num_columns())
                .map(|column| Ok(cut(columns.text(column, row)?.as_deref().unwrap_or("NULL"), width)))
                .collect();
            table.add_row(cells?);
        }
    }
    for (position, field) in result.schema.fields().iter().enumerate() {
        if let Some(column) = table.column_mut(position).filter(|_| field.data_type().is_numeric()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let rows = result.rows();
    let more = if result.truncated { ", and there are more" } else { "" };
    let unit = if rows == 1 { "row" } else { "rows" };
    Ok(format!("{}\n({rows} {unit}{more})\n", table.trim_fmt()))
}

/// Column names as one CSV line.
///
/// # Errors
/// `Query` when `out` cannot be written.
pub fn csv_header(schema: &Schema, out: &mut dyn Write) -> Result<()> {
    csv_line(schema.fields().iter().map(|field| Some(field.name().clone())), out)
}

/// The rows of a batch as CSV lines.
///
/// # Errors
/// `Query` when `out` cannot be written, or a value has no text.
pub fn csv_rows(batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
    let columns = Columns::new(batch, CIVIL, ZONED)?;
    for row in 0..batch.num_rows() {
        let cells: Result<Vec<_>> = (0..batch.num_columns()).map(|column| columns.text(column, row)).collect();
        csv_line(cells?.into_iter(), out)?;
    }
    Ok(())
}

fn csv_line(cells: impl Iterator<Item = Option<String>>, out: &mut dyn Write) -> Result<()> {
    let mut line = String::new();
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            line.push(',');
        }
        match cell {
            None => {}
            Some(text) if text.is_empty() || text.contains([',', '"', '\r', '\n']) => {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
            Some(text) => line.push_str(&text),
        }
    }
    line.push('\n');
    out.write_all(line.as_bytes()).or_fail(Kind::Query, || "the answer cannot be written")
}

/// The rows as JSON objects, in order.
///
/// # Errors
/// `Query` when a value has no text.
pub fn json_rows(result: &QueryResult) -> Result<Vec<Value>> {
    let mut rows = Vec::with_capacity(result.rows());
    for batch in &result.batches {
        json_batch(batch, |row| {
            rows.push(Value::Object(row));
            Ok(())
        })?;
    }
    Ok(rows)
}

/// Hands on each row of a batch as a JSON object.
///
/// # Errors
/// `Query` when a value has no text; and what `sink` returns.
pub fn json_batch(batch: &RecordBatch, mut sink: impl FnMut(Map<String, Value>) -> Result<()>) -> Result<()> {
    let names = unique_names(&batch.schema());
    let columns = Columns::new(batch, CIVIL_ISO, ZONED_ISO)?;
    for row in 0..batch.num_rows() {
        let mut object = Map::with_capacity(names.len());
        for (column, name) in names.iter().enumerate() {
            object.insert(name.clone(), columns.json(column, row)?);
        }
        sink(object)?;
    }
    Ok(())
}

/// Column names, told apart where the query repeats one.
fn unique_names(schema: &Schema) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    schema
        .fields()
        .iter()
        .map(|field| {
            let times = seen.entry(field.name()).or_default();
            *times += 1;
            if *times == 1 { field.name().clone() } else { format!("{}_{times}", field.name()) }
        })
        .collect()
}

/// The cells of one column, one at a time: for operations that look at rows themselves instead of asking DuckDB.
pub struct Cells<'a> {
    array: &'a dyn Array,
    shown: ArrayFormatter<'a>,
}

impl<'a> Cells<'a> {
    /// Cells of a column of a chunk.
    ///
    /// # Errors
    /// `Query` when values of this type have no text.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        let shown = ArrayFormatter::try_new(array, &options(CIVIL, ZONED))
            .or_fail(Kind::Query, || format!("values of type {} cannot be shown", array.data_type()))?;
        Ok(Self { array, shown })
    }

    /// The value as [`text`] shows it, uncut and unescaped; `None` is NULL.
    ///
    /// # Errors
    /// `Query` when the value has no text.
    pub fn text(&self, row: usize) -> Result<Option<String>> {
        if self.array.is_null(row) {
            return Ok(None);
        }
        self.shown.value(row).try_to_string().map(Some).or_fail(Kind::Query, || "a value cannot be shown")
    }

    /// The value as [`json_rows`] gives it.
    ///
    /// # Errors
    /// `Query` when the value has no text.
    pub fn json(&self, row: usize) -> Result<Value> {
        json(self.array, row, &options(CIVIL_ISO, ZONED_ISO)).or_fail(Kind::Query, || "a value cannot be shown")
    }
}

/// A value for a line of text: control characters escaped, `NULL` for none, cut to `width` characters (0: never).
#[must_use]
pub fn shown(value: Option<&str>, width: usize) -> String {
    cut(value.unwrap_or("NULL"), width)
}

fn options(civil: &'static str, zoned: &'static str) -> FormatOptions<'static> {
    FormatOptions::default()
        .with_display_error(false)
        .with_timestamp_format(Some(civil))
        .with_timestamp_tz_format(Some(zoned))
        .with_time_format(Some("%H:%M:%S%.f"))
}

/// Escapes control characters and cuts to `width` characters.
fn cut(text: &str, width: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(256));
    for (count, character) in text.chars().enumerate() {
        if width > 0 && count + 1 >= width && text.chars().nth(width).is_some() {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A batch with a formatter per column.
struct Columns<'a> {
    names: Vec<&'a str>,
    arrays: Vec<ArrayRef>,
    options: FormatOptions<'static>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch, civil: &'static str, zoned: &'static str) -> Result<Self> {
        let options = options(civil, zoned);
        let schema = batch.schema_ref();
        let names = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let arrays = batch.columns().iter().map(|array| in_utc(array)).collect::<Result<_>>()?;
        Ok(Self { names, arrays, options })
    }

    /// The value as text; `None` is NULL.
    fn text(&self, column: usize, row: usize) -> Result<Option<String>> {
        let array = self.arrays[column].as_ref();
        if array.is_null(row) {
            return Ok(None);
        }
        if array.data_type().is_nested() {
            return Ok(Some(self.json(column, row)?.to_string()));
        }
        plain(array, row, &self.options).map(Some).map_err(|error| self.no_text(column, error))
    }

    fn json(&self, column: usize, row: usize) -> Result<Value> {
        json(self.arrays[column].as_ref(), row, &self.options).map_err(|error| self.no_text(column, error))
    }

    fn no_text(&self, column: usize, error: arrow::error::ArrowError) -> Error {
        Error::new(Kind::Query, format!("a value of column {} cannot be shown", self.names[column]))
            .hint("cast the column to VARCHAR in the query")
            .caused_by(error)
    }
}

/// Times with a zone are shown in UTC: the zone is the session's, not the data's.
fn in_utc(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let data = array.to_data().into_builder().data_type(DataType::Timestamp(*unit, Some(Arc::from("+00:00"))));
            data.build().map(arrow::array::make_array).or_fail(Kind::Query, || "a time with a zone cannot be shown")
        }
        _ => Ok(Arc::clone(array)),
    }
}

type Shown<T> = std::result::Result<T, arrow::error::ArrowError>;

fn plain(array: &dyn Array, row: usize, options: &FormatOptions<'_>) -> Shown<String> {
    ArrayFormatter::try_new(array, options)?.value(row).try_to_string()
}

/// The JSON value of one slot.
fn json(array: &dyn Array, row: usize, options: &FormatOptions<'_>) -> Shown<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let list = |items: ArrayRef| -> Shown<Value> {
        (0..items.len()).map(|item| json(items.as_ref(), item, options)).collect::<Shown<Vec<_>>>().map(Value::Array)
    };
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        kind if kind.is_integer() => {
            let text = plain(array, row, options)?;
            text.parse::<Number>().map_or(Value::String(text), Value::Number)
        }
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row)), array, row, options)?,
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), array, row, options)?,
        DataType::List(_) => list(array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row))?,
        DataType::Map(..) => list(Arc::new(array.as_map().value(row)))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let mut object = Map::new();
            for (position, field) in fields.iter().enumerate() {
                object.insert(field.name().clone(), json(columns.column(position).as_ref(), row, options)?);
            }
            Value::Object(object)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            json(dictionary.values().as_ref(), key, options)?
        }
        _ => Value::String(plain(array, row, options)?),
    })
}

/// JSON knows no NaN and no infinity. A 32-bit float keeps its own short spelling (`0.1`, not `0.10000000149…`).
fn float(value: f64, array: &dyn Array, row: usize, options: &FormatOptions<'_>) -> Shown<Value> {
    let text = plain(array, row, options)?;
    Ok(match text.parse().ok().and_then(Number::from_f64) {
        Some(number) if value.is_finite() => Value::Number(number),
        _ => Value::String(text),
    })
}
