//! S3 as a remote: against a small double that checks signatures, and against a real server where `TILLVAULT_TEST_S3` names one
//! (`http://KEY:SECRET@HOST:PORT/BUCKET`; the bucket has to be there).

use std::fs;

use crate::{
    home::{Home, Ran},
    s3_double::{KEY, S3, SECRET},
};

impl Home {
    fn s3(&self) -> S3 {
        fs::write(self.path("s3.secret"), SECRET).unwrap();
        self.runtime.block_on(S3::start())
    }

    fn add_s3(&self, endpoint: &str, url: &str, key: &str) -> Ran {
        self.run(&[
            "remote",
            "add",
            "s3",
            "s3",
            url,
            "--endpoint",
            endpoint,
            "--access-key-id",
            key,
            "--secret-file",
            "s3.secret",
        ])
    }
}

#[test]
fn a_bucket_is_added_tried_and_pushed_to() {
    let home = Home::new();
    let s3 = home.s3();
    let endpoint = format!("http://127.0.0.1:{}", s3.port);
    home.add_s3(&endpoint, "s3://vault/sites/bar", KEY).ends(0).says(&["s3://vault/sites/bar"]);
    assert!(home.settings().contains("secret_access_key_file = \"s3.secret\"") && !home.settings().contains(SECRET));
    let ran = home.run(&["-vv", "remote", "test", "--json"]).ends(0);
    ran.has("read", "ok", "as it was written")
        .has("overwrite", "ok", "cannot be overwritten")
        .has("delete", "ok", "gone");
    assert!(!ran.text().contains(SECRET));
    assert!(s3.objects().is_empty(), "{:?}", s3.objects());
    home.run(&["push"]).ends(0);
    assert!(s3.objects().contains(&"sites/bar/tillvault-archive.json".to_owned()), "{:?}", s3.objects());
    home.run(&["push"]).ends(0).says(&["holds everything"]);
    home.run(&["doctor", "--remotes", "--json"]).ends(0).has("copy", "ok", "s3://vault/sites/bar can be reached");
    home.run(&["remote", "list"]).ends(0).says(&[KEY, "s3://vault/sites/bar"]);
}

#[test]
fn a_wrong_secret_is_told_as_one() {
    let home = Home::new();
    let s3 = home.s3();
    fs::write(home.path("s3.secret"), "wrong-secret-1").unwrap();
    let ran = home.add_s3(&format!("http://127.0.0.1:{}", s3.port), "s3://vault", KEY).ends(12);
    let ran = ran.says(&["access key", "SignatureDoesNotMatch"]);
    assert!(!ran.text().contains("wrong-secret-1") && !home.settings().contains("AKIA"));
    assert_eq!(s3.log().len(), 1, "tried once: {:?}", s3.log());
}

#[test]
fn a_redirect_is_not_followed_and_what_arrives_altered_is_not_stored() {
    let home = Home::new();
    let (s3, other) = (home.s3(), home.runtime.block_on(S3::start()));
    home.add_s3(&format!("http://127.0.0.1:{}", s3.port), "s3://vault", KEY).ends(0);
    s3.corrupt_uploads();
    let ran = home.run(&["remote", "test", "--json"]);
    assert_ne!(ran.code, 0);
    ran.has("write", "failed", "BadDigest");
    assert!(s3.objects().is_empty());
    s3.redirect_to(&format!("http://127.0.0.1:{}/vault", other.port));
    assert_ne!(home.run(&["doctor", "--remotes"]).code, 0);
    assert!(other.log().is_empty(), "{:?}", other.log());
}

#[test]
fn without_encryption_only_on_request() {
    let home = Home::new();
    fs::write(home.path("s3.secret"), SECRET).unwrap();
    home.add_s3("http://minio.lan:9000", "s3://vault", KEY).ends(2).says(&["not encrypted", "allow_http"]);
    home.add_s3("https://minio.lan:9000", "vault", KEY).ends(2).says(&["s3://BUCKET"]);
    let arguments =
        ["remote", "add", "s3", "s3", "s3://vault", "--endpoint", "http://minio.lan:9000", "--access-key-id", KEY];
    let more = ["--secret-file", "s3.secret", "--allow-http", "--unchecked"];
    home.run(&[&arguments[..], &more].concat()).ends(0);
    assert!(home.settings().contains("allow_http = true"));
}

#[test]
fn a_real_server_where_one_is_named() {
    let Some(address) = std::env::var_os("TILLVAULT_TEST_S3") else { return };
    let mut address: url::Url = address.to_str().unwrap().parse().unwrap();
    let (key, secret) = (address.username().to_owned(), address.password().unwrap().to_owned());
    let bucket = address.path().trim_matches('/').to_owned();
    address.set_username("").unwrap();
    address.set_password(None).unwrap();
    address.set_path("");
    let home = Home::new();
    fs::write(home.path("s3.secret"), secret).unwrap();
    let url = format!("s3://{bucket}/tillvault-test-{:08x}", rand::random::<u32>());
    home.add_s3(address.as_str(), &url, &key).ends(0);
    let ran = home.run(&["remote", "test", "--json"]).ends(0);
    ran.has("overwrite", "ok", "cannot be overwritten")
        .has("read", "ok", "as it was written")
        .has("delete", "ok", "gone");
    home.run(&["push"]).ends(0);
    home.run(&["push"]).ends(0).says(&["holds everything"]);
    home.run(&["doctor", "--remotes", "--json"]).ends(0).has("copy", "ok", "can be reached");
}
