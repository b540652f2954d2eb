//! The settings: which file was read, and who else may read the secrets it names.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Check, Part, words};
use crate::config::{SettingsFiles, files};

/// Looks at the settings file that was read and the files of secrets it names.
pub(super) fn look(explicit: Option<&Path>) -> Vec<Check> {
    match files(explicit) {
        Ok(found) => vec![Check::ok(Part::Settings, "file", shown(&found.settings)), secrets(&found)],
        Err(error) => vec![Check::failed(Part::Settings, "file", &error)],
    }
}

/// With the folder: which file was read is the question.
fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn secrets(found: &SettingsFiles) -> Check {
    let open: Vec<String> = found
        .secrets
        .iter()
        .filter(|path| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        let message = match found.secrets.len() {
            0 => "no password is read from a file".to_owned(),
            count => {
                format!("{} with a password; no other user of this machine can read it", words::counted(count, "file"))
            }
        };
        return Check::ok(Part::Settings, "secrets", message);
    }
    let commands = open.iter().map(|path| format!("chmod 600 '{path}'")).collect::<Vec<_>>().join("; ");
    Check::warning(
        Part::Settings,
        "secrets",
        format!("other users of this machine can read a password: {}", words::names(&open)),
        format!("Run {commands}"),
    )
}
