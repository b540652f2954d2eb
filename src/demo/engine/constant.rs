//! Constants and parameters as values of DuckDB's SQL.

use sqlparser::ast;

use super::{
    Parameter, SqlError, Value,
    translate::Typed,
    typing::{Family, family, is_wide, storage, text_type},
};
use crate::model::sql_type::SqlType;

/// Text as a constant of DuckDB. U+0000 cannot stand in its SQL.
pub(super) fn quoted(text: &str) -> String {
    let parts: Vec<String> = text.split('\0').map(|part| format!("'{}'", part.replace('\'', "''"))).collect();
    if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" || chr(0) || ")) }
}

fn text_constant(text: &str, wide: bool) -> Typed {
    let units = u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
    let typed = Typed::value(quoted(text), text_type(wide, Some(units)));
    Typed { constant: Some(text.to_owned()), ..typed.not_null() }
}

pub(super) fn literal(value: &ast::Value) -> Result<Typed, SqlError> {
    match value {
        ast::Value::Null => Ok(Typed::null()),
        ast::Value::SingleQuotedString(text) => Ok(text_constant(text, false)),
        ast::Value::NationalStringLiteral(text) => Ok(text_constant(text, true)),
        ast::Value::Number(number, _) => {
            let text = number.clone();
            if text.contains(['e', 'E']) {
                return Ok(Typed::value(format!("CAST('{text}' AS DOUBLE)"), SqlType::Float).not_null());
            }
            if text.parse::<i32>().is_ok() {
                return Ok(Typed::value(text, SqlType::Int).not_null());
            }
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = whole.trim_start_matches('0').len() + fraction.len();
            let precision = u8::try_from(digits.max(1)).ok().filter(|n| *n <= 38);
            let precision =
                precision.ok_or_else(|| SqlError::new(1007, 15, format!("The number '{text}' is out of range.")))?;
            let scale = u8::try_from(fraction.len()).unwrap_or_default();
            let sql = format!("CAST('{text}' AS DECIMAL({precision},{scale}))");
            Ok(Typed::value(sql, SqlType::Decimal { precision, scale }).not_null())
        }
        ast::Value::HexStringLiteral(digits) => {
            let length = u16::try_from(digits.len() / 2).unwrap_or(1).max(1);
            let sql = format!("unhex('{digits}')");
            Ok(Typed::value(sql, SqlType::VarBinary { length: Some(length) }).not_null())
        }
        other => Err(SqlError::unsupported(format!("the constant {other}"))),
    }
}

pub(super) fn parameter_value(parameter: &Parameter) -> Result<Typed, SqlError> {
    let sql_type = parameter.sql_type.clone();
    let place = storage(&sql_type)?;
    let fine = family(&sql_type) == Family::FineMoment;
    let sql = match &parameter.value {
        Value::Null => format!("CAST(NULL AS {place})"),
        Value::Integer(number) if sql_type == SqlType::Bit => (*number != 0).to_string(),
        Value::Integer(number) => format!("CAST('{number}' AS {place})"),
        Value::Float(number) => format!("CAST('{number}' AS {place})"),
        Value::Decimal { unscaled, scale } => {
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(*scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(*scale));
            format!("CAST('{}{whole}.{fraction}0' AS {place})", if *unscaled < 0 { "-" } else { "" })
        }
        Value::Text(text) => {
            let constant = text_constant(text, is_wide(&sql_type));
            return Ok(Typed { constant: Some(text.clone()), ..Typed::value(constant.sql, sql_type) });
        }
        Value::Binary(bytes) => format!("unhex('{}')", hex::encode(bytes)),
        Value::Date(days) => format!("(DATE '1970-01-01' + CAST({days} AS INTEGER))"),
        Value::Time(micros) if !fine => format!("CAST(make_timestamp({micros}) AS TIME)"),
        Value::Timestamp(micros) if !fine => format!("make_timestamp({micros})"),
        // Finer than microseconds by declaration only: clients that say datetime2(7) mean a plain point in time.
        Value::Timestamp(micros) if matches!(sql_type, SqlType::DateTime2 { .. }) => {
            return Ok(Typed::value(format!("make_timestamp({micros})"), SqlType::DateTime2 { scale: 6 }));
        }
        Value::Time(_) | Value::Timestamp(_) => {
            return Err(SqlError::unsupported(format!("a parameter of type {sql_type}")));
        }
    };
    Ok(Typed::value(sql, sql_type))
}
