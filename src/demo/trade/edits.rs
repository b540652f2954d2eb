//! Late edits: tickets reopened, lines moved and voided, dishes renamed (DOMAIN §5).
//!
//! Each edit is one step of its own, half a minute after the last. A closed ticket that is edited is paid again by card:
//! its old payments go, as with SambaPOS's cancel-payments action. Tickets charged to a room are left alone.

use super::{
    Trade,
    at::{At, SECOND},
    bill::{Fate, Ticket},
    desk::Desk,
    house::House,
    plan::Pay,
    service::{close, pay},
};
use crate::error::{Error, Kind, Result};

impl Trade {
    /// Reopens one of the tickets closed last and adds one to the quantity of a line; it stays open until
    /// [`Trade::close_ticket`]. Returns the ticket's Id.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is no such ticket or the tables refuse the change.
    pub fn reopen_ticket(&mut self) -> Result<i32> {
        let id = self.pick_closed(1, None)?;
        let at = self.later();
        let line = self.pick_line(id)?;
        let desk = &mut self.desk;
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.closed = false;
            ticket.log(at, 0, "REOPEN", "Reopened");
            ticket.lines[line].quantity += 1_000;
            ticket.lines[line].updated = at;
            ticket.touch(at, 0);
            ticket.recalculate(desk, at);
        }
        self.save(&[id])?;
        Ok(id)
    }

    /// Pays what a reopened ticket still owes and closes it.
    ///
    /// # Errors
    /// [`Kind::Usage`] when no such ticket is open; [`Kind::Bug`] when the tables refuse the change.
    pub fn close_ticket(&mut self, id: i32) -> Result<()> {
        let at = self.later();
        let ticket = self
            .tickets
            .get_mut(&id)
            .filter(|ticket| !ticket.closed)
            .ok_or_else(|| Error::new(Kind::Usage, format!("ticket {id} is not open")))?;
        pay(&mut self.desk, &mut self.house, ticket, Pay::Whole(1), at);
        close(ticket, at);
        self.save(&[id])
    }

    /// Moves a sold line from one closed ticket to another: the row goes and comes back under a new Id with the same uid.
    /// Returns the Ids of the line before and after.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there are no such tickets or the tables refuse the change.
    pub fn move_line(&mut self) -> Result<(i32, i32)> {
        let from = self.pick_closed(2, None)?;
        let to = self.pick_closed(1, Some(from))?;
        let place = self.pick_line(from)?;
        let at = self.later();
        let (desk, house) = (&mut self.desk, &mut self.house);
        let Some(mut line) = self.tickets.get_mut(&from).map(|ticket| ticket.lines.remove(place)) else {
            return Err(nothing_to_edit());
        };
        let before = line.id;
        line.id = desk.next_id("Orders");
        line.updated = at;
        let after = line.id;
        if let Some(ticket) = self.tickets.get_mut(&to) {
            ticket.lines.push(line);
        }
        for id in [from, to] {
            if let Some(ticket) = self.tickets.get_mut(&id) {
                settle_again(desk, house, ticket, at);
            }
        }
        self.save(&[from, to])?;
        Ok((before, after))
    }

    /// Voids a sold line of one of the tickets closed last. Returns the Ids of ticket and line.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is no such ticket or the tables refuse the change.
    pub fn void_line(&mut self) -> Result<(i32, i32)> {
        let id = self.pick_closed(2, None)?;
        let place = self.pick_line(id)?;
        let at = self.later();
        let mut voided = 0;
        if let Some(ticket) = self.tickets.get_mut(&id) {
            let line = &mut ticket.lines[place];
            line.fate = Fate::Void("Complaint");
            line.updated = at;
            voided = line.id;
            let text = format!("{}: Complaint", line.name);
            ticket.log(at, 0, "VOID", text);
            settle_again(&mut self.desk, &mut self.house, ticket, at);
        }
        self.save(&[id])?;
        Ok((id, voided))
    }

    /// Renames a dish; lines sold before keep the old name. Returns the menu item's Id.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the tables refuse the change.
    pub fn rename_item(&mut self) -> Result<i32> {
        let served = self.catalog.items.iter().filter(|item| item.dish.weight > 4).count();
        let chosen = self.dice.below(served);
        let Some(item) = self.catalog.items.iter_mut().filter(|item| item.dish.weight > 4).nth(chosen) else {
            return Err(nothing_to_edit());
        };
        item.name = match item.name.strip_prefix("New ") {
            Some(old) => old.to_owned(),
            None => format!("New {}", item.name),
        };
        let (id, name) = (item.id, item.name.replace('\'', "''"));
        self.desk.statement(format!(r#"UPDATE dbo."MenuItems" SET "Name" = '{name}' WHERE "Id" = {id}"#));
        self.save(&[])?;
        Ok(id)
    }

    fn pick_closed(&mut self, sold_lines: usize, but: Option<i32>) -> Result<i32> {
        let fit = |ticket: &&Ticket| {
            ticket.closed
                && Some(ticket.id) != but
                && !ticket.is_charged_to_room()
                && ticket.total > 0
                && ticket.lines.iter().filter(|line| line.is_charged()).count() >= sold_lines
        };
        let mut fitting: Vec<_> = self.tickets.values().filter(fit).map(|ticket| (ticket.updated, ticket.id)).collect();
        fitting.sort_unstable();
        let recent = &fitting[fitting.len().saturating_sub(40)..];
        self.dice.pick(recent).map(|(_, id)| *id).ok_or_else(nothing_to_edit)
    }

    fn pick_line(&mut self, ticket: i32) -> Result<usize> {
        let lines = self.tickets.get(&ticket).map(|ticket| ticket.lines.as_slice()).unwrap_or_default();
        let charged: Vec<_> = (0..lines.len()).filter(|place| lines[*place].is_charged()).collect();
        self.dice.pick(&charged).copied().ok_or_else(nothing_to_edit)
    }

    fn later(&mut self) -> At {
        self.now = self.now.plus(30 * SECOND);
        self.now
    }
}

fn nothing_to_edit() -> Error {
    Error::new(Kind::Bug, "the simulated trade has nothing to edit yet").hint("trade a day first")
}

fn settle_again(desk: &mut Desk, house: &mut House, ticket: &mut Ticket, at: At) {
    ticket.payments.clear();
    ticket.change = None;
    ticket.touch(at, 0);
    ticket.recalculate(desk, at);
    pay(desk, house, ticket, Pay::Whole(1), at);
}
