//! A folder with settings and an empty archive, and the program run in it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::double::{Double, Options};

/// The user's real password; an app password is made by the server.
pub(crate) const PASSWORD: &str = "real-pass-5517";

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON object ({e}): {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Asserts that all of `words` are said.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.text().contains(word), "no '{word}' in {}", self.text());
        }
        self
    }

    /// The check of that name of a diagnosis.
    #[track_caller]
    pub(crate) fn check(&self, name: &str) -> Value {
        let json = self.json();
        let found = json["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("no check {name} in {json:#}"))
    }

    /// Asserts a verdict and a word of its message.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, verdict: &str, word: &str) -> &Self {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check:#}");
        assert!(check["message"].as_str().unwrap().contains(word), "no '{word}' in {check:#}");
        self
    }
}

/// The folder; everything goes with it.
pub(crate) struct Home {
    pub(crate) runtime: Runtime,
    pub(crate) folder: TempDir,
}

impl Home {
    /// With an archive without snapshots.
    pub(crate) fn new() -> Self {
        let home = Self { runtime: Runtime::new().unwrap(), folder: tempfile::tempdir().unwrap() };
        home.run(&["init", "--site", "Beach Bar"]).ends(0);
        home
    }

    /// A Nextcloud whose user has a real password.
    pub(crate) fn nextcloud(&self) -> Double {
        self.nextcloud_like(Options::default())
    }

    pub(crate) fn nextcloud_like(&self, options: Options) -> Double {
        fs::write(self.path("ann.password"), format!("{PASSWORD}\n")).unwrap();
        let double = self.runtime.block_on(Double::start(options));
        double.add_real_password(PASSWORD);
        double
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn settings(&self) -> String {
        fs::read_to_string(self.path("tillvault.toml")).unwrap()
    }

    pub(crate) fn add_settings(&self, more: &str) {
        fs::write(self.path("tillvault.toml"), self.settings() + more).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillvault"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let foreign = |name: &str| {
            let name = name.to_ascii_uppercase();
            name.starts_with("TILLVAULT_") || name.ends_with("_PROXY") || name == "DISPLAY" || name == "WAYLAND_DISPLAY"
        };
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Self::finished(self.command(arguments))
    }

    pub(crate) fn finished(mut command: Command) -> Ran {
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Adds `cloud` with the user's real password.
    pub(crate) fn add_nextcloud(&self, double: &Double) -> Ran {
        self.run(&[
            "remote",
            "add",
            "cloud",
            "nextcloud",
            double.root().as_str(),
            "--user",
            "kitchen",
            "--password-file",
            "ann.password",
            "--json",
        ])
    }

    /// The app password that was kept for `cloud`.
    pub(crate) fn app_password(&self) -> String {
        fs::read_to_string(self.path("cloud.password")).unwrap().trim().to_owned()
    }
}
