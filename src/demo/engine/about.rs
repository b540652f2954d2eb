//! What the server says of itself, of the login's rights and of the state of the database: the questions of `doctor`.
//!
//! [`About`] sets the answers. Nothing is enforced by them apart from the sign-in to a database that is not open: whoever may
//! not read a table is told so, and an armed fault refuses the reading.

use super::{
    EngineOptions, SqlError,
    constant::quoted,
    translate::{Translator, Typed},
};
use crate::model::{
    sql_type::SqlType,
    table::{Column, Table, TableName},
};

/// What the server says of rights and states.
#[derive(Clone, Debug)]
pub struct About {
    /// Roles of the server the login is in, such as `sysadmin`.
    pub server_roles: Vec<String>,
    /// Roles of the database the user is in.
    pub database_roles: Vec<String>,
    /// Rights beyond `SELECT` on the database and on every table, such as `UPDATE`.
    pub rights: Vec<String>,
    /// Tables of `dbo` that may not be read.
    pub unreadable: Vec<String>,
    /// Columns, as `Table.Column`, that may not be read.
    pub unreadable_columns: Vec<String>,
    /// State of the database; only `ONLINE` lets anybody in.
    pub state: String,
    /// Who may use the database: `MULTI_USER`, `SINGLE_USER`, `RESTRICTED_USER`.
    pub user_access: String,
    /// Whether the login has a user in the database; without one the sign-in to it fails.
    pub lets_in: bool,
    /// Whether the database is read-only.
    pub read_only: bool,
    /// Compatibility level.
    pub compatibility: u8,
    /// Whether plain readers see the last committed rows.
    pub read_committed_snapshot: bool,
    /// Size of the data files in pages of 8 KiB.
    pub file_pages: u32,
    /// Seconds that the clock of the world is behind the wall clock; `None`: what this machine's zone says.
    pub seconds_east: Option<i64>,
    /// `@@VERSION`, where it is not SQL Server's.
    pub version_text: Option<String>,
    /// Catalog views that the server lacks.
    pub missing_views: Vec<String>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            server_roles: Vec::new(),
            database_roles: vec!["db_datareader".into()],
            rights: Vec::new(),
            unreadable: Vec::new(),
            unreadable_columns: Vec::new(),
            state: "ONLINE".into(),
            user_access: "MULTI_USER".into(),
            lets_in: true,
            read_only: false,
            compatibility: 140,
            read_committed_snapshot: false,
            file_pages: 9216,
            seconds_east: None,
            version_text: None,
            missing_views: Vec::new(),
        }
    }
}

impl About {
    /// Whether the login may open the database now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lets_in && self.state.eq_ignore_ascii_case("ONLINE")
    }

    pub(super) fn lacks_view(&self, schema: &str, name: &str) -> bool {
        schema.eq_ignore_ascii_case("sys") && self.missing_views.iter().any(|view| view.eq_ignore_ascii_case(name))
    }
}

/// Views that describe sizes, besides those of `catalog`.
pub(super) fn tables() -> Vec<Table> {
    let view = |name: &str, columns: &[(&str, SqlType)]| {
        let columns = columns.iter().map(|(name, sql_type)| Column::new(*name, sql_type.clone())).collect();
        Table::new(TableName { schema: "sys".into(), name: name.into() }, columns)
    };
    vec![
        view(
            "allocation_units",
            &[
                ("container_id", SqlType::BigInt),
                ("type", SqlType::TinyInt),
                ("total_pages", SqlType::BigInt),
                ("used_pages", SqlType::BigInt),
            ],
        ),
        view("database_files", &[("type", SqlType::TinyInt), ("size", SqlType::Int)]),
    ]
}

/// Whether the table is one of [`tables`].
pub(super) fn is_view(table: &Table) -> bool {
    table.name.schema == "sys" && matches!(table.name.name.as_str(), "allocation_units" | "database_files")
}

/// DuckDB's script that makes the views, and says in `sys.databases` what `options` say.
pub(super) fn script(options: &EngineOptions) -> String {
    let about = &options.about;
    format!(
        "CREATE OR REPLACE VIEW sys.allocation_units AS SELECT partition_id AS container_id, CAST(1 AS UTINYINT) AS type, \
         CAST(rows // 20 + 1 AS BIGINT) AS total_pages, CAST(rows // 20 + 1 AS BIGINT) AS used_pages FROM sys.partitions;\n\
         CREATE OR REPLACE VIEW sys.database_files AS SELECT CAST(0 AS UTINYINT) AS type, CAST({} AS INTEGER) AS size;\n\
         UPDATE sys.\"databases\" SET compatibility_level = {}, state_desc = {}, is_read_committed_snapshot_on = {};",
        about.file_pages,
        about.compatibility,
        quoted(&about.state),
        about.read_committed_snapshot,
    )
}

impl Translator<'_> {
    /// A function about rights and states; `None` for all others.
    pub(super) fn about(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, SqlError> {
        let options = self.context.engine.options();
        let about = &options.about;
        let word = |index: usize| arguments.get(index).and_then(|value| value.constant.as_deref()).unwrap_or_default();
        let flag = |set: bool| Typed::value(i32::from(set).to_string(), SqlType::Int);
        let text = |text: &str| Typed::value(quoted(text), SqlType::NVarChar { length: Some(128) });
        let holds = |list: &[String], wanted: &str| list.iter().any(|one| one.eq_ignore_ascii_case(wanted));
        Ok(Some(match (name, arguments.len()) {
            ("IS_SRVROLEMEMBER", 1) => flag(holds(&about.server_roles, word(0))),
            ("IS_MEMBER" | "IS_ROLEMEMBER", 1) => flag(holds(&about.database_roles, word(0))),
            ("HAS_DBACCESS", 1) => flag(about.is_open()),
            ("HAS_PERMS_BY_NAME", 3 | 5) if !word(2).eq_ignore_ascii_case("UNMASK") => right(about, arguments, word(2)),
            ("DATABASEPROPERTYEX", 2) => match word(1).to_ascii_lowercase().as_str() {
                "status" => text(&about.state),
                "useraccess" => text(&about.user_access),
                "updateability" => text(if about.read_only { "READ_ONLY" } else { "READ_WRITE" }),
                _ => return Ok(None),
            },
            ("SYSUTCDATETIME", 0) => {
                let now = self.context.engine.now();
                let east = about.seconds_east.unwrap_or_else(|| {
                    let zoned = now.to_zoned(jiff::tz::TimeZone::system());
                    zoned.map_or(0, |zoned| i64::from(zoned.offset().seconds()))
                });
                let utc = now.saturating_sub(jiff::Span::new().seconds(east));
                let moment = utc.strftime("%Y-%m-%d %H:%M:%S.%6f");
                Typed::value(format!("'{moment}0'"), SqlType::DateTime2 { scale: 7 }).not_null()
            }
            _ => return Ok(None),
        }))
    }
}

/// A right on the database, on a table or on a column, whose names may be computed.
fn right(about: &About, arguments: &[Typed], right: &str) -> Typed {
    let given = right.eq_ignore_ascii_case("SELECT") || about.rights.iter().any(|one| one.eq_ignore_ascii_case(right));
    let owner = about.database_roles.iter().any(|role| role == "db_owner");
    let closed =
        match arguments.get(3) {
            None => list(about.unreadable.iter().map(|table| format!("[dbo].[{table}]"))),
            Some(_) => list(about.unreadable_columns.iter().filter_map(|column| {
                column.split_once('.').map(|(table, column)| format!("[dbo].[{table}].{column}"))
            })),
        };
    let mut asked = arguments.first().map_or("''", |name| name.sql.as_str()).to_owned();
    if let Some(column) = arguments.get(3) {
        asked = format!("({asked} || '.' || {})", column.sql);
    }
    let open = i32::from(given || owner);
    let sql = if right.eq_ignore_ascii_case("SELECT") && !closed.is_empty() {
        format!("(CASE WHEN {asked} IN ({closed}) THEN 0 ELSE {open} END)")
    } else {
        open.to_string()
    };
    Typed::value(sql, SqlType::Int)
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.map(|name| quoted(&name)).collect::<Vec<_>>().join(", ")
}
