//! The read transaction of a session: opened, asked after, ended.

use std::sync::Arc;

use super::{
    super::{
        queries,
        rows::{Question, Stop},
    },
    Session,
    answers::{first_integer, pseudo_table},
    state::Transaction,
};
use crate::{
    error::{Error, Kind, Result},
    model::sql_type::SqlType,
};

impl Session {
    /// Opens the read transaction; `false` when the server does not allow one.
    ///
    /// # Errors
    /// `Source` when the connection breaks; `Bug` when a transaction is open.
    pub(in crate::source::sqlserver) async fn begin(&mut self) -> Result<bool> {
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
    pub(in crate::source::sqlserver) async fn end(&mut self) -> Result<()> {
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

    /// Whether the transaction still stands after an error that left it in doubt.
    pub(super) async fn ask_transaction(&mut self) -> Transaction {
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
}
