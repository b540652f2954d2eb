//! What `doctor` wants to know of a till: facts, each asked on its own.
//!
//! [`reach()`] goes the way up to the sign-in; [`examine`] signs in and asks. What the facts mean, and what to do about them, is
//! the business of `ops::doctor`.
//!
//! Promises: only reads, with no more rights than `db_datareader`; a question the server refuses, or does not understand, or
//! has no time for, costs its own answer only; all of it ends within a bounded time; one connection at a time.

mod ask;
mod reach;
mod sample;

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, civil::DateTime};

pub use reach::{Greeting, Offer, Reach, reach};
pub use sample::Sample;

use super::{SqlServer, connect};
use crate::{
    config::TillConfig,
    error::Result,
    model::table::{Table, TableName},
};

/// The name under which an administrator sees tillvault in the server's list of sessions.
pub const APPLICATION: &str = connect::APPLICATION;

/// Time for all questions, the sample apart.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time the server may take to go on with one answer.
const STATEMENT: Duration = Duration::from_secs(10);

/// An answer of the till, or why there is none.
pub type Answer<T> = std::result::Result<T, Unanswered>;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// In words, the server's own where it gave a reason.
    pub reason: String,
}

/// What the server is.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// `@@SERVERNAME`.
    pub name: String,
    /// Product version, such as `14.0.1000.169`.
    pub version: String,
    /// Edition, such as `Express Edition (64-bit)`.
    pub edition: String,
    /// `@@VERSION`.
    pub version_text: String,
}

/// How the database compares text, and which isolation it offers.
#[derive(Clone, Debug)]
pub struct DatabaseFacts {
    /// Name, in the server's own case.
    pub name: String,
    /// Compatibility level, such as 140.
    pub compatibility: i64,
    /// Collation.
    pub collation: String,
    /// `snapshot_isolation_state`: 0 off, 1 on, 2 and 3 on the way.
    pub snapshot_isolation: i64,
    /// Whether plain readers see the last committed rows and wait for nobody.
    pub read_committed_snapshot: bool,
}

/// In which state the database is, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFacts {
    /// `ONLINE`, `RESTORING`, …
    pub status: String,
    /// `MULTI_USER`, `SINGLE_USER`, `RESTRICTED_USER`.
    pub user_access: String,
    /// `READ_WRITE` or `READ_ONLY`.
    pub updateability: String,
}

/// The till's clocks, and this machine's at the same moment.
#[derive(Clone, Debug)]
pub struct ClockFacts {
    /// The till's wall clock.
    pub local: DateTime,
    /// This machine's clock, half-way between question and answer.
    pub here: Timestamp,
    /// The till's clock in UTC less this machine's, in milliseconds, if the till tells it.
    pub utc_ahead: Option<i64>,
}

/// Rights on one table.
#[derive(Clone, Debug)]
pub struct TableRights {
    /// The table.
    pub table: TableName,
    /// May read it.
    pub read: bool,
    /// What else is allowed: `INSERT`, `UPDATE`, `DELETE`, `ALTER`.
    pub more: Vec<&'static str>,
}

/// A database of the server, when the one in the settings cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherDatabase {
    /// Name.
    pub name: String,
    /// `ONLINE`, `RESTORING`, …
    pub state: String,
    /// Whether the login may open it; `None` when the server does not say.
    pub may_open: Option<bool>,
}

/// What was found out about a till.
#[derive(Debug)]
pub struct Examination {
    /// The server.
    pub server: Answer<ServerFacts>,
    /// Whether it is a `LocalDB`.
    pub local_db: Answer<bool>,
    /// The login, and the user in the database.
    pub who: Answer<(String, String)>,
    /// The database.
    pub database: Answer<DatabaseFacts>,
    /// Its state.
    pub state: Answer<StateFacts>,
    /// The clocks.
    pub clock: Answer<ClockFacts>,
    /// Time of the way there and back.
    pub round_trip: Answer<Duration>,
    /// Roles of the server that give more than signing in.
    pub server_roles: Answer<Vec<String>>,
    /// Roles of the database that give more than reading.
    pub database_roles: Answer<Vec<String>>,
    /// Rights on the whole database that give more than reading.
    pub database_rights: Answer<Vec<String>>,
    /// Rights on each table.
    pub table_rights: Answer<Vec<TableRights>>,
    /// Columns that may not be read.
    pub hidden_columns: Answer<Vec<(TableName, String)>>,
    /// All base tables the login can see, secret columns included, by name.
    pub tables: Result<Vec<Table>>,
    /// What a person should know of a table: masked columns and the like.
    pub about_tables: Vec<(TableName, String)>,
    /// Rows of each table by the server's book-keeping.
    pub rows: Answer<BTreeMap<TableName, u64>>,
    /// Bytes of each table's rows on the server.
    pub bytes: Answer<BTreeMap<TableName, u64>>,
    /// Bytes of the database's data files.
    pub file_bytes: Answer<u64>,
    /// The newest change of SambaPOS to its tables: from `VersionInfo`, else `__MigrationHistory`; `None` without either.
    pub schema_version: Answer<Option<String>>,
    /// When the newest ticket was made; `None` without tickets.
    pub newest_ticket: Answer<Option<DateTime>>,
    /// Checksums the server can compute for quick snapshots; `None` when there are none to be trusted.
    pub checksums: Answer<Option<String>>,
}

/// Signs in and asks everything, the sample apart.
///
/// # Errors
/// As [`SqlServer::connect`]; once signed in there is always an examination.
pub async fn examine(config: &TillConfig) -> Result<(SqlServer, Examination)> {
    let patient = TillConfig { statement_timeout: config.statement_timeout.min(STATEMENT), ..config.clone() };
    let mut till = SqlServer::connect(&patient).await?;
    let examination = ask::everything(&mut till.session, PATIENCE).await;
    Ok((till, examination))
}

/// The databases of the server, asked from `master`, for when the one in the settings cannot be opened.
///
/// # Errors
/// As [`SqlServer::connect`].
pub async fn other_databases(config: &TillConfig) -> Result<Vec<OtherDatabase>> {
    let master = TillConfig {
        database: "master".to_owned(),
        statement_timeout: config.statement_timeout.min(STATEMENT),
        connect_timeout: config.connect_timeout.min(STATEMENT),
        ..config.clone()
    };
    ask::databases(&mut SqlServer::connect(&master).await?.session).await
}
