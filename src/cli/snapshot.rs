//! `tillvault snapshot`.

use clap::Args;

use super::{Context, Rendered, human_bytes, human_count};
use crate::{
    config::Config,
    error::Result,
    ops::{
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
        tag::check_word,
    },
    source::sqlserver::SqlServer,
};

/// Read the whole till and keep what is new
///
/// Chunks that the archive has are neither encoded nor written. When nothing changed since the snapshot before, none is
/// added, unless --always or a new --tag asks for it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault snapshot
  tillvault snapshot --tag pre-clear")]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    pub(super) options: TakeArgs,
}

/// What every command that takes a snapshot knows.
#[derive(Args)]
pub(super) struct TakeArgs {
    /// Keep this word with the snapshot; may be repeated
    #[arg(long = "tag", value_name = "WORD")]
    tags: Vec<String>,
    /// Add a snapshot even when nothing changed since the one before
    #[arg(long)]
    always: bool,
}

impl TakeArgs {
    pub(super) fn options(self, config: &Config) -> Result<SnapshotOptions> {
        self.tags.iter().try_for_each(|word| check_word(word))?;
        Ok(SnapshotOptions { selection: config.till()?.tables.clone(), tags: self.tags, always: self.always })
    }
}

pub(super) async fn run(args: SnapshotArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let options = args.options.options(&config)?;
    let mut till = SqlServer::connect(config.till()?).await?.reporting_to(context.observer());
    let outcome = snapshot(&archive, &mut till, &options, &context.observer()).await?;
    Rendered::new(&outcome, text(&outcome))
}

pub(super) fn text(outcome: &SnapshotOutcome) -> String {
    let rows = human_count(outcome.rows);
    if outcome.unchanged {
        return format!(
            "nothing changed since snapshot {}: {rows} rows in {} tables read and found equal, {:.1} s\n",
            outcome.snapshot,
            outcome.tables.len(),
            outcome.seconds
        );
    }
    let mut text = format!(
        "snapshot {}: {rows} rows in {} tables, {} chunks, {} new ({}), {:.1} s\n",
        outcome.snapshot,
        outcome.tables.len(),
        outcome.chunks,
        outcome.chunks_new,
        human_bytes(outcome.bytes_new),
        outcome.seconds
    );
    if let Some(clear) = &outcome.clear {
        text.push_str(&format!("  {clear}\n"));
    }
    text
}
