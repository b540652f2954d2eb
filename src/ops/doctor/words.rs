//! Figures as people say them.

use std::time::Duration;

/// Most names a sentence lists.
const MOST_NAMES: usize = 8;

/// `40 MB`, `2.1 GB`: powers of 1024, as Windows counts.
pub(in crate::ops) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    let (mut whole, mut rest, mut unit) = (bytes / 1024, bytes % 1024, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest) = (whole / 1024, whole % 1024);
        unit += 1;
    }
    let tenths = rest * 10 / 1024;
    if whole < 10 && unit > 0 {
        format!("{whole}.{tenths} {}", UNITS[unit])
    } else {
        format!("{whole} {}", UNITS[unit])
    }
}

/// `1,204,112`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 table`, `83 tables`.
pub(super) fn counted(count: usize, one: &str) -> String {
    format!("{} {one}{}", number(count as u64), if count == 1 { "" } else { "s" })
}

/// The two largest units: `3 days 4 hours`, `1 hour`, `2 minutes 5 seconds`, `40 seconds`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("year", 365 * 86_400), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units.iter().skip(first).take(2) {
        let count = rest / size;
        rest %= size;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
        // Seconds beside hours tell nothing; neither do hours beside years.
        if count >= 10 {
            break;
        }
    }
    parts.truncate(2);
    if parts.get(1).is_some_and(|part| part.starts_with("0 ")) {
        parts.truncate(1);
    }
    parts.join(" ")
}

/// Names in one sentence: all of a few, else the first and how many more.
pub(super) fn names<T: ToString>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {} more", number(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(0), "0 KB");
        assert_eq!(bytes(8192), "8 KB");
        assert_eq!(bytes(5 << 20), "5.0 MB");
        assert_eq!(bytes((2 << 30) + (110 << 20)), "2.1 GB");
        assert_eq!(bytes(40 << 30), "40 GB");
        assert_eq!(number(1_204_112), "1,204,112");
        assert_eq!(number(12), "12");
        assert_eq!(time(Duration::from_secs(0)), "0 seconds");
        assert_eq!(time(Duration::from_secs(61)), "1 minute 1 second");
        assert_eq!(time(Duration::from_secs(3600)), "1 hour");
        assert_eq!(time(Duration::from_secs(3 * 86_400 + 4 * 3600 + 59)), "3 days 4 hours");
        assert_eq!(time(Duration::from_secs(40 * 86_400 + 4 * 3600)), "40 days");
        assert_eq!(names(&["a", "b"]), "a, b");
        assert_eq!(names(&(0..10).collect::<Vec<_>>()), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
