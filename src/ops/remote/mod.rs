//! `remote`: the places where the archive is mirrored to, as settings: adding one, listing them, taking one out.
//!
//! [`add`] finds out what a person should not have to (the server's base address, the user id, an app password) and writes the
//! `[[remote]]`. Promises: the settings change in one step or not at all, everything else in them stays to the byte; a remote
//! that holds another archive is not added; nothing on a remote is changed by any of this. Whether a remote works is told by
//! [`super::doctor`], which also tries them.

pub mod add;
pub mod forecast;
pub mod holds;
mod sign_in;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    archive::Archive,
    config::{
        Config, RemoteKind,
        edit::{self, SettingsText},
    },
    error::Result,
};

/// The JSON of `remote list`.
#[derive(Clone, Debug, Serialize)]
pub struct RemoteList {
    /// The remotes, in the settings' order.
    pub remotes: Vec<RemoteLine>,
}

/// One remote.
#[derive(Clone, Debug, Serialize)]
pub struct RemoteLine {
    /// Name.
    pub name: String,
    /// `nextcloud`, `webdav`, `s3` or `folder`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is, without credentials.
    pub address: String,
    /// Who signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Uploads under way at once.
    pub connections: usize,
    /// Bytes a second at most; 0 is no limit.
    pub rate_limit: u64,
    /// When it was last pushed to from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// Snapshots that it held then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<usize>,
}

/// The remotes of the settings, with what is known here. Nothing is asked over the network.
#[must_use]
pub fn list(config: &Config) -> RemoteList {
    let pushed = Archive::open(&config.archive).map(|archive| archive.pushed()).unwrap_or_default();
    let remotes = config.remotes.iter().map(|remote| {
        let note = pushed.iter().find(|note| note.remote == remote.name);
        RemoteLine {
            name: remote.name.clone(),
            kind: remote.kind.word(),
            address: remote.kind.address(),
            username: match &remote.kind {
                RemoteKind::WebDav { username, .. } => Some(username.clone()),
                RemoteKind::S3 { access_key_id, .. } => Some(access_key_id.clone()),
                RemoteKind::Folder { .. } => None,
            },
            connections: remote.connections,
            rate_limit: remote.rate_limit,
            pushed_at: note.map(|note| note.at),
            snapshots: note.map(|note| note.snapshots.len()),
        }
    });
    RemoteList { remotes: remotes.collect() }
}

/// The JSON of `remote remove`.
#[derive(Clone, Debug, Serialize)]
pub struct RemoveOutcome {
    /// The remote that was taken out.
    pub name: String,
    /// The settings file.
    pub settings: PathBuf,
    /// The file with its secret, which is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// Takes a remote out of the settings. What is stored there stays, and so does the file with its secret. Needs no secret to
/// be readable: a remote whose password is lost can be taken out.
///
/// # Errors
/// `Usage` for a name that is not there; `Config` when the settings cannot be read or written.
pub fn remove(explicit: Option<&Path>, name: &str, dry_run: bool) -> Result<RemoveOutcome> {
    let before = SettingsText::load(explicit)?;
    if !before.remotes().iter().any(|known| known == name) {
        return Err(edit::unknown(name, &before.remotes()));
    }
    let after = before.without(name)?;
    let file = ["password_file", "secret_access_key_file"].iter().find_map(|key| before.remote_value(name, key));
    let folder = before.folder()?;
    if !dry_run {
        after.replace(&before)?;
    }
    Ok(RemoveOutcome {
        name: name.to_owned(),
        settings: before.path,
        secret_file: file.map(|file| folder.join(file)).filter(|file| file.exists()),
        dry_run,
    })
}
