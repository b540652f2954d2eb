//! What stands beside the data: the header, the derived files, and whatever else lies in the folder.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    chunks::{listed, stranger},
    files::{Snapshots, State, unreadable},
    finding::{Finding, FindingKind, Level},
};
use crate::{
    archive::{
        Archive,
        index::{Index, IndexEntry},
        journal::Forgotten,
        layout, leftover_of,
    },
    error::{Error, Kind, Result},
};

const REBUILD: &str = "`tillvault check --repair` writes it anew; so does the next run that adds a snapshot";

/// What is wrong with the header.
///
/// # Errors
/// `Store` when a newer tillvault wrote it: then nothing here can be judged.
pub(super) fn header(archive: &Archive, index: Option<&Index>) -> Result<Option<Finding>> {
    let path = layout::HEADER_FILE;
    let next = "`tillvault check --repair` fetches it from a remote that has it; if you changed it yourself, delete index/snapshots.json first";
    let damaged = |message: String| Finding::new(FindingKind::HeaderDamaged, path, message).next(next);
    let bytes = match std::fs::read(archive.root().join(path)) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Some(damaged(format!("the archive's header cannot be read: {error}")))),
    };
    match Archive::header_id(&bytes) {
        Ok(id) if id != archive.id() => {
            let message = format!("the header names archive {id}, the snapshots {}", archive.id());
            return Ok(Some(Finding::new(FindingKind::HeaderAltered, path, message).next(next)));
        }
        Ok(_) => {}
        Err(error) if error.kind() == Kind::Damage => return Ok(Some(damaged(error.to_string()))),
        Err(error) => return Err(error),
    }
    let hash = blake3::hash(&bytes).to_hex();
    let witnessed = index.and_then(|index| index.header.as_deref());
    Ok(witnessed.filter(|witnessed| *witnessed != hash.as_str()).map(|_| {
        let message = "the archive's header is not the file that was written";
        Finding::new(FindingKind::HeaderAltered, path, message).next(next)
    }))
}

/// Whether the index says what the snapshots say. While a run is writing, it may lag behind.
pub(super) fn index(
    archive: &Archive,
    index: Option<&Index>,
    snapshots: &Snapshots,
    forgotten: &BTreeMap<u64, Forgotten>,
    is_damaged: impl Fn(u64) -> bool,
) -> Option<Finding> {
    let path = layout::INDEX_FILE;
    let Some(index) = index else {
        let (kind, message) = match archive.root().join(path).exists() {
            true => (FindingKind::IndexAbsent, "the index was altered, or is another archive's: it counts as absent"),
            // There is nothing to index yet.
            false if snapshots.is_empty() => return None,
            false => (FindingKind::IndexAbsent, "there is no index"),
        };
        return Some(Finding::new(kind, path, message).next(REBUILD));
    };
    let good = |number: &u64, state: &State<_>| !is_damaged(*number) && matches!(state, State::Good { .. });
    let differing = snapshots.iter().filter(|(number, state)| good(number, state)).find_map(|(number, state)| {
        let State::Good { inner, .. } = state else { return None };
        let entry: &IndexEntry = &inner.entry;
        match index.entry(*number) {
            Some(said) if said == entry => None,
            Some(_) => Some(format!("says something else of snapshot {number} than its file")),
            None => Some(format!("does not know snapshot {number}")),
        }
    });
    let gone = |number: &u64| !snapshots.contains_key(number) && forgotten.contains_key(number);
    let what = differing.or_else(|| {
        let number = index.snapshots.iter().map(|entry| entry.snapshot).find(gone)?;
        Some(format!("still knows snapshot {number}, which was forgotten"))
    });
    let what = what.or_else(|| index.header.is_none().then(|| "does not know the archive's header".to_owned()))?;
    let finding = Finding::new(FindingKind::IndexOutdated, path, format!("the index {what}")).next(REBUILD);
    let is_under_way = archive.is_being_written();
    Some(if is_under_way { finding.at_level(Level::Note) } else { finding })
}

/// Whether the text for people is there.
pub(super) fn readme(archive: &Archive) -> Option<Finding> {
    let (kind, message) = match archive.readme_is_current() {
        Some(true) => return None,
        Some(false) => (FindingKind::ReadmeOutdated, "this is not the text that this version of tillvault writes"),
        None => (FindingKind::ReadmeAbsent, "the text that explains the folder is not there"),
    };
    Some(Finding::new(kind, layout::README_FILE, message).next("`tillvault check --repair` writes it anew"))
}

/// Notes on what does not belong into the folders of snapshots and records, and on unfinished files.
pub(super) async fn strangers(archive: &Arc<Archive>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for folder in [layout::SNAPSHOTS, layout::JOURNAL, layout::INDEX, ""] {
        let entries = match listed(archive, folder).await? {
            Ok(entries) => entries,
            Err(message) => {
                findings.push(unreadable(folder, message));
                continue;
            }
        };
        for entry in entries {
            let path = if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            let belongs = match folder {
                layout::SNAPSHOTS | layout::JOURNAL => layout::snapshot_number(&entry.name).is_some() && entry.is_file,
                // Other derived files may stand beside the index, and anything beside the archive's own folders.
                _ => leftover_of(&entry.name).is_none(),
            };
            if !belongs {
                findings.push(stranger(&path, entry.bytes));
            }
        }
    }
    Ok(findings)
}

/// An error and its cause, in one line.
pub(super) fn in_words(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
