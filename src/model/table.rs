//! What a till's table looks like: name, columns, keys, and ranges of keys.

use std::{fmt, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::sql_type::SqlType;

/// A table's schema-qualified name, in the server's own case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// Schema, nearly always `dbo`.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// A table of the `dbo` schema.
    #[must_use]
    pub fn dbo(name: impl Into<String>) -> Self {
        Self { schema: "dbo".into(), name: name.into() }
    }
}

/// `Tickets` for tables of `dbo`, `other.Things` else: the name in the CLI, in JSON and as a view in queries.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema == "dbo" { f.write_str(&self.name) } else { write!(f, "{}.{}", self.schema, self.name) }
    }
}

/// One column, as the server declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name in the server's own case.
    pub name: String,
    /// Declared type.
    #[serde(rename = "type")]
    pub sql_type: SqlType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether the server numbers the column itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    /// Collation of text columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// Default expression in the server's spelling, needed to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A foreign key, needed to restore in the right order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: String,
    /// Referring columns, in order.
    pub columns: Vec<String>,
    /// Table referred to.
    pub references: TableName,
    /// Columns referred to, in order.
    pub referenced_columns: Vec<String>,
}

/// A base table of the till as found at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Name.
    #[serde(flatten)]
    pub name: TableName,
    /// Columns that are kept, in ordinal order.
    pub columns: Vec<Column>,
    /// Primary key columns in key order; empty for a heap without one.
    pub key: Vec<String>,
    /// Foreign keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Columns left out because they hold secrets (DOMAIN §11).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl Table {
    /// The column of that exact name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The integer column that leads the primary key, if one does: the column key ranges are cut on.
    #[must_use]
    pub fn range_column(&self) -> Option<&Column> {
        self.key.first().and_then(|name| self.column(name)).filter(|column| column.sql_type.is_integer())
    }

    /// The first column whose type cannot be kept exactly, if there is one. Such a table is refused by name.
    #[must_use]
    pub fn unsupported(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.sql_type.arrow().is_none())
    }

    /// The Arrow schema of the kept columns: names as on the server, all nullable as declared.
    ///
    /// Columns without an exact Arrow type are absent; ask [`Table::unsupported`] first.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns
                .iter()
                .filter_map(|column| Some(Field::new(&column.name, column.sql_type.arrow()?, column.nullable)))
                .collect::<Vec<_>>(),
        ))
    }
}

/// A range of the values of the column that leads the key: `after < key <= through`.
///
/// The default is everything. Tables without an integer key can only be read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// Exclusive lower bound.
    pub after: Option<i64>,
    /// Inclusive upper bound.
    pub through: Option<i64>,
}

impl KeyRange {
    /// The whole table.
    pub const ALL: Self = Self { after: None, through: None };
}
