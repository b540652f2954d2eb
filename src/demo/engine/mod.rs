//! The demo till's database: an in-memory DuckDB that speaks T-SQL.
//!
//! [`Engine`] holds the tables (schema `dbo`) and a `sys` schema made from their [`Table`] values; [`batch`] cuts a T-SQL
//! batch into statements; [`mod@translate`] turns one query into DuckDB's SQL together with the SQL Server types of its columns.
//! Text compares as under a case-insensitive, accent-sensitive collation that ignores trailing blanks.
//!
//! Promises: a statement outside the supported part of T-SQL is refused with an error, never answered differently from a
//! real server on purpose; nothing in here writes to the tables on behalf of a client.

mod about;
pub(super) mod batch;
mod binary;
mod catalog;
mod checksum;
mod compare;
mod constant;
mod convert;
pub(super) mod exact;
mod expression;
mod freeze;
mod functions;
mod native;
mod page;
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
    model::{
        identifier,
        sql_type::SqlType,
        table::{Table, TableName},
    },
};

pub use about::About;
pub use exact::{ExactCell, ExactTable};
pub(super) use freeze::Frozen;
pub(super) use page::Page;
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
    /// Whether the login has the right to see the true values of masked columns. Only the answer to the question depends on it.
    pub unmask: bool,
    /// Functions this server does not have, in upper case: calling one is error 195, as on old servers and on Babelfish.
    pub missing_functions: Vec<String>,
    /// What the server says of rights and states.
    pub about: About,
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
            unmask: true,
            missing_functions: Vec::new(),
            about: About::default(),
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
    frost: freeze::Frost,
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
            frost: freeze::Frost::default(),
        };
        engine.add(&catalog::tables(engine.major_version()))?;
        engine.add(&about::tables())?;
        engine.add(tables)?;
        engine.describe()?;
        Ok(Arc::new(engine))
    }

    /// A connection to the data, for the simulation and for tests. Tables lie in the schema `dbo`. A frozen engine thaws.
    ///
    /// # Errors
    /// [`Kind::Bug`] when `DuckDB` refuses.
    pub fn connection(&self) -> Result<Connection> {
        self.thaw();
        self.reading_connection()
    }

    /// Declares that the data stands still from now on: answers to reads in key order are prepared once and kept, and so is
    /// every other answer that is not long, checksums above all: the till is faster than its clients from the second time on.
    /// Whoever still holds a connection must not write; asking for a new one thaws.
    pub fn freeze(&self) {
        self.frost.set(&[]);
    }

    /// Freezes, and serves the rows of some tables several times over: their leading key goes on where it ended, all other
    /// values are repeated. Such a table can be read in key order only; other statements on it are refused.
    pub fn freeze_repeating(&self, tables: &[(&str, u64)]) {
        self.frost.set(tables);
    }

    /// Takes back [`Engine::freeze`].
    pub fn thaw(&self) {
        self.frost.lift();
    }

    /// How the engine is frozen, if it is.
    pub(super) fn frozen(&self) -> Option<Frozen> {
        self.frost.get()
    }

    /// A connection that only reads.
    pub(super) fn reading_connection(&self) -> Result<Connection> {
        let connection = self.root().try_clone().or_fail(Kind::Bug, || "cannot connect to the demo till's database")?;
        Ok(connection)
    }

    /// Adds a table, as an integrator might.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is such a table already.
    pub fn add_table(&self, table: &Table) -> Result<()> {
        self.thaw();
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

    /// The table of that schema and name, whatever their case; in their case alone where the database is case-sensitive.
    pub(super) fn table(&self, schema: &str, name: &str) -> Option<Arc<Table>> {
        if self.options.about.lacks_view(schema, name) {
            return None;
        }
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&self.lookup_key(schema, name)).cloned()
    }

    /// Whether names that differ in case alone are different ones. Values compare without case all the same.
    fn is_case_sensitive(&self) -> bool {
        let collation = self.options.collation.to_ascii_uppercase();
        collation.contains("_CS_") || select::is_binary_collation(&collation)
    }

    fn lookup_key(&self, schema: &str, name: &str) -> String {
        let key = format!("{schema}.{name}");
        if self.is_case_sensitive() && !schema.eq_ignore_ascii_case("sys") { key } else { key.to_lowercase() }
    }

    /// Where `DuckDB` has a table, quoted: under its own name, and in a case-sensitive database, which `DuckDB` is not, under
    /// a name that differs from all others without regard to case.
    #[must_use]
    pub fn place(&self, table: &TableName) -> String {
        format!("{}.{}", identifier::quoted(&table.schema), identifier::quoted(&self.stored_name(table)))
    }

    fn stored_name(&self, table: &TableName) -> String {
        if self.is_case_sensitive() && table.schema != "sys" {
            let hash = blake3::hash(table.name.as_bytes()).to_hex();
            return format!("{}~{}", table.name, &hash[..8]);
        }
        table.name.clone()
    }

    fn exact_tables(&self) -> MutexGuard<'_, BTreeMap<String, Arc<exact::ExactTable>>> {
        self.exact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `table`, of which the embedded database keeps what `stored` says.
    fn add_stored(&self, table: &Table, stored: &Table) -> Result<()> {
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let key = self.lookup_key(&table.name.schema, &table.name.name);
        if known.contains_key(&key) {
            return Err(Error::new(Kind::Bug, format!("the demo till has a table {} already", table.name)));
        }
        let mut stored = stored.clone();
        stored.name.name = self.stored_name(&table.name);
        schema::create_tables(&self.root(), &[stored])?;
        known.insert(key, Arc::new(table.clone()));
        Ok(())
    }

    fn root(&self) -> MutexGuard<'_, Connection> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tables: &[Table]) -> Result<()> {
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for table in tables {
            let key = self.lookup_key(&table.name.schema, &table.name.name);
            if known.contains_key(&key) {
                return Err(Error::new(Kind::Bug, format!("the demo till has a table {} already", table.name)));
            }
            // Types without an exact storage are listed in the catalog like all others; see `exact` for their values.
            let mut stored = table.clone();
            stored.name.name = self.stored_name(&table.name);
            for column in &mut stored.columns {
                if schema::duckdb_type(&column.sql_type).is_none() {
                    column.sql_type = SqlType::NVarChar { length: None };
                }
            }
            if !catalog::is_view(table) && !about::is_view(table) {
                schema::create_tables(&self.root(), &[stored])?;
            }
            known.insert(key, Arc::new(table.clone()));
        }
        Ok(())
    }

    /// Fills the `sys` schema anew.
    fn describe(&self) -> Result<()> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let script =
            catalog::script(tables.values(), &self.options, self.major_version(), |table| self.place(&table.name));
        self.root().execute_batch(&script).or_fail(Kind::Bug, || "cannot fill the demo till's catalog views")?;
        let about = about::script(&self.options);
        self.root().execute_batch(&about).or_fail(Kind::Bug, || "cannot make the demo till's views of sizes")
    }
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
