//! `tillvault load`.

use clap::Args;

use super::{Context, Rendered};
use crate::{
    error::Result,
    ops::load::{LoadOutcome, load},
};

/// Bring the PostgreSQL replica up to the archive
///
/// Loads every snapshot the replica does not hold yet, each in one transaction. The till is not asked.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault load                         what the replica lacks; does nothing when it is up to date
  tillvault load --rebuild               everything again: after a change under [replica], or to be sure")]
pub(super) struct LoadArgs {
    /// Empty the replica and load the whole archive again
    #[arg(long)]
    rebuild: bool,
}

pub(super) async fn run(args: &LoadArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let outcome = load(&config, &archive, args.rebuild, &context.observer()).await?;
    Rendered::new(&outcome, text(&outcome))
}

pub(super) fn text(outcome: &LoadOutcome) -> String {
    if outcome.snapshots == 0 {
        return format!("replica: already holds snapshot {}\n", outcome.snapshot);
    }
    format!(
        "replica: now at snapshot {} ({} loaded): {} tickets new, {} changed, {} cleared, {} deleted, {:.1} s\n",
        outcome.snapshot,
        outcome.snapshots,
        outcome.inserted,
        outcome.updated,
        outcome.cleared,
        outcome.deleted,
        outcome.seconds
    )
}
