//! What pushes cost on Nextcloud, in requests, and what becomes of bytes there.

use std::{collections::BTreeMap, fs, time::Duration};

use secrecy::SecretString;
use tillvault::{
    archive::Archive,
    observe::silent,
    ops::{
        check::{
            Part,
            remote::{RemoteCheckOptions, check_remote},
        },
        push::{PushOptions, PushOutcome, push},
    },
    store::{
        Remote,
        webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
    },
};

use crate::{
    double::Double,
    site::{files, snapshot},
};

/// An archive and a Nextcloud.
pub(crate) struct Cloud {
    folder: tempfile::TempDir,
    pub(crate) archive: std::sync::Arc<Archive>,
    pub(crate) double: Double,
    remote: Remote,
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("archive"), "Beach Bar").unwrap();
        let double = Double::local().await;
        let remote = remote(&double, folder.path());
        Self { folder, archive: std::sync::Arc::new(archive), double, remote }
    }

    /// The remote as a new process opens it: nothing is known of it.
    pub(crate) fn remote(&self) -> Remote {
        remote(&self.double, self.folder.path())
    }

    /// Asserts that every snapshot that is there has all its chunks there.
    pub(crate) fn assert_snapshots_complete(&self) {
        let there = self.double.files();
        for number in self.archive.snapshot_numbers().unwrap() {
            let object = self.archive.snapshot_object(number).unwrap();
            if there.get(&format!("till/{}", object.path)) != Some(&object.bytes) {
                continue;
            }
            for chunk in self.archive.chunk_objects(&self.archive.snapshot(number).unwrap()) {
                assert_eq!(there.get(&format!("till/{}", chunk.path)), Some(&chunk.bytes), "snapshot {number}");
            }
        }
    }

    async fn push(&self, options: &PushOptions) -> PushOutcome {
        self.double.take_log();
        let pushed = push(&self.archive, &self.remote, options, &silent()).await.unwrap();
        assert_eq!(pushed.backlog, 0);
        pushed
    }

    pub(crate) fn assert_mirrored(&self) {
        let there: BTreeMap<String, u64> = self.double.files();
        for name in files(self.archive.root()) {
            if name.starts_with("tables/") || name.starts_with("snapshots/") || name.starts_with("journal/") {
                let ours = fs::read(self.archive.root().join(&name)).unwrap();
                assert_eq!(there.get(&format!("till/{name}")), Some(&(ours.len() as u64)), "{name}");
                assert_eq!(self.double.content(&format!("till/{name}")).unwrap(), ours, "{name}");
            }
        }
    }
}

fn remote(double: &Double, folder: &std::path::Path) -> Remote {
    let settings = WebDavSettings {
        url: double.url().join("till/").unwrap(),
        username: "kitchen".into(),
        password: SecretString::from("app-password"),
        ca_file: None,
        retry: Retry { tries: 2, base: Duration::from_millis(2), cap: Duration::from_millis(5) },
        timeouts: Timeouts::default(),
    };
    let tuning = Tuning { state: Some(folder.join("state")), patience: Patience::NONE, ..Tuning::default() };
    Remote::webdav("cloud", WebDav::tuned(&settings, tuning).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_frugal() {
    let cloud = Cloud::new().await;
    let names: Vec<String> = (0..83).map(|number| format!("Table{number:02}")).collect();
    let tables: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 20)).collect();
    snapshot(&cloud.archive, &tables).await;
    let plain = PushOptions::default();
    // One folder and one upload for each table, and little besides: what the server can do is found out once.
    let first = cloud.push(&plain).await;
    assert_eq!(first.uploaded, 83 + 2);
    let mut by_method: BTreeMap<String, u32> = BTreeMap::new();
    cloud.double.take_log().iter().for_each(|logged| *by_method.entry(logged.short()).or_default() += 1);
    assert!(first.requests <= 2 * 83 + 25, "{first:?} {by_method:?}");
    cloud.assert_mirrored();
    assert!(cloud.push(&plain).await.requests <= 3);
    let derived = PushOptions { derived: true, ..plain };
    cloud.archive.write_index(false).await.unwrap();
    cloud.push(&derived).await;
    assert!(cloud.push(&derived).await.requests <= 3);

    // A night: k new chunks.
    let grown: Vec<(&str, i32)> =
        tables.iter().enumerate().map(|(at, (name, _))| (*name, if at < 12 { 40 } else { 20 })).collect();
    let new = snapshot(&cloud.archive, &grown).await;
    cloud.archive.write_index(false).await.unwrap();
    assert_eq!(new, 12);
    let night = cloud.push(&derived).await;
    assert_eq!((night.uploaded, night.derived.len()), (new + 1, 1));
    assert!(night.requests <= new + 10, "{night:?}");

    // Fifteen minutes of trade: six tables grow, and derived files wait.
    let sold: Vec<(&str, i32)> =
        grown.iter().enumerate().map(|(at, (name, rows))| (*name, if at < 6 { 60 } else { *rows })).collect();
    assert_eq!(snapshot(&cloud.archive, &sold).await, 6);
    let sync = cloud.push(&plain).await;
    assert!(sync.requests <= 10, "{sync:?}");
    cloud.assert_mirrored();
    for logged in cloud.double.take_log() {
        assert!(!logged.lacks_length(), "{}", logged.short());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_hashes_what_it_has_and_nothing_is_downloaded() {
    let cloud = Cloud::new().await;
    snapshot(&cloud.archive, &[("Orders", 9_000), ("Tickets", 700)]).await;
    cloud.push(&PushOptions::default()).await;
    let all = RemoteCheckOptions { read_data: Some(Part::ALL), ..RemoteCheckOptions::default() };
    let checked = check_remote(&cloud.archive, &cloud.remote, &all, &silent()).await.unwrap();
    assert!(checked.check.findings.is_empty(), "{:?}", checked.check.findings);
    assert_eq!(
        (checked.hashed_there, checked.check.covered.chunks_read),
        (checked.check.covered.chunks, checked.check.covered.chunks)
    );
    let log = cloud.double.take_log();
    assert!(!log.iter().any(|logged| logged.method == "GET" && logged.path.ends_with(".parquet")));

    let chunk = cloud.archive.chunk_objects(&cloud.archive.snapshot(1).unwrap()).remove(0);
    cloud.double.corrupt(&format!("till/{}", chunk.path));
    let checked = check_remote(&cloud.archive, &cloud.remote, &all, &silent()).await.unwrap();
    assert_eq!(checked.check.counts.damage, 1);
    assert_eq!(checked.check.findings[0].path, chunk.path);
    let mended =
        check_remote(&cloud.archive, &cloud.remote, &RemoteCheckOptions { repair: true, ..all }, &silent()).await;
    assert!(mended.unwrap().check.findings.is_empty());
    assert_eq!(cloud.double.trash().len(), 1, "what was there lies in the trash bin");
    cloud.assert_mirrored();
}
