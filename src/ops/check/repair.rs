//! The repair: rebuilds what is derived, and puts good copies in the place of what is damaged.
//!
//! First the plan, as data; then the act, under the archive's write lock. A good copy comes from another place in the archive
//! (exchanged and misplaced files) or from a remote, and takes a name only after it was verified: a chunk by its name, a snapshot or
//! record by what its successor, the journal or the index says of it, or else by its number, archive and parent.
//!
//! Promises: nothing is deleted. What is replaced lies in `damaged/` afterwards. A chunk that nobody has is moved there, too, so
//! that the next snapshot writes its rows anew if the till still has them; a snapshot that nobody has stays where it is.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;

pub use super::plan::{RepairAction, RepairPlan, RepairStep};
use super::{
    CheckOptions, CheckOutcome, Examined, FindingKind, LostChunk, LostFile, examine,
    fetch::Remotes,
    outcome,
    plan::{Target, plan_repair},
};
use crate::{
    archive::{Archive, layout},
    error::Result,
    observe::{Event, SharedObserver},
    store::Remote,
};

/// The lock is our own: nobody else is writing.
const HOLDS_LOCK: bool = true;
const NOBODY: &str = "no remote has it: `tillvault snapshot` writes these rows anew if the till still has them";
const UNKNOWN: &str = "not every remote could be read: run `tillvault check --repair` again when they answer";

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairResult {
    /// Written anew.
    Rebuilt,
    /// A good copy is in its place, from elsewhere in the archive.
    PutBack,
    /// A good copy is in its place, from a remote.
    Fetched,
    /// No good copy was found; the damaged one was moved to `damaged/`.
    SetAside,
    /// No good copy was found; nothing was changed.
    Left,
    /// A good copy from here is in its place on the remote.
    Uploaded,
}

/// What a repair did to one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The file.
    pub path: String,
    /// What became of it.
    pub result: RepairResult,
    /// Where the good copy came from: a remote's name, or a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where the damaged file lies now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_as: Option<String>,
    /// Why nothing better was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How to repair.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions {
    /// What to check; only what that finds is repaired.
    pub check: CheckOptions,
    /// Plan only.
    pub dry_run: bool,
}

/// Repairs what a check with these options finds, and checks again. The outcome says what is left, and what was done.
///
/// # Errors
/// As [`super::check`]; `Busy` when another process is writing to the archive; `Store` when it cannot be written. Remotes that fail are
/// warnings.
pub async fn repair(
    archive: &Arc<Archive>,
    options: &RepairOptions,
    remotes: &[Remote],
    observer: &SharedObserver,
) -> Result<CheckOutcome> {
    let started = Instant::now();
    let check = &options.check;
    if options.dry_run {
        let examined = examine(archive, check, false, observer).await?;
        let plan = plan_repair(&examined);
        return Ok(CheckOutcome { plan: Some(plan), ..outcome(examined, check, started) });
    }
    let _lock = archive.lock()?;
    let remotes = Remotes::new(remotes, observer);
    let mut act = Act { archive, remotes, strays: HashMap::new(), done: Vec::new(), observer };
    // A snapshot that comes back names chunks that may be damaged: they are looked for after it.
    // And what the journal says was forgotten is not looked for: so the journal comes before the snapshots.
    let structure = CheckOptions { snapshot: check.snapshot, ..CheckOptions::default() };
    let mut history = examine(archive, &structure, HOLDS_LOCK, observer).await?;
    if act.journal(&history).await? {
        history = examine(archive, &structure, HOLDS_LOCK, observer).await?;
    }
    act.snapshots(history).await?;
    let mut examined = examine(archive, check, HOLDS_LOCK, observer).await?;
    let before = act.done.len();
    act.rest(&examined).await?;
    if act.done.len() > before {
        examined = examine(archive, check, HOLDS_LOCK, observer).await?;
    }
    let mut outcome = outcome(examined, check, started);
    for finding in outcome.findings.iter_mut().filter(|finding| finding.kind == FindingKind::ChunkMissing) {
        let mut reasons =
            act.done.iter().filter(|done| done.path == finding.path).filter_map(|done| done.reason.clone());
        finding.next_step = reasons.next().or_else(|| finding.next_step.take());
    }
    outcome.repaired = Some(act.done);
    Ok(outcome)
}

/// A repair under way.
struct Act<'a> {
    archive: &'a Arc<Archive>,
    remotes: Remotes<'a>,
    /// Where wanted bytes lie in the archive, by their BLAKE3.
    strays: HashMap<String, String>,
    done: Vec<Repaired>,
    observer: &'a SharedObserver,
}

fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

impl Act<'_> {
    /// The header and the journal. Returns whether records came back.
    async fn journal(&mut self, examined: &Examined) -> Result<bool> {
        // By number: what a good successor says of the one before it.
        let mut promised = HashMap::new();
        let archive = Arc::clone(self.archive);
        for step in plan_repair(examined).steps {
            match step.target {
                Target::Header(expected) => {
                    let accept = |bytes: &Bytes| {
                        Archive::header_id(bytes).is_ok_and(|id| id == archive.id())
                            && expected.as_ref().is_none_or(|expected| *expected == hash_of(bytes))
                    };
                    let is_there = archive.root().join(&step.path).exists();
                    self.mend(&step.path, is_there, None, accept).await?;
                }
                Target::Record(file) => {
                    let number = file.lost.number;
                    let wanted = Wanted::new(&file, promised.get(&number));
                    let parent = |bytes: &Bytes| archive.parse_record(number, bytes).ok().map(|record| record.parent);
                    let accept = |bytes: &Bytes| wanted.is(bytes, parent(bytes));
                    if let Some(bytes) = self.mend(&step.path, file.lost.is_there, None, accept).await? {
                        promised.insert(number - 1, parent(&bytes).flatten());
                    }
                }
                Target::Snapshot(_) | Target::Chunk | Target::Index | Target::Readme => {}
            }
        }
        Ok(!promised.is_empty())
    }

    /// The snapshots.
    async fn snapshots(&mut self, examined: Examined) -> Result<()> {
        let plan = plan_repair(&examined);
        self.strays = examined.strays;
        let mut promised = HashMap::new();
        let archive = Arc::clone(self.archive);
        let mut strays = Vec::new();
        for step in plan.steps {
            let Target::Snapshot(file) = step.target else { continue };
            let number = file.lost.number;
            if file.lost.is_stray {
                strays.push((step.path, number));
                continue;
            }
            let wanted = Wanted::new(&file, promised.get(&number));
            let parent = |bytes: &Bytes| archive.parse_snapshot(number, bytes).ok().map(|snapshot| snapshot.parent);
            let accept = |bytes: &Bytes| wanted.is(bytes, parent(bytes));
            let local = wanted.hash.clone();
            if let Some(bytes) = self.mend(&step.path, file.lost.is_there, local, accept).await? {
                promised.insert(number - 1, parent(&bytes).flatten());
            }
        }
        // When everything else is in its place.
        for (path, number) in strays {
            self.stray(&path, number).await?;
        }
        Ok(())
    }

    /// A file in the place of a snapshot that never was: it is moved away when the one it really is has its place.
    async fn stray(&mut self, path: &str, number: u64) -> Result<()> {
        let hash = self.archive.snapshot_hash(number)?;
        let mut others = self.archive.snapshot_numbers()?.into_iter().filter(|other| *other != number);
        let is_safe = others.any(|other| self.archive.snapshot_hash(other).is_ok_and(|found| found == hash));
        let mut done = left(path, "no snapshot of that number is known, and this file is not a copy of another one");
        if is_safe {
            done.kept_as = Some(self.set_aside(path).await?);
            done.result = RepairResult::SetAside;
            done.reason = Some("a copy of another snapshot".to_owned());
        }
        self.done.push(done);
        Ok(())
    }

    /// Finds a good copy of a file and puts it in its place; else leaves everything as it is. Returns what is there now.
    async fn mend(
        &mut self,
        path: &str,
        is_there: bool,
        local: Option<String>,
        accept: impl Fn(&Bytes) -> bool,
    ) -> Result<Option<Bytes>> {
        if let Some((bytes, from)) = self.local(path, local.as_deref(), &accept).await {
            self.place(path, is_there, bytes.clone(), RepairResult::PutBack, from).await?;
            return Ok(Some(bytes));
        }
        match self.remotes.fetch(path, None, accept).await {
            Some(found) => {
                let bytes = found.bytes.clone();
                self.place(path, is_there, found.bytes, RepairResult::Fetched, found.remote).await?;
                Ok(Some(bytes))
            }
            None => {
                let reason = if self.remotes.have_failed() { UNKNOWN } else { "no remote has a good copy" };
                self.done.push(left(path, reason));
                Ok(None)
            }
        }
    }

    /// A good copy that lies under another name in the archive.
    async fn local(&self, path: &str, hash: Option<&str>, accept: impl Fn(&Bytes) -> bool) -> Option<(Bytes, String)> {
        let from = self.strays.get(hash?).filter(|from| **from != path)?.clone();
        let bytes = Bytes::from(tokio::fs::read(self.archive.root().join(&from)).await.ok()?);
        accept(&bytes).then_some((bytes, from))
    }

    async fn place(
        &mut self,
        path: &str,
        is_there: bool,
        bytes: Bytes,
        result: RepairResult,
        from: String,
    ) -> Result<()> {
        let kept_as = if is_there { Some(self.set_aside(path).await?) } else { None };
        self.archive.put_back(path, bytes).await?;
        self.done.push(Repaired { path: path.to_owned(), result, from: Some(from), kept_as, reason: None });
        Ok(())
    }

    /// Moves a file to `damaged/`, where it may still be the source of another one.
    async fn set_aside(&mut self, path: &str) -> Result<String> {
        let kept = self.archive.set_aside(path).await?;
        for from in self.strays.values_mut().filter(|from| *from == path) {
            from.clone_from(&kept);
        }
        Ok(kept)
    }

    /// Chunks and derived files.
    async fn rest(&mut self, examined: &Examined) -> Result<()> {
        self.strays.extend(examined.strays.clone());
        let mut remote = Vec::new();
        self.observer.event(Event::Phase { name: "repair chunks", total: Some(examined.chunks.len() as u64) });
        for chunk in &examined.chunks {
            let (path, hash) = (chunk.listed.path(), hex::encode(chunk.listed.name.hash));
            match self.local(&path, Some(&hash), |bytes| hash_of(bytes) == hash).await {
                Some((bytes, from)) => {
                    self.place(&path, chunk.is_there, bytes, RepairResult::PutBack, from).await?;
                    self.observer.event(Event::Checked { files: 1, bytes: chunk.listed.name.bytes });
                }
                None => remote.push(chunk),
            }
        }
        self.fetch_chunks(&remote).await?;
        if examined.is_index_bad {
            // A file that was not mended must not become its own witness.
            let anew = examined.snapshots.is_empty() && !examined.is_header_bad;
            let done = match self.archive.write_index(anew).await {
                Ok(()) => rebuilt(layout::INDEX_FILE),
                Err(error) => left(layout::INDEX_FILE, super::derived::in_words(&error)),
            };
            self.done.push(done);
        }
        if examined.is_readme_bad {
            self.archive.write_readme().await?;
            self.done.push(rebuilt(layout::README_FILE));
        }
        Ok(())
    }

    /// Fetches side by side; places one after the other.
    async fn fetch_chunks(&mut self, wanted: &[&LostChunk]) -> Result<()> {
        let remotes = &self.remotes;
        let fetches = wanted.iter().map(|chunk| async move {
            let hash = hex::encode(chunk.listed.name.hash);
            let accept = |bytes: &Bytes| hash_of(bytes) == hash;
            (*chunk, remotes.fetch(&chunk.listed.path(), Some(chunk.listed.name.bytes), accept).await)
        });
        let mut found = futures::stream::iter(fetches).buffer_unordered(remotes.connections());
        let mut done = Vec::new();
        while let Some((chunk, fetched)) = found.next().await {
            let path = chunk.listed.path();
            self.observer.event(Event::Checked { files: 1, bytes: chunk.listed.name.bytes });
            let is_kept = chunk.is_there && (fetched.is_some() || !chunk.is_unreadable);
            let kept_as = if is_kept { Some(self.archive.set_aside(&path).await?) } else { None };
            let reason = if remotes.have_failed() { UNKNOWN } else { NOBODY };
            done.push(match fetched {
                Some(fetched) => {
                    self.archive.put_back(&path, fetched.bytes).await?;
                    Repaired { path, result: RepairResult::Fetched, from: Some(fetched.remote), kept_as, reason: None }
                }
                None if kept_as.is_some() => Repaired {
                    path,
                    result: RepairResult::SetAside,
                    from: None,
                    kept_as,
                    reason: Some(reason.to_owned()),
                },
                None => left(&path, reason),
            });
        }
        drop(found);
        self.done.append(&mut done);
        Ok(())
    }
}

/// How a good snapshot or record is known.
struct Wanted {
    hash: Option<String>,
    before: Option<String>,
    is_first: bool,
}

impl Wanted {
    /// `promised`: the parent that the successor names, when that one was mended just now.
    fn new(file: &LostFile, promised: Option<&Option<String>>) -> Self {
        let hash = file.lost.expected.clone().or_else(|| promised.cloned().flatten());
        Self { hash, before: file.before.clone(), is_first: file.lost.number == 1 }
    }

    /// `parent`: what the bytes name as their parent, `None` when they cannot be read for what they should be.
    fn is(&self, bytes: &[u8], parent: Option<Option<String>>) -> bool {
        let Some(parent) = parent else { return false };
        match (&self.hash, &self.before) {
            (Some(hash), _) => *hash == hash_of(bytes),
            (None, Some(before)) => parent.as_ref() == Some(before),
            (None, None) => parent.is_none() == self.is_first,
        }
    }
}

fn rebuilt(path: &str) -> Repaired {
    Repaired { path: path.to_owned(), result: RepairResult::Rebuilt, from: None, kept_as: None, reason: None }
}

fn left(path: &str, reason: impl Into<String>) -> Repaired {
    Repaired {
        path: path.to_owned(),
        result: RepairResult::Left,
        from: None,
        kept_as: None,
        reason: Some(reason.into()),
    }
}
