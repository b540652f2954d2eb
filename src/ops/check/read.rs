//! Reads chunk files: are their bytes what their names say, and, where asked for, their rows what the snapshots say.
//!
//! As many files as there are cores are in work at once. Comparing bytes needs a small buffer for each; decoding, the chunk.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

use bytes::Bytes;
use futures::StreamExt as _;

use super::{
    CheckOptions,
    chunks::{Listed, of_chunk},
    files::threads,
    finding::{Covered, Finding, FindingKind},
    uses::{Statement, Uses},
};
use crate::{
    archive::{
        Archive,
        verify::{self, RowFlaw},
    },
    error::{Kind, OrFail, Result},
    observe::{Event, SharedObserver},
};

const AS_WRITTEN: &str = "its bytes are those that were written, so no copy is better: keep the file, and report this";

/// What reading one file told.
struct Told {
    listed: Listed,
    decoded: bool,
    found: io::Result<Content>,
    flaws: Vec<(RowFlaw, String)>,
}

/// Hash and length of what a file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Content {
    hash: [u8; 32],
    bytes: u64,
}

/// What reading found.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) findings: Vec<Finding>,
    /// Chunks whose bytes do not match their names, or that cannot be read at all (`true`).
    pub(super) damaged: Vec<(Listed, bool)>,
    /// Where bytes of known chunks lie under another name: by hash.
    pub(super) strays: HashMap<[u8; 32], String>,
}

/// Reads the files whose turn it is.
pub(super) async fn read(
    archive: &Arc<Archive>,
    files: &[Listed],
    orphans: &[Listed],
    uses: &Uses,
    options: &CheckOptions,
    covered: &mut Covered,
    observer: &SharedObserver,
) -> Result<Reading> {
    let decodes = |listed: &Listed| options.deep.is_some_and(|part| part.holds(&listed.name.hash));
    let reads =
        |listed: &Listed| decodes(listed) || options.read_data.is_some_and(|part| part.holds(&listed.name.hash));
    // A wrong length may mean that two files were exchanged: their bytes tell.
    let named = files.iter().filter(|file| reads(file) || file.bytes != file.name.bytes).map(|file| (file, true));
    let others = orphans.iter().filter(|file| reads(file)).map(|file| (file, false));
    let wanted: Vec<(&Listed, bool)> = named.chain(others).collect();
    let mut reading = Reading::default();
    if wanted.is_empty() {
        return Ok(reading);
    }
    observer.event(Event::Phase { name: "read chunks", total: Some(wanted.len() as u64) });
    let mut told = futures::stream::iter(wanted)
        .map(|(listed, is_named)| {
            let statements = statements(uses, listed).filter(|_| is_named && decodes(listed));
            let (archive, listed) = (Arc::clone(archive), listed.clone());
            tokio::task::spawn_blocking(move || (is_named, look_at(&archive, listed, statements.as_deref())))
        })
        .buffer_unordered(threads());
    let mut swapped = Vec::new();
    while let Some(ended) = told.next().await {
        let (is_named, told) = ended.or_fail(Kind::Bug, || "a chunk could not be checked")?;
        let bytes = told.found.as_ref().map_or(0, |content| content.bytes);
        observer.event(Event::Checked { files: 1, bytes });
        covered.chunks_read += 1;
        covered.bytes_read += bytes;
        covered.chunks_decoded += u64::from(told.decoded);
        if is_named { reading.judge(told, uses, &mut swapped) } else { reading.judge_orphan(&told) }
    }
    reading.judge_altered(swapped, uses);
    Ok(reading)
}

fn statements(uses: &Uses, listed: &Listed) -> Option<Vec<Statement>> {
    Some(uses.folders.get(&*listed.folder)?.chunks.get(&listed.name)?.statements.clone())
}

/// Reads one file; decodes it for each statement.
fn look_at(archive: &Archive, listed: Listed, statements: Option<&[Statement]>) -> Told {
    let path = archive.root().join(listed.path());
    let mut told = Told { listed, decoded: false, found: Err(io::ErrorKind::NotFound.into()), flaws: Vec::new() };
    let Some(statements) = statements.filter(|_| told.listed.bytes == told.listed.name.bytes) else {
        told.found = File::open(path).and_then(content_of);
        return told;
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => {
            told.found = Err(error);
            return told;
        }
    };
    let content = Content { hash: *blake3::hash(&bytes).as_bytes(), bytes: bytes.len() as u64 };
    if content.hash == told.listed.name.hash {
        told.decoded = true;
        for said in statements {
            let chunk = said.chunk(&told.listed.name);
            let flaws = verify::verify_rows(bytes.clone(), &said.declared.table, &said.declared.ladder, &chunk);
            told.flaws.extend(flaws);
        }
        told.flaws.sort();
        told.flaws.dedup();
    }
    told.found = Ok(content);
    told
}

/// Hashes a file piece by piece.
fn content_of(mut file: File) -> io::Result<Content> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&piece[..length]);
        bytes += length as u64;
    }
    Ok(Content { hash: *hasher.finalize().as_bytes(), bytes })
}

impl Reading {
    fn judge(&mut self, told: Told, uses: &Uses, altered: &mut Vec<(Listed, Content)>) {
        let Told { listed, found, flaws, .. } = told;
        match found {
            Err(error) => {
                let message = format!("this chunk cannot be read: {error}");
                self.findings.push(of_chunk(FindingKind::Unreadable, &listed, message, uses));
                self.damaged.push((listed, true));
            }
            Ok(content) if content.hash != listed.name.hash || content.bytes != listed.name.bytes => {
                altered.push((listed, content));
            }
            Ok(_) => {
                for (flaw, message) in flaws {
                    let finding = of_chunk(kind_of(flaw), &listed, message, uses);
                    self.findings.push(finding.next(AS_WRITTEN));
                }
            }
        }
    }

    /// Nobody needs an orphan: its bytes are worth a remark, no more.
    fn judge_orphan(&mut self, told: &Told) {
        let is_whole = told.found.as_ref().is_ok_and(|content| content.hash == told.listed.name.hash);
        if !is_whole {
            let message = "no snapshot names this chunk, and its bytes do not match its name";
            let finding = Finding::new(FindingKind::ChunkOrphaned, told.listed.path(), message);
            self.findings.push(finding.of_bytes(told.listed.bytes).next("harmless: `tillvault prune` removes it"));
        }
    }

    /// Bytes that do not match their name: another chunk's, or nobody's.
    fn judge_altered(&mut self, altered: Vec<(Listed, Content)>, uses: &Uses) {
        for (listed, content) in altered {
            let holds = super::uses::ChunkName { hash: content.hash, bytes: content.bytes };
            match uses.elsewhere(&holds, (&listed.folder, &listed.name)) {
                Some(folder) => {
                    self.strays.insert(holds.hash, listed.path());
                    let message = format!("this file holds the bytes of another chunk, {}", holds.path(folder));
                    self.findings.push(of_chunk(FindingKind::ChunkSwapped, &listed, message, uses));
                }
                // A wrong length says it already.
                None if content.bytes != listed.name.bytes && listed.bytes == content.bytes => {}
                None => {
                    let message = "this chunk was altered: its bytes do not match its name";
                    self.findings.push(of_chunk(FindingKind::ChunkAltered, &listed, message, uses));
                }
            }
            self.damaged.push((listed, false));
        }
    }

    /// Paths that were found to hold another chunk, whose wrong length needs no word of its own.
    pub(super) fn swapped(&self) -> impl Iterator<Item = &str> {
        let swapped = self.findings.iter().filter(|finding| finding.kind == FindingKind::ChunkSwapped);
        swapped.map(|finding| finding.path.as_str())
    }
}

fn kind_of(flaw: RowFlaw) -> FindingKind {
    match flaw {
        RowFlaw::Undecodable => FindingKind::ChunkUndecodable,
        RowFlaw::Type => FindingKind::ColumnType,
        RowFlaw::Undeclared => FindingKind::ColumnUndeclared,
        RowFlaw::Count => FindingKind::RowCount,
        RowFlaw::Order => FindingKind::RowsOutOfOrder,
        RowFlaw::Block => FindingKind::RowsOutOfBlock,
        RowFlaw::Content => FindingKind::ContentMismatch,
    }
}
