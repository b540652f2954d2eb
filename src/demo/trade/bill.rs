//! A ticket with all its children in memory, and the arithmetic of DOMAIN §7.
//!
//! The till's rule holds after every change: `RemainingAmount = TotalAmount - payments + change`. Money is in pence,
//! quantities in thousandths; a line's exact value is in hundred-thousandths.

use super::{
    at::At,
    catalog::{DISCOUNTING, Entity, SALE, SERVICING, TAX, TAXES, USERS},
    desk::Desk,
    ledger::{Posting, repost},
};

/// What happened to a line (DOMAIN §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An ordinary sale.
    Sold,
    /// A sale written by an integration: no states at all.
    Stateless,
    /// Voided after it was sent, with a reason.
    Void(&'static str),
    /// Given away, with a reason.
    Gift(&'static str),
    /// Cancelled by the site's own rule.
    Canceled,
}

/// A modifier on a line.
#[derive(Clone, Debug)]
pub(super) struct LineTag {
    /// Index into the menu's modifier groups.
    pub(super) group: usize,
    /// Name of the choice.
    pub(super) name: String,
    /// Price in pence.
    pub(super) price: i64,
    /// Free text.
    pub(super) note: Option<String>,
}

/// A bill line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) id: i32,
    pub(super) uid: Option<String>,
    pub(super) item: i32,
    pub(super) name: String,
    pub(super) portion: Option<&'static str>,
    /// Unit price in pence, without tags.
    pub(super) price: i64,
    /// Thousandths.
    pub(super) quantity: i64,
    pub(super) order_number: i32,
    pub(super) user: usize,
    pub(super) created: At,
    pub(super) updated: At,
    pub(super) fate: Fate,
    pub(super) tags: Vec<LineTag>,
    /// Index into [`TAXES`].
    pub(super) tax: usize,
    pub(super) refund: bool,
}

impl Line {
    /// Whether the line counts in the ticket's total.
    pub(super) fn is_charged(&self) -> bool {
        matches!(self.fate, Fate::Sold | Fate::Stateless)
    }

    /// Whether the live reports count the line: neither void nor cancelled; gifts count (DOMAIN §9.2).
    pub(super) fn is_sold(&self) -> bool {
        !matches!(self.fate, Fate::Void(_) | Fate::Canceled)
    }

    /// Value in hundred-thousandths, 0 if it is not charged.
    pub(super) fn value(&self) -> i64 {
        if !self.is_charged() {
            return 0;
        }
        (self.price + self.tags.iter().map(|tag| tag.price).sum::<i64>()) * self.quantity
    }
}

/// A discount or service charge on a ticket.
#[derive(Clone, Debug)]
pub(super) struct Calculation {
    pub(super) id: i32,
    /// Whether it is the discount, else the service charge.
    pub(super) discount: bool,
    /// Hundredths of a percent.
    pub(super) rate: i64,
    /// Effective pence, negative for a discount.
    pub(super) amount: i64,
}

/// A payment with its ledger transaction.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) id: i32,
    /// Index into `PAYMENT_TYPES`.
    pub(super) kind: usize,
    pub(super) amount: i64,
    pub(super) tendered: i64,
    pub(super) date: At,
    pub(super) user: usize,
    pub(super) posting: Posting,
}

/// A note of what a share has paid for; gone when the ticket closes.
#[derive(Clone, Debug)]
pub(super) struct PaidItem {
    pub(super) id: i32,
    /// Menu item.
    pub(super) item: i32,
    /// Thousandths.
    pub(super) quantity: i64,
}

/// Change given through another account than the payment's.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) id: i32,
    pub(super) amount: i64,
    pub(super) date: At,
    pub(super) user: usize,
    pub(super) posting: Posting,
}

/// An entry of `TicketLogs`.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) at: At,
    pub(super) user: usize,
    pub(super) category: &'static str,
    pub(super) text: String,
}

/// A bill.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) id: i32,
    /// Number that no clear takes back: the simulation's own name for the ticket.
    pub(super) serial: u64,
    pub(super) uid: Option<String>,
    pub(super) number: i32,
    pub(super) date: At,
    pub(super) updated: At,
    pub(super) last_order: At,
    pub(super) last_payment: At,
    pub(super) closed: bool,
    pub(super) user: usize,
    pub(super) last_user: usize,
    pub(super) department: i32,
    pub(super) terminal: i32,
    pub(super) note: Option<String>,
    /// `TicketTags` as stored.
    pub(super) tags: Option<String>,
    pub(super) entities: Vec<(i32, Entity)>,
    pub(super) logs: Vec<Log>,
    pub(super) lines: Vec<Line>,
    pub(super) discount: i64,
    pub(super) service: i64,
    pub(super) calculations: Vec<Calculation>,
    pub(super) payments: Vec<Payment>,
    pub(super) paid_items: Vec<PaidItem>,
    pub(super) change: Option<Change>,
    pub(super) document: i32,
    pub(super) sale: Option<Posting>,
    pub(super) vat: Option<Posting>,
    pub(super) discounting: Option<Posting>,
    pub(super) servicing: Option<Posting>,
    pub(super) total: i64,
    pub(super) plain: i64,
    /// Whether rows of an earlier step exist.
    pub(super) stored: bool,
}

impl Ticket {
    /// What is still to pay, in pence.
    pub(super) fn remaining(&self) -> i64 {
        let paid: i64 = self.payments.iter().map(|payment| payment.amount).sum();
        self.total - paid + self.change.as_ref().map_or(0, |change| change.amount)
    }

    /// Whether a room's account was charged.
    pub(super) fn is_charged_to_room(&self) -> bool {
        self.payments.iter().any(|payment| payment.kind == ROOM_CHARGE)
    }

    /// Adds to the ticket's log.
    pub(super) fn log(&mut self, at: At, user: usize, category: &'static str, text: impl Into<String>) {
        self.logs.push(Log { at, user, category, text: text.into() });
    }

    /// Marks the ticket as saved at a moment by a user.
    pub(super) fn touch(&mut self, at: At, user: usize) {
        self.updated = at;
        self.last_user = user;
    }

    /// Recomputes total, calculations and the singleton ledger transactions from the lines.
    pub(super) fn recalculate(&mut self, desk: &mut Desk, at: At) {
        let exact: i64 = self.lines.iter().map(Line::value).sum();
        self.plain = divide(exact, 1_000);
        let discount = -divide(self.plain * self.discount, 10_000);
        let service = divide((self.plain + discount) * self.service, 10_000);
        self.calculate(desk, true, self.discount, discount);
        self.calculate(desk, false, self.service, service);
        self.total = self.plain + discount + service;
        let tax = self.tax(discount);
        repost(&mut self.sale, desk, SALE, at, self.plain - tax);
        repost(&mut self.vat, desk, TAX, at, tax);
        repost(&mut self.discounting, desk, DISCOUNTING, at, -discount);
        repost(&mut self.servicing, desk, SERVICING, at, service);
    }

    fn calculate(&mut self, desk: &mut Desk, discount: bool, rate: i64, amount: i64) {
        let found = self.calculations.iter().position(|calculation| calculation.discount == discount);
        match found {
            Some(place) if amount == 0 => {
                self.calculations.remove(place);
            }
            Some(place) => self.calculations[place].amount = amount,
            None if amount == 0 => {}
            None => {
                let id = desk.next_id("Calculations");
                self.calculations.push(Calculation { id, discount, rate, amount });
            }
        }
    }

    /// The tax inside the total, after the discount is spread over the lines; rounded once for the ticket.
    fn tax(&self, discount: i64) -> i64 {
        if self.plain == 0 {
            return 0;
        }
        let inside: i64 =
            self.lines.iter().map(|line| divide(line.value() * TAXES[line.tax].1, 10_000 + TAXES[line.tax].1)).sum();
        divide(inside * (self.plain + discount), self.plain * 1_000)
    }
}

/// Index of the room charge in `PAYMENT_TYPES`.
pub(super) const ROOM_CHARGE: usize = 4;

/// The name of a user.
pub(super) fn user_name(user: usize) -> &'static str {
    USERS.get(user).map_or("", |user| user.0)
}

/// `USERS` index as `Users.Id`.
pub(super) fn user_id(user: usize) -> i32 {
    i32::try_from(user).map_or(0, |index| index + 1)
}

/// Division that rounds half away from zero.
pub(super) fn divide(value: i64, by: i64) -> i64 {
    let (value, by) = if by < 0 { (-value, -by) } else { (value, by) };
    let rounded = (value.abs() * 2 + by) / (by * 2);
    if value < 0 { -rounded } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::divide;

    #[test]
    fn halves_round_away_from_zero() {
        assert_eq!([divide(5, 10), divide(4, 10), divide(-5, 10), divide(-4, 10), divide(15, -10)], [1, 0, -1, 0, -2]);
    }
}
