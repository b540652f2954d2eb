//! What a repair has to do, as data.

use std::fmt;

use serde::Serialize;

use super::{Examined, LostFile};
use crate::archive::layout;

/// How a file is to be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairAction {
    /// Written anew from the rest of the archive.
    Rebuild,
    /// Put back from another place in the archive.
    PutBack,
    /// Fetched from a remote.
    Fetch,
}

/// One file to be mended.
#[derive(Clone, Debug, Serialize)]
pub struct RepairStep {
    /// The file.
    pub path: String,
    /// How.
    pub action: RepairAction,
    /// Where its bytes lie in the archive, to be put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip)]
    pub(super) target: Target,
}

/// What the act needs to know.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Header(Option<String>),
    Record(LostFile),
    Snapshot(LostFile),
    Chunk,
    Index,
    Readme,
}

/// What a repair has to do, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RepairPlan {
    /// The files.
    pub steps: Vec<RepairStep>,
}

/// Equal when the same is to be done to the same files.
impl PartialEq for RepairPlan {
    fn eq(&self, other: &Self) -> bool {
        let plain = |plan: &Self| -> Vec<_> {
            plan.steps.iter().map(|step| (step.path.clone(), step.action, step.from.clone())).collect()
        };
        plain(self) == plain(other)
    }
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            match (step.action, &step.from) {
                (RepairAction::Rebuild, _) => writeln!(f, "write {} anew", step.path)?,
                (_, Some(from)) => writeln!(f, "put {} back from {from}", step.path)?,
                _ => writeln!(f, "look for {} on the remotes", step.path)?,
            }
        }
        Ok(())
    }
}

/// What there is to do. Pure.
pub(super) fn plan_repair(examined: &Examined) -> RepairPlan {
    let step = |path: String, hash: Option<&str>, target| {
        let from = hash.and_then(|hash| examined.strays.get(hash)).filter(|from| **from != path).cloned();
        let action = if from.is_some() { RepairAction::PutBack } else { RepairAction::Fetch };
        RepairStep { path, action, from, target }
    };
    let rebuild =
        |path: &str, target| RepairStep { path: path.to_owned(), action: RepairAction::Rebuild, from: None, target };
    let mut steps = Vec::new();
    if examined.is_header_bad {
        steps.push(step(layout::HEADER_FILE.to_owned(), None, Target::Header(examined.header.clone())));
    }
    // The newest first: each one vouches for the one before it.
    for file in examined.records.iter().rev() {
        steps.push(step(layout::record_path(file.lost.number), None, Target::Record(file.clone())));
    }
    for file in examined.snapshots.iter().rev() {
        let expected = file.lost.expected.as_deref();
        steps.push(step(layout::snapshot_path(file.lost.number), expected, Target::Snapshot(file.clone())));
    }
    for chunk in &examined.chunks {
        let hash = hex::encode(chunk.listed.name.hash);
        steps.push(step(chunk.listed.path(), Some(&hash), Target::Chunk));
    }
    if examined.is_index_bad {
        steps.push(rebuild(layout::INDEX_FILE, Target::Index));
    }
    if examined.is_readme_bad {
        steps.push(rebuild(layout::README_FILE, Target::Readme));
    }
    RepairPlan { steps }
}
