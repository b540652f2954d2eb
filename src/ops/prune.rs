//! `prune`: removes chunks that no snapshot names.
//!
//! In two phases: a chunk that is found without a snapshot is marked; when it is still so after a time of grace, it is
//! removed by a later run. So whoever was reading a snapshot when it was forgotten can finish.
//!
//! Promises: nothing is removed unless every snapshot can be read and every chunk they name is there; what a snapshot names is
//! never removed; files that are no chunks are never touched; afterwards the named chunks are looked for once more. A run that
//! is killed is completed by the next one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    archive::{Archive, ArchiveObject, layout, marks::Mark},
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
};

/// How to prune.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// How long a chunk must have been without a snapshot. None at all removes at once.
    pub grace: SignedDuration,
    /// Plan only.
    pub dry_run: bool,
    /// The present moment.
    pub now: Timestamp,
}

/// What a prune has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Chunks whose grace is over.
    pub remove: Vec<Mark>,
    /// Chunks that wait, with the moment since which they do; those found now, too.
    pub wait: Vec<Mark>,
    /// Chunks that snapshots name.
    pub used: u64,
    /// Their bytes.
    pub used_bytes: u64,
}

impl fmt::Display for PrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mark in &self.remove {
            writeln!(f, "remove {} ({} bytes, unused since {:.0})", mark.path, mark.bytes, mark.since)?;
        }
        for mark in &self.wait {
            writeln!(f, "wait   {} ({} bytes, unused since {:.0})", mark.path, mark.bytes, mark.since)?;
        }
        Ok(())
    }
}

/// What a prune did: the JSON of `prune`.
#[derive(Clone, Debug, Serialize)]
pub struct PruneOutcome {
    /// Nothing was changed: what follows would be done.
    pub dry_run: bool,
    /// Chunks removed.
    pub removed: u64,
    /// Their bytes.
    pub freed: u64,
    /// Chunks that no snapshot names and whose grace is not over.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the first of them may be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<Timestamp>,
    /// Chunks that snapshots name.
    pub used: u64,
    /// Their bytes.
    pub used_bytes: u64,
    /// With a dry run: the files, one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<PruneFiles>,
}

/// The files of a [`PrunePlan`], as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct PruneFiles {
    /// Would be removed.
    pub remove: Vec<Mark>,
    /// Would go on waiting.
    pub wait: Vec<Mark>,
}

/// Marks and removes chunks that no snapshot names.
///
/// # Errors
/// `Busy` when another run writes to the archive or pushes it; `Damage` when a snapshot cannot be read or a chunk that one names
/// is not there (then nothing was removed); `Store` when the disk fails.
pub async fn prune(archive: &Archive, options: &PruneOptions, observer: &SharedObserver) -> Result<PruneOutcome> {
    let _locks = if options.dry_run { None } else { Some((archive.lock()?, archive.lock_push()?)) };
    prune_locked(archive, options, &BTreeSet::new(), observer).await
}

/// [`prune`] for a caller who holds both locks, or only plans. `without` are snapshots to be taken for forgotten in a plan.
pub(super) async fn prune_locked(
    archive: &Archive,
    options: &PruneOptions,
    without: &BTreeSet<u64>,
    observer: &SharedObserver,
) -> Result<PruneOutcome> {
    observer.event(Event::Phase { name: "look for unused chunks", total: None });
    let named = named_chunks(archive, without)?;
    let plan = plan_prune(archive, &named, options)?;
    if !options.dry_run {
        act(archive, &plan, &named, observer).await?;
    }
    let bytes = |marks: &[Mark]| marks.iter().map(|mark| mark.bytes).sum();
    let first = plan.wait.iter().map(|mark| mark.since).min();
    Ok(PruneOutcome {
        dry_run: options.dry_run,
        removed: plan.remove.len() as u64,
        freed: bytes(&plan.remove),
        waiting: plan.wait.len() as u64,
        waiting_bytes: bytes(&plan.wait),
        waiting_until: first.map(|since| since.checked_add(options.grace).unwrap_or(Timestamp::MAX)),
        used: plan.used,
        used_bytes: plan.used_bytes,
        files: options.dry_run.then_some(PruneFiles { remove: plan.remove, wait: plan.wait }),
    })
}

/// Paths of the chunks that snapshots name, but for those of `without`.
///
/// # Errors
/// As [`Archive::survey`].
pub fn named_chunks(archive: &Archive, without: &BTreeSet<u64>) -> Result<HashSet<String>> {
    let mut named = HashSet::new();
    archive.survey(|snapshot, _| {
        if !without.contains(&snapshot.snapshot) {
            named.extend(archive.chunk_objects(snapshot).into_iter().map(|chunk| chunk.path));
        }
    })?;
    Ok(named)
}

/// Finds out what may be removed, and what has to wait. Changes nothing.
///
/// # Errors
/// `Damage` when a named chunk is not there with its length; `Store` when a folder cannot be listed.
pub fn plan_prune(archive: &Archive, named: &HashSet<String>, options: &PruneOptions) -> Result<PrunePlan> {
    let files = archive.chunk_files()?;
    all_there(&files, named)?;
    Ok(decide(files, named, &archive.marks(), options))
}

/// Each chunk that nobody names waits until its grace is over. A mark from the future says that a clock was set back: the
/// grace begins anew.
fn decide(
    files: Vec<ArchiveObject>,
    named: &HashSet<String>,
    marks: &BTreeMap<String, Mark>,
    options: &PruneOptions,
) -> PrunePlan {
    let mut plan = PrunePlan::default();
    for ArchiveObject { path, bytes } in files {
        if named.contains(&path) {
            plan.used += 1;
            plan.used_bytes += bytes;
            continue;
        }
        let known = marks.get(&path).filter(|mark| mark.bytes == bytes && mark.since <= options.now);
        let since = known.map_or(options.now, |mark| mark.since);
        let over = options.now.duration_since(since) >= options.grace;
        let list = if over { &mut plan.remove } else { &mut plan.wait };
        list.push(Mark { path, bytes, since });
    }
    plan
}

/// Every named chunk has to be there with the length of its name, before anything is removed and after.
fn all_there(files: &[ArchiveObject], named: &HashSet<String>) -> Result<()> {
    let there: HashMap<&str, u64> = files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    let whole = |path: &str| {
        let file = path.rsplit('/').next().and_then(layout::parse_chunk_file);
        file.is_some_and(|(_, bytes)| there.get(path) == Some(&bytes))
    };
    let mut missing: Vec<&String> = named.iter().filter(|path| !whole(path)).collect();
    missing.sort_unstable();
    let Some(first) = missing.first() else { return Ok(()) };
    Err(Error::new(
        Kind::Damage,
        format!("{} chunks that snapshots name are not there with their length, such as {first}", missing.len()),
    )
    .hint("nothing is pruned meanwhile; run `tillvault check`, and `tillvault check --repair` to fetch them from a remote"))
}

async fn act(archive: &Archive, plan: &PrunePlan, named: &HashSet<String>, observer: &SharedObserver) -> Result<()> {
    let by_path =
        |marks: &[Mark]| marks.iter().map(|mark| (mark.path.clone(), mark.clone())).collect::<BTreeMap<_, _>>();
    let (mut all, wait) = (by_path(&plan.remove), by_path(&plan.wait));
    all.extend(wait.clone());
    let marked = archive.write_marks(&all).await;
    if plan.remove.is_empty() {
        return marked;
    }
    // What is removed has waited long enough already. On a full disk, removing it is what makes room for the marks.
    observer.event(Event::Phase { name: "remove unused chunks", total: Some(plan.remove.len() as u64) });
    archive.settle_snapshots()?;
    for mark in &plan.remove {
        archive.remove_chunk(&mark.path).await?;
        observer.event(Event::Removed { name: mark.path.clone(), bytes: mark.bytes });
    }
    archive.write_marks(&wait).await?;
    all_there(&archive.chunk_files()?, named)
}
