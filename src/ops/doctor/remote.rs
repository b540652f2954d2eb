//! The remotes: can they be reached, and do they hold what the archive holds?

use super::{Check, Part, found, words};
use crate::{
    archive::{Archive, layout},
    config::{Config, RemoteConfig},
    error::Result,
    store,
};

const NAME: &str = "copy";

/// Looks at every remote.
pub(super) async fn look(config: &Config, archive: Option<&Archive>) -> Vec<Check> {
    if config.remotes.is_empty() {
        return vec![Check::warning(
            Part::Remotes,
            NAME,
            "no remote is set: the archive on this machine is the only copy",
            "Add a [[remote]] to the settings: a folder on a Nextcloud or any other WebDAV server.",
        )];
    }
    let local = archive.and_then(|archive| archive.snapshot_numbers().ok()).map(|numbers| numbers.len() as u64);
    let mut checks = Vec::new();
    for remote in &config.remotes {
        let there = count(config, remote).await;
        checks.push(found(Part::Remotes, NAME, there, |there| held(remote, there, local)).of(&remote.name));
    }
    checks
}

async fn count(config: &Config, remote: &RemoteConfig) -> Result<u64> {
    store::count_snapshots(&store::open_remote(remote, &config.archive.join(layout::REMOTES))?).await
}

fn held(remote: &RemoteConfig, there: u64, local: Option<u64>) -> Check {
    let place = format!("{} can be reached", remote.url);
    match local {
        Some(local) if there < local => Check::warning(
            Part::Remotes,
            NAME,
            format!(
                "{place} and holds {} of {} snapshots: the rest is on this machine alone",
                words::number(there),
                words::number(local)
            ),
            "Run `tillvault push`, and see that a schedule runs `tillvault nightly`.",
        ),
        _ => Check::ok(
            Part::Remotes,
            NAME,
            format!("{place} and holds {}", words::counted(usize::try_from(there).unwrap_or(usize::MAX), "snapshot")),
        ),
    }
}
