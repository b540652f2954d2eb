//! Which files the settings are made of.

use std::path::{Path, PathBuf};

use super::{locate, text_of};
use crate::error::{Error, Kind, Result};

/// The settings file and the files of secrets it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFiles {
    /// The file that [`super::Config::load`] reads.
    pub settings: PathBuf,
    /// Files that hold one secret each: the values of `…password_file`, `secret_access_key_file` and `url_file`.
    pub secrets: Vec<PathBuf>,
}

/// Finds the settings file as [`super::Config::load`] does, and the files of secrets it names.
///
/// # Errors
/// `Config`, as there.
pub fn files(explicit: Option<&Path>) -> Result<SettingsFiles> {
    let settings = locate(explicit)?;
    let text = text_of(&settings)?;
    // The parser's own words may repeat a line with a secret.
    let table: toml::Table =
        toml::from_str(&text).map_err(|_| Error::new(Kind::Config, format!("{} is not valid", settings.display())))?;
    let folder = settings.parent().unwrap_or_else(|| Path::new(""));
    let mut secrets = Vec::new();
    gather(&toml::Value::Table(table), folder, &mut secrets);
    Ok(SettingsFiles { settings, secrets })
}

fn gather(value: &toml::Value, folder: &Path, into: &mut Vec<PathBuf>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(file)
                        if key.ends_with("password_file") || key == "url_file" || key == "secret_access_key_file" =>
                    {
                        into.push(folder.join(file));
                    }
                    other => gather(other, folder, into),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| gather(value, folder, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_of_secrets_are_found_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tillvault.toml");
        let text = "[till]\nsambapos_db_password_file = 'till.password'\nca_file = 'ca.pem'\n\
                    [[remote]]\npassword_file = '/etc/cloud.password'\n[replica]\nurl_file = 'url'\n";
        fs::write(&path, text).unwrap();
        let found = files(Some(&path)).unwrap();
        assert_eq!(found.settings, path);
        let mut secrets = found.secrets;
        secrets.sort();
        let here = |name: &str| folder.path().join(name);
        assert_eq!(secrets, {
            let mut all = vec![PathBuf::from("/etc/cloud.password"), here("till.password"), here("url")];
            all.sort();
            all
        });
    }
}
