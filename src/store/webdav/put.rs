//! Uploads: write-once puts that survive a broken connection, and replacement by a temporary name and MOVE.
//!
//! Promises: every PUT has `If-None-Match: *` and a Content-Length; an existing object is never overwritten by a PUT
//! (WEBDAV §0 rule 3); after a failed PUT the store looks before it sends again (rule 4, §9 rows 1 to 3). What is too large for one
//! PUT goes in [`parts`](super::parts); a server that ignores `If-None-Match` gets a temporary name and a MOVE that does not overwrite.

use object_store::{PutPayload, PutResult, path::Path};
use reqwest::{Response, StatusCode, header::ETAG};

use super::{
    WebDav, folders,
    look::text_header,
    problem::{Code, Problem},
};
use crate::store::{proof::Sha256, upload::is_leftover};

/// An upload that the server has taken.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) result: PutResult,
    /// The server's hash of what it received.
    pub(super) received: Option<Sha256>,
    /// Whether it took more than one clean request, so that only a look into the storage proves anything.
    pub(super) doubt: bool,
    /// Whether what is there is certainly by this upload.
    pub(super) ours: bool,
}

/// What a look at a name has found.
enum Look {
    Absent,
    Stored(PutResult),
    Leftover,
    Foreign(u64),
}

impl WebDav {
    /// Stores a new object, or says that the name is taken. `hash`: the server is asked for its hash of what it receives.
    pub(super) async fn put_create(&self, path: &Path, payload: PutPayload, hash: bool) -> object_store::Result<Sent> {
        let profile = self.inner.profile();
        if payload.content_length() as u64 > self.inner.largest_put() && profile.chunking {
            match self.put_in_parts(path, &payload).await {
                // The server takes no parts after all; perhaps it takes the whole.
                Err(_) if !self.inner.profile().chunking => {}
                sent => return sent,
            }
        }
        if profile.conditional_put {
            return self.put_directly(path, payload, hash).await;
        }
        match self.inner.stat(path).await {
            Ok(meta) => {
                let why = format!("{path} is on the server already, with {} bytes", meta.size);
                Err(taken(path, Problem::new(Code::Precondition, why)))
            }
            Err(problem) if problem.code() == Code::Missing => self.put_aside(path, payload, hash).await,
            Err(problem) => Err(problem.into_store_error(path)),
        }
    }

    /// For servers that would overwrite: a name that nobody else uses, then a MOVE that is refused if the target is there.
    async fn put_aside(&self, path: &Path, payload: PutPayload, hash: bool) -> object_store::Result<Sent> {
        let temporary = temporary(path)?;
        let size = payload.content_length() as u64;
        let mut sent = self.put_directly(&temporary, payload, hash).await?;
        let moved = match self.inner.stat(&temporary).await {
            Ok(meta) if meta.size == size => self.move_file(&temporary, path, false).await,
            Ok(meta) => {
                let why = format!("{temporary} has {} bytes on the server instead of {size}", meta.size);
                Err(Problem::new(Code::Corrupt, why).into_store_error(path))
            }
            Err(problem) => Err(problem.into_store_error(path)),
        };
        if let Err(error) = moved {
            // Best effort; a leftover of this kind harms nobody.
            let _ = self.remove_object(&temporary, true).await;
            return Err(error);
        }
        sent.result.e_tag = None;
        Ok(sent)
    }

    async fn put_directly(&self, path: &Path, payload: PutPayload, hash: bool) -> object_store::Result<Sent> {
        let inner = &self.inner;
        let (mut parent_made, mut seen_absent) = (false, false);
        let (mut attempts, mut tried) = (inner.client.attempts(), 0);
        if folders::parent(path).is_some_and(|parent| inner.folders.is_absent(&parent)) {
            parent_made = true;
            self.make_parent(path, false).await?;
        }
        loop {
            tried += 1;
            let parent_known = folders::parent(path).is_some_and(|parent| inner.folders.is_known(&parent));
            let problem = match self.put_once(path, &payload, hash).await {
                Ok(answer) => {
                    self.remember_parent(path);
                    let received = received_hash(&answer);
                    if hash {
                        inner.learn_received(received.is_some());
                    }
                    if answer.status() == StatusCode::NO_CONTENT {
                        // That is the answer to replacing something: the server does not keep to the condition after all.
                        inner.learn(|profile| profile.conditional_put = false);
                    }
                    return Ok(Sent { result: put_result(&answer), received, doubt: tried > 1, ours: true });
                }
                Err(problem) => problem,
            };
            match problem.code() {
                // Later tries may meet what an earlier one has stored although its answer was lost. At the first try the name is
                // taken; but some servers answer 412 to a missing parent, too, so believe it when something is there.
                Code::Precondition if tried == 1 && (parent_made || inner.stat(path).await.is_ok()) => {
                    return Err(taken(path, problem));
                }
                Code::Missing | Code::Conflict | Code::Precondition if !parent_made => {
                    parent_made = true;
                    self.make_parent(path, parent_known).await?;
                    // Not the server's fault: this round does not count.
                    tried -= 1;
                    continue;
                }
                Code::TooLarge => return self.put_smaller(path, &payload, problem).await,
                // A later try has met something; the look below tells what.
                Code::Precondition => {}
                _ if problem.worth_retrying() => {}
                _ => return Err(problem.into_store_error(path)),
            }
            let again = match problem.code() {
                Code::Precondition => tried <= inner.client.retry.tries,
                _ => attempts.again(&problem).await,
            };
            if !again {
                return self.last_look(path, &payload, seen_absent, problem).await;
            }
            match self.look(path, &payload, seen_absent).await {
                Ok(Look::Stored(result)) => {
                    return Ok(Sent { result, received: None, doubt: true, ours: seen_absent });
                }
                Ok(Look::Leftover) => self.remove_object(path, true).await?,
                Ok(Look::Foreign(size)) => return Err(taken(path, mismatch(path, size, &payload))),
                Ok(Look::Absent) => {
                    seen_absent = true;
                    if !parent_made {
                        // A server that refuses early closes the connection, and its 404 or 409 may be lost with it.
                        parent_made = true;
                        self.make_parent(path, parent_known).await?;
                    }
                }
                Err(error) if super::is_lasting(&error) => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn put_once(&self, path: &Path, payload: &PutPayload, hash: bool) -> Result<Response, Problem> {
        let client = &self.inner.client;
        let mut request = client.request("PUT", path, false).header("if-none-match", "*")?;
        if hash {
            request = request.header("x-hash", "sha256")?;
        }
        client.send(request.body(payload.clone())).await
    }

    /// The server, or a proxy before it, takes no body of that length: from now on such objects go in parts (§9 row 20).
    async fn put_smaller(&self, path: &Path, payload: &PutPayload, refused: Problem) -> object_store::Result<Sent> {
        let size = payload.content_length() as u64;
        if !self.inner.profile().chunking || size <= self.inner.tuning.smallest_part {
            return Err(refused.into_store_error(path));
        }
        self.inner.learn(|profile| {
            let limit = (size / 2).min(profile.largest_put.unwrap_or(u64::MAX));
            profile.largest_put = Some(limit);
        });
        self.put_in_parts(path, payload).await
    }

    /// The last try has failed; perhaps the object is there all the same. A leftover is taken away, and an upload that breaks off time
    /// and again is tried in parts.
    async fn last_look(
        &self,
        path: &Path,
        payload: &PutPayload,
        seen_absent: bool,
        problem: Problem,
    ) -> object_store::Result<Sent> {
        // Nobody answers: asking once more would only cost time.
        if problem.code() == Code::Unreachable {
            return Err(problem.into_store_error(path));
        }
        match self.look(path, payload, seen_absent).await {
            Ok(Look::Stored(result)) => return Ok(Sent { result, received: None, doubt: true, ours: seen_absent }),
            Ok(Look::Leftover) => {
                // If this fails, too, the next upload of the name will find and remove it.
                let _ = self.remove_object(path, true).await;
            }
            Ok(Look::Foreign(size)) => return Err(taken(path, mismatch(path, size, payload))),
            Ok(Look::Absent) | Err(_) => {}
        }
        let broke_off = matches!(problem.code(), Code::Broken | Code::TimedOut);
        let size = payload.content_length() as u64;
        if broke_off && self.inner.profile().chunking && size >= 2 * self.inner.tuning.smallest_part {
            return self.put_in_parts(path, payload).await;
        }
        Err(problem.into_store_error(path))
    }

    /// `seen_absent`: nothing was there during this upload, so what is there now came from it.
    async fn look(&self, path: &Path, payload: &PutPayload, seen_absent: bool) -> object_store::Result<Look> {
        let meta = match self.inner.stat_once(path).await {
            Ok(meta) => meta,
            Err(problem) if problem.code() == Code::Missing => return Ok(Look::Absent),
            Err(problem) => return Err(problem.into_store_error(path)),
        };
        let ours = payload.content_length() as u64;
        if meta.size == ours {
            return Ok(Look::Stored(PutResult { e_tag: meta.e_tag, version: None, extensions: Default::default() }));
        }
        let leftover = (seen_absent && meta.size < ours) || is_leftover(self, path, payload, meta.size).await?;
        Ok(if leftover { Look::Leftover } else { Look::Foreign(meta.size) })
    }

    /// Replaces an object: uploads under a temporary name beside it, then MOVE over it (DESIGN §3).
    pub(super) async fn put_replace(&self, path: &Path, payload: PutPayload) -> object_store::Result<PutResult> {
        let temporary = temporary(path)?;
        let size = payload.content_length() as u64;
        self.put_create(&temporary, payload, false).await?;
        match self.move_file(&temporary, path, true).await {
            // The etag belongs to the new name; ask for it.
            Ok(()) => {
                let meta = self.inner.stat(path).await.map_err(|problem| problem.into_store_error(path))?;
                if meta.size != size {
                    let why = format!("{path} has {} bytes after it was replaced by {size} bytes", meta.size);
                    return Err(Problem::new(Code::Mismatch, why).into_store_error(path));
                }
                Ok(PutResult { e_tag: meta.e_tag, version: None, extensions: Default::default() })
            }
            Err(error) => {
                // Best effort; a leftover of this kind harms nobody.
                let _ = self.remove_object(&temporary, true).await;
                Err(error)
            }
        }
    }

    pub(super) fn remember_parent(&self, path: &Path) {
        if let Some(parent) = folders::parent(path) {
            self.inner.folders.remember(&parent);
        }
    }

    /// Makes the folder that holds `path`. `was_known`: it was thought to exist, and the server says that something is missing.
    pub(super) async fn make_parent(&self, path: &Path, was_known: bool) -> object_store::Result<()> {
        let Some(parent) = folders::parent(path) else { return Ok(()) };
        if was_known {
            self.inner.folders.forget(&parent);
        }
        self.inner.folders.ensure(&self.inner.client, &parent).await.map_err(|problem| problem.into_store_error(path))
    }
}

/// A name beside `path` that nobody else uses.
fn temporary(path: &Path) -> object_store::Result<Path> {
    Ok(Path::parse(format!("{path}.{:016x}.tmp", rand::random::<u64>()))?)
}

/// The server's hash of what it received. It counts only with a 2xx (WEBDAV §3).
pub(super) fn received_hash(answer: &Response) -> Option<Sha256> {
    text_header(answer, "x-hash-sha256")?.parse().ok()
}

pub(super) fn put_result(answer: &Response) -> PutResult {
    let e_tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    PutResult { e_tag, version: None, extensions: Default::default() }
}

pub(super) fn taken(path: &Path, problem: Problem) -> object_store::Error {
    object_store::Error::AlreadyExists { path: path.to_string(), source: Box::new(problem) }
}

fn mismatch(path: &Path, size: u64, payload: &PutPayload) -> Problem {
    let ours = payload.content_length();
    Problem::new(
        Code::Mismatch,
        format!("{path} is on the server with {size} bytes that are not the first of our {ours}"),
    )
}
