//! `find`: every version of every row that has a value in a column, over all snapshots, with the snapshots in which it stood so.
//!
//! All snapshot files are read, each distinct chunk at most once ([`chunks`]): its column first, the rest only where the value
//! is in it. Blocks that cannot hold the value, since the column leads their ladder, are not read at all.
//!
//! A version is a row with all its values. In neighbouring snapshots it is one interval; where it goes and comes back, it has several.

mod chunks;

use std::collections::HashMap;

use jiff::civil::DateTime;
use serde::Serialize;
use serde_json::{Map, Value};

use self::chunks::{Catalog, Needle, Rows, Stood};
use super::{
    overview::{Damaged, Problems, read_each},
    threads::side_by_side,
};
use crate::{
    archive::Archive,
    error::{Error, Kind, Result},
    history::render::json_batch,
    observe::{Event, SharedObserver},
};

/// Versions beyond which a search is given up: their rows are held in memory.
const MOST_VERSIONS: usize = 2_000_000;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct FindOptions {
    /// Table, by display name in any case.
    pub table: String,
    /// Column, in any case.
    pub column: String,
    /// The value as `query` shows it.
    pub value: String,
    /// Whether it may be a part of the value.
    pub contains: bool,
    /// First snapshot to look at.
    pub from: Option<u64>,
    /// Last snapshot to look at.
    pub to: Option<u64>,
    /// Most versions to give.
    pub limit: Option<usize>,
}

/// The JSON of `find`.
#[derive(Debug, Serialize)]
pub struct FindOutcome {
    /// Table, as the till spells it.
    pub table: String,
    /// Column, as the till spells it.
    pub column: String,
    /// First and last snapshot looked at; absent when none could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<Interval>,
    /// Columns of the primary key; empty when there is none.
    pub key: Vec<String>,
    /// The versions, by key and time.
    pub versions: Vec<Version>,
    /// How many there are in all.
    pub found: u64,
    /// Chunk files that were read.
    pub chunks_read: u64,
    /// Chunk files that could not hold the value by their block.
    pub chunks_skipped: u64,
    /// Snapshots and chunks that could not be read: what they hold is not in the answer.
    pub damaged: Vec<Damaged>,
    /// The exit code that leads to.
    #[serde(skip)]
    pub code: Option<u8>,
}

/// A row as it stood for a while.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// When: neighbouring snapshots are joined.
    pub stood: Vec<Interval>,
    /// Life of the POS database at the first of them: an Id of another life may stand for something else.
    pub epoch: u32,
    /// The row. Values are as in the JSON of `query`.
    pub row: Map<String, Value>,
}

/// From one snapshot to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// First snapshot.
    pub from: u64,
    /// Last snapshot.
    pub to: u64,
    /// The till's wall clock at the first.
    pub from_till_time: DateTime,
    /// The till's wall clock at the last.
    pub to_till_time: DateTime,
}

/// A version while it is being put together: where its row lies, and where it stood (positions in the list of snapshots).
struct Found {
    chunk: usize,
    row: usize,
    stood: Vec<(usize, usize)>,
}

/// Looks for a value. Blocks.
///
/// # Errors
/// `Usage` when no snapshot has the table, or the table never had the column, with names that come near; `NoArchive` when there is no
/// snapshot; `Query` when too much is found to be held.
pub fn find(archive: &Archive, options: &FindOptions, observer: &SharedObserver) -> Result<FindOutcome> {
    let mut problems = Problems::default();
    let numbers = numbers(archive, options)?;
    observer.event(Event::Phase { name: "read the snapshots", total: None });
    let catalog = Catalog::new(&options.table);
    let read = read_each(archive, &numbers, |snapshot| catalog.take_in(snapshot));
    let seen: Vec<_> = numbers.iter().zip(read).filter_map(|(number, result)| problems.take(*number, result)).collect();
    let searched = seen.first().zip(seen.last()).map(|(first, last)| first.to(last));
    let table = catalog.table()?;
    let column = table.column(&options.column)?;

    observer.event(Event::Phase { name: "search", total: None });
    let needle = Needle { text: &options.value, contains: options.contains };
    let (wanted, skipped): (Vec<_>, Vec<_>) =
        (0..table.chunks.len()).partition(|chunk| table.may_hold(*chunk, &column, &needle));
    let mut hits: HashMap<usize, Rows> = HashMap::new();
    for (chunk, result) in
        wanted.iter().zip(side_by_side(&wanted, |chunk| table.search(archive, *chunk, &column, &needle)))
    {
        match result {
            Ok(rows) => hits.extend(rows.map(|rows| (*chunk, rows))),
            Err(error) if error.kind() == Kind::Damage => problems.add(None, &error),
            Err(error) => return Err(error),
        }
    }

    let stood: Vec<Stood> = seen.into_iter().map(|seen| seen.of(&table.name)).collect();
    let mut versions = versions(&hits, &stood)?;
    versions.sort_by(|a, b| {
        let place = |found: &Found| (hits[&found.chunk].place(found.row), found.stood.first().copied());
        place(a).cmp(&place(b))
    });
    let found = versions.len() as u64;
    versions.truncate(options.limit.unwrap_or(usize::MAX));
    let versions = versions.iter().map(|found| version(found, &hits, &stood)).collect::<Result<Vec<_>>>()?;
    let (damaged, code) = problems.told();
    Ok(FindOutcome {
        key: table.key(),
        table: table.name,
        column,
        searched,
        versions,
        found,
        chunks_read: wanted.len() as u64,
        chunks_skipped: skipped.len() as u64,
        damaged,
        code,
    })
}

/// The snapshots to look at.
fn numbers(archive: &Archive, options: &FindOptions) -> Result<Vec<u64>> {
    let mut numbers = archive.snapshot_numbers()?;
    if numbers.is_empty() {
        return Err(Error::new(Kind::NoArchive, format!("{} holds no snapshot yet", archive.root().display()))
            .hint("run `tillvault snapshot` first"));
    }
    let (from, to) = (options.from.unwrap_or(0), options.to.unwrap_or(u64::MAX));
    numbers.retain(|number| (from..=to).contains(number));
    if numbers.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no snapshot from {from} to {to}"))
            .hint("`tillvault snapshots` lists them"));
    }
    Ok(numbers)
}

/// Joins equal rows of all chunks and snapshots.
fn versions(hits: &HashMap<usize, Rows>, stood: &[Stood]) -> Result<Vec<Found>> {
    let mut known: HashMap<[u8; 32], usize> = HashMap::new();
    let mut found: Vec<Found> = Vec::new();
    for (at, snapshot) in stood.iter().enumerate() {
        for chunk in &snapshot.chunks {
            let Some(rows) = hits.get(chunk) else { continue };
            for row in 0..rows.len() {
                let index = *known.entry(rows.identity(row)).or_insert_with(|| {
                    found.push(Found { chunk: *chunk, row, stood: Vec::new() });
                    found.len() - 1
                });
                match found[index].stood.last_mut() {
                    // Of equal rows without a key one stands for all.
                    Some((_, last)) if *last == at => {}
                    Some((_, last)) if *last + 1 == at => *last = at,
                    _ => found[index].stood.push((at, at)),
                }
            }
        }
        if found.len() > MOST_VERSIONS {
            return Err(Error::new(Kind::Query, format!("more than {MOST_VERSIONS} versions have this value"))
                .hint("look for something rarer, or in fewer snapshots with --from and --to"));
        }
    }
    Ok(found)
}

fn version(found: &Found, hits: &HashMap<usize, Rows>, stood: &[Stood]) -> Result<Version> {
    let mut object = Map::new();
    json_batch(&hits[&found.chunk].one(found.row), |row| {
        object = row;
        Ok(())
    })?;
    let intervals = found.stood.iter().map(|(from, to)| stood[*from].to(&stood[*to])).collect();
    let epoch = found.stood.first().map_or(0, |(from, _)| stood[*from].epoch);
    Ok(Version { stood: intervals, epoch, row: object })
}
