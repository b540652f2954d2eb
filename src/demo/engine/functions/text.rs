//! Functions of text and of bytes.

use super::super::{
    SqlError,
    binary::padded,
    checksum::concat_type,
    convert::convert,
    translate::Typed,
    typing::{self, Family, Kind, family, is_wide, text_type},
};
use super::constant_text;
use crate::model::sql_type::SqlType;

/// A function of text or of bytes; `None` when it is none.
#[allow(clippy::too_many_lines, reason = "one arm per function")]
pub(super) fn call(name: &str, arguments: &[Typed]) -> Result<Option<Typed>, SqlError> {
    Ok(Some(match (name, arguments) {
        ("QUOTENAME", [name]) => {
            let name = as_text(name)?;
            let sql = format!("'[' || replace({}, ']', ']]') || ']'", name.sql);
            Typed::value(sql, text_type(true, Some(258)))
        }
        ("LEN", [value]) => {
            let value = as_text(value)?;
            Typed::value(format!("tsql_units(rtrim({}, ' '))", value.sql), length_type(&value)?)
        }
        ("DATALENGTH", [value]) => {
            let sql_type = value.sql_type()?;
            let text = || padded(&value.sql, &sql_type);
            let sql = match family(&sql_type) {
                Family::Text if is_wide(&sql_type) => format!("2 * tsql_units({})", text()),
                Family::Text => format!("tsql_units({})", text()),
                Family::Binary => format!("octet_length({})", value.sql),
                _ => match fixed_size(&sql_type) {
                    Some(size) => format!("CASE WHEN {} IS NOT NULL THEN {size} END", value.sql),
                    None => return Err(SqlError::unsupported(format!("DATALENGTH of {sql_type}"))),
                },
            };
            Typed::value(sql, length_type(value)?)
        }
        ("CHARINDEX", [part, value, rest @ ..]) if rest.len() <= 1 => {
            let (part, value) = (as_text(part)?, as_text(value)?);
            let start = rest.first().map_or("1".to_owned(), |start| format!("CAST({} AS BIGINT)", start.sql));
            let fold = |typed: &Typed| {
                if part.binary || value.binary { typed.sql.clone() } else { format!("lower({})", typed.sql) }
            };
            let sql = format!("tsql_charindex({}, {}, {start})", fold(&part), fold(&value));
            Typed::value(sql, length_type(&value)?)
        }
        ("SUBSTRING", [value, start, length]) if is_binary(value) => {
            let place = |typed: &Typed| format!("CAST({} AS BIGINT)", typed.sql);
            let sql = format!("tsql_slice({}, {}, {})", value.sql, place(start), place(length));
            let size = match value.sql_type()? {
                SqlType::VarBinary { length } | SqlType::Binary { length } => length,
                SqlType::RowVersion => Some(8),
                _ => None,
            };
            Typed::value(sql, SqlType::VarBinary { length: size })
        }
        ("SUBSTRING", [value, start, length]) => {
            let sql_type = cut_type(value)?;
            let place = |typed: &Typed| format!("CAST({} AS BIGINT)", typed.sql);
            let sql = format!("tsql_cut({}, {}, {})", value.sql, place(start), place(length));
            Typed { binary: value.binary, ..Typed::value(sql, sql_type) }
        }
        ("LEFT" | "RIGHT", [value, length]) => {
            let value = as_text(value)?;
            let length = format!("greatest(CAST({} AS BIGINT), 0)", length.sql);
            let sql = if name == "LEFT" {
                format!("tsql_cut({}, 1, {length})", value.sql)
            } else {
                format!("tsql_cut({0}, greatest(tsql_units({0}) - {length} + 1, 1), {length})", value.sql)
            };
            Typed { binary: value.binary, ..Typed::value(sql, cut_type(&value)?) }
        }
        ("UPPER" | "LOWER", [value]) => {
            let value = as_text(value)?;
            let sql = format!("{}({})", name.to_ascii_lowercase(), value.sql);
            Typed { binary: value.binary, ..Typed::value(sql, cut_type(&value)?) }
        }
        ("LTRIM" | "RTRIM", [value]) => {
            let value = as_text(value)?;
            let sql = format!("{}({}, ' ')", name.to_ascii_lowercase(), value.sql);
            Typed { binary: value.binary, ..Typed::value(sql, cut_type(&value)?) }
        }
        ("CONCAT", [_, _, ..]) => concat(arguments)?,
        ("REPLICATE", [value, times]) => {
            let value = as_text(value)?;
            let sql_type = cut_type(&value)?;
            let sql = format!("CASE WHEN {0} >= 0 THEN repeat({1}, {0}) END", times.sql, value.sql);
            let limit = if is_wide(&sql_type) { 4000 } else { 8000 };
            let binary = value.binary;
            // Without a (max) type the whole is cut at 8000 bytes.
            match typing::text_length(&sql_type) {
                None => Typed { binary, ..Typed::value(sql, sql_type) },
                Some(_) => {
                    let sql_type = text_type(is_wide(&sql_type), Some(limit));
                    Typed { binary, ..Typed::value(format!("tsql_cut({sql}, 1, {limit})"), sql_type) }
                }
            }
        }
        ("REPLACE", [value, part, by]) => replace(value, part, by)?,
        _ => return Ok(None),
    }))
}

fn is_binary(value: &Typed) -> bool {
    matches!(&value.kind, Kind::Value(sql_type) if family(sql_type) == Family::Binary)
}

/// Bytes every value of a type takes.
fn fixed_size(sql_type: &SqlType) -> Option<u8> {
    Some(match sql_type {
        SqlType::Bit | SqlType::TinyInt => 1,
        SqlType::SmallInt => 2,
        SqlType::Int | SqlType::Real | SqlType::SmallMoney | SqlType::SmallDateTime => 4,
        SqlType::BigInt | SqlType::Float | SqlType::Money | SqlType::DateTime => 8,
        SqlType::Date => 3,
        SqlType::UniqueIdentifier => 16,
        SqlType::Decimal { precision, .. } => match precision {
            0..=9 => 5,
            10..=19 => 9,
            20..=28 => 13,
            _ => 17,
        },
        _ => return None,
    })
}

/// CONCAT: everything as text, NULL as nothing.
fn concat(arguments: &[Typed]) -> Result<Typed, SqlError> {
    let mut values = Vec::new();
    for argument in arguments {
        let value =
            if argument.kind == Kind::Null { constant_text("", text_type(false, Some(1))) } else { as_text(argument)? };
        let sql_type = value.sql_type()?;
        values.push((value, sql_type));
    }
    let sql_type = concat_type(&values);
    let binary = values.iter().any(|(value, _)| value.binary);
    let parts: Vec<&str> = values.iter().map(|(value, _)| value.sql.as_str()).collect();
    let whole = format!("concat({})", parts.join(", "));
    let sql = match typing::text_length(&sql_type) {
        Some(length @ 4000..) => format!("tsql_cut({whole}, 1, {length})"),
        _ => whole,
    };
    Ok(Typed { binary, ..Typed::value(sql, sql_type).not_null() })
}

/// REPLACE, where letter case cannot matter.
fn replace(value: &Typed, part: &Typed, by: &Typed) -> Result<Typed, SqlError> {
    let (value, part, by) = (as_text(value)?, as_text(part)?, as_text(by)?);
    let caseless = part.constant.as_deref().is_some_and(|text| !text.chars().any(char::is_alphabetic));
    let binary = value.binary || part.binary || by.binary;
    if !binary && !caseless {
        return Err(SqlError::unsupported("REPLACE of letters without a binary collation"));
    }
    let wide = [&value, &part, &by].iter().any(|typed| typed.sql_type().is_ok_and(|sql_type| is_wide(&sql_type)));
    let long = typing::text_length(&value.sql_type()?).is_none();
    let length = if long { None } else { Some(if wide { 4000 } else { 8000 }) };
    let sql = format!("replace({}, {}, {})", value.sql, part.sql, by.sql);
    Ok(Typed { binary, ..Typed::value(sql, text_type(wide, length)) })
}

/// A value where text is expected; numbers are converted, as on a real server.
fn as_text(value: &Typed) -> Result<Typed, SqlError> {
    match &value.kind {
        Kind::Value(sql_type) if family(sql_type) == Family::Text => Ok(value.clone()),
        _ => {
            let target = text_type(false, Some(30));
            Ok(Typed::value(convert(value, &target)?, target))
        }
    }
}

/// Positions and lengths in long text are bigint, else int.
fn length_type(value: &Typed) -> Result<SqlType, SqlError> {
    Ok(match value.sql_type()? {
        SqlType::NVarChar { length: None }
        | SqlType::VarChar { length: None }
        | SqlType::VarBinary { length: None }
        | SqlType::NText
        | SqlType::Text
        | SqlType::Image => SqlType::BigInt,
        _ => SqlType::Int,
    })
}

/// The type of a part of text.
fn cut_type(value: &Typed) -> Result<SqlType, SqlError> {
    let sql_type = value.sql_type()?;
    match family(&sql_type) {
        Family::Text => Ok(text_type(is_wide(&sql_type), typing::text_length(&sql_type).map(u32::from))),
        _ => Err(SqlError::unsupported(format!("cutting {sql_type}"))),
    }
}
