//! The replica back end: sums per (category, item name) out of the `sambapos_*` tables (DOMAIN §10).
//!
//! Each question is one statement that also names the newest loaded snapshot, so figures and `as_of` belong together even
//! while a load commits. `PostgreSQL` groups by exact spelling; everything that compares text happens in [`super::rank`], the
//! same way for every collation of the server.

use jiff::{Timestamp, civil::DateTime};
use rust_decimal::Decimal;
use tokio_postgres::{Client, Row, error::SqlState, types::ToSql};

use super::rank::fold;
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::report::{SoldGroup, TopSellers},
};

/// A replica that is open, and which rows of it are meant.
#[derive(Clone, Copy)]
pub struct ReplicaReports<'a> {
    /// Connection.
    pub client: &'a Client,
    /// Schema of the tables, quoted.
    pub schema: &'a str,
    /// Kitchen.
    pub kitchen_id: i32,
    /// Database of the till the rows come from.
    pub source_database: &'a str,
}

/// The newest snapshot the replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedSnapshot {
    /// Number.
    pub snapshot: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The till's wall clock at that moment.
    pub till_time: DateTime,
}

/// `{schema}` is the only thing ever put into these texts.
const NEWEST: &str = "WITH newest AS (
  SELECT snapshot_id, CAST(extract(epoch FROM taken_at) * 1000000 AS bigint) AS taken_at,
         to_char(source_local_time, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') AS till_time
  FROM {schema}.sambapos_archives
  WHERE kitchen_id = $1 AND source_database = CAST($2 AS text)
  ORDER BY snapshot_id DESC LIMIT 1)
SELECT n.snapshot_id, n.taken_at, n.till_time, r.* FROM newest AS n LEFT JOIN (";

const CATEGORIES: &str = "
  SELECT DISTINCT kitchen_course
  FROM {schema}.sambapos_menu_items
  WHERE kitchen_id = $1 AND source_database = CAST($2 AS text) AND is_active AND kitchen_course <> '') AS r ON true";

const SOLD_GROUPS: &str = "
  SELECT m.kitchen_course, m.group_code, i.menu_item_name, sum(round(i.quantity, 2)) AS quantity,
         sum(i.price * i.quantity) AS revenue
  FROM {schema}.sambapos_tickets AS t
  JOIN {schema}.sambapos_ticket_items AS i ON i.ticket_id = t.id
  JOIN {schema}.sambapos_menu_items AS m
    ON m.kitchen_id = t.kitchen_id AND m.source_database = t.source_database AND m.source_id = i.menu_item_id
  WHERE t.kitchen_id = $1 AND t.source_database = CAST($2 AS text) AND t.is_closed
    AND t.ticket_date >= CAST(CAST($3 AS text) AS timestamp) AND t.ticket_date < CAST(CAST($4 AS text) AS timestamp)
    AND (t.row_state = 'cleared' OR (t.row_state = 'live' AND m.is_active))
    AND i.row_state <> 'deleted' AND NOT i.is_void AND m.kitchen_course <> ''
  GROUP BY m.kitchen_course, m.group_code, i.menu_item_name) AS r ON true";

impl ReplicaReports<'_> {
    /// Distinct kitchen courses of the present menu, raw (DOMAIN §9.3), and the snapshot they are from.
    ///
    /// # Errors
    /// `Replica` when nothing has been loaded, or the server cannot answer.
    pub async fn categories(&self) -> Result<(LoadedSnapshot, Vec<String>)> {
        let rows = self.ask(CATEGORIES, &[]).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.extend(get::<Option<String>>(row, 3)?);
        }
        Ok((newest(&rows)?, found))
    }

    /// Sold lines grouped by category and item name (DOMAIN §9.2, §9.6), in the spellings of the rows, and the snapshot they
    /// are from.
    ///
    /// # Errors
    /// `Replica` when nothing has been loaded, or the server cannot answer; `Usage` when the last day is the calendar's last.
    pub async fn sold_groups(&self, request: &TopSellers) -> Result<(LoadedSnapshot, Vec<SoldGroup>)> {
        let end = request.to.tomorrow().or_fail(Kind::Usage, || format!("{} is too late a day", request.to))?;
        let (from, end) = (request.from.to_string(), end.to_string());
        let rows = self.ask(SOLD_GROUPS, &[&from, &end]).await?;
        let wanted: Vec<String> = request.categories.iter().map(|name| fold(name)).collect();
        let excluded: Vec<String> = request.excluded_groups.iter().map(|code| fold(code)).collect();
        let mut groups = Vec::new();
        for row in &rows {
            let Some(category) = get::<Option<String>>(row, 3)? else { continue };
            let code = get::<Option<String>>(row, 4)?;
            if !wanted.contains(&fold(&category)) || code.is_some_and(|code| excluded.contains(&fold(&code))) {
                continue;
            }
            let quantity = get::<Decimal>(row, 6)?;
            groups.push(SoldGroup { category, item_name: get(row, 5)?, quantity, revenue: get(row, 7)? });
        }
        Ok((newest(&rows)?, groups))
    }

    async fn ask(&self, question: &str, parameters: &[&String]) -> Result<Vec<Row>> {
        let sql = format!("{NEWEST}{question}").replace("{schema}", self.schema);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&self.kitchen_id, &self.source_database];
        values.extend(parameters.iter().map(|text| *text as &(dyn ToSql + Sync)));
        self.client.query(&sql, &values).await.map_err(failed)
    }
}

fn newest(rows: &[Row]) -> Result<LoadedSnapshot> {
    let row = rows.first().ok_or_else(|| {
        Error::new(Kind::Replica, "the replica holds no snapshot yet").hint("load the archive: `tillvault load`")
    })?;
    let bad = || "the replica's list of snapshots holds a value out of range";
    Ok(LoadedSnapshot {
        snapshot: u64::try_from(get::<i64>(row, 0)?).or_fail(Kind::Replica, bad)?,
        taken_at: Timestamp::from_microsecond(get(row, 1)?).or_fail(Kind::Replica, bad)?,
        till_time: get::<String>(row, 2)?.parse().or_fail(Kind::Replica, bad)?,
    })
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).or_fail(Kind::Replica, || "the replica answered with a value of another type")
}

fn failed(error: tokio_postgres::Error) -> Error {
    let code = error.code().cloned();
    if error.is_closed() {
        return Error::new(Kind::Replica, "the connection to the replica was lost")
            .hint("try again; if it happens again, look into the PostgreSQL server's log")
            .temporary()
            .caused_by(error);
    }
    let (message, hint) = match code {
        Some(code)
            if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME]
                .contains(&code) =>
        {
            ("the replica's tables are not there, or of another version", "make them: `tillvault load`")
        }
        Some(SqlState::INSUFFICIENT_PRIVILEGE) => {
            ("the replica's tables may not be read", "GRANT SELECT on the sambapos_ tables to this user")
        }
        _ => ("the replica cannot answer the report", "run `tillvault doctor`"),
    };
    Error::new(Kind::Replica, message).hint(hint).caused_by(error)
}
