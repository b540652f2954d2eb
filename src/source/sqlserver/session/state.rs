//! What is known of a connection and its read transaction, apart from the connection itself.
//!
//! Promise: once an error has ended the transaction, or the connection that held it, nothing of this says that it still stands.

use super::super::{
    failure::{self, Doing},
    fault::Fault,
};
use crate::error::Error;

/// The read transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Open,
    /// An error came; whether the server ended the transaction is not known yet.
    Doubtful,
    Lost,
}

/// What is known of a connection, apart from the connection itself, so that a reader can hold both.
#[derive(Debug)]
pub(in crate::source::sqlserver) struct State {
    pub(super) transaction: Transaction,
    /// A statement is under way; still set when its reader went away half-way.
    pub(super) in_use: bool,
    pub(super) broken: bool,
    /// The error that has put the transaction in doubt or ended it, for people.
    pub(super) first_error: Option<String>,
}

impl State {
    pub(super) const fn new() -> Self {
        Self { transaction: Transaction::None, in_use: false, broken: false, first_error: None }
    }

    /// A statement is about to be sent.
    pub(in crate::source::sqlserver) fn started(&mut self) {
        self.in_use = true;
    }

    /// Its answer has been read to the end.
    pub(in crate::source::sqlserver) fn finished(&mut self) {
        self.in_use = false;
    }

    /// It failed. Whatever was not read of the answer is gone with the connection or skipped by the driver.
    pub(in crate::source::sqlserver) fn failed(&mut self, fault: &Fault) {
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
    pub(in crate::source::sqlserver) fn may_repeat(&self) -> bool {
        self.transaction == Transaction::None
    }

    /// The error for a fault that has been taken note of.
    pub(in crate::source::sqlserver) fn error(&self, fault: &Fault, doing: &Doing<'_>) -> Error {
        let error = failure::statement_failed(fault, doing);
        // What cannot be understood will not be understood the next time either.
        let passes = !matches!(fault, Fault::NotUnderstood(_));
        if self.transaction == Transaction::Lost && passes { error.lost_transaction() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn server(number: u32) -> Fault {
        Fault::Server { number, class: 13, message: String::new() }
    }

    fn open() -> State {
        State { transaction: Transaction::Open, ..State::new() }
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
        let doing = Doing { what: "read table", table: None, rows: 0, patience: Duration::from_secs(1) };
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
