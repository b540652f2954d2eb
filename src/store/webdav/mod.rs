//! A WebDAV folder (Nextcloud first of all) as an [`ObjectStore`].
//!
//! | promise | how |
//! |---|---|
//! | a PUT has a length and overwrites nothing | Content-Length and `If-None-Match: *` on each; replacing is an upload under a temporary name and a MOVE |
//! | a broken PUT is not sent again blindly | PROPFIND Depth 0 first: equal length is stored, a true prefix of ours is deleted, anything else is left alone and reported |
//! | a listing is whole or an error | 207 and XML, read to its end, about the folder asked for |
//! | a wrong password costs one failed login | `client`: one request under way until the first has signed in |
//! | a delete never takes a folder | objects are looked at first |
//!
//! What it cannot do: `PutMode::Update`, object attributes and versions ([`Error::NotImplemented`]); a multipart upload is
//! buffered and sent as one PUT, at most [`LARGEST`] bytes. Modification times have whole seconds; a server that gives none is
//! shown as 1970. Proof that stored bytes equal ours (server-side hashes) is not given by this store: lengths are.
//!
//! Start reading at the trait implementation below; `put` is where care is needed.

mod body;
mod client;
mod folders;
mod get;
mod listing;
mod multipart;
mod problem;
mod put;

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result, path::Path,
};
use reqwest::StatusCode;
use secrecy::SecretString;
use url::Url;

pub use client::{Retry, Timeouts};
pub use multipart::LARGEST;
pub(crate) use problem::{Code, Problem, from_status};

use super::count::Requests;
use client::{Client, ClientSettings};
use folders::Folders;
use listing::{Entry, Resource};

/// Listings longer than this are refused; 20,000 objects make about 9 MB.
const LARGEST_LISTING: usize = 256 * 1024 * 1024;

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

/// A WebDAV folder as an object store. Clones share connections, counters and state.
#[derive(Clone, Debug)]
pub struct WebDav {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    folders: Folders,
}

impl WebDav {
    /// Sets up a store. Nothing is sent yet.
    ///
    /// # Errors
    /// `Config` for a URL that is not http(s) or a certificate file that cannot be read.
    pub fn new(settings: &WebDavSettings) -> crate::error::Result<Self> {
        let client = Client::new(&ClientSettings {
            url: &settings.url,
            username: &settings.username,
            password: &settings.password,
            ca_file: settings.ca_file.as_deref(),
            retry: settings.retry,
            timeouts: settings.timeouts,
        })?;
        Ok(Self { inner: Arc::new(Inner { client, folders: Folders::default() }) })
    }

    /// The counter of all HTTP requests sent, retries included.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.inner.client.requests)
    }

    /// Deletes one object; an absent one is fine. `temporary`: our own leftover, which needs no place in the trash bin.
    async fn remove(&self, path: &Path, temporary: bool) -> Result<()> {
        let inner = &self.inner;
        let meta = match inner.stat(path).await {
            Ok(meta) => meta,
            // A folder is not an object, and is not deleted.
            Err(problem) if problem.code() == Code::Missing => return Ok(()),
            Err(problem) => return Err(problem.into_store_error(path)),
        };
        let request = || {
            let mut request = inner.client.request("DELETE", path, false);
            if temporary {
                request = request.header("x-nc-skip-trashbin", "true")?;
                // A weak tag never matches (RFC 9110 §13.1.1); Apache gives one in the first second.
                if let Some(tag) = meta.e_tag.as_ref().filter(|tag| !tag.starts_with("W/")) {
                    request = request.header("if-match", tag)?;
                }
            }
            Ok(request)
        };
        match inner.client.send_again(request).await {
            Ok(_) => Ok(()),
            Err(problem) if problem.code() == Code::Missing => Ok(()),
            Err(problem) => Err(problem.into_store_error(path)),
        }
    }
}

/// Asks for a listing and reads it; a broken or stalled answer is asked for again.
async fn propfind(client: &Client, url: Url, name: &str, depth: &str) -> Result<Vec<Resource>, Problem> {
    let mut tried = 0;
    loop {
        tried += 1;
        let result = match client.send(propfind_request(client, url.clone(), name, depth)?).await {
            Ok(answer) => read_listing(client, answer, name).await,
            Err(problem) => Err(problem),
        };
        match result {
            Err(problem) if problem.worth_retrying() && tried < client.retry.tries => client.retry.pause(tried).await,
            result => return result,
        }
    }
}

fn propfind_request(client: &Client, url: Url, name: &str, depth: &str) -> Result<client::Request, Problem> {
    let request = client.request_url("PROPFIND", url, name.to_owned());
    let request = request.header("depth", depth)?.header("content-type", "application/xml; charset=utf-8")?;
    Ok(request.header("accept-encoding", "gzip")?.body(PutPayload::from_static(listing::PROPFIND.as_bytes())))
}

async fn read_listing(client: &Client, mut answer: reqwest::Response, name: &str) -> Result<Vec<Resource>, Problem> {
    let what = format!("PROPFIND {name}");
    let kind = client::content_type(&answer);
    if answer.status() != StatusCode::MULTI_STATUS || !kind.contains("xml") {
        let status = answer.status().as_u16();
        return Err(Problem::new(Code::NotDav, format!("{what}: no WebDAV listing came back ({status}, {kind:.60})")));
    }
    let mut body = Vec::new();
    while let Some(piece) = client.next_piece(&mut answer, &what).await? {
        body.extend_from_slice(&piece);
        if body.len() > LARGEST_LISTING {
            return Err(Problem::new(
                Code::Listing,
                format!("{what}: the listing is larger than {LARGEST_LISTING} bytes"),
            ));
        }
    }
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Code::Listing, format!("{what}: the listing is not UTF-8")))?;
    listing::parse(text)
}

impl Inner {
    /// What is at a name. A folder counts as missing: it is no object.
    async fn stat(&self, path: &Path) -> Result<ObjectMeta, Problem> {
        let found = propfind(&self.client, self.client.url(path, false), path.as_ref(), "0").await?;
        self.stat_of(path, found)
    }

    /// The same without retries, for callers that retry themselves.
    async fn stat_once(&self, path: &Path) -> Result<ObjectMeta, Problem> {
        let request = propfind_request(&self.client, self.client.url(path, false), path.as_ref(), "0")?;
        let answer = self.client.send(request).await?;
        self.stat_of(path, read_listing(&self.client, answer, path.as_ref()).await?)
    }

    fn stat_of(&self, path: &Path, found: Vec<Resource>) -> Result<ObjectMeta, Problem> {
        let entries = listing::place(self.client.base_segments(), found);
        let Some(entry) = entries.into_iter().find(|entry| entry.path == *path) else {
            return Err(Problem::new(Code::Listing, format!("PROPFIND {path}: the answer is about something else")));
        };
        if entry.resource.folder {
            return Err(Problem::new(Code::Missing, format!("{path} is a folder, not an object")));
        }
        meta(entry)
    }

    /// One folder: its objects and its folders. A folder that is not there is empty.
    async fn children(&self, folder: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>), Problem> {
        let found = match propfind(&self.client, self.client.url(folder, true), folder.as_ref(), "1").await {
            Ok(found) => found,
            Err(problem) if problem.code() == Code::Missing => return Ok((Vec::new(), Vec::new())),
            // Apache refuses to list what is a file.
            Err(problem) if problem.code() == Code::Unexpected && self.stat(folder).await.is_ok() => {
                return Ok((Vec::new(), Vec::new()));
            }
            Err(problem) => return Err(problem),
        };
        let depth = folder.parts_count();
        let (mut objects, mut folders, mut about_it) = (Vec::new(), Vec::new(), false);
        for entry in listing::place(self.client.base_segments(), found) {
            let below = entry.path.parts_count().checked_sub(depth).filter(|_| entry.path.prefix_matches(folder));
            about_it |= matches!(below, Some(0 | 1));
            match below {
                Some(0) if entry.resource.folder => self.folders.remember(folder),
                Some(1) if entry.resource.folder => folders.push(entry.path),
                Some(1) => objects.push(meta(entry)?),
                _ => {}
            }
        }
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        folders.sort_unstable();
        if !about_it {
            let why = format!("PROPFIND {folder}: the server lists other folders than the one asked for");
            return Err(Problem::new(Code::Listing, why).hint(
                "the path inside the remote's url is not the one the server uses: check user name and spelling",
            ));
        }
        Ok((objects, folders))
    }

    /// Everything below a folder, folder by folder.
    fn walk(self: Arc<Self>, top: Path) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::try_unfold(vec![top], move |mut pending| {
            let inner = Arc::clone(&self);
            async move {
                let Some(folder) = pending.pop() else { return Ok::<_, Error>(None) };
                let (objects, folders) =
                    inner.children(&folder).await.map_err(|problem| problem.into_store_error(&folder))?;
                pending.extend(folders);
                Ok(Some((futures::stream::iter(objects.into_iter().map(Ok)), pending)))
            }
        })
        .try_flatten()
        .boxed()
    }
}

fn meta(entry: Entry) -> Result<ObjectMeta, Problem> {
    let Entry { path, resource } = entry;
    // A length that is not told is not 0.
    let size = resource
        .size
        .ok_or_else(|| Problem::new(Code::Listing, format!("the server does not tell the length of {path}")))?;
    let modified = resource.modified.unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(ObjectMeta { location: path, last_modified: modified.into(), size, e_tag: resource.e_tag, version: None })
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

#[async_trait]
impl ObjectStore for WebDav {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if !opts.attributes.is_empty() {
            return Err(not_implemented("put_opts with attributes"));
        }
        match opts.mode {
            PutMode::Create => self.put_create(location, payload).await,
            PutMode::Overwrite => self.put_replace(location, payload).await,
            PutMode::Update(_) => Err(not_implemented("put_opts with PutMode::Update")),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(not_implemented("put_multipart_opts with attributes"));
        }
        Ok(Box::new(multipart::Buffered::new(self.clone(), location.clone())))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = |range: Range<u64>| async move {
            self.get(location, GetOptions::new().with_range(Some(range))).await?.bytes().await
        };
        object_store::coalesce_ranges(ranges, get, object_store::OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store.remove(&location, false).await?;
                    Ok(location)
                }
            })
            .buffered(4)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Arc::clone(&self.inner).walk(prefix.cloned().unwrap_or_default())
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        self.list(prefix).try_filter(move |meta| futures::future::ready(meta.location > offset)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        let (objects, common_prefixes) =
            self.inner.children(&folder).await.map_err(|problem| problem.into_store_error(&folder))?;
        Ok(ListResult { common_prefixes, objects, extensions: Default::default() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.copy_file(from, to, options.mode == CopyMode::Overwrite).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.move_file(from, to, options.target_mode == RenameTargetMode::Overwrite).await
    }
}
