//! What `remote add` is told, and what it tells.

use std::path::PathBuf;

use serde::Serialize;

/// What `remote add` is told.
#[derive(Clone, Debug)]
pub struct AddOptions {
    /// Settings file, if one is named.
    pub config: Option<PathBuf>,
    /// Name of the new remote.
    pub name: String,
    /// What it is.
    pub place: Place,
    /// Certificate authority to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Uploads under way at once, if not the usual number.
    pub connections: Option<usize>,
    /// Whether the place is not looked at. Signing in to a Nextcloud is not left out.
    pub unchecked: bool,
    /// Nothing is written, and no app password made.
    pub dry_run: bool,
}

/// What the new remote is. Files are relative to the working folder.
#[derive(Clone, Debug)]
pub enum Place {
    /// A Nextcloud.
    Nextcloud {
        /// Any address of it, such as the browser shows.
        address: String,
        /// Folder for the archive.
        folder: String,
        /// Login name; without one the browser is used.
        username: Option<String>,
        /// File that holds the password alone; else the variable.
        password_file: Option<PathBuf>,
    },
    /// Another WebDAV server.
    WebDav {
        /// URL of the folder for the archive.
        url: String,
        /// User.
        username: String,
        /// File that holds the password alone; else the variable.
        password_file: Option<PathBuf>,
    },
    /// S3.
    S3 {
        /// `s3://bucket/prefix`.
        url: String,
        /// The server's address, when it is not Amazon's.
        endpoint: Option<String>,
        /// Region.
        region: Option<String>,
        /// Id of the access key.
        access_key_id: String,
        /// File that holds the secret alone; else the variable.
        secret_access_key_file: Option<PathBuf>,
        /// Whether the bucket stands in the host name.
        virtual_host_style: bool,
        /// Whether an endpoint without encryption will do.
        allow_http: bool,
    },
    /// A folder of this machine.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

/// The JSON of `remote add`.
#[derive(Clone, Debug, Serialize)]
pub struct AddOutcome {
    /// Name of the remote.
    pub name: String,
    /// `nextcloud`, `webdav`, `s3` or `folder`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is; absent in a dry run that would need the browser to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Product and version of a Nextcloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Who signed in: name for people and user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The settings file.
    pub settings: PathBuf,
    /// The file that was written for the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The variable that holds the secret, where no file does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_variable: Option<String>,
    /// What was added to the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Whether this archive has a copy there already.
    pub holds_archive: bool,
    /// Whether nothing was written.
    pub dry_run: bool,
}
