//! Which snapshots to keep, as values: counts per period, tags, spans of time.
//!
//! A rule is written the same way on the command line and in the settings. What cannot be meant (a negative span, a span of
//! minutes, where `6m` may have been typed for six months) is refused in words, never guessed.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// How many of something are kept: so many of the newest, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The newest so many; 0 keeps none.
    Newest(u32),
    /// Every one.
    All,
}

impl Count {
    /// Keeps none: the rule is not there.
    pub const NONE: Self = Self::Newest(0);

    /// Whether the rule keeps one more when it has kept `kept`.
    #[must_use]
    pub fn has_room(self, kept: usize) -> bool {
        match self {
            Self::Newest(most) => kept < most as usize,
            Self::All => true,
        }
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(number) => number.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Newest).map_err(|_| format!("{text:?} is neither a number nor \"all\"")),
        }
    }
}

/// A length of time on the calendar, such as `2d`, `36h`, `8 weeks`, `1y 6mo`. Nothing below an hour.
#[derive(Clone, Copy, Debug)]
pub struct Within(Span);

impl Within {
    /// The span to count back.
    #[must_use]
    pub fn span(self) -> Span {
        self.0
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = span(text)?;
        let small = span.get_minutes() != 0
            || span.get_seconds() != 0
            || span.get_milliseconds() != 0
            || span.get_microseconds() != 0
            || span.get_nanoseconds() != 0;
        if small {
            return Err(format!("{text:?} goes below an hour; months are written \"mo\": 6mo"));
        }
        if !span.is_positive() {
            return Err(format!("{text:?} is no time: give one such as 2d, 36h or \"1y 6mo\""));
        }
        Ok(Self(span))
    }
}

/// How long a chunk that nothing names is left in peace: `24h`, `90 minutes`, `3d` (of 24 hours each), `0`.
///
/// # Errors
/// In words, when it is no length of time, is negative, or is counted in months or years.
pub fn grace(text: &str) -> Result<SignedDuration, String> {
    if text.trim() == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let span = span(text)?;
    if span.is_negative() {
        return Err(format!("{text:?} is negative"));
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("{text:?} is no fixed length of time: count it in days or hours"))
}

fn span(text: &str) -> Result<Span, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is no length of time: give one such as 2d, 36h or \"8 weeks\""))
}

/// What to keep. A snapshot is kept when any rule keeps it.
#[derive(Clone, Debug, Default)]
pub struct KeepRules {
    /// Snapshots with any of these tags.
    pub tags: BTreeSet<String>,
    /// Everything taken within this time before the newest.
    pub within: Option<Within>,
    /// The newest so many.
    pub last: Count,
    /// The newest of each hour that has any, for so many hours.
    pub hourly: Count,
    /// Of each day.
    pub daily: Count,
    /// Of each week, Monday to Sunday.
    pub weekly: Count,
    /// Of each month.
    pub monthly: Count,
    /// Of each year.
    pub yearly: Count,
}

impl KeepRules {
    /// What is kept where nothing else is said: every nightly snapshot and one a day for ever, all of two days, one an hour
    /// for a week.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            tags: ["nightly".to_owned()].into(),
            within: Some(Within(Span::new().days(2))),
            hourly: Count::Newest(24 * 7),
            daily: Count::All,
            ..Self::default()
        }
    }

    /// Whether no rule keeps anything: then nothing must be forgotten by them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        self.tags.is_empty() && self.within.is_none() && counts.iter().all(|count| *count == Count::NONE)
    }
}

impl fmt::Display for KeepRules {
    /// `keep tag nightly, within 2d, hourly 168, daily all`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules: Vec<String> = self.tags.iter().map(|tag| format!("tag {tag}")).collect();
        rules.extend(self.within.map(|within| format!("within {within}")));
        let counts = [
            ("last", self.last),
            ("hourly", self.hourly),
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
            ("yearly", self.yearly),
        ];
        rules.extend(counts.iter().filter(|(_, n)| *n != Count::NONE).map(|(name, n)| format!("{name} {n}")));
        write!(f, "keep {}", if rules.is_empty() { "nothing".into() } else { rules.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_spans_are_read_and_written() {
        assert_eq!("all".parse(), Ok(Count::All));
        assert_eq!("7".parse(), Ok(Count::Newest(7)));
        for wrong in ["", "-1", "ALLE", "1.5"] {
            assert!(wrong.parse::<Count>().unwrap_err().contains("number"), "{wrong}");
        }
        for (text, shown) in [("2 days", "2d"), ("36h", "36h"), ("1y6mo", "1y 6mo"), ("P8W", "8w")] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), shown);
        }
        assert_eq!(KeepRules::usual().to_string(), "keep tag nightly, within 2d, hourly 168, daily all");
        assert_eq!(KeepRules::default().to_string(), "keep nothing");
    }

    #[test]
    fn a_span_that_cannot_be_meant_is_refused() {
        for (wrong, word) in
            [("1y6m", "6mo"), ("30 minutes", "below an hour"), ("-2d", "no time"), ("0d", "no time"), ("2", "2d")]
        {
            let message = wrong.parse::<Within>().unwrap_err();
            assert!(message.contains(word), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_grace_is_a_fixed_length() {
        assert_eq!(grace("0"), Ok(SignedDuration::ZERO));
        assert_eq!(grace("1d"), Ok(SignedDuration::from_hours(24)));
        assert_eq!(grace("90 minutes"), Ok(SignedDuration::from_mins(90)));
        for wrong in ["1mo", "-1h", "soon", "24"] {
            grace(wrong).unwrap_err();
        }
    }

    #[test]
    fn rules_of_zero_are_no_rules() {
        assert!(KeepRules { daily: Count::Newest(0), ..KeepRules::default() }.is_empty());
        for rules in [
            KeepRules { daily: Count::Newest(1), ..KeepRules::default() },
            KeepRules { tags: ["a".to_owned()].into(), ..KeepRules::default() },
            KeepRules { within: "1h".parse().ok(), ..KeepRules::default() },
        ] {
            assert!(!rules.is_empty());
        }
    }
}
