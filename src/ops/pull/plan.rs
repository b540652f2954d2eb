//! What a pull has to fetch, found out before the archive's folder is changed.
//!
//! Records and snapshot files are read here already, since only they tell which chunks are wanted; they wait in memory, compressed as they
//! are, until they take their places. Whatever does not fit together ends the pull: another archive, a copy that went its own way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use futures::StreamExt as _;

use crate::{
    archive::{
        Archive, ArchiveObject,
        index::{Index, IndexEntry},
        journal::{Forgotten, Record},
        layout,
        snapshot::Snapshot,
    },
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    ops::mirror,
    store::Remote,
};

/// A snapshot that is not here, as the remote has it. Parsed, many of them would take too much room: they are parsed again.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) bytes: Bytes,
    pub(super) entry: IndexEntry,
    parent: Option<String>,
}

impl Wanted {
    pub(super) fn number(&self) -> u64 {
        self.entry.snapshot
    }

    pub(super) fn snapshot(&self, archive: &Archive) -> Result<Snapshot> {
        Ok(archive.parse_snapshot(self.number(), &self.bytes)?)
    }
}

/// What a pull has to fetch.
#[derive(Debug, Default)]
pub(super) struct PullPlan {
    /// Records of the journal that are not here, ascending.
    pub(super) records: Vec<(u64, Bytes)>,
    /// Snapshots that are not here, the newest first.
    pub(super) snapshots: Vec<Wanted>,
    /// Their chunks that are not here, by the snapshot that brings them, in the same order.
    pub(super) chunks: Vec<Vec<ArchiveObject>>,
    /// Snapshots of the remote whose files there are damaged.
    pub(super) damaged: BTreeMap<u64, Error>,
    /// Snapshots of the remote that are here already.
    pub(super) present: Vec<u64>,
    /// Snapshots that are left on the remote, since only one was asked for.
    pub(super) left: Vec<u64>,
    /// Local snapshots that are newer than the remote's.
    pub(super) ahead: Vec<u64>,
    /// The newest snapshot of the remote that could be read, when it is not to be fetched: it tells the next number.
    pub(super) newest: Option<Wanted>,
    /// What the remote's index says is its newest snapshot, when that is not there.
    pub(super) missing: Option<u64>,
}

impl PullPlan {
    /// What the index is to know of from the beginning.
    pub(super) fn expected(&self) -> Vec<IndexEntry> {
        self.snapshots.iter().chain(&self.newest).map(|one| one.entry.clone()).collect()
    }

    /// Objects to fetch besides the header, and their bytes.
    pub(super) fn total(&self) -> (u64, u64) {
        let files =
            self.records.iter().map(|(_, bytes)| bytes.len()).chain(self.snapshots.iter().map(|one| one.bytes.len()));
        let (count, bytes) = files.fold((0, 0), |(count, bytes), length| (count + 1, bytes + length as u64));
        let chunks = self.chunks.iter().flatten();
        chunks.fold((count, bytes), |(count, bytes), chunk| (count + 1, bytes + chunk.bytes))
    }
}

/// Finds out what is to be fetched. Reads the remote's lists, and the records and snapshots that are not here.
///
/// # Errors
/// `Refused` when what is here is no older copy of what is there; `Damage` when the remote's journal cannot be read, or neither can the
/// snapshot asked for; `Usage` when the remote never had that; `Store` or `Credentials` when the remote cannot be read.
pub(super) async fn plan_pull(
    archive: &Archive,
    remote: &Remote,
    only: Option<u64>,
    observer: &SharedObserver,
) -> Result<PullPlan> {
    let there = mirror::list_numbered(remote, layout::SNAPSHOTS).await?;
    let records = mirror::list_numbered(remote, layout::JOURNAL).await?;
    let mut plan = PullPlan::default();
    let forgotten = journal(archive, remote, &records, &mut plan).await?;
    let here: BTreeSet<u64> = archive.snapshot_numbers()?.into_iter().collect();
    let newest_there = there.keys().next_back().copied().unwrap_or(0);
    plan.present = here.iter().copied().filter(|number| there.contains_key(number)).collect();
    plan.ahead = here.iter().copied().filter(|number| *number > newest_there).collect();
    same(archive, remote, &there, &plan.present).await?;
    // A snapshot that both know, that was forgotten there or here, is not fetched again.
    let lacking: Vec<u64> = there.keys().copied().filter(|number| !here.contains(number)).collect();
    let lacking: Vec<u64> = lacking.into_iter().filter(|number| !forgotten.contains_key(number)).collect();
    let mut fetched: Vec<u64> = lacking.clone();
    if let Some(only) = only {
        if !there.contains_key(&only) {
            return Err(Error::new(Kind::Usage, format!("remote {} has no snapshot {only}", remote.name))
                .hint("`tillvault pull --dry-run` lists those it has"));
        }
        plan.left = lacking.iter().copied().filter(|number| *number != only).collect();
        fetched.retain(|number| *number == only || *number == newest_there);
    }
    read_snapshots(archive, remote, &fetched, &mut plan, observer).await?;
    follow(archive, remote, &forgotten, &mut plan)?;
    if let Some(only) = only {
        if let Some(error) = plan.damaged.remove(&only) {
            return Err(error);
        }
        let at = plan.snapshots.iter().position(|one| one.number() != only);
        plan.newest = at.map(|at| plan.snapshots.remove(at));
    }
    missing_newest(archive, remote, &there, &mut plan).await;
    plan.chunks = chunks(archive, &plan.snapshots)?;
    Ok(plan)
}

/// Reads the records that are not here, and returns every snapshot that the journals name as forgotten.
async fn journal(
    archive: &Archive,
    remote: &Remote,
    there: &BTreeMap<u64, u64>,
    plan: &mut PullPlan,
) -> Result<BTreeMap<u64, Forgotten>> {
    let damaged = |what: String| {
        Error::new(Kind::Damage, format!("the journal on remote {} {what}", remote.name)).hint(
            "look for another copy; `tillvault check --remote --repair` on the machine that has the archive mends it",
        )
    };
    let known = archive.journal()?;
    let mut forgotten = known.forgotten().clone();
    let here = archive.record_numbers()?;
    let (mut before, mut expected) = (known.newest().map(|(_, hash)| hash.to_owned()), 1);
    for (number, length) in there {
        if *number != expected {
            return Err(damaged(format!("lacks record {expected}")));
        }
        expected += 1;
        let path = layout::record_path(*number);
        if here.contains(number) {
            if mirror::local_length(archive, &path)? != *length {
                return Err(went_its_own_way(remote, &path));
            }
            continue;
        }
        let bytes = mirror::read(remote, &path).await?.ok_or_else(|| damaged(format!("lacks record {number}")))?;
        let record: Record = archive
            .parse_record(*number, &bytes)
            .map_err(|flawed| damaged(format!("cannot be read at record {number}")).caused_by(flawed.error))?;
        if record.parent != before {
            return Err(match here.is_empty() {
                true => damaged(format!("does not hold together at record {number}")),
                false => went_its_own_way(remote, &path),
            });
        }
        before = Some(hash_of(&bytes));
        let named = record.forget.into_iter().flat_map(|forget| forget.snapshots);
        forgotten.extend(named.map(|one| (one.snapshot, one)));
        plan.records.push((*number, bytes));
    }
    Ok(forgotten)
}

/// Refuses an archive here that is not the same as there as far as both go.
async fn same(archive: &Archive, remote: &Remote, there: &BTreeMap<u64, u64>, present: &[u64]) -> Result<()> {
    for number in present {
        let path = layout::snapshot_path(*number);
        if Some(&mirror::local_length(archive, &path)?) != there.get(number) {
            return Err(went_its_own_way(remote, &path));
        }
    }
    // Parents vouch for those before it.
    if let Some(newest) = present.last() {
        let path = layout::snapshot_path(*newest);
        let ours = mirror::local_file(archive, &path).await?;
        if archive.snapshot(*newest).is_ok() && mirror::read(remote, &path).await?.is_some_and(|theirs| theirs != ours)
        {
            return Err(went_its_own_way(remote, &path));
        }
    }
    Ok(())
}

fn went_its_own_way(remote: &Remote, path: &str) -> Error {
    Error::new(Kind::Refused, format!("{path} here is another file than on remote {}", remote.name)).hint(
        "the archive here and the remote's copy have gone different ways; nothing was changed: pull into a new folder (`tillvault init --from-remote … --folder NEW`), then decide which of the two to go on with",
    )
}

/// Reads snapshot files side by side; the newest first.
async fn read_snapshots(
    archive: &Archive,
    remote: &Remote,
    numbers: &[u64],
    plan: &mut PullPlan,
    observer: &SharedObserver,
) -> Result<()> {
    observer.event(Event::Phase { name: "fetch snapshot files", total: Some(numbers.len() as u64) });
    let reads = numbers.iter().rev().map(|number| async move {
        let path = layout::snapshot_path(*number);
        (*number, mirror::read(remote, &path).await)
    });
    let mut reads = futures::stream::iter(reads).buffered(remote.connections.max(1));
    while let Some((number, read)) = reads.next().await {
        let path = layout::snapshot_path(number);
        let damaged = |why: String| {
            Error::new(Kind::Damage, format!("{path} on remote {} is damaged: {why}", remote.name)).hint(
                "`tillvault check --remote --repair` mends it from the machine that has the archive; another remote may have a good copy",
            )
        };
        let Some(bytes) = read? else {
            plan.damaged.insert(number, damaged("it was listed, and is not there".into()));
            continue;
        };
        match archive.parse_snapshot(number, &bytes) {
            Ok(snapshot) => {
                observer.event(Event::Fetched { name: path, bytes: bytes.len() as u64 });
                let entry = IndexEntry::new(&snapshot, hash_of(&bytes), bytes.len() as u64);
                plan.snapshots.push(Wanted { bytes, entry, parent: snapshot.parent });
            }
            Err(flawed) if flawed.error.kind() == Kind::Damage => {
                plan.damaged.insert(number, damaged("see the cause".into()).caused_by(flawed.error));
            }
            // A newer tillvault wrote it.
            Err(flawed) => return Err(flawed.error),
        }
    }
    Ok(())
}

/// Checks that each snapshot follows the one before, as far as neighbours are known. One whose successor names another file is damaged.
fn follow(archive: &Archive, remote: &Remote, forgotten: &BTreeMap<u64, Forgotten>, plan: &mut PullPlan) -> Result<()> {
    let mut hashes: HashMap<u64, String> = forgotten.iter().map(|(number, one)| (*number, one.hash.clone())).collect();
    // A damaged one of ours says nothing of theirs.
    let good: Vec<u64> = plan.present.iter().copied().filter(|number| archive.snapshot(*number).is_ok()).collect();
    for number in &good {
        hashes.insert(*number, archive.snapshot_hash(*number)?);
    }
    hashes.extend(plan.snapshots.iter().map(|one| (one.number(), one.entry.hash.clone())));
    let mut strange = BTreeMap::new();
    for one in &plan.snapshots {
        let before = one.number().checked_sub(1).and_then(|before| hashes.get(&before));
        // 64 zeros stand for a file that nothing tells any more.
        let is_known = before.is_some_and(|hash| hash.bytes().any(|byte| byte != b'0'));
        if !is_known || one.parent.as_ref() == before {
            continue;
        }
        let before = one.number() - 1;
        if good.contains(&before) {
            return Err(went_its_own_way(remote, &layout::snapshot_path(before)));
        }
        if plan.snapshots.iter().any(|other| other.number() == before) {
            let path = layout::snapshot_path(before);
            let message =
                format!("{path} on remote {} is not the file that snapshot {} follows", remote.name, one.number());
            strange.insert(
                before,
                Error::new(Kind::Damage, message).hint("look for another copy: another remote may have a good one"),
            );
        }
    }
    plan.snapshots.retain(|one| !strange.contains_key(&one.number()));
    plan.damaged.append(&mut strange);
    Ok(())
}

/// Whether the remote's index, if it has one, knows a newer snapshot than is there: then that one was lost.
async fn missing_newest(archive: &Archive, remote: &Remote, there: &BTreeMap<u64, u64>, plan: &mut PullPlan) {
    let Ok(Some(bytes)) = mirror::read(remote, layout::INDEX_FILE).await else { return };
    let Some(index) = Index::read(&bytes, archive.id()) else { return };
    let witnessed = index.snapshots.last().map_or(0, |entry| entry.snapshot);
    if there.keys().next_back().is_none_or(|newest| *newest < witnessed) {
        plan.missing = Some(witnessed);
    }
}

/// The chunks that each snapshot brings and that are not here with their length, each once.
fn chunks(archive: &Archive, snapshots: &[Wanted]) -> Result<Vec<Vec<ArchiveObject>>> {
    let here: HashMap<String, u64> =
        archive.chunk_files()?.into_iter().map(|object| (object.path, object.bytes)).collect();
    let mut seen = HashSet::new();
    let mut lacking = |one: &Wanted| {
        let mut chunks = archive.chunk_objects(&one.snapshot(archive)?);
        chunks.retain(|chunk| here.get(&chunk.path) != Some(&chunk.bytes) && seen.insert(chunk.path.clone()));
        Ok(chunks)
    };
    snapshots.iter().map(&mut lacking).collect()
}

fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
