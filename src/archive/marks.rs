//! Chunks that nothing names: since when, and their removal (docs/FORMAT.md §11).
//!
//! `.marks.json` remembers when each was first found without a snapshot, so that it is removed only after a time of grace in
//! which whoever is still reading it can finish. The file is a memory, not a truth: losing it prolongs the grace.
//!
//! Promises: only files below `tables/` whose name is that of a chunk are listed or removed; anything else is foreign and left
//! alone. Whether a snapshot names a chunk is for the caller to know: see `ops::prune`.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    folder::{Archive, ArchiveObject, entries, lengths},
    layout, put,
};
use crate::error::{Error, Kind, OrFail, Result};

/// A chunk file that no snapshot named when it was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Path relative to the archive's root.
    pub path: String,
    /// Length of the file.
    pub bytes: u64,
    /// When it was first found so.
    pub since: Timestamp,
}

/// `.marks.json`.
#[derive(Default, Serialize, Deserialize)]
struct File {
    marked: Vec<Mark>,
}

impl Archive {
    /// The chunks that were marked, by path. A file that is absent or makes no sense counts as no marks.
    #[must_use]
    pub fn marks(&self) -> BTreeMap<String, Mark> {
        self.marks_in(layout::MARKS_FILE)
    }

    /// The chunks that were marked on a remote, by path; as [`Archive::marks`].
    #[must_use]
    pub fn remote_marks(&self, remote: &str) -> BTreeMap<String, Mark> {
        self.marks_in(&layout::remote_marks_file(remote))
    }

    fn marks_in(&self, path: &str) -> BTreeMap<String, Mark> {
        let file: File = fs::read(self.root().join(path))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        file.marked.into_iter().map(|mark| (mark.path.clone(), mark)).collect()
    }

    /// Replaces the marks; without any, their file is removed. Call it under [`Archive::lock`].
    ///
    /// # Errors
    /// `Store` when the file cannot be written.
    pub async fn write_marks(&self, marks: &BTreeMap<String, Mark>) -> Result<()> {
        self.write_marks_in(layout::MARKS_FILE, marks).await
    }

    /// Replaces the marks of a remote. Call it under [`Archive::lock_push`].
    ///
    /// # Errors
    /// As [`Archive::write_marks`].
    pub async fn write_remote_marks(&self, remote: &str, marks: &BTreeMap<String, Mark>) -> Result<()> {
        self.write_marks_in(&layout::remote_marks_file(remote), marks).await
    }

    async fn write_marks_in(&self, path: &str, marks: &BTreeMap<String, Mark>) -> Result<()> {
        if *marks == self.marks_in(path) {
            return Ok(());
        }
        if marks.is_empty() {
            return put::remove(self.store.as_ref(), path).await;
        }
        let file = File { marked: marks.values().cloned().collect() };
        let text = serde_json::to_string_pretty(&file).or_fail(Kind::Bug, || "the marks are not JSON")? + "\n";
        put::put_derived(self.store.as_ref(), path, text.into()).await
    }

    /// Forgets the marks of these chunks: a snapshot names them, so that their grace begins anew should it be forgotten.
    ///
    /// # Errors
    /// As [`Archive::write_marks`].
    pub async fn unmark(&self, named: &HashSet<String>) -> Result<()> {
        let mut marks = self.marks();
        marks.retain(|path, _| !named.contains(path));
        self.write_marks(&marks).await
    }

    /// Every chunk file that is there, with its true length, sorted by path.
    ///
    /// # Errors
    /// `Store` when a folder cannot be listed.
    pub fn chunk_files(&self) -> Result<Vec<ArchiveObject>> {
        let mut found = Vec::new();
        for entry in entries(&self.root().join(layout::TABLES))? {
            let Ok(folder) = entry.file_name().into_string() else { continue };
            if !layout::is_folder(&folder) || !entry.path().is_dir() {
                continue;
            }
            let files =
                lengths(&entry.path())?.into_iter().filter(|(name, _)| layout::parse_chunk_file(name).is_some());
            found.extend(files.map(|(name, bytes)| ArchiveObject { path: layout::chunk_path(&folder, &name), bytes }));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes a chunk file that no snapshot names. Call it under [`Archive::lock`] and [`Archive::lock_push`].
    ///
    /// # Errors
    /// `Bug` when the path is not a chunk's; `Store` when it cannot be removed.
    pub async fn remove_chunk(&self, path: &str) -> Result<()> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            [layout::TABLES, folder, file] if layout::is_folder(folder) && layout::parse_chunk_file(file).is_some() => {
                put::remove(self.store.as_ref(), path).await
            }
            _ => Err(Error::new(Kind::Bug, format!("{path} will not be removed: it is no chunk"))),
        }
    }

    /// Waits until the removal of snapshot files is on the disk: a power cut must not bring one back whose chunks are gone.
    ///
    /// # Errors
    /// `Store` when the disk fails.
    pub fn settle_snapshots(&self) -> Result<()> {
        let folder = self.root().join(layout::SNAPSHOTS);
        let sync = || if cfg!(unix) { fs::File::open(&folder)?.sync_all() } else { Ok(()) };
        sync().or_fail(Kind::Store, || format!("{} cannot be synced", folder.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(path: &str) -> (String, Mark) {
        (path.into(), Mark { path: path.into(), bytes: 7, since: "2026-11-22T03:00:00Z".parse().unwrap() })
    }

    #[tokio::test]
    async fn marks_come_back_and_nonsense_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "Test").unwrap();
        let file = folder.path().join(layout::MARKS_FILE);
        assert!(archive.marks().is_empty());
        archive.write_marks(&BTreeMap::new()).await.unwrap();
        assert!(!file.exists());
        let marks = BTreeMap::from([mark("tables/T/a"), mark("tables/T/b")]);
        archive.write_marks(&marks).await.unwrap();
        assert_eq!(archive.marks(), marks);
        archive.unmark(&HashSet::from(["tables/T/a".to_owned()])).await.unwrap();
        assert_eq!(archive.marks(), BTreeMap::from([mark("tables/T/b")]));
        fs::write(&file, "{\"marked\": 1}").unwrap();
        assert!(archive.marks().is_empty());
        archive.write_marks(&marks).await.unwrap();
        archive.write_marks(&BTreeMap::new()).await.unwrap();
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn only_files_with_the_name_of_a_chunk_are_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "Test").unwrap();
        let chunk = format!("tables/T/{}-3.parquet", "ab".repeat(32));
        fs::create_dir_all(folder.path().join("tables/T/deeper")).unwrap();
        let foreign = ["tables/T/notes.txt", "tables/loose.parquet", "tables/T/deeper/x", "tillvault.toml"];
        for path in foreign.iter().copied().chain([chunk.as_str()]) {
            fs::write(folder.path().join(path), "four").unwrap();
        }
        assert_eq!(archive.chunk_files().unwrap(), [ArchiveObject { path: chunk.clone(), bytes: 4 }]);
        let outside = format!("tables/../{chunk}");
        for path in foreign.iter().copied().chain([outside.as_str(), "tables", ""]) {
            assert_eq!(archive.remove_chunk(path).await.unwrap_err().kind(), Kind::Bug, "{path}");
        }
        archive.remove_chunk(&chunk).await.unwrap();
        archive.remove_chunk(&chunk).await.unwrap();
        assert!(archive.chunk_files().unwrap().is_empty());
        assert!(foreign.iter().all(|path| folder.path().join(path).exists()));
    }
}
