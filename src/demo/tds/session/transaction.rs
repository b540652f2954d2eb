//! Transactions of a session: by statement, by transaction manager request, under snapshot isolation or not.

use super::{
    super::{
        packet::{Outgoing, SPID},
        rpc::TransactionRequest,
        token::{self, EnvChange},
    },
    Response, Session,
};
use crate::demo::engine::{Plan, SqlError};

impl Session {
    pub(super) fn manage(&mut self, request: TransactionRequest, response: &mut Response<'_>) -> Result<(), SqlError> {
        match request {
            TransactionRequest::Begin { isolation } => self.begin_at(isolation, response.out),
            TransactionRequest::Commit { then_begin } | TransactionRequest::Rollback { then_begin } => {
                let commit = matches!(request, TransactionRequest::Commit { .. });
                self.finish_transaction(commit, response.out)?;
                if let Some(isolation) = then_begin {
                    self.begin_at(isolation, response.out);
                }
            }
            TransactionRequest::Save => return Err(SqlError::unsupported("savepoints")),
        }
        response.done(0, 0, 0);
        Ok(())
    }

    fn begin_at(&mut self, isolation: u8, out: &mut Outgoing) {
        if isolation != 0 {
            self.settings.snapshot = isolation == 5;
        }
        self.begin(out);
    }

    pub(super) fn begin(&mut self, out: &mut Outgoing) {
        self.depth += 1;
        if self.transaction.is_none() {
            let id = (u64::from(SPID) << 32) | self.next_transaction;
            self.next_transaction += 1;
            self.transaction = Some(id);
            token::env_change(&mut out.body, EnvChange::Begin(id));
        }
    }

    /// COMMIT and ROLLBACK as statements: an error when nothing is open.
    pub(super) fn finish_transaction(&mut self, commit: bool, out: &mut Outgoing) -> Result<(), SqlError> {
        if self.transaction.is_none() {
            let (number, word) = if commit { (3902, "COMMIT") } else { (3903, "ROLLBACK") };
            let text = format!("The {word} TRANSACTION request has no corresponding BEGIN TRANSACTION.");
            return Err(SqlError::new(number, 16, text));
        }
        if commit && self.depth > 1 {
            self.depth -= 1;
            return Ok(());
        }
        self.end_transaction(commit, out);
        Ok(())
    }

    pub(super) fn end_transaction(&mut self, commit: bool, out: &mut Outgoing) {
        let Some(id) = self.transaction.take() else { return };
        self.depth = 0;
        if std::mem::take(&mut self.frozen) {
            // Nothing was written; whether reading ends with COMMIT or ROLLBACK makes no difference, nor does its failure.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        token::env_change(&mut out.body, if commit { EnvChange::Commit(id) } else { EnvChange::Rollback(id) });
    }

    /// Under snapshot isolation, the first access to data fixes what all later ones in the transaction see.
    pub(super) fn enter_snapshot(&mut self, plan: &Plan) -> Result<(), SqlError> {
        self.reach(plan)?;
        if !self.settings.snapshot {
            return Ok(());
        }
        let options = self.shared.engine.options();
        if !options.allow_snapshot_isolation {
            let text = format!(
                "Snapshot isolation transaction failed accessing database '{}' because snapshot isolation is not allowed \
                 in this database. Use ALTER DATABASE to allow snapshot isolation.",
                options.database
            );
            return Err(SqlError::new(3952, 16, text));
        }
        if self.transaction.is_some() && !self.frozen {
            let begin = self.connection.execute_batch("BEGIN TRANSACTION");
            begin.map_err(|error| SqlError::of_engine(&error))?;
            self.frozen = true;
        }
        Ok(())
    }

    /// Memory-optimised tables are out of reach where the session's isolation level is SNAPSHOT, and under READ COMMITTED in a
    /// transaction that was begun in so many words: hints that would change the latter are not known here.
    fn reach(&self, plan: &Plan) -> Result<(), SqlError> {
        let engine = &self.shared.engine;
        let lies_in_memory = |name: &String| engine.table("dbo", name).is_some_and(|table| table.is_memory_optimised());
        if !plan.tables.iter().any(lies_in_memory) {
            return Ok(());
        }
        if self.settings.snapshot {
            let text = "Memory optimized tables and natively compiled modules cannot be accessed or created when the session \
                        TRANSACTION ISOLATION LEVEL is set to SNAPSHOT.";
            return Err(SqlError::new(41332, 16, text));
        }
        if self.transaction.is_some() {
            let text = "Accessing memory optimized tables using the READ COMMITTED isolation level is supported only for \
                        autocommit transactions. It is not supported for explicit or implicit transactions. Provide a \
                        supported isolation level for the memory optimized table using a table hint, such as WITH (SNAPSHOT).";
            return Err(SqlError::new(41368, 16, text));
        }
        Ok(())
    }
}
