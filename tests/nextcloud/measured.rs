//! The double answers as the real server was measured to answer: else what is proven against it proves nothing.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::double::{Action, Double, Event, Fault, Options, Storage};

thread_local! {
    static CLIENT: reqwest::Client = new_client();
}

/// One for each test: making one takes its time.
fn client() -> reqwest::Client {
    CLIENT.with(Clone::clone)
}

fn new_client() -> reqwest::Client {
    // An error means that it is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_certs_only([]).no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// One request, signed in.
async fn ask(
    server: &Double,
    method: &str,
    url: Url,
    headers: &[(&'static str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let options = server.options();
    let mut request = client().request(Method::from_bytes(method.as_bytes()).unwrap(), url);
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
    while server.log().last().unwrap().status.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    server.happen(&Event::CacheIsFlushed);
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
    let (works, gives_up) = (Duration::from_millis(1500), Duration::from_millis(20));
    server.inject(Fault::next("MOVE", Action::Proxy { works, gives_up }));
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 504);
    assert_eq!(ask(&server, "MOVE", staged(".file"), &to, "").await.status(), 423);
    assert_eq!(ask(&server, "PROPFIND", target.clone(), &[("depth", "0")], "").await.status(), 404);
    assert_eq!(ask(&server, "PROPFIND", staged(""), &[("depth", "0")], "").await.status(), 207);
    while server.content("big").is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.content("big").unwrap(), "abc");
    assert_eq!(ask(&server, "PROPFIND", staged(""), &[("depth", "0")], "").await.status(), 404);
}

#[tokio::test]
async fn locks_quota_maintenance_and_a_disabled_account_speak_nextclouds_words() {
    let server = Double::local().await;
    server.store("a", "old");
    server.lock("a", Duration::from_secs(600));
    let answer = file(&server, "PUT", "a", &[], "x").await;
    assert_eq!(answer.status(), 423);
    assert!(answer.text().await.unwrap().contains("FileLocked"));
    assert_eq!(file(&server, "GET", "a", &[], "").await.status(), 423);
    server.unlock("a");
    assert_eq!(file(&server, "PUT", "a", &[], "x").await.status(), 204);

    server.set_quota(Some(5));
    assert_eq!(file(&server, "PUT", "b", &[], "12345").await.status(), 507);
    assert_eq!(file(&server, "PUT", "b", &[], "1234").await.status(), 201);
    let target = server.url().join("big").unwrap();
    let staged = |name: &str| at(&server, &format!("remote.php/dav/uploads/kitchen/id/{name}"));
    let told = [("destination", target.as_str()), ("oc-total-length", "9")];
    ask(&server, "MKCOL", staged(""), &told, "").await;
    assert_eq!(ask(&server, "PUT", staged("1"), &told, "x").await.status(), 507);
    assert_eq!(ask(&server, "PUT", staged("1"), &told[..1], "x").await.status(), 201);
    assert_eq!(ask(&server, "MOVE", staged(".file"), &told[..1], "").await.status(), 507);
    assert_eq!(server.staged()["id"].len(), 1, "the parts are kept");

    server.set_maintenance(true);
    let answer = file(&server, "PUT", "c", &[], "x").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("ServerMaintenanceMode"));
    let text = ask(&server, "GET", at(&server, "status.php"), &[], "").await.text().await.unwrap();
    assert!(text.contains("\"maintenance\":true"), "{text}");
    server.set_maintenance(false);
    server.set_disabled(true);
    let answer = file(&server, "GET", "a", &[], "").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("Account disabled"));
}

#[tokio::test]
async fn folders_are_got_as_a_sentence_and_empty_answers_are_called_html() {
    let server = Double::local().await;
    let made = file(&server, "MKCOL", "folder", &[], "").await;
    assert_eq!((made.status().as_u16(), head(&made, "content-length")), (201, "0"));
    assert_eq!(head(&made, "content-type"), "text/html; charset=UTF-8");
    let options = file(&server, "OPTIONS", "folder/", &[], "").await;
    assert_eq!((options.status().as_u16(), head(&options, "content-length")), (200, "0"));
    assert_eq!(head(&options, "content-type"), "text/html; charset=UTF-8");
    for path in ["folder", "folder/"] {
        let got = file(&server, "GET", path, &[], "").await;
        assert_eq!((got.status().as_u16(), head(&got, "etag")), (200, ""));
        assert!(got.text().await.unwrap().starts_with("This is the WebDAV interface."));
    }
}

#[tokio::test]
async fn eleven_wrong_passwords_lock_everybody_out() {
    let server = Double::local().await;
    let client = client();
    let wrong = || client.get(server.url()).basic_auth("kitchen", Some("wrong")).send();
    for _ in 0..11 {
        assert_eq!(wrong().await.unwrap().status(), 401);
    }
    assert_eq!(wrong().await.unwrap().status(), 429);
    let right = file(&server, "PUT", "a", &[], "x").await;
    assert_eq!((right.status().as_u16(), head(&right, "retry-after")), (429, ""));
    let text = client.get(at(&server, "ocs/v2.php/cloud/capabilities")).header("ocs-apirequest", "true");
    let text = text.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("\"delay\":2200"), "{text}");
    assert!(server.log().iter().all(|entry| !entry.authorised));
}

#[tokio::test]
async fn each_wrong_password_makes_the_next_sign_in_slower() {
    let server = Double::start(Options { login_delay: Duration::from_millis(20), ..Options::default() }).await;
    let timed = |password: &'static str| {
        let server = &server;
        async move {
            let started = std::time::Instant::now();
            let answer = client().get(server.url().join("none").unwrap()).basic_auth("kitchen", Some(password)).send();
            (answer.await.unwrap().status().as_u16(), started.elapsed())
        }
    };
    for _ in 0..4 {
        assert_eq!(timed("wrong").await.0, 401);
    }
    let (status, waited) = timed("app-password").await;
    assert!(status == 404 && waited >= Duration::from_millis(320), "also the right one: {waited:?}");
}

#[tokio::test]
async fn what_is_deleted_goes_to_the_trash_unless_told_otherwise() {
    let server = Double::local().await;
    for name in ["t/a", "t/b", "c"] {
        server.store(name, "xyz");
    }
    assert_eq!(file(&server, "DELETE", "t", &[], "").await.status(), 204);
    assert_eq!(file(&server, "DELETE", "t", &[], "").await.status(), 404);
    assert_eq!(file(&server, "DELETE", "c", &[("if-match", "\"other\"")], "").await.status(), 412);
    assert_eq!(file(&server, "DELETE", "c", &[("x-nc-skip-trashbin", "true")], "").await.status(), 204);
    assert_eq!(server.trash(), [("t/a".to_owned(), 3), ("t/b".to_owned(), 3)]);
    let trash = at(&server, "remote.php/dav/trashbin/kitchen/trash/");
    let text = ask(&server, "PROPFIND", trash.clone(), &[("depth", "1")], "").await.text().await.unwrap();
    assert!(text.contains("<oc:size>3</oc:size>") && text.contains("t/b</nc:trashbin-original-location>"), "{text}");
    assert_eq!(ask(&server, "DELETE", trash, &[], "").await.status(), 204);
    assert!(server.trash().is_empty() && server.files().is_empty());
}

#[tokio::test]
async fn a_listing_comes_whole_or_by_page_with_what_was_asked_for() {
    let server = Double::local().await;
    for n in 0..7 {
        server.store(&format!("t/n {n}+é:"), vec![0; n]);
    }
    let list = |headers: Vec<(&'static str, String)>, body: &'static str| {
        let (server, url) = (&server, server.url().join("t").unwrap());
        async move {
            let headers: Vec<(&'static str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            ask(server, "PROPFIND", url, &headers, body).await
        }
    };
    let body = "<p:propfind xmlns:p=\"DAV:\" xmlns:q=\"http://owncloud.org/ns\"><p:prop><p:getcontentlength/><q:size/><q:nonsense/></p:prop></p:propfind>";
    let text = list(vec![("depth", "1".into())], body).await.text().await.unwrap();
    assert!(text.contains("/remote.php/dav/files/kitchen/t/n%206%2b%c3%a9:</d:href>"), "{text}");
    assert!(text.contains("<d:getcontentlength>6</d:getcontentlength><oc:size>6</oc:size></d:prop>"), "{text}");
    assert!(text.contains("<oc:nonsense/></d:prop><d:status>HTTP/1.1 404 Not Found"), "{text}");
    assert!(text.contains("<oc:size>21</oc:size>"), "a folder's size is all below it: {text}");

    let page = |more: Vec<(&'static str, String)>| {
        let mut headers =
            vec![("depth", "1".into()), ("x-nc-paginate", "true".into()), ("x-nc-paginate-count", "3".into())];
        headers.extend(more);
        list(headers, "")
    };
    let first = page(Vec::new()).await;
    assert_eq!(head(&first, "x-nc-paginate-total"), "8", "the folder itself is one of them");
    let token = head(&first, "x-nc-paginate-token").to_owned();
    let mut names = first.text().await.unwrap().matches("<d:href>").count();
    for offset in [3, 6] {
        let more = vec![("x-nc-paginate-token", token.clone()), ("x-nc-paginate-offset", offset.to_string())];
        names += page(more).await.text().await.unwrap().matches("<d:href>").count();
    }
    assert_eq!(names, 8);
    server.happen(&Event::CacheIsFlushed);
    let whole = page(vec![("x-nc-paginate-token", token), ("x-nc-paginate-offset", "3".into())]).await;
    assert_eq!(head(&whole, "x-nc-paginate-total"), "", "a forgotten token gives everything");
    assert_eq!(whole.text().await.unwrap().matches("<d:href>").count(), 8);

    // The database believes in what it was told until somebody reads.
    server.truncate("t/n 6+é:", 2);
    let size = |text: String| text.contains("<d:getcontentlength>6</d:getcontentlength>");
    assert!(size(list(vec![("depth", "1".into())], "").await.text().await.unwrap()));
    assert_eq!(file(&server, "GET", "t/n 6+é:", &[], "").await.bytes().await.unwrap().len(), 2);
    assert!(!size(list(vec![("depth", "1".into())], "").await.text().await.unwrap()));
    server.lose("t/n 5+é:");
    assert_eq!(file(&server, "HEAD", "t/n 5+é:", &[], "").await.status(), 200);
    assert_eq!(file(&server, "GET", "t/n 5+é:", &[], "").await.status(), 503);
    assert_eq!(file(&server, "GET", "t/n 5+é:", &[], "").await.status(), 404);
}

#[tokio::test]
async fn move_and_copy_look_at_overwrite_and_at_the_source() {
    let server = Double::start(Options { base: "/cloud".into(), ..Options::default() }).await;
    server.store("a", "A");
    server.store("b", "B");
    let url = |name: &str| server.url().join(name).unwrap().to_string();
    let transfer = |method: &'static str, from: &'static str, to: String, overwrite: &'static str| {
        let server = &server;
        async move {
            let headers = [("destination", to.as_str()), ("overwrite", overwrite)];
            file(server, method, from, &headers, "").await.status().as_u16()
        }
    };
    assert_eq!(transfer("MOVE", "a", url("b"), "F").await, 412);
    assert_eq!(transfer("MOVE", "a", url("no/b"), "F").await, 409);
    assert_eq!(transfer("MOVE", "none", url("c"), "F").await, 404);
    assert_eq!(transfer("COPY", "a", url("c"), "F").await, 201);
    assert_eq!(
        transfer("MOVE", "a", "https://other.example/cloud/remote.php/dav/files/kitchen/b".into(), "T").await,
        204
    );
    assert_eq!(transfer("MOVE", "b", "/remote.php/dav/files/kitchen/d".into(), "T").await, 403, "the base is missing");
    assert_eq!((server.content("b").unwrap(), server.content("c").unwrap()), ("A".into(), "A".into()));
    assert_eq!(server.trash(), [("b".to_owned(), 1)]);
    let star = [("destination", "/cloud/remote.php/dav/files/kitchen/new"), ("if-none-match", "*")];
    assert_eq!(file(&server, "MOVE", "b", &star, "").await.status(), 412, "conditions are about the source");
    assert_eq!(ask(&server, "PUT", at(&server, "remote.php/dav/files/other/x"), &[], "x").await.status(), 403);
    assert_eq!(
        ask(&server, "PROPFIND", at(&server, "remote.php/dav/files/other/"), &[("depth", "0")], "").await.status(),
        207
    );
}

#[tokio::test]
async fn signing_in_by_browser_gives_an_app_password_once() {
    let server = Double::start(Options { base: "/sub".into(), uid: "u-17".into(), ..Options::default() }).await;
    let answer = ask(&server, "POST", at(&server, "index.php/login/v2"), &[("user-agent", "tillvault")], "").await;
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let (endpoint, token) = (answer["poll"]["endpoint"].as_str().unwrap(), answer["poll"]["token"].as_str().unwrap());
    let poll = || ask(&server, "POST", Url::parse(endpoint).unwrap(), &[], format!("token={token}"));
    assert_eq!(poll().await.status(), 404);
    server.confirm_logins();
    let given: serde_json::Value = serde_json::from_str(&poll().await.text().await.unwrap()).unwrap();
    assert_eq!(poll().await.status(), 404, "once only");
    assert_eq!(
        (given["server"].as_str(), given["loginName"].as_str()),
        (Some(server.root().as_str().trim_end_matches('/')), Some("kitchen"))
    );
    let new = given["appPassword"].as_str().unwrap();
    let client = client();
    let get =
        |path: &str| client.get(at(&server, path)).basic_auth("kitchen", Some(new)).header("ocs-apirequest", "true");
    let user = get("ocs/v2.php/cloud/user?format=json").send().await.unwrap().text().await.unwrap();
    assert!(user.contains("\"id\":\"u-17\""), "{user}");
    assert_eq!(get("ocs/v2.php/core/getapppassword").send().await.unwrap().status(), 403, "it is one already");
    let capabilities = get("ocs/v2.php/cloud/capabilities?format=json").send().await.unwrap().text().await.unwrap();
    assert!(capabilities.contains("\"max_size\":104857600"), "{capabilities}");
    let bare = client.get(at(&server, "ocs/v2.php/cloud/user")).send().await.unwrap();
    assert_eq!(bare.status(), 412, "without OCS-APIRequest");
    let revoke = client.delete(at(&server, "ocs/v2.php/core/apppassword")).basic_auth("kitchen", Some(new));
    assert_eq!(revoke.header("ocs-apirequest", "true").send().await.unwrap().status(), 200);
    assert_eq!(get("ocs/v2.php/cloud/user").send().await.unwrap().status(), 401);
}
