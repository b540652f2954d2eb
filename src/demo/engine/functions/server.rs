//! What the server says of itself: properties, global variables, its clock, names and ids.

use super::super::{
    SqlError,
    catalog::{self, DATABASE_ID},
    translate::{Translator, Typed},
};
use super::constant_text as text;
use crate::model::sql_type::SqlType;

/// Type of names in the catalog.
fn sysname() -> SqlType {
    SqlType::NVarChar { length: Some(128) }
}

impl Translator<'_> {
    /// A function of the server, the session or the catalog; `None` when it is none.
    pub(super) fn of_server(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, SqlError> {
        let options = self.context.engine.options();
        Ok(Some(match (name, arguments) {
            ("GETDATE", []) => Typed::value(format!("TIMESTAMP '{}'", self.clock(3)), SqlType::DateTime).not_null(),
            ("SYSDATETIME", []) => {
                Typed::value(format!("'{}0'", self.clock(6)), SqlType::DateTime2 { scale: 7 }).not_null()
            }
            ("DB_NAME", []) => text(&options.database, sysname()),
            ("DB_ID", []) => Typed::value(format!("CAST({DATABASE_ID} AS SMALLINT)"), SqlType::SmallInt),
            ("SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "USER_NAME", []) => text(self.context.login, sysname()),
            ("SCHEMA_NAME", []) => text("dbo", sysname()),
            ("XACT_STATE", []) => Typed::value(
                format!("CAST({} AS SMALLINT)", i32::from(self.context.transactions > 0)),
                SqlType::SmallInt,
            ),
            ("SERVERPROPERTY", [property]) => self.server_property(property)?,
            ("DATABASEPROPERTYEX", [_, property]) => match property.constant.as_deref() {
                Some(name) if name.eq_ignore_ascii_case("Collation") => text(&options.collation, sysname()),
                _ => return Err(SqlError::unsupported("this DATABASEPROPERTYEX")),
            },
            ("OBJECT_ID", [object, ..]) => {
                let Some(name) = &object.constant else {
                    return Err(SqlError::unsupported("OBJECT_ID of a computed name"));
                };
                let bare = name.replace(['[', ']', '"'], "");
                let (schema, table) = bare.split_once('.').unwrap_or(("dbo", bare.as_str()));
                let id = self.context.engine.table(schema, table).map(|table| catalog::object_id(&table.name));
                Typed::value(id.map_or("NULL".into(), |id| id.to_string()), SqlType::Int)
            }
            ("SCHEMA_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.schemas WHERE schema_id = {})", id.sql), sysname())
            }
            ("OBJECT_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.tables WHERE object_id = {})", id.sql), sysname())
            }
            ("TYPE_NAME", [id]) => {
                Typed::value(format!("(SELECT name FROM sys.types WHERE user_type_id = {})", id.sql), sysname())
            }
            ("HAS_PERMS_BY_NAME", [_, class, right])
                if right.constant.as_deref().is_some_and(|right| right.eq_ignore_ascii_case("UNMASK")) =>
            {
                // Known for a database since version 13, for a table since 16.
                let table = class.constant.as_deref().is_some_and(|class| class.eq_ignore_ascii_case("OBJECT"));
                let known = self.context.engine.major_version() >= if table { 16 } else { 13 };
                let answer = i32::from(options.unmask).to_string();
                Typed::value(if known { answer } else { "NULL".into() }, SqlType::Int)
            }
            _ => return Ok(None),
        }))
    }

    fn server_property(&self, property: &Typed) -> Result<Typed, SqlError> {
        let options = self.context.engine.options();
        let name = property.constant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let value = match name.as_str() {
            "productversion" => options.version.as_str(),
            "edition" => options.edition.as_str(),
            "productlevel" => "RTM",
            "servername" => options.server_name.as_str(),
            "machinename" => options.server_name.split('\\').next().unwrap_or_default(),
            "instancename" => match options.server_name.split_once('\\') {
                Some((_, instance)) => instance,
                None => return Ok(Typed::value("NULL", sysname())),
            },
            "collation" => options.collation.as_str(),
            "engineedition" => return Ok(Typed::value("4", SqlType::Int)),
            "productmajorversion" => options.version.split('.').next().unwrap_or_default(),
            // A real server answers NULL to what it does not know.
            _ => return Ok(Typed::value("NULL", sysname())),
        };
        Ok(text(value, sysname()))
    }

    /// `@@VERSION` and its kind.
    pub(in crate::demo::engine) fn global(&self, name: &str) -> Result<Typed, SqlError> {
        let options = self.context.engine.options();
        let number = |value: i64| Typed::value(value.to_string(), SqlType::Int).not_null();
        Ok(match name.to_ascii_uppercase().as_str() {
            "@@VERSION" => {
                let version = options.about.version_text.clone().unwrap_or_else(|| {
                    format!(
                        "Microsoft SQL Server 2017 (RTM) - {} (X64) \n\t{} (demo till of tillvault)",
                        options.version, options.edition
                    )
                });
                text(&version, SqlType::NVarChar { length: Some(300) }).not_null()
            }
            "@@SERVERNAME" => text(&options.server_name, sysname()).not_null(),
            "@@LANGUAGE" => text("us_english", sysname()).not_null(),
            "@@TRANCOUNT" => number(self.context.transactions),
            "@@ROWCOUNT" => number(self.context.row_count),
            "@@ERROR" => number(0),
            "@@LOCK_TIMEOUT" => number(-1),
            "@@OPTIONS" => number(5496),
            "@@TEXTSIZE" => number(2_147_483_647),
            "@@MICROSOFTVERSION" => number(0x0E00_03E8),
            "@@SPID" => Typed::value("CAST(51 AS SMALLINT)", SqlType::SmallInt).not_null(),
            "@@MAX_PRECISION" => Typed::value("CAST(38 AS SMALLINT)", SqlType::TinyInt).not_null(),
            _ => return Err(SqlError::new(137, 15, format!("Must declare the scalar variable \"{name}\"."))),
        })
    }

    /// The simulated clock with so many digits of a second.
    fn clock(&self, digits: usize) -> String {
        let now = self.context.engine.now();
        let nanos = format!("{:09}", now.subsec_nanosecond());
        format!("{} {}.{}", now.date(), now.strftime("%H:%M:%S"), &nanos[..digits])
    }
}
