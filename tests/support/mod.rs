//! A whole site in a temporary folder: demo till, WebDAV server, settings, and the program as users start it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tillvault::demo::{
    DemoTill, TillOptions,
    webdav::{WebDavOptions, WebDavServer},
};

pub const TILL_PASSWORD: &str = "till-pass-7411";
pub const CLOUD_PASSWORD: &str = "cloud-pass-2205";

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON object ({e}): {self:?}"))
    }

    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts a failure with this exit code whose text holds all of `words` and no secret.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let text = format!("{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(text.contains(word), "no '{word}' in {text}");
        }
        for secret in [TILL_PASSWORD, CLOUD_PASSWORD] {
            assert!(!text.contains(secret), "a secret in {text}");
        }
        self
    }
}

/// A site; everything it started ends with it.
pub struct Site {
    pub runtime: tokio::runtime::Runtime,
    pub till: DemoTill,
    cloud: Option<WebDavServer>,
    pub folder: TempDir,
}

impl Site {
    /// A till with `days` days of trade behind it.
    pub fn with_days(days: u32) -> Self {
        Self::new(TillOptions { days, tickets_per_day: 25, ..options() })
    }

    pub fn new(till: TillOptions) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Open to all, since PostgreSQL runs as another user where the tests run as root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let till = runtime.block_on(DemoTill::start(till)).unwrap();
        fs::create_dir(folder.path().join("cloud")).unwrap();
        let cloud = runtime
            .block_on(WebDavServer::start(WebDavOptions {
                root: Some(folder.path().join("cloud")),
                user: "kitchen".into(),
                password: CLOUD_PASSWORD.into(),
                ..WebDavOptions::default()
            }))
            .unwrap();
        fs::write(folder.path().join("till.password"), TILL_PASSWORD).unwrap();
        fs::write(folder.path().join("cloud.password"), CLOUD_PASSWORD).unwrap();
        let site = Self { runtime, till, cloud: Some(cloud), folder };
        site.write_settings("");
        site.run(&["init"]).done();
        site
    }

    /// The WebDAV server; its files lie in the folder `cloud`.
    pub fn cloud(&self) -> &WebDavServer {
        self.cloud.as_ref().expect("the cloud was switched off")
    }

    /// Switches the WebDAV server off.
    pub fn cloud_off(&mut self) {
        if let Some(cloud) = self.cloud.take() {
            self.runtime.block_on(cloud.stop());
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn archive(&self) -> PathBuf {
        self.path("archive")
    }

    /// Writes the settings; `more` are lines for `[till]`.
    pub fn write_settings(&self, more: &str) {
        let text = format!(
            "site = 'Test hotel'\ntimezone = 'Europe/London'\n\
             [till]\nsambapos_db_host = '127.0.0.1'\nsambapos_db_port = {}\nsambapos_db_name = 'SambaPOS5'\n\
             sambapos_db_username = 'tillvault'\nsambapos_db_password_file = 'till.password'\nencryption = 'off'\n\
             connect_timeout_seconds = 5\n{more}\n\
             [[remote]]\nname = 'cloud'\nurl = '{}till'\nusername = 'kitchen'\npassword_file = 'cloud.password'\n\
             [reports]\nsambapos_tracked_categories = 'Starters,Mains,Desserts'\n",
            self.till.port(),
            self.cloud().url(),
        );
        fs::write(self.path("tillvault.toml"), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillvault"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TILLVAULT_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finished(self.command(arguments))
    }

    /// Runs it with `--json` and expects success.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).done().json()
    }

    /// Starts the program and does not wait.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Options every test's till has.
pub fn options() -> TillOptions {
    TillOptions { user: "tillvault".into(), password: TILL_PASSWORD.into(), ..TillOptions::default() }
}

pub fn finished(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files below a folder, as paths relative to it, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}
