//! `stats`: what the archive takes, what it saves, how it grows. From its small files and folder listings alone; no chunk is read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::Path,
};

use jiff::civil::{Date, DateTime};
use serde::Serialize;

use super::{
    names,
    overview::{ChunkRef, Damaged, Problems, chunk_id, read_each, table_refs},
};
use crate::{
    archive::{Archive, layout, snapshot::Snapshot},
    error::{Error, Kind, OrFail, Result},
};

/// Days and months that the growth is told for.
const PERIODS: usize = 7;

/// The JSON of `stats`. Bytes are lengths of files.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// The oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<When>,
    /// The newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<When>,
    /// What is stored, each file once.
    pub stored: Stored,
    /// What it would be if every snapshot were kept whole, sharing nothing.
    pub whole_bytes: u64,
    /// `whole_bytes` divided by the bytes stored.
    pub ratio: f64,
    /// Chunk files that no snapshot names; absent when a snapshot cannot be read, since nobody knows what it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<Files>,
    /// Per table, heaviest first.
    pub tables: Vec<TableStats>,
    /// Bytes that were new, by day of the till's clock: the last days that have snapshots.
    pub days: Vec<Growth>,
    /// The same by month.
    pub months: Vec<Growth>,
    /// What cannot be read, and is not in the figures.
    pub damaged: Vec<Damaged>,
    /// The exit code that leads to.
    #[serde(skip)]
    pub code: Option<u8>,
}

/// Which snapshot, and when by the till's clock.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct When {
    /// Number.
    pub snapshot: u64,
    /// The till's wall clock.
    pub till_time: DateTime,
}

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// How many.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
}

impl Files {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What the archive's files take.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stored {
    /// Chunks that a snapshot names, each once.
    pub chunks: Files,
    /// Snapshot files.
    pub snapshots: Files,
    /// Records of the journal.
    pub journal: Files,
    /// All of them.
    pub bytes: u64,
}

/// One table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableStats {
    /// Table.
    pub table: String,
    /// Rows in the newest snapshot; absent when it is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Chunks and bytes of the newest snapshot.
    pub now: Files,
    /// Chunks and bytes of all snapshots, each chunk once.
    pub history: Files,
    /// Part of the bytes of all chunks, 0 to 1.
    pub share: f64,
}

/// What was new in a period: chunks first named then, and the snapshot files.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// `2026-10-01` or `2026-10`.
    pub period: String,
    /// Snapshots taken in it that are there.
    pub snapshots: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What is kept of a snapshot.
struct Figures {
    when: When,
    file: u64,
    tables: Vec<TableFigures>,
}

struct TableFigures {
    name: String,
    folder: String,
    rows: u64,
    chunks: Vec<ChunkRef>,
}

/// Counts. With `tables` (display names in any case) only these are looked at, and their chunks only.
///
/// # Errors
/// `Usage` when no snapshot has a table of that name; `NoArchive` when there is no snapshot; `Store` when a folder cannot be listed.
pub fn stats(archive: &Archive, tables: &[String]) -> Result<Stats> {
    let mut problems = Problems::default();
    problems.journal(archive);
    let numbers = archive.snapshot_numbers()?;
    if numbers.is_empty() {
        return Err(Error::new(Kind::NoArchive, format!("{} holds no snapshot yet", archive.root().display()))
            .hint("run `tillvault snapshot` first"));
    }
    let read = read_each(archive, &numbers, |snapshot| figures(archive, &snapshot, tables));
    let mut figures = Vec::with_capacity(numbers.len());
    for (number, result) in numbers.iter().zip(read) {
        figures.extend(problems.take(*number, result.and_then(|inner| inner)));
    }
    let complete = figures.len() == numbers.len();
    let mut sum = Sum::default();
    figures.iter().for_each(|figures| sum.take_in(figures));
    let known = |asked: &String| sum.tables.keys().any(|name| same(name, asked));
    if let Some(unknown) = tables.iter().find(|asked| complete && !known(asked)) {
        let newest = archive.latest_readable()?.0;
        let names: Vec<String> =
            newest.iter().flat_map(|snapshot| &snapshot.tables).map(|entry| entry.table.name.to_string()).collect();
        names::meant(unknown, names.iter().map(String::as_str), "table", "in any snapshot")?;
    }
    let unused = if complete { Some(sum.unused(archive, !tables.is_empty())?) } else { None };
    let stored = sum.stored(archive, &figures, tables.is_empty())?;
    let (damaged, code) = problems.told();
    Ok(Stats {
        snapshots: figures.len() as u64,
        first: figures.first().map(|figures| figures.when),
        last: figures.last().map(|figures| figures.when),
        whole_bytes: sum.whole,
        ratio: part(sum.whole, stored.bytes),
        unused,
        tables: sum.tables(figures.last(), stored.chunks.bytes),
        days: sum.growth("%Y-%m-%d"),
        months: sum.growth("%Y-%m"),
        stored,
        damaged,
        code,
    })
}

fn figures(archive: &Archive, snapshot: &Snapshot, only: &[String]) -> Result<Figures> {
    let tables = snapshot
        .tables
        .iter()
        .map(|entry| TableFigures {
            name: entry.table.name.to_string(),
            folder: entry.folder.clone(),
            rows: entry.rows,
            chunks: table_refs(entry).collect(),
        })
        .filter(|table| only.is_empty() || only.iter().any(|asked| same(&table.name, asked)))
        .collect();
    // A table's share of the snapshot files is nobody's business.
    let file = if only.is_empty() { archive.snapshot_object(snapshot.snapshot)?.bytes } else { 0 };
    Ok(Figures { when: When { snapshot: snapshot.snapshot, till_time: snapshot.till_time }, file, tables })
}

/// The figures of all snapshots, taken in one after another.
#[derive(Default)]
struct Sum {
    seen: HashSet<[u8; 16]>,
    folders: HashSet<String>,
    tables: HashMap<String, Files>,
    days: BTreeMap<Date, (u64, u64)>,
    whole: u64,
}

impl Sum {
    fn take_in(&mut self, figures: &Figures) {
        let mut new = figures.file;
        self.whole += figures.file;
        for table in &figures.tables {
            self.folders.insert(table.folder.clone());
            let files = self.tables.entry(table.name.clone()).or_default();
            for chunk in &table.chunks {
                self.whole += chunk.bytes;
                if self.seen.insert(chunk.id) {
                    files.add(chunk.bytes);
                    new += chunk.bytes;
                }
            }
        }
        let (snapshots, bytes) = self.days.entry(figures.when.till_time.date()).or_default();
        *snapshots += 1;
        *bytes += new;
    }

    fn stored(&self, archive: &Archive, figures: &[Figures], all: bool) -> Result<Stored> {
        let mut stored = Stored::default();
        for files in self.tables.values() {
            stored.chunks.files += files.files;
            stored.chunks.bytes += files.bytes;
        }
        if all {
            figures.iter().for_each(|figures| stored.snapshots.add(figures.file));
            for number in archive.record_numbers()? {
                let path = archive.root().join(layout::record_path(number));
                let length = fs::metadata(&path).or_fail(Kind::Store, || format!("{} cannot be read", path.display()));
                stored.journal.add(length?.len());
            }
        }
        stored.bytes = stored.chunks.bytes + stored.snapshots.bytes + stored.journal.bytes;
        Ok(stored)
    }

    /// Chunk files on disk that no snapshot names: in every table's folder, or in those of the chosen tables.
    fn unused(&self, archive: &Archive, chosen: bool) -> Result<Files> {
        let tables = archive.root().join(layout::TABLES);
        let mut unused = Files::default();
        for folder in names(&tables)? {
            if chosen && !self.folders.contains(&folder) {
                continue;
            }
            for name in names(&tables.join(&folder))? {
                if let Some((_, bytes)) = layout::parse_chunk_file(&name)
                    && !self.seen.contains(&chunk_id(&folder, &name))
                {
                    unused.add(bytes);
                }
            }
        }
        Ok(unused)
    }

    fn tables(&self, newest: Option<&Figures>, of: u64) -> Vec<TableStats> {
        let mut tables: Vec<TableStats> = self
            .tables
            .iter()
            .map(|(name, history)| {
                let now = newest.and_then(|figures| figures.tables.iter().find(|table| table.name == *name));
                let mut files = Files::default();
                now.iter().flat_map(|table| &table.chunks).for_each(|chunk| files.add(chunk.bytes));
                TableStats {
                    table: name.clone(),
                    rows: now.map(|table| table.rows),
                    now: files,
                    history: *history,
                    share: part(history.bytes, of),
                }
            })
            .collect();
        tables.sort_by(|a, b| b.history.bytes.cmp(&a.history.bytes).then_with(|| a.table.cmp(&b.table)));
        tables
    }

    /// Growth by day or month, as the date's format says: the last periods with snapshots.
    fn growth(&self, format: &str) -> Vec<Growth> {
        let mut periods: Vec<Growth> = Vec::new();
        for (day, (snapshots, bytes)) in &self.days {
            let period = day.strftime(format).to_string();
            match periods.last_mut().filter(|last| last.period == period) {
                Some(last) => {
                    last.snapshots += snapshots;
                    last.bytes += bytes;
                }
                None => periods.push(Growth { period, snapshots: *snapshots, bytes: *bytes }),
            }
        }
        periods.split_off(periods.len().saturating_sub(PERIODS))
    }
}

/// Whether two names differ by case at most.
fn same(name: &str, asked: &str) -> bool {
    name == asked || name.to_lowercase() == asked.to_lowercase()
}

/// Names of the entries of a folder; none when it is no folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let cannot = || format!("{} cannot be listed", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.or_fail(Kind::Store, cannot)?,
    };
    entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<io::Result<_>>()
        .or_fail(Kind::Store, cannot)
}

/// `part` of `whole`, 0 when there is nothing to compare with.
#[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
fn part(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
