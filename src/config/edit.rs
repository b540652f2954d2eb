//! Changing the settings file: a `[[remote]]` more or less, everything else as it was, to the byte.
//!
//! Edits are made on the text, since people wrote it, and proven on its meaning: the new text must say exactly what the old one said, but
//! for the one remote, else nothing is written. The file is replaced in one step; its rights and its owner stay.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::locate;
use crate::error::{Error, Kind, OrFail as _, Result};

/// A settings file and its text, as it was when it was read.
#[derive(Clone, Debug)]
pub struct SettingsText {
    /// The file that [`super::Config::load`] reads.
    pub path: PathBuf,
    text: String,
    table: toml::Table,
}

/// Keys and values of a `[[remote]]`, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteSectionText(Vec<(&'static str, toml::Value)>);

impl RemoteSectionText {
    /// Adds a key.
    pub fn set(&mut self, key: &'static str, value: impl Into<toml::Value>) {
        self.0.push((key, value.into()));
    }

    fn table(&self) -> toml::Table {
        self.0.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }
}

impl std::fmt::Display for RemoteSectionText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "[[remote]]")?;
        self.0.iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
    }
}

impl SettingsText {
    /// Reads the settings file as text.
    ///
    /// # Errors
    /// `Config` when there is none, it cannot be read, or it is not TOML.
    pub fn load(explicit: Option<&Path>) -> Result<Self> {
        let path = locate(explicit)?;
        let text = super::text_of(&path)?;
        let table = parsed(&text, &path)?;
        Ok(Self { path, text, table })
    }

    /// The folder that relative paths in it start from.
    ///
    /// # Errors
    /// `Config` when it cannot be resolved.
    pub fn folder(&self) -> Result<PathBuf> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::path::absolute(folder).or_fail(Kind::Config, || format!("cannot resolve {}", folder.display()))
    }

    /// Names of the remotes, in order.
    #[must_use]
    pub fn remotes(&self) -> Vec<String> {
        let remotes = self.table.get("remote").and_then(toml::Value::as_array);
        let name = |remote: &toml::Value| remote.get("name").and_then(toml::Value::as_str).map(str::to_owned);
        remotes.into_iter().flatten().filter_map(name).collect()
    }

    /// A value of a remote's section.
    #[must_use]
    pub fn remote_value(&self, name: &str, key: &str) -> Option<String> {
        let remotes = self.table.get("remote").and_then(toml::Value::as_array)?;
        let remote = remotes.iter().find(|remote| remote.get("name").and_then(toml::Value::as_str) == Some(name))?;
        remote.get(key).and_then(toml::Value::as_str).map(str::to_owned)
    }

    /// The text with one more remote, at its end.
    ///
    /// # Errors
    /// `Config` when the file has its remotes in a form that cannot be added to.
    pub fn with(&self, section: &RemoteSectionText) -> Result<Self> {
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if !text.is_empty() && !text.ends_with("\n\n") {
            text.push('\n');
        }
        text.push_str(&section.to_string());
        let mut wanted = self.table.clone();
        let remotes = wanted.entry("remote").or_insert_with(|| toml::Value::Array(Vec::new()));
        if let Some(remotes) = remotes.as_array_mut() {
            remotes.push(toml::Value::Table(section.table()));
        }
        self.proven(Some(text), &wanted)
    }

    /// The text without the remote `name`.
    ///
    /// # Errors
    /// `Config` when there is none of that name, or it stands in a form that cannot be taken out.
    pub fn without(&self, name: &str) -> Result<Self> {
        let names = self.table.get("remote").and_then(toml::Value::as_array).into_iter().flatten();
        let index =
            names.map(|remote| remote.get("name").and_then(toml::Value::as_str)).position(|found| found == Some(name));
        let index = index.ok_or_else(|| unknown(name, &self.remotes()))?;
        let mut wanted = self.table.clone();
        if let Some(remotes) = wanted.get_mut("remote").and_then(toml::Value::as_array_mut) {
            remotes.remove(index);
            if remotes.is_empty() {
                wanted.remove("remote");
            }
        }
        self.proven(cut(&self.text, index), &wanted)
    }

    /// The text, if it means just what is wanted.
    fn proven(&self, text: Option<String>, wanted: &toml::Table) -> Result<Self> {
        let table = text.as_ref().and_then(|text| toml::from_str::<toml::Table>(text).ok());
        match (text, table) {
            (Some(text), Some(table)) if table == *wanted => Ok(Self { path: self.path.clone(), text, table }),
            _ => Err(Error::new(
                Kind::Config,
                format!("{} cannot be changed by a program: it was written in an unusual form", self.path.display()),
            )
            .hint("change the remotes there by hand: each is a [[remote]] with its keys below")),
        }
    }

    /// Puts this text in the place of `before`, in one step.
    ///
    /// # Errors
    /// `Config` when the file was changed in the meantime, or cannot be written.
    pub fn replace(&self, before: &Self) -> Result<()> {
        let bad = || format!("cannot write {}", self.path.display());
        // A link stays a link.
        let path = fs::canonicalize(&self.path).or_fail(Kind::Config, bad)?;
        if fs::read_to_string(&path).or_fail(Kind::Config, bad)? != before.text {
            return Err(Error::new(Kind::Config, format!("{} was changed in the meantime", self.path.display()))
                .hint("run the command again"));
        }
        let old = fs::metadata(&path).or_fail(Kind::Config, bad)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(folder).or_fail(Kind::Config, bad)?;
        file.write_all(self.text.as_bytes()).or_fail(Kind::Config, bad)?;
        let new = file.as_file().metadata().or_fail(Kind::Config, bad)?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(file.path(), Some(old.uid()), Some(old.gid())).map_err(|cause| {
                Error::new(Kind::Config, bad())
                    .hint("run the command as the user that the file belongs to")
                    .caused_by(cause)
            })?;
        }
        file.as_file().set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777)).or_fail(Kind::Config, bad)?;
        file.as_file().sync_all().or_fail(Kind::Config, bad)?;
        file.persist(&path).map_err(|error| error.error).or_fail(Kind::Config, bad)?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).or_fail(Kind::Config, bad)
    }
}

/// The error for a remote that is not in the settings.
#[must_use]
pub fn unknown(name: &str, known: &[String]) -> Error {
    let error = Error::new(Kind::Usage, format!("there is no remote \"{name}\" in the settings"));
    if known.is_empty() {
        return error.hint("`tillvault remote add --help` shows how to add one");
    }
    error.hint(format!("known remotes: {}", known.join(", ")))
}

/// Writes a secret alone into a new file that nobody else can read.
///
/// # Errors
/// `Config` when there is a file of that name, or it cannot be written.
pub fn write_secret(path: &Path, secret: &SecretString) -> Result<()> {
    let bad = || format!("cannot write {}", path.display());
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).or_fail(Kind::Config, bad)?;
    let written = file.write_all(format!("{}\n", secret.expose_secret()).as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.or_fail(Kind::Config, bad)
}

fn parsed(text: &str, path: &Path) -> Result<toml::Table> {
    toml::from_str(text).map_err(|error: toml::de::Error| super::not_valid(&error, text, path))
}

/// The text without its `[[remote]]` number `index`, from 0.
fn cut(text: &str, index: usize) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_remote = |line: &str| {
        let inner = line.trim_start().strip_prefix("[[").and_then(|rest| rest.split_once("]]"));
        inner.is_some_and(|(name, _)| matches!(name.trim(), "remote" | "\"remote\"" | "'remote'"))
    };
    let mut from = lines.iter().enumerate().filter(|(_, line)| is_remote(line)).map(|(at, _)| at).nth(index)?;
    let next = lines.iter().skip(from + 1).position(|line| line.trim_start().starts_with('['));
    let mut to = next.map_or(lines.len(), |next| from + 1 + next);
    // Comments and empty lines right before the next section belong to that.
    let idle = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if to < lines.len() {
        while to > from + 1 && idle(lines[to - 1]) {
            to -= 1;
        }
    }
    // One of the two gaps around it goes with it.
    let blank = |at: usize| lines.get(at).is_none_or(|line| line.trim().is_empty());
    if from > 0 && blank(from - 1) && blank(to) {
        from -= 1;
    }
    Some([&lines[..from], &lines[to..]].concat().concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> SettingsText {
        SettingsText { path: "tillvault.toml".into(), text: text.to_owned(), table: toml::from_str(text).unwrap() }
    }

    fn section(name: &str) -> RemoteSectionText {
        let mut section = RemoteSectionText::default();
        section.set("name", name);
        section.set("path", "/mnt/\"odd\" \\path");
        section.set("connections", 3);
        section
    }

    #[test]
    fn adding_and_removing_gives_the_same_bytes_again() {
        for text in [
            "",
            "site = 'x'\n",
            "# only a comment\n",
            "[till]\nsambapos_db_port = 1\n\n# Remotes:\n# [[remote]]\n# name = 'x'\n",
            "[[remote]] # first\nname = 'a'\npath = 'a'\n\n[prune]\n# grace\ngrace = '24h'\n",
        ] {
            let before = settings(text);
            let after = before.with(&section("new")).unwrap();
            assert!(after.text.starts_with(text) && after.remotes().contains(&"new".to_owned()), "{}", after.text);
            assert_eq!(after.without("new").unwrap().text, text);
        }
        let twice = settings("site = 'x'").with(&section("a")).unwrap().with(&section("b")).unwrap();
        assert_eq!(twice.remotes(), ["a", "b"]);
        assert_eq!(twice.without("a").unwrap().remotes(), ["b"]);
        assert_eq!(twice.remote_value("b", "path").as_deref(), Some("/mnt/\"odd\" \\path"));
    }

    #[test]
    fn a_remote_in_the_middle_goes_alone() {
        let text = "[[remote]]\nname = 'a'\n# note on a\npath = 'a'\n\n[[ remote ]]\nname = 'b'\npath = 'b'\n\n# About the replica.\n[replica]\nschema = 's'\n";
        let after = settings(text).without("b").unwrap();
        assert_eq!(
            after.text,
            "[[remote]]\nname = 'a'\n# note on a\npath = 'a'\n\n# About the replica.\n[replica]\nschema = 's'\n"
        );
        let after = after.without("a").unwrap();
        assert_eq!(after.text, "\n# About the replica.\n[replica]\nschema = 's'\n");
        assert!(after.remotes().is_empty());
    }

    #[test]
    fn unusual_forms_are_left_alone() {
        let inline = settings("remote = [{ name = 'a', path = 'a' }]\n");
        assert!(inline.with(&section("b")).is_err());
        assert!(inline.without("a").is_err());
        let tricky =
            settings("[[remote]]\nname = 'a'\npath = '''\n[[remote]]\n'''\n[[remote]]\nname = 'b'\npath = 'b'\n");
        assert!(tricky.without("b").is_err() && tricky.without("a").is_err());
        assert_eq!(tricky.without("c").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn the_file_keeps_its_rights_and_a_change_in_between_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let (path, link) = (home.path().join("real.toml"), home.path().join("tillvault.toml"));
        fs::write(&path, "site = 'x'\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let before = SettingsText::load(Some(&link)).unwrap();
        let after = before.with(&section("a")).unwrap();
        after.replace(&before).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(fs::read_to_string(&path).unwrap().contains("[[remote]]"));
        assert!(after.replace(&before).unwrap_err().message().contains("in the meantime"));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_and_replaces_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cloud.password");
        write_secret(&path, &"hush".into()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "hush\n");
        assert!(write_secret(&path, &"other".into()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "hush\n");
    }
}
