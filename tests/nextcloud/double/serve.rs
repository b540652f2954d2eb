//! From a request to an answer: the log, faults, sign-in, and who does the work.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue},
};
use percent_encoding::percent_decode_str;

use super::{
    Server,
    answer::{self, Answer, bare, cut, full},
    fault::Action,
    files, listing,
    log::Logged,
    ocs, transfer, uploads,
};

/// A request without its body.
pub(super) struct Head {
    pub(super) number: usize,
    pub(super) method: String,
    /// Decoded, below the server's base path.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) query: HashMap<String, String>,
    pub(super) length: Option<u64>,
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How a fault changes the work itself.
#[derive(Clone, Default)]
pub(super) struct Twist {
    /// Only so much of the body comes.
    pub(super) takes: Option<u64>,
    /// A part of a body stays visible whatever the storage.
    pub(super) visible: bool,
    /// The work takes that long, locks held.
    pub(super) lasts: Duration,
    pub(super) truncate: Option<u64>,
    pub(super) corrupt: bool,
    pub(super) corrupt_received: bool,
}

/// A body as far as it came.
pub(super) struct Taken {
    pub(super) data: Bytes,
    /// The server thinks that it is all.
    pub(super) whole: bool,
}

pub(super) async fn serve(server: Arc<Server>, connection: u64, request: Request<Incoming>) -> io::Result<Answer> {
    let (head, body, action) = enter(&server, connection, request);
    // PHP goes on when its client is gone: the work must not end with the connection.
    let work = tokio::spawn(async move {
        let number = head.number;
        let result = act(Arc::clone(&server), head, body, action).await;
        let status = result.as_ref().ok().map(|answer| answer.status().as_u16());
        note(&server, number, |entry| entry.status = status);
        result
    });
    work.await.map_err(io::Error::other)?
}

/// Logs the request and looks for a fault.
fn enter(server: &Server, connection: u64, request: Request<Incoming>) -> (Head, Incoming, Option<Action>) {
    let (parts, body) = request.into_parts();
    let decoded = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
    let path = decoded.strip_prefix(server.options.base.as_str()).unwrap_or("/").to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let method = parts.method.as_str().to_owned();
    let headers = parts.headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut state = server.state();
    let action = state.faults.iter_mut().find_map(|fault| fault.hits(&method, &path));
    let number = state.requests;
    state.requests += 1;
    state.log.push(Logged {
        at: std::time::Instant::now(),
        number,
        connection,
        method: method.clone(),
        raw_path: parts.uri.path().to_owned(),
        path: path.clone(),
        query: query.clone(),
        headers,
        content_length: length,
        received: 0,
        signed: parts.headers.contains_key(AUTHORIZATION),
        authorised: false,
        status: None,
        faulted: action.is_some(),
    });
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    (Head { number, method, path, headers: parts.headers, query, length }, body, action)
}

fn note(server: &Server, number: usize, change: impl FnOnce(&mut Logged)) {
    if let Some(entry) = server.state().log.iter_mut().find(|entry| entry.number == number) {
        change(entry);
    }
}

async fn act(server: Arc<Server>, head: Head, body: Incoming, action: Option<Action>) -> io::Result<Answer> {
    let mut twist = Twist::default();
    match action {
        None => {}
        Some(Action::Answer { status, headers, body: text }) => {
            if judge(&server, &head).is_ok() {
                note(&server, head.number, |entry| entry.authorised = entry.signed);
            }
            take(&server, &head, body, None).await;
            return Ok(canned(status, headers, text));
        }
        Some(Action::Cut) => return Err(cut()),
        Some(Action::CutAfter(bytes)) => {
            twist.takes = Some(bytes);
            work(&server, head, body, twist).await;
            return Err(cut());
        }
        Some(Action::CutVisible(bytes)) => {
            (twist.takes, twist.visible) = (Some(bytes), true);
            work(&server, head, body, twist).await;
            return Err(cut());
        }
        Some(Action::DropAnswer) => {
            work(&server, head, body, twist).await;
            return Err(cut());
        }
        Some(Action::Delay(time)) => tokio::time::sleep(time).await,
        Some(Action::Slow(time)) => twist.lasts = time,
        Some(Action::LateAnswer(time)) => {
            let answer = work(&server, head, body, twist).await;
            tokio::time::sleep(time).await;
            return Ok(answer);
        }
        Some(Action::TruncateStored(bytes)) => twist.truncate = Some(bytes),
        Some(Action::CorruptStored) => twist.corrupt = true,
        Some(Action::CorruptReceived) => twist.corrupt_received = true,
        Some(Action::Lock(time)) => {
            let path = files::relative(&server, &head.path).unwrap_or_default().to_owned();
            server.state().locks.insert(path, Some(std::time::Instant::now() + time));
        }
        Some(Action::Before(event)) => server.state().happen(&event),
        Some(Action::Proxy { works, gives_up }) => {
            twist.lasts = works;
            let behind = Arc::clone(&server);
            tokio::spawn(async move { work(&behind, head, body, twist).await });
            tokio::time::sleep(gives_up).await;
            return Ok(answer::proxy(504, "Gateway Time-out"));
        }
        Some(Action::ShortAnswer(bytes)) => {
            let (parts, body) = text_of(work(&server, head, body, twist).await).await?;
            return Ok(Response::from_parts(parts, full(body.slice(..bytes.min(body.len())))));
        }
        Some(Action::CutAnswer(bytes)) => {
            let (mut parts, body) = text_of(work(&server, head, body, twist).await).await?;
            parts.headers.insert(CONTENT_LENGTH, body.len().into());
            let pieces = [Ok(hyper::body::Frame::data(body.slice(..bytes.min(body.len())))), Err(cut())];
            let body = http_body_util::StreamBody::new(futures::stream::iter(pieces));
            return Ok(Response::from_parts(parts, body.boxed_unsync()));
        }
        Some(Action::Rewrite(change)) => {
            let (parts, body) = text_of(work(&server, head, body, twist).await).await?;
            let text = (change.0)(String::from_utf8_lossy(&body).into_owned());
            return Ok(Response::from_parts(parts, full(text)));
        }
    }
    Ok(work(&server, head, body, twist).await)
}

async fn text_of(answer: Answer) -> io::Result<(hyper::http::response::Parts, Bytes)> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    Ok((parts, body.collect().await?.to_bytes()))
}

fn canned(status: u16, headers: Vec<(&'static str, String)>, text: String) -> Answer {
    let mut answer = answer::with_body(status, "", text);
    for (name, value) in headers {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
    }
    answer
}

/// Takes the body, or its beginning.
pub(super) async fn take(server: &Server, head: &Head, mut body: Incoming, limit: Option<u64>) -> Taken {
    let mut data = Vec::new();
    // A body without a length ends where it ends, for all the server knows (WEBDAV §0 rule 2).
    let unknown = head.length.is_none();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            whole = unknown;
            break;
        };
        data.extend_from_slice(&frame.into_data().unwrap_or_default());
        if let Some(limit) = limit.filter(|limit| data.len() as u64 >= *limit) {
            data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            whole = unknown;
            break;
        }
    }
    note(server, head.number, |entry| entry.received = data.len() as u64);
    Taken { data: data.into(), whole }
}

/// Lets the rest of a body come, then gives the answer: an answer that overtakes the body would be lost with the connection.
pub(super) async fn refuse(server: &Server, head: &Head, body: Incoming, answer: Answer) -> Answer {
    take(server, head, body, None).await;
    answer
}

/// Who may do what: none when no sign-in came.
fn judge(server: &Server, head: &Head) -> Result<Option<String>, ()> {
    let Some(given) = head.header("authorization") else { return Ok(None) };
    let state = server.state();
    let basic = |login: &str, password: &str| format!("Basic {}", base64(format!("{login}:{password}").as_bytes()));
    let account = state.accounts.iter().find(|(login, password)| {
        given == basic(login, password)
            || state.app_passwords.contains(password) && given == format!("Bearer {password}")
    });
    account.map(|(_, password)| Some(password.clone())).ok_or(())
}

/// Signs in. The password that was used, or the refusal.
async fn sign_in(server: &Server, head: &Head) -> Result<Option<String>, Answer> {
    let judged = judge(server, head);
    let failed_before = server.state().failed_logins;
    if head.headers.contains_key(AUTHORIZATION) {
        if failed_before > server.options.login_attempts {
            let exception = "OCA\\DAV\\Connector\\Sabre\\Exception\\TooManyRequests";
            return Err(answer::error(429, exception, "Too many failed attempts from this address"));
        }
        // Doubling, as measured; the next sign-in pays, right or wrong.
        let waits = server.options.login_delay.saturating_mul(1 << failed_before.min(8));
        tokio::time::sleep(if failed_before == 0 { Duration::ZERO } else { waits }).await;
    }
    match judged {
        Ok(account) => {
            if account.is_some() {
                note(server, head.number, |entry| entry.authorised = true);
            }
            Ok(account)
        }
        Err(()) => {
            server.state().failed_logins += 1;
            Err(unauthorised("Username or password was incorrect"))
        }
    }
}

fn unauthorised(message: &str) -> Answer {
    let answer = answer::error(401, "Sabre\\DAV\\Exception\\NotAuthenticated", message);
    answer::header(answer, "www-authenticate", "Basic realm=\"Nextcloud\", charset=\"UTF-8\"")
}

async fn work(server: &Arc<Server>, head: Head, body: Incoming, twist: Twist) -> Answer {
    if let Some(largest) = server.options.largest_body
        && head.length.is_some_and(|length| length > largest)
    {
        return refuse(server, &head, body, answer::proxy(413, "Request Entity Too Large")).await;
    }
    if ocs::is_open(&head.path) {
        return ocs::open(server, &head, body).await;
    }
    let is_dav = head.path.starts_with("/remote.php/");
    if is_dav && server.state().maintenance {
        return refuse(server, &head, body, answer::maintenance()).await;
    }
    let password = match sign_in(server, &head).await {
        Ok(password) => password,
        Err(answer) => return refuse(server, &head, body, answer).await,
    };
    if head.path.starts_with("/ocs/") {
        take(server, &head, body, None).await;
        return ocs::answer(server, &head, password.as_deref());
    }
    if !is_dav {
        return refuse(server, &head, body, answer::proxy(404, "Not Found")).await;
    }
    if password.is_none() {
        return refuse(server, &head, body, unauthorised("No public access to this resource.")).await;
    }
    if server.state().disabled {
        let disabled = answer::error(503, "Sabre\\DAV\\Exception\\ServiceUnavailable", "Account disabled");
        return refuse(server, &head, body, disabled).await;
    }
    dav(server, head, body, twist).await
}

async fn dav(server: &Arc<Server>, head: Head, body: Incoming, twist: Twist) -> Answer {
    if head.method == "OPTIONS" {
        return refuse(server, &head, body, options(server)).await;
    }
    if head.method == "LOCK" || head.method == "UNLOCK" {
        let lock = answer::error(501, "Sabre\\DAV\\Exception\\NotImplemented", "There was no plugin for this method");
        return refuse(server, &head, body, lock).await;
    }
    if let Some(below) = head.path.strip_prefix("/remote.php/dav/uploads/") {
        let below = below.to_owned();
        return uploads::answer(server, head, &below, body, twist).await;
    }
    if head.path.starts_with("/remote.php/dav/trashbin/") {
        take(server, &head, body, None).await;
        return listing::trash(server, &head);
    }
    let Some(path) = files::relative(server, &head.path).map(str::to_owned) else {
        return files::stranger(server, &head, body).await;
    };
    match head.method.as_str() {
        "PUT" => files::put(server, &head, &path, body, &twist).await,
        "PROPFIND" => {
            let wanted = take(server, &head, body, None).await;
            listing::propfind(server, &head, &path, &wanted.data)
        }
        "GET" | "HEAD" => files::get(server, &head, &path),
        "MKCOL" => refuse(server, &head, body, files::make_folder(server, &path)).await,
        "DELETE" => refuse(server, &head, body, files::delete(server, &head, &path)).await,
        "PATCH" => refuse(server, &head, body, files::patch(server, &head, &path)).await,
        "MOVE" | "COPY" => {
            let answer = transfer::transfer(server, &head, &path, &twist).await;
            refuse(server, &head, body, answer).await
        }
        other => refuse(server, &head, body, answer::not_allowed(&format!("{other} is not known here"))).await,
    }
}

fn options(server: &Server) -> Answer {
    let mut features = "1, 3, extended-mkcol, access-control, calendarserver-principal-property-search".to_owned();
    if server.options.patch_hash {
        features.push_str(", nextcloud-checksum-update");
    }
    if server.options.version >= 31 {
        features.push_str(", nc-paginate");
    }
    let answer = answer::header(bare(200), "dav", &features);
    answer::header(answer, "allow", "OPTIONS, GET, HEAD, DELETE, PROPFIND, PUT, PROPPATCH, COPY, MOVE, REPORT, PATCH")
}

/// Standard base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for position in 0..4 {
            let sign = ALPHABET[(value >> (18 - 6 * position) & 63) as usize] as char;
            text.push(if position <= group.len() { sign } else { '=' });
        }
    }
    text
}
