//! `tillvault snapshots` and `tillvault show`.

use clap::Args;
use serde::Serialize;

use super::{Context, Rendered, human_bytes, human_count, text_table};
use crate::{
    archive::snapshot::Snapshot,
    error::Result,
    ops::overview::{self, SnapshotLine},
};

/// List the snapshots in the archive, newest last
#[derive(Args)]
pub(super) struct SnapshotsArgs {}

/// Show one snapshot: source, consistency, tables with rows and chunks
#[derive(Args)]
pub(super) struct ShowArgs {
    /// Number of the snapshot [default: the newest]
    snapshot: Option<u64>,
}

pub(super) fn snapshots(_: &SnapshotsArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let lines = overview::snapshots(&archive)?;
    let text = list(&lines);
    #[derive(Serialize)]
    struct Snapshots {
        snapshots: Vec<SnapshotLine>,
    }
    Rendered::new(&Snapshots { snapshots: lines }, text)
}

fn list(lines: &[SnapshotLine]) -> String {
    if lines.is_empty() {
        return "no snapshot yet: run `tillvault snapshot`\n".into();
    }
    let rows = lines
        .iter()
        .map(|line| {
            let mut remarks = line.tags.clone();
            remarks.extend(line.cleared.map(|tickets| format!("cleared: {} tickets", human_count(tickets))));
            remarks.extend((line.missing > 0).then(|| format!("{} tables missing", line.missing)));
            vec![
                line.snapshot.to_string(),
                line.till_time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                word(line.kind),
                line.epoch.to_string(),
                human_count(line.rows),
                human_bytes(line.bytes_new),
                remarks.join(", "),
            ]
        })
        .collect();
    text_table(&["snapshot", "till time", "kind", "epoch", "rows", "new", "remarks"], &[0, 3, 4, 5], rows)
}

pub(super) fn show(args: &ShowArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let snapshot = overview::find(&archive, args.snapshot)?;
    Rendered::new(&snapshot, detail(&snapshot))
}

/// A variant as the JSON has it: one lower-case word.
fn word(variant: impl std::fmt::Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

fn detail(snapshot: &Snapshot) -> String {
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
    text
}
