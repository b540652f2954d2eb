//! The translator: one T-SQL query in, DuckDB's SQL and the types of its columns out.
//!
//! Names are resolved and types inferred here, not by DuckDB, since text must be folded wherever it is compared and values
//! must leave with SQL Server's types. The work is done in `select` (clauses), `expression` (values and conditions) and
//! `functions`.

use sqlparser::ast::Query;

use super::{
    Engine, OutColumn, Parameter, SqlError,
    typing::{Kind, storage},
};
use crate::model::sql_type::SqlType;

/// What a query may refer to besides tables.
pub(in crate::demo) struct Context<'a> {
    pub(in crate::demo) engine: &'a Engine,
    pub(in crate::demo) parameters: &'a [Parameter],
    pub(in crate::demo) login: &'a str,
    /// `@@TRANCOUNT`.
    pub(in crate::demo) transactions: i64,
    /// `@@ROWCOUNT`.
    pub(in crate::demo) row_count: i64,
}

/// A query ready to run.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Plan {
    /// DuckDB's SQL.
    pub(in crate::demo) sql: String,
    pub(in crate::demo) columns: Vec<OutColumn>,
    /// Names of the user tables it reads.
    pub(in crate::demo) tables: Vec<String>,
}

/// Translates a query.
pub(in crate::demo) fn translate(query: &Query, context: &Context<'_>) -> Result<Plan, SqlError> {
    let mut translator = Translator::new(context);
    let block = translator.query(query)?;
    for column in &block.columns {
        // Types without storage have values in exact tables only.
        storage(&column.sql_type)?;
    }
    let columns = block.columns.iter().map(SourceColumn::to_out).collect();
    Ok(Plan { sql: block.sql, columns, tables: translator.tables })
}

/// State of a translation.
pub(super) struct Translator<'a> {
    pub(super) context: &'a Context<'a>,
    /// User tables met so far.
    pub(super) tables: Vec<String>,
    /// Tables in scope, outermost query first.
    pub(super) scopes: Vec<Vec<Source>>,
    /// Named queries in scope.
    pub(super) named: Vec<Source>,
    /// While the columns of a grouped query are translated: what it is grouped by.
    pub(super) grouping: Option<Vec<Typed>>,
    /// Numbers derived tables and subqueries.
    pub(super) serial: usize,
}

/// A table in scope.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) columns: Vec<SourceColumn>,
}

/// A column in scope, or of a result.
#[derive(Clone, Debug)]
pub(super) struct SourceColumn {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) sql_type: SqlType,
    pub(super) nullable: bool,
    pub(super) identity: bool,
    /// Compares byte for byte.
    pub(super) binary: bool,
    pub(super) of_table: bool,
    pub(super) table: Option<String>,
}

impl SourceColumn {
    fn to_out(&self) -> OutColumn {
        OutColumn {
            name: self.name.clone(),
            sql_type: self.sql_type.clone(),
            nullable: self.nullable,
            identity: self.identity,
            of_table: self.of_table,
            table: self.table.clone(),
        }
    }
}

/// A translated query: its columns are called `c0`, `c1`, … in DuckDB.
pub(super) struct Block {
    pub(super) sql: String,
    pub(super) columns: Vec<SourceColumn>,
}

/// A translated expression.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) sql: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    pub(super) binary: bool,
    /// The text, where the expression is a constant of text.
    pub(super) constant: Option<String>,
    /// The column, where the expression is nothing else.
    pub(super) column: Option<SourceColumn>,
}

impl Typed {
    pub(super) fn value(sql: impl Into<String>, sql_type: SqlType) -> Self {
        Self {
            sql: sql.into(),
            kind: Kind::Value(sql_type),
            nullable: true,
            binary: false,
            constant: None,
            column: None,
        }
    }

    pub(super) fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    pub(super) fn condition(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), kind: Kind::Condition, nullable: true, binary: false, constant: None, column: None }
    }

    pub(super) fn null() -> Self {
        Self { sql: "NULL".into(), kind: Kind::Null, nullable: true, binary: false, constant: None, column: None }
    }

    pub(super) fn of_column(column: &SourceColumn) -> Self {
        Self {
            sql: column.sql.clone(),
            kind: Kind::Value(column.sql_type.clone()),
            nullable: column.nullable,
            binary: column.binary,
            constant: None,
            column: Some(column.clone()),
        }
    }

    /// The type of a value; NULL counts as int, as on a real server; a condition is an error.
    pub(super) fn sql_type(&self) -> Result<SqlType, SqlError> {
        match &self.kind {
            Kind::Null => Ok(SqlType::Int),
            Kind::Value(sql_type) => Ok(sql_type.clone()),
            Kind::Condition => Err(SqlError::syntax("condition")),
        }
    }

    /// The expression with exactly the storage of its type.
    pub(super) fn stored(&self) -> Result<String, SqlError> {
        let sql_type = self.sql_type()?;
        if self.column.is_some() {
            Ok(self.sql.clone())
        } else {
            Ok(format!("CAST({} AS {})", self.sql, storage(&sql_type)?))
        }
    }
}

impl<'a> Translator<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Self { context, tables: Vec::new(), scopes: Vec::new(), named: Vec::new(), grouping: None, serial: 0 }
    }

    pub(super) fn next_serial(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    /// The column of that name, searched from the innermost query outwards.
    pub(super) fn resolve(&self, qualifier: Option<&str>, name: &str) -> Result<Typed, SqlError> {
        let shown = qualifier.map_or_else(|| name.to_owned(), |qualifier| format!("{qualifier}.{name}"));
        for sources in self.scopes.iter().rev() {
            let mut found = sources
                .iter()
                .filter(|source| qualifier.is_none_or(|qualifier| same_name(&source.name, qualifier)))
                .flat_map(|source| &source.columns)
                .filter(|column| same_name(&column.name, name));
            if let Some(column) = found.next() {
                if found.next().is_some() {
                    return Err(SqlError::new(209, 16, format!("Ambiguous column name '{shown}'.")));
                }
                return Ok(Typed::of_column(column));
            }
        }
        if let Some(qualifier) = qualifier {
            let known = self.scopes.iter().flatten().any(|source| same_name(&source.name, qualifier));
            if !known {
                let text = format!("The multi-part identifier \"{shown}\" could not be bound.");
                return Err(SqlError::new(4104, 16, text));
            }
        }
        Err(SqlError::new(207, 16, format!("Invalid column name '{name}'.")))
    }
}

/// Names compare like text does.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}
