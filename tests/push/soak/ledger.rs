//! What was sent to one server, held against what made it necessary.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::double::Logged;

/// The archive's folder on the server.
const FOLDER: &str = "/remote.php/dav/files/kitchen/till/";
/// Uploads side by side: as many may meet what a broken push has left before the first one tells of it.
const CONNECTIONS: u32 = 4;

/// One object.
#[derive(Debug, Default)]
struct Sends {
    /// Uploads of the whole.
    sent: u32,
    /// Those that came to nothing, and reasons for one more.
    excused: u32,
    /// It is there whole, by an answer of the server.
    stored: bool,
}

/// The account of one server.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    objects: HashMap<String, Sends>,
    /// Parts that the server has taken, by staging folder and name.
    parts: HashSet<String>,
    /// A push was killed or failed, or something happened on the server, since the last push that went through.
    broken: bool,
    /// Objects that were sent through a fault and answered as stored: they may be something else.
    pub(super) doubtful: HashSet<String>,
    findings: Vec<String>,
    puts: u32,
    refused: u32,
    put_parts: u32,
    faulted: u32,
    deleted: u32,
}

impl Ledger {
    /// Something happened to an object behind the server's back.
    pub(super) fn lost(&mut self, path: &str) {
        let sends = self.objects.entry(path.to_owned()).or_default();
        sends.stored = false;
        sends.excused += 1;
        self.broken = true;
    }

    /// Staged parts are gone.
    pub(super) fn staging_lost(&mut self) {
        self.parts.clear();
    }

    /// Takes in the requests of one push.
    pub(super) fn account(&mut self, log: Vec<Logged>, whole: bool) {
        let mut met = 0;
        for logged in &log {
            assert!(!logged.lacks_length(), "{}", logged.short());
            self.faulted += u32::from(logged.faulted);
            if logged.is_staging() {
                self.staged(logged);
                continue;
            }
            let Some(path) = logged.path.strip_prefix(FOLDER) else { continue };
            // Probes and replaced files go by names of their own.
            if path.ends_with(".tmp") || path.is_empty() {
                continue;
            }
            match logged.method.as_str() {
                "PUT" => met += self.put(path, logged),
                "DELETE" if logged.status.is_none_or(|status| status < 300) => {
                    self.deleted += 1;
                    let sends = self.objects.entry(path.to_owned()).or_default();
                    sends.stored = false;
                    sends.excused += 1;
                }
                _ => {}
            }
        }
        if met > if self.broken { CONNECTIONS } else { 0 } {
            self.findings.push(format!("{met} objects were sent that were there, after a push that was broken: {}", self.broken));
        }
        self.refused += met;
        if whole {
            self.broken = false;
        } else {
            self.broken = true;
        }
    }

    /// An upload of a whole object. Returns 1 when it was there, untouched by any fault.
    fn put(&mut self, path: &str, logged: &Logged) -> u32 {
        self.puts += 1;
        let sends = self.objects.entry(path.to_owned()).or_default();
        sends.sent += 1;
        let taken = matches!(logged.status, Some(201 | 204));
        if taken && logged.faulted {
            self.doubtful.insert(path.to_owned());
        }
        if taken && sends.stored && !logged.faulted {
            self.findings.push(format!("{path} was stored again"));
        }
        sends.stored |= taken;
        if logged.status == Some(412) && !logged.faulted {
            return 1;
        }
        if logged.faulted || !taken {
            sends.excused += 1;
        }
        0
    }

    fn staged(&mut self, logged: &Logged) {
        match logged.method.as_str() {
            "PUT" => {
                self.put_parts += 1;
                let taken = logged.status.is_some_and(|status| status < 300);
                if taken && !logged.faulted && !self.parts.insert(logged.path.clone()) {
                    self.findings.push(format!("part {} was sent again", logged.path));
                }
            }
            // The server has lost parts: which ones it does not say.
            _ if logged.faulted => self.parts.clear(),
            _ => {}
        }
        if logged.faulted {
            self.parts.clear();
        }
    }

    pub(super) fn assert_nothing_sent_without_need(&self) {
        assert!(self.findings.is_empty(), "{}", self.findings.join("\n"));
        let more: Vec<_> =
            self.objects.iter().filter(|(_, sends)| sends.sent > 1 + sends.excused + self.broken_pushes()).collect();
        assert!(more.is_empty(), "sent more often than faults explain: {more:?}");
    }

    /// What met an object that a broken push had left was counted push by push.
    fn broken_pushes(&self) -> u32 {
        self.refused
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { puts, refused, put_parts, faulted, deleted, .. } = self;
        write!(
            f,
            "{} objects, {puts} PUTs and {put_parts} of parts, {refused} of what was there, {deleted} deletions, {faulted} requests with a fault",
            self.objects.len()
        )
    }
}
