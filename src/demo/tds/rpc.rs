//! Requests of the client: SQL batches, remote procedure calls with typed parameters, transaction manager requests
//! (MS-TDS 2.2.6.6, 2.2.6.7, 2.2.6.9).

use super::{
    collation::Collation,
    moment::{self, from_date, from_datetime, from_smalldatetime, time_bytes},
};
use crate::{
    demo::engine::{Parameter, SqlError, Value},
    model::sql_type::SqlType,
};

/// The text of a SQL batch. Clients of 7.2 and later put `ALL_HEADERS` in front.
pub(super) fn batch_text(payload: &[u8]) -> Result<String, SqlError> {
    let mut reader = Reader { bytes: payload };
    reader.all_headers()?;
    let rest = reader.bytes;
    Ok(wide_text(rest))
}

/// Whatever a request holds of text, for faults that look for some: a procedure call is not taken apart, and its texts may
/// stand at even or odd places.
pub(super) fn loose_text(payload: &[u8]) -> String {
    wide_text(payload) + &wide_text(payload.get(1..).unwrap_or_default())
}

/// Which procedure is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Procedure {
    ExecuteSql,
    Prepare,
    Execute,
    PrepareAndExecute,
    Unprepare,
    ResetConnection,
    Other(String),
}

/// A procedure call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) procedure: Procedure,
    pub(super) arguments: Vec<Parameter>,
}

/// Reads the calls of an RPC request; there may be several in one.
pub(super) fn calls(payload: &[u8], collation: Collation) -> Result<Vec<Call>, SqlError> {
    let mut reader = Reader { bytes: payload };
    reader.all_headers()?;
    let mut calls = Vec::new();
    loop {
        let length = reader.u16()?;
        let procedure = if length == u16::MAX {
            match reader.u16()? {
                10 => Procedure::ExecuteSql,
                11 => Procedure::Prepare,
                12 => Procedure::Execute,
                13 => Procedure::PrepareAndExecute,
                15 => Procedure::Unprepare,
                number => Procedure::Other(format!("procedure number {number}")),
            }
        } else {
            let name = wide_text(reader.take(usize::from(length) * 2)?);
            match name.rsplit('.').next().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase().as_str() {
                "sp_executesql" => Procedure::ExecuteSql,
                "sp_prepare" => Procedure::Prepare,
                "sp_execute" => Procedure::Execute,
                "sp_prepexec" => Procedure::PrepareAndExecute,
                "sp_unprepare" => Procedure::Unprepare,
                "sp_reset_connection" => Procedure::ResetConnection,
                _ => Procedure::Other(name),
            }
        };
        reader.u16()?;
        let mut arguments = Vec::new();
        let another = loop {
            // 0x80 and 0xFF separate the calls of one request, and cannot be lengths of a name.
            match reader.bytes.first() {
                None => break false,
                Some(0x80 | 0xFE | 0xFF) => {
                    reader.u8()?;
                    break !reader.bytes.is_empty();
                }
                Some(_) => arguments.push(reader.parameter(collation)?),
            }
        };
        calls.push(Call { procedure, arguments });
        if !another {
            return Ok(calls);
        }
    }
}

/// What a transaction manager request asks for, with the isolation level byte where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionRequest {
    Begin { isolation: u8 },
    Commit { then_begin: Option<u8> },
    Rollback { then_begin: Option<u8> },
    Save,
}

/// Reads a transaction manager request.
pub(super) fn transaction_request(payload: &[u8]) -> Result<TransactionRequest, SqlError> {
    let mut reader = Reader { bytes: payload };
    reader.all_headers()?;
    let kind = reader.u16()?;
    Ok(match kind {
        5 => TransactionRequest::Begin { isolation: reader.u8()? },
        7 | 8 => {
            let name = usize::from(reader.u8()?);
            reader.take(name)?;
            let flags = reader.u8().unwrap_or_default();
            let then_begin = if flags & 1 != 0 { Some(reader.u8()?) } else { None };
            if kind == 7 {
                TransactionRequest::Commit { then_begin }
            } else {
                TransactionRequest::Rollback { then_begin }
            }
        }
        9 => TransactionRequest::Save,
        other => return Err(SqlError::unsupported(format!("transaction manager request {other}"))),
    })
}

/// UTF-16 text; lone surrogates become the private code points of `value`.
fn wide_text(bytes: &[u8]) -> String {
    char::decode_utf16(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])))
        .map(|unit| match unit {
            Ok(character) => character,
            Err(lone) => char::from_u32(0x0010_0000 + u32::from(lone.unpaired_surrogate()))
                .unwrap_or(char::REPLACEMENT_CHARACTER),
        })
        .collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SqlError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(SqlError::protocol)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        self.take(N)?.first_chunk().copied().ok_or_else(SqlError::protocol)
    }

    fn u8(&mut self) -> Result<u8, SqlError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, SqlError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, SqlError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn all_headers(&mut self) -> Result<(), SqlError> {
        let length = usize::try_from(u32::from_le_bytes(*self.bytes.first_chunk().ok_or_else(SqlError::protocol)?))
            .map_err(|_| SqlError::protocol())?;
        if length < 4 {
            return Err(SqlError::protocol());
        }
        self.take(length).map(|_| ())
    }

    fn parameter(&mut self, collation: Collation) -> Result<Parameter, SqlError> {
        let length = usize::from(self.u8()?) * 2;
        let name = wide_text(self.take(length)?);
        self.u8()?;
        let (sql_type, value) = self.typed_value(collation)?;
        Ok(Parameter { name, sql_type, value })
    }

    /// A `TYPE_INFO` and the value after it.
    fn typed_value(&mut self, collation: Collation) -> Result<(SqlType, Value), SqlError> {
        let token = self.u8()?;
        let whole = |size: usize| match size {
            1 => SqlType::TinyInt,
            2 => SqlType::SmallInt,
            4 => SqlType::Int,
            _ => SqlType::BigInt,
        };
        match token {
            0x1F => Ok((SqlType::Int, Value::Null)),
            0x30 => Ok((SqlType::TinyInt, integer(self.take(1)?))),
            0x32 => Ok((SqlType::Bit, integer(self.take(1)?))),
            0x34 => Ok((SqlType::SmallInt, integer(self.take(2)?))),
            0x38 => Ok((SqlType::Int, integer(self.take(4)?))),
            0x7F => Ok((SqlType::BigInt, integer(self.take(8)?))),
            0x26 => {
                let declared = usize::from(self.u8()?);
                let bytes = self.short()?;
                Ok((whole(declared), bytes.map_or(Value::Null, integer)))
            }
            0x68 => {
                self.u8()?;
                Ok((SqlType::Bit, self.short()?.map_or(Value::Null, integer)))
            }
            0x6D => {
                let declared = self.u8()?;
                let sql_type = if declared == 4 { SqlType::Real } else { SqlType::Float };
                let value = match self.short()? {
                    Some(&[a, b, c, d]) => Value::Float(f64::from(f32::from_le_bytes([a, b, c, d]))),
                    Some(bytes) => {
                        Value::Float(f64::from_le_bytes(bytes.try_into().map_err(|_| SqlError::protocol())?))
                    }
                    None => Value::Null,
                };
                Ok((sql_type, value))
            }
            0x6E => {
                let declared = self.u8()?;
                let sql_type = if declared == 4 { SqlType::SmallMoney } else { SqlType::Money };
                let value = match self.short()? {
                    Some(&[a, b, c, d]) => {
                        Value::Decimal { unscaled: i32::from_le_bytes([a, b, c, d]).into(), scale: 4 }
                    }
                    Some(&[e, f, g, h, a, b, c, d]) => {
                        Value::Decimal { unscaled: i64::from_le_bytes([a, b, c, d, e, f, g, h]).into(), scale: 4 }
                    }
                    Some(_) => return Err(SqlError::protocol()),
                    None => Value::Null,
                };
                Ok((sql_type, value))
            }
            0x6A | 0x6C => {
                let [_, precision, scale] = self.array()?;
                let value = match self.short()? {
                    Some([sign, number @ ..]) if number.len() <= 16 => {
                        let mut bytes = [0u8; 16];
                        bytes[..number.len()].copy_from_slice(number);
                        let unscaled = i128::try_from(u128::from_le_bytes(bytes)).map_err(|_| SqlError::protocol())?;
                        Value::Decimal { unscaled: if *sign == 0 { -unscaled } else { unscaled }, scale }
                    }
                    Some(_) => return Err(SqlError::protocol()),
                    None => Value::Null,
                };
                Ok((SqlType::Decimal { precision, scale }, value))
            }
            0x6F => {
                let declared = self.u8()?;
                let sql_type = if declared == 4 { SqlType::SmallDateTime } else { SqlType::DateTime };
                let value = match self.short()? {
                    Some(&[a, b, c, d]) => {
                        Value::Timestamp(from_smalldatetime(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
                    }
                    Some(&[a, b, c, d, e, f, g, h]) => Value::Timestamp(from_datetime(
                        i32::from_le_bytes([a, b, c, d]),
                        u32::from_le_bytes([e, f, g, h]),
                    )),
                    Some(_) => return Err(SqlError::protocol()),
                    None => Value::Null,
                };
                Ok((sql_type, value))
            }
            0x28 => {
                let value = match self.short()? {
                    Some(&[a, b, c]) => Value::Date(from_date([a, b, c])),
                    Some(_) => return Err(SqlError::protocol()),
                    None => Value::Null,
                };
                Ok((SqlType::Date, value))
            }
            0x29..=0x2B => self.moment(token),
            0x24 => {
                self.u8()?;
                let value = match self.short()? {
                    Some(bytes) => Value::Text(moment::guid_text(bytes.try_into().map_err(|_| SqlError::protocol())?)),
                    None => Value::Null,
                };
                Ok((SqlType::UniqueIdentifier, value))
            }
            0xE7 | 0xEF | 0xA7 | 0xAF => self.text(token, collation),
            0xA5 | 0xAD => {
                let length = self.u16()?;
                let bytes = self.long(length)?;
                let sql_type = SqlType::VarBinary { length: Some(length).filter(|n| *n != u16::MAX) };
                Ok((sql_type, bytes.map_or(Value::Null, Value::Binary)))
            }
            0x63 => {
                self.take(4 + 5)?;
                let length = self.u32()?;
                if length == u32::MAX {
                    return Ok((SqlType::NVarChar { length: None }, Value::Null));
                }
                let bytes = self.take(usize::try_from(length).map_err(|_| SqlError::protocol())?)?;
                Ok((SqlType::NVarChar { length: None }, Value::Text(wide_text(bytes))))
            }
            other => Err(SqlError::unsupported(format!("a parameter of type 0x{other:02X}"))),
        }
    }

    fn text(&mut self, token: u8, collation: Collation) -> Result<(SqlType, Value), SqlError> {
        let length = self.u16()?;
        self.take(5)?;
        let limit = Some(length).filter(|n| *n != u16::MAX);
        let bytes = self.long(length)?;
        Ok(if token == 0xE7 || token == 0xEF {
            let sql_type = SqlType::NVarChar { length: limit.map(|n| (n / 2).max(1)) };
            (sql_type, bytes.map_or(Value::Null, |bytes| Value::Text(wide_text(&bytes))))
        } else {
            let sql_type = SqlType::VarChar { length: limit.map(|n| n.max(1)) };
            (sql_type, bytes.map_or(Value::Null, |bytes| Value::Text(collation.decode(&bytes))))
        })
    }

    fn moment(&mut self, token: u8) -> Result<(SqlType, Value), SqlError> {
        let scale = self.u8()?;
        if scale > 7 {
            return Err(SqlError::protocol());
        }
        let sql_type = match token {
            0x29 => SqlType::Time { scale },
            0x2A => SqlType::DateTime2 { scale },
            _ => SqlType::DateTimeOffset { scale },
        };
        let Some(bytes) = self.short()? else { return Ok((sql_type, Value::Null)) };
        let (time, rest) = bytes.split_at_checked(time_bytes(scale)).ok_or_else(SqlError::protocol)?;
        let mut wide = [0u8; 8];
        wide[..time.len()].copy_from_slice(time);
        let ticks = i64::from_le_bytes(wide) * 10i64.pow(7 - u32::from(scale));
        let value = match rest {
            [] => Value::Time(ticks / 10),
            [a, b, c] => Value::Timestamp(i64::from(from_date([*a, *b, *c])) * 86_400_000_000 + ticks / 10),
            _ => return Err(SqlError::unsupported("a datetimeoffset parameter")),
        };
        Ok((sql_type, value))
    }

    /// A value with a length byte; 0 is NULL.
    fn short(&mut self) -> Result<Option<&'a [u8]>, SqlError> {
        let length = usize::from(self.u8()?);
        if length == 0 { Ok(None) } else { self.take(length).map(Some) }
    }

    /// A value with a two-byte length, or in pieces when the type is a `max` one.
    fn long(&mut self, declared: u16) -> Result<Option<Vec<u8>>, SqlError> {
        if declared != u16::MAX {
            let length = self.u16()?;
            return if length == u16::MAX { Ok(None) } else { Ok(Some(self.take(usize::from(length))?.to_vec())) };
        }
        if u64::from_le_bytes(self.array()?) == u64::MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        loop {
            let piece = self.u32()?;
            if piece == 0 {
                return Ok(Some(bytes));
            }
            bytes.extend_from_slice(self.take(usize::try_from(piece).map_err(|_| SqlError::protocol())?)?);
        }
    }
}

/// A little-endian whole number of 1, 2, 4 or 8 bytes; one byte is unsigned, as `tinyint` and `bit` are.
fn integer(bytes: &[u8]) -> Value {
    match bytes {
        [a] => Value::Integer(i64::from(*a)),
        [a, b] => Value::Integer(i64::from(i16::from_le_bytes([*a, *b]))),
        [a, b, c, d] => Value::Integer(i64::from(i32::from_le_bytes([*a, *b, *c, *d]))),
        _ => Value::Integer(bytes.first_chunk().map_or(0, |eight| i64::from_le_bytes(*eight))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_cut_anywhere_are_errors_and_never_panics() {
        let latin = Collation::named("Latin1_General_CI_AS");
        let mut payload = vec![4, 0, 0, 0, 0xFF, 0xFF, 10, 0, 0, 0];
        payload.extend_from_slice(&[0, 0, 0xE7, 8, 0, 9, 4, 0xD0, 0, 0, 8, 0, b'S', 0, b'E', 0, b'L', 0, b'E', 0]);
        payload.extend_from_slice(&[2, b'@', 0, b'P', 0, 0, 0x6A, 17, 38, 2, 5, 0, 0x39, 0x30, 0, 0]);
        payload.extend_from_slice(&[0, 0, 0x2A, 7, 8, 1, 0, 0, 0, 0, 0x3A, 0xF9, 0x0A]);
        let whole = calls(&payload, latin).unwrap();
        assert_eq!(whole[0].arguments[0].value, Value::Text("SELE".into()));
        assert_eq!(whole[0].arguments[1].value, Value::Decimal { unscaled: -12345, scale: 2 });
        assert!(matches!(whole[0].arguments[2].value, Value::Timestamp(0)));
        for length in 0..payload.len() {
            let _ = calls(&payload[..length], latin);
        }
    }
}
