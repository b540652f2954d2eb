//! Connections: sign-in, redirects, portals, time limits, TLS; and that no credential shows.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tillvault::{
    demo::webdav::{Action, Fault, WebDavOptions, WebDavServer},
    error::Kind,
    store::webdav::WebDav,
};
use tokio::io::AsyncWriteExt;

use super::{PASSWORD, chain, content, hasty, megabyte, put, settings, start, story};

#[tokio::test]
async fn after_a_401_or_429_nothing_more_is_sent() {
    for status in [401, 429] {
        let (server, store) = start().await;
        put(&store, "first", &"x".into()).await.unwrap();
        server.take_requests();
        server.inject(Fault::next("", Action::status(status)));
        assert!(put(&store, "second", &"x".into()).await.is_err());
        assert!(store.list_with_delimiter(None).await.is_err());
        assert!(store.get(&Path::from("first")).await.is_err());
        assert!(store.delete(&Path::from("first")).await.is_err());
        let (error, text) = chain(store.head(&Path::from("first")).await.unwrap_err());
        assert_eq!(error.exit_code(), if status == 401 { 12 } else { 75 }, "{text}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_password_costs_one_failed_login_however_many_uploads_wait() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let store = WebDav::new(&settings(server.url(), "wrong-horse")).unwrap();
    let uploads = (0..8).map(|n| {
        let store = store.clone();
        async move { put(&store, &format!("t/{n}"), &megabyte()).await.unwrap_err() }
    });
    for error in futures::future::join_all(uploads).await {
        let (error, text) = chain(error);
        assert_eq!(error.kind(), Kind::Credentials, "{text}");
        assert!(!text.contains("wrong-horse"), "{text}");
    }
    assert_eq!(story(&server.requests()), ["PUT 401"]);
}

#[tokio::test]
async fn redirects_are_reported_and_not_followed() {
    let elsewhere = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        let (server, store) = start().await;
        let location = elsewhere.url().join("moved?token=abc").unwrap();
        let redirect =
            || Action::Answer { status, headers: vec![("location", location.to_string())], body: String::new() };
        server.inject(Fault::next("PUT", redirect()));
        server.inject(Fault::next("PROPFIND", redirect()));
        let (error, text) = chain(put(&store, "chunk", &"x".into()).await.unwrap_err());
        assert!(text.contains("redirects to http://127.0.0.1") && text.contains("moved"), "{text}");
        assert!(!text.contains("token=abc"), "{text}");
        assert_eq!(error.exit_code(), 1);
        assert!(store.list_with_delimiter(None).await.is_err());
        assert_eq!(server.requests().len(), 2);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_sign_in_page_is_not_taken_for_an_answer() {
    let page = || Action::Answer { status: 200, headers: Vec::new(), body: "<html>Welcome to our Wi-Fi</html>".into() };
    let (server, store) = start().await;
    for method in ["PROPFIND", "PUT", "DELETE", "MOVE"] {
        put(&store, "there", &"x".into()).await.ok();
        server.inject(Fault::next(method, page()));
        let there = Path::from("there");
        let result = match method {
            "PROPFIND" => store.list_with_delimiter(None).await.map(drop),
            "PUT" => put(&store, "chunk", &"x".into()).await,
            "DELETE" => store.delete(&there).await,
            _ => store.rename(&there, &Path::from("moved")).await,
        };
        let (_, text) = chain(result.unwrap_err());
        assert!(text.contains("web page") || text.contains("no WebDAV listing"), "{method}: {text}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_is_an_error() {
    let (server, store) = start().await;
    put(&store, "chunk", &megabyte()).await.unwrap();
    server.inject(Fault::next("GET", Action::CutAnswer(500_000)));
    let result = store.get(&Path::from("chunk")).await.unwrap().bytes().await;
    let (error, text) = chain(result.unwrap_err());
    assert!(error.is_temporary(), "{text}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_time_limit() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let store = WebDav::new(&hasty(server.url())).unwrap();
    server.inject(Fault::next("PROPFIND", Action::Stall(Duration::from_secs(60))).times(100));
    let (error, text) = chain(store.list_with_delimiter(None).await.unwrap_err());
    assert!(error.is_temporary() && text.contains("no answer"), "{text}");
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url::Url::parse(&format!("http://{}/dav/", listener.local_addr().unwrap())).unwrap();
    let deaf = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let mut hasty = hasty(&url);
    hasty.retry.tries = 1;
    let store = WebDav::new(&hasty).unwrap();
    let body: Bytes = vec![7; 32 * 1024 * 1024].into();
    let (error, text) = chain(put(&store, "chunk", &body).await.unwrap_err());
    assert!(error.is_temporary() && text.contains("stands still"), "{text}");
    deaf.abort();
}

#[tokio::test]
async fn a_slow_upload_that_moves_is_not_given_up() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let slow = SlowProxy::start(&server).await;
    let mut url = server.url().clone();
    url.set_port(Some(slow.port)).unwrap();
    let store = WebDav::new(&hasty(&url)).unwrap();
    // The proxy's buffers swallow some megabytes at once; the rest takes longer than the time limits.
    let body: Bytes = vec![9; 24 * 1024 * 1024].into();
    let started = std::time::Instant::now();
    put(&store, "chunk", &body).await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(1000), "the proxy was not slow: {:?}", started.elapsed());
    assert_eq!(store.requests().of("PUT"), 1);
}

/// Passes bytes on with a pause after each piece.
struct SlowProxy {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl SlowProxy {
    async fn start(server: &WebDavServer) -> Self {
        let target = ("127.0.0.1", server.url().port().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = tokio::net::TcpStream::connect(target).await.unwrap();
                tokio::spawn(async move {
                    let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), server.into_split());
                    let up = async {
                        let mut buffer = vec![0; 512 * 1024];
                        loop {
                            let read = tokio::io::AsyncReadExt::read(&mut from, &mut buffer).await.unwrap_or(0);
                            if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                                break;
                            }
                            tokio::time::sleep(Duration::from_millis(read as u64 / 10_000)).await;
                        }
                    };
                    let down = tokio::io::copy(&mut answers, &mut back);
                    let _ = tokio::join!(up, down);
                });
            }
        });
        Self { port, task }
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_a_temporary_failure() {
    let (server, store) = start().await;
    server.stop().await;
    let (error, text) = chain(put(&store, "chunk", &"x".into()).await.unwrap_err());
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{text}");
    assert!(text.contains("cannot connect"), "{text}");
}

#[tokio::test]
async fn credentials_show_in_no_message_and_no_debug_output() {
    let secret = "hunter2-secret";
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let mut url = server.url().clone();
    url.set_username("someone").unwrap();
    url.set_password(Some(secret)).unwrap();
    url.set_query(Some("token=hunter2-secret"));
    let store = WebDav::new(&settings(&url, secret)).unwrap();
    let (error, text) = chain(put(&store, "chunk", &"x".into()).await.unwrap_err());
    server.stop().await;
    let other = WebDav::new(&settings(&url, secret)).unwrap();
    let (_, down) = chain(put(&other, "chunk", &"x".into()).await.unwrap_err());
    for shown in [text, down, format!("{error:?} {store:?} {store}"), format!("{:?}", settings(&url, secret).password)]
    {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// A TLS end in front of the server, with a certificate of its own authority; its PEM is returned.
async fn tls_front(server: &WebDavServer) -> (u16, String, tokio::task::JoinHandle<()>) {
    let target = ("127.0.0.1", server.url().port().unwrap());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, made.cert.pem(), task)
}

#[tokio::test]
async fn https_works_with_a_named_authority_and_is_refused_without() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    let (port, pem, front) = tls_front(&server).await;
    let url = url::Url::parse(&format!("https://localhost:{port}{}", server.url().path())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();

    let mut trusting = settings(&url, PASSWORD);
    trusting.ca_file = Some(ca_file);
    let store = WebDav::new(&trusting).unwrap();
    put(&store, "t/chunk", &megabyte()).await.unwrap();
    assert_eq!(content(&store, "t/chunk").await, megabyte());

    // Another authority's certificate: nothing of ours is sent.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other_file = folder.path().join("other.pem");
    std::fs::write(&other_file, other.cert.pem()).unwrap();
    server.take_requests();
    let mut distrusting = settings(&url, PASSWORD);
    distrusting.ca_file = Some(other_file);
    let store = WebDav::new(&distrusting).unwrap();
    let (_, text) = chain(put(&store, "t/other", &"x".into()).await.unwrap_err());
    assert!(text.contains("certificate"), "{text}");
    assert!(server.requests().is_empty());
    front.abort();
}
