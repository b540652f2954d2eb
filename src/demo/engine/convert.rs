//! CAST and CONVERT: values of one type as another.

use sqlparser::ast;

use super::{
    SqlError,
    binary::{from_binary, hexadecimal, not_allowed, to_binary},
    checksum::type_name,
    translate::Typed,
    typing::{self, Family, Kind, family, storage},
};
use crate::model::sql_type::SqlType;

/// A SQL Server type name in a CAST.
pub(super) fn data_type_of(data_type: &ast::DataType) -> Result<SqlType, SqlError> {
    let text = data_type.to_string().replace(['[', ']'], "");
    let lower = text.to_ascii_lowercase();
    let text = match lower.as_str() {
        // Without a length, a CAST to text or binary has 30.
        "nvarchar" | "varchar" | "nchar" | "char" | "varbinary" | "binary" => format!("{lower}(30)"),
        "integer" => "int".to_owned(),
        "double precision" => "float".to_owned(),
        _ => lower.clone(),
    };
    let Ok(sql_type) = text.parse::<SqlType>();
    match sql_type {
        SqlType::Other(_) if lower.starts_with("float(") => Ok(SqlType::Float),
        SqlType::Json | SqlType::Variant | SqlType::Clr(_) => {
            Err(SqlError::unsupported(format!("conversions to {lower}")))
        }
        SqlType::Other(name) => Err(SqlError::new(243, 16, format!("Type {name} is not a defined system type."))),
        known => Ok(known),
    }
}

/// `typed` as a value of `target`, by the rules of CAST.
pub(super) fn convert(typed: &Typed, target: &SqlType) -> Result<String, SqlError> {
    let place = storage(target)?;
    let Kind::Value(source) = &typed.kind else {
        return Ok(format!("CAST(NULL AS {place})"));
    };
    let sql = &typed.sql;
    let refused = || not_allowed(source, &target.to_string());
    let whole_limit = |sql: &str| match target {
        SqlType::TinyInt => format!("CAST(CAST({sql} AS UTINYINT) AS SMALLINT)"),
        _ => format!("CAST({sql} AS {place})"),
    };
    Ok(match (family(source), family(target)) {
        (_, Family::Other) | (Family::Other, _) => return Err(refused()),
        (Family::Text | Family::Xml, Family::Text | Family::Xml) => match typing::text_length(target) {
            Some(length) if typing::text_length(source).is_none_or(|n| n > length) => {
                format!("tsql_cut({sql}, 1, {length})")
            }
            _ => sql.clone(),
        },
        (Family::Text, Family::Moment) => match &typed.constant {
            Some(text) => format!("CAST('{}' AS {place})", iso_date(text)?),
            None => format!("CAST(CAST({sql} AS TIMESTAMP) AS {place})"),
        },
        (Family::Text, Family::Bit) => format!("(CAST(trim({sql}, ' ') AS INTEGER) <> 0)"),
        (Family::Text, Family::Whole | Family::Exact | Family::Float) => whole_limit(&format!("trim({sql}, ' ')")),
        (Family::Text, Family::Guid) => format!("upper({sql})"),
        (Family::Guid, Family::Text) => format!("upper({sql})"),
        (Family::Bit, Family::Text) => format!("CAST(CAST({sql} AS INTEGER) AS VARCHAR)"),
        // Money shows two digits unless a style asks for all four.
        (Family::Exact, Family::Text) if matches!(source, SqlType::Money | SqlType::SmallMoney) => {
            format!("CAST(CAST({sql} AS DECIMAL(19,2)) AS VARCHAR)")
        }
        (Family::Float, Family::Text) => format!("tsql_float_text(CAST({sql} AS DOUBLE), 0)"),
        (Family::Whole | Family::Exact, Family::Text) => format!("CAST({sql} AS VARCHAR)"),
        (Family::Bit, Family::Bit) => sql.clone(),
        (Family::Bit, Family::Whole | Family::Exact | Family::Float) => {
            format!("CAST(CAST({sql} AS INTEGER) AS {place})")
        }
        (Family::Whole | Family::Exact | Family::Float, Family::Bit) => format!("({sql} <> 0)"),
        (Family::Exact | Family::Float, Family::Whole) => whole_limit(&format!("trunc({sql})")),
        (Family::Whole, Family::Whole) => whole_limit(sql),
        (Family::Whole | Family::Exact | Family::Float, Family::Exact | Family::Float) => {
            format!("CAST({sql} AS {place})")
        }
        (Family::Moment, Family::Moment | Family::Time) => format!("CAST({sql} AS {place})"),
        (Family::Moment, Family::Float) => format!("(epoch_us(CAST({sql} AS TIMESTAMP)) / 86400000000.0 + 25567)"),
        (Family::Float, Family::Moment) => {
            format!("CAST(make_timestamp(CAST(round(({sql} - 25567) * 86400000000.0) AS BIGINT)) AS {place})")
        }
        (Family::FineMoment, Family::Moment) if matches!(source, SqlType::DateTime2 { .. }) => {
            format!("CAST(CAST({sql} AS TIMESTAMP) AS {place})")
        }
        (Family::Moment, Family::FineMoment) if matches!(target, SqlType::DateTime2 { .. }) => {
            format!("strftime(CAST({sql} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%f0')")
        }
        (_, Family::Binary) => to_binary(typed, source, target)?,
        (Family::Binary, Family::Whole) => from_binary(typed, source, target)?,
        _ if source == target => sql.clone(),
        _ => return Err(SqlError::unsupported(format!("converting {source} to {target}"))),
    })
}

/// CONVERT with a style: dates in ISO and ODBC form, all digits of floats and money, bytes as hexadecimal digits.
pub(super) fn styled(typed: &Typed, target: &SqlType, style: &str) -> Result<Typed, SqlError> {
    let source = typed.sql_type()?;
    let unknown = || SqlError::unsupported(format!("CONVERT from {source} to {target} with style {style}"));
    let number: i32 = style.parse().map_err(|_| unknown())?;
    if typed.kind == Kind::Null || number == 0 {
        return Ok(Typed::value(convert(typed, target)?, target.clone()));
    }
    if let Some(sql) = hexadecimal(typed, &source, target, number) {
        return Ok(Typed::value(sql, target.clone()));
    }
    let sql = &typed.sql;
    let text = match (family(&source), family(target), number) {
        (Family::Text, Family::Moment, 23 | 112 | 120 | 121 | 126) | (Family::Whole, Family::Text, _) => {
            return Ok(Typed::value(convert(typed, target)?, target.clone()));
        }
        (Family::Moment, Family::Text, 112) => format!("strftime({sql}, '%Y%m%d')"),
        (Family::Moment, Family::Text, 23) => format!("strftime({sql}, '%Y-%m-%d')"),
        (Family::Moment, Family::Text, 120 | 121 | 126) => {
            format!("tsql_stamp_text(CAST({sql} AS TIMESTAMP), {}, {number})", type_name(&source))
        }
        (Family::Time, Family::Text, 121 | 126) => {
            format!("tsql_stamp_text(DATE '1970-01-01' + CAST({sql} AS TIME), {}, {number})", type_name(&source))
        }
        (Family::FineMoment, Family::Text, 121) if !matches!(source, SqlType::DateTimeOffset { .. }) => {
            format!("replace({sql}, 'T', ' ')")
        }
        (Family::FineMoment, Family::Text, 126) => format!("replace({sql}, ' ', 'T')"),
        (Family::Float, Family::Text, 1..=3) => format!("tsql_float_text(CAST({sql} AS DOUBLE), {number})"),
        (Family::Exact, Family::Text, 2) => format!("CAST({sql} AS VARCHAR)"),
        _ => return Err(unknown()),
    };
    let text = Typed::value(text, typing::text_type(false, Some(60)));
    Ok(Typed::value(convert(&text, target)?, target.clone()))
}

/// A constant date as DuckDB reads it. Formats that depend on the login's language are refused.
fn iso_date(text: &str) -> Result<String, SqlError> {
    let failed = || SqlError::new(241, 16, "Conversion failed when converting date and/or time from character string.");
    let text = text.trim();
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let date = if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])
    } else {
        date.to_owned()
    };
    let date: jiff::civil::Date = date.parse().map_err(|_| failed())?;
    let time: jiff::civil::Time = time.trim().parse().map_err(|_| failed())?;
    Ok(format!("{date} {time}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_dates_are_read_in_iso_formats_only() {
        assert_eq!(iso_date("20260301").unwrap(), "2026-03-01 00:00:00");
        assert_eq!(iso_date("2026-03-01T12:05:00.123").unwrap(), "2026-03-01 12:05:00.123");
        assert_eq!(iso_date("01/03/2026").unwrap_err().number, 241);
    }
}
