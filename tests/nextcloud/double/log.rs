//! What the server saw.

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When it came.
    pub at: std::time::Instant,
    /// Position among all requests, from 0.
    pub number: usize,
    /// The connection it came on, from 1.
    pub connection: u64,
    pub method: String,
    /// As sent.
    pub raw_path: String,
    /// Decoded, below the server's base path.
    pub path: String,
    pub query: String,
    /// Names in lower case. The sign-in is left out.
    pub headers: Vec<(String, String)>,
    /// What the request said its body's length is.
    pub content_length: Option<u64>,
    /// What came of it.
    pub received: u64,
    /// A sign-in came along.
    pub signed: bool,
    /// It was a right one.
    pub authorised: bool,
    /// Status of the answer; none while there is none, and when the connection was cut instead.
    pub status: Option<u16>,
    /// A fault was at work.
    pub faulted: bool,
}

impl Logged {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// `PUT 201`, or `PUT cut`.
    pub fn short(&self) -> String {
        format!("{} {}", self.method, self.status.map_or("cut".to_owned(), |status| status.to_string()))
    }

    /// Whether it is about staged parts.
    pub fn is_staging(&self) -> bool {
        self.path.starts_with("/remote.php/dav/uploads/")
    }

    /// A body came in without its length having been said.
    pub fn lacks_length(&self) -> bool {
        self.header("transfer-encoding").is_some()
            || (matches!(self.method.as_str(), "PUT" | "PROPFIND" | "POST") && self.content_length.is_none())
    }
}
