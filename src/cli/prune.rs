//! `tillvault prune`.

use std::fmt::Write as _;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::{Context, Rendered, counted, destinations, human_bytes, human_count};
use crate::{
    error::Result,
    model::keep,
    ops::{
        check::Part,
        mirror,
        prune::{PruneFiles, PruneOptions, PruneOutcome, prune},
        prune_remote::{RemotePruneOptions, RemotePruneOutcome, prune_remote},
    },
    store::proof::Trash,
};

/// Remove chunks that no snapshot names any more
///
/// A chunk is marked when it is first found unused, and removed by a later prune when its time of grace is over and still no
/// snapshot names it. Nothing is removed while a snapshot cannot be read or a chunk that one names is not there.
///
/// With --remote the same is done on a remote: forgotten snapshots are removed there, and chunks that no snapshot names, after the same
/// grace. They go to the server's trash bin. Nothing is removed when the remote holds anything that this archive does not know, or
/// cannot be listed as a whole.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault prune
  tillvault prune --dry-run
  tillvault prune --grace 0                        at once; only while nobody reads the archive
  tillvault prune --remote nextcloud --dry-run     what would go from the remote
  tillvault prune --remote nextcloud --skip-trash  for good, where the server allows it")]
pub(super) struct PruneArgs {
    /// How long a chunk must have been unused, such as 24h or 3d [default: grace of the settings, else 24h]
    #[arg(long, value_name = "TIME", value_parser = keep::grace)]
    grace: Option<SignedDuration>,
    /// Say what would be removed, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Prune this remote instead of the archive here; without a name the only or first one of the settings
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    remote: Option<String>,
    /// With --remote: past the server's trash bin
    #[arg(long, requires = "remote")]
    skip_trash: bool,
}

pub(super) async fn run(args: &PruneArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let grace = args.grace.unwrap_or(config.prune.grace);
    let now = Timestamp::now();
    let Some(name) = &args.remote else {
        let options = PruneOptions { grace, dry_run: args.dry_run, now };
        let outcome = prune(&archive, &options, &context.observer()).await?;
        return Rendered::new(&outcome, text(&outcome));
    };
    let name = Some(name.as_str()).filter(|name| !name.is_empty());
    let remote = mirror::open(archive.root(), destinations::one(&config, name)?)?;
    let trash = if args.skip_trash { Trash::Skip } else { Trash::Keep };
    let options = RemotePruneOptions { grace, dry_run: args.dry_run, now, trash, folders: Part::ALL };
    let outcome = prune_remote(&archive, &remote, &options, &context.observer()).await?;
    Rendered::new(&outcome, remote_text(&outcome))
}

pub(super) fn remote_text(outcome: &RemotePruneOutcome) -> String {
    let mut text = outcome.files.as_ref().map_or_else(String::new, files);
    let done = if outcome.dry_run { "would remove" } else { "removed" };
    let _ = match (outcome.snapshots.len() as u64, outcome.removed) {
        (0, 0) => write!(text, "prune of {}: nothing to remove", outcome.remote),
        (snapshots, chunks) => write!(
            text,
            "prune of {}: {done} {} and {}, {}",
            outcome.remote,
            counted(snapshots, "forgotten snapshot"),
            counted(chunks, "unused chunk"),
            human_bytes(outcome.freed)
        ),
    };
    if let Some(until) = outcome.waiting_until {
        let (count, bytes) = (human_count(outcome.waiting), human_bytes(outcome.waiting_bytes));
        let _ = write!(text, "; {count} wait, {bytes}, the first until {until:.0}");
    }
    if outcome.deferred > 0 {
        let _ = write!(text, "; {} could not be removed now and stay for the next time", human_count(outcome.deferred));
    }
    text + "\n"
}

/// The files of a dry run, one a line.
fn files(files: &PruneFiles) -> String {
    let mut text = String::new();
    for (word, marks) in [("remove", &files.remove), ("wait  ", &files.wait)] {
        for mark in marks {
            let size = human_bytes(mark.bytes);
            let _ = writeln!(text, "{word} {} ({size}, unused since {:.0})", mark.path, mark.since);
        }
    }
    text
}

pub(super) fn text(outcome: &PruneOutcome) -> String {
    let mut text = outcome.files.as_ref().map_or_else(String::new, files);
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
