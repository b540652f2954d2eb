//! SQL Server's rules for the types of expressions, as far as reading needs them.

use super::SqlError;
use crate::{demo::schema, model::sql_type::SqlType};

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `NULL` without a type.
    Null,
    /// A condition: SQL Server has no boolean values.
    Condition,
    /// A value.
    Value(SqlType),
}

/// Families of types, as far as the rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Bit,
    Whole,
    Exact,
    Float,
    /// `date`, `datetime` and the like that DuckDB keeps as such.
    Moment,
    Time,
    /// Times kept as text, since they are finer than DuckDB's.
    FineMoment,
    Guid,
    Binary,
    Xml,
    Other,
}

pub(super) fn family(sql_type: &SqlType) -> Family {
    match sql_type {
        SqlType::Bit => Family::Bit,
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => Family::Whole,
        SqlType::Decimal { .. } | SqlType::Money | SqlType::SmallMoney => Family::Exact,
        SqlType::Real | SqlType::Float => Family::Float,
        SqlType::Date | SqlType::DateTime | SqlType::SmallDateTime => Family::Moment,
        SqlType::DateTime2 { scale } if *scale <= 6 => Family::Moment,
        SqlType::Time { scale } if *scale <= 6 => Family::Time,
        SqlType::DateTime2 { .. } | SqlType::Time { .. } | SqlType::DateTimeOffset { .. } => Family::FineMoment,
        SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText => Family::Text,
        SqlType::UniqueIdentifier => Family::Guid,
        SqlType::Binary { .. } | SqlType::VarBinary { .. } | SqlType::Image | SqlType::RowVersion => Family::Binary,
        SqlType::Xml => Family::Xml,
        SqlType::Json | SqlType::Variant | SqlType::Clr(_) | SqlType::Other(_) => Family::Other,
    }
}

pub(super) fn is_numeric(sql_type: &SqlType) -> bool {
    matches!(family(sql_type), Family::Bit | Family::Whole | Family::Exact | Family::Float)
}

/// Whether text is Unicode.
pub(super) fn is_wide(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::NChar { .. } | SqlType::NVarChar { .. } | SqlType::NText)
}

/// Length of text in characters, `None` for the long types.
pub(super) fn text_length(sql_type: &SqlType) -> Option<u16> {
    match sql_type {
        SqlType::Char { length }
        | SqlType::VarChar { length }
        | SqlType::NChar { length }
        | SqlType::NVarChar { length } => *length,
        _ => None,
    }
}

/// A text type of that width and length; beyond what fits in a page it is a `max` type.
pub(super) fn text_type(wide: bool, length: Option<u32>) -> SqlType {
    let limit = if wide { 4000 } else { 8000 };
    let length = length.map(|n| n.max(1)).filter(|n| *n <= limit).and_then(|n| u16::try_from(n).ok());
    if wide { SqlType::NVarChar { length } } else { SqlType::VarChar { length } }
}

/// The DuckDB type values are kept in.
pub(super) fn storage(sql_type: &SqlType) -> Result<String, SqlError> {
    schema::duckdb_type(sql_type).ok_or_else(|| SqlError::unsupported(format!("values of type {sql_type}")))
}

/// Precision and scale of an exact or whole number.
pub(super) fn precision(sql_type: &SqlType) -> (u8, u8) {
    match sql_type {
        SqlType::Bit => (1, 0),
        SqlType::TinyInt => (3, 0),
        SqlType::SmallInt => (5, 0),
        SqlType::Int => (10, 0),
        SqlType::Decimal { precision, scale } => (*precision, *scale),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        _ => (19, 0),
    }
}

fn decimal(precision: u32, scale: u32) -> SqlType {
    let (precision, scale) = if precision > 38 {
        // SQL Server keeps the digits before the point and at least six behind it.
        let whole = precision - scale;
        (38, if whole < 32 { scale.min(38 - whole) } else { scale.min(6) })
    } else {
        (precision, scale)
    };
    SqlType::Decimal {
        precision: u8::try_from(precision).unwrap_or(38),
        scale: u8::try_from(scale).unwrap_or_default(),
    }
}

/// Order of precedence among numbers.
fn rank(sql_type: &SqlType) -> u8 {
    match sql_type {
        SqlType::Bit => 0,
        SqlType::TinyInt => 1,
        SqlType::SmallInt => 2,
        SqlType::Int => 3,
        SqlType::BigInt => 4,
        SqlType::SmallMoney => 5,
        SqlType::Money => 6,
        SqlType::Decimal { .. } => 7,
        SqlType::Real => 8,
        _ => 9,
    }
}

/// The type of `left op right` for numbers; `op` is one of `+ - * / %`.
pub(super) fn arithmetic(op: char, left: &SqlType, right: &SqlType) -> Result<SqlType, SqlError> {
    let higher = if rank(left) >= rank(right) { left } else { right };
    match higher {
        SqlType::Bit => {
            let text = "Operand data type bit is invalid for this operator.";
            Err(SqlError::new(8117, 16, text))
        }
        SqlType::Decimal { .. } => {
            let ((p1, s1), (p2, s2)) = (precision(left), precision(right));
            let (p1, s1, p2, s2) = (u32::from(p1), u32::from(s1), u32::from(p2), u32::from(s2));
            match op {
                '+' | '-' => {
                    let scale = s1.max(s2);
                    Ok(decimal((p1 - s1).max(p2 - s2) + scale + 1, scale))
                }
                '*' => Ok(decimal(p1 + p2 + 1, s1 + s2)),
                _ => Err(SqlError::unsupported("division of decimals")),
            }
        }
        SqlType::Money | SqlType::SmallMoney if op == '/' || op == '%' => {
            Err(SqlError::unsupported("division of money"))
        }
        other => Ok(other.clone()),
    }
}

/// The common type of the branches of CASE, COALESCE and set operations.
pub(super) fn common(left: &Kind, right: &Kind) -> Result<Kind, SqlError> {
    let (left, right) = match (left, right) {
        (Kind::Null, other) | (other, Kind::Null) => return Ok(other.clone()),
        (Kind::Value(left), Kind::Value(right)) => (left, right),
        _ => return Err(SqlError::syntax("condition")),
    };
    if left == right {
        return Ok(Kind::Value(left.clone()));
    }
    let value = match (family(left), family(right)) {
        (Family::Text, Family::Text) => {
            let length = match (text_length(left), text_length(right)) {
                (Some(a), Some(b)) => Some(u32::from(a.max(b))),
                _ => None,
            };
            text_type(is_wide(left) || is_wide(right), length)
        }
        (Family::Text, _) => right.clone(),
        (_, Family::Text) => left.clone(),
        _ if is_numeric(left) && is_numeric(right) => {
            let higher = if rank(left) >= rank(right) { left } else { right };
            if let SqlType::Decimal { .. } = higher {
                let ((p1, s1), (p2, s2)) = (precision(left), precision(right));
                let scale = s1.max(s2);
                decimal(u32::from((p1 - s1).max(p2 - s2) + scale), u32::from(scale))
            } else {
                higher.clone()
            }
        }
        (Family::Moment, Family::Moment) => {
            if *left == SqlType::Date {
                right.clone()
            } else {
                left.clone()
            }
        }
        (Family::Binary, Family::Binary) => SqlType::VarBinary { length: None },
        _ => {
            return Err(SqlError::new(206, 16, format!("Operand type clash: {left} is incompatible with {right}")));
        }
    };
    Ok(Kind::Value(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> SqlType {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_grow_as_on_a_real_server() {
        assert_eq!(arithmetic('*', &of("decimal(16,2)"), &of("decimal(16,3)")), Ok(of("decimal(33,5)")));
        assert_eq!(arithmetic('+', &of("decimal(16,2)"), &of("int")), Ok(of("decimal(17,2)")));
        assert_eq!(arithmetic('*', &of("decimal(38,5)"), &of("decimal(16,3)")), Ok(of("decimal(38,6)")));
        assert_eq!(arithmetic('+', &of("tinyint"), &of("bigint")), Ok(of("bigint")));
        assert!(arithmetic('/', &of("decimal(16,2)"), &of("int")).is_err());
    }

    #[test]
    fn branches_share_a_type() {
        let value = |text: &str| Kind::Value(of(text));
        assert_eq!(common(&value("nvarchar(5)"), &value("varchar(9)")), Ok(value("nvarchar(9)")));
        assert_eq!(common(&Kind::Null, &value("int")), Ok(value("int")));
        assert_eq!(common(&value("varchar(9)"), &value("int")), Ok(value("int")));
        assert!(common(&value("date"), &value("int")).is_err());
    }
}
