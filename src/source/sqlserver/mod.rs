//! A SambaPOS till on SQL Server, read over TDS.
//!
//! [`SqlServer`] is the door. Behind it, in the order data flows: [`queries`] (every T-SQL text), `connect` and `browser`
//! (from settings to a connection), `session` (statements, transaction, repeats; one session for control, one for reading),
//! `catalog` (which tables), `read` (pages), `rows` (the one place where a driver's rows become Arrow, for two drivers),
//! `columns`, `types` and `variant` (values, exactly), `fingerprint` (checksums of rows that stay there), `live` (reports asked
//! of the till itself), `examine` (what `doctor` asks), `fault` and `failure` (what went wrong, for people).
//!
//! Promises: nothing is written to the till; no statement holds a lock beyond its own answer, none waits longer for one
//! than five seconds, and in a deadlock tillvault is the one to give way (DESIGN D7).

mod browser;
mod catalog;
mod columns;
mod connect;
pub mod examine;
mod failure;
mod fault;
mod fingerprint;
mod live;
pub mod queries;
mod read;
mod rows;
mod session;
mod types;
mod variant;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, util::display::array_value_to_string};
use async_trait::async_trait;
use tiberius::{ColumnData, Row};
use tokio::sync::Mutex;

use self::{
    catalog::Catalog,
    connect::Endpoint,
    session::{Session, integer, pseudo_table, text},
};
use super::{Presence, RowStream, Source, Sums, TableSelection, TillInfo, TradeMark, pattern, secrets};
use crate::{
    config::{RowReader, TillConfig},
    error::{Error, Kind, OrFail as _, Result},
    model::{
        sql_type::SqlType,
        table::{KeyRange, Table, TableName},
    },
    observe::{Event, SharedObserver},
};

/// The table whose state is the trade mark (DOMAIN §11).
const TICKETS: &str = "Tickets";

/// A till on SQL Server.
pub struct SqlServer {
    /// The control session.
    session: Session,
    /// Where it found the till.
    at: Endpoint,
    /// The reading session: everything that must lie inside the read transaction.
    reading: Arc<Mutex<Session>>,
    /// The tickets table, once the catalog was read; the inner `None` says that there is none.
    tickets: Option<Option<Table>>,
    /// Which checksums the server can compute, once it was asked.
    ability: Option<fingerprint::Ability>,
    /// What the catalog gave a person to know.
    notices: Vec<Event>,
}

impl SqlServer {
    /// Connects and signs in.
    ///
    /// # Errors
    /// `Credentials` when the login was refused; `Source` for everything else, each cause with a message of its own:
    /// unknown host, refused or no answer (temporary), SQL Browser silent, unknown instance, no such database, encryption
    /// refused, certificate not trusted. `Config` when the certificate authority's file cannot be read.
    pub async fn connect(config: &TillConfig) -> Result<Self> {
        let (session, at) = Session::control(config).await?;
        let reading = Arc::new(Mutex::new(Session::reading(config, at.clone(), None)));
        Ok(Self { session, at, reading, tickets: None, ability: None, notices: Vec::new() })
    }

    /// Tells `observer` what a person should know of the connection: that the fast reader cannot be used here.
    #[must_use]
    pub fn reporting_to(mut self, observer: SharedObserver) -> Self {
        let config = self.session.config().clone();
        self.reading = Arc::new(Mutex::new(Session::reading(&config, self.at.clone(), Some(observer))));
        self
    }

    /// Which driver reads rows: what the settings say, until a connection was made; then what it came to.
    pub async fn reader(&self) -> RowReader {
        self.reading.lock().await.reader()
    }

    /// Sends a statement through the reading session, inside the read transaction when one is open, and returns all rows of
    /// its small answer. `columns` declares them: a pseudo table, whose types are what the wire brings.
    pub(super) async fn answer(
        &mut self,
        what: &str,
        table: Option<&TableName>,
        text: &str,
        columns: Table,
    ) -> Result<RecordBatch> {
        self.reading.lock().await.answer(what, table, text, &[], &Arc::new(columns)).await
    }

    async fn catalog(&mut self) -> Result<Catalog> {
        let catalog = catalog::read(&mut self.session).await?;
        let is_tickets = |table: &&Table| table.name.schema == "dbo" && table.name.name.eq_ignore_ascii_case(TICKETS);
        self.tickets = Some(catalog.tables.values().find(is_tickets).cloned());
        Ok(catalog)
    }

    async fn ability(&mut self) -> Result<fingerprint::Ability> {
        match self.ability {
            Some(known) => Ok(known),
            None => Ok(*self.ability.insert(fingerprint::ability(&mut *self.reading.lock().await).await?)),
        }
    }

    async fn description(&mut self) -> Result<Row> {
        let rows = self.session.ask("ask the till who it is", None, queries::DESCRIBE, &[]).await?;
        rows.into_iter().next().ok_or_else(|| {
            Error::new(Kind::Source, "the till does not list its own database").hint("run again, then report it")
        })
    }
}

#[async_trait]
impl Source for SqlServer {
    async fn describe(&mut self) -> Result<TillInfo> {
        let row = self.description().await?;
        let word = |column: &str| text(&row, column).unwrap_or_default();
        Ok(TillInfo {
            server: word("server_name"),
            database: word("database_name"),
            version: word("product_version"),
            edition: word("edition"),
            collation: word("collation_name"),
            local_time: local_time(&row)?,
            snapshot_isolation: allows_snapshots(&row),
            login: word("login_name"),
        })
    }

    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>> {
        let catalog = self.catalog().await?;
        self.notices = notices(&catalog, selection);
        let selected = catalog.tables.into_values().filter(|table| pattern::selects(selection, &table.name));
        let tables: Vec<Table> =
            if selection.with_secrets { selected.collect() } else { selected.filter_map(secrets::leave_out).collect() };
        if tables.is_empty() {
            return Err(Error::new(Kind::Config, "no table of the till matches the selection").hint(
                "check the patterns to include and exclude; without any, all tables of the schema dbo are taken",
            ));
        }
        Ok(tables)
    }

    fn notices(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.notices)
    }

    async fn presence(&mut self, table: &TableName) -> Result<Option<Presence>> {
        Ok(Some(catalog::count(&mut *self.reading.lock().await, table).await?.map_or(Presence::Absent, Presence::Rows)))
    }

    async fn row_counts(&mut self) -> Result<BTreeMap<TableName, u64>> {
        catalog::row_counts(&mut self.session).await
    }

    async fn begin(&mut self) -> Result<bool> {
        if !allows_snapshots(&self.description().await?) {
            return Ok(false);
        }
        self.reading.lock().await.begin().await
    }

    async fn end(&mut self) -> Result<()> {
        self.reading.lock().await.end().await
    }

    async fn trade_mark(&mut self) -> Result<TradeMark> {
        if self.tickets.is_none() {
            self.catalog().await?;
        }
        let Some(tickets) = self.tickets.clone().flatten() else {
            return Ok(TradeMark("no tickets".to_owned()));
        };
        let text = queries::trade_mark(&tickets);
        let batch = self.answer("read table", Some(&tickets.name), &text, mark_columns(&tickets)).await?;
        if batch.num_rows() != 1 {
            return Err(Error::new(Kind::Source, "the till did not count its tickets"));
        }
        let schema = batch.schema();
        let figures = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
            let figure = array_value_to_string(column, 0)
                .or_fail(Kind::Source, || "the till's count of its tickets cannot be read".to_owned())?;
            Ok(format!("{}={figure}", field.name()))
        });
        Ok(TradeMark(figures.collect::<Result<Vec<_>>>()?.join(" ")))
    }

    async fn prepare_sums(&mut self) -> Result<()> {
        self.ability().await.map(|_| ())
    }

    async fn sums(&mut self, table: &Table, open: u32) -> Result<Sums> {
        let ability = self.ability().await?;
        fingerprint::sums(&mut *self.reading.lock().await, ability, table, open).await
    }

    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a> {
        read::read(self.reading.clone(), table, range)
    }
}

/// What a person should know of the selection and of the tables it takes.
fn notices(catalog: &Catalog, selection: &TableSelection) -> Vec<Event> {
    let names: Vec<&TableName> = catalog.tables.keys().chain(catalog.about.keys()).collect();
    let (include, exclude) = pattern::idle(selection, &names);
    let include = include.into_iter().map(|pattern| Event::Warning {
        message: format!("the pattern {pattern} to include under [tables] in the settings means no table of the till"),
    });
    let exclude = exclude.into_iter().map(|pattern| Event::Note {
        message: format!("the pattern {pattern} to exclude under [tables] in the settings means no table of the till"),
    });
    let about = catalog.about.iter().filter(|(name, _)| pattern::selects(selection, name));
    let about = about.flat_map(|(_, messages)| messages).map(|message| Event::Warning { message: message.clone() });
    catalog.untold.iter().cloned().chain(include).chain(exclude).chain(about).collect()
}

/// `snapshot_isolation_state` is 1 when allowed; 2 and 3 are on the way off and on.
fn allows_snapshots(row: &Row) -> bool {
    integer(row, "snapshot_isolation_state") == Some(1)
}

fn local_time(row: &Row) -> Result<jiff::civil::DateTime> {
    let unreadable = || Error::new(Kind::Source, "the till did not tell its time");
    let Ok(ColumnData::DateTime2(Some(now))) = row.get_column_data("local_time") else { return Err(unreadable()) };
    let span = jiff::Span::new().try_days(i64::from(now.date().days())).map_err(|_| unreadable())?;
    let day = jiff::civil::date(1, 1, 1).checked_add(span).map_err(|_| unreadable())?;
    let up = 10_i64.pow(u32::from(9_u8.saturating_sub(now.time().scale())));
    let nanoseconds = i64::try_from(now.time().increments()).ok().and_then(|units| units.checked_mul(up));
    let since_midnight =
        jiff::Span::new().try_nanoseconds(nanoseconds.ok_or_else(unreadable)?).map_err(|_| unreadable())?;
    day.to_datetime(jiff::civil::Time::midnight()).checked_add(since_midnight).map_err(|_| unreadable())
}

/// The columns of [`queries::trade_mark`]'s answer, in its order.
fn mark_columns(tickets: &Table) -> Table {
    let find = |wanted: &str| tickets.columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted));
    let sum = |wanted: &str| {
        find(wanted).map(|column| match &column.sql_type {
            SqlType::Decimal { scale, .. } => SqlType::Decimal { precision: 38, scale: *scale },
            SqlType::Money | SqlType::SmallMoney => SqlType::Decimal { precision: 38, scale: 4 },
            SqlType::Real | SqlType::Float => SqlType::Float,
            SqlType::TinyInt | SqlType::SmallInt => SqlType::Int,
            other => other.clone(),
        })
    };
    let figures = [
        ("row_count", Some(SqlType::BigInt)),
        ("highest_id", find("Id").map(|_| SqlType::BigInt)),
        ("newest_change", find("LastUpdateTime").map(|column| column.sql_type.clone())),
        ("total_amount", sum("TotalAmount")),
        ("remaining_amount", sum("RemainingAmount")),
        ("closed_tickets", find("IsClosed").map(|_| SqlType::BigInt)),
    ];
    let figures: Vec<_> = figures.into_iter().filter_map(|(name, sql_type)| Some((name, sql_type?))).collect();
    pseudo_table("Tickets", &figures)
}
