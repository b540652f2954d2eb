//! The snapshots and records on a remote: each is read, compared with the one here, or else judged by itself and by its neighbours.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use futures::StreamExt as _;

use super::{
    finding::{Finding, FindingKind},
    remote::{REPAIR, of_snapshot},
    uses::Uses,
};
use crate::{
    archive::{Archive, flaw::Flaw, layout, snapshot::Snapshot},
    error::Result,
    observe::{Event, SharedObserver},
    ops::mirror,
    store::Remote,
};

const PUSH: &str = "`tillvault push`";

/// What was read of a remote.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) findings: Vec<Finding>,
    pub(super) snapshots_read: u64,
    pub(super) records_read: u64,
    /// The chunks that the remote's good snapshots name.
    pub(super) uses: Uses,
    /// Whether every snapshot of the remote could be read.
    pub(super) are_all_known: bool,
    /// Snapshots that the journals, here or there, name as forgotten, with the hash of their files.
    forgotten: HashMap<u64, String>,
}

/// Reads the journal.
pub(super) async fn journal(archive: &Archive, remote: &Remote, files: &mut Files) -> Result<()> {
    if let Ok(journal) = archive.journal() {
        files.forgotten = journal.forgotten().iter().map(|(number, one)| (*number, one.hash.clone())).collect();
    }
    let there = mirror::list_numbered(remote, layout::JOURNAL).await?;
    let here: BTreeSet<u64> = archive.record_numbers()?.into_iter().collect();
    let newest = there.keys().next_back().copied().unwrap_or(0);
    for number in 1..=newest.max(here.last().copied().unwrap_or(0)) {
        let path = layout::record_path(number);
        if !there.contains_key(&number) {
            let finding = match number < newest {
                true => Finding::new(FindingKind::RecordMissing, &path, "this record of the journal is not there")
                    .next(REPAIR),
                false => Finding::new(FindingKind::NotPushed, &path, "this record of the journal was not pushed yet")
                    .next(PUSH),
            };
            files.findings.push(finding);
            continue;
        }
        files.records_read += 1;
        let bytes = mirror::read(remote, &path).await?.unwrap_or_default();
        let altered = |message: &str| Finding::new(FindingKind::RecordAltered, &path, message).next(REPAIR);
        if here.contains(&number) && archive.record(number).is_ok() {
            if mirror::local_file(archive, &path).await? != bytes {
                files.findings.push(altered("this record of the journal is another file than the one here"));
            }
            continue;
        }
        match archive.parse_record(number, &bytes) {
            Ok(record) => {
                let named = record.forget.into_iter().flat_map(|forget| forget.snapshots);
                files.forgotten.extend(named.map(|one| (one.snapshot, one.hash)));
            }
            Err(flawed) => files.findings.push(altered(&flawed.error.to_string())),
        }
    }
    Ok(())
}

/// Reads the snapshots in `there`, and looks which are missing.
pub(super) async fn snapshots(
    archive: &Archive,
    remote: &Remote,
    there: &BTreeMap<u64, u64>,
    files: &mut Files,
    observer: &SharedObserver,
) -> Result<()> {
    observer.event(Event::Phase { name: "check snapshots", total: Some(there.len() as u64) });
    files.are_all_known = true;
    let reads = there
        .keys()
        .map(|number| async move { (*number, mirror::read(remote, &layout::snapshot_path(*number)).await) });
    let mut reads = futures::stream::iter(reads).buffered(remote.connections.max(1));
    let mut before: Option<(u64, String)> = None;
    while let Some((number, bytes)) = reads.next().await {
        observer.event(Event::Checked { files: 1, bytes: 0 });
        files.snapshots_read += 1;
        let bytes = bytes?.unwrap_or_default();
        let hash = blake3::hash(&bytes).to_hex().to_string();
        match judge(archive, number, &bytes, &hash, files).await? {
            Some(snapshot) => {
                let follows = before.as_ref().filter(|(before, _)| before + 1 == number).map(|(_, hash)| hash);
                if follows.is_some_and(|follows| snapshot.parent.as_ref() != Some(follows)) {
                    let message = format!("snapshot {number} there does not follow snapshot {} there", number - 1);
                    files.findings.push(of_snapshot(FindingKind::SnapshotFork, number, message).next(
                        "two machines may have pushed copies of one archive: compare both before anything is removed",
                    ));
                }
                files.uses.add(&snapshot);
                before = Some((number, hash));
            }
            None => (files.are_all_known, before) = (false, None),
        }
    }
    missing(archive, remote, there, files)
}

/// The snapshot, when its file is what it should be; else what is wrong is among the findings.
async fn judge(
    archive: &Archive,
    number: u64,
    bytes: &Bytes,
    hash: &str,
    files: &mut Files,
) -> Result<Option<Snapshot>> {
    let path = layout::snapshot_path(number);
    let parsed = archive.parse_snapshot(number, bytes);
    // A good file here decides.
    let ours = match archive.snapshot(number) {
        Ok(_) => Some(mirror::local_file(archive, &path).await?),
        Err(_) => None,
    };
    let snapshot = match parsed {
        Ok(snapshot) => snapshot,
        Err(flawed) => {
            let kind = match flawed.flaw {
                Flaw::Cut => FindingKind::SnapshotTruncated,
                Flaw::Exchanged => FindingKind::SnapshotExchanged,
                Flaw::Contradiction => FindingKind::SnapshotContradictory,
                Flaw::Altered => FindingKind::SnapshotAltered,
                Flaw::Newer => FindingKind::UnknownFormat,
            };
            files.findings.push(of_snapshot(kind, number, flawed.error.to_string()));
            return Ok(None);
        }
    };
    let is_another = ours.is_some_and(|ours| ours != *bytes);
    if is_another {
        let message = format!("snapshot {number} there is another one than here, and both are whole");
        files.findings.push(of_snapshot(FindingKind::SnapshotFork, number, message).next(
            "two machines may have pushed copies of one archive, or an older copy was put back: compare both before anything is removed",
        ));
    }
    let forgotten = files.forgotten.get(&number).filter(|known| known.bytes().any(|byte| byte != b'0'));
    if forgotten.is_some_and(|known| known != hash) {
        let message = format!("snapshot {number} there is not the one that was forgotten");
        files.findings.push(of_snapshot(FindingKind::SnapshotAltered, number, message));
    }
    Ok(Some(snapshot))
}

/// Numbers that should be there and are not.
fn missing(archive: &Archive, remote: &Remote, there: &BTreeMap<u64, u64>, files: &mut Files) -> Result<()> {
    let here = archive.snapshot_numbers()?;
    let note = archive.pushed().into_iter().find(|note| note.remote == remote.name);
    let newest = there.keys().next_back().copied().unwrap_or(0).max(here.last().copied().unwrap_or(0));
    for number in (1..=newest).filter(|number| !there.contains_key(number)) {
        let is_here = here.binary_search(&number).is_ok();
        let was_there = note.as_ref().is_some_and(|note| note.holds(number));
        if is_here && !was_there {
            let message = format!("snapshot {number} was not pushed yet");
            files.findings.push(of_snapshot(FindingKind::NotPushed, number, message).next(PUSH));
        } else if is_here {
            let message = format!("snapshot {number} was there, and is not there any more");
            files.findings.push(of_snapshot(FindingKind::SnapshotMissing, number, message));
        } else if !files.forgotten.contains_key(&number) {
            let message = format!("snapshot {number} is neither there nor here, and was not forgotten");
            files.findings.push(of_snapshot(FindingKind::SnapshotMissing, number, message));
        }
    }
    Ok(())
}
