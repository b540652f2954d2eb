//! The last step of an upload in parts: the server puts them together, which may take longer than a proxy waits (WEBDAV §4.5).
//!
//! Promises: while the server may still be at it nothing is sent again; it is asked, with growing pauses, until the object is there in
//! its whole length, the parts are gone, or patience is at its end; then the parts stay for a later run.

use std::time::Duration;

use object_store::{PutResult, path::Path};
use tokio::time::Instant;

use super::{
    WebDav,
    parts::{End, Staging},
    problem::{Code, Problem},
    put::{Sent, put_result, received_hash},
};
use crate::store::proof::Sha256;

/// The file that stands for all parts.
const WHOLE: &str = ".file";
/// Looks after a lost answer before the MOVE is sent again: it may still be under way, unseen.
const LOOKS: u32 = 2;

/// An object that was put together.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) sent: Sent,
    /// The server has said so itself, and has taken the parts away.
    pub(super) answered: bool,
}

/// How an object was found to be put together.
enum By {
    /// The answer to the MOVE.
    Answer(Option<Sha256>),
    /// A look: by this upload, or (false) perhaps by another of the same object.
    Look(bool),
}

/// What polling has found.
enum Found {
    There(PutResult),
    /// The parts are there and the object is not: the MOVE may be sent again.
    Idle,
}

/// The wait for one assembly.
struct Wait {
    until: Instant,
    pause: Duration,
    /// An answer was lost, so the server may be at work.
    unsure: bool,
    last: Problem,
}

impl WebDav {
    /// Has the parts put together under the object's name.
    pub(super) async fn assemble(&self, staging: &Staging<'_>) -> Result<Assembled, End> {
        let patience = self.inner.client.patience;
        let until = Instant::now() + patience.assembly_of(staging.stage.total);
        let mut wait: Option<Wait> = None;
        let mut parent_made = false;
        loop {
            let problem = match self.move_whole(staging).await {
                Ok((result, received)) => return self.assembled(staging, result, By::Answer(received)).await,
                Err(problem) => problem,
            };
            let unsure = wait.as_ref().is_some_and(|wait| wait.unsure);
            match (problem.code(), problem.status()) {
                // It may be there by an earlier MOVE, whose answer was lost.
                (Code::Precondition, _) if unsure => match self.inner.stat(staging.path).await {
                    Ok(meta) if meta.size == staging.stage.total => {
                        return self.assembled(staging, stored(meta.e_tag), By::Look(true)).await;
                    }
                    _ => return Err(End::Taken(problem)),
                },
                (Code::Precondition, _) => return Err(End::Taken(problem)),
                (Code::Conflict, _) if !parent_made => {
                    parent_made = true;
                    self.make_parent(staging.path, true).await.map_err(|_| problem)?;
                    continue;
                }
                // The parts are gone, do not fit together, or the server has lost what it knew of them (WEBDAV §4.3).
                (Code::Missing, _) | (_, Some(400 | 500)) => {
                    return match self.inner.stat(staging.path).await {
                        Ok(meta) if meta.size == staging.stage.total => {
                            self.assembled(staging, stored(meta.e_tag), By::Look(unsure)).await
                        }
                        _ => Err(End::Lost(problem)),
                    };
                }
                (Code::Locked | Code::Server | Code::TimedOut | Code::Broken | Code::Unreachable, _) => {}
                _ => return Err(problem.into()),
            }
            let locked = problem.code() == Code::Locked;
            let waiting = match wait.take() {
                Some(wait) => Wait { last: problem, unsure: wait.unsure || !locked, ..wait },
                None => Wait { until, pause: patience.assembly, unsure: !locked, last: problem },
            };
            let looks = if locked { 1 } else { LOOKS };
            let (waiting, found) = self.poll(staging, waiting, looks).await?;
            match found {
                Found::There(result) => return self.assembled(staging, result, By::Look(waiting.unsure)).await,
                Found::Idle => wait = Some(waiting),
            }
        }
    }

    async fn move_whole(&self, staging: &Staging<'_>) -> Result<(PutResult, Option<Sha256>), Problem> {
        let request = self
            .staged_request(staging, "MOVE", WHOLE)?
            .header("overwrite", "F")?
            .header("oc-total-length", &staging.stage.total.to_string())?
            .header("x-hash", "sha256")?;
        let answer = self.inner.client.send(request).await?;
        Ok((put_result(&answer), received_hash(&answer)))
    }

    /// Looks with growing pauses until the object is there, or the server has had `looks` looks without having begun.
    async fn poll(&self, staging: &Staging<'_>, mut wait: Wait, looks: u32) -> Result<(Wait, Found), End> {
        let patience = self.inner.client.patience;
        let (mut idle, mut gone) = (0, 0);
        loop {
            let late = Instant::now() >= wait.until;
            if !late {
                tokio::time::sleep(wait.pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
                wait.pause = (wait.pause * 2).min(patience.assembly_cap);
            }
            match self.inner.stat_once(staging.path).await {
                Ok(meta) if meta.size == staging.stage.total => return Ok((wait, Found::There(stored(meta.e_tag)))),
                // Shorter: on some storages it grows where it can be seen.
                Ok(_) => {}
                Err(problem) if problem.code() == Code::Missing => {}
                Err(problem) if late => return Err(problem.into()),
                Err(problem) if problem.worth_retrying() => continue,
                Err(problem) => return Err(problem.into()),
            }
            match self.inner.names_in(&staging.folder, staging.path.as_ref()).await {
                Ok(None) => gone += 1,
                Ok(Some(_)) => (idle, gone) = (idle + 1, 0),
                Err(problem) if problem.worth_retrying() && !late => {}
                Err(problem) => return Err(problem.into()),
            }
            if gone >= 2 {
                self.remove_short(staging.path, staging.stage.total).await?;
                return Err(End::Lost(wait.last));
            }
            if late {
                return Err(End::Failed(wait.last));
            }
            if idle >= looks {
                return Ok((wait, Found::Idle));
            }
        }
    }

    /// Checks the length of what the server says it has put together: on S3 it notices no missing part (WEBDAV §4.3).
    async fn assembled(&self, staging: &Staging<'_>, result: PutResult, by: By) -> Result<Assembled, End> {
        let meta = match self.inner.stat(staging.path).await {
            Ok(meta) => meta,
            Err(problem) if problem.code() == Code::Missing => return Err(End::Lost(problem)),
            Err(problem) => return Err(problem.into()),
        };
        let (received, ours, answered) = match by {
            By::Answer(received) => (received, true, true),
            By::Look(ours) => (None, ours, false),
        };
        if meta.size != staging.stage.total {
            self.remove_short(staging.path, staging.stage.total).await?;
            let why = format!(
                "{} has {} bytes after its parts were put together, instead of {}",
                staging.path, meta.size, staging.stage.total
            );
            return Err(End::Lost(Problem::new(Code::Corrupt, why)));
        }
        Ok(Assembled { sent: Sent { result, received, doubt: true, ours }, answered })
    }

    /// Deletes what the server has put together with another length: it came from this upload, since the name was free before.
    async fn remove_short(&self, path: &Path, total: u64) -> Result<(), End> {
        match self.inner.stat(path).await {
            Ok(meta) if meta.size != total => {
                let removed = self.remove_object(path, true).await;
                removed.map_err(|_| {
                    End::Failed(Problem::new(Code::Mismatch, format!("{path} is stored short and cannot be removed")))
                })
            }
            _ => Ok(()),
        }
    }
}

fn stored(e_tag: Option<String>) -> PutResult {
    PutResult { e_tag, version: None, extensions: Default::default() }
}
