//! What a table has besides columns and rows: keys, indexes, checks. Recorded so that a restore can make the table again
//! as it was; nothing here decides how rows are read, cut or hashed.
//!
//! Expressions (defaults, checks, filters) are kept in the server's own spelling and never interpreted.

use serde::{Deserialize, Serialize};

use super::table::TableName;

/// For `skip_serializing_if`: flags stand in the archive only where they are set.
pub(super) fn unset(flag: &bool) -> bool {
    !*flag
}

/// The primary key as a constraint; its columns are `Table::key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    /// Constraint name.
    pub name: String,
    /// Whether the rows lie in its order.
    #[serde(default, skip_serializing_if = "unset")]
    pub clustered: bool,
    /// Its columns that are sorted downwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descending: Vec<String>,
}

/// An index or a unique constraint other than the primary key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Name.
    pub name: String,
    /// Columns in key order; empty where the kind has no order (columnstore).
    pub columns: Vec<IndexColumn>,
    /// Columns that are carried along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    /// No two rows may be equal in it.
    #[serde(default, skip_serializing_if = "unset")]
    pub unique: bool,
    /// It was declared as a UNIQUE constraint.
    #[serde(default, skip_serializing_if = "unset")]
    pub constraint: bool,
    /// Whether the rows lie in its order.
    #[serde(default, skip_serializing_if = "unset")]
    pub clustered: bool,
    /// The server's word for kinds other than a plain one: `columnstore`, `xml`, `spatial`, `hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Condition of a filtered index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Defined, but switched off.
    #[serde(default, skip_serializing_if = "unset")]
    pub disabled: bool,
}

/// A column of an index with its direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// Column.
    pub name: String,
    /// Sorted downwards.
    #[serde(default, skip_serializing_if = "unset")]
    pub descending: bool,
}

/// A check constraint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Constraint name.
    pub name: String,
    /// Its expression.
    pub expression: String,
    /// Defined, but switched off.
    #[serde(default, skip_serializing_if = "unset")]
    pub disabled: bool,
    /// Rows may be there that break it: it was added or switched on without looking at them.
    #[serde(default, skip_serializing_if = "unset")]
    pub untrusted: bool,
}

/// A foreign key, needed to restore in the right order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: String,
    /// Referring columns, in order.
    pub columns: Vec<String>,
    /// Table referred to.
    pub references: TableName,
    /// Columns referred to, in order.
    pub referenced_columns: Vec<String>,
    /// What happens to the referring rows when the other row goes: `cascade`, `set null`, `set default`; refused if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<String>,
    /// The same when the other row's key changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_update: Option<String>,
    /// Defined, but switched off.
    #[serde(default, skip_serializing_if = "unset")]
    pub disabled: bool,
    /// Orphans may be there: it was added or switched on without looking at the rows (DOMAIN §3, variant g).
    #[serde(default, skip_serializing_if = "unset")]
    pub untrusted: bool,
}
