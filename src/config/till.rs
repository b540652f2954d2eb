//! `[till]` and `[tables]`: where the till is, how to sign in, what to take.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use super::reader::Reader;
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    source::TableSelection,
};

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

/// Which driver reads the rows of the till's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowReader {
    /// The fast one; the other where the fast one cannot sign in.
    #[default]
    Auto,
    /// The fast one (`mssql-tds`) or none.
    Fast,
    /// `tiberius`, which also does everything else that is asked of a till.
    Tiberius,
}

/// How fast the till may be read at most; 0 is as fast as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Rows a second.
    pub rows_per_second: u64,
    /// Bytes of values a second.
    pub bytes_per_second: u64,
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
    /// Time the till may take to go on with an answer.
    pub statement_timeout: Duration,
    /// UDP port of SQL Browser; 1434 unless tests say otherwise.
    pub browser_port: u16,
    /// Which driver reads rows.
    pub reader: RowReader,
    /// How fast at most.
    pub rate_limit: RateLimit,
    /// Tables to take and to leave out; see [`TableSelection`].
    pub tables: TableSelection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TillSection {
    sambapos_db_host: Option<String>,
    sambapos_db_port: Option<u16>,
    sambapos_db_name: Option<String>,
    sambapos_db_username: Option<String>,
    sambapos_db_password: Option<String>,
    sambapos_db_password_file: Option<String>,
    encryption: Option<Encryption>,
    trust_server_certificate: Option<bool>,
    ca_file: Option<String>,
    connect_timeout_seconds: Option<u64>,
    statement_timeout_seconds: Option<u64>,
    browser_port: Option<u16>,
    reader: Option<RowReader>,
    rate_limit_rows_per_second: Option<u64>,
    rate_limit_bytes_per_second: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TablesSection {
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    with_secrets: bool,
}

impl Reader<'_> {
    /// The till; `None` when host, database, user and password are not all set.
    pub(super) fn till(&self, section: TillSection, tables: TablesSection) -> Result<Option<TillConfig>> {
        let variable = |name: &str| (self.environment)(&format!("TILLVAULT_SAMBAPOS_DB_{name}"));
        let host = variable("HOST").or(section.sambapos_db_host);
        let database = variable("NAME").or(section.sambapos_db_name);
        let username = variable("USERNAME").or(section.sambapos_db_username);
        let password = self.secret(
            "sambapos_db_password",
            "TILLVAULT_SAMBAPOS_DB_PASSWORD",
            section.sambapos_db_password_file,
            section.sambapos_db_password.as_deref(),
        )?;
        let port = match variable("PORT") {
            Some(text) => text
                .parse()
                .or_fail(Kind::Config, || format!("TILLVAULT_SAMBAPOS_DB_PORT is \"{text}\", not a port number"))?,
            None => section.sambapos_db_port.unwrap_or(1433),
        };
        // All four or none: a half-set till counts as not configured (DOMAIN §1).
        let (Some(host), Some(database), Some(username), Some(password)) = (host, database, username, password) else {
            return Ok(None);
        };
        Ok(Some(TillConfig {
            host,
            port,
            database,
            username,
            password,
            encryption: section.encryption.unwrap_or_default(),
            trust_server_certificate: section.trust_server_certificate.unwrap_or(true),
            ca_file: section.ca_file.map(|file| self.folder.join(file)),
            connect_timeout: seconds("connect_timeout_seconds", section.connect_timeout_seconds, 30)?,
            statement_timeout: seconds("statement_timeout_seconds", section.statement_timeout_seconds, 300)?,
            browser_port: section.browser_port.unwrap_or(1434),
            reader: section.reader.unwrap_or_default(),
            rate_limit: RateLimit {
                rows_per_second: section.rate_limit_rows_per_second.unwrap_or(0),
                bytes_per_second: section.rate_limit_bytes_per_second.unwrap_or(0),
            },
            tables: TableSelection {
                include: tables.include,
                exclude: tables.exclude,
                with_secrets: tables.with_secrets,
            },
        }))
    }
}

/// A time-out: none at all would fail everything at once, and one beyond a year is a mistake.
fn seconds(key: &str, value: Option<u64>, default: u64) -> Result<Duration> {
    match value.unwrap_or(default) {
        seconds @ 1..=31_536_000 => Ok(Duration::from_secs(seconds)),
        seconds => Err(Error::new(Kind::Config, format!("{key} under [till] is {seconds}"))
            .hint(format!("set it to at least 1, or leave it out: then it is {default}"))),
    }
}
