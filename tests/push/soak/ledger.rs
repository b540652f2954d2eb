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
    /// Those that met the object there: counted push by push.
    in_vain: u32,
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
    /// What was asked of each object, and what was answered; `!` is a request with a fault.
    history: HashMap<String, Vec<String>>,
    puts: u32,
    refused: u32,
    put_parts: u32,
    faulted: u32,
    deleted: u32,
    /// Bytes of all uploads.
    pub(super) bytes: u64,
}

impl Ledger {
    /// What is known of an object, for whoever has to find out how it came to that.
    pub(super) fn history(&self, path: &str) -> String {
        self.history.get(path).map(|story| story.join(", ")).unwrap_or_default()
    }

    fn tell(&mut self, path: &str, what: String) {
        self.history.entry(path.to_owned()).or_default().push(what);
    }

    /// Something happened to an object behind the server's back.
    pub(super) fn lost(&mut self, path: &str) {
        self.tell(path, "lost".into());
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
    pub(super) fn account(&mut self, log: &[Logged], whole: bool) {
        let (mut met, mut in_vain, mut disturbed) = (0, Vec::new(), HashSet::new());
        for logged in log {
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
            self.tell(path, format!("{}{}", if logged.faulted { "!" } else { "" }, logged.short()));
            match logged.method.as_str() {
                "PUT" => {
                    let found = self.put(path, logged);
                    // One that was given up may have gone through later than the next was sent.
                    if found && !disturbed.contains(path) {
                        met += 1;
                        in_vain.push(self.history(path));
                    }
                    if logged.faulted || logged.status.is_none() {
                        disturbed.insert(path.to_owned());
                    }
                }
                "DELETE" if logged.status.is_none_or(|status| status < 300) => {
                    self.deleted += 1;
                    let sends = self.objects.entry(path.to_owned()).or_default();
                    sends.stored = false;
                    sends.excused += 1;
                }
                _ => {}
            }
        }
        // Only what a broken push has left can be met; and once some was, folders are listed before anything is sent there.
        if met > if self.broken { CONNECTIONS } else { 0 } {
            let after = if self.broken { "a broken push" } else { "a push that went through" };
            self.findings.push(format!("{met} objects were sent that were there, after {after}: {in_vain:?}"));
        }
        for path in log.iter().filter_map(|logged| logged.path.strip_prefix(FOLDER)).collect::<HashSet<_>>() {
            self.tell(path, if whole { "whole".into() } else { "broken".into() });
        }
        self.refused += met;
        self.broken = !whole;
    }

    /// An upload of a whole object. Returns whether it was sent in vain: the name was taken.
    fn put(&mut self, path: &str, logged: &Logged) -> bool {
        self.puts += 1;
        self.bytes += logged.received;
        let sends = self.objects.entry(path.to_owned()).or_default();
        sends.sent += 1;
        let taken = matches!(logged.status, Some(201 | 204));
        if taken && logged.faulted {
            self.doubtful.insert(path.to_owned());
        }
        if taken && sends.stored && !logged.faulted {
            let story = self.history.get(path).map(|story| story.join(", ")).unwrap_or_default();
            self.findings.push(format!("{path} was stored again: {story}"));
        }
        sends.stored |= taken;
        let in_vain = logged.status == Some(412) && !logged.faulted;
        sends.in_vain += u32::from(in_vain);
        sends.excused += u32::from(!in_vain && (logged.faulted || !taken));
        in_vain
    }

    fn staged(&mut self, logged: &Logged) {
        let path = logged.header("destination").and_then(|to| to.split_once("/till/")).map_or("", |(_, path)| path);
        if path.ends_with(".tmp") {
            return;
        }
        match logged.method.as_str() {
            "PUT" => {
                self.put_parts += 1;
                self.bytes += logged.received;
                let taken = logged.status.is_some_and(|status| status < 300);
                if taken && logged.faulted {
                    self.doubtful.insert(path.to_owned());
                }
                if taken && !logged.faulted && !self.parts.insert(logged.path.clone()) {
                    self.findings.push(format!("part {} was sent again", logged.path));
                }
            }
            "MOVE" if matches!(logged.status, Some(201 | 204)) => {
                let path = path.to_owned();
                self.tell(&path, format!("{}assembled", if logged.faulted { "!" } else { "" }));
                let sends = self.objects.entry(path.clone()).or_default();
                sends.sent += 1;
                sends.excused += u32::from(logged.faulted);
                if sends.stored && !logged.faulted {
                    self.findings.push(format!("{path} was put together again: {}", self.history(&path)));
                }
                self.objects.entry(path).or_default().stored = true;
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
        for (path, sends) in &self.objects {
            let Sends { sent, excused, in_vain, .. } = sends;
            let story = || self.history(path);
            assert!(
                *sent <= 1 + excused + in_vain,
                "{path} was sent {sent} times, and faults explain {excused}: {}",
                story()
            );
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { puts, refused, put_parts, faulted, deleted, bytes, .. } = self;
        write!(
            f,
            "{} objects, {puts} PUTs and {put_parts} of parts with {bytes} bytes, {refused} of what was there, {deleted} deletions, {faulted} requests with a fault",
            self.objects.len()
        )
    }
}
