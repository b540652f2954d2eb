//! What all sections need to become checked settings: paths and secrets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use crate::error::{Error, Kind, Result};

/// What turns written settings into checked ones.
pub(super) struct Reader<'a> {
    pub(super) folder: &'a Path,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    /// A path, relative to the settings file's folder.
    pub(super) fn path(&self, value: Option<&str>, default: &str) -> PathBuf {
        self.folder.join(value.unwrap_or(default))
    }

    /// A secret from the variable, else from the file; `inline` is refused, since settings files get copied around.
    pub(super) fn secret(
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
}
