//! `n/m`: which share of the chunks a check reads, so that a schedule covers everything in m runs.

use std::fmt;

use jiff::Timestamp;

use crate::error::{Error, Kind, Result};

/// The `part`-th of `of` parts. A chunk's part follows from its own hash, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    part: u64,
    of: u64,
}

impl Part {
    /// Everything.
    pub const ALL: Self = Self { part: 1, of: 1 };

    /// Reads `3/7`, or `today/7`: the part whose turn it is on the (UTC) day of `now`.
    ///
    /// # Errors
    /// `Usage` for anything else.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let wrong = || {
            Error::new(Kind::Usage, format!("{text:?} is no part of the chunks"))
                .hint("write n/m with n from 1 to m, such as 3/7, or today/7")
        };
        let (part, of) = text.split_once('/').ok_or_else(wrong)?;
        let of: u64 = of.parse().ok().filter(|of| *of > 0).ok_or_else(wrong)?;
        let part = match part {
            "today" => now.as_second().div_euclid(86_400).rem_euclid(i64::try_from(of).map_err(|_| wrong())?) + 1,
            number => number.parse().map_err(|_| wrong())?,
        };
        let part = u64::try_from(part).ok().filter(|part| (1..=of).contains(part)).ok_or_else(wrong)?;
        Ok(Self { part, of })
    }

    /// The part of `of` whose turn it is on the (UTC) day of `now`: `today/of`. All of it when `of` is 0 or 1.
    #[must_use]
    pub fn daily(of: u64, now: Timestamp) -> Self {
        let days = now.as_second().div_euclid(86_400);
        let turn = i64::try_from(of).ok().and_then(|of| days.checked_rem_euclid(of));
        let part = turn.and_then(|turn| u64::try_from(turn).ok());
        part.map_or(Self::ALL, |part| Self { part: part + 1, of })
    }

    /// Whether the chunk of that file hash is in this part: its first eight bytes, as a number with the highest byte first,
    /// modulo the number of parts.
    #[must_use]
    pub fn holds(&self, hash: &[u8; 32]) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *hash;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % self.of == self.part - 1
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_strictly() {
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = day("1970-01-10T23:59:59Z");
        for (text, shown) in [("1/1", "1/1"), ("7/7", "7/7"), ("today/7", "3/7"), ("today/1", "1/1")] {
            assert_eq!(Part::parse(text, now).unwrap().to_string(), shown);
        }
        assert_eq!(Part::parse("today/7", day("1970-01-11T00:00:00Z")).unwrap().to_string(), "4/7");
        assert_eq!(Part::daily(7, now), Part::parse("today/7", now).unwrap());
        assert_eq!(Part::daily(0, now), Part::ALL);
        for text in ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/3", "1/3/5", "today", "1/18446744073709551616"] {
            assert_eq!(Part::parse(text, now).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn every_chunk_is_in_exactly_one_part() {
        let now = Timestamp::UNIX_EPOCH;
        let parts: Vec<Part> = (1..=5).map(|part| Part::parse(&format!("{part}/5"), now).unwrap()).collect();
        let mut each = [0; 5];
        for index in 0..500u32 {
            let hash = blake3::hash(&index.to_le_bytes());
            let holding: Vec<usize> = (0..5).filter(|part| parts[*part].holds(hash.as_bytes())).collect();
            assert_eq!(holding.len(), 1);
            each[holding[0]] += 1;
            assert!(Part::ALL.holds(hash.as_bytes()));
        }
        assert!(each.iter().all(|count| (60..140).contains(count)), "{each:?}");
    }
}
