//! `init`: writes a commented settings file and creates the archive.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    archive::Archive,
    config::{Config, FILE_NAME},
    error::{Error, Kind, OrFail as _, Result},
};

/// The settings file as `init` writes it. Values that `init` was told are put in; everything else is a comment.
const TEMPLATE: &str = include_str!("tillvault.toml");

/// What `init` is told.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Where the settings file goes; relative paths in it start there.
    pub folder: PathBuf,
    /// Name of the site.
    pub site: Option<String>,
    /// Till: host, or `HOST\INSTANCE`.
    pub host: Option<String>,
    /// Till: port.
    pub port: Option<u16>,
    /// Till: database.
    pub database: Option<String>,
    /// Till: login.
    pub username: Option<String>,
    /// Till: file that holds the password.
    pub password_file: Option<String>,
    /// Remote: URL of the folder for the archive.
    pub remote_url: Option<String>,
    /// Remote: user.
    pub remote_username: Option<String>,
    /// Remote: file that holds the app password.
    pub remote_password_file: Option<String>,
    /// Leave the making of the archive to a pull.
    pub without_archive: bool,
}

/// The JSON of `init`.
#[derive(Clone, Debug, Serialize)]
pub struct InitOutcome {
    /// The settings file.
    pub config: PathBuf,
    /// Whether it was written now (an existing one is kept as it is).
    pub config_written: bool,
    /// The archive folder.
    pub archive: PathBuf,
    /// Whether it was created now.
    pub archive_created: bool,
}

/// Writes the settings file, unless there is one, and creates the archive it names, unless there is one.
///
/// # Errors
/// `Config` when what it was told makes no valid settings (then nothing is written), the file cannot be written, or an existing
/// one is wrong; `Store` when the archive cannot be created.
pub fn init(options: &InitOptions) -> Result<InitOutcome> {
    let path = options.folder.join(FILE_NAME);
    let config_written = !path.exists();
    if config_written {
        // A file with a fault would be kept by the next `init`, whatever that is told: look before writing.
        let text = settings(options);
        // The folder first: paths such as `../till.password` lead nowhere without it.
        let is_new = !options.folder.exists();
        fs::create_dir_all(&options.folder)
            .or_fail(Kind::Config, || format!("cannot create {}", options.folder.display()))?;
        if let Err(error) = Config::read(&text, &path) {
            if is_new {
                let _ = fs::remove_dir(&options.folder);
            }
            return Err(error);
        }
        write_new(&path, &text)?;
    }
    let config = Config::load(Some(&path))?;
    let archive_created = match Archive::open(&config.archive) {
        Ok(_) => false,
        Err(error) if error.kind() == Kind::NoArchive && options.without_archive => false,
        Err(error) if error.kind() == Kind::NoArchive => {
            Archive::create(&config.archive, &config.site)?;
            true
        }
        Err(error) => return Err(error),
    };
    Ok(InitOutcome { config: path, config_written, archive: config.archive, archive_created })
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::create_new(path).or_fail(Kind::Config, || format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::new(Kind::Config, format!("cannot write {}", path.display())).caused_by(e))
}

/// The template with the given values in place of its comments.
fn settings(options: &InitOptions) -> String {
    let mut text = TEMPLATE.to_owned();
    let quoted = |value: &Option<String>| value.as_ref().map(|text| toml::Value::from(text.as_str()).to_string());
    let mut values = vec![
        ("site", quoted(&options.site)),
        ("sambapos_db_host", quoted(&options.host)),
        ("sambapos_db_port", options.port.map(|port| port.to_string())),
        ("sambapos_db_name", quoted(&options.database)),
        ("sambapos_db_username", quoted(&options.username)),
        ("sambapos_db_password_file", quoted(&options.password_file)),
    ];
    if options.remote_url.is_some() {
        text = text.replace("# [[remote]]", "[[remote]]");
        values.extend([
            ("name", Some("\"nextcloud\"".to_owned())),
            ("url", quoted(&options.remote_url)),
            ("username", quoted(&options.remote_username)),
            ("password_file", quoted(&options.remote_password_file)),
        ]);
    }
    for (key, value) in values {
        // The template has each of these keys commented out at the start of a line, the remote's `url` before the replica's.
        let line = text.find(&format!("\n# {key} = ")).map(|at| at + 1);
        if let (Some(from), Some(value)) = (line, value) {
            let to = text[from..].find('\n').map_or(text.len(), |length| from + length);
            text.replace_range(from..to, &format!("{key} = {value}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        let environment = |name: &str| name.ends_with("PASSWORD").then(|| "secret".to_owned());
        Config::parse(text, Path::new(FILE_NAME), Path::new("/site"), &environment).unwrap()
    }

    #[test]
    fn the_template_is_valid_as_it_stands_and_with_everything_set() {
        assert!(parse(&settings(&InitOptions::default())).till.is_none());
        let config = parse(&settings(&InitOptions {
            site: Some("Hotel \"Anker\"".into()),
            host: Some("TILL\\SQLEXPRESS".into()),
            port: Some(14330),
            database: Some("SambaPOS5".into()),
            username: Some("reader".into()),
            remote_url: Some("https://cloud.example/remote.php/dav/files/ann/till".into()),
            remote_username: Some("ann".into()),
            ..InitOptions::default()
        }));
        assert_eq!(config.site, "Hotel \"Anker\"");
        let till = config.till().unwrap();
        assert_eq!((till.host.as_str(), till.port), ("TILL\\SQLEXPRESS", 14330));
        assert_eq!(config.remotes[0].kind.word(), "nextcloud");
    }

    #[test]
    fn a_password_file_beside_a_new_folder_is_found_and_a_failure_leaves_no_folder() {
        let home = tempfile::tempdir().unwrap();
        let options = InitOptions {
            folder: home.path().join("site"),
            host: Some("TILL".into()),
            database: Some("SambaPOS5".into()),
            username: Some("reader".into()),
            password_file: Some("../till.password".into()),
            ..InitOptions::default()
        };
        assert_eq!(init(&options).unwrap_err().kind(), Kind::Config);
        assert!(!options.folder.exists());
        fs::write(home.path().join("till.password"), "hush").unwrap();
        assert!(init(&options).unwrap().archive_created);
    }

    #[test]
    fn every_commented_key_of_the_template_is_a_real_one() {
        let uncommented: String = TEMPLATE
            .lines()
            .filter(|line| !line.contains("_file = ") && !line.starts_with("# url = \"postgres"))
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with("[[") || rest.contains(" = ") => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = parse(&uncommented);
        assert!(config.till.is_some());
        assert_eq!(config.remotes.len(), 1);
    }
}
