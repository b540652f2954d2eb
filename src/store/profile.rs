//! What a remote can do, as it was found out, and remembered in a file.
//!
//! Servers differ (WEBDAV §7), and asking costs requests; so a remote is probed once, at the first write, and the answer is kept in
//! the folder of the remotes' local state. The file is derived: deleting it costs one more probe. What turns out to be wrong is corrected.

use std::{fmt, fs, io::Write as _, path::Path};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Kind, OrFail, Result};

/// Version of the file; any other is not read.
const FORMAT: u32 = 1;

/// What kind of server a remote is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// Nextcloud.
    Nextcloud,
    /// ownCloud 10 or another server that says it is one.
    Owncloud,
    /// Any other WebDAV server, and one that was not asked yet.
    #[default]
    Generic,
    /// A folder of this machine.
    Folder,
    /// An S3 bucket.
    S3,
    /// Memory of this process.
    Memory,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nextcloud => "Nextcloud",
            Self::Owncloud => "ownCloud",
            Self::Generic => "WebDAV",
            Self::Folder => "a folder",
            Self::S3 => "S3",
            Self::Memory => "memory",
        })
    }
}

/// What a remote can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What kind of server it is.
    pub kind: ServerKind,
    /// Its version in its own words.
    pub version: Option<String>,
    /// Whether `If-None-Match: *` keeps a PUT from overwriting. Where it does not, uploads go under a temporary name and are moved.
    pub conditional_put: bool,
    /// Whether it tells the hash of what it received (`X-Hash`).
    pub received_hash: bool,
    /// Whether it computes a hash from its storage on request (`PATCH`).
    pub rehash: bool,
    /// Whether large objects can go in parts (chunked upload, version 2).
    pub chunking: bool,
    /// Whether a delete can go past the trash bin.
    pub skip_trash: bool,
    /// Whether listings come in pages.
    pub pages: bool,
    /// The largest PUT to try, in bytes, once a larger one was refused.
    pub largest_put: Option<u64>,
    /// The largest part that the server wants in an upload in parts, in bytes.
    #[serde(default)]
    pub largest_part: Option<u64>,
    /// Whether this was found out by a probe, and is not an assumption.
    pub probed: bool,
}

impl Profile {
    /// What is assumed of a WebDAV server that was not asked yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            kind: ServerKind::Generic,
            version: None,
            conditional_put: true,
            received_hash: false,
            rehash: false,
            chunking: false,
            skip_trash: false,
            pages: false,
            largest_put: None,
            largest_part: None,
            probed: false,
        }
    }

    /// The profile of a store that comes with the crate `object_store`.
    #[must_use]
    pub fn of_store(kind: ServerKind) -> Self {
        // S3 checks the SHA-256 that goes with each upload, and refuses what differs.
        Self { kind, received_hash: kind == ServerKind::S3, probed: true, ..Self::unknown() }
    }

    /// The version's first number.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.version.as_ref()?.split('.').next()?.parse().ok()
    }
}

/// The file of one remote's profile.
#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    /// The profile is about this address and user only.
    url: String,
    username: String,
    profile: Profile,
}

/// Reads a profile that was kept; none when there is none, it cannot be read, or it is about another address or user.
pub(crate) fn load(file: &Path, url: &Url, username: &str) -> Option<Profile> {
    let kept: File = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (kept.format == FORMAT && kept.url == url.as_str() && kept.username == username).then_some(kept.profile)
}

/// Keeps a profile, in place of the one before.
///
/// # Errors
/// `Store` when the file cannot be written.
pub(crate) fn save(file: &Path, url: &Url, username: &str, profile: &Profile) -> Result<()> {
    let kept = File { format: FORMAT, url: url.to_string(), username: username.to_owned(), profile: profile.clone() };
    let text = serde_json::to_vec_pretty(&kept).or_fail(Kind::Bug, || "a remote's profile is not JSON")?;
    write_whole(file, &text)
}

/// Writes a small file so that it is there whole, on the disk, or not at all.
///
/// # Errors
/// `Store` when it cannot be written.
pub(crate) fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let bad = || format!("cannot write {}", file.display());
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).or_fail(Kind::Store, bad)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder).or_fail(Kind::Store, bad)?;
    temporary.write_all(bytes).or_fail(Kind::Store, bad)?;
    temporary.as_file().sync_all().or_fail(Kind::Store, bad)?;
    temporary.persist(file).or_fail(Kind::Store, bad)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_kept_for_its_address_and_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/cloud.json");
        let url = Url::parse("https://cloud.example/remote.php/dav/files/kitchen/till/").unwrap();
        assert_eq!(load(&file, &url, "kitchen"), None);
        let profile = Profile { version: Some("31.0.6".into()), largest_put: Some(7), ..Profile::unknown() };
        assert_eq!(profile.major(), Some(31));
        save(&file, &url, "kitchen", &profile).unwrap();
        assert_eq!(load(&file, &url, "kitchen"), Some(profile));
        assert_eq!(load(&file, &url, "bar"), None);
        assert_eq!(load(&file, &Url::parse("https://other.example/").unwrap(), "kitchen"), None);
        fs::write(&file, "{").unwrap();
        assert_eq!(load(&file, &url, "kitchen"), None);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }
}
