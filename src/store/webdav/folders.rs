//! Folders: made when an upload needs them, remembered so that no request is spent on a known one.
//!
//! A missing parent shows as 404 or 409 (WEBDAV §9 row 8). Then the chain is climbed until a folder exists and made from there
//! downwards; 405 means "exists" once the server says that it is a folder (row 9).

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use object_store::path::Path;
use url::Url;

use super::{
    client::Client,
    listing,
    problem::{Code, Problem},
};

/// The folders of one remote that are known to exist.
#[derive(Debug, Default)]
pub(super) struct Folders {
    known: Mutex<HashSet<String>>,
    /// Folders whose own folders are known, all of them: those that were listed, or were not there.
    listed: Mutex<HashSet<String>>,
    /// Folders that were not there when they were looked for.
    missing: Mutex<HashSet<String>>,
    /// One maker at a time: uploads side by side need the same folder.
    making: tokio::sync::Mutex<()>,
}

/// One folder of the chain: its URL, and its path below the base (none above it).
struct Link {
    url: Url,
    path: Option<Path>,
}

impl Folders {
    pub(super) fn is_known(&self, path: &Path) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(path.as_ref())
    }

    /// Notes which folders a folder has, from a list of it.
    pub(super) fn know_all(&self, path: &Path, children: &[Path]) {
        for child in children {
            self.remember(child);
        }
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_string());
    }

    /// Notes that a folder is not there.
    pub(super) fn know_absent(&self, path: &Path) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(path.as_ref());
        // Whoever makes it knows what is in it.
        self.know_all(path, &[]);
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_string());
    }

    /// Whether a folder is known not to be there: it, or the one above it, was looked for, and it was not made since.
    pub(super) fn is_absent(&self, path: &Path) -> bool {
        let in_set = |set: &Mutex<HashSet<String>>, path: &Path| {
            set.lock().unwrap_or_else(PoisonError::into_inner).contains(path.as_ref())
        };
        if in_set(&self.known, path) {
            return false;
        }
        let above = parent(path);
        in_set(&self.missing, path) || above.is_some_and(|above| in_set(&self.listed, &above) || self.is_absent(&above))
    }

    /// Notes that a folder, and so every folder above it, exists.
    pub(super) fn remember(&self, path: &Path) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Some(path.clone());
        while let Some(path) = next {
            next = parent(&path);
            known.insert(path.to_string());
        }
    }

    /// Forgets a folder and the ones above it: the server says that something is gone.
    pub(super) fn forget(&self, path: &Path) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Some(path.clone());
        while let Some(path) = next {
            next = parent(&path);
            known.remove(path.as_ref());
        }
    }

    /// Makes a folder and what is missing above it. Free of requests when it is known.
    pub(super) async fn ensure(&self, client: &Client, path: &Path) -> Result<(), Problem> {
        let _one_maker = self.making.lock().await;
        if self.is_known(path) {
            return Ok(());
        }
        let chain = chain(client, path);
        let mut missing = Vec::new();
        for link in &chain {
            let above = link.path.as_ref().and_then(parent);
            // What is missing with the folder above it need not be tried before that one.
            let is_early = above.is_some_and(|above| self.is_absent(&above));
            let is_known = link.path.as_ref().is_some_and(|path| self.is_known(path));
            if !is_early && (is_known || make(client, link).await?) {
                break;
            }
            missing.push(link);
        }
        if missing.len() == chain.len() {
            return Err(Problem::new(Code::Missing, format!("no folder of {} exists on the server", client.base()))
                .hint("check the remote's url (for Nextcloud: https://HOST/remote.php/dav/files/USER/FOLDER)"));
        }
        for link in missing.into_iter().rev() {
            if !make(client, link).await? {
                return Err(Problem::new(Code::Conflict, format!("cannot make the folder {}", link.url)));
            }
        }
        self.remember(path);
        Ok(())
    }
}

/// The folder that holds `path`; the base is its own top.
pub(super) fn parent(path: &Path) -> Option<Path> {
    path.parent()
}

/// The folder, the ones above it down to the base, and the base's own parents; deepest first.
fn chain(client: &Client, path: &Path) -> Vec<Link> {
    let mut links = Vec::new();
    let mut next = Some(path.clone());
    while let Some(path) = next {
        next = parent(&path);
        links.push(Link { url: client.url(&path, true), path: Some(path) });
    }
    for depth in (1..client.base_segments().len()).rev() {
        let mut url = client.base().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(&client.base_segments()[..depth]).push("");
        }
        links.push(Link { url, path: None });
    }
    links
}

/// Makes one folder: true when it exists now, false when its parent is missing.
async fn make(client: &Client, link: &Link) -> Result<bool, Problem> {
    let name = link.path.as_ref().map_or_else(|| link.url.path().to_owned(), Path::to_string);
    let request = || Ok(client.request_url("MKCOL", link.url.clone(), name.clone()));
    match client.send_again(request).await {
        Ok(_) => Ok(true),
        Err(problem) => match problem.code() {
            Code::Missing | Code::Conflict => Ok(false),
            Code::NotAllowed => is_folder(client, link, &name).await,
            _ => Err(problem),
        },
    }
}

/// After a 405: true for a folder, an error for a file.
async fn is_folder(client: &Client, link: &Link, name: &str) -> Result<bool, Problem> {
    let wanted = listing::href_segments(link.url.path());
    let found = super::look::propfind(client, link.url.clone(), name, "0").await?;
    let itself = found.into_iter().find(|resource| listing::href_segments(&resource.href) == wanted);
    match itself {
        Some(resource) if resource.folder => Ok(true),
        Some(_) => Err(Problem::new(Code::Mismatch, format!("a file stands where the folder {} should be", link.url))),
        None => Err(Problem::new(Code::NotDav, format!("{} is no WebDAV folder", link.url))),
    }
}
