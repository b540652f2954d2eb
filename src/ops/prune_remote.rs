//! `prune --remote`: takes from a remote what was forgotten here, and the chunks that nothing refers to any more.
//!
//! The remote follows the local plan: a snapshot goes when the local journal names it as forgotten, a chunk when no snapshot here or
//! there names it and it has been so for the time of grace, by this machine's clock (WEBDAV §9 row 35). The journal's records go up
//! first, so that whoever reads the remote knows that the gap was meant.
//!
//! Promises: nothing is removed unless the whole local archive can be read without a doubt ([`Archive::survey`]), the remote holds this
//! archive and nothing that is not known here, and every list that is decided upon came whole (row 27); what a snapshot needs stays; removed
//! objects go to the server's trash bin unless told otherwise; a run that is stopped is completed by the next one.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use serde::Serialize;

use super::{
    check::Part,
    mirror::{self, Header},
    prune::PruneFiles,
    push::{holds_folder, whole_file},
};
use crate::{
    archive::{Archive, ArchiveObject, journal::Journal, layout, marks::Mark},
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    store::{self, Remote, proof::Trash},
};

/// How to prune a remote.
#[derive(Clone, Copy, Debug)]
pub struct RemotePruneOptions {
    /// How long a chunk must have been without a snapshot. None at all removes at once.
    pub grace: SignedDuration,
    /// Plan only.
    pub dry_run: bool,
    /// The present moment.
    pub now: Timestamp,
    /// What becomes of removed objects on the server.
    pub trash: Trash,
    /// The share of the tables' folders that is looked through.
    pub folders: Part,
}

/// What a prune did to a remote: the JSON of `prune --remote`.
#[derive(Clone, Debug, Serialize)]
pub struct RemotePruneOutcome {
    /// Name of the remote.
    pub remote: String,
    /// Nothing was changed: what follows would be done.
    pub dry_run: bool,
    /// Records of the journal that were uploaded first.
    pub records: u64,
    /// Numbers of the forgotten snapshots that were removed.
    pub snapshots: Vec<u64>,
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
    /// Objects that could not be removed this time, since they were locked or the server failed.
    pub deferred: u64,
    /// The share of the folders that was looked through, `n/m`.
    pub part: String,
    /// With a dry run: the chunks, one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<PruneFiles>,
    /// Requests made.
    pub requests: u64,
    /// Wall time.
    pub seconds: f64,
}

impl RemotePruneOutcome {
    /// Whether anything was removed or put off.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.snapshots.is_empty() || self.removed > 0 || self.deferred > 0
    }
}

/// What there is to do.
#[derive(Debug, Default)]
struct Plan {
    records: Vec<ArchiveObject>,
    /// Forgotten snapshots that lie on the remote, ascending.
    snapshots: Vec<u64>,
    remove: Vec<Mark>,
    wait: Vec<Mark>,
    /// Marks of folders that were not looked through.
    others: Vec<Mark>,
}

/// Removes from a remote what the local archive has forgotten and pruned.
///
/// # Errors
/// `Busy` when a push is under way; `Damage` when the local archive cannot be read without a doubt; `Refused` when the remote holds
/// another archive, or something that is not known here; `Store` or `Credentials` when it cannot be read or written. Nothing was removed
/// unless the remote failed while removing.
pub async fn prune_remote(
    archive: &Archive,
    remote: &Remote,
    options: &RemotePruneOptions,
    observer: &SharedObserver,
) -> Result<RemotePruneOutcome> {
    let (started, requests) = (Instant::now(), remote.requests.total());
    remote.observe(observer.clone());
    let _lock = if options.dry_run { None } else { Some(archive.lock_push()?) };
    observer.event(Event::Phase { name: "look for unused objects on the remote", total: None });
    let plan = plan(archive, remote, options).await?;
    let mut act = Act { archive, remote, options, observer, deferred: 0 };
    let (mut snapshots, mut removed) = (plan.snapshots.clone(), plan.remove.clone());
    if !options.dry_run {
        (snapshots, removed) = act.run(&plan).await?;
    }
    let bytes = |marks: &[Mark]| marks.iter().map(|mark| mark.bytes).sum();
    let first = plan.wait.iter().map(|mark| mark.since).min();
    Ok(RemotePruneOutcome {
        remote: remote.name.clone(),
        dry_run: options.dry_run,
        records: plan.records.len() as u64,
        snapshots,
        removed: removed.len() as u64,
        freed: bytes(&removed),
        waiting: plan.wait.len() as u64,
        waiting_bytes: bytes(&plan.wait),
        waiting_until: first.map(|since| since.checked_add(options.grace).unwrap_or(Timestamp::MAX)),
        deferred: act.deferred,
        part: options.folders.to_string(),
        files: options.dry_run.then_some(PruneFiles { remove: plan.remove, wait: plan.wait }),
        requests: remote.requests.total() - requests,
        seconds: started.elapsed().as_secs_f64(),
    })
}

async fn plan(archive: &Archive, remote: &Remote, options: &RemotePruneOptions) -> Result<Plan> {
    let mut named = HashSet::new();
    let mut kept = BTreeSet::new();
    let journal = archive.survey(|snapshot, _| {
        kept.insert(snapshot.snapshot);
        named.extend(archive.chunk_objects(snapshot).into_iter().map(|chunk| chunk.path));
    })?;
    let mut plan = Plan::default();
    let is_ours = mirror::header(archive, remote).await? == Header::Ours;
    let there = mirror::list_numbered(remote, layout::SNAPSHOTS).await?;
    if !is_ours {
        return match there.is_empty() {
            // Never pushed to: there is nothing to remove.
            true => Ok(plan),
            false => Err(mirror::whose_snapshots(remote)),
        };
    }
    plan.records = lacking_records(archive, remote).await?;
    plan.snapshots = forgotten_there(archive, remote, &journal, &kept, &there).await?;
    look_through(archive, remote, &named, options, &mut plan).await?;
    Ok(plan)
}

/// Records that the remote lacks. One that is not known here says that another machine writes there.
async fn lacking_records(archive: &Archive, remote: &Remote) -> Result<Vec<ArchiveObject>> {
    let there = mirror::list_numbered(remote, layout::JOURNAL).await?;
    let ours = archive.record_numbers()?;
    if let Some(strange) = there.keys().find(|number| ours.binary_search(number).is_err()) {
        return Err(not_known(remote, &layout::record_path(*strange)));
    }
    let mut lacking = Vec::new();
    for number in ours {
        let path = layout::record_path(number);
        let bytes = mirror::local_length(archive, &path)?;
        match there.get(&number) {
            Some(length) if *length == bytes => {}
            Some(_) => return Err(mirror::something_else(remote, &path)),
            None => lacking.push(ArchiveObject { path, bytes }),
        }
    }
    Ok(lacking)
}

/// The snapshots on the remote that were forgotten. Each other one has to be here, too.
async fn forgotten_there(
    archive: &Archive,
    remote: &Remote,
    journal: &Journal,
    kept: &BTreeSet<u64>,
    there: &BTreeMap<u64, u64>,
) -> Result<Vec<u64>> {
    let note = archive.pushed().into_iter().find(|note| note.remote == remote.name);
    let mut forgotten = Vec::new();
    for (number, length) in there {
        let path = layout::snapshot_path(*number);
        if kept.contains(number) {
            if mirror::local_length(archive, &path)? != *length {
                return Err(mirror::something_else(remote, &path));
            }
            continue;
        }
        let Some(known) = journal.forgotten().get(number) else { return Err(not_known(remote, &path)) };
        // What was pushed from here is ours; of anything else its bytes tell.
        if !note.as_ref().is_some_and(|note| note.holds(*number)) {
            match mirror::read(remote, &path).await? {
                Some(bytes) if blake3::hash(&bytes).to_hex().as_str() == known.hash => {}
                Some(_) => return Err(mirror::something_else(remote, &path)),
                None => continue,
            }
        }
        forgotten.push(*number);
    }
    Ok(forgotten)
}

fn not_known(remote: &Remote, path: &str) -> Error {
    Error::new(Kind::Refused, format!("remote {} holds {path}, which this archive does not know", remote.name)).hint(
        "another machine pushes to it, or an older copy of this archive was put back: `tillvault pull` fetches what is missing here; nothing was removed",
    )
}

/// Lists the folders, all of them before anything is decided.
async fn look_through(
    archive: &Archive,
    remote: &Remote,
    named: &HashSet<String>,
    options: &RemotePruneOptions,
    plan: &mut Plan,
) -> Result<()> {
    let mut marks = archive.remote_marks(&remote.name);
    for folder in mirror::table_folders(remote).await? {
        if !holds_folder(options.folders, &folder) {
            let prefix = format!("{}/{folder}/", layout::TABLES);
            plan.others.extend(marks.values().filter(|mark| mark.path.starts_with(&prefix)).cloned());
            continue;
        }
        for (path, bytes) in mirror::list(remote, &format!("{}/{folder}", layout::TABLES)).await? {
            let is_chunk = path.rsplit('/').next().is_some_and(|file| layout::parse_chunk_file(file).is_some());
            if named.contains(&path) || !is_chunk {
                continue;
            }
            // A mark from the future says that a clock was set back: the grace begins anew.
            let known = marks.remove(&path).filter(|mark| mark.bytes == bytes && mark.since <= options.now);
            let since = known.map_or(options.now, |mark| mark.since);
            let is_over = options.now.duration_since(since) >= options.grace;
            let list = if is_over { &mut plan.remove } else { &mut plan.wait };
            list.push(Mark { path, bytes, since });
        }
    }
    plan.remove.sort_by(|a, b| a.path.cmp(&b.path));
    plan.wait.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// A prune of a remote under way.
struct Act<'a> {
    archive: &'a Archive,
    remote: &'a Remote,
    options: &'a RemotePruneOptions,
    observer: &'a SharedObserver,
    deferred: u64,
}

impl Act<'_> {
    /// Returns the snapshots and chunks that are gone.
    async fn run(&mut self, plan: &Plan) -> Result<(Vec<u64>, Vec<Mark>)> {
        for record in &plan.records {
            let bytes = whole_file(self.archive, record).await?;
            self.remote.put_new(&Path::from(record.path.as_str()), bytes).await?;
        }
        let total = (plan.snapshots.len() + plan.remove.len()) as u64;
        self.observer.event(Event::Phase { name: "remove from the remote", total: Some(total) });
        let mut snapshots = Vec::new();
        for number in &plan.snapshots {
            if self.remove(&layout::snapshot_path(*number), 0).await? {
                snapshots.push(*number);
            }
        }
        let (mut removed, mut left) = (Vec::new(), plan.wait.clone());
        for mark in &plan.remove {
            // A snapshot that is still there may name it.
            let is_gone = snapshots.len() == plan.snapshots.len() && self.remove(&mark.path, mark.bytes).await?;
            if is_gone { removed.push(mark.clone()) } else { left.push(mark.clone()) }
        }
        let marks = left.iter().chain(&plan.others).map(|mark| (mark.path.clone(), mark.clone())).collect();
        self.archive.write_remote_marks(&self.remote.name, &marks).await?;
        Ok((snapshots, removed))
    }

    /// Removes one object; false when that has to wait.
    async fn remove(&mut self, path: &str, bytes: u64) -> Result<bool> {
        match self.remote.remove(&Path::from(path), self.options.trash).await {
            Ok(()) => {
                self.observer.event(Event::Removed { name: path.to_owned(), bytes });
                Ok(true)
            }
            Err(error) if error.is_temporary() && store::is_about_one_object(&error) => {
                self.deferred += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
