//! One of the two servers, with what is known of it.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use secrecy::SecretString;
use tillvault::{
    archive::Archive,
    observe::silent,
    ops::{
        check::{
            Part,
            remote::{RemoteCheckOptions, RemoteCheckOutcome, check_remote},
        },
        push::{PushOptions, push},
    },
    store::{
        Remote,
        webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
    },
};

use super::{
    faults::{self, Blow},
    ledger::Ledger,
};
use crate::{
    double::{Double, Event, Options},
    site::{chain, content},
};

/// Larger objects go in parts of this.
const ONE_PUT: u64 = 1_200;
pub(super) const PART: usize = 500;

pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) double: Double,
    pub(super) ledger: Ledger,
    state: PathBuf,
    /// Chunks that were taken away, and not looked for since.
    gone: HashSet<String>,
    /// Chunks that are something else than the server tells.
    altered: HashSet<String>,
}

impl Side {
    pub(super) async fn new(name: &'static str, options: Options, state: &Path) -> Self {
        let double = Double::start(options).await;
        let state = state.to_owned();
        Self { name, double, ledger: Ledger::default(), state, gone: HashSet::new(), altered: HashSet::new() }
    }

    /// The remote as a new process opens it: with what former ones have noted.
    pub(super) fn remote(&self) -> Remote {
        let millis = Duration::from_millis;
        let settings = WebDavSettings {
            url: self.double.url().join("till/").unwrap(),
            username: "kitchen".into(),
            password: SecretString::from("app-password"),
            ca_file: None,
            retry: Retry { tries: 3, base: millis(1), cap: millis(4) },
            timeouts: Timeouts::default(),
        };
        let patience = Patience {
            throttled: millis(5),
            throttled_most: millis(50),
            maintenance: millis(2),
            maintenance_cap: millis(5),
            maintenance_most: millis(100),
            locked_cap: millis(5),
            locked_most: millis(25),
            assembly: millis(2),
            assembly_cap: millis(5),
            assembly_most: millis(200),
            assembly_per_gb: Duration::ZERO,
        };
        let tuning = Tuning {
            patience,
            largest_put: ONE_PUT,
            part: PART as u64,
            smallest_part: PART as u64,
            page: 5,
            state: Some(self.state.clone()),
            ..Tuning::default()
        };
        Remote::webdav(self.name, WebDav::tuned(&settings, tuning).unwrap())
    }

    /// The archive's files that are there.
    fn there(&self) -> BTreeMap<String, u64> {
        let files = self.double.files().into_iter();
        files.filter_map(|(name, bytes)| Some((name.strip_prefix("till/")?.to_owned(), bytes))).collect()
    }

    /// Something happens to what is stored.
    pub(super) fn suffer(&mut self, random: &mut ChaCha8Rng) {
        let there = self.there();
        let chunks: Vec<&String> = there.keys().filter(|name| name.ends_with(".parquet")).collect();
        let snapshots: Vec<&String> = there.keys().filter(|name| name.starts_with("snapshots/")).collect();
        if chunks.is_empty() || snapshots.is_empty() {
            return;
        }
        let chunk = chunks[random.random_range(0..chunks.len())].clone();
        let at = format!("till/{chunk}");
        match faults::blow(random) {
            Blow::Gone if random.random_range(0..3) == 0 => {
                let snapshot = snapshots[random.random_range(0..snapshots.len())].clone();
                self.double.forget(&format!("till/{snapshot}"));
                self.ledger.lost(&snapshot);
            }
            Blow::Gone => self.take_away(&[chunk]),
            Blow::Emptied => {
                let folder = chunk.rsplit_once('/').unwrap().0;
                let all: Vec<String> = chunks.into_iter().filter(|name| name.starts_with(folder)).cloned().collect();
                self.take_away(&all);
                self.double.forget(&format!("till/{folder}"));
            }
            Blow::Lost => {
                self.double.lose(&at);
                self.alter(chunk);
            }
            Blow::Cut => {
                self.double.truncate(&at, random.random_range(0..200));
                self.alter(chunk);
            }
            Blow::Spoiled => {
                self.double.corrupt(&at);
                self.alter(chunk);
            }
            Blow::Expired => {
                self.double.happen(&Event::StagingExpires);
                self.ledger.staging_lost();
            }
        }
    }

    fn take_away(&mut self, chunks: &[String]) {
        for chunk in chunks {
            self.double.forget(&format!("till/{chunk}"));
            self.ledger.lost(chunk);
            self.gone.insert(chunk.clone());
        }
    }

    fn alter(&mut self, chunk: String) {
        self.ledger.lost(&chunk);
        self.altered.insert(chunk);
    }

    /// After a push. `verified`: it has looked for every chunk.
    pub(super) fn pushed(&mut self, whole: bool, verified: bool) {
        self.ledger.account(&self.double.take_log(), whole);
        if whole && verified {
            self.gone.clear();
        }
    }

    /// Whatever happened: a snapshot that is listed has its chunks, but for those that were taken away since, and those that the
    /// server had altered: a push that looks for them may have removed them when it broke off.
    pub(super) fn assert_snapshots_complete(&self, archive: &Archive) {
        let there = self.there();
        for number in archive.snapshot_numbers().unwrap() {
            let object = archive.snapshot_object(number).unwrap();
            if there.get(&object.path) != Some(&object.bytes) {
                continue;
            }
            for chunk in archive.chunk_objects(&archive.snapshot(number).unwrap()) {
                let path = &chunk.path;
                let known = [&self.gone, &self.altered, &self.ledger.doubtful].iter().any(|known| known.contains(path));
                let found = there.get(path);
                assert!(
                    known || found == Some(&chunk.bytes),
                    "{}: snapshot {number} lists {} of {} bytes, and {found:?} are there: {}",
                    self.name,
                    chunk.path,
                    chunk.bytes,
                    self.ledger.history(&chunk.path)
                );
            }
        }
    }

    /// All faults are over: one push and one repair later nothing is missing, and nothing is anything else than here.
    pub(super) async fn heal(&mut self, archive: &Arc<Archive>) {
        self.double.heal();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let options = PushOptions { verify: Some(Part::ALL), derived: true, ..PushOptions::default() };
        let pushed = push(archive, &self.remote(), &options, &silent()).await;
        let pushed = pushed.unwrap_or_else(|error| panic!("{}: {}", self.name, chain(&error)));
        assert_eq!(pushed.backlog, 0);
        self.pushed(true, true);
        self.assert_snapshots_complete(archive);

        // What lies to the server's own lists is found by reading, and that is nothing else than what was made to.
        let found = self.check(archive, true).await;
        for finding in &found.check.findings {
            let known = self.altered.contains(&finding.path) || self.ledger.doubtful.contains(&finding.path);
            assert!(known, "{}: {finding:?}", self.name);
        }
        let found = self.check(archive, false).await;
        assert!(found.check.findings.is_empty(), "{}: {:?}", self.name, found.check.findings);
        self.ledger.account(&self.double.take_log(), true);
        let ours = content(archive.root());
        for (name, bytes) in &ours {
            let theirs = self.double.content(&format!("till/{name}"));
            assert!(theirs.is_some_and(|theirs| theirs == *bytes), "{}: {name} differs", self.name);
        }
        let strange = |name: &String| !ours.contains_key(name) && !archive.root().join(name).exists();
        let strange: Vec<String> = self.there().into_keys().filter(strange).collect();
        let temporary = strange.iter().filter(|name| name.ends_with(".tmp")).count();
        assert_eq!(temporary, strange.len(), "{}: {strange:?}", self.name);
        let bytes: usize = ours.values().map(Vec::len).sum();
        eprintln!(
            "  {}: {bytes} bytes are there; {temporary} temporary files and {} staging folders are left",
            self.name,
            self.double.staged().len()
        );
    }

    async fn check(&self, archive: &Arc<Archive>, repair: bool) -> RemoteCheckOutcome {
        let all = RemoteCheckOptions { read_data: Some(Part::ALL), repair, ..RemoteCheckOptions::default() };
        let checked = check_remote(archive, &self.remote(), &all, &silent()).await;
        checked.unwrap_or_else(|error| panic!("{}: {}", self.name, chain(&error)))
    }
}
