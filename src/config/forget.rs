//! `[forget]` and `[prune]`: which snapshots stay, and how long unused chunks do.

use jiff::SignedDuration;
use serde::Deserialize;

use crate::{
    error::{Error, Kind, Result},
    model::keep::{self, Count, KeepRules},
};

/// `[forget]`: which snapshots stay, for `forget` without rules of its own and for `nightly`.
#[derive(Clone, Debug)]
pub struct ForgetConfig {
    /// Whether `nightly` forgets and prunes.
    pub enabled: bool,
    /// What is kept.
    pub keep: KeepRules,
    /// Whether `nightly` keeps what a configured remote is not known to hold, whatever the rules say.
    pub wait_for_remotes: bool,
}

/// `[prune]`.
#[derive(Clone, Copy, Debug)]
pub struct PruneConfig {
    /// How long a chunk that no snapshot names is left in peace.
    pub grace: SignedDuration,
    /// Whether `nightly` takes from the remotes, too, what was forgotten here.
    pub remotes: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetSection {
    enabled: Option<bool>,
    wait_for_remotes: Option<bool>,
    keep_tags: Option<Vec<String>>,
    keep_within: Option<String>,
    keep_last: Option<WrittenCount>,
    keep_hourly: Option<WrittenCount>,
    keep_daily: Option<WrittenCount>,
    keep_weekly: Option<WrittenCount>,
    keep_monthly: Option<WrittenCount>,
    keep_yearly: Option<WrittenCount>,
}

/// `168` or `"all"`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or \"all\"")]
enum WrittenCount {
    Number(u32),
    Word(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneSection {
    grace: Option<String>,
    remotes: Option<bool>,
}

/// Each rule that is not set is the usual one; 0, or an empty list, takes it away.
pub(super) fn forget(section: ForgetSection) -> Result<ForgetConfig> {
    let wrong = |key: &str, what: String| Error::new(Kind::Config, format!("{key} under [forget]: {what}"));
    let count = |key: &str, written: Option<WrittenCount>, usual: Count| match written {
        None => Ok(usual),
        Some(WrittenCount::Number(number)) => Ok(Count::Newest(number)),
        Some(WrittenCount::Word(word)) => word.parse().map_err(|what| wrong(key, what)),
    };
    let usual = KeepRules::usual();
    let keep = KeepRules {
        tags: section.keep_tags.map_or(usual.tags, |tags| tags.into_iter().collect()),
        within: match section.keep_within.as_deref() {
            None => usual.within,
            Some("0") => None,
            Some(text) => Some(text.parse().map_err(|what| wrong("keep_within", what))?),
        },
        last: count("keep_last", section.keep_last, usual.last)?,
        hourly: count("keep_hourly", section.keep_hourly, usual.hourly)?,
        daily: count("keep_daily", section.keep_daily, usual.daily)?,
        weekly: count("keep_weekly", section.keep_weekly, usual.weekly)?,
        monthly: count("keep_monthly", section.keep_monthly, usual.monthly)?,
        yearly: count("keep_yearly", section.keep_yearly, usual.yearly)?,
    };
    if keep.is_empty() {
        return Err(Error::new(Kind::Config, "the rules under [forget] keep nothing")
            .hint("set one of them, or enabled = false, so that nothing is ever forgotten"));
    }
    let wait_for_remotes = section.wait_for_remotes.unwrap_or(true);
    Ok(ForgetConfig { enabled: section.enabled.unwrap_or(true), keep, wait_for_remotes })
}

pub(super) fn prune(section: &PruneSection) -> Result<PruneConfig> {
    let grace = keep::grace(section.grace.as_deref().unwrap_or("24h"))
        .map_err(|what| Error::new(Kind::Config, format!("grace under [prune]: {what}")))?;
    Ok(PruneConfig { grace, remotes: section.remotes.unwrap_or(true) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("tillvault.toml"), Path::new("/site"), &|_| None)
    }

    #[test]
    fn rules_of_forgetting_are_the_usual_ones_where_nothing_is_set() {
        let config = parse("").unwrap();
        assert!(config.forget.enabled);
        assert_eq!(config.forget.keep.to_string(), "keep tag nightly, within 2d, hourly 168, daily all");
        assert_eq!(config.prune.grace, SignedDuration::from_hours(24));
        assert!(config.forget.wait_for_remotes && config.prune.remotes);
        let config = parse("[forget]\nwait_for_remotes = false\n[prune]\nremotes = false").unwrap();
        assert!(!config.forget.wait_for_remotes && !config.prune.remotes);
        let config = parse(
            "[forget]\nenabled = false\nkeep_tags = ['gold']\nkeep_within = '0'\nkeep_hourly = 0\nkeep_yearly = 'all'\n\
             [prune]\ngrace = '3d'",
        )
        .unwrap();
        assert!(!config.forget.enabled);
        assert_eq!(config.forget.keep.to_string(), "keep tag gold, daily all, yearly all");
        assert_eq!(config.prune.grace, SignedDuration::from_hours(72));
    }

    #[test]
    fn rules_that_cannot_be_meant_are_named() {
        for (text, word) in [
            ("[forget]\nkeep_daily = 'ever'", "keep_daily"),
            ("[forget]\nkeep_daily = -1", "\"all\""),
            ("[forget]\nkeep_within = '6m'", "6mo"),
            ("[forget]\nkeep_tags = []\nkeep_within = '0'\nkeep_hourly = 0\nkeep_daily = 0", "keep nothing"),
            ("[prune]\ngrace = '1 month'", "grace"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().contains(word), "{text}: {error}");
        }
    }
}
