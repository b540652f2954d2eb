//! Which tables are read when, and how the trade tables come to belong to one moment (DOMAIN §11).
//!
//! Inside a read transaction everything is one moment. Without one, the trade tables are summed up, read, and summed up
//! again; parts of them whose sums moved are read again, until nothing moved between two askings or the patience is over. As
//! all sums are asked before the first row and again after the last one, a pass in which none moved shows one moment. A till
//! that cannot compute sums is watched by its trade mark instead, and read again as a whole.
//!
//! A transaction under SNAPSHOT isolation does not reach memory-optimised tables (error 41332, whatever the hint). They are read
//! when it is over, in the same manner as trade tables without one, and the snapshot says that they are of a later moment.

use std::collections::BTreeMap;

use super::{
    copy::{Asked, Keep},
    run::{Run, is_about_one_table},
};
use crate::{
    archive::snapshot::Consistency,
    error::Result,
    model::table::{Table, TableName},
    observe::Event,
    source::{Source, Sums, TableSums, TradeMark},
};

/// Tables whose rows belong to one ticket or its ledger document, parents first. They are read in one go and read again
/// when a ticket moved meanwhile (DOMAIN §11).
const TRADE_TABLES: [&str; 12] = [
    "Tickets",
    "Orders",
    "Payments",
    "ChangePayments",
    "Calculations",
    "PaidItems",
    "TicketEntities",
    "ProductTimerValues",
    "AccountTransactionDocuments",
    "AccountTransactions",
    "AccountTransactionValues",
    "Numerators",
];

/// How often the trade tables are read before giving up on a still moment.
const MAX_READS: u32 = 3;

/// Place of a table among [`TRADE_TABLES`]. Letters match in either case: Babelfish keeps names in lower case.
fn trade_rank(table: &TableName) -> usize {
    let name = table.to_string();
    TRADE_TABLES.iter().position(|trade| trade.eq_ignore_ascii_case(&name)).unwrap_or(TRADE_TABLES.len())
}

/// The till's answers for some tables.
type Answers = BTreeMap<String, Sums>;

impl Run<'_> {
    /// Reads every table; says how one state was obtained.
    pub(super) async fn read_all(&mut self, source: &mut dyn Source, tables: &[Table]) -> Result<Consistency> {
        let (mut trade, rest): (Vec<&Table>, Vec<&Table>) =
            tables.iter().partition(|table| trade_rank(&table.name) < TRADE_TABLES.len());
        trade.sort_by_key(|table| trade_rank(&table.name));
        let mut consistency = Consistency::Snapshot;
        if self.in_transaction {
            for table in trade {
                self.read_once(source, table).await?;
            }
        } else {
            let is_settled = self.settle(source, &trade).await?;
            consistency = if is_settled { Consistency::Reread } else { Consistency::Moving };
        }
        for table in rest {
            self.read_once(source, table).await?;
        }
        self.complete_all().await?;
        self.collisions = self.find_collisions(tables);
        if consistency == Consistency::Moving {
            let message = format!(
                "tickets kept moving, or could not be watched, through {MAX_READS} reads: lines and payments of open tickets may disagree with their ticket in this snapshot"
            );
            self.observer.event(Event::Warning { message });
        }
        Ok(consistency)
    }

    /// Reads the tables that the read transaction does not reach, when it is over: of one moment if they stay still, but of
    /// another one than the rest.
    pub(super) async fn read_apart(&mut self, source: &mut dyn Source, tables: &[Table]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        (self.in_transaction, self.apart) = (false, true);
        let is_settled = self.settle(source, &tables.iter().collect::<Vec<_>>()).await?;
        self.complete_all().await?;
        let collisions = self.find_collisions(tables);
        self.collisions.extend(collisions);
        let names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
        let moved = if is_settled { "" } else { ", and kept moving" };
        let message = format!(
            "not of the same moment as the other tables: {}. A read transaction does not reach memory-optimised tables, so they \
             were read after it{moved}",
            names.join(", ")
        );
        self.observer.event(Event::Warning { message });
        Ok(())
    }

    fn keep(&self) -> Keep<'static> {
        if self.quick { Keep::Known } else { Keep::Nothing }
    }

    /// Reads a table that nothing else need agree with, or everything does.
    async fn read_once(&mut self, source: &mut dyn Source, table: &Table) -> Result<()> {
        let name = table.name.to_string();
        let sums = if self.wants_sums() { Some(self.ask_sums(source, table).await?) } else { None };
        let is_summed = matches!(sums, Some(Sums::Table(_)));
        self.read_table(source, table, Asked { sums, keep: self.keep(), pass: 1 }).await?;
        if is_summed && !self.in_transaction {
            // Without the same sums afterwards nobody knows whether they are of the rows that were read.
            self.complete_all().await?;
            match self.ask_sums(source, table).await? {
                Sums::Table(after) => self.note_after(&name, &after),
                Sums::Cannot(_) => self.doubt(&name),
            }
        }
        Ok(())
    }

    /// Nothing is known of whether a table's sums are those of its rows.
    fn doubt(&mut self, name: &str) {
        if let Some(Ok(taken)) = self.taken.get_mut(name) {
            taken.checked = None;
        }
    }

    /// The sums of all these tables, one after the other.
    async fn ask_all(&mut self, source: &mut dyn Source, tables: &[&Table]) -> Result<Answers> {
        let mut answers = Answers::new();
        for table in tables {
            answers.insert(table.name.to_string(), self.ask_sums(source, table).await?);
        }
        Ok(answers)
    }

    /// Reads the trade tables until nothing moved in between, where no transaction holds them together. Returns whether
    /// that came about.
    async fn settle(&mut self, source: &mut dyn Source, tables: &[&Table]) -> Result<bool> {
        let mut now = self.ask_all(source, tables).await?;
        let mut needs_mark = tables.is_empty() || lacks_sums(&now);
        let mut mark = if needs_mark { trade_mark(source).await? } else { None };
        for table in tables {
            let sums = now.get(&table.name.to_string()).cloned();
            self.read_table(source, table, Asked { sums, keep: self.keep(), pass: 1 }).await?;
        }
        for pass in 2..=MAX_READS + 1 {
            self.complete_all().await?;
            let after = self.ask_all(source, tables).await?;
            // A table that could be summed up before may not be now.
            needs_mark |= lacks_sums(&after);
            let mark_after = if needs_mark { trade_mark(source).await? } else { None };
            self.note_all(&now, &after);
            let is_watched = |table: &&&Table| self.is_taken(&table.name.to_string());
            let moved: Vec<&Table> =
                tables.iter().filter(is_watched).filter(|table| has_moved(table, &now, &after)).copied().collect();
            let unsummed: Vec<&Table> =
                tables.iter().filter(is_watched).filter(|table| summed(table, &after).is_none()).copied().collect();
            let is_marked = mark.is_some() && mark == mark_after;
            let is_still = moved.is_empty() && (unsummed.is_empty() || is_marked);
            let is_hopeless = !unsummed.is_empty() && mark_after.is_none();
            if is_still || is_hopeless || pass > MAX_READS {
                return Ok(is_still);
            }
            for table in moved.into_iter().chain(unsummed) {
                let sums = after.get(&table.name.to_string()).cloned();
                let keep = summed(table, &now).map_or(Keep::Nothing, Keep::Still);
                self.read_table(source, table, Asked { sums, keep, pass }).await?;
            }
            (now, mark) = (after, mark_after);
        }
        Ok(false)
    }

    fn is_taken(&self, name: &str) -> bool {
        self.taken.get(name).is_some_and(std::result::Result::is_ok)
    }

    /// Notes for every table what the till said of it after it was read; or that it did not.
    fn note_all(&mut self, before: &Answers, after: &Answers) {
        for (name, answer) in after {
            match (before.get(name), answer) {
                (Some(Sums::Table(_)), Sums::Table(sums)) => self.note_after(name, sums),
                _ => self.doubt(name),
            }
        }
    }
}

/// Whether the till did not sum up all it was asked for.
fn lacks_sums(answers: &Answers) -> bool {
    answers.values().any(|answer| matches!(answer, Sums::Cannot(_)))
}

fn summed<'a>(table: &Table, answers: &'a Answers) -> Option<&'a TableSums> {
    match answers.get(&table.name.to_string()) {
        Some(Sums::Table(sums)) => Some(sums),
        _ => None,
    }
}

/// Whether a table's sums differ between two askings. One that the till sums up only now counts as moved; one that it does not
/// sum up any more is watched by the mark.
fn has_moved(table: &Table, before: &Answers, after: &Answers) -> bool {
    match (summed(table, before), summed(table, after)) {
        (Some(before), Some(after)) => before != after,
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

/// The trade mark, or none when the till does not show its tickets; reading them then says why.
async fn trade_mark(source: &mut dyn Source) -> Result<Option<TradeMark>> {
    match source.trade_mark().await {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if is_about_one_table(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trade_tables_are_known_in_any_case() {
        assert_eq!(trade_rank(&TableName::dbo("tickets")), trade_rank(&TableName::dbo("Tickets")));
        assert_eq!(trade_rank(&TableName::dbo("orders")), 1);
        assert_eq!(trade_rank(&TableName::dbo("MenuItems")), TRADE_TABLES.len());
    }
}
