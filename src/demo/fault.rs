//! Faults on demand: what goes wrong with real tills, scripted by tests while the server runs.
//!
//! A fault is armed with [`Faults::arm`] for a number of times and fires when its condition is met; [`Faults::clear`] takes
//! back what is left. Without armed faults the server behaves. Faults of the first kind are the server's own: errors, rows
//! that stop. A [`Tamper`] acts below, on the bytes of one answer on their way out, whatever made them.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use super::tds::tamper::{BadPacket, Edit, Place, Tamper};

/// Where a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At the first answer of the next connections, before anything is encrypted. [`Tamper`] only.
    Prelogin,
    /// In place of the next TLS handshakes: [`Fault::Stall`] waits before them, [`Fault::DropAfter`] closes instead.
    Handshake,
    /// At the next sign-ins.
    Login,
    /// At queries that read this table; for a [`Tamper`], at requests whose text names it in brackets.
    Table(String),
    /// At statements that hold this text, whatever its case; for a [`Tamper`], at requests that do.
    Text(String),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this error: number, message. At sign-in, the connection closes after it.
    Error(i32, String),
    /// The server says nothing for so long, then goes on.
    Stall(Duration),
    /// The connection breaks after so many rows of one result; when it has fewer, before its end is told.
    DropAfter(u64),
    /// The connection breaks in the middle of the row after so many of one result; when it has fewer, before its end is
    /// told.
    DropInside(u64),
    /// After so many rows the server says nothing for that time, then goes on.
    StallAfter(u64, Duration),
    /// After so many rows of one result, or at its end when it has fewer, this error comes: number, message.
    ErrorAfter(u64, i32, String),
    /// An error of severity 21: number, message. The server closes the connection after it.
    Fatal(i32, String),
    /// The bytes of the answer are not what they should be.
    Tamper(Tamper),
}

impl Fault {
    /// Error 1205: chosen as the victim of a deadlock.
    #[must_use]
    pub fn deadlock() -> Self {
        let text = "Transaction (Process ID 51) was deadlocked on lock resources with another process and has been \
                    chosen as the deadlock victim. Rerun the transaction.";
        Self::Error(1205, text.into())
    }

    /// Error 1222: a lock was not had in time.
    #[must_use]
    pub fn lock_timeout() -> Self {
        Self::Error(1222, "Lock request time out period exceeded.".into())
    }

    /// Error 229: no right to read a table.
    #[must_use]
    pub fn permission_denied(database: &str, table: &str) -> Self {
        let text =
            format!("The SELECT permission was denied on the object '{table}', database '{database}', schema 'dbo'.");
        Self::Error(229, text)
    }

    /// Error 208: there is no such table.
    #[must_use]
    pub fn invalid_object(table: &str) -> Self {
        Self::Error(208, format!("Invalid object name '{table}'."))
    }

    /// Error 207: the table has no such column.
    #[must_use]
    pub fn invalid_column(column: &str) -> Self {
        Self::Error(207, format!("Invalid column name '{column}'."))
    }

    /// Error 3961: the table was changed while a snapshot transaction was open.
    #[must_use]
    pub fn changed_in_transaction(database: &str) -> Self {
        let text = format!(
            "Snapshot isolation transaction failed in database '{database}' because the object accessed by the statement \
             has been modified by a DDL statement in another concurrent transaction since the start of this transaction."
        );
        Self::Error(3961, text)
    }

    /// Error 3952: the database does not allow snapshot isolation any more.
    #[must_use]
    pub fn no_snapshots(database: &str) -> Self {
        let text = format!(
            "Snapshot isolation transaction failed accessing database '{database}' because snapshot isolation is not \
             allowed in this database. Use ALTER DATABASE to allow snapshot isolation."
        );
        Self::Error(3952, text)
    }

    /// Error 596: an administrator, or a shutdown, ended the session.
    #[must_use]
    pub fn killed() -> Self {
        Self::Fatal(596, "Cannot continue the execution because the session is in the kill state.".into())
    }

    /// Error 6005 with the end of the connection: the server shuts down.
    #[must_use]
    pub fn shutdown() -> Self {
        Self::Fatal(6005, "SHUTDOWN is in progress.".into())
    }

    /// Error 701: the server has too little memory.
    #[must_use]
    pub fn out_of_memory() -> Self {
        Self::Error(701, "There is insufficient system memory in resource pool 'default' to run this query.".into())
    }

    /// Error 8645: no memory was had in time.
    #[must_use]
    pub fn memory_timeout() -> Self {
        let text = "A timeout occurred while waiting for memory resources to execute the query in resource pool 'default' \
                    (2). Rerun the query.";
        Self::Error(8645, text.into())
    }

    /// Error 17142 at sign-in: the server is paused.
    #[must_use]
    pub fn paused() -> Self {
        Self::Error(17_142, "SQL Server service has been paused. No new connections will be allowed.".into())
    }

    /// Error 18456 at sign-in.
    #[must_use]
    pub fn login_failed(user: &str) -> Self {
        Self::Error(18456, format!("Login failed for user '{user}'."))
    }
}

impl From<Tamper> for Fault {
    fn from(tamper: Tamper) -> Self {
        Self::Tamper(tamper)
    }
}

#[derive(Debug)]
struct Armed {
    when: When,
    fault: Fault,
    times: usize,
}

/// Something to do when a request arrives, before it is answered.
struct Act {
    text: String,
    act: Box<dyn FnOnce() + Send>,
}

/// One answer as the server meant it: the text of the request and the tokens, without packet headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `PRELOGIN`, `LOGIN`, or the text of the request, as far as it is text.
    pub request: String,
    /// The tokens.
    pub tokens: Vec<u8>,
}

/// The faults of one server.
#[derive(Default)]
pub struct Faults {
    armed: Mutex<Vec<Armed>>,
    acts: Mutex<Vec<Act>>,
    statements: Mutex<Vec<String>>,
    answers: Mutex<Vec<Answer>>,
    keeps_answers: AtomicBool,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("armed", &self.list()).finish_non_exhaustive()
    }
}

impl Faults {
    /// Arms a fault for the next `times` occasions.
    pub fn arm(&self, when: When, fault: impl Into<Fault>, times: usize) {
        self.list().push(Armed { when, fault: fault.into(), times });
    }

    /// Does `act` once, when a request that holds `text` (whatever its case) arrives, before it is answered.
    pub fn before(&self, text: impl Into<String>, act: impl FnOnce() + Send + 'static) {
        locked(&self.acts).push(Act { text: text.into().to_lowercase(), act: Box::new(act) });
    }

    /// Takes back everything that has not fired.
    pub fn clear(&self) {
        self.list().clear();
        locked(&self.acts).clear();
    }

    /// Whether everything armed has fired.
    #[must_use]
    pub fn are_spent(&self) -> bool {
        self.list().is_empty() && locked(&self.acts).is_empty()
    }

    /// Texts of the queries run since the last call, oldest first: what a test asserts on.
    pub fn take_statements(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.statements))
    }

    /// From now on every answer is kept, before any fault acts on its bytes. For small answers: they stay in memory.
    pub fn keep_answers(&self) {
        self.keeps_answers.store(true, Ordering::Release);
    }

    /// The answers kept since the last call, oldest first. None is kept after it.
    pub fn take_answers(&self) -> Vec<Answer> {
        self.keeps_answers.store(false, Ordering::Release);
        std::mem::take(&mut *locked(&self.answers))
    }

    pub(super) fn note_statement(&self, text: &str) {
        let mut statements = locked(&self.statements);
        // Whoever does not ask should not pay with memory.
        if statements.len() < 10_000 {
            statements.push(text.to_owned());
        }
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps_answers.load(Ordering::Acquire)
    }

    pub(super) fn keep(&self, answer: Answer) {
        if self.keeps() {
            locked(&self.answers).push(answer);
        }
    }

    pub(super) fn at_login(&self) -> Option<Fault> {
        self.take(|when, fault| *when == When::Login && !matches!(fault, Fault::Tamper(_)))
    }

    pub(super) fn at_handshake(&self) -> Option<Fault> {
        self.take(|when, _| *when == When::Handshake)
    }

    /// What happens to the bytes of the answer to a PRELOGIN or LOGIN7 message.
    pub(super) fn at_greeting(&self, greeting: &When) -> Option<Tamper> {
        self.take_tamper(|when| when == greeting)
    }

    /// The fault for a query over `tables` with that text.
    pub(super) fn at_query(&self, tables: &[String], text: &str) -> Option<Fault> {
        let text = text.to_lowercase();
        self.take(|when, fault| match when {
            _ if matches!(fault, Fault::Tamper(_)) => false,
            When::Login | When::Prelogin | When::Handshake => false,
            When::Table(name) => tables.iter().any(|table| table.eq_ignore_ascii_case(name)),
            When::Text(part) => text.contains(&part.to_lowercase()),
        })
    }

    /// The error for a statement that reads nothing, such as `COMMIT`.
    pub(super) fn at_statement(&self, text: &str) -> Option<(i32, String)> {
        let text = text.to_lowercase();
        let meets = |when: &When| matches!(when, When::Text(part) if text.contains(&part.to_lowercase()));
        match self.take(|when, fault| matches!(fault, Fault::Error(..)) && meets(when)) {
            Some(Fault::Error(number, message)) => Some((number, message)),
            _ => None,
        }
    }

    /// Whether the texts of requests are of interest: finding them takes time.
    pub(super) fn watch_requests(&self) -> bool {
        self.keeps() || !self.are_spent()
    }

    /// A request with that text arrived: does what was asked for, and says what happens to the bytes of its answer.
    pub(super) fn at_request(&self, text: &str) -> Option<Tamper> {
        let text = text.to_lowercase();
        let due: Vec<Act> = locked(&self.acts).extract_if(.., |act| text.contains(&act.text)).collect();
        for Act { act, .. } in due {
            act();
        }
        self.take_tamper(|when| match when {
            When::Text(part) => text.contains(&part.to_lowercase()),
            When::Table(name) => text.contains(&format!("[{}]", name.to_lowercase())),
            When::Login | When::Prelogin | When::Handshake => false,
        })
    }

    fn take_tamper(&self, meets: impl Fn(&When) -> bool) -> Option<Tamper> {
        match self.take(|when, fault| matches!(fault, Fault::Tamper(_)) && meets(when))? {
            Fault::Tamper(tamper) => Some(tamper),
            _ => None,
        }
    }

    fn take(&self, meets: impl Fn(&When, &Fault) -> bool) -> Option<Fault> {
        let mut list = self.list();
        let index = list.iter().position(|armed| armed.times > 0 && meets(&armed.when, &armed.fault))?;
        list[index].times -= 1;
        let fault = list[index].fault.clone();
        if list[index].times == 0 {
            list.remove(index);
        }
        Some(fault)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Armed>> {
        locked(&self.armed)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_fires_as_often_as_armed() {
        let faults = Faults::default();
        faults.arm(When::Table("orders".into()), Fault::deadlock(), 2);
        faults.arm(When::Text("checksum".into()), Fault::lock_timeout(), 1);
        assert_eq!(faults.at_query(&["Tickets".into()], "SELECT 1"), None);
        assert_eq!(faults.at_query(&["Orders".into()], "SELECT 1"), Some(Fault::deadlock()));
        assert_eq!(faults.at_query(&[], "select CHECKSUM_AGG(1)"), Some(Fault::lock_timeout()));
        assert_eq!(faults.at_query(&["Orders".into()], "SELECT 1"), Some(Fault::deadlock()));
        assert_eq!(faults.at_query(&["Orders".into()], "SELECT 1"), None);
        assert!(faults.are_spent());
    }

    #[test]
    fn tampering_waits_for_the_request_and_errors_for_the_query() {
        let faults = Faults::default();
        faults.arm(When::Table("Orders".into()), Tamper::cut_at(5), 1);
        faults.arm(When::Text("commit".into()), Fault::deadlock(), 1);
        assert_eq!(faults.at_query(&["Orders".into()], "SELECT 1 FROM [dbo].[Orders]"), None);
        assert_eq!(faults.at_request("SELECT 1 FROM [dbo].[OrdersOld]"), None);
        assert_eq!(faults.at_request("SELECT 1 FROM [dbo].[ORDERS]"), Some(Tamper::cut_at(5)));
        assert_eq!(faults.at_statement("COMMIT TRANSACTION;").map(|(number, _)| number), Some(1205));
        assert!(faults.are_spent());
    }
}
