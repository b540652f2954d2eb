//! The suite against every store there is.

use std::sync::Arc;

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory};
use tillvault::{
    demo::webdav::{WebDavOptions, WebDavServer},
    store::{
        count::Counted,
        fault::{Faults, Faulty},
        webdav::{Retry, Timeouts, WebDav, WebDavSettings},
    },
};
use url::Url;

use super::suite::conforms;
use crate::{
    double::{Double, Options},
    peers,
};

/// A folder of the server that is not there yet, with a space in its name.
fn webdav(server: &Url) -> WebDav {
    WebDav::new(&WebDavSettings {
        url: server.join("my%20till").unwrap(),
        username: peers::USER.into(),
        password: peers::PASSWORD.into(),
        ca_file: None,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    })
    .unwrap()
}

#[tokio::test]
async fn memory() {
    conforms(&InMemory::new()).await;
}

#[tokio::test]
async fn local_disk() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&LocalFileSystem::new_with_prefix(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn dav_server_in_memory() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    conforms(&webdav(server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dav_server_over_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = WebDavOptions { root: Some(folder.path().into()), prefix: String::new(), ..WebDavOptions::default() };
    let server = WebDavServer::start(options).await.unwrap();
    let store = webdav(server.url());
    conforms(&store).await;
    assert_eq!(store.requests().total(), server.requests().len() as u64, "every request is counted");
}

/// The double, and the protocol rules that hold for every request of the suite.
async fn nextcloud(options: Options) {
    let server = Double::start(options).await;
    let store = webdav(&server.url());
    conforms(&store).await;
    let log = server.log();
    assert_eq!(store.requests().total(), log.len() as u64, "every request is counted");
    for request in log {
        assert!(!request.lacks_length(), "{request:?}");
        match request.method.as_str() {
            "PUT" if !request.is_staging() => assert_eq!(request.header("if-none-match"), Some("*"), "{request:?}"),
            "PROPFIND" => {
                assert!(matches!(request.header("depth"), Some("0" | "1")), "{request:?}");
                assert_eq!(request.header("accept-encoding"), Some("gzip"));
            }
            "COPY" | "MOVE" => assert!(matches!(request.header("overwrite"), Some("T" | "F")), "{request:?}"),
            "GET" => assert_eq!(request.header("accept-encoding"), Some("identity"), "{request:?}"),
            _ => {}
        }
    }
    assert!(server.files().is_empty() && server.staged().is_empty(), "{:?} {:?}", server.files(), server.staged());
}

#[tokio::test]
async fn nextcloud_on_a_disk() {
    nextcloud(Options::default()).await;
}

#[tokio::test]
async fn nextcloud_on_s3() {
    nextcloud(Options::s3()).await;
}

#[tokio::test]
async fn nextcloud_before_and_after_in_a_sub_path() {
    for version in [30, 32] {
        nextcloud(Options { version, base: "/cloud".into(), ..Options::default() }).await;
    }
}

#[tokio::test]
async fn apache() {
    conforms(&webdav(peers::apache().url())).await;
}

#[tokio::test]
async fn wsgidav() {
    conforms(&webdav(peers::wsgidav().url())).await;
}

#[tokio::test]
async fn rclone() {
    conforms(&webdav(peers::rclone().url())).await;
}

#[tokio::test]
async fn wrappers() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let counted = Counted::new(Arc::new(Faulty::new(memory, Faults::none())));
    conforms(&counted).await;
    assert!(counted.requests().of("PUT") > 10 && counted.requests().bytes_sent() > 3_000_000);
    assert!(counted.requests().bytes_received() > 3_000_000);
}
