//! `tillvault find`.

use clap::Args;
use serde_json::{Map, Value};

use super::{
    Context, Rendered, blocking, counted,
    diff::{fields, value},
    human_count,
    show::complaint,
};
use crate::{
    error::Result,
    ops::{
        find::{self, FindOptions, FindOutcome, Interval, Version},
        overview,
    },
};

/// Find a value in a column over the whole history: every version of every row that has it
///
/// Values are compared as text, as `query` shows them: 2.50 in a column with two decimals, 2026-10-01 03:00:00 for a time,
/// true for a bit. For each version it says in which snapshots the row stood so.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault find Tickets TicketNumber 1042
  tillvault find Orders MenuItemName Ayran --limit 20
  tillvault find Tickets TicketTags '\"Room\"' --contains --from 2026-10-01
  tillvault find MenuItemPrices MenuItemPortionId 7 --json

The JSON:
  {\"table\": \"MenuItemPrices\", \"column\": \"MenuItemPortionId\", \"key\": [\"Id\"], \"searched\": {\"from\": 1, \"to\": 12, …},
   \"versions\": [{\"stood\": [{\"from\": 1, \"to\": 3, \"from_till_time\": \"2026-10-01T03:00:07\", \"to_till_time\": \"2026-10-03T03:00:04\"}],
                 \"epoch\": 1, \"row\": {\"Id\": 7, \"Price\": \"2.50\"}}],
   \"found\": 1, \"chunks_read\": 4, \"chunks_skipped\": 0, \"damaged\": []}")]
pub(super) struct FindArgs {
    /// Table
    table: String,
    /// Column
    column: String,
    /// Value
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// The value may be a part of what the column holds
    #[arg(long)]
    contains: bool,
    /// First snapshot to look at: a number, a time, a day, `yesterday` [default: the oldest]
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<String>,
    /// Last snapshot to look at [default: the newest]
    #[arg(long, value_name = "SNAPSHOT")]
    to: Option<String>,
    /// Most versions to show; 0 for all
    #[arg(long, default_value_t = 100, value_name = "VERSIONS")]
    limit: usize,
    /// Cut longer values in the text; 0 for never
    #[arg(long, default_value_t = 60, value_name = "CHARACTERS")]
    width: usize,
}

pub(super) async fn run(args: FindArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let (zone, observer) = (config.zone(), context.observer());
    let (wanted, width) = (args.value.clone(), args.width);
    let outcome = blocking(move || {
        let number = |asked: &Option<String>| match asked {
            Some(asked) => overview::find(&archive, Some(asked), &zone).map(|snapshot| Some(snapshot.snapshot)),
            None => Ok(None),
        };
        let options = FindOptions {
            from: number(&args.from)?,
            to: number(&args.to)?,
            table: args.table,
            column: args.column,
            value: args.value,
            contains: args.contains,
            limit: (args.limit > 0).then_some(args.limit),
        };
        find::find(&archive, &options, &observer)
    })
    .await?;
    let mut rendered = Rendered::new(&outcome, text(&outcome, &wanted, width))?;
    rendered.complaint = complaint(&outcome.damaged);
    Ok(match outcome.code {
        Some(code) => rendered.with_code(code),
        None => rendered,
    })
}

fn text(outcome: &FindOutcome, wanted: &str, width: usize) -> String {
    let (table, column) = (&outcome.table, &outcome.column);
    let place = match outcome.searched {
        Some(Interval { from, to, .. }) => format!("snapshots {from} to {to}"),
        None => "no snapshot that can be read".into(),
    };
    if outcome.found == 0 {
        let wanted = value(&Value::from(wanted), width);
        return format!(
            "{table} never had {column} {wanted} in {place} (values are compared as text, as `query` shows them)\n"
        );
    }
    let mut text = format!("{table}: {} in {place}\n", counted(outcome.found, "version"));
    let mut before: Option<&Version> = None;
    for version in &outcome.versions {
        let key = key(version, &outcome.key);
        // Of rows of one key only what is another is repeated. After a clear the same key is another row.
        let same = before.filter(|before| {
            !outcome.key.is_empty() && before.epoch == version.epoch && self::key(before, &outcome.key) == key
        });
        if same.is_none() {
            let epoch = if version.epoch == 1 { String::new() } else { format!("  (epoch {})", version.epoch) };
            let key = if key.is_empty() { "row".into() } else { fields(&key, width) };
            text.push_str(&format!("\n{key}{epoch}\n"));
        }
        let row = match same {
            Some(before) => changes(&before.row, &version.row, width),
            None => {
                let mut row = version.row.clone();
                row.retain(|name, _| !outcome.key.contains(name));
                fields(&row, width)
            }
        };
        let stood: Vec<String> = version.stood.iter().map(interval).collect();
        text.push_str(&format!("  {}\n    {row}\n", stood.join("; ")));
        before = Some(version);
    }
    let left = outcome.found.saturating_sub(outcome.versions.len() as u64);
    if left > 0 {
        text.push_str(&format!("\n… and {} more: --limit 0 shows all\n", human_count(left)));
    }
    text
}

fn key(version: &Version, key: &[String]) -> Map<String, Value> {
    key.iter().filter_map(|name| Some((name.clone(), version.row.get(name)?.clone()))).collect()
}

/// The values that differ from the version before.
fn changes(old: &Map<String, Value>, new: &Map<String, Value>, width: usize) -> String {
    let none = Value::Null;
    let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
    let changed: Vec<String> = names
        .map(|name| (name, old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none)))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name}: {} → {}", value(old, width), value(new, width)))
        .collect();
    format!("~ {}", changed.join(", "))
}

fn interval(interval: &Interval) -> String {
    let time = |time: jiff::civil::DateTime| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    if interval.from == interval.to {
        return format!("snapshot {}, {}", interval.from, time(interval.from_till_time));
    }
    let (from, to) = (time(interval.from_till_time), time(interval.to_till_time));
    format!("snapshots {} to {}, {from} to {to}", interval.from, interval.to)
}
