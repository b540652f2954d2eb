//! What a driver reports, in one form for both.
//!
//! Promises: which driver it was makes no difference to what a person is told; the server's words are kept, and nothing here
//! holds a password. `failure` turns a [`Fault`] into an error with a next step.

use std::fmt;

use mssql_tds::error::Error as FastError;
use tiberius::error::{Error as TiberiusError, IoErrorKind};

/// The server chose our statement as the victim of a deadlock. The transaction is gone with it.
pub(super) const DEADLOCK_VICTIM: u32 = 1205;
/// A lock was not granted within the session's `LOCK_TIMEOUT`.
pub(super) const LOCK_TIMEOUT: u32 = 1222;
/// Errors after which the server has rolled the transaction back, whatever the session's settings.
const ROLLED_BACK: [u32; 4] = [DEADLOCK_VICTIM, 3960, 3961, 3998];
/// From this class on the server closes the connection.
const FATAL_CLASS: u8 = 20;
/// What tiberius says when the server declines the encryption asked for.
const ENCRYPTION_DECLINED: &str = "Server does not allow the requested encryption level.";

/// Why a request got no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server refused, in its own words.
    Server {
        /// The error's number.
        number: u32,
        /// Its class, or severity.
        class: u8,
        /// Its text.
        message: String,
    },
    /// The server did not go on in time.
    TimedOut,
    /// The connection ended.
    Lost(String),
    /// The server does not encrypt, and we asked for it.
    EncryptionDeclined,
    /// The server's certificate is not trusted; why.
    Certificate(String),
    /// No encrypted connection came about.
    Tls(String),
    /// A text in the answer is no valid Unicode, and the driver does not hand it out. The connection is of no use any more.
    BrokenText,
    /// The answer makes no sense to the driver.
    NotUnderstood(String),
}

impl Fault {
    /// Whether asking the same again may do: a lock was in the way.
    pub(super) fn lock_was_in_the_way(&self) -> bool {
        match self {
            // Babelfish has no numbers of SQL Server for what PostgreSQL says by itself: lock_not_available, deadlock_detected.
            Self::Server { number: DEADLOCK_VICTIM | LOCK_TIMEOUT, .. } => true,
            Self::Server { message, .. } => is_postgres_lock(message),
            _ => false,
        }
    }

    /// Whether the connection cannot be used any more.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Server { class, .. } => *class >= FATAL_CLASS,
            _ => true,
        }
    }

    /// Whether the server has ended the transaction for certain.
    pub(super) fn ends_transaction(&self) -> bool {
        match self {
            Self::Server { number, .. } => ROLLED_BACK.contains(number) || self.breaks_connection(),
            _ => true,
        }
    }
}

/// PostgreSQL's own words under Babelfish.
pub(super) fn is_postgres_lock(message: &str) -> bool {
    ["canceling statement due to lock timeout", "deadlock detected", "could not obtain lock on"]
        .iter()
        .any(|words| message.contains(words))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { number, message, .. } => write!(f, "server error {number}: {message}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::EncryptionDeclined => f.write_str("the server does not encrypt"),
            Self::BrokenText => f.write_str("a text in the answer is not valid Unicode"),
            Self::Lost(text) | Self::Certificate(text) | Self::Tls(text) | Self::NotUnderstood(text) => {
                f.write_str(text)
            }
        }
    }
}

impl From<TiberiusError> for Fault {
    fn from(error: TiberiusError) -> Self {
        match error {
            TiberiusError::Server(token) => {
                Self::Server { number: token.code(), class: token.class(), message: token.message().to_owned() }
            }
            TiberiusError::Io { kind: IoErrorKind::TimedOut, .. } => Self::TimedOut,
            TiberiusError::Io { kind: IoErrorKind::InvalidData, message } => Self::Tls(message),
            // The driver's words for it are about packets.
            TiberiusError::Io { kind: IoErrorKind::UnexpectedEof, message } if message.contains("packets") => {
                Self::Lost("the server closed the connection".into())
            }
            TiberiusError::Io { message, .. } => Self::Lost(message),
            TiberiusError::Protocol(text) if text == ENCRYPTION_DECLINED => Self::EncryptionDeclined,
            TiberiusError::Tls(text) if text.contains("certificate was rejected") => {
                // The driver's text goes on with advice about its own settings.
                Self::Certificate(text.split(" To connect anyway").next().unwrap_or_default().to_owned())
            }
            TiberiusError::Tls(text) => Self::Tls(text),
            TiberiusError::Utf16 => Self::BrokenText,
            TiberiusError::Protocol(text) if text.contains("UTF-16") => Self::BrokenText,
            other => Self::NotUnderstood(other.to_string()),
        }
    }
}

impl From<FastError> for Fault {
    fn from(error: FastError) -> Self {
        match error {
            FastError::SqlServerError { diagnostics } => match diagnostics.errors.into_iter().next() {
                Some(first) => Self::Server {
                    number: first.number,
                    class: u8::try_from(first.class).unwrap_or(u8::MAX),
                    message: first.message,
                },
                None => Self::NotUnderstood("the server reported an error without saying which".to_owned()),
            },
            FastError::TimeoutError(_) | FastError::OperationCancelledError(_) => Self::TimedOut,
            FastError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::TimedOut,
            FastError::Io(error) => Self::Lost(error.to_string()),
            FastError::ConnectionClosed(text) | FastError::ConnectionError(text) => Self::Lost(text),
            error @ (FastError::CertificateExpired
            | FastError::CertificateMismatch
            | FastError::NoServerCertificate) => Self::Certificate(error.to_string()),
            error @ (FastError::TlsError(_) | FastError::TlsHandshakeError { .. }) => {
                let text = error.to_string();
                // OpenSSL's words.
                if text.contains("certificate verify failed") { Self::Certificate(text) } else { Self::Tls(text) }
            }
            other => Self::NotUnderstood(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u32, class: u8, message: &str) -> Fault {
        Fault::Server { number, class, message: message.into() }
    }

    #[test]
    fn locks_are_known_by_number_and_by_postgres_words() {
        assert!(server(1205, 13, "").lock_was_in_the_way());
        assert!(server(1222, 16, "").lock_was_in_the_way());
        assert!(server(33_557_097, 16, "canceling statement due to lock timeout").lock_was_in_the_way());
        assert!(!server(229, 14, "permission denied").lock_was_in_the_way());
        assert!(!Fault::TimedOut.lock_was_in_the_way());
    }

    #[test]
    fn what_ends_a_transaction_is_known() {
        assert!(server(1205, 13, "").ends_transaction() && server(3961, 16, "").ends_transaction());
        assert!(!server(1222, 16, "").ends_transaction() && !server(229, 14, "").ends_transaction());
        assert!(server(596, 21, "").ends_transaction() && server(596, 21, "").breaks_connection());
        assert!(Fault::Lost(String::new()).ends_transaction());
    }

    #[test]
    fn both_drivers_speak_of_the_same_faults() {
        let closed = TiberiusError::Io { kind: IoErrorKind::UnexpectedEof, message: "gone".into() };
        assert_eq!(Fault::from(closed), Fault::Lost("gone".into()));
        assert_eq!(Fault::from(FastError::ConnectionClosed("gone".into())), Fault::Lost("gone".into()));
        assert_eq!(Fault::from(TiberiusError::Utf16), Fault::BrokenText);
        assert_eq!(Fault::from(TiberiusError::Protocol(ENCRYPTION_DECLINED.into())), Fault::EncryptionDeclined);
        let tls = "the server's certificate was rejected during the TLS handshake: X. To connect anyway y";
        let Fault::Certificate(reason) = Fault::from(TiberiusError::Tls(tls.into())) else { panic!() };
        assert!(!reason.contains("anyway"));
    }
}
