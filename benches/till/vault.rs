//! The program under measure: settings and an archive of its own, run as a user runs it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    measure::{self, Took},
    server::Target,
};

/// tillvault with an empty archive.
pub(crate) struct Vault {
    folder: TempDir,
    settings: Vec<(String, String)>,
    tables: Vec<String>,
}

impl Vault {
    /// Settings for `target` with more keys of `[till]`, for these tables (for all, if none).
    pub(crate) fn create(target: &Target, settings: &[(&str, &str)], tables: &[&str]) -> Vault {
        let vault = Vault {
            folder: tempfile::tempdir().unwrap(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
        };
        vault.point_at(target);
        vault.tillvault(&["init"]);
        vault
    }

    /// Writes the settings anew, for another way to the same till.
    pub(crate) fn point_at(&self, target: &Target) {
        let mut text = format!(
            "[till]\nsambapos_db_host = '{}'\nsambapos_db_port = {}\nsambapos_db_name = '{}'\n\
             sambapos_db_username = '{}'\nsambapos_db_password_file = 'password'\nencryption = 'off'\n",
            target.host, target.port, target.database, target.user
        );
        for (key, value) in &self.settings {
            text.push_str(&format!("{key} = '{value}'\n"));
        }
        if !self.tables.is_empty() {
            text.push_str(&format!("[tables]\ninclude = {:?}\n", self.tables));
        }
        fs::write(self.folder.path().join("tillvault.toml"), text).unwrap();
        fs::write(self.folder.path().join("password"), &target.password).unwrap();
    }

    /// One snapshot: its outcome and what it took.
    pub(crate) fn snapshot(&self, arguments: &[&str]) -> (serde_json::Value, Took) {
        let (output, took) = self.tillvault(&[&["snapshot", "--json", "--quiet"], arguments].concat());
        (serde_json::from_str(&output).unwrap(), took)
    }

    fn tillvault(&self, arguments: &[&str]) -> (String, Took) {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_tillvault"));
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let folder: &Path = self.folder.path();
        measure::run(&program, &arguments, folder).unwrap_or_else(|error| panic!("tillvault {arguments:?}: {error}"))
    }
}
