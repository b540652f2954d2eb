//! `tillvault pull`.

use clap::Args;

use super::{Context, Rendered, counted, destinations, human_bytes};
use crate::{
    error::Result,
    ops::{
        mirror,
        pull::{PullOptions, PullOutcome, pull},
    },
};

/// Fetch from a remote what the archive here lacks; on a new machine, everything
///
/// May be stopped at any time and run again: what is there is not fetched twice. Every file is verified before it takes its place, a
/// snapshot only after all its chunks, the newest first. An archive that is another one than the remote's, or has gone its own way, is
/// left as it is. On a machine without settings, `tillvault init --from-remote` writes them and pulls.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault pull
  tillvault pull --dry-run                   how much there is to fetch
  tillvault pull --remote nextcloud
  tillvault pull --snapshot 42               only what one snapshot needs; a later pull brings the rest
  tillvault pull && tillvault load --rebuild     a new machine, with its replica")]
pub(super) struct PullArgs {
    /// From this remote [default: the only or first one of the settings]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// Only what this snapshot needs
    #[arg(long, value_name = "N")]
    snapshot: Option<u64>,
    /// Say what would be fetched, and write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) async fn run(args: PullArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let remote = mirror::open(&config.archive, destinations::one(&config, args.remote.as_deref())?)?;
    let options = PullOptions { snapshot: args.snapshot, dry_run: args.dry_run };
    let outcome = pull(&config.archive, &remote, &options, &context.observer()).await?;
    let rendered = Rendered::new(&outcome, text(&outcome))?;
    Ok(if outcome.damaged.is_empty() { rendered } else { rendered.with_code(13) })
}

pub(super) fn text(outcome: &PullOutcome) -> String {
    let (name, archive) = (&outcome.remote, outcome.archive.display());
    let mut text = String::new();
    for damaged in &outcome.damaged {
        text.push_str(&format!("damaged: {damaged}\n"));
    }
    let done = if outcome.dry_run { "would fetch" } else { "fetched" };
    text.push_str(&match outcome.fetched {
        0 => format!("{name}: nothing to fetch, {archive} has it all"),
        count => format!(
            "{name}: {done} {}, {}, with {} into {archive}",
            counted(count, "object"),
            human_bytes(outcome.bytes),
            counted(outcome.snapshots.len() as u64, "snapshot"),
        ),
    });
    if !outcome.left.is_empty() {
        text.push_str(&format!("; {} left there", counted(outcome.left.len() as u64, "snapshot")));
    }
    if !outcome.ahead.is_empty() {
        text.push_str(&format!("; {} here not pushed yet", counted(outcome.ahead.len() as u64, "newer snapshot")));
    }
    text.push_str(&format!(" ({}, {:.1} s)\n", counted(outcome.requests, "request"), outcome.seconds));
    text
}
