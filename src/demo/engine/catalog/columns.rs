//! Rows about columns and their types.

use super::{
    number_of, object_id, quoted,
    rows::{CLR, Rows, shown},
    views::TYPES,
};
use crate::{
    demo::engine::{EngineOptions, typing},
    model::{
        sql_type::SqlType,
        table::{Column, Table},
    },
};

impl Rows {
    /// The id of a user's type, which is made when it is first met.
    fn user_type(&mut self, column: &Column, shape: &Shape) -> i32 {
        let Some(declared) = &column.user_type else { return shape.user };
        let name = format!("{}.{}", declared.schema, declared.name);
        if let Some((_, id)) = self.types.iter().find(|(known, _)| *known == name) {
            return *id;
        }
        let id = 257 + i32::try_from(self.types.len()).unwrap_or_default();
        self.types.push((name, id));
        let values = [
            ("name", quoted(&declared.name)),
            ("system_type_id", shape.system.to_string()),
            ("user_type_id", id.to_string()),
            // Schemas are numbered in the order of the tables; those of types are all `dbo` here.
            ("schema_id", "1".into()),
            ("max_length", shape.bytes.to_string()),
            ("precision", shape.precision.to_string()),
            ("scale", shape.scale.to_string()),
            ("is_user_defined", "true".into()),
            ("is_assembly_type", column.clr.to_string()),
        ];
        self.add("types", &values);
        id
    }

    pub(super) fn column(&mut self, table: &Table, index: usize, column: &Column, options: &EngineOptions) {
        // The catalog has the declared type of an encrypted column.
        let declared = column.encrypted.as_deref().map_or_else(|| column.sql_type.clone(), parsed);
        let shape = Shape::of(&declared);
        let text = typing::family(&declared) == typing::Family::Text;
        let collation = match &column.collation {
            Some(collation) => quoted(collation),
            None if text => quoted(&options.collation),
            None => "NULL".into(),
        };
        let id = ("object_id", object_id(&table.name).to_string());
        let name = ("name", quoted(&column.name));
        let column_id = ("column_id", (index + 1).to_string());
        let number = |value: Option<i32>| value.map_or("NULL".to_owned(), |value| value.to_string());
        let generated = column.generated.as_deref().map(|word| if word == "row end" { 2 } else { 1 });
        let values = [
            id.clone(),
            name.clone(),
            column_id.clone(),
            ("system_type_id", shape.system.to_string()),
            ("user_type_id", self.user_type(column, &shape).to_string()),
            ("max_length", shape.bytes.to_string()),
            ("precision", shape.precision.to_string()),
            ("scale", shape.scale.to_string()),
            ("collation_name", collation),
            ("is_nullable", column.nullable.to_string()),
            ("is_identity", column.identity.to_string()),
            ("is_computed", column.computed.is_some().to_string()),
            ("default_object_id", self.default(table, index, column).to_string()),
            ("is_rowguidcol", column.row_guid.to_string()),
            ("is_sparse", column.sparse.to_string()),
            ("is_column_set", column.column_set.to_string()),
            ("generated_always_type", number(generated.or(Some(0)))),
            ("encryption_type", number(column.encrypted.as_ref().map(|_| 1))),
            ("is_masked", column.mask.is_some().to_string()),
            ("graph_type", number(graph_type(table, column))),
        ];
        self.add("columns", &values);
        if column.identity {
            let figure = |number: Option<&String>| number.map_or("'1'".to_owned(), |text| quoted(text));
            let numbering = column.numbering.as_ref();
            let seed = ("seed_value", figure(numbering.map(|numbering| &numbering.seed)));
            let increment = ("increment_value", figure(numbering.map(|numbering| &numbering.increment)));
            self.add("identity_columns", &[id.clone(), name.clone(), column_id.clone(), seed, increment]);
        }
        if let Some(computed) = &column.computed {
            let definition = ("definition", shown(&computed.expression));
            let persisted = ("is_persisted", computed.persisted.to_string());
            self.add("computed_columns", &[id.clone(), name.clone(), column_id.clone(), definition, persisted]);
        }
        if let Some(mask) = &column.mask {
            let function = ("masking_function", quoted(mask));
            self.add("masked_columns", &[id, name, column_id, ("is_masked", "true".into()), function]);
        }
    }

    /// The id of a column's default.
    fn default(&mut self, table: &Table, index: usize, column: &Column) -> i32 {
        if column.default.is_none() && column.default_name.is_none() {
            return 0;
        }
        let name = column.default_name.clone().unwrap_or_else(|| format!("DF__{}__{}", table.name.name, column.name));
        let id = number_of(&format!("{}.{name}", table.name));
        let values = [
            ("name", quoted(&name)),
            ("object_id", id.to_string()),
            ("parent_object_id", object_id(&table.name).to_string()),
            ("parent_column_id", (index + 1).to_string()),
            ("definition", column.default.as_deref().map_or("NULL".into(), quoted)),
        ];
        self.add("default_constraints", &values);
        id
    }
}

/// The inner columns of graph tables, by the names they begin with on a real server.
fn graph_type(table: &Table, column: &Column) -> Option<i32> {
    let word = table.kind.as_deref()?;
    let inner = [("graph_id_", 1), ("$node_id_", 2), ("$edge_id_", 2), ("from_id_", 4), ("to_id_", 7)];
    let place = inner.iter().find(|(prefix, _)| column.name.starts_with(prefix));
    place.filter(|_| word.starts_with("graph")).map(|(_, number)| *number)
}

fn parsed(text: &str) -> SqlType {
    let Ok(sql_type) = text.parse();
    sql_type
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
        if matches!(sql_type, SqlType::Clr(_)) {
            shape.system = CLR;
        }
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
