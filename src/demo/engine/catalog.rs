//! The `sys` schema: the catalog views that describe what the engine holds, made from its [`Table`] values.

use std::sync::Arc;

use super::{EngineOptions, constant::quoted};
use crate::model::{
    identifier,
    sql_type::SqlType,
    table::{Column, Table, TableName},
};

/// `database_id` of the one database.
pub(super) const DATABASE_ID: i32 = 5;

/// Views and their columns: name, type, `?` behind types that may be NULL.
const VIEWS: [(&str, &[(&str, &str)]); 13] = [
    ("schemas", &[("name", "sysname"), ("schema_id", "int"), ("principal_id", "int?")]),
    ("tables", OBJECT_COLUMNS),
    ("objects", OBJECT_COLUMNS),
    (
        "columns",
        &[
            ("object_id", "int"),
            ("name", "sysname?"),
            ("column_id", "int"),
            ("system_type_id", "tinyint"),
            ("user_type_id", "int"),
            ("max_length", "smallint"),
            ("precision", "tinyint"),
            ("scale", "tinyint"),
            ("collation_name", "sysname?"),
            ("is_nullable", "bit?"),
            ("is_identity", "bit"),
            ("is_computed", "bit"),
            ("default_object_id", "int"),
        ],
    ),
    (
        "types",
        &[
            ("name", "sysname"),
            ("system_type_id", "tinyint"),
            ("user_type_id", "int"),
            ("schema_id", "int"),
            ("max_length", "smallint"),
            ("precision", "tinyint"),
            ("scale", "tinyint"),
            ("is_user_defined", "bit"),
        ],
    ),
    (
        "indexes",
        &[
            ("object_id", "int"),
            ("name", "sysname?"),
            ("index_id", "int"),
            ("type", "tinyint"),
            ("type_desc", "nvarchar(60)?"),
            ("is_unique", "bit?"),
            ("is_primary_key", "bit?"),
            ("is_unique_constraint", "bit?"),
            ("is_disabled", "bit?"),
        ],
    ),
    (
        "index_columns",
        &[
            ("object_id", "int"),
            ("index_id", "int"),
            ("index_column_id", "int"),
            ("column_id", "int"),
            ("key_ordinal", "tinyint"),
            ("is_descending_key", "bit?"),
            ("is_included_column", "bit?"),
        ],
    ),
    (
        "foreign_keys",
        &[
            ("name", "sysname"),
            ("object_id", "int"),
            ("schema_id", "int"),
            ("parent_object_id", "int"),
            ("referenced_object_id", "int?"),
            ("is_disabled", "bit"),
        ],
    ),
    (
        "foreign_key_columns",
        &[
            ("constraint_object_id", "int"),
            ("constraint_column_id", "int"),
            ("parent_object_id", "int"),
            ("parent_column_id", "int"),
            ("referenced_object_id", "int"),
            ("referenced_column_id", "int"),
        ],
    ),
    (
        "default_constraints",
        &[
            ("name", "sysname"),
            ("object_id", "int"),
            ("parent_object_id", "int"),
            ("parent_column_id", "int"),
            ("definition", "nvarchar(max)?"),
        ],
    ),
    (
        "databases",
        &[
            ("name", "sysname"),
            ("database_id", "int"),
            ("create_date", "datetime"),
            ("compatibility_level", "tinyint"),
            ("collation_name", "sysname?"),
            ("state", "tinyint?"),
            ("state_desc", "nvarchar(60)?"),
            ("snapshot_isolation_state", "tinyint?"),
            ("snapshot_isolation_state_desc", "nvarchar(60)?"),
            ("is_read_committed_snapshot_on", "bit?"),
        ],
    ),
    (
        "partitions",
        &[
            ("partition_id", "bigint"),
            ("object_id", "int"),
            ("index_id", "int"),
            ("partition_number", "int"),
            ("rows", "bigint?"),
        ],
    ),
    ("dm_db_partition_stats", &[("object_id", "int"), ("index_id", "int"), ("row_count", "bigint?")]),
];

const OBJECT_COLUMNS: &[(&str, &str)] = &[
    ("name", "sysname"),
    ("object_id", "int"),
    ("schema_id", "int"),
    ("type", "char(2)?"),
    ("type_desc", "nvarchar(60)?"),
    ("create_date", "datetime"),
    ("modify_date", "datetime"),
    ("is_ms_shipped", "bit"),
];

/// System types: name, `system_type_id`, `user_type_id`, bytes, precision, scale.
const TYPES: [(&str, u8, i32, i16, u8, u8); 35] = [
    ("image", 34, 34, 16, 0, 0),
    ("text", 35, 35, 16, 0, 0),
    ("uniqueidentifier", 36, 36, 16, 0, 0),
    ("date", 40, 40, 3, 10, 0),
    ("time", 41, 41, 5, 16, 7),
    ("datetime2", 42, 42, 8, 27, 7),
    ("datetimeoffset", 43, 43, 10, 34, 7),
    ("tinyint", 48, 48, 1, 3, 0),
    ("smallint", 52, 52, 2, 5, 0),
    ("int", 56, 56, 4, 10, 0),
    ("smalldatetime", 58, 58, 4, 16, 0),
    ("real", 59, 59, 4, 24, 0),
    ("money", 60, 60, 8, 19, 4),
    ("datetime", 61, 61, 8, 23, 3),
    ("float", 62, 62, 8, 53, 0),
    ("sql_variant", 98, 98, 8016, 0, 0),
    ("ntext", 99, 99, 16, 0, 0),
    ("bit", 104, 104, 1, 1, 0),
    ("decimal", 106, 106, 17, 38, 38),
    ("numeric", 108, 108, 17, 38, 38),
    ("smallmoney", 122, 122, 4, 10, 4),
    ("bigint", 127, 127, 8, 19, 0),
    ("hierarchyid", 240, 128, 892, 0, 0),
    ("geometry", 240, 129, -1, 0, 0),
    ("geography", 240, 130, -1, 0, 0),
    ("varbinary", 165, 165, 8000, 0, 0),
    ("varchar", 167, 167, 8000, 0, 0),
    ("binary", 173, 173, 8000, 0, 0),
    ("char", 175, 175, 8000, 0, 0),
    ("timestamp", 189, 189, 8, 0, 0),
    ("nvarchar", 231, 231, 8000, 0, 0),
    ("nchar", 239, 239, 8000, 0, 0),
    ("xml", 241, 241, -1, 0, 0),
    ("json", 244, 244, -1, 0, 0),
    ("vector", 255, 255, 8000, 0, 0),
];

/// The views of this module as tables, so that queries over them are translated like all others.
pub(super) fn tables() -> Vec<Table> {
    VIEWS
        .iter()
        .map(|(name, columns)| Table {
            name: TableName { schema: "sys".into(), name: (*name).into() },
            columns: columns
                .iter()
                .map(|(name, sql_type)| {
                    let Ok(parsed) = sql_type.trim_end_matches('?').parse();
                    Column {
                        name: (*name).into(),
                        sql_type: parsed,
                        nullable: sql_type.ends_with('?'),
                        ..Column::default()
                    }
                })
                .collect(),
            key: Vec::new(),
            ..Table::default()
        })
        .collect()
}

/// Whether the engine keeps this one as a view, since its figures change with the data.
pub(super) fn is_view(table: &Table) -> bool {
    table.name.schema == "sys" && matches!(table.name.name.as_str(), "partitions" | "dm_db_partition_stats")
}

/// `object_id` of a table: a positive number made from its name, the same in every run.
pub(super) fn object_id(name: &TableName) -> i32 {
    number_of(&format!("{}.{}", name.schema.to_lowercase(), name.name.to_lowercase()))
}

fn number_of(text: &str) -> i32 {
    let hash = blake3::hash(text.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    i32::from_le_bytes([a, b, c, d & 0x7F]) | 0x100
}

/// DuckDB's script that fills the views for these tables.
pub(super) fn script<'a>(tables: impl Iterator<Item = &'a Arc<Table>>, options: &EngineOptions) -> String {
    let mut rows = Rows::default();
    let mut counts = Vec::new();
    let mut schemas = vec!["dbo".to_owned(), "guest".to_owned(), "INFORMATION_SCHEMA".to_owned(), "sys".to_owned()];
    for table in tables.filter(|table| table.name.schema != "sys") {
        if !schemas.contains(&table.name.schema) {
            schemas.push(table.name.schema.clone());
        }
        let schema_id = schemas.iter().position(|schema| *schema == table.name.schema).unwrap_or_default() + 1;
        let id = object_id(&table.name);
        let object = format!(
            "{}, {id}, {schema_id}, 'U ', 'USER_TABLE', TIMESTAMP '2018-04-03 10:11:12', TIMESTAMP '2018-04-03 10:11:12', false",
            quoted(&table.name.name)
        );
        rows.add("tables", object.clone());
        rows.add("objects", object);
        for (index, column) in table.columns.iter().enumerate() {
            rows.column(table, index, column, options);
        }
        rows.keys(table, schema_id);
        let index_id = i32::from(!table.key.is_empty());
        counts.push(format!(
            "SELECT CAST({id} AS BIGINT) AS partition_id, CAST({id} AS INTEGER) AS object_id, CAST({index_id} AS INTEGER) AS index_id, \
             CAST(1 AS INTEGER) AS partition_number, (SELECT count(*) FROM {}.{}) AS rows",
            identifier::quoted(&table.name.schema),
            identifier::quoted(&table.name.name)
        ));
    }
    for (index, schema) in schemas.iter().enumerate() {
        rows.add("schemas", format!("{}, {}, 1", quoted(schema), index + 1));
    }
    for (name, system, user, bytes, precision, scale) in TYPES {
        rows.add("types", format!("'{name}', {system}, {user}, 4, {bytes}, {precision}, {scale}, false"));
    }
    rows.add("types", "'sysname', 231, 256, 4, 256, 0, 0, false".into());
    rows.add("databases", database(options));
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
         COMMIT;",
        rows.inserts(),
        counts.join("\nUNION ALL ")
    )
}

fn database(options: &EngineOptions) -> String {
    let (state, word) = if options.allow_snapshot_isolation { (1, "ON") } else { (0, "OFF") };
    format!(
        "{}, {DATABASE_ID}, TIMESTAMP '2018-04-03 10:11:12', 140, {}, 0, 'ONLINE', {state}, '{word}', false",
        quoted(&options.database),
        quoted(&options.collation)
    )
}

/// Rows of the views, gathered per view.
#[derive(Default)]
struct Rows(Vec<(&'static str, Vec<String>)>);

impl Rows {
    fn add(&mut self, view: &'static str, row: String) {
        match self.0.iter_mut().find(|(name, _)| *name == view) {
            Some((_, rows)) => rows.push(row),
            None => self.0.push((view, vec![row])),
        }
    }

    fn inserts(&self) -> String {
        let mut script = String::new();
        for (view, _) in VIEWS {
            if !matches!(view, "partitions" | "dm_db_partition_stats") {
                script.push_str(&format!("DELETE FROM sys.{view};\n"));
            }
        }
        for (view, rows) in &self.0 {
            script.push_str(&format!("INSERT INTO sys.{view} VALUES ({});\n", rows.join("), (")));
        }
        script
    }

    fn column(&mut self, table: &Table, index: usize, column: &Column, options: &EngineOptions) {
        let id = object_id(&table.name);
        let column_id = index + 1;
        let shape = Shape::of(&column.sql_type);
        let text = super::typing::family(&column.sql_type) == super::typing::Family::Text;
        let collation = match &column.collation {
            Some(collation) => quoted(collation),
            None if text => quoted(&options.collation),
            None => "NULL".into(),
        };
        let mut default_id = 0;
        if let Some(definition) = &column.default {
            let name = format!("DF__{}__{}", table.name.name, column.name);
            default_id = number_of(&name);
            let definition = quoted(definition);
            self.add(
                "default_constraints",
                format!("{}, {default_id}, {id}, {column_id}, {definition}", quoted(&name)),
            );
        }
        self.add(
            "columns",
            format!(
                "{id}, {}, {column_id}, {}, {}, {}, {}, {}, {collation}, {}, {}, false, {default_id}",
                quoted(&column.name),
                shape.system,
                shape.user,
                shape.bytes,
                shape.precision,
                shape.scale,
                column.nullable,
                column.identity
            ),
        );
    }

    fn keys(&mut self, table: &Table, schema_id: usize) {
        let id = object_id(&table.name);
        let position =
            |name: &str| table.columns.iter().position(|column| column.name == name).map_or(0, |index| index + 1);
        if table.key.is_empty() {
            self.add("indexes", format!("{id}, NULL, 0, 0, 'HEAP', false, false, false, false"));
        } else {
            let name = quoted(&format!("PK_{}.{}", table.name.schema, table.name.name));
            self.add("indexes", format!("{id}, {name}, 1, 1, 'CLUSTERED', true, true, false, false"));
        }
        for (index, key) in table.key.iter().enumerate() {
            let ordinal = index + 1;
            self.add("index_columns", format!("{id}, 1, {ordinal}, {}, {ordinal}, false, false", position(key)));
        }
        for foreign in &table.foreign_keys {
            let key_id = number_of(&format!("{}.{}", table.name, foreign.name));
            let other = object_id(&foreign.references);
            self.add("foreign_keys", format!("{}, {key_id}, {schema_id}, {id}, {other}, false", quoted(&foreign.name)));
            for (index, (column, referenced)) in foreign.columns.iter().zip(&foreign.referenced_columns).enumerate() {
                // Ids of columns in the other table are not known here; DuckDB looks them up.
                let lookup = format!(
                    "coalesce((SELECT column_id FROM sys.columns WHERE object_id = {other} AND name = {}), 0)",
                    quoted(referenced)
                );
                self.add(
                    "foreign_key_columns",
                    format!("{key_id}, {}, {id}, {}, {other}, {lookup}", index + 1, position(column)),
                );
            }
        }
    }
}

/// How `sys.columns` describes a type.
struct Shape {
    system: u8,
    user: i32,
    bytes: i16,
    precision: u8,
    scale: u8,
}

impl Shape {
    fn of(sql_type: &SqlType) -> Self {
        let spelled = sql_type.to_string();
        let name = spelled.split('(').next().unwrap_or_default();
        let name = if name == "rowversion" { "timestamp" } else { name };
        let (_, system, user, bytes, precision, scale) =
            TYPES.into_iter().find(|(known, ..)| *known == name).unwrap_or(TYPES[15]);
        let mut shape = Self { system, user, bytes, precision, scale };
        let length = |length: &Option<u16>, unit: u16| {
            length.and_then(|n| n.checked_mul(unit)).and_then(|n| i16::try_from(n).ok()).unwrap_or(-1)
        };
        match sql_type {
            SqlType::Decimal { precision, scale } => {
                shape.precision = *precision;
                shape.scale = *scale;
                shape.bytes = match precision {
                    0..=9 => 5,
                    10..=19 => 9,
                    20..=28 => 13,
                    _ => 17,
                };
            }
            SqlType::Time { scale } | SqlType::DateTime2 { scale } | SqlType::DateTimeOffset { scale } => {
                shape.scale = *scale;
                shape.precision -= (7 - (*scale).min(7)) + u8::from(*scale == 0);
                shape.bytes -= match scale {
                    0..=2 => 2,
                    3..=4 => 1,
                    _ => 0,
                };
            }
            SqlType::Char { length: n } | SqlType::VarChar { length: n } => shape.bytes = length(n, 1),
            SqlType::NChar { length: n } | SqlType::NVarChar { length: n } => shape.bytes = length(n, 2),
            SqlType::Binary { length: n } | SqlType::VarBinary { length: n } => shape.bytes = length(n, 1),
            _ => {}
        }
        shape
    }
}
