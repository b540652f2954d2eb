//! Rows about indexes and constraints.

use std::sync::Arc;

use super::{
    is_clustered, number_of, object_id, quoted,
    rows::{Rows, shown},
};
use crate::model::table::Table;

impl Rows {
    fn index(&mut self, table: &Table, index_id: usize, kind: i32, values: &[(&'static str, String)]) {
        let mut all = vec![
            ("object_id", object_id(&table.name).to_string()),
            ("index_id", index_id.to_string()),
            ("type", kind.to_string()),
            ("is_unique", "false".into()),
            ("is_primary_key", "false".into()),
            ("is_unique_constraint", "false".into()),
            ("is_disabled", "false".into()),
            ("is_hypothetical", "false".into()),
            ("has_filter", "false".into()),
        ];
        all.retain(|(name, _)| !values.iter().any(|(given, _)| given == name));
        all.extend(values.iter().cloned());
        self.add("indexes", &all);
    }

    /// One column of an index; `ordinal` 0 is a column that is carried along or tells partitions apart.
    fn index_column(
        &mut self,
        table: &Table,
        index_id: usize,
        place: usize,
        ordinal: usize,
        name: &str,
        flags: [bool; 2],
    ) {
        let position = table.columns.iter().position(|column| column.name == name).map_or(0, |index| index + 1);
        let values = [
            ("object_id", object_id(&table.name).to_string()),
            ("index_id", index_id.to_string()),
            ("index_column_id", place.to_string()),
            ("column_id", position.to_string()),
            ("key_ordinal", ordinal.to_string()),
            ("is_descending_key", flags[0].to_string()),
            ("is_included_column", flags[1].to_string()),
        ];
        self.add("index_columns", &values);
    }

    pub(super) fn indexes(&mut self, table: &Table) {
        if !is_clustered(table) {
            self.index(table, 0, 0, &[("type_desc", "'HEAP'".into())]);
        }
        let mut next = 2;
        let mut id = |clustered: bool| {
            if clustered {
                return 1;
            }
            next += 1;
            next - 1
        };
        if !table.key.is_empty() {
            let constraint = table.primary_key.clone();
            let clustered = constraint.as_ref().is_none_or(|key| key.clustered);
            let name = constraint.as_ref().map(|key| key.name.clone()).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| format!("PK_{}.{}", table.name.schema, table.name.name));
            let index_id = id(clustered);
            let set = |name| (name, "true".to_owned());
            let kind = if clustered { 1 } else { 2 };
            self.index(table, index_id, kind, &[("name", quoted(&name)), set("is_unique"), set("is_primary_key")]);
            for (place, key) in table.key.iter().enumerate() {
                let descending = constraint.as_ref().is_some_and(|constraint| constraint.descending.contains(key));
                self.index_column(table, index_id, place + 1, place + 1, key, [descending, false]);
            }
        }
        for index in &table.indexes {
            let kind = match index.kind.as_deref() {
                Some("xml") => 3,
                Some("spatial") => 4,
                Some("columnstore") => 6 - i32::from(index.clustered),
                Some("hash") => 7,
                _ => 2 - i32::from(index.clustered),
            };
            let index_id = id(index.clustered);
            let values = [
                ("name", quoted(&index.name)),
                ("is_unique", index.unique.to_string()),
                ("is_unique_constraint", index.constraint.to_string()),
                ("is_disabled", index.disabled.to_string()),
                ("has_filter", index.filter.is_some().to_string()),
                ("filter_definition", index.filter.as_deref().map_or("NULL".into(), quoted)),
            ];
            self.index(table, index_id, kind, &values);
            for (place, column) in index.columns.iter().enumerate() {
                self.index_column(table, index_id, place + 1, place + 1, &column.name, [column.descending, false]);
            }
            for (place, column) in index.included.iter().enumerate() {
                self.index_column(table, index_id, index.columns.len() + place + 1, 0, column, [false, true]);
            }
        }
    }

    pub(super) fn constraints(&mut self, table: &Table, schema_id: usize, tables: &[&Arc<Table>]) {
        let id = object_id(&table.name);
        let place = |table: &Table, name: &str| {
            table.columns.iter().position(|column| column.name == name).map_or(0, |index| index + 1)
        };
        for check in &table.checks {
            let values = [
                ("name", quoted(&check.name)),
                ("object_id", number_of(&format!("{}.{}", table.name, check.name)).to_string()),
                ("parent_object_id", id.to_string()),
                ("is_disabled", check.disabled.to_string()),
                ("is_not_trusted", check.untrusted.to_string()),
                ("definition", shown(&check.expression)),
            ];
            self.add("check_constraints", &values);
        }
        for foreign in &table.foreign_keys {
            let key_id = number_of(&format!("{}.{}", table.name, foreign.name));
            let other = object_id(&foreign.references);
            let values = [
                ("name", quoted(&foreign.name)),
                ("object_id", key_id.to_string()),
                ("schema_id", schema_id.to_string()),
                ("parent_object_id", id.to_string()),
                ("referenced_object_id", other.to_string()),
                ("is_disabled", foreign.disabled.to_string()),
                ("is_not_trusted", foreign.untrusted.to_string()),
                ("delete_referential_action", action(foreign.on_delete.as_deref()).to_string()),
                ("update_referential_action", action(foreign.on_update.as_deref()).to_string()),
            ];
            self.add("foreign_keys", &values);
            let target = tables.iter().find(|table| table.name == foreign.references);
            for (index, (column, referenced)) in foreign.columns.iter().zip(&foreign.referenced_columns).enumerate() {
                let values = [
                    ("constraint_object_id", key_id.to_string()),
                    ("constraint_column_id", (index + 1).to_string()),
                    ("parent_object_id", id.to_string()),
                    ("parent_column_id", place(table, column).to_string()),
                    ("referenced_object_id", other.to_string()),
                    ("referenced_column_id", target.map_or(0, |target| place(target, referenced)).to_string()),
                ];
                self.add("foreign_key_columns", &values);
            }
        }
    }
}

fn action(words: Option<&str>) -> i32 {
    match words {
        Some("cascade") => 1,
        Some("set null") => 2,
        Some("set default") => 3,
        _ => 0,
    }
}
