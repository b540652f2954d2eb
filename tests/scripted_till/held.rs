//! What an archive holds, read back as plain rows; and that it is whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use tillvault::archive::{Archive, snapshot::Snapshot};

use super::{Row, Rows, State, batches};

/// What each snapshot that can be listed must hold.
pub type Held = BTreeMap<u64, State>;

/// Reads archives back. Remembers what it decoded by the bytes' own name, so that reading everything again is cheap; the bytes
/// of every file are looked at each time.
#[derive(Default)]
pub struct Reader {
    decoded: HashMap<(PathBuf, String), Vec<Row>>,
}

impl Reader {
    /// Every row of a snapshot, sorted.
    pub fn state(&mut self, archive: &Archive, snapshot: &Snapshot) -> State {
        assert_eq!(archive.missing_chunks(snapshot).unwrap(), Vec::<String>::new());
        let tables = snapshot.tables.iter().map(|entry| {
            let mut rows = Vec::new();
            for chunk in &entry.chunks {
                let path = archive.chunk_path(entry, chunk);
                let bytes = fs::read(&path).unwrap();
                assert_eq!(blake3::hash(&bytes).to_hex().as_str(), chunk.file, "{}", path.display());
                let columns: Vec<String> =
                    entry.table.columns.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect();
                let below = path.strip_prefix(archive.root()).unwrap().to_owned();
                let decoded = self
                    .decoded
                    .entry((below, columns.join(",")))
                    .or_insert_with(|| batches::rows(&archive.read_chunk(entry, chunk).unwrap()));
                rows.extend_from_slice(decoded);
            }
            Rows { table: entry.table.clone(), rows }
        });
        State::of(tables).sorted()
    }

    /// Asserts that every snapshot that can be listed is complete and holds what `held` says; returns their numbers.
    pub fn assert_whole(&mut self, archive: &Archive, held: &Held) -> BTreeSet<u64> {
        let numbers = archive.snapshot_numbers().unwrap();
        for number in &numbers {
            let snapshot = archive.snapshot(*number).unwrap();
            let expected = held.get(number).unwrap_or_else(|| panic!("snapshot {number} should not be there"));
            assert_eq!(&self.state(archive, &snapshot), expected, "snapshot {number}");
        }
        archive.journal().unwrap();
        numbers.into_iter().collect()
    }
}

/// Files below a folder that make up the archive: locks and what was noted for prune are left out.
pub fn files(root: &Path) -> BTreeSet<String> {
    fn walk(folder: &Path, base: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                found.insert(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found.retain(|name| !name.starts_with('.'));
    found
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
