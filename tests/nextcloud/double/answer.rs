//! Answers, and the words Nextcloud finds for errors.

use std::{convert::Infallible, io};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(super) type Answer = Response<Body>;

pub(super) fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut by a fault")
}

/// An answer without a body. PHP calls it HTML all the same.
pub(super) fn bare(status: u16) -> Answer {
    with_body(status, if status == 204 { "" } else { "text/html; charset=UTF-8" }, Bytes::new())
}

pub(super) fn with_body(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    if !kind.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    answer
}

pub(super) fn json(status: u16, value: &serde_json::Value) -> Answer {
    with_body(status, "application/json; charset=utf-8", value.to_string())
}

/// Adds a header.
pub(super) fn header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    answer
}

/// The body of an error of Nextcloud's DAV server.
pub(super) fn error_text(exception: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\">\n  \
         <s:exception>{}</s:exception>\n  <s:message>{}</s:message>\n</d:error>\n",
        escape(exception),
        escape(message)
    )
}

/// An error of Nextcloud's DAV server.
pub(super) fn error(status: u16, exception: &str, message: &str) -> Answer {
    with_body(status, "application/xml; charset=utf-8", error_text(exception, message))
}

pub(super) fn bad_request(message: &str) -> Answer {
    error(400, "Sabre\\DAV\\Exception\\BadRequest", message)
}

pub(super) fn not_found(path: &str) -> Answer {
    error(404, "Sabre\\DAV\\Exception\\NotFound", &format!("File with name {path} could not be located"))
}

pub(super) fn conflict(message: &str) -> Answer {
    error(409, "Sabre\\DAV\\Exception\\Conflict", message)
}

pub(super) fn forbidden(message: &str) -> Answer {
    error(403, "Sabre\\DAV\\Exception\\Forbidden", message)
}

pub(super) fn not_allowed(message: &str) -> Answer {
    error(405, "Sabre\\DAV\\Exception\\MethodNotAllowed", message)
}

pub(super) fn precondition(message: &str) -> Answer {
    error(412, "Sabre\\DAV\\Exception\\PreconditionFailed", message)
}

pub(super) fn locked(path: &str) -> Answer {
    error(423, "OCA\\DAV\\Connector\\Sabre\\Exception\\FileLocked", &format!("\"files/{path}\" is locked"))
}

pub(super) fn full_disk() -> Answer {
    error(507, "Sabre\\DAV\\Exception\\InsufficientStorage", "Insufficient space in your storage")
}

pub(super) fn internal(message: &str) -> Answer {
    error(500, "Exception", message)
}

pub(super) fn maintenance() -> Answer {
    let message = "System is in maintenance mode.";
    error(503, "OCA\\DAV\\Exception\\ServerMaintenanceMode", message)
}

pub(super) fn proxy(status: u16, title: &str) -> Answer {
    with_body(
        status,
        "text/html",
        format!(
            "<html>\n<head><title>{status} {title}</title></head>\n<body>\n<center><h1>{status} {title}</h1></center>\n</body>\n</html>\n"
        ),
    )
}

/// Text inside XML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
