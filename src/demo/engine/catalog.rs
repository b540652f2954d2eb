//! The `sys` schema: the catalog views that describe what the engine holds, made from its [`Table`] values.
//!
//! Views and columns are those of the version that the engine says it is; columns that nothing is said about have the value a
//! plain table has.

mod columns;
mod keys;
mod rows;
mod views;

use std::sync::Arc;

use self::{
    rows::Rows,
    views::{TYPES, VIEWS, declared},
};
use super::{EngineOptions, constant::quoted};
use crate::model::table::{Column, Table, TableName};

/// `database_id` of the one database.
pub(super) const DATABASE_ID: i32 = 5;
/// Views that are made of others, since their figures change with the data or their rows stand there already.
const DERIVED: [&str; 4] = ["partitions", "dm_db_partition_stats", "all_objects", "all_columns"];
/// `schema_id` of `sys`.
const SYS: i32 = 4;
/// When everything was made.
const BIRTH: &str = "TIMESTAMP '2018-04-03 10:11:12'";

/// The views of this module as tables, so that queries over them are translated like all others. `major` is the version.
pub(super) fn tables(major: u32) -> Vec<Table> {
    let column = |(name, sql_type): &(&str, &str)| {
        let (spelled, nullable, since) = declared(sql_type);
        let Ok(parsed) = spelled.parse();
        (major >= since).then(|| Column { nullable, ..Column::new(*name, parsed) })
    };
    let tables = VIEWS.iter().map(|(name, columns)| {
        let name = TableName { schema: "sys".into(), name: (*name).into() };
        Table::new(name, columns.iter().filter_map(column).collect())
    });
    tables.filter(|table| !table.columns.is_empty()).collect()
}

/// Whether the engine keeps this one as a view.
pub(super) fn is_view(table: &Table) -> bool {
    table.name.schema == "sys" && DERIVED.contains(&table.name.name.as_str())
}

/// `object_id` of a table: a positive number made from its name, the same in every run.
pub(super) fn object_id(name: &TableName) -> i32 {
    number_of(&format!("{}.{}", name.schema, name.name))
}

fn number_of(text: &str) -> i32 {
    let hash = blake3::hash(text.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    i32::from_le_bytes([a, b, c, d & 0x7F]) | 0x100
}

/// DuckDB's script that fills the views for these tables; `place` says under which name DuckDB has a table.
pub(super) fn script<'a>(
    tables: impl Iterator<Item = &'a Arc<Table>>,
    options: &EngineOptions,
    major: u32,
    place: impl Fn(&Table) -> String,
) -> String {
    let mut rows = Rows::new(major);
    let mut counts = Vec::new();
    let mut schemas = vec!["dbo".to_owned(), "guest".to_owned(), "INFORMATION_SCHEMA".to_owned(), "sys".to_owned()];
    let tables: Vec<&Arc<Table>> = tables.filter(|table| table.name.schema != "sys").collect();
    for table in &tables {
        if !schemas.contains(&table.name.schema) {
            schemas.push(table.name.schema.clone());
        }
        let schema_id = schemas.iter().position(|schema| *schema == table.name.schema).unwrap_or_default() + 1;
        let id = object_id(&table.name);
        rows.object(table, schema_id);
        for (index, column) in table.columns.iter().enumerate() {
            rows.column(table, index, column, options);
        }
        rows.indexes(table);
        rows.constraints(table, schema_id, &tables);
        counts.push(format!(
            "SELECT CAST({id} AS BIGINT) AS partition_id, CAST({id} AS INTEGER) AS object_id, CAST({} AS INTEGER) AS index_id, \
             CAST(1 AS INTEGER) AS partition_number, (SELECT count(*) FROM {}) AS rows",
            i32::from(is_clustered(table)),
            place(table)
        ));
    }
    for (index, schema) in schemas.iter().enumerate() {
        let values = [("name", quoted(schema)), ("schema_id", (index + 1).to_string()), ("principal_id", "1".into())];
        rows.add("schemas", &values);
    }
    for (name, system, user, bytes, precision, scale) in TYPES {
        rows.system_type(name, system, user, bytes, precision, scale);
    }
    rows.system_type("sysname", 231, 256, 256, 0, 0);
    rows.database(options);
    if counts.is_empty() {
        counts.push(
            "SELECT CAST(0 AS BIGINT) AS partition_id, CAST(0 AS INTEGER) AS object_id, CAST(0 AS INTEGER) AS index_id, \
             CAST(1 AS INTEGER) AS partition_number, CAST(0 AS BIGINT) AS rows WHERE false"
                .into(),
        );
    }
    format!(
        "BEGIN;\n{}CREATE OR REPLACE VIEW sys.partitions AS {};\n\
         CREATE OR REPLACE VIEW sys.dm_db_partition_stats AS SELECT object_id, index_id, rows AS row_count FROM sys.partitions;\n\
         {}COMMIT;",
        rows.inserts(),
        counts.join("\nUNION ALL "),
        own_views(major)
    )
}

/// `all_objects` and `all_columns`: the user's tables and the catalog's own.
fn own_views(major: u32) -> String {
    let (mut objects, mut columns) = (Vec::new(), Vec::new());
    for table in tables(major) {
        // Ids of what the server brings along are negative.
        let id = -object_id(&table.name);
        objects.push(format!("({}, {id}, {SYS})", quoted(&table.name.name)));
        for (index, column) in table.columns.iter().enumerate() {
            columns.push(format!("({id}, {}, {})", quoted(&column.name), index + 1));
        }
    }
    format!(
        "CREATE OR REPLACE VIEW sys.all_objects AS SELECT name, object_id, schema_id FROM sys.objects UNION ALL \
         SELECT name, CAST(object_id AS INTEGER), CAST(schema_id AS INTEGER) FROM (VALUES {}) AS v(name, object_id, schema_id);\n\
         CREATE OR REPLACE VIEW sys.all_columns AS SELECT object_id, name, column_id FROM sys.columns UNION ALL \
         SELECT CAST(object_id AS INTEGER), name, CAST(column_id AS INTEGER) FROM (VALUES {}) AS v(object_id, name, column_id);\n",
        objects.join(", "),
        columns.join(", ")
    )
}

/// Whether the rows of a table lie in the order of an index. Without a word on the constraint a primary key is clustered.
fn is_clustered(table: &Table) -> bool {
    let by_key = !table.key.is_empty() && table.primary_key.as_ref().is_none_or(|key| key.clustered);
    by_key || table.indexes.iter().any(|index| index.clustered)
}
