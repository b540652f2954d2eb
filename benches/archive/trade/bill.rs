//! A ticket: what the trade knows of it, and its row.

use std::fmt::Write as _;

use super::{SECOND, USERS};
use crate::rows::{Cell, text};

/// A ticket and where its rows are.
#[derive(Debug)]
pub(super) struct Bill {
    pub(super) number: i32,
    pub(super) uid: String,
    pub(super) opened: i64,
    pub(super) changed: i64,
    pub(super) last_order: i64,
    pub(super) user: usize,
    pub(super) total: i64,
    pub(super) discount: i64,
    pub(super) note: bool,
    /// Place in `PAID_WITH` of what it was paid with, and when.
    pub(super) settled: Option<(usize, i64)>,
    /// The log's entries, with commas between.
    pub(super) logs: String,
    /// Orders before its first one.
    pub(super) first_order: usize,
    /// Place of its row.
    pub(super) ticket: usize,
    /// Place of its ledger document.
    pub(super) document: usize,
    /// Places of its ledger transactions: sale, tax and, once settled, payment. Values lie at twice the place.
    pub(super) transactions: Vec<usize>,
}

impl Bill {
    pub(super) fn log(&mut self, at: i64, category: &str, what: &str) {
        let comma = if self.logs.is_empty() { "" } else { "," };
        let (date, number, user) = (json_date(at), self.number, USERS[self.user]);
        write!(self.logs, r#"{comma}{{"C":"{category}","D":"{date}","L":"{what}","N":"{number}","U":"{user}"}}"#)
            .unwrap();
    }

    /// The row of `Tickets`.
    pub(super) fn row(&self, id: Cell, document: Cell) -> Vec<Cell> {
        let total = self.total - self.discount;
        let state = if self.settled.is_some() { "Paid" } else { "New Orders" };
        let states = format!(r#"[{{"D":"{}","S":"{state}","SN":"Status","SV":""}}]"#, json_date(self.changed));
        let tags = match self.number % 5 {
            0 => Cell::Text(format!(r#"[{{"TN":"Covers","TV":"{}"}}]"#, self.number % 6 + 1).into()),
            _ => Cell::Null,
        };
        let note = if self.note { Cell::Text(format!("Guest of {}", self.number % 17).into()) } else { Cell::Null };
        vec![
            id,
            Cell::Time(self.changed),
            Cell::Time(self.changed / SECOND * SECOND),
            Cell::Text(self.uid.clone().into()),
            Cell::Text(self.number.to_string().into()),
            Cell::Time(self.opened),
            Cell::Time(self.last_order),
            Cell::Time(self.settled.map_or(self.opened, |(_, at)| at)),
            Cell::Bit(false),
            Cell::Bit(self.settled.is_some()),
            Cell::Bit(self.settled.is_none()),
            Cell::Decimal(if self.settled.is_some() { 0 } else { total }),
            Cell::Decimal(total),
            Cell::Int(1),
            Cell::Int(1 + self.number % 3),
            Cell::Int(1),
            note,
            text(USERS[self.user]),
            tags,
            Cell::Text(states.into()),
            Cell::Text(format!("[{}]", self.logs).into()),
            text("[]"),
            Cell::Decimal(100),
            Cell::Bit(true),
            Cell::Null,
            document,
            Cell::Bit(true),
            Cell::Decimal(total - total / 6),
            text(USERS[self.user]),
        ]
    }
}

pub(super) fn int<T: TryInto<i32>>(value: T) -> Cell {
    Cell::Int(value.try_into().ok().unwrap())
}

/// Hundredths with a point.
pub(super) fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A moment as .NET writes it into JSON.
pub(super) fn json_date(at: i64) -> String {
    format!(r"\/Date({}+0000)\/", at / 1_000)
}
