//! `tillvault tag`.

use clap::Args;

use super::{Context, Rendered};
use crate::{
    error::Result,
    ops::{
        overview,
        tag::{TagOptions, TagOutcome, tag},
    },
};

/// Give words to a snapshot, or take them away
///
/// The snapshot's file stays as it is: tags given later stand in the journal. Without options, says which tags it has.
/// A tag has 1 to 64 letters, digits, or any of `-_.:`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault tag 42 --add pre-clear
  tillvault tag latest --remove test --add keep
  tillvault tag yesterday --set nightly,audited
  tillvault tag 42 --set ''             no tags")]
pub(super) struct TagArgs {
    /// Which snapshot: a number, `latest`, a time, a day, `yesterday`
    snapshot: String,
    /// Words to add: one or several with commas; may be repeated
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    add: Vec<String>,
    /// Words to take away
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    remove: Vec<String>,
    /// Words to have in place of all there are
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    set: Option<Vec<String>>,
    /// Say what would be, and write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) async fn run(args: TagArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let snapshot = overview::find(&archive, Some(&args.snapshot), &config.zone())?;
    let asks = !args.add.is_empty() || !args.remove.is_empty() || args.set.is_some();
    // `--set ''` is an empty word to the parser, and no word to a person.
    let set = args.set.map(|words| if words == [""] { Vec::new() } else { words });
    // Looking needs no right to write.
    let options = TagOptions { add: args.add, remove: args.remove, set, dry_run: args.dry_run || !asks };
    let outcome = tag(&archive, &snapshot, &options).await?;
    Rendered::new(&outcome, text(&outcome, args.dry_run))
}

fn text(outcome: &TagOutcome, dry_run: bool) -> String {
    let words = |tags: &[String]| if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") };
    let (before, now) = (words(&outcome.before), words(&outcome.tags));
    match (outcome.changed, dry_run) {
        (false, _) => format!("snapshot {}: {now}\n", outcome.snapshot),
        (true, false) => format!("snapshot {}: {now} (before: {before})\n", outcome.snapshot),
        (true, true) => format!("snapshot {}: would be {now} (now: {before})\n", outcome.snapshot),
    }
}
