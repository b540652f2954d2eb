//! Column descriptions and rows, straight from Arrow batches into the response, without an allocation per value.
//!
//! Types on the wire are those a real server sends: fixed types for NOT NULL columns, nullable ones else, PLP for the `max`
//! types, and NBCROW where a row has so many NULLs that it is shorter (MS-TDS 2.2.5, 2.2.7).
//! Text may hold what UTF-8 cannot: code points U+10D800 to U+10DFFF (private use) leave as the lone surrogates U+D800 to
//! U+DFFF.

use std::borrow::Cow;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray,
        TimestampMicrosecondArray,
    },
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
        TimestampMicrosecondType,
    },
};

use super::{
    collation::Collation,
    moment::{self, Moment},
    token::b_varchar,
};
use crate::{
    demo::engine::{OutColumn, SqlError},
    model::sql_type::SqlType,
};

const COLMETADATA: u8 = 0x81;
const ROW: u8 = 0xD1;
pub(super) const NBCROW: u8 = 0xD2;
/// Longest piece of a PLP value; real servers send about as much at once.
const PLP_PIECE: usize = 8000;

/// The COLMETADATA token.
pub(super) fn column_metadata(out: &mut Vec<u8>, columns: &[OutColumn], collation: Collation) -> Result<(), SqlError> {
    out.push(COLMETADATA);
    out.extend_from_slice(&u16::try_from(columns.len()).unwrap_or(u16::MAX).to_le_bytes());
    for column in columns {
        let user_type: u32 = if column.sql_type == SqlType::RowVersion { 80 } else { 0 };
        out.extend_from_slice(&user_type.to_le_bytes());
        let mut flags = u16::from(column.nullable);
        flags |= if column.of_table { 0x08 } else { 0x20 };
        flags |= if column.identity { 0x10 } else { 0 };
        out.extend_from_slice(&flags.to_le_bytes());
        type_info(out, column, collation)?;
        b_varchar(out, &column.name);
    }
    Ok(())
}

fn type_info(out: &mut Vec<u8>, column: &OutColumn, collation: Collation) -> Result<(), SqlError> {
    let nullable = column.nullable;
    let mut fixed = |plain: u8, general: u8, size: u8| {
        if nullable { out.extend_from_slice(&[general, size]) } else { out.push(plain) }
    };
    match &column.sql_type {
        SqlType::Bit => fixed(0x32, 0x68, 1),
        SqlType::TinyInt => fixed(0x30, 0x26, 1),
        SqlType::SmallInt => fixed(0x34, 0x26, 2),
        SqlType::Int => fixed(0x38, 0x26, 4),
        SqlType::BigInt => fixed(0x7F, 0x26, 8),
        SqlType::Real => fixed(0x3B, 0x6D, 4),
        SqlType::Float => fixed(0x3E, 0x6D, 8),
        SqlType::Money => fixed(0x3C, 0x6E, 8),
        SqlType::SmallMoney => fixed(0x7A, 0x6E, 4),
        SqlType::DateTime => fixed(0x3D, 0x6F, 8),
        SqlType::SmallDateTime => fixed(0x3A, 0x6F, 4),
        SqlType::Decimal { precision, scale } => {
            let size = u8::try_from(decimal_bytes(*precision) + 1).unwrap_or(17);
            out.extend_from_slice(&[0x6A, size, *precision, *scale]);
        }
        SqlType::Date => out.push(0x28),
        SqlType::Time { scale } => out.extend_from_slice(&[0x29, *scale]),
        SqlType::DateTime2 { scale } => out.extend_from_slice(&[0x2A, *scale]),
        SqlType::DateTimeOffset { scale } => out.extend_from_slice(&[0x2B, *scale]),
        SqlType::UniqueIdentifier => out.extend_from_slice(&[0x24, 16]),
        SqlType::NVarChar { length } => text_type(out, 0xE7, length.map(|n| n.saturating_mul(2)), collation),
        SqlType::NChar { length } => text_type(out, 0xEF, length.map(|n| n.saturating_mul(2)), collation),
        SqlType::VarChar { length } => text_type(out, 0xA7, *length, collation),
        SqlType::Char { length } => text_type(out, 0xAF, *length, collation),
        SqlType::VarBinary { length } => sized_type(out, 0xA5, *length),
        SqlType::Binary { length } => sized_type(out, 0xAD, *length),
        SqlType::RowVersion => sized_type(out, 0xAD, Some(8)),
        SqlType::Xml => out.extend_from_slice(&[0xF1, 0]),
        SqlType::NText => long_type(out, 0x63, 0x7FFF_FFFE, Some(collation), column),
        SqlType::Text => long_type(out, 0x23, 0x7FFF_FFFF, Some(collation), column),
        SqlType::Image => long_type(out, 0x22, 0x7FFF_FFFF, None, column),
        SqlType::Variant => out.extend_from_slice(&[0x62, 0x49, 0x1F, 0, 0]),
        SqlType::Clr(name) => clr_type(out, name),
        // Clients that did not ask for the type itself get its text in UTF-8 (Latin1_General_100_BIN2_UTF8).
        SqlType::Json => out.extend_from_slice(&[0xA7, 0xFF, 0xFF, 0x09, 0x04, 0x00, 0x26, 0x00]),
        other @ SqlType::Other(_) => {
            return Err(SqlError::unsupported(format!("column {} has type {other}", column.name)));
        }
    }
    Ok(())
}

fn sized_type(out: &mut Vec<u8>, token: u8, bytes: Option<u16>) {
    out.push(token);
    out.extend_from_slice(&bytes.unwrap_or(u16::MAX).to_le_bytes());
}

fn text_type(out: &mut Vec<u8>, token: u8, bytes: Option<u16>, collation: Collation) {
    sized_type(out, token, bytes);
    out.extend_from_slice(&collation.bytes());
}

fn long_type(out: &mut Vec<u8>, token: u8, bytes: u32, collation: Option<Collation>, column: &OutColumn) {
    out.push(token);
    out.extend_from_slice(&bytes.to_le_bytes());
    if let Some(collation) = collation {
        out.extend_from_slice(&collation.bytes());
    }
    out.push(1);
    super::token::us_varchar(out, column.table.as_deref().unwrap_or_default());
}

/// `UDTTYPEINFO` (MS-TDS 2.2.5.5.2): size, database, schema, type, assembly.
fn clr_type(out: &mut Vec<u8>, name: &str) {
    out.push(0xF0);
    out.extend_from_slice(&u16::MAX.to_le_bytes());
    for part in ["SambaPOS5", "sys", name] {
        b_varchar(out, part);
    }
    super::token::us_varchar(out, "Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral");
}

/// Appends a row of values that are bytes of the wire already, without their lengths.
pub(super) fn exact_row(
    out: &mut Vec<u8>,
    columns: &[OutColumn],
    values: &[Option<Cow<'_, [u8]>>],
) -> Result<(), SqlError> {
    let layouts: Vec<Layout> = columns.iter().map(Layout::of).collect();
    let saved: usize =
        layouts.iter().zip(values).filter(|(_, value)| value.is_none()).map(|(l, _)| l.null_bytes()).sum();
    let bitmap = columns.len().div_ceil(8);
    let short = saved > bitmap;
    out.push(if short { NBCROW } else { ROW });
    if short {
        let at = out.len();
        out.resize(at + bitmap, 0);
        for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
            out[at + index / 8] |= 1 << (index % 8);
        }
    }
    for ((layout, column), value) in layouts.iter().zip(columns).zip(values) {
        let misfit = || SqlError::internal(format!("a value of column {} does not fit its type", column.name));
        match value {
            Some(bytes) => layout.put(out, bytes).ok_or_else(misfit)?,
            None if !column.nullable => return Err(misfit()),
            None if short => {}
            None => out.resize(out.len() + layout.null_bytes(), layout.null_byte()),
        }
    }
    Ok(())
}

/// How the length of a value stands before its bytes.
#[derive(Clone, Copy)]
enum Layout {
    /// Not at all; so many bytes.
    Fixed(usize),
    /// In a byte.
    Byte,
    /// In four bytes, 0 for NULL.
    Variant,
    Long(Space),
}

impl Layout {
    fn of(column: &OutColumn) -> Self {
        let fixed = |bytes| if column.nullable { Layout::Byte } else { Layout::Fixed(bytes) };
        match &column.sql_type {
            SqlType::Bit | SqlType::TinyInt => fixed(1),
            SqlType::SmallInt => fixed(2),
            SqlType::Int | SqlType::Real | SqlType::SmallMoney | SqlType::SmallDateTime => fixed(4),
            SqlType::BigInt | SqlType::Float | SqlType::Money | SqlType::DateTime => fixed(8),
            SqlType::NVarChar { length } | SqlType::VarChar { length } | SqlType::VarBinary { length } => {
                Layout::Long(Space::of(*length))
            }
            SqlType::NChar { .. } | SqlType::Char { .. } | SqlType::Binary { .. } | SqlType::RowVersion => {
                Layout::Long(Space::Short { pad: 0 })
            }
            SqlType::Xml | SqlType::Json | SqlType::Clr(_) => Layout::Long(Space::Plp),
            SqlType::Text | SqlType::NText | SqlType::Image => Layout::Long(Space::Pointer),
            SqlType::Variant => Layout::Variant,
            _ => Layout::Byte,
        }
    }

    fn null_bytes(self) -> usize {
        match self {
            Layout::Fixed(_) => 0,
            Layout::Byte => 1,
            Layout::Variant => 4,
            Layout::Long(space) => space.null_bytes(),
        }
    }

    fn null_byte(self) -> u8 {
        match self {
            Layout::Long(Space::Short { .. } | Space::Plp) => 0xFF,
            _ => 0,
        }
    }

    fn put(self, out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
        match self {
            Layout::Fixed(size) if size != bytes.len() => return None,
            Layout::Fixed(_) => {}
            Layout::Byte => out.push(u8::try_from(bytes.len()).ok()?),
            Layout::Variant => out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes()),
            Layout::Long(space) => return long_value(out, bytes, space, b"\0"),
        }
        out.extend_from_slice(bytes);
        Some(())
    }
}

/// Bytes of the number of a decimal on the wire, without the sign.
fn decimal_bytes(precision: u8) -> usize {
    match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    }
}

/// How one column's values get from Arrow to the wire.
enum Encoder<'a> {
    Bit(&'a BooleanArray),
    TinyInt(&'a Int16Array),
    SmallInt(&'a Int16Array),
    Int(&'a Int32Array),
    BigInt(&'a Int64Array),
    Real(&'a Float32Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array, usize),
    Money(&'a Decimal128Array),
    SmallMoney(&'a Decimal128Array),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray, u8),
    DateTime(&'a TimestampMicrosecondArray),
    SmallDateTime(&'a TimestampMicrosecondArray),
    DateTime2(&'a TimestampMicrosecondArray, u8),
    /// time(7), datetime2(7) and datetimeoffset, kept as text since Arrow has no exact type for them.
    Moment(&'a StringArray, &'a SqlType),
    Guid(&'a StringArray),
    Wide(&'a StringArray, Space),
    Narrow(&'a StringArray, Space, Collation),
    Binary(&'a BinaryArray, Space),
}

/// How long values are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    /// Two bytes of length; values of fixed types are padded to so many bytes.
    Short { pad: usize },
    /// In pieces.
    Plp,
    /// With a text pointer.
    Pointer,
}

impl Space {
    fn of(length: Option<u16>) -> Self {
        if length.is_some() { Space::Short { pad: 0 } } else { Space::Plp }
    }

    fn null_bytes(self) -> usize {
        match self {
            Space::Short { .. } => 2,
            Space::Plp => 8,
            Space::Pointer => 1,
        }
    }
}

/// Writes the rows of one batch.
pub(super) struct RowWriter<'a> {
    columns: Vec<(Encoder<'a>, &'a dyn Array, &'a OutColumn)>,
    bitmap: usize,
    scratch: Vec<u8>,
}

impl<'a> RowWriter<'a> {
    /// Prepares a batch; an error when the engine delivered another type than it declared.
    pub(super) fn new(
        batch: &'a RecordBatch,
        columns: &'a [OutColumn],
        collation: Collation,
    ) -> Result<Self, SqlError> {
        if batch.num_columns() != columns.len() {
            return Err(SqlError::internal("the engine's result has another number of columns"));
        }
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .zip(columns)
            .map(|(array, column)| {
                let encoder = encoder(array, &column.sql_type, collation).ok_or_else(|| {
                    let found = array.data_type();
                    SqlError::internal(format!("column {}: {} came as {found}", column.name, column.sql_type))
                })?;
                Ok((encoder, array.as_ref(), column))
            })
            .collect::<Result<_, SqlError>>()?;
        let bitmap = columns.len().div_ceil(8);
        Ok(Self { columns, bitmap, scratch: Vec::new() })
    }

    /// Appends row `row`.
    pub(super) fn row(&mut self, out: &mut Vec<u8>, row: usize) -> Result<(), SqlError> {
        let saved: usize = self
            .columns
            .iter()
            .map(
                |(encoder, array, column)| if column.nullable && array.is_null(row) { encoder.null_bytes() } else { 0 },
            )
            .sum();
        if saved > self.bitmap {
            out.push(NBCROW);
            let at = out.len();
            out.resize(at + self.bitmap, 0);
            for (index, (_, array, _)) in self.columns.iter().enumerate() {
                if array.is_null(row) {
                    out[at + index / 8] |= 1 << (index % 8);
                }
            }
            for (encoder, array, column) in &self.columns {
                if !array.is_null(row) {
                    encoder.value(out, row, column, &mut self.scratch)?;
                }
            }
        } else {
            out.push(ROW);
            for (encoder, array, column) in &self.columns {
                if array.is_null(row) {
                    if !column.nullable {
                        return Err(SqlError::internal(format!("NULL in column {}, which has none", column.name)));
                    }
                    encoder.null(out);
                } else {
                    encoder.value(out, row, column, &mut self.scratch)?;
                }
            }
        }
        Ok(())
    }
}

fn encoder<'a>(array: &'a ArrayRef, sql_type: &'a SqlType, collation: Collation) -> Option<Encoder<'a>> {
    let text = || array.as_string_opt::<i32>();
    let binary = || array.as_binary_opt::<i32>();
    let stamps = || array.as_primitive_opt::<TimestampMicrosecondType>();
    let decimals = || array.as_primitive_opt::<Decimal128Type>();
    let padded = |length: Option<u16>, unit: usize| Space::Short { pad: usize::from(length.unwrap_or(1)) * unit };
    Some(match sql_type {
        SqlType::Bit => Encoder::Bit(array.as_boolean_opt()?),
        SqlType::TinyInt => Encoder::TinyInt(array.as_primitive_opt::<Int16Type>()?),
        SqlType::SmallInt => Encoder::SmallInt(array.as_primitive_opt::<Int16Type>()?),
        SqlType::Int => Encoder::Int(array.as_primitive_opt::<Int32Type>()?),
        SqlType::BigInt => Encoder::BigInt(array.as_primitive_opt::<Int64Type>()?),
        SqlType::Real => Encoder::Real(array.as_primitive_opt::<Float32Type>()?),
        SqlType::Float => Encoder::Float(array.as_primitive_opt::<Float64Type>()?),
        SqlType::Decimal { precision, scale } => {
            let values = decimals()?;
            if values.scale() != i8::try_from(*scale).ok()? {
                return None;
            }
            Encoder::Decimal(values, decimal_bytes(*precision))
        }
        SqlType::Money => Encoder::Money(decimals().filter(|values| values.scale() == 4)?),
        SqlType::SmallMoney => Encoder::SmallMoney(decimals().filter(|values| values.scale() == 4)?),
        SqlType::Date => Encoder::Date(array.as_primitive_opt::<Date32Type>()?),
        SqlType::Time { scale } if *scale <= 6 => {
            Encoder::Time(array.as_primitive_opt::<Time64MicrosecondType>()?, *scale)
        }
        SqlType::DateTime => Encoder::DateTime(stamps()?),
        SqlType::SmallDateTime => Encoder::SmallDateTime(stamps()?),
        SqlType::DateTime2 { scale } if *scale <= 6 => Encoder::DateTime2(stamps()?, *scale),
        SqlType::Time { .. } | SqlType::DateTime2 { .. } | SqlType::DateTimeOffset { .. } => {
            Encoder::Moment(text()?, sql_type)
        }
        SqlType::UniqueIdentifier => Encoder::Guid(text()?),
        SqlType::NVarChar { length } => Encoder::Wide(text()?, Space::of(*length)),
        SqlType::NChar { length } => Encoder::Wide(text()?, padded(*length, 2)),
        SqlType::Xml => Encoder::Wide(text()?, Space::Plp),
        SqlType::NText => Encoder::Wide(text()?, Space::Pointer),
        SqlType::VarChar { length } => Encoder::Narrow(text()?, Space::of(*length), collation),
        SqlType::Char { length } => Encoder::Narrow(text()?, padded(*length, 1), collation),
        SqlType::Text => Encoder::Narrow(text()?, Space::Pointer, collation),
        SqlType::VarBinary { length } => Encoder::Binary(binary()?, Space::of(*length)),
        SqlType::Binary { length } => Encoder::Binary(binary()?, padded(*length, 1)),
        SqlType::RowVersion => Encoder::Binary(binary()?, Space::Short { pad: 8 }),
        SqlType::Image => Encoder::Binary(binary()?, Space::Pointer),
        SqlType::Json | SqlType::Variant | SqlType::Clr(_) | SqlType::Other(_) => return None,
    })
}

impl Encoder<'_> {
    /// Bytes a NULL takes in a ROW.
    fn null_bytes(&self) -> usize {
        match self {
            Encoder::Wide(_, space) | Encoder::Narrow(_, space, _) | Encoder::Binary(_, space) => space.null_bytes(),
            _ => 1,
        }
    }

    fn null(&self, out: &mut Vec<u8>) {
        match self.null_bytes() {
            1 => out.push(0),
            bytes => out.resize(out.len() + bytes, 0xFF),
        }
    }

    fn value(&self, out: &mut Vec<u8>, row: usize, column: &OutColumn, scratch: &mut Vec<u8>) -> Result<(), SqlError> {
        let bare = !column.nullable;
        let mut put = |bytes: &[u8]| {
            if !bare {
                out.push(u8::try_from(bytes.len()).unwrap_or_default());
            }
            out.extend_from_slice(bytes);
        };
        let overflow = || SqlError::internal(format!("a value of column {} is out of range", column.name));
        match self {
            Encoder::Bit(values) => put(&[u8::from(values.value(row))]),
            Encoder::TinyInt(values) => put(&[u8::try_from(values.value(row)).map_err(|_| overflow())?]),
            Encoder::SmallInt(values) => put(&values.value(row).to_le_bytes()),
            Encoder::Int(values) => put(&values.value(row).to_le_bytes()),
            Encoder::BigInt(values) => put(&values.value(row).to_le_bytes()),
            Encoder::Real(values) => put(&values.value(row).to_le_bytes()),
            Encoder::Float(values) => put(&values.value(row).to_le_bytes()),
            Encoder::Decimal(values, bytes) => {
                let value = values.value(row);
                let magnitude = value.unsigned_abs().to_le_bytes();
                if magnitude[*bytes..].iter().any(|byte| *byte != 0) {
                    return Err(overflow());
                }
                out.extend_from_slice(&[u8::try_from(bytes + 1).unwrap_or_default(), u8::from(value >= 0)]);
                out.extend_from_slice(&magnitude[..*bytes]);
            }
            Encoder::Money(values) => {
                let bytes = i64::try_from(values.value(row)).map_err(|_| overflow())?.to_le_bytes();
                let [a, b, c, d, e, f, g, h] = bytes;
                put(&[e, f, g, h, a, b, c, d]);
            }
            Encoder::SmallMoney(values) => {
                put(&i32::try_from(values.value(row)).map_err(|_| overflow())?.to_le_bytes());
            }
            Encoder::DateTime(values) => put(&moment::datetime(values.value(row)).ok_or_else(overflow)?),
            Encoder::SmallDateTime(values) => put(&moment::smalldatetime(values.value(row)).ok_or_else(overflow)?),
            // The types below have a length byte even in columns that are NOT NULL.
            Encoder::Date(values) => {
                out.push(3);
                out.extend_from_slice(&moment::date(values.value(row)).ok_or_else(overflow)?);
            }
            Encoder::Time(values, scale) => Moment::time(values.value(row)).put(out, *scale).ok_or_else(overflow)?,
            Encoder::DateTime2(values, scale) => {
                Moment::stamp(values.value(row)).put(out, *scale).ok_or_else(overflow)?;
            }
            Encoder::Moment(values, sql_type) => {
                let scale = match sql_type {
                    SqlType::Time { scale } | SqlType::DateTime2 { scale } | SqlType::DateTimeOffset { scale } => {
                        *scale
                    }
                    _ => 7,
                };
                let moment = Moment::parse(values.value(row), sql_type).ok_or_else(overflow)?;
                moment.put(out, scale).ok_or_else(overflow)?;
            }
            Encoder::Guid(values) => {
                out.push(16);
                out.extend_from_slice(&moment::guid(values.value(row)).ok_or_else(overflow)?);
            }
            Encoder::Wide(values, space) => {
                scratch.clear();
                put_utf16(scratch, values.value(row));
                long_value(out, scratch, *space, b" \0").ok_or_else(overflow)?;
            }
            Encoder::Narrow(values, space, collation) => {
                scratch.clear();
                collation.encode(values.value(row), scratch);
                long_value(out, scratch, *space, b" ").ok_or_else(overflow)?;
            }
            Encoder::Binary(values, space) => {
                long_value(out, values.value(row), *space, b"\0").ok_or_else(overflow)?;
            }
        }
        Ok(())
    }
}

/// Appends `text` as UTF-16; see the module's words on lone surrogates.
pub(in crate::demo) fn put_utf16(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        let start = out.len();
        out.resize(start + text.len() * 2, 0);
        let mut at = start;
        for byte in text.as_bytes() {
            out[at] = *byte;
            at += 2;
        }
        return;
    }
    out.reserve(text.len() * 2);
    for character in text.chars() {
        let code = u32::from(character);
        if let Some(lone) = code.checked_sub(0x0010_0000).filter(|code| (0xD800..=0xDFFF).contains(code)) {
            out.extend_from_slice(&u16::try_from(lone).unwrap_or(0xFFFD).to_le_bytes());
        } else {
            let mut units = [0u16; 2];
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(&unit.to_le_bytes());
            }
        }
    }
}

fn long_value(out: &mut Vec<u8>, bytes: &[u8], space: Space, blank: &[u8]) -> Option<()> {
    match space {
        Space::Short { pad } => {
            let length = bytes.len().max(pad);
            out.extend_from_slice(&u16::try_from(length).ok().filter(|n| *n <= 8000)?.to_le_bytes());
            out.extend_from_slice(bytes);
            for _ in 0..(length - bytes.len()) / blank.len() {
                out.extend_from_slice(blank);
            }
        }
        Space::Plp => {
            out.extend_from_slice(&u64::try_from(bytes.len()).ok()?.to_le_bytes());
            for piece in bytes.chunks(PLP_PIECE) {
                out.extend_from_slice(&u32::try_from(piece.len()).ok()?.to_le_bytes());
                out.extend_from_slice(piece);
            }
            out.extend_from_slice(&0u32.to_le_bytes());
        }
        Space::Pointer => {
            out.push(16);
            out.extend_from_slice(b"dummy textptr\0\0\0dummyTS\0");
            out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_beyond_utf8_leaves_as_lone_surrogates() {
        let mut out = Vec::new();
        put_utf16(&mut out, "a\u{10D83D}€😀");
        assert_eq!(out, [0x61, 0, 0x3D, 0xD8, 0xAC, 0x20, 0x3D, 0xD8, 0x00, 0xDE]);
    }

    #[test]
    fn long_values_are_laid_out_in_pieces() {
        let mut out = Vec::new();
        long_value(&mut out, &[7; 8001], Space::Plp, b"\0").unwrap();
        assert_eq!(out.len(), 8 + 4 + 8000 + 4 + 1 + 4);
        let mut out = Vec::new();
        long_value(&mut out, b"ab", Space::Short { pad: 4 }, b" ").unwrap();
        assert_eq!(out, b"\x04\0ab  ");
        assert!(long_value(&mut out, &[0; 8001], Space::Short { pad: 0 }, b" ").is_none());
    }
}
