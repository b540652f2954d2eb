//! What the WebDAV store promises of an upload, against a Nextcloud double: proof, uploads in parts, patience, and what it remembers
//! of a server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../nextcloud/double/mod.rs"]
mod double;
mod parts;
mod patience;
mod profile;
mod proven;

use std::{path::Path as FilePath, time::Duration};

use bytes::Bytes;
use double::{Double, Logged, Options};
use secrecy::SecretString;
use tillvault::store::{
    Remote,
    webdav::{Patience, Retry, Timeouts, Tuning, WebDav, WebDavSettings},
};

/// Everything that takes minutes at night takes milliseconds here.
fn quick() -> Tuning {
    let (short, long) = (Duration::from_millis(5), Duration::from_secs(3));
    Tuning {
        patience: Patience {
            throttled: Duration::from_millis(40),
            throttled_most: Duration::from_millis(1500),
            maintenance: short,
            maintenance_cap: Duration::from_millis(20),
            maintenance_most: Duration::from_millis(500),
            locked_cap: Duration::from_millis(20),
            locked_most: long,
            assembly: short,
            assembly_cap: Duration::from_millis(40),
            assembly_most: long,
            assembly_per_gb: long,
        },
        largest_put: 10_000,
        part: 4_000,
        smallest_part: 1_000,
        page: 7,
        probe: true,
        state: None,
    }
}

fn settings(double: &Double) -> WebDavSettings {
    WebDavSettings {
        url: double.url().join("till").unwrap(),
        username: double.options().login.clone(),
        password: SecretString::from(double.options().password.clone()),
        ca_file: None,
        retry: Retry { tries: 4, base: Duration::from_millis(2), cap: Duration::from_millis(10) },
        timeouts: Timeouts::default(),
    }
}

fn remote(double: &Double, tuning: Tuning) -> Remote {
    Remote::webdav("cloud", WebDav::tuned(&settings(double), tuning).unwrap())
}

/// A remote that has been probed; the log is empty.
async fn ready(options: Options) -> (Double, Remote) {
    let double = Double::start(options).await;
    let remote = remote(&double, quick());
    remote.probe().await.unwrap();
    double.take_log();
    (double, remote)
}

/// With local state in a folder.
fn keeping(folder: &FilePath) -> Tuning {
    Tuning { state: Some(folder.to_owned()), ..quick() }
}

fn some(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect::<Vec<u8>>().into()
}

/// `PUT 201, PROPFIND 207, …`
fn story(log: &[Logged]) -> Vec<String> {
    log.iter().map(Logged::short).collect()
}

fn count(log: &[Logged], method: &str) -> usize {
    log.iter().filter(|request| request.method == method).count()
}
