//! `snapshots` and `show`: what the archive holds, from its snapshot files alone.

use jiff::{Timestamp, civil::DateTime};
use serde::Serialize;

use crate::{
    archive::{
        Archive,
        snapshot::{Consistency, Snapshot, SnapshotKind},
    },
    error::{Error, Kind, Result},
};

/// One line of `snapshots`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotLine {
    /// Number.
    pub snapshot: u64,
    /// When reading began.
    pub taken_at: Timestamp,
    /// The till's wall clock then.
    pub till_time: DateTime,
    /// Full or quick.
    pub kind: SnapshotKind,
    /// How one state was obtained.
    pub consistency: Consistency,
    /// Life of the POS database between clears.
    pub epoch: u32,
    /// Tickets that were gone when this one was taken, if a clear was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared: Option<u64>,
    /// Words kept with it.
    pub tags: Vec<String>,
    /// Tables.
    pub tables: usize,
    /// Tables that could not be taken.
    pub missing: usize,
    /// Rows.
    pub rows: u64,
    /// Bytes of its chunks that no snapshot before it has.
    pub bytes_new: u64,
}

/// Every snapshot, oldest first.
///
/// # Errors
/// `Damage` when a snapshot file cannot be read.
pub fn snapshots(archive: &Archive) -> Result<Vec<SnapshotLine>> {
    let mut lines = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for number in archive.snapshot_numbers()? {
        let snapshot = archive.snapshot(number)?;
        let mut bytes_new = 0;
        for entry in &snapshot.tables {
            for chunk in &entry.chunks {
                if seen.insert((entry.folder.clone(), chunk.file.clone())) {
                    bytes_new += chunk.bytes;
                }
            }
        }
        lines.push(line(&snapshot, bytes_new));
    }
    Ok(lines)
}

fn line(snapshot: &Snapshot, bytes_new: u64) -> SnapshotLine {
    SnapshotLine {
        snapshot: snapshot.snapshot,
        taken_at: snapshot.taken_at,
        till_time: snapshot.till_time,
        kind: snapshot.kind,
        consistency: snapshot.consistency,
        epoch: snapshot.epoch,
        cleared: snapshot.clear.as_ref().map(|seen| seen.tickets_gone),
        tags: snapshot.tags.clone(),
        tables: snapshot.tables.len(),
        missing: snapshot.missing.len(),
        rows: snapshot.rows(),
        bytes_new,
    }
}

/// The snapshot of that number, or the newest for `None`.
///
/// # Errors
/// `Usage` when there is none of that number, `NoArchive` when there is none at all, `Damage` when it cannot be read.
pub fn find(archive: &Archive, number: Option<u64>) -> Result<Snapshot> {
    let numbers = archive.snapshot_numbers()?;
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Err(Error::new(Kind::NoArchive, format!("{} holds no snapshot yet", archive.root().display()))
            .hint("run `tillvault snapshot` first"));
    };
    let wanted = number.unwrap_or(*last);
    if !numbers.contains(&wanted) {
        return Err(Error::new(Kind::Usage, format!("there is no snapshot {wanted}"))
            .hint(format!("the archive holds snapshots {first} to {last}: see `tillvault snapshots`")));
    }
    archive.snapshot(wanted)
}
