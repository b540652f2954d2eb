//! `[replica]` and `[reports]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::reader::Reader;
use crate::error::{Error, Kind, Result};

/// `[replica]`.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// `PostgreSQL` URL; none means a private cluster under the data folder.
    pub url: Option<SecretString>,
    /// Folder of `initdb`, `pg_ctl` and `postgres` for the private cluster; none means the newest installed ones.
    pub programs: Option<PathBuf>,
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplicaSection {
    url: Option<String>,
    url_file: Option<String>,
    programs: Option<String>,
    schema: Option<String>,
    kitchen_id: Option<i32>,
    table_entity_type_id: Option<i32>,
    room_entity_type_id: Option<i32>,
    customer_entity_type_id: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportsSection {
    #[serde(default)]
    sambapos_tracked_categories: String,
    #[serde(default)]
    sambapos_excluded_items: String,
}

impl Reader<'_> {
    /// The replica.
    pub(super) fn replica(&self, section: ReplicaSection) -> Result<ReplicaConfig> {
        let url = self.secret("url", "TILLVAULT_REPLICA_URL", section.url_file, None)?;
        let url = match (url, section.url) {
            (Some(url), _) => Some(url),
            (None, Some(url)) if has_password(&url) => {
                return Err(Error::new(Kind::Config, "the replica url in the settings file contains a password")
                    .hint("put the url into a file and name it as url_file, or set TILLVAULT_REPLICA_URL"));
            }
            (None, url) => url.map(Into::into),
        };
        Ok(ReplicaConfig {
            url: url.filter(|url: &SecretString| !url.expose_secret().trim().is_empty()),
            programs: (self.environment)("TILLVAULT_PG_BIN").or(section.programs).map(|path| self.folder.join(path)),
            schema: section.schema.unwrap_or_else(|| "sambapos".into()),
            kitchen_id: section.kitchen_id.unwrap_or(1),
            table_entity_type_id: section.table_entity_type_id.unwrap_or(2),
            room_entity_type_id: section.room_entity_type_id.unwrap_or(3),
            customer_entity_type_id: section.customer_entity_type_id.unwrap_or(1),
        })
    }
}

impl ReportsSection {
    /// The reports' settings, lists taken apart.
    pub(super) fn read(&self) -> ReportConfig {
        ReportConfig {
            tracked_categories: split(&self.sambapos_tracked_categories, ','),
            excluded_groups: split(&self.sambapos_excluded_items, '|'),
        }
    }
}

fn has_password(url: &str) -> bool {
    url.parse::<url::Url>().is_ok_and(|url| url.password().is_some()) || url.contains("password=")
}

/// Split, trim, drop empty parts (DOMAIN §1).
fn split(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(Into::into).collect()
}
