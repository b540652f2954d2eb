//! Values and conditions. Wherever text is compared, sorted or grouped it is folded: case and trailing blanks do not count,
//! accents do (DOMAIN §9.2).

use sqlparser::ast::{self, BinaryOperator, CastKind, CeilFloorKind, Expr, TrimWhereField, UnaryOperator};

use super::{
    Parameter, SqlError, Value,
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
                        let style = style.to_string();
                        self.styled(&typed, data_type, &style)
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
            BinaryOperator::BitwiseAnd | BinaryOperator::BitwiseOr | BinaryOperator::BitwiseXor => {
                Err(SqlError::unsupported("operators on bits"))
            }
            other => Err(SqlError::syntax(&other.to_string())),
        }
    }

    fn arithmetic(&mut self, op: char, left: &Expr, right: &Expr) -> Result<Typed, SqlError> {
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

    /// CONVERT with a style: the ISO styles of dates.
    fn styled(&mut self, typed: &Typed, data_type: &ast::DataType, style: &str) -> Result<Typed, SqlError> {
        let target = data_type_of(data_type)?;
        let source = typed.sql_type()?;
        let format = match style {
            "112" => "%Y%m%d",
            "23" => "%Y-%m-%d",
            "120" => "%Y-%m-%d %H:%M:%S",
            "121" => "%Y-%m-%d %H:%M:%S.%g",
            "126" => "%Y-%m-%dT%H:%M:%S.%g",
            _ => return Err(SqlError::unsupported(format!("CONVERT with style {style}"))),
        };
        if family(&source) == Family::Moment && family(&target) == Family::Text {
            let text = Typed::value(format!("strftime({}, '{format}')", typed.sql), text_type(false, Some(30)));
            return Ok(Typed::value(convert(&text, &target)?, target));
        }
        if family(&source) == Family::Text && family(&target) == Family::Moment {
            return Ok(Typed::value(convert(typed, &target)?, target));
        }
        Err(SqlError::unsupported("CONVERT with a style between these types"))
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

/// A SQL Server type name in a CAST.
fn data_type_of(data_type: &ast::DataType) -> Result<SqlType, SqlError> {
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
        SqlType::Other(name) => Err(SqlError::new(243, 16, format!("Type {name} is not a defined system type."))),
        known => Ok(known),
    }
}

fn is_folded(typed: &Typed) -> bool {
    !typed.binary && matches!(&typed.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text)
}

/// What equal values have in common: for GROUP BY, DISTINCT and comparisons.
pub(super) fn fold_key(typed: &Typed) -> Result<String, SqlError> {
    let Kind::Value(sql_type) = &typed.kind else {
        return if typed.kind == Kind::Null { Ok("NULL".into()) } else { Err(SqlError::syntax("condition")) };
    };
    Ok(match family(sql_type) {
        Family::Text if matches!(sql_type, SqlType::Text | SqlType::NText) => return Err(not_comparable(sql_type)),
        // As bytes, since columns carry a collation of their own in DuckDB.
        Family::Text if typed.binary => format!("encode(rtrim({}, ' '))", typed.sql),
        Family::Text => format!("tsql_fold({})", typed.sql),
        Family::Guid => format!("upper({})", typed.sql),
        Family::Xml | Family::Other => return Err(not_comparable(sql_type)),
        Family::Binary if *sql_type == SqlType::Image => return Err(not_comparable(sql_type)),
        Family::FineMoment if matches!(sql_type, SqlType::DateTimeOffset { .. }) => {
            return Err(SqlError::unsupported("comparing datetimeoffset"));
        }
        _ => typed.sql.clone(),
    })
}

fn not_comparable(sql_type: &SqlType) -> SqlError {
    let text =
        format!("The {sql_type} data type cannot be compared or sorted, except when using IS NULL or LIKE operator.");
    SqlError::new(306, 16, text)
}

/// What values are sorted by.
pub(super) fn order_key(typed: &Typed) -> Result<String, SqlError> {
    let key = fold_key(typed)?;
    Ok(match &typed.kind {
        // A letter with an accent comes after the bare letter, but before the next letter.
        Kind::Value(sql_type) if family(sql_type) == Family::Text && !typed.binary => {
            format!("tsql_order({})", typed.sql)
        }
        Kind::Value(SqlType::UniqueIdentifier) => format!("tsql_guid_order({})", typed.sql),
        _ => key,
    })
}

/// Both sides of a comparison in DuckDB's terms.
fn comparable(left: &Typed, right: &Typed) -> Result<(String, String), SqlError> {
    let (Kind::Value(a), Kind::Value(b)) = (&left.kind, &right.kind) else {
        return Ok((fold_key(left)?, fold_key(right)?));
    };
    let clash = || SqlError::new(402, 16, format!("The data types {a} and {b} are incompatible in the comparison."));
    let side = |typed: &Typed, sql_type: &SqlType| -> Result<Typed, SqlError> {
        Ok(Typed { binary: typed.binary, ..Typed::value(convert(typed, sql_type)?, sql_type.clone()) })
    };
    let (left, right) = match (family(a), family(b)) {
        (Family::Text, Family::Text) => {
            let binary = left.binary || right.binary;
            (Typed { binary, ..left.clone() }, Typed { binary, ..right.clone() })
        }
        (Family::Text, Family::Binary | Family::Xml | Family::Other) => return Err(clash()),
        (Family::Text, _) => (side(left, b)?, right.clone()),
        (_, Family::Text) => (left.clone(), side(right, a)?),
        (Family::Bit, Family::Bit) => (left.clone(), right.clone()),
        (Family::Bit, _) if is_numeric(b) => (side(left, &SqlType::Int)?, right.clone()),
        (_, Family::Bit) if is_numeric(a) => (left.clone(), side(right, &SqlType::Int)?),
        _ if is_numeric(a) && is_numeric(b) => (left.clone(), right.clone()),
        (Family::FineMoment, Family::FineMoment) if a == b => (left.clone(), right.clone()),
        (Family::FineMoment, _) | (_, Family::FineMoment) => {
            return Err(SqlError::unsupported(format!("comparing {a} with {b}")));
        }
        (x, y) if x == y => (left.clone(), right.clone()),
        _ => return Err(clash()),
    };
    Ok((fold_key(&left)?, fold_key(&right)?))
}

/// `left op right`.
pub(super) fn compare(op: &str, left: &Typed, right: &Typed) -> Result<String, SqlError> {
    let (a, b) = comparable(left, right)?;
    let ordering = !matches!(op, "=" | "<>" | "!=");
    let text = |typed: &Typed| matches!(&typed.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text);
    if ordering && text(left) && text(right) && !left.binary && !right.binary {
        return Ok(format!("(tsql_order({}) {op} tsql_order({}))", left.sql, right.sql));
    }
    Ok(format!("({a} {op} {b})"))
}

/// `text LIKE pattern`. Trailing blanks of the pattern count, unlike in comparisons.
fn like(text: &Typed, pattern: &Typed, escape: Option<char>) -> Result<String, SqlError> {
    for side in [text, pattern] {
        if !matches!(&side.kind, Kind::Value(sql_type) if family(sql_type) == Family::Text) {
            return Err(SqlError::unsupported("LIKE on anything but text"));
        }
    }
    let binary = text.binary || pattern.binary;
    let fold = |sql: &str| if binary { sql.to_owned() } else { format!("lower({sql})") };
    if let Some(constant) = &pattern.constant {
        let regex = like_as_regex(constant, escape);
        let options = if binary { "s" } else { "si" };
        return Ok(format!("regexp_full_match({}, {}, '{options}')", text.sql, quoted(&regex)));
    }
    if escape.is_some() {
        return Err(SqlError::unsupported("LIKE with ESCAPE and a pattern that is not a constant"));
    }
    Ok(format!("({} LIKE tsql_like_pattern({}) ESCAPE '\u{1}')", fold(&text.sql), fold(&pattern.sql)))
}

/// A LIKE pattern with its classes as a regular expression.
fn like_as_regex(pattern: &str, escape: Option<char>) -> String {
    let mut regex = String::new();
    let mut characters = pattern.chars().peekable();
    let push = |regex: &mut String, character: char| {
        if !character.is_alphanumeric() && character != ' ' && character.is_ascii() {
            regex.push('\\');
        }
        regex.push(character);
    };
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                if let Some(next) = characters.next() {
                    push(&mut regex, next);
                }
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '[' => {
                let class: String = characters.by_ref().take_while(|next| *next != ']').collect();
                let (not, class) = class.strip_prefix('^').map_or(("", class.as_str()), |rest| ("^", rest));
                if class.is_empty() {
                    continue;
                }
                regex.push('[');
                regex.push_str(not);
                for inner in class.chars() {
                    if inner == '-' { regex.push('-') } else { push(&mut regex, inner) }
                }
                regex.push(']');
            }
            other => push(&mut regex, other),
        }
    }
    regex
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

/// Text as a constant of DuckDB. U+0000 cannot stand in its SQL.
pub(super) fn quoted(text: &str) -> String {
    let parts: Vec<String> = text.split('\0').map(|part| format!("'{}'", part.replace('\'', "''"))).collect();
    if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" || chr(0) || ")) }
}

fn text_constant(text: &str, wide: bool) -> Typed {
    let units = u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
    let typed = Typed::value(quoted(text), text_type(wide, Some(units)));
    Typed { constant: Some(text.to_owned()), ..typed.not_null() }
}

fn literal(value: &ast::Value) -> Result<Typed, SqlError> {
    match value {
        ast::Value::Null => Ok(Typed::null()),
        ast::Value::SingleQuotedString(text) => Ok(text_constant(text, false)),
        ast::Value::NationalStringLiteral(text) => Ok(text_constant(text, true)),
        ast::Value::Number(number, _) => {
            let text = number.to_string();
            if text.contains(['e', 'E']) {
                return Ok(Typed::value(format!("CAST('{text}' AS DOUBLE)"), SqlType::Float).not_null());
            }
            if text.parse::<i32>().is_ok() {
                return Ok(Typed::value(text, SqlType::Int).not_null());
            }
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = whole.trim_start_matches('0').len() + fraction.len();
            let precision = u8::try_from(digits.max(1)).ok().filter(|n| *n <= 38);
            let precision =
                precision.ok_or_else(|| SqlError::new(1007, 15, format!("The number '{text}' is out of range.")))?;
            let scale = u8::try_from(fraction.len()).unwrap_or_default();
            let sql = format!("CAST('{text}' AS DECIMAL({precision},{scale}))");
            Ok(Typed::value(sql, SqlType::Decimal { precision, scale }).not_null())
        }
        ast::Value::HexStringLiteral(digits) => {
            let length = u16::try_from(digits.len() / 2).unwrap_or(1).max(1);
            let sql = format!("unhex('{digits}')");
            Ok(Typed::value(sql, SqlType::VarBinary { length: Some(length) }).not_null())
        }
        other => Err(SqlError::unsupported(format!("the constant {other}"))),
    }
}

fn parameter_value(parameter: &Parameter) -> Result<Typed, SqlError> {
    let sql_type = parameter.sql_type.clone();
    let place = storage(&sql_type)?;
    let fine = family(&sql_type) == Family::FineMoment;
    let sql = match &parameter.value {
        Value::Null => format!("CAST(NULL AS {place})"),
        Value::Integer(number) if sql_type == SqlType::Bit => (*number != 0).to_string(),
        Value::Integer(number) => format!("CAST('{number}' AS {place})"),
        Value::Float(number) => format!("CAST('{number}' AS {place})"),
        Value::Decimal { unscaled, scale } => {
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(*scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(*scale));
            format!("CAST('{}{whole}.{fraction}0' AS {place})", if *unscaled < 0 { "-" } else { "" })
        }
        Value::Text(text) => {
            let constant = text_constant(text, is_wide(&sql_type));
            return Ok(Typed { constant: Some(text.clone()), ..Typed::value(constant.sql, sql_type) });
        }
        Value::Binary(bytes) => format!("unhex('{}')", hex::encode(bytes)),
        Value::Date(days) => format!("(DATE '1970-01-01' + CAST({days} AS INTEGER))"),
        Value::Time(micros) if !fine => format!("CAST(make_timestamp({micros}) AS TIME)"),
        Value::Timestamp(micros) if !fine => format!("make_timestamp({micros})"),
        // Finer than microseconds by declaration only: clients that say datetime2(7) mean a plain point in time.
        Value::Timestamp(micros) if matches!(sql_type, SqlType::DateTime2 { .. }) => {
            return Ok(Typed::value(format!("make_timestamp({micros})"), SqlType::DateTime2 { scale: 6 }));
        }
        Value::Time(_) | Value::Timestamp(_) => {
            return Err(SqlError::unsupported(format!("a parameter of type {sql_type}")));
        }
    };
    Ok(Typed::value(sql, sql_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        assert_eq!(like_as_regex("%\"S\":\"Void\"%", None), ".*\\\"S\\\"\\:\\\"Void\\\".*");
        assert_eq!(like_as_regex("a[_]b_", None), "a[\\_]b.");
        assert_eq!(like_as_regex("50!%", Some('!')), "50\\%");
        assert_eq!(like_as_regex("[^a-c]x", None), "[^a-c]x");
    }

    #[test]
    fn constant_dates_are_read_in_iso_formats_only() {
        assert_eq!(iso_date("20260301").unwrap(), "2026-03-01 00:00:00");
        assert_eq!(iso_date("2026-03-01T12:05:00.123").unwrap(), "2026-03-01 12:05:00.123");
        assert_eq!(iso_date("01/03/2026").unwrap_err().number, 241);
    }
}
