//! One signed-in connection and what became of it.
//!
//! A till has two: the *control* session (always tiberius: who are you, catalog, live reports) and the *reading* session,
//! which holds the read transaction and gives everything that must lie inside it: rows, and checksums and marks as rows of a
//! pseudo table. A [`Session`] connects when it is first needed and again after a break, sends statements, and knows whether
//! its read transaction still stands: a connection that breaks inside one is never replaced behind the reader's back, since
//! what follows would be another moment of the till. Statements that a lock stopped are repeated, a few times, outside of
//! transactions only.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ::tiberius::{ColumnData, Row};
use arrow::{array::RecordBatch, compute::concat_batches};

use super::{
    connect::{self, Endpoint},
    failure::{self, Doing},
    fault::Fault,
    queries,
    read::Pace,
    rows::{Connection, Question, Rows, Stop, Value, fast::FastClient, tiberius},
};
use crate::{
    config::{Encryption, RowReader, TillConfig},
    error::{Error, Kind, OrFail as _, Result},
    model::{
        sql_type::SqlType,
        table::{Column, Table, TableName},
    },
    observe::{Event, SharedObserver},
};

/// How often a statement is sent in all when locks are in its way.
const ATTEMPTS: u32 = 5;
/// The pause after the first attempt; it doubles, and a random part is added.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

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
    /// The error that has put the transaction in doubt or ended it, for people.
    first_error: Option<String>,
}

impl State {
    const fn new() -> Self {
        Self { transaction: Transaction::None, in_use: false, broken: false, first_error: None }
    }

    /// A statement is about to be sent.
    pub(super) fn started(&mut self) {
        self.in_use = true;
    }

    /// Its answer has been read to the end.
    pub(super) fn finished(&mut self) {
        self.in_use = false;
    }

    /// It failed. Whatever was not read of the answer is gone with the connection or skipped by the driver.
    pub(super) fn failed(&mut self, fault: &Fault) {
        self.in_use = false;
        self.broken |= fault.breaks_connection();
        if self.transaction != Transaction::None {
            self.first_error.get_or_insert_with(|| fault.to_string());
            self.transaction = match self.transaction {
                Transaction::Open if !fault.ends_transaction() => Transaction::Doubtful,
                Transaction::Doubtful if !fault.ends_transaction() => Transaction::Doubtful,
                _ => Transaction::Lost,
            };
        }
    }

    /// Whether a statement that a lock stopped may be sent again without changing what the reader sees.
    pub(super) fn may_repeat(&self) -> bool {
        self.transaction == Transaction::None
    }

    /// The error for a fault that has been taken note of.
    pub(super) fn error(&self, fault: &Fault, doing: &Doing<'_>) -> Error {
        let error = failure::statement_failed(fault, doing);
        // What cannot be understood will not be understood the next time either.
        let passes = !matches!(fault, Fault::NotUnderstood(_));
        if self.transaction == Transaction::Lost && passes { error.lost_transaction() } else { error }
    }
}

/// What a session is for.
enum Role {
    Control,
    Reading {
        /// Where the control session found the till.
        at: Endpoint,
        reader: RowReader,
        /// Told once when the fast reader cannot be used.
        observer: Option<SharedObserver>,
    },
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// For people.
    pub error: Error,
    /// What the driver or the server said, if they did.
    pub fault: Option<Fault>,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self { error, fault: None }
    }
}

/// A connection to the till with its settings.
pub(super) struct Session {
    config: TillConfig,
    role: Role,
    connection: Option<Connection>,
    state: State,
    /// Tables that hold text the driver cannot decode: their text is asked for as bytes.
    raw_text: BTreeSet<TableName>,
    /// All text is asked for as bytes.
    all_raw: bool,
    pace: Pace,
}

impl Session {
    /// The control session, signed in, and where that was.
    ///
    /// # Errors
    /// `Source` or `Credentials`, see [`connect::connect`].
    pub(super) async fn control(config: &TillConfig) -> Result<(Self, Endpoint)> {
        let (connection, at) = signed_in(config, None).await?;
        let session = Self {
            config: config.clone(),
            role: Role::Control,
            connection: Some(connection),
            state: State::new(),
            raw_text: BTreeSet::new(),
            all_raw: false,
            pace: Pace::new(config.rate_limit),
        };
        Ok((session, at))
    }

    /// The reading session; it connects when it is first needed.
    pub(super) fn reading(config: &TillConfig, at: Endpoint, observer: Option<SharedObserver>) -> Self {
        let reader = match config.reader {
            RowReader::Auto if has_own_authority(config) && config.encryption != Encryption::Off => RowReader::Tiberius,
            reader => reader,
        };
        Self {
            config: config.clone(),
            role: Role::Reading { at, reader, observer },
            connection: None,
            state: State::new(),
            raw_text: BTreeSet::new(),
            all_raw: false,
            pace: Pace::new(config.rate_limit),
        }
    }

    /// The settings it was opened with.
    pub(super) fn config(&self) -> &TillConfig {
        &self.config
    }

    /// Which driver reads: what the settings say, or what it came to.
    pub(super) fn reader(&self) -> RowReader {
        match &self.role {
            Role::Control => RowReader::Tiberius,
            Role::Reading { reader, .. } => *reader,
        }
    }

    /// How long the server may take to go on with an answer.
    pub(super) fn patience(&self) -> Duration {
        self.config.statement_timeout
    }

    /// What is being done, for messages.
    pub(super) fn doing<'a>(&self, what: &'a str, table: Option<&'a TableName>, rows: u64) -> Doing<'a> {
        Doing { what, table, rows, patience: self.patience() }
    }

    /// Whether the text of a table has to be asked for as bytes.
    pub(super) fn wants_raw_text(&self, table: &TableName) -> bool {
        self.all_raw || self.raw_text.contains(table)
    }

    /// The text of a table has to be asked for as bytes from now on. Returns whether that is news.
    pub(super) fn take_raw_text(&mut self, table: &TableName) -> bool {
        self.raw_text.insert(table.clone())
    }

    /// All text has to be asked for as bytes from now on: each table that turns out to need it costs a beginning of the run.
    pub(super) fn take_all_raw(&mut self) {
        self.all_raw = true;
    }

    /// Waits until the settings allow the next page.
    pub(super) async fn pace(&self) {
        self.pace.wait().await;
    }

    /// So much has been read.
    pub(super) fn read(&mut self, rows: usize, bytes: usize) {
        self.pace.read(rows, bytes);
    }

    /// A connection that can be used, and its state. Connects again when the last one broke outside a transaction.
    ///
    /// # Errors
    /// `Source` when no connection can be made, or the read transaction is gone.
    pub(super) async fn parts(&mut self) -> Result<(&mut Connection, &mut State)> {
        if self.state.in_use || self.state.broken {
            self.connection = None;
            self.state.in_use = false;
            self.state.broken = false;
            if self.state.transaction != Transaction::None {
                self.state.transaction = Transaction::Lost;
            }
        }
        if self.state.transaction == Transaction::Doubtful {
            self.state.transaction = self.ask_transaction().await;
            if self.state.transaction == Transaction::Open {
                self.state.first_error = None;
            }
        }
        if self.state.transaction == Transaction::Lost {
            let error = Error::new(Kind::Source, "the read transaction on the till was lost with an earlier error")
                .hint("what was read before and what would be read now are different moments: run again")
                .lost_transaction();
            return Err(match &self.state.first_error {
                Some(said) => error.caused_by(said.clone()),
                None => error,
            });
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok((self.connection.insert(connection), &mut self.state))
    }

    async fn connect(&mut self) -> Result<Connection> {
        let Role::Reading { at, reader, observer } = &mut self.role else {
            return signed_in(&self.config, None).await.map(|(connection, _)| connection);
        };
        if *reader == RowReader::Tiberius {
            return signed_in(&self.config, Some(at)).await.map(|(connection, _)| connection);
        }
        if at.encrypted && has_own_authority(&self.config) {
            let message = "reader = \"fast\" cannot check the till's certificate with a ca_file";
            return Err(Error::new(Kind::Config, message)
                .hint("leave reader under [till] at \"auto\", or set it to \"tiberius\""));
        }
        let fault = match fast(&self.config, at).await {
            Ok(connection) => return Ok(connection),
            Err(fault) => fault,
        };
        // What the server itself refuses, it refuses to the other driver, too.
        if *reader == RowReader::Fast || matches!(fault, Fault::Server { .. }) {
            let place = format!("{}:{}", at.host, at.address.port());
            return Err(failure::sign_in_failed(&self.config, &place, fault));
        }
        let (connection, found) = signed_in(&self.config, Some(at)).await?;
        *at = found;
        *reader = RowReader::Tiberius;
        if let Some(observer) = observer {
            let message = format!(
                "the fast reader cannot sign in to the till ({fault}); tiberius reads instead, a few times slower. \
                 reader = \"tiberius\" under [till] says so from the start"
            );
            observer.event(Event::Note { message });
        }
        Ok(connection)
    }

    async fn ask_transaction(&mut self) -> Transaction {
        let Some(connection) = self.connection.as_mut() else { return Transaction::Lost };
        let columns = Arc::new(pseudo_table("transaction", &[("open_transactions", SqlType::Int)]));
        let question = Question { text: queries::OPEN_TRANSACTIONS, values: &[], columns: &columns, raw_text: false };
        let answer = async {
            let mut rows = connection.rows(&question).await?;
            let batch = rows.next(usize::MAX, usize::MAX).await?;
            Ok::<_, Stop>(batch.is_some_and(|batch| batch.num_rows() == 1 && first_integer(&batch) == Some(1)))
        };
        match answer.await {
            Ok(true) => Transaction::Open,
            Err(Stop::Fault(fault)) => {
                self.state.broken |= fault.breaks_connection();
                Transaction::Lost
            }
            Ok(false) | Err(Stop::Value(_)) => Transaction::Lost,
        }
    }

    /// Sends a statement of the control session, with a small answer, and returns all its rows. Repeats it when locks are in
    /// the way.
    ///
    /// # Errors
    /// `Source`, for `doing`; `Bug` on a reading session, whose answers are [`Session::answer`]s.
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
            let (connection, state) = self.parts().await?;
            let Connection::Tiberius(client) = connection else {
                return Err(Error::new(Kind::Bug, format!("cannot {what} on the reading connection")));
            };
            state.started();
            match Box::pin(tiberius::ask(client, text, values)).await {
                Ok(rows) => {
                    state.finished();
                    return Ok(rows);
                }
                Err(fault) => {
                    state.failed(&fault);
                    let repeat = fault.lock_was_in_the_way() && state.may_repeat();
                    if !(repeat && pauses.wait().await) {
                        return Err(state.error(&fault, &doing));
                    }
                }
            }
        }
    }

    /// Sends a statement whose answer has the columns of `columns` (see [`pseudo_table`]) and returns all its rows in one
    /// batch. Inside the read transaction when one is open. Repeats it when locks are in the way.
    ///
    /// # Errors
    /// `Source`, for `doing`.
    pub(super) async fn answer(
        &mut self,
        what: &str,
        table: Option<&TableName>,
        text: &str,
        values: &[Value],
        columns: &Arc<Table>,
    ) -> Result<RecordBatch> {
        self.try_answer(what, table, text, values, columns).await.map_err(|unanswered| unanswered.error)
    }

    /// [`Session::answer`], for a statement that the server may not understand.
    ///
    /// # Errors
    /// What [`Session::answer`] gives, with the fault behind it.
    pub(super) async fn try_answer(
        &mut self,
        what: &str,
        table: Option<&TableName>,
        text: &str,
        values: &[Value],
        columns: &Arc<Table>,
    ) -> Result<RecordBatch, Unanswered> {
        let doing = self.doing(what, table, 0);
        let question = Question { text, values, columns, raw_text: false };
        let mut pauses = Pauses::default();
        loop {
            let (connection, state) = self.parts().await?;
            state.started();
            let outcome = async { whole(connection.rows(&question).await?, columns).await }.await;
            match outcome {
                Ok(batch) => {
                    state.finished();
                    return Ok(batch);
                }
                Err(Stop::Value(error)) => {
                    state.finished();
                    return Err(error.into());
                }
                Err(Stop::Fault(fault)) => {
                    state.failed(&fault);
                    let repeat = fault.lock_was_in_the_way() && state.may_repeat();
                    if !(repeat && pauses.wait().await) {
                        return Err(Unanswered { error: state.error(&fault, &doing), fault: Some(fault) });
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
            let (connection, state) = self.parts().await?;
            state.started();
            match connection.batch(text).await {
                Ok(()) => state.finished(),
                Err(fault) if fault.breaks_connection() => {
                    state.failed(&fault);
                    return Err(state.error(&fault, &doing));
                }
                Err(_) => {
                    // The isolation level may be set already: a fresh connection is clean.
                    self.connection = None;
                    self.state.in_use = false;
                    return Ok(false);
                }
            }
        }
        self.state.transaction = Transaction::Open;
        self.state.first_error = None;
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
            self.connection = None;
            self.state.in_use = false;
            self.state.broken = false;
        }
        self.state.transaction = Transaction::None;
        outcome
    }

    async fn run(&mut self, what: &str, text: &str) -> Result<()> {
        let doing = self.doing(what, None, 0);
        let (connection, state) = self.parts().await?;
        state.started();
        match connection.batch(text).await {
            Ok(()) => {
                state.finished();
                Ok(())
            }
            Err(fault) => {
                state.failed(&fault);
                Err(state.error(&fault, &doing))
            }
        }
    }
}

/// Whether certificates are checked with an authority of the settings' own: tiberius alone can.
fn has_own_authority(config: &TillConfig) -> bool {
    config.ca_file.is_some() && !config.trust_server_certificate
}

/// A connection of tiberius with the session's settings, and where it was made: at a known place, or wherever the till is.
async fn signed_in(config: &TillConfig, at: Option<&Endpoint>) -> Result<(Connection, Endpoint)> {
    let (client, found) = match at {
        Some(at) => connect::connect_again(config, at).await?,
        None => connect::connect(config).await?,
    };
    let mut connection = Connection::Tiberius(Box::new(client));
    let doing = Doing { what: "set up the session", table: None, rows: 0, patience: config.statement_timeout };
    set_up(&mut connection).await.map_err(|fault| failure::statement_failed(&fault, &doing))?;
    Ok((connection, found))
}

/// A fast connection with the session's settings.
async fn fast(config: &TillConfig, at: &Endpoint) -> Result<Connection, Fault> {
    let mut connection = Connection::Fast(Box::new(Box::pin(FastClient::connect(config, at)).await?));
    set_up(&mut connection).await?;
    Ok(connection)
}

/// The session's settings, on a connection that has none yet.
async fn set_up(connection: &mut Connection) -> Result<(), Fault> {
    connection.batch(queries::SESSION).await?;
    for setting in queries::OPTIONAL_SETTINGS {
        match connection.batch(setting).await {
            Err(fault) if fault.breaks_connection() => return Err(fault),
            _ => {}
        }
    }
    Ok(())
}

/// All rows of an answer.
async fn whole(mut rows: Rows<'_>, columns: &Table) -> Result<RecordBatch, Stop> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next(usize::MAX, usize::MAX).await? {
        batches.push(batch);
    }
    let schema = columns.arrow_schema();
    Ok(concat_batches(&schema, &batches).or_fail(Kind::Bug, || "parts of an answer do not fit together".to_owned())?)
}

/// A table that only declares the columns of an answer; each may be NULL.
pub(super) fn pseudo_table(name: &str, columns: &[(&str, SqlType)]) -> Table {
    let column = |(name, sql_type): &(&str, SqlType)| Column::new(*name, sql_type.clone());
    Table::new(TableName::dbo(name), columns.iter().map(column).collect())
}

fn first_integer(batch: &RecordBatch) -> Option<i64> {
    let column = batch.columns().first()?.as_any().downcast_ref::<arrow::array::Int32Array>()?;
    column.iter().next().flatten().map(i64::from)
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

    fn server(number: u32) -> Fault {
        Fault::Server { number, class: 13, message: String::new() }
    }

    fn open() -> State {
        State { transaction: Transaction::Open, ..State::new() }
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
        let mut state = open();
        assert!(!state.may_repeat());
        state.started();
        state.failed(&Fault::Lost(String::new()));
        assert!(state.broken && !state.in_use);
        assert_eq!(state.transaction, Transaction::Lost);
    }

    #[test]
    fn an_error_that_ends_the_transaction_says_so() {
        let doing = Doing { what: "read table", table: None, rows: 0, patience: FIRST_PAUSE };
        let told = |number| {
            let mut state = open();
            state.failed(&server(number));
            state.error(&server(number), &doing)
        };
        assert!(told(1205).transaction_lost() && told(1205).is_temporary());
        assert!(told(3961).transaction_lost());
        assert!(!told(229).transaction_lost() && !told(1222).transaction_lost());
        let mut outside = State::new();
        outside.failed(&server(1205));
        assert!(!outside.error(&server(1205), &doing).transaction_lost());
    }
}
