//! Values as canonical text, and back (fixtures/archives/README.md, "Lines").

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray,
    },
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    },
};
use jiff::{
    SignedDuration,
    civil::{Date, DateTime, Time, date},
};

/// Longest lines of a table that are written out, in bytes together.
pub(crate) const LONGEST_LINES: usize = 8_192;
const DAY_ONE: Date = date(1970, 1, 1);

/// The rows of a table as lines: their BLAKE3, and themselves when they are few.
pub(crate) struct Lines {
    hasher: blake3::Hasher,
    bytes: usize,
    kept: Vec<String>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), bytes: 0, kept: Vec::new() }
    }

    pub(crate) fn take(&mut self, rows: &RecordBatch) {
        for row in 0..rows.num_rows() {
            let fields: Vec<String> = rows.columns().iter().map(|column| field(column, row)).collect();
            let line = fields.join("\t");
            self.hasher.update(line.as_bytes());
            self.hasher.update(b"\n");
            self.bytes += line.len() + 1;
            if self.bytes <= LONGEST_LINES {
                self.kept.push(line);
            }
        }
    }

    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    pub(crate) fn lines(self) -> Option<Vec<String>> {
        (self.bytes <= LONGEST_LINES).then_some(self.kept)
    }
}

/// A value inside a line.
fn field(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "\\N".into();
    }
    match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row);
            text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
        }
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Decimal128(_, scale) => {
            let unscaled = column.as_primitive::<arrow::datatypes::Decimal128Type>().value(row);
            decimal(unscaled, usize::try_from(*scale).unwrap())
        }
        DataType::Float32 => format!("{:08x}", column.as_primitive::<Float32Type>().value(row).to_bits()),
        DataType::Float64 => format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(row));
            DAY_ONE.checked_add(SignedDuration::from_hours(24 * days)).unwrap().to_string()
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let time = SignedDuration::from_micros(column.as_primitive::<Time64MicrosecondType>().value(row));
            Time::midnight().checked_add(time).unwrap().strftime("%H:%M:%S.%6f").to_string()
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let time = SignedDuration::from_nanos(column.as_primitive::<Time64NanosecondType>().value(row));
            Time::midnight().checked_add(time).unwrap().strftime("%H:%M:%S.%9f").to_string()
        }
        DataType::Timestamp(..) => {
            let since = SignedDuration::from_micros(column.as_primitive::<TimestampMicrosecondType>().value(row));
            let moment = DAY_ONE.to_datetime(Time::midnight()).checked_add(since).unwrap();
            moment.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>().value(row);
            // The heavy rows are zeros; digit by digit they would take seconds.
            if bytes == vec![0; bytes.len()] { "00".repeat(bytes.len()) } else { hex::encode(bytes) }
        }
        other => panic!("no chunk holds {other}"),
    }
}

pub(crate) fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    let mut text = String::from(if unscaled < 0 { "-" } else { "" });
    text.push_str(whole);
    if scale > 0 {
        let _ = write!(text, ".{rest}");
    }
    text
}

/// A column from its values as text, which are not escaped.
pub(crate) fn parsed(kind: &DataType, values: &[Option<String>]) -> ArrayRef {
    match kind {
        DataType::Utf8 => Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
        DataType::Boolean => {
            Arc::new(values.iter().map(|text| text.as_ref().map(|text| text == "true")).collect::<BooleanArray>())
        }
        DataType::Int16 => numbers::<Int16Type>(values, |text| text.parse().unwrap()),
        DataType::Int32 => numbers::<Int32Type>(values, |text| text.parse().unwrap()),
        DataType::Int64 => numbers::<Int64Type>(values, |text| text.parse().unwrap()),
        DataType::Decimal128(precision, scale) => {
            let unscaled = |text: &String| {
                let digits = text.split_once('.').map_or(0, |(_, rest)| rest.len());
                assert_eq!(digits, usize::try_from(*scale).unwrap(), "{text}");
                text.replace('.', "").parse::<i128>().unwrap()
            };
            let plain: Decimal128Array = values.iter().map(|text| text.as_ref().map(unscaled)).collect();
            let exact = plain.with_precision_and_scale(*precision, *scale).unwrap();
            exact.validate_decimal_precision(*precision).unwrap();
            Arc::new(exact)
        }
        DataType::Float32 => numbers::<Float32Type>(values, |text| text.parse().unwrap()),
        DataType::Float64 => numbers::<Float64Type>(values, |text| text.parse().unwrap()),
        DataType::Date32 => numbers::<Date32Type>(values, |text| {
            let days = text.parse::<Date>().unwrap().duration_since(DAY_ONE).as_hours() / 24;
            i32::try_from(days).unwrap()
        }),
        DataType::Time64(TimeUnit::Microsecond) => {
            numbers::<Time64MicrosecondType>(values, |text| i64::try_from(since_midnight(text).as_micros()).unwrap())
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            numbers::<Time64NanosecondType>(values, |text| i64::try_from(since_midnight(text).as_nanos()).unwrap())
        }
        DataType::Timestamp(..) => numbers::<TimestampMicrosecondType>(values, |text| {
            let since = text.parse::<DateTime>().unwrap().duration_since(DAY_ONE.to_datetime(Time::midnight()));
            i64::try_from(since.as_micros()).unwrap()
        }),
        DataType::Binary => {
            let bytes: Vec<_> =
                values.iter().map(|text| text.as_ref().map(|text| hex::decode(text).unwrap())).collect();
            Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
        }
        other => panic!("no chunk holds {other}"),
    }
}

fn since_midnight(text: &str) -> SignedDuration {
    text.parse::<Time>().unwrap().duration_since(Time::midnight())
}

fn numbers<T: ArrowPrimitiveType>(values: &[Option<String>], parse: impl Fn(&str) -> T::Native) -> ArrayRef {
    Arc::new(values.iter().map(|text| text.as_deref().map(&parse)).collect::<PrimitiveArray<T>>())
}
