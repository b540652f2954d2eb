//! Rows of the catalog views, gathered per view, and those about tables, types and the database.

use super::{BIRTH, DATABASE_ID, SYS, declared, is_view, object_id, quoted, tables, views::VIEWS};
use crate::{demo::engine::EngineOptions, model::table::Table};

/// `system_type_id` of all types of the CLR.
pub(super) const CLR: u8 = 240;

/// Rows of the views, gathered per view.
pub(super) struct Rows {
    major: u32,
    rows: Vec<(&'static str, Vec<String>)>,
    /// Users' types so far, with their ids.
    pub(super) types: Vec<(String, i32)>,
}

impl Rows {
    pub(super) fn new(major: u32) -> Self {
        Self { major, rows: Vec::new(), types: Vec::new() }
    }

    /// A row of a view: the values that are given, NULL or nothing in the other columns.
    pub(super) fn add(&mut self, view: &'static str, values: &[(&str, String)]) {
        let columns = VIEWS.iter().find(|(name, _)| *name == view).map_or(&[] as &[_], |(_, columns)| columns);
        let row: Vec<String> = columns
            .iter()
            .filter(|(_, sql_type)| self.major >= declared(sql_type).2)
            .map(|(name, sql_type)| match values.iter().find(|(given, _)| given == name) {
                Some((_, value)) => value.clone(),
                None => absent(sql_type).to_owned(),
            })
            .collect();
        if row.is_empty() {
            return;
        }
        match self.rows.iter_mut().find(|(name, _)| *name == view) {
            Some((_, rows)) => rows.push(row.join(", ")),
            None => self.rows.push((view, vec![row.join(", ")])),
        }
    }

    pub(super) fn inserts(&self) -> String {
        let mut script = String::new();
        for table in tables(self.major).iter().filter(|table| !is_view(table)) {
            script.push_str(&format!("DELETE FROM sys.{};\n", table.name.name));
        }
        for (view, rows) in &self.rows {
            script.push_str(&format!("INSERT INTO sys.{view} VALUES ({});\n", rows.join("), (")));
        }
        script
    }

    pub(super) fn object(&mut self, table: &Table, schema_id: usize) {
        let kind = table.kind.as_deref().unwrap_or_default();
        let flag = |word: &str| (kind == word).to_string();
        let temporal = match kind {
            "history" => 1,
            "system versioned" | "system versioned, memory optimised" => 2,
            _ => 0,
        };
        let values = [
            ("name", quoted(&table.name.name)),
            ("object_id", object_id(&table.name).to_string()),
            ("schema_id", schema_id.to_string()),
            ("type", "'U '".into()),
            ("type_desc", "'USER_TABLE'".into()),
            ("create_date", BIRTH.into()),
            ("modify_date", BIRTH.into()),
            ("is_filetable", flag("file table")),
            ("is_memory_optimized", table.is_memory_optimised().to_string()),
            ("temporal_type", temporal.to_string()),
            ("history_table_id", table.history.as_ref().map_or("NULL".into(), |name| object_id(name).to_string())),
            ("is_external", flag("external")),
            ("is_node", flag("graph node")),
            ("is_edge", flag("graph edge")),
            ("ledger_type", i32::from(kind == "ledger").to_string()),
        ];
        self.add("tables", &values);
        self.add("objects", &values);
    }

    pub(super) fn system_type(&mut self, name: &str, system: u8, user: i32, bytes: i16, precision: u8, scale: u8) {
        let values = [
            ("name", quoted(name)),
            ("system_type_id", system.to_string()),
            ("user_type_id", user.to_string()),
            ("schema_id", SYS.to_string()),
            ("max_length", bytes.to_string()),
            ("precision", precision.to_string()),
            ("scale", scale.to_string()),
            ("is_assembly_type", (system == CLR).to_string()),
        ];
        self.add("types", &values);
    }

    pub(super) fn database(&mut self, options: &EngineOptions) {
        let (state, word) = if options.allow_snapshot_isolation { ("1", "'ON'") } else { ("0", "'OFF'") };
        let values = [
            ("name", quoted(&options.database)),
            ("database_id", DATABASE_ID.to_string()),
            ("create_date", BIRTH.into()),
            ("compatibility_level", "140".into()),
            ("collation_name", quoted(&options.collation)),
            ("state", "0".into()),
            ("state_desc", "'ONLINE'".into()),
            ("snapshot_isolation_state", state.into()),
            ("snapshot_isolation_state_desc", word.into()),
            ("is_read_committed_snapshot_on", "false".into()),
        ];
        self.add("databases", &values);
    }
}

/// What stands in a column that nothing is said about.
fn absent(sql_type: &str) -> &'static str {
    match declared(sql_type) {
        (_, true, _) => "NULL",
        ("bit", ..) => "false",
        ("sysname", ..) => "''",
        _ => "0",
    }
}

/// An expression; an empty one is hidden from the login.
pub(super) fn shown(expression: &str) -> String {
    if expression.is_empty() { "NULL".into() } else { quoted(expression) }
}
