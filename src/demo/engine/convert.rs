//! CAST and CONVERT: values of one type as another.

use sqlparser::ast;

use super::{
    SqlError,
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
    let refused = || {
        let text = format!("Explicit conversion from data type {source} to {target} is not allowed.");
        SqlError::new(529, 16, text)
    };
    let whole_limit = |sql: &str| match target {
        SqlType::TinyInt => format!("CAST(CAST({sql} AS UTINYINT) AS SMALLINT)"),
        _ => format!("CAST({sql} AS {place})"),
    };
    Ok(match (family(source), family(target)) {
        (_, Family::Other) | (Family::Other, _) => return Err(refused()),
        (Family::Text | Family::Xml, Family::Text | Family::Xml) => match typing::text_length(target) {
            Some(length) if typing::text_length(source).is_none_or(|n| n > length) => format!("left({sql}, {length})"),
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
        (Family::Binary, Family::Binary) => sql.clone(),
        _ if source == target => sql.clone(),
        _ => return Err(SqlError::unsupported(format!("converting {source} to {target}"))),
    })
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
