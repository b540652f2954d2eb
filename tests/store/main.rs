//! The WebDAV store against a server that misbehaves: what it asks for, what it leaves behind, what it says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod connection;
#[path = "../nextcloud/double/mod.rs"]
mod double;
mod faults;
mod peers;

use std::time::Duration;

use bytes::Bytes;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use secrecy::SecretString;
use tillvault::{
    demo::webdav::{LoggedRequest, WebDavOptions, WebDavServer},
    store::{
        failure,
        webdav::{Retry, Timeouts, WebDav, WebDavSettings},
    },
};

const PASSWORD: &str = "app-password";

fn settings(url: &url::Url, password: &str) -> WebDavSettings {
    WebDavSettings {
        url: url.clone(),
        username: "kitchen".into(),
        password: SecretString::from(password),
        ca_file: None,
        retry: Retry { tries: 4, base: Duration::from_millis(5), cap: Duration::from_millis(20) },
        timeouts: Timeouts::default(),
    }
}

/// With time limits short enough to be waited for.
fn hasty(url: &url::Url) -> WebDavSettings {
    let (stall, answer) = (Duration::from_millis(700), Duration::from_millis(700));
    WebDavSettings { timeouts: Timeouts { stall, answer, ..Timeouts::default() }, ..settings(url, PASSWORD) }
}

async fn start() -> (WebDavServer, WebDav) {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let store = WebDav::new(&settings(server.url(), PASSWORD)).unwrap();
    (server, store)
}

fn create() -> PutOptions {
    PutOptions::from(PutMode::Create)
}

async fn put(store: &WebDav, path: &str, content: &Bytes) -> Result<(), Error> {
    store.put_opts(&Path::from(path), content.clone().into(), create()).await.map(drop)
}

async fn content(store: &WebDav, path: &str) -> Bytes {
    store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap()
}

fn megabyte() -> Bytes {
    (0..1_000_000_u32).map(|n| (n % 253) as u8).collect::<Vec<u8>>().into()
}

/// `PUT 201, PROPFIND 207, …`; a cut connection has no status.
fn story(requests: &[LoggedRequest]) -> Vec<String> {
    let line = |request: &LoggedRequest| {
        format!("{} {}", request.method, request.status.map_or("cut".to_owned(), |status| status.to_string()))
    };
    requests.iter().map(line).collect()
}

fn chain(error: Error) -> (tillvault::Error, String) {
    let error = failure("it failed", error);
    let mut text = format!("{error} {}", error.next_step().unwrap_or_default());
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(" / {inner}"));
        cause = inner.source();
    }
    (error, text)
}
