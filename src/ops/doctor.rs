//! `doctor`: is everything a run needs there, and if not, what is to be done?
//!
//! Looks at each part on its own, so that one broken part does not hide the next. Changes nothing: the replica is opened
//! only where that creates nothing (a private cluster that does not exist yet is reported as such).

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Result},
    replica::Replica,
    source::{Source as _, sqlserver::SqlServer},
    store,
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fine.
    Ok,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Failed,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub part: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Exit code of the failure behind it.
    #[serde(skip)]
    pub exit_code: u8,
}

impl Check {
    fn ok(part: impl Into<String>, message: impl Into<String>) -> Self {
        Self { part: part.into(), verdict: Verdict::Ok, message: message.into(), fix: None, exit_code: 0 }
    }

    fn warning(part: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            part: part.into(),
            verdict: Verdict::Warning,
            message: message.into(),
            fix: Some(fix.into()),
            exit_code: 3,
        }
    }

    fn failed(part: impl Into<String>, error: &Error) -> Self {
        Self {
            part: part.into(),
            verdict: Verdict::Failed,
            message: with_cause(error),
            fix: error.next_step().map(Into::into),
            exit_code: error.exit_code(),
        }
    }
}

/// The message and what lies right behind it.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{} ({cause})", error.message()),
        None => error.message().to_owned(),
    }
}

/// The JSON of `doctor`.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The checks, in the order data flows.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Exit code of the first failure, else 3 when something is to be looked at, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let failed = self.checks.iter().find(|check| check.verdict == Verdict::Failed);
        let warned = self.checks.iter().find(|check| check.verdict == Verdict::Warning);
        failed.or(warned).map_or(0, |check| check.exit_code)
    }
}

/// Looks at till, archive, remotes and replica.
pub async fn doctor(config: &Config) -> Diagnosis {
    let mut checks = till(config).await;
    let archive = Archive::open(&config.archive);
    checks.push(match &archive {
        Ok(archive) => archive_state(archive).await.unwrap_or_else(|error| Check::failed("archive", &error)),
        Err(error) => Check::failed("archive", error),
    });
    if config.remotes.is_empty() {
        checks.push(Check::warning(
            "remote",
            "no remote is configured: the archive on this machine is the only copy",
            "add a [[remote]] to the settings",
        ));
    }
    for remote in &config.remotes {
        let part = format!("remote {}", remote.name);
        checks.push(match remote_state(remote).await {
            Ok(message) => Check::ok(part, message),
            Err(error) => Check::failed(part, &error),
        });
    }
    checks.push(replica(config, archive.ok().as_ref()).await);
    Diagnosis { checks }
}

async fn till(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let result: Result<()> = async {
        let settings = config.till()?;
        let mut till = SqlServer::connect(settings).await?;
        let info = till.describe().await?;
        checks.push(Check::ok(
            "till",
            format!(
                "{} on {}: SQL Server {} ({}), collation {}, signed in as {}",
                info.database, info.server, info.version, info.edition, info.collation, info.login
            ),
        ));
        if info.snapshot_isolation {
            checks.push(Check::ok("till state", "snapshot isolation is allowed: one read transaction per run"));
        } else {
            checks.push(Check::ok(
                "till state",
                "snapshot isolation is off: what moves while reading is read again (an administrator may allow it with ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON)",
            ));
        }
        let tables = till.tables(&settings.tables).await?;
        let left_out: Vec<String> = tables
            .iter()
            .flat_map(|table| table.left_out.iter().map(move |column| format!("{}.{column}", table.name)))
            .collect();
        checks.push(Check::ok("till tables", format!("{} tables can be seen", tables.len())));
        if !left_out.is_empty() {
            checks.push(Check::ok("till secrets", format!("left out: {}", left_out.join(", "))));
        }
        for table in &tables {
            if let Some(column) = table.unsupported() {
                checks.push(Check::warning(
                    "till types",
                    format!("{}.{} has type {}, which cannot be kept exactly", table.name, column.name, column.sql_type),
                    "exclude the table under [tables], or expect a warning on every run",
                ));
            }
        }
        Ok(())
    }
    .await;
    if let Err(error) = result {
        checks.push(Check::failed("till", &error));
    }
    checks
}

async fn archive_state(archive: &Archive) -> Result<Check> {
    let place = archive.root().display();
    let Some(latest) = archive.latest()? else {
        return Ok(Check::warning("archive", format!("{place}: no snapshot yet"), "run `tillvault snapshot`"));
    };
    let age = Timestamp::now().duration_since(latest.taken_at);
    let message = format!("{place}: newest snapshot {}, {} h old", latest.snapshot, age.as_hours());
    Ok(if age.as_hours() > 26 {
        Check::warning("archive", message, "run `tillvault nightly`, and see that a schedule does")
    } else {
        Check::ok("archive", message)
    })
}

async fn remote_state(remote: &crate::config::RemoteConfig) -> Result<String> {
    let opened = store::open_remote(remote)?;
    let snapshots = store::count_snapshots(&opened).await?;
    Ok(format!("{}: reachable, {snapshots} snapshots there", remote.url))
}

async fn replica(config: &Config, archive: Option<&Archive>) -> Check {
    let latest = match archive {
        Some(archive) => archive.latest().ok().flatten(),
        None => None,
    };
    let Some(latest) = latest else {
        return Check::ok("replica", "nothing to look at before the first snapshot");
    };
    if config.replica.url.is_none() && !Replica::private_cluster_exists(&config.data) {
        return Check::ok("replica", "private PostgreSQL: will be created by the first `tillvault load`");
    }
    let result: Result<Check> = async {
        let replica = Replica::open(&config.replica, &config.data, &latest.source.database).await?;
        let loaded = replica.loaded_through().await;
        replica.close().await?;
        let loaded = loaded?.unwrap_or(0);
        let message = format!("holds snapshots through {loaded} of {}", latest.snapshot);
        Ok(if loaded < latest.snapshot {
            Check::warning("replica", message, "run `tillvault load`")
        } else {
            Check::ok("replica", message)
        })
    }
    .await;
    result.unwrap_or_else(|error| Check::failed("replica", &error))
}
