//! One HTTP request to a WebDAV server, done carefully.
//!
//! Promises: a body always has a Content-Length (WEBDAV §0 rule 2); no redirect is followed; what [`gate`](super::gate) forbids is not
//! sent, and a request that the server has put off (429, maintenance) is sent again when its time has come, as far as
//! [`Patience`] goes; each phase has its own time limit; every request is counted; credentials appear in no error, log or `Debug`.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::path::Path;
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::{
    body::{Progress, Upload},
    gate::Gate,
    listing,
    patience::{Attempts, Patience, Retry, Timeouts},
    place::{self, Place},
    problem::{self, Code, Problem},
    request::{Request, encode},
};
use crate::{
    error::{Error, Kind, Result},
    store::{count::Requests, http, throttle::Throttle},
};

/// An error's body is read up to this length; more says nothing new.
const ERROR_BODY: usize = 64 * 1024;

/// The client of one remote folder.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    base_segments: Vec<String>,
    place: Option<Place>,
    username: String,
    password: SecretString,
    pub(super) requests: Arc<Requests>,
    pub(super) throttle: Arc<Throttle>,
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) patience: Patience,
    pub(super) gate: Gate,
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
    pub(super) patience: Patience,
}

impl Client {
    pub(super) fn new(settings: &ClientSettings<'_>) -> Result<Self> {
        let base = place::clean_base(settings.url)?;
        let base_segments = listing::href_segments(base.path())
            .ok_or_else(|| Error::new(Kind::Config, format!("the remote's url {base} has a path that is not UTF-8")))?;
        Ok(Self {
            http: http::client(&base, settings.ca_file, settings.timeouts.connect)?,
            place: Place::of(&base_segments),
            base,
            base_segments,
            username: settings.username.to_owned(),
            password: settings.password.clone(),
            requests: Arc::default(),
            throttle: Arc::default(),
            retry: settings.retry,
            timeouts: settings.timeouts,
            patience: settings.patience,
            gate: Gate::default(),
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

    /// Where the folder lies on a Nextcloud server, if its address looks like one.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Who signs in.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// The tries at one thing.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.retry, self.patience)
    }

    /// The URL of an object, or of a folder (which ends in `/`).
    pub(super) fn url(&self, path: &Path, folder: bool) -> Url {
        let mut url = self.base.clone();
        let mut text = url.path().to_owned();
        let encoded: Vec<String> = path.parts().map(|part| encode(part.as_ref())).collect();
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
        Request { method, url, name, headers: HeaderMap::new(), body: None, longer: Duration::ZERO, anonymous: false }
    }

    /// Sends once. Any 2xx is an answer, everything else a [`Problem`]. A request that the server has put off without touching
    /// it is sent again in its time.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Problem> {
        let mut maintenance_since = None;
        loop {
            let mut only_one = None;
            if !self.gate.is_signed_in() && !request.anonymous {
                only_one = Some(self.gate.first.lock().await).filter(|_| !self.gate.is_signed_in());
            }
            self.gate.wait().await;
            let (pauses, sent_at) = (self.gate.pauses(), Instant::now());
            let result = self.send_now(request.clone()).await;
            drop(only_one);
            let problem = match result {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            match problem.code() {
                Code::Throttled if self.gate.throttled(pauses, problem.retry_after(), &self.patience) => {}
                Code::Maintenance if !request.anonymous => {
                    let since = *maintenance_since.get_or_insert(sent_at);
                    self.wait_out_maintenance(since, sent_at, problem).await?;
                }
                _ => return Err(problem),
            }
        }
    }

    /// Waits until the server's status says that maintenance is over; one asks, the others wait for it (WEBDAV §9 row 12).
    async fn wait_out_maintenance(&self, since: Instant, sent_at: Instant, problem: Problem) -> Result<(), Problem> {
        let mut over_at = self.gate.maintenance.lock().await;
        if over_at.is_some_and(|over_at| over_at > sent_at) {
            return Ok(());
        }
        let mut pause = self.patience.maintenance;
        loop {
            if since.elapsed() + pause > self.patience.maintenance_most {
                self.gate.stop(Code::Maintenance, "the server is in maintenance mode");
                return Err(problem);
            }
            self.gate.say(format!("the server is in maintenance mode: asking again in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.patience.maintenance_cap);
            // A server without a status page has to be asked itself.
            let status = Box::pin(self.status()).await;
            let over = status.as_ref().map_or(self.place.is_none(), |status| {
                status.get("maintenance").and_then(serde_json::Value::as_bool) == Some(false)
            });
            if over {
                *over_at = Some(Instant::now());
                return Ok(());
            }
        }
    }

    /// The server's status page, asked for without signing in; none when there is none.
    pub(super) async fn status(&self) -> Result<serde_json::Value, Problem> {
        let Some(place) = &self.place else {
            return Err(Problem::new(Code::Missing, "the server has no status page"));
        };
        let url = place.url(&self.base, &["status.php"], false);
        let mut answer = self.send(self.request_url("GET", url, "status.php".into()).anonymous()).await?;
        let body = self.read_start(&mut answer).await;
        serde_json::from_str(&body).map_err(|_| Problem::new(Code::NotDav, "the server's status page is not JSON"))
    }

    /// Sends, and again after a pause while that may help. Only for requests that may be repeated.
    pub(super) async fn send_again(
        &self,
        make: impl Fn() -> Result<Request, Problem> + Send,
    ) -> Result<Response, Problem> {
        self.send_within(self.attempts(), make).await
    }

    /// The same with other attempts.
    pub(super) async fn send_within(
        &self,
        mut attempts: Attempts,
        make: impl Fn() -> Result<Request, Problem> + Send,
    ) -> Result<Response, Problem> {
        loop {
            match self.send(make()?).await {
                Err(problem) => {
                    if !attempts.again(&problem).await {
                        return Err(problem);
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn send_now(&self, request: Request) -> Result<Response, Problem> {
        let what = request.what();
        self.gate.check(request.method, &what)?;
        let (method, has_own_encoding) = (request.method, request.headers.contains_key(ACCEPT_ENCODING));
        let (anonymous, longer) = (request.anonymous, request.longer);
        let length = request.body.as_ref().map(|body| body.content_length() as u64);
        let name = Method::from_bytes(method.as_bytes())
            .map_err(|_| Problem::new(Code::Unexpected, format!("{what}: not an HTTP method")))?;
        let mut builder = self.http.request(name, request.url).headers(request.headers);
        if !anonymous {
            builder = builder.basic_auth(&self.username, Some(self.password.expose_secret()));
        }
        if !has_own_encoding {
            builder = builder.header(ACCEPT_ENCODING, "identity");
        }
        let mut progress = Arc::new(Progress::done());
        if let Some(body) = request.body {
            progress = Arc::default();
            let upload = Upload::new(body, Arc::clone(&progress), Arc::clone(&self.throttle));
            builder = builder.header(CONTENT_LENGTH, length.unwrap_or(0)).body(reqwest::Body::wrap(upload));
        }
        self.requests.record(method, length.unwrap_or(0));
        let answer = self.watch(builder.send(), &progress, length.unwrap_or(0), longer, &what).await?;
        self.judge(answer, method, anonymous, &what).await
    }

    /// Waits for the answer's head as long as the request makes progress.
    async fn watch(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>> + Send,
        progress: &Progress,
        length: u64,
        longer: Duration,
        what: &str,
    ) -> Result<Response, Problem> {
        let Timeouts { connect, stall, answer } = self.timeouts;
        let answer = answer + longer + Duration::from_secs(length / 1_000_000);
        let tick = stall.min(answer).div_f64(8.0).min(Duration::from_secs(1)).max(Duration::from_millis(5));
        let mut sending = pin!(sending);
        let (mut seen, mut since) = (progress.mark(), Instant::now() + connect);
        loop {
            tokio::select! {
                result = &mut sending => return result.map_err(|error| Problem::transport(what, error)),
                () = tokio::time::sleep(tick) => {}
            }
            let now = progress.mark();
            if now != seen || progress.is_paused() {
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
    async fn judge(
        &self,
        mut answer: Response,
        method: &str,
        anonymous: bool,
        what: &str,
    ) -> Result<Response, Problem> {
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
        if status == StatusCode::OK && is_html(&answer) && !is_empty(&answer) && method != "GET" {
            return Err(Problem::new(
                Code::NotDav,
                format!("{what}: a web page came back instead of a WebDAV answer (200)"),
            ));
        }
        if status.is_success() && method == "PROPFIND" && status != StatusCode::MULTI_STATUS {
            let why = format!("{what}: the answer is no listing ({})", status.as_u16());
            return Err(Problem::new(Code::NotDav, why));
        }
        if status.is_success() {
            if !anonymous {
                self.gate.signed_in();
            }
            if !matches!(method, "GET" | "PROPFIND") {
                // Nobody wants this body, but unread it would cost the connection.
                self.read_start(&mut answer).await;
            }
            return Ok(answer);
        }
        let kind = content_type(&answer);
        // A date would depend on the server's clock.
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = self.read_start(&mut answer).await;
        let problem = problem::from_status(what, status, &kind, &body);
        match problem.code() {
            Code::Credentials if !anonymous => {
                self.gate.stop(Code::Credentials, "the server has refused the credentials");
            }
            Code::Full => self.gate.set_full(true),
            // These come from behind the sign-in.
            Code::Missing | Code::Conflict | Code::Precondition if !anonymous => self.gate.signed_in(),
            _ => {}
        }
        Err(problem.retry_after_seconds(retry_after))
    }

    /// A redirect's target without credentials, query and fragment.
    fn shown_target(&self, target: &str) -> String {
        let Ok(mut url) = self.base.join(target) else { return "an address that is no URL".to_owned() };
        http::strip(&mut url);
        url.to_string()
    }

    /// The beginning of an answer's body, as text.
    pub(super) async fn read_start(&self, answer: &mut Response) -> String {
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

/// Says that it has no body. Nextcloud calls its empty answers HTML, too: OPTIONS, and the parts on an object store.
fn is_empty(answer: &Response) -> bool {
    answer.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0")
}

fn is_html(answer: &Response) -> bool {
    content_type(answer).contains("html")
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
            patience: Patience::default(),
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
}
