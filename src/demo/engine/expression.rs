//! Values and conditions. Wherever text is compared, sorted or grouped it is folded: case and trailing blanks do not count,
//! accents do (DOMAIN §9.2).

use sqlparser::ast::{self, BinaryOperator, CastKind, CeilFloorKind, Expr, TrimWhereField, UnaryOperator};

use super::{
    SqlError,
    compare::{comparable, compare, is_folded, like},
    constant::{literal, parameter_value},
    convert::{convert, data_type_of, styled},
    select::{is_binary_collation, not_grouped},
    translate::{Translator, Typed, same_name},
    typing::{self, Family, Kind, arithmetic, common, family, is_numeric, is_wide, storage, text_type},
};
use crate::model::sql_type::SqlType;

impl Translator<'_> {
    /// A condition.
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<String, SqlError> {
        let typed = self.expression(expr)?;
        if typed.kind == Kind::Condition {
            return Ok(typed.sql);
        }
        let text = "An expression of non-boolean type specified in a context where a condition is expected.";
        Err(SqlError::new(4145, 15, text))
    }

    /// A value or a condition. In a grouped query, what equals a grouping key stands for the group.
    pub(super) fn expression(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        if let Some(keys) = self.grouping.take() {
            let plain = self.plain(expr);
            let representative = plain.ok().and_then(|plain| {
                let key = keys.iter().find(|key| key.sql == plain.sql)?;
                let mut typed = key.clone();
                if is_folded(&typed) {
                    // Any of the group's spellings may be shown.
                    typed.sql = format!("any_value({})", typed.sql);
                    typed.nullable = key.nullable;
                }
                Some(typed)
            });
            self.grouping = Some(keys);
            if let Some(representative) = representative {
                return Ok(representative);
            }
        }
        self.plain(expr)
    }

    /// A value, not a condition.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let typed = self.expression(expr)?;
        if typed.kind == Kind::Condition { Err(SqlError::syntax("condition")) } else { Ok(typed) }
    }

    #[allow(clippy::too_many_lines, reason = "one arm per kind of expression")]
    fn plain(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        match expr {
            Expr::Nested(inner) => self.expression(inner).map(|mut typed| {
                if typed.kind == Kind::Condition {
                    typed.sql = format!("({})", typed.sql);
                }
                typed
            }),
            Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.starts_with('@') => {
                self.variable(&ident.value)
            }
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("CURRENT_TIMESTAMP") =>
            {
                self.call("GETDATE", &[])
            }
            Expr::Identifier(ident) => self.column(None, &ident.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] => self.column(Some(&table.value), &column.value),
                _ => Err(SqlError::syntax(".")),
            },
            Expr::Value(value) => literal(&value.value),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(Typed::condition(format!("(NOT {})", self.condition(expr)?)))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let typed = self.value(expr)?;
                Ok(Typed { sql: format!("(-{})", typed.sql), constant: None, column: None, ..typed })
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.value(expr),
            Expr::IsNull(inner) => Ok(Typed::condition(format!("({} IS NULL)", self.value(inner)?.sql))),
            Expr::IsNotNull(inner) => Ok(Typed::condition(format!("({} IS NOT NULL)", self.value(inner)?.sql))),
            Expr::InList { expr, list, negated } => {
                let mut tests = Vec::new();
                let left = self.value(expr)?;
                for item in list {
                    let right = self.value(item)?;
                    tests.push(compare("=", &left, &right)?);
                }
                let any = format!("({})", tests.join(" OR "));
                Ok(Typed::condition(if *negated { format!("(NOT {any})") } else { any }))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let left = self.value(expr)?;
                let block = self.query(subquery)?;
                let [column] = block.columns.as_slice() else { return Err(one_column_only()) };
                let inner = Typed { binary: column.binary, ..Typed::value("c0", column.sql_type.clone()) };
                let (left, right) = comparable(&left, &inner)?;
                let not = if *negated { "NOT " } else { "" };
                Ok(Typed::condition(format!("({left} {not}IN (SELECT {right} FROM ({}) AS s))", block.sql)))
            }
            Expr::Exists { subquery, negated } => {
                let block = self.query(subquery)?;
                let not = if *negated { "NOT " } else { "" };
                Ok(Typed::condition(format!("({not}EXISTS ({}))", block.sql)))
            }
            Expr::Subquery(subquery) => {
                let block = self.query(subquery)?;
                let [column] = block.columns.as_slice() else { return Err(one_column_only()) };
                Ok(Typed { binary: column.binary, ..Typed::value(format!("({})", block.sql), column.sql_type.clone()) })
            }
            Expr::Between { expr, negated, low, high } => {
                let typed = self.value(expr)?;
                let (low, high) = (self.value(low)?, self.value(high)?);
                let test = format!("({} AND {})", compare(">=", &typed, &low)?, compare("<=", &typed, &high)?);
                Ok(Typed::condition(if *negated { format!("(NOT {test})") } else { test }))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let (text, pattern) = (self.value(expr)?, self.value(pattern)?);
                let escape = match escape_char {
                    Some(escape) => self.value(escape)?.constant.and_then(|text| text.chars().next()),
                    None => None,
                };
                let test = like(&text, &pattern, escape)?;
                Ok(Typed::condition(if *negated { format!("(NOT {test})") } else { test }))
            }
            Expr::Cast { kind, expr, data_type, format: None } => {
                let typed = self.value(expr)?;
                self.cast(&typed, data_type, *kind == CastKind::TryCast)
            }
            Expr::Convert { is_try, expr, data_type: Some(data_type), styles, .. } => {
                let typed = self.value(expr)?;
                match styles.as_slice() {
                    [] => self.cast(&typed, data_type, *is_try),
                    [style] => {
                        if *is_try {
                            return Err(SqlError::unsupported("TRY_CONVERT with a style"));
                        }
                        styled(&typed, &data_type_of(data_type)?, &style.to_string())
                    }
                    _ => Err(SqlError::syntax("CONVERT")),
                }
            }
            Expr::Collate { expr, collation } => {
                let typed = self.value(expr)?;
                let binary = is_binary_collation(&collation.to_string());
                // The same words without the clause are another expression to GROUP BY, since they compare otherwise.
                let sql = if binary { format!("({})", typed.sql) } else { typed.sql };
                Ok(Typed { sql, binary, constant: typed.constant, column: None, ..typed })
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for: Some(length), .. } => {
                let arguments = [self.value(expr)?, self.value(from)?, self.value(length)?];
                self.call("SUBSTRING", &arguments)
            }
            Expr::Trim { expr, trim_where, trim_what: None, .. } => {
                let argument = self.value(expr)?;
                match trim_where {
                    Some(TrimWhereField::Leading) => self.call("LTRIM", &[argument]),
                    Some(TrimWhereField::Trailing) => self.call("RTRIM", &[argument]),
                    // TRIM came with SQL Server 2017; tillvault must not rely on it.
                    _ => Err(SqlError::new(195, 15, "'TRIM' is not a recognized built-in function name.")),
                }
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                let argument = self.value(expr)?;
                self.call("CEILING", &[argument])
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                let argument = self.value(expr)?;
                self.call("FLOOR", &[argument])
            }
            Expr::Function(function) => self.function(function),
            other => Err(SqlError::unsupported(format!("the expression {other}"))),
        }
    }

    fn column(&self, qualifier: Option<&str>, name: &str) -> Result<Typed, SqlError> {
        let typed = self.resolve(qualifier, name)?;
        if self.grouping.is_some() { Err(not_grouped(name)) } else { Ok(typed) }
    }

    /// `@P1`, `@@VERSION` and their kind.
    fn variable(&mut self, name: &str) -> Result<Typed, SqlError> {
        if name.starts_with("@@") {
            return self.global(name);
        }
        let found = self.context.parameters.iter().find(|parameter| same_name(&parameter.name, name));
        let Some(parameter) = found else {
            return Err(SqlError::new(137, 15, format!("Must declare the scalar variable \"{name}\".")));
        };
        parameter_value(parameter)
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, SqlError> {
        match op {
            BinaryOperator::And => {
                Ok(Typed::condition(format!("({} AND {})", self.condition(left)?, self.condition(right)?)))
            }
            BinaryOperator::Or => {
                Ok(Typed::condition(format!("({} OR {})", self.condition(left)?, self.condition(right)?)))
            }
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                Ok(Typed::condition(compare(&op.to_string(), &left, &right)?))
            }
            BinaryOperator::Plus => self.arithmetic('+', left, right),
            BinaryOperator::Minus => self.arithmetic('-', left, right),
            BinaryOperator::Multiply => self.arithmetic('*', left, right),
            BinaryOperator::Divide => self.arithmetic('/', left, right),
            BinaryOperator::Modulo => self.arithmetic('%', left, right),
            BinaryOperator::BitwiseAnd => self.bits("({a} & {b})", left, right),
            BinaryOperator::BitwiseOr => self.bits("({a} | {b})", left, right),
            BinaryOperator::BitwiseXor => self.bits("xor({a}, {b})", left, right),
            other => Err(SqlError::syntax(&other.to_string())),
        }
    }

    fn arithmetic(&mut self, op: char, left: &Expr, right: &Expr) -> Result<Typed, SqlError> {
        let chained = matches!(left, Expr::BinaryOp { op: BinaryOperator::Plus, .. });
        let (left, right) = (self.value(left)?, self.value(right)?);
        let (a, b) = (left.sql_type()?, right.sql_type()?);
        let (a, b) = match (&left.kind, &right.kind) {
            (Kind::Null, Kind::Value(other)) | (Kind::Value(other), Kind::Null) => (other.clone(), other.clone()),
            _ => (a, b),
        };
        if op == '+' && family(&a) == Family::Text && family(&b) == Family::Text {
            let length = match (typing::text_length(&a), typing::text_length(&b)) {
                (Some(a), Some(b)) => {
                    // Beyond the limit of the type the sum is cut on a real server, which nobody should rely on.
                    let sum = u32::from(a) + u32::from(b);
                    if sum > 4000 {
                        return Err(SqlError::unsupported("text longer than 4000 characters without nvarchar(max)"));
                    }
                    Some(sum)
                }
                _ => None,
            };
            let sql_type = text_type(is_wide(&a) || is_wide(&b), length);
            let binary = left.binary || right.binary;
            return Ok(Typed { binary, ..Typed::value(format!("({} || {})", left.sql, right.sql), sql_type) });
        }
        if let ('+', Some(a), Some(b)) = (op, binary_length(&a), binary_length(&b)) {
            let length = a.zip(b).and_then(|(a, b)| a.checked_add(b)).filter(|sum| *sum <= 8000);
            // A chain is joined at once: piece by piece, each would be copied as often as others follow.
            let sql = match left.sql.strip_suffix(')').filter(|sql| chained && sql.starts_with("tsql_join(")) {
                Some(chain) => format!("{chain}, {})", right.sql),
                None => format!("tsql_join({}, {})", left.sql, right.sql),
            };
            return Ok(Typed::value(sql, SqlType::VarBinary { length }));
        }
        if !is_numeric(&a) || !is_numeric(&b) {
            return Err(SqlError::unsupported(format!("{a} {op} {b}")));
        }
        let result = arithmetic(op, &a, &b)?;
        let place = storage(&result)?;
        let sql = match (family(&result), op) {
            (Family::Exact, _) => {
                // Each side keeps its own scale; only the result has the scale of the rule.
                let side = |typed: &Typed, sql_type: &SqlType| -> String {
                    let (precision, scale) = typing::precision(sql_type);
                    format!("CAST({} AS DECIMAL({precision},{scale}))", typed.sql)
                };
                format!("CAST(({} {op} {}) AS {place})", side(&left, &a), side(&right, &b))
            }
            (Family::Float, '%') => return Err(SqlError::unsupported("% on floats")),
            (family, '/' | '%') => {
                let symbol = if family == Family::Whole && op == '/' { "//".to_owned() } else { op.to_string() };
                let (a, b) = (format!("CAST({} AS {place})", left.sql), format!("CAST({} AS {place})", right.sql));
                format!("({a} {symbol} tsql_divisor({b}))")
            }
            _ => format!("(CAST({} AS {place}) {op} CAST({} AS {place}))", left.sql, right.sql),
        };
        Ok(Typed::value(sql, result))
    }

    /// An operator on the bits of whole numbers.
    fn bits(&mut self, form: &str, left: &Expr, right: &Expr) -> Result<Typed, SqlError> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        let (a, b) = (left.sql_type()?, right.sql_type()?);
        if family(&a) != Family::Whole || family(&b) != Family::Whole {
            return Err(SqlError::unsupported(format!("operators on the bits of {a} and {b}")));
        }
        let result = arithmetic('+', &a, &b)?;
        let place = storage(&result)?;
        let side = |typed: &Typed| format!("CAST({} AS {place})", typed.sql);
        Ok(Typed::value(form.replace("{a}", &side(&left)).replace("{b}", &side(&right)), result))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, SqlError> {
        let operand = operand.map(|operand| self.value(operand)).transpose()?;
        let mut branches = Vec::new();
        let mut results = Vec::new();
        for when in conditions {
            let test = match &operand {
                Some(operand) => {
                    let other = self.value(&when.condition)?;
                    compare("=", operand, &other)?
                }
                None => self.condition(&when.condition)?,
            };
            branches.push(test);
            results.push(self.value(&when.result)?);
        }
        let complete = otherwise.is_some();
        results.push(otherwise.map_or_else(|| Ok(Typed::null()), |otherwise| self.value(otherwise))?);
        let (sql_type, binary) = common_type(&results)?;
        let mut sql = String::from("CASE");
        for (test, result) in branches.iter().zip(&results) {
            sql.push_str(&format!(" WHEN {test} THEN {}", convert(result, &sql_type)?));
        }
        if let Some(result) = results.last() {
            sql.push_str(&format!(" ELSE {} END", convert(result, &sql_type)?));
        }
        let nullable = !complete || results.iter().any(|result| result.nullable);
        Ok(Typed { binary, nullable, ..Typed::value(format!("({sql})"), sql_type) })
    }

    fn cast(&mut self, typed: &Typed, data_type: &ast::DataType, attempt: bool) -> Result<Typed, SqlError> {
        let target = data_type_of(data_type)?;
        if attempt {
            let source = typed.sql_type()?;
            if family(&source) != Family::Text || !is_numeric(&target) {
                return Err(SqlError::unsupported("this TRY_CAST"));
            }
            let sql = format!("TRY_CAST(trim({}, ' ') AS {})", typed.sql, storage(&target)?);
            return Ok(Typed::value(sql, target));
        }
        let sql = convert(typed, &target)?;
        let binary = typed.binary && family(&target) == Family::Text;
        Ok(Typed { binary, ..Typed::value(sql, target) })
    }
}

/// The length of a binary type: none of its own for the long ones.
fn binary_length(sql_type: &SqlType) -> Option<Option<u16>> {
    match sql_type {
        SqlType::VarBinary { length } | SqlType::Binary { length } => Some(*length),
        _ => None,
    }
}

fn one_column_only() -> SqlError {
    let text =
        "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.";
    SqlError::new(116, 16, text)
}

/// The type that all of `results` can take, and whether it compares byte for byte.
pub(super) fn common_type(results: &[Typed]) -> Result<(SqlType, bool), SqlError> {
    let mut kind = Kind::Null;
    for result in results {
        kind = common(&kind, &result.kind)?;
    }
    let sql_type = match kind {
        Kind::Null => SqlType::Int,
        Kind::Value(sql_type) => sql_type,
        Kind::Condition => return Err(SqlError::syntax("condition")),
    };
    Ok((sql_type, results.iter().any(|result| result.binary)))
}
