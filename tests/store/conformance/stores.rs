//! The suite against every store there is.

use std::sync::Arc;

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory};
use tillvault::{
    demo::webdav::{WebDavOptions, WebDavServer},
    store::{
        Remote,
        count::Counted,
        fault::{Faults, Faulty},
        profile::ServerKind,
        proof::{Expected, Trash},
        upload::Stored,
        webdav::{Retry, Timeouts, Tuning, WebDav, WebDavSettings},
    },
};
use url::Url;

use super::{proof::proves, suite::conforms};
use crate::{
    double::{Double, Options},
    peers,
};

/// A folder of the server that is not there yet, with a space in its name. Everything is larger than what goes in one PUT, where
/// the server takes parts.
fn remote(server: &Url) -> Remote {
    let settings = WebDavSettings {
        url: server.join("my%20till").unwrap(),
        username: peers::USER.into(),
        password: peers::PASSWORD.into(),
        ca_file: None,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    };
    let tuning = Tuning { largest_put: 1_000_000, part: 400_000, smallest_part: 100_000, page: 3, ..Tuning::default() };
    Remote::webdav("peer", WebDav::tuned(&settings, tuning).unwrap())
}

/// Both suites.
async fn conforms_and_proves(remote: &Remote) {
    remote.probe().await.unwrap();
    conforms(remote.store.as_ref()).await;
    proves(remote).await;
}

/// Both, over a store that comes with the crate.
async fn plain(store: Arc<dyn ObjectStore>, kind: ServerKind) {
    conforms_and_proves(&Remote::over("plain", store, kind)).await;
}

#[tokio::test]
async fn memory() {
    plain(Arc::new(InMemory::new()), ServerKind::Memory).await;
}

#[tokio::test]
async fn local_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    plain(Arc::new(store), ServerKind::Folder).await;
}

#[tokio::test]
async fn dav_server_in_memory() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    conforms_and_proves(&remote(server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dav_server_over_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = WebDavOptions { root: Some(folder.path().into()), prefix: String::new(), ..WebDavOptions::default() };
    let server = WebDavServer::start(options).await.unwrap();
    let remote = remote(server.url());
    conforms_and_proves(&remote).await;
    assert_eq!(remote.requests.total(), server.requests().len() as u64, "every request is counted");
}

/// The double, and the protocol rules that hold for every request of the suite.
async fn nextcloud(options: Options) {
    let server = Double::start(options).await;
    let remote = remote(&server.url());
    conforms_and_proves(&remote).await;
    let log = server.log();
    assert_eq!(remote.requests.total(), log.len() as u64, "every request is counted");
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
    nextcloud(Options { smallest_part: 100_000, ..Options::s3() }).await;
}

#[tokio::test]
async fn nextcloud_before_and_after_in_a_sub_path() {
    for version in [30, 32] {
        nextcloud(Options { version, base: "/cloud".into(), ..Options::default() }).await;
    }
}

#[tokio::test]
async fn apache() {
    let server = peers::apache();
    conforms_and_proves(&remote(server.url())).await;
}

#[tokio::test]
async fn wsgidav() {
    let server = peers::wsgidav();
    conforms_and_proves(&remote(server.url())).await;
}

#[tokio::test]
async fn rclone() {
    let server = peers::rclone();
    conforms_and_proves(&remote(server.url())).await;
}

#[tokio::test]
async fn wrappers() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let counted = Counted::new(Arc::new(Faulty::new(memory, Faults::none())));
    conforms(&counted).await;
    assert!(counted.requests().of("PUT") > 10 && counted.requests().bytes_sent() > 3_000_000);
    assert!(counted.requests().bytes_received() > 3_000_000);
}

/// Any WebDAV server that somebody names: `https://USER:PASSWORD@HOST/remote.php/dav/files/USER/`. Everything happens in a folder
/// that is made for it and removed in the end.
async fn live(url: &Url) {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let folder = format!("{}/tillvault-test-{:08x}", url.path().trim_end_matches('/'), rand::random::<u32>());
    let settings = WebDavSettings {
        url: url.join(&folder).unwrap(),
        username: decode(url.username()),
        password: decode(url.password().unwrap_or_default()).into(),
        ca_file: None,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    };
    // Parts as small as every storage takes them: two and a bit.
    let tuning = Tuning { largest_put: 8 << 20, part: 5 << 20, ..Tuning::default() };
    let remote = Remote::webdav("live", WebDav::tuned(&settings, tuning).unwrap());
    conforms_and_proves(&remote).await;
    let large: bytes::Bytes = (0..=250).cycle().take(12_000_000).collect::<Vec<u8>>().into();
    let path = object_store::path::Path::from("large.parquet");
    assert_eq!(remote.put_new(&path, large.clone()).await.unwrap(), Stored::Uploaded);
    remote.prove(&path, &Expected::of(&large).await).await.unwrap();
    remote.remove(&path, Trash::Skip).await.unwrap();
    // The store itself deletes no folders.
    let mut client = reqwest::Client::builder();
    if url.scheme() == "http" {
        client = client.tls_certs_only([]).no_proxy();
    }
    let password = decode(url.password().unwrap_or_default());
    let gone =
        client.build().unwrap().delete(remote_folder(&settings.url)).basic_auth(&settings.username, Some(password));
    let gone = gone.header("x-nc-skip-trashbin", "true").send().await.unwrap();
    assert!(gone.status().is_success(), "{} was not removed: {}", settings.url.path(), gone.status());
}

/// The same address without the password in it.
fn remote_folder(url: &Url) -> Url {
    let mut plain = url.clone();
    plain.set_username("").unwrap();
    plain.set_password(None).unwrap();
    plain
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "live tests are chosen by environment variables")]
async fn a_live_server() {
    match std::env::var("TILLVAULT_TEST_NEXTCLOUD") {
        Ok(url) => live(&Url::parse(&url).expect("TILLVAULT_TEST_NEXTCLOUD is a URL")).await,
        Err(_) => eprintln!("SKIPPED: TILLVAULT_TEST_NEXTCLOUD names no server"),
    }
}

#[tokio::test]
async fn what_is_asked_of_a_live_server() {
    let server = Double::start(Options::s3()).await;
    let mut url = server.url();
    url.set_username(peers::USER).unwrap();
    url.set_password(Some(peers::PASSWORD)).unwrap();
    live(&url).await;
    assert!(server.folders().is_empty() && server.staged().is_empty(), "{:?}", server.folders());
}
