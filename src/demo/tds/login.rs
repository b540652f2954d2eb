//! The sign-in: PRELOGIN, LOGIN7 and what the server answers (MS-TDS 2.2.6.4, 2.2.6.5).

use super::{
    packet::DEFAULT_PACKET_SIZE,
    token::{self, Done, EnvChange},
};
use crate::{config::Encryption, demo::engine::SqlError};

/// Lowest protocol the server speaks: 7.3, since older ones have no date and time types.
const OLDEST: u32 = 0x7300_0000;
/// Protocol 7.4.
const NEWEST: u32 = 0x7400_0004;

/// Encryption as said in PRELOGIN.
pub(super) const ENCRYPT_OFF: u8 = 0;
pub(super) const ENCRYPT_ON: u8 = 1;
pub(super) const ENCRYPT_NOT_SUPPORTED: u8 = 2;
pub(super) const ENCRYPT_REQUIRED: u8 = 3;

/// Which parts of the connection are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing.
    Nothing,
    /// The LOGIN7 message only.
    Login,
    /// Everything.
    All,
}

/// What the two sides' wishes come to: the server's answer and the scope. `None` when they cannot agree.
pub(super) fn negotiate(server: Encryption, client: u8) -> (u8, Option<Scope>) {
    match (server, client) {
        (Encryption::Off, ENCRYPT_OFF | ENCRYPT_NOT_SUPPORTED) => (ENCRYPT_NOT_SUPPORTED, Some(Scope::Nothing)),
        (Encryption::Off, _) => (ENCRYPT_NOT_SUPPORTED, None),
        (Encryption::On, ENCRYPT_OFF) => (ENCRYPT_OFF, Some(Scope::Login)),
        (Encryption::On, ENCRYPT_NOT_SUPPORTED) => (ENCRYPT_NOT_SUPPORTED, Some(Scope::Nothing)),
        (Encryption::Required, ENCRYPT_NOT_SUPPORTED) => (ENCRYPT_REQUIRED, None),
        (Encryption::Required, ENCRYPT_OFF) => (ENCRYPT_REQUIRED, Some(Scope::All)),
        (Encryption::On | Encryption::Required, _) => (ENCRYPT_ON, Some(Scope::All)),
    }
}

/// The encryption byte of the client's PRELOGIN; without that option: not supported.
pub(super) fn client_encryption(payload: &[u8]) -> u8 {
    let mut at = 0;
    while let Some(&option) = payload.get(at) {
        if option == 0xFF {
            break;
        }
        if let (1, Some(&[high, low])) = (option, payload.get(at + 1..at + 3).and_then(|b| b.first_chunk())) {
            return payload.get(usize::from(u16::from_be_bytes([high, low]))).copied().unwrap_or(ENCRYPT_NOT_SUPPORTED);
        }
        at += 5;
    }
    ENCRYPT_NOT_SUPPORTED
}

/// The server's PRELOGIN answer: version, encryption, no instance name check, no MARS.
pub(super) fn prelogin_answer(encryption: u8, version: [u8; 4]) -> Vec<u8> {
    let values: [(u8, &[u8]); 5] = [
        (0, &[version[0], version[1], version[2], version[3], 0, 0]),
        (1, &[encryption]),
        (2, &[0]),
        (3, &[]),
        (4, &[0]),
    ];
    let mut out = Vec::new();
    let mut offset = u16::try_from(values.len() * 5 + 1).unwrap_or_default();
    for (option, value) in values {
        let length = u16::try_from(value.len()).unwrap_or_default();
        out.push(option);
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        offset += length;
    }
    out.push(0xFF);
    for (_, value) in values {
        out.extend_from_slice(value);
    }
    out
}

/// What the client asks for in LOGIN7.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) tds_version: u32,
    pub(super) packet_size: usize,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) application: String,
    pub(super) database: String,
    /// The client wants to sign in with its Windows account, which this server does not know.
    pub(super) windows: bool,
}

impl Login {
    /// Reads the message; `None` when it is malformed.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| payload.get(at..at + 4)?.first_chunk().copied().map(u32::from_le_bytes);
        let units_at = |at: usize| {
            let place = payload.get(at..at + 4)?;
            let offset = usize::from(u16::from_le_bytes([place[0], place[1]]));
            let length = usize::from(u16::from_le_bytes([place[2], place[3]])) * 2;
            payload.get(offset..offset + length)
        };
        let text_at = |at: usize| units_at(at).map(text);
        let clear: Vec<u8> = units_at(44)?.iter().map(|byte| (byte ^ 0xA5).rotate_left(4)).collect();
        let asked = usize::try_from(u32_at(8)?).ok()?;
        Some(Self {
            tds_version: u32_at(4)?,
            packet_size: if asked == 0 { DEFAULT_PACKET_SIZE } else { asked.clamp(512, 32_767) },
            host: text_at(36)?,
            user: text_at(40)?,
            password: text(&clear),
            application: text_at(48)?,
            database: text_at(68)?,
            windows: payload.get(25)? & 0x80 != 0,
        })
    }

    /// The protocol both sides speak; an error for clients that are too old.
    pub(super) fn protocol(&self) -> Result<u32, SqlError> {
        if self.tds_version < OLDEST {
            return Err(SqlError::new(
                17831,
                20,
                "The client's TDS version is too old: 7.3 is the lowest this server speaks.",
            ));
        }
        Ok(self.tds_version.min(NEWEST))
    }
}

fn text(bytes: &[u8]) -> String {
    char::decode_utf16(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// What the answer to a good sign-in says.
pub(super) struct Welcome<'a> {
    pub(super) server: &'a str,
    pub(super) database: &'a str,
    pub(super) collation: [u8; 5],
    pub(super) tds_version: u32,
    pub(super) version: [u8; 4],
    pub(super) packet_size: usize,
}

/// The answer to a good sign-in, in the order a real server gives it.
pub(super) fn welcome(welcome: &Welcome<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    token::env_change(&mut out, EnvChange::Database { new: welcome.database, old: "master" });
    let changed = format!("Changed database context to '{}'.", welcome.database);
    token::info(&mut out, 5701, &changed, welcome.server);
    token::env_change(&mut out, EnvChange::Collation(welcome.collation));
    token::env_change(&mut out, EnvChange::Language("us_english"));
    token::info(&mut out, 5703, "Changed language setting to us_english.", welcome.server);
    token::login_ack(&mut out, welcome.tds_version, welcome.version);
    let size = EnvChange::PacketSize { new: welcome.packet_size, old: DEFAULT_PACKET_SIZE };
    token::env_change(&mut out, size);
    token::done(&mut out, Done::Batch, 0, 0, 0);
    out
}

/// The answer to a refused sign-in.
pub(super) fn refusal(error: &SqlError, server: &str) -> Vec<u8> {
    let mut out = Vec::new();
    token::error(&mut out, error, server);
    token::done(&mut out, Done::Batch, token::DONE_ERROR, 0, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_negotiated_as_the_protocol_says() {
        assert_eq!(negotiate(Encryption::Off, ENCRYPT_ON), (ENCRYPT_NOT_SUPPORTED, None));
        assert_eq!(negotiate(Encryption::Off, ENCRYPT_OFF).1, Some(Scope::Nothing));
        assert_eq!(negotiate(Encryption::On, ENCRYPT_OFF), (ENCRYPT_OFF, Some(Scope::Login)));
        assert_eq!(negotiate(Encryption::On, ENCRYPT_ON).1, Some(Scope::All));
        assert_eq!(negotiate(Encryption::Required, ENCRYPT_NOT_SUPPORTED).1, None);
    }

    #[test]
    fn a_malformed_sign_in_is_refused_and_never_read_beyond_its_end() {
        for length in 0..120 {
            let mut payload = vec![0xFF; length];
            assert!(Login::parse(&payload).is_none());
            payload.fill(0);
            let _ = Login::parse(&payload);
            let _ = client_encryption(&payload);
        }
    }
}
