//! What a Nextcloud is asked beside its files: where it is, who signs in, what it can do (WEBDAV §1, §7).
//!
//! Files go through [`super::webdav`]; this is for setting up and for looking. Promises: no redirect is followed and credentials go to the base
//! address alone; a wrong password is tried once and never again; each request ends within a bounded time and is asked
//! once; credentials and tokens appear in no error and no `Debug`.

mod login;
mod ocs;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    RequestBuilder, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, LOCATION},
};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{
    http,
    webdav::{Problem, from_status},
};
use crate::error::{Error, Kind, OrFail, Result};

pub use login::{Granted, Login};
pub use ocs::{Capabilities, User};

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for a whole answer.
const ANSWER: Duration = Duration::from_secs(30);
/// An answer is read up to this length.
const LONGEST: usize = 1 << 20;
/// Everything but unreserved characters is encoded (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What of an address is below the base: people copy what the browser shows.
const BELOW: [&str; 8] =
    ["/index.php", "/remote.php", "/status.php", "/ocs", "/public.php", "/apps", "/login", "/settings"];
/// What separates the base from user and folder in a folder's URL.
const FILES: &str = "/remote.php/dav/files/";

/// A name and a password, as they are sent.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The login name; with an app password just the one that it was made under.
    pub username: String,
    /// Password or app password.
    pub password: SecretString,
}

/// What `status.php` tells everybody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether the server is set up.
    pub installed: bool,
    /// Whether it is in maintenance mode.
    #[serde(default)]
    pub maintenance: bool,
    /// Version for people, such as `31.0.6`.
    #[serde(default, rename = "versionstring")]
    pub version: String,
    /// Name of the product.
    #[serde(default, rename = "productname")]
    pub product: String,
}

/// One Nextcloud.
#[derive(Clone, Debug)]
pub struct Nextcloud {
    http: reqwest::Client,
    base: Url,
}

impl Nextcloud {
    /// The server at `base`. Nothing is sent.
    ///
    /// # Errors
    /// `Config` when the address is not http or https, or the certificates cannot be read.
    pub fn at(base: &Url, ca_file: Option<&Path>) -> Result<Self> {
        let mut base = base.clone();
        http::strip(&mut base);
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(Error::new(Kind::Config, format!("{base} is not an http or https address"))
                .hint("use the address that the browser shows: https://cloud.example.org"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self { http: http::client(&base, ca_file, CONNECT)?, base })
    }

    /// Finds the base of the server that `address` belongs to: itself, or a part of its path. Sends no credentials.
    ///
    /// # Errors
    /// As [`Nextcloud::at`]; `Store` when no server answers there, or it is no Nextcloud.
    pub async fn discover(address: &Url, ca_file: Option<&Path>) -> Result<(Self, Status)> {
        let mut first = None;
        for path in bases(address.path()) {
            let mut base = address.clone();
            base.set_path(&path);
            let server = Self::at(&base, ca_file)?;
            match server.status().await {
                Ok(status) => return Ok((server, status)),
                Err(error) if error.is_temporary() => return Err(error),
                // The first says most: it is about the address that was given.
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::new(Kind::Store, format!("no Nextcloud answers at {address}"))))
    }

    /// The server and the user id of a folder's URL; `None` when it is not one of a Nextcloud.
    #[must_use]
    pub fn base_of(folder: &Url) -> Option<(Url, String)> {
        let (before, after) = folder.path().split_once(FILES)?;
        let user = after.split('/').next().filter(|user| !user.is_empty())?;
        let user = percent_encoding::percent_decode_str(user).decode_utf8().ok()?.into_owned();
        let mut base = folder.clone();
        http::strip(&mut base);
        base.set_path(&format!("{before}/"));
        Some((base, user))
    }

    /// The base address, with a trailing slash.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// URL of a folder of a user: `user` is the user id, `folder` a path with `/` between its parts.
    #[must_use]
    pub fn folder_url(&self, user: &str, folder: &str) -> Url {
        let mut path =
            format!("{}{}{}/", self.base.path().trim_end_matches('/'), FILES, utf8_percent_encode(user, SEGMENT));
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            path.push_str(&utf8_percent_encode(part, SEGMENT).to_string());
            path.push('/');
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        url
    }

    /// What the server says of itself, without signing in.
    ///
    /// # Errors
    /// `Store` when it does not answer, or something else does.
    pub async fn status(&self) -> Result<Status> {
        let what = format!("GET {}status.php", self.base);
        let not_one = |why: &str| {
            Error::new(Kind::Store, format!("no Nextcloud answers at {}: {why}", self.base)).hint(
                "use the address that the browser shows after signing in; for another WebDAV server: `tillvault remote add NAME webdav URL`",
            )
        };
        let (status, body) = match self.ask(self.http.get(self.url("status.php")), &what).await {
            Ok(answer) => answer,
            Err(Trouble::Redirect(target)) => {
                return Err(Error::new(
                    Kind::Store,
                    format!("{} redirects to {target}; redirects are not followed", self.base),
                )
                .hint(format!("if that is your server, use the address {}", target.trim_end_matches("status.php"))));
            }
            Err(trouble) => return Err(trouble.into_error(&what)),
        };
        if !status.is_success() {
            return match status.as_u16() {
                500..=599 => Err(Trouble::Problem(from_status(&what, status, "", "")).into_error(&what)),
                code => Err(not_one(&format!("status.php gives {code}"))),
            };
        }
        match serde_json::from_slice::<Status>(&body) {
            Ok(status) if status.installed => Ok(status),
            Ok(_) => Err(Error::new(Kind::Store, format!("the Nextcloud at {} is not set up yet", self.base))),
            Err(_) => Err(not_one("status.php gives no status")),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        url
    }

    /// Sends, and reads the answer whatever its status. `what` names the request in messages.
    async fn ask(&self, request: RequestBuilder, what: &str) -> Result<(StatusCode, Bytes), Trouble> {
        let answer = request.header(ACCEPT, "application/json").timeout(ANSWER).send().await;
        let mut answer = answer.map_err(|error| Trouble::Problem(Problem::transport(what, error)))?;
        let status = answer.status();
        if status.is_redirection() {
            let target = answer.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.and_then(|target| self.base.join(target).ok());
            return Err(Trouble::Redirect(target.map_or_else(
                || "nowhere".to_owned(),
                |mut url| {
                    http::strip(&mut url);
                    url.to_string()
                },
            )));
        }
        let html = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let mut body = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|error| Trouble::Problem(Problem::transport(what, error)))?
        {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                return Err(Trouble::Other(format!("{what}: the answer is longer than any such answer")));
            }
        }
        if html && status.is_success() {
            return Err(Trouble::Other(format!("{what}: a web page came back; a sign-in page may stand between")));
        }
        Ok((status, body.into()))
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Trouble {
    Problem(Problem),
    Redirect(String),
    Other(String),
}

impl Trouble {
    fn into_error(self, what: &str) -> Error {
        match self {
            Self::Problem(problem) => super::problem_as_error(problem),
            Self::Redirect(target) => Error::new(Kind::Store, format!("{what}: the server redirects to {target}"))
                .hint("use the final address; credentials are never sent on"),
            Self::Other(why) => Error::new(Kind::Store, why),
        }
    }
}

/// Paths that may be the base: what stands before a known part of Nextcloud, then each parent, the longest first.
fn bases(path: &str) -> Vec<String> {
    let cut = BELOW.iter().filter_map(|below| {
        path.match_indices(below)
            .map(|(at, _)| at)
            .find(|at| matches!(path.as_bytes().get(at + below.len()), None | Some(b'/')))
    });
    let mut rest = cut.min().map_or(path, |at| &path[..at]).trim_end_matches('/');
    let mut found = vec![format!("{rest}/")];
    while let Some(at) = rest.rfind('/') {
        rest = &rest[..at];
        found.push(format!("{rest}/"));
    }
    // Nobody installs deeper, and each costs a request.
    found.truncate(4);
    found
}

/// JSON of an answer.
fn json<T: serde::de::DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(body).or_fail(Kind::Store, || format!("{what}: the answer is not the expected JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_browser_shows_leads_to_the_base() {
        assert_eq!(bases("/"), ["/"]);
        assert_eq!(bases("/nextcloud"), ["/nextcloud/", "/"]);
        assert_eq!(bases("/index.php/apps/files/"), ["/"]);
        assert_eq!(bases("/cloud/apps/dashboard/"), ["/cloud/", "/"]);
        assert_eq!(bases("/a/b/remote.php/dav/files/ann/till"), ["/a/b/", "/a/", "/"]);
        assert_eq!(bases("/appstore"), ["/appstore/", "/"], "only whole parts count");
        assert_eq!(bases("/1/2/3/4/5/6").len(), 4);
    }

    #[test]
    fn a_folders_url_is_made_and_taken_apart() {
        let server = Nextcloud::at(&Url::parse("https://u:p@cloud.example/sub?x#y").unwrap(), None).unwrap();
        assert_eq!(server.base().as_str(), "https://cloud.example/sub/");
        let url = server.folder_url("ann@x y", "/Küche/till/");
        assert_eq!(url.as_str(), "https://cloud.example/sub/remote.php/dav/files/ann%40x%20y/K%C3%BCche/till/");
        let (base, user) = Nextcloud::base_of(&url).unwrap();
        assert_eq!((base.as_str(), user.as_str()), ("https://cloud.example/sub/", "ann@x y"));
        assert!(Nextcloud::base_of(&Url::parse("https://x/dav/ann").unwrap()).is_none());
        assert_eq!(Nextcloud::at(&Url::parse("ftp://x").unwrap(), None).unwrap_err().kind(), Kind::Config);
    }
}
