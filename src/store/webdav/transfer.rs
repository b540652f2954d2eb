//! MOVE and COPY: with the destination's parent made when it is missing, and safe against a lost answer.
//!
//! Promises: without `overwrite` an existing target stays as it is and the caller is told that it is there (`Overwrite: F`; the header is
//! always sent, since servers differ in what they take its absence for). With it the server deletes the target first: for a moment
//! the name may be empty (WEBDAV §6).

use object_store::path::Path;

use super::{
    WebDav, folders,
    problem::{Code, Problem},
    put::taken,
};

impl WebDav {
    /// MOVE, made safe against a lost answer.
    pub(super) async fn move_file(&self, from: &Path, to: &Path, overwrite: bool) -> object_store::Result<()> {
        let inner = &self.inner;
        let (mut attempts, mut tried) = (inner.client.attempts(), 0);
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
            if !attempts.again(&problem).await {
                return Err(problem.into_store_error(from));
            }
        }
    }

    /// COPY. It may be repeated, since it gives the same result.
    pub(super) async fn copy_file(&self, from: &Path, to: &Path, overwrite: bool) -> object_store::Result<()> {
        let mut attempts = self.inner.client.attempts();
        loop {
            let problem = match self.transfer("COPY", from, to, overwrite).await {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            };
            if problem.code() == Code::Precondition {
                return Err(taken(to, problem));
            }
            // Without overwriting a second try would meet the result of the first.
            if !overwrite || !attempts.again(&problem).await {
                return Err(problem.into_store_error(from));
            }
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
            if problem.code() == Code::Forbidden {
                // Some servers forbid what they cannot find.
                inner.stat(from).await?;
            }
            return Err(problem);
        };
        inner.stat(from).await?;
        inner.folders.ensure(&inner.client, &parent).await?;
        inner.client.send(once()?).await?;
        self.remember_parent(to);
        Ok(())
    }
}
