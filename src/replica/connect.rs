//! Signing in to `PostgreSQL` and making the schema ready: one clear message per cause.

use std::path::Path;

use refinery::{Migration, Runner};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
    error::SqlState,
};

use super::{cluster, programs::OLDEST};
use crate::{
    error::{Error, Kind, Result},
    model::identifier::quoted,
};

/// The migrations in order. A released one is never edited: a change is a new file.
const MIGRATIONS: &[(&str, &str)] = &[("V1__sambapos_tables", include_str!("migrations/V1__sambapos_tables.sql"))];

/// Where the applied migrations are noted, in the replica's schema.
const MIGRATION_TABLE: &str = "tillvault_migrations";

/// Serialises migrations of several processes; any fixed number would do.
const MIGRATION_LOCK: i64 = 0x0074_696c_6c76_6c74;

/// Connects to the private cluster; makes its database the first time.
///
/// # Errors
/// `Replica` when the server does not answer.
pub(crate) async fn to_cluster(socket: &Path) -> Result<(Client, JoinHandle<()>)> {
    let mut config = Config::new();
    config.host_path(socket).port(cluster::PORT).user(cluster::USER).dbname(cluster::DATABASE);
    config.application_name("tillvault");
    match connect(&config).await {
        Err(cause) if cause.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
            let mut first = config.clone();
            first.dbname("postgres");
            let (client, task) = connect(&first).await.map_err(|cause| refused(&first, cause))?;
            let made = client.batch_execute(&format!("CREATE DATABASE {}", quoted(cluster::DATABASE))).await;
            drop(client);
            task.abort();
            match made {
                // Another process was quicker.
                Err(cause)
                    if matches!(cause.code(), Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION)) => {}
                made => made.map_err(|cause| failed("the database of the replica cannot be made", cause))?,
            }
            connect(&config).await
        }
        other => other,
    }
    .map_err(|cause| refused(&config, cause))
}

/// Connects to the server of a URL.
///
/// # Errors
/// `Config` for a URL that makes no sense or asks for TLS; `Credentials` when the server refuses user or password; `Replica`,
/// temporary, when it cannot be reached.
pub(crate) async fn to_url(url: &SecretString) -> Result<(Client, JoinHandle<()>)> {
    // The cause is not chained: it could quote parts of the URL.
    let mut config: Config = url.expose_secret().parse().map_err(|_| {
        Error::new(Kind::Config, "the URL of the replica is not a PostgreSQL URL").hint(
            "write [replica] url as postgresql://user:password@host:5432/database; sslmode may be disable or prefer",
        )
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(Error::new(
            Kind::Config,
            "the URL of the replica asks for TLS (sslmode=require), which tillvault does not speak with PostgreSQL yet",
        )
        .hint("reach the server over a socket, the loopback interface or a tunnel, and leave sslmode out"));
    }
    if config.get_hosts().is_empty() {
        return Err(Error::new(Kind::Config, "the URL of the replica names no server")
            .hint("write it as postgresql://user:password@host:5432/database"));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(30));
    }
    config.application_name("tillvault");
    connect(&config).await.map_err(|cause| refused(&config, cause))
}

async fn connect(config: &Config) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // A broken connection shows in the next statement, so its own result adds nothing.
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok((client, task))
}

/// Checks the server, makes the schema and brings it up to date; afterwards it leads the search path.
///
/// # Errors
/// `Replica` when the server is too old, its database is not UTF-8, rights are missing, or a migration fails.
pub(crate) async fn prepare(client: &mut Client, schema: &str) -> Result<()> {
    let about = client
        .query_one("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')", &[])
        .await
        .map_err(|cause| failed("the server of the replica does not say which version it is", cause))?;
    let (version, encoding): (i32, String) = (about.get(0), about.get(1));
    if version / 10_000 < i32::try_from(OLDEST).unwrap_or(i32::MAX) {
        return Err(Error::new(Kind::Replica, format!("the server of the replica is PostgreSQL {}", version / 10_000))
            .hint(format!("PostgreSQL {OLDEST} or newer is needed")));
    }
    if encoding != "UTF8" {
        return Err(Error::new(Kind::Replica, format!("the replica's database is encoded as {encoding}, not UTF8"))
            .hint("make another one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"));
    }
    let locked = |cause| failed("the replica's schema cannot be locked", cause);
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(locked)?;
    let migrated = migrate(client, schema).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await.map_err(locked)?;
    migrated
}

async fn migrate(client: &mut Client, schema: &str) -> Result<()> {
    let name = quoted(schema);
    let there = client
        .query_one("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", &[&schema])
        .await
        .map_err(|cause| failed("the replica's schemas cannot be listed", cause))?;
    if !there.get::<_, bool>(0) {
        client
            .batch_execute(&format!("CREATE SCHEMA {name}"))
            .await
            .map_err(|cause| failed(&format!("the schema {name} of the replica cannot be made"), cause))?;
    }
    client
        .batch_execute(&format!("SET search_path TO {name}"))
        .await
        .map_err(|cause| failed(&format!("the schema {name} cannot be used"), cause))?;
    let broken = |cause: refinery::Error| {
        let message = format!("the tables of the replica in schema {name} cannot be brought up to date");
        Error::new(Kind::Replica, message).caused_by(cause).hint(
            "the account needs the right to create tables in that schema; if a newer tillvault made the tables, use that one",
        )
    };
    let steps = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    let mut runner = Runner::new(&steps);
    runner.set_migration_table_name(MIGRATION_TABLE);
    runner.run_async(client).await.map_err(broken)?;
    Ok(())
}

fn refused(config: &Config, cause: tokio_postgres::Error) -> Error {
    let server = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let server = server.collect::<Vec<_>>().join(", ");
    let database = config.get_dbname().or(config.get_user()).unwrap_or("?").to_owned();
    let no_password =
        std::error::Error::source(&cause).is_some_and(|inner| inner.to_string().contains("password missing"));
    let (kind, message, hint) = match cause.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => (
            Kind::Credentials,
            format!("PostgreSQL at {server} refuses the user or password of the replica"),
            "check user and password in [replica] url, and pg_hba.conf on the server",
        ),
        None if no_password => (
            Kind::Credentials,
            format!("PostgreSQL at {server} asks for a password, and the replica's URL has none"),
            "add the password to [replica] url",
        ),
        Some(&SqlState::INVALID_CATALOG_NAME) => (
            Kind::Replica,
            format!("PostgreSQL at {server} has no database {database}"),
            "make it: CREATE DATABASE … ENCODING 'UTF8'",
        ),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => (
            Kind::Replica,
            format!("the replica's user may not connect to database {database} at {server}"),
            "GRANT CONNECT ON DATABASE … TO …",
        ),
        Some(_) => (
            Kind::Replica,
            format!("PostgreSQL at {server} takes no connection now"),
            "look at the server's log, or try again later",
        ),
        None => (
            Kind::Replica,
            format!("PostgreSQL at {server} cannot be reached"),
            "check that the server runs and that host and port in [replica] url are right",
        ),
    };
    let gone = matches!(
        cause.code(),
        None | Some(&SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS | &SqlState::ADMIN_SHUTDOWN)
    );
    let error = Error::new(kind, message).hint(hint).caused_by(cause);
    if gone && kind == Kind::Replica { error.temporary() } else { error }
}

/// A statement that failed: what was attempted, and what to do where there is something to say.
pub(crate) fn failed(what: &str, cause: tokio_postgres::Error) -> Error {
    let code = cause.code().cloned();
    let lost = cause.is_closed() || code.is_none();
    let error = Error::new(Kind::Replica, what).caused_by(cause);
    match code {
        None if lost => error.hint("the connection to PostgreSQL was lost; try again").temporary(),
        Some(SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW) => {
            error.hint("PostgreSQL was stopped or restarted; try again").temporary()
        }
        Some(SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE | SqlState::LOCK_NOT_AVAILABLE) => {
            error.hint("another program uses the tables; try again").temporary()
        }
        Some(SqlState::INSUFFICIENT_PRIVILEGE) => error.hint(
            "the account needs the rights to create and write the replica's tables: GRANT CREATE ON DATABASE … TO …, or make the schema for it and GRANT ALL ON SCHEMA … TO …",
        ),
        Some(SqlState::DISK_FULL) => error.hint("the disk of PostgreSQL is full").temporary(),
        _ => error,
    }
}
