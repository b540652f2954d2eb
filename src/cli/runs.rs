//! `tillvault sync` and `tillvault nightly`.

use clap::Args;

use super::{Context, Rendered, destinations, error_as_text, forget, load, prune, push, snapshot};
use crate::{
    error::Result,
    ops::{
        nightly::{self, RunOutcome},
        push::Destinations,
    },
    source::sqlserver::SqlServer,
};

/// Take a quick snapshot and load it into the replica: what runs every 15 minutes
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault sync
  tillvault sync --push                  and upload it to every remote at once
  tillvault sync --quiet > /dev/null     from a schedule: only warnings and errors are said
  tillvault sync --json | jq .snapshot   what was taken and loaded, for a program")]
pub(super) struct SyncArgs {
    #[command(flatten)]
    options: snapshot::TakeArgs,
    /// Push to every remote, too; without it the night does
    #[arg(long)]
    push: bool,
}

/// Take a full snapshot, push it to every remote, load the replica, forget and prune: what runs before the till is cleared
///
/// The snapshot gets the tag nightly. Which snapshots are forgotten is in the settings under [forget]; one that a remote has not got
/// yet stays until it has. What was forgotten is taken from the remotes, too, after the same grace. A seventh of the remotes' folders is
/// looked through each night, so that what a remote has lost is noticed within a week.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault nightly
  tillvault nightly --quiet > /dev/null  from a schedule, before the till is cleared; cron mails what goes wrong
  tillvault nightly --json > night.json  what each step did; the exit code says how it ended")]
pub(super) struct NightlyArgs {
    #[command(flatten)]
    options: snapshot::TakeArgs,
}

pub(super) async fn sync(args: SyncArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let options = args.options.options(&config, true)?;
    let mut till = SqlServer::connect(config.till()?).await?.reporting_to(context.observer());
    let mut remotes = args.push.then(|| Destinations::open(archive.root(), &config.remotes));
    let _limits = remotes.as_ref().map(|remotes| destinations::limit(remotes, &config, None, context));
    let observer = context.observer();
    rendered(&nightly::sync(&config, &archive, &mut till, remotes.as_mut(), &options, &observer).await?)
}

pub(super) async fn nightly(args: NightlyArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let options = args.options.options(&config, false)?;
    let mut till = SqlServer::connect(config.till()?).await?.reporting_to(context.observer());
    let mut remotes = Destinations::open(archive.root(), &config.remotes);
    let _limits = destinations::limit(&remotes, &config, None, context);
    rendered(&nightly::nightly(&config, &archive, &mut till, &mut remotes, &options, &context.observer()).await?)
}

fn rendered(outcome: &RunOutcome) -> Result<Rendered> {
    let mut text = snapshot::text(&outcome.snapshot);
    for pushed in &outcome.push {
        text.push_str(&push::report(pushed));
    }
    if let Some(loaded) = &outcome.load {
        text.push_str(&load::text(loaded));
    }
    if let Some(forgotten) = &outcome.forget {
        text.push_str(&forget::text(forgotten));
    }
    for pruned in outcome.prune_remotes.iter().filter(|pruned| pruned.has_news()) {
        text.push_str(&prune::remote_text(pruned));
    }
    let rendered = Rendered::new(outcome, text)?;
    Ok(match &outcome.error {
        Some(error) => {
            let mut complaint = error_as_text(error);
            for message in outcome.failures.iter().filter(|message| *message != error.message()) {
                complaint.push_str(&format!("tillvault: {message}\n"));
            }
            Rendered { complaint, ..rendered }.with_code(error.exit_code())
        }
        None => rendered,
    })
}
