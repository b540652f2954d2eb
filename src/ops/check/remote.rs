//! `check --remote`: is the copy on a remote what it should be? And its repair from here.
//!
//! The remote is judged by its own files: its header, every snapshot and record it holds (read and, where they are here too, compared), and every chunk
//! that those snapshots name, by name and length, from whole lists. With `read_data` chunks are compared by their bytes, too: by a hash that
//! the server computes from its storage and ours of the local file, else by downloading them.
//!
//! What this archive has and the remote has never had is no damage but backlog, and is noted as such. [`repair`] uploads again what is
//! missing or damaged there and sound here; what was there goes to the server's trash bin. It reads and changes nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use futures::StreamExt as _;
use object_store::path::Path;
use serde::Serialize;

use super::{
    CheckOptions, CheckOutcome, Counts, Covered, Finding, FindingKind, Part,
    chunks::Listing,
    finding::{self, Level, Numbers},
    outcome_of,
    remote_data::read_data,
    remote_files::{self, Files},
    repair::{RepairResult, Repaired},
    uses::Uses,
};
use crate::{
    archive::{Archive, ArchiveObject, FolderEntry, layout},
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    ops::{
        mirror::{self, Header},
        push::whole_file,
    },
    store::{Remote, proof::Trash},
};

pub(super) const REPAIR: &str =
    "`tillvault check --remote --repair` uploads it again, as long as the archive here has it unaltered";

/// How to check a remote.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoteCheckOptions {
    /// Compare the bytes of these chunks with their names.
    pub read_data: Option<Part>,
    /// Upload again what is missing or damaged there and sound here.
    pub repair: bool,
    /// With `repair`: plan only.
    pub dry_run: bool,
}

/// What a check of a remote found. Serialises to the JSON of the command.
#[derive(Clone, Debug, Serialize)]
pub struct RemoteCheckOutcome {
    /// Name of the remote.
    pub remote: String,
    /// What was found.
    #[serde(flatten)]
    pub check: CheckOutcome,
    /// Chunks whose bytes the server itself hashed; the others that were read were downloaded.
    pub hashed_there: u64,
    /// With a dry run: what would be uploaded again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Vec<String>>,
    /// Requests made.
    pub requests: u64,
}

/// What is known of a remote after a look.
struct Seen {
    findings: Vec<Finding>,
    counts: Counts,
    covered: Covered,
    hashed_there: u64,
}

/// Checks the copy on a remote, and repairs it if the options say so; then the outcome says what is left.
///
/// # Errors
/// `Refused` when it is another archive's; `Store` or `Credentials` when it cannot be read; with `repair` `Busy` when a push is under way.
/// Damage is no error: it is in the outcome.
pub async fn check_remote(
    archive: &Arc<Archive>,
    remote: &Remote,
    options: &RemoteCheckOptions,
    observer: &SharedObserver,
) -> Result<RemoteCheckOutcome> {
    let (started, requests) = (Instant::now(), remote.requests.total());
    remote.observe(observer.clone());
    let _lock = if options.repair && !options.dry_run { Some(archive.lock_push()?) } else { None };
    let mut seen = look(archive, remote, options.read_data, observer).await?;
    let (mut repaired, mut upload) = (None, None);
    if options.repair {
        let broken = broken(&seen.findings);
        if options.dry_run {
            upload = Some(broken);
        } else {
            let done = repair(archive, remote, &broken, observer).await?;
            if done.iter().any(|one| one.result == RepairResult::Uploaded) {
                // What was uploaded is proven; what was not repaired was found by its bytes and would not show in a look at names.
                let left = left_broken(&seen.findings, &done);
                let mut again = look(archive, remote, None, observer).await?;
                again.findings.extend(left);
                (again.findings, again.counts) = finding::sorted(again.findings);
                (again.covered.chunks_read, again.covered.bytes_read) =
                    (seen.covered.chunks_read, seen.covered.bytes_read);
                again.hashed_there = seen.hashed_there;
                seen = again;
            }
            repaired = Some(done);
        }
    }
    let check = CheckOptions { read_data: options.read_data, ..CheckOptions::default() };
    let mut check = outcome_of(seen.findings, seen.counts, seen.covered, &check, started);
    check.repaired = repaired;
    let requests = remote.requests.total() - requests;
    Ok(RemoteCheckOutcome { remote: remote.name.clone(), check, hashed_there: seen.hashed_there, upload, requests })
}

async fn look(archive: &Arc<Archive>, remote: &Remote, part: Option<Part>, observer: &SharedObserver) -> Result<Seen> {
    let mut findings = Vec::new();
    let mut covered = Covered::default();
    let there = mirror::list_numbered(remote, layout::SNAPSHOTS).await?;
    let header = mirror::header(archive, remote).await?;
    if header == Header::Absent {
        let message = "the archive's header is not there, or was cut off";
        let mut finding = Finding::new(FindingKind::HeaderDamaged, layout::HEADER_FILE, message).next(REPAIR);
        if there.is_empty() {
            finding =
                Finding::new(FindingKind::NotPushed, layout::HEADER_FILE, "nothing was pushed to this remote yet")
                    .next("`tillvault push`");
        }
        findings.push(finding);
    }
    let mut files = Files::default();
    remote_files::journal(archive, remote, &mut files).await?;
    remote_files::snapshots(archive, remote, &there, &mut files, observer).await?;
    findings.append(&mut files.findings);
    covered.snapshots = files.snapshots_read;
    covered.records = files.records_read;
    let mut listing = list(remote, &files.uses, observer).await?;
    listing.judge(&files.uses, |_| true);
    (covered.chunks, covered.chunk_bytes) = files.uses.total();
    let mut hashed_there = 0;
    if let Some(part) = part {
        let read = read_data(archive, remote, &listing.named, &files.uses, part, observer).await?;
        (covered.chunks_read, covered.bytes_read, hashed_there) = (read.chunks, read.bytes, read.hashed_there);
        listing.findings.extend(read.findings);
    }
    covered.orphans = listing.others.len() as u64;
    covered.orphan_bytes = listing.others.iter().map(|other| other.bytes).sum();
    listing.orphans(false, files.are_all_known);
    for finding in &mut listing.findings {
        finding.next_step = match finding.kind {
            FindingKind::ChunkOrphaned => {
                Some("harmless: `tillvault prune --remote` removes it, after its grace".into())
            }
            _ if finding.level == Level::Damage => Some(REPAIR.into()),
            _ => None,
        };
    }
    findings.append(&mut listing.findings);
    let (findings, counts) = finding::sorted(findings);
    Ok(Seen { findings, counts, covered, hashed_there })
}

/// What the folders of the tables hold, from whole lists.
async fn list(remote: &Remote, uses: &Uses, observer: &SharedObserver) -> Result<Listing> {
    let there = mirror::table_folders(remote).await?;
    let folders: BTreeSet<String> = uses.folders.keys().cloned().chain(there.iter().cloned()).collect();
    observer.event(Event::Phase { name: "check chunks", total: Some(folders.len() as u64) });
    let mut listing = Listing::default();
    let lists = folders.into_iter().map(|folder| {
        let is_there = there.contains(&folder);
        async move {
            let path = format!("{}/{folder}", layout::TABLES);
            let found = if is_there { mirror::list(remote, &path).await } else { Ok(Default::default()) };
            (folder, found)
        }
    });
    let mut lists = futures::stream::iter(lists).buffered(remote.connections.max(1));
    while let Some((folder, found)) = lists.next().await {
        let entries = found?.into_iter().map(|(path, bytes)| FolderEntry {
            name: path.rsplit('/').next().unwrap_or_default().to_owned(),
            bytes,
            is_file: true,
        });
        listing.take_in(&folder, entries.collect(), uses, false);
        observer.event(Event::Checked { files: 1, bytes: 0 });
    }
    Ok(listing)
}

/// The paths that are missing or damaged there, in the order in which they are to be uploaded: chunks, snapshots, records, the header.
fn broken(findings: &[Finding]) -> Vec<String> {
    let rank = |path: &str| match path.split('/').next() {
        Some(layout::TABLES) => 0,
        Some(layout::SNAPSHOTS) => 1,
        Some(layout::JOURNAL) => 2,
        _ => 3,
    };
    // A fork is no damage of one file: nobody knows which is the right one.
    let damage =
        findings.iter().filter(|finding| finding.level == Level::Damage && finding.kind != FindingKind::SnapshotFork);
    let paths: BTreeSet<(u8, String)> = damage.map(|finding| (rank(&finding.path), finding.path.clone())).collect();
    paths.into_iter().map(|(_, path)| path).collect()
}

/// Findings that a look at names does not show again.
fn left_broken(findings: &[Finding], done: &[Repaired]) -> Vec<Finding> {
    let is_left = |path: &str| done.iter().any(|one| one.path == path && one.result != RepairResult::Uploaded);
    let altered = findings.iter().filter(|finding| finding.kind == FindingKind::ChunkAltered && is_left(&finding.path));
    altered.cloned().collect()
}

/// Uploads these files again where they are sound here.
async fn repair(
    archive: &Archive,
    remote: &Remote,
    paths: &[String],
    observer: &SharedObserver,
) -> Result<Vec<Repaired>> {
    observer.event(Event::Phase { name: "repair the remote", total: Some(paths.len() as u64) });
    let mut done: BTreeMap<usize, Repaired> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        let result = match sound(archive, path).await {
            Ok(bytes) => {
                let place = Path::from(path.as_str());
                remote.remove(&place, Trash::Keep).await?;
                let length = bytes.len() as u64;
                remote.put_new(&place, bytes).await?;
                observer.event(Event::Uploaded { name: path.clone(), bytes: length });
                (RepairResult::Uploaded, None)
            }
            Err(error) => (RepairResult::Left, Some(format!("the file here is no good either: {}", error.message()))),
        };
        let (result, reason) = result;
        done.insert(at, Repaired { path: path.clone(), result, from: None, kept_as: None, reason });
    }
    Ok(done.into_values().collect())
}

/// A local file that is what it should be.
async fn sound(archive: &Archive, path: &str) -> Result<bytes::Bytes> {
    let number = mirror::number_of(path);
    match (path.split('/').next(), number) {
        (Some(layout::SNAPSHOTS), Some(number)) => drop(archive.snapshot(number)?),
        (Some(layout::JOURNAL), Some(number)) => drop(archive.record(number)?),
        (Some(layout::TABLES | layout::HEADER_FILE), _) => {}
        _ => return Err(Error::new(Kind::Bug, format!("{path} is no file of an archive"))),
    }
    let bytes = match path.rsplit('/').next().and_then(layout::parse_chunk_file) {
        Some((_, bytes)) => bytes,
        None => mirror::local_length(archive, path)?,
    };
    whole_file(archive, &ArchiveObject { path: path.to_owned(), bytes }).await
}

/// A finding on one snapshot of the remote.
pub(super) fn of_snapshot(kind: FindingKind, number: u64, message: impl Into<String>) -> Finding {
    Finding::new(kind, layout::snapshot_path(number), message).of_snapshots(Numbers::one(number)).next(REPAIR)
}
