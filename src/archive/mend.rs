//! What `check` and its repair need of the folder beyond reading: looking at what lies there, and replacing what is damaged.
//!
//! Promises: nothing is deleted. A damaged file is moved to `damaged/` under its own path before a good one takes its name.

use std::{collections::HashMap, fs, path::Path};

use object_store::{ObjectStoreExt, path::Path as StorePath};

use super::{
    folder::{Archive, entries},
    layout,
    lock::{self, Purpose},
    put, readme,
    snapshots::decompress,
};
use crate::error::{Error, Kind, OrFail, Result};

/// Something that lies in a folder of the archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Length of a file, 0 for anything else.
    pub bytes: u64,
    /// Whether it is a file.
    pub is_file: bool,
}

/// The name that a half-written file was to get: files are written as `name#number` first (docs/FORMAT.md §9).
#[must_use]
pub fn leftover_of(name: &str) -> Option<&str> {
    let (name, number) = name.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

impl Archive {
    /// Opens the archive in `root` even when its header is damaged or gone, as long as its snapshots tell whose it is.
    ///
    /// # Errors
    /// As [`Archive::open`], when they do not.
    pub fn open_anyway(root: &Path) -> Result<Self> {
        let opened = Self::open(root);
        match &opened {
            // As long as the newest readable snapshot agrees, nobody else needs to be asked.
            Ok(archive) if newest_id(archive).is_none_or(|id| id == archive.id()) => opened,
            Ok(archive) => match voted_id(root) {
                Some(id) if id != archive.id() => Self::open_as(root, id),
                _ => opened,
            },
            Err(error) if matches!(error.kind(), Kind::Damage | Kind::NoArchive) => match voted_id(root) {
                Some(id) => Self::open_as(root, id),
                None => opened,
            },
            Err(_) => opened,
        }
    }

    /// Whether some process is writing to the archive at this moment.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        lock::is_held(self.root(), Purpose::Write)
    }

    /// What lies in a folder, in order of the names; nothing when the folder is not there.
    ///
    /// # Errors
    /// `Store` when it cannot be listed.
    pub fn list_folder(&self, folder: &str) -> Result<Vec<FolderEntry>> {
        let mut found = Vec::new();
        for entry in entries(&self.root().join(folder))? {
            // What is gone by now was moved or removed by another process.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            let is_file = metadata.is_file();
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push(FolderEntry { name, bytes: if is_file { metadata.len() } else { 0 }, is_file });
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether `README.md` says what this version writes; `None` when it is not there.
    #[must_use]
    pub fn readme_is_current(&self) -> Option<bool> {
        let text = fs::read(self.root().join(layout::README_FILE)).ok()?;
        Some(text == readme::TEXT.as_bytes())
    }

    /// Writes `README.md` anew.
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn write_readme(&self) -> Result<()> {
        put::put_derived(self.store.as_ref(), layout::README_FILE, readme::TEXT.into()).await
    }

    /// Moves a damaged file to `damaged/`, under its own path (with a number appended where that is taken), and returns
    /// where it is now. Call it under [`Archive::lock`].
    ///
    /// # Errors
    /// `Store` when it cannot be moved.
    pub async fn set_aside(&self, path: &str) -> Result<String> {
        let wanted = format!("{}/{path}", layout::DAMAGED);
        let mut kept = wanted.clone();
        let mut number = 1;
        while self.root().join(&kept).try_exists().or_fail(Kind::Store, || format!("{kept} cannot be looked at"))? {
            number += 1;
            kept = format!("{wanted}.{number}");
        }
        let (from, to) = (location(path)?, location(&kept)?);
        let moved = self.store.rename(&from, &to).await;
        moved.map_err(|error| put::failed(&kept, error))?;
        Ok(kept)
    }

    /// Puts a chunk into its place whose bytes were compared with its name; one of that name with other bytes is replaced. Call it under
    /// [`Archive::lock`].
    ///
    /// # Errors
    /// `Bug` when the path is not a chunk's; `Store` when it cannot be written.
    pub async fn place_chunk(&self, path: &str, bytes: bytes::Bytes) -> Result<()> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            [layout::TABLES, folder, file] if layout::is_folder(folder) && layout::parse_chunk_file(file).is_some() => {
                put::put_chunk(self.store.as_ref(), path, bytes).await.map(drop)
            }
            _ => Err(Error::new(Kind::Bug, format!("{path} will not be written: it is no chunk"))),
        }
    }

    /// Puts a good file where none is now: temporary name, synced, renamed. Call it under [`Archive::lock`].
    ///
    /// # Errors
    /// `Busy` when a file is there; `Store` when it cannot be written.
    pub async fn put_back(&self, path: &str, bytes: bytes::Bytes) -> Result<()> {
        if put::put_once(self.store.as_ref(), path, bytes).await? {
            return Ok(());
        }
        Err(Error::new(Kind::Busy, format!("{path} will not be replaced: a file is there by now")).hint("run again"))
    }
}

fn location(path: &str) -> Result<StorePath> {
    StorePath::parse(path).or_fail(Kind::Bug, || format!("{path} is not a path inside an archive"))
}

/// The archive id that the newest readable snapshot names.
fn newest_id(archive: &Archive) -> Option<String> {
    let numbers = archive.snapshot_numbers().ok()?;
    numbers.iter().rev().find_map(|number| id_of(&fs::read(archive.root().join(layout::snapshot_path(*number))).ok()?))
}

/// The archive id that most snapshots name; `None` when there are none, or none is ahead.
fn voted_id(root: &Path) -> Option<String> {
    let mut votes: HashMap<String, u64> = HashMap::new();
    for entry in entries(&root.join(layout::SNAPSHOTS)).ok()? {
        let name = entry.file_name();
        if name.to_str().and_then(layout::snapshot_number).is_none() {
            continue;
        }
        let id = fs::read(entry.path()).ok().and_then(|bytes| id_of(&bytes));
        if let Some(id) = id {
            *votes.entry(id).or_default() += 1;
        }
    }
    let most = *votes.values().max()?;
    let mut first = votes.into_iter().filter(|(_, count)| *count == most).map(|(id, _)| id);
    let id = first.next()?;
    first.next().is_none().then_some(id)
}

/// The archive id that a snapshot file names.
fn id_of(file: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Whose {
        archive: String,
    }
    let whose: Whose = serde_json::from_slice(&decompress(file).ok()?).ok()?;
    (whose.archive.len() == 32 && whose.archive.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(whose.archive)
}
