//! Reads every snapshot and record, once each, side by side.

use std::{collections::BTreeMap, io, sync::Arc};

use futures::StreamExt as _;

use super::{
    finding::{Finding, FindingKind},
    uses::Uses,
};
use crate::{
    archive::{
        Archive,
        flaw::{Flaw, Flawed},
        index::IndexEntry,
        journal::{Forgotten, Record},
        layout,
        snapshot::Snapshot,
    },
    error::{Kind, OrFail, Result},
    observe::{Event, SharedObserver},
};

/// A snapshot's or record's file, as it was found.
#[derive(Debug)]
pub(super) enum State<T> {
    /// It is what its name says, as far as it can tell itself.
    Good { hash: String, inner: T },
    /// It is not.
    Bad { hash: String, flaw: Flaw, message: String },
    /// The disk does not hand it out.
    Unreadable { message: String },
}

impl<T> State<T> {
    /// BLAKE3 of the file, when it could be read.
    pub(super) fn hash(&self) -> Option<&str> {
        match self {
            Self::Good { hash, .. } | Self::Bad { hash, .. } => Some(hash),
            Self::Unreadable { .. } => None,
        }
    }
}

/// What is kept of a good snapshot.
#[derive(Debug)]
pub(super) struct Head {
    /// The parent it names.
    pub(super) parent: Option<String>,
    /// What the index should say of it.
    pub(super) entry: IndexEntry,
}

/// What is kept of a good record.
#[derive(Debug)]
pub(super) struct RecordHead {
    pub(super) parent: Option<String>,
    forgotten: Vec<Forgotten>,
}

/// Every snapshot file that is there, by number.
pub(super) type Snapshots = BTreeMap<u64, State<Head>>;
/// Every record file that is there, by number.
pub(super) type Records = BTreeMap<u64, State<RecordHead>>;

/// Work that may run side by side.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the snapshots of these numbers, and takes what those in `wanted` name into `uses`.
pub(super) async fn read_snapshots(
    archive: &Arc<Archive>,
    numbers: &[u64],
    wanted: impl Fn(u64) -> bool,
    uses: &mut Uses,
    observer: &SharedObserver,
) -> Result<Snapshots> {
    observer.event(Event::Phase { name: "check snapshots", total: Some(numbers.len() as u64) });
    let mut states = Snapshots::new();
    let mut read = futures::stream::iter(numbers.iter().copied())
        .map(|number| {
            let archive = Arc::clone(archive);
            tokio::task::spawn_blocking(move || (number, read_snapshot(&archive, number)))
        })
        .buffered(threads());
    while let Some(ended) = read.next().await {
        let (number, state) = ended.or_fail(Kind::Bug, || "a snapshot could not be checked")?;
        observer.event(Event::Checked { files: 1, bytes: 0 });
        // Gone since the folder was listed: the journal will tell that it was forgotten.
        let Some(state) = state else { continue };
        let (state, snapshot) = state;
        if let Some(snapshot) = snapshot.filter(|_| wanted(number)) {
            uses.add(&snapshot);
        }
        states.insert(number, state);
    }
    Ok(states)
}

type Read<T, W> = Option<(State<T>, Option<W>)>;

fn read_snapshot(archive: &Archive, number: u64) -> Read<Head, Snapshot> {
    read(archive, &layout::snapshot_path(number), |hash, bytes| {
        let snapshot = archive.parse_snapshot(number, bytes)?;
        let entry = IndexEntry::new(&snapshot, hash.to_owned(), bytes.len() as u64);
        Ok((Head { parent: snapshot.parent.clone(), entry }, snapshot))
    })
}

/// Reads a file; `None` when it is not there.
fn read<T, W>(archive: &Archive, path: &str, parse: impl FnOnce(&str, &[u8]) -> Result<(T, W), Flawed>) -> Read<T, W> {
    let bytes = match std::fs::read(archive.root().join(path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some((State::Unreadable { message: format!("{path} cannot be read: {error}") }, None)),
    };
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Some(match parse(&hash, &bytes) {
        Ok((inner, whole)) => (State::Good { hash, inner }, Some(whole)),
        Err(Flawed { flaw, error }) => (State::Bad { hash, flaw, message: error.to_string() }, None),
    })
}

/// Reads the journal: its records, and every snapshot that the readable ones name as forgotten.
///
/// # Errors
/// `Store` when the folder cannot be listed.
pub(super) async fn read_journal(archive: &Arc<Archive>) -> Result<(Records, BTreeMap<u64, Forgotten>)> {
    let archive = Arc::clone(archive);
    tokio::task::spawn_blocking(move || {
        let mut records = Records::new();
        let mut forgotten = BTreeMap::new();
        for number in archive.record_numbers()? {
            let found = read(&archive, &layout::record_path(number), |_, bytes| {
                let record: Record = archive.parse_record(number, bytes)?;
                let named = record.forget.map(|forget| forget.snapshots).unwrap_or_default();
                Ok((RecordHead { parent: record.parent, forgotten: named }, ()))
            });
            let Some((mut state, _)) = found else { continue };
            if let State::Good { inner, .. } = &mut state {
                forgotten.extend(inner.forgotten.drain(..).map(|one| (one.snapshot, one)));
            }
            records.insert(number, state);
        }
        Ok((records, forgotten))
    })
    .await
    .or_fail(Kind::Bug, || "the journal could not be checked")?
}

/// A finding for a folder or file that cannot be looked at.
pub(super) fn unreadable(path: &str, message: impl Into<String>) -> Finding {
    Finding::new(FindingKind::Unreadable, path, message)
        .next("look at the disk and at the folder's permissions, then check again")
}
