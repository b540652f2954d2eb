//! One snapshot as DuckDB views.
//!
//! [`Session::open`] starts DuckDB in memory and creates one view per table of the snapshot, named as
//! [`TableName`](crate::model::table::TableName) displays it. A view has the snapshot's columns in their declared order with
//! their declared types, whatever its chunk files hold: a column that a file lacks (it was all NULL when the file was
//! written) reads as NULL, a table without chunks is an empty view of the right types.
//!
//! The view names its files one by one and brings the schema along, so DuckDB opens no file before a query needs it: 83 tables
//! with some thousand chunks open in about a tenth of a second. The files' presence and length are checked at once, so a chunk
//! that is gone or cut short is [`Kind::Damage`] here and never a smaller answer later.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, TimeUnit};
use duckdb::{Connection, InterruptHandle};
use tempfile::TempDir;

use crate::{
    archive::snapshot::{Snapshot, TableEntry},
    error::{Error, Kind, OrFail, Result},
    model::identifier::quoted,
};

/// What DuckDB may take from the machine. The default leaves both to DuckDB: 80 % of the memory, one thread per core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Most bytes of memory; beyond it DuckDB spills to a temporary folder, or the query fails.
    pub memory: Option<u64>,
    /// Most threads.
    pub threads: Option<u32>,
}

/// DuckDB over the tables of one snapshot.
///
/// A session may move between threads but is used by one at a time; all calls block.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    tables: Vec<String>,
    folder: PathBuf,
    locked: Cell<bool>,
    // Where DuckDB spills what does not fit into memory; removed with the session. Dropped after the connection.
    _spill: Option<TempDir>,
}

impl Session {
    /// Opens the tables of `snapshot`, whose chunk files lie below `root`, with default [`SessionOptions`].
    ///
    /// # Errors
    /// `NoArchive` when `root` is not there; `Damage` when a chunk file is missing or has another length than the snapshot
    /// says; `Query` when DuckDB cannot start or refuses a table.
    pub fn open(root: &Path, snapshot: &Snapshot) -> Result<Self> {
        Self::open_with(root, snapshot, &SessionOptions::default())
    }

    /// As [`Session::open`], with limits.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_with(root: &Path, snapshot: &Snapshot, options: &SessionOptions) -> Result<Self> {
        Self::of_tables(root, &snapshot.tables, options)
    }

    /// The given tables alone, whichever snapshot they are from.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn of_tables(root: &Path, entries: &[TableEntry], options: &SessionOptions) -> Result<Self> {
        let root = std::fs::canonicalize(root)
            .or_fail(Kind::NoArchive, || format!("there is no archive at {}", root.display()))
            .map_err(|error| error.hint("check the setting `archive`, or run `tillvault init`"))?;
        let folder = root.join("tables");
        let connection = connect()?;
        let spill = tempfile::Builder::new().prefix("tillvault-query-").tempdir().ok();
        let mut settings = String::new();
        let spill_path = spill.as_ref().and_then(|folder| folder.path().to_str()).unwrap_or_default();
        let _ = write!(settings, "SET temp_directory = {};", literal(spill_path));
        if let Some(bytes) = options.memory {
            let _ = write!(settings, "SET memory_limit = '{bytes}B';");
        }
        if let Some(threads) = options.threads {
            let _ = write!(settings, "SET threads = {};", threads.max(1));
        }
        connection.execute_batch(&settings).or_fail(Kind::Query, || "DuckDB refused its settings")?;

        let mut tables = Vec::with_capacity(entries.len());
        let mut taken = HashSet::new();
        for entry in entries {
            let mut name = entry.table.name.to_string();
            // DuckDB ignores letter case in names; of two tables that differ in it alone the later one is `Name_2`.
            while !taken.insert(name.to_lowercase()) {
                name.push_str("_2");
            }
            let sql = view_sql(&folder, entry, &name)?;
            connection.execute_batch(&sql).or_fail(Kind::Query, || format!("cannot show table {name}"))?;
            tables.push(name);
        }
        Ok(Self { connection, tables, folder, locked: Cell::new(false), _spill: spill })
    }

    /// The connection, for SQL of our own. Once a user's query ran ([`super::query::query`]) its settings are locked.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Names of the views, sorted as in the snapshot.
    #[must_use]
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Stops the statement that is running, from another thread.
    #[must_use]
    pub fn interrupt_handle(&self) -> Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    /// Takes from this connection, for good, every way to files outside the archive's `tables` folder, to extensions, to the
    /// network and to its own settings. Reading through the views goes on working. Calling it again does nothing.
    ///
    /// # Errors
    /// `Query` when DuckDB refuses; then nothing must be run for a user.
    pub fn lock_down(&self) -> Result<()> {
        if self.locked.get() {
            return Ok(());
        }
        let sql = format!(
            "SET allowed_directories = [{}]; SET enable_external_access = false; SET lock_configuration = true;",
            literal(utf8(&self.folder)?)
        );
        self.connection.execute_batch(&sql).or_fail(Kind::Query, || "DuckDB could not be locked down")?;
        self.locked.set(true);
        Ok(())
    }
}

/// DuckDB in memory that fetches no extension by itself.
fn connect() -> Result<Connection> {
    duckdb::Config::default()
        .enable_autoload_extension(false)
        .and_then(|config| config.custom_user_agent("tillvault"))
        .and_then(Connection::open_in_memory_with_flags)
        .or_fail(Kind::Query, || "cannot start DuckDB")
}

/// The `CREATE VIEW` of one table, after looking at its chunk files.
fn view_sql(folder: &Path, entry: &TableEntry, name: &str) -> Result<String> {
    let columns: Vec<(&str, String)> = entry
        .table
        .columns
        .iter()
        .filter_map(|column| Some((column.name.as_str(), duckdb_type(&column.sql_type.arrow()?)?)))
        .collect();
    let mut sql = format!("CREATE VIEW {} AS SELECT ", quoted(name));
    if let Some(twins) = twins(columns.iter().map(|(name, _)| *name)) {
        // DuckDB ignores letter case in names. The other tables must not suffer from it.
        let message = format!("table {name} cannot be shown: its columns {twins} differ in letter case alone");
        let _ = write!(sql, "error({}) AS \"(cannot be shown)\"", literal(&message));
        return Ok(sql);
    }
    if columns.is_empty() {
        // No column of the table is kept: a view needs one all the same.
        sql.push_str("NULL AS \"(no columns)\" WHERE false");
        return Ok(sql);
    }
    if entry.chunks.is_empty() {
        let nulls = columns.iter().map(|(name, kind)| format!("CAST(NULL AS {kind}) AS {}", quoted(name)));
        sql.push_str(&nulls.collect::<Vec<_>>().join(", "));
        sql.push_str(" WHERE false");
        return Ok(sql);
    }
    sql.push_str("* FROM read_parquet([");
    for (position, chunk) in entry.chunks.iter().enumerate() {
        let path = folder.join(&entry.folder).join(chunk.file_name());
        check_file(&path, name, chunk.bytes)?;
        sql.push_str(if position == 0 { "" } else { ", " });
        sql.push_str(&literal(utf8(&path)?));
    }
    sql.push_str("], schema = MAP {");
    for (position, (name, kind)) in columns.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        let name = literal(name);
        let _ = write!(sql, "{separator}{name}: {{'name': {name}, 'type': '{kind}', 'default_value': NULL}}");
    }
    sql.push_str("})");
    Ok(sql)
}

/// Two names that differ in letter case alone, if there are such.
fn twins<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = HashMap::new();
    names
        .filter_map(|name| Some((seen.insert(name.to_lowercase(), name)?, name)))
        .map(|(a, b)| format!("{a}, {b}"))
        .next()
}

/// A chunk file must be there in its full length.
fn check_file(path: &Path, table: &str, bytes: u64) -> Result<()> {
    let hint = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";
    let found = std::fs::metadata(path)
        .or_fail(Kind::Damage, || format!("chunk {} of table {table} cannot be read", path.display()))
        .map_err(|error| error.hint(hint))?;
    if found.len() == bytes {
        return Ok(());
    }
    let message = format!("chunk {} of table {table} has {} bytes instead of {bytes}", path.display(), found.len());
    Err(Error::new(Kind::Damage, message).hint(hint))
}

/// The DuckDB type that holds an Arrow type of [`SqlType::arrow`](crate::model::sql_type::SqlType::arrow) exactly, or `None`
/// for types no table of an archive has.
#[must_use]
pub fn duckdb_type(arrow: &DataType) -> Option<String> {
    Some(match arrow {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time64(TimeUnit::Microsecond) => "TIME".into(),
        DataType::Time64(TimeUnit::Nanosecond) => "TIME_NS".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP".into(),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Binary => "BLOB".into(),
        _ => return None,
    })
}

/// A quoted SQL string.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::new(Kind::Config, format!("the path {} is not UTF-8, which DuckDB needs", path.display()))
            .hint("move the archive to a path of plain characters")
    })
}
