//! A remote: a store with a name, and what operations ask of it beyond [`ObjectStore`]: proven uploads, hashes computed by the
//! server, room left, what it can do.
//!
//! Promises: [`Remote::put_new`] overwrites nothing and comes back only when the object is proven ([`proof`](super::proof)); what cannot be
//! asked of a kind of store is `None`, never a guess.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{Error, ObjectStore, ObjectStoreExt, path::Path};

use super::{
    causes::Taken,
    count::{Counted, Requests},
    failure, folder,
    profile::{Profile, ServerKind},
    proof::{Expected, Proof, Quota, ReadBack, Sha256, Trash, read_back},
    s3,
    throttle::Throttle,
    upload::{self, Stored},
    webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
};
use crate::{
    config::{RemoteConfig, RemoteKind},
    error::{Error as Failure, Kind, Result},
    observe::SharedObserver,
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
    /// The folder, where the remote is one of this machine.
    folder: Option<PathBuf>,
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
        Self::counting(name, Arc::new(counted), requests, kind)
    }

    /// The same over a store that counts its requests itself.
    pub fn counting(
        name: impl Into<String>,
        store: Arc<dyn ObjectStore>,
        requests: Arc<Requests>,
        kind: ServerKind,
    ) -> Self {
        Self {
            name: name.into(),
            store,
            requests,
            connections: CONNECTIONS,
            throttle: Arc::default(),
            read_back: ReadBack::default(),
            backend: Backend::Other(Profile::of_store(kind)),
            folder: None,
        }
    }

    /// A remote over a WebDAV folder.
    pub fn webdav(name: impl Into<String>, store: WebDav) -> Self {
        Self {
            name: name.into(),
            requests: store.requests(),
            connections: CONNECTIONS,
            throttle: store.throttle(),
            read_back: ReadBack::default(),
            backend: Backend::WebDav(store.clone()),
            folder: None,
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
            Backend::WebDav(store) => store.profile(),
            Backend::Other(profile) => profile.clone(),
        }
    }

    /// Tells `observer` what is waited for: the end of maintenance, or of a pause that the server has asked for.
    pub fn observe(&self, observer: SharedObserver) {
        if let Backend::WebDav(store) = &self.backend {
            store.observe(observer);
        }
    }

    /// Finds out what the remote can do and remembers it, whatever was known. It writes, reads and deletes a small object there.
    ///
    /// # Errors
    /// `Store` or `Credentials` when the remote cannot be reached, read or written.
    pub async fn probe(&self) -> Result<Profile> {
        match &self.backend {
            Backend::WebDav(store) => store.probe().await.map_err(|problem| {
                let what = format!("cannot find out what remote {} can do", self.name);
                failure(what, problem.into_store_error(&Path::default()))
            }),
            Backend::Other(profile) => Ok(profile.clone()),
        }
    }

    /// Stores a write-once object and proves it. It never overwrites: an object of that name counts as stored only when it is
    /// proven to be the same; the rest of a broken upload of this very object is replaced; anything else is left alone.
    ///
    /// # Errors
    /// `Store` when the name is taken by something else ([`is_taken`](super::is_taken)), when there is no room ([`is_full`](super::is_full)), or when the upload
    /// could not be finished or proven; `Credentials` when the server refuses to sign in.
    pub async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<Stored> {
        Ok(self.put_proven(path, bytes).await?.0)
    }

    /// The same, with what proves it.
    ///
    /// # Errors
    /// As [`Remote::put_new`].
    pub async fn put_proven(&self, path: &Path, bytes: Bytes) -> Result<(Stored, Proof)> {
        let expected = Expected::of(&bytes).await;
        let done = match &self.backend {
            Backend::WebDav(store) => store.put_proven(path, bytes, &expected, self.read_back).await,
            Backend::Other(_) => self.put_elsewhere(path, bytes, &expected).await,
        };
        done.map_err(|error| match error {
            Error::AlreadyExists { .. } => self.taken(path, error),
            error => failure(format!("cannot upload {path} to remote {}", self.name), error),
        })
    }

    async fn put_elsewhere(
        &self,
        path: &Path,
        bytes: Bytes,
        expected: &Expected,
    ) -> object_store::Result<(Stored, Proof)> {
        let mut tried = 0;
        loop {
            tried += 1;
            self.throttle.wait(expected.bytes).await;
            let stored = upload::put_new(self.store.as_ref(), path, bytes.clone()).await?;
            if stored == Stored::Uploaded && self.profile().received_hash {
                return Ok((stored, Proof::Received));
            }
            match self.proof_of(path, expected).await? {
                Ok(proof) => return Ok((stored, proof)),
                Err(why) if stored == Stored::Present => {
                    return Err(Error::AlreadyExists { path: path.to_string(), source: why.into() });
                }
                Err(why) => {
                    // The name was free, so this is ours; what is not what it should be must not stay.
                    self.store.delete(path).await?;
                    if tried >= upload::CORRUPTIONS {
                        return Err(Error::Generic { store: "remote", source: why.into() });
                    }
                }
            }
        }
    }

    /// The hash that the server computes from its storage now; `None` where it cannot.
    ///
    /// # Errors
    /// `Damage` when the object is not there; `Store` or `Credentials` when it cannot be asked.
    pub async fn hash_at(&self, path: &Path) -> Result<Option<Sha256>> {
        let Backend::WebDav(store) = &self.backend else { return Ok(None) };
        match store.hash_of(path).await {
            Ok(hash) => Ok(hash),
            Err(Error::NotFound { .. }) => Err(damaged(format!("{path} is missing on remote {}", self.name))),
            Err(error) => Err(self.unreadable(path, error)),
        }
    }

    /// Proves that an object there is what it should be: by the server's hash, else by reading it back as far as
    /// [`Remote::read_back`] wants that, else by its length.
    ///
    /// # Errors
    /// `Damage` when it is missing or something else; `Store` or `Credentials` when it cannot be looked at.
    pub async fn prove(&self, path: &Path, expected: &Expected) -> Result<Proof> {
        match self.proof_of(path, expected).await {
            Ok(Ok(proof)) => Ok(proof),
            Ok(Err(why)) => Err(damaged(why)),
            Err(error) => Err(self.unreadable(path, error)),
        }
    }

    /// A proof, or why there is none.
    async fn proof_of(
        &self,
        path: &Path,
        expected: &Expected,
    ) -> object_store::Result<std::result::Result<Proof, String>> {
        let on = format!("{path} on remote {}", self.name);
        let bytes = match self.store.head(path).await {
            Ok(meta) => meta.size,
            Err(Error::NotFound { .. }) => return Ok(Err(format!("{path} is missing on remote {}", self.name))),
            Err(error) => return Err(error),
        };
        if bytes != expected.bytes {
            return Ok(Err(format!("{on} has {bytes} bytes instead of {}", expected.bytes)));
        }
        let proof = match &self.backend {
            Backend::WebDav(store) => store.compare_content(path, expected, self.read_back).await?,
            Backend::Other(_) if !self.read_back.wants(path, bytes) => Some(Proof::Length),
            Backend::Other(_) => match read_back(self.store.as_ref(), path).await {
                Ok(found) => (found == *expected).then_some(Proof::ReadBack),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(proof.ok_or_else(|| format!("{on} has other content than it should have")))
    }

    /// Removes an object; one that is not there is fine.
    ///
    /// # Errors
    /// `Store` or `Credentials` when it cannot be removed; temporary when it is locked just now.
    pub async fn remove(&self, path: &Path, trash: Trash) -> Result<()> {
        let removed = match &self.backend {
            Backend::WebDav(store) => store.remove(path, trash).await,
            Backend::Other(_) => self.store.delete(path).await,
        };
        match removed {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(format!("cannot remove {path} from remote {}", self.name), error)),
        }
    }

    /// The room on the remote; `None` where it does not tell.
    ///
    /// # Errors
    /// `Store` or `Credentials` when it cannot be asked.
    pub async fn quota(&self) -> Result<Option<Quota>> {
        if let Some(path) = &self.folder {
            return folder::quota(&self.name, path).map(Some);
        }
        let Backend::WebDav(store) = &self.backend else { return Ok(None) };
        store.quota().await.map_err(|problem| {
            let what = format!("cannot ask remote {} how much room is left", self.name);
            failure(what, problem.into_store_error(&Path::default()))
        })
    }

    fn taken(&self, path: &Path, cause: Error) -> Failure {
        Failure::new(Kind::Store, format!("remote {} holds something else as {path}", self.name))
            .caused_by(Taken(cause))
    }

    fn unreadable(&self, path: &Path, error: Error) -> Failure {
        failure(format!("cannot read {path} from remote {}", self.name), error)
    }
}

fn damaged(message: String) -> Failure {
    Failure::new(Kind::Damage, message)
}

/// Opens a remote. Nothing is sent yet. `cache` is the folder of the remotes' local state: what they can do, and which uploads in
/// parts are under way. It may be deleted at any time.
///
/// # Errors
/// `Config` for a URL that is not http(s) or a certificate file that cannot be read; `Store` for a folder that is not there.
pub fn open_remote(config: &RemoteConfig, cache: &FilePath) -> Result<Remote> {
    open_with(config, cache, Patience::default())
}

/// The same for a question that a person waits for: a server that asks for time (too many requests, maintenance, a lock) is a
/// temporary failure at once.
///
/// # Errors
/// As [`open_remote`].
pub fn open_remote_hasty(config: &RemoteConfig, cache: &FilePath) -> Result<Remote> {
    open_with(config, cache, Patience::NONE)
}

fn open_with(config: &RemoteConfig, cache: &FilePath, patience: Patience) -> Result<Remote> {
    let remote = match &config.kind {
        RemoteKind::WebDav { url, username, password, ca_file } => {
            let settings = WebDavSettings {
                url: url.clone(),
                username: username.clone(),
                password: password.clone(),
                ca_file: ca_file.clone(),
                retry: Retry::default(),
                timeouts: Timeouts::default(),
            };
            let store =
                WebDav::tuned(&settings, Tuning { patience, state: Some(cache.to_owned()), ..Tuning::default() })?;
            Remote::webdav(&config.name, store)
        }
        RemoteKind::S3 { .. } => {
            let (store, requests) = s3::open(&config.name, &config.kind)?;
            Remote::counting(&config.name, store, requests, ServerKind::S3)
        }
        RemoteKind::Folder { path } => {
            let store = Arc::new(folder::open(&config.name, path)?);
            Remote { folder: Some(path.clone()), ..Remote::over(&config.name, store, ServerKind::Folder) }
        }
    };
    remote.throttle.set(config.rate_limit);
    Ok(remote.with_connections(config.connections))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
        PutPayload, PutResult, memory::InMemory,
    };

    use super::*;
    use crate::store::is_taken;

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

    /// A store that alters the next uploads.
    #[derive(Debug)]
    struct Altering(Arc<dyn ObjectStore>, AtomicU32);

    impl std::fmt::Display for Altering {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Altering")
        }
    }

    #[async_trait]
    impl ObjectStore for Altering {
        async fn put_opts(
            &self,
            location: &Path,
            payload: PutPayload,
            opts: PutOptions,
        ) -> object_store::Result<PutResult> {
            let left = self.1.load(Ordering::Relaxed);
            self.1.store(left.saturating_sub(1), Ordering::Relaxed);
            let altered = if left == 0 { payload } else { vec![b'?'; payload.content_length()].into() };
            self.0.put_opts(location, altered, opts).await
        }

        async fn put_multipart_opts(
            &self,
            location: &Path,
            opts: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, opts).await
        }

        async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.0.get_opts(location, options).await
        }

        fn delete_stream(
            &self,
            locations: BoxStream<'static, object_store::Result<Path>>,
        ) -> BoxStream<'static, object_store::Result<Path>> {
            self.0.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn what_arrives_altered_does_not_stay() {
        for (times, goes_well) in [(1, true), (2, false)] {
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let altering = Altering(Arc::clone(&memory), AtomicU32::new(times));
            let remote = Remote::over("mirror", Arc::new(altering), ServerKind::Memory);
            let path = Path::from("tables/T/chunk.parquet");
            assert_eq!(remote.put_new(&path, "abcdef".into()).await.is_ok(), goes_well);
            assert_eq!(memory.head(&path).await.is_ok(), goes_well, "nothing wrong is left");
        }
    }
}
