//! `tillvault diff`.

use clap::Args;
use serde_json::{Map, Value};

use super::{Context, Rendered, blocking, counted, human_count, text_table};
use crate::{
    error::Result,
    history::render::shown,
    ops::{
        diff::{self, DiffOptions, DiffOutcome, RowChange, Side, State, TableDiff},
        overview,
    },
};

/// Tell what changed from one snapshot to another, table by table
///
/// Chunks that both snapshots have are never read, so snapshots that are close cost little. Rows are matched by primary key; in
/// tables without one whole rows are counted. A column that is not there counts as NULL.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault diff                               what the newest snapshot brought
  tillvault diff 41 42 --rows
  tillvault diff yesterday --table Orders --rows --limit 20
  tillvault diff 2026-10-01 2026-10-31 --json

The JSON:
  {\"from\": {\"snapshot\": 41, \"taken_at\": \"2026-10-01T02:00:07Z\", \"till_time\": \"2026-10-01T03:00:07\", \"epoch\": 1},
   \"to\": {\"snapshot\": 42, …}, \"ids_may_be_reused\": false,
   \"tables\": [{\"table\": \"Orders\", \"state\": \"changed\", \"added\": 1, \"changed\": 1, \"removed\": 1,
     \"columns_added\": [{\"column\": \"Note\", \"type\": \"nvarchar(50)\"}],
     \"columns_retyped\": [{\"column\": \"Price\", \"from\": \"decimal(16,2)\", \"to\": \"decimal(16,4)\"}],
     \"rows\": [{\"change\": \"added\", \"row\": {\"Id\": 9, \"Price\": \"2.50\"}}, {\"change\": \"removed\", \"row\": {…}},
              {\"change\": \"changed\", \"key\": {\"Id\": 7}, \"columns\": [{\"column\": \"Price\", \"old\": \"2.50\", \"new\": \"3.00\"}]}],
     \"truncated\": true}],
   \"unchanged\": 82, \"chunks_read\": 2, \"chunks_shared\": 310}
  state: changed, came, gone, not_taken. rows with --rows, truncated when rows were left off. Tables that are equal are left out.")]
pub(super) struct DiffArgs {
    /// From: a number, `latest`, a time, a day, `yesterday` [default: the snapshot before TO]
    from: Option<String>,
    /// To [default: the newest]
    to: Option<String>,
    /// Only this table; may be repeated
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Show the rows: + added, - removed, ~ changed
    #[arg(long)]
    rows: bool,
    /// Most rows to show of each table; 0 for all
    #[arg(long, default_value_t = 100, value_name = "ROWS", requires = "rows")]
    limit: usize,
    /// Cut longer values in the text; 0 for never
    #[arg(long, default_value_t = 60, value_name = "CHARACTERS")]
    width: usize,
}

pub(super) async fn run(args: DiffArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let options = DiffOptions { tables: args.tables, rows: args.rows.then_some(limit) };
    let (zone, observer) = (config.zone(), context.observer());
    let outcome = blocking(move || {
        let to = overview::find(&archive, args.to.as_deref(), &zone)?;
        let from = match &args.from {
            Some(from) => overview::find(&archive, Some(from), &zone)?,
            None => overview::before(&archive, &to)?,
        };
        diff::diff(&archive, &from, &to, &options, &observer)
    })
    .await?;
    Rendered::new(&outcome, text(&outcome, args.width))
}

fn text(outcome: &DiffOutcome, width: usize) -> String {
    let side = |side: &Side| format!("{} of {}", side.snapshot, side.till_time.strftime("%Y-%m-%d %H:%M:%S"));
    let mut text = format!("snapshot {} to {}\n", side(&outcome.from), side(&outcome.to));
    if outcome.ids_may_be_reused {
        let (from, to) = (outcome.from.epoch, outcome.to.epoch);
        text.push_str(&format!(
            "the database was cleared in between (epoch {from} and {to}): the same Id may stand for something else\n"
        ));
    }
    if !outcome.tables.is_empty() {
        let header = ["table", "added", "changed", "removed", "remarks"];
        text.push_str(&text_table(&header, &[1, 2, 3], outcome.tables.iter().map(cells).collect()));
    }
    let equal = match (outcome.unchanged, outcome.tables.len()) {
        (0, _) => "no table is equal".into(),
        (1, _) => "1 table is equal".into(),
        (tables, 0) => format!("all {tables} tables are equal"),
        (tables, _) => format!("{tables} tables are equal"),
    };
    let (read, shared) = (counted(outcome.chunks_read, "chunk"), human_count(outcome.chunks_shared));
    text.push_str(&format!("{equal}; {read} read, {shared} shared\n"));
    text.extend(outcome.tables.iter().map(|table| rows(table, width)));
    text
}

fn cells(table: &TableDiff) -> Vec<String> {
    let mut remarks = Vec::new();
    match table.state {
        State::Changed => {}
        State::Came => remarks.push("new table".to_owned()),
        State::Gone => remarks.push("table is gone".to_owned()),
        State::NotTaken => remarks.push("not known".to_owned()),
    }
    remarks.extend(table.columns_added.iter().map(|new| format!("+ column {} {}", new.column, new.sql_type)));
    remarks.extend(table.columns_removed.iter().map(|old| format!("- column {} {}", old.column, old.sql_type)));
    let retyped = table.columns_retyped.iter();
    remarks.extend(retyped.map(|column| format!("~ column {}: {} → {}", column.column, column.from, column.to)));
    remarks.extend(table.note.clone());
    let count = |rows: u64| if table.state == State::NotTaken { "-".into() } else { human_count(rows) };
    vec![table.table.clone(), count(table.added), count(table.changed), count(table.removed), remarks.join(", ")]
}

/// The rows of a table, one a line.
fn rows(table: &TableDiff, width: usize) -> String {
    let Some(rows) = table.rows.as_ref().filter(|rows| !rows.is_empty()) else { return String::new() };
    let mut text = format!("\n{}\n", table.table);
    for change in rows {
        text.push_str(&match change {
            RowChange::Added { row } => format!("+ {}\n", fields(row, width)),
            RowChange::Removed { row } => format!("- {}\n", fields(row, width)),
            RowChange::Changed { key, columns } => {
                let columns = columns.iter().map(|change| {
                    format!("{}: {} → {}", change.column, value(&change.old, width), value(&change.new, width))
                });
                format!("~ {}  {}\n", fields(key, width), columns.collect::<Vec<_>>().join(", "))
            }
        });
    }
    if table.truncated {
        let left = (table.added + table.changed + table.removed).saturating_sub(rows.len() as u64);
        text.push_str(&format!("… and {} more\n", human_count(left)));
    }
    text
}

/// The values of a row that are not NULL.
pub(super) fn fields(row: &Map<String, Value>, width: usize) -> String {
    let fields: Vec<String> = row
        .iter()
        .filter(|(_, field)| !field.is_null())
        .map(|(name, field)| format!("{name} {}", value(field, width)))
        .collect();
    fields.join(", ")
}

/// A value as text.
pub(super) fn value(value: &Value, width: usize) -> String {
    match value {
        Value::Null => shown(None, width),
        Value::String(text) => shown(Some(text), width),
        other => shown(Some(&other.to_string()), width),
    }
}
