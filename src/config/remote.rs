//! `[[remote]]`: where the archive is mirrored to.
//!
//! `type` says what a remote is: `webdav` (and `nextcloud`, the same with a look at its URL), `s3` or `folder`. Without `type` the
//! other keys decide: a `path` is a folder, a `url` that begins with `s3://` is S3, any other `url` is WebDAV. Keys that do not
//! belong to the type are errors. Secrets come from a file or a variable, never from the settings.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::reader::Reader;
use crate::error::{Error, Kind, OrFail as _, Result};

/// Uploads under way at once, unless told otherwise.
const CONNECTIONS: usize = 4;
/// Region of S3 servers that do not care for regions.
const REGION: &str = "us-east-1";

/// One `[[remote]]`.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Name in messages.
    pub name: String,
    /// What it is, and how to get there.
    pub kind: RemoteKind,
    /// Uploads under way at once, 1 to 6.
    pub connections: usize,
    /// Bytes a second that may be sent at most; 0 is as fast as it can.
    pub rate_limit: u64,
}

/// What a remote is.
#[derive(Clone, Debug)]
pub enum RemoteKind {
    /// A folder on Nextcloud or another WebDAV server.
    WebDav {
        /// URL of the folder that holds the archive, with a trailing slash: for Nextcloud
        /// `https://…/remote.php/dav/files/<user id>/<folder>/`.
        url: Url,
        /// User, for HTTP Basic.
        username: String,
        /// App password.
        password: SecretString,
        /// Certificate authority to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
    /// A place in an S3 bucket.
    S3 {
        /// Bucket.
        bucket: String,
        /// What the names of all objects begin with, without slashes at its ends; empty for the whole bucket.
        prefix: String,
        /// Address of the server, when it is not Amazon's; without the bucket.
        endpoint: Option<Url>,
        /// Region.
        region: String,
        /// Id of the access key.
        access_key_id: String,
        /// Its secret.
        secret_access_key: SecretString,
        /// Whether the bucket stands in the host name instead of the path.
        virtual_host_style: bool,
        /// Certificate authority to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
    /// A folder of this machine: another disk, a mounted share.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

impl RemoteKind {
    /// The address, for people: without credentials.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::WebDav { url, .. } => url.to_string(),
            Self::S3 { bucket, prefix, .. } if prefix.is_empty() => format!("s3://{bucket}"),
            Self::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}"),
            Self::Folder { path } => path.display().to_string(),
        }
    }

    /// The word for `type` in the settings.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::WebDav { url, .. } if is_nextcloud(url) => "nextcloud",
            Self::WebDav { .. } => "webdav",
            Self::S3 { .. } => "s3",
            Self::Folder { .. } => "folder",
        }
    }
}

/// Whether a URL is a folder of a Nextcloud (WEBDAV §1.1).
fn is_nextcloud(url: &Url) -> bool {
    url.path().contains("/remote.php/dav/files/")
}

/// The variable that holds a remote's secret: `which` is `PASSWORD` or `SECRET_ACCESS_KEY`.
#[must_use]
pub fn secret_variable(remote: &str, which: &str) -> String {
    let name: String =
        remote.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("TILLVAULT_REMOTE_{name}_{which}")
}

/// The word after `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    WebDav,
    Nextcloud,
    S3,
    Folder,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::WebDav => "webdav",
            Self::Nextcloud => "nextcloud",
            Self::S3 => "s3",
            Self::Folder => "folder",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoteSection {
    name: String,
    #[serde(rename = "type")]
    kind: Option<Type>,
    url: Option<String>,
    username: Option<String>,
    password: Option<String>,
    password_file: Option<String>,
    path: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    secret_access_key_file: Option<String>,
    virtual_host_style: Option<bool>,
    allow_http: Option<bool>,
    ca_file: Option<String>,
    connections: Option<usize>,
    rate_limit_bytes_per_second: Option<u64>,
}

impl RemoteSection {
    fn kind(&self) -> Type {
        let s3 = |url: &String| url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3://"));
        match self.kind {
            Some(kind) => kind,
            None if self.path.is_some() => Type::Folder,
            None if self.url.as_ref().is_some_and(s3) => Type::S3,
            None => Type::WebDav,
        }
    }

    /// The keys that are set, but belong to other types.
    fn foreign(&self, kind: Type) -> Option<&'static str> {
        let (dav, s3) = (matches!(kind, Type::WebDav | Type::Nextcloud), kind == Type::S3);
        [
            ("url", self.url.is_some(), dav || s3),
            ("username", self.username.is_some(), dav),
            ("password", self.password.is_some(), dav),
            ("password_file", self.password_file.is_some(), dav),
            ("path", self.path.is_some(), kind == Type::Folder),
            ("endpoint", self.endpoint.is_some(), s3),
            ("region", self.region.is_some(), s3),
            ("access_key_id", self.access_key_id.is_some(), s3),
            ("secret_access_key", self.secret_access_key.is_some(), s3),
            ("secret_access_key_file", self.secret_access_key_file.is_some(), s3),
            ("virtual_host_style", self.virtual_host_style.is_some(), s3),
            ("allow_http", self.allow_http.is_some(), s3),
            ("ca_file", self.ca_file.is_some(), dav || s3),
        ]
        .into_iter()
        .find_map(|(key, set, belongs)| (set && !belongs).then_some(key))
    }
}

impl Reader<'_> {
    /// One remote.
    pub(super) fn remote(&self, section: RemoteSection) -> Result<RemoteConfig> {
        let (name, kind) = (section.name.clone(), section.kind());
        if let Some(key) = section.foreign(kind) {
            let why = format!("remote \"{name}\" has {key}, which a remote of type {} does not know", kind.word());
            return Err(Error::new(Kind::Config, why)
                .hint("type says what a remote is: \"webdav\", \"nextcloud\", \"s3\" or \"folder\""));
        }
        let (connections, rate_limit) = (section.connections, section.rate_limit_bytes_per_second);
        let kind = match kind {
            Type::WebDav | Type::Nextcloud => self.webdav(section, kind)?,
            Type::S3 => self.s3(section)?,
            Type::Folder => {
                let path = section.path.ok_or_else(|| lacks(&name, "path"))?;
                RemoteKind::Folder { path: self.path(Some(&path), "") }
            }
        };
        Ok(RemoteConfig {
            name,
            kind,
            connections: connections.unwrap_or(CONNECTIONS).clamp(1, 6),
            rate_limit: rate_limit.unwrap_or(0),
        })
    }

    fn webdav(&self, section: RemoteSection, kind: Type) -> Result<RemoteKind> {
        let name = section.name;
        let mut url = address(&name, "url", &section.url.ok_or_else(|| lacks(&name, "url"))?)?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        if kind == Type::Nextcloud && !is_nextcloud(&url) {
            let why = format!("the url of remote \"{name}\" is not that of a folder on a Nextcloud: {url}");
            return Err(Error::new(Kind::Config, why).hint(
                "it looks like https://HOST/remote.php/dav/files/USER/FOLDER; `tillvault remote add NAME nextcloud https://HOST` finds it out",
            ));
        }
        let username = section.username.ok_or_else(|| lacks(&name, "username"))?;
        let variable = secret_variable(&name, "PASSWORD");
        let password = self.secret("password", &variable, section.password_file, section.password.as_deref())?;
        let password = password.ok_or_else(|| {
            Error::new(Kind::Config, format!("remote \"{name}\" has no password"))
                .hint(format!("set password_file, or the variable {variable}"))
        })?;
        Ok(RemoteKind::WebDav { url, username, password, ca_file: section.ca_file.map(|file| self.folder.join(file)) })
    }

    fn s3(&self, section: RemoteSection) -> Result<RemoteKind> {
        let name = section.name;
        let (bucket, prefix) = bucket(&name, &section.url.ok_or_else(|| lacks(&name, "url"))?)?;
        let endpoint = section.endpoint.map(|text| address(&name, "endpoint", &text)).transpose()?;
        if let Some(endpoint) = &endpoint {
            may_be_http(&name, endpoint, section.allow_http.unwrap_or(false))?;
        }
        let variable = secret_variable(&name, "SECRET_ACCESS_KEY");
        let (file, inline) = (section.secret_access_key_file, section.secret_access_key.as_deref());
        let secret = self.secret("secret_access_key", &variable, file, inline)?;
        let secret_access_key = secret.ok_or_else(|| {
            Error::new(Kind::Config, format!("remote \"{name}\" has no secret_access_key"))
                .hint(format!("set secret_access_key_file, or the variable {variable}"))
        })?;
        Ok(RemoteKind::S3 {
            access_key_id: section.access_key_id.ok_or_else(|| lacks(&name, "access_key_id"))?,
            bucket,
            prefix,
            endpoint,
            region: section.region.unwrap_or_else(|| REGION.to_owned()),
            secret_access_key,
            virtual_host_style: section.virtual_host_style.unwrap_or(false),
            ca_file: section.ca_file.map(|file| self.folder.join(file)),
        })
    }
}

fn lacks(name: &str, key: &str) -> Error {
    Error::new(Kind::Config, format!("remote \"{name}\" has no {key}"))
        .hint("`tillvault remote add --help` shows what each type of remote needs")
}

/// A URL of http or https, without credentials; these would end up in messages.
fn address(name: &str, key: &str, text: &str) -> Result<Url> {
    let url: Url = text.parse().or_fail(Kind::Config, || {
        // What cannot be taken apart is not repeated where it may hold a password.
        let shown = if text.contains('@') { "it holds an @" } else { text };
        format!("the {key} of remote \"{name}\" is not a URL: {shown}")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::new(Kind::Config, format!("the {key} of remote \"{name}\" contains credentials"))
            .hint("they have keys of their own, and secrets come from files: `tillvault remote add --help`"));
    }
    Ok(url)
}

/// `s3://bucket/some/prefix` taken apart.
fn bucket(name: &str, text: &str) -> Result<(String, String)> {
    let wrong = || {
        Error::new(Kind::Config, format!("the url of remote \"{name}\" is not one of S3"))
            .hint("it looks like s3://BUCKET or s3://BUCKET/FOLDER; the server's address is the endpoint")
    };
    let rest =
        text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("s3://")).and(text.get(5..)).ok_or_else(wrong)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    // Dots would be taken for a way out by whatever normalises the path.
    let odd =
        |part: &&str| matches!(*part, "." | "..") || part.contains(['?', '#', '\\']) || part.contains(char::is_control);
    if bucket.is_empty() || !bucket.chars().all(good) || parts.iter().any(odd) {
        return Err(wrong());
    }
    Ok((bucket.to_owned(), parts.join("/")))
}

/// Without encryption everybody on the way reads the trade; inside this machine there is no way.
fn may_be_http(name: &str, endpoint: &Url, allowed: bool) -> Result<()> {
    match endpoint.scheme() {
        "https" => Ok(()),
        "http" if allowed || is_loopback(endpoint) => Ok(()),
        "http" => {
            Err(Error::new(Kind::Config, format!("the endpoint of remote \"{name}\" is not encrypted: {endpoint}"))
                .hint("use https; on a network you trust, allow_http = true permits it"))
        }
        _ => {
            Err(Error::new(Kind::Config, format!("the endpoint of remote \"{name}\" is not an http or https address")))
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(host)) => host == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<RemoteConfig> {
        let environment = |name: &str| name.starts_with("TILLVAULT_REMOTE_").then(|| format!("secret of {name}"));
        let text = format!("[[remote]]\nname = 'off site'\n{text}");
        let config = Config::parse(&text, Path::new("tillvault.toml"), Path::new("/site"), &environment)?;
        Ok(config.remotes.into_iter().next().unwrap())
    }

    #[test]
    fn the_keys_of_old_settings_are_a_webdav_remote() {
        let remote =
            parse("url = 'https://cloud.example/dav/x'\nusername = 'ann'\nca_file = 'ca.pem'\nconnections = 99")
                .unwrap();
        assert_eq!((remote.name.as_str(), remote.connections, remote.rate_limit), ("off site", 6, 0));
        let RemoteKind::WebDav { url, username, password, ca_file } = &remote.kind else { panic!("{remote:?}") };
        assert_eq!((url.as_str(), username.as_str()), ("https://cloud.example/dav/x/", "ann"));
        assert_eq!(password.expose_secret(), "secret of TILLVAULT_REMOTE_OFF_SITE_PASSWORD");
        assert_eq!(ca_file.as_deref(), Some(Path::new("/site/ca.pem")));
        assert_eq!(remote.kind.word(), "webdav");
        assert!(!format!("{remote:?}").contains("secret of"));
    }

    #[test]
    fn s3_and_folders_are_told_by_their_keys() {
        let remote =
            parse("url = 's3://vault/sites/anker/'\naccess_key_id = 'AKIA'\nrate_limit_bytes_per_second = 500")
                .unwrap();
        assert_eq!((remote.kind.address().as_str(), remote.kind.word()), ("s3://vault/sites/anker", "s3"));
        assert_eq!(remote.rate_limit, 500);
        let RemoteKind::S3 { bucket, prefix, region, secret_access_key, .. } = &remote.kind else {
            panic!("{remote:?}")
        };
        assert_eq!((bucket.as_str(), prefix.as_str(), region.as_str()), ("vault", "sites/anker", "us-east-1"));
        assert_eq!(secret_access_key.expose_secret(), "secret of TILLVAULT_REMOTE_OFF_SITE_SECRET_ACCESS_KEY");
        let remote = parse("path = 'backup'").unwrap();
        assert_eq!((remote.kind.address().as_str(), remote.kind.word()), ("/site/backup", "folder"));
    }

    #[test]
    fn what_does_not_belong_to_the_type_is_refused() {
        for (text, word) in [
            ("type = 'folder'\npath = 'x'\nusername = 'ann'", "username"),
            ("type = 'folder'", "path"),
            ("type = 's3'\nurl = 'https://cloud.example/x'\naccess_key_id = 'a'", "not one of S3"),
            ("url = 's3://b/../c'\naccess_key_id = 'a'", "not one of S3"),
            ("url = 's3://b'", "access_key_id"),
            ("url = 's3://b'\naccess_key_id = 'a'\nendpoint = 'http://minio.lan:9000'", "not encrypted"),
            ("url = 's3://b'\naccess_key_id = 'a'\nendpoint = 'https://u:p@minio.lan'", "credentials"),
            ("url = 'https://cloud.example/x'\nusername = 'ann'\nregion = 'eu'", "region"),
            ("url = 'https://cloud.example/x'", "username"),
            ("username = 'ann'", "url"),
            ("type = 'nextcloud'\nurl = 'https://cloud.example/x'\nusername = 'ann'", "not that of a folder"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_or_on_request() {
        let with = |endpoint: &str, more: &str| {
            parse(&format!("url = 's3://b'\naccess_key_id = 'a'\nendpoint = '{endpoint}'\n{more}"))
        };
        for endpoint in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000", "https://minio.lan"] {
            with(endpoint, "").unwrap();
        }
        with("http://minio.lan", "allow_http = true").unwrap();
        assert!(with("http://minio.lan", "allow_http = false").is_err());
        assert!(with("ftp://127.0.0.1", "allow_http = true").is_err());
    }
}
