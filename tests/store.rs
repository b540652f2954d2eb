//! The WebDAV store against a server that misbehaves: each test injects one fault (WEBDAV §9) and looks at what was asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use secrecy::SecretString;
use tillvault::{
    demo::webdav::{Action, Fault, LoggedRequest, WebDavOptions, WebDavServer},
    error::Kind,
    store::{
        failure,
        webdav::{LARGEST, Retry, Timeouts, WebDav, WebDavSettings},
    },
};
use tokio::io::AsyncWriteExt;

const PASSWORD: &str = "app-password";

fn settings(url: &url::Url, password: &str) -> WebDavSettings {
    WebDavSettings {
        url: url.clone(),
        username: "kitchen".into(),
        password: SecretString::from(password),
        ca_file: None,
        retry: Retry { tries: 4, base: Duration::from_millis(5), cap: Duration::from_millis(20) },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            stall: Duration::from_millis(400),
            answer: Duration::from_millis(400),
        },
    }
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

#[tokio::test]
async fn a_put_cut_before_anything_was_stored_is_looked_at_and_sent_again() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::Cut));
    put(&store, "chunk", &megabyte()).await.unwrap();
    assert_eq!(content(&store, "chunk").await, megabyte());
    let puts: Vec<_> = server.requests().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(story(&puts), ["PUT cut", "PUT 201"]);
    assert!(puts.iter().all(|put| put.header("if-none-match") == Some("*") && put.content_length == Some(1_000_000)));
    assert_eq!(story(&server.requests())[1], "PROPFIND 404", "it looks before it sends again");
}

#[tokio::test]
async fn a_put_cut_half_way_leaves_no_half_object() {
    for after in [1, 300_000, 999_999] {
        let (server, store) = start().await;
        put(&store, "t/first", &"x".into()).await.unwrap();
        server.take_requests();
        server.inject(Fault::next("PUT", Action::CutUpload(after)));
        put(&store, "t/chunk", &megabyte()).await.unwrap();
        assert_eq!(content(&store, "t/chunk").await, megabyte());
        let requests = server.requests();
        let delete = requests.iter().find(|request| request.method == "DELETE").expect("the leftover is deleted");
        assert!(delete.header("if-match").is_some() && delete.header("x-nc-skip-trashbin") == Some("true"));
        assert_eq!(story(&requests).iter().filter(|line| line.starts_with("PUT")).count(), 2);
    }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_not_sent_twice() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::LoseAnswer));
    put(&store, "chunk", &megabyte()).await.unwrap();
    assert_eq!(story(&server.requests()), ["PUT cut", "PROPFIND 207"]);
    assert_eq!(content(&store, "chunk").await, megabyte());
}

#[tokio::test]
async fn a_failed_upload_never_deletes_somebody_elses_object() {
    let (server, store) = start().await;
    put(&store, "chunk", &"somebody else's".into()).await.unwrap();
    server.inject(Fault::next("PUT", Action::Cut));
    let error = put(&store, "chunk", &megabyte()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(content(&store, "chunk").await, "somebody else's");
}

#[tokio::test]
async fn an_upload_that_fails_for_good_takes_its_leftover_away() {
    let (server, store) = start().await;
    server.inject(Fault::next("PUT", Action::CutUpload(1000)).times(100));
    let (error, text) = chain(put(&store, "chunk", &megabyte()).await.unwrap_err());
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{text}");
    assert!(matches!(store.head(&Path::from("chunk")).await.unwrap_err(), Error::NotFound { .. }));
    let puts = server.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 4, "tries are bounded");
}

#[tokio::test]
async fn troubles_that_pass_are_waited_for() {
    for status in [423, 500, 502, 503, 504] {
        let (server, store) = start().await;
        server.inject(Fault::next("PUT", Action::status(status)).times(2));
        put(&store, "chunk", &"x".into()).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        server.inject(Fault::next("GET", Action::status(status)).times(2));
        assert_eq!(content(&store, "chunk").await, "x");
        server.inject(Fault::next("PROPFIND", Action::status(status)).times(2));
        store.list_with_delimiter(None).await.unwrap();
        server.inject(Fault::next("DELETE", Action::status(status)).times(2));
        store.delete(&Path::from("chunk")).await.unwrap();
    }
}

#[tokio::test]
async fn troubles_that_need_somebody_are_reported_at_once() {
    let xml = |exception: &str, message: &str| {
        format!(
            "<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\"><s:exception>{exception}</s:exception><s:message>{message}</s:message></d:error>"
        )
    };
    let cases = [
        (403, xml("Forbidden", "no write permission"), Kind::Store, 1, "no write permission"),
        (413, "<html>too large</html>".into(), Kind::Store, 1, "limits the size"),
        (429, String::new(), Kind::Store, 75, "wait half an hour"),
        (503, xml("ServerMaintenanceMode", "System is in maintenance mode."), Kind::Store, 75, "maintenance mode"),
        (503, xml("ServiceUnavailable", "Account disabled"), Kind::Credentials, 12, "disabled"),
        (507, xml("InsufficientStorage", "quota"), Kind::Store, 1, "quota"),
        (401, String::new(), Kind::Credentials, 12, "app password"),
    ];
    for (status, body, kind, exit, words) in cases {
        let (server, store) = start().await;
        let headers = vec![("content-type", "application/xml".to_owned())];
        server.inject(Fault::next("PUT", Action::Answer { status, headers, body }));
        let (error, text) = chain(put(&store, "chunk", &"x".into()).await.unwrap_err());
        assert_eq!((error.kind(), error.exit_code()), (kind, exit), "{status}: {text}");
        assert!(text.contains(words), "{status}: {text}");
        assert_eq!(server.requests().len(), 1, "{status} was tried again");
    }
}

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
async fn missing_parents_are_made_whether_the_server_says_404_or_409() {
    for status in [404, 409] {
        let (server, store) = start().await;
        server.inject(Fault::next("PUT", Action::status(status)));
        put(&store, "a/b/c/chunk", &"x".into()).await.unwrap();
        assert_eq!(content(&store, "a/b/c/chunk").await, "x");
        server.take_requests();
        put(&store, "a/b/c/other", &"x".into()).await.unwrap();
        assert_eq!(story(&server.requests()), ["PUT 201"], "known folders cost nothing");
    }
}

#[tokio::test]
async fn a_folder_that_vanished_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let options = WebDavOptions { root: Some(root.path().into()), ..WebDavOptions::default() };
    let server = WebDavServer::start(options).await.unwrap();
    let store = WebDav::new(&settings(&server.url().join("till").unwrap(), PASSWORD)).unwrap();
    put(&store, "t/one", &"x".into()).await.unwrap();
    std::fs::remove_dir_all(root.path().join("till")).unwrap();
    // The server in use here answers 412.
    put(&store, "t/two", &"x".into()).await.unwrap();
    assert_eq!(content(&store, "t/two").await, "x");
    // Nextcloud's answer.
    std::fs::remove_dir_all(root.path().join("till")).unwrap();
    server.inject(Fault::next("PUT", Action::status(404)));
    put(&store, "t/three", &"x".into()).await.unwrap();
    assert_eq!(content(&store, "t/three").await, "x");
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_is_said_and_kept() {
    let (server, store) = start().await;
    put(&store, "tables", &"a file".into()).await.unwrap();
    server.inject(Fault::next("PUT", Action::status(409)));
    server.inject(Fault::next("MKCOL", Action::status(405)));
    let (_, text) = chain(put(&store, "tables/chunk", &"x".into()).await.unwrap_err());
    assert!(text.contains("a file stands where the folder"), "{text}");
    assert_eq!(content(&store, "tables").await, "a file");
}

#[tokio::test]
async fn uploads_side_by_side_make_a_folder_once() {
    let (server, store) = start().await;
    put(&store, "known", &"x".into()).await.unwrap();
    server.take_requests();
    let uploads = (0..6).map(|n| {
        let store = store.clone();
        async move { put(&store, &format!("t/{n}"), &"x".into()).await }
    });
    for result in futures::future::join_all(uploads).await {
        result.unwrap();
    }
    let made = server.requests().iter().filter(|request| request.method == "MKCOL").count();
    assert_eq!(made, 1);
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
async fn a_listing_that_is_cut_off_is_an_error_and_never_empty() {
    let (server, store) = start().await;
    for n in 0..5 {
        put(&store, &format!("t/{n}"), &"x".into()).await.unwrap();
    }
    let folder = Path::from("t");
    for after in [0, 40, 200, 700] {
        server.inject(Fault::next("PROPFIND", Action::ShortAnswer(after)));
        let (_, text) = chain(store.list_with_delimiter(Some(&folder)).await.unwrap_err());
        assert!(text.contains("listing"), "{text}");
        server.inject(Fault::next("PROPFIND", Action::ShortAnswer(after.min(200))));
        assert!(!matches!(store.head(&Path::from("t/1")).await.unwrap_err(), Error::NotFound { .. }));
    }
    // A broken connection is another matter: the listing is asked for again.
    server.inject(Fault::next("PROPFIND", Action::CutAnswer(300)));
    assert_eq!(store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len(), 5);
}

#[tokio::test]
async fn a_listing_of_another_folder_is_an_error() {
    let (server, store) = start().await;
    let foreign = "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\"><d:response><d:href>/remote.php/dav/files/Kitchen/</d:href>\
        <d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>\
        </d:response></d:multistatus>";
    let headers = vec![("content-type", "application/xml".to_owned())];
    server.inject(Fault::next("PROPFIND", Action::Answer { status: 207, headers, body: foreign.into() }));
    let (_, text) = chain(store.list_with_delimiter(None).await.unwrap_err());
    assert!(text.contains("other folders than the one asked for"), "{text}");
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
async fn a_server_that_ignores_ranges_gives_the_range_all_the_same() {
    let (server, store) = start().await;
    put(&store, "chunk", &"0123456789".into()).await.unwrap();
    let whole = Action::Answer { status: 200, headers: Vec::new(), body: "0123456789".into() };
    server.inject(Fault::next("GET", whole));
    let result = store.get_opts(&Path::from("chunk"), GetOptions::new().with_range(Some(3..6))).await.unwrap();
    assert_eq!((result.range.clone(), result.meta.size), (3..6, 10));
    assert_eq!(result.bytes().await.unwrap(), "345");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_time_limit() {
    let (server, store) = start().await;
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
    let mut settings = settings(&url, PASSWORD);
    settings.retry.tries = 1;
    let store = WebDav::new(&settings).unwrap();
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
    let store = WebDav::new(&settings(&url, PASSWORD)).unwrap();
    // The proxy's buffers swallow some megabytes at once; the rest takes more than twice the stall limit.
    let body: Bytes = vec![9; 16 * 1024 * 1024].into();
    let started = std::time::Instant::now();
    put(&store, "chunk", &body).await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(800), "the proxy was not slow: {:?}", started.elapsed());
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
                            tokio::time::sleep(Duration::from_millis(read as u64 / 15_000)).await;
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
async fn replacing_never_puts_over_the_old_object_and_survives_a_lost_answer() {
    let (server, store) = start().await;
    let path = Path::from("index/chunks.parquet");
    store.put(&path, "old".into()).await.unwrap();
    server.take_requests();
    server.inject(Fault::next("MOVE", Action::LoseAnswer));
    store.put(&path, "newer".into()).await.unwrap();
    assert_eq!(content(&store, path.as_ref()).await, "newer");
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.method != "PUT" || !request.path.ends_with(".parquet")),
        "{requests:?}"
    );
    let moved = requests.iter().find(|request| request.method == "MOVE").unwrap();
    assert_eq!(moved.header("overwrite"), Some("T"));

    // When the MOVE is refused the old object stays and the temporary one goes.
    server.inject(Fault::next("MOVE", Action::status(403)));
    assert!(store.put(&path, "newest".into()).await.is_err());
    assert_eq!(content(&store, path.as_ref()).await, "newer");
    let listed = store.list_with_delimiter(Some(&Path::from("index"))).await.unwrap();
    assert_eq!(listed.objects.len(), 1, "{:?}", listed.objects);
}

#[tokio::test]
async fn an_object_over_the_limit_is_refused_before_anything_is_sent() {
    let (server, store) = start().await;
    let mut upload = store.put_multipart(&Path::from("huge")).await.unwrap();
    let part: Bytes = vec![0; LARGEST / 2].into();
    upload.put_part(part.clone().into()).await.unwrap();
    upload.put_part(part.into()).await.unwrap();
    assert!(upload.put_part("one more".into()).await.is_err());
    let (_, text) = chain(upload.complete().await.unwrap_err());
    assert!(text.contains(&LARGEST.to_string()), "{text}");
    assert!(server.requests().is_empty());
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
