//! Proof that what the server has is what was sent (WEBDAV §3, §9 rows 3 to 7, 15, 24, 28).
//!
//! Promises: an upload comes back as stored only with a [`Proof`]; what the server received altered is deleted and sent again, twice at
//! most; an object under the name that cannot be shown to be ours is never touched.

use bytes::Bytes;
use object_store::{Error, PutPayload, path::Path};
use reqwest::StatusCode;

use super::{
    WebDav,
    look::text_header,
    problem::{Code, Problem},
    put::Sent,
};
use crate::store::{
    proof::{Expected, Proof, ReadBack, Sha256, read_back},
    upload::{CORRUPTIONS, Stored, is_leftover},
};

/// Time that a server gets for hashing, besides the usual: it reads the whole object from its storage.
const HASHING: std::time::Duration = std::time::Duration::from_secs(240);

impl WebDav {
    /// Stores a new object and proves it.
    pub(crate) async fn put_proven(
        &self,
        path: &Path,
        bytes: Bytes,
        expected: &Expected,
        policy: ReadBack,
    ) -> object_store::Result<(Stored, Proof)> {
        self.ready().await.map_err(|problem| problem.into_store_error(path))?;
        let payload = PutPayload::from(bytes);
        let (mut corrupted, mut cleared) = (0, false);
        loop {
            let sent = match self.put_create(path, payload.clone(), true).await {
                Ok(sent) => sent,
                Err(error @ Error::AlreadyExists { .. }) => {
                    match self.existing(path, &payload, expected, policy).await? {
                        Some(proof) => return Ok((Stored::Present, proof)),
                        // The rest of a broken upload of this very object.
                        None if !cleared => {
                            cleared = true;
                            self.remove_object(path, true).await?;
                            continue;
                        }
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
            match self.confirm(path, expected, &sent, policy).await? {
                Some(proof) => return Ok((Stored::Uploaded, proof)),
                None if !sent.ours => {
                    let why = format!("{path} is on the server with the same length and other content");
                    return Err(super::put::taken(path, Problem::new(Code::Mismatch, why)));
                }
                None => {
                    corrupted += 1;
                    self.remove_object(path, true).await?;
                    if corrupted >= CORRUPTIONS {
                        let why = format!("{path} arrives altered at the server: corruption in transit");
                        return Err(Problem::new(Code::Corrupt, why).into_store_error(path));
                    }
                }
            }
        }
    }

    /// What an existing name means: a proof that it is our object, or none for the rest of a broken upload of it.
    async fn existing(
        &self,
        path: &Path,
        payload: &PutPayload,
        expected: &Expected,
        policy: ReadBack,
    ) -> object_store::Result<Option<Proof>> {
        let foreign = |why: String| Err(super::put::taken(path, Problem::new(Code::Mismatch, why)));
        let meta = match self.inner.stat(path).await {
            Ok(meta) => meta,
            // Gone in the meantime.
            Err(problem) if problem.code() == Code::Missing => return Ok(None),
            Err(problem) => return Err(problem.into_store_error(path)),
        };
        if meta.size != expected.bytes {
            if is_leftover(self, path, payload, meta.size).await? {
                return Ok(None);
            }
            return foreign(format!("{path} is on the server with {} bytes instead of {}", meta.size, expected.bytes));
        }
        match self.compare_content(path, expected, policy).await? {
            Some(proof) => Ok(Some(proof)),
            None => foreign(format!("{path} is on the server with the same length and other content")),
        }
    }

    /// Proves an upload that the server has taken.
    async fn confirm(
        &self,
        path: &Path,
        expected: &Expected,
        sent: &Sent,
        policy: ReadBack,
    ) -> object_store::Result<Option<Proof>> {
        match sent.received {
            Some(hash) if hash != expected.sha256 => return Ok(None),
            Some(_) if !sent.doubt => return Ok(Some(Proof::Received)),
            _ => {}
        }
        self.compare(path, expected, policy).await
    }

    /// Whether the object there is what it should be. One that is missing differs.
    async fn compare(&self, path: &Path, expected: &Expected, policy: ReadBack) -> object_store::Result<Option<Proof>> {
        match self.inner.stat(path).await {
            Ok(meta) if meta.size == expected.bytes => self.compare_content(path, expected, policy).await,
            Ok(_) => Ok(None),
            Err(problem) if problem.code() == Code::Missing => Ok(None),
            Err(problem) => Err(problem.into_store_error(path)),
        }
    }

    /// The same for an object of the right length: none when its content differs, or it turns out not to be there.
    pub(crate) async fn compare_content(
        &self,
        path: &Path,
        expected: &Expected,
        policy: ReadBack,
    ) -> object_store::Result<Option<Proof>> {
        let mut unreadable = false;
        if self.inner.profile().rehash {
            match self.rehash(path).await {
                Ok(Some(hash)) if hash == expected.sha256 => return Ok(Some(Proof::Rehashed)),
                Ok(Some(_)) => return Ok(None),
                Ok(None) => {}
                // Listed, and not there: the listing was stale (WEBDAV §2.1).
                Err(problem) if problem.code() == Code::Missing => return Ok(None),
                // It cannot read the object itself: reading it tells whether it is damaged.
                Err(problem) if problem.status() == Some(500) => unreadable = true,
                Err(problem) => return Err(problem.into_store_error(path)),
            }
        }
        if !unreadable && !policy.wants(path, expected.bytes) {
            return Ok(Some(Proof::Length));
        }
        let mut attempts = self.inner.client.attempts();
        loop {
            let error = match read_back(self, path).await {
                Ok(found) if found == *expected => return Ok(Some(Proof::ReadBack)),
                Ok(_) | Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => error,
            };
            // A body that broke off says nothing about what is stored.
            let again = match super::problem_of(&error) {
                Some(problem) => attempts.again(problem).await,
                None => false,
            };
            if !again {
                return Err(error);
            }
        }
    }

    /// The hash that the server computes from its storage now; none where it cannot.
    pub(crate) async fn hash_of(&self, path: &Path) -> object_store::Result<Option<Sha256>> {
        if !self.inner.profile().rehash {
            return Ok(None);
        }
        match self.rehash(path).await {
            Ok(hash) => Ok(hash),
            // It cannot read the object; whoever asks can.
            Err(problem) if problem.status() == Some(500) => Ok(None),
            Err(problem) => Err(problem.into_store_error(path)),
        }
    }

    /// `PATCH` with `X-Recalculate-Hash`. None when the server does not do that after all, which is remembered.
    pub(super) async fn rehash(&self, path: &Path) -> Result<Option<Sha256>, Problem> {
        let inner = &self.inner;
        let request = || {
            let request = inner.client.request("PATCH", path, false).longer(HASHING);
            request.header("x-recalculate-hash", "sha256")
        };
        let hash = match inner.client.send_again(request).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT || answer.status() == StatusCode::OK => {
                text_header(&answer, "oc-checksum").and_then(|told| parse_checksum(&told))
            }
            Ok(_) => None,
            // 405, 501; others refuse a PATCH that changes nothing.
            Err(problem) if problem.code() == Code::NotAllowed || matches!(problem.status(), Some(400 | 403 | 415)) => {
                None
            }
            Err(problem) => return Err(problem),
        };
        if hash.is_none() {
            inner.learn(|profile| profile.rehash = false);
        }
        Ok(hash)
    }
}

/// The SHA-256 in `SHA1:… SHA256:…`.
fn parse_checksum(told: &str) -> Option<Sha256> {
    told.split([' ', ',']).find_map(|one| {
        let (algorithm, hash) = one.trim().split_once(':')?;
        algorithm.eq_ignore_ascii_case("sha256").then(|| hash.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_among_others() {
        let hash = Sha256::of(b"abc");
        for told in [format!("SHA256:{hash}"), format!("MD5:aa sha256:{hash}"), format!("SHA1:00, SHA256:{hash}")] {
            assert_eq!(parse_checksum(&told), Some(hash), "{told}");
        }
        for told in ["", "SHA256", "SHA256:", "SHA256:zz", "SHA1:00"] {
            assert_eq!(parse_checksum(told), None, "{told}");
        }
    }
}
