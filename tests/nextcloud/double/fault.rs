//! Faults: what happens to which requests.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

/// Changes the text of an answer.
#[derive(Clone)]
pub struct Rewrite(pub Arc<dyn Fn(String) -> String + Send + Sync>);

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}

/// What happens on a server without its clients.
#[derive(Clone, Debug)]
pub enum Event {
    /// The daily job removes all staging folders.
    StagingExpires,
    /// A part of this name is gone from every staging folder.
    PartIsLost(String),
    /// The distributed cache is emptied: multipart uploads and listings by page are forgotten.
    CacheIsFlushed,
    /// A file or folder is gone, past the trash.
    Vanishes(String),
    /// Somebody else stores a file.
    Appears(String, Bytes),
    /// Somebody else makes a folder.
    FolderAppears(String),
}

/// What a fault does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answers this instead of doing the work, before anybody looks at the sign-in, as proxies do. The body is taken.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Cuts the connection at once; nothing is done.
    Cut,
    /// Takes this many bytes of the body, then cuts the connection; what stays is what the storage leaves.
    CutAfter(u64),
    /// The same, and what has come stays visible whatever the storage.
    CutVisible(u64),
    /// Does the work, then cuts the connection instead of answering.
    DropAnswer,
    /// Waits before doing the work.
    Delay(Duration),
    /// The work takes this long, locks held.
    Slow(Duration),
    /// Does the work at once, and waits before answering.
    LateAnswer(Duration),
    /// Answers as if all were well, but stores only this many bytes.
    TruncateStored(u64),
    /// Answers as if all were well, but one stored byte is another.
    CorruptStored,
    /// One byte changes on the way in: the server hashes and stores what it got.
    CorruptReceived,
    /// The path is locked by somebody else from this request on.
    Lock(Duration),
    /// Something happens on the server before the work.
    Before(Event),
    /// The work takes this long, and a proxy in front answers 504 after a shorter time.
    Proxy { works: Duration, gives_up: Duration },
    /// Only the beginning of the answer's body, as if it were all.
    ShortAnswer(usize),
    /// The beginning of the answer's body, then the connection is cut.
    CutAnswer(usize),
    /// Another text than the right one.
    Rewrite(Rewrite),
}

impl Action {
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// Nextcloud's own error.
    pub fn error(status: u16, exception: &str, message: &str) -> Self {
        let headers = vec![("content-type", "application/xml; charset=utf-8".to_owned())];
        Self::Answer { status, headers, body: super::answer::error_text(exception, message) }
    }

    /// A web page, as proxies and portals send.
    pub fn html(status: u16, text: &str) -> Self {
        let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
        Self::Answer { status, headers, body: format!("<html><body><h1>{text}</h1></body></html>") }
    }

    /// The right answer with another text.
    pub fn rewrite(change: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        Self::Rewrite(Rewrite(Arc::new(change)))
    }
}

/// Which requests, and what happens to them.
#[derive(Clone, Debug)]
pub struct Fault {
    method: String,
    glob: String,
    skip: u32,
    times: u32,
    action: Action,
}

impl Fault {
    /// Hits the next request of that method (any, when empty).
    pub fn next(method: &str, action: Action) -> Self {
        Self { method: method.to_owned(), glob: "*".to_owned(), skip: 0, times: 1, action }
    }

    /// Hits every request of that method.
    pub fn every(method: &str, action: Action) -> Self {
        Self::next(method, action).times(u32::MAX)
    }

    /// Only where the decoded path below the server's base matches: `*` stands for any characters.
    pub fn on(mut self, glob: &str) -> Self {
        glob.clone_into(&mut self.glob);
        self
    }

    /// The `n`th matching request from now on, from 1.
    pub fn nth(mut self, n: u32) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// As many requests instead of one.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Whether it hits this request; counts it.
    pub(super) fn hits(&mut self, method: &str, path: &str) -> Option<Action> {
        let matches = (self.method.is_empty() || self.method == method) && glob(&self.glob, path);
        if !matches || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.saturating_sub(u32::from(self.times != u32::MAX));
        Some(self.action.clone())
    }
}

/// Whether the whole text matches; `*` stands for any characters, slashes too.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}
