//! Queries: FROM, WHERE, GROUP BY, SELECT, ORDER BY, TOP, set operations.

mod from;

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, LimitClause, OrderByExpr, OrderByKind, OrderBySort, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TopQuantity, Visit, Visitor,
};

pub(super) use self::from::object_name;
use super::{
    SqlError,
    compare::{fold_key, order_key},
    convert::convert,
    functions::is_aggregate,
    translate::{Block, Source, SourceColumn, Translator, Typed, same_name},
    typing::{Kind, common, storage},
};
use crate::model::identifier::quoted;

/// An ORDER BY, TOP and OFFSET that belong to a query as a whole.
#[derive(Default)]
struct Tail<'q> {
    order_by: &'q [OrderByExpr],
    offset: Option<&'q Expr>,
    fetch: Option<&'q Expr>,
}

impl Translator<'_> {
    /// A query with its common table expressions, order and limits.
    pub(super) fn query(&mut self, query: &Query) -> Result<Block, SqlError> {
        let known = self.named.len();
        let mut with = Vec::new();
        if let Some(clause) = &query.with {
            if clause.recursive {
                return Err(SqlError::syntax("RECURSIVE"));
            }
            for cte in &clause.cte_tables {
                let block = self.query(&cte.query)?;
                let name = format!("cte{}_{}", self.next_serial(), cte.alias.name.value);
                let names = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect::<Vec<_>>();
                with.push(format!("{} AS ({})", quoted(&name), block.sql));
                let columns = rename(block.columns, &names, &quoted(&name))?;
                self.named.push(Source { name: cte.alias.name.value.clone(), columns });
            }
        }
        if query.for_clause.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return Err(SqlError::unsupported("FOR XML, FOR JSON and FOR BROWSE"));
        }
        let order_by = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[][..],
            Some(OrderByKind::Expressions(items)) => items,
            Some(OrderByKind::All(_)) => return Err(SqlError::syntax("ALL")),
        };
        let offset = match &query.limit_clause {
            None => None,
            Some(LimitClause::LimitOffset { limit: None, offset: Some(offset), limit_by }) if limit_by.is_empty() => {
                Some(&offset.value)
            }
            Some(_) => return Err(SqlError::syntax("LIMIT")),
        };
        let fetch = match &query.fetch {
            None => None,
            Some(fetch) if fetch.percent || fetch.with_ties => return Err(SqlError::syntax("FETCH")),
            Some(fetch) => fetch.quantity.as_ref(),
        };
        let block = self.body(&query.body, &Tail { order_by, offset, fetch });
        self.named.truncate(known);
        let mut block = block?;
        if !with.is_empty() {
            block.sql = format!("WITH {} {}", with.join(", "), block.sql);
        }
        Ok(block)
    }

    fn body(&mut self, body: &SetExpr, tail: &Tail<'_>) -> Result<Block, SqlError> {
        match body {
            SetExpr::Select(select) => {
                self.scopes.push(Vec::new());
                let grouping = self.grouping.take();
                let block = self.select(select, tail);
                self.grouping = grouping;
                self.scopes.pop();
                block
            }
            SetExpr::Query(query) if tail.order_by.is_empty() && tail.offset.is_none() => self.query(query),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let left = self.body(left, &Tail::default())?;
                let right = self.body(right, &Tail::default())?;
                let block = set_operation(*op, *set_quantifier, &left, &right)?;
                self.ordered(block, tail)
            }
            other => Err(SqlError::unsupported(format!("the query {other}"))),
        }
    }

    /// Orders and cuts a query whose columns are known by name only.
    fn ordered(&mut self, block: Block, tail: &Tail<'_>) -> Result<Block, SqlError> {
        if tail.order_by.is_empty() && tail.offset.is_none() {
            return Ok(block);
        }
        let columns: Vec<SourceColumn> = block
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| SourceColumn { sql: format!("c{index}"), ..column.clone() })
            .collect();
        let items: Vec<Typed> = columns.iter().map(Typed::of_column).collect();
        self.scopes.push(vec![Source { name: String::new(), columns: columns.clone() }]);
        let order = self.order_by(tail.order_by, &items, &block.columns);
        let limit = order.and_then(|order| Ok(format!("{order}{}", self.limit(None, tail)?)));
        self.scopes.pop();
        let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
        let serial = self.next_serial();
        let sql = format!("SELECT {} FROM ({}) AS q{serial}{}", names.join(", "), block.sql, limit?);
        Ok(Block { sql, columns: block.columns })
    }

    fn select(&mut self, select: &Select, tail: &Tail<'_>) -> Result<Block, SqlError> {
        refuse_foreign_clauses(select)?;
        let from = self.from(&select.from)?;
        let mut sql = String::new();
        if !from.is_empty() {
            sql.push_str(&format!(" FROM {from}"));
        }
        if let Some(selection) = &select.selection {
            sql.push_str(&format!(" WHERE {}", self.condition(selection)?));
        }
        let keys = self.group_by(&select.group_by)?;
        if !keys.is_empty() {
            let keys: Result<Vec<_>, _> = keys.iter().map(fold_key).collect();
            sql.push_str(&format!(" GROUP BY {}", keys?.join(", ")));
        }
        let aggregated = !keys.is_empty() || has_aggregate(&select.projection) || has_aggregate(&select.having);
        if aggregated {
            self.grouping = Some(keys);
        }
        let (items, columns) = self.projection(&select.projection)?;
        if let Some(having) = &select.having {
            sql.push_str(&format!(" HAVING {}", self.condition(having)?));
        }
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            list.push(format!("{} AS c{index}", item.stored()?));
        }
        let distinct = match &select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return Err(SqlError::syntax("ON")),
        };
        if distinct {
            let keys: Result<Vec<_>, _> = items.iter().map(fold_key).collect();
            let sql = format!("SELECT DISTINCT ON ({}) {}{sql}", keys?.join(", "), list.join(", "));
            self.grouping = None;
            let limit = self.limit(select.top.as_ref(), &Tail::default())?;
            let mut block = self.ordered(Block { sql, columns }, tail)?;
            block.sql.push_str(&limit);
            return Ok(block);
        }
        let order = self.order_by(tail.order_by, &items, &columns)?;
        let limit = self.limit(select.top.as_ref(), tail)?;
        Ok(Block { sql: format!("SELECT {}{sql}{order}{limit}", list.join(", ")), columns })
    }

    fn group_by(&mut self, clause: &GroupByExpr) -> Result<Vec<Typed>, SqlError> {
        match clause {
            GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => {
                keys.iter().map(|key| self.expression(key)).collect()
            }
            _ => Err(SqlError::unsupported("this form of GROUP BY")),
        }
    }

    fn projection(&mut self, items: &[SelectItem]) -> Result<(Vec<Typed>, Vec<SourceColumn>), SqlError> {
        let mut list: Vec<(String, Typed)> = Vec::new();
        for item in items {
            match item {
                SelectItem::UnnamedExpr(Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right })
                    if matches!(**left, Expr::Identifier(_)) =>
                {
                    let Expr::Identifier(alias) = &**left else { return Err(SqlError::syntax("=")) };
                    list.push((alias.value.clone(), self.expression(right)?));
                }
                SelectItem::UnnamedExpr(expr) => {
                    let item = self.expression(expr)?;
                    let name = match expr {
                        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => last_name(expr),
                        _ => String::new(),
                    };
                    list.push((name, item));
                }
                SelectItem::ExprWithAlias { expr, alias } => list.push((alias.value.clone(), self.expression(expr)?)),
                SelectItem::Wildcard(_) => self.wildcard(None, &mut list)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.wildcard(Some(&object_name(name)?.1), &mut list)?;
                }
                other => return Err(SqlError::unsupported(format!("the select item {other}"))),
            }
        }
        let mut columns = Vec::new();
        for (name, item) in &list {
            let origin = item.column.as_ref();
            columns.push(SourceColumn {
                name: name.clone(),
                sql: String::new(),
                sql_type: item.sql_type()?,
                nullable: item.nullable,
                identity: origin.is_some_and(|column| column.identity),
                binary: item.binary,
                of_table: origin.is_some_and(|column| column.of_table),
                table: origin.and_then(|column| column.table.clone()),
            });
        }
        Ok((list.into_iter().map(|(_, item)| item).collect(), columns))
    }

    fn wildcard(&mut self, qualifier: Option<&str>, list: &mut Vec<(String, Typed)>) -> Result<(), SqlError> {
        let sources = self.scopes.last().cloned().unwrap_or_default();
        let before = list.len();
        for source in sources.iter().filter(|source| qualifier.is_none_or(|name| same_name(&source.name, name))) {
            for column in &source.columns {
                let item = Typed::of_column(column);
                if self.grouping.is_some() {
                    return Err(not_grouped(&column.name));
                }
                list.push((column.name.clone(), item));
            }
        }
        if list.len() == before {
            return Err(SqlError::new(263, 16, "Must specify table to select from."));
        }
        Ok(())
    }

    fn order_by(
        &mut self,
        items: &[OrderByExpr],
        selected: &[Typed],
        columns: &[SourceColumn],
    ) -> Result<String, SqlError> {
        let mut keys = Vec::new();
        for item in items {
            let typed = match &item.expr {
                Expr::Value(value) => {
                    let ast::Value::Number(number, _) = &value.value else {
                        return Err(SqlError::new(
                            408,
                            16,
                            "A constant expression was encountered in the ORDER BY list.",
                        ));
                    };
                    let position: usize = number.parse().unwrap_or_default();
                    let found = position.checked_sub(1).and_then(|index| selected.get(index));
                    found.cloned().ok_or_else(|| {
                        SqlError::new(108, 16, format!("The ORDER BY position number {number} is out of range."))
                    })?
                }
                Expr::Identifier(name) => {
                    match columns.iter().position(|column| same_name(&column.name, &name.value)) {
                        Some(index) => selected[index].clone(),
                        None => self.expression(&item.expr)?,
                    }
                }
                other => self.expression(other)?,
            };
            let direction = match item.options.sort {
                None | Some(OrderBySort::Asc) => "ASC NULLS FIRST",
                Some(OrderBySort::Desc) => "DESC NULLS LAST",
                Some(OrderBySort::Using(_)) => return Err(SqlError::syntax("USING")),
            };
            keys.push(format!("{} {direction}", order_key(&typed)?));
        }
        Ok(if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) })
    }

    fn limit(&mut self, top: Option<&ast::Top>, tail: &Tail<'_>) -> Result<String, SqlError> {
        let mut sql = String::new();
        if let Some(top) = top {
            if top.percent || top.with_ties {
                return Err(SqlError::unsupported("TOP with PERCENT or WITH TIES"));
            }
            match &top.quantity {
                Some(TopQuantity::Constant(rows)) => sql.push_str(&format!(" LIMIT {rows}")),
                Some(TopQuantity::Expr(rows)) => sql.push_str(&format!(" LIMIT {}", self.whole_number(rows)?)),
                None => return Err(SqlError::syntax("TOP")),
            }
        }
        if let Some(rows) = tail.fetch {
            sql.push_str(&format!(" LIMIT {}", self.whole_number(rows)?));
        }
        if let Some(rows) = tail.offset {
            sql.push_str(&format!(" OFFSET {}", self.whole_number(rows)?));
        }
        Ok(sql)
    }

    fn whole_number(&mut self, expr: &Expr) -> Result<String, SqlError> {
        let grouping = self.grouping.take();
        let typed = self.expression(expr);
        self.grouping = grouping;
        Ok(format!("(CAST({} AS BIGINT))", typed?.sql))
    }
}

pub(super) fn is_binary_collation(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with("_bin") || lower.ends_with("_bin2")
}

pub(super) fn not_grouped(name: &str) -> SqlError {
    let text = format!(
        "Column '{name}' is invalid in the select list because it is not contained in either an aggregate function or the \
         GROUP BY clause."
    );
    SqlError::new(8120, 16, text)
}

/// Columns of a derived table as they are seen outside, optionally under other names.
fn rename(columns: Vec<SourceColumn>, names: &[String], place: &str) -> Result<Vec<SourceColumn>, SqlError> {
    if !names.is_empty() && names.len() != columns.len() {
        return Err(SqlError::new(
            8158,
            16,
            "The table has more or fewer columns than were specified in the column list.",
        ));
    }
    Ok(columns
        .into_iter()
        .enumerate()
        .map(|(index, column)| SourceColumn {
            name: names.get(index).cloned().unwrap_or(column.name),
            sql: format!("{place}.c{index}"),
            ..column
        })
        .collect())
}

fn set_operation(op: SetOperator, quantifier: SetQuantifier, left: &Block, right: &Block) -> Result<Block, SqlError> {
    if left.columns.len() != right.columns.len() {
        let text = "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of \
                    expressions in their target lists.";
        return Err(SqlError::new(205, 16, text));
    }
    if (op, quantifier) != (SetOperator::Union, SetQuantifier::All) {
        return Err(SqlError::unsupported("set operations other than UNION ALL"));
    }
    let (mut first, mut second, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (a, b)) in left.columns.iter().zip(&right.columns).enumerate() {
        let Kind::Value(sql_type) = common(&Kind::Value(a.sql_type.clone()), &Kind::Value(b.sql_type.clone()))? else {
            return Err(SqlError::internal("a set operation over conditions"));
        };
        for (column, list) in [(a, &mut first), (b, &mut second)] {
            let cast = Typed::value(format!("c{index}"), column.sql_type.clone());
            list.push(format!("{} AS c{index}", convert(&cast, &sql_type)?));
        }
        storage(&sql_type)?;
        let nullable = a.nullable || b.nullable;
        columns.push(SourceColumn { sql_type, nullable, identity: false, of_table: false, table: None, ..a.clone() });
    }
    let sql = format!(
        "SELECT {} FROM ({}) AS l UNION ALL SELECT {} FROM ({}) AS r",
        first.join(", "),
        left.sql,
        second.join(", "),
        right.sql
    );
    Ok(Block { sql, columns })
}

fn last_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn refuse_foreign_clauses(select: &Select) -> Result<(), SqlError> {
    let foreign = select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || !select.named_window.is_empty()
        || select.qualify.is_some()
        || select.exclude.is_some();
    if foreign { Err(SqlError::unsupported("a clause of this SELECT")) } else { Ok(()) }
}

/// Whether an aggregate stands in `node`, subqueries apart.
fn has_aggregate<N: Visit>(node: &N) -> bool {
    struct Finder {
        depth: usize,
    }
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && is_aggregate(&function.name.to_string()) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    node.visit(&mut Finder { depth: 0 }).is_break()
}
