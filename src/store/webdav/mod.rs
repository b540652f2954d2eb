//! A WebDAV folder (Nextcloud first of all) as an [`ObjectStore`], with proof of what it stores.
//!
//! | promise | how |
//! |---|---|
//! | a PUT has a length and overwrites nothing | Content-Length and `If-None-Match: *` on each; a server that ignores that gets a temporary name and a MOVE that does not overwrite; replacing is an upload under a temporary name and a MOVE |
//! | a broken PUT is not sent again blindly | PROPFIND Depth 0 first: equal length is looked into, a true prefix of ours is deleted, anything else is left alone and reported |
//! | stored is what is proven | `put_proven`: the server's hash of what it received or of what it stores, else the bytes read back |
//! | what is too large goes in parts | `parts`, `assembly`: resumed after a kill, put together once, never over another object |
//! | a listing is whole or an error | 207 and XML, read to its end, about the folder asked for; pages that do not add up are thrown away |
//! | a wrong password costs one failed login | `gate`: one request under way until the first has signed in, none after a refusal |
//! | a server that asks for time gets it | `patience`: one pause for all after 429, polling during maintenance, locks waited for |
//! | a delete never takes a folder | objects are looked at first |
//!
//! What each method of the trait promises is said at its implementation below. What the store cannot do: `PutMode::Update`, object
//! attributes and versions ([`Error::NotImplemented`]); a multipart upload is buffered, at most [`LARGEST`] bytes. Modification
//! times have whole seconds; a server that gives none is shown as 1970; nothing is decided by them.
//!
//! Start reading at the trait implementation; `put` is where care is needed.

mod assembly;
mod body;
mod client;
mod folders;
mod gate;
mod get;
mod listing;
mod look;
mod multipart;
mod parts;
mod patience;
mod place;
mod probe;
mod problem;
mod prove;
mod put;
mod request;
mod stage;
mod transfer;

use std::{
    fmt,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result, path::Path,
};
use secrecy::SecretString;
use url::Url;

pub use multipart::LARGEST;
pub use patience::{Patience, Retry, Timeouts};
pub(crate) use problem::{Code, Problem, from_status};

use super::{
    count::Requests,
    profile::{self, Profile},
    proof::{Quota, Trash},
    throttle::Throttle,
};
use crate::observe::SharedObserver;
use client::{Client, ClientSettings};
use folders::Folders;
use patience::Attempts;
use stage::Records;

/// What a [`WebDav`] store needs to know.
#[derive(Clone, Debug)]
pub struct WebDavSettings {
    /// The folder: `https://HOST/remote.php/dav/files/USER/FOLDER`. User information and query are dropped.
    pub url: Url,
    /// User, for HTTP Basic.
    pub username: String,
    /// App password.
    pub password: SecretString,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Tries and pauses.
    pub retry: Retry,
    /// Time limits.
    pub timeouts: Timeouts,
}

/// How a store goes about its work. The defaults are those of a run at night; every figure can be set, so that tests are quick.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How patient it is with a server that asks for time.
    pub patience: Patience,
    /// Larger objects go in parts, in bytes, where the server takes parts. A server's own smaller limit is learnt.
    pub largest_put: u64,
    /// Length of a part, in bytes.
    pub part: u64,
    /// The smallest part that every storage takes (WEBDAV §4.2).
    pub smallest_part: u64,
    /// Entries of one page of a listing, where the server gives pages.
    pub page: usize,
    /// Whether the first proven upload probes a server of which nothing is known.
    pub probe: bool,
    /// Folder of the local state: what the server can do, uploads in parts under way. None keeps nothing.
    pub state: Option<PathBuf>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            largest_put: 64 * 1024 * 1024,
            part: 32 * 1024 * 1024,
            smallest_part: 5 * 1024 * 1024,
            page: 5000,
            probe: true,
            state: None,
        }
    }
}

/// A WebDAV folder as an object store. Clones share connections, counters and state.
#[derive(Clone, Debug)]
pub struct WebDav {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    folders: Folders,
    tuning: Tuning,
    profile: Mutex<Profile>,
    /// Where the profile is kept.
    profile_file: Option<PathBuf>,
    records: Records,
    probing: tokio::sync::Mutex<()>,
}

impl Inner {
    fn profile(&self) -> Profile {
        self.profile.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Corrects what is known of the server, and keeps it.
    fn learn(&self, change: impl FnOnce(&mut Profile)) {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let before = profile.clone();
        change(&mut profile);
        if let Some(file) = self.profile_file.as_ref().filter(|_| *profile != before && profile.probed) {
            // A cache: without it the next run asks again.
            let _ = profile::save(file, self.client.base(), self.client.username(), &profile);
        }
    }

    /// Notes whether an upload was answered with a hash.
    fn learn_received(&self, given: bool) {
        if self.profile().received_hash != given {
            self.learn(|profile| profile.received_hash = given);
        }
    }

    /// The largest object that is sent at once.
    fn largest_put(&self) -> u64 {
        self.tuning.largest_put.min(self.profile().largest_put.unwrap_or(u64::MAX))
    }

    /// The length of parts.
    fn part_size(&self) -> u64 {
        let profile = self.profile();
        let wanted = [Some(self.tuning.part), profile.largest_part, profile.largest_put];
        wanted.into_iter().flatten().min().unwrap_or(self.tuning.part).max(self.tuning.smallest_part)
    }
}

impl WebDav {
    /// Sets up a store that knows nothing of its server, keeps nothing, and waits for nothing but the pauses between tries.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `Config` for a URL that is not http(s) or a certificate file that cannot be read.
    pub fn new(settings: &WebDavSettings) -> crate::error::Result<Self> {
        Self::tuned(settings, Tuning { patience: Patience::NONE, ..Tuning::default() })
    }

    /// The same with everything that can be set. What is known of the server is read from [`Tuning::state`].
    ///
    /// # Errors
    /// As [`WebDav::new`].
    pub fn tuned(settings: &WebDavSettings, tuning: Tuning) -> crate::error::Result<Self> {
        let client = Client::new(&ClientSettings {
            url: &settings.url,
            username: &settings.username,
            password: &settings.password,
            ca_file: settings.ca_file.as_deref(),
            retry: settings.retry,
            timeouts: settings.timeouts,
            patience: tuning.patience,
        })?;
        let about = blake3::hash(format!("{}\0{}", client.base(), client.username()).as_bytes()).to_hex();
        let prefix = about[..16].to_owned();
        let profile_file = tuning.state.as_ref().map(|folder| folder.join(format!("{prefix}.profile.json")));
        let known = profile_file.as_ref().and_then(|file| profile::load(file, client.base(), client.username()));
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                folders: Folders::default(),
                profile: Mutex::new(known.unwrap_or_else(Profile::unknown)),
                profile_file,
                records: Records(tuning.state.clone().map(|folder| (folder, prefix))),
                probing: tokio::sync::Mutex::default(),
                tuning,
            }),
        })
    }

    /// The counter of all HTTP requests sent, retries included.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.inner.client.requests)
    }

    /// The limit on the speed of all uploads.
    #[must_use]
    pub fn throttle(&self) -> Arc<Throttle> {
        Arc::clone(&self.inner.client.throttle)
    }

    /// What the server can do, as far as it is known.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.profile()
    }

    /// Tells `observer` what is waited for. The first observer stays.
    pub(crate) fn observe(&self, observer: SharedObserver) {
        self.inner.client.gate.observe(observer);
    }

    /// The room left; none when the server does not know.
    pub(crate) async fn quota(&self) -> Result<Option<Quota>, Problem> {
        self.inner.quota().await
    }

    /// Removes an object; an absent one is fine.
    pub(crate) async fn remove(&self, path: &Path, trash: Trash) -> Result<()> {
        self.delete_found(path, trash == Trash::Skip, false).await?;
        // There may be room again.
        self.inner.client.gate.set_full(false);
        Ok(())
    }

    /// Deletes one object; an absent one is fine. `temporary`: our own leftover, which needs no place in the trash bin, and which
    /// has to be what was looked at.
    async fn remove_object(&self, path: &Path, temporary: bool) -> Result<()> {
        self.delete_found(path, temporary, temporary).await
    }

    async fn delete_found(&self, path: &Path, skip_trash: bool, same: bool) -> Result<()> {
        let inner = &self.inner;
        let meta = match inner.stat(path).await {
            Ok(meta) => meta,
            // A folder is not an object, and is not deleted.
            Err(problem) if problem.code() == Code::Missing => return Ok(()),
            Err(problem) => return Err(problem.into_store_error(path)),
        };
        let request = || {
            let mut request = inner.client.request("DELETE", path, false);
            if skip_trash {
                request = request.header("x-nc-skip-trashbin", "true")?;
            }
            // A weak tag never matches (RFC 9110 §13.1.1); Apache gives one in the first second.
            if let Some(tag) = meta.e_tag.as_ref().filter(|tag| same && !tag.starts_with("W/")) {
                request = request.header("if-match", tag)?;
            }
            Ok(request)
        };
        // What is locked now can be removed another time.
        match inner.client.send_within(Attempts::hasty(inner.client.retry), request).await {
            Ok(_) => Ok(()),
            Err(problem) if problem.code() == Code::Missing => Ok(()),
            Err(problem) => Err(problem.into_store_error(path)),
        }
    }
}

/// Whether trying again is senseless.
fn is_lasting(error: &Error) -> bool {
    problem_of(error).is_some_and(|problem| !problem.worth_retrying())
}

/// The problem inside a store error, if it came from this store.
pub(crate) fn problem_of(error: &Error) -> Option<&Problem> {
    let (Error::Generic { source, .. }
    | Error::NotFound { source, .. }
    | Error::AlreadyExists { source, .. }
    | Error::Precondition { source, .. }
    | Error::NotModified { source, .. }
    | Error::PermissionDenied { source, .. }
    | Error::Unauthenticated { source, .. }
    | Error::NotSupported { source }) = error
    else {
        return None;
    };
    source.downcast_ref()
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "WebDAV".to_owned() }
}

impl fmt::Display for WebDav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebDAV({})", self.inner.client.base())
    }
}

/// Takes our own problem out of the trait's wrapping.
fn into_problem(error: Error) -> Problem {
    match super::into_problem(error) {
        Ok(problem) => problem,
        Err(error) => Problem::new(Code::Unexpected, error.to_string()),
    }
}

#[async_trait]
impl ObjectStore for WebDav {
    /// `Create`: the object is there whole when this comes back, or the name is taken ([`Error::AlreadyExists`]), or an error says that it is
    /// not there; after an error a beginning of it may be visible, which the next upload of the same bytes replaces. Length is checked
    /// after any doubt, content is not: that is `put_proven`'s. `Overwrite`: readers see the old object, for a moment perhaps none,
    /// then the new one; after an error the old one, or none when the server died between deleting and moving.
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if !opts.attributes.is_empty() {
            return Err(not_implemented("put_opts with attributes"));
        }
        match opts.mode {
            PutMode::Create => Ok(self.put_create(location, payload, false).await?.result),
            PutMode::Overwrite => self.put_replace(location, payload).await,
            PutMode::Update(_) => Err(not_implemented("put_opts with PutMode::Update")),
        }
    }

    /// Buffers, and uploads at `complete` as `Overwrite` does. Nothing is sent before, so an abort has nothing to clean up.
    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(not_implemented("put_multipart_opts with attributes"));
        }
        Ok(Box::new(multipart::Buffered::new(self.clone(), location.clone())))
    }

    /// A body that ends before its announced length is an error. Conditions and ranges hold also on servers that ignore them.
    /// A folder is [`Error::NotFound`].
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(location, options).await
    }

    /// Ranges that lie close together are read in one request.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = |range: Range<u64>| async move {
            self.get(location, GetOptions::new().with_range(Some(range))).await?.bytes().await
        };
        object_store::coalesce_ranges(ranges, get, object_store::OBJECT_STORE_COALESCE_DEFAULT).await
    }

    /// Deletes into the server's trash bin, where there is one. An absent object is fine; a folder is never deleted.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store.remove(&location, Trash::Keep).await?;
                    Ok(location)
                }
            })
            .buffered(4)
            .boxed()
    }

    /// Folder by folder, one request each (more where a folder has several pages). What is written meanwhile may or may not be in it.
    /// An error ends it: what came before it is no whole listing.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Arc::clone(&self.inner).walk(prefix.cloned().unwrap_or_default())
    }

    /// As [`ObjectStore::list`]; everything is asked for and what comes before `offset` dropped.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        self.list(prefix).try_filter(move |meta| futures::future::ready(meta.location > offset)).boxed()
    }

    /// One folder, whole or an error. One that is not there is empty.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        let (objects, common_prefixes) =
            self.inner.children(&folder).await.map_err(|problem| problem.into_store_error(&folder))?;
        Ok(ListResult { common_prefixes, objects, extensions: Default::default() })
    }

    /// COPY on the server. With `CopyMode::Create` an existing target stays as it is ([`Error::AlreadyExists`]), also when it
    /// came from an earlier try whose answer was lost.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.copy_file(from, to, options.mode == CopyMode::Overwrite).await
    }

    /// MOVE on the server. With `RenameTargetMode::Create` an existing target stays as it is ([`Error::AlreadyExists`]); else it is
    /// deleted first, so for a moment the name may be empty.
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.move_file(from, to, options.target_mode == RenameTargetMode::Overwrite).await
    }
}
