//! One reading statement over a [`Session`].
//!
//! What is let through: one SELECT (also WITH, FROM-first, VALUES, TABLE), DESCRIBE, SUMMARIZE or SHOW. Everything else is
//! refused before it runs, by what DuckDB's own parser says the text is (`json_serialize_sql`), not by looking at words:
//!
//! - another kind of statement, or several statements;
//! - a table function outside [`TABLE_FUNCTIONS`], wherever it stands (sub-query, CTE, lateral join), because some of them read
//!   files or SQL hidden in a string, switch settings, or follow raw pointers.
//!
//! Beneath that, DuckDB itself is locked ([`Session::lock_down`]): no file outside the archive's `tables` folder, no extension,
//! no network, no change of settings. Either fence alone would hold for what is known today.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::session::Session;
use crate::error::{Error, Kind, OrFail, Result};

/// Table functions a query may call: they make rows of values, show the catalog, or read chunk files.
pub const TABLE_FUNCTIONS: [&str; 25] = [
    "duckdb_columns",
    "duckdb_databases",
    "duckdb_functions",
    "duckdb_keywords",
    "duckdb_schemas",
    "duckdb_tables",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "histogram",
    "histogram_values",
    "icu_calendar_names",
    "json_each",
    "json_tree",
    "parquet_file_metadata",
    "parquet_metadata",
    "parquet_scan",
    "parquet_schema",
    "pg_timezone_names",
    "pragma_table_info",
    "pragma_version",
    "range",
    "read_parquet",
    "repeat",
    "unnest",
];

/// Bounds of one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Most rows of the answer; `None` means all of them, which then have to fit into memory.
    pub max_rows: Option<usize>,
    /// Time after which the query is stopped; `None` means never.
    pub timeout: Option<Duration>,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Columns; present even without rows.
    pub schema: SchemaRef,
    /// Rows, in the order of the query.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were left off because of [`QueryOptions::max_rows`].
    pub truncated: bool,
}

impl QueryResult {
    /// Number of rows held.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers one reading statement. Blocks until the answer is complete.
///
/// # Errors
/// `Query` when the statement is refused, fails (DuckDB's message, which names the column or table) or takes longer than it may.
pub fn query(session: &Session, sql: &str, options: &QueryOptions) -> Result<QueryResult> {
    let mut batches = Vec::new();
    let (schema, truncated) = for_each_batch(session, sql, options, |_, batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(QueryResult { schema, batches, truncated })
}

/// Like [`query`], but hands the rows on batch by batch (some thousand rows each) instead of keeping them. Returns the columns
/// and whether rows were left off. `sink` is not called for an answer without rows.
///
/// # Errors
/// As [`query`], and what `sink` returns, which ends the query.
pub fn for_each_batch(
    session: &Session,
    sql: &str,
    options: &QueryOptions,
    sink: impl FnMut(&SchemaRef, RecordBatch) -> Result<()>,
) -> Result<(SchemaRef, bool)> {
    session.lock_down()?;
    inspect(session, sql)?;
    let Some(timeout) = options.timeout else {
        return run(session, sql, options.max_rows, sink);
    };
    let timed_out = AtomicBool::new(false);
    let handle = session.interrupt_handle();
    let (done, over) = mpsc::channel::<()>();
    let answer = std::thread::scope(|scope| {
        let timed_out = &timed_out;
        scope.spawn(move || {
            let mut wait = timeout;
            // An interrupt that arrives between preparing and running is lost, so it is repeated until the query has ended.
            while over.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                timed_out.store(true, Ordering::SeqCst);
                handle.interrupt();
                wait = Duration::from_millis(20);
            }
        });
        let answer = run(session, sql, options.max_rows, sink);
        drop(done);
        answer
    });
    match answer {
        Err(_) if timed_out.load(Ordering::SeqCst) => {
            let message = format!("the query was stopped after {} s", timeout.as_secs_f64());
            Err(Error::new(Kind::Query, message).hint("ask for less (a WHERE on Id or a date), or allow it more time"))
        }
        answer => answer,
    }
}

fn run(
    session: &Session,
    sql: &str,
    max_rows: Option<usize>,
    mut sink: impl FnMut(&SchemaRef, RecordBatch) -> Result<()>,
) -> Result<(SchemaRef, bool)> {
    let mut statement = session.connection().prepare(sql).map_err(failed)?;
    let schema = statement.stream_arrow([]).map_err(failed)?.get_schema();
    let mut left = max_rows.unwrap_or(usize::MAX);
    // `step` and not the iterator, which panics when the query fails half-way.
    while let Some(array) = statement.step().map_err(failed)? {
        let mut batch = RecordBatch::from(&array);
        if batch.num_rows() > left {
            if left > 0 {
                sink(&schema, batch.slice(0, left))?;
            }
            return Ok((schema, true));
        }
        left -= batch.num_rows();
        if batch.schema_ref() != &schema {
            batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
                .or_fail(Kind::Bug, || "DuckDB's rows do not fit its own columns")?;
        }
        sink(&schema, batch)?;
    }
    Ok((schema, false))
}

/// A failure in the user's own SQL: DuckDB's message is the message.
fn failed(error: duckdb::Error) -> Error {
    let text = match error {
        duckdb::Error::DuckDBFailure(_, Some(text)) => text,
        other => other.to_string(),
    };
    let hint = if text.starts_with("Out of Memory") {
        "give queries more memory, or ask for fewer columns and rows"
    } else if text.starts_with("Permission Error") {
        "a query may read the archive's tables only; `SHOW TABLES` lists them"
    } else {
        "`SHOW TABLES` lists the tables, `DESCRIBE \"Tickets\"` a table's columns"
    };
    Error::new(Kind::Query, text).hint(hint)
}

/// What DuckDB's parser says about a text. Deep texts are safe: DuckDB bounds the depth of expressions.
struct Parsed {
    error: Option<(String, String)>,
    statements: u64,
    table_functions: Vec<String>,
}

const PARSE: &str = "WITH parsed AS (SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS JSON) AS j)
SELECT CASE WHEN j->>'$.error' = 'true' THEN j->>'$.error_type' END, coalesce(j->>'$.error_message', ''),
       coalesce(json_array_length(j, '$.statements'), 0),
       list_aggregate(j->>'$..function.function_name', 'string_agg', chr(10))
FROM parsed";

fn parse(session: &Session, sql: &str) -> Result<Parsed> {
    session
        .connection()
        .query_row(PARSE, [sql], |row| {
            let error = row.get::<_, Option<String>>(0)?;
            let message: String = row.get(1)?;
            let names: Option<String> = row.get(3)?;
            Ok(Parsed {
                error: error.map(|kind| (kind, message)),
                statements: row.get(2)?,
                table_functions: names.unwrap_or_default().lines().map(str::to_owned).collect(),
            })
        })
        .map_err(|error| Error::new(Kind::Query, "the query cannot be examined").caused_by(error))
}

/// Refuses what is not one reading statement.
fn inspect(session: &Session, sql: &str) -> Result<()> {
    let parsed = parse(session, sql)?;
    let refuse = |what: String| {
        Err(Error::new(Kind::Query, what)
            .hint("ask one SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE or SHOW; the archive is only read"))
    };
    if let Some((kind, message)) = parsed.error {
        return if kind == "parser" || kind == "syntax" {
            Err(Error::new(Kind::Query, format!("Parser Error: {message}")).hint("the SQL is DuckDB's"))
        } else {
            refuse(refusal(sql))
        };
    }
    match parsed.statements {
        1 => {}
        0 => return refuse("the query is empty".into()),
        several => return refuse(format!("{several} statements were given where one is answered")),
    }
    let stranger = parsed.table_functions.iter().find(|name| {
        let name = name.to_ascii_lowercase();
        !TABLE_FUNCTIONS.contains(&name.as_str())
    });
    match stranger {
        None => Ok(()),
        Some(name) => Err(Error::new(Kind::Query, format!("the table function {name} is refused in queries"))
            .hint("a query may read the archive's tables only; `SHOW TABLES` lists them")),
    }
}

/// Names the statement for people; the decision has been taken by the parser.
fn refusal(sql: &str) -> String {
    let word: String = sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    match word.to_ascii_uppercase().as_str() {
        "" | "SELECT" | "WITH" | "FROM" | "VALUES" | "TABLE" | "DESCRIBE" | "SUMMARIZE" | "SHOW" => {
            "this is not one reading statement".into()
        }
        "PIVOT" => "PIVOT is answered only as FROM (PIVOT … ON … IN (…) …), with its values listed".into(),
        word => format!("{word} is refused: queries only read"),
    }
}
