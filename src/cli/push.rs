//! `tillvault push`.

use clap::Args;
use serde_json::json;

use super::{Context, Rendered, counted, human_bytes};
use crate::{
    error::{Error, Kind, Result},
    ops::push::{PushOptions, PushOutcome, push_to},
};

/// Upload what the remotes lack: chunks first, then the snapshots that name them
///
/// May be stopped at any time and run again: what is there is not sent twice. Nothing on a remote is ever overwritten.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault push
  tillvault push --dry-run
  tillvault push --remote nextcloud")]
pub(super) struct PushArgs {
    /// Only this remote; may be repeated [default: all of the settings]
    #[arg(long = "remote", value_name = "NAME")]
    remotes: Vec<String>,
    /// Say what would be uploaded, and upload nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) async fn run(args: PushArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    if config.remotes.is_empty() {
        return Err(Error::new(Kind::Config, "no remote is configured").hint("add a [[remote]] to tillvault.toml"));
    }
    for name in &args.remotes {
        if !config.remotes.iter().any(|remote| remote.name == *name) {
            let known: Vec<&str> = config.remotes.iter().map(|remote| remote.name.as_str()).collect();
            return Err(Error::new(Kind::Usage, format!("there is no remote \"{name}\" in the settings"))
                .hint(format!("known remotes: {}", known.join(", "))));
        }
    }
    let options = PushOptions { dry_run: args.dry_run };
    let mut outcomes = Vec::new();
    let mut failure = None;
    for remote in &config.remotes {
        if !args.remotes.is_empty() && !args.remotes.contains(&remote.name) {
            continue;
        }
        match push_to(&archive, remote, &options, &context.observer()).await {
            Ok(outcome) => outcomes.push(outcome),
            // The other remotes are served all the same.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let text: String = outcomes.iter().map(if args.dry_run { planned } else { text }).collect();
    match outcomes.as_slice() {
        [one] => Rendered::new(one, text),
        several => Rendered::new(&json!({ "remotes": several }), text),
    }
}

/// What a dry run says.
fn planned(outcome: &PushOutcome) -> String {
    match outcome.backlog {
        0 => text(outcome),
        count => format!("{}: would upload {}\n", outcome.remote, counted(count, "object")),
    }
}

pub(super) fn text(outcome: &PushOutcome) -> String {
    let (name, seconds) = (&outcome.remote, outcome.seconds);
    if outcome.uploaded == 0 && outcome.backlog == 0 {
        return format!("{name}: holds everything ({} requests)\n", outcome.requests);
    }
    format!(
        "{name}: uploaded {}, {}, {}, {} left, {seconds:.1} s\n",
        counted(outcome.uploaded, "object"),
        human_bytes(outcome.bytes),
        counted(outcome.requests, "request"),
        outcome.backlog
    )
}
