//! Reading and writing snapshot files (docs/FORMAT.md §Snapshot).

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fs, io,
    io::Read,
};

use serde::Deserialize;

use super::{
    blocks,
    flaw::{Flaw, Flawed},
    folder::{Archive, ArchiveObject, check_format, entries, lengths},
    journal::Journal,
    layout, put,
    snapshot::{FORMAT, Snapshot, TableEntry},
};
use crate::error::{Error, Kind, OrFail, Result};

/// Compression level of snapshot files: they are small and written once.
const ZSTD_LEVEL: i32 = 9;
/// Longest snapshot text that is read; a year-old till has well under one megabyte.
const LONGEST_TEXT: u64 = 1 << 30;
const FROM_A_COPY: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";

/// The format alone: nothing else of an unknown one may be understood.
#[derive(Deserialize)]
struct Named {
    format: Option<serde_json::Value>,
}

/// What must be looked at before a snapshot may be read: chunks in an encoding of their own must not pass for plain ones.
#[derive(Deserialize)]
struct Guard {
    format: Option<serde_json::Value>,
    #[serde(default)]
    tables: Vec<GuardTable>,
}

#[derive(Deserialize)]
struct GuardTable {
    #[serde(default)]
    chunks: Vec<GuardChunk>,
}

#[derive(Deserialize)]
struct GuardChunk {
    encryption: Option<String>,
}

impl Archive {
    /// Numbers of the snapshots that are there, ascending.
    ///
    /// # Errors
    /// `Store` when the folder cannot be listed.
    pub fn snapshot_numbers(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = entries(&self.root().join(layout::SNAPSHOTS))?
            .iter()
            .filter_map(|entry| layout::snapshot_number(entry.file_name().to_str()?))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest snapshot, if there is one.
    ///
    /// # Errors
    /// As [`Archive::snapshot`].
    pub fn latest(&self) -> Result<Option<Snapshot>> {
        self.snapshot_numbers()?.last().map(|number| self.snapshot(*number)).transpose()
    }

    /// Reads one snapshot.
    ///
    /// # Errors
    /// `Usage` when there is no such snapshot; `Damage` when its file cannot be read for what it should be; `Store` when a
    /// newer tillvault wrote it.
    pub fn snapshot(&self, number: u64) -> Result<Snapshot> {
        Ok(self.parse_snapshot(number, &self.snapshot_bytes(number)?)?)
    }

    /// The snapshot that the bytes of a file named `number` hold.
    ///
    /// # Errors
    /// What is wrong with them, sorted by [`Flaw`].
    pub fn parse_snapshot(&self, number: u64, bytes: &[u8]) -> Result<Snapshot, Flawed> {
        let path = layout::snapshot_path(number);
        let damaged = |what: &str| format!("snapshot file {path} is damaged: {what}");
        let text = decompress(bytes).map_err(|error| {
            let flaw = Flaw::of_frame(bytes, &error);
            flaw.with(Error::new(Kind::Damage, damaged("not zstd")).hint(FROM_A_COPY).caused_by(error))
        })?;
        let not_json = |error: serde_json::Error| {
            let flaw = if bytes.is_empty() { Flaw::Cut } else { Flaw::Altered };
            flaw.with(Error::new(Kind::Damage, damaged("not a snapshot")).hint(FROM_A_COPY).caused_by(error))
        };
        // Read twice rather than through a tree of values: skipping text costs little, trees cost most of the time.
        let guard: Guard = match serde_json::from_slice(&text) {
            Ok(guard) => guard,
            // A format of the future may look different everywhere else, and is to be named as such.
            Err(error) => {
                let named: Named = serde_json::from_slice(&text).map_err(not_json)?;
                check_format(named.format.as_ref(), &path).map_err(Flaw::of_format)?;
                return Err(not_json(error));
            }
        };
        check_format(guard.format.as_ref(), &path).map_err(Flaw::of_format)?;
        if guard
            .tables
            .iter()
            .flat_map(|table| &table.chunks)
            .any(|chunk| chunk.encryption.as_deref().is_some_and(|e| e != "none"))
        {
            return Err(Flaw::Newer.with(
                Error::new(Kind::Store, format!("{path} names encrypted chunks, which this tillvault cannot read"))
                    .hint("use the newest tillvault"),
            ));
        }
        let snapshot: Snapshot = serde_json::from_slice(&text).map_err(not_json)?;
        if snapshot.snapshot != number {
            let what = format!("it says it is number {}", snapshot.snapshot);
            return Err(Flaw::Exchanged.with(Error::new(Kind::Damage, damaged(&what)).hint(FROM_A_COPY)));
        }
        if snapshot.archive != self.id() {
            let what = format!("it belongs to archive {}, this is {}", snapshot.archive, self.id());
            return Err(Flaw::Exchanged
                .with(Error::new(Kind::Damage, damaged(&what)).hint("keep the files of two archives apart")));
        }
        if let Some(what) = inconsistent(&snapshot) {
            return Err(Flaw::Contradiction.with(Error::new(Kind::Damage, damaged(&what))));
        }
        Ok(snapshot)
    }

    fn snapshot_bytes(&self, number: u64) -> Result<Vec<u8>> {
        let path = layout::snapshot_path(number);
        fs::read(self.root().join(&path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(Kind::Usage, format!("this archive has no snapshot {number}"))
                .hint("`tillvault snapshots` lists those it has"),
            _ => Error::new(Kind::Store, format!("{path} cannot be read")).caused_by(error),
        })
    }

    /// BLAKE3 of a snapshot file as stored, 64 hex digits: the `parent` of the one after it.
    ///
    /// # Errors
    /// As [`Archive::snapshot`], without looking inside the file.
    pub fn snapshot_hash(&self, number: u64) -> Result<String> {
        Ok(blake3::hash(&self.snapshot_bytes(number)?).to_hex().to_string())
    }

    /// Checks that each snapshot names the file before it as its parent, as far as neighbours are there.
    ///
    /// # Errors
    /// `Damage` at the first link that does not hold; otherwise as [`Archive::snapshot`].
    pub fn verify_chain(&self) -> Result<()> {
        let mut before: Option<(u64, String)> = None;
        for number in self.snapshot_numbers()? {
            let snapshot = self.snapshot(number)?;
            if let Some((previous, hash)) = before.filter(|(previous, _)| previous + 1 == number)
                && snapshot.parent.as_deref() != Some(hash.as_str())
            {
                return Err(Error::new(
                    Kind::Damage,
                    format!("snapshot {number} does not follow snapshot {previous}: one of the two files was altered or exchanged"),
                )
                .hint(FROM_A_COPY));
            }
            before = Some((number, self.snapshot_hash(number)?));
        }
        Ok(())
    }

    /// The newest snapshot that can be read, and why newer ones cannot: a damaged file, or one that the disk does not hand out,
    /// must not keep today's rows out of the archive.
    ///
    /// # Errors
    /// `Store` when the folder cannot be listed or a newer tillvault wrote a snapshot.
    pub fn latest_readable(&self) -> Result<(Option<Snapshot>, Vec<Error>)> {
        let mut unreadable = Vec::new();
        for number in self.snapshot_numbers()?.into_iter().rev() {
            let bytes = match self.snapshot_bytes(number) {
                Ok(bytes) => bytes,
                Err(error) => {
                    unreadable.push(error);
                    continue;
                }
            };
            match self.parse_snapshot(number, &bytes) {
                Ok(snapshot) => return Ok((Some(snapshot), unreadable)),
                Err(Flawed { flaw: Flaw::Newer, error }) => return Err(error),
                Err(Flawed { error, .. }) => unreadable.push(error),
            }
        }
        Ok((None, unreadable))
    }

    /// The next snapshot's number and parent. A newest file that is damaged or lost keeps its number and, when the index knows
    /// it, its place in the chain.
    ///
    /// # Errors
    /// `Store` when the newest file cannot be read.
    pub fn next_link(&self) -> Result<(u64, Option<String>)> {
        let listed = self.snapshot_numbers()?.last().copied();
        let index = self.index();
        let mut witnessed =
            index.as_ref().and_then(|index| index.snapshots.last()).map(|e| (e.snapshot, e.hash.clone()));
        if index.is_none() {
            // Without its witness the newest may be lost unseen; at least no number that was forgotten is given again.
            let journal = self.journal().unwrap_or_default();
            witnessed = journal.forgotten().last_key_value().map(|(number, one)| (*number, one.hash.clone()));
        }
        let Some(newest) = listed.max(witnessed.as_ref().map(|(number, _)| *number)) else { return Ok((1, None)) };
        let parent = match witnessed.filter(|(number, _)| *number == newest) {
            Some((_, hash)) if listed != Some(newest) || self.snapshot(newest).is_err() => hash,
            _ => self.snapshot_hash(newest)?,
        };
        Ok((newest + 1, Some(parent)))
    }

    /// Writes a snapshot file: the last act of a run, after all chunks.
    ///
    /// # Errors
    /// `Damage` when a chunk it names is not there with its length; `Busy` when its number or parent is not the next one,
    /// so that another run has come in between; `Bug` when it contradicts itself; `Store` when it cannot be written.
    pub async fn write_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let path = layout::snapshot_path(snapshot.snapshot);
        let wrong = inconsistent(snapshot).or_else(|| {
            (snapshot.format != FORMAT || snapshot.archive != self.id()).then(|| "wrong format or archive".to_owned())
        });
        if let Some(what) = wrong {
            return Err(Error::new(Kind::Bug, format!("{path} will not be written: {what}")));
        }
        if (snapshot.snapshot, snapshot.parent.clone()) != self.next_link()? {
            return Err(taken(&path));
        }
        let missing = self.missing_chunks(snapshot)?;
        if let Some(first) = missing.first() {
            return Err(Error::new(
                Kind::Damage,
                format!("{path} will not be written: {} of its chunks are missing, such as {first}", missing.len()),
            )
            .hint("run again: missing chunks are written anew"));
        }
        let text = serde_json::to_vec(snapshot).or_fail(Kind::Bug, || format!("{path} is not JSON"))?;
        let bytes = compress(&text).or_fail(Kind::Bug, || format!("{path} cannot be compressed"))?;
        if put::put_once(self.store.as_ref(), &path, bytes.into()).await? { Ok(()) } else { Err(taken(&path)) }
    }

    /// Removes the file of a snapshot. Only for one that the journal names as forgotten, under [`Archive::lock`].
    ///
    /// # Errors
    /// `Bug` when the journal does not name it; `Store` when it cannot be removed.
    pub async fn remove_snapshot(&self, number: u64, journal: &Journal) -> Result<()> {
        let path = layout::snapshot_path(number);
        if !journal.forgotten().contains_key(&number) {
            return Err(Error::new(Kind::Bug, format!("{path} will not be removed: it was not forgotten")));
        }
        put::remove(self.store.as_ref(), &path).await
    }

    /// Paths of the chunks a snapshot names that are not there with the length their name states.
    ///
    /// # Errors
    /// `Store` when a folder cannot be listed.
    pub fn missing_chunks(&self, snapshot: &Snapshot) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        let mut folders = HashMap::new();
        for table in snapshot.tables.iter().filter(|table| !table.chunks.is_empty()) {
            let there = match folders.entry(&table.folder) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(lengths(&self.root().join(layout::TABLES).join(&table.folder))?),
            };
            let absent = table.chunks.iter().filter(|chunk| there.get(&chunk.file_name()) != Some(&chunk.bytes));
            missing.extend(absent.map(|chunk| layout::chunk_path(&table.folder, &chunk.file_name())));
        }
        Ok(missing)
    }

    /// The chunk files a snapshot needs, each once, in table and block order.
    #[must_use]
    pub fn chunk_objects(&self, snapshot: &Snapshot) -> Vec<ArchiveObject> {
        let mut seen = HashSet::new();
        snapshot
            .tables
            .iter()
            .flat_map(|table| table.chunks.iter().map(|chunk| (&table.folder, chunk)))
            .map(|(folder, chunk)| ArchiveObject {
                path: layout::chunk_path(folder, &chunk.file_name()),
                bytes: chunk.bytes,
            })
            .filter(|object| seen.insert(object.path.clone()))
            .collect()
    }

    /// A snapshot's own file.
    ///
    /// # Errors
    /// As [`Archive::snapshot_hash`].
    pub fn snapshot_object(&self, number: u64) -> Result<ArchiveObject> {
        Ok(ArchiveObject { path: layout::snapshot_path(number), bytes: self.snapshot_bytes(number)?.len() as u64 })
    }
}

fn taken(path: &str) -> Error {
    Error::new(Kind::Busy, format!("{path} will not be written: it is not the next snapshot of this archive any more"))
        .hint("another run wrote one in between: run again")
        .temporary()
}

/// The text of a compressed JSON file.
pub(super) fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    zstd::stream::read::Decoder::new(bytes)?.take(LONGEST_TEXT).read_to_end(&mut text)?;
    Ok(text)
}

/// One zstd frame with checksum and content size.
pub(super) fn compress(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    io::Write::write_all(&mut encoder, text)?;
    encoder.finish()
}

/// What a snapshot says that cannot be true, or that would lead outside the archive's folder.
fn inconsistent(snapshot: &Snapshot) -> Option<String> {
    let mut names = HashSet::new();
    snapshot.tables.iter().find_map(|entry| {
        if !names.insert(&entry.table.name) {
            return Some(format!("table {} is listed twice", entry.table.name));
        }
        inconsistent_table(entry).map(|what| format!("table {} {what}", entry.table.name))
    })
}

fn inconsistent_table(entry: &TableEntry) -> Option<String> {
    if !layout::is_folder(&entry.folder) {
        return Some(format!("has the folder {:?}", entry.folder));
    }
    if entry.chunks.iter().map(|chunk| u128::from(chunk.rows)).sum::<u128>() != u128::from(entry.rows) {
        return Some("has other rows than its chunks".into());
    }
    let mut before = None;
    entry.chunks.iter().find_map(|chunk| {
        if !blocks::fits(&entry.ladder, chunk.block) {
            return Some(format!("has the block {:?} on the ladder {:?}", chunk.block, entry.ladder));
        }
        if before.replace(chunk.block).is_some_and(|before| !blocks::follows(before, chunk.block)) {
            return Some(format!("has the block {:?} out of order", chunk.block));
        }
        let named = layout::parse_chunk_file(&chunk.file_name()) == Some((&chunk.file, chunk.bytes));
        (!named || chunk.rows == 0).then(|| format!("names the chunk {:?}", chunk.file_name()))
    })
}
