//! `push`: uploads to a remote what it lacks.
//!
//! First the plan ([`plan_push`]), as data; then the act. Promises: every object counts only when it is proven
//! ([`Remote::put_new`]); a snapshot is uploaded only after every chunk it names, so one that can be listed is complete; nothing on the
//! remote is overwritten; a push that was killed is taken up where it ended; an object that cannot be stored (damaged here, or locked
//! there) keeps back only the snapshots that need it; a remote that holds another archive is refused.
//!
//! What the remote holds follows from its own lists: its archive file, its snapshots, and, once there are any, its records of the
//! journal. So a push with nothing to do costs two or three requests; a newest snapshot that was not pushed from this folder is read and
//! compared, too. A chunk that is there although no listed snapshot names it is found by its name, and from then on folders are listed
//! before they are written to. What vanished behind snapshots that are there is found by [`PushOptions::verify`], and by every push that
//! misses a snapshot it has seen there before.

mod act;
mod derived;
mod plan;
mod several;
mod verify;

use std::time::Instant;

use serde::Serialize;

pub(in crate::ops) use act::whole_file;
pub use plan::{PushPlan, PushStep, Verified, plan_push};
pub use several::{Destinations, PushFailure, PushReport, push_each, worst};
pub use verify::holds_folder;

use act::Push;

use super::{check::Part, mirror};
use crate::{
    archive::{Archive, ArchiveObject},
    config::RemoteConfig,
    error::{Error, Result},
    observe::{Event, SharedObserver},
    store::Remote,
};

/// How to push.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Plan only: nothing is uploaded, and the outcome lists what would be.
    pub dry_run: bool,
    /// Look whether the chunks of the snapshots that the remote holds are there, in this share of the tables' folders.
    pub verify: Option<Part>,
    /// Bring the derived files up to date, too: the index, and the text for people who meet the folder.
    pub derived: bool,
}

/// What a push did. Serialises to the JSON of the command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PushOutcome {
    /// Objects sent.
    pub uploaded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests made, listings and retries included.
    pub requests: u64,
    /// Objects still to be uploaded.
    pub backlog: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Derived files that were replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<String>,
    /// Snapshots that the remote had held and did not hold any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<u64>,
    /// What was verified, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// With a dry run: what would be uploaded, in that order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<ToUpload>>,
    /// Wall time.
    pub seconds: f64,
    /// Name of the remote.
    pub remote: String,
}

impl PushOutcome {
    /// Nothing was done yet.
    fn of(remote: &str) -> Self {
        Self {
            uploaded: 0,
            bytes: 0,
            requests: 0,
            backlog: 0,
            backlog_bytes: 0,
            derived: Vec::new(),
            lost: Vec::new(),
            verified: None,
            objects: None,
            seconds: 0.0,
            remote: remote.to_owned(),
        }
    }
}

/// One object of a backlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToUpload {
    /// Path relative to the archive's root.
    pub path: String,
    /// Length.
    pub bytes: u64,
}

impl From<&ArchiveObject> for ToUpload {
    fn from(object: &ArchiveObject) -> Self {
        Self { path: object.path.clone(), bytes: object.bytes }
    }
}

/// Opens a remote and pushes to it.
///
/// # Errors
/// As [`push`], and `Config` when the remote's settings cannot be used.
pub async fn push_to(
    archive: &Archive,
    remote: &RemoteConfig,
    options: &PushOptions,
    observer: &SharedObserver,
) -> Result<PushOutcome> {
    push(archive, &mirror::open(archive.root(), remote)?, options, observer).await
}

/// Uploads what the remote lacks.
///
/// # Errors
/// As [`plan_push`]; `Busy` when another push is under way; `Store` or `Credentials` when an upload fails, with the number of objects
/// left in the message; `Damage` when a local file is not what its name says: then all that does not need it was uploaded. What was
/// uploaded before stays, and the next push goes on from there.
pub async fn push(
    archive: &Archive,
    remote: &Remote,
    options: &PushOptions,
    observer: &SharedObserver,
) -> Result<PushOutcome> {
    let (outcome, result) = push_so_far(archive, remote, options, observer).await;
    result.map(|()| outcome)
}

/// As [`push`], and what was done until it failed.
async fn push_so_far(
    archive: &Archive,
    remote: &Remote,
    options: &PushOptions,
    observer: &SharedObserver,
) -> (PushOutcome, Result<()>) {
    let (started, requests) = (Instant::now(), remote.requests.total());
    let mut outcome = PushOutcome::of(&remote.name);
    remote.observe(observer.clone());
    let result = push_into(archive, remote, options, &mut outcome, observer).await;
    outcome.requests = remote.requests.total() - requests;
    outcome.seconds = started.elapsed().as_secs_f64();
    (outcome, result)
}

async fn push_into(
    archive: &Archive,
    remote: &Remote,
    options: &PushOptions,
    outcome: &mut PushOutcome,
    observer: &SharedObserver,
) -> Result<()> {
    let _lock = if options.dry_run { None } else { Some(archive.lock_push()?) };
    let plan = plan_push(archive, remote, options).await?;
    warn(&plan, observer);
    outcome.lost.clone_from(&plan.lost);
    outcome.verified.clone_from(&plan.verified);
    observer.event(Event::Phase { name: "push", total: Some(plan.count()) });
    let run = Push::new(archive, remote, &plan, observer);
    let mut result = Ok(());
    if options.dry_run {
        outcome.objects = Some(plan.objects().map(ToUpload::from).collect());
    } else {
        let mut there = plan.present.clone();
        if plan.count() > 0 {
            note_pushed(archive, &plan.remote, &there, run.attempted(), observer).await;
        }
        result = run.act(&plan, &mut there).await;
        note_pushed(archive, &plan.remote, &there, run.attempted(), observer).await;
    }
    (outcome.uploaded, outcome.bytes) = run.sent();
    (outcome.backlog, outcome.backlog_bytes) = run.left();
    result.map_err(|error| left_over(&plan, outcome.backlog, error))?;
    if options.derived && !options.dry_run {
        let is_known = plan.header.is_none() && plan.lost.is_empty();
        outcome.derived = derived::replace(archive, remote, is_known).await?;
    }
    Ok(())
}

/// Brings the derived files of a remote up to date that a push has just reached, and says which were replaced.
///
/// # Errors
/// `Busy` when a push is under way; `Store` or `Credentials` when the remote cannot be read or written.
pub async fn refresh_derived(archive: &Archive, remote: &Remote) -> Result<Vec<String>> {
    let _lock = archive.lock_push()?;
    derived::replace(archive, remote, true).await
}

/// What a person should know before anything is sent.
fn warn(plan: &PushPlan, observer: &SharedObserver) {
    let warn = |message: String| observer.event(Event::Warning { message });
    let remote = &plan.remote;
    if let Some(ahead) = plan.ahead {
        warn(format!(
            "remote {remote} holds snapshot {ahead}, which is newer than this archive: is another machine pushing to it, or was an older copy of the archive put back? `tillvault pull` fetches what is missing here"
        ));
    }
    for number in &plan.damaged {
        warn(format!("snapshot {number} is damaged and is not pushed to {remote}: run `tillvault check`"));
    }
    if !plan.lost.is_empty() {
        let count = plan.lost.len();
        warn(format!("remote {remote} has lost {count} of the snapshots it held: what it lacks is uploaded again"));
    }
    if let Some(verified) = plan.verified.as_ref().filter(|verified| verified.missing > 0) {
        let count = verified.missing;
        warn(format!(
            "remote {remote} has lost or cut {count} chunks of the snapshots it holds: they are uploaded again"
        ));
    }
}

/// Leaves behind what the remote holds now, for listings. Not a reason for a push to fail.
async fn note_pushed(
    archive: &Archive,
    remote: &str,
    there: &[u64],
    attempted: Vec<String>,
    observer: &SharedObserver,
) {
    if let Err(error) = archive.note_pushed_but(remote, there, attempted).await {
        let message = format!("which snapshots remote {remote} holds could not be noted: {error}");
        observer.event(Event::Warning { message });
    }
}

/// The error of a push that stopped: kind and hint of its cause, and how much is left.
fn left_over(plan: &PushPlan, left: u64, cause: Error) -> Error {
    let message = format!("push to {} stopped with {left} of {} objects still to upload", plan.remote, plan.count());
    let mut error = Error::new(cause.kind(), message);
    if let Some(hint) = cause.next_step() {
        error = error.hint(hint);
    }
    if cause.is_temporary() {
        error = error.temporary();
    }
    error.caused_by(cause)
}
