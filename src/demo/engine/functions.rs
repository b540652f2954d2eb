//! Functions and global variables of T-SQL: aggregates and those that take values of any type here, the others in `server`
//! (what the server says of itself), `text` and `dates`.

mod dates;
mod server;
mod text;

use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use self::dates::{date_function, is_moment};
use super::{
    SqlError,
    checksum::{hashbytes, row_checksum},
    compare::{compare, fold_key, order_key},
    constant::quoted,
    convert::convert,
    expression::common_type,
    translate::{Translator, Typed},
    typing::{self, Family, Kind, family},
};
use crate::model::sql_type::SqlType;

/// Functions of T-SQL that DuckDB lacks or has otherwise. Errors raised in here begin with `T-SQL` and a number.
pub(super) const MACROS: &str = r"
CREATE MACRO tsql_fold(x) AS lower(rtrim(x, ' '));
CREATE MACRO tsql_order(x) AS strip_accents(tsql_fold(x)) || chr(1) || tsql_fold(x);
CREATE MACRO tsql_divisor(x) AS CASE WHEN x = 0 THEN error('T-SQL 8134 Divide by zero error encountered.') ELSE x END;
CREATE MACRO tsql_like_pattern(x) AS
    CASE WHEN contains(x, '[') THEN error('T-SQL 40517 The demo till does not support classes in computed patterns of LIKE.')
         ELSE x END;
CREATE MACRO tsql_guid_order(x) AS upper(
    substr(x, 25, 12) || substr(x, 20, 4) || substr(x, 17, 2) || substr(x, 15, 2) || substr(x, 12, 2) || substr(x, 10, 2)
    || substr(x, 7, 2) || substr(x, 5, 2) || substr(x, 3, 2) || substr(x, 1, 2));
";

/// Whether a function gives one value for many rows.
pub(super) fn is_aggregate(name: &str) -> bool {
    matches!(name.to_ascii_uppercase().as_str(), "COUNT" | "COUNT_BIG" | "SUM" | "AVG" | "MIN" | "MAX" | "CHECKSUM_AGG")
}

/// A constant of text.
fn constant_text(value: &str, sql_type: SqlType) -> Typed {
    Typed::value(quoted(value), sql_type)
}

impl Translator<'_> {
    /// A function call.
    pub(super) fn function(&mut self, function: &Function) -> Result<Typed, SqlError> {
        let name = function.name.to_string().to_ascii_uppercase();
        if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::unsupported(format!("{name} over a window")));
        }
        let (arguments, distinct) = match &function.args {
            FunctionArguments::List(list) if list.clauses.is_empty() => {
                (list.args.as_slice(), list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
            }
            FunctionArguments::None => (&[][..], false),
            _ => return Err(SqlError::unsupported(format!("these arguments of {name}"))),
        };
        if self.context.engine.options().missing_functions.contains(&name) {
            return Err(unknown_function(&name));
        }
        if is_aggregate(&name) {
            return self.aggregate(&name, arguments, distinct);
        }
        if let ("CHECKSUM" | "BINARY_CHECKSUM", [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) =
            (name.as_str(), arguments)
        {
            return row_checksum(name == "BINARY_CHECKSUM", &self.all_columns()?);
        }
        let first_is_word = matches!(name.as_str(), "DATEADD" | "DATEDIFF" | "DATEPART");
        let mut word = String::new();
        let mut values = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
                return Err(SqlError::syntax(&argument.to_string()));
            };
            match expr {
                Expr::Identifier(ident) if index == 0 && first_is_word => word = ident.value.to_ascii_lowercase(),
                _ if name == "IIF" && index == 0 => {
                    let test = self.condition(expr)?;
                    values.push(Typed::condition(test));
                }
                _ => values.push(self.value(expr)?),
            }
        }
        if first_is_word { date_function(&name, &word, &values) } else { self.call(&name, &values) }
    }

    fn aggregate(&mut self, name: &str, arguments: &[FunctionArg], distinct: bool) -> Result<Typed, SqlError> {
        let Some(grouping) = self.grouping.take() else {
            let text = "An aggregate may not appear here unless it is in a subquery contained in a HAVING clause or a select list.";
            return Err(SqlError::new(147, 15, text));
        };
        let argument = match arguments {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok(None),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => self.value(expr).map(Some),
            _ => Err(SqlError::new(174, 15, format!("The {name} function requires 1 argument(s)."))),
        };
        self.grouping = Some(grouping);
        let word = if distinct { "DISTINCT " } else { "" };
        let Some(argument) = argument? else {
            return match name {
                "COUNT" => Ok(Typed::value("CAST(count(*) AS INTEGER)", SqlType::Int)),
                "COUNT_BIG" => Ok(Typed::value("count(*)", SqlType::BigInt)),
                _ => Err(SqlError::syntax("*")),
            };
        };
        let sql_type = argument.sql_type()?;
        let sql = &argument.sql;
        let numeric = matches!(family(&sql_type), Family::Whole | Family::Exact | Family::Float);
        if matches!(name, "SUM" | "AVG") && !numeric {
            let text = format!("Operand data type {sql_type} is invalid for {} operator.", name.to_ascii_lowercase());
            return Err(SqlError::new(8117, 16, text));
        }
        Ok(match name {
            "COUNT" => {
                Typed::value(format!("CAST(count({word}{}) AS INTEGER)", counted(&argument, distinct)?), SqlType::Int)
            }
            "COUNT_BIG" => Typed::value(format!("count({word}{})", counted(&argument, distinct)?), SqlType::BigInt),
            "SUM" => {
                let result = match &sql_type {
                    SqlType::TinyInt | SqlType::SmallInt => SqlType::Int,
                    SqlType::Decimal { scale, .. } => SqlType::Decimal { precision: 38, scale: *scale },
                    SqlType::SmallMoney => SqlType::Money,
                    SqlType::Real => SqlType::Float,
                    other => other.clone(),
                };
                Typed::value(format!("CAST(sum({word}{sql}) AS {})", typing::storage(&result)?), result)
            }
            "CHECKSUM_AGG" if sql_type == SqlType::Int => {
                Typed::value(format!("bit_xor({word}CAST({sql} AS INTEGER))"), SqlType::Int)
            }
            "CHECKSUM_AGG" => return Err(SqlError::unsupported(format!("CHECKSUM_AGG of {sql_type}"))),
            "AVG" => match family(&sql_type) {
                Family::Float => Typed::value(format!("avg({word}{sql})"), SqlType::Float),
                Family::Whole => {
                    let result = if sql_type == SqlType::BigInt { SqlType::BigInt } else { SqlType::Int };
                    let place = typing::storage(&result)?;
                    Typed::value(format!("CAST(sum({word}{sql}) // count({word}{sql}) AS {place})"), result)
                }
                _ => return Err(SqlError::unsupported("AVG of decimals")),
            },
            // Of text the extreme by the collation; of several equal ones any.
            _ => {
                let function = if name == "MIN" { "min" } else { "max" };
                let binary = argument.binary;
                let sql = if family(&sql_type) == Family::Text {
                    format!("arg_{function}({sql}, {})", order_key(&argument)?)
                } else if sql_type == SqlType::Bit {
                    let text = format!("Operand data type bit is invalid for {function} operator.");
                    return Err(SqlError::new(8117, 16, text));
                } else {
                    fold_key(&argument)?;
                    format!("{function}({sql})")
                };
                Typed { binary, ..Typed::value(sql, sql_type) }
            }
        })
    }

    /// A function whose arguments are values.
    #[allow(clippy::too_many_lines, reason = "one arm per function")]
    pub(super) fn call(&mut self, name: &str, arguments: &[Typed]) -> Result<Typed, SqlError> {
        if let Some(answer) = self.about(name, arguments)? {
            return Ok(answer);
        }
        if let Some(value) = self.of_server(name, arguments)? {
            return Ok(value);
        }
        if let Some(value) = text::call(name, arguments)? {
            return Ok(value);
        }
        Ok(match (name, arguments) {
            ("ISNULL", [first, second]) => {
                let sql_type = if first.kind == Kind::Null { second.sql_type()? } else { first.sql_type()? };
                let sql = format!("coalesce({}, {})", convert(first, &sql_type)?, convert(second, &sql_type)?);
                let nullable = first.nullable && second.nullable;
                Typed { nullable, binary: first.binary, ..Typed::value(sql, sql_type) }
            }
            ("COALESCE", [_, _, ..]) => {
                let (sql_type, binary) = common_type(arguments)?;
                let values: Result<Vec<_>, _> = arguments.iter().map(|value| convert(value, &sql_type)).collect();
                let nullable = arguments.iter().all(|value| value.nullable);
                Typed { nullable, binary, ..Typed::value(format!("coalesce({})", values?.join(", ")), sql_type) }
            }
            ("NULLIF", [first, second]) => {
                let equal = compare("=", first, second)?;
                let sql = format!("(CASE WHEN {equal} THEN NULL ELSE {} END)", first.sql);
                Typed { binary: first.binary, ..Typed::value(sql, first.sql_type()?) }
            }
            ("IIF", [test, then, otherwise]) => {
                let (sql_type, binary) = common_type(&[then.clone(), otherwise.clone()])?;
                let (then, otherwise) = (convert(then, &sql_type)?, convert(otherwise, &sql_type)?);
                Typed {
                    binary,
                    ..Typed::value(format!("(CASE WHEN {} THEN {then} ELSE {otherwise} END)", test.sql), sql_type)
                }
            }
            ("ROUND", [value, digits]) => {
                let sql_type = value.sql_type()?;
                match family(&sql_type) {
                    Family::Exact | Family::Float => {
                        let sql =
                            format!("CAST(round({}, {}) AS {})", value.sql, digits.sql, typing::storage(&sql_type)?);
                        Typed::value(sql, sql_type)
                    }
                    _ => return Err(SqlError::unsupported(format!("ROUND of {sql_type}"))),
                }
            }
            ("ABS" | "FLOOR" | "CEILING", [value]) => {
                let sql_type = match value.sql_type()? {
                    SqlType::Decimal { precision, scale } if name != "ABS" && scale > 0 => {
                        SqlType::Decimal { precision, scale: 0 }
                    }
                    other if typing::is_numeric(&other) && other != SqlType::Bit => other,
                    other => return Err(SqlError::unsupported(format!("{name} of {other}"))),
                };
                if family(&sql_type) == Family::Whole && name != "ABS" {
                    return Ok(Typed { column: None, constant: None, ..value.clone() });
                }
                let function = if name == "CEILING" { "ceil".into() } else { name.to_ascii_lowercase() };
                Typed::value(format!("CAST({function}({}) AS {})", value.sql, typing::storage(&sql_type)?), sql_type)
            }
            ("YEAR" | "MONTH" | "DAY", [value]) if is_moment(value) => {
                Typed::value(format!("CAST({}({}) AS INTEGER)", name.to_ascii_lowercase(), value.sql), SqlType::Int)
            }
            ("CHECKSUM" | "BINARY_CHECKSUM", [_, ..]) => row_checksum(name == "BINARY_CHECKSUM", arguments)?,
            ("HASHBYTES", [algorithm, value]) => hashbytes(algorithm, value, self.context.engine.major_version())?,
            _ => {
                let text =
                    format!("'{name}' is not a recognized built-in function name with {} arguments.", arguments.len());
                return Err(SqlError::new(195, 15, text));
            }
        })
    }

    /// The columns of all tables of the present query.
    fn all_columns(&self) -> Result<Vec<Typed>, SqlError> {
        let sources = self.scopes.last().map(Vec::as_slice).unwrap_or_default();
        if sources.is_empty() || self.grouping.is_some() {
            return Err(SqlError::syntax("*"));
        }
        Ok(sources.iter().flat_map(|source| &source.columns).map(Typed::of_column).collect())
    }
}

fn unknown_function(name: &str) -> SqlError {
    SqlError::new(195, 15, format!("'{name}' is not a recognized built-in function name."))
}

/// What COUNT counts: with DISTINCT, equal text counts once.
fn counted(argument: &Typed, distinct: bool) -> Result<String, SqlError> {
    if distinct { fold_key(argument) } else { Ok(argument.sql.clone()) }
}
