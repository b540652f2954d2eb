//! What a push has to do, found out without changing anything.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
};

use futures::StreamExt as _;
use serde::Serialize;

use super::{PushOptions, verify};
use crate::{
    archive::{Archive, ArchiveObject, layout, pushed::Pushed, snapshot::Snapshot},
    error::{Kind, Result},
    ops::{
        check::Part,
        mirror::{self, Header},
    },
    store::Remote,
};

/// One snapshot that the remote lacks, with the chunks that have to be there before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStep {
    /// Snapshot number.
    pub snapshot: u64,
    /// Chunks that no earlier step and no snapshot of the remote brings.
    pub chunks: Vec<ArchiveObject>,
    /// The snapshot's own file.
    pub file: ArchiveObject,
}

/// What a verification looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The share of the tables' folders, `n/m`.
    pub part: String,
    /// Folders that were listed.
    pub folders: u64,
    /// Chunks that were looked for.
    pub chunks: u64,
    /// Chunks that were not there with their length, and are uploaded again.
    pub missing: u64,
}

/// What a push has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushPlan {
    /// Name of the remote.
    pub remote: String,
    /// `tillvault-archive.json`, if it is not there yet.
    pub header: Option<ArchiveObject>,
    /// Local snapshots that the remote holds, ascending.
    pub present: Vec<u64>,
    /// Chunks of those that the remote has lost.
    pub refill: Vec<ArchiveObject>,
    /// Snapshots it lacks, ascending.
    pub steps: VecDeque<PushStep>,
    /// Snapshots it lacks whose local files are damaged, ascending. They are not uploaded.
    pub damaged: Vec<u64>,
    /// Records of the journal, ascending; they go last.
    pub records: Vec<ArchiveObject>,
    /// The newest snapshot of the remote, when it is newer than every local one.
    pub ahead: Option<u64>,
    /// Snapshots that the remote is known to have held and does not hold any more.
    pub lost: Vec<u64>,
    /// What was verified, if anything was.
    pub verified: Option<Verified>,
    /// What the folders that were listed hold: path and length.
    pub(super) found: HashMap<String, u64>,
    /// The folders that were listed.
    pub(super) listed: HashSet<String>,
}

impl PushPlan {
    /// Objects to upload, in the order in which they go.
    pub fn objects(&self) -> impl Iterator<Item = &ArchiveObject> {
        let steps = self.steps.iter().flat_map(|step| step.chunks.iter().chain([&step.file]));
        self.header.iter().chain(&self.refill).chain(steps).chain(&self.records)
    }

    /// Number of objects to upload.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.objects().count() as u64
    }

    /// Bytes to upload.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects().map(|object| object.bytes).sum()
    }
}

impl fmt::Display for PushPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} objects, {} bytes to upload", self.remote, self.count(), self.bytes())?;
        for object in self.objects() {
            writeln!(f, "  {} ({} bytes)", object.path, object.bytes)?;
        }
        Ok(())
    }
}

/// Finds out what the remote lacks. Changes nothing; costs two requests, a third once the journal has records, one more when the newest
/// snapshot there was not pushed from this folder, and one per folder that is to be verified.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read; `Refused` when it holds another archive, or a copy of this one that went
/// its own way; `Store` when a newer tillvault wrote a local snapshot.
pub async fn plan_push(archive: &Archive, remote: &Remote, options: &PushOptions) -> Result<PushPlan> {
    let header_there = mirror::header(archive, remote).await? == Header::Ours;
    let there = mirror::list_numbered(remote, layout::SNAPSHOTS).await?;
    if !header_there && !there.is_empty() {
        return Err(mirror::whose_snapshots(remote));
    }
    let numbers = archive.snapshot_numbers()?;
    let note = archive.pushed().into_iter().find(|note| note.remote == remote.name);
    let mut eyes = Eyes { archive, remote, note: note.as_ref(), broken: HashMap::new() };
    let (present, lacking) = eyes.compare(&numbers, &there, true).await?;
    let newest = numbers.last().copied().unwrap_or(0);
    let ahead = there.keys().next_back().copied().filter(|ahead| *ahead > newest);
    let header = match header_there {
        true => None,
        false => Some(object(archive, layout::HEADER_FILE.to_owned())?),
    };
    let records = lacking_records(&mut eyes).await?;
    let found = eyes.broken;
    let held = |number: &u64| note.as_ref().is_some_and(|note| note.holds(*number));
    let lost: Vec<u64> = lacking.iter().map(|(number, _)| *number).filter(held).collect();
    let (steps, damaged) = steps(archive, &present, lacking)?;
    let mut plan = PushPlan {
        remote: remote.name.clone(),
        header,
        present,
        refill: Vec::new(),
        steps,
        damaged,
        records,
        ahead,
        lost,
        verified: None,
        found,
        listed: HashSet::new(),
    };
    // Where snapshots are gone, chunks may be, too.
    let part = if plan.lost.is_empty() { options.verify } else { Some(Part::ALL) };
    if let Some(part) = part.filter(|_| !plan.present.is_empty()) {
        verify::verify(archive, remote, part, &mut plan).await?;
    }
    Ok(plan)
}

/// What looks at the numbered files of a remote.
struct Eyes<'a> {
    archive: &'a Archive,
    remote: &'a Remote,
    note: Option<&'a Pushed>,
    /// What an upload of ours has left broken: to be replaced.
    broken: HashMap<String, u64>,
}

impl Eyes<'_> {
    /// Sorts snapshots (or records) into those the remote holds and those it lacks. Of what a push from here is known to have brought, the
    /// length is enough, and for the newest snapshot that the note means this very file; anything else is read.
    ///
    /// # Errors
    /// `Refused` when the remote has another file under one of the names, unless it is what an upload of ours has left.
    async fn compare(
        &mut self,
        numbers: &[u64],
        there: &BTreeMap<u64, u64>,
        are_snapshots: bool,
    ) -> Result<(Vec<u64>, Vec<(u64, ArchiveObject)>)> {
        let path_of = if are_snapshots { layout::snapshot_path } else { layout::record_path };
        let newest = numbers.iter().rev().find(|number| there.contains_key(number)).copied();
        let (mut present, mut lacking, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for number in numbers {
            let object = object(self.archive, path_of(*number))?;
            let Some(bytes) = there.get(number) else {
                lacking.push((*number, object));
                continue;
            };
            let is_known = !are_snapshots || self.is_noted(*number, newest == Some(*number))?;
            match *bytes == object.bytes && is_known && !self.was_attempted(&object.path) {
                true => present.push(*number),
                false => unknown.push((*number, object)),
            }
        }
        let remote = self.remote;
        let reads = unknown.into_iter().map(|(number, object)| async move {
            let theirs = mirror::read(remote, &object.path).await;
            (number, object, theirs)
        });
        let mut reads = futures::stream::iter(reads).buffered(remote.connections.max(1));
        while let Some((number, object, theirs)) = reads.next().await {
            match self.judge(number, &object, &theirs?.unwrap_or_default(), are_snapshots).await? {
                true => present.push(number),
                false => lacking.push((number, object)),
            }
        }
        present.sort_unstable();
        lacking.sort_unstable_by_key(|(number, _)| *number);
        Ok((present, lacking))
    }

    /// Whether a push from here is known to have brought or seen a snapshot; the newest has to be the very file that was noted.
    fn is_noted(&self, number: u64, is_newest: bool) -> Result<bool> {
        let Some(note) = self.note.filter(|note| note.holds(number)) else { return Ok(false) };
        Ok(!is_newest || note.newest == Some(self.archive.snapshot_hash(number)?))
    }

    fn was_attempted(&self, path: &str) -> bool {
        self.note.is_some_and(|note| note.attempted.iter().any(|attempted| attempted == path))
    }

    /// Whether the remote's file is ours; if not, whether it may be replaced.
    async fn judge(&mut self, number: u64, object: &ArchiveObject, theirs: &[u8], is_snapshot: bool) -> Result<bool> {
        let ours = mirror::local_file(self.archive, &object.path).await?;
        if ours == theirs {
            return Ok(true);
        }
        // A damaged one of ours says nothing of theirs.
        if is_snapshot && theirs.len() == ours.len() && unless_damaged(self.archive.snapshot(number))?.is_none() {
            return Ok(true);
        }
        if theirs.len() < ours.len() && ours.starts_with(theirs) {
            // The rest of a broken upload: the next one sees that, too.
            return Ok(false);
        }
        let is_whole = match is_snapshot {
            true => self.archive.parse_snapshot(number, theirs).is_ok(),
            false => self.archive.parse_record(number, theirs).is_ok(),
        };
        if is_whole || !self.was_attempted(&object.path) {
            return Err(mirror::something_else(self.remote, &object.path));
        }
        self.broken.insert(object.path.clone(), u64::MAX);
        Ok(false)
    }
}

fn object(archive: &Archive, path: String) -> Result<ArchiveObject> {
    let bytes = mirror::local_length(archive, &path)?;
    Ok(ArchiveObject { path, bytes })
}

/// Records of the journal that the remote lacks.
async fn lacking_records(eyes: &mut Eyes<'_>) -> Result<Vec<ArchiveObject>> {
    let numbers = eyes.archive.record_numbers()?;
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let there = mirror::list_numbered(eyes.remote, layout::JOURNAL).await?;
    let (_, lacking) = eyes.compare(&numbers, &there, false).await?;
    Ok(lacking.into_iter().map(|(_, object)| object).collect())
}

/// Orders the work. A chunk belongs to the first lacking snapshot that names it, unless the remote's snapshot just before that
/// one names it already. (A chunk that only older snapshots name has been away from the till for a while; the upload finds it.)
/// Returns the snapshots whose files are damaged apart.
pub(super) fn steps(
    archive: &Archive,
    present: &[u64],
    lacking: Vec<(u64, ArchiveObject)>,
) -> Result<(VecDeque<PushStep>, Vec<u64>)> {
    let mut known: HashSet<String> = HashSet::new();
    let mut seen = HashSet::new();
    let (mut steps, mut damaged) = (VecDeque::with_capacity(lacking.len()), Vec::new());
    for (number, file) in lacking {
        let before = present.partition_point(|there| *there < number);
        if let Some(before) = before.checked_sub(1).map(|index| present[index])
            && seen.insert(before)
            // What a damaged one has brought is found by its name.
            && let Some(before) = unless_damaged(archive.snapshot(before))?
        {
            known.extend(archive.chunk_objects(&before).into_iter().map(|object| object.path));
        }
        let Some(snapshot) = unless_damaged(archive.snapshot(number))? else {
            damaged.push(number);
            continue;
        };
        let mut chunks = archive.chunk_objects(&snapshot);
        chunks.retain(|chunk| known.insert(chunk.path.clone()));
        steps.push_back(PushStep { snapshot: number, chunks, file });
    }
    Ok((steps, damaged))
}

/// A snapshot, or none where its file is damaged.
pub(super) fn unless_damaged(read: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match read {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(error) if error.kind() == Kind::Damage => Ok(None),
        Err(error) => Err(error),
    }
}
