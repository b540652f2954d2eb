//! Settings: `tillvault.toml`, overridden by `TILLVAULT_…` environment variables.
//!
//! Promises: an unknown key is an error that names it; a secret comes from the environment or from a file that the settings
//! name, is held as [`SecretString`] and never printed; relative paths are relative to the settings file's folder.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// Name of the settings file.
pub const FILE_NAME: &str = "tillvault.toml";

/// Encryption of the connection to the till.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Nothing is encrypted.
    Off,
    /// Everything is encrypted where the server can, else nothing.
    #[default]
    On,
    /// Everything is encrypted or there is no connection.
    Required,
}

/// `[till]`: where the till is and how to sign in. The names are the seed's (DOMAIN §1).
#[derive(Clone, Debug)]
pub struct TillConfig {
    /// Host name, or `HOST\INSTANCE`; then the port is ignored and SQL Browser is asked.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// SQL login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Encryption.
    pub encryption: Encryption,
    /// Accept any certificate (tills have self-signed ones).
    pub trust_server_certificate: bool,
    /// Certificate authority to trust, when certificates are checked.
    pub ca_file: Option<PathBuf>,
    /// Time to connect and sign in.
    pub connect_timeout: Duration,
    /// Time one statement may take.
    pub statement_timeout: Duration,
    /// UDP port of SQL Browser; 1434 unless tests say otherwise.
    pub browser_port: u16,
    /// Tables to take and to leave out; see [`crate::source::TableSelection`].
    pub tables: crate::source::TableSelection,
}

/// One `[[remote]]`.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Name in messages.
    pub name: String,
    /// URL of the folder that holds the archive: for Nextcloud `https://…/remote.php/dav/files/<user>/<folder>`.
    pub url: url::Url,
    /// User, for HTTP Basic.
    pub username: String,
    /// App password.
    pub password: SecretString,
    /// Certificate authority to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Uploads under way at once.
    pub connections: usize,
}

/// `[replica]`.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// `PostgreSQL` URL; none means a private cluster under the data folder.
    pub url: Option<SecretString>,
    /// Schema of the eight tables.
    pub schema: String,
    /// Kitchen the rows belong to.
    pub kitchen_id: i32,
    /// Entity type of tables (DOMAIN §2.2).
    pub table_entity_type_id: i32,
    /// Entity type of rooms.
    pub room_entity_type_id: i32,
    /// Entity type of customers.
    pub customer_entity_type_id: i32,
}

/// `[reports]`, under the seed's names.
#[derive(Clone, Debug, Default)]
pub struct ReportConfig {
    /// `sambapos_tracked_categories`, comma-separated, order kept.
    pub tracked_categories: Vec<String>,
    /// `sambapos_excluded_items`, pipe-separated; in spite of the name they are group codes.
    pub excluded_groups: Vec<String>,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the site, stored in the archive.
    pub site: String,
    /// IANA zone of the site, if set.
    pub timezone: Option<String>,
    /// Archive folder.
    pub archive: PathBuf,
    /// Folder for everything that is not the archive: the private `PostgreSQL` cluster.
    pub data: PathBuf,
    /// The till; `None` when host, database, user and password are not all set.
    pub till: Option<TillConfig>,
    /// Remotes to push to.
    pub remotes: Vec<RemoteConfig>,
    /// Replica.
    pub replica: ReplicaConfig,
    /// Reports.
    pub reports: ReportConfig,
}

impl Config {
    /// The till's settings.
    ///
    /// # Errors
    /// `Config` when the till is not configured.
    pub fn till(&self) -> Result<&TillConfig> {
        self.till.as_ref().ok_or_else(|| {
            Error::new(Kind::Config, "the till is not configured")
                .hint("set sambapos_db_host, sambapos_db_name, sambapos_db_username and sambapos_db_password in tillvault.toml or as TILLVAULT_SAMBAPOS_DB_… variables")
        })
    }
}
