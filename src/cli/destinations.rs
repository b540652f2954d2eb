//! The remotes of a command: which ones, and how fast they may be written to, also while it runs.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Context;
use crate::{
    config::{Config, RemoteConfig},
    error::{Error, Kind, Result},
    ops::push::Destinations,
};

/// How often the settings are looked at again while a push runs.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The remotes of the settings with these names; all of them without any.
pub(super) fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a RemoteConfig>> {
    if config.remotes.is_empty() {
        return Err(Error::new(Kind::Config, "no remote is configured").hint("add a [[remote]] to tillvault.toml"));
    }
    for name in names {
        if !config.remotes.iter().any(|remote| remote.name == *name) {
            let known: Vec<&str> = config.remotes.iter().map(|remote| remote.name.as_str()).collect();
            return Err(Error::new(Kind::Usage, format!("there is no remote \"{name}\" in the settings"))
                .hint(format!("known remotes: {}", known.join(", "))));
        }
    }
    Ok(config.remotes.iter().filter(|remote| names.is_empty() || names.contains(&remote.name)).collect())
}

/// The remote of that name; without one, the only one or the first.
pub(super) fn one<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a RemoteConfig> {
    let names: Vec<String> = name.map(str::to_owned).into_iter().collect();
    chosen(config, &names)?.first().copied().ok_or_else(|| Error::new(Kind::Config, "no remote is configured"))
}

/// Keeps the limits of the remotes as the settings say, for as long as it lives.
pub(super) struct Limits(Option<JoinHandle<()>>);

impl Drop for Limits {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sets the limits: `fixed` when it is given, else those of the settings, which are looked at again every few seconds.
pub(super) fn limit(destinations: &Destinations, config: &Config, fixed: Option<u64>, context: &Context) -> Limits {
    let throttles: Vec<_> =
        destinations.remotes.iter().map(|remote| (remote.name.clone(), remote.throttle.clone())).collect();
    let apply = move |config: &Config| {
        for (name, throttle) in &throttles {
            if let Some(remote) = config.remotes.iter().find(|remote| remote.name == *name) {
                throttle.set(fixed.unwrap_or(remote.rate_limit));
            }
        }
    };
    apply(config);
    if fixed.is_some() {
        return Limits(None);
    }
    let path = context.config.clone();
    Limits(Some(tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            // A file that is just being edited makes no sense for a moment; the limits stay as they are.
            if let Ok(config) = Config::load(path.as_deref()) {
                apply(&config);
            }
        }
    })))
}

/// Bytes a second from words such as `500k`, `2M`, `1.5 MB/s`; k is 1000 bytes, M a million, G a thousand million; 0 is no limit.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate: give bytes a second, such as 500k, 2M or 1.5M; 0 is no limit");
    let plain = text.trim().trim_end_matches("/s").trim_end();
    let end = plain.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(plain.len());
    let (number, unit) = plain.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if !(0.0..=1e15).contains(&bytes) {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds, and not negative")]
    Ok(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("2M", 2_000_000),
            ("2 MB/s", 2_000_000),
            ("1.5M", 1_500_000),
            ("500k", 500_000),
            ("800 kB", 800_000),
            ("123456", 123_456),
            ("1G", 1_000_000_000),
        ] {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "2 Mbit", "fast", "1e999", "2MiB"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
