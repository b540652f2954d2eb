//! What happens to rows after their day: edits, and the clearing of the till.

use super::{
    DAY, ENTITIES, MINUTE, ORDERS, PAYMENTS, REASONS, TABLES, Trade, USERS, VALUES,
    bill::{json_date, money},
};
use crate::rows::{Cell, Rows};

/// Recent edits are of these last days, today among them.
const RECENT_DAYS: i64 = 7;
/// One of so many recent tickets is edited in a night, and one of so many recent orders.
const ONE_EDITED_OF: usize = 200;
/// So many older tickets and so many older orders are edited in a night.
const OLDER_EDITS: usize = 2;

/// What becomes of the counters of ids when a till is cleared (docs/DOMAIN.md §3). Numbers restart in both cases.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ids {
    /// Rows were deleted: every id goes on.
    GoOn,
    /// Leaf tables were truncated: their ids restart at 1, those of the others go on.
    LeavesRestart,
}

impl Trade {
    /// The edits of one night, with the ledger rows that follow from them: 0.5 % of the tickets and of the orders of the
    /// last seven days; and, if `old`, two older tickets and two older orders.
    pub(crate) fn edit(&mut self, old: bool) {
        let since = (self.day - RECENT_DAYS + 1) * DAY;
        let bill = self.bills.partition_point(|bill| bill.opened < since);
        let order = self.bills.get(bill).map_or(self.bill_of_order.len(), |bill| bill.first_order);
        let (bills, orders) = (self.bills.len(), self.bill_of_order.len());
        for _ in 0..(bills - bill).div_ceil(ONE_EDITED_OF) {
            let chosen = bill + self.hand.below(bills - bill);
            self.edit_ticket(chosen);
        }
        for _ in 0..(orders - order).div_ceil(ONE_EDITED_OF) {
            let chosen = order + self.hand.below(orders - order);
            self.edit_order(chosen);
        }
        for _ in 0..if old && bill > 0 && order > 0 { OLDER_EDITS } else { 0 } {
            let (bill, order) = (self.hand.below(bill), self.hand.below(order));
            self.edit_ticket(bill);
            self.edit_order(order);
        }
    }

    /// In the last minutes of the day.
    fn late(&mut self) -> i64 {
        (self.day + 1) * DAY - self.hand.between(1, 5 * MINUTE / 10_000) * 10_000
    }

    /// A discount, with a note in the ticket's log.
    fn edit_ticket(&mut self, bill: usize) {
        let at = self.late();
        let off = self.hand.between(50, 500);
        let known = &mut self.bills[bill];
        known.discount += off.min(known.total - known.discount);
        known.note = true;
        known.log(at, "Discount", &format!("Manager's discount {}", money(off)));
        self.save(bill, at);
        self.repost_all(bill);
    }

    /// An order is voided.
    fn edit_order(&mut self, order: usize) {
        let at = self.late();
        let (reason, user) = (self.hand.pick(&REASONS), self.hand.below(USERS.len()) + 1);
        let bill = self.bill_of_order[order];
        let states = format!(
            r#"[{{"D":"{}","OK":"000000","S":"New","SN":"Status","SV":"","U":{user}}},{{"OK":"001001","S":"Void","SN":"GStatus","SV":"{reason}","U":{user}}}]"#,
            json_date(at)
        );
        let rows = &mut self.tables[ORDERS];
        rows.set(order, "CalculatePrice", Cell::Bit(false));
        rows.set(order, "DecreaseInventory", Cell::Bit(false));
        rows.set(order, "LastUpdateDateTime", Cell::Time(at));
        rows.set(order, "OrderStates", Cell::Text(states.into()));
        let off = self.hand.between(300, 1_500);
        let known = &mut self.bills[bill];
        known.discount += off.min(known.total - known.discount);
        self.repost_all(bill);
    }

    fn repost_all(&mut self, bill: usize) {
        for kind in 0..self.bills[bill].transactions.len() {
            self.repost(bill, kind);
        }
    }

    /// Clears the till: all rows go.
    pub(crate) fn clear(&mut self, ids: Ids) {
        self.tables.iter_mut().for_each(Rows::clear);
        self.bills.clear();
        self.bill_of_order.clear();
        self.ticket_number = 1;
        self.order_number = 1;
        if let Ids::LeavesRestart = ids {
            for table in [ORDERS, PAYMENTS, VALUES, ENTITIES] {
                self.next[table] = 1;
            }
        }
        debug_assert_eq!(self.next.len(), TABLES.len());
    }
}
