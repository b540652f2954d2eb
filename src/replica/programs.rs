//! Where `PostgreSQL`'s server programs are, and as whom they run.
//!
//! `PostgreSQL` refuses to run as root. Then its programs run as the system user `postgres`, else `nobody`; the kernel's own
//! means are used for that, no helper program.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::{Error, Kind, OrFail, Result};

/// Oldest major version that is supported.
pub(crate) const OLDEST: u32 = 13;

/// The server programs of one `PostgreSQL` version.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    user: Option<SystemUser>,
}

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SystemUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Programs {
    /// Finds the programs: in `given` when set, else what `pg_config` names, Debian's folders and the search path; of those
    /// the newest, or the ones of major version `wanted`.
    ///
    /// # Errors
    /// `Config` when `given` holds no such programs; `Replica` when none are found.
    pub(crate) fn find(given: Option<&Path>, wanted: Option<u32>) -> Result<Self> {
        let user = if effective_uid()? == 0 { Some(service_user()?) } else { None };
        if let Some(folder) = given {
            if version(folder).is_none() {
                return Err(Error::new(
                    Kind::Config,
                    format!("{} holds no PostgreSQL server programs", folder.display()),
                )
                .hint("`programs` under [replica], or TILLVAULT_PG_BIN, must name the folder of initdb, pg_ctl and postgres"));
            }
            return Ok(Self { folder: folder.to_owned(), user });
        }
        let mut found: Vec<(u32, PathBuf)> =
            candidates().into_iter().filter_map(|folder| Some((version(&folder)?, folder))).collect();
        found.retain(|(major, _)| wanted.map_or(*major >= OLDEST, |wanted| *major == wanted));
        let (_, folder) = found.into_iter().max_by_key(|(major, _)| *major).ok_or_else(|| match wanted {
            Some(major) => Error::new(Kind::Replica, format!("the server programs of PostgreSQL {major} are gone"))
                .hint(format!(
                    "the private cluster was made by that version: install the package postgresql-{major}, or remove the cluster's folder and run `tillvault load`"
                )),
            None => Error::new(Kind::Replica, "no PostgreSQL server programs were found")
                .hint("install the Debian package postgresql (`apt-get install postgresql`), or set [replica] url to a running server"),
        })?;
        Ok(Self { folder, user })
    }

    /// The user the programs run as, when it is not ours.
    pub(crate) fn user(&self) -> Option<&SystemUser> {
        self.user.as_ref()
    }

    /// The user id the server will have.
    ///
    /// # Errors
    /// `Replica` when our own is not known.
    pub(crate) fn uid(&self) -> Result<u32> {
        self.user.as_ref().map_or_else(effective_uid, |user| Ok(user.uid))
    }

    /// A command for one of the programs, run by the right user within `folder`.
    pub(crate) fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C").env_remove("PGDATA");
        if let Some(user) = &self.user {
            // Rust drops the supplementary groups of root with this.
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Whether the server's user can enter `folder`.
    pub(crate) fn reaches(&self, folder: &Path) -> bool {
        self.command("postgres", folder)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for root in ["/usr/lib/postgresql", "/usr/local/lib/postgresql"] {
        folders.extend(fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")));
    }
    for root in ["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/usr/local/bin", "/usr/bin"] {
        folders.push(root.into());
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders
}

/// Major version of the programs in a folder that has all of them.
fn version(folder: &Path) -> Option<u32> {
    if !["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.8 (Debian …)` is 15; `17beta1` is 17.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.split_once("(PostgreSQL)")?.1.trim_start();
    number[..number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len())].parse().ok()
}

fn effective_uid() -> Result<u32> {
    Ok(fs::metadata("/proc/self").or_fail(Kind::Replica, || "cannot find out which user runs this program")?.uid())
}

fn service_user() -> Result<SystemUser> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| parse_user(&accounts, name)).ok_or_else(|| {
        Error::new(Kind::Replica, "PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
            .hint("install the package postgresql, or run tillvault as an ordinary user")
    })
}

fn parse_user(accounts: &str, name: &str) -> Option<SystemUser> {
    let fields: Vec<&str> = accounts.lines().map(|line| line.split(':').collect()).find(|f: &Vec<_>| f[0] == name)?;
    Some(SystemUser { name: name.to_owned(), uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_users_are_read() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(parse_version("something else"), None);
        let accounts = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:x:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(parse_user(accounts, "postgres"), Some(SystemUser { name: "postgres".into(), uid: 101, gid: 104 }));
        assert_eq!(parse_user(accounts, "nobody"), None);
    }

    #[test]
    fn a_folder_without_programs_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Programs::find(Some(folder.path()), None).unwrap_err();
        assert_eq!(failure.kind(), Kind::Config);
        assert!(failure.message().contains(&folder.path().display().to_string()));
    }
}
