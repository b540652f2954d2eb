//! What a push has to do, found out without changing anything.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
};

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
    let (present, lacking) = compare(archive, remote, &numbers, &there, layout::snapshot_path).await?;
    let note = archive.pushed().into_iter().find(|note| note.remote == remote.name);
    if let Some(newest) = present.last() {
        check_same(archive, remote, *newest, note.as_ref()).await?;
    }
    let newest = numbers.last().copied().unwrap_or(0);
    let ahead = there.keys().next_back().copied().filter(|ahead| *ahead > newest);
    let header = match header_there {
        true => None,
        false => Some(object(archive, layout::HEADER_FILE.to_owned())?),
    };
    let records = lacking_records(archive, remote).await?;
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
        found: HashMap::new(),
        listed: HashSet::new(),
    };
    // Where snapshots are gone, chunks may be, too.
    let part = if plan.lost.is_empty() { options.verify } else { Some(Part::ALL) };
    if let Some(part) = part.filter(|_| !plan.present.is_empty()) {
        verify::verify(archive, remote, part, &mut plan).await?;
    }
    Ok(plan)
}

/// Sorts numbered files into those the remote holds and those it lacks, by their lengths.
///
/// # Errors
/// `Refused` when the remote has another file under one of the names, unless it is the beginning of ours: the rest of a broken upload.
async fn compare(
    archive: &Archive,
    remote: &Remote,
    numbers: &[u64],
    there: &BTreeMap<u64, u64>,
    path_of: fn(u64) -> String,
) -> Result<(Vec<u64>, Vec<(u64, ArchiveObject)>)> {
    let (mut present, mut lacking) = (Vec::new(), Vec::new());
    for number in numbers {
        let object = object(archive, path_of(*number))?;
        match there.get(number) {
            Some(bytes) if *bytes == object.bytes => {
                present.push(*number);
                continue;
            }
            Some(bytes) if *bytes > object.bytes => return Err(mirror::something_else(remote, &object.path)),
            Some(1..) => {
                let theirs = mirror::read(remote, &object.path).await?.unwrap_or_default();
                if !mirror::local_file(archive, &object.path).await?.starts_with(&theirs) {
                    return Err(mirror::something_else(remote, &object.path));
                }
            }
            Some(0) | None => {}
        }
        lacking.push((*number, object));
    }
    Ok((present, lacking))
}

fn object(archive: &Archive, path: String) -> Result<ArchiveObject> {
    let bytes = mirror::local_length(archive, &path)?;
    Ok(ArchiveObject { path, bytes })
}

/// Records of the journal that the remote lacks.
async fn lacking_records(archive: &Archive, remote: &Remote) -> Result<Vec<ArchiveObject>> {
    let numbers = archive.record_numbers()?;
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let there = mirror::list_numbered(remote, layout::JOURNAL).await?;
    let (_, lacking) = compare(archive, remote, &numbers, &there, layout::record_path).await?;
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

/// Refuses a remote whose snapshot of that number is another one than ours of the same length: whoever builds on it would leave
/// out chunks that the remote lacks. Parents vouch for those before it. What a push from here has seen or brought is not read again.
async fn check_same(archive: &Archive, remote: &Remote, number: u64, note: Option<&Pushed>) -> Result<()> {
    let path = layout::snapshot_path(number);
    let ours = mirror::local_file(archive, &path).await?;
    let hash = blake3::hash(&ours).to_hex();
    if note.is_some_and(|note| note.newest.as_deref() == Some(hash.as_str()) && note.holds(number)) {
        return Ok(());
    }
    // A damaged one of ours says nothing of theirs.
    if unless_damaged(archive.snapshot(number))?.is_none() || mirror::read(remote, &path).await?.as_ref() == Some(&ours)
    {
        return Ok(());
    }
    Err(mirror::something_else(remote, &path))
}
