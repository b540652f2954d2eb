//! `tillvault doctor`.

use clap::Args;

use super::{Context, Rendered};
use crate::{
    error::Result,
    ops::doctor::{Check, Diagnosis, Part, Summary, Verdict, doctor},
};

/// Width of the text.
const WIDTH: usize = 110;
/// Where messages begin: verdict and name stand before them.
const INDENT: usize = 28;

/// Check settings, till, archive, remotes and replica, and say what to do about each fault
///
/// Reads only, and needs no more rights on the till than a snapshot. Statements it shows are for an administrator; it never runs
/// them. Exit code: that of the first failure, 3 when there are only warnings, else 0.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault doctor                      everything, in the order data flows
  tillvault doctor --till               the till alone: after a change on its PC
  tillvault doctor --archive --remotes  is there a fresh snapshot, and a copy of it elsewhere?
  tillvault doctor --json | jq '.checks[] | select(.verdict != \"ok\")'")]
pub(super) struct DoctorArgs {
    /// Look at the settings
    #[arg(long)]
    settings: bool,
    /// Look at the till
    #[arg(long)]
    till: bool,
    /// Look at the archive on this machine
    #[arg(long)]
    archive: bool,
    /// Look at the remotes
    #[arg(long)]
    remotes: bool,
    /// Look at the replica
    #[arg(long)]
    replica: bool,
}

impl DoctorArgs {
    /// The parts asked for; none means all.
    fn parts(&self) -> Vec<Part> {
        [
            (self.settings, Part::Settings),
            (self.till, Part::Till),
            (self.archive, Part::Archive),
            (self.remotes, Part::Remotes),
            (self.replica, Part::Replica),
        ]
        .into_iter()
        .filter_map(|(wanted, part)| wanted.then_some(part))
        .collect()
    }
}

pub(super) async fn run(args: &DoctorArgs, context: &Context) -> Result<Rendered> {
    let diagnosis = Box::pin(doctor(context.config.as_deref(), &args.parts())).await;
    Ok(Rendered::new(&diagnosis, text(&diagnosis))?.with_code(diagnosis.exit_code()))
}

pub(super) fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    let mut section = None;
    for check in &diagnosis.checks {
        let this = Some((check.part, &check.object));
        if section != this {
            let object = check.object.as_ref().map(|object| format!(": {object}")).unwrap_or_default();
            text.push_str(&format!("{}{}{object}\n", if section.is_some() { "\n" } else { "" }, check.part));
            section = this;
        }
        add(check, &mut text);
    }
    text.push_str(&format!("\n{}", summary(&diagnosis.summary)));
    text
}

fn add(check: &Check, text: &mut String) {
    let mark = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
        Verdict::Unknown => "not known",
    };
    let name = check.name.replace('_', " ");
    let head = format!("  {mark:<10} {name:<14} ");
    let message = match check.message.strip_prefix("not known: ") {
        Some(reason) if check.verdict == Verdict::Unknown => reason,
        _ => check.message.as_str(),
    };
    text.push_str(&wrapped(&head, message));
    let Some(fix) = &check.fix else { return };
    let lead = if check.verdict == Verdict::Ok { "" } else { "-> " };
    text.push_str(&wrapped(&format!("{:INDENT$}{lead}", ""), fix));
    for statement in &check.statements {
        text.push_str(&format!("{:INDENT$}     {statement}\n", ""));
    }
}

/// `head` and `message` in lines of at most [`WIDTH`] characters; lines after the first begin below the message.
fn wrapped(head: &str, message: &str) -> String {
    let margin = head.chars().count();
    let mut lines = vec![head.to_owned()];
    let mut length = margin;
    for word in message.split_whitespace() {
        let wide = word.chars().count();
        if length > margin && length + 1 + wide > WIDTH {
            lines.push(" ".repeat(margin));
            length = margin;
        }
        if let Some(line) = lines.last_mut() {
            if length > margin {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += wide;
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn summary(summary: &Summary) -> String {
    let counted = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    let mut parts = Vec::new();
    if summary.failed > 0 {
        parts.push(format!("{} FAILED", counted(summary.failed, "check")));
    }
    if summary.warnings > 0 {
        parts.push(counted(summary.warnings, "warning"));
    }
    if summary.unknown > 0 {
        parts.push(format!("{} not known", summary.unknown));
    }
    let fine = format!("{} ok", summary.ok);
    let Some(first) = &summary.first else {
        return format!("All is well: {}.\n", parts.into_iter().chain([fine]).collect::<Vec<_>>().join(", "));
    };
    parts.push(fine);
    let begin = format!("Begin with {}, {}.", first.part, first.name.replace('_', " "));
    format!("{}. {begin}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_go_on_below_themselves() {
        let text = wrapped("  ok         host           ", &"word ".repeat(40));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(lines[1].starts_with(&format!("{:INDENT$}word", "")), "{text}");
    }
}
