//! One signed-in connection and what became of it.
//!
//! A till has two: the *control* session (always tiberius: who are you, catalog, live reports) and the *reading* session,
//! which holds the read transaction and gives everything that must lie inside it: rows, and checksums and marks as rows of a
//! pseudo table. A [`Session`] connects when it is first needed and again after a break, sends statements, and knows whether
//! its read transaction still stands: a connection that breaks inside one is never replaced behind the reader's back, since
//! what follows would be another moment of the till. Statements that a lock stopped are repeated, a few times, outside of
//! transactions only.
//!
//! `opening` connects and signs in, `transaction` begins and ends, `state` knows what became of it, `pauses` spaces repeats,
//! `answers` reads small answers.

mod answers;
mod opening;
mod pauses;
mod state;
mod transaction;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ::tiberius::Row;
use arrow::array::RecordBatch;

use self::{
    answers::whole,
    opening::{has_own_authority, signed_in},
    state::{State, Transaction},
};
pub(super) use self::{
    answers::{integer, pseudo_table, text},
    pauses::Pauses,
};
use super::{
    connect::Endpoint,
    failure::Doing,
    fault::Fault,
    read::Pace,
    rows::{Connection, Question, Stop, Value, tiberius},
};
use crate::{
    config::{Encryption, RowReader, TillConfig},
    error::{Error, Kind, Result},
    model::table::{Table, TableName},
    observe::SharedObserver,
};

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
    /// `Source` or `Credentials`, see [`connect`](super::connect::connect).
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
}
