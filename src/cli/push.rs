//! `tillvault push`.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::{Context, Rendered, counted, destinations, error_as_text, human_bytes, human_count};
use crate::{
    error::Result,
    ops::{
        check::Part,
        push::{Destinations, PushOptions, PushOutcome, PushReport, push_each, worst},
        remote::forecast,
    },
};

/// Objects of a backlog that are listed one by one for people.
const OBJECTS_SHOWN: usize = 50;

/// Upload what the remotes lack: chunks first, then the snapshots that name them
///
/// May be stopped at any time and run again: what is there is not sent twice. An object counts only when the server has proven what it
/// stored. Nothing on a remote is ever overwritten. What a remote has lost is noticed by its snapshots, and with --verify by its
/// chunks, and is uploaded again. When several remotes are served, one that fails does not keep the others from being served.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault push
  tillvault push --dry-run                  what would be uploaded, object by object
  tillvault push --remote nextcloud
  tillvault push --limit-upload 500k        at most 500,000 bytes a second; the setting may change while it runs
  tillvault push --verify                   list every folder there: is each chunk of each snapshot still in it?
  tillvault push --verify today/7           a seventh of the folders, as nightly does")]
pub(super) struct PushArgs {
    /// Only this remote; may be repeated [default: all of the settings]
    #[arg(long = "remote", value_name = "NAME")]
    remotes: Vec<String>,
    /// Say what would be uploaded, and upload nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Bytes a second to send at most, such as 500k or 2M; 0 is no limit [default: rate_limit_bytes_per_second of the remote's settings, which are
    /// looked at again every few seconds]
    #[arg(long, value_name = "RATE", value_parser = destinations::rate)]
    limit_upload: Option<u64>,
    /// Look whether the chunks of the snapshots there are still there: in all folders, the n-th of m parts of them, or the part of today
    #[arg(long, value_name = "n/m|today/m", num_args = 0..=1, default_missing_value = "1/1")]
    verify: Option<String>,
}

pub(super) async fn run(args: PushArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    let verify = args.verify.as_deref().map(|text| Part::parse(text, Timestamp::now())).transpose()?;
    let mut remotes = Destinations::open(archive.root(), destinations::chosen(&config, &args.remotes)?);
    let _limits = destinations::limit(&remotes, &config, args.limit_upload, context);
    let options = PushOptions { dry_run: args.dry_run, verify, derived: true };
    let mut reports = push_each(&archive, &mut remotes, &options, &context.observer()).await;
    for remote in &remotes.remotes {
        let sent = |report: &&PushReport| report.outcome.remote == remote.name && report.outcome.uploaded > 0;
        if !args.dry_run && reports.iter().any(|report| sent(&report) && report.error.is_none()) {
            forecast::warn(&archive, remote, &config.zone(), &context.observer()).await;
        }
    }
    if let [one] = reports.as_mut_slice() {
        return match one.cause.take() {
            Some(error) => Err(error),
            None => Rendered::new(&one.outcome, text(&one.outcome)),
        };
    }
    rendered(&reports)
}

/// The outcomes of several remotes; the exit code is that of the worst.
fn rendered(reports: &[PushReport]) -> Result<Rendered> {
    let rendered = Rendered::new(&json!({ "remotes": reports }), reports.iter().map(report).collect::<String>())?;
    let failures = || reports.iter().filter_map(|report| report.cause.as_ref());
    Ok(match worst(failures()) {
        Some(error) => {
            let complaint = failures().map(error_as_text).collect();
            Rendered { complaint, ..rendered }.with_code(error.exit_code())
        }
        None => rendered,
    })
}

/// One remote's line, also when it failed.
pub(super) fn report(report: &PushReport) -> String {
    let outcome = &report.outcome;
    match &report.error {
        None => text(outcome),
        Some(_) if outcome.uploaded > 0 => format!(
            "{}: failed after {}, {}; {} left, {}\n",
            outcome.remote,
            counted(outcome.uploaded, "object"),
            human_bytes(outcome.bytes),
            human_count(outcome.backlog),
            human_bytes(outcome.backlog_bytes)
        ),
        Some(_) => format!("{}: failed, nothing was uploaded\n", outcome.remote),
    }
}

fn text(outcome: &PushOutcome) -> String {
    let (name, seconds) = (&outcome.remote, outcome.seconds);
    let verified = outcome.verified.as_ref().map_or_else(String::new, |verified| {
        format!(", {} verified in {}", counted(verified.chunks, "chunk"), counted(verified.folders, "folder"))
    });
    if let Some(objects) = &outcome.objects {
        return match objects.len() {
            0 => format!("{name}: holds everything ({}{verified})\n", counted(outcome.requests, "request")),
            count => {
                let bytes = human_bytes(outcome.backlog_bytes);
                let mut text = format!("{name}: would upload {}, {bytes}{verified}\n", counted(count as u64, "object"));
                for object in objects.iter().take(OBJECTS_SHOWN) {
                    let _ = writeln!(text, "  {} ({})", object.path, human_bytes(object.bytes));
                }
                if count > OBJECTS_SHOWN {
                    let more = human_count((count - OBJECTS_SHOWN) as u64);
                    let _ = writeln!(text, "  and {more} more; --json lists them all");
                }
                text
            }
        };
    }
    if outcome.uploaded == 0 && outcome.backlog == 0 {
        return format!("{name}: holds everything ({}{verified})\n", counted(outcome.requests, "request"));
    }
    format!(
        "{name}: uploaded {}, {}, {}, {} left{verified}, {seconds:.1} s\n",
        counted(outcome.uploaded, "object"),
        human_bytes(outcome.bytes),
        counted(outcome.requests, "request"),
        outcome.backlog
    )
}
