//! Which tables are read when, and how the trade tables come to belong to one moment (DOMAIN §11).
//!
//! Inside a read transaction everything is one moment. Without one, the trade tables are summed up, read, and summed up
//! again; parts of them whose sums moved are read again, until nothing moved between two askings or the patience is over. As
//! all sums are asked before the first row and again after the last one, a pass in which none moved shows one moment. A till
//! that cannot compute sums is watched by its trade mark instead, and read again as a whole.

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
        self.collisions = self.find_collisions();
        if consistency == Consistency::Moving {
            let message = format!(
                "tickets kept moving, or could not be watched, through {MAX_READS} reads: lines and payments of open tickets may disagree with their ticket in this snapshot"
            );
            self.observer.event(Event::Warning { message });
        }
        Ok(consistency)
    }

    fn keep(&self) -> Keep<'static> {
        if self.quick { Keep::Known } else { Keep::Nothing }
    }

    /// Reads a table that nothing else need agree with, or everything does.
    async fn read_once(&mut self, source: &mut dyn Source, table: &Table) -> Result<()> {
        let name = table.name.to_string();
        let sums = if self.wants_sums() { Some(self.ask_sums(source, table).await) } else { None };
        let sums = match sums.transpose() {
            Ok(sums) => sums,
            Err(error) => return self.miss(&name, error),
        };
        let is_summed = matches!(sums, Some(Sums::Table(_)));
        self.read_table(source, table, Asked { sums, keep: self.keep(), pass: 1 }).await?;
        if is_summed && !self.in_transaction {
            // Without the same sums afterwards nobody knows whether they are of the rows that were read.
            self.complete_all().await?;
            match self.ask_sums(source, table).await {
                Ok(Sums::Table(after)) => self.note_after(&name, &after),
                Ok(Sums::Cannot(_)) => self.doubt(&name),
                Err(error) if is_about_one_table(&error) => self.doubt(&name),
                Err(error) => return Err(error),
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

    /// The sums of all these tables, one after the other. A table that cannot be asked is left out: reading it tells why.
    async fn ask_all(&mut self, source: &mut dyn Source, tables: &[&Table]) -> Result<Answers> {
        let mut answers = Answers::new();
        for table in tables {
            let answer = match self.ask_sums(source, table).await {
                Ok(answer) => answer,
                Err(error) if is_about_one_table(&error) => Sums::Cannot("the till refused".into()),
                Err(error) => return Err(error),
            };
            answers.insert(table.name.to_string(), answer);
        }
        Ok(answers)
    }

    /// Reads the trade tables until nothing moved in between, where no transaction holds them together. Returns whether
    /// that came about.
    async fn settle(&mut self, source: &mut dyn Source, tables: &[&Table]) -> Result<bool> {
        let mut now = self.ask_all(source, tables).await?;
        let needs_mark = tables.is_empty() || now.values().any(|answer| matches!(answer, Sums::Cannot(_)));
        let mut mark = if needs_mark { trade_mark(source).await? } else { None };
        for table in tables {
            let sums = now.get(&table.name.to_string()).cloned();
            self.read_table(source, table, Asked { sums, keep: self.keep(), pass: 1 }).await?;
        }
        for pass in 2..=MAX_READS + 1 {
            self.complete_all().await?;
            let after = self.ask_all(source, tables).await?;
            let mark_after = if needs_mark { trade_mark(source).await? } else { None };
            self.note_all(&now, &after);
            let is_watched = |table: &&&Table| self.is_taken(&table.name.to_string());
            let moved: Vec<&Table> =
                tables.iter().filter(is_watched).filter(|table| has_moved(table, &now, &after)).copied().collect();
            let unsummed: Vec<&Table> =
                tables.iter().filter(is_watched).filter(|table| summed(table, &after).is_none()).copied().collect();
            let needs_mark = !unsummed.is_empty();
            let is_still = moved.is_empty() && (!needs_mark || (mark.is_some() && mark == mark_after));
            let is_hopeless = needs_mark && mark_after.is_none();
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

fn summed<'a>(table: &Table, answers: &'a Answers) -> Option<&'a TableSums> {
    match answers.get(&table.name.to_string()) {
        Some(Sums::Table(sums)) => Some(sums),
        _ => None,
    }
}

/// Whether a table's sums differ between two askings. One that the till summed up only once counts as moved.
fn has_moved(table: &Table, before: &Answers, after: &Answers) -> bool {
    match (summed(table, before), summed(table, after)) {
        (Some(before), Some(after)) => before != after,
        (None, None) => false,
        _ => true,
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
