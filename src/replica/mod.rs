//! The `PostgreSQL` replica: the till's trade as eight normalised tables, loaded from the archive only (DESIGN D5, D6).
//!
//! [`Replica::open`] joins the private cluster (or connects to the configured server) and brings the schema up to date;
//! [`Replica::load`] loads one snapshot in one transaction. Callers load snapshots in order.
//!
//! Promises: rows are keyed by natural keys, so that a clear of the till with restarted Ids adds rows and never overwrites
//! any (DOMAIN §4); a ticket and its children are replaced together; a load happens wholly or not at all; loading a
//! snapshot again, or an older one, changes nothing; secrets (DOMAIN §11) never enter `raw_data`. A ticket that vanished is
//! kept: `cleared` stays in every report, `deleted` does not (DOMAIN §3.2). `PostgreSQL` text cannot hold U+0000: it is
//! stored as U+FFFD; the archive keeps the original.
//!
//! Never: reads the till, or asks for anything but the files of the archive folder. Start reading at [`load`].

mod cluster;
mod connect;
mod copy;
mod load;
mod merge;
mod normalise;
mod programs;
mod views;

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

pub use self::load::LoadOutcome;
use crate::{
    config::ReplicaConfig,
    error::{Error, Kind, OrFail, Result},
    model::identifier::quoted,
};

/// The eight tables, children first.
const TABLES: &[&str] = &[
    "sambapos_ticket_items",
    "sambapos_payments",
    "sambapos_transactions",
    "sambapos_tickets",
    "sambapos_menu_items",
    "sambapos_accounts",
    "sambapos_archives",
    "sambapos_replication_settings",
];

/// An open replica of one kitchen's till database.
///
/// Close it with [`Replica::close`]: the last user of the private cluster stops its server, which takes a moment. Dropping it
/// does the same, blocking, and hides failures.
#[derive(Debug)]
pub struct Replica {
    client: Client,
    connection: JoinHandle<()>,
    cluster: Option<cluster::Cluster>,
    config: ReplicaConfig,
    schema: String,
    source_database: String,
}

impl Replica {
    /// Opens the replica of `source_database`: with a URL configured, on that server; else on the private cluster under the
    /// data folder, which is made and started where needed. Then brings the tables up to date.
    ///
    /// # Errors
    /// `Config` for a wrong URL or a folder without the server programs; `Credentials` when the server refuses them;
    /// `Replica` otherwise: programs missing, server unreachable (temporary), older than 13, not UTF-8, rights missing.
    pub async fn open(config: &ReplicaConfig, data: &Path, source_database: &str) -> Result<Self> {
        let (client, connection, cluster) = match &config.url {
            Some(url) if !url.expose_secret().trim().is_empty() => {
                let (client, connection) = connect::to_url(url).await?;
                (client, connection, None)
            }
            _ => {
                let (data, programs) = (data.to_owned(), config.programs.clone());
                let cluster = blocking(move || cluster::Cluster::join(&data, programs.as_deref())).await?;
                let (client, connection) = connect::to_cluster(cluster.socket()).await?;
                (client, connection, Some(cluster))
            }
        };
        let mut replica = Self {
            client,
            connection,
            cluster,
            config: config.clone(),
            schema: quoted(&config.schema),
            source_database: source_database.to_owned(),
        };
        connect::prepare(&mut replica.client, &config.schema).await?;
        Ok(replica)
    }

    /// Whether a private cluster was ever made under this data folder. Makes none.
    #[must_use]
    pub fn private_cluster_exists(data: &Path) -> bool {
        cluster::home(data).is_dir()
    }

    /// Number of the newest snapshot that was loaded; `None` when none was.
    ///
    /// # Errors
    /// `Replica` when the server does not answer.
    pub async fn loaded_through(&self) -> Result<Option<u64>> {
        Ok(load::newest(&self.client, &self.schema, &self.scope()).await?.map(|newest| newest.number))
    }

    /// Checks that the archive in `root`, whose newest snapshot is `newest`, still holds the snapshot that was loaded last. An
    /// archive put back from an older copy numbers its next snapshots like those that were loaded, and holds others under them.
    ///
    /// # Errors
    /// `Replica` when the archive ends before that snapshot or holds another one under its number, or when the server fails.
    pub async fn check_continues(&self, root: &Path, newest: u64) -> Result<()> {
        load::check_continues(&self.client, &self.schema, &self.scope(), root, newest).await
    }

    /// Removes every row of this kitchen and source database, so that all snapshots can be loaded again (`--rebuild`).
    /// Settings of the kitchen stay; rows of other kitchens and databases are not touched.
    ///
    /// # Errors
    /// `Replica` when the server refuses; then nothing was removed.
    pub async fn reset(&mut self) -> Result<()> {
        let schema = self.schema.clone();
        let scope = self.scope();
        let failed = |cause| connect::failed("the rows of the replica cannot be removed", cause);
        let transaction = self.client.transaction().await.map_err(failed)?;
        for table in TABLES.iter().filter(|table| **table != "sambapos_replication_settings") {
            let sql = format!("DELETE FROM {schema}.{table} WHERE kitchen_id = $1 AND source_database = $2");
            transaction.execute(&sql, &[&scope.kitchen, &scope.database]).await.map_err(failed)?;
        }
        let settings = format!(
            "UPDATE {schema}.sambapos_replication_settings
             SET last_transaction_date = NULL, last_sync_status = NULL, last_error_message = NULL, records_synced_total = 0,
                 updated_at = now()
             WHERE kitchen_id = $1"
        );
        transaction.execute(&settings, &[&scope.kitchen]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// The connection. Its search path begins with the replica's schema.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The schema as a quoted identifier, to be put before a table's name.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Kitchen whose rows this is about.
    #[must_use]
    pub fn kitchen_id(&self) -> i32 {
        self.config.kitchen_id
    }

    /// Name of the till database whose rows this is about.
    #[must_use]
    pub fn source_database(&self) -> &str {
        &self.source_database
    }

    /// Folder of the private cluster; `None` on a configured server.
    #[must_use]
    pub fn cluster_folder(&self) -> Option<PathBuf> {
        self.cluster.as_ref().map(|cluster| cluster.folder().to_owned())
    }

    /// Folder of the private cluster's socket, for `psql -h <folder> -U tillvault tillvault`; `None` on a configured server.
    #[must_use]
    pub fn socket_folder(&self) -> Option<PathBuf> {
        self.cluster.as_ref().map(|cluster| cluster.socket().to_owned())
    }

    /// Ends the connection and gives up the share in the private cluster.
    ///
    /// # Errors
    /// `Replica` when the private server does not stop.
    pub async fn close(self) -> Result<()> {
        let Self { client, connection, cluster, .. } = self;
        drop(client);
        // Ends by itself once the client is gone; how, makes no difference.
        let _ = connection.await;
        match cluster {
            Some(cluster) => blocking(move || cluster.leave()).await,
            None => Ok(()),
        }
    }

    fn scope(&self) -> Scope {
        Scope { kitchen: self.config.kitchen_id, database: self.source_database.clone() }
    }
}

/// Whose rows a statement is about.
#[derive(Clone, Debug)]
struct Scope {
    kitchen: i32,
    database: String,
}

/// Runs work that blocks off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => Err(Error::new(Kind::Bug, "a step of the replica ended unexpectedly")).or_fail(Kind::Bug, || {
            format!(
                "a step of the replica ended unexpectedly ({})",
                if cause.is_panic() { "panic" } else { "cancelled" }
            )
        }),
    }
}
