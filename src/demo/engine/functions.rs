//! Functions and global variables of T-SQL.

use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    SqlError,
    binary::padded,
    catalog::{self, DATABASE_ID},
    checksum::{concat_type, hashbytes, row_checksum},
    compare::{compare, fold_key, order_key},
    constant::quoted,
    convert::convert,
    expression::common_type,
    translate::{Translator, Typed},
    typing::{self, Family, Kind, family, is_wide, text_type},
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

/// Type of names in the catalog.
fn sysname() -> SqlType {
    SqlType::NVarChar { length: Some(128) }
}

fn text(value: &str, sql_type: SqlType) -> Typed {
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
        let options = self.context.engine.options();
        Ok(match (name, arguments) {
            ("GETDATE", []) => Typed::value(format!("TIMESTAMP '{}'", self.clock(3)), SqlType::DateTime).not_null(),
            ("SYSDATETIME", []) => {
                Typed::value(format!("'{}0'", self.clock(6)), SqlType::DateTime2 { scale: 7 }).not_null()
            }
            ("DB_NAME", []) => text(&options.database, sysname()),
            ("DB_ID", []) => Typed::value(format!("CAST({DATABASE_ID} AS SMALLINT)"), SqlType::SmallInt),
            ("SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "USER_NAME", []) => text(self.context.login, sysname()),
            ("SCHEMA_NAME", []) => text("dbo", sysname()),
            ("XACT_STATE", []) => Typed::value(
                format!("CAST({} AS SMALLINT)", i32::from(self.context.transactions > 0)),
                SqlType::SmallInt,
            ),
            ("SERVERPROPERTY", [property]) => self.server_property(property)?,
            ("DATABASEPROPERTYEX", [_, property]) => match property.constant.as_deref() {
                Some(name) if name.eq_ignore_ascii_case("Collation") => text(&options.collation, sysname()),
                _ => return Err(SqlError::unsupported("this DATABASEPROPERTYEX")),
            },
            ("OBJECT_ID", [object, ..]) => {
                let Some(name) = &object.constant else {
                    return Err(SqlError::unsupported("OBJECT_ID of a computed name"));
                };
                let bare = name.replace(['[', ']', '"'], "");
                let (schema, table) = bare.split_once('.').unwrap_or(("dbo", bare.as_str()));
                let id = self.context.engine.table(schema, table).map(|table| catalog::object_id(&table.name));
                Typed::value(id.map_or("NULL".into(), |id| id.to_string()), SqlType::Int)
            }
            ("SCHEMA_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.schemas WHERE schema_id = {})", id.sql), sysname())
            }
            ("OBJECT_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.tables WHERE object_id = {})", id.sql), sysname())
            }
            ("TYPE_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.types WHERE user_type_id = {})", id.sql), sysname())
            }
            ("HAS_PERMS_BY_NAME", [_, class, right])
                if right.constant.as_deref().is_some_and(|right| right.eq_ignore_ascii_case("UNMASK")) =>
            {
                // Known for a database since version 13, for a table since 16.
                let table = class.constant.as_deref().is_some_and(|class| class.eq_ignore_ascii_case("OBJECT"));
                let known = self.context.engine.major_version() >= if table { 16 } else { 13 };
                let answer = i32::from(options.unmask).to_string();
                Typed::value(if known { answer } else { "NULL".into() }, SqlType::Int)
            }
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

    fn server_property(&self, property: &Typed) -> Result<Typed, SqlError> {
        let options = self.context.engine.options();
        let name = property.constant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let value = match name.as_str() {
            "productversion" => options.version.as_str(),
            "edition" => options.edition.as_str(),
            "productlevel" => "RTM",
            "servername" => options.server_name.as_str(),
            "machinename" => options.server_name.split('\\').next().unwrap_or_default(),
            "instancename" => match options.server_name.split_once('\\') {
                Some((_, instance)) => instance,
                None => return Ok(Typed::value("NULL", sysname())),
            },
            "collation" => options.collation.as_str(),
            "engineedition" => return Ok(Typed::value("4", SqlType::Int)),
            "productmajorversion" => options.version.split('.').next().unwrap_or_default(),
            // A real server answers NULL to what it does not know.
            _ => return Ok(Typed::value("NULL", sysname())),
        };
        Ok(text(value, sysname()))
    }

    /// `@@VERSION` and its kind.
    pub(super) fn global(&self, name: &str) -> Result<Typed, SqlError> {
        let options = self.context.engine.options();
        let number = |value: i64| Typed::value(value.to_string(), SqlType::Int).not_null();
        Ok(match name.to_ascii_uppercase().as_str() {
            "@@VERSION" => {
                let version = options.about.version_text.clone().unwrap_or_else(|| {
                    format!(
                        "Microsoft SQL Server 2017 (RTM) - {} (X64) \n\t{} (demo till of tillvault)",
                        options.version, options.edition
                    )
                });
                text(&version, SqlType::NVarChar { length: Some(300) }).not_null()
            }
            "@@SERVERNAME" => text(&options.server_name, sysname()).not_null(),
            "@@LANGUAGE" => text("us_english", sysname()).not_null(),
            "@@TRANCOUNT" => number(self.context.transactions),
            "@@ROWCOUNT" => number(self.context.row_count),
            "@@ERROR" => number(0),
            "@@LOCK_TIMEOUT" => number(-1),
            "@@OPTIONS" => number(5496),
            "@@TEXTSIZE" => number(2_147_483_647),
            "@@MICROSOFTVERSION" => number(0x0E00_03E8),
            "@@SPID" => Typed::value("CAST(51 AS SMALLINT)", SqlType::SmallInt).not_null(),
            "@@MAX_PRECISION" => Typed::value("CAST(38 AS SMALLINT)", SqlType::TinyInt).not_null(),
            _ => return Err(SqlError::new(137, 15, format!("Must declare the scalar variable \"{name}\"."))),
        })
    }

    /// The simulated clock with so many digits of a second.
    fn clock(&self, digits: usize) -> String {
        let now = self.context.engine.now();
        let nanos = format!("{:09}", now.subsec_nanosecond());
        format!("{} {}.{}", now.date(), now.strftime("%H:%M:%S"), &nanos[..digits])
    }
}

fn unknown_function(name: &str) -> SqlError {
    SqlError::new(195, 15, format!("'{name}' is not a recognized built-in function name."))
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
        let value = if argument.kind == Kind::Null { text("", text_type(false, Some(1))) } else { as_text(argument)? };
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

/// What COUNT counts: with DISTINCT, equal text counts once.
fn counted(argument: &Typed, distinct: bool) -> Result<String, SqlError> {
    if distinct { fold_key(argument) } else { Ok(argument.sql.clone()) }
}

fn is_moment(value: &Typed) -> bool {
    matches!(&value.kind, Kind::Value(sql_type) if family(sql_type) == Family::Moment)
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

fn date_function(name: &str, word: &str, arguments: &[Typed]) -> Result<Typed, SqlError> {
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
