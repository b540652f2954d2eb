//! `tillvault stats`.

use clap::Args;

use super::{Context, Rendered, blocking, counted, human_bytes, human_count, show::complaint, text_table};
use crate::{
    error::Result,
    ops::stats::{self, Files, Growth, Stats, When},
};

/// Tell what the archive takes, what it saves, and how it grows
///
/// Nothing but small files and folder listings are read. `stored` counts each file once; `kept whole` is what the snapshots would
/// take if they shared nothing; `unused` chunks are named by no snapshot.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault stats
  tillvault stats --table Orders --table Tickets
  tillvault stats --json | jq '.stored.bytes, .ratio'")]
pub(super) struct StatsArgs {
    /// Only this table; may be repeated
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
}

pub(super) async fn run(args: StatsArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let stats = blocking(move || stats::stats(&archive, &args.tables)).await?;
    let mut rendered = Rendered::new(&stats, text(&stats))?;
    rendered.complaint = complaint(&stats.damaged);
    Ok(match stats.code {
        Some(code) => rendered.with_code(code),
        None => rendered,
    })
}

fn text(stats: &Stats) -> String {
    let mut text = format!("snapshots    {}{}\n", human_count(stats.snapshots), between(stats.first, stats.last));
    let stored = &stats.stored;
    text.push_str(&format!("stored       {}: {}", human_bytes(stored.bytes), files(stored.chunks, "chunk")));
    for (part, what) in [(stored.snapshots, "snapshot file"), (stored.journal, "record")] {
        if part.files > 0 {
            text.push_str(&format!(", {}", files(part, what)));
        }
    }
    text.push('\n');
    let whole = human_bytes(stats.whole_bytes);
    text.push_str(&format!("kept whole   {whole}, {:.1} times as much\n", stats.ratio));
    match stats.unused {
        Some(Files { files: 0, .. }) => text.push_str("unused       nothing\n"),
        Some(unused) => text.push_str(&format!("unused       {}\n", files(unused, "chunk"))),
        None => text.push_str("unused       not known: a snapshot cannot be read\n"),
    }
    let rows = stats
        .tables
        .iter()
        .map(|table| {
            vec![
                table.table.clone(),
                table.rows.map_or_else(|| "-".into(), human_count),
                human_count(table.now.files),
                human_bytes(table.now.bytes),
                human_count(table.history.files),
                human_bytes(table.history.bytes),
                format!("{:.1} %", table.share * 100.0),
            ]
        })
        .collect();
    let header = ["table", "rows", "chunks", "stored", "all chunks", "all stored", "share"];
    text.push_str(&format!("\n{}", text_table(&header, &[1, 2, 3, 4, 5, 6], rows)));
    for (what, growth) in [("day", &stats.days), ("month", &stats.months)] {
        text.push_str(&format!("\n{}", grown(what, growth)));
    }
    text
}

fn between(first: Option<When>, last: Option<When>) -> String {
    let time = |when: When| when.till_time.strftime("%Y-%m-%d %H:%M:%S");
    match (first, last) {
        (Some(first), Some(last)) => {
            format!(": {} of {} to {} of {}", first.snapshot, time(first), last.snapshot, time(last))
        }
        _ => String::new(),
    }
}

fn files(files: Files, what: &str) -> String {
    format!("{} {}", counted(files.files, what), human_bytes(files.bytes))
}

fn grown(what: &str, growth: &[Growth]) -> String {
    let rows = growth
        .iter()
        .map(|period| vec![period.period.clone(), human_count(period.snapshots), human_bytes(period.bytes)])
        .collect();
    text_table(&[what, "snapshots", "new"], &[1, 2], rows)
}
