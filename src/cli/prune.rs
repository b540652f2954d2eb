//! `tillvault prune`.

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::{Context, Rendered, counted, human_bytes, human_count};
use crate::{
    error::Result,
    model::keep,
    ops::prune::{PruneOptions, PruneOutcome, prune},
};

/// Remove chunks that no snapshot names any more
///
/// A chunk is marked when it is first found unused, and removed by a later prune when its time of grace is over and still no
/// snapshot names it. Nothing is removed while a snapshot cannot be read or a chunk that one names is not there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault prune
  tillvault prune --dry-run
  tillvault prune --grace 0          at once; only while nobody reads the archive")]
pub(super) struct PruneArgs {
    /// How long a chunk must have been unused, such as 24h or 3d [default: grace of the settings, else 24h]
    #[arg(long, value_name = "TIME", value_parser = keep::grace)]
    grace: Option<SignedDuration>,
    /// Say what would be removed, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) async fn run(args: &PruneArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let grace = args.grace.unwrap_or(config.prune.grace);
    let options = PruneOptions { grace, dry_run: args.dry_run, now: Timestamp::now() };
    let outcome = prune(&archive, &options, &context.observer()).await?;
    Rendered::new(&outcome, text(&outcome))
}

pub(super) fn text(outcome: &PruneOutcome) -> String {
    let mut text = String::new();
    if let Some(files) = &outcome.files {
        for (word, marks) in [("remove", &files.remove), ("wait  ", &files.wait)] {
            for mark in marks {
                let size = human_bytes(mark.bytes);
                text.push_str(&format!("{word} {} ({size}, unused since {:.0})\n", mark.path, mark.since));
            }
        }
    }
    let done = if outcome.dry_run { "would remove" } else { "removed" };
    match outcome.removed {
        0 => text.push_str("prune: nothing to remove"),
        count => {
            text.push_str(&format!("prune: {done} {}, {}", counted(count, "unused chunk"), human_bytes(outcome.freed)));
        }
    }
    if let Some(until) = outcome.waiting_until {
        let more = if outcome.removed > 0 { " more" } else { "" };
        text.push_str(&format!(
            "; {}{more} wait, {}, the first until {until:.0}",
            human_count(outcome.waiting),
            human_bytes(outcome.waiting_bytes)
        ));
    }
    text.push('\n');
    text
}
