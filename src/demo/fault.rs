//! Faults on demand: what goes wrong with real tills, scripted by tests while the server runs.
//!
//! A fault is armed with [`Faults::arm`] for a number of times and fires when its condition is met; [`Faults::clear`] takes
//! back what is left. Without armed faults the server behaves.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Where a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At the next sign-ins.
    Login,
    /// At queries that read this table.
    Table(String),
    /// At statements that hold this text, whatever its case.
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

    /// Error 18456 at sign-in.
    #[must_use]
    pub fn login_failed(user: &str) -> Self {
        Self::Error(18456, format!("Login failed for user '{user}'."))
    }
}

#[derive(Debug)]
struct Armed {
    when: When,
    fault: Fault,
    times: usize,
}

/// The faults of one server.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<Vec<Armed>>,
    statements: Mutex<Vec<String>>,
}

impl Faults {
    /// Arms a fault for the next `times` occasions.
    pub fn arm(&self, when: When, fault: Fault, times: usize) {
        self.list().push(Armed { when, fault, times });
    }

    /// Takes back everything that has not fired.
    pub fn clear(&self) {
        self.list().clear();
    }

    /// Texts of the queries run since the last call, oldest first: what a test asserts on.
    pub fn take_statements(&self) -> Vec<String> {
        std::mem::take(&mut *self.statements.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_statement(&self, text: &str) {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever does not ask should not pay with memory.
        if statements.len() < 10_000 {
            statements.push(text.to_owned());
        }
    }

    pub(super) fn at_login(&self) -> Option<Fault> {
        self.take(|when| *when == When::Login)
    }

    /// The fault for a query over `tables` with that text.
    pub(super) fn at_query(&self, tables: &[String], text: &str) -> Option<Fault> {
        let text = text.to_lowercase();
        self.take(|when| match when {
            When::Login => false,
            When::Table(name) => tables.iter().any(|table| table.eq_ignore_ascii_case(name)),
            When::Text(part) => text.contains(&part.to_lowercase()),
        })
    }

    fn take(&self, meets: impl Fn(&When) -> bool) -> Option<Fault> {
        let mut list = self.list();
        let index = list.iter().position(|armed| armed.times > 0 && meets(&armed.when))?;
        list[index].times -= 1;
        let fault = list[index].fault.clone();
        if list[index].times == 0 {
            list.remove(index);
        }
        Some(fault)
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    }
}
