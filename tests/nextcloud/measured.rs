//! The double answers as the real server was measured to answer: else what is proven against it proves nothing.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::double::{Action, Double, Fault, Options, Storage};

/// One request, signed in.
async fn ask(
    server: &Double,
    method: &str,
    url: Url,
    headers: &[(&'static str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let options = server.options();
    let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    request = request.basic_auth(&options.login, Some(&options.password)).body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn file(
    server: &Double,
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &'static str,
) -> Response {
    ask(server, method, server.url().join(path).unwrap(), headers, body).await
}

fn at(server: &Double, path: &str) -> Url {
    server.root().join(path).unwrap()
}

fn head<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A PUT whose connection breaks after the beginning of the body; what the server still says.
async fn cut_put(server: &Double, path: &str, length: Option<usize>, body: &str) -> String {
    let url = server.url().join(path).unwrap();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.unwrap();
    let (head, body) = match length {
        Some(length) => (format!("Content-Length: {length}"), body.to_owned()),
        None => ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n", body.len())),
    };
    // kitchen:app-password
    let sign = "Authorization: Basic a2l0Y2hlbjphcHAtcGFzc3dvcmQ=";
    let text = format!("PUT {} HTTP/1.1\r\nHost: x\r\n{sign}\r\n{head}\r\n\r\n{body}", url.path());
    stream.write_all(text.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    // The work goes on without the client.
    tokio::time::sleep(Duration::from_millis(50)).await;
    answer
}

#[tokio::test]
async fn a_put_is_answered_with_etag_id_time_and_hash() {
    let server = Double::local().await;
    let headers = [("x-hash", "sha256"), ("x-oc-mtime", "1700000000"), ("oc-checksum", "SHA1:nonsense")];
    let answer = file(&server, "PUT", "a", &headers, "hello").await;
    assert_eq!(answer.status(), 201);
    assert_eq!(head(&answer, "x-hash-sha256"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!((head(&answer, "x-oc-mtime"), head(&answer, "etag")), ("accepted", head(&answer, "oc-etag")));
    assert!(head(&answer, "oc-fileid").ends_with("ocdouble"));
    assert_eq!(server.modified("a"), Some(1_700_000_000));
    // A told checksum is kept, never looked at; a recalculated one takes its place.
    assert_eq!(head(&file(&server, "HEAD", "a", &[], "").await, "oc-checksum"), "SHA1:nonsense");
    server.corrupt("a");
    let answer = file(&server, "PATCH", "a", &[("x-recalculate-hash", "sha256")], "").await;
    assert_eq!(answer.status(), 204);
    assert!(head(&answer, "oc-checksum").starts_with("SHA256:") && !head(&answer, "oc-checksum").contains("2cf24dba"));
    assert_eq!(file(&server, "PATCH", "a", &[("x-recalculate-hash", "sha9")], "").await.status(), 500);
    assert_eq!(file(&server, "PUT", "a", &[], "again").await.status(), 204);
}

#[tokio::test]
async fn missing_parents_and_taken_names_are_refused_as_each_version_does() {
    for (version, missing, made) in [(30, 409, 409), (31, 404, 404), (32, 404, 201)] {
        let server = Double::start(Options { version, ..Options::default() }).await;
        assert_eq!(file(&server, "PUT", "no/a", &[], "x").await.status(), missing);
        let headers = [("x-nc-webdav-auto-mkcol", "1")];
        assert_eq!(file(&server, "PUT", "deep/er/a", &headers, "x").await.status(), made, "{version}");
        assert_eq!(file(&server, "MKCOL", "t", &[], "").await.status(), 201);
        assert_eq!(file(&server, "MKCOL", "t", &[], "").await.status(), 405);
        assert_eq!(file(&server, "MKCOL", "no/t", &[], "").await.status(), 409);
        assert_eq!(file(&server, "PUT", "t", &[], "x").await.status(), 409);
        assert_eq!(file(&server, "PUT", "t/a", &[("if-none-match", "*")], "x").await.status(), 201);
        assert_eq!(file(&server, "PUT", "t/a", &[("if-none-match", "*")], "y").await.status(), 412);
        assert_eq!(file(&server, "PUT", "t/a", &[("if-match", "\"stale\"")], "y").await.status(), 412);
        assert_eq!(server.content("t/a").unwrap(), "x");
        for name in ["x.part", ".htaccess", &"n".repeat(251)] {
            assert_eq!(file(&server, "PUT", name, &[], "x").await.status(), 400, "{name}");
        }
    }
}

#[tokio::test]
async fn a_cut_upload_leaves_what_the_real_storages_leave() {
    for storage in [Storage::Local, Storage::S3] {
        let server = Double::start(Options { storage, ..Options::default() }).await;
        let visible = (storage == Storage::S3).then(|| Bytes::from("1234"));
        cut_put(&server, "new", Some(10), "1234").await;
        assert_eq!(server.content("new"), visible);
        assert_eq!(server.log()[0].status, Some(400));
        server.store("old", "0123456789");
        cut_put(&server, "old", Some(10), "abcd").await;
        assert_eq!(server.content("old").unwrap(), "abcd", "an overwritten file is overwritten in place");
        // Without a length nobody can know.
        cut_put(&server, "unknown", None, "1234").await;
        assert_eq!(server.content("unknown").unwrap(), "1234");
        assert_eq!(server.log()[2].status, Some(201));
        assert!(server.log()[2].lacks_length());
    }
}

#[tokio::test]
async fn chunked_upload_keeps_its_parts_until_the_move() {
    let server = Double::local().await;
    server.store("till/x", "");
    let target = server.url().join("till/big").unwrap();
    let to = [("destination", target.as_str()), ("oc-total-length", "6")];
    let staged = |name: &str| at(&server, &format!("remote.php/dav/uploads/kitchen/id/{name}"));
    assert_eq!(ask(&server, "PUT", staged("00001"), &to, "abc").await.status(), 404);
    assert_eq!(ask(&server, "MKCOL", staged(""), &to, "").await.status(), 201);
    assert_eq!(ask(&server, "MKCOL", staged(""), &to, "").await.status(), 405);
    assert_eq!(ask(&server, "PUT", staged("00001"), &to, "abc").await.status(), 201);
    assert_eq!(ask(&server, "PUT", staged("00001"), &to, "abc").await.status(), 204);
    let moves = [to[0], to[1], ("overwrite", "F"), ("x-hash", "sha256")];
    assert_eq!(ask(&server, "MOVE", staged(".file"), &moves, "").await.status(), 400, "the parts are too few");
    assert_eq!(ask(&server, "PUT", staged("00002"), &to, "def").await.status(), 201);
    let listed = ask(&server, "PROPFIND", staged(""), &[("depth", "1")], "").await;
    assert_eq!(listed.status(), 207);
    let text = listed.text().await.unwrap();
    assert!(text.contains("/uploads/kitchen/id/00002") && text.contains(".file"), "{text}");
    let wrong = [moves[0], moves[1], moves[2], ("if-none-match", "*")];
    assert_eq!(ask(&server, "MOVE", staged(".file"), &wrong, "").await.status(), 412);
    let answer = ask(&server, "MOVE", staged(".file"), &moves, "").await;
    assert_eq!((answer.status().as_u16(), head(&answer, "x-hash-sha256").len()), (201, 64));
    assert_eq!(ask(&server, "MOVE", staged(".file"), &moves, "").await.status(), 404);
    assert_eq!(server.content("till/big").unwrap(), "abcdef");
    let lost = server.url().join("none/big").unwrap();
    ask(&server, "MKCOL", staged(""), &to, "").await;
    let lost = [("destination", lost.as_str()), ("oc-total-length", "6")];
    assert_eq!(ask(&server, "PUT", staged("00001"), &lost, "abc").await.status(), 404, "the parent is missing");
    assert_eq!(ask(&server, "MOVE", staged(".file"), &lost, "").await.status(), 409);
    assert_eq!(ask(&server, "DELETE", staged(""), &[], "").await.status(), 204);
    assert_eq!(ask(&server, "DELETE", staged(""), &[], "").await.status(), 404);
}

#[tokio::test]
async fn an_object_store_checks_nothing_and_forgets_with_its_cache() {
    let server = Double::start(Options::s3()).await;
    let target = server.url().join("big").unwrap();
    let to = [("destination", target.as_str()), ("oc-total-length", "999")];
    let staged = |name: &str| at(&server, &format!("remote.php/dav/uploads/kitchen/id/{name}"));
    let part = Bytes::from(vec![7; 5 * 1024 * 1024]);
    ask(&server, "MKCOL", staged(""), &to, "").await;
    assert_eq!(ask(&server, "PUT", staged("part"), &to, "x").await.status(), 400);
    for _ in 0..2 {
        assert_eq!(ask(&server, "PUT", staged("00001"), &to, part.clone()).await.status(), 200);
    }
    assert_eq!(ask(&server, "PUT", staged("00003"), &to, "end").await.status(), 200);
    let answer = ask(&server, "MOVE", staged(".file"), &[to[0], ("x-hash", "sha256")], "").await;
    assert_eq!(
        (answer.status().as_u16(), head(&answer, "x-hash-sha256")),
        (201, ""),
        "the missing middle is not noticed"
    );
    assert_eq!(server.files()["big"], 5 * 1024 * 1024 + 3);

    ask(&server, "MKCOL", staged(""), &to, "").await;
    for name in ["1", "2"] {
        ask(&server, "PUT", staged(name), &to, "short").await;
    }
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 500, "parts are too small");
    server.flush_cache();
    assert_eq!(ask(&server, "PUT", staged("3"), &to, "x").await.status(), 412);
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 500);
}

#[tokio::test]
async fn the_assembly_goes_on_behind_a_proxy_that_gave_up() {
    let server = Double::local().await;
    let target = server.url().join("big").unwrap();
    let to = [("destination", target.as_str())];
    let staged = |name: &str| at(&server, &format!("remote.php/dav/uploads/kitchen/id/{name}"));
    ask(&server, "MKCOL", staged(""), &to, "").await;
    ask(&server, "PUT", staged("1"), &to, "abc").await;
    let (works, gives_up) = (Duration::from_millis(300), Duration::from_millis(20));
    server.inject(Fault::next("MOVE", Action::Proxy { works, gives_up }));
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 504);
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 423);
    assert_eq!(ask(&server, "PROPFIND", target.clone(), &[("depth", "0")], "").await.status(), 404);
    assert_eq!(ask(&server, "PROPFIND", staged(""), &[("depth", "0")], "").await.status(), 207);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.content("big").unwrap(), "abc");
    assert_eq!(ask(&server, "PROPFIND", staged(""), &[("depth", "0")], "").await.status(), 404);
}
