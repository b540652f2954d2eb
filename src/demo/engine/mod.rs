//! The demo till's database: an in-memory DuckDB that speaks T-SQL.
//!
//! [`Engine`] holds the tables (schema `dbo`) and a `sys` schema made from their [`Table`] values; [`batch`] cuts a T-SQL
//! batch into statements; [`mod@translate`] turns one query into DuckDB's SQL together with the SQL Server types of its columns.
//! Text compares as under a case-insensitive, accent-sensitive collation that ignores trailing blanks.
//!
//! Promises: a statement outside the supported part of T-SQL is refused with an error, never answered differently from a
//! real server on purpose; nothing in here writes to the tables on behalf of a client.

pub(super) mod batch;
mod binary;
mod catalog;
mod checksum;
mod compare;
mod constant;
mod convert;
pub(super) mod exact;
mod expression;
mod functions;
mod native;
mod select;
mod translate;
mod typing;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use duckdb::Connection;
use jiff::civil::DateTime;

use super::schema;
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::{sql_type::SqlType, table::Table},
};

pub use exact::{ExactCell, ExactTable};
pub(super) use translate::{Context, Plan, translate};

/// What the engine says about itself.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Database name; sign-ins for another one fail with error 4060.
    pub database: String,
    /// What `@@SERVERNAME` says.
    pub server_name: String,
    /// Product version.
    pub version: String,
    /// Edition.
    pub edition: String,
    /// Database collation; the engine always compares like a case-insensitive, accent-sensitive one.
    pub collation: String,
    /// Whether the database allows snapshot isolation.
    pub allow_snapshot_isolation: bool,
    /// Functions this server does not have, in upper case: calling one is error 195, as on old servers and on Babelfish.
    pub missing_functions: Vec<String>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            database: "SambaPOS5".into(),
            server_name: "DEMO-TILL".into(),
            version: "14.0.1000.169".into(),
            edition: "Express Edition (64-bit)".into(),
            collation: schema::COLLATION.into(),
            allow_snapshot_isolation: false,
            missing_functions: Vec::new(),
        }
    }
}

/// The demo till's database. Shared by the server's connections and by whoever changes the data.
#[derive(Debug)]
pub struct Engine {
    root: Mutex<Connection>,
    options: EngineOptions,
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    exact: Mutex<BTreeMap<String, Arc<exact::ExactTable>>>,
    clock: Mutex<Option<DateTime>>,
}

impl Engine {
    /// An engine with empty `tables`.
    ///
    /// # Errors
    /// [`Kind::Bug`] when a table cannot be created.
    pub fn new(tables: &[Table], options: EngineOptions) -> Result<Arc<Self>> {
        let root = Connection::open_in_memory().or_fail(Kind::Bug, || "cannot open the demo till's database")?;
        root.execute_batch("CREATE SCHEMA IF NOT EXISTS dbo; CREATE SCHEMA IF NOT EXISTS sys;")
            .or_fail(Kind::Bug, || "cannot make the demo till's schemas")?;
        native::register(&root)?;
        let turkish = options.collation.to_ascii_lowercase().starts_with("turkish");
        let narrow = format!("CREATE MACRO tsql_narrow_bytes(x) AS tsql_narrow(x, {turkish});");
        root.execute_batch(&narrow).or_fail(Kind::Bug, || "cannot define the code page of narrow text")?;
        root.execute_batch(functions::MACROS).or_fail(Kind::Bug, || "cannot define the functions of T-SQL")?;
        let engine = Self {
            root: Mutex::new(root),
            options,
            tables: RwLock::default(),
            exact: Mutex::default(),
            clock: Mutex::new(None),
        };
        engine.add(&catalog::tables())?;
        engine.add(tables)?;
        engine.describe()?;
        Ok(Arc::new(engine))
    }

    /// A connection to the data, for the simulation and for tests. Tables lie in the schema `dbo`.
    ///
    /// # Errors
    /// [`Kind::Bug`] when `DuckDB` refuses.
    pub fn connection(&self) -> Result<Connection> {
        let connection = self.root().try_clone().or_fail(Kind::Bug, || "cannot connect to the demo till's database")?;
        Ok(connection)
    }

    /// Adds a table, as an integrator might.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is such a table already.
    pub fn add_table(&self, table: &Table) -> Result<()> {
        self.add(std::slice::from_ref(table))?;
        self.describe()
    }

    /// Sets what `GETDATE()` says. Until then it says the machine's local time.
    pub fn set_clock(&self, now: DateTime) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// What the engine says about itself.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The server's major version: 14 for 2017.
    pub(super) fn major_version(&self) -> u32 {
        self.options.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
    }

    pub(super) fn now(&self) -> DateTime {
        let set = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        set.unwrap_or_else(|| jiff::Zoned::now().datetime())
    }

    /// The table of that schema and name, whatever their case.
    pub(super) fn table(&self, schema: &str, name: &str) -> Option<Arc<Table>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&lookup_key(schema, name)).cloned()
    }

    fn exact_tables(&self) -> MutexGuard<'_, BTreeMap<String, Arc<exact::ExactTable>>> {
        self.exact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `table`, of which the embedded database keeps what `stored` says.
    fn add_stored(&self, table: &Table, stored: &Table) -> Result<()> {
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let key = lookup_key(&table.name.schema, &table.name.name);
        if known.contains_key(&key) {
            return Err(Error::new(Kind::Bug, format!("the demo till has a table {} already", table.name)));
        }
        schema::create_tables(&self.root(), std::slice::from_ref(stored))?;
        known.insert(key, Arc::new(table.clone()));
        Ok(())
    }

    fn root(&self) -> MutexGuard<'_, Connection> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tables: &[Table]) -> Result<()> {
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for table in tables {
            let key = lookup_key(&table.name.schema, &table.name.name);
            if known.contains_key(&key) {
                return Err(Error::new(Kind::Bug, format!("the demo till has a table {} already", table.name)));
            }
            // Types without an exact storage are listed in the catalog like all others; see `exact` for their values.
            let mut stored = table.clone();
            for column in &mut stored.columns {
                if schema::duckdb_type(&column.sql_type).is_none() {
                    column.sql_type = SqlType::NVarChar { length: None };
                }
            }
            if !catalog::is_view(table) {
                schema::create_tables(&self.root(), &[stored])?;
            }
            known.insert(key, Arc::new(table.clone()));
        }
        Ok(())
    }

    /// Fills the `sys` schema anew.
    fn describe(&self) -> Result<()> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let script = catalog::script(tables.values(), &self.options);
        self.root().execute_batch(&script).or_fail(Kind::Bug, || "cannot fill the demo till's catalog views")
    }
}

fn lookup_key(schema: &str, name: &str) -> String {
    format!("{}.{}", schema.to_lowercase(), name.to_lowercase())
}

/// An error as SQL Server would report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// Message number, such as 208.
    pub number: i32,
    /// State.
    pub state: u8,
    /// Severity.
    pub class: u8,
    /// Text.
    pub message: String,
}

impl SqlError {
    /// An error with state 1.
    #[must_use]
    pub fn new(number: i32, class: u8, message: impl Into<String>) -> Self {
        Self { number, state: 1, class, message: message.into() }
    }

    /// T-SQL that this server does not know, although a real one does.
    #[must_use]
    pub fn unsupported(what: impl AsRef<str>) -> Self {
        Self::new(40517, 16, format!("The demo till does not support this part of T-SQL: {}.", what.as_ref()))
    }

    /// A defect of the demo till.
    #[must_use]
    pub fn internal(what: impl AsRef<str>) -> Self {
        Self::new(50000, 16, format!("The demo till failed: {}.", what.as_ref()))
    }

    pub(super) fn protocol() -> Self {
        Self::new(8009, 16, "The incoming tabular data stream (TDS) protocol stream is incorrect.")
    }

    pub(super) fn syntax(near: &str) -> Self {
        Self::new(102, 15, format!("Incorrect syntax near '{near}'."))
    }

    /// What `DuckDB` says, as SQL Server's nearest error.
    pub(super) fn of_engine(error: &duckdb::Error) -> Self {
        let text = error.to_string();
        if text.starts_with("Conversion Error") || text.starts_with("Out of Range Error") {
            return Self::new(8115, 16, format!("Arithmetic overflow error or failed conversion: {text}"));
        }
        if let Some((_, tail)) = text.split_once("T-SQL ") {
            // Raised by the macros of `functions`: number, blank, message.
            if let Some((number, message)) = tail.split_once(' ')
                && let Ok(number) = number.parse()
            {
                return Self::new(number, 16, message);
            }
        }
        Self::internal(text)
    }
}

/// A value a client sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Text(String),
    Binary(Vec<u8>),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970.
    Timestamp(i64),
}

/// A parameter: `@P1` and its value.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// With the at sign; may be empty.
    pub(super) name: String,
    pub(super) sql_type: SqlType,
    pub(super) value: Value,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutColumn {
    pub(super) name: String,
    pub(super) sql_type: SqlType,
    pub(super) nullable: bool,
    pub(super) identity: bool,
    /// A plain column, not an expression.
    pub(super) of_table: bool,
    /// Table the column comes from.
    pub(super) table: Option<String>,
}
