//! A pull under way: chunks side by side, each verified before it is written; then the snapshot that names them.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, future};

use super::{
    PullOutcome,
    plan::{PullPlan, Wanted},
};
use crate::{
    archive::{Archive, ArchiveObject, layout},
    error::{Error, Kind, OrFail as _, Result},
    observe::{Event, SharedObserver},
    ops::mirror,
    store::Remote,
};

/// How often a chunk is fetched whose bytes are not what its name says: the connection may have been at fault.
const TRIES: u32 = 2;

/// Fetches what the plan says.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read or the folder cannot be written.
pub(super) async fn act(
    archive: &Archive,
    remote: &Remote,
    plan: PullPlan,
    outcome: &mut PullOutcome,
    observer: &SharedObserver,
) -> Result<()> {
    // First of all: from now on no number is given twice, and nothing is forgotten or pruned until all is here.
    archive.expect_in_index(plan.expected()).await?;
    let (objects, bytes) = plan.total();
    observer.event(Event::Phase { name: "pull", total: Some(objects) });
    let run = Pull { archive, remote, observer, objects: AtomicU64::new(objects), bytes: AtomicU64::new(bytes) };
    for (number, bytes) in plan.records {
        archive.put_back(&layout::record_path(number), bytes.clone()).await?;
        run.note(outcome, &layout::record_path(number), bytes.len() as u64);
    }
    let mut bad: HashSet<String> = HashSet::new();
    for (one, chunks) in plan.snapshots.into_iter().zip(plan.chunks) {
        bad.extend(run.chunks(&chunks, outcome).await?);
        run.place(one, &bad, outcome).await?;
    }
    // What was read there just now need not be read again by the next push.
    let known = archive.pushed().into_iter().find(|note| note.remote == remote.name);
    let mut there = known.map(|note| note.snapshots).unwrap_or_default();
    there.extend(&outcome.snapshots);
    archive.note_pushed(&remote.name, &there).await?;
    // The index says of each file what that file says.
    archive.write_index(true).await?;
    archive.write_readme().await
}

struct Pull<'a> {
    archive: &'a Archive,
    remote: &'a Remote,
    observer: &'a SharedObserver,
    /// What is left.
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Pull<'_> {
    fn note(&self, outcome: &mut PullOutcome, name: &str, bytes: u64) {
        outcome.fetched += 1;
        outcome.bytes += bytes;
        self.tell(name, bytes);
    }

    fn tell(&self, name: &str, bytes: u64) {
        let objects = self.objects.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        let left = self.bytes.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.observer.event(Event::Fetched { name: name.to_owned(), bytes });
        self.observer.event(Event::Left { objects, bytes: left });
    }

    /// Fetches chunks side by side. Returns the paths of those that are damaged or missing on the remote.
    async fn chunks(&self, chunks: &[ArchiveObject], outcome: &mut PullOutcome) -> Result<Vec<String>> {
        let stop = AtomicBool::new(false);
        let fetched: Vec<Result<(&ArchiveObject, Option<String>)>> = futures::stream::iter(chunks)
            .take_while(|_| future::ready(!stop.load(Ordering::Relaxed)))
            .map(|chunk| {
                let stop = &stop;
                async move {
                    let result = self.chunk(chunk).await;
                    stop.fetch_or(result.is_err(), Ordering::Relaxed);
                    result.map(|flaw| (chunk, flaw))
                }
            })
            .buffer_unordered(self.remote.connections.max(1))
            .collect()
            .await;
        let mut bad = Vec::new();
        for result in fetched {
            let (chunk, flaw) = result?;
            match flaw {
                None => {
                    outcome.fetched += 1;
                    outcome.bytes += chunk.bytes;
                }
                Some(flaw) => {
                    self.observer.event(Event::Warning { message: flaw.clone() });
                    outcome.damaged.push(flaw);
                    bad.push(chunk.path.clone());
                }
            }
        }
        Ok(bad)
    }

    /// Fetches one chunk and puts it into its place. Returns what is wrong with the remote's copy, if anything is.
    async fn chunk(&self, chunk: &ArchiveObject) -> Result<Option<String>> {
        let name = &self.remote.name;
        let mut flaw = String::new();
        for _ in 0..TRIES {
            let Some(bytes) = mirror::read(self.remote, &chunk.path).await? else {
                return Ok(Some(format!("{} is missing on remote {name}", chunk.path)));
            };
            if is_chunk(chunk, &bytes).await? {
                self.archive.place_chunk(&chunk.path, bytes).await?;
                self.tell(&chunk.path, chunk.bytes);
                return Ok(None);
            }
            flaw = format!("{} on remote {name} is damaged: its bytes do not match its name", chunk.path);
        }
        Ok(Some(flaw))
    }

    /// Puts a snapshot into its place, unless a chunk of it could not be fetched.
    async fn place(&self, one: Wanted, bad: &HashSet<String>, outcome: &mut PullOutcome) -> Result<()> {
        let path = layout::snapshot_path(one.number());
        let number = one.number();
        let snapshot = one.snapshot(self.archive)?;
        let lacks =
            !bad.is_empty() && self.archive.chunk_objects(&snapshot).iter().any(|chunk| bad.contains(&chunk.path));
        if lacks || !self.archive.missing_chunks(&snapshot)?.is_empty() {
            outcome.left.push(number);
            return Ok(());
        }
        let length = one.bytes.len() as u64;
        self.archive.put_back(&path, one.bytes).await?;
        outcome.snapshots.push(number);
        self.note(outcome, &path, length);
        Ok(())
    }
}

/// Whether the bytes are those that the chunk's name says.
async fn is_chunk(chunk: &ArchiveObject, bytes: &Bytes) -> Result<bool> {
    let hash = chunk.path.rsplit('/').next().and_then(layout::parse_chunk_file).map(|(hash, _)| hash.to_owned());
    let hash = hash.ok_or_else(|| Error::new(Kind::Bug, format!("{} is no chunk", chunk.path)))?;
    if bytes.len() as u64 != chunk.bytes {
        return Ok(false);
    }
    let shared = bytes.clone();
    let found = tokio::task::spawn_blocking(move || blake3::hash(&shared)).await;
    Ok(found.or_fail(Kind::Bug, || "a file could not be hashed")?.to_hex().as_str() == hash)
}
