//! Quick snapshots: what they keep, what they read, and that they come out as a full read would.

#![allow(clippy::unwrap_used, reason = "part of a test")]

#[path = "../scripted_till/mod.rs"]
mod scripted_till;

mod apart;
mod collisions;
mod equal;
mod moving;
mod questions;
mod wire;

#[allow(dead_code, reason = "this uses its part of it")]
#[path = "../source_till/till.rs"]
mod served;

use std::path::Path;

use scripted_till::{Checksums, Rows, ScriptedTill, State, archives};
use tillvault::{
    archive::{
        Archive,
        snapshot::{Ladder, TableEntry},
    },
    model::table::TableName,
    observe::silent,
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
};

/// Quick, or full, of every table.
pub(crate) fn options(quick: bool) -> SnapshotOptions {
    SnapshotOptions { quick, ..archives::everything() }
}

/// A till that computes checksums.
pub(crate) fn till(state: &State) -> ScriptedTill {
    ScriptedTill { checksums: Checksums::Exact, ..ScriptedTill::new(state.clone()) }
}

pub(crate) async fn take(archive: &Archive, state: &State, quick: bool) -> SnapshotOutcome {
    snapshot(archive, &mut till(state), &options(quick), &silent()).await.unwrap()
}

/// A new archive.
pub(crate) fn archive(root: &Path) -> Archive {
    Archive::create(root, "Test").unwrap();
    archives::plain(root)
}

/// Tables of the newest snapshot.
pub(crate) fn entries(archive: &Archive) -> Vec<TableEntry> {
    archive.latest().unwrap().unwrap().tables
}

/// A table with an integer key.
pub(crate) fn notes(name: &str, ids: impl IntoIterator<Item = i32>) -> Rows {
    let mut rows = Rows::new(TableName::dbo(name), &[("Id", "int"), ("Text", "nvarchar(max)")], &["Id"]);
    rows.rows = ids.into_iter().map(|id| vec![id.into(), format!("text {id}").into()]).collect();
    rows
}

/// The first snapshot, of empty tables, so that they go on on a ladder of small numbers.
pub(crate) async fn start_small(archive: &Archive, tables: &[Rows], heavy: u64) {
    let state = State::of(tables.iter().map(|rows| Rows { rows: Vec::new(), ..rows.clone() }));
    take(archive, &state, false).await;
    let mut first = archive.latest().unwrap().unwrap();
    for entry in &mut first.tables {
        if let Some(column) = entry.table.range_column() {
            entry.ladder = Ladder::Range { column: column.name.clone(), open: 8, closed: 32, heavy };
        } else {
            entry.ladder = Ladder::Hash { bits: 1, rows: 16, heavy };
        }
    }
    let (number, parent) = archive.next_link().unwrap();
    (first.snapshot, first.parent) = (number, parent);
    archive.write_snapshot(&first).await.unwrap();
}
