//! `tillvault snapshots` and `tillvault show`.

use clap::Args;

use super::{Context, Rendered, blocking, counted, human_bytes, human_count, text_table};
use crate::{
    archive::snapshot::{Block, Ladder, TableEntry},
    config::Config,
    error::Result,
    ops::overview::{self, Backlog, Damaged, ListOptions, Listing, Shown, SnapshotLine},
};

/// List the snapshots in the archive, newest last
///
/// `pushed` names the remotes that are known to hold a snapshot since the last push, without asking them.
/// Snapshots whose files are damaged or lost are marked; the exit code is 13 then.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault snapshots
  tillvault snapshots --last 10
  tillvault snapshots --tag nightly --tag pre-clear
  tillvault snapshots --json | jq '.snapshots[] | select(.pushed == []) | .snapshot'")]
pub(super) struct SnapshotsArgs {
    /// Only snapshots with this tag; may be repeated, one of them is enough
    #[arg(long = "tag", value_name = "WORD")]
    tags: Vec<String>,
    /// Only the newest so many
    #[arg(long, value_name = "NUMBER")]
    last: Option<usize>,
}

/// Show one snapshot: source, consistency, tags, tables with rows and chunks
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault show
  tillvault show 42
  tillvault show yesterday --chunks
  tillvault show '2026-10-01 03:00' --json")]
pub(super) struct ShowArgs {
    /// Which one: a number, `latest`, a time, a day, `yesterday` [default: the newest]
    snapshot: Option<String>,
    /// List every chunk: block, rows, file
    #[arg(long)]
    chunks: bool,
}

pub(super) async fn snapshots(args: SnapshotsArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let options = ListOptions { remotes: remotes(&config), tags: args.tags, last: args.last };
    let remotes = !options.remotes.is_empty();
    let is_choice = !options.tags.is_empty() || options.last.is_some();
    let listing = blocking(move || overview::snapshots(&archive, &options)).await?;
    let text = match list(&listing, remotes) {
        Some(text) => text + &backlog(&listing.backlog),
        None if is_choice => "no snapshot is like that: `tillvault snapshots` lists them all\n".into(),
        None => "no snapshot yet: run `tillvault snapshot`\n".into(),
    };
    let mut rendered = Rendered::new(&listing, text)?;
    rendered.complaint = complaint(&listing.damaged);
    Ok(match listing.code {
        Some(code) => rendered.with_code(code),
        None => rendered,
    })
}

/// Names of the remotes in the settings.
pub(super) fn remotes(config: &Config) -> Vec<String> {
    config.remotes.iter().map(|remote| remote.name.clone()).collect()
}

/// What to say on standard error of files that cannot be read.
pub(super) fn complaint(damaged: &[Damaged]) -> String {
    let mut text = String::new();
    for one in damaged {
        text.push_str(&format!("tillvault: {}\n", one.message));
        text.extend(one.next.as_ref().map(|next| format!("  next: {next}\n")));
    }
    text
}

/// The table; `None` when it would have no line.
fn list(listing: &Listing, remotes: bool) -> Option<String> {
    let mut rows: Vec<(u64, Vec<String>)> =
        listing.snapshots.iter().map(|line| (line.snapshot, cells(line, remotes))).collect();
    for damaged in &listing.damaged {
        let Some(number) = damaged.snapshot else { continue };
        let mut cells = vec![number.to_string()];
        cells.resize(if remotes { 8 } else { 7 }, String::new());
        cells.push("DAMAGED".into());
        rows.push((number, cells));
    }
    if rows.is_empty() {
        return None;
    }
    rows.sort_by_key(|(number, _)| *number);
    let mut header = vec!["snapshot", "till time", "kind", "epoch", "rows", "new"];
    header.extend(remotes.then_some("pushed"));
    header.extend(["tags", "remarks"]);
    Some(text_table(&header, &[0, 3, 4, 5], rows.into_iter().map(|(_, cells)| cells).collect()))
}

/// What waits for a push, a line for each remote.
fn backlog(backlog: &[Backlog]) -> String {
    let line = |one: &Backlog| {
        let count = counted(one.snapshots.len() as u64, "snapshot");
        let never = if one.pushed_at.is_none() { ", it was never pushed to" } else { "" };
        format!("{} lacks {count}{never}: `tillvault push`\n", one.remote)
    };
    backlog.iter().map(line).collect()
}

fn cells(line: &SnapshotLine, remotes: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(line.cleared.map(|tickets| format!("cleared: {}", counted(tickets, "ticket"))));
    remarks.extend((line.missing > 0).then(|| format!("{} missing", counted(line.missing as u64, "table"))));
    let mut cells = vec![
        line.snapshot.to_string(),
        line.till_time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        word(line.kind),
        line.epoch.to_string(),
        human_count(line.rows),
        human_bytes(line.bytes_new),
    ];
    cells.extend(remotes.then(|| pushed(&line.pushed)));
    cells.push(line.tags.join(", "));
    cells.push(remarks.join(", "));
    cells
}

fn pushed(remotes: &[String]) -> String {
    if remotes.is_empty() { "-".into() } else { remotes.join(", ") }
}

pub(super) async fn show(args: ShowArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let remotes = remotes(&config);
    let zone = config.zone();
    let configured = !remotes.is_empty();
    let shown = blocking(move || overview::show(&archive, args.snapshot.as_deref(), &zone, &remotes)).await?;
    Rendered::new(&shown, detail(&shown, configured, args.chunks))
}

/// A variant as the JSON has it: one lower-case word.
pub(super) fn word(variant: impl std::fmt::Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

fn detail(shown: &Shown, remotes: bool, chunks: bool) -> String {
    let snapshot = &shown.snapshot;
    let mut text = format!(
        "snapshot {} of {} on {} (SQL Server {}, {})\ntaken {} = {} at the till; {}, consistency {}, epoch {}\n",
        snapshot.snapshot,
        snapshot.source.database,
        snapshot.source.server,
        snapshot.source.version,
        snapshot.source.collation,
        snapshot.taken_at,
        snapshot.till_time.strftime("%Y-%m-%d %H:%M:%S"),
        word(snapshot.kind),
        word(snapshot.consistency),
        snapshot.epoch
    );
    if let Some(clear) = &snapshot.clear {
        text.push_str(&format!("{}\n", clear.note));
    }
    let tags = if snapshot.tags.is_empty() { "none".to_owned() } else { snapshot.tags.join(", ") };
    text.push_str(&format!("tags: {tags}\n"));
    if remotes {
        text.push_str(&format!("pushed: {}\n", pushed(&shown.pushed)));
    }
    text.push_str(&format!("parent: {}\n", snapshot.parent.as_deref().unwrap_or("none, it is the first")));
    let rows = snapshot
        .tables
        .iter()
        .map(|entry| {
            vec![
                entry.table.name.to_string(),
                human_count(entry.rows),
                entry.chunks.len().to_string(),
                human_bytes(entry.chunks.iter().map(|chunk| chunk.bytes).sum()),
                entry.table.left_out.join(", "),
            ]
        })
        .collect();
    text.push_str(&text_table(&["table", "rows", "chunks", "stored", "left out"], &[1, 2, 3], rows));
    for missing in &snapshot.missing {
        text.push_str(&format!("missing: {} ({})\n", missing.table, missing.reason));
    }
    if chunks {
        text.extend(snapshot.tables.iter().map(chunk_list));
    }
    text
}

/// How a table is cut, and its chunks.
fn chunk_list(entry: &TableEntry) -> String {
    let ladder = match &entry.ladder {
        Ladder::Range { column, open, closed, .. } => format!("blocks of {closed} and {open} keys of {column}"),
        Ladder::Whole => "one chunk".into(),
        Ladder::Hash { bits, .. } => format!("cut by {bits} bits of the key's hash"),
    };
    let rows = entry
        .chunks
        .iter()
        .map(|chunk| {
            let block = match chunk.block {
                Block::Range { lo, hi } => format!("{lo} to {hi}"),
                Block::Hash { bucket, .. } => format!("bucket {bucket}"),
                Block::Whole {} => "all".into(),
            };
            vec![block, human_count(chunk.rows), human_bytes(chunk.bytes), chunk.file_name()]
        })
        .collect();
    let list = text_table(&["block", "rows", "stored", &format!("file in tables/{}", entry.folder)], &[1, 2], rows);
    format!("\n{}: {ladder}\n{}", entry.table.name, if entry.chunks.is_empty() { "no rows\n".into() } else { list })
}
