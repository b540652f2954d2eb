//! Till rows to replica rows, in DuckDB: one SQL file per target table, readable by an analyst.
//!
//! [`Normaliser::run`] reads one snapshot's chunk files and leaves the replica's rows in DuckDB's memory, each with a content
//! hash; [`Normaliser::send`] hands rows out as Arrow batches. Nothing here knows `PostgreSQL`. The SQL is over views named
//! like the till's tables ([`super::views`]); natural keys and derived values are DOMAIN §4, §7, §9 and §10.
//!
//! All calls block: run them off the async threads.

use std::path::Path;

use arrow::{array::RecordBatch, datatypes::Schema};
use duckdb::{Connection, params};
use jiff::civil::{Date, DateTime};

use super::views;
use crate::{
    archive::snapshot::Snapshot,
    config::ReplicaConfig,
    error::{Error, Kind, OrFail, Result},
};

/// The steps in the order they must run: name in schema `out`, query, whether rows get a content hash.
const STEPS: &[(&str, &str, bool)] = &[
    ("ticket_keys", include_str!("ticket_keys.sql"), false),
    ("lines", include_str!("lines.sql"), false),
    ("ticket_items", include_str!("ticket_items.sql"), true),
    ("payments", include_str!("payments.sql"), true),
    ("tickets", include_str!("tickets.sql"), true),
    ("transactions", include_str!("transactions.sql"), true),
    ("menu_items", include_str!("menu_items.sql"), true),
    ("accounts", include_str!("accounts.sql"), true),
    ("aggregates", include_str!("hashes.sql"), false),
];

/// The replica's rows of one snapshot.
pub(crate) struct Normaliser {
    conn: Connection,
    /// DuckDB spills here; removed with it.
    _spill: tempfile::TempDir,
}

/// What a load wants to know of the snapshot as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) tickets: i32,
    pub(crate) transactions: i32,
    pub(crate) menu_items: i64,
    /// Creation time of the oldest closed ticket.
    pub(crate) oldest_closed: Option<DateTime>,
    /// Latest `LastUpdateTime`.
    pub(crate) last_change: Option<DateTime>,
    pub(crate) first_day: Option<Date>,
    pub(crate) last_day: Option<Date>,
}

impl Normaliser {
    /// Reads the snapshot and works out every row of the replica.
    ///
    /// # Errors
    /// `Damage` when a chunk is missing or unreadable; `Replica` when the rows cannot be normalised.
    pub(crate) fn run(root: &Path, snapshot: &Snapshot, config: &ReplicaConfig) -> Result<Self> {
        let failed = || "DuckDB cannot be started";
        let spill = tempfile::Builder::new().prefix("tillvault-").tempdir().or_fail(Kind::Replica, failed)?;
        let conn = Connection::open_in_memory().or_fail(Kind::Replica, failed)?;
        let setup = format!(
            "SET temp_directory = '{}'; SET memory_limit = '1GB'; SET autoinstall_known_extensions = false;
             SET VARIABLE table_entity_type = {}; SET VARIABLE room_entity_type = {}; SET VARIABLE customer_entity_type = {};
             CREATE SCHEMA out; CREATE TABLE out.wanted (ticket_key VARCHAR); {}",
            spill.path().to_string_lossy().replace('\'', "''"),
            config.table_entity_type_id,
            config.room_entity_type_id,
            config.customer_entity_type_id,
            include_str!("macros.sql"),
        );
        conn.execute_batch(&setup).or_fail(Kind::Replica, failed)?;
        views::create(&conn, root, snapshot)?;
        for (name, query, hashed) in STEPS {
            let query = query.trim();
            let statement = if *hashed {
                format!(
                    "CREATE TABLE out.{name} AS
                     SELECT *, unhex(sha256(CAST(to_json(r) AS VARCHAR))) AS content_hash FROM ({query}\n) AS r"
                )
            } else {
                format!("CREATE TABLE out.{name} AS {query}")
            };
            conn.execute_batch(&statement).map_err(|cause| step_failed(name, snapshot, cause))?;
        }
        Ok(Self { conn, _spill: spill })
    }

    /// Figures about the snapshot as a whole.
    ///
    /// # Errors
    /// `Replica` when DuckDB fails.
    pub(crate) fn facts(&self) -> Result<Facts> {
        self.conn
            .query_row(
                "SELECT count(*)::INTEGER, (SELECT count(*) FROM out.transactions)::INTEGER,
                        (SELECT count(*) FROM out.menu_items)::BIGINT,
                        epoch_us(min(ticket_date) FILTER (WHERE is_closed)), epoch_us(max(last_update_time)),
                        epoch_us(min(ticket_date)), epoch_us(max(ticket_date))
                 FROM out.tickets",
                [],
                |row| {
                    Ok(Facts {
                        tickets: row.get(0)?,
                        transactions: row.get(1)?,
                        menu_items: row.get(2)?,
                        oldest_closed: wall_clock(row.get(3)?),
                        last_change: wall_clock(row.get(4)?),
                        first_day: wall_clock(row.get(5)?).map(DateTime::date),
                        last_day: wall_clock(row.get(6)?).map(DateTime::date),
                    })
                },
            )
            .or_fail(Kind::Replica, || "DuckDB cannot sum up the snapshot")
    }

    /// SHA-256 of a file as hex, or `None` when it is not there.
    pub(crate) fn sha256(&self, file: &Path) -> Option<String> {
        self.conn
            .query_row("SELECT sha256(content) FROM read_blob(?)", params![file.to_string_lossy()], |row| row.get(0))
            .ok()
    }

    /// Names the tickets whose rows [`Normaliser::send`] hands out.
    ///
    /// # Errors
    /// `Replica` when DuckDB fails.
    pub(crate) fn want(&self, keys: &[String]) -> Result<()> {
        let failed = || "DuckDB cannot take the list of changed tickets";
        let mut appender = self.conn.appender_to_db("wanted", "out").or_fail(Kind::Replica, failed)?;
        for key in keys {
            appender.append_row(params![key]).or_fail(Kind::Replica, failed)?;
        }
        appender.flush().or_fail(Kind::Replica, failed)
    }

    /// Column names of an output table.
    ///
    /// # Errors
    /// `Replica` when DuckDB fails.
    pub(crate) fn columns(&self, table: &str) -> Result<Vec<String>> {
        let failed = || format!("DuckDB cannot describe {table}");
        let mut statement = self
            .conn
            .prepare("SELECT column_name FROM duckdb_columns() WHERE schema_name = 'out' AND table_name = ? ORDER BY column_index")
            .or_fail(Kind::Replica, failed)?;
        let names = statement.query_map(params![table], |row| row.get(0)).or_fail(Kind::Replica, failed)?;
        names.collect::<duckdb::Result<Vec<String>>>().or_fail(Kind::Replica, failed)
    }

    /// Hands out the rows of an output table in batches; with `ticket_key`, only those of wanted tickets.
    ///
    /// # Errors
    /// `Replica` when DuckDB fails, and whatever `sink` returns.
    pub(crate) fn send(
        &self,
        table: &str,
        ticket_key: Option<&str>,
        mut sink: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let failed = || format!("DuckDB cannot hand out {table}");
        let filter = ticket_key
            .map(|column| format!(" WHERE {column} IN (SELECT ticket_key FROM out.wanted)"))
            .unwrap_or_default();
        let query = format!("SELECT * FROM out.{table}{filter}");
        let mut statement = self.conn.prepare(&query).or_fail(Kind::Replica, failed)?;
        let batches = statement.stream_arrow([]).or_fail(Kind::Replica, failed)?;
        for batch in batches {
            sink(plain(&batch)?)?;
        }
        Ok(())
    }
}

/// The batch without extension types, which only name the logical type (JSON) of columns that are text.
fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<_> =
        batch.schema().fields().iter().map(|field| field.as_ref().clone().with_metadata(Default::default())).collect();
    RecordBatch::try_new(Schema::new(fields).into(), batch.columns().to_vec())
        .or_fail(Kind::Bug, || "a batch of DuckDB does not fit its own schema")
}

fn wall_clock(micros: Option<i64>) -> Option<DateTime> {
    let stamp = jiff::Timestamp::from_microsecond(micros?).ok()?;
    Some(stamp.to_zoned(jiff::tz::TimeZone::UTC).datetime())
}

fn step_failed(name: &str, snapshot: &Snapshot, cause: duckdb::Error) -> Error {
    let text = cause.to_string();
    let damaged = ["parquet", "Parquet", "IO Error"].iter().any(|word| text.contains(word));
    let error = Error::new(
        if damaged { Kind::Damage } else { Kind::Replica },
        format!("the rows of {name} cannot be worked out from snapshot {}", snapshot.snapshot),
    )
    .caused_by(cause);
    if damaged { error.hint("run `tillvault check` to see which chunk is damaged") } else { error }
}
