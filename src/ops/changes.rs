//! What changed in the till's tables since the snapshot before: their shape, not their rows (DOMAIN §2: columns differ by
//! version and by site; they come and go with updates and integrations).
//!
//! [`compare`] is pure: two descriptions in, changes out. A snapshot always goes on with the shape of now; what is said here
//! is for people. [`confirm`] asks the till itself before a table is taken for gone: "not shown" is never "nothing there"
//! without the till's own word, given at the moment the neighbouring tables were read (DOMAIN §3.1).

use std::fmt;

use serde::Serialize;

use crate::{
    archive::snapshot::Snapshot,
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{Column, Table, TableName},
    },
    observe::Event,
    source::{Presence, Source},
};

/// One change of a table's shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Table, by display name.
    pub table: String,
    /// What happened to it.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum What {
    /// It was not there before.
    NewTable,
    /// It has a column more.
    NewColumn {
        /// Column.
        column: String,
    },
    /// It has a column less.
    LostColumn {
        /// Column.
        column: String,
    },
    /// A column is left out from now on, as a secret or since the server masks it; it is still there.
    LeftOut {
        /// Column.
        column: String,
    },
    /// A column has another type.
    Type {
        /// Column.
        column: String,
        /// Type before.
        from: String,
        /// Type now.
        to: String,
    },
    /// A column allows NULL now, or does not any more.
    Nullable {
        /// Column.
        column: String,
        /// Whether it allows NULL now.
        allowed: bool,
    },
    /// Rows are told apart by other columns.
    Key {
        /// Key before.
        from: Vec<String>,
        /// Key now.
        to: Vec<String>,
    },
}

impl Change {
    /// Whether something may be lacking from now on that was there before, or means something else: worth a warning. The
    /// others are worth a line.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        matches!(self.what, What::LostColumn { .. } | What::Type { .. } | What::Key { .. } | What::LeftOut { .. })
    }

    /// As an event.
    #[must_use]
    pub fn event(&self) -> Event {
        let message = self.to_string();
        if self.is_doubtful() { Event::Warning { message } } else { Event::Note { message } }
    }
}

/// One sentence.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        match &self.what {
            What::NewTable => write!(f, "table {table} is new in the till"),
            What::NewColumn { column } => write!(f, "table {table} has a new column {column}"),
            What::LostColumn { column } => write!(
                f,
                "table {table} has no column {column} any more: its values stay in the snapshots before this one"
            ),
            What::LeftOut { column } => write!(
                f,
                "column {column} of table {table} is left out from now on: its values stay in the snapshots before this one"
            ),
            What::Type { column, from, to } => {
                write!(f, "column {column} of table {table} was {from} and is {to}")?;
                let kept = |text: &str| text.parse::<SqlType>().ok().and_then(|sql_type| sql_type.arrow());
                if kept(from) == kept(to) { Ok(()) } else { f.write_str(": the table's rows are written anew") }
            }
            What::Nullable { column, allowed: true } => write!(f, "column {column} of table {table} allows NULL now"),
            What::Nullable { column, allowed: false } => {
                write!(f, "column {column} of table {table} does not allow NULL any more")
            }
            What::Key { from, to } => write!(
                f,
                "rows of table {table} were told apart by {} and are by {}: it is cut anew",
                list(from),
                list(to)
            ),
        }
    }
}

/// What changed between the tables of the snapshot before and those of now, in the order of now. Without a snapshot before
/// nothing did. Tables that are gone are not among them: see [`confirm`].
#[must_use]
pub fn compare(before: Option<&Snapshot>, now: &[Table]) -> Vec<Change> {
    let Some(before) = before else { return Vec::new() };
    let mut changes = Vec::new();
    for table in now {
        let name = table.name.to_string();
        match before.table(&name) {
            Some(entry) => shape(&entry.table, table, &mut changes),
            // A table that could not be read for a while is not new.
            None if before.missing.iter().any(|missing| missing.table == name) => {}
            None => changes.push(Change { table: name, what: What::NewTable }),
        }
    }
    changes
}

fn shape(before: &Table, now: &Table, changes: &mut Vec<Change>) {
    let mut add = |what| changes.push(Change { table: now.name.to_string(), what });
    for column in &before.columns {
        let name = column.name.clone();
        match now.column(&column.name) {
            Some(same) => compare_column(column, same, &mut add),
            None if now.left_out.contains(&name) || now.masked.contains(&name) => add(What::LeftOut { column: name }),
            None => add(What::LostColumn { column: name }),
        }
    }
    for column in now.columns.iter().filter(|column| before.column(&column.name).is_none()) {
        add(What::NewColumn { column: column.name.clone() });
    }
    if before.key != now.key {
        add(What::Key { from: before.key.clone(), to: now.key.clone() });
    }
}

fn compare_column(before: &Column, now: &Column, add: &mut impl FnMut(What)) {
    if before.sql_type != now.sql_type {
        let (from, to) = (before.sql_type.to_string(), now.sql_type.to_string());
        add(What::Type { column: now.name.clone(), from, to });
    }
    if before.nullable != now.nullable {
        add(What::Nullable { column: now.name.clone(), allowed: now.nullable });
    }
}

/// Asks the till for its own word on a table that its catalog did not list or whose rows are all gone, inside the read
/// transaction where there is one. `rows` is what the run saw: `None` for a table that was not listed, `Some(0)` for one that
/// read empty.
///
/// # Errors
/// `Source`, temporary, when the till contradicts what the run saw: then its catalog or the table moved meanwhile, and the
/// state read so far is not one state. Else as [`Source::presence`].
pub async fn confirm(source: &mut dyn Source, table: &TableName, rows: Option<u64>) -> Result<()> {
    let seen = rows.map_or(Presence::Absent, Presence::Rows);
    let Some(answer) = source.presence(table).await? else { return Ok(()) };
    if answer == seen {
        return Ok(());
    }
    let words = |presence: Presence| match presence {
        Presence::Absent => "was not there".to_owned(),
        Presence::Rows(rows) => format!("had {rows} rows"),
    };
    let message = format!("table {table} {} at first and {} when asked again", words(seen), words(answer));
    Err(Error::new(Kind::Source, message).hint("somebody is at work on the till's database: run again").temporary())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str)], key: &[&str]) -> Table {
        let columns = columns.iter().map(|(name, sql_type)| Column::new(*name, sql_type.parse().unwrap())).collect();
        Table::new(TableName::dbo("T"), columns).with_key(key)
    }

    fn told(before: &Table, now: &Table) -> Vec<(String, bool)> {
        let mut changes = Vec::new();
        shape(before, now, &mut changes);
        changes.iter().map(|change| (change.to_string(), change.is_doubtful())).collect()
    }

    #[test]
    fn every_change_of_shape_is_told() {
        let before = table(&[("Id", "int"), ("Name", "nvarchar(50)"), ("Old", "bit"), ("Pin", "int")], &["Id"]);
        let mut now = table(&[("Id", "bigint"), ("Name", "nvarchar(100)"), ("New", "bit")], &["Id", "New"]);
        now.columns[1].nullable = false;
        now.left_out.push("Pin".into());
        let expected = [
            ("column Id of table T was int and is bigint: the table's rows are written anew", true),
            ("column Name of table T was nvarchar(50) and is nvarchar(100)", true),
            ("column Name of table T does not allow NULL any more", false),
            ("table T has no column Old any more: its values stay in the snapshots before this one", true),
            ("column Pin of table T is left out from now on: its values stay in the snapshots before this one", true),
            ("table T has a new column New", false),
            ("rows of table T were told apart by Id and are by Id, New: it is cut anew", true),
        ];
        let found = told(&before, &now);
        let found: Vec<(&str, bool)> = found.iter().map(|(text, doubtful)| (text.as_str(), *doubtful)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_only_a_restore_needs_is_no_change() {
        let before = table(&[("Id", "int")], &["Id"]);
        let mut now = before.clone();
        now.heap = true;
        now.columns[0].default_name = Some("DF".into());
        assert_eq!(told(&before, &now), []);
    }

    #[test]
    fn changes_have_stable_names_for_programs() {
        let change = Change { table: "T".into(), what: What::NewColumn { column: "C".into() } };
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(text, r#"{"table":"T","change":"new-column","column":"C"}"#);
    }
}
