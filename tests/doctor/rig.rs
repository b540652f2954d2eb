//! A site with a till, and what `doctor` says of it.

use jiff::tz::TimeZone;
use serde_json::Value;
use tillvault::demo::{About, TillOptions};

use crate::support::{Ran, Site, options};

/// Options of a till with a day of trade that says this of itself.
pub(crate) fn about(about: About) -> TillOptions {
    let mut options = TillOptions { days: 1, tickets_per_day: 20, ..options() };
    options.engine.about = About { seconds_east: Some(0), ..about };
    options
}

/// A site whose till's clock is right: the settings say UTC.
pub(crate) fn site(options: TillOptions) -> Site {
    let site = Site::new(options);
    let settings = std::fs::read_to_string(site.path("tillvault.toml")).unwrap();
    std::fs::write(site.path("tillvault.toml"), settings.replace("Europe/London", "UTC")).unwrap();
    private(&site);
    site.till.engine().set_clock(jiff::Timestamp::now().to_zoned(TimeZone::UTC).datetime());
    site
}

/// Takes the right to read the passwords from everybody else.
fn private(site: &Site) {
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["till.password", "cloud.password"] {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Replaces a text in the settings.
pub(crate) fn change(site: &Site, from: &str, to: &str) {
    let settings = std::fs::read_to_string(site.path("tillvault.toml")).unwrap();
    assert!(settings.contains(from), "no {from} in {settings}");
    std::fs::write(site.path("tillvault.toml"), settings.replace(from, to)).unwrap();
}

/// What was said, as JSON.
pub(crate) struct Said {
    pub(crate) code: i32,
    checks: Vec<Value>,
    pub(crate) summary: Value,
}

impl Said {
    pub(crate) fn by(site: &Site, arguments: &[&str]) -> Self {
        let ran = site.run(&[&["doctor", "--json"], arguments].concat());
        let json = ran.json();
        Self { code: ran.code, checks: json["checks"].as_array().unwrap().clone(), summary: json["summary"].clone() }
    }

    /// The check of that name.
    #[track_caller]
    pub(crate) fn check(&self, name: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name} in {:#?}", self.checks))
    }

    /// Asserts a verdict and words of the message.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, verdict: &str, words: &[&str]) -> &Self {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check:#}");
        for word in words {
            assert!(check["message"].as_str().unwrap().contains(word), "no '{word}' in {check:#}");
        }
        assert!(verdict != "failed" && verdict != "warning" || check["fix"].is_string(), "no fix: {check:#}");
        self
    }

    /// Names of all checks that do not say `ok`.
    pub(crate) fn not_ok(&self) -> Vec<String> {
        let bad = self.checks.iter().filter(|check| check["verdict"] != "ok");
        bad.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn statements(&self, name: &str) -> Vec<String> {
        let lines = self.check(name)["statements"].as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.checks.iter().map(|check| check["name"].as_str().unwrap()).collect()
    }
}

/// The text of an answer with all that differs from run to run replaced.
pub(crate) fn steady(site: &Site, ran: &Ran) -> String {
    let folder = site.folder.path().display().to_string();
    let mut text = ran.stdout.replace(&folder, "FOLDER");
    for (before, after, by) in [
        ("ok         port           port ", " takes", "PORT"),
        ("answer take ", " ms", "0.2"),
        ("till says ", ",", "12:00:00"),
        ("opened at ", "\n", "2026-01-05 12:00"),
    ] {
        if let Some(start) = text.find(before).map(|at| at + before.len())
            && let Some(length) = text[start..].find(after)
        {
            text.replace_range(start..start + length, by);
        }
    }
    // A time of more digits, as a busy machine measures, moves the end of its line.
    let indent = " ".repeat(28);
    let text = text.replace(&format!(" the\n{indent}program as"), &format!(" the program\n{indent}as"));
    let lines = text
        .lines()
        .map(|line| if line.contains("free on its disk") { "  ok         space          (free)" } else { line });
    lines.map(|line| format!("{line}\n")).collect()
}
