//! What can go wrong on the way to a WebDAV server, as one type.
//!
//! A [`Problem`] has a [`Code`] for decisions, a sentence for people, and a hint. It never holds a credential: URLs are shown
//! without user information and query, causes are stripped of theirs, and a server's own words are shortened and cleaned.

use std::time::Duration;

use object_store::path::Path;
use reqwest::StatusCode;

/// What kind of trouble it is; retry and repair decisions look at this only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// 401, or a disabled account: stop at once.
    Credentials,
    /// 429: too many requests or failed sign-ins.
    Throttled,
    /// 403.
    Forbidden,
    /// 404.
    Missing,
    /// 405.
    NotAllowed,
    /// 409.
    Conflict,
    /// 412.
    Precondition,
    /// 304.
    NotModified,
    /// 413.
    TooLarge,
    /// 416.
    BadRange,
    /// 423, 425.
    Locked,
    /// 507.
    Full,
    /// 503 while the server is being maintained.
    Maintenance,
    /// Any other 5xx.
    Server,
    /// A redirect, which is never followed.
    Redirected,
    /// Something answered that is not this WebDAV folder: a captive portal, a proxy's page, a wrong URL.
    NotDav,
    /// A listing that is cut off, malformed or about something else.
    Listing,
    /// No connection.
    Unreachable,
    /// The connection broke while a request was under way.
    Broken,
    /// Nothing moved for too long.
    TimedOut,
    /// An object of that name is there with other content.
    Mismatch,
    /// What arrives at the server is not what was sent.
    Corrupt,
    /// Any other answer.
    Unexpected,
}

/// One failure, ready to be shown.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    code: Code,
    message: String,
    hint: Option<&'static str>,
    status: Option<u16>,
    retry_after: Option<u64>,
    #[source]
    cause: Option<reqwest::Error>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: default_hint(code), status: None, retry_after: None, cause: None }
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// A failure below HTTP. The URL is taken out of the cause.
    pub(crate) fn transport(what: &str, error: reqwest::Error) -> Self {
        let code = if error.is_connect() {
            Code::Unreachable
        } else if error.is_timeout() {
            Code::TimedOut
        } else {
            Code::Broken
        };
        let words = match code {
            Code::Unreachable if error.is_timeout() => "no answer to the attempt to connect",
            Code::Unreachable => "cannot connect to the server",
            Code::TimedOut => "the server took too long",
            _ => "the connection broke",
        };
        let tls = tls_trouble(&error);
        let mut problem = Self::new(code, format!("{what}: {words}"));
        if tls {
            problem.hint =
                Some("the server's certificate was not accepted: set ca_file of this remote, or correct its URL");
        }
        problem.cause = Some(error.without_url());
        problem
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The answer's status, if there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(Duration::from_secs)
    }

    /// Notes how long the server asks to wait, in seconds.
    pub(crate) fn retry_after_seconds(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// What to do next.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        self.hint
    }

    /// Whether the same request may work in some seconds.
    pub(crate) fn worth_retrying(&self) -> bool {
        matches!(self.code, Code::Locked | Code::Server | Code::Unreachable | Code::Broken | Code::TimedOut)
    }

    /// Whether the same run may work later without anybody changing anything.
    pub(crate) fn is_temporary(&self) -> bool {
        self.worth_retrying() || matches!(self.code, Code::Throttled | Code::Maintenance)
    }

    /// Whether the server refused who was signing in.
    pub(crate) fn is_about_credentials(&self) -> bool {
        self.code == Code::Credentials
    }

    /// What lies below HTTP, where that is the reason.
    pub(crate) fn into_cause(self) -> Option<reqwest::Error> {
        self.cause
    }

    /// As the error of the store trait; `path` is the object.
    pub(crate) fn into_store_error(self, path: &Path) -> object_store::Error {
        let path = path.to_string();
        let code = self.code;
        let source = Box::new(self);
        match code {
            Code::Credentials => object_store::Error::Unauthenticated { path, source },
            Code::Forbidden => object_store::Error::PermissionDenied { path, source },
            Code::Missing => object_store::Error::NotFound { path, source },
            Code::NotModified => object_store::Error::NotModified { path, source },
            Code::Precondition => object_store::Error::Precondition { path, source },
            _ => object_store::Error::Generic { store: "WebDAV", source },
        }
    }
}

fn tls_trouble(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<rustls::Error>() {
            return true;
        }
        // An io::Error hides its payload from `source()`; look inside.
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && let Some(payload) = io.get_ref()
            && payload.is::<rustls::Error>()
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn default_hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Credentials => {
            "check username and app password of this remote; Nextcloud wants an app password when two-factor sign-in is on"
        }
        Code::Throttled => {
            "the server has locked out this address after failed sign-ins or too many requests: wait half an hour before the next try"
        }
        Code::Forbidden => {
            "the account may not write here: check the user name inside the URL and the folder's permissions"
        }
        Code::Full => "the account's quota is used up: free space on the server (the trash bin, too) and push again",
        Code::TooLarge => "a proxy in front of the server limits the size of one upload: raise its limit to 64 MB",
        Code::Maintenance => "the server is in maintenance mode: push again later",
        Code::Redirected => "set the remote's url to the final address; credentials are never sent on",
        Code::NotDav => {
            "check the remote's url (for Nextcloud: https://HOST/remote.php/dav/files/USER/FOLDER) and that no sign-in page stands between"
        }
        Code::NotAllowed => {
            "this address does not accept WebDAV: check the remote's url (for Nextcloud: https://HOST/remote.php/dav/files/USER/FOLDER)"
        }
        Code::Unreachable => {
            "check that the server is up and that this machine is online; nothing is lost, push again later"
        }
        Code::Corrupt => {
            "bytes change between this machine and the server's disk: check the proxy before it, the network and this machine's memory"
        }
        Code::Locked | Code::Server | Code::Broken | Code::TimedOut => "nothing is lost: push again later",
        _ => return None,
    })
}

/// The problem that a failing status stands for. `what` names the request; `kind` and `body` are the answer's.
pub(crate) fn from_status(what: &str, status: StatusCode, kind: &str, body: &str) -> Problem {
    let said = server_words(kind, body);
    let account_disabled = status == StatusCode::SERVICE_UNAVAILABLE && body.contains("Account disabled");
    let code = match status.as_u16() {
        _ if account_disabled => Code::Credentials,
        401 => Code::Credentials,
        403 => Code::Forbidden,
        404 => Code::Missing,
        405 | 501 => Code::NotAllowed,
        409 => Code::Conflict,
        412 => Code::Precondition,
        304 => Code::NotModified,
        413 => Code::TooLarge,
        416 => Code::BadRange,
        423 | 425 => Code::Locked,
        429 => Code::Throttled,
        507 => Code::Full,
        503 if body.contains("ServerMaintenanceMode") || body.contains("maintenance mode") => Code::Maintenance,
        500..=599 => Code::Server,
        _ => Code::Unexpected,
    };
    let words = match code {
        Code::Credentials if account_disabled => "the account is disabled".to_owned(),
        Code::Credentials => "the server refused the user name or password".to_owned(),
        Code::Throttled => "the server wants no more requests from this address for now".to_owned(),
        Code::Forbidden => "the server forbids it".to_owned(),
        Code::Missing => "not there".to_owned(),
        Code::Full => "no room left on the server".to_owned(),
        Code::TooLarge => "too large for the server or a proxy before it".to_owned(),
        Code::Locked => "the file or folder is locked on the server".to_owned(),
        Code::Maintenance => "the server is in maintenance mode".to_owned(),
        Code::NotAllowed => "the server does not allow that method here".to_owned(),
        _ => format!("the server answered {}", status.canonical_reason().unwrap_or("something unknown")),
    };
    let mut problem = Problem::new(code, format!("{what}: {words} ({}){said}", status.as_u16()));
    problem.status = Some(status.as_u16());
    problem
}

/// A server's own explanation: the message of a `SabreDAV` error, or that it was a web page.
fn server_words(kind: &str, body: &str) -> String {
    if kind.contains("html") {
        return ", with a web page".to_owned();
    }
    let Some(start) = body.find("<s:message>") else { return String::new() };
    let rest = &body[start + "<s:message>".len()..];
    let message = &rest[..rest.find('<').unwrap_or(rest.len())];
    let clean: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    if clean.trim().is_empty() { String::new() } else { format!(": {}", clean.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, kind: &str, body: &str) -> Problem {
        from_status("PUT x", StatusCode::from_u16(code).unwrap(), kind, body)
    }

    #[test]
    fn statuses_become_decisions() {
        let cases = [
            (401, Code::Credentials, false, false),
            (403, Code::Forbidden, false, false),
            (404, Code::Missing, false, false),
            (413, Code::TooLarge, false, false),
            (423, Code::Locked, true, true),
            (429, Code::Throttled, false, true),
            (500, Code::Server, true, true),
            (502, Code::Server, true, true),
            (503, Code::Server, true, true),
            (507, Code::Full, false, false),
        ];
        for (code, expected, retry, temporary) in cases {
            let problem = status(code, "text/html", "<html>");
            assert_eq!(
                (problem.code(), problem.worth_retrying(), problem.is_temporary()),
                (expected, retry, temporary)
            );
        }
    }

    #[test]
    fn the_two_special_503s_are_told_apart_by_their_bodies() {
        let maintenance = "<d:error><s:exception>OCA\\DAV\\Connector\\Sabre\\Exception\\ServerMaintenanceMode</s:exception></d:error>";
        assert_eq!(status(503, "application/xml", maintenance).code(), Code::Maintenance);
        let disabled = "<d:error><s:message>Account disabled</s:message></d:error>";
        assert_eq!(status(503, "application/xml", disabled).code(), Code::Credentials);
    }

    #[test]
    fn a_servers_message_is_shown_short_and_clean() {
        let problem = status(409, "application/xml", "<d:error><s:message>no\u{7} parent</s:message></d:error>");
        assert_eq!(problem.to_string(), "PUT x: the server answered Conflict (409): no parent");
        assert!(status(502, "text/html", "<html>").to_string().contains("web page"));
    }
}
