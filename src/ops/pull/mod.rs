//! `pull`: fetches from a remote what the archive here lacks; on a new machine, everything.
//!
//! First the plan, then the act. Promises: a file takes its place only after it was verified (a chunk by its name, a snapshot and a
//! record by what they say of each other) and is whole on the disk; a snapshot takes its place after all its chunks, the newest
//! first; an archive that is another one, or has gone its own way, is left as it is; what is here is never overwritten; a pull that
//! was stopped goes on from what is there.
//!
//! While a pull is not finished the index knows the newest snapshot of the remote, so that no number is given twice and nothing is
//! forgotten or pruned meanwhile: what is still missing counts as lost (docs/decisions/0016).

mod act;
mod plan;

use std::{path::Path, time::Instant};

use serde::Serialize;

use super::mirror;
use crate::{
    archive::{Archive, layout},
    error::{Error, Kind, OrFail as _, Result},
    observe::{Event, SharedObserver},
    store::Remote,
};

/// How to pull.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullOptions {
    /// Only what this snapshot needs.
    pub snapshot: Option<u64>,
    /// Plan only: nothing is written.
    pub dry_run: bool,
}

/// What a pull did: the JSON of the command.
#[derive(Clone, Debug, Serialize)]
pub struct PullOutcome {
    /// Name of the remote.
    pub remote: String,
    /// Nothing was changed: what follows would be done.
    pub dry_run: bool,
    /// The archive's folder.
    pub archive: std::path::PathBuf,
    /// Id of the archive.
    pub id: String,
    /// Whether the archive was not here before.
    pub created: bool,
    /// Numbers of the snapshots that were fetched, ascending.
    pub snapshots: Vec<u64>,
    /// Objects fetched: chunks, snapshots, records and the header.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots that the remote has and that are not here now, ascending.
    pub left: Vec<u64>,
    /// Local snapshots that are newer than the remote's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<u64>,
    /// What on the remote is damaged, and could not be fetched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
    /// Requests made.
    pub requests: u64,
    /// Wall time.
    pub seconds: f64,
}

/// Fetches into the archive in `root` what it lacks of the remote's; makes it when there is none.
///
/// What is damaged on the remote is in the outcome, and everything that does not need it is fetched.
///
/// # Errors
/// `NoArchive` when the remote holds none; `Refused` when the one here is another, or went its own way; `Damage` when the remote's journal
/// is damaged; `Busy` when another run writes to the archive; `Store` or `Credentials` when the remote cannot be read or the folder cannot
/// be written. What was fetched before stays, and the next pull goes on from there.
pub async fn pull(
    root: &Path,
    remote: &Remote,
    options: &PullOptions,
    observer: &SharedObserver,
) -> Result<PullOutcome> {
    let (started, requests) = (Instant::now(), remote.requests.total());
    remote.observe(observer.clone());
    let header = mirror::read(remote, layout::HEADER_FILE).await?.ok_or_else(|| {
        Error::new(
            Kind::NoArchive,
            format!("remote {} holds no archive: it has no {}", remote.name, layout::HEADER_FILE),
        )
        .hint("check the folder in the remote's url")
    })?;
    let id = Archive::header_id(&header).map_err(|error| match error.kind() {
        Kind::Damage => mirror::not_a_header(remote).caused_by(error),
        _ => error,
    })?;
    let here = existing(root, &id, remote)?;
    let created = here.is_none();
    // A plan needs an archive of that id; a new one is made when the plan stands.
    let scratch = if created { Some(Scratch::new(&header).await?) } else { None };
    let known = here.as_ref().or(scratch.as_ref().map(|scratch| &scratch.archive));
    let known = known.ok_or_else(|| Error::new(Kind::Bug, "a pull without an archive"))?;
    let locks = |archive: &Archive| Ok::<_, Error>((archive.lock()?, archive.lock_push()?));
    let _locks = if options.dry_run { None } else { Some(locks(known)?) };
    let plan = plan::plan_pull(known, remote, options.snapshot, observer).await?;
    if let Some(number) = plan.missing {
        let message = format!("remote {} has lost snapshot {number}, which its index still knows", remote.name);
        observer.event(Event::Warning { message });
    }
    let mut outcome = PullOutcome {
        remote: remote.name.clone(),
        dry_run: options.dry_run,
        archive: root.to_owned(),
        id,
        created,
        snapshots: Vec::new(),
        fetched: u64::from(created),
        bytes: if created { header.len() as u64 } else { 0 },
        left: plan.left.clone(),
        ahead: plan.ahead.clone(),
        damaged: plan.damaged.values().map(|error| error.message().to_owned()).collect(),
        requests: 0,
        seconds: 0.0,
    };
    outcome.left.extend(plan.damaged.keys());
    if options.dry_run {
        let (objects, bytes) = plan.total();
        outcome.snapshots = plan.snapshots.iter().map(plan::Wanted::number).collect();
        (outcome.fetched, outcome.bytes) = (outcome.fetched + objects, outcome.bytes + bytes);
    } else if let Some(archive) = here {
        act::act(&archive, remote, plan, &mut outcome, observer).await?;
    } else {
        let archive = Archive::create_from(root, &header, plan.expected()).await?;
        let _locks = locks(&archive)?;
        act::act(&archive, remote, plan, &mut outcome, observer).await?;
    }
    outcome.snapshots.sort_unstable();
    outcome.left.sort_unstable();
    outcome.left.dedup();
    outcome.requests = remote.requests.total() - requests;
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// The archive here, if there is one. Another one is refused.
fn existing(root: &Path, id: &str, remote: &Remote) -> Result<Option<Archive>> {
    let archive = match Archive::open(root) {
        Ok(archive) => archive,
        Err(error) if error.kind() == Kind::NoArchive => return Ok(None),
        Err(error) => return Err(error),
    };
    if archive.id() == id {
        return Ok(Some(archive));
    }
    let message = format!(
        "the archive in {} is another one ({}) than on remote {} ({id})",
        root.display(),
        archive.id(),
        remote.name
    );
    Err(Error::new(Kind::Refused, message).hint("nothing was changed: pull into a folder of its own"))
}

/// An empty archive for the time of a plan.
struct Scratch {
    archive: Archive,
    _folder: tempfile::TempDir,
}

impl Scratch {
    async fn new(header: &[u8]) -> Result<Self> {
        let folder = tempfile::tempdir().or_fail(Kind::Store, || "no temporary folder could be made")?;
        Ok(Self { archive: Archive::create_from(folder.path(), header, Vec::new()).await?, _folder: folder })
    }
}
