//! Uploads: write-once puts that survive a broken connection, and replacement by a temporary name and MOVE.
//!
//! Promises: every PUT has `If-None-Match: *` and a Content-Length; an existing object is never overwritten by a PUT
//! (WEBDAV §0 rule 3); after a failed PUT the store looks before it sends again (rule 4, §9 rows 1 to 3).

use object_store::{PutPayload, PutResult, path::Path};
use reqwest::{Response, header::ETAG};

use super::{Problem, WebDav, folders, problem::Code};
use crate::store::upload::is_leftover;

/// What a look at a name has found.
enum Look {
    Absent,
    Stored(PutResult),
    Leftover,
    Foreign(u64),
}

impl WebDav {
    /// Stores a new object, or says that the name is taken.
    pub(super) async fn put_create(&self, path: &Path, payload: PutPayload) -> object_store::Result<PutResult> {
        let inner = &self.inner;
        let mut parent_made = false;
        let mut tried = 0;
        loop {
            tried += 1;
            let parent_known = folders::parent(path).is_some_and(|parent| inner.folders.is_known(&parent));
            let request = inner
                .client
                .request("PUT", path, false)
                .header("if-none-match", "*")
                .map(|request| request.body(payload.clone()));
            let sent = match request {
                Ok(request) => inner.client.send(request).await,
                Err(problem) => Err(problem),
            };
            let problem = match sent {
                Ok(answer) => {
                    self.remember_parent(path);
                    return Ok(put_result(&answer));
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
                Code::Precondition => {}
                _ if problem.worth_retrying() => {}
                _ => return Err(problem.into_store_error(path)),
            }
            if tried >= inner.client.retry.tries {
                return self.last_look(path, &payload, problem).await;
            }
            inner.client.retry.pause(tried).await;
            match self.look(path, &payload).await {
                Ok(Look::Stored(result)) => return Ok(result),
                Ok(Look::Leftover) => self.remove(path, true).await?,
                Ok(Look::Foreign(size)) => return Err(taken(path, mismatch(path, size, &payload))),
                Ok(Look::Absent) => {
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

    /// The last try has failed; perhaps the object is there all the same. A leftover is taken away.
    async fn last_look(&self, path: &Path, payload: &PutPayload, problem: Problem) -> object_store::Result<PutResult> {
        // Nobody answers: asking once more would only cost time.
        if problem.code() == Code::Unreachable {
            return Err(problem.into_store_error(path));
        }
        match self.look(path, payload).await {
            Ok(Look::Stored(result)) => Ok(result),
            Ok(Look::Leftover) => {
                // If this fails, too, the next upload of the name will find and remove it.
                let _ = self.remove(path, true).await;
                Err(problem.into_store_error(path))
            }
            Ok(Look::Foreign(size)) => Err(taken(path, mismatch(path, size, payload))),
            Ok(Look::Absent) | Err(_) => Err(problem.into_store_error(path)),
        }
    }

    async fn look(&self, path: &Path, payload: &PutPayload) -> object_store::Result<Look> {
        let meta = match self.inner.stat_once(path).await {
            Ok(meta) => meta,
            Err(problem) if problem.code() == Code::Missing => return Ok(Look::Absent),
            Err(problem) => return Err(problem.into_store_error(path)),
        };
        if meta.size == payload.content_length() as u64 {
            return Ok(Look::Stored(PutResult { e_tag: meta.e_tag, version: None, extensions: Default::default() }));
        }
        let leftover = is_leftover(self, path, payload, meta.size).await?;
        Ok(if leftover { Look::Leftover } else { Look::Foreign(meta.size) })
    }

    /// Replaces an object: uploads under a temporary name beside it, then MOVE over it (DESIGN §3).
    pub(super) async fn put_replace(&self, path: &Path, payload: PutPayload) -> object_store::Result<PutResult> {
        let temporary = Path::parse(format!("{path}.{:016x}.tmp", rand::random::<u64>()))?;
        let size = payload.content_length() as u64;
        self.put_create(&temporary, payload).await?;
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
                let _ = self.remove(&temporary, true).await;
                Err(error)
            }
        }
    }

    /// MOVE, made safe against a lost answer.
    pub(super) async fn move_file(&self, from: &Path, to: &Path, overwrite: bool) -> object_store::Result<()> {
        let inner = &self.inner;
        let mut tried = 0;
        loop {
            tried += 1;
            let problem = match self.transfer("MOVE", from, to, overwrite).await {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            };
            // An earlier try may have done it: then the source is gone and the target is there.
            if tried > 1 && problem.code() == Code::Missing && inner.stat(to).await.is_ok() {
                return Ok(());
            }
            if problem.code() == Code::Precondition {
                return Err(taken(to, problem));
            }
            if !problem.worth_retrying() || tried >= inner.client.retry.tries {
                return Err(problem.into_store_error(from));
            }
            inner.client.retry.pause(tried).await;
        }
    }

    /// COPY. It may be repeated, since it gives the same result.
    pub(super) async fn copy_file(&self, from: &Path, to: &Path, overwrite: bool) -> object_store::Result<()> {
        let mut tried = 0;
        loop {
            tried += 1;
            let problem = match self.transfer("COPY", from, to, overwrite).await {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            };
            if problem.code() == Code::Precondition {
                return Err(taken(to, problem));
            }
            // Without overwriting a second try would meet the result of the first.
            if !overwrite || !problem.worth_retrying() || tried >= self.inner.client.retry.tries {
                return Err(problem.into_store_error(from));
            }
            self.inner.client.retry.pause(tried).await;
        }
    }

    async fn transfer(&self, method: &'static str, from: &Path, to: &Path, overwrite: bool) -> Result<(), Problem> {
        let inner = &self.inner;
        if to.is_root() || inner.folders.is_known(to) {
            return Err(Problem::new(Code::Mismatch, format!("{method} {from}: {to} is a folder")));
        }
        let once = || {
            let request = inner.client.request(method, from, false);
            request
                .header("destination", inner.client.url(to, false).as_str())?
                .header("overwrite", if overwrite { "T" } else { "F" })
        };
        let Err(problem) = inner.client.send(once()?).await else {
            self.remember_parent(to);
            return Ok(());
        };
        // A missing parent is 409 by the book, but also 404, 403 or 500 (WEBDAV §7).
        let parent_may_miss = matches!(problem.code(), Code::Conflict | Code::Missing | Code::Forbidden | Code::Server);
        let Some(parent) = folders::parent(to).filter(|parent| parent_may_miss && !inner.folders.is_known(parent))
        else {
            return Err(problem);
        };
        inner.stat(from).await?;
        inner.folders.ensure(&inner.client, &parent).await?;
        inner.client.send(once()?).await?;
        self.remember_parent(to);
        Ok(())
    }

    fn remember_parent(&self, path: &Path) {
        if let Some(parent) = folders::parent(path) {
            self.inner.folders.remember(&parent);
        }
    }

    /// Makes the folder that holds `path`. `was_known`: it was thought to exist, and the server says that something is missing.
    async fn make_parent(&self, path: &Path, was_known: bool) -> object_store::Result<()> {
        let Some(parent) = folders::parent(path) else { return Ok(()) };
        if was_known {
            self.inner.folders.forget(&parent);
        }
        self.inner.folders.ensure(&self.inner.client, &parent).await.map_err(|problem| problem.into_store_error(path))
    }
}

fn put_result(answer: &Response) -> PutResult {
    let e_tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    PutResult { e_tag, version: None, extensions: Default::default() }
}

fn taken(path: &Path, problem: Problem) -> object_store::Error {
    object_store::Error::AlreadyExists { path: path.to_string(), source: Box::new(problem) }
}

fn mismatch(path: &Path, size: u64, payload: &PutPayload) -> Problem {
    let ours = payload.content_length();
    Problem::new(
        Code::Mismatch,
        format!("{path} is on the server with {size} bytes that are not the first of our {ours}"),
    )
}
