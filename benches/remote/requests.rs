//! Requests of pushes to a Nextcloud: the first one, nothing new, a night, fifteen minutes of trade.

use secrecy::SecretString;
use tillvault::{
    archive::Archive,
    observe::silent,
    ops::push::{PushOptions, push},
    store::{
        Remote,
        webdav::{Retry, Timeouts, WebDav, WebDavSettings},
    },
};
use url::Url;

use crate::{
    double::{Double, Options},
    peers::{PASSWORD, USER},
    site::snapshot,
};

/// Tables of the fixture's schema.
const TABLES: usize = 83;
/// Tables that a night changes, and fifteen minutes.
const NIGHT: usize = 12;
const SYNC: usize = 6;

/// A remote that knows nothing of its server.
pub(crate) fn remote(url: &Url) -> Remote {
    let settings = WebDavSettings {
        url: url.clone(),
        username: USER.into(),
        password: SecretString::from(PASSWORD),
        ca_file: None,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    };
    Remote::webdav("cloud", WebDav::new(&settings).unwrap())
}

pub(crate) fn run() {
    println!("## Requests of a push, {TABLES} tables\n");
    println!("| storage | push | objects | requests | kB sent |\n|---|---|---|---|---|");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        pushes("local", Options::default()).await;
        pushes("S3", Options::s3()).await;
    });
}

async fn pushes(storage: &str, options: Options) {
    let double = Double::start(options).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(&folder.path().join("archive"), "Beach Bar").unwrap();
    let remote = remote(&double.url().join("till/").unwrap());
    let names: Vec<String> = (0..TABLES).map(|number| format!("Table{number:02}")).collect();
    let tables = |rows: &dyn Fn(usize) -> i32| {
        names.iter().enumerate().map(|(at, name)| (name.as_str(), rows(at))).collect::<Vec<_>>()
    };
    let plain = PushOptions::default();
    let nightly = PushOptions { derived: true, ..plain };
    let steps = [
        ("the first", Some(tables(&|_| 20)), nightly),
        ("unchanged, nightly", None, nightly),
        ("unchanged", None, plain),
        ("a night, 12 tables", Some(tables(&|at| if at < NIGHT { 40 } else { 20 })), nightly),
        (
            "15 minutes, 6 tables",
            Some(tables(&|at| {
                if at < SYNC {
                    60
                } else if at < NIGHT {
                    40
                } else {
                    20
                }
            })),
            plain,
        ),
        ("unchanged again", None, plain),
    ];
    for (what, tables, options) in steps {
        if let Some(tables) = tables {
            snapshot(&archive, &tables).await;
            archive.write_index(false).await.unwrap();
        }
        let before = remote.requests.bytes_sent();
        let pushed = push(&archive, &remote, &options, &silent()).await.unwrap();
        assert_eq!(pushed.backlog, 0);
        let sent = remote.requests.bytes_sent() - before;
        let objects = pushed.uploaded + pushed.derived.len() as u64;
        println!("| {storage} | {what} | {objects} | {} | {} |", pushed.requests, sent / 1000);
    }
}
