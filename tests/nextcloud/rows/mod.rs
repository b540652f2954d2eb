//! The failures of WEBDAV §9, by number: each is injected, and both the outcome and the server's request log are looked at.
//! docs/REMOTES.md lists them.

mod broken;
mod chunked;
mod folders;
mod listings;
mod moods;
mod names;
mod push;
mod strangers;

use std::{path::Path as FilePath, time::Duration};

use bytes::Bytes;
use object_store::{Error as StoreError, path::Path};
use secrecy::SecretString;
use tempfile::TempDir;
use tillvault::{
    error::Error,
    store::{
        Remote, failure,
        upload::Stored,
        webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
    },
};
use url::Url;

use crate::double::{Double, Logged, Options};

/// The archive's folder on the server.
pub(crate) const FOLDER: &str = "till";

/// A server, and a remote that knows it.
pub(crate) struct Rig {
    pub(crate) server: Double,
    pub(crate) remote: Remote,
    /// Local state of the remote.
    pub(crate) cache: TempDir,
}

/// Objects up to this many bytes go in one PUT.
pub(crate) const ONE_PUT: usize = 120_000;
/// Bytes of a part of a larger one.
pub(crate) const PART: usize = 40_000;

/// How a store is set up.
pub(crate) struct Setup {
    pub(crate) settings: WebDavSettings,
    pub(crate) tuning: Tuning,
}

impl Setup {
    /// As small and as fast as a test may be.
    pub(crate) fn new(url: Url, state: Option<&FilePath>) -> Self {
        let millis = Duration::from_millis;
        let settings = WebDavSettings {
            url,
            username: "kitchen".into(),
            password: SecretString::from("app-password"),
            ca_file: None,
            retry: Retry { tries: 5, base: millis(10), cap: millis(40) },
            timeouts: Timeouts { connect: Duration::from_secs(1), ..Timeouts::default() },
        };
        let patience = Patience {
            throttled: millis(300),
            throttled_most: millis(2000),
            maintenance: millis(20),
            maintenance_cap: millis(50),
            maintenance_most: Duration::from_secs(20),
            locked_cap: millis(40),
            locked_most: millis(2000),
            assembly: millis(20),
            assembly_cap: millis(50),
            assembly_most: Duration::from_secs(10),
            assembly_per_gb: Duration::ZERO,
        };
        let tuning = Tuning {
            patience,
            largest_put: ONE_PUT as u64,
            part: PART as u64,
            smallest_part: PART as u64 / 5,
            page: 100,
            state: state.map(FilePath::to_path_buf),
            ..Tuning::default()
        };
        Self { settings, tuning }
    }

    pub(crate) fn remote(self) -> Remote {
        Remote::webdav("nextcloud", WebDav::tuned(&self.settings, self.tuning).unwrap())
    }
}

/// The URL of the archive's folder.
pub(crate) fn folder(server: &Double) -> Url {
    server.url().join(FOLDER).unwrap()
}

/// Another run, with the local state of `state`.
pub(crate) fn remote_at(server: &Double, state: &FilePath) -> Remote {
    Setup::new(folder(server), Some(state)).remote()
}

impl Rig {
    /// Nextcloud 31 on a disk.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::set(options, |_| {}).await
    }

    /// With a store that is set up another way.
    pub(crate) async fn set(options: Options, change: impl FnOnce(&mut Setup)) -> Self {
        let server = Double::start(options).await;
        server.folder(FOLDER);
        let cache = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(folder(&server), Some(cache.path()));
        change(&mut setup);
        let remote = setup.remote();
        remote.probe().await.unwrap();
        let rig = Self { server, remote, cache };
        rig.server.take_log();
        assert!(rig.server.files().is_empty() && rig.server.trash().is_empty(), "a probe leaves nothing behind");
        rig
    }

    /// Stores an object by the way that everything goes.
    pub(crate) async fn put(&self, path: &str, content: &Bytes) -> Result<Stored, Error> {
        self.remote.put_new(&Path::from(path), content.clone()).await
    }

    /// What lies under a name in the archive's folder.
    pub(crate) fn content(&self, path: &str) -> Option<Bytes> {
        self.server.content(&format!("{FOLDER}/{path}"))
    }

    /// The requests that are about a name, in the folder or in staging.
    pub(crate) fn about(&self, path: &str) -> Vec<Logged> {
        self.server.log().into_iter().filter(|entry| entry.path.ends_with(path)).collect()
    }

    /// What must hold of every log: bodies of known length, nothing onto a taken name, nothing but files and staging.
    pub(crate) fn assert_clean(&self) {
        for entry in self.server.log() {
            assert!(!entry.lacks_length(), "{entry:?}");
            match entry.method.as_str() {
                "PUT" if !entry.is_staging() => assert_eq!(entry.header("if-none-match"), Some("*"), "{entry:?}"),
                "MOVE" => assert_eq!(entry.header("overwrite"), Some("F"), "{entry:?}"),
                "PROPFIND" => assert!(matches!(entry.header("depth"), Some("0" | "1")), "{entry:?}"),
                _ => {}
            }
        }
    }
}

/// `PUT 201, PROPFIND 207, …`.
pub(crate) fn story(log: &[Logged]) -> Vec<String> {
    log.iter().map(Logged::short).collect()
}

pub(crate) fn count(log: &[Logged], method: &str) -> usize {
    log.iter().filter(|entry| entry.method == method).count()
}

/// So many bytes that differ from place to place.
pub(crate) fn bytes(length: usize) -> Bytes {
    (0..=252).cycle().take(length).collect::<Vec<u8>>().into()
}

/// An error with its hint and its causes, as one text.
pub(crate) fn words(error: &Error) -> String {
    let mut text = format!("{error} {}", error.next_step().unwrap_or_default());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(" / {inner}"));
        cause = inner.source();
    }
    text
}

/// A store's error as the program shows it.
pub(crate) fn shown(error: StoreError) -> Error {
    failure("it failed", error)
}
