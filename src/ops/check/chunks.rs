//! Chunk files by their names: is each one there that snapshots name, with the length its name states, and what else is
//! there.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    files::unreadable,
    finding::{Finding, FindingKind, Numbers},
    uses::{ChunkName, Uses},
};
use crate::{
    archive::{Archive, FolderEntry, layout, leftover_of},
    error::{Kind, OrFail, Result},
    observe::{Event, SharedObserver},
};

const RESTORE: &str = "`tillvault check --repair` fetches it from a remote that has it; what no remote has, the next `tillvault snapshot` writes anew as long as the till has those rows";

/// A chunk file as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) folder: Arc<str>,
    pub(super) name: ChunkName,
    /// Its real length.
    pub(super) bytes: u64,
}

impl Listed {
    pub(super) fn path(&self) -> String {
        self.name.path(&self.folder)
    }
}

/// What the folders of the tables hold.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Chunks that snapshots name, of any length.
    pub(super) named: Vec<Listed>,
    /// Chunks that snapshots name and that are not there.
    pub(super) missing: Vec<(Arc<str>, ChunkName)>,
    /// Chunk files that no snapshot names in this folder.
    pub(super) others: Vec<Listed>,
    pub(super) findings: Vec<Finding>,
}

/// Lists the folders of the tables: all of them, or with `only_named` those that snapshots name.
///
/// # Errors
/// `Bug` when a task is lost; a folder that cannot be listed is a finding.
pub(super) async fn list(
    archive: &Arc<Archive>,
    uses: &Uses,
    only_named: bool,
    observer: &SharedObserver,
) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut folders: Vec<String> = uses.folders.keys().cloned().collect();
    if !only_named {
        match listed(archive, layout::TABLES).await? {
            Ok(entries) => {
                for entry in entries {
                    if entry.is_file {
                        let path = format!("{}/{}", layout::TABLES, entry.name);
                        listing.findings.push(stranger(&path, entry.bytes));
                    } else if !uses.folders.contains_key(&entry.name) {
                        folders.push(entry.name);
                    }
                }
            }
            Err(message) => listing.findings.push(unreadable(layout::TABLES, message)),
        }
    }
    observer.event(Event::Phase { name: "check chunks", total: Some(folders.len() as u64) });
    for folder in folders {
        let path = format!("{}/{folder}", layout::TABLES);
        match listed(archive, &path).await? {
            Ok(entries) => listing.take_in(&folder, entries, uses, only_named),
            Err(message) => {
                let mut finding = unreadable(&path, message);
                if let Some(uses) = uses.folders.get(&folder) {
                    finding = finding.of_table(&uses.table);
                }
                listing.findings.push(finding);
            }
        }
        observer.event(Event::Checked { files: 1, bytes: 0 });
    }
    Ok(listing)
}

/// A folder's entries, or why it cannot be listed.
pub(super) async fn listed(archive: &Arc<Archive>, folder: &str) -> Result<Result<Vec<FolderEntry>, String>> {
    let (archive, folder) = (Arc::clone(archive), folder.to_owned());
    let found = tokio::task::spawn_blocking(move || archive.list_folder(&folder)).await;
    let found = found.or_fail(Kind::Bug, || "a folder could not be listed")?;
    Ok(found.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }))
}

/// A note on something that is no file of the archive.
pub(super) fn stranger(path: &str, bytes: u64) -> Finding {
    let name = path.rsplit('/').next().unwrap_or(path);
    if leftover_of(name).is_some() {
        return Finding::new(FindingKind::Leftover, path, "left by a run that did not end")
            .of_bytes(bytes)
            .next("the next run that writes to the archive removes it; it may belong to one that is under way");
    }
    Finding::new(FindingKind::Foreign, path, "not a file of the archive: it is not read").of_bytes(bytes)
}

impl Listing {
    pub(super) fn take_in(&mut self, folder: &str, entries: Vec<FolderEntry>, uses: &Uses, only_named: bool) {
        let named = uses.folders.get(folder).map(|uses| &uses.chunks);
        let mut there = HashMap::with_capacity(entries.len());
        let shared: Arc<str> = folder.into();
        for entry in entries {
            match ChunkName::parse(&entry.name).filter(|_| entry.is_file) {
                Some(name) => {
                    there.insert(name, entry.bytes);
                }
                None if only_named => {}
                None => {
                    self.findings.push(stranger(&layout::chunk_path(folder, &entry.name), entry.bytes));
                }
            }
        }
        for name in named.into_iter().flat_map(HashMap::keys) {
            match there.remove(name) {
                Some(bytes) => self.named.push(Listed { folder: Arc::clone(&shared), name: *name, bytes }),
                None => self.missing.push((Arc::clone(&shared), *name)),
            }
        }
        let others = there.into_iter().map(|(name, bytes)| Listed { folder: Arc::clone(&shared), name, bytes });
        self.others.extend(others);
    }

    /// Findings on lengths and absences. `still_there` tells which snapshots are still listed, for those that were forgotten
    /// (and their chunks removed) meanwhile. Returns where misplaced chunks lie, by their proper path.
    pub(super) fn judge(&mut self, uses: &Uses, still_there: impl Fn(u64) -> bool) -> HashMap<String, String> {
        let mut misplaced = HashMap::new();
        let mut gone = Vec::new();
        for (folder, name) in std::mem::take(&mut self.missing) {
            let mut snapshots = Numbers::default();
            let (_, used) = used(uses, &folder, &name);
            used.iter().filter(|number| still_there(*number)).for_each(|number| snapshots.push(number));
            if !snapshots.is_empty() {
                gone.push((folder, name, snapshots));
            }
        }
        let whole = self.others.iter().filter(|other| other.bytes == other.name.bytes);
        let elsewhere: HashMap<ChunkName, String> = match gone.is_empty() {
            true => HashMap::new(),
            false => whole.map(|other| (other.name, other.path())).collect(),
        };
        for (folder, name, snapshots) in gone {
            let path = name.path(&folder);
            let finding = match elsewhere.get(&name) {
                Some(other) => {
                    misplaced.insert(path.clone(), other.clone());
                    let message = format!("this chunk lies in another folder, as {other}");
                    let next = "`tillvault check --repair` puts it back";
                    Finding::new(FindingKind::ChunkMisplaced, &path, message).next(next)
                }
                None => Finding::new(FindingKind::ChunkMissing, &path, "this chunk is not there").next(RESTORE),
            };
            let table = &used(uses, &folder, &name).0;
            self.findings.push(finding.of_table(table).of_snapshots(snapshots).of_bytes(name.bytes));
            self.missing.push((folder, name));
        }
        let found: HashSet<&String> = misplaced.values().collect();
        self.others.retain(|other| found.is_empty() || !found.contains(&other.path()));
        for listed in self.named.iter().filter(|listed| listed.bytes != listed.name.bytes) {
            self.findings.push(wrong_length(listed, uses));
        }
        misplaced
    }

    /// Notes on chunk files that nobody names.
    pub(super) fn orphans(&mut self, is_being_written: bool, are_all_known: bool) {
        for other in &self.others {
            let mut message = "no snapshot names this chunk".to_owned();
            if is_being_written {
                message.push_str("; it may belong to the run that is writing to the archive now");
            }
            if !are_all_known {
                message.push_str("; one that is damaged or lost may name it");
            }
            let finding = Finding::new(FindingKind::ChunkOrphaned, other.path(), message).of_bytes(other.bytes);
            let next = match are_all_known {
                true => "harmless: `tillvault prune` removes it",
                // It may be all that is left of them: prune keeps it, and so should people.
                false => "leave it until the snapshots are mended; what nobody needs then, `tillvault prune` removes",
            };
            self.findings.push(finding.next(next));
        }
    }
}

/// The table of a chunk that snapshots name, and the snapshots.
fn used<'a>(uses: &'a Uses, folder: &str, name: &ChunkName) -> (String, Cow<'a, Numbers>) {
    let Some(uses) = uses.folders.get(folder) else { return (String::new(), Cow::Owned(Numbers::default())) };
    let snapshots =
        uses.chunks.get(name).map_or_else(|| Cow::Owned(Numbers::default()), |used| Cow::Borrowed(&used.snapshots));
    (uses.table.clone(), snapshots)
}

fn wrong_length(listed: &Listed, uses: &Uses) -> Finding {
    let (kind, how) = if listed.bytes < listed.name.bytes {
        (FindingKind::ChunkTruncated, "truncated")
    } else {
        (FindingKind::ChunkOverlong, "too long")
    };
    let message = format!("this chunk is {how}: {} bytes instead of {}", listed.bytes, listed.name.bytes);
    of_chunk(kind, listed, message, uses).next(RESTORE)
}

/// A finding on a chunk that snapshots name.
pub(super) fn of_chunk(kind: FindingKind, listed: &Listed, message: impl Into<String>, uses: &Uses) -> Finding {
    let (table, snapshots) = used(uses, &listed.folder, &listed.name);
    Finding::new(kind, listed.path(), message)
        .of_table(table)
        .of_snapshots(snapshots.into_owned())
        .of_bytes(listed.bytes)
        .next(RESTORE)
}
