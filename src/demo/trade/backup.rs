//! Backup and restore of the whole till, as SambaPOS's own module does it (DOMAIN §3, §11): all tables and all identity
//! counters go back, so that later Ids equal Ids seen before, with other content.

use std::collections::BTreeMap;

use super::{Trade, bill::Ticket, books::Books, catalog::Catalog, desk::Counters, house::House, service::Agenda};
use crate::error::{Error, Kind, OrFail, Result};

/// The till as it was between two days. The rows lie in the same database, in a schema of their own.
#[derive(Clone, Debug)]
pub struct Backup {
    schema: String,
    counters: Counters,
    catalog: Catalog,
    house: House,
    agenda: Agenda,
    tickets: BTreeMap<i32, Ticket>,
    books: Books,
}

impl Trade {
    /// Takes a backup of the till.
    ///
    /// # Errors
    /// [`Kind::Usage`] in the middle of a day; [`Kind::Bug`] when the tables cannot be copied.
    pub fn back_up(&mut self) -> Result<Backup> {
        self.refuse_during_service("backed up")?;
        self.backups += 1;
        let schema = format!("backup_{}", self.backups);
        let mut script = format!("CREATE SCHEMA \"{schema}\";");
        for table in self.desk.table_names() {
            script.push_str(&format!("CREATE TABLE \"{schema}\".\"{table}\" AS FROM dbo.\"{table}\";"));
        }
        let conn = self.desk.conn();
        conn.execute_batch(&script).or_fail(Kind::Bug, || "cannot copy the till's tables for a backup")?;
        Ok(Backup {
            schema,
            counters: self.desk.counters().clone(),
            catalog: self.catalog.clone(),
            house: self.house.clone(),
            agenda: self.agenda.clone(),
            tickets: self.tickets.clone(),
            books: self.books.clone(),
        })
    }

    /// Puts the till back to what it was at a backup. The calendar goes on: the next day traded is the one after the last,
    /// and tables that were open at the backup are settled on it.
    ///
    /// # Errors
    /// [`Kind::Usage`] in the middle of a day; [`Kind::Bug`] when the tables cannot be written.
    pub fn restore(&mut self, backup: &Backup) -> Result<()> {
        self.refuse_during_service("restored")?;
        for table in self.desk.table_names() {
            self.desk.statement(format!("DELETE FROM dbo.\"{table}\""));
            self.desk.statement(format!("INSERT INTO dbo.\"{table}\" FROM \"{}\".\"{table}\"", backup.schema));
        }
        self.desk.flush()?;
        self.desk.set_counters(backup.counters.clone());
        self.catalog = backup.catalog.clone();
        self.house = backup.house.clone();
        self.agenda = backup.agenda.clone();
        self.tickets = backup.tickets.clone();
        self.books.restore(&backup.books);
        Ok(())
    }

    fn refuse_during_service(&self, done: &str) -> Result<()> {
        if self.begun {
            return Err(Error::new(Kind::Usage, format!("the simulated till cannot be {done} during service"))
                .hint("end the day with trade_day first"));
        }
        Ok(())
    }
}
