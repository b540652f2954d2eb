//! The T-SQL that asks a till which tables it has.
//!
//! What the catalog can tell grew from version to version, and Babelfish has a part of it. So the server is asked first
//! which columns its own catalog views have ([`VIEWS`]), and the texts below name only those: no text fails because a server
//! is old. [`columns`], [`KEYS`] and [`foreign_keys`] say what a run cannot do without; the others what a restore would like
//! to know.
//!
//! Promises: as [`super`]: base tables alone, `sys` spelled in lower case as case-sensitive databases want it, no more
//! rights than `db_datareader`. An expression that the login may not see (it takes VIEW DEFINITION) is NULL, not an error.

use std::{collections::BTreeSet, fmt::Write as _};

/// The columns of the catalog views that differ between versions.
pub const VIEWS: &str = "\
SELECT o.name AS view_name, c.name AS column_name \
FROM sys.all_objects AS o \
INNER JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
INNER JOIN sys.all_columns AS c ON c.object_id = o.object_id \
WHERE s.name = N'sys' AND o.name IN (N'columns', N'types', N'tables', N'foreign_keys', N'masked_columns')";

/// Columns that the texts below name only where a server has them.
#[cfg(test)]
pub(super) const CHANGING: [&str; 20] = [
    "is_user_defined",
    "is_assembly_type",
    "is_rowguidcol",
    "is_sparse",
    "is_column_set",
    "is_masked",
    "generated_always_type",
    "encryption_type",
    "graph_type",
    "delete_referential_action",
    "update_referential_action",
    "is_not_trusted",
    "is_filetable",
    "is_memory_optimized",
    "is_external",
    "is_node",
    "is_edge",
    "temporal_type",
    "ledger_type",
    "history_table_id",
];

/// What [`VIEWS`] found: view and column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views(BTreeSet<(String, String)>);

impl Views {
    /// Whether the server's view has the column.
    #[must_use]
    pub fn has(&self, view: &str, column: &str) -> bool {
        self.0.contains(&(view.to_owned(), column.to_owned()))
    }
}

impl FromIterator<(String, String)> for Views {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Columns of all base tables, in ordinal order. A type of a user is resolved to the system type below it; types of the
/// CLR (`hierarchyid`, `geography`) have none and keep their own name. A login without rights on a user's type does not
/// see it in `sys.types`: that must not hide the column.
///
/// Columns inside a graph table that nobody can select (`graph_id` and its like) are not among them.
#[must_use]
pub fn columns(views: &Views) -> String {
    let knows_users = views.has("types", "is_user_defined") && views.has("types", "is_assembly_type");
    // A type of the server may stand on another one, as `vector` does on `varbinary`: it is not that one.
    let own = if knows_users { "CASE WHEN u.is_user_defined = 0 THEN u.name END, " } else { "" };
    let mut text = format!(
        "SELECT s.name AS schema_name, t.name AS table_name, c.name AS column_name, \
         COALESCE({own}b.name, u.name, N'unknown') AS type_name, c.system_type_id AS system_type_id, \
         c.max_length AS max_length, c.precision AS precision_digits, c.scale AS scale_digits, \
         c.is_nullable AS is_nullable, c.is_identity AS is_identity, \
         c.collation_name AS collation_name, d.definition AS default_definition, d.name AS default_name"
    );
    if knows_users {
        text.push_str(
            ", u.name AS declared_name, us.name AS declared_schema, u.is_user_defined AS is_user_defined, \
             u.is_assembly_type AS is_assembly_type",
        );
    }
    for name in ["is_rowguidcol", "is_sparse", "is_column_set", "is_masked", "generated_always_type", "encryption_type"]
    {
        if views.has("columns", name) {
            let _ = write!(text, ", c.{name} AS {name}");
        }
    }
    text.push_str(
        " FROM sys.tables AS t \
         INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         INNER JOIN sys.columns AS c ON c.object_id = t.object_id \
         LEFT JOIN sys.types AS u ON u.user_type_id = c.user_type_id \
         LEFT JOIN sys.schemas AS us ON us.schema_id = u.schema_id \
         LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id \
         LEFT JOIN sys.default_constraints AS d ON d.object_id = c.default_object_id \
         WHERE t.is_ms_shipped = 0",
    );
    if views.has("columns", "graph_type") {
        text.push_str(" AND (c.graph_type IS NULL OR c.graph_type NOT IN (1, 3, 4, 6, 7))");
    }
    text.push_str(" ORDER BY s.name, t.name, c.column_id");
    text
}

/// Columns of all primary keys, in key order. A column that only partitions the table belongs to the index, not to the key:
/// its ordinal is 0.
pub const KEYS: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, c.name AS column_name, \
i.name AS index_name, i.type AS index_type, k.is_descending_key AS is_descending_key \
FROM sys.tables AS t \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
INNER JOIN sys.indexes AS i ON i.object_id = t.object_id \
INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id \
INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
WHERE i.is_primary_key = 1 AND k.key_ordinal > 0 AND t.is_ms_shipped = 0 \
ORDER BY s.name, t.name, k.key_ordinal";

/// Column pairs of all foreign keys, in the order of the constraint.
#[must_use]
pub fn foreign_keys(views: &Views) -> String {
    let mut text = "SELECT s.name AS schema_name, t.name AS table_name, f.name AS key_name, c.name AS column_name, \
         rs.name AS referenced_schema, rt.name AS referenced_table, rc.name AS referenced_column"
        .to_owned();
    for name in ["delete_referential_action", "update_referential_action", "is_disabled", "is_not_trusted"] {
        if views.has("foreign_keys", name) {
            let _ = write!(text, ", f.{name} AS {name}");
        }
    }
    text.push_str(
        " FROM sys.foreign_keys AS f \
         INNER JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
         INNER JOIN sys.tables AS t ON t.object_id = k.parent_object_id \
         INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         INNER JOIN sys.columns AS c ON c.object_id = k.parent_object_id AND c.column_id = k.parent_column_id \
         INNER JOIN sys.tables AS rt ON rt.object_id = k.referenced_object_id \
         INNER JOIN sys.schemas AS rs ON rs.schema_id = rt.schema_id \
         INNER JOIN sys.columns AS rc ON rc.object_id = k.referenced_object_id AND rc.column_id = k.referenced_column_id \
         ORDER BY s.name, t.name, f.name, k.constraint_column_id",
    );
    text
}

/// Heaps, and all indexes but primary keys, one row per column, in key order, carried columns last. A heap is an index
/// without columns here.
pub const INDEXES: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, i.name AS index_name, i.type AS index_type, \
i.is_unique AS is_unique, i.is_unique_constraint AS is_unique_constraint, i.is_disabled AS is_disabled, \
i.filter_definition AS filter_definition, c.name AS column_name, k.key_ordinal AS key_ordinal, \
k.is_descending_key AS is_descending_key, k.is_included_column AS is_included_column \
FROM sys.tables AS t \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
INNER JOIN sys.indexes AS i ON i.object_id = t.object_id \
LEFT JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id \
LEFT JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
WHERE i.is_primary_key = 0 AND i.is_hypothetical = 0 AND t.is_ms_shipped = 0 \
ORDER BY s.name, t.name, i.index_id, k.key_ordinal, k.index_column_id";

/// Check constraints.
pub const CHECKS: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, k.name AS check_name, k.definition AS definition, \
k.is_disabled AS is_disabled, k.is_not_trusted AS is_not_trusted \
FROM sys.check_constraints AS k \
INNER JOIN sys.tables AS t ON t.object_id = k.parent_object_id \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE t.is_ms_shipped = 0 \
ORDER BY s.name, t.name, k.name";

/// Where the numbers of identity columns start and how they go on. Numbers as text: the column may be a `decimal(38,0)`.
pub const IDENTITIES: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, c.name AS column_name, \
CAST(c.seed_value AS nvarchar(60)) AS seed, CAST(c.increment_value AS nvarchar(60)) AS increment \
FROM sys.identity_columns AS c \
INNER JOIN sys.tables AS t ON t.object_id = c.object_id \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE t.is_ms_shipped = 0";

/// Computed columns.
pub const COMPUTED: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, c.name AS column_name, \
c.definition AS definition, c.is_persisted AS is_persisted \
FROM sys.computed_columns AS c \
INNER JOIN sys.tables AS t ON t.object_id = c.object_id \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE t.is_ms_shipped = 0";

/// What kind of table each one is; `None` when the server knows only one.
#[must_use]
pub fn kinds(views: &Views) -> Option<String> {
    let mut text = "SELECT s.name AS schema_name, t.name AS table_name".to_owned();
    let plain = text.len();
    for name in
        ["is_filetable", "is_memory_optimized", "is_external", "is_node", "is_edge", "temporal_type", "ledger_type"]
    {
        if views.has("tables", name) {
            let _ = write!(text, ", t.{name} AS {name}");
        }
    }
    if text.len() == plain {
        return None;
    }
    let history = views.has("tables", "history_table_id");
    if history {
        text.push_str(", hs.name AS history_schema, h.name AS history_table");
    }
    text.push_str(" FROM sys.tables AS t INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id");
    if history {
        text.push_str(
            " LEFT JOIN sys.tables AS h ON h.object_id = t.history_table_id \
             LEFT JOIN sys.schemas AS hs ON hs.schema_id = h.schema_id",
        );
    }
    text.push_str(" WHERE t.is_ms_shipped = 0");
    Some(text)
}

/// Masked columns, and whether this login is shown their true values: by a right on the database (SQL Server 2016) or on
/// the table (2022); a server that does not know the right there says NULL. Only for servers whose [`Views`] have
/// `masked_columns`.
pub const MASKS: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, m.name AS column_name, m.masking_function AS masking_function, \
HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), N'DATABASE', N'UNMASK') AS unmask_all, \
HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(t.name), N'OBJECT', N'UNMASK') AS unmask_table \
FROM sys.masked_columns AS m \
INNER JOIN sys.tables AS t ON t.object_id = m.object_id \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE m.is_masked = 1";

/// Rows of all base tables by the server's own book-keeping: good for a progress bar, not for a proof. Partitions of a table
/// add up; its other indexes do not count.
pub const ROW_COUNTS: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, SUM(p.rows) AS row_count \
FROM sys.tables AS t \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
INNER JOIN sys.partitions AS p ON p.object_id = t.object_id \
WHERE p.index_id IN (0, 1) AND t.is_ms_shipped = 0 \
GROUP BY s.name, t.name";

/// How many base tables have the schema `@P1` and the name `@P2`: 1 or 0. Asked again inside the read transaction when a
/// table is not in the catalog's list any more.
pub const IS_THERE: &str = "\
SELECT COUNT_BIG(*) AS figure \
FROM sys.tables AS t \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
WHERE s.name = @P1 AND t.name = @P2";

/// The rows of a table, counted.
#[must_use]
pub fn count(table: &crate::model::table::TableName) -> String {
    format!("SELECT COUNT_BIG(*) AS figure FROM {}", super::quote_table(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(names: &[(&str, &str)]) -> Views {
        names.iter().map(|(view, column)| ((*view).to_owned(), (*column).to_owned())).collect()
    }

    #[test]
    fn only_what_the_server_has_is_asked() {
        let old = Views::default();
        assert!(!columns(&old).contains("is_masked") && !columns(&old).contains("graph_type"));
        assert!(!foreign_keys(&old).contains("referential"));
        assert_eq!(kinds(&old), None);
        let new = views(&[
            ("columns", "is_masked"),
            ("columns", "graph_type"),
            ("tables", "temporal_type"),
            ("tables", "history_table_id"),
            ("foreign_keys", "is_not_trusted"),
        ]);
        assert!(columns(&new).contains("c.is_masked AS is_masked") && columns(&new).contains("NOT IN (1, 3, 4, 6, 7)"));
        assert!(kinds(&new).unwrap().contains("h.name AS history_table"));
        assert!(foreign_keys(&new).contains("f.is_not_trusted"));
    }

    #[test]
    fn names_are_quoted_and_values_are_parameters() {
        let odd = crate::model::table::TableName { schema: "a]b".into(), name: "c'd".into() };
        assert_eq!(count(&odd), "SELECT COUNT_BIG(*) AS figure FROM [a]]b].[c'd]");
        assert!(IS_THERE.contains("@P1") && IS_THERE.contains("@P2"));
    }
}
