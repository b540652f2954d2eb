//! Backup programs on CSV dumps of the same tables: restic and borg, in repositories of their own in a temporary folder.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::keeper::Cost;

/// Which program, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Restic,
    ResticMax,
    Borg,
}

impl Program {
    fn command(self) -> &'static str {
        if self == Program::Borg { "borg" } else { "restic" }
    }

    /// Its version line, or nothing when it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let argument = if self == Program::Borg { "--version" } else { "version" };
        let output =
            Command::new(self.command()).arg(argument).output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout);
        Some(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Restic => "restic, CSV",
            Program::ResticMax => "restic --compression max, CSV",
            Program::Borg => "borg, CSV",
        }
    }
}

/// A repository.
pub(crate) struct Peer {
    pub(crate) program: Program,
    folder: TempDir,
    files: HashMap<PathBuf, u64>,
    backups: u32,
    running: Option<Child>,
}

impl Peer {
    /// A new repository, or `None` when the program is not there.
    pub(crate) fn create(program: Program) -> Option<Self> {
        program.version()?;
        let folder = tempfile::tempdir().unwrap();
        let peer = Self { program, folder, files: HashMap::new(), backups: 0, running: None };
        let mut command = peer.command();
        match program {
            Program::Borg => command.args(["init", "--encryption", "repokey"]).arg(peer.repository()),
            _ => command.arg("init"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{} init: {}", program.name(), String::from_utf8_lossy(&output.stderr));
        let files = listed(&peer.repository());
        Some(Self { files, ..peer })
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// The program with settings, caches and password of its own.
    fn command(&self) -> Command {
        let mut command = Command::new(self.program.command());
        command
            .env("RESTIC_REPOSITORY", self.repository())
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", self.folder.path().join("cache"))
            .env("BORG_BASE_DIR", self.folder.path())
            .env("BORG_PASSPHRASE", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts to back up the folder of dumps.
    pub(crate) fn start(&mut self, dumps: &Path) {
        self.backups += 1;
        let mut command = self.command();
        match self.program {
            Program::Restic => command.args(["backup", "--quiet"]).arg(dumps),
            Program::ResticMax => command.args(["backup", "--quiet", "--compression", "max"]).arg(dumps),
            Program::Borg => {
                command.arg("create").arg(format!("{}::{}", self.repository().display(), self.backups)).arg(dumps)
            }
        };
        self.running = Some(command.spawn().unwrap());
    }

    /// Waits for the backup and weighs it: files that are new, and growth of the repository.
    pub(crate) fn wait(&mut self) -> Option<Cost> {
        let mut running = self.running.take()?;
        assert!(running.wait().unwrap().success(), "{}", self.program.name());
        let files = listed(&self.repository());
        let objects = files.keys().filter(|name| !self.files.contains_key(*name)).count() as u64;
        let cost = Cost { objects, bytes: sum(&files).saturating_sub(sum(&self.files)), snapshot: 0 };
        self.files = files;
        Some(cost)
    }

    /// Bytes in the repository.
    pub(crate) fn stored(&self) -> u64 {
        sum(&self.files)
    }
}

fn sum(files: &HashMap<PathBuf, u64>) -> u64 {
    files.values().sum()
}

/// Files below a folder with their lengths.
pub(crate) fn listed(folder: &Path) -> HashMap<PathBuf, u64> {
    let mut found = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (entry, path) = entry.map(|entry| (entry.metadata().unwrap(), entry.path())).unwrap();
            if entry.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, entry.len());
            }
        }
    }
    found
}
