//! `load`: brings the replica up to the archive, one snapshot after another, in order.
//!
//! Every snapshot that the replica does not hold yet is loaded, since a ticket that was cleared between two of them is in
//! one of them only. Each snapshot is one transaction: a load that is stopped goes on with the next snapshot another time.

use serde::Serialize;

use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    replica::Replica,
};

/// What a load did: the JSON of `load`. Counts are tickets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadOutcome {
    /// Newest snapshot the replica holds now.
    pub snapshot: u64,
    /// Snapshots loaded by this run.
    pub snapshots: u64,
    /// Tickets that were new.
    pub inserted: u64,
    /// Tickets replaced with all their rows, since something in them changed.
    pub updated: u64,
    /// Tickets that vanished with a clear and stay in all reports.
    pub cleared: u64,
    /// Tickets deleted one by one: kept, out of reports.
    pub deleted: u64,
    /// Wall time.
    pub seconds: f64,
}

/// Opens the replica that belongs to the archive's till.
///
/// # Errors
/// `Replica` or `Credentials` when `PostgreSQL` cannot be used; `NoArchive` when the archive holds no snapshot yet.
pub async fn open_replica(config: &Config, archive: &Archive) -> Result<Replica> {
    let Some(latest) = archive.latest()? else {
        return Err(Error::new(Kind::NoArchive, format!("{} holds no snapshot yet", archive.root().display()))
            .hint("run `tillvault snapshot` first"));
    };
    Replica::open(&config.replica, &config.data, &latest.source.database).await
}

/// Loads every snapshot the replica lacks; with `rebuild`, all of them into an emptied replica.
///
/// # Errors
/// As [`open_replica`] and [`Replica::check_continues`]; `Damage` when chunks are missing. Snapshots loaded before the failure stay loaded.
pub async fn load(config: &Config, archive: &Archive, rebuild: bool, observer: &SharedObserver) -> Result<LoadOutcome> {
    let started = std::time::Instant::now();
    let mut replica = open_replica(config, archive).await?;
    let result = load_missing(&mut replica, archive, rebuild, observer).await;
    replica.close().await?;
    let mut outcome = result?;
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

async fn load_missing(
    replica: &mut Replica,
    archive: &Archive,
    rebuild: bool,
    observer: &SharedObserver,
) -> Result<LoadOutcome> {
    if rebuild {
        replica.reset().await?;
    }
    let numbers = archive.snapshot_numbers()?;
    replica.check_continues(archive.root(), numbers.last().copied().unwrap_or(0)).await?;
    let loaded = replica.loaded_through().await?.unwrap_or(0);
    let wanted: Vec<u64> = numbers.into_iter().filter(|number| *number > loaded).collect();
    observer.event(Event::Phase { name: "load the replica", total: Some(wanted.len() as u64) });
    let mut outcome = LoadOutcome { snapshot: loaded, ..LoadOutcome::default() };
    for number in wanted {
        let snapshot = archive.snapshot(number)?;
        let one = replica.load(archive.root(), &snapshot, observer.as_ref()).await?;
        outcome.snapshot = number;
        outcome.snapshots += 1;
        outcome.inserted += one.inserted;
        outcome.updated += one.updated;
        outcome.cleared += one.cleared;
        outcome.deleted += one.deleted;
    }
    Ok(outcome)
}
