//! The replica: does it hold what the archive holds?

use super::{Check, Part, found};
use crate::{archive::Archive, config::Config, error::Result, replica::Replica};

const NAME: &str = "loaded";

/// Looks at the replica, unless looking would create it.
pub(super) async fn look(config: &Config, archive: Option<&Archive>) -> Check {
    let Some(latest) = archive.and_then(|archive| archive.latest().ok().flatten()) else {
        return Check::ok(Part::Replica, NAME, "there is nothing to load before the first snapshot");
    };
    if config.replica.url.is_none() && !Replica::private_cluster_exists(&config.data) {
        return Check::ok(Part::Replica, NAME, "the first `tillvault load` will make a private PostgreSQL");
    }
    let loaded: Result<u64> = async {
        let replica = Replica::open(&config.replica, &config.data, &latest.source.database).await?;
        let loaded = replica.loaded_through().await;
        replica.close().await?;
        Ok(loaded?.unwrap_or(0))
    }
    .await;
    found(Part::Replica, NAME, loaded, |loaded| {
        if loaded < latest.snapshot {
            let behind = latest.snapshot - loaded;
            let message =
                format!("it is {behind} of {} snapshots behind: reports are older than the archive", latest.snapshot);
            Check::warning(Part::Replica, NAME, message, "Run `tillvault load`.")
        } else {
            Check::ok(Part::Replica, NAME, format!("it holds everything through snapshot {loaded}"))
        }
    })
}
