//! `tillvault check`.

use std::{fmt::Write as _, sync::Arc};

use clap::Args;
use jiff::Timestamp;

use serde_json::json;

use super::{Context, Rendered, counted, destinations, error_as_text, human_bytes, human_count};
use crate::{
    archive::{Archive, layout},
    config::Config,
    error::Result,
    ops::{
        check::{
            CheckOptions, CheckOutcome, Finding, FindingKind, Level, Part, check,
            remote::{RemoteCheckOptions, RemoteCheckOutcome, check_remote},
            repair::{RepairOptions, RepairResult, Repaired, repair},
        },
        mirror,
        push::worst,
    },
    store,
};

/// Notes of one kind that are shown one by one; more are summed up.
const NOTES_SHOWN: usize = 5;
/// Numbers of snapshots in one line.
const NUMBERS_SHOWN: usize = 80;

/// Check the archive: is everything there, unaltered, and what the snapshots say?
///
/// The structure is always checked: every snapshot and the journal are read, and every chunk they name must be there with its
/// length. Everything that is wrong is found in one run. Ends with 13 when something is damaged, with 3 when there are only
/// warnings.
///
/// With --remote the copy on a remote is checked instead: its header, its snapshots and journal, and every chunk they name, by name and
/// length; with --read-data the bytes as well, by the server's own hash where it computes one, else by downloading. What was not pushed
/// yet is noted, not damage.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault check
  tillvault check --read-data today/7      every chunk is read once in seven days
  tillvault check --deep                   decode everything
  tillvault check --snapshot 42 --deep     only what one snapshot needs
  tillvault check --repair --read-data     mend what can be mended, from the remotes
  tillvault check --remote                 is the copy on each remote whole?
  tillvault check --remote nextcloud --read-data today/7
  tillvault check --remote nextcloud --repair    upload again what is missing or damaged there")]
pub(super) struct CheckArgs {
    /// Compare the bytes of the chunks with their names: all, the n-th of m parts, or the part of today
    #[arg(long, value_name = "n/m|today/m", num_args = 0..=1, default_missing_value = "1/1")]
    read_data: Option<String>,
    /// Decode the chunks as well, and compare their rows with what the snapshots say
    #[arg(long, value_name = "n/m|today/m", num_args = 0..=1, default_missing_value = "1/1")]
    deep: Option<String>,
    /// Only what this snapshot needs
    #[arg(long, value_name = "N")]
    snapshot: Option<u64>,
    /// Check the copy on this remote; without a name, on each remote of the settings
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["deep", "snapshot"])]
    remote: Option<String>,
    /// With --remote: upload again what is missing or damaged there. Else: rebuild what is derived, and put good copies from the remotes in the place of what is damaged; nothing is deleted
    #[arg(long)]
    repair: bool,
    /// With --repair: say what would be done, and do nothing
    #[arg(long, short = 'n', requires = "repair")]
    dry_run: bool,
}

pub(super) async fn run(args: &CheckArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let now = Timestamp::now();
    let part = |text: &Option<String>| text.as_deref().map(|text| Part::parse(text, now)).transpose();
    let options = CheckOptions { read_data: part(&args.read_data)?, deep: part(&args.deep)?, snapshot: args.snapshot };
    let archive = Arc::new(Archive::open_anyway(&config.archive)?);
    if let Some(name) = &args.remote {
        let options = RemoteCheckOptions { read_data: options.read_data, repair: args.repair, dry_run: args.dry_run };
        return remotes(&archive, &config, name, &options, context).await;
    }
    let outcome = if args.repair {
        let cache = config.archive.join(layout::REMOTES);
        let remotes =
            config.remotes.iter().map(|remote| store::open_remote(remote, &cache)).collect::<Result<Vec<_>>>()?;
        let options = RepairOptions { check: options, dry_run: args.dry_run };
        repair(&archive, &options, &remotes, &context.observer()).await?
    } else {
        check(&archive, &options, &context.observer()).await?
    };
    let rendered = Rendered::new(&outcome, text(&outcome))?;
    Ok(match (outcome.is_damaged(), outcome.counts.warnings) {
        (true, _) => rendered.with_code(13),
        (false, 1..) => rendered.with_code(3),
        (false, 0) => rendered,
    })
}

/// Checks the copies on remotes: the one of that name, or all.
async fn remotes(
    archive: &Arc<Archive>,
    config: &Config,
    name: &str,
    options: &RemoteCheckOptions,
    context: &Context,
) -> Result<Rendered> {
    let names: Vec<String> = Some(name.to_owned()).into_iter().filter(|name| !name.is_empty()).collect();
    let (mut outcomes, mut errors) = (Vec::new(), Vec::new());
    for remote in destinations::chosen(config, &names)? {
        let checked = match mirror::open(archive.root(), remote) {
            Ok(remote) => check_remote(archive, &remote, options, &context.observer()).await,
            Err(error) => Err(error),
        };
        // The others are checked all the same.
        match checked {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => errors.push(error),
        }
    }
    if outcomes.is_empty() && errors.len() == 1 {
        return Err(errors.remove(0));
    }
    let text: String = outcomes.iter().map(remote_text).collect();
    let mut rendered = match outcomes.as_slice() {
        [one] if errors.is_empty() => Rendered::new(one, text)?,
        several => Rendered::new(&json!({ "remotes": several }), text)?,
    };
    rendered.complaint = errors.iter().map(error_as_text).collect();
    let is_damaged = outcomes.iter().any(|outcome| outcome.check.is_damaged());
    let has_warnings = outcomes.iter().any(|outcome| outcome.check.counts.warnings > 0);
    Ok(match (is_damaged, worst(errors.iter()), has_warnings) {
        (true, ..) => rendered.with_code(13),
        (false, Some(error), _) => rendered.with_code(error.exit_code()),
        (false, None, true) => rendered.with_code(3),
        (false, None, false) => rendered,
    })
}

fn remote_text(outcome: &RemoteCheckOutcome) -> String {
    let mut text = format!("remote {}\n", outcome.remote);
    for path in outcome.upload.iter().flatten() {
        let _ = writeln!(text, "would upload {path} again");
    }
    text.push_str(&self::text(&outcome.check));
    if outcome.hashed_there > 0 {
        let _ = writeln!(text, "{} were hashed by the server itself", counted(outcome.hashed_there, "chunk"));
    }
    text
}

fn text(outcome: &CheckOutcome) -> String {
    let mut text = String::new();
    if let Some(plan) = &outcome.plan {
        text.push_str(&if plan.steps.is_empty() { "nothing to repair\n".to_owned() } else { plan.to_string() });
    }
    for repaired in outcome.repaired.iter().flatten() {
        text.push_str(&one_repaired(repaired));
    }
    let (notes, others): (Vec<_>, Vec<_>) = outcome.findings.iter().partition(|finding| finding.level == Level::Note);
    for finding in others {
        text.push_str(&one_finding(finding));
    }
    text.push_str(&some_notes(&notes));
    text.push_str(&covered(outcome));
    text
}

fn one_repaired(repaired: &Repaired) -> String {
    let Repaired { path, from, kept_as, reason, .. } = repaired;
    let from = from.as_deref().unwrap_or_default();
    let mut line = match repaired.result {
        RepairResult::Rebuilt => format!("repaired {path}: written anew"),
        RepairResult::PutBack => format!("repaired {path}: put back from {from}"),
        RepairResult::Fetched => format!("repaired {path}: fetched from {from}"),
        RepairResult::SetAside => format!("moved away {path}"),
        RepairResult::Left => format!("not repaired {path}"),
        RepairResult::Uploaded => format!("repaired {path}: uploaded again"),
    };
    if let Some(reason) = reason {
        let _ = write!(line, ": {reason}");
    }
    if let Some(kept) = kept_as {
        let _ = write!(line, "; the damaged file is {kept}");
    }
    line + "\n"
}

fn one_finding(finding: &Finding) -> String {
    let mut text = format!("{}: {} {}\n  {}\n", finding.level, finding.kind, finding.path, finding.message);
    if let Some(table) = &finding.table {
        let mut numbers = finding.snapshots.to_string();
        if numbers.len() > NUMBERS_SHOWN {
            numbers = format!("{} of them", human_count(finding.snapshots.count()));
        }
        let word = if finding.snapshots.count() == 1 { "snapshot" } else { "snapshots" };
        let _ = writeln!(text, "  part of table {table} in {word} {numbers}");
    }
    if let Some(next) = &finding.next_step {
        let _ = writeln!(text, "  next: {next}");
    }
    text
}

/// Notes one by one when there are few of a kind, else their number and size.
fn some_notes(notes: &[&Finding]) -> String {
    let mut text = String::new();
    let mut kinds: Vec<FindingKind> = notes.iter().map(|note| note.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<&&Finding> = notes.iter().filter(|note| note.kind == kind).collect();
        if of_kind.len() <= NOTES_SHOWN {
            of_kind.iter().for_each(|note| text.push_str(&one_finding(note)));
            continue;
        }
        let bytes = of_kind.iter().filter_map(|note| note.bytes).sum();
        let _ = writeln!(text, "note: {kind}: {} files, {}", human_count(of_kind.len() as u64), human_bytes(bytes));
        if let Some(next) = of_kind.first().and_then(|note| note.next_step.as_ref()) {
            let _ = writeln!(text, "  next: {next}");
        }
    }
    text
}

fn covered(outcome: &CheckOutcome) -> String {
    let covered = &outcome.covered;
    let mut text = format!(
        "checked {}, {}, {} ({})",
        counted(covered.snapshots, "snapshot"),
        counted(covered.records, "record"),
        counted(covered.chunks, "chunk"),
        human_bytes(covered.chunk_bytes)
    );
    if covered.chunks_read > 0 {
        let (read, bytes) = (counted(covered.chunks_read, "chunk"), human_bytes(covered.bytes_read));
        let _ = write!(text, "; read {read} ({bytes})");
    }
    if covered.chunks_decoded > 0 {
        let _ = write!(text, "; decoded {}", human_count(covered.chunks_decoded));
    }
    let counts = &outcome.counts;
    let verdict = match (counts.damage, counts.warnings) {
        (0, 0) => "nothing is damaged".to_owned(),
        (damage, warnings) => format!("{} damaged, {}", human_count(damage), counted(warnings, "warning")),
    };
    let _ = writeln!(text, "; {:.1} s\n{verdict}", outcome.seconds);
    text
}
