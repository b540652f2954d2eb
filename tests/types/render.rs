//! Values of Arrow columns as `cases.tsv` spells them.

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    },
};
use jiff::{SignedDuration, civil::date};
use tillvault::model::sql_type::SqlType;

/// Whether row `row` holds what `archived` says; else what it holds.
pub(crate) fn holds(array: &dyn Array, row: usize, sql_type: &SqlType, archived: &str) -> Result<(), String> {
    let found = shown(array, row, sql_type);
    let same = match array.data_type() {
        _ if found == "NULL" || archived == "NULL" => found == archived,
        DataType::Float64 => found.parse::<f64>().unwrap().to_bits() == archived.parse::<f64>().unwrap().to_bits(),
        DataType::Float32 => found.parse::<f32>().unwrap().to_bits() == archived.parse::<f32>().unwrap().to_bits(),
        _ if is_json(sql_type) => {
            found == serde_json::from_str::<String>(archived).map_err(|e| format!("{archived}: {e}"))?
        }
        _ => found == archived,
    };
    if same { Ok(()) } else { Err(found.escape_debug().to_string()) }
}

/// Whether the file spells values of a type as JSON strings.
fn is_json(sql_type: &SqlType) -> bool {
    sql_type.is_text() || *sql_type == SqlType::Variant
}

fn shown(array: &dyn Array, row: usize, sql_type: &SqlType) -> String {
    if array.is_null(row) {
        return "NULL".into();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Decimal128(_, scale) => decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => day(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(unit) => {
            let nanoseconds = match unit {
                arrow::datatypes::TimeUnit::Nanosecond => array.as_primitive::<Time64NanosecondType>().value(row),
                _ => array.as_primitive::<Time64MicrosecondType>().value(row) * 1000,
            };
            clock(nanoseconds, digits(sql_type))
        }
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let within = micros.rem_euclid(86_400_000_000) * 1000;
            format!("{}T{}", day(micros.div_euclid(86_400_000_000)), clock(within, digits(sql_type)))
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => format!("0x{}", hex::encode_upper(array.as_binary::<i32>().value(row))),
        other => panic!("no form for {other}"),
    }
}

fn digits(sql_type: &SqlType) -> usize {
    match sql_type {
        SqlType::Time { scale } | SqlType::DateTime2 { scale } => (*scale).into(),
        SqlType::DateTime => 3,
        _ => 0,
    }
}

/// A number of so many units, `scale` digits behind the point.
pub(crate) fn decimal(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap();
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

fn day(days: i64) -> String {
    date(1970, 1, 1).checked_add(SignedDuration::from_hours(24 * days)).unwrap().to_string()
}

/// With so many digits; what is behind them must be nothing.
fn clock(nanoseconds: i64, digits: usize) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let fraction = format!("{:09}", nanoseconds % 1_000_000_000);
    assert!(fraction[digits..].bytes().all(|digit| digit == b'0'), "more than {digits} digits: {nanoseconds}");
    let point = if digits == 0 { String::new() } else { format!(".{}", &fraction[..digits]) };
    format!("{:02}:{:02}:{:02}{point}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
