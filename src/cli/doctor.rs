//! `tillvault doctor`.

use clap::Args;

use super::{Context, Rendered};
use crate::{
    error::Result,
    ops::doctor::{Diagnosis, Verdict, doctor},
};

/// Check till, archive, remotes and replica, and say what to do about each fault
///
/// Exit code: that of the first failure, 3 when there are only warnings, else 0.
#[derive(Args)]
pub(super) struct DoctorArgs {}

pub(super) async fn run(_: &DoctorArgs, context: &Context) -> Result<Rendered> {
    let diagnosis = doctor(&context.config()?).await;
    Ok(Rendered::new(&diagnosis, text(&diagnosis))?.with_code(diagnosis.exit_code()))
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for check in &diagnosis.checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok      ",
            Verdict::Warning => "warning ",
            Verdict::Failed => "FAILED  ",
        };
        text.push_str(&format!("{mark}{}: {}\n", check.part, check.message));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("        next: {fix}\n"));
        }
    }
    text
}
