//! What servers can do, as a table that is checked in both directions: a server that can more or less than the table says fails
//! the test. docs/REMOTES.md shows the same table.

use std::{fmt::Write as _, time::Duration};

use reqwest::Method;
use tillvault::{
    demo::webdav::{WebDavOptions, WebDavServer},
    store::{
        Remote,
        webdav::{Retry, Timeouts, WebDav, WebDavSettings},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use crate::{
    double::{Double, Options},
    peers::{self, PASSWORD, USER},
};

/// What one server does. Statuses are the answers to what stands beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Can {
    /// `PUT` with `If-None-Match: *` onto a name that is taken.
    put_taken: u16,
    /// `PUT` with an `If-Match` that is not its etag.
    put_stale: u16,
    /// `PUT` into a folder that is not there.
    put_no_parent: u16,
    mkcol_twice: u16,
    move_taken: u16,
    move_no_parent: u16,
    depth_infinity: u16,
    /// The answer to a `PUT` has an `ETag`.
    etag: bool,
    /// It has `X-Hash-SHA256`, too, when that is asked for.
    x_hash: bool,
    /// `PATCH` computes a hash from what is stored.
    patch_hash: bool,
    /// There are staging folders beside the files.
    chunking: bool,
    /// `X-OC-MTime` is accepted.
    mtime: bool,
    /// A folder tells how much room there is.
    quota: bool,
    /// Listings come in pages on request.
    pages: bool,
    /// What a `PUT` with a length leaves of a new file when it breaks.
    cut_new: Left,
    /// The same onto a file that is there.
    cut_over: Left,
}

/// What is under a name after an upload broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Old,
    Beginning,
}

const NEXTCLOUD: Can = Can {
    put_taken: 412,
    put_stale: 412,
    put_no_parent: 404,
    mkcol_twice: 405,
    move_taken: 412,
    move_no_parent: 409,
    depth_infinity: 207,
    etag: true,
    x_hash: true,
    patch_hash: true,
    chunking: true,
    mtime: true,
    quota: true,
    pages: true,
    cut_new: Left::Nothing,
    cut_over: Left::Beginning,
};

/// A server without anything of Nextcloud's.
const PLAIN: Can = Can {
    put_no_parent: 409,
    x_hash: false,
    patch_hash: false,
    chunking: false,
    mtime: false,
    quota: false,
    pages: false,
    cut_new: Left::Beginning,
    ..NEXTCLOUD
};

const APACHE: Can =
    Can { move_no_parent: 500, depth_infinity: 403, etag: false, cut_new: Left::Nothing, cut_over: Left::Old, ..PLAIN };
const WSGIDAV: Can = Can { quota: true, ..PLAIN };
const RCLONE: Can =
    Can { put_taken: 201, put_stale: 201, put_no_parent: 404, mkcol_twice: 201, move_no_parent: 403, ..PLAIN };
const DAV_SERVER: Can = Can { depth_infinity: 501, put_no_parent: 409, ..PLAIN };

/// The table, in the order of docs/REMOTES.md.
fn declared() -> Vec<(&'static str, Can)> {
    vec![
        ("Nextcloud 31 (double)", NEXTCLOUD),
        ("Nextcloud 31 on S3 (double)", Can { cut_new: Left::Beginning, ..NEXTCLOUD }),
        ("Nextcloud 30 (double)", Can { put_no_parent: 409, pages: false, ..NEXTCLOUD }),
        ("apache2 mod_dav", APACHE),
        ("WsgiDAV", WSGIDAV),
        ("rclone serve webdav", RCLONE),
        ("dav-server", DAV_SERVER),
    ]
}

/// Asks a server all of it. The folder at `url` must be there.
struct Probe {
    client: reqwest::Client,
    url: Url,
}

impl Probe {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> reqwest::Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, self.url.join(path).unwrap());
        request = request.basic_auth(USER, Some(PASSWORD)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn status(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        self.send(method, path, headers, body).await.status().as_u16()
    }

    async fn moved(&self, from: &str, to: &str) -> u16 {
        let to = self.url.join(to).unwrap();
        self.status("MOVE", from, &[("destination", to.as_str()), ("overwrite", "F")], "").await
    }

    /// A PUT of ten bytes that breaks after four.
    async fn cut(&self, path: &str) -> Left {
        let url = self.url.join(path).unwrap();
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.unwrap();
        // kitchen:app-password
        let sign = "Authorization: Basic a2l0Y2hlbjphcHAtcGFzc3dvcmQ=";
        let text =
            format!("PUT {} HTTP/1.1\r\nHost: 127.0.0.1\r\n{sign}\r\nContent-Length: 10\r\n\r\n1234", url.path());
        stream.write_all(text.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let found = self.send("GET", path, &[], "").await;
        match (found.status().as_u16(), &*found.text().await.unwrap()) {
            (404, _) => Left::Nothing,
            (200, "1234") => Left::Beginning,
            (200, "old") => Left::Old,
            other => panic!("{path}: {other:?}"),
        }
    }

    async fn all(&self) -> Can {
        let put = self.send("PUT", "a", &[("x-hash", "sha256"), ("x-oc-mtime", "1700000000")], "old").await;
        assert_eq!(put.status(), 201);
        let has = |name: &str| put.headers().contains_key(name);
        let (etag, x_hash, mtime) = (has("etag"), has("x-hash-sha256"), has("x-oc-mtime"));
        self.status("PUT", "b", &[], "old").await;
        let mkcol = self.status("MKCOL", "folder/", &[], "").await;
        assert_eq!(mkcol, 201);
        let patched = self.send("PATCH", "a", &[("x-recalculate-hash", "sha256")], "").await;
        let patch_hash = patched.status().is_success() && patched.headers().contains_key("oc-checksum");
        let staging = self.url.join("../../uploads/kitchen/test-staging/").unwrap();
        let chunking = self.status("MKCOL", staging.path(), &[], "").await == 201;
        if chunking {
            self.status("DELETE", staging.path(), &[], "").await;
        }
        let quota = "<d:propfind xmlns:d=\"DAV:\"><d:prop><d:quota-available-bytes/></d:prop></d:propfind>";
        let listed = self.send("PROPFIND", "", &[("depth", "0")], quota).await.text().await.unwrap();
        // An empty element, or a value that stands in a block of properties that were not found, is none.
        let told = listed.split("quota-available-bytes>").nth(1).and_then(|rest| rest.split('<').next());
        let paged = [("depth", "1"), ("x-nc-paginate", "true"), ("x-nc-paginate-count", "1")];
        let paged = self.send("PROPFIND", "", &paged, "").await;
        Can {
            put_taken: self.status("PUT", "a", &[("if-none-match", "*")], "old").await,
            put_stale: self.status("PUT", "b", &[("if-match", "\"stale\"")], "old").await,
            put_no_parent: self.status("PUT", "none/a", &[], "x").await,
            mkcol_twice: self.status("MKCOL", "folder/", &[], "").await,
            move_taken: self.moved("a", "b").await,
            move_no_parent: self.moved("a", "none/b").await,
            depth_infinity: self.status("PROPFIND", "", &[("depth", "infinity")], "").await,
            etag,
            x_hash,
            patch_hash,
            chunking,
            mtime,
            quota: told.is_some_and(|told| told.parse::<i64>().is_ok()),
            pages: paged.headers().contains_key("x-nc-paginate-token"),
            cut_new: self.cut("new").await,
            cut_over: self.cut("b").await,
        }
    }
}

async fn is_as_declared(name: &str, url: &Url) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let found = Probe { client, url: url.clone() }.all().await;
    let declared = declared().into_iter().find(|(declared, _)| *declared == name).unwrap().1;
    assert_eq!(found, declared, "{name}: what the server does, and what the table says");
    // The store finds out the same by its own way.
    let settings = WebDavSettings {
        url: url.join("probed").unwrap(),
        username: USER.into(),
        password: PASSWORD.into(),
        ca_file: None,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
    };
    let profile = Remote::webdav("peer", WebDav::new(&settings).unwrap()).probe().await.unwrap();
    assert_eq!(profile.conditional_put, declared.put_taken == 412, "{name}: {profile:?}");
    assert_eq!(profile.received_hash, declared.x_hash, "{name}: {profile:?}");
    assert_eq!(profile.rehash, declared.patch_hash, "{name}: {profile:?}");
    assert_eq!(profile.chunking, declared.chunking, "{name}: {profile:?}");
    assert_eq!(profile.pages, declared.pages, "{name}: {profile:?}");
}

#[tokio::test]
async fn nextcloud() {
    let server = Double::local().await;
    is_as_declared("Nextcloud 31 (double)", &server.url()).await;
}

#[tokio::test]
async fn nextcloud_on_s3() {
    let server = Double::start(Options::s3()).await;
    is_as_declared("Nextcloud 31 on S3 (double)", &server.url()).await;
}

#[tokio::test]
async fn nextcloud_30() {
    let server = Double::start(Options { version: 30, ..Options::default() }).await;
    is_as_declared("Nextcloud 30 (double)", &server.url()).await;
}

#[tokio::test]
async fn apache() {
    is_as_declared("apache2 mod_dav", peers::apache().url()).await;
}

#[tokio::test]
async fn wsgidav() {
    is_as_declared("WsgiDAV", peers::wsgidav().url()).await;
}

#[tokio::test]
async fn rclone() {
    is_as_declared("rclone serve webdav", peers::rclone().url()).await;
}

#[tokio::test]
async fn dav_server() {
    let server = WebDavServer::start(WebDavOptions::default()).await.unwrap();
    is_as_declared("dav-server", server.url()).await;
}

/// A row of the table: what is asked, and a server's answer.
type Row<'a> = (&'a str, &'a dyn Fn(&Can) -> String);

/// The table as Markdown.
fn matrix() -> String {
    let servers = declared();
    let mut text = String::from("| |");
    servers.iter().for_each(|(name, _)| write!(text, " {name} |").unwrap());
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(servers.len()));
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let left = |left: Left| {
        match left {
            Left::Nothing => "nothing",
            Left::Old => "the old file",
            Left::Beginning => "its beginning",
        }
        .to_owned()
    };
    let rows: [Row; 16] = [
        ("`PUT` with `If-None-Match: *`, name taken", &|can| can.put_taken.to_string()),
        ("`PUT` with a stale `If-Match`", &|can| can.put_stale.to_string()),
        ("`PUT`, parent missing", &|can| can.put_no_parent.to_string()),
        ("`MKCOL` twice", &|can| can.mkcol_twice.to_string()),
        ("`MOVE` with `Overwrite: F`, name taken", &|can| can.move_taken.to_string()),
        ("`MOVE`, parent missing", &|can| can.move_no_parent.to_string()),
        ("`PROPFIND` with `Depth: infinity`", &|can| can.depth_infinity.to_string()),
        ("`ETag` in the answer to `PUT`", &|can| yes(can.etag)),
        ("`X-Hash-SHA256` in the answer to `PUT`", &|can| yes(can.x_hash)),
        ("hash from storage by `PATCH`", &|can| yes(can.patch_hash)),
        ("chunked upload", &|can| yes(can.chunking)),
        ("`X-OC-MTime`", &|can| yes(can.mtime)),
        ("tells its room", &|can| yes(can.quota)),
        ("listings in pages", &|can| yes(can.pages)),
        ("a `PUT` of a new file that breaks leaves", &|can| left(can.cut_new)),
        ("a `PUT` over a file that breaks leaves", &|can| left(can.cut_over)),
    ];
    for (row, value) in rows {
        write!(text, "\n| {row} |").unwrap();
        servers.iter().for_each(|(_, can)| write!(text, " {} |", value(can)).unwrap());
    }
    text + "\n"
}

#[test]
fn the_documentation_shows_this_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/REMOTES.md");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text.contains(&matrix()), "docs/REMOTES.md should hold:\n{}", matrix());
}
