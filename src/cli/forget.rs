//! `tillvault forget`.

use clap::{ArgGroup, Args};
use jiff::{SignedDuration, Timestamp};

use super::{Context, Rendered, counted, human_count, prune, text_table};
use crate::{
    config::Config,
    error::Result,
    model::keep::{self, Count, KeepRules, Within},
    ops::{
        forget::{Choice, ForgetLine, ForgetOptions, ForgetOutcome, forget},
        lost::{LostOutcome, forget_lost},
        policy::Lifted,
    },
};

/// Drop snapshots: those that no rule keeps, or those named by number
///
/// Without rules here, those of the settings hold. A rule given here takes the place of all of them. A snapshot is kept when any
/// rule keeps it; of each hour, day and so on (by the site's clock) the newest is kept, counted back over those that have one.
/// Kept whatever the rules say: the newest snapshot, the last before each clear, and those taken by a clock that was set back
/// later. The rows stay on the disk until prune removes them.
#[derive(Args)]
#[command(group = ArgGroup::new("rules").multiple(true), after_help = "\
Examples:
  tillvault forget --dry-run                        what the rules of the settings would do, and why
  tillvault forget --prune                          the same, done, and unused chunks removed after their grace
  tillvault forget --keep-tag nightly --keep-within 2d --keep-hourly 168 --keep-daily all
  tillvault forget 12 13                            these two
  tillvault forget 12 --lost                        its file is damaged or gone and no copy is left: go on without it")]
pub(super) struct ForgetArgs {
    /// Numbers of snapshots to forget, in place of rules
    #[arg(value_name = "SNAPSHOT", conflicts_with = "rules")]
    snapshots: Vec<u64>,
    /// Keep the newest N; here and below a number, or "all"
    #[arg(long, value_name = "N", group = "rules")]
    keep_last: Option<Count>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", group = "rules")]
    keep_hourly: Option<Count>,
    /// Of each day
    #[arg(long, value_name = "N", group = "rules")]
    keep_daily: Option<Count>,
    /// Of each week, Monday to Sunday
    #[arg(long, value_name = "N", group = "rules")]
    keep_weekly: Option<Count>,
    /// Of each month
    #[arg(long, value_name = "N", group = "rules")]
    keep_monthly: Option<Count>,
    /// Of each year
    #[arg(long, value_name = "N", group = "rules")]
    keep_yearly: Option<Count>,
    /// Keep those with this tag; may be repeated
    #[arg(long = "keep-tag", value_name = "WORD", group = "rules")]
    keep_tags: Vec<String>,
    /// Keep everything this young, counted back from the newest: 36h, 2d, 8w, 6mo, "1y 6mo"
    #[arg(long, value_name = "TIME", group = "rules")]
    keep_within: Option<Within>,
    /// Forget the last snapshots before clears, too, where no rule keeps them: what was cleared is gone from the archive then
    #[arg(long)]
    even_before_clears: bool,
    /// Forget snapshots whose time cannot be trusted, too, where no rule keeps them
    #[arg(long)]
    even_doubtful_clocks: bool,
    /// Accept the loss of these snapshots: their files are damaged or gone, and `check --repair` found no copy
    #[arg(long, requires = "snapshots", conflicts_with_all = ["even_before_clears", "even_doubtful_clocks", "prune"])]
    lost: bool,
    /// Say what would be forgotten and what is kept why, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Prune afterwards
    #[arg(long)]
    prune: bool,
    /// With --prune: how long a chunk must have been unused [default: grace of the settings, else 24h]
    #[arg(long, value_name = "TIME", value_parser = keep::grace, requires = "prune")]
    grace: Option<SignedDuration>,
}

impl ForgetArgs {
    fn options(self, config: &Config) -> ForgetOptions {
        let counts =
            [self.keep_last, self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly];
        let of_settings = self.keep_tags.is_empty() && self.keep_within.is_none() && counts.iter().all(Option::is_none);
        let [last, hourly, daily, weekly, monthly, yearly] = counts.map(Option::unwrap_or_default);
        let given = KeepRules {
            tags: self.keep_tags.into_iter().collect(),
            within: self.keep_within,
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        };
        let choice = match (self.snapshots.is_empty(), of_settings) {
            (false, _) => Choice::Numbers(self.snapshots.into_iter().collect()),
            (true, true) => Choice::Rules(config.forget.keep.clone()),
            (true, false) => Choice::Rules(given),
        };
        ForgetOptions {
            choice,
            lifted: Lifted { before_clears: self.even_before_clears, doubtful_clocks: self.even_doubtful_clocks },
            dry_run: self.dry_run,
            prune: self.prune.then(|| self.grace.unwrap_or(config.prune.grace)),
            zone: config.zone(),
            now: Timestamp::now(),
        }
    }
}

pub(super) async fn run(args: ForgetArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let archive = context.archive(&config)?;
    if args.lost {
        let numbers = args.snapshots.iter().copied().collect();
        let outcome = forget_lost(&archive, &numbers, args.dry_run, &context.observer()).await?;
        return Rendered::new(&outcome, lost_text(&outcome));
    }
    let outcome = forget(&archive, &args.options(&config), &context.observer()).await?;
    let mut shown = String::new();
    if outcome.dry_run {
        shown = list(&outcome.snapshots);
    }
    shown.push_str(&text(&outcome));
    Rendered::new(&outcome, shown)
}

fn lost_text(outcome: &LostOutcome) -> String {
    let done = if outcome.dry_run { "would be accepted" } else { "is accepted" };
    let mut text = format!("forget: the loss of snapshots {} {done}\n", runs(&outcome.forgotten));
    for path in &outcome.set_aside {
        text.push_str(&format!("  the damaged file is kept as {path}\n"));
    }
    text
}

fn list(lines: &[ForgetLine]) -> String {
    let row = |line: &ForgetLine| {
        vec![
            line.snapshot.to_string(),
            line.till_time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            line.tags.join(", "),
            if line.keep { "keep" } else { "forget" }.to_owned(),
            line.reasons.join(", "),
        ]
    };
    text_table(&["snapshot", "till time", "tags", "", "why"], &[0], lines.iter().map(row).collect())
}

pub(super) fn text(outcome: &ForgetOutcome) -> String {
    let done = if outcome.dry_run { "would forget" } else { "forgot" };
    let mut text = match outcome.forgotten.as_slice() {
        [] => format!("forget: nothing to forget, {} kept", counted(outcome.kept, "snapshot")),
        numbers => format!(
            "forget: {done} {} ({}), {} kept",
            counted(numbers.len() as u64, "snapshot"),
            runs(numbers),
            human_count(outcome.kept)
        ),
    };
    text.push_str(&format!("; {}\n", outcome.why));
    if let Some(pruned) = &outcome.prune {
        text.push_str(&prune::text(pruned));
    }
    text
}

/// `1–3, 7`, and at most ten such.
fn runs(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let mut words: Vec<String> = runs
        .iter()
        .take(10)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}–{last}") })
        .collect();
    if runs.len() > words.len() {
        words.push("…".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_runs() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]), "1–3, 7, 9–10");
        let many: Vec<u64> = (0..30).map(|number| number * 2).collect();
        assert!(runs(&many).ends_with("18, …"));
    }
}
