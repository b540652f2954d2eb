//! One request to make, and how names become part of an address.

use std::time::Duration;

use object_store::PutPayload;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::problem::{Code, Problem};

/// Everything but unreserved characters is encoded (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, encoded.
pub(super) fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// One request to make.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: Url,
    /// The object, for messages.
    pub(super) name: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<PutPayload>,
    /// Time for the answer besides the usual.
    pub(super) longer: Duration,
    pub(super) anonymous: bool,
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

    /// The server has work to do before it answers.
    pub(super) fn longer(mut self, longer: Duration) -> Self {
        self.longer = longer;
        self
    }

    /// Sent without signing in.
    pub(super) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    pub(super) fn what(&self) -> String {
        let name = if self.name.is_empty() { "the remote folder" } else { &self.name };
        format!("{} {name}", self.method)
    }
}
