//! `check`: is the archive what it says? And its repair.
//!
//! [`check`] looks at everything in one run and hands out what it found as data ([`Finding`]); nothing stops at the first fault.
//! It reads only, takes no lock, and may run while snapshots are taken, forgotten and pruned. [`repair::repair`] rebuilds what is derived and
//! fetches what is damaged from remotes; it never deletes anything.
//!
//! Start here, then: `files` reads snapshots and the journal, `chain` judges how they follow each other, `uses` holds which
//! chunks they name, `chunks` looks at names and lengths, `read` at bytes and rows, `derived` at the rest.

mod chain;
mod chunks;
mod derived;
mod fetch;
mod files;
pub mod finding;
pub mod part;
mod plan;
mod read;
pub mod remote;
mod remote_data;
mod remote_files;
pub mod repair;
mod uses;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use self::{
    chain::{Chain, Lost, Verdict},
    chunks::{Listed, Listing},
    files::{Snapshots, State},
    uses::Uses,
};
pub use self::{
    finding::{CheckOutcome, Counts, Covered, Finding, FindingKind, Level, Numbers},
    part::Part,
};
use crate::{
    archive::{Archive, flaw::Flaw, index::Index, journal::Forgotten},
    error::{Error, Kind, Result},
    observe::SharedObserver,
};

/// What to check beyond the structure, which is always checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Compare the bytes of these chunks with their names.
    pub read_data: Option<Part>,
    /// Decode the rows of these chunks as well, and compare them with what the snapshots say.
    pub deep: Option<Part>,
    /// Only what this snapshot needs.
    pub snapshot: Option<u64>,
}

/// Everything a check found out: what it reports, and what a repair works from.
#[derive(Debug, Default)]
struct Examined {
    findings: Vec<Finding>,
    counts: Counts,
    covered: Covered,
    is_header_bad: bool,
    is_index_bad: bool,
    is_readme_bad: bool,
    snapshots: Vec<LostFile>,
    records: Vec<LostFile>,
    chunks: Vec<LostChunk>,
    /// Where bytes that are wanted elsewhere lie in this archive, by their BLAKE3.
    strays: HashMap<String, String>,
    /// What the header file should hash to.
    header: Option<String>,
}

/// A snapshot or record to look for.
#[derive(Clone, Debug)]
struct LostFile {
    lost: Lost,
    /// BLAKE3 of the one before it, which a good file names as its parent.
    before: Option<String>,
}

/// A chunk to look for.
#[derive(Clone, Debug)]
struct LostChunk {
    listed: Listed,
    is_there: bool,
    /// The disk does not hand it out.
    is_unreadable: bool,
}

/// Checks an archive.
///
/// # Errors
/// `Usage` when there never was the snapshot asked for; `Store` when a newer tillvault made the archive, or its folders cannot
/// be listed. Damage is no error: it is in the outcome.
pub async fn check(archive: &Arc<Archive>, options: &CheckOptions, observer: &SharedObserver) -> Result<CheckOutcome> {
    let started = Instant::now();
    let examined = examine(archive, options, false, observer).await?;
    Ok(outcome(examined, options, started))
}

fn outcome(examined: Examined, options: &CheckOptions, started: Instant) -> CheckOutcome {
    outcome_of(examined.findings, examined.counts, examined.covered, options, started)
}

fn outcome_of(
    findings: Vec<Finding>,
    counts: Counts,
    covered: Covered,
    options: &CheckOptions,
    started: Instant,
) -> CheckOutcome {
    CheckOutcome {
        findings,
        counts,
        covered,
        read_data: options.read_data.map(|part| part.to_string()),
        deep: options.deep.map(|part| part.to_string()),
        repaired: None,
        plan: None,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// What is known of snapshots and journal, before chunks are looked at.
struct Known {
    index: Option<Index>,
    snapshots: Snapshots,
    forgotten: BTreeMap<u64, Forgotten>,
    uses: Uses,
}

/// `holds_lock`: the caller has the write lock, so that nobody else is writing.
async fn examine(
    archive: &Arc<Archive>,
    options: &CheckOptions,
    holds_lock: bool,
    observer: &SharedObserver,
) -> Result<Examined> {
    let mut found = Examined::default();
    let known = examine_history(archive, options, &mut found, observer).await?;
    if let Some(header) = derived::header(archive, known.index.as_ref())? {
        found.is_header_bad = true;
        found.findings.push(header);
    }
    found.header = known.index.as_ref().and_then(|index| index.header.clone());
    let mut listing = chunks::list(archive, &known.uses, options.snapshot.is_some(), observer).await?;
    examine_chunks(archive, options, &known, &mut listing, &mut found, observer).await?;
    if options.snapshot.is_none() {
        examine_rest(archive, &known, holds_lock, &mut listing, &mut found).await?;
    }
    found.findings.append(&mut listing.findings);
    (found.findings, found.counts) = finding::sorted(found.findings);
    Ok(found)
}

/// Snapshots and the journal. The order matters while others write: the index first, the journal last, so that every file that
/// vanished in between is named there.
async fn examine_history(
    archive: &Arc<Archive>,
    options: &CheckOptions,
    found: &mut Examined,
    observer: &SharedObserver,
) -> Result<Known> {
    let index = archive.index();
    let mut numbers = archive.snapshot_numbers()?;
    if let Some(only) = options.snapshot {
        // The one after it vouches for it.
        numbers.retain(|number| *number == only || *number == only + 1);
    }
    let mut uses = Uses::default();
    let wanted = |number| options.snapshot.is_none_or(|only| only == number);
    let snapshots = files::read_snapshots(archive, &numbers, wanted, &mut uses, observer).await?;
    let (records, forgotten) = files::read_journal(archive).await?;
    found.covered.snapshots = snapshots.keys().filter(|number| wanted(**number)).count() as u64;
    found.covered.records = records.len() as u64;
    let mut journal = chain::judge_journal(&records, index.as_ref());
    let chain = Chain {
        snapshots: &snapshots,
        forgotten: &forgotten,
        index: index.as_ref(),
        is_journal_whole: journal.lost.is_empty(),
    };
    let mut verdict = Verdict::default();
    match options.snapshot {
        None => chain.numbers().into_iter().for_each(|number| chain.judge(number, &mut verdict)),
        Some(only) => {
            let is_known = chain.snapshots.contains_key(&only) || chain.expected(only).is_some();
            if !is_known || (chain.forgotten.contains_key(&only) && !chain.snapshots.contains_key(&only)) {
                return Err(Error::new(Kind::Usage, format!("there is no snapshot {only}"))
                    .hint("`tillvault snapshots` lists those there are"));
            }
            chain.judge(only, &mut verdict);
            journal = Verdict::default();
        }
    }
    let before = |lost: &Lost| lost.number.checked_sub(1).and_then(|before| chain.known_hash(before));
    found.snapshots = verdict.lost.into_iter().map(|lost| LostFile { before: before(&lost), lost }).collect();
    let record_before = |lost: &Lost| records.get(&lost.number.checked_sub(1)?)?.hash().map(str::to_owned);
    found.records = journal.lost.into_iter().map(|lost| LostFile { before: record_before(&lost), lost }).collect();
    found.findings.append(&mut verdict.findings);
    found.findings.append(&mut journal.findings);
    for (number, state) in &snapshots {
        if let State::Bad { hash, flaw: Flaw::Exchanged, .. } = state {
            found.strays.insert(hash.clone(), crate::archive::layout::snapshot_path(*number));
        }
    }
    Ok(Known { index, snapshots, forgotten, uses })
}

/// Chunk files: names, lengths, and what was asked for of their contents.
async fn examine_chunks(
    archive: &Arc<Archive>,
    options: &CheckOptions,
    known: &Known,
    listing: &mut Listing,
    found: &mut Examined,
    observer: &SharedObserver,
) -> Result<()> {
    (found.covered.chunks, found.covered.chunk_bytes) = known.uses.total();
    let now = if listing.missing.is_empty() { Vec::new() } else { archive.snapshot_numbers()? };
    let misplaced = listing.judge(&known.uses, |number| now.binary_search(&number).is_ok());
    let by_path = |path: &str| path.rsplit('/').next().and_then(uses::ChunkName::parse);
    for other in misplaced.values() {
        found.strays.extend(by_path(other).map(|name| (hex::encode(name.hash), other.clone())));
    }
    let orphans = if options.snapshot.is_some() { &[][..] } else { &listing.others };
    let reading =
        read::read(archive, &listing.named, orphans, &known.uses, options, &mut found.covered, observer).await?;
    // That a file holds another chunk says more than that its length is wrong; the damage of orphans, more than that nobody names them.
    let swapped: BTreeSet<&str> = reading.swapped().collect();
    listing.findings.retain(|finding| !swapped.contains(finding.path.as_str()));
    found.strays.extend(reading.strays.iter().map(|(hash, path)| (hex::encode(hash), path.clone())));
    let missing =
        listing.missing.iter().map(|(folder, name)| Listed { folder: Arc::clone(folder), name: *name, bytes: 0 });
    let gone = missing.chain(reading.vanished.iter().cloned());
    found.chunks.extend(gone.map(|listed| LostChunk { listed, is_there: false, is_unreadable: false }));
    let cut = listing.named.iter().filter(|listed| listed.bytes != listed.name.bytes).map(|listed| (listed, false));
    let damaged = reading.damaged.iter().map(|(listed, is_unreadable)| (listed, *is_unreadable));
    let mut seen = BTreeSet::new();
    for (listed, is_unreadable) in damaged.chain(cut) {
        if seen.insert(listed.path()) {
            found.chunks.push(LostChunk { listed: listed.clone(), is_there: true, is_unreadable });
        }
    }
    found.findings.extend(reading.findings);
    Ok(())
}

/// Derived files, and what lies about.
async fn examine_rest(
    archive: &Arc<Archive>,
    known: &Known,
    holds_lock: bool,
    listing: &mut Listing,
    found: &mut Examined,
) -> Result<()> {
    let damaged: BTreeSet<u64> = found.snapshots.iter().map(|file| file.lost.number).collect();
    let judge = |index: Option<&Index>| {
        derived::index(archive, index, &known.snapshots, &known.forgotten, |number| damaged.contains(&number))
    };
    let mut index = judge(known.index.as_ref());
    if index.is_some() {
        // A run may have ended since it was read.
        let again = archive.index();
        if again != known.index {
            index = judge(again.as_ref());
        }
    }
    found.is_index_bad = index.is_some();
    let is_being_written = || !holds_lock && archive.is_being_written();
    // A run writes its snapshot first, and the index after it.
    if index.is_some() && is_being_written() {
        index = index.map(|finding| finding.at_level(Level::Note));
    }
    found.findings.extend(index);
    let readme = derived::readme(archive);
    found.is_readme_bad = readme.is_some();
    found.findings.extend(readme);
    found.findings.extend(derived::strangers(archive).await?);
    found.covered.orphans = listing.others.len() as u64;
    found.covered.orphan_bytes = listing.others.iter().map(|other| other.bytes).sum();
    let judged: BTreeSet<&str> = found.findings.iter().map(|finding| finding.path.as_str()).collect();
    listing.others.retain(|other| !judged.contains(other.path().as_str()));
    if !listing.others.is_empty() {
        let are_all_known = found.snapshots.is_empty();
        listing.orphans(is_being_written(), are_all_known);
    }
    Ok(())
}
