//! `remote test`: does everything that a push needs work there, and how fast is it?
//!
//! Writes two objects of its own under names that nothing else has, reads them, and removes them again, whatever happened in between.

use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, PutOptions, path::Path};
use rand::Rng as _;

use super::{Check, PART, abilities, certificate, encryption, failed, held, little, nextcloud, of, words};
use crate::{
    archive::{Archive, layout},
    config::{Config, RemoteConfig, RemoteKind, edit},
    error::{Error, Kind, Result},
    ops::doctor::Diagnosis,
    store::{self, Remote, proof::Trash},
};

/// Length of the object that speed is measured with.
const LARGE: usize = 4 << 20;
/// Length of the other.
const SMALL: usize = 1000;

/// Tries the remotes of these names, all of them without any: reach, sign in, write, read, a write that must be refused, delete,
/// room, speed.
///
/// # Errors
/// `Config` when no remote is set; `Usage` for a name that is not in the settings. What a trial finds is in the diagnosis.
pub async fn try_remotes(config: &Config, names: &[String]) -> Result<Diagnosis> {
    let known: Vec<String> = config.remotes.iter().map(|remote| remote.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(edit::unknown(name, &known));
    }
    if known.is_empty() {
        return Err(Error::new(Kind::Config, "no remote is configured")
            .hint("add one: `tillvault remote add cloud nextcloud https://cloud.example.org`"));
    }
    let archive = Archive::open(&config.archive).ok();
    let mut checks = Vec::new();
    for remote in config.remotes.iter().filter(|remote| names.is_empty() || names.contains(&remote.name)) {
        checks.extend(try_one(config, remote, archive.as_ref()).await);
    }
    Ok(Diagnosis::new(checks))
}

async fn try_one(config: &Config, remote: &RemoteConfig, archive: Option<&Archive>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let RemoteKind::WebDav { url, username, password, ca_file } = &remote.kind {
        checks.extend(encryption(url));
        if !nextcloud::look(url, username, password, ca_file.as_deref(), &mut checks).await {
            return of(checks, &remote.name);
        }
    }
    match store::open_remote_hasty(remote, &config.archive.join(layout::REMOTES)) {
        Ok(opened) => {
            reach(remote, &opened, archive, &mut checks).await;
            checks.extend(certificate(&remote.kind).await);
        }
        Err(error) => checks.push(failed("reach", &error)),
    }
    of(checks, &remote.name)
}

async fn reach(remote: &RemoteConfig, opened: &Remote, archive: Option<&Archive>, checks: &mut Vec<Check>) {
    match held(opened, archive).await {
        Ok(there) => {
            let snapshots = words::counted(usize::try_from(there).unwrap_or(usize::MAX), "snapshot");
            checks.push(Check::ok(
                PART,
                "reach",
                format!("{} can be read and holds {snapshots}", remote.kind.address()),
            ));
        }
        Err(error) => return checks.push(failed("reach", &error)),
    }
    let trial = Trial::new(opened);
    let went = trial.write_and_read(checks).await;
    let removed = trial.remove().await;
    match (went, removed) {
        (Ok(()), Ok(())) => checks.push(Check::ok(PART, "delete", "what was written is gone again")),
        (Err((name, error)), removed) => {
            checks.push(failed(name, &error));
            // What could not be written can often not be removed either; that says nothing new.
            if let (Err(error), true) = (removed, name != "write") {
                checks.push(failed("delete", &error));
            }
            return;
        }
        (Ok(()), Err(error)) => checks.push(failed("delete", &error)),
    }
    match opened.probe().await {
        Ok(profile) => checks.push(abilities(&profile, &remote.name)),
        Err(error) => checks.push(failed("abilities", &error)),
    }
    match opened.quota().await {
        Ok(Some(quota)) => checks.push(little(quota.free, None)),
        Ok(None) => {
            let message = "not known: the server does not tell how much room is left";
            checks.push(Check::unknown(PART, "room", message));
        }
        Err(error) => checks.push(failed("room", &error)),
    }
}

/// The two objects.
struct Trial<'a> {
    remote: &'a Remote,
    small: (Path, Bytes),
    large: (Path, Bytes),
}

impl<'a> Trial<'a> {
    fn new(remote: &'a Remote) -> Self {
        let mut random = rand::rng();
        // Names that no earlier trial can have left behind; bytes that nothing on the way can make shorter.
        let mut object = |size: usize, length: usize| {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            (Path::from(format!("tillvault-test-{:016x}-{size}", random.next_u64())), Bytes::from(bytes))
        };
        Self { remote, small: object(1, SMALL), large: object(2, LARGE) }
    }

    /// The steps up to the delete. The first that fails ends it.
    async fn write_and_read(&self, checks: &mut Vec<Check>) -> Result<(), (&'static str, Error)> {
        let (path, bytes) = &self.small;
        self.put(path, bytes).await.map_err(|error| ("write", error))?;
        checks.push(Check::ok(PART, "write", "a file could be written"));
        self.get(path, bytes).await.map_err(|error| ("read", error))?;
        checks.push(Check::ok(PART, "read", "it comes back as it was written"));
        checks.push(self.overwrite().await.map_err(|error| ("overwrite", error))?);
        let (path, bytes) = &self.large;
        let start = Instant::now();
        self.put(path, bytes).await.map_err(|error| ("speed", error))?;
        let up = start.elapsed();
        let start = Instant::now();
        self.get(path, bytes).await.map_err(|error| ("speed", error))?;
        checks.push(Check::ok(PART, "speed", speed(up, start.elapsed())));
        Ok(())
    }

    async fn put(&self, path: &Path, bytes: &Bytes) -> Result<()> {
        let put = self.remote.store.put_opts(path, bytes.clone().into(), PutOptions::from(PutMode::Create)).await;
        put.map(drop).map_err(|error| store::failure(format!("cannot write to remote {}", self.remote.name), error))
    }

    async fn get(&self, path: &Path, expected: &Bytes) -> Result<()> {
        let cannot = |error| store::failure(format!("cannot read from remote {}", self.remote.name), error);
        let found = self.remote.store.get(path).await.map_err(cannot)?.bytes().await.map_err(cannot)?;
        if found == *expected {
            return Ok(());
        }
        Err(Error::new(Kind::Store, format!("remote {} gives back other bytes than it was given", self.remote.name))
            .hint("do not use this remote before its administrator has found out why"))
    }

    /// A second write of the same name must be refused, and the first be left as it was.
    async fn overwrite(&self) -> Result<Check> {
        let (path, bytes) = &self.small;
        let other = Bytes::from(vec![b'x'; SMALL]);
        let again = self.remote.store.put_opts(path, other.into(), PutOptions::from(PutMode::Create)).await;
        match again {
            Err(StoreError::AlreadyExists { .. }) => {}
            Ok(_) => {
                return Ok(Check::warning(
                    PART,
                    "overwrite",
                    "the server lets a file be overwritten although it is asked not to",
                    "Pushes look before they write, so this works; see that nothing else writes into this folder.",
                ));
            }
            Err(error) => return Err(store::failure(format!("cannot write to remote {}", self.remote.name), error)),
        }
        self.get(path, bytes).await?;
        Ok(Check::ok(PART, "overwrite", "a file that is there cannot be overwritten"))
    }

    /// Removes both; asks of one whether it is really gone.
    async fn remove(&self) -> Result<()> {
        let small = self.remote.remove(&self.small.0, Trash::Skip).await;
        let large = self.remote.remove(&self.large.0, Trash::Skip).await;
        small.and(large)?;
        match self.remote.store.head(&self.small.0).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            Ok(_) => Err(Error::new(Kind::Store, format!("{} is still there after it was removed", self.small.0))),
            Err(error) => Err(store::failure(format!("cannot read from remote {}", self.remote.name), error)),
        }
    }
}

fn speed(up: Duration, down: Duration) -> String {
    let rate = |time: Duration| {
        // 4 MiB in tenths of a MB a second; finer than a millisecond nobody measures here.
        let tenths = 10_000 * 4 / u64::try_from(time.as_millis().max(1)).unwrap_or(u64::MAX);
        format!("{}.{} MB/s", tenths / 10, tenths % 10)
    };
    format!("{} up, {} down, with one file of 4 MB", rate(up), rate(down))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{
        memory::InMemory,
        throttle::{ThrottleConfig, ThrottledStore},
    };

    use super::*;
    use crate::{ops::doctor::Verdict, store::profile::ServerKind};

    #[test]
    fn speed_is_told_in_megabytes() {
        let text = speed(Duration::from_millis(2000), Duration::from_millis(300));
        assert_eq!(text, "2.0 MB/s up, 13.3 MB/s down, with one file of 4 MB");
    }

    #[tokio::test]
    async fn nothing_is_left_behind() {
        let memory = Arc::new(InMemory::new());
        let slow = ThrottledStore::new(Arc::clone(&memory), ThrottleConfig::default());
        let remote = Remote::over("mirror", Arc::new(slow), ServerKind::Memory);
        let trial = Trial::new(&remote);
        let mut checks = Vec::new();
        trial.write_and_read(&mut checks).await.unwrap();
        assert_eq!(checks.iter().map(|check| check.name).collect::<Vec<_>>(), ["write", "read", "overwrite", "speed"]);
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
        trial.remove().await.unwrap();
        let left: Vec<_> =
            futures::TryStreamExt::try_collect(object_store::ObjectStore::list(&*memory, None)).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}
