//! What a till's table looks like: name, columns, keys, and ranges of keys.
//!
//! These values are part of snapshot files (FORMAT §4.1): a field added here must be absent from the file where it says
//! nothing, so that older archives read, and must not change what a chunk is: the content hash knows names and types alone (FORMAT §8).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::constraint::unset;
pub use super::{
    constraint::{Check, ForeignKey, Index, IndexColumn, PrimaryKey},
    table_name::TableName,
};
use crate::model::sql_type::SqlType;

/// One column, as the server declares it.
///
/// Make one with [`Column::new`], or name the fields that matter and end in `..Column::default()`: fields may be added.
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
    #[serde(default, skip_serializing_if = "unset")]
    pub identity: bool,
    /// Where that numbering starts and how it goes on, if the server told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbering: Option<Numbering>,
    /// Collation of text columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// Default expression in the server's spelling, needed to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Name of the default's constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_name: Option<String>,
    /// The expression of a computed column. Its values are archived as those of any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<Computed>,
    /// The user's type it was declared with, if it was: an alias of `sql_type`, or a type of the CLR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<UserType>,
    /// The type is one of the CLR (`hierarchyid`, `geography`, `geometry` or a user's assembly).
    #[serde(default, skip_serializing_if = "unset")]
    pub clr: bool,
    /// Declared type of a column that the client encrypts (Always Encrypted). `sql_type` is what the server gives out then:
    /// the cipher's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<String>,
    /// Masking function (dynamic data masking). The archived values are the true ones; see [`Table::masked`] otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// `row start` or `row end`: a period column of a system-versioned table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// Stored sparsely.
    #[serde(default, skip_serializing_if = "unset")]
    pub sparse: bool,
    /// The XML column that shows all sparse columns in one.
    #[serde(default, skip_serializing_if = "unset")]
    pub column_set: bool,
    /// Marked ROWGUIDCOL.
    #[serde(default, skip_serializing_if = "unset")]
    pub row_guid: bool,
}

impl Column {
    /// A plain column that allows NULL.
    #[must_use]
    pub fn new(name: impl Into<String>, sql_type: SqlType) -> Self {
        Self { name: name.into(), sql_type, ..Self::default() }
    }

    /// The same column, NULL forbidden.
    #[must_use]
    pub fn not_null(self) -> Self {
        Self { nullable: false, ..self }
    }
}

/// A plain `int` column without a name that allows NULL: what the other fields say of a column that says nothing of them.
impl Default for Column {
    fn default() -> Self {
        Self {
            name: String::new(),
            sql_type: SqlType::Int,
            nullable: true,
            identity: false,
            numbering: None,
            collation: None,
            default: None,
            default_name: None,
            computed: None,
            user_type: None,
            clr: false,
            encrypted: None,
            mask: None,
            generated: None,
            sparse: false,
            column_set: false,
            row_guid: false,
        }
    }
}

/// `IDENTITY(seed, increment)`: decimal digits as text, since the column may be a `decimal(38,0)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// First number.
    pub seed: String,
    /// Step.
    pub increment: String,
}

/// A computed column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// Expression in the server's spelling.
    pub expression: String,
    /// Whether the values are stored.
    #[serde(default, skip_serializing_if = "unset")]
    pub persisted: bool,
}

/// A type that a user of the server made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserType {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

/// A base table of the till as found at run time.
///
/// Make one with [`Table::new`], or name the fields that matter and end in `..Table::default()`: fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Name.
    #[serde(flatten)]
    pub name: TableName,
    /// Columns that are kept, in ordinal order.
    pub columns: Vec<Column>,
    /// Primary key columns in key order; empty for a table without one.
    pub key: Vec<String>,
    /// The primary key as a constraint, if the server told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<PrimaryKey>,
    /// Foreign keys, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Unique constraints and indexes other than the primary key, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// Check constraints, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The rows lie in no index's order.
    #[serde(default, skip_serializing_if = "unset")]
    pub heap: bool,
    /// What kind of table, where it is more than a plain one: `system versioned`, `history`, `memory optimised`, `file table`,
    /// `graph node`, `graph edge`, `ledger`; `system versioned, memory optimised` for one that is both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The table that holds the former rows of a system-versioned table. It is a base table as well, with an entry of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<TableName>,
    /// Columns left out because they hold secrets (DOMAIN §11).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Columns left out because the server shows this login masked values in their place (dynamic data masking).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}

impl Table {
    /// A plain table without a key.
    #[must_use]
    pub fn new(name: TableName, columns: Vec<Column>) -> Self {
        Self { name, columns, ..Self::default() }
    }

    /// Whether the table is memory-optimised: a read transaction under SNAPSHOT isolation does not reach it.
    #[must_use]
    pub fn is_memory_optimised(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.ends_with("memory optimised"))
    }

    /// The same table with a primary key of these columns.
    #[must_use]
    pub fn with_key(self, key: &[&str]) -> Self {
        Self { key: key.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as the first version of the format wrote it.
    const EARLIER: &str = r#"{"schema":"dbo","name":"Orders","columns":[{"name":"Id","type":"int","nullable":false,"identity":true},{"name":"Name","type":"nvarchar(9)","nullable":true,"collation":"Turkish_CI_AS","default":"(N'')"}],"key":["Id"],"foreign_keys":[{"name":"FK","columns":["Id"],"references":{"schema":"dbo","name":"Tickets"},"referenced_columns":["Id"]}],"left_out":["Pin"]}"#;

    #[test]
    fn earlier_tables_read_and_are_written_as_they_were() {
        let table: Table = serde_json::from_str(EARLIER).unwrap();
        assert!(table.columns[0].identity && table.columns[0].numbering.is_none());
        assert!(table.indexes.is_empty() && table.primary_key.is_none() && !table.heap);
        assert_eq!(serde_json::to_string(&table).unwrap(), EARLIER);
    }

    #[test]
    fn everything_that_is_recorded_reads_back() {
        let mut id = Column::new("Id", SqlType::Int).not_null();
        id.identity = true;
        id.numbering =
            Some(Numbering { seed: "99999999999999999999999999999999999999".into(), increment: "-1".into() });
        let mut sum = Column::new("Sum", SqlType::Decimal { precision: 16, scale: 2 });
        sum.computed = Some(Computed { expression: "([a]*[b])".into(), persisted: true });
        sum.user_type = Some(UserType { schema: "dbo".into(), name: "Amount".into() });
        sum.default_name = Some("DF_Sum".into());
        let mut table = Table::new(TableName::dbo("T"), vec![id, sum]).with_key(&["Id"]);
        table.primary_key = Some(PrimaryKey { name: "PK".into(), clustered: false, descending: vec!["Id".into()] });
        table.indexes.push(Index {
            name: "IX".into(),
            columns: vec![IndexColumn { name: "Sum".into(), descending: true }],
            included: vec!["Id".into()],
            unique: true,
            filter: Some("([Sum]>(0))".into()),
            ..Index::default()
        });
        table.checks.push(Check { name: "CK".into(), expression: "([Sum]>=(0))".into(), ..Check::default() });
        table.foreign_keys.push(ForeignKey {
            name: "FK".into(),
            on_delete: Some("cascade".into()),
            untrusted: true,
            ..ForeignKey::default()
        });
        table.heap = true;
        table.masked.push("Phone".into());
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table);
        assert!(!text.contains("disabled") && !text.contains("sparse"), "{text}");
    }
}
