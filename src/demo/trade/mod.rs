//! Simulated trade of a hotel restaurant, written straight into the till's tables.
//!
//! [`Trade::open`] fills the catalog; each [`Trade::trade_day`] adds one business day: breakfast to bar, tables and rooms,
//! voids, gifts, refunds, split bills, room charges, the ledger behind them, stock and work periods, as SambaPOS would
//! store them (DOMAIN §2 to §8). [`Trade::open_day`] stops in the middle of a day, with tables open.
//!
//! Promises: equal options and calls give equal rows, to the byte; a day gives the same rows whether it is traded at once
//! or in parts (rowversions aside: they count steps); each step is one transaction; for every ticket `RemainingAmount = TotalAmount - payments + change`; every
//! ledger transaction has two values. What the reports must say is kept in books of its own ([`Trade::expected_sales`]).
//!
//! It never reads a clock, and never looks at its own rows to decide what happens next (room balances after a partial
//! clear excepted).

use std::collections::{BTreeMap, BTreeSet};

use duckdb::Connection;
use jiff::{
    ToSpan,
    civil::{Date, DateTime},
};
use rust_decimal::Decimal;

use crate::{error::Result, model::report::SoldGroup};

mod at;
mod backup;
mod bill;
mod bill_rows;
mod books;
mod catalog;
mod catalog_setup;
mod clear;
mod desk;
mod dice;
mod edits;
pub mod fixture;
mod house;
mod json;
mod ledger;
mod menu;
mod multiply;
mod plan;
mod service;

use at::{At, HOUR};
pub use backup::Backup;
use bill::Ticket;
use books::Books;
pub use books::Scope;
use catalog::Catalog;
pub use clear::Clear;
use desk::Desk;
use dice::Dice;
use house::House;
use service::{Agenda, Floor};

/// How the restaurant trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeOptions {
    /// Equal seeds give equal trade.
    pub seed: u64,
    /// Tickets on an average day; weekends have more.
    pub tickets_per_day: u32,
    /// The first business day.
    pub first_day: Date,
    /// Whether tickets and lines have uids, as V5 has; without, the till looks like V3 (DOMAIN §4).
    pub uids: bool,
}

impl Default for TradeOptions {
    fn default() -> Self {
        Self { seed: 1, tickets_per_day: 120, first_day: Date::constant(2026, 3, 2), uids: true }
    }
}

/// A day's closed tickets as the live reports count them (DOMAIN §9.2), at the end of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayFigures {
    /// The business day: the calendar day its tickets were opened on.
    pub date: Date,
    /// Closed tickets. A few guests' tabs stay open over night and are not among them yet.
    pub tickets: usize,
    /// Their lines that are neither void nor cancelled.
    pub lines: usize,
    /// Sum of price × quantity of these lines.
    pub revenue: Decimal,
}

/// A restaurant that trades.
///
/// It may be moved to another thread, not shared between two: put it behind a lock.
#[derive(Debug)]
pub struct Trade {
    options: TradeOptions,
    desk: Desk,
    catalog: Catalog,
    house: House,
    books: Books,
    agenda: Agenda,
    /// Open tickets, and those closed a short while ago.
    tickets: BTreeMap<i32, Ticket>,
    changed: BTreeSet<i32>,
    /// The business day that is traded or will be next.
    day: Date,
    begun: bool,
    serial: u64,
    backups: u32,
    now: At,
    /// Chance of the edits; days have streams of their own.
    dice: Dice,
}

impl Trade {
    /// Opens a restaurant on empty tables (`schema::create_tables` makes them) and writes its catalog.
    ///
    /// # Errors
    /// [`crate::error::Kind::Bug`] when a table is missing or refuses a row.
    pub fn open(conn: Connection, options: TradeOptions) -> Result<Self> {
        let now = At::on(options.first_day, 6 * HOUR);
        let mut desk = Desk::new(conn)?;
        let catalog = catalog::write(&mut desk, now);
        desk.flush()?;
        Ok(Self {
            options,
            desk,
            catalog,
            house: House::default(),
            books: Books::default(),
            agenda: Agenda::default(),
            tickets: BTreeMap::new(),
            changed: BTreeSet::new(),
            day: options.first_day,
            begun: false,
            serial: 0,
            backups: 0,
            now,
            dice: Dice::new(options.seed, u64::MAX),
        })
    }

    /// Trades the present business day to its end at 01:30, or one more day if none is begun. Tables are free afterwards,
    /// the work period is closed, a few tabs of hotel guests are open.
    ///
    /// # Errors
    /// [`crate::error::Kind::Bug`] when the tables refuse a row.
    pub fn trade_day(&mut self) -> Result<DayFigures> {
        self.trade_part(1.0)?;
        let date = self.day;
        self.day = date.saturating_add(1.day());
        self.begun = false;
        let (tickets, lines, revenue) = self.books.figures(date, date, Scope::Till);
        Ok(DayFigures { date, tickets, lines, revenue })
    }

    /// Trades the present business day up to a fraction of its opening hours, from 0 to 1; never backwards.
    /// [`Trade::trade_day`] ends the day.
    ///
    /// # Errors
    /// [`crate::error::Kind::Bug`] when the tables refuse a row.
    pub fn open_day(&mut self, fraction: f64) -> Result<()> {
        self.trade_part(fraction.clamp(0.0, 1.0))
    }

    /// The till's clock.
    #[must_use]
    pub fn now(&self) -> DateTime {
        self.now.civil()
    }

    /// The business day that is being traded, or the next one when none is begun.
    #[must_use]
    pub fn day(&self) -> Date {
        self.day
    }

    /// Tickets that are open now.
    #[must_use]
    pub fn open_tickets(&self) -> usize {
        self.tickets.values().filter(|ticket| !ticket.closed).count()
    }

    /// The connection to the till's tables.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.desk.conn()
    }

    /// Clears the trade as a site's script does. A full clear also takes open tickets and restarts the numbers of tickets,
    /// orders and work periods; the catalog stays.
    ///
    /// # Errors
    /// [`crate::error::Kind::Bug`] when the tables refuse the change.
    pub fn clear(&mut self, clear: Clear) -> Result<()> {
        match clear {
            Clear::Before(date) => {
                clear::before(&mut self.desk, date);
                self.tickets.retain(|_, ticket| !ticket.closed || ticket.date.civil().date() >= date);
                self.books.clear(Some(date));
                self.desk.flush()?;
                self.house.read_balances(&self.desk, &self.catalog)
            }
            Clear::LeaveOrphans => {
                clear::tickets_only(&mut self.desk);
                self.tickets.clear();
                self.agenda.forget_tickets();
                self.house.restart_numbers();
                self.books.clear(None);
                self.save(&[])
            }
            Clear::Delete | Clear::Reseed | Clear::TruncateLeaves => {
                clear::everything(&mut self.desk, clear == Clear::Reseed, clear == Clear::TruncateLeaves);
                self.tickets.clear();
                self.agenda.forget_tickets();
                self.house.forget_trade();
                self.books.clear(None);
                self.save(&[])
            }
        }
    }

    /// What a report over these days must say, both included: sold lines by kitchen course (raw text) and name at the time
    /// of sale, sorted by code point. Excluded groups, ranking and truncation are the report's business (DOMAIN §9.2, §9.6).
    #[must_use]
    pub fn expected_sales(&self, from: Date, to: Date, scope: Scope) -> Vec<SoldGroup> {
        self.books.groups(&self.catalog, from, to, scope)
    }

    /// Closed tickets, sold lines and their value over these days, both included.
    #[must_use]
    pub fn expected_totals(&self, from: Date, to: Date, scope: Scope) -> (usize, usize, Decimal) {
        self.books.figures(from, to, scope)
    }

    /// The last identity value a table gave out, 0 when it starts afresh.
    #[must_use]
    pub fn last_id(&self, table: &str) -> i32 {
        self.desk.last_id(table)
    }

    fn trade_part(&mut self, fraction: f64) -> Result<()> {
        if !self.begun {
            self.begin_day();
        }
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a day in milliseconds fits")]
        let elapsed = ((plan::CLOSING - plan::OPENING) as f64 * fraction) as i64;
        let until = At::on(self.day, plan::OPENING + elapsed).max(self.now);
        let mut floor = Floor {
            desk: &mut self.desk,
            house: &mut self.house,
            catalog: &self.catalog,
            agenda: &mut self.agenda,
            tickets: &mut self.tickets,
            uids: self.options.uids,
        };
        while let Some((at, event)) = floor.agenda.next(until) {
            // A restored till has events of the past ahead of it: they happen now.
            self.changed.extend(floor.happen(at.max(self.now), event));
        }
        self.now = until;
        self.save(&[])
    }

    fn begin_day(&mut self) {
        let day = self.day.duration_since(self.options.first_day).as_hours() / 24;
        let mut dice = Dice::new(self.options.seed, day.unsigned_abs());
        let (tickets, chores) = plan::day(&mut dice, &self.catalog, self.day, self.options.tickets_per_day);
        for (at, chore) in chores {
            self.agenda.expect_chore(at, chore);
        }
        for ticket in tickets {
            self.serial += 1;
            self.agenda.expect(self.serial, ticket);
        }
        self.begun = true;
    }

    /// Writes changed tickets and the house's rows as one step.
    fn save(&mut self, tickets: &[i32]) -> Result<()> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.extend(tickets);
        let mut stored = Vec::new();
        for ticket in changed.iter().filter_map(|id| self.tickets.get(id)).filter(|ticket| ticket.stored) {
            stored.push((ticket.id, ticket.document));
        }
        bill_rows::remove(&mut self.desk, &stored);
        for id in changed {
            if let Some(ticket) = self.tickets.get_mut(&id) {
                bill_rows::write(&mut self.desk, ticket);
                ticket.stored = true;
                self.books.enter(ticket);
            }
        }
        self.house.write(&mut self.desk);
        self.desk.flush()?;
        let now = self.now;
        self.tickets.retain(|_, ticket| !ticket.closed || now.since(ticket.updated) < service::MEMORY);
        Ok(())
    }
}
