//! `HASHBYTES`, `CHECKSUM` and `BINARY_CHECKSUM`.
//!
//! What a reader must know of a real server's `BINARY_CHECKSUM`, and finds here, too: it passes over `text`, `ntext`, `image`
//! and `xml`; of the `(max)` types of text it sees the first 255 characters; it is a rotation and an XOR, so that changes 16
//! characters apart may cancel; it ignores sign and scale of decimals. HASHBYTES takes text and bytes only, before SQL
//! Server 2016 no more than 8000 bytes, and hashes `nvarchar` as UTF-16LE.

use super::{
    SqlError,
    binary::bytes_of,
    constant::quoted,
    translate::Typed,
    typing::{Family, Kind, family, is_wide, text_length},
    wire::NULL_SUM,
};
use crate::model::sql_type::SqlType;

/// Characters `BINARY_CHECKSUM` sees of a `(max)` text.
const MAX_TEXT_LIMIT: u16 = 255;

/// `HASHBYTES(algorithm, value)`; `major` is the server's version.
pub(super) fn hashbytes(algorithm: &Typed, value: &Typed, major: u32) -> Result<Typed, SqlError> {
    let Some(name) = algorithm.constant.as_deref() else {
        return Err(SqlError::unsupported("HASHBYTES with a computed algorithm"));
    };
    let function = match name.to_ascii_uppercase().as_str() {
        "MD5" => "md5",
        "SHA" | "SHA1" => "sha1",
        "SHA2_256" => "sha256",
        _ => return Err(SqlError::unsupported(format!("HASHBYTES with {name}"))),
    };
    let invalid = |shown: &str| {
        let text = format!("Argument data type {shown} is invalid for argument 2 of hashbytes function.");
        SqlError::new(8116, 16, text)
    };
    let Kind::Value(sql_type) = &value.kind else { return Err(invalid("NULL")) };
    let hashable = match sql_type {
        SqlType::Text | SqlType::NText | SqlType::Image => false,
        other => matches!(family(other), Family::Text | Family::Binary),
    };
    if !hashable {
        return Err(invalid(&sql_type.to_string()));
    }
    let mut bytes = bytes_of(value, sql_type)?;
    if major < 13 {
        bytes = format!("tsql_hash_input({bytes})");
    }
    Ok(Typed::value(format!("unhex({function}({bytes}))"), SqlType::VarBinary { length: Some(8000) }))
}

/// `CHECKSUM` (which folds text as comparisons do) or `BINARY_CHECKSUM` of a row's columns.
pub(super) fn row_checksum(binary: bool, values: &[Typed]) -> Result<Typed, SqlError> {
    let sums: Vec<String> =
        values.iter().map(|value| checksum_of(binary, value)).collect::<Result<Vec<_>, _>>()?.concat();
    if sums.is_empty() {
        let name = if binary { "binarychecksum" } else { "checksum" };
        let text = format!("Error in {name}. There are no comparable columns in the {name} input.");
        return Err(SqlError::new(8184, 16, text));
    }
    Ok(Typed::value(format!("tsql_combine({})", sums.join(", ")), SqlType::Int).not_null())
}

/// The checksum of one column; nothing for the types that are passed over.
fn checksum_of(binary: bool, value: &Typed) -> Result<Vec<String>, SqlError> {
    let Kind::Value(sql_type) = &value.kind else { return Ok(vec![NULL_SUM.to_string()]) };
    let sql = &value.sql;
    let sum = match family(sql_type) {
        Family::Xml | Family::Other => return Ok(Vec::new()),
        Family::Text | Family::Binary if matches!(sql_type, SqlType::Text | SqlType::NText | SqlType::Image) => {
            return Ok(Vec::new());
        }
        Family::Text if !binary => format!("tsql_text_sum(tsql_fold({sql}), 0)"),
        Family::Text if is_wide(sql_type) => {
            let limit = if text_length(sql_type).is_none() { MAX_TEXT_LIMIT } else { 0 };
            format!("tsql_text_sum({}, {limit})", super::binary::padded(sql, sql_type))
        }
        Family::Text => {
            let bytes = bytes_of(value, sql_type)?;
            match text_length(sql_type) {
                Some(_) => format!("tsql_bytes_sum({bytes})"),
                None => format!("tsql_bytes_sum(tsql_slice({bytes}, 1, {MAX_TEXT_LIMIT}))"),
            }
        }
        Family::Bit => format!("tsql_whole_sum(CAST(CAST({sql} AS INTEGER) AS BIGINT))"),
        Family::Whole => format!("tsql_whole_sum(CAST({sql} AS BIGINT))"),
        Family::Exact => format!("tsql_text_sum(ltrim(replace(CAST({sql} AS VARCHAR), '.', ''), '-0'), 0)"),
        _ => format!("tsql_bytes_sum({})", bytes_of(value, sql_type)?),
    };
    Ok(vec![format!("coalesce({sum}, {NULL_SUM})")])
}

/// `CONCAT(…)`: everything as text, NULL as nothing. Without a `(max)` type among them the whole is cut at 8000 bytes.
pub(super) fn concat_type(values: &[(Typed, SqlType)]) -> SqlType {
    let wide = values.iter().any(|(_, sql_type)| is_wide(sql_type));
    let limit: u32 = if wide { 4000 } else { 8000 };
    let total = values.iter().try_fold(0u32, |sum, (_, sql_type)| Some(sum + u32::from(text_length(sql_type)?)));
    let length = total.map(|total| u16::try_from(total.clamp(1, limit)).unwrap_or(u16::MAX));
    if wide { SqlType::NVarChar { length } } else { SqlType::VarChar { length } }
}

/// The name of a type as text for DuckDB.
pub(super) fn type_name(sql_type: &SqlType) -> String {
    quoted(&sql_type.to_string())
}
