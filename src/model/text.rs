//! Text of a till as UTF-8, without loss.
//!
//! SQL Server keeps `nchar`, `nvarchar` and `ntext` as UTF-16 units and never looks whether they are valid: half of a
//! surrogate pair may stand alone. Parquet text must be valid UTF-8. So the archive writes such a unit, and U+FFFF, which is no
//! character but may stand in a text nevertheless, as an escape (FORMAT §5.1): U+FFFF and the four upper-case hex digits of
//! the unit. All other texts are as they are; U+0000 is a character like any other.
//!
//! Promises: [`push_utf16le`] and [`to_utf16`] undo each other for every sequence of units; [`to_utf16`] takes every text.

use std::borrow::Cow;

/// What begins an escape: a code point that is no character.
const MARK: char = '\u{FFFF}';
/// Units looked at together while they are ASCII.
const STEP: usize = 16;

/// A text whose bytes are not whole UTF-16 units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfUnit;

/// Text in UTF-16, little-endian, as the archive keeps it.
///
/// # Errors
/// [`HalfUnit`] when the number of bytes is odd.
pub fn from_utf16le(bytes: &[u8]) -> Result<String, HalfUnit> {
    let mut out = Vec::new();
    push_utf16le(bytes, &mut out)?;
    Ok(String::from_utf8(out).expect("whole characters alone were appended"))
}

/// Appends text in UTF-16, little-endian, as the archive keeps it: valid UTF-8, as bytes, because whoever gathers many texts
/// has them checked together. Allocates for `out` alone.
///
/// # Errors
/// [`HalfUnit`] when the number of bytes is odd; `out` is as it was.
pub fn push_utf16le(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), HalfUnit> {
    if !bytes.len().is_multiple_of(2) {
        return Err(HalfUnit);
    }
    out.reserve(bytes.len() / 2);
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = push_ascii(rest, out);
        rest = push_others(rest, out);
    }
    Ok(())
}

/// Appends the ASCII text that `bytes` begin with, in steps, the last of which may be shorter; gives what is behind it.
fn push_ascii<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (step, behind) = rest.split_at_checked(2 * STEP).unwrap_or((rest, &[]));
        let mut narrow = [0; STEP];
        let mut all = 0;
        let (units, _) = step.as_chunks::<2>();
        for (byte, unit) in narrow.iter_mut().zip(units) {
            let unit = u16::from_le_bytes(*unit);
            all |= unit;
            *byte = unit.to_le_bytes()[0];
        }
        if all >= 0x80 {
            break;
        }
        out.extend_from_slice(&narrow[..units.len()]);
        rest = behind;
    }
    rest
}

/// Appends characters one by one until some ASCII ones in a row suggest that the quick way may do again.
fn push_others<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (units, _) = bytes.as_chunks::<2>();
    let mut ascii = 0;
    let mut at = 0;
    while let Some(unit) = units.get(at).map(|unit| u16::from_le_bytes(*unit)) {
        at += 1;
        if let Some(character) = char::from_u32(u32::from(unit)).filter(|character| *character != MARK) {
            push_character(character, out);
            ascii = if unit < 0x80 { ascii + 1 } else { 0 };
            if ascii == STEP {
                break;
            }
            continue;
        }
        ascii = 0;
        let next = units.get(at).map(|unit| u16::from_le_bytes(*unit));
        match next.and_then(|next| char::decode_utf16([unit, next]).next()) {
            Some(Ok(character)) if character != MARK => {
                push_character(character, out);
                at += 1;
            }
            _ => push_escape(unit, out),
        }
    }
    &bytes[2 * at..]
}

fn push_character(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_escape(unit: u16, out: &mut Vec<u8>) {
    push_character(MARK, out);
    out.extend_from_slice(escape(unit).as_bytes());
}

/// What stands behind the mark.
fn escape(unit: u16) -> String {
    format!("{unit:04X}")
}

/// Text that is valid Unicode as the archive keeps it: the same, but for U+FFFF.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        out.push(character);
        if character == MARK {
            out.push_str(&escape(0xFFFF));
        }
    }
    Cow::Owned(out)
}

/// The UTF-16 units of a text of the archive: what the till had.
///
/// U+FFFF without a unit behind it that the archive would escape stands for itself.
#[must_use]
pub fn to_utf16(text: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        units.extend(rest[..at].encode_utf16());
        rest = &rest[at + MARK.len_utf8()..];
        match escaped_unit(rest) {
            Some(unit) => {
                units.push(unit);
                rest = &rest[4..];
            }
            None => units.push(0xFFFF),
        }
    }
    units.extend(rest.encode_utf16());
    units
}

/// The unit whose digits `text` begins with, if it is one that needs an escape.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) {
        return None;
    }
    let unit = u16::from_str_radix(digits, 16).ok()?;
    matches!(unit, 0xD800..=0xDFFF | 0xFFFF).then_some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(units: &[u16]) -> String {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut text = b"before ".to_vec();
        push_utf16le(&bytes, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.strip_prefix("before "), Some(&*from_utf16le(&bytes).unwrap()));
        text.strip_prefix("before ").unwrap().to_owned()
    }

    /// The rule as it is written, unit by unit.
    fn slowly(units: &[u16]) -> String {
        let mut text = String::new();
        for item in char::decode_utf16(units.iter().copied()) {
            match item {
                Ok('\u{FFFF}') => text.push_str("\u{FFFF}FFFF"),
                Ok(character) => text.push(character),
                Err(lone) => text.push_str(&format!("\u{FFFF}{:04X}", lone.unpaired_surrogate())),
            }
        }
        text
    }

    #[test]
    fn only_what_utf8_cannot_hold_is_escaped() {
        for plain in ["", "Çay", "Crème brûlée 🍮 flan", "a\0b", "\u{FFFD}\u{FFFE}\u{10FFFF}", &"ascii ".repeat(99)]
        {
            let units: Vec<u16> = plain.encode_utf16().collect();
            assert_eq!(kept(&units), plain);
            assert_eq!(escaped(plain), plain);
            assert_eq!(to_utf16(plain), units);
        }
        assert_eq!(kept(&[0x61, 0xD83D]), "a\u{FFFF}D83D");
        assert_eq!(kept(&[0xDE00, 0xD83D, 0xDE00]), "\u{FFFF}DE00😀");
        assert_eq!(kept(&[0xD83D, 0xD83D, 0xDE00, 0xDBFF]), "\u{FFFF}D83D😀\u{FFFF}DBFF");
        assert_eq!(kept(&[0xFFFF, 0x44]), "\u{FFFF}FFFFD");
        assert_eq!(escaped("x\u{FFFF}D800"), "x\u{FFFF}FFFFD800");
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for text in ["\u{FFFF}", "\u{FFFF}0041", "\u{FFFF}d800", "\u{FFFF}D80", "\u{FFFF}DÄ00", "x\u{FFFF}\u{FFFF}y"] {
            assert_eq!(to_utf16(text), text.encode_utf16().collect::<Vec<_>>(), "{text:?}");
        }
        assert_eq!(to_utf16("\u{FFFF}\u{FFFF}D800"), [0xFFFF, 0xD800]);
    }

    #[test]
    fn half_a_unit_is_refused() {
        let mut text = b"x".to_vec();
        assert_eq!(push_utf16le(&[0x41, 0, 0x42], &mut text), Err(HalfUnit));
        assert_eq!(text, b"x");
        assert_eq!(from_utf16le(&[0x41]), Err(HalfUnit));
    }

    fn unit() -> impl Strategy<Value = u16> {
        prop_oneof![4 => 0x20..0x7F_u16, 1 => any::<u16>(), 2 => 0xD7F0..0xE010_u16, 1 => Just(0xFFFF), 1 => 0x30..0x47_u16]
    }

    proptest! {
        #[test]
        fn every_sequence_of_units_comes_back(
            units in prop::collection::vec(unit(), 0..200),
            plain in 0..70_usize,
        ) {
            let units: Vec<u16> = std::iter::repeat_n(0x61, plain).chain(units).collect();
            let text = kept(&units);
            prop_assert_eq!(&text, &slowly(&units));
            prop_assert_eq!(to_utf16(&text), units.clone());
            if let Ok(valid) = String::from_utf16(&units) {
                prop_assert_eq!(escaped(&valid), text);
            }
        }
    }
}
