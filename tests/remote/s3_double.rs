//! A small S3 on loopback: one bucket in memory, and signatures checked as Amazon does (AWS Signature Version 4).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "AKIATILLVAULT";
pub(crate) const SECRET: &str = "s3-secret-9931/xyz";

/// The running server; it ends with its runtime.
#[derive(Clone, Default)]
pub(crate) struct S3 {
    inner: Arc<Mutex<State>>,
    pub(crate) port: u16,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    log: Vec<String>,
    /// Answers this instead of doing anything: status, `Location`.
    redirect: Option<String>,
    /// One byte of each upload changes on its way.
    corrupts: bool,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let server = s3.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| server.clone().serve(request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        s3
    }

    pub(crate) fn objects(&self) -> Vec<String> {
        self.inner.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.inner.lock().unwrap().log.clone()
    }

    pub(crate) fn redirect_to(&self, target: &str) {
        self.inner.lock().unwrap().redirect = Some(target.to_owned());
    }

    pub(crate) fn corrupt_uploads(&self) {
        self.inner.lock().unwrap().corrupts = true;
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let answer = self.answer(&head, body);
        let line = format!("{} {} {}", head.method, head.uri, answer.status().as_u16());
        self.inner.lock().unwrap().log.push(line);
        Ok(answer)
    }

    fn answer(&self, head: &hyper::http::request::Parts, mut body: Bytes) -> Response<Full<Bytes>> {
        let mut state = self.inner.lock().unwrap();
        if let Some(target) = &state.redirect {
            return Response::builder().status(307).header("location", target).body(Full::default()).unwrap();
        }
        if !is_signed(head) {
            return error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match");
        }
        if state.corrupts && head.method == Method::PUT {
            let mut bytes = body.to_vec();
            bytes[0] ^= 1;
            body = bytes.into();
        }
        // Path style: /bucket/key.
        let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8().unwrap().into_owned();
        let Some(rest) = path.strip_prefix("/vault") else { return error(404, "NoSuchBucket", "no such bucket") };
        let key = rest.trim_start_matches('/').to_owned();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let tag = |bytes: &[u8]| format!("\"{}\"", &hex::encode(Sha256::digest(bytes))[..32]);
        match head.method.as_str() {
            "GET" if key.is_empty() => list(&state.objects, head.uri.query().unwrap_or_default()),
            "PUT" => {
                if header("if-none-match") == Some("*") && state.objects.contains_key(&key) {
                    return error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold");
                }
                let sum = header("x-amz-checksum-sha256").expect("no checksum came along");
                if sum != base64(&Sha256::digest(&body)) {
                    return error(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum");
                }
                let answer = Response::builder().header("etag", tag(&body)).body(Full::default()).unwrap();
                state.objects.insert(key, body);
                answer
            }
            "GET" | "HEAD" => match state.objects.get(&key) {
                Some(bytes) => Response::builder()
                    .header("etag", tag(bytes))
                    .header("last-modified", "Sun, 22 Nov 2026 20:00:00 GMT")
                    .header("content-length", bytes.len())
                    .body(Full::new(if head.method == Method::GET { bytes.clone() } else { Bytes::new() }))
                    .unwrap(),
                None => error(404, "NoSuchKey", "The specified key does not exist."),
            },
            "DELETE" => {
                state.objects.remove(&key);
                Response::builder().status(204).body(Full::default()).unwrap()
            }
            _ => error(405, "MethodNotAllowed", "not here"),
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Response::builder().status(status).header("content-type", "application/xml").body(Full::from(text)).unwrap()
}

/// `ListObjectsV2` in one page.
fn list(objects: &BTreeMap<String, Bytes>, query: &str) -> Response<Full<Bytes>> {
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let (prefix, delimiter) = (query.get("prefix").cloned().unwrap_or_default(), query.get("delimiter").cloned());
    let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let below = delimiter.as_ref().and_then(|delimiter| key[prefix.len()..].find(delimiter.as_str()));
        if let Some(at) = below {
            folders.insert(key[..=prefix.len() + at].to_owned());
            continue;
        }
        let _ = write!(
            contents,
            "<Contents><Key>{key}</Key><LastModified>2026-11-22T20:00:00.000Z</LastModified><ETag>x</ETag><Size>{}</Size></Contents>",
            bytes.len()
        );
    }
    let folders: String =
        folders.iter().map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")).collect();
    let text = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>vault</Name><IsTruncated>false</IsTruncated>{contents}{folders}</ListBucketResult>"
    );
    Response::builder().header("content-type", "application/xml").body(Full::from(text)).unwrap()
}

/// Computes the signature anew from what came.
fn is_signed(head: &hyper::http::request::Parts) -> bool {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(parts) = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else { return false };
    let part = |name: &str| {
        parts
            .split(", ")
            .find_map(|part| part.trim().strip_prefix(name))
            .unwrap_or_default()
            .trim_start_matches('=')
            .to_owned()
    };
    let (credential, names, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let scope: Vec<&str> = credential.split('/').collect();
    let [key, day, region, service, _] = scope[..] else { return false };
    let mut query: Vec<String> =
        head.uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()).map(Into::into).collect();
    query.sort();
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        head.method,
        head.uri.path(),
        query.join("&"),
        header("x-amz-content-sha256")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{day}/{region}/{service}/aws4_request\n{}",
        header("x-amz-date"),
        hex::encode(Sha256::digest(canonical))
    );
    let mut signing = format!("AWS4{SECRET}").into_bytes();
    for part in [day, region, service, "aws4_request"] {
        signing = hmac(&signing, part.as_bytes());
    }
    key == KEY && signature == hex::encode(hmac(&signing, text.as_bytes()))
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            text.push(if at <= group.len() { char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]) } else { '=' });
        }
    }
    text
}

#[test]
fn hmac_is_that_of_the_standard() {
    // RFC 4231, test cases 2 and 6.
    let found = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
    assert_eq!(found, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let found = hex::encode(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
    assert_eq!(found, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_eq!((base64(b"a"), base64(b"ab"), base64(b"abc")), ("YQ==".into(), "YWI=".into(), "YWJj".into()));
}
