//! Tokens of a response that carry no rows: errors, environment changes, DONE and their kin (MS-TDS 2.2.7).

use crate::demo::engine::SqlError;

const ENVCHANGE: u8 = 0xE3;
const ERROR: u8 = 0xAA;
const INFO: u8 = 0xAB;
const LOGINACK: u8 = 0xAD;
const RETURNSTATUS: u8 = 0x79;
const RETURNVALUE: u8 = 0xAC;

/// Which DONE token ends a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A statement of a batch.
    Batch = 0xFD,
    /// The whole procedure.
    Procedure = 0xFE,
    /// A statement inside a procedure.
    InProcedure = 0xFF,
}

pub(super) const DONE_MORE: u16 = 0x01;
pub(super) const DONE_ERROR: u16 = 0x02;
pub(super) const DONE_IN_TRANSACTION: u16 = 0x04;
pub(super) const DONE_COUNT: u16 = 0x10;
pub(super) const DONE_ATTENTION: u16 = 0x20;

/// Statement codes in DONE tokens; clients look at SELECT only.
pub(super) const COMMAND_SELECT: u16 = 0xC1;

pub(super) fn done(out: &mut Vec<u8>, kind: Done, status: u16, command: u16, rows: u64) {
    out.push(kind as u8);
    out.extend_from_slice(&status.to_le_bytes());
    out.extend_from_slice(&command.to_le_bytes());
    out.extend_from_slice(&rows.to_le_bytes());
}

/// Text with a length byte in characters; longer text is cut.
pub(super) fn b_varchar(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().take(255).collect();
    out.push(u8::try_from(units.len()).unwrap_or(u8::MAX));
    for unit in units {
        out.extend_from_slice(&unit.to_le_bytes());
    }
}

/// Text with a two-byte length in characters; longer text is cut.
pub(super) fn us_varchar(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().take(4000).collect();
    out.extend_from_slice(&u16::try_from(units.len()).unwrap_or(u16::MAX).to_le_bytes());
    for unit in units {
        out.extend_from_slice(&unit.to_le_bytes());
    }
}

/// Appends a token with a two-byte length in front of its body.
fn sized(out: &mut Vec<u8>, token: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(token);
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    body(out);
    let length = u16::try_from(out.len() - at - 2).unwrap_or(u16::MAX).to_le_bytes();
    out[at..at + 2].copy_from_slice(&length);
}

pub(super) fn error(out: &mut Vec<u8>, error: &SqlError, server: &str) {
    sized(out, ERROR, |out| message(out, error, server));
}

pub(super) fn info(out: &mut Vec<u8>, number: i32, text: &str, server: &str) {
    sized(out, INFO, |out| message(out, &SqlError { number, state: 1, class: 0, message: text.into() }, server));
}

fn message(out: &mut Vec<u8>, error: &SqlError, server: &str) {
    out.extend_from_slice(&error.number.to_le_bytes());
    out.extend_from_slice(&[error.state, error.class]);
    us_varchar(out, &error.message);
    b_varchar(out, server);
    b_varchar(out, "");
    out.extend_from_slice(&1u32.to_le_bytes());
}

/// Environment changes the server reports.
#[derive(Clone, Copy, Debug)]
pub(super) enum EnvChange<'a> {
    Database { new: &'a str, old: &'a str },
    Language(&'a str),
    PacketSize { new: usize, old: usize },
    Collation([u8; 5]),
    Begin(u64),
    Commit(u64),
    Rollback(u64),
    Reset,
}

pub(super) fn env_change(out: &mut Vec<u8>, change: EnvChange<'_>) {
    sized(out, ENVCHANGE, |out| match change {
        EnvChange::Database { new, old } => {
            out.push(1);
            b_varchar(out, new);
            b_varchar(out, old);
        }
        EnvChange::Language(new) => {
            out.push(2);
            b_varchar(out, new);
            b_varchar(out, "");
        }
        EnvChange::PacketSize { new, old } => {
            out.push(4);
            b_varchar(out, &new.to_string());
            b_varchar(out, &old.to_string());
        }
        EnvChange::Collation(collation) => {
            out.extend_from_slice(&[7, 5]);
            out.extend_from_slice(&collation);
            out.push(0);
        }
        EnvChange::Begin(id) => {
            out.extend_from_slice(&[8, 8]);
            out.extend_from_slice(&id.to_le_bytes());
            out.push(0);
        }
        EnvChange::Commit(id) | EnvChange::Rollback(id) => {
            out.extend_from_slice(&[if matches!(change, EnvChange::Commit(_)) { 9 } else { 10 }, 0, 8]);
            out.extend_from_slice(&id.to_le_bytes());
        }
        EnvChange::Reset => out.extend_from_slice(&[18, 0, 0]),
    });
}

pub(super) fn login_ack(out: &mut Vec<u8>, tds_version: u32, version: [u8; 4]) {
    sized(out, LOGINACK, |out| {
        out.push(1);
        out.extend_from_slice(&tds_version.to_be_bytes());
        b_varchar(out, "Microsoft SQL Server");
        out.extend_from_slice(&version);
    });
}

pub(super) fn return_status(out: &mut Vec<u8>, status: i32) {
    out.push(RETURNSTATUS);
    out.extend_from_slice(&status.to_le_bytes());
}

/// An output parameter of type int: the handle of a prepared statement.
pub(super) fn return_int(out: &mut Vec<u8>, name: &str, value: i32) {
    out.push(RETURNVALUE);
    out.extend_from_slice(&0u16.to_le_bytes());
    b_varchar(out, name);
    out.push(0x01);
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&[0x26, 4, 4]);
    out.extend_from_slice(&value.to_le_bytes());
}
