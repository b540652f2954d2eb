//! A WebDAV server in this process, on loopback: the demo's stand-in for Nextcloud, and a hostile peer for tests.
//!
//! The protocol is the crate `dav-server`'s; around it stand HTTP Basic sign-in, a path prefix as Nextcloud has one, a request log
//! and [`Fault`]s that answer, cut or stall chosen requests. A cut upload leaves its beginning visible, as some real servers do
//! (WEBDAV §7). It listens on 127.0.0.1 only and ends with its [`WebDavServer`].

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use dav_server::{DavHandler, localfs::LocalFs, memfs::MemFs};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use crate::error::{Error, Kind, OrFail, Result};

/// How to start the server.
#[derive(Clone, Debug)]
pub struct WebDavOptions {
    /// Folder to serve (it must exist), or none for one in memory.
    pub root: Option<PathBuf>,
    /// The only user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Path under which the folder is served, such as `/remote.php/dav/files/kitchen`; empty for the root.
    pub prefix: String,
}

impl Default for WebDavOptions {
    fn default() -> Self {
        Self {
            root: None,
            user: "kitchen".to_owned(),
            password: "app-password".to_owned(),
            port: 0,
            prefix: "/remote.php/dav/files/kitchen".to_owned(),
        }
    }
}

/// One request as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Method.
    pub method: String,
    /// Path, still percent-encoded.
    pub path: String,
    /// Status of the answer; none when the connection was cut instead.
    pub status: Option<u16>,
    /// Content-Length of the request, if it had one.
    pub content_length: Option<u64>,
    /// Names of the request's headers, lower case, and their values; the sign-in's value is left out.
    pub headers: Vec<(String, String)>,
}

impl LoggedRequest {
    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What a fault does to a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answers this instead of doing the work. Sign-in is not asked for.
    Answer {
        /// Status.
        status: u16,
        /// Headers besides Content-Length.
        headers: Vec<(&'static str, String)>,
        /// Body.
        body: String,
    },
    /// Cuts the connection at once; nothing is done.
    Cut,
    /// Takes this many bytes of the body, leaves them stored, then cuts the connection.
    CutUpload(u64),
    /// Does the work, then cuts the connection instead of answering.
    LoseAnswer,
    /// Sends only the beginning of the answer's body, as if it were all.
    ShortAnswer(usize),
    /// Sends only the beginning of the answer's body, then cuts the connection.
    CutAnswer(usize),
    /// Waits before doing the work.
    Stall(Duration),
}

impl Action {
    /// A bare status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }
}

/// A fault: what happens to which requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Method; empty for any.
    pub method: String,
    /// What the request's path must contain; empty for any.
    pub path: String,
    /// Matching requests to let through first.
    pub skip: u32,
    /// Matching requests to hit after that.
    pub times: u32,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// Hits the next request of that method.
    #[must_use]
    pub fn next(method: &str, action: Action) -> Self {
        Self { method: method.to_owned(), path: String::new(), skip: 0, times: 1, action }
    }

    /// Hits this many requests instead of one.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets this many matching requests through first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Only for paths that contain `part`.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }
}

struct Shared {
    handler: DavHandler,
    authorization: String,
    prefix: String,
    log: Mutex<Vec<LoggedRequest>>,
    faults: Mutex<Vec<Fault>>,
}

/// A running server. Dropping it stops it.
pub struct WebDavServer {
    url: Url,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for WebDavServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebDavServer").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Drop for WebDavServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WebDavServer {
    /// Starts a server on the current runtime.
    ///
    /// # Errors
    /// `Store` when the port cannot be had or the folder does not exist.
    pub async fn start(options: WebDavOptions) -> Result<Self> {
        let prefix = options.prefix.trim_end_matches('/').to_owned();
        let mut builder = DavHandler::builder().strip_prefix(prefix.clone());
        builder = match &options.root {
            None => builder.filesystem(MemFs::new()),
            Some(root) if root.is_dir() => builder.filesystem(LocalFs::new(root, false, false, false)),
            Some(root) => {
                let why = format!("the WebDAV server's folder {} does not exist", root.display());
                return Err(Error::new(Kind::Store, why));
            }
        };
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let bad = || format!("the WebDAV server cannot listen on {wanted}");
        let listener = TcpListener::bind(wanted).await.or_fail(Kind::Store, bad)?;
        let address = listener.local_addr().or_fail(Kind::Store, bad)?;
        let url = Url::parse(&format!("http://{address}{prefix}/"))
            .or_fail(Kind::Config, || format!("the WebDAV server's prefix {prefix} is no path"))?;
        let shared = Arc::new(Shared {
            handler: builder.build_handler(),
            authorization: format!("Basic {}", base64(format!("{}:{}", options.user, options.password).as_bytes())),
            prefix,
            log: Mutex::default(),
            faults: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, task })
    }

    /// Address of the served folder, with a trailing slash and without credentials.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The requests so far, in the order in which they were answered.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Empties the log and returns what was in it.
    pub fn take_requests(&self) -> Vec<LoggedRequest> {
        std::mem::take(&mut self.shared.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a fault. The first that matches a request decides about it.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Stops the server and cuts its connections.
    pub async fn stop(mut self) {
        self.task.abort();
        // The only possible error is that it was aborted.
        let _ = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file handles, for one: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), request));
            // An error is a cut connection, by the client or by a fault.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Answer> {
    let mut entry = describe(&request);
    let action = shared.fault_for(&entry);
    let answer = shared.answer(request, action).await;
    entry.status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
    shared.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    answer
}

impl Shared {
    fn fault_for(&self, request: &LoggedRequest) -> Option<Action> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter_mut() {
            let matches =
                (fault.method.is_empty() || fault.method == request.method) && request.path.contains(&fault.path);
            if !matches || fault.times == 0 {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.action.clone());
        }
        None
    }

    async fn answer(&self, request: Request<Incoming>, action: Option<Action>) -> io::Result<Answer> {
        match action {
            Some(Action::Answer { status, headers, body }) => canned(status, headers, body),
            Some(Action::Cut) => Err(cut()),
            Some(Action::CutUpload(after)) => {
                let request = request.map(|body| Until { body, left: after });
                drop(self.work(request).await);
                Err(cut())
            }
            Some(Action::LoseAnswer) => {
                drop(self.work(request).await);
                Err(cut())
            }
            Some(Action::ShortAnswer(after)) => {
                let (mut parts, body) = self.work(request).await.into_parts();
                let body = body.collect().await?.to_bytes();
                parts.headers.remove(CONTENT_LENGTH);
                Ok(Response::from_parts(parts, full(body.slice(..after.min(body.len())))))
            }
            Some(Action::CutAnswer(after)) => {
                let (mut parts, body) = self.work(request).await.into_parts();
                let body = body.collect().await?.to_bytes();
                parts.headers.insert(CONTENT_LENGTH, body.len().into());
                let body = Until { body: Full::new(body), left: after as u64 };
                Ok(Response::from_parts(parts, body.boxed_unsync()))
            }
            Some(Action::Stall(time)) => {
                tokio::time::sleep(time).await;
                Ok(self.work(request).await)
            }
            None => Ok(self.work(request).await),
        }
    }

    /// Signs in, then lets the WebDAV handler work.
    async fn work<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if given != Some(self.authorization.as_bytes()) {
            let mut answer = Response::new(full(Bytes::new()));
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Nextcloud\""));
            return answer;
        }
        let below = request.uri().path().strip_prefix(self.prefix.as_str());
        if !below.is_some_and(|path| path.is_empty() || path.starts_with('/')) {
            let mut answer = Response::new(full(Bytes::new()));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return answer;
        }
        self.handler.handle(request).await.map(BodyExt::boxed_unsync)
    }
}

fn describe(request: &Request<Incoming>) -> LoggedRequest {
    let headers = request.headers().iter().map(|(name, value)| {
        let value =
            if name == AUTHORIZATION { "…".into() } else { String::from_utf8_lossy(value.as_bytes()).into_owned() };
        (name.as_str().to_owned(), value)
    });
    LoggedRequest {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        status: None,
        content_length: request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok()),
        headers: headers.collect(),
    }
}

fn canned(status: u16, headers: Vec<(&'static str, String)>, body: String) -> io::Result<Answer> {
    let mut answer = Response::new(full(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).map_err(io::Error::other)?;
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(answer)
}

fn full(body: Bytes) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut by a fault")
}

/// A body that breaks after some bytes.
struct Until<B> {
    body: B,
    left: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Until<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Some(Err(cut())));
        }
        Pin::new(&mut this.body).poll_frame(cx).map(|frame| match frame {
            Some(Ok(frame)) => {
                let mut data = frame.into_data().unwrap_or_default();
                data.truncate(usize::try_from(this.left).unwrap_or(usize::MAX));
                this.left -= data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            Some(Err(_)) => Some(Err(cut())),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        // RFC 4648 §10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }
}
