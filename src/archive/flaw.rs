//! Why the bytes of a snapshot or record are not what their name says: what `check` tells apart.

use std::io;

use crate::error::{Error, Kind};

/// What is wrong with a file that cannot be taken for what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its end is missing.
    Cut,
    /// Its bytes are not what was written.
    Altered,
    /// It is a file of the archive under another's name, or of another archive.
    Exchanged,
    /// It says things that cannot all be true.
    Contradiction,
    /// A newer version wrote it.
    Newer,
}

/// A flaw, and the error that tells of it.
#[derive(Debug)]
pub struct Flawed {
    /// Which one.
    pub flaw: Flaw,
    /// In words, with cause and hint.
    pub error: Error,
}

impl Flaw {
    pub(super) fn with(self, error: Error) -> Flawed {
        Flawed { flaw: self, error }
    }

    /// Of a file that does not decompress: where a frame ends too early, the rest is missing.
    pub(super) fn of_frame(bytes: &[u8], error: &io::Error) -> Self {
        if bytes.is_empty() || error.kind() == io::ErrorKind::UnexpectedEof { Self::Cut } else { Self::Altered }
    }

    /// Of a refused format: unknown ones are newer, none at all is damage.
    pub(super) fn of_format(error: Error) -> Flawed {
        let flaw = if error.kind() == Kind::Damage { Self::Altered } else { Self::Newer };
        Flawed { flaw, error }
    }
}

impl From<Flawed> for Error {
    fn from(flawed: Flawed) -> Self {
        flawed.error
    }
}
