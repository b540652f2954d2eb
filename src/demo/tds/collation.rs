//! Collations: the five bytes on the wire, and the code page of narrow text.

/// What is known of a database collation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Collation {
    language: u16,
    sort_id: u8,
    turkish: bool,
}

/// Code page 1252 from 0x80 to 0x9F; U+FFFD where there is no character.
const HIGH: [char; 32] = [
    '€', '\u{FFFD}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{FFFD}', 'Ž', '\u{FFFD}', '\u{FFFD}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{FFFD}', 'ž', 'Ÿ',
];

/// Where code page 1254 differs from 1252.
const TURKISH: [(u8, char); 6] = [(0xD0, 'Ğ'), (0xDD, 'İ'), (0xDE, 'Ş'), (0xF0, 'ğ'), (0xFD, 'ı'), (0xFE, 'ş')];

impl Collation {
    /// The collation of that name: Turkish ones have code page 1254, all others 1252.
    pub(in crate::demo) fn named(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let turkish = lower.starts_with("turkish");
        Self {
            language: if turkish { 0x041F } else { 0x0409 },
            sort_id: if lower == "sql_latin1_general_cp1_ci_as" { 52 } else { 0 },
            turkish,
        }
    }

    /// Language, flags (ignore case, kana type and width) and sort id.
    pub(in crate::demo) fn bytes(self) -> [u8; 5] {
        let [low, high] = self.language.to_le_bytes();
        [low, high, 0xD0, 0x00, self.sort_id]
    }

    /// Appends `text` in the code page; characters it lacks become question marks, as on a real server.
    pub(in crate::demo) fn encode(self, text: &str, out: &mut Vec<u8>) {
        out.extend(text.chars().map(|character| self.byte(character)));
    }

    fn byte(self, character: char) -> u8 {
        if let Some((byte, _)) = TURKISH.iter().find(|(_, other)| self.turkish && *other == character) {
            return *byte;
        }
        match u8::try_from(u32::from(character)) {
            Ok(byte) if !(0x80..=0x9F).contains(&byte) => byte,
            _ => HIGH.iter().zip(0x80u8..).find(|(high, _)| **high == character).map_or(b'?', |(_, byte)| byte),
        }
    }

    /// Narrow bytes as text.
    pub(in crate::demo) fn decode(self, bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| {
                let turkish =
                    TURKISH.iter().find(|(other, _)| self.turkish && other == byte).map(|(_, character)| *character);
                turkish.unwrap_or(match byte {
                    0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
                    _ => char::from(*byte),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_text_uses_the_code_page() {
        let latin = Collation::named("Latin1_General_CI_AS");
        let mut out = Vec::new();
        latin.encode("£5 – Café €", &mut out);
        assert_eq!(out, b"\xA35 \x96 Caf\xE9 \x80");
        assert_eq!(latin.decode(&out), "£5 – Café €");
        let turkish = Collation::named("Turkish_CI_AS");
        out.clear();
        turkish.encode("İğ", &mut out);
        assert_eq!((out.as_slice(), turkish.bytes()[0]), (&b"\xDD\xF0"[..], 0x1F));
    }
}
