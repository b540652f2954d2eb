//! One writer at a time, and one pusher: the archive's locks.
//!
//! The operating system holds the lock on an open file and drops it with the process, however that ends: there is no stale
//! lock to remove by hand. Readers need no lock, since nothing they see ever changes.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{layout, put};
use crate::error::{Error, Kind, Result};

/// Who holds the lock, for the message of the one who waits. Written into the lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    since: Timestamp,
}

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Writing to the archive.
    Write,
    /// Pushing it to remotes. A push may last hours; it must not keep the next snapshot from being taken.
    Push,
}

impl Purpose {
    fn file(self) -> &'static str {
        match self {
            Self::Write => layout::LOCK_FILE,
            Self::Push => layout::PUSH_LOCK_FILE,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Write => "writing to the archive",
            Self::Push => "pushing the archive",
        }
    }
}

/// The right to write to an archive, or to push it. Ends when dropped, or with the process.
#[derive(Debug)]
pub struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the lock of the archive at `root`, or says who has it.
    pub(super) fn take(root: &Path, purpose: Purpose) -> Result<Self> {
        let path = root.join(purpose.file());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| put::write_error(&path.display().to_string(), error))?;
        let mut taken = file.try_lock();
        if matches!(taken, Err(TryLockError::WouldBlock)) {
            // A reader may have looked just now whether somebody holds it; see `is_held`.
            std::thread::sleep(Duration::from_millis(20));
            taken = file.try_lock();
        }
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(root, purpose, &mut file)),
            Err(TryLockError::Error(error)) => {
                return Err(Error::new(Kind::Store, format!("the lock file {} cannot be locked", path.display()))
                    .hint("keep the archive on a disk whose file system knows locks")
                    .caused_by(error));
            }
        }
        let holder = Holder { pid: std::process::id(), host: host(), since: Timestamp::now() };
        // Only a courtesy for the message above: a full disk must be reported by what needs the space.
        if let Ok(text) = serde_json::to_string(&holder) {
            let _ = file
                .set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .and_then(|_| file.write_all(text.as_bytes()));
        }
        Ok(Self { _file: file })
    }
}

/// Whether a process holds the lock at this moment. Looking takes it for an instant, which writers wait out.
pub(super) fn is_held(root: &Path, purpose: Purpose) -> bool {
    let Ok(file) = File::open(root.join(purpose.file())) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn busy(root: &Path, purpose: Purpose, file: &mut File) -> Error {
    let doing = purpose.in_words();
    let mut text = String::new();
    let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let message = match holder {
        Some(Holder { pid, host, since }) => {
            format!("another run is {doing} {}: process {pid} on {host}, since {since:.0}", root.display())
        }
        None => format!("another run is {doing} {}", root.display()),
    };
    Error::new(Kind::Busy, message).hint("wait for it to end, or stop it").temporary()
}

/// This machine's name, as far as it can be read from a file.
fn host() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}
