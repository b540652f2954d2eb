//! SQL Server column types and the Arrow type each is kept in.
//!
//! The mapping is exact or it is refused: [`SqlType::arrow`] has no lossy row. It is part of the archive format
//! (docs/FORMAT.md lists it), so a changed row changes content hashes and needs a decision entry.

use std::{fmt, str::FromStr};

use arrow::datatypes::{DataType, TimeUnit};

/// A column type as the server declares it. Lengths are in characters for `n…` types, else in bytes; `None` means `max`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are SQL Server's own names")]
pub enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Money,
    SmallMoney,
    Real,
    Float,
    Date,
    Time {
        scale: u8,
    },
    DateTime,
    SmallDateTime,
    DateTime2 {
        scale: u8,
    },
    DateTimeOffset {
        scale: u8,
    },
    Char {
        length: Option<u16>,
    },
    VarChar {
        length: Option<u16>,
    },
    Text,
    NChar {
        length: Option<u16>,
    },
    NVarChar {
        length: Option<u16>,
    },
    NText,
    Binary {
        length: Option<u16>,
    },
    VarBinary {
        length: Option<u16>,
    },
    Image,
    RowVersion,
    UniqueIdentifier,
    Xml,
    /// The type of SQL Server 2025, kept as the text the server shows.
    Json,
    /// `sql_variant`: each value has a type of its own, kept as text that names it (FORMAT §5.2).
    Variant,
    /// A type of the CLR, kept as the bytes the server stores: `hierarchyid`, `geometry`, `geography`, or one that
    /// somebody added, by its name.
    Clr(String),
    /// A type tillvault cannot keep exactly, by the server's name for it.
    Other(String),
}

/// Types of the CLR that every server has; a snapshot spells them by their names alone.
const SYSTEM_CLR: [&str; 3] = ["hierarchyid", "geometry", "geography"];

impl SqlType {
    /// The Arrow type the values are kept in, or `None` when the type cannot be kept exactly.
    ///
    /// Times are wall clock without a zone (DOMAIN §8). Types with seven decimal digits of a second, or with an offset,
    /// are kept as ISO 8601 text, since nanosecond timestamps end in 1677 and 2262.
    #[must_use]
    pub fn arrow(&self) -> Option<DataType> {
        Some(match self {
            SqlType::Bit => DataType::Boolean,
            SqlType::TinyInt | SqlType::SmallInt => DataType::Int16,
            SqlType::Int => DataType::Int32,
            SqlType::BigInt => DataType::Int64,
            SqlType::Decimal { precision, scale } => DataType::Decimal128(*precision, i8::try_from(*scale).ok()?),
            SqlType::Money => DataType::Decimal128(19, 4),
            SqlType::SmallMoney => DataType::Decimal128(10, 4),
            SqlType::Real => DataType::Float32,
            SqlType::Float => DataType::Float64,
            SqlType::Date => DataType::Date32,
            SqlType::Time { scale } if *scale <= 6 => DataType::Time64(TimeUnit::Microsecond),
            SqlType::Time { .. } => DataType::Time64(TimeUnit::Nanosecond),
            SqlType::DateTime | SqlType::SmallDateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::DateTime2 { scale } if *scale <= 6 => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::DateTime2 { .. }
            | SqlType::DateTimeOffset { .. }
            | SqlType::Char { .. }
            | SqlType::VarChar { .. }
            | SqlType::Text
            | SqlType::NChar { .. }
            | SqlType::NVarChar { .. }
            | SqlType::NText
            | SqlType::UniqueIdentifier
            | SqlType::Xml
            | SqlType::Json
            | SqlType::Variant => DataType::Utf8,
            SqlType::Binary { .. }
            | SqlType::VarBinary { .. }
            | SqlType::Image
            | SqlType::RowVersion
            | SqlType::Clr(_) => DataType::Binary,
            SqlType::Other(_) => return None,
        })
    }

    /// The type of the CLR of that name: for types that `sys.types` marks with `is_assembly_type`.
    #[must_use]
    pub fn clr(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        SqlType::Clr(if SYSTEM_CLR.contains(&lower.as_str()) { lower } else { name.to_owned() })
    }

    /// Whether values are text that the server has in UTF-16 or in a code page: text that a till may have filled with
    /// anything, also with what is not valid Unicode. See [`super::text`].
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(
            self,
            SqlType::Char { .. }
                | SqlType::VarChar { .. }
                | SqlType::Text
                | SqlType::NChar { .. }
                | SqlType::NVarChar { .. }
                | SqlType::NText
                | SqlType::Xml
                | SqlType::Json
        )
    }

    /// Whether values are whole numbers, so that the column can lead a key range.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        matches!(self, SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt)
    }
}

fn length(f: &mut fmt::Formatter<'_>, name: &str, length: Option<u16>) -> fmt::Result {
    match length {
        Some(n) => write!(f, "{name}({n})"),
        None => write!(f, "{name}(max)"),
    }
}

/// T-SQL spelling, lower case: `decimal(16,2)`, `nvarchar(max)`; `clr(Point)` for a type somebody added, in its own case.
/// This text is stored in snapshots.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Bit => f.write_str("bit"),
            SqlType::TinyInt => f.write_str("tinyint"),
            SqlType::SmallInt => f.write_str("smallint"),
            SqlType::Int => f.write_str("int"),
            SqlType::BigInt => f.write_str("bigint"),
            SqlType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            SqlType::Money => f.write_str("money"),
            SqlType::SmallMoney => f.write_str("smallmoney"),
            SqlType::Real => f.write_str("real"),
            SqlType::Float => f.write_str("float"),
            SqlType::Date => f.write_str("date"),
            SqlType::Time { scale } => write!(f, "time({scale})"),
            SqlType::DateTime => f.write_str("datetime"),
            SqlType::SmallDateTime => f.write_str("smalldatetime"),
            SqlType::DateTime2 { scale } => write!(f, "datetime2({scale})"),
            SqlType::DateTimeOffset { scale } => write!(f, "datetimeoffset({scale})"),
            SqlType::Char { length: n } => length(f, "char", *n),
            SqlType::VarChar { length: n } => length(f, "varchar", *n),
            SqlType::Text => f.write_str("text"),
            SqlType::NChar { length: n } => length(f, "nchar", *n),
            SqlType::NVarChar { length: n } => length(f, "nvarchar", *n),
            SqlType::NText => f.write_str("ntext"),
            SqlType::Binary { length: n } => length(f, "binary", *n),
            SqlType::VarBinary { length: n } => length(f, "varbinary", *n),
            SqlType::Image => f.write_str("image"),
            SqlType::RowVersion => f.write_str("rowversion"),
            SqlType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            SqlType::Xml => f.write_str("xml"),
            SqlType::Json => f.write_str("json"),
            SqlType::Variant => f.write_str("sql_variant"),
            SqlType::Clr(name) if SYSTEM_CLR.contains(&name.as_str()) => f.write_str(name),
            SqlType::Clr(name) => write!(f, "clr({name})"),
            SqlType::Other(name) => f.write_str(name),
        }
    }
}

/// Reads what [`fmt::Display`] writes; `numeric` is `decimal`, `timestamp` is `rowversion`. Unknown names become
/// [`SqlType::Other`], so parsing never fails for a name alone.
impl FromStr for SqlType {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("clr(").and_then(|rest| rest.strip_suffix(')')) {
            return Ok(SqlType::clr(name));
        }
        let lower = text.to_ascii_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            Some((name, rest)) => (name.trim().to_owned(), rest.trim_end_matches(')').to_owned()),
            None => (lower.clone(), String::new()),
        };
        let mut numbers = arguments.split(',').map(str::trim);
        let first = numbers.next().unwrap_or_default();
        let second = numbers.next().unwrap_or_default();
        let chars = || if first == "max" { None } else { Some(first.parse().unwrap_or(1)) };
        let scale = || first.parse().unwrap_or(7);
        Ok(match name.as_str() {
            "bit" => SqlType::Bit,
            "tinyint" => SqlType::TinyInt,
            "smallint" => SqlType::SmallInt,
            "int" => SqlType::Int,
            "bigint" => SqlType::BigInt,
            "decimal" | "numeric" => {
                SqlType::Decimal { precision: first.parse().unwrap_or(18), scale: second.parse().unwrap_or(0) }
            }
            "money" => SqlType::Money,
            "smallmoney" => SqlType::SmallMoney,
            "real" => SqlType::Real,
            "float" => SqlType::Float,
            "date" => SqlType::Date,
            "time" => SqlType::Time { scale: scale() },
            "datetime" => SqlType::DateTime,
            "smalldatetime" => SqlType::SmallDateTime,
            "datetime2" => SqlType::DateTime2 { scale: scale() },
            "datetimeoffset" => SqlType::DateTimeOffset { scale: scale() },
            "char" => SqlType::Char { length: chars() },
            "varchar" => SqlType::VarChar { length: chars() },
            "text" => SqlType::Text,
            "nchar" => SqlType::NChar { length: chars() },
            "nvarchar" | "sysname" => SqlType::NVarChar { length: if name == "sysname" { Some(128) } else { chars() } },
            "ntext" => SqlType::NText,
            "binary" => SqlType::Binary { length: chars() },
            "varbinary" => SqlType::VarBinary { length: chars() },
            "image" => SqlType::Image,
            "rowversion" | "timestamp" => SqlType::RowVersion,
            "uniqueidentifier" => SqlType::UniqueIdentifier,
            "xml" => SqlType::Xml,
            "json" => SqlType::Json,
            "sql_variant" => SqlType::Variant,
            system if SYSTEM_CLR.contains(&system) => SqlType::Clr(name),
            _ => SqlType::Other(lower),
        })
    }
}

impl serde::Serialize for SqlType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SqlType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_survives_a_round_trip() {
        for text in [
            "bit",
            "tinyint",
            "int",
            "bigint",
            "decimal(16,2)",
            "money",
            "float",
            "datetime",
            "datetime2(7)",
            "time(3)",
            "nvarchar(max)",
            "nvarchar(250)",
            "varbinary(max)",
            "binary(8)",
            "rowversion",
            "uniqueidentifier",
            "xml",
            "json",
            "sql_variant",
            "hierarchyid",
            "geography",
            "clr(Point)",
            "clr(odd (name))",
            "vector",
        ] {
            let parsed: SqlType = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!("numeric(5,1)".parse::<SqlType>().unwrap(), SqlType::Decimal { precision: 5, scale: 1 });
        assert_eq!("timestamp".parse::<SqlType>().unwrap(), SqlType::RowVersion);
    }

    #[test]
    fn a_type_that_cannot_be_kept_has_no_arrow_type() {
        assert_eq!("vector".parse::<SqlType>().unwrap().arrow(), None);
        assert_eq!("cursor".parse::<SqlType>().unwrap(), SqlType::Other("cursor".into()));
    }

    #[test]
    fn types_of_the_clr_are_bytes() {
        for text in ["hierarchyid", "geometry", "geography", "clr(Point)"] {
            assert_eq!(text.parse::<SqlType>().unwrap().arrow(), Some(DataType::Binary), "{text}");
        }
        assert_eq!(SqlType::clr("GEOGRAPHY"), "geography".parse().unwrap());
        assert_eq!(SqlType::clr("Point").to_string(), "clr(Point)");
    }
}
