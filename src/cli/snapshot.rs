//! `tillvault snapshot`.

use clap::Args;

use super::{Context, Rendered, human_bytes, human_count};
use crate::{
    archive::snapshot::SnapshotKind,
    config::Config,
    error::Result,
    ops::{
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
        tag::check_word,
    },
    source::sqlserver::SqlServer,
};

/// Read the till and keep what is new
///
/// Chunks that the archive has are neither encoded nor written. When nothing changed since the snapshot before, none is
/// added, unless --always or a new --tag asks for it.
///
/// With --quick, the till computes checksums of its rows first, and only ranges of rows whose checksums changed are read.
/// Checksums can miss a change, if hardly ever; a full snapshot reads every row, and says so if they did.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault snapshot
  tillvault snapshot --quick
  tillvault snapshot --tag pre-clear")]
pub(super) struct SnapshotArgs {
    /// Read only rows in ranges whose checksums on the till changed
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Read every row (the default)
    #[arg(long)]
    full: bool,
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
    pub(super) fn options(self, config: &Config, quick: bool) -> Result<SnapshotOptions> {
        self.tags.iter().try_for_each(|word| check_word(word))?;
        Ok(SnapshotOptions { selection: config.till()?.tables.clone(), tags: self.tags, always: self.always, quick })
    }
}

pub(super) async fn run(args: SnapshotArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let options = args.options.options(&config, args.quick && !args.full)?;
    let mut till = SqlServer::connect(config.till()?).await?.reporting_to(context.observer());
    let outcome = snapshot(&archive, &mut till, &options, &context.observer()).await?;
    Rendered::new(&outcome, text(&outcome))
}

pub(super) fn text(outcome: &SnapshotOutcome) -> String {
    let rows = human_count(outcome.rows);
    if outcome.unchanged {
        let found = match outcome.kind {
            SnapshotKind::Full => format!("{rows} rows in {} tables read and found equal", outcome.tables.len()),
            SnapshotKind::Quick => {
                let read = human_count(outcome.rows_read);
                format!("{rows} rows in {} tables, {read} of them read, found equal", outcome.tables.len())
            }
        };
        return format!("nothing changed since snapshot {}: {found}, {:.1} s\n", outcome.snapshot, outcome.seconds);
    }
    let read = match outcome.kind {
        SnapshotKind::Full => String::new(),
        SnapshotKind::Quick => format!(" ({} read)", human_count(outcome.rows_read)),
    };
    let mut text = format!(
        "snapshot {}: {rows} rows{read} in {} tables, {} chunks, {} new ({}), {:.1} s\n",
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
