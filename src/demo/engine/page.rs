//! Reads of rows in key order, told from all other queries: what tillvault's pages and whole tables are.
//!
//! [`Page::recognise`] takes `SELECT [TOP (n)] columns FROM table [WHERE key range] ORDER BY key` apart, where the key is
//! made of whole numbers, each item is a column or the cast of one, and the range is a conjunction of bounds as
//! `source::sqlserver` writes them. All else is left to the ordinary way, which gives the same rows.

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, OrderByKind, OrderBySort, Query, Select, SelectItem, SetExpr, TableFactor,
    TopQuantity, UnaryOperator, Value as Literal,
};

use super::{Context, Value, select::object_name, translate::same_name};
use crate::model::{
    identifier::quoted,
    table::{Table, TableName},
};

/// A read of rows in key order.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Page {
    pub(in crate::demo) table: TableName,
    /// The same query without range and TOP.
    pub(in crate::demo) whole: Query,
    /// The columns of the key.
    key: Vec<String>,
    /// Keys begin with something greater than this (or, with `true`, equal to it).
    lower: Vec<(Vec<i64>, bool)>,
    /// The leading key column is below this (or, with `true`, equal to it).
    upper: Vec<(i64, bool)>,
    /// Rows at most.
    pub(in crate::demo) top: Option<u64>,
}

impl Page {
    /// The page a query asks for.
    pub(in crate::demo) fn recognise(query: &Query, context: &Context<'_>) -> Option<Self> {
        let SetExpr::Select(select) = &*query.body else { return None };
        let bare = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
        if !bare || query.for_clause.is_some() || query.format_clause.is_some() {
            return None;
        }
        let table = plain_table(select, context)?;
        let ordered = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(items)) if items.len() == table.key.len() => {
                items.iter().zip(&table.key).all(|(item, key)| {
                    is_column(&item.expr, key) && matches!(item.options.sort, None | Some(OrderBySort::Asc))
                })
            }
            _ => false,
        };
        if !ordered || table.key.is_empty() {
            return None;
        }
        let top = match &select.top {
            None => None,
            Some(top) if top.percent || top.with_ties => return None,
            Some(top) => Some(match &top.quantity {
                Some(TopQuantity::Constant(rows)) => *rows,
                Some(TopQuantity::Expr(rows)) => u64::try_from(number(rows, context)?).ok()?,
                None => return None,
            }),
        };
        let mut whole = query.clone();
        let SetExpr::Select(body) = &mut *whole.body else { return None };
        body.selection = None;
        body.top = None;
        let mut page = Self {
            table: table.name.clone(),
            whole,
            key: table.key.clone(),
            lower: Vec::new(),
            upper: Vec::new(),
            top,
        };
        if let Some(selection) = &select.selection {
            page.bounds(selection, context)?;
        }
        Some(page)
    }

    /// DuckDB's SQL for the keys of all rows, in order.
    pub(in crate::demo) fn keys_sql(&self) -> String {
        let columns: Vec<String> = self.key.iter().map(|name| quoted(name)).collect();
        let items: Vec<String> = columns.iter().map(|column| format!("CAST({column} AS BIGINT)")).collect();
        format!(
            "SELECT {} FROM {}.{} ORDER BY {}",
            items.join(", "),
            quoted(&self.table.schema),
            quoted(&self.table.name),
            columns.join(", ")
        )
    }

    /// Number of key columns.
    pub(in crate::demo) fn key_width(&self) -> usize {
        self.key.len()
    }

    /// Whether a column is the first of the key.
    pub(in crate::demo) fn leads_key(&self, column: &str) -> bool {
        self.key.first().is_some_and(|leading| same_name(leading, column))
    }

    /// Whether a key lies before the range.
    pub(in crate::demo) fn is_before(&self, key: &[i64]) -> bool {
        self.lower.iter().any(|(bound, inclusive)| {
            let head = &key[..bound.len().min(key.len())];
            if *inclusive { head < bound.as_slice() } else { head <= bound.as_slice() }
        })
    }

    /// Whether a key lies behind the range.
    pub(in crate::demo) fn is_behind(&self, key: &[i64]) -> bool {
        let leading = key.first().copied().unwrap_or_default();
        self.upper.iter().any(|(bound, inclusive)| if *inclusive { leading > *bound } else { leading >= *bound })
    }

    /// Adds the bounds of a condition; `None` when it is anything else.
    fn bounds(&mut self, condition: &Expr, context: &Context<'_>) -> Option<()> {
        match condition {
            Expr::Nested(inner) => self.bounds(inner, context),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.bounds(left, context)?;
                self.bounds(right, context)
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                let bound = after(condition, &self.key, context)?;
                self.lower.push((bound, false));
                Some(())
            }
            Expr::Between { expr, negated: false, low, high } if is_column(expr, &self.key[0]) => {
                self.lower.push((vec![number(low, context)?], true));
                self.upper.push((number(high, context)?, true));
                Some(())
            }
            Expr::BinaryOp { left, op, right } if is_column(left, &self.key[0]) => {
                let bound = number(right, context)?;
                match op {
                    BinaryOperator::Gt => self.lower.push((vec![bound], false)),
                    BinaryOperator::GtEq => self.lower.push((vec![bound], true)),
                    BinaryOperator::Lt => self.upper.push((bound, false)),
                    BinaryOperator::LtEq => self.upper.push((bound, true)),
                    BinaryOperator::Eq => {
                        self.lower.push((vec![bound], true));
                        self.upper.push((bound, true));
                    }
                    _ => return None,
                }
                Some(())
            }
            _ => None,
        }
    }
}

/// `k1 > a OR (k2 >= b AND (k2 > b OR (k3 > c)))`: the key lies behind (a, b, c), provided that `k1 >= a` holds, which stands
/// beside it as a bound of its own.
fn after(condition: &Expr, key: &[String], context: &Context<'_>) -> Option<Vec<i64>> {
    let (leading, rest) = key.split_first()?;
    match condition {
        Expr::Nested(inner) => after(inner, key, context),
        Expr::BinaryOp { left, op: BinaryOperator::Gt, right } if is_column(left, leading) => {
            Some(vec![number(right, context)?])
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            let mut bound = after(left, key, context).filter(|bound| bound.len() == 1)?;
            bound.extend(within(right, rest, context)?);
            Some(bound)
        }
        _ => None,
    }
}

/// The part behind an OR: `k2 > b`, or `k2 >= b AND (k2 > b OR …)` with the same bound twice.
fn within(condition: &Expr, key: &[String], context: &Context<'_>) -> Option<Vec<i64>> {
    match condition {
        Expr::Nested(inner) => within(inner, key, context),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let Expr::BinaryOp { left: column, op: BinaryOperator::GtEq, right: bound } = &**left else { return None };
            let bound = number(bound, context).filter(|_| key.first().is_some_and(|name| is_column(column, name)))?;
            after(right, key, context).filter(|after| after.len() > 1 && after[0] == bound)
        }
        Expr::BinaryOp { op: BinaryOperator::Gt, .. } => after(condition, key, context),
        _ => None,
    }
}

/// The one table of a query that has a key of whole numbers, and of which plain columns are selected.
fn plain_table(select: &Select, context: &Context<'_>) -> Option<std::sync::Arc<Table>> {
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    if select.distinct.is_some() || select.into.is_some() || select.having.is_some() || !ungrouped {
        return None;
    }
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, alias: None, args: None, with_hints, version: None, sample: None, .. } =
        &from.relation
    else {
        return None;
    };
    if !from.joins.is_empty() || !with_hints.is_empty() {
        return None;
    }
    let (schema, name) = object_name(name).ok()?;
    let table = context.engine.table(schema.as_deref().unwrap_or("dbo"), &name)?;
    let whole_keys = table
        .key
        .iter()
        .all(|name| table.column(name).is_some_and(|column| column.sql_type.is_integer() && !column.nullable));
    let plain = select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_plain(expr),
        _ => false,
    });
    (whole_keys && plain && table.name.schema != "sys").then_some(table)
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(name) => !name.value.starts_with('@') || name.quote_style.is_some(),
        Expr::Cast { expr, .. } => is_plain(expr),
        Expr::Convert { expr, styles, .. } => styles.is_empty() && is_plain(expr),
        _ => false,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Identifier(ident) if same_name(&ident.value, name))
}

/// A whole number that is a constant or a parameter.
fn number(expr: &Expr, context: &Context<'_>) -> Option<i64> {
    match expr {
        Expr::Nested(inner) => number(inner, context),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr, context)?.checked_neg(),
        Expr::Value(value) => match &value.value {
            Literal::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Expr::Identifier(ident) if ident.quote_style.is_none() => {
            let found = context.parameters.iter().find(|parameter| same_name(&parameter.name, &ident.value))?;
            match found.value {
                Value::Integer(number) if found.sql_type.is_integer() => Some(number),
                _ => None,
            }
        }
        _ => None,
    }
}
