//! Settings: `tillvault.toml`, overridden by `TILLVAULT_…` environment variables.
//!
//! Promises: an unknown key is an error that names it; a secret comes from the environment or from a file that the settings
//! name, is held as [`SecretString`] and never printed; relative paths are relative to the settings file's folder.
//! This is the only module that reads the environment.

mod files;
mod forget;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    error::{Error, Kind, OrFail as _, Result},
    source::TableSelection,
};

pub use files::{SettingsFiles, files};
pub use forget::{ForgetConfig, PruneConfig};

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
    /// Which snapshots stay.
    pub forget: ForgetConfig,
    /// What becomes of chunks that no snapshot names.
    pub prune: PruneConfig,
}

impl Config {
    /// Finds and reads the settings: `explicit`, else `TILLVAULT_CONFIG`, else [`FILE_NAME`] in the working folder, in
    /// `$XDG_CONFIG_HOME/tillvault` (or `~/.config/tillvault`), or in `/etc/tillvault`.
    ///
    /// # Errors
    /// `Config` when there is no settings file, it cannot be read, or something in it is wrong; the message names the key.
    pub fn load(explicit: Option<&Path>) -> Result<Self> {
        let path = locate(explicit)?;
        let text = fs::read_to_string(&path).map_err(|cause| {
            let hint = match cause.kind() {
                ErrorKind::NotFound => {
                    "is it the right path? `tillvault init` writes a settings file; --config or TILLVAULT_CONFIG names another"
                }
                _ => "may this user read it? --config or TILLVAULT_CONFIG names another",
            };
            Error::new(Kind::Config, format!("cannot read {}", path.display())).hint(hint).caused_by(cause)
        })?;
        Self::read(&text, &path)
    }

    /// Settings from `text`, as if it stood in the file `path` already, completed from the environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(text: &str, path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let folder =
            std::path::absolute(folder).or_fail(Kind::Config, || format!("cannot resolve {}", folder.display()))?;
        Self::parse(text, path, &folder, &environment)
    }

    /// Reads settings from `text`; `path` is for messages, `folder` is what relative paths start from, and `environment`
    /// answers for variables by name.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| not_valid(&error, text, path))?;
        let reader = Reader { folder, environment };
        let config = Self {
            site: environment("TILLVAULT_SITE").or(file.site).unwrap_or_else(|| "till".into()),
            timezone: environment("TILLVAULT_TIMEZONE").or(file.timezone),
            archive: reader.path(environment("TILLVAULT_ARCHIVE").or(file.archive).as_deref(), "archive"),
            data: reader.path(environment("TILLVAULT_DATA").or(file.data).as_deref(), "data"),
            till: reader.till(file.till, file.tables)?,
            remotes: file.remote.into_iter().map(|remote| reader.remote(remote)).collect::<Result<_>>()?,
            replica: reader.replica(file.replica)?,
            reports: ReportConfig {
                tracked_categories: split(&file.reports.sambapos_tracked_categories, ','),
                excluded_groups: split(&file.reports.sambapos_excluded_items, '|'),
            },
            forget: forget::forget(file.forget)?,
            prune: forget::prune(&file.prune)?,
        };
        if let Some(zone) = &config.timezone {
            jiff::tz::TimeZone::get(zone).or_fail(Kind::Config, || format!("timezone \"{zone}\" is not known"))?;
        }
        Ok(config)
    }

    /// The till's settings.
    ///
    /// # Errors
    /// `Config` when the till is not configured.
    pub fn till(&self) -> Result<&TillConfig> {
        self.till.as_ref().ok_or_else(|| {
            Error::new(Kind::Config, "the till is not configured").hint(
                "set sambapos_db_host, sambapos_db_name, sambapos_db_username and a password under [till] in tillvault.toml, \
                 or as TILLVAULT_SAMBAPOS_DB_HOST, …_NAME, …_USERNAME and …_PASSWORD",
            )
        })
    }

    /// The zone in which days and words such as `yesterday` are meant: the site's, else this machine's.
    #[must_use]
    pub fn zone(&self) -> jiff::tz::TimeZone {
        self.timezone
            .as_deref()
            .and_then(|name| jiff::tz::TimeZone::get(name).ok())
            .unwrap_or_else(jiff::tz::TimeZone::system)
    }
}

/// The settings file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: Option<String>,
    timezone: Option<String>,
    archive: Option<String>,
    data: Option<String>,
    #[serde(default)]
    till: TillSection,
    #[serde(default)]
    tables: TablesSection,
    #[serde(default)]
    remote: Vec<RemoteSection>,
    #[serde(default)]
    replica: ReplicaSection,
    #[serde(default)]
    reports: ReportsSection,
    #[serde(default)]
    forget: forget::ForgetSection,
    #[serde(default)]
    prune: forget::PruneSection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TillSection {
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
struct TablesSection {
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    with_secrets: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteSection {
    name: String,
    url: String,
    username: String,
    password: Option<String>,
    password_file: Option<String>,
    ca_file: Option<String>,
    connections: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplicaSection {
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
struct ReportsSection {
    #[serde(default)]
    sambapos_tracked_categories: String,
    #[serde(default)]
    sambapos_excluded_items: String,
}

/// What turns written settings into checked ones.
struct Reader<'a> {
    folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn path(&self, value: Option<&str>, default: &str) -> PathBuf {
        self.folder.join(value.unwrap_or(default))
    }

    /// A secret from the variable, else from the file; `inline` is refused, since settings files get copied around.
    fn secret(
        &self,
        key: &str,
        variable: &str,
        file: Option<String>,
        inline: Option<&str>,
    ) -> Result<Option<SecretString>> {
        if inline.is_some() {
            return Err(Error::new(Kind::Config, format!("{key} stands in the settings file")).hint(format!(
                "put it alone into a file that only you can read and name that as {key}_file, or set {variable}"
            )));
        }
        if let Some(value) = (self.environment)(variable) {
            return Ok(Some(value.into()));
        }
        let Some(file) = file else { return Ok(None) };
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).map_err(|cause| {
            Error::new(Kind::Config, format!("cannot read {key}_file {}", path.display()))
                .hint(format!("put the secret alone into that file, readable for you only, or set {variable}"))
                .caused_by(cause)
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).into()))
    }

    fn till(&self, section: TillSection, tables: TablesSection) -> Result<Option<TillConfig>> {
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

    fn remote(&self, section: RemoteSection) -> Result<RemoteConfig> {
        let name = section.name;
        let mut url: url::Url = section
            .url
            .parse()
            .or_fail(Kind::Config, || format!("the url of remote \"{name}\" is not a URL: {}", section.url))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::new(Kind::Config, format!("the url of remote \"{name}\" contains credentials"))
                .hint("use username and password_file instead"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let variable: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let variable = format!("TILLVAULT_REMOTE_{}_PASSWORD", variable.to_ascii_uppercase());
        let password = self.secret("password", &variable, section.password_file, section.password.as_deref())?;
        let password = password.ok_or_else(|| {
            Error::new(Kind::Config, format!("remote \"{name}\" has no password"))
                .hint(format!("set password_file, or the variable {variable}"))
        })?;
        Ok(RemoteConfig {
            name,
            url,
            username: section.username,
            password,
            ca_file: section.ca_file.map(|file| self.folder.join(file)),
            connections: section.connections.unwrap_or(4).clamp(1, 6),
        })
    }

    fn replica(&self, section: ReplicaSection) -> Result<ReplicaConfig> {
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

/// A time-out: none at all would fail everything at once, and one beyond a year is a mistake.
fn seconds(key: &str, value: Option<u64>, default: u64) -> Result<Duration> {
    match value.unwrap_or(default) {
        seconds @ 1..=31_536_000 => Ok(Duration::from_secs(seconds)),
        seconds => Err(Error::new(Kind::Config, format!("{key} under [till] is {seconds}"))
            .hint(format!("set it to at least 1, or leave it out: then it is {default}"))),
    }
}

fn has_password(url: &str) -> bool {
    url.parse::<url::Url>().is_ok_and(|url| url.password().is_some()) || url.contains("password=")
}

/// Split, trim, drop empty parts (DOMAIN §1).
fn split(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(Into::into).collect()
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    // What is not UTF-8 is taken with its odd characters replaced: a wrong value is reported where it is used, a missing one is not.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

fn locate(explicit: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = environment("TILLVAULT_CONFIG") {
        return Ok(path.into());
    }
    let user = environment("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment("HOME").map(|home| Path::new(&home).join(".config")));
    let candidates = [
        Some(PathBuf::from(FILE_NAME)),
        user.map(|folder| folder.join("tillvault").join(FILE_NAME)),
        Some(Path::new("/etc/tillvault").join(FILE_NAME)),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Kind::Config, format!("no {FILE_NAME} here, in ~/.config/tillvault or in /etc/tillvault"))
            .hint("run `tillvault init` to write one, or name one with --config")
    })
}

/// What the parser says, without the value of a line that may hold a secret.
fn not_valid(error: &toml::de::Error, text: &str, path: &Path) -> Error {
    let line = error.span().and_then(|span| Some(text.get(..span.start)?.matches('\n').count()));
    let content = line.and_then(|line| text.lines().nth(line)).map(str::trim);
    let lower = content.unwrap_or_default().to_ascii_lowercase();
    let secret = ["pass", "pwd", "secret", "url"].iter().any(|word| lower.contains(word));
    // A key that is not known may be a misspelt one of a secret; the message names it.
    let unknown = error.message().starts_with("unknown field");
    let message = match error.message() {
        told if secret && !unknown => told.split('`').next().unwrap_or_default().trim_end(),
        told => told,
    };
    let hint = match (line, content) {
        (Some(line), Some(content)) if !secret && !unknown => format!("line {}: {content}", line + 1),
        (Some(line), _) => format!("line {}", line + 1),
        (None, _) => "the commented file that `tillvault init` writes has every key".to_owned(),
    };
    Error::new(Kind::Config, format!("{} is not valid: {message}", path.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
        let environment =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::parse(text, Path::new("tillvault.toml"), Path::new("/site"), &environment)
    }

    #[test]
    fn an_empty_file_gives_defaults_and_no_till() {
        let config = parse("", &[]).unwrap();
        assert_eq!(config.archive, Path::new("/site/archive"));
        assert_eq!(config.till().unwrap_err().kind(), Kind::Config);
        assert!(config.replica.url.is_none());
    }

    #[test]
    fn the_environment_completes_the_till_and_named_lists_are_split() {
        let config = parse(
            "[till]\nsambapos_db_host = 'TILL\\\\SQLEXPRESS'\nsambapos_db_name = 'SambaPOS5'\nsambapos_db_username = 'reader'\n\
             [reports]\nsambapos_tracked_categories = 'Starters, Mains,,Desserts '\nsambapos_excluded_items = 'Staff|'",
            &[("TILLVAULT_SAMBAPOS_DB_PASSWORD", "s3cret"), ("TILLVAULT_SAMBAPOS_DB_PORT", "14330")],
        )
        .unwrap();
        let till = config.till().unwrap();
        assert_eq!(till.port, 14330);
        assert_eq!(config.reports.tracked_categories, ["Starters", "Mains", "Desserts"]);
        assert_eq!(config.reports.excluded_groups, ["Staff"]);
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn the_reader_and_its_limits_are_settings() {
        let with = |lines: &str| {
            let till = "[till]\nsambapos_db_host = 'TILL'\nsambapos_db_name = 'S'\nsambapos_db_username = 'reader'\n";
            parse(&format!("{till}{lines}"), &[("TILLVAULT_SAMBAPOS_DB_PASSWORD", "s3cret")])
        };
        let till = with("").unwrap().till.unwrap();
        assert_eq!((till.reader, till.rate_limit), (RowReader::Auto, RateLimit::default()));
        let till = with("reader = 'tiberius'\nrate_limit_rows_per_second = 5000").unwrap().till.unwrap();
        assert_eq!(till.reader, RowReader::Tiberius);
        assert_eq!(till.rate_limit, RateLimit { rows_per_second: 5000, bytes_per_second: 0 });
        assert!(with("reader = 'quick'").unwrap_err().next_step().unwrap().contains("reader = 'quick'"));
    }

    #[test]
    fn no_time_at_all_is_no_time_out() {
        let with = |line: &str| {
            let till = "[till]\nsambapos_db_host = 'TILL'\nsambapos_db_name = 'S'\nsambapos_db_username = 'reader'\n";
            parse(&format!("{till}{line}"), &[("TILLVAULT_SAMBAPOS_DB_PASSWORD", "s3cret")])
        };
        for key in ["connect_timeout_seconds", "statement_timeout_seconds"] {
            for value in ["0", "9223372036854775807"] {
                let error = with(&format!("{key} = {value}")).unwrap_err();
                assert_eq!(error.kind(), Kind::Config);
                assert!(error.message().contains(key) && error.message().contains(value), "{error}");
                assert!(error.next_step().unwrap().contains("at least 1"), "{error:?}");
            }
            assert!(with(&format!("{key} = 1")).is_ok());
        }
        assert_eq!(
            with("statement_timeout_seconds = 7").unwrap().till.unwrap().statement_timeout,
            Duration::from_secs(7)
        );
    }

    #[test]
    fn a_settings_file_that_is_not_there_has_a_next_step() {
        let error = Config::load(Some(Path::new("/no/such/tillvault.toml"))).unwrap_err();
        assert_eq!(error.message(), "cannot read /no/such/tillvault.toml");
        assert!(error.next_step().unwrap().contains("tillvault init"), "{error:?}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("[till]\nsambapos_db_prot = 1433\n", &[]).unwrap_err();
        assert!(error.message().contains("sambapos_db_prot"), "{error}");
        assert!(error.next_step().unwrap().contains("line 2"), "{error:?}");
    }

    #[test]
    fn a_secret_in_the_file_is_refused_without_repeating_it() {
        for text in [
            "[till]\nsambapos_db_password = 'hunter2'",
            "[replica]\nurl = 'postgres://u:hunter2@h/db'",
            "[[remote]]\nname = 'nc'\nurl = 'https://ann:hunter2@cloud.example/'\nusername = 'ann'",
            "[[remote]]\nname = 'nc'\nurl = 'https://cloud.example/'\nusername = 'ann'\npassword = 'hunter2'",
            "[till]\nsambapos_db_password = hunter2",
            "[till]\nsambapos_db_passwrd = 'hunter2'",
            "[till]\nlogin = 'hunter2'",
        ] {
            let error = parse(text, &[]).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let error = parse("[till]\nsambapos_db_password = 271828", &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("271828"), "{error:?}");
    }

    #[test]
    fn a_remote_without_a_password_names_the_variable() {
        let error =
            parse("[[remote]]\nname = 'my cloud'\nurl = 'https://c.example/x'\nusername = 'ann'", &[]).unwrap_err();
        assert!(error.next_step().unwrap().contains("TILLVAULT_REMOTE_MY_CLOUD_PASSWORD"));
    }
}
