//! Uploads in parts: Nextcloud's chunked upload, version 2 (WEBDAV §4).
//!
//! Promises: a run that was killed goes on with the parts that are there; the parts are put together only when the server lists all of
//! them with the right lengths, and nothing else; the name that they are put together under is never overwritten; an upload that the server has
//! lost begins anew, three times at most; without room the parts are taken away.
//!
//! `assembly` is the last step; here is everything before it.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use object_store::{PutPayload, path::Path};
use sha2::Digest as _;
use url::Url;

use super::{
    WebDav,
    assembly::Assembled,
    folders,
    problem::{Code, Problem},
    put::{Sent, taken},
    request::Request,
    stage::Stage,
};
use crate::store::proof::Sha256;

/// How often an upload begins anew.
const RESTARTS: u32 = 3;
/// How often lost parts are sent again before that.
const ROUNDS: u32 = 3;

/// Why an upload in parts did not go through.
#[derive(Debug)]
pub(super) enum End {
    /// The server has lost it: begin anew.
    Lost(Problem),
    /// Its parts are too large.
    TooLarge(Problem),
    /// Something else has the name.
    Taken(Problem),
    /// Anything else. The parts stay where a later run may go on.
    Failed(Problem),
}

impl From<Problem> for End {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

/// Where the parts of one upload lie, and where they belong.
pub(super) struct Staging<'a> {
    pub(super) stage: &'a Stage,
    pub(super) path: &'a Path,
    pub(super) folder: Url,
    user: &'a str,
}

impl WebDav {
    /// Uploads in parts. What is stored has to be proven from the storage.
    pub(super) async fn put_in_parts(&self, path: &Path, payload: &PutPayload) -> object_store::Result<Sent> {
        let total = payload.content_length() as u64;
        match self.inner.stat(path).await {
            // Nothing is sent for a name that is taken; and whatever has it later came from here.
            Ok(meta) => {
                let why = format!("{path} is on the server already, with {} bytes", meta.size);
                return Err(taken(path, Problem::new(Code::Precondition, why)));
            }
            Err(problem) if problem.code() == Code::Missing => {}
            Err(problem) => return Err(problem.into_store_error(path)),
        }
        let shared = payload.clone();
        let hash = tokio::task::spawn_blocking(move || hash_of(&shared)).await;
        let hash = hash.unwrap_or_else(|_| hash_of(payload));
        let parent_known = folders::parent(path).is_some_and(|parent| self.inner.folders.is_known(&parent));
        if !parent_known {
            self.make_parent(path, false).await?;
        }
        let mut restarts = 0;
        loop {
            let stage = self.open_stage(path, total, &hash).map_err(|problem| problem.into_store_error(path))?;
            let Some(staging) = self.staging(&stage, path) else {
                let why = format!("{path}: the remote's url does not name the user, whose uploads could go in parts");
                return Err(Problem::new(Code::TooLarge, why).into_store_error(path));
            };
            match self.upload(&staging, payload).await {
                Ok(assembled) => {
                    if assembled.answered {
                        self.inner.records.forget(path);
                    } else {
                        // Another upload of the same object may have been faster, and then these parts lie there still.
                        self.drop_stage(&staging).await;
                    }
                    return Ok(assembled.sent);
                }
                Err(End::Lost(problem)) => {
                    self.drop_stage(&staging).await;
                    restarts += 1;
                    if restarts >= RESTARTS {
                        return Err(problem.into_store_error(path));
                    }
                }
                Err(End::TooLarge(problem)) => {
                    self.drop_stage(&staging).await;
                    let smallest = self.inner.tuning.smallest_part;
                    if stage.part <= smallest {
                        return Err(problem.into_store_error(path));
                    }
                    let smaller = (stage.part / 2).max(smallest);
                    self.inner.learn(|profile| profile.largest_put = Some(smaller));
                }
                Err(End::Taken(problem)) => {
                    self.drop_stage(&staging).await;
                    return Err(taken(path, problem));
                }
                Err(End::Failed(problem)) => {
                    if problem.code() == Code::Full {
                        self.drop_stage(&staging).await;
                    }
                    return Err(problem.into_store_error(path));
                }
            }
        }
    }

    /// The upload that an earlier run has begun, or a new one.
    fn open_stage(&self, path: &Path, total: u64, hash: &Sha256) -> Result<Stage, Problem> {
        let inner = &self.inner;
        let part = inner.part_size();
        if let Some(stage) = inner.records.open(path, total, hash).filter(|stage| stage.part <= part) {
            return Ok(stage);
        }
        let stage = Stage::new(path, total, hash, part);
        inner.records.keep(path, &stage)?;
        Ok(stage)
    }

    fn staging<'a>(&'a self, stage: &'a Stage, path: &'a Path) -> Option<Staging<'a>> {
        let client = &self.inner.client;
        let place = client.place()?;
        let user = place.user.as_deref()?;
        let folder = place.url(client.base(), &["remote.php", "dav", "uploads", user, &stage.id], true);
        Some(Staging { stage, path, folder, user })
    }

    /// A request about something in the staging folder; the folder itself when `child` is empty.
    pub(super) fn staged_request(
        &self,
        staging: &Staging<'_>,
        method: &'static str,
        child: &str,
    ) -> Result<Request, Problem> {
        let client = &self.inner.client;
        let url = match (child, client.place()) {
            ("", _) | (_, None) => staging.folder.clone(),
            (child, Some(place)) => {
                let below = ["remote.php", "dav", "uploads", staging.user, &staging.stage.id, child];
                place.url(client.base(), &below, false)
            }
        };
        let name = if child.is_empty() { staging.path.to_string() } else { format!("{} ({child})", staging.path) };
        let request = client.request_url(method, url, name);
        request.header("destination", client.url(staging.path, false).as_str())
    }

    async fn upload(&self, staging: &Staging<'_>, payload: &PutPayload) -> Result<Assembled, End> {
        let stage = staging.stage;
        let mut there = if self.make_stage(staging).await? { BTreeMap::new() } else { self.staged(staging).await? };
        for _ in 0..ROUNDS {
            for n in 1..=stage.parts() {
                let range = stage.range(n);
                if there.get(&n) != Some(&(range.end - range.start)) {
                    self.put_part(staging, n, slice(payload, range)).await?;
                }
            }
            there = self.staged(staging).await?;
            let whole = (1..=stage.parts()).all(|n| {
                let range = stage.range(n);
                there.get(&n) == Some(&(range.end - range.start))
            });
            if whole {
                return self.assemble(staging).await;
            }
        }
        let why = format!("{}: parts of the upload are not there after they were sent", staging.path);
        Err(End::Lost(Problem::new(Code::Server, why)))
    }

    /// Makes the staging folder: true when it is new.
    async fn make_stage(&self, staging: &Staging<'_>) -> Result<bool, End> {
        match self.inner.client.send_again(|| self.staged_request(staging, "MKCOL", "")).await {
            Ok(_) => Ok(true),
            Err(problem) if problem.code() == Code::NotAllowed => Ok(false),
            Err(problem) => {
                if matches!(problem.code(), Code::Missing | Code::Conflict | Code::Forbidden) {
                    // There is no place for parts on this server after all.
                    self.inner.learn(|profile| profile.chunking = false);
                }
                Err(End::Failed(problem))
            }
        }
    }

    /// The parts that the server lists, with their lengths. Whatever else lies there would become part of the object: it goes.
    async fn staged(&self, staging: &Staging<'_>) -> Result<BTreeMap<u64, u64>, End> {
        let name = staging.path.as_ref();
        let Some(children) = self.inner.names_in(&staging.folder, name).await? else {
            return Err(End::Lost(Problem::new(Code::Server, format!("{name}: the server has dropped the upload"))));
        };
        let mut there = BTreeMap::new();
        for (child, size) in children {
            match (staging.stage.number(&child), size) {
                (Some(n), Some(size)) => {
                    there.insert(n, size);
                }
                (Some(_), None) => {}
                // The name that the whole will be moved from.
                (None, _) if child.starts_with('.') => {}
                (None, _) => {
                    let delete = || self.staged_request(staging, "DELETE", &child);
                    match self.inner.client.send_again(delete).await {
                        Err(problem) if problem.code() != Code::Missing => return Err(problem.into()),
                        _ => {}
                    }
                }
            }
        }
        Ok(there)
    }

    async fn put_part(&self, staging: &Staging<'_>, n: u64, part: PutPayload) -> Result<(), End> {
        let (inner, name) = (&self.inner, Stage::name(n));
        let mut attempts = inner.client.attempts();
        let mut parent_made = false;
        loop {
            let request = self
                .staged_request(staging, "PUT", &name)?
                .header("oc-total-length", &staging.stage.total.to_string())?
                .body(part.clone());
            // 200, 201 and 204 all say that it is there.
            let Err(problem) = inner.client.send(request).await else { return Ok(()) };
            match problem.code() {
                Code::Missing => {
                    // Either the staging folder is gone, or the folder that the object belongs into.
                    if parent_made || inner.names_in(&staging.folder, staging.path.as_ref()).await?.is_none() {
                        return Err(End::Lost(problem));
                    }
                    parent_made = true;
                    self.make_parent(staging.path, true).await.map_err(|_| problem)?;
                }
                Code::Precondition => return Err(End::Lost(problem)),
                Code::TooLarge => return Err(End::TooLarge(problem)),
                _ if attempts.again(&problem).await => {}
                _ => return Err(problem.into()),
            }
        }
    }

    /// Takes an upload away that nobody will go on with. What cannot be deleted, the server drops after a day.
    async fn drop_stage(&self, staging: &Staging<'_>) {
        self.inner.records.forget(staging.path);
        if let Ok(request) = self.staged_request(staging, "DELETE", "") {
            let _ = self.inner.client.send(request).await;
        }
    }
}

/// Some bytes of a payload, without copying.
fn slice(payload: &PutPayload, range: Range<u64>) -> PutPayload {
    let mut at = 0;
    let mut parts: Vec<Bytes> = Vec::new();
    for part in payload {
        let length = part.len() as u64;
        let (from, to) = (range.start.clamp(at, at + length), range.end.clamp(at, at + length));
        if from < to {
            // Both are within the part, so they fit.
            let place = |offset: u64| usize::try_from(offset - at).unwrap_or(part.len());
            parts.push(part.slice(place(from)..place(to)));
        }
        at += length;
    }
    parts.into_iter().collect()
}

fn hash_of(payload: &PutPayload) -> Sha256 {
    let mut digest = sha2::Sha256::new();
    for part in payload {
        digest.update(part);
    }
    Sha256::from(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_has_the_bytes_of_its_range_whatever_the_pieces() {
        let text = "abcdefghij";
        for pieces in [vec!["abcdefghij"], vec!["a", "bcd", "", "efghi", "j"]] {
            let payload: PutPayload = pieces.into_iter().map(Bytes::from).collect();
            for (from, to) in [(0, 10), (0, 1), (1, 4), (3, 7), (9, 10), (4, 4)] {
                let sliced: Vec<u8> = slice(&payload, from as u64..to as u64).iter().flatten().copied().collect();
                assert_eq!(sliced, text.as_bytes()[from..to], "{from}..{to}");
            }
            assert_eq!(hash_of(&payload), Sha256::of(text.as_bytes()));
        }
    }
}
