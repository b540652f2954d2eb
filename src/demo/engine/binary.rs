//! Values as bytes and bytes as values: CAST and CONVERT to and from `binary` and `varbinary`.

use super::{
    SqlError,
    constant::quoted,
    translate::Typed,
    typing::{Family, family, is_wide, storage},
};
use crate::model::sql_type::SqlType;

/// Bytes of a value as DuckDB's SQL, before they are fitted to a length.
pub(super) fn bytes_of(typed: &Typed, source: &SqlType) -> Result<String, SqlError> {
    let sql = &typed.sql;
    let name = quoted(&source.to_string());
    Ok(match source {
        SqlType::Bit => format!("tsql_whole_bytes(CAST(CAST({sql} AS INTEGER) AS BIGINT), 1)"),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            format!("tsql_whole_bytes(CAST({sql} AS BIGINT), {})", whole_size(source))
        }
        SqlType::Decimal { precision, scale } => {
            format!("tsql_exact_bytes(CAST(CAST({sql} AS {}) AS VARCHAR), {precision}, {scale})", storage(source)?)
        }
        SqlType::Money | SqlType::SmallMoney => {
            let size = if *source == SqlType::Money { 8 } else { 4 };
            format!("tsql_whole_bytes(CAST(CAST({sql} AS DECIMAL(19,4)) * 10000 AS BIGINT), {size})")
        }
        SqlType::Real => format!("tsql_real_bytes(CAST({sql} AS FLOAT))"),
        SqlType::Float => format!("tsql_float_bytes(CAST({sql} AS DOUBLE))"),
        SqlType::UniqueIdentifier => format!("tsql_guid_bytes({sql})"),
        SqlType::NText | SqlType::Text => return Err(not_allowed(source, "varbinary")),
        _ => match family(source) {
            Family::Moment => format!("tsql_stamp_bytes(CAST({sql} AS TIMESTAMP), {name})"),
            Family::Time => format!("tsql_stamp_bytes(DATE '1970-01-01' + CAST({sql} AS TIME), {name})"),
            Family::FineMoment => format!("tsql_moment_bytes({sql}, {name})"),
            Family::Text => {
                let function = if is_wide(source) { "tsql_wide" } else { "tsql_narrow_bytes" };
                format!("{function}({})", padded(sql, source))
            }
            Family::Binary => sql.clone(),
            _ => return Err(SqlError::unsupported(format!("converting {source} to varbinary"))),
        },
    })
}

/// Text of a fixed length with its blanks, which the engine does not keep.
pub(super) fn padded(sql: &str, source: &SqlType) -> String {
    match source {
        SqlType::Char { length: Some(length) } | SqlType::NChar { length: Some(length) } => {
            format!("rpad({sql}, {length}, ' ')")
        }
        _ => sql.to_owned(),
    }
}

/// A value as `target`, which is of the family of bytes.
pub(super) fn to_binary(typed: &Typed, source: &SqlType, target: &SqlType) -> Result<String, SqlError> {
    let bytes = bytes_of(typed, source)?;
    let fits = match (longest(source), target) {
        (Some((size, _)), SqlType::VarBinary { length: Some(length) }) => size <= u32::from(*length),
        (Some((size, true)), SqlType::Binary { length: Some(length) }) => size == u32::from(*length),
        _ => false,
    };
    if fits {
        return Ok(bytes);
    }
    Ok(fitted(&bytes, target, !matches!(family(source), Family::Text | Family::Binary | Family::Guid)))
}

/// How many bytes a value has at most, and whether it always has so many.
fn longest(sql_type: &SqlType) -> Option<(u32, bool)> {
    Some(match sql_type {
        SqlType::Bit => (1, true),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => (whole_size(sql_type).into(), true),
        SqlType::Real | SqlType::SmallMoney | SqlType::SmallDateTime => (4, true),
        SqlType::Float | SqlType::Money | SqlType::DateTime | SqlType::RowVersion => (8, true),
        SqlType::UniqueIdentifier => (16, true),
        SqlType::NVarChar { length: Some(length) } => (u32::from(*length) * 2, false),
        SqlType::VarChar { length: Some(length) } | SqlType::VarBinary { length: Some(length) } => {
            (u32::from(*length), false)
        }
        _ => return None,
    })
}

fn fitted(bytes: &str, target: &SqlType, from_number: bool) -> String {
    match target {
        SqlType::VarBinary { length: Some(length) } => format!("tsql_fit({bytes}, -{length}, {from_number})"),
        SqlType::Binary { length } => format!("tsql_fit({bytes}, {}, {from_number})", length.unwrap_or(1)),
        SqlType::RowVersion => format!("tsql_fit({bytes}, 8, {from_number})"),
        _ => bytes.to_owned(),
    }
}

/// Bytes as a value of `target`.
pub(super) fn from_binary(typed: &Typed, source: &SqlType, target: &SqlType) -> Result<String, SqlError> {
    match target {
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            Ok(format!("CAST(tsql_number({}, {}) AS {})", typed.sql, whole_size(target), storage(target)?))
        }
        _ => Err(SqlError::unsupported(format!("converting {source} to {target}"))),
    }
}

/// CONVERT between bytes and hexadecimal text: style 1 with `0x` in front, style 2 without.
pub(super) fn hexadecimal(typed: &Typed, source: &SqlType, target: &SqlType, style: i32) -> Option<String> {
    let sql = &typed.sql;
    match (family(source), family(target), style) {
        (Family::Binary, Family::Text, 1) => Some(format!("('0x' || hex({sql}))")),
        (Family::Binary, Family::Text, 2) => Some(format!("hex({sql})")),
        (Family::Text, Family::Binary, 1) => Some(fitted(&format!("unhex(substr({sql}, 3))"), target, false)),
        (Family::Text, Family::Binary, 2) => Some(fitted(&format!("unhex({sql})"), target, false)),
        _ => None,
    }
}

fn whole_size(sql_type: &SqlType) -> u8 {
    match sql_type {
        SqlType::TinyInt => 1,
        SqlType::SmallInt => 2,
        SqlType::Int => 4,
        _ => 8,
    }
}

pub(super) fn not_allowed(source: &SqlType, target: &str) -> SqlError {
    let text = format!("Explicit conversion from data type {source} to {target} is not allowed.");
    SqlError::new(529, 16, text)
}
