//! Parts of dates and times, and reckoning with them.

use super::super::{
    SqlError,
    convert::convert,
    translate::Typed,
    typing::{self, Family, Kind, family},
};
use crate::model::sql_type::SqlType;

/// Whether a value has a date or a time.
pub(super) fn is_moment(value: &Typed) -> bool {
    matches!(&value.kind, Kind::Value(sql_type) if family(sql_type) == Family::Moment)
}

/// The canonical word of a date part.
fn date_part(word: &str) -> Option<&'static str> {
    Some(match word {
        "year" | "yy" | "yyyy" => "year",
        "quarter" | "qq" | "q" => "quarter",
        "month" | "mm" | "m" => "month",
        "week" | "wk" | "ww" => "week",
        "day" | "dd" | "d" => "day",
        "hour" | "hh" => "hour",
        "minute" | "mi" | "n" => "minute",
        "second" | "ss" | "s" => "second",
        "millisecond" | "ms" => "millisecond",
        _ => return None,
    })
}

/// DATEADD, DATEDIFF and DATEPART, whose first argument is a bare word.
pub(super) fn date_function(name: &str, word: &str, arguments: &[Typed]) -> Result<Typed, SqlError> {
    let Some(part) = date_part(word) else {
        let text = format!("'{word}' is not a recognized {} option.", name.to_ascii_lowercase());
        return Err(SqlError::new(155, 15, text));
    };
    let moment = |value: &Typed| -> Result<Typed, SqlError> {
        if is_moment(value) {
            return Ok(value.clone());
        }
        Ok(Typed::value(convert(value, &SqlType::DateTime)?, SqlType::DateTime))
    };
    match (name, arguments) {
        ("DATEADD", [number, value]) => {
            let value = moment(value)?;
            let sql_type = value.sql_type()?;
            let steps = format!("CAST(trunc({}) AS INTEGER)", number.sql);
            let (steps, unit) = match part {
                "quarter" => (format!("3 * {steps}"), "month"),
                other => (steps, other),
            };
            let sql = format!("CAST(({} + to_{unit}s({steps})) AS {})", value.sql, typing::storage(&sql_type)?);
            Ok(Typed::value(sql, sql_type))
        }
        // Weeks begin on the day the session says; nobody needs that here.
        ("DATEDIFF", [from, to]) if part != "week" => {
            let (from, to) = (moment(from)?, moment(to)?);
            let sql = format!(
                "CAST(date_diff('{part}', CAST({} AS TIMESTAMP), CAST({} AS TIMESTAMP)) AS INTEGER)",
                from.sql, to.sql
            );
            Ok(Typed::value(sql, SqlType::Int))
        }
        ("DATEPART", [value]) if !matches!(part, "week" | "millisecond") => {
            let value = moment(value)?;
            Ok(Typed::value(format!("CAST(date_part('{part}', {}) AS INTEGER)", value.sql), SqlType::Int))
        }
        _ => Err(SqlError::unsupported(format!("{name} with {word}"))),
    }
}
