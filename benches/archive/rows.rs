//! The rows of one table, in memory: changed one by one, handed out as Arrow batches or as CSV.
//!
//! Batches are made once per part of [`PART`] rows and made again only when a row of the part changes, so that a simulation
//! may ask for the whole table at every step.

use std::{borrow::Cow, fs, io::Write as _, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    csv::WriterBuilder,
    datatypes::{DataType, SchemaRef, TimeUnit},
};
use tillvault::model::table::Table;

/// Rows per batch: about what the till's pages hold.
const PART: usize = 4_096;

/// One value.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Null,
    Bit(bool),
    Int(i32),
    /// A decimal without its point.
    Decimal(i64),
    /// Microseconds since 1970, wall clock.
    Time(i64),
    Text(Cow<'static, str>),
}

pub(crate) fn text(value: &'static str) -> Cell {
    Cell::Text(value.into())
}

/// The rows of one table, in order of their key.
#[derive(Debug)]
pub(crate) struct Rows {
    table: Table,
    schema: SchemaRef,
    rows: Vec<Box<[Cell]>>,
    parts: Vec<Part>,
}

/// What is known of [`PART`] rows; nothing after one of them changed.
#[derive(Debug, Default)]
struct Part {
    batch: Option<RecordBatch>,
    csv: Option<Vec<u8>>,
}

impl Rows {
    pub(crate) fn new(table: Table) -> Self {
        Self { schema: table.arrow_schema(), table, rows: Vec::new(), parts: Vec::new() }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row: a cell per column, in the table's order. Returns its place.
    pub(crate) fn push(&mut self, row: Vec<Cell>) -> usize {
        assert_eq!(row.len(), self.table.columns.len(), "columns of {}", self.table.name);
        self.rows.push(row.into_boxed_slice());
        let place = self.rows.len() - 1;
        self.changed(place);
        place
    }

    /// Puts another row in a row's place.
    pub(crate) fn replace(&mut self, place: usize, row: Vec<Cell>) {
        assert_eq!(row.len(), self.table.columns.len(), "columns of {}", self.table.name);
        self.rows[place] = row.into_boxed_slice();
        self.changed(place);
    }

    /// Changes one cell.
    pub(crate) fn set(&mut self, place: usize, column: &str, cell: Cell) {
        let index = self.table.columns.iter().position(|known| known.name == column);
        self.rows[place][index.unwrap_or_else(|| panic!("{} has no {column}", self.table.name))] = cell;
        self.changed(place);
    }

    /// The leading cell of a row.
    pub(crate) fn id_of(&self, place: usize) -> Cell {
        self.rows[place][0].clone()
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.parts.clear();
    }

    fn changed(&mut self, place: usize) {
        self.parts.resize_with(self.rows.len().div_ceil(PART), Part::default);
        self.parts[place / PART] = Part::default();
    }

    /// All rows, as a reader would send them.
    pub(crate) fn batches(&mut self) -> Vec<RecordBatch> {
        let (schema, rows) = (&self.schema, &self.rows);
        let parts = self.parts.iter_mut().zip(rows.chunks(PART));
        parts.map(|(part, rows)| part.batch.get_or_insert_with(|| batch(schema, rows)).clone()).collect()
    }

    /// All rows as a CSV file with a head line; NULL is nothing, empty text `""`.
    pub(crate) fn write_csv(&mut self, path: &Path) {
        let mut file = fs::File::create(path).unwrap();
        let names: Vec<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        writeln!(file, "{}", names.join(",")).unwrap();
        for (part, batch) in (0..).zip(self.batches()) {
            let csv = self.parts[part].csv.get_or_insert_with(|| {
                let mut csv = Vec::new();
                WriterBuilder::new().with_header(false).build(&mut csv).write(&batch).unwrap();
                csv
            });
            file.write_all(csv).unwrap();
        }
    }
}

fn batch(schema: &SchemaRef, rows: &[Box<[Cell]>]) -> RecordBatch {
    let column = |(index, field): (usize, &Arc<arrow::datatypes::Field>)| -> ArrayRef {
        let cells = rows.iter().map(|row| &row[index]);
        let wrong = |cell: &Cell| -> ! { panic!("{cell:?} in {} {}", field.name(), field.data_type()) };
        match field.data_type() {
            DataType::Boolean => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Null => None,
                        Cell::Bit(value) => Some(*value),
                        other => wrong(other),
                    })
                    .collect::<BooleanArray>(),
            ),
            DataType::Int32 => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Null => None,
                        Cell::Int(value) => Some(*value),
                        other => wrong(other),
                    })
                    .collect::<Int32Array>(),
            ),
            DataType::Decimal128(precision, scale) => {
                let values = cells.map(|cell| match cell {
                    Cell::Null => None,
                    Cell::Decimal(value) => Some(i128::from(*value)),
                    other => wrong(other),
                });
                Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale).unwrap())
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Null => None,
                        Cell::Time(value) => Some(*value),
                        other => wrong(other),
                    })
                    .collect::<TimestampMicrosecondArray>(),
            ),
            DataType::Utf8 => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Null => None,
                        Cell::Text(value) => Some(value.as_ref()),
                        other => wrong(other),
                    })
                    .collect::<StringArray>(),
            ),
            other => panic!("{} is {other}", field.name()),
        }
    };
    RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().enumerate().map(column).collect()).unwrap()
}
