//! Which chunks the snapshots name, and what they say of them.
//!
//! Memory is bounded by the number of distinct chunks, not by snapshots: equal statements are kept once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::finding::Numbers;
use crate::{
    archive::{
        layout,
        snapshot::{Block, Chunk, Ladder, Snapshot, TableEntry},
    },
    model::table::Table,
};

/// What a chunk file's name states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChunkName {
    /// BLAKE3 of the file.
    pub(super) hash: [u8; 32],
    /// Its length.
    pub(super) bytes: u64,
}

impl ChunkName {
    /// Reads a file name; `None` for any other.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let (hash, bytes) = layout::parse_chunk_file(file)?;
        let mut name = Self { hash: [0; 32], bytes };
        hex::decode_to_slice(hash, &mut name.hash).ok()?;
        Some(name)
    }

    /// The file's name.
    pub(super) fn file(&self) -> String {
        format!("{}-{}.parquet", hex::encode(self.hash), self.bytes)
    }

    /// Its path in a table's folder.
    pub(super) fn path(&self, folder: &str) -> String {
        layout::chunk_path(folder, &self.file())
    }
}

/// A table as some snapshots declare it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) table: Table,
    pub(super) ladder: Ladder,
}

/// What snapshots say of a chunk's rows.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) declared: Arc<Declared>,
    rows: u64,
    block: Block,
    content: String,
}

impl Statement {
    /// As it stands in a snapshot.
    pub(super) fn chunk(&self, name: &ChunkName) -> Chunk {
        Chunk {
            file: hex::encode(name.hash),
            bytes: name.bytes,
            rows: self.rows,
            block: self.block,
            content: self.content.clone(),
        }
    }
}

/// A chunk that snapshots name.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// Which ones.
    pub(super) snapshots: Numbers,
    /// What they say of it: nearly always one thing.
    pub(super) statements: Vec<Statement>,
}

/// The chunks of one folder.
#[derive(Debug)]
pub(super) struct FolderUses {
    /// The table's display name.
    pub(super) table: String,
    declared: Vec<Arc<Declared>>,
    pub(super) chunks: HashMap<ChunkName, Use>,
}

/// Every chunk that snapshots name, by folder.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) folders: BTreeMap<String, FolderUses>,
}

impl Uses {
    /// Takes in one snapshot. Call it in ascending order of the numbers.
    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        for entry in snapshot.tables.iter().filter(|entry| !entry.chunks.is_empty()) {
            let uses = self.folders.entry(entry.folder.clone()).or_insert_with(|| FolderUses {
                table: entry.table.name.to_string(),
                declared: Vec::new(),
                chunks: HashMap::new(),
            });
            uses.add(entry, snapshot.snapshot);
        }
    }

    /// The folder where snapshots want a file of that hash and length, other than `except`.
    pub(super) fn elsewhere(&self, name: &ChunkName, except: (&str, &ChunkName)) -> Option<&str> {
        let mut folders = self.folders.iter().filter(|(_, uses)| uses.chunks.contains_key(name));
        folders.find(|(folder, _)| (folder.as_str(), name) != except).map(|(folder, _)| folder.as_str())
    }

    /// Number of chunks, and their length together.
    pub(super) fn total(&self) -> (u64, u64) {
        let names = self.folders.values().flat_map(|uses| uses.chunks.keys());
        names.fold((0, 0), |(count, bytes), name| (count + 1, u64::saturating_add(bytes, name.bytes)))
    }
}

impl FolderUses {
    fn add(&mut self, entry: &TableEntry, snapshot: u64) {
        let declared = self.declared_as(entry);
        for chunk in &entry.chunks {
            // Snapshots that were read have well-formed names.
            let Some(name) = ChunkName::parse(&chunk.file_name()) else { continue };
            let known = self.chunks.entry(name).or_default();
            known.snapshots.push(snapshot);
            let same = |said: &Statement| {
                Arc::ptr_eq(&said.declared, &declared)
                    && said.rows == chunk.rows
                    && said.block == chunk.block
                    && said.content == chunk.content
            };
            if !known.statements.iter().any(same) {
                known.statements.push(Statement {
                    declared: Arc::clone(&declared),
                    rows: chunk.rows,
                    block: chunk.block,
                    content: chunk.content.clone(),
                });
            }
        }
    }

    /// The declaration of this entry, shared with the snapshots that say the same.
    fn declared_as(&mut self, entry: &TableEntry) -> Arc<Declared> {
        let same = |known: &&Arc<Declared>| known.table == entry.table && known.ladder == entry.ladder;
        if let Some(known) = self.declared.iter().rev().find(same) {
            return Arc::clone(known);
        }
        let new = Arc::new(Declared { table: entry.table.clone(), ladder: entry.ladder.clone() });
        self.declared.push(Arc::clone(&new));
        new
    }
}
