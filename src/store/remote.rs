//! A remote: a store with a name, and what operations ask of it beyond [`ObjectStore`]: proven uploads, hashes computed by the
//! server, room left, what it can do.
//!
//! Promises: [`Remote::put_new`] overwrites nothing and comes back only when the object is proven ([`proof`](super::proof)); what cannot be
//! asked of a kind of store is `None`, never a guess.

use std::{path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    count::{Counted, Requests},
    failure,
    profile::{Profile, ServerKind},
    proof::{Expected, Proof, Quota, ReadBack, Sha256, Trash, read_back},
    throttle::Throttle,
    upload::{self, Stored},
    webdav::{self, Retry, Timeouts, WebDav, WebDavSettings},
};
use crate::{
    config::RemoteConfig,
    error::{Error, Kind, Result},
};

/// Uploads side by side, unless the settings say otherwise.
const CONNECTIONS: usize = 4;

/// A store with a name, as operations take it. Clones share everything.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Name in messages.
    pub name: String,
    /// The store: for reading, listing and whatever needs no proof.
    pub store: Arc<dyn ObjectStore>,
    /// Requests sent to it so far.
    pub requests: Arc<Requests>,
    /// Uploads under way at once, at least 1.
    pub connections: usize,
    /// The limit on upload speed. Every upload of this remote keeps to it.
    pub throttle: Arc<Throttle>,
    /// What is read back where the store computes no hashes.
    pub read_back: ReadBack,
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    WebDav(WebDav),
    Other(Profile),
}

impl Remote {
    /// A remote over a store that comes with the crate `object_store`, or over a wrapper. Its calls are counted as requests.
    pub fn over(name: impl Into<String>, store: Arc<dyn ObjectStore>, kind: ServerKind) -> Self {
        let counted = Counted::new(store);
        let requests = counted.requests();
        Self {
            name: name.into(),
            store: Arc::new(counted),
            requests,
            connections: CONNECTIONS,
            throttle: Arc::default(),
            read_back: ReadBack::default(),
            backend: Backend::Other(Profile::of_store(kind)),
        }
    }

    /// A remote over a WebDAV folder.
    pub fn webdav(name: impl Into<String>, store: WebDav) -> Self {
        Self {
            name: name.into(),
            requests: store.requests(),
            connections: CONNECTIONS,
            throttle: Arc::default(),
            read_back: ReadBack::default(),
            backend: Backend::WebDav(store.clone()),
            store: Arc::new(store),
        }
    }

    /// The same with another number of uploads side by side.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// What the remote can do, as far as it is known.
    #[must_use]
    pub fn profile(&self) -> Profile {
        match &self.backend {
            Backend::WebDav(_) => Profile::unknown(),
            Backend::Other(profile) => profile.clone(),
        }
    }

    /// Finds out what the remote can do and remembers it. It writes, reads and deletes a small object there.
    ///
    /// # Errors
    /// `Store` or `Credentials` when the remote cannot be reached, read or written.
    pub async fn probe(&self) -> Result<Profile> {
        Ok(self.profile())
    }

    /// Stores a write-once object and proves it. It never overwrites: an object of that name counts as stored only when it is
    /// proven to be the same; the rest of a broken upload of this very object is replaced; anything else is left alone.
    ///
    /// # Errors
    /// `Store` when the name is taken by something else ([`is_taken`]), when there is no room ([`is_full`]), or when the upload
    /// could not be finished or proven; `Credentials` when the server refuses to sign in.
    pub async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<Stored> {
        let expected = Expected::of(&bytes).await;
        self.throttle.wait(expected.bytes).await;
        let stored = upload::put_new(self.store.as_ref(), path, bytes).await;
        let stored = stored.map_err(|error| self.upload_failure(path, error))?;
        match self.prove(path, &expected).await {
            Ok(_) => Ok(stored),
            Err(error) if error.kind() == Kind::Damage && stored == Stored::Present => Err(self.taken(path)),
            Err(error) => Err(error),
        }
    }

    /// The hash that the server computes from its storage now; `None` where it cannot, or where the object is not there.
    ///
    /// # Errors
    /// `Store` or `Credentials` when it cannot be asked.
    pub async fn hash_at(&self, _path: &Path) -> Result<Option<Sha256>> {
        Ok(None)
    }

    /// Proves that an object there is what it should be: by the server's hash, else by reading it back as far as
    /// [`Remote::read_back`] wants that, else by its length.
    ///
    /// # Errors
    /// `Damage` when it is missing or something else; `Store` or `Credentials` when it cannot be looked at.
    pub async fn prove(&self, path: &Path, expected: &Expected) -> Result<Proof> {
        let cannot = |error| failure(format!("cannot read {path} from remote {}", self.name), error);
        let found = if self.read_back.wants(path, expected.bytes) {
            read_back(self.store.as_ref(), path).await.map(|found| (found.bytes, Some(found.sha256)))
        } else {
            self.store.head(path).await.map(|meta| (meta.size, None))
        };
        match found {
            Ok((bytes, hash)) if bytes == expected.bytes && hash.is_none_or(|hash| hash == expected.sha256) => {
                Ok(if hash.is_some() { Proof::ReadBack } else { Proof::Length })
            }
            Ok((bytes, _)) if bytes == expected.bytes => {
                Err(damaged(format!("{path} on remote {} has other content than it should have", self.name)))
            }
            Ok((bytes, _)) => {
                Err(damaged(format!("{path} on remote {} has {bytes} bytes instead of {}", self.name, expected.bytes)))
            }
            Err(object_store::Error::NotFound { .. }) => {
                Err(damaged(format!("{path} is missing on remote {}", self.name)))
            }
            Err(error) => Err(cannot(error)),
        }
    }

    /// Removes an object; one that is not there is fine.
    ///
    /// # Errors
    /// `Store` or `Credentials` when it cannot be removed; temporary when it is locked just now.
    pub async fn remove(&self, path: &Path, _trash: Trash) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(format!("cannot remove {path} from remote {}", self.name), error)),
        }
    }

    /// The room on the remote; `None` where it does not tell.
    ///
    /// # Errors
    /// `Store` or `Credentials` when it cannot be asked.
    pub async fn quota(&self) -> Result<Option<Quota>> {
        Ok(None)
    }

    fn taken(&self, path: &Path) -> Error {
        Error::new(Kind::Store, format!("remote {} holds something else as {path}", self.name)).caused_by(Taken)
    }

    fn upload_failure(&self, path: &Path, error: object_store::Error) -> Error {
        match error {
            object_store::Error::AlreadyExists { .. } => self.taken(path),
            error => failure(format!("cannot upload {path} to remote {}", self.name), error),
        }
    }
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damage, message)
}

/// The cause of a [`Remote::put_new`] that met another object under the name.
#[derive(Debug, thiserror::Error)]
#[error("nothing on the remote was changed")]
struct Taken;

/// Whether a [`Remote::put_new`] failed because the name is taken by something else.
#[must_use]
pub fn is_taken(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<Taken>())
}

/// Whether something failed because the remote has no room left.
#[must_use]
pub fn is_full(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<webdav::Problem>().is_some_and(|problem| problem.code() == webdav::Code::Full) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Opens a remote. Nothing is sent yet. `cache` is the folder of the remotes' local state: what they can do, and which uploads in
/// parts are under way. It may be deleted at any time.
///
/// # Errors
/// `Config` for a URL that is not http(s) or a certificate file that cannot be read.
pub fn open_remote(config: &RemoteConfig, _cache: &FilePath) -> Result<Remote> {
    let store = WebDav::new(&WebDavSettings {
        url: config.url.clone(),
        username: config.username.clone(),
        password: config.password.clone(),
        ca_file: config.ca_file.clone(),
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    })?;
    Ok(Remote::webdav(&config.name, store).with_connections(config.connections))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn an_object_of_the_same_length_is_no_proof() {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let remote = Remote::over("mirror", Arc::clone(&memory), ServerKind::Memory);
        let path = Path::from("tables/T/chunk.parquet");
        assert_eq!(remote.put_new(&path, "abcdef".into()).await.unwrap(), Stored::Uploaded);
        assert_eq!(remote.put_new(&path, "abcdef".into()).await.unwrap(), Stored::Present);
        let error = remote.put_new(&path, "abcdeX".into()).await.unwrap_err();
        assert!(is_taken(&error), "{error}");
        assert_eq!(memory.get(&path).await.unwrap().bytes().await.unwrap(), "abcdef");

        let expected = Expected::of(&"abcdef".into()).await;
        assert_eq!(remote.prove(&path, &expected).await.unwrap(), Proof::ReadBack);
        let other = Expected::of(&"abcdeX".into()).await;
        assert_eq!(remote.prove(&path, &other).await.unwrap_err().kind(), Kind::Damage);
        remote.remove(&path, Trash::Keep).await.unwrap();
        remote.remove(&path, Trash::Skip).await.unwrap();
        assert_eq!(remote.prove(&path, &expected).await.unwrap_err().kind(), Kind::Damage);
    }
}
