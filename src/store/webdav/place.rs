//! Addresses: the remote's folder, and where it lies on a Nextcloud server.
//!
//! Promises: an address holds no credentials and no query; what lies elsewhere on the server is derived from the decoded segments of the
//! folder's address, also when the server is installed below a path (WEBDAV §1.1).

use url::Url;

use crate::{
    error::{Error, Kind, Result},
    store::http,
};

/// The base URL: http or https, a folder, no credentials, no query.
pub(super) fn clean_base(url: &Url) -> Result<Url> {
    let mut base = url.clone();
    http::strip(&mut base);
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(Error::new(Kind::Config, format!("the remote's url {base} is not an http or https address"))
            .hint("for Nextcloud: https://HOST/remote.php/dav/files/USER/FOLDER"));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

/// An address on the same server whose path has these segments, each of them encoded here.
pub(super) fn at(base: &Url, segments: &[&str], folder: bool) -> Url {
    let mut url = base.clone();
    let encoded: Vec<String> = segments.iter().map(|segment| super::request::encode(segment)).collect();
    let mut path = format!("/{}", encoded.join("/"));
    if folder && !path.ends_with('/') {
        path.push('/');
    }
    url.set_path(&path);
    url
}

/// Where a folder lies on a Nextcloud or ownCloud server, read off its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path segments before `remote.php`.
    root: Vec<String>,
    /// The user's id, when the address names it.
    pub(super) user: Option<String>,
}

impl Place {
    /// Finds `…/remote.php/dav/files/USER/…` or `…/remote.php/webdav/…` in the decoded segments of an address.
    pub(super) fn of(segments: &[String]) -> Option<Self> {
        let at =
            segments.windows(2).position(|pair| pair[0] == "remote.php" && matches!(&*pair[1], "dav" | "webdav"))?;
        let below = &segments[at + 1..];
        let user = (below.len() >= 3 && below[0] == "dav" && below[1] == "files").then(|| below[2].clone());
        Some(Self { root: segments[..at].to_vec(), user })
    }

    /// An address below the server's root.
    pub(super) fn url(&self, base: &Url, below: &[&str], folder: bool) -> Url {
        let segments: Vec<&str> = self.root.iter().map(String::as_str).chain(below.iter().copied()).collect();
        at(base, &segments, folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_taken() {
        let url = Url::parse("file:///tmp/x").unwrap();
        assert_eq!(clean_base(&url).unwrap_err().kind(), Kind::Config);
    }

    #[test]
    fn the_server_is_found_also_below_a_path_and_behind_odd_names() {
        let place = |path: &str| {
            let segments: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            Place::of(&segments)
        };
        let base = Url::parse("https://h:1/x/y").unwrap();
        let found = place("/sub/cloud/remote.php/dav/files/The Bar/till").unwrap();
        assert_eq!(found.user.as_deref(), Some("The Bar"));
        assert_eq!(found.url(&base, &["status.php"], false).as_str(), "https://h:1/sub/cloud/status.php");
        let staging = found.url(&base, &["remote.php", "dav", "uploads", "The Bar", "id"], true);
        assert_eq!(staging.as_str(), "https://h:1/sub/cloud/remote.php/dav/uploads/The%20Bar/id/");
        assert_eq!(place("/remote.php/webdav/till").unwrap().user, None);
        assert_eq!(place("/remote.php/dav/files").unwrap().user, None);
        assert_eq!(place("/dav/till"), None);
        assert_eq!(place("/remote.php"), None);
    }
}
