//! Settings: `tillvault.toml`, overridden by `TILLVAULT_…` environment variables.
//!
//! Promises: an unknown key is an error that names it; a secret comes from the environment or from a file that the settings
//! name, is held as [`SecretString`](secrecy::SecretString) and never printed; relative paths are relative to the settings file's folder.
//! This is the only module that reads the environment.

pub mod edit;
mod files;
mod forget;
mod reader;
mod remote;
mod replica;
mod till;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::error::{Error, Kind, OrFail as _, Result};
use reader::Reader;

pub use files::{SettingsFiles, files};
pub use forget::{ForgetConfig, PruneConfig};
pub use remote::{RemoteConfig, RemoteKind, secret_variable};
pub use replica::{ReplicaConfig, ReportConfig};
pub use till::{Encryption, RateLimit, RowReader, TillConfig};

/// Name of the settings file.
pub const FILE_NAME: &str = "tillvault.toml";

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
        Self::read(&text_of(&path)?, &path)
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
            reports: file.reports.read(),
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
    till: till::TillSection,
    #[serde(default)]
    tables: till::TablesSection,
    #[serde(default)]
    remote: Vec<remote::RemoteSection>,
    #[serde(default)]
    replica: replica::ReplicaSection,
    #[serde(default)]
    reports: replica::ReportsSection,
    #[serde(default)]
    forget: forget::ForgetSection,
    #[serde(default)]
    prune: forget::PruneSection,
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    // What is not UTF-8 is taken with its odd characters replaced: a wrong value is reported where it is used, a missing one is not.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// A secret from a `TILLVAULT_…` variable, for commands that are given one outside the settings.
#[must_use]
pub fn secret_from_environment(variable: &str) -> Option<secrecy::SecretString> {
    environment(variable).map(Into::into)
}

/// The program that opens addresses on this machine's desktop; `None` without a desktop.
#[must_use]
pub fn browser_opener() -> Option<PathBuf> {
    environment("DISPLAY").or_else(|| environment("WAYLAND_DISPLAY"))?;
    let path = environment("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("xdg-open")).find(|program| program.is_file())
}

/// The text of a settings file.
fn text_of(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|cause| {
        let hint = match cause.kind() {
            ErrorKind::NotFound => {
                "is it the right path? `tillvault init` writes a settings file; --config or TILLVAULT_CONFIG names another"
            }
            _ => "may this user read it? --config or TILLVAULT_CONFIG names another",
        };
        Error::new(Kind::Config, format!("cannot read {}", path.display())).hint(hint).caused_by(cause)
    })
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
    use std::time::Duration;

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
