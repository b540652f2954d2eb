//! The questions of [`super::examine`] and how their answers are read.

use std::{collections::BTreeMap, future::Future, time::Duration};

use jiff::{Timestamp, civil::DateTime};
use tiberius::Row;
use tokio::time::{Instant, timeout_at};

use super::{
    Answer, ClockFacts, DatabaseFacts, Examination, OtherDatabase, ServerFacts, StateFacts, TableRights, Unanswered,
};
use crate::{
    error::{Error, Kind, Result},
    model::table::{Table, TableName},
    source::sqlserver::{
        catalog,
        fingerprint::{self, Ability},
        queries::examine as queries,
        session::{Session, integer, text},
    },
};

/// Bytes of a page of SQL Server.
const PAGE: u64 = 8192;
/// How often the way there and back is timed.
const TRIPS: usize = 5;

/// A session that is asked until the time is over.
struct Asked<'a> {
    session: &'a mut Session,
    deadline: Instant,
}

/// Asks everything, within `patience`.
pub(super) async fn everything(session: &mut Session, patience: Duration) -> Examination {
    let mut asked = Asked { session, deadline: Instant::now() + patience };
    let (tables, about_tables) = match asked.tables().await {
        Ok((tables, about)) => (Ok(tables), about),
        Err(error) => (Err(error), Vec::new()),
    };
    let seen = tables.as_deref().unwrap_or_default();
    Examination {
        server: asked.server().await,
        local_db: asked.number(queries::LOCAL_DB, "is_local_db").await.map(|number| number == Some(1)),
        who: asked.who().await,
        database: asked.database().await,
        state: asked.state().await,
        clock: asked.clock().await,
        round_trip: asked.round_trip().await,
        server_roles: asked.flags(&queries::server_roles(), &queries::SERVER_ROLES).await,
        database_roles: asked.flags(&queries::database_roles(), &queries::DATABASE_ROLES).await,
        database_rights: asked.flags(&queries::database_rights(), &queries::DATABASE_RIGHTS).await,
        table_rights: asked.table_rights().await,
        hidden_columns: asked.hidden_columns().await,
        rows: asked.rows_of_tables().await,
        bytes: asked.bytes_of_tables().await,
        file_bytes: asked.number(queries::FILE_PAGES, "pages").await.and_then(bytes_of_pages),
        schema_version: asked.schema_version(seen).await,
        newest_ticket: asked.newest_ticket(seen).await,
        checksums: asked.checksums().await,
        tables,
        about_tables,
    }
}

/// The databases of the server.
///
/// # Errors
/// `Source` when the server does not tell.
pub(super) async fn databases(session: &mut Session) -> Result<Vec<OtherDatabase>> {
    let rows = session.ask("list the server's databases", None, queries::DATABASES, &[]).await?;
    let database = |row: &Row| {
        Some(OtherDatabase {
            name: text(row, "database_name")?,
            state: text(row, "state_desc").unwrap_or_default(),
            may_open: integer(row, "may_open").map(|flag| flag == 1),
        })
    };
    Ok(rows.iter().filter_map(database).collect())
}

fn unanswered(reason: impl Into<String>) -> Unanswered {
    Unanswered { reason: reason.into() }
}

/// The server's own words where there are some.
fn refused(error: &Error) -> Unanswered {
    unanswered(std::error::Error::source(error).map_or_else(|| error.message().to_owned(), ToString::to_string))
}

impl Asked<'_> {
    async fn ask(&mut self, statement: &str) -> Answer<Vec<Row>> {
        // Boxed: some twenty of these make up one function, and each may sign in again.
        let asking = Box::pin(self.session.ask("ask the till about itself", None, statement, &[]));
        in_time(self.deadline, asking).await.map_err(|error| refused(&error))
    }

    async fn row(&mut self, statement: &str) -> Answer<Row> {
        self.ask(statement).await?.into_iter().next().ok_or_else(|| unanswered("the server's answer is empty"))
    }

    async fn number(&mut self, statement: &str, column: &str) -> Answer<Option<i64>> {
        Ok(integer(&self.row(statement).await?, column))
    }

    /// The tables, and what a person should know of them and of the catalog.
    async fn tables(&mut self) -> Result<(Vec<Table>, Vec<(TableName, String)>)> {
        let catalog = in_time(self.deadline, catalog::read(self.session)).await?;
        let about =
            catalog.about.into_iter().flat_map(|(name, words)| words.into_iter().map(move |word| (name.clone(), word)));
        Ok((catalog.tables.into_values().collect(), about.collect()))
    }

    async fn server(&mut self) -> Answer<ServerFacts> {
        let row = self.row(queries::SERVER).await?;
        let word = |column: &str| text(&row, column).unwrap_or_default();
        Ok(ServerFacts {
            name: word("server_name"),
            version: word("product_version"),
            edition: word("edition"),
            version_text: word("version_text"),
        })
    }

    async fn who(&mut self) -> Answer<(String, String)> {
        let row = self.row(queries::WHO).await?;
        let login = text(&row, "login_name").ok_or_else(|| unanswered("the server does not tell"))?;
        let user = text(&row, "user_name").unwrap_or_else(|| login.clone());
        Ok((login, user))
    }

    async fn database(&mut self) -> Answer<DatabaseFacts> {
        let row = self.row(queries::DATABASE).await?;
        Ok(DatabaseFacts {
            name: text(&row, "database_name").unwrap_or_default(),
            compatibility: integer(&row, "compatibility_level").unwrap_or_default(),
            collation: text(&row, "collation_name").unwrap_or_default(),
            snapshot_isolation: integer(&row, "snapshot_isolation_state").unwrap_or_default(),
            read_committed_snapshot: integer(&row, "is_read_committed_snapshot_on") == Some(1),
        })
    }

    async fn state(&mut self) -> Answer<StateFacts> {
        let row = self.row(queries::STATE).await?;
        let status = text(&row, "status").ok_or_else(|| unanswered("the server does not tell"))?;
        Ok(StateFacts {
            status,
            user_access: text(&row, "user_access").unwrap_or_default(),
            updateability: text(&row, "updateability").unwrap_or_default(),
        })
    }

    /// The moment a statement tells, and this machine's in the middle of asking.
    async fn moment(&mut self, statement: &str) -> Answer<(DateTime, Timestamp)> {
        let before = Timestamp::now();
        let row = self.row(statement).await?;
        let here = before + Timestamp::now().duration_since(before) / 2;
        let moment = text(&row, "moment").and_then(|text| text.parse().ok());
        Ok((moment.ok_or_else(|| unanswered("the server tells no time"))?, here))
    }

    async fn clock(&mut self) -> Answer<ClockFacts> {
        let (local, here) = self.moment(queries::LOCAL_CLOCK).await?;
        let utc_ahead = self.moment(queries::UTC_CLOCK).await.ok().and_then(|(utc, here)| {
            let there = utc.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            i64::try_from(there.duration_since(here).as_millis()).ok()
        });
        Ok(ClockFacts { local, here, utc_ahead })
    }

    /// The shortest of a few: what the network takes, not what else the machines do.
    async fn round_trip(&mut self) -> Answer<Duration> {
        let mut shortest = Duration::MAX;
        for _ in 0..TRIPS {
            let start = Instant::now();
            self.row(queries::ROUND_TRIP).await?;
            shortest = shortest.min(start.elapsed());
        }
        Ok(shortest)
    }

    /// Names whose columns are 1.
    async fn flags(&mut self, statement: &str, names: &[&str]) -> Answer<Vec<String>> {
        let row = self.row(statement).await?;
        let set = names.iter().filter(|name| integer(&row, name) == Some(1));
        Ok(set.map(|name| (*name).to_owned()).collect())
    }

    async fn table_rights(&mut self) -> Answer<Vec<TableRights>> {
        let more =
            [("may_insert", "INSERT"), ("may_update", "UPDATE"), ("may_delete", "DELETE"), ("may_alter", "ALTER")];
        let rows = self.ask(queries::TABLE_RIGHTS).await?;
        let rights = |row: &Row| {
            Some(TableRights {
                table: table_name(row)?,
                // NULL says that the server does not know such an object: then reading decides.
                read: integer(row, "may_read") != Some(0),
                more: more
                    .iter()
                    .filter(|(column, _)| integer(row, column) == Some(1))
                    .map(|(_, word)| *word)
                    .collect(),
            })
        };
        Ok(rows.iter().filter_map(rights).collect())
    }

    async fn hidden_columns(&mut self) -> Answer<Vec<(TableName, String)>> {
        let rows = self.ask(queries::HIDDEN_COLUMNS).await?;
        Ok(rows.iter().filter_map(|row| Some((table_name(row)?, text(row, "column_name")?))).collect())
    }

    async fn rows_of_tables(&mut self) -> Answer<BTreeMap<TableName, u64>> {
        in_time(self.deadline, catalog::row_counts(self.session)).await.map_err(|error| refused(&error))
    }

    async fn bytes_of_tables(&mut self) -> Answer<BTreeMap<TableName, u64>> {
        let rows = self.ask(queries::TABLE_PAGES).await?;
        let bytes = |row: &Row| Some((table_name(row)?, bytes_of_pages(integer(row, "pages")).ok()?));
        Ok(rows.iter().filter_map(bytes).collect())
    }

    async fn schema_version(&mut self, tables: &[Table]) -> Answer<Option<String>> {
        for (name, column) in [("VersionInfo", "Version"), ("__MigrationHistory", "MigrationId")] {
            let Some((table, column)) = known_column(tables, name, column) else { continue };
            let row = self.row(&queries::highest(&table.name, column)).await?;
            if let Some(highest) = text(&row, "highest") {
                return Ok(Some(highest));
            }
        }
        Ok(None)
    }

    async fn newest_ticket(&mut self, tables: &[Table]) -> Answer<Option<DateTime>> {
        let (Some((table, date)), Some((_, key))) =
            (known_column(tables, "Tickets", "Date"), known_column(tables, "Tickets", "Id"))
        else {
            return Ok(None);
        };
        let rows = self.ask(&queries::newest_moment(&table.name, date, key)).await?;
        Ok(rows.first().and_then(|row| text(row, "moment")).and_then(|text| text.parse().ok()))
    }

    async fn checksums(&mut self) -> Answer<Option<String>> {
        let ability =
            in_time(self.deadline, fingerprint::ability(self.session)).await.map_err(|error| refused(&error))?;
        Ok(match ability {
            Ability::Digest(digest) => Some(digest.name().to_owned()),
            Ability::Nothing(_) => None,
        })
    }
}

/// Waits for an answer until the time for all of them is over.
async fn in_time<T>(deadline: Instant, asking: impl Future<Output = Result<T>>) -> Result<T> {
    timeout_at(deadline, asking).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Source, "the till was too slow: there was no time left for this question").temporary())
    })
}

fn bytes_of_pages(pages: Option<i64>) -> Answer<u64> {
    let pages = pages.and_then(|pages| u64::try_from(pages).ok());
    pages.map(|pages| pages.saturating_mul(PAGE)).ok_or_else(|| unanswered("the server does not tell"))
}

fn table_name(row: &Row) -> Option<TableName> {
    Some(TableName { schema: text(row, "schema_name")?, name: text(row, "table_name")? })
}

/// The table of `dbo` with that name, in any case, and its column, in the server's own case.
fn known_column<'t>(tables: &'t [Table], name: &str, column: &str) -> Option<(&'t Table, &'t str)> {
    let is_it = |table: &&Table| table.name.schema == "dbo" && table.name.name.eq_ignore_ascii_case(name);
    let table = tables.iter().find(is_it)?;
    let column = table.columns.iter().find(|known| known.name.eq_ignore_ascii_case(column))?;
    Some((table, &column.name))
}
