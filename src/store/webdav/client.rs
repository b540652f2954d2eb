//! One HTTP request to a WebDAV server, done carefully.
//!
//! Promises: a body always has a Content-Length (WEBDAV §0 rule 2); no redirect is followed; after one 401 nothing is sent any
//! more, and until the first sign-in has worked only one request is under way, so that a wrong password costs one failed login
//! and not a lock-out of everybody behind this address (rule 8); each phase has its own time limit; every request is counted;
//! credentials appear in no error, log or `Debug`.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use object_store::{PutPayload, path::Path};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::{
    body::{Progress, Upload},
    listing,
    problem::{self, Code, Problem},
};
use crate::{
    error::{Error, Kind, Result},
    store::{count::Requests, http},
};

/// Everything but unreserved characters is encoded (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// An error's body is read up to this length; more says nothing new.
const ERROR_BODY: usize = 64 * 1024;

/// Time limits per phase. An answer may take longer after a big body: `answer` + 1 s per MB sent.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Without a byte of the body being taken.
    pub stall: Duration,
    /// From the last byte of the request to the answer's head, and between two pieces of its body.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(60), answer: Duration::from_secs(60) }
    }
}

/// How often a request is tried, and how long to wait in between: `base`, doubled each time up to `cap`, with jitter.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, base: Duration::from_millis(250), cap: Duration::from_secs(8) }
    }
}

impl Retry {
    /// Waits after the failed try number `tried` (from 1).
    pub(super) async fn pause(&self, tried: u32) {
        tokio::time::sleep(self.delay(tried, rand::random())).await;
    }

    /// Half of the pause is fixed, half depends on `chance` (0 to 1): clients that failed together do not come back together.
    fn delay(&self, tried: u32, chance: f64) -> Duration {
        let full = self.base.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(self.cap);
        full.mul_f64(0.5 + chance / 2.0)
    }
}

/// One request to make.
#[derive(Debug)]
pub(super) struct Request {
    method: &'static str,
    url: Url,
    /// The object, for messages.
    name: String,
    headers: HeaderMap,
    body: Option<PutPayload>,
}

impl Request {
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Result<Self, Problem> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Problem::new(Code::Unexpected, format!("{}: header {name} cannot be sent", self.name)))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub(super) fn body(mut self, body: PutPayload) -> Self {
        self.body = Some(body);
        self
    }

    fn what(&self) -> String {
        let name = if self.name.is_empty() { "the remote folder" } else { &self.name };
        format!("{} {name}", self.method)
    }
}

/// The client of one remote folder.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    base_segments: Vec<String>,
    username: String,
    password: SecretString,
    pub(super) requests: Arc<Requests>,
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    /// Why nothing may be sent any more.
    stopped: OnceLock<(Code, String)>,
    signed_in: AtomicBool,
    first: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// What a client needs to know.
pub(super) struct ClientSettings<'a> {
    pub(super) url: &'a Url,
    pub(super) username: &'a str,
    pub(super) password: &'a SecretString,
    pub(super) ca_file: Option<&'a std::path::Path>,
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
}

impl Client {
    pub(super) fn new(settings: &ClientSettings<'_>) -> Result<Self> {
        let base = clean_base(settings.url)?;
        let base_segments = listing::href_segments(base.path())
            .ok_or_else(|| Error::new(Kind::Config, format!("the remote's url {base} has a path that is not UTF-8")))?;
        Ok(Self {
            http: http::client(&base, settings.ca_file, settings.timeouts.connect)?,
            base,
            base_segments,
            username: settings.username.to_owned(),
            password: settings.password.clone(),
            requests: Arc::default(),
            retry: settings.retry,
            timeouts: settings.timeouts,
            stopped: OnceLock::new(),
            signed_in: AtomicBool::new(false),
            first: tokio::sync::Mutex::new(()),
        })
    }

    /// The folder's URL, without credentials.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Decoded path segments of the folder's URL.
    pub(super) fn base_segments(&self) -> &[String] {
        &self.base_segments
    }

    /// The URL of an object, or of a folder (which ends in `/`).
    pub(super) fn url(&self, path: &Path, folder: bool) -> Url {
        let mut url = self.base.clone();
        let mut text = url.path().to_owned();
        let encoded: Vec<String> =
            path.parts().map(|part| utf8_percent_encode(part.as_ref(), SEGMENT).to_string()).collect();
        text.push_str(&encoded.join("/"));
        if folder && !text.ends_with('/') {
            text.push('/');
        }
        url.set_path(&text);
        url
    }

    pub(super) fn request(&self, method: &'static str, path: &Path, folder: bool) -> Request {
        self.request_url(method, self.url(path, folder), path.to_string())
    }

    pub(super) fn request_url(&self, method: &'static str, url: Url, name: String) -> Request {
        Request { method, url, name, headers: HeaderMap::new(), body: None }
    }

    /// Sends once. Any 2xx is an answer, everything else a [`Problem`].
    pub(super) async fn send(&self, request: Request) -> Result<Response, Problem> {
        if self.signed_in.load(Ordering::Acquire) {
            return self.send_now(request).await;
        }
        let _only_one = self.first.lock().await;
        self.send_now(request).await
    }

    /// Sends, and again after a pause while that may help. Only for requests that may be repeated.
    pub(super) async fn send_again(
        &self,
        make: impl Fn() -> Result<Request, Problem> + Send,
    ) -> Result<Response, Problem> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.send(make()?).await {
                Err(problem) if problem.worth_retrying() && tried < self.retry.tries => self.retry.pause(tried).await,
                result => return result,
            }
        }
    }

    async fn send_now(&self, request: Request) -> Result<Response, Problem> {
        let what = request.what();
        if let Some((code, why)) = self.stopped.get() {
            return Err(Problem::new(*code, format!("{what}: not tried, since {why}")));
        }
        let (method, has_own_encoding) = (request.method, request.headers.contains_key(ACCEPT_ENCODING));
        let length = request.body.as_ref().map(|body| body.content_length() as u64);
        let name = Method::from_bytes(method.as_bytes())
            .map_err(|_| Problem::new(Code::Unexpected, format!("{what}: not an HTTP method")))?;
        let mut builder = self
            .http
            .request(name, request.url)
            .basic_auth(&self.username, Some(self.password.expose_secret()))
            .headers(request.headers);
        if !has_own_encoding {
            builder = builder.header(ACCEPT_ENCODING, "identity");
        }
        let mut progress = Arc::new(Progress::done());
        if let Some(body) = request.body {
            progress = Arc::default();
            builder = builder
                .header(CONTENT_LENGTH, body.content_length())
                .body(reqwest::Body::wrap(Upload::new(body, Arc::clone(&progress))));
        }
        self.requests.record(method, length.unwrap_or(0));
        let answer = self.watch(builder.send(), &progress, length.unwrap_or(0), &what).await?;
        self.judge(answer, method, &what).await
    }

    /// Waits for the answer's head as long as the request makes progress.
    async fn watch(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>> + Send,
        progress: &Progress,
        length: u64,
        what: &str,
    ) -> Result<Response, Problem> {
        let Timeouts { connect, stall, answer } = self.timeouts;
        let answer = answer + Duration::from_secs(length / 1_000_000);
        let tick = stall.min(answer).div_f64(8.0).min(Duration::from_secs(1)).max(Duration::from_millis(5));
        let mut sending = pin!(sending);
        let (mut seen, mut since) = (progress.mark(), Instant::now() + connect);
        loop {
            tokio::select! {
                result = &mut sending => return result.map_err(|error| Problem::transport(what, error)),
                () = tokio::time::sleep(tick) => {}
            }
            let now = progress.mark();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            let limit = if now.1 { answer } else { stall };
            if Instant::now().saturating_duration_since(since) > limit {
                let why = if now.1 { "no answer" } else { "the upload stands still" };
                return Err(Problem::new(Code::TimedOut, format!("{what}: {why} for {} s", limit.as_secs())));
            }
        }
    }

    /// Sorts answers into usable ones and problems.
    async fn judge(&self, mut answer: Response, method: &str, what: &str) -> Result<Response, Problem> {
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let target = answer.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.map_or_else(|| "nowhere".to_owned(), |target| self.shown_target(target));
            return Err(Problem::new(
                Code::Redirected,
                format!("{what}: the server redirects to {target} ({}); redirects are not followed", status.as_u16()),
            ));
        }
        if status == StatusCode::MULTI_STATUS && method != "PROPFIND" {
            return Err(Problem::new(Code::Server, format!("{what}: the server could do only a part of it (207)")));
        }
        if status == StatusCode::OK && is_html(&answer) && method != "GET" {
            return Err(Problem::new(
                Code::NotDav,
                format!("{what}: a web page came back instead of a WebDAV answer (200)"),
            ));
        }
        if status.is_success() {
            self.signed_in.store(true, Ordering::Release);
            if !matches!(method, "GET" | "PROPFIND") {
                // Nobody wants this body, but unread it would cost the connection.
                self.read_start(&mut answer).await;
            }
            return Ok(answer);
        }
        let kind = content_type(&answer);
        let body = self.read_start(&mut answer).await;
        let problem = problem::from_status(what, status, &kind, &body);
        match problem.code() {
            code @ (Code::Credentials | Code::Throttled) => {
                let why = match code {
                    Code::Credentials => "the server has refused the credentials",
                    _ => "the server has asked for a pause",
                };
                let _first_reason_stays = self.stopped.set((code, why.to_owned()));
            }
            // These come from behind the sign-in.
            Code::Missing | Code::Conflict | Code::Precondition => self.signed_in.store(true, Ordering::Release),
            _ => {}
        }
        Err(problem)
    }

    /// A redirect's target without credentials, query and fragment.
    fn shown_target(&self, target: &str) -> String {
        let Ok(mut url) = self.base.join(target) else { return "an address that is no URL".to_owned() };
        http::strip(&mut url);
        url.to_string()
    }

    async fn read_start(&self, answer: &mut Response) -> String {
        let mut body = Vec::new();
        while body.len() < ERROR_BODY {
            match tokio::time::timeout(self.timeouts.answer, answer.chunk()).await {
                Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
                _ => break,
            }
        }
        self.requests.received(body.len() as u64);
        String::from_utf8_lossy(&body).into_owned()
    }

    /// The next piece of an answer's body, within the time limit.
    pub(super) async fn next_piece(&self, answer: &mut Response, what: &str) -> Result<Option<Bytes>, Problem> {
        match tokio::time::timeout(self.timeouts.answer, answer.chunk()).await {
            Ok(Ok(piece)) => {
                self.requests.received(piece.as_ref().map_or(0, |piece| piece.len() as u64));
                Ok(piece)
            }
            Ok(Err(error)) => Err(Problem::transport(what, error)),
            Err(_) => Err(Problem::new(
                Code::TimedOut,
                format!("{what}: the answer stands still for {} s", self.timeouts.answer.as_secs()),
            )),
        }
    }
}

pub(super) fn content_type(answer: &Response) -> String {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.unwrap_or_default().to_ascii_lowercase()
}

fn is_html(answer: &Response) -> bool {
    content_type(answer).contains("html")
}

/// The base URL: http or https, a folder, no credentials, no query.
fn clean_base(url: &Url) -> Result<Url> {
    let mut base = url.clone();
    http::strip(&mut base);
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(Error::new(Kind::Config, format!("the remote's url {base} is not an http or https address"))
            .hint("for Nextcloud: https://HOST/remote.php/dav/files/USER/FOLDER"));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        Client::new(&ClientSettings {
            url: &Url::parse(url).unwrap(),
            username: "kitchen",
            password: &SecretString::from("s3cret-pass"),
            ca_file: None,
            retry: Retry::default(),
            timeouts: Timeouts::default(),
        })
        .unwrap()
    }

    #[test]
    fn urls_encode_all_but_unreserved_characters() {
        let client = client("http://localhost/dav/my%20files");
        let path = Path::parse("a b/%48+é~._-x").unwrap();
        assert_eq!(client.url(&path, false).as_str(), "http://localhost/dav/my%20files/a%20b/%2548%2B%C3%A9~._-x");
        assert_eq!(client.url(&Path::default(), true).as_str(), "http://localhost/dav/my%20files/");
        assert_eq!(client.url(&Path::from("t"), true).path(), "/dav/my%20files/t/");
    }

    #[test]
    fn credentials_show_nowhere() {
        let client = client("http://u%40x:s3cret-pass@localhost/dav?token=s3cret-pass");
        let shown = format!(
            "{client:?} {} {}",
            client.base(),
            client.shown_target("//u:s3cret-pass@evil.example/?s3cret-pass")
        );
        assert!(!shown.contains("s3cret-pass"), "{shown}");
    }

    #[test]
    fn only_http_addresses_are_taken() {
        let url = Url::parse("file:///tmp/x").unwrap();
        assert_eq!(clean_base(&url).unwrap_err().kind(), Kind::Config);
    }

    #[test]
    fn pauses_grow_and_stay_within_the_cap() {
        let retry = Retry { tries: 5, base: Duration::from_secs(1), cap: Duration::from_secs(4) };
        for (tried, low, high) in [(1, 500, 1000), (2, 1000, 2000), (9, 2000, 4000), (u32::MAX, 2000, 4000)] {
            assert_eq!(retry.delay(tried, 0.0).as_millis(), low);
            assert_eq!(retry.delay(tried, 1.0).as_millis(), high);
        }
    }
}
