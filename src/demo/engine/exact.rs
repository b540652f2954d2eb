//! Exact tables: cells are bytes as they stand on the wire, so that a value of any type can be served to its last bit.
//!
//! The embedded database has no `datetime` before 1753, no CLR types, no half surrogate pairs. An exact table has them: its
//! rows are given as the bytes a real server would send for the plain column, and, where a conversion is more than a copy
//! of these bytes, as the bytes it would send for that. Statements that read rows in key order are answered from it
//! (`SELECT [TOP (n)] columns and conversions FROM t [WHERE comparisons of key columns] ORDER BY key`); anything else that touches
//! more of it than its integer key is refused.

use std::{borrow::Cow, ops::ControlFlow, sync::Arc};

use sqlparser::{
    ast::{
        BinaryOperator, CastKind, Expr, GroupByExpr, ObjectName, OrderByKind, OrderBySort, Query, Select, SelectItem,
        SetExpr, TableFactor, TopQuantity, Value as Literal, Visit, Visitor,
    },
    dialect::MsSqlDialect,
    parser::Parser,
};

use super::{
    Context, Engine, OutColumn, SqlError, Value, convert::data_type_of, select::object_name, translate::same_name,
};
use crate::{
    error::{Error, Kind, Result},
    model::{sql_type::SqlType, table::Table},
};

/// A value as bytes on the wire, without the length in front (MS-TDS 2.2.5.5); `decimal` has its sign first, a
/// `sql_variant` its base type, text is UTF-16 or the column's code page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExactCell {
    /// What the plain column sends; `None` is NULL.
    pub plain: Option<Vec<u8>>,
    /// What the server's conversion sends, for the types whose conversion is no copy: text of a code page, `xml` and
    /// `json` as `nvarchar`, and [`ExactTable::expressions`].
    pub converted: Option<Vec<u8>>,
}

/// A table whose cells are given byte by byte.
#[derive(Clone, Debug)]
pub struct ExactTable {
    /// What the catalog says of it. Integer columns of the key must be `NOT NULL`.
    pub table: Table,
    /// Rows in the order of the key; one cell per column.
    pub rows: Vec<Vec<ExactCell>>,
    /// Column and T-SQL expression for which the server sends the column's converted cells, as `nvarchar(max)`.
    pub expressions: Vec<(String, String)>,
}

/// The answer to a statement: columns, and rows of bytes.
pub(in crate::demo) struct Answer {
    pub(in crate::demo) table: Arc<ExactTable>,
    pub(in crate::demo) columns: Vec<OutColumn>,
    pub(in crate::demo) items: Vec<Item>,
    /// Positions in the table's rows.
    pub(in crate::demo) rows: Vec<usize>,
}

/// A select item: a column, and what becomes of its cells.
pub(in crate::demo) struct Item {
    column: usize,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Converted,
    /// `money` as a decimal.
    Money,
}

impl Item {
    /// The bytes sent for a row; `None` is NULL.
    pub(in crate::demo) fn value<'r>(&self, row: &'r [ExactCell]) -> Result<Option<Cow<'r, [u8]>>, SqlError> {
        let cell = row.get(self.column).ok_or_else(|| SqlError::internal("a row of an exact table is too short"))?;
        let Some(plain) = &cell.plain else { return Ok(None) };
        Ok(Some(match self.form {
            Form::Plain => Cow::Borrowed(plain.as_slice()),
            Form::Converted => match &cell.converted {
                Some(converted) => Cow::Borrowed(converted.as_slice()),
                None => return Err(SqlError::unsupported("this conversion of a value of an exact table")),
            },
            Form::Money => Cow::Owned(decimal_of_money(plain)?),
        }))
    }
}

/// `money` has its high half first; a decimal of 10 to 19 digits is a sign and eight bytes.
fn decimal_of_money(plain: &[u8]) -> Result<Vec<u8>, SqlError> {
    let value = match *plain {
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [e, f, g, h, a, b, c, d] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(SqlError::internal("money of another length")),
    };
    let mut bytes = vec![u8::from(value >= 0)];
    bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes());
    Ok(bytes)
}

impl Engine {
    /// Adds a table whose cells are given byte by byte.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is such a table already, or a row does not fit it.
    pub fn add_exact_table(&self, exact: ExactTable) -> Result<()> {
        let name = exact.table.name.clone();
        let misfit = |what: &str| Error::new(Kind::Bug, format!("the exact table {name} of the demo till has {what}"));
        if exact.rows.iter().any(|row| row.len() != exact.table.columns.len()) {
            return Err(misfit("a row of another length"));
        }
        let keys: Vec<usize> = integer_keys(&exact.table);
        let ids = exact.rows.iter().map(|row| keys.iter().map(|key| whole(&row[*key])).collect::<Option<Vec<_>>>());
        let ids: Vec<Vec<i64>> = ids.collect::<Option<_>>().ok_or_else(|| misfit("a key that is no number"))?;
        if !keys.is_empty() && !ids.is_sorted() {
            return Err(misfit("rows out of order"));
        }
        // The embedded database has its integer keys, so that rows can be counted.
        let mut stored = exact.table.clone();
        stored.columns = keys.iter().map(|key| exact.table.columns[*key].clone()).collect();
        if stored.columns.is_empty() {
            stored.columns.push(crate::model::table::Column::new("row", SqlType::Int));
        }
        self.add_stored(&exact.table, &stored)?;
        let connection = self.connection()?;
        let failed = |e: duckdb::Error| misfit("rows the embedded database refuses").caused_by(e);
        let target = self.place(&name);
        for id in &ids {
            let values: Vec<String> = id.iter().map(i64::to_string).collect();
            let values = if values.is_empty() { "0".to_owned() } else { values.join(", ") };
            connection.execute_batch(&format!("INSERT INTO {target} VALUES ({values})")).map_err(failed)?;
        }
        self.exact_tables().insert(self.lookup_key(&name.schema, &name.name), Arc::new(exact));
        self.describe()
    }
}

/// Places of the integer columns that lead the key.
fn integer_keys(table: &Table) -> Vec<usize> {
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    table.key.iter().map_while(|name| place(name).filter(|at| table.columns[*at].sql_type.is_integer())).collect()
}

/// The number in an integer's cell. `tinyint` has no sign.
fn whole(cell: &ExactCell) -> Option<i64> {
    Some(match *cell.plain.as_deref()? {
        [a] => i64::from(a),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return None,
    })
}

/// The answer to a query over an exact table; `None` when it can be had in the ordinary way.
pub(in crate::demo) fn answer(query: &Query, context: &Context<'_>) -> Result<Option<Answer>, SqlError> {
    let Some(table) = exact_table(query, context.engine) else { return Ok(None) };
    if touches_keys_only(query, &table.table) {
        return Ok(None);
    }
    let refused = || SqlError::unsupported("other statements over an exact table than reading its rows");
    let SetExpr::Select(select) = &*query.body else { return Err(refused()) };
    let plain_from = matches!(select.from.as_slice(), [from] if from.joins.is_empty()
        && matches!(from.relation, TableFactor::Table { .. }));
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !plain_from || !ungrouped || select.having.is_some() || select.distinct.is_some() || query.with.is_some() {
        return Err(refused());
    }
    let mut columns = Vec::new();
    let mut items = Vec::new();
    for projected in &select.projection {
        let (expression, alias) = match projected {
            SelectItem::UnnamedExpr(expression) => (expression, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
            _ => return Err(refused()),
        };
        let (item, sql_type) = item(expression, &table).ok_or_else(refused)?;
        let column = &table.table.columns[item.column];
        let of_table = matches!(expression, Expr::Identifier(_));
        columns.push(OutColumn {
            name: alias.or_else(|| of_table.then(|| column.name.clone())).unwrap_or_default(),
            sql_type,
            nullable: column.nullable,
            identity: of_table && column.identity,
            of_table,
            table: of_table.then(|| table.table.name.name.clone()),
        });
        items.push(item);
    }
    ordered_by_key(query, &table.table).then_some(()).ok_or_else(refused)?;
    let mut rows = Vec::new();
    for (at, row) in table.rows.iter().enumerate() {
        let place = Place { table: &table.table, row, context };
        if select.selection.as_ref().map_or(Some(true), |condition| place.holds(condition)).ok_or_else(refused)? {
            rows.push(at);
        }
    }
    rows.truncate(top(select, &table, context).ok_or_else(refused)?.unwrap_or(usize::MAX));
    Ok(Some(Answer { table, columns, items, rows }))
}

/// The exact table a query mentions.
fn exact_table(query: &Query, engine: &Engine) -> Option<Arc<ExactTable>> {
    struct Finder<'e>(&'e Engine);
    impl Visitor for Finder<'_> {
        type Break = Arc<ExactTable>;
        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Self::Break> {
            let found = object_name(name).ok().and_then(|(schema, name)| {
                let schema = schema.unwrap_or_else(|| "dbo".to_owned());
                self.0.exact_tables().get(&self.0.lookup_key(&schema, &name)).cloned()
            });
            found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
        }
    }
    match query.visit(&mut Finder(engine)) {
        ControlFlow::Break(table) => Some(table),
        ControlFlow::Continue(()) => None,
    }
}

/// Whether a query asks for nothing that the embedded database does not know.
fn touches_keys_only(query: &Query, table: &Table) -> bool {
    struct Finder<'t>(&'t Table, Vec<usize>);
    impl Visitor for Finder<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let name = match expr {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            let of_table = name.and_then(|name| self.0.columns.iter().position(|c| same_name(&c.name, &name.value)));
            match of_table {
                Some(at) if !self.1.contains(&at) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let wild = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
            if select.projection.iter().any(wild) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    query.visit(&mut Finder(table, integer_keys(table))).is_continue()
}

/// Which cells an expression sends, and as what.
fn item(expression: &Expr, exact: &ExactTable) -> Option<(Item, SqlType)> {
    let columns = &exact.table.columns;
    match expression {
        Expr::Identifier(name) => {
            let column = columns.iter().position(|column| same_name(&column.name, &name.value))?;
            Some((Item { column, form: Form::Plain }, columns[column].sql_type.clone()))
        }
        Expr::Cast { kind: CastKind::Cast, expr, data_type, format: None, .. } => {
            let target = data_type_of(data_type).ok()?;
            let (inner, from) = item(expr, exact)?;
            let form = conversion(&from, &target, inner.form)?;
            Some((Item { form, ..inner }, target))
        }
        other => {
            let shown = other.to_string();
            let (name, _) = exact.expressions.iter().find(|(_, text)| normal(text).as_ref() == Some(&shown))?;
            let column = columns.iter().position(|column| column.name == *name)?;
            Some((Item { column, form: Form::Converted }, SqlType::NVarChar { length: None }))
        }
    }
}

/// An expression in the parser's own spelling.
fn normal(text: &str) -> Option<String> {
    let mut parser = Parser::new(&MsSqlDialect {}).try_with_sql(text).ok()?;
    Some(parser.parse_expr().ok()?.to_string())
}

/// What a CAST makes of cells, where it loses nothing and a real server allows it.
fn conversion(from: &SqlType, to: &SqlType, form: Form) -> Option<Form> {
    let wide = |sql_type: &SqlType| matches!(sql_type, SqlType::NVarChar { .. } | SqlType::NChar { .. });
    let bytes = matches!(to, SqlType::VarBinary { length: None });
    Some(match (from, to) {
        (SqlType::Money, SqlType::Decimal { precision: 19, scale: 4 })
        | (SqlType::SmallMoney, SqlType::Decimal { precision: 10, scale: 4 }) => Form::Money,
        (SqlType::RowVersion, SqlType::Binary { length: Some(8) }) => form,
        (SqlType::Image | SqlType::Clr(_), _) if bytes => form,
        (SqlType::NText, SqlType::NVarChar { length: None }) => form,
        (from, SqlType::NVarChar { length: None }) if wide(from) => form,
        (from, _) if wide(from) && bytes => form,
        (SqlType::Char { length } | SqlType::VarChar { length }, SqlType::NVarChar { length: to })
            if to.is_none() || length == to =>
        {
            Form::Converted
        }
        (SqlType::Text | SqlType::Xml | SqlType::Json, SqlType::NVarChar { length: None }) => Form::Converted,
        _ => return None,
    })
}

/// Whether a query wants its rows as they stand.
fn ordered_by_key(query: &Query, table: &Table) -> bool {
    let Some(order) = &query.order_by else { return true };
    let OrderByKind::Expressions(keys) = &order.kind else { return false };
    keys.len() == table.key.len()
        && keys.iter().zip(&table.key).all(|(key, name)| {
            matches!(&key.expr, Expr::Identifier(ident) if same_name(&ident.value, name))
                && matches!(key.options.sort, None | Some(OrderBySort::Asc))
        })
}

/// The number behind TOP; the outer `None` when it is no number.
#[allow(clippy::option_option, reason = "absent and not understood are two things here")]
fn top(select: &Select, exact: &ExactTable, context: &Context<'_>) -> Option<Option<usize>> {
    let Some(top) = &select.top else { return Some(None) };
    if top.percent || top.with_ties {
        return None;
    }
    let rows = match top.quantity.as_ref()? {
        TopQuantity::Constant(rows) => i64::try_from(*rows).ok()?,
        TopQuantity::Expr(expr) => Place { table: &exact.table, row: &[], context }.number(expr)?,
    };
    Some(Some(usize::try_from(rows).ok()?))
}

/// Where an expression is worked out.
struct Place<'a> {
    table: &'a Table,
    row: &'a [ExactCell],
    context: &'a Context<'a>,
}

impl Place<'_> {
    fn number(&self, expr: &Expr) -> Option<i64> {
        match expr {
            Expr::Nested(inner) => self.number(inner),
            Expr::Value(value) => match &value.value {
                Literal::Number(digits, _) => digits.parse().ok(),
                _ => None,
            },
            Expr::Identifier(name) if name.value.starts_with('@') => {
                let found = self.context.parameters.iter().find(|p| same_name(&p.name, &name.value))?;
                match found.value {
                    Value::Integer(number) => Some(number),
                    _ => None,
                }
            }
            Expr::Identifier(name) => {
                let at = self.table.columns.iter().position(|column| same_name(&column.name, &name.value))?;
                self.table.columns[at].sql_type.is_integer().then_some(())?;
                whole(self.row.get(at)?)
            }
            _ => None,
        }
    }

    fn holds(&self, expr: &Expr) -> Option<bool> {
        match expr {
            Expr::Nested(inner) => self.holds(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => Some(self.holds(left)? & self.holds(right)?),
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => Some(self.holds(left)? | self.holds(right)?),
            Expr::BinaryOp { left, op, right } => {
                let order = self.number(left)?.cmp(&self.number(right)?);
                match op {
                    BinaryOperator::Gt => Some(order.is_gt()),
                    BinaryOperator::GtEq => Some(order.is_ge()),
                    BinaryOperator::Lt => Some(order.is_lt()),
                    BinaryOperator::LtEq => Some(order.is_le()),
                    BinaryOperator::Eq => Some(order.is_eq()),
                    _ => None,
                }
            }
            Expr::Between { expr, negated: false, low, high } => {
                let number = self.number(expr)?;
                Some(self.number(low)? <= number && number <= self.number(high)?)
            }
            _ => None,
        }
    }
}
