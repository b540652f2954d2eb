//! `tillvault query`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, Rendered};
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    history::{
        query::{QueryOptions, QueryResult, query},
        render,
        session::SessionOptions,
    },
    ops::query::open_at,
};

/// Ask the archive with SQL (DuckDB), at the newest snapshot or at any moment before
///
/// Every table is a view under its own name. Only reading statements are answered, and only the archive's files can be read.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault query \"SHOW TABLES\"
  tillvault query \"SELECT MenuItemName, sum(Quantity) FROM Orders GROUP BY ALL ORDER BY 2 DESC LIMIT 10\"
  tillvault query \"SELECT * FROM MenuItems\" --as-of '2026-10-01 03:00' --format csv > menu.csv
  tillvault query \"SELECT count(*) FROM Tickets\" --as-of 42")]
pub(super) struct QueryArgs {
    /// The statement
    #[arg(value_name = "SQL")]
    sql: String,
    /// The archive as it was then: a time, a day, `yesterday`, or a snapshot number
    #[arg(long, value_name = "WHEN")]
    as_of: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "json")]
    format: Format,
    /// Cut longer values in the table form; 0 for never
    #[arg(long, default_value_t = 60, value_name = "CHARACTERS")]
    width: usize,
    /// Most rows of the answer [default: 1000 in table form, else all]
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<usize>,
    /// Stop the query after this time
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// Most memory for DuckDB
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned, for people
    Table,
    /// Comma-separated with a header, exact values
    Csv,
    /// One array of objects
    Json,
}

pub(super) async fn run(args: QueryArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let limits = SessionOptions { memory: args.memory.map(|mib| mib << 20), threads: None };
    let (snapshot, session) = open_at(&config, &archive, args.as_of.as_deref(), &limits).await?;
    let table = args.format == Format::Table && !context.json;
    let options = QueryOptions {
        max_rows: args.max_rows.or(table.then_some(1000)),
        timeout: Some(Duration::from_secs(args.timeout)),
    };
    let sql = args.sql;
    let result = tokio::task::spawn_blocking(move || query(&session, &sql, &options))
        .await
        .or_fail(Kind::Bug, || "the query's thread ended early")??;
    let text = match args.format {
        _ if context.json => String::new(),
        Format::Table => format!(
            "{}snapshot {}, till time {}\n",
            render::text(&result, args.width)?,
            snapshot.snapshot,
            snapshot.till_time.strftime("%Y-%m-%d %H:%M:%S")
        ),
        Format::Csv => csv(&result)?,
        Format::Json => format!("{:#}\n", serde_json::Value::from(render::json_rows(&result)?)),
    };
    let columns: Vec<&String> = result.schema.fields().iter().map(|field| field.name()).collect();
    let rows = if context.json { render::json_rows(&result)? } else { Vec::new() };
    let json = json!({
        "snapshot": snapshot.snapshot,
        "as_of": snapshot.taken_at,
        "till_time": snapshot.till_time,
        "columns": columns,
        "rows": rows,
        "truncated": result.truncated,
    });
    Rendered::new(&json, text)
}

fn csv(result: &QueryResult) -> Result<String> {
    let mut out = Vec::new();
    render::csv_header(&result.schema, &mut out)?;
    for batch in &result.batches {
        render::csv_rows(batch, &mut out)?;
    }
    String::from_utf8(out).map_err(|e| Error::new(Kind::Bug, "CSV that is not UTF-8").caused_by(e))
}
