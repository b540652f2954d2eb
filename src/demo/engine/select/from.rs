//! FROM: tables, derived tables, joins and hints.

use sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableFactor, TableWithJoins,
};

use super::{
    super::{
        SqlError,
        translate::{Source, SourceColumn, Translator, same_name},
    },
    is_binary_collation, rename,
};
use crate::model::identifier::quoted;

impl Translator<'_> {
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        for table in from {
            let mut sql = self.factor(&table.relation, false)?;
            for join in &table.joins {
                let (word, constraint) = match &join.join_operator {
                    JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                        ("INNER JOIN", Some(constraint))
                    }
                    JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                        ("LEFT JOIN", Some(constraint))
                    }
                    JoinOperator::CrossJoin(_) => ("CROSS JOIN", None),
                    other => return Err(SqlError::unsupported(format!("joins such as {other:?}"))),
                };
                let right = self.factor(&join.relation, word == "LEFT JOIN")?;
                sql.push_str(&format!(" {word} {right}"));
                if let Some(constraint) = constraint {
                    let JoinConstraint::On(condition) = constraint else {
                        return Err(SqlError::syntax("JOIN without ON"));
                    };
                    sql.push_str(&format!(" ON {}", self.condition(condition)?));
                }
            }
            parts.push(sql);
        }
        Ok(parts.join(" CROSS JOIN "))
    }

    /// One table of FROM; its columns come into scope. `optional`: rows may be missing, so that every column may be NULL.
    fn factor(&mut self, factor: &TableFactor, optional: bool) -> Result<String, SqlError> {
        let (mut source, sql) = match factor {
            TableFactor::Table { name, alias, args, version: None, sample: None, with_hints, .. } => {
                refuse_hints(with_hints, args.as_ref())?;
                self.named_table(name, alias.as_ref().map(|alias| alias.name.value.as_str()))?
            }
            TableFactor::Derived { lateral: false, subquery, alias: Some(alias), .. } => {
                // A derived table does not see its siblings.
                let siblings = self.scopes.pop().unwrap_or_default();
                let block = self.query(subquery);
                self.scopes.push(siblings);
                let block = block?;
                let name = format!("d{}_{}", self.next_serial(), alias.name.value);
                let names = alias.columns.iter().map(|column| column.name.value.clone()).collect::<Vec<_>>();
                let columns = rename(block.columns, &names, &quoted(&name))?;
                if let Some(column) = columns.iter().find(|column| column.name.is_empty()) {
                    let index = columns.iter().position(|other| other.sql == column.sql).unwrap_or_default() + 1;
                    let text = format!("No column name was specified for column {index} of '{}'.", alias.name.value);
                    return Err(SqlError::new(8155, 16, text));
                }
                (Source { name: alias.name.value.clone(), columns }, format!("({}) AS {}", block.sql, quoted(&name)))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if !optional => {
                return Ok(format!("({})", self.from(std::slice::from_ref(table_with_joins))?));
            }
            other => return Err(SqlError::unsupported(format!("the table {other}"))),
        };
        if optional {
            source.columns.iter_mut().for_each(|column| column.nullable = true);
        }
        if let Some(scope) = self.scopes.last_mut() {
            if scope.iter().any(|other| same_name(&other.name, &source.name)) {
                let text = format!(
                    "The objects or aliases \"{}\" in the FROM clause have the same exposed names.",
                    source.name
                );
                return Err(SqlError::new(1013, 16, text));
            }
            scope.push(source);
        }
        Ok(sql)
    }

    fn named_table(&mut self, name: &ObjectName, alias: Option<&str>) -> Result<(Source, String), SqlError> {
        let (schema, table) = object_name(name)?;
        let shown = alias.unwrap_or(&table).to_owned();
        let serial = self.next_serial();
        let inner = quoted(&format!("t{serial}_{shown}"));
        if schema.is_none()
            && let Some(cte) = self.named.iter().rev().find(|source| same_name(&source.name, &table)).cloned()
        {
            let columns: Vec<SourceColumn> = cte
                .columns
                .iter()
                .enumerate()
                .map(|(index, column)| SourceColumn { sql: format!("{inner}.c{index}"), ..column.clone() })
                .collect();
            // The name in DuckDB is the qualifier of the columns as they were registered.
            let place = cte.columns.first().and_then(|column| column.sql.strip_suffix(".c0")).unwrap_or_default();
            return Ok((Source { name: shown, columns }, format!("{place} AS {inner}")));
        }
        let schema = schema.unwrap_or_else(|| "dbo".into());
        let Some(found) = self.context.engine.table(&schema, &table) else {
            return Err(SqlError::new(208, 16, format!("Invalid object name '{name}'.").replace(['[', ']'], "")));
        };
        let system = matches!(found.name.schema.as_str(), "sys" | "INFORMATION_SCHEMA");
        if !system && !self.tables.contains(&found.name.name) {
            self.tables.push(found.name.name.clone());
        }
        let columns = found
            .columns
            .iter()
            .map(|column| SourceColumn {
                name: column.name.clone(),
                sql: format!("{inner}.{}", quoted(&column.name)),
                sql_type: column.sql_type.clone(),
                nullable: column.nullable,
                identity: column.identity,
                binary: column.collation.as_deref().is_some_and(is_binary_collation),
                of_table: true,
                table: Some(found.name.name.clone()),
            })
            .collect();
        let place = self.context.engine.place(&found.name);
        Ok((Source { name: shown, columns }, format!("{place} AS {inner}")))
    }
}

/// Schema and name; a database name in front is passed over only when it is not there.
pub(in crate::demo::engine) fn object_name(name: &ObjectName) -> Result<(Option<String>, String), SqlError> {
    let mut parts = Vec::new();
    for part in &name.0 {
        let ObjectNamePart::Identifier(ident) = part else { return Err(SqlError::syntax(&name.to_string())) };
        parts.push(ident.value.clone());
    }
    match parts.as_slice() {
        [table] => Ok((None, table.clone())),
        [schema, table] => Ok((Some(schema.clone()), table.clone())),
        _ => Err(SqlError::unsupported("names of other databases")),
    }
}

fn refuse_hints(hints: &[Expr], arguments: Option<&ast::TableFunctionArgs>) -> Result<(), SqlError> {
    if arguments.is_some() {
        return Err(SqlError::unsupported("table functions"));
    }
    for hint in hints {
        // Hints on locks change nothing for a reader here.
        let known =
            ["NOLOCK", "READPAST", "READCOMMITTED", "READUNCOMMITTED", "READCOMMITTEDLOCK", "ROWLOCK", "PAGLOCK"];
        if !known.contains(&hint.to_string().to_ascii_uppercase().as_str()) {
            return Err(SqlError::unsupported(format!("the hint {hint}")));
        }
    }
    Ok(())
}
