//! `forget`: drops snapshots, by policy or by number.
//!
//! First the plan ([`plan_forget`]), as data; then the act: one record in the journal names them all, then their files are
//! removed, oldest first, then the index is brought up to date. Their chunks stay until `prune`.
//!
//! Promises: nothing is forgotten unless every snapshot and the whole journal can be read; the newest snapshot is never
//! forgotten, the last before a clear and those with a doubtful clock only when told so by name; a run that is killed at any
//! point is completed by the next one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;

use super::{
    policy::{Candidate, Circumstances, Lifted, Reason, judge, protections},
    prune::{PruneOptions, PruneOutcome, prune_locked},
};
use crate::{
    archive::{
        Archive, ArchiveObject,
        journal::{Forgetting, Forgotten, Journal},
        layout,
        snapshot::{Snapshot, SnapshotKind},
    },
    error::{Error, Kind, Result},
    model::keep::KeepRules,
    observe::{Event, SharedObserver},
};

/// What to forget.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Every snapshot that these rules do not keep.
    Rules(KeepRules),
    /// The same, but for snapshots that remotes lack, with the names of those.
    Unless {
        /// What is kept anyway.
        rules: KeepRules,
        /// Which remotes have not got a snapshot yet.
        lacking: BTreeMap<u64, BTreeSet<String>>,
    },
    /// These snapshots.
    Numbers(BTreeSet<u64>),
}

impl Choice {
    fn rules(&self) -> Option<&KeepRules> {
        match self {
            Self::Rules(rules) | Self::Unless { rules, .. } => Some(rules),
            Self::Numbers(_) => None,
        }
    }
}

/// How to forget.
#[derive(Clone, Debug)]
pub struct ForgetOptions {
    /// What.
    pub choice: Choice,
    /// Protections that do not hold this time.
    pub lifted: Lifted,
    /// Plan only.
    pub dry_run: bool,
    /// Prune afterwards, with this grace.
    pub prune: Option<SignedDuration>,
    /// Zone of days and hours.
    pub zone: TimeZone,
    /// The present moment.
    pub now: Timestamp,
}

/// One snapshot of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct ForgetLine {
    /// Number.
    pub snapshot: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Its present tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it stays.
    pub keep: bool,
    /// Why it stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What a run has to do.
#[derive(Clone, Debug)]
pub struct ForgetPlan {
    /// By which rule, in words.
    pub why: String,
    /// Every snapshot, ascending.
    pub lines: Vec<ForgetLine>,
    /// Those to forget, ascending.
    pub forget: Vec<Forgotten>,
    /// The journal, as read.
    journal: Journal,
    /// Marked chunks that a snapshot names.
    marked: HashSet<String>,
}

/// What a run did: the JSON of `forget`.
#[derive(Clone, Debug, Serialize)]
pub struct ForgetOutcome {
    /// Nothing was changed: what follows would be done.
    pub dry_run: bool,
    /// By which rule, in words.
    pub why: String,
    /// Snapshots that stay.
    pub kept: u64,
    /// Numbers of those forgotten.
    pub forgotten: Vec<u64>,
    /// Every snapshot, ascending, with what becomes of it and why.
    pub snapshots: Vec<ForgetLine>,
    /// The prune afterwards, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneOutcome>,
}

/// Forgets snapshots.
///
/// # Errors
/// As [`plan_forget`]; `Busy` when another run writes to the archive or pushes it; `Store` when the disk fails. What was
/// forgotten before a failure stays so, and the next run completes it.
pub async fn forget(archive: &Archive, options: &ForgetOptions, observer: &SharedObserver) -> Result<ForgetOutcome> {
    let _locks = if options.dry_run { None } else { Some((archive.lock()?, archive.lock_push()?)) };
    observer.event(Event::Phase { name: "read the snapshots", total: None });
    let mut plan = plan_forget(archive, options)?;
    if !options.dry_run {
        act(archive, &mut plan, observer).await?;
    }
    let forgotten: Vec<u64> = plan.forget.iter().map(|one| one.snapshot).collect();
    let prune = match options.prune {
        Some(grace) => {
            let prune = PruneOptions { grace, dry_run: options.dry_run, now: options.now };
            Some(prune_locked(archive, &prune, &forgotten.iter().copied().collect(), observer).await?)
        }
        None => None,
    };
    Ok(ForgetOutcome {
        dry_run: options.dry_run,
        why: plan.why,
        kept: (plan.lines.len() - forgotten.len()) as u64,
        forgotten,
        snapshots: plan.lines,
        prune,
    })
}

/// Decides what is to be forgotten. Changes nothing.
///
/// # Errors
/// `Usage` when no rule keeps anything, or a number is no snapshot's; `Refused` when a named snapshot is protected; `Damage`
/// when a snapshot or the journal cannot be read.
pub fn plan_forget(archive: &Archive, options: &ForgetOptions) -> Result<ForgetPlan> {
    if options.choice.rules().is_some_and(KeepRules::is_empty) {
        return Err(Error::new(Kind::Usage, "no rule keeps anything: that would forget every snapshot")
            .hint("give a rule, such as --keep-daily all; `--dry-run` shows what it keeps"));
    }
    let mut known = Known::default();
    let marks = archive.marks();
    let mut marked = HashSet::new();
    let journal = archive.survey(|snapshot, hash| {
        known.take_in(snapshot, hash);
        if !marks.is_empty() {
            let paths = archive.chunk_objects(snapshot).into_iter().map(|chunk| chunk.path);
            marked.extend(paths.filter(|path| marks.contains_key(path)));
        }
    })?;
    known.retag(&journal);
    let under = Circumstances {
        gone: journal.forgotten().values().map(|one| (one.snapshot, one.taken_at)).collect(),
        lifted: options.lifted,
        zone: options.zone.clone(),
        now: options.now,
    };
    let (why, reasons) = match &options.choice {
        Choice::Rules(rules) => (rules.to_string(), judge(&known.candidates, rules, &under)),
        Choice::Unless { rules, lacking } => {
            let mut reasons = judge(&known.candidates, rules, &under);
            for (candidate, reasons) in known.candidates.iter().zip(&mut reasons) {
                let without = lacking.get(&candidate.snapshot).into_iter().flatten().cloned();
                reasons.extend(without.map(Reason::NotPushed));
            }
            (rules.to_string(), reasons)
        }
        Choice::Numbers(numbers) => named(numbers, &known.candidates, &under)?,
    };
    let chosen = |at: usize| match &options.choice {
        Choice::Rules(_) | Choice::Unless { .. } => reasons[at].is_empty(),
        Choice::Numbers(numbers) => numbers.contains(&known.candidates[at].snapshot),
    };
    let mut plan = ForgetPlan { why, lines: Vec::new(), forget: Vec::new(), journal, marked };
    for (at, file) in known.files.into_iter().enumerate() {
        plan.lines.push(ForgetLine {
            snapshot: file.snapshot,
            taken_at: file.taken_at,
            till_time: file.till_time,
            kind: file.kind,
            epoch: file.epoch,
            tags: file.tags.clone(),
            keep: !chosen(at),
            reasons: reasons[at].iter().map(ToString::to_string).collect(),
        });
        if chosen(at) {
            plan.forget.push(file);
        }
    }
    Ok(plan)
}

/// The reasons to keep, when snapshots are named one by one: protections that were not lifted.
fn named(
    numbers: &BTreeSet<u64>,
    candidates: &[Candidate],
    under: &Circumstances,
) -> Result<(String, Vec<BTreeSet<Reason>>)> {
    let reasons = protections(candidates, under);
    for number in numbers {
        match candidates.iter().position(|one| one.snapshot == *number) {
            Some(at) => reasons[at].first().map_or(Ok(()), |reason| Err(protected(*number, reason)))?,
            // An interrupted run that named it is being completed.
            None if under.gone.contains_key(number) => {}
            None => {
                return Err(Error::new(Kind::Usage, format!("this archive has no snapshot {number}"))
                    .hint("`tillvault snapshots` lists those it has; nothing was forgotten"));
            }
        }
    }
    let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Ok((format!("named: {}", list.join(", ")), reasons))
}

fn protected(number: u64, reason: &Reason) -> Error {
    let (what, hint) = match reason {
        Reason::BeforeClear => (
            "is the last before a clear, or has a table that the last could not take: nothing later holds what was cleared then",
            "--even-before-clears forgets it all the same",
        ),
        Reason::Clock => (
            "was taken later than one that follows it, says its time: a clock was set back",
            "--even-doubtful-clocks forgets it all the same",
        ),
        _ => ("is the newest, or has a table that the newest could not take", "take another snapshot first"),
    };
    Error::new(Kind::Refused, format!("snapshot {number} {what}")).hint(format!("{hint}; nothing was forgotten"))
}

/// What is read of the snapshots.
#[derive(Default)]
struct Known {
    candidates: Vec<Candidate>,
    /// What the journal would say of each.
    files: Vec<Forgotten>,
    /// The newest snapshot so far that has a table.
    last_in: BTreeMap<String, u64>,
}

impl Known {
    fn take_in(&mut self, snapshot: &Snapshot, hash: &str) {
        let stand_ins: BTreeSet<u64> =
            snapshot.missing.iter().filter_map(|missing| self.last_in.get(&missing.table).copied()).collect();
        for entry in &snapshot.tables {
            self.last_in.insert(entry.table.name.to_string(), snapshot.snapshot);
        }
        self.candidates.push(Candidate {
            snapshot: snapshot.snapshot,
            taken_at: snapshot.taken_at,
            epoch: snapshot.epoch,
            clear: snapshot.clear.is_some(),
            tags: snapshot.tags.clone(),
            stand_ins: stand_ins.into_iter().collect(),
        });
        self.files.push(Forgotten {
            snapshot: snapshot.snapshot,
            hash: hash.to_owned(),
            parent: snapshot.parent.clone(),
            taken_at: snapshot.taken_at,
            till_time: snapshot.till_time,
            kind: snapshot.kind,
            epoch: snapshot.epoch,
            tags: snapshot.tags.clone(),
        });
    }

    /// Tags as they are now.
    fn retag(&mut self, journal: &Journal) {
        for (candidate, file) in self.candidates.iter_mut().zip(&mut self.files) {
            if let Some(tags) = journal.tags_given(candidate.snapshot) {
                candidate.tags = tags.to_vec();
                file.tags = tags.to_vec();
            }
        }
    }
}

async fn act(archive: &Archive, plan: &mut ForgetPlan, observer: &SharedObserver) -> Result<()> {
    if !plan.forget.is_empty() {
        // A chunk that was marked, named again and is about to lose its name once more gets its whole grace.
        archive.unmark(&plan.marked).await?;
        let recorded = |one: &&Forgotten| {
            plan.journal.forgotten().get(&one.snapshot).is_some_and(|before| before.hash == one.hash)
        };
        let snapshots: Vec<Forgotten> = plan.forget.iter().filter(|one| !recorded(one)).cloned().collect();
        if !snapshots.is_empty() {
            let forgetting = Forgetting { why: plan.why.clone(), snapshots };
            archive.write_record(&mut plan.journal, None, Some(forgetting)).await?;
        }
        observer.event(Event::Phase { name: "forget snapshots", total: Some(plan.forget.len() as u64) });
        for one in &plan.forget {
            let ArchiveObject { path, bytes } = archive.snapshot_object(one.snapshot)?;
            archive.remove_snapshot(one.snapshot, &plan.journal).await?;
            observer.event(Event::Removed { name: path, bytes });
        }
    }
    // Also when there was nothing to do: a run that was stopped here is completed.
    if let Err(error) = archive.write_index(false).await {
        let message = format!(
            "{} is not up to date: {}; `tillvault check --repair` rebuilds it",
            layout::INDEX_FILE,
            error.message()
        );
        observer.event(Event::Warning { message });
    }
    Ok(())
}
