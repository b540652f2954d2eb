//! Looking: what is at a name, what a folder holds, how much room is left.
//!
//! Promises: a listing is whole or an error, also when it comes in pages: pages that do not add up are thrown away and the folder is
//! asked for at once (WEBDAV §9 row 31); a folder that is not there is empty; a folder is never taken for an object.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{Error, ObjectMeta, PutPayload, Result, path::Path};
use reqwest::Response;
use url::Url;

use super::{
    Inner,
    client::Client,
    listing::{self, Entry, Resource},
    problem::{Code, Problem},
    request::Request,
};
use crate::store::proof::Quota;

/// Listings longer than this are refused; 20,000 objects make about 9 MB.
const LARGEST_LISTING: usize = 256 * 1024 * 1024;

/// Asks for a listing and reads it; a broken or stalled answer is asked for again.
pub(super) async fn propfind(client: &Client, url: Url, name: &str, depth: &str) -> Result<Vec<Resource>, Problem> {
    propfind_with(client, || propfind_request(client, url.clone(), name, depth, listing::PROPFIND), name).await
}

async fn propfind_with(
    client: &Client,
    make: impl Fn() -> Result<Request, Problem>,
    name: &str,
) -> Result<Vec<Resource>, Problem> {
    let mut attempts = client.attempts();
    loop {
        let result = match client.send(make()?).await {
            Ok(answer) => read_listing(client, answer, name).await,
            Err(problem) => Err(problem),
        };
        match result {
            Err(problem) => {
                if !attempts.again(&problem).await {
                    return Err(problem);
                }
            }
            found => return found,
        }
    }
}

fn propfind_request(
    client: &Client,
    url: Url,
    name: &str,
    depth: &str,
    body: &'static str,
) -> Result<Request, Problem> {
    let request = client.request_url("PROPFIND", url, name.to_owned());
    let request = request.header("depth", depth)?.header("content-type", "application/xml; charset=utf-8")?;
    Ok(request.header("accept-encoding", "gzip")?.body(PutPayload::from_static(body.as_bytes())))
}

async fn read_listing(client: &Client, mut answer: Response, name: &str) -> Result<Vec<Resource>, Problem> {
    let what = format!("PROPFIND {name}");
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
    pub(super) async fn stat(&self, path: &Path) -> Result<ObjectMeta, Problem> {
        let found = propfind(&self.client, self.client.url(path, false), path.as_ref(), "0").await?;
        self.stat_of(path, found)
    }

    /// The same without retries, for callers that retry themselves.
    pub(super) async fn stat_once(&self, path: &Path) -> Result<ObjectMeta, Problem> {
        let url = self.client.url(path, false);
        let request = propfind_request(&self.client, url, path.as_ref(), "0", listing::PROPFIND)?;
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
    pub(super) async fn children(&self, folder: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>), Problem> {
        let found = match self.list_folder(folder).await {
            Ok(found) => found,
            Err(problem) if problem.code() == Code::Missing => {
                self.folders.know_absent(folder);
                return Ok((Vec::new(), Vec::new()));
            }
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
        self.folders.know_all(folder, &folders);
        Ok((objects, folders))
    }

    async fn list_folder(&self, folder: &Path) -> Result<Vec<Resource>, Problem> {
        let url = self.client.url(folder, true);
        if self.profile().pages {
            if let Some(found) = self.list_in_pages(&url, folder.as_ref()).await? {
                return Ok(found);
            }
            // A server whose pages do not add up is not asked for them again.
            self.learn(|profile| profile.pages = false);
        }
        propfind(&self.client, url, folder.as_ref(), "1").await
    }

    /// A listing page by page; none when the pages do not make a whole.
    async fn list_in_pages(&self, url: &Url, name: &str) -> Result<Option<Vec<Resource>>, Problem> {
        let client = &self.client;
        let request = |token: Option<&str>, offset: usize| {
            let request = propfind_request(client, url.clone(), name, "1", listing::PROPFIND)?
                .header("x-nc-paginate", "true")?
                .header("x-nc-paginate-count", &self.tuning.page.to_string())?;
            match token {
                None => Ok(request),
                Some(token) => {
                    request.header("x-nc-paginate-token", token)?.header("x-nc-paginate-offset", &offset.to_string())
                }
            }
        };
        let answer = client.send_again(|| request(None, 0)).await?;
        let Some(token) = text_header(&answer, "x-nc-paginate-token") else {
            // It has answered as if pages did not exist: that is the whole listing.
            return match read_listing(client, answer, name).await {
                Ok(found) => Ok(Some(found)),
                Err(problem) if problem.worth_retrying() => Ok(None),
                Err(problem) => Err(problem),
            };
        };
        let Some(total) = text_header(&answer, "x-nc-paginate-total").and_then(|total| total.parse::<usize>().ok())
        else {
            return Ok(None);
        };
        let Ok(mut found) = read_listing(client, answer, name).await else { return Ok(None) };
        while found.len() < total {
            let Ok(answer) = client.send_again(|| request(Some(&token), found.len())).await else { return Ok(None) };
            if text_header(&answer, "x-nc-paginate-token").is_none_or(|again| again != token) {
                return Ok(None);
            }
            match read_listing(client, answer, name).await {
                Ok(page) if !page.is_empty() => found.extend(page),
                _ => return Ok(None),
            }
        }
        let names: HashSet<&str> = found.iter().map(|resource| resource.href.as_str()).collect();
        let whole = found.len() == total && names.len() == total;
        Ok(whole.then_some(found))
    }

    /// Everything below a folder, folder by folder.
    pub(super) fn walk(self: Arc<Self>, top: Path) -> BoxStream<'static, Result<ObjectMeta>> {
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

    /// The room left for the folder, or for the nearest one above it that exists; none when the server does not know.
    pub(super) async fn quota(&self) -> Result<Option<Quota>, Problem> {
        let segments: Vec<&str> = self.client.base_segments().iter().map(String::as_str).collect();
        for depth in (1..=segments.len()).rev() {
            let url = super::place::at(self.client.base(), &segments[..depth], true);
            let name = url.path().to_owned();
            let ask = || propfind_request(&self.client, url.clone(), &name, "0", listing::QUOTA);
            match propfind_with(&self.client, ask, &name).await {
                Ok(found) => {
                    let wanted = listing::href_segments(url.path());
                    let itself = found.into_iter().find(|found| listing::href_segments(&found.href) == wanted);
                    let known = |told: Option<i64>| told.and_then(|told| u64::try_from(told).ok());
                    return Ok(
                        itself.and_then(|found| known(found.free).map(|free| Quota { used: known(found.used), free }))
                    );
                }
                Err(problem) if problem.code() == Code::Missing => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }

    /// The children of a staging folder: their names and lengths; none when it is gone.
    pub(super) async fn names_in(&self, url: &Url, name: &str) -> Result<Option<Vec<(String, Option<u64>)>>, Problem> {
        let itself = listing::href_segments(url.path()).unwrap_or_default();
        let found = match propfind(&self.client, url.clone(), name, "1").await {
            Ok(found) => found,
            Err(problem) if problem.code() == Code::Missing => return Ok(None),
            Err(problem) => return Err(problem),
        };
        // The folder's random id is enough to know its children by: a server may write the user's id its own way.
        let id = itself.last();
        let children = found.into_iter().filter_map(|resource| {
            let mut segments = listing::href_segments(&resource.href)?;
            let child = segments.pop()?;
            (segments.last() == id).then_some((child, resource.size))
        });
        Ok(Some(children.collect()))
    }
}

/// A header's value, if it is text.
pub(super) fn text_header(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
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
