//! One signed-in connection and what became of it.
//!
//! A [`Session`] connects when it is first needed and again after a break, sends statements, and knows whether its read
//! transaction still stands: a connection that breaks inside one is never replaced behind the reader's back, since what
//! follows would be another moment of the till. Statements that a lock stopped are repeated, a few times, outside of
//! transactions only.

use std::{borrow::Cow, time::Duration};

use tiberius::{ColumnData, IntoSql, Query, Row, error::Error as Driver};

use super::{
    connect::{self, Client},
    failure::{self, Doing},
    queries,
};
use crate::{
    config::TillConfig,
    error::{Error, Kind, Result},
    model::table::TableName,
};

/// How often a statement is sent in all when locks are in its way.
const ATTEMPTS: u32 = 5;
/// The pause after the first attempt; it doubles, and a random part is added.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A parameter of a statement, typed as the column it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `tinyint`
    TinyInt(u8),
    /// `smallint`
    SmallInt(i16),
    /// `int`
    Int(i32),
    /// `bigint`
    BigInt(i64),
    /// `nvarchar`
    Text(String),
    /// `datetime` at midnight, in days from 1900-01-01.
    Midnight(i32),
}

impl<'a> IntoSql<'a> for &'a Value {
    fn into_sql(self) -> ColumnData<'a> {
        match self {
            Value::TinyInt(v) => ColumnData::U8(Some(*v)),
            Value::SmallInt(v) => ColumnData::I16(Some(*v)),
            Value::Int(v) => ColumnData::I32(Some(*v)),
            Value::BigInt(v) => ColumnData::I64(Some(*v)),
            Value::Text(v) => ColumnData::String(Some(Cow::Borrowed(v))),
            Value::Midnight(days) => ColumnData::DateTime(Some(tiberius::time::DateTime::new(*days, 0))),
        }
    }
}

/// A statement with its parameters.
pub(super) fn statement<'a>(text: &'a str, values: &'a [Value]) -> Query<'a> {
    let mut query = Query::new(text);
    for value in values {
        query.bind(value);
    }
    query
}

/// The read transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// An error came; whether the server ended the transaction is not known yet.
    Doubtful,
    Lost,
}

/// What is known of a connection, apart from the connection itself, so that a reader can hold both.
#[derive(Debug)]
pub(super) struct State {
    transaction: Transaction,
    /// A statement is under way; still set when its reader went away half-way.
    in_use: bool,
    broken: bool,
}

impl State {
    /// A statement is about to be sent.
    pub(super) fn started(&mut self) {
        self.in_use = true;
    }

    /// Its answer has been read to the end.
    pub(super) fn finished(&mut self) {
        self.in_use = false;
    }

    /// It failed. Whatever was not read of the answer is gone with the connection or skipped by the driver.
    pub(super) fn failed(&mut self, error: &Driver) {
        self.in_use = false;
        if failure::breaks_connection(error) {
            self.broken = true;
        } else if self.transaction == Transaction::Open {
            self.transaction = Transaction::Doubtful;
        }
    }

    /// Whether a statement that a lock stopped may be sent again without changing what the reader sees.
    pub(super) fn may_repeat(&self) -> bool {
        self.transaction == Transaction::None
    }
}

/// A connection to the till with its settings.
pub(super) struct Session {
    config: TillConfig,
    client: Option<Client>,
    state: State,
}

impl Session {
    /// Connects and signs in.
    ///
    /// # Errors
    /// `Source` or `Credentials`, see [`connect::connect`].
    pub(super) async fn open(config: &TillConfig) -> Result<Self> {
        let state = State { transaction: Transaction::None, in_use: false, broken: false };
        let mut session = Self { config: config.clone(), client: None, state };
        session.parts().await?;
        Ok(session)
    }

    /// The settings it was opened with.
    pub(super) fn config(&self) -> &TillConfig {
        &self.config
    }

    /// How long the server may take to go on with an answer.
    pub(super) fn patience(&self) -> Duration {
        self.config.statement_timeout
    }

    /// What is being done, for messages.
    pub(super) fn doing<'a>(&self, what: &'a str, table: Option<&'a TableName>, rows: u64) -> Doing<'a> {
        Doing { what, table, rows, patience: self.patience() }
    }

    /// A connection that can be used, and its state. Connects again when the last one broke outside a transaction.
    ///
    /// # Errors
    /// `Source` when no connection can be made, or the read transaction is gone.
    pub(super) async fn parts(&mut self) -> Result<(&mut Client, &mut State)> {
        if self.state.in_use || self.state.broken {
            self.client = None;
            self.state.in_use = false;
            self.state.broken = false;
            if self.state.transaction != Transaction::None {
                self.state.transaction = Transaction::Lost;
            }
        }
        if self.state.transaction == Transaction::Doubtful {
            self.state.transaction = self.ask_transaction().await;
        }
        if self.state.transaction == Transaction::Lost {
            return Err(Error::new(Kind::Source, "the read transaction on the till was lost with an earlier error")
                .hint("what was read before and what would be read now are different moments: run again")
                .temporary());
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok((self.client.insert(client), &mut self.state))
    }

    async fn connect(&self) -> Result<Client> {
        let mut client = connect::connect(&self.config).await?;
        let doing = self.doing("set up the session", None, 0);
        batch(&mut client, queries::SESSION).await.map_err(|error| failure::statement_failed(error, &doing))?;
        for setting in queries::OPTIONAL_SETTINGS {
            match batch(&mut client, setting).await {
                Err(error) if failure::breaks_connection(&error) => {
                    return Err(failure::statement_failed(error, &doing));
                }
                _ => {}
            }
        }
        Ok(client)
    }

    async fn ask_transaction(&mut self) -> Transaction {
        let Some(client) = self.client.as_mut() else { return Transaction::Lost };
        let open = async {
            let rows = client.simple_query(queries::OPEN_TRANSACTIONS).await?.into_first_result().await?;
            Ok::<_, Driver>(rows.first().is_some_and(|row| integer(row, "open_transactions") == Some(1)))
        };
        match open.await {
            Ok(true) => Transaction::Open,
            Ok(false) => Transaction::Lost,
            Err(error) => {
                self.state.broken = failure::breaks_connection(&error);
                Transaction::Lost
            }
        }
    }

    /// Sends a statement with a small answer and returns all its rows. Repeats it when locks are in the way.
    ///
    /// # Errors
    /// `Source`, for `doing`.
    pub(super) async fn ask(
        &mut self,
        what: &str,
        table: Option<&TableName>,
        text: &str,
        values: &[Value],
    ) -> Result<Vec<Row>> {
        let doing = self.doing(what, table, 0);
        let mut pauses = Pauses::default();
        loop {
            let (client, state) = self.parts().await?;
            state.started();
            let outcome = async { statement(text, values).query(client).await?.into_first_result().await }.await;
            match outcome {
                Ok(rows) => {
                    state.finished();
                    return Ok(rows);
                }
                Err(error) => {
                    state.failed(&error);
                    let repeat = failure::lock_was_in_the_way(&error) && state.may_repeat();
                    if !(repeat && pauses.wait().await) {
                        return Err(failure::statement_failed(error, &doing));
                    }
                }
            }
        }
    }

    /// Opens the read transaction; `false` when the server does not allow one.
    ///
    /// # Errors
    /// `Source` when the connection breaks; `Bug` when a transaction is open.
    pub(super) async fn begin(&mut self) -> Result<bool> {
        if self.state.transaction != Transaction::None {
            return Err(Error::new(Kind::Bug, "a read transaction is open already"));
        }
        let doing = self.doing("begin a read transaction", None, 0);
        for text in [queries::SNAPSHOT_ISOLATION, queries::BEGIN] {
            let (client, state) = self.parts().await?;
            state.started();
            match batch(client, text).await {
                Ok(()) => state.finished(),
                Err(error) if failure::breaks_connection(&error) => {
                    state.failed(&error);
                    return Err(failure::statement_failed(error, &doing));
                }
                Err(_) => {
                    // The isolation level may be set already: a fresh connection is clean.
                    self.client = None;
                    self.state.in_use = false;
                    return Ok(false);
                }
            }
        }
        self.state.transaction = Transaction::Open;
        Ok(true)
    }

    /// Ends the read transaction, if one is open. One that was lost is forgotten: the next statement connects anew.
    ///
    /// # Errors
    /// `Source` when the server refuses.
    pub(super) async fn end(&mut self) -> Result<()> {
        let mut transaction = self.state.transaction;
        if transaction == Transaction::None {
            return Ok(());
        }
        if self.state.in_use || self.state.broken {
            // Closing the connection ends it on the server, too.
            transaction = Transaction::Lost;
        }
        if transaction == Transaction::Doubtful {
            transaction = self.ask_transaction().await;
        }
        self.state.transaction = transaction;
        let outcome = match transaction {
            Transaction::Open => self.run("end the read transaction", queries::COMMIT).await,
            _ => Ok(()),
        };
        let is_clean = match transaction {
            Transaction::Open if outcome.is_ok() => {
                self.run("end the read transaction", queries::READ_COMMITTED).await.is_ok()
            }
            _ => false,
        };
        if !is_clean {
            // Its isolation level may still be set: a fresh connection is clean.
            self.client = None;
            self.state.in_use = false;
            self.state.broken = false;
        }
        self.state.transaction = Transaction::None;
        outcome
    }

    async fn run(&mut self, what: &str, text: &str) -> Result<()> {
        let doing = self.doing(what, None, 0);
        let (client, state) = self.parts().await?;
        state.started();
        match batch(client, text).await {
            Ok(()) => {
                state.finished();
                Ok(())
            }
            Err(error) => {
                state.failed(&error);
                Err(failure::statement_failed(error, &doing))
            }
        }
    }
}

/// Sends a batch without parameters, outside `sp_executesql`: settings and transactions last beyond it.
async fn batch(client: &mut Client, text: &str) -> Result<(), Driver> {
    client.simple_query(text).await?.into_results().await.map(|_| ())
}

/// Pauses between attempts: bounded, doubling, with a random part so that two readers do not keep step.
#[derive(Debug)]
pub(super) struct Pauses {
    taken: u32,
    first: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { taken: 0, first: FIRST_PAUSE }
    }
}

impl Pauses {
    /// Waits and says `true`, or says `false` at once when the attempts are used up.
    pub(super) async fn wait(&mut self) -> bool {
        self.taken += 1;
        if self.taken >= ATTEMPTS {
            return false;
        }
        let pause = self.first * 2_u32.pow(self.taken - 1);
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        true
    }
}

/// A text of an answer; `None` for NULL, for a column that did not come and for another type.
pub(super) fn text(row: &Row, column: &str) -> Option<String> {
    match row.get_column_data(column) {
        Ok(ColumnData::String(Some(text))) => Some(text.to_string()),
        _ => None,
    }
}

/// A whole number or a bit of an answer, whatever its width.
pub(super) fn integer(row: &Row, column: &str) -> Option<i64> {
    match row.get_column_data(column) {
        Ok(ColumnData::U8(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I16(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I32(Some(v))) => Some(i64::from(*v)),
        Ok(ColumnData::I64(Some(v))) => Some(*v),
        Ok(ColumnData::Bit(Some(v))) => Some(i64::from(*v)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error() -> Driver {
        Driver::Io { kind: std::io::ErrorKind::BrokenPipe, message: String::new() }
    }

    #[tokio::test]
    async fn attempts_are_bounded() {
        let mut pauses = Pauses { taken: 0, first: Duration::from_millis(1) };
        let mut waited = 0;
        while pauses.wait().await {
            waited += 1;
        }
        assert_eq!(waited, 4);
    }

    #[test]
    fn a_break_is_remembered() {
        let mut state = State { transaction: Transaction::Open, in_use: false, broken: false };
        assert!(!state.may_repeat());
        state.started();
        state.failed(&server_error());
        assert!(state.broken && !state.in_use);
    }
}
