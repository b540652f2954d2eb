//! Trading: the events of the day, in the order of their time.

use std::collections::BTreeMap;

use super::{
    at::{At, HOUR},
    bill::{Change, Fate, Line, PaidItem, Payment, ROOM_CHARGE, Ticket, divide, user_name},
    bill_rows::payment_log,
    catalog::{CHANGE, Catalog, PAYMENT_TYPES, TABLES},
    desk::Desk,
    house::House,
    ledger::Posting,
    plan::{Chore, LinePlan, Pay, TicketPlan},
};

/// Something that happens at a moment. Tickets are named by their serial number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A table is opened.
    Open(u64),
    /// A round is ordered.
    Round(u64, usize),
    /// Something becomes of a line.
    Mishap(u64, usize, Fate),
    /// One guest pays a share.
    PayShare(u64),
    /// The bill is paid and closed.
    Close(u64),
    /// Something besides tickets.
    Chore(Chore),
}

/// Events to come, by moment and then in the order they were thrown.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    queue: BTreeMap<(At, u64), Event>,
    plans: BTreeMap<u64, TicketPlan>,
    open: BTreeMap<u64, i32>,
    thrown: u64,
}

impl Agenda {
    fn at(&mut self, at: At, event: Event) {
        self.thrown += 1;
        self.queue.insert((at, self.thrown), event);
    }

    /// Takes in a ticket to come.
    pub(super) fn expect(&mut self, serial: u64, plan: TicketPlan) {
        self.at(plan.opened, Event::Open(serial));
        for (round, (at, _)) in plan.rounds.iter().enumerate() {
            self.at(*at, Event::Round(serial, round));
        }
        for (at, line, fate) in &plan.mishaps {
            self.at((*at).min(plan.closed), Event::Mishap(serial, *line, *fate));
        }
        if let Some(at) = plan.part_paid {
            self.at(at.min(plan.closed), Event::PayShare(serial));
        }
        self.at(plan.closed, Event::Close(serial));
        self.plans.insert(serial, plan);
    }

    /// Takes in a chore to come.
    pub(super) fn expect_chore(&mut self, at: At, chore: Chore) {
        self.at(at, Event::Chore(chore));
    }

    /// The next event not later than `until`.
    pub(super) fn next(&mut self, until: At) -> Option<(At, Event)> {
        let (&(at, _), _) = self.queue.first_key_value().filter(|((at, _), _)| *at <= until)?;
        self.queue.pop_first().map(|(_, event)| (at, event))
    }

    /// Forgets tickets that are open or to come, as a clear does; chores stay.
    pub(super) fn forget_tickets(&mut self) {
        self.queue.retain(|_, event| matches!(event, Event::Chore(_)));
        self.plans.clear();
        self.open.clear();
    }
}

/// Everything an event may touch.
pub(super) struct Floor<'t> {
    pub(super) desk: &'t mut Desk,
    pub(super) house: &'t mut House,
    pub(super) catalog: &'t Catalog,
    pub(super) agenda: &'t mut Agenda,
    pub(super) tickets: &'t mut BTreeMap<i32, Ticket>,
    pub(super) uids: bool,
}

impl Floor<'_> {
    /// Lets an event happen; returns the ticket it changed.
    pub(super) fn happen(&mut self, at: At, event: Event) -> Option<i32> {
        match event {
            Event::Open(serial) => self.open(serial, at),
            Event::Round(serial, round) => self.round(serial, round, at),
            Event::Mishap(serial, line, fate) => self.mishap(serial, line, fate, at),
            Event::PayShare(serial) => self.pay_share(serial, at),
            Event::Close(serial) => self.close(serial, at),
            Event::Chore(chore) => {
                self.chore(chore, at);
                None
            }
        }
    }

    fn open(&mut self, serial: u64, at: At) -> Option<i32> {
        let plan = self.agenda.plans.get(&serial)?;
        let entities =
            plan.entities.iter().map(|entity| (self.desk.next_id("TicketEntities"), entity.clone())).collect();
        let ticket = Ticket {
            id: self.desk.next_id("Tickets"),
            serial,
            uid: self.uids.then(|| plan.uid.clone()),
            number: self.house.next_ticket(),
            date: at,
            updated: at,
            last_order: at,
            last_payment: at,
            closed: false,
            user: plan.user,
            last_user: plan.user,
            department: plan.department,
            terminal: plan.terminal,
            note: plan.note.clone(),
            tags: plan.tags.clone(),
            entities,
            logs: Vec::new(),
            lines: Vec::new(),
            discount: plan.discount,
            service: plan.service,
            calculations: Vec::new(),
            payments: Vec::new(),
            paid_items: Vec::new(),
            change: None,
            document: self.desk.next_id("AccountTransactionDocuments"),
            sale: None,
            vat: None,
            discounting: None,
            servicing: None,
            total: 0,
            plain: 0,
            stored: false,
        };
        self.seat(&ticket, "New Orders", at);
        let id = ticket.id;
        self.agenda.open.insert(serial, id);
        self.tickets.insert(id, ticket);
        Some(id)
    }

    fn seat(&mut self, ticket: &Ticket, state: &'static str, at: At) {
        for (_, entity) in ticket.entities.iter().filter(|(_, entity)| entity.kind == TABLES) {
            self.house.set_state(self.desk, entity.id, state, at);
        }
    }

    fn round(&mut self, serial: u64, round: usize, at: At) -> Option<i32> {
        let plan = self.agenda.plans.get(&serial)?;
        let ticket = self.tickets.get_mut(self.agenda.open.get(&serial)?)?;
        let order_number = self.house.next_order();
        for line in &plan.rounds.get(round)?.1 {
            let id = self.desk.next_id("Orders");
            ticket.lines.push(write_down(line, self.catalog, id, order_number, plan.user, at, self.uids));
        }
        ticket.last_order = at;
        ticket.log(at, plan.user, "ORDER", format!("Order {order_number} sent"));
        ticket.touch(at, plan.user);
        ticket.recalculate(self.desk, at);
        Some(ticket.id)
    }

    fn mishap(&mut self, serial: u64, line: usize, fate: Fate, at: At) -> Option<i32> {
        let ticket = self.tickets.get_mut(self.agenda.open.get(&serial)?)?;
        let line = ticket.lines.get_mut(line)?;
        line.fate = fate;
        line.updated = at;
        let what = match fate {
            Fate::Void(reason) => Some(("VOID", reason)),
            Fate::Gift(reason) => Some(("GIFT", reason)),
            _ => None,
        };
        if let Some((category, reason)) = what {
            let text = format!("{}: {reason}", line.name);
            ticket.log(at, 0, category, text);
        }
        ticket.touch(at, 0);
        ticket.recalculate(self.desk, at);
        Some(ticket.id)
    }

    /// The first charged line is paid by card; what is paid for is noted until the ticket closes.
    fn pay_share(&mut self, serial: u64, at: At) -> Option<i32> {
        let ticket = self.tickets.get_mut(self.agenda.open.get(&serial)?)?;
        let line = ticket.lines.iter().find(|line| line.value() > 0)?;
        let share = divide(line.value(), 1_000).min(ticket.remaining());
        let item = PaidItem { id: self.desk.next_id("PaidItems"), item: line.item, quantity: line.quantity };
        ticket.paid_items.push(item);
        add_payment(self.desk, ticket, 1, share, share, at);
        ticket.touch(at, ticket.user);
        Some(ticket.id)
    }

    fn close(&mut self, serial: u64, at: At) -> Option<i32> {
        let plan = self.agenda.plans.remove(&serial)?;
        let id = self.agenda.open.remove(&serial)?;
        let ticket = self.tickets.get_mut(&id)?;
        pay(self.desk, self.house, ticket, plan.pay, at);
        close(ticket, at);
        let ticket = ticket.clone();
        self.seat(&ticket, "Available", at);
        Some(id)
    }

    fn chore(&mut self, chore: Chore, at: At) {
        match chore {
            Chore::StartPeriod => self.house.start_period(self.desk, at),
            Chore::EndPeriod => self.house.end_period(self.desk, at),
            Chore::Settle { room, card } => self.house.settle(self.desk, self.catalog, room, card, at),
            Chore::Delivery { first, items } => House::deliver(self.desk, first, items, at),
            Chore::Timer { minutes } => House::time(self.desk, minutes, at),
        }
    }
}

/// A planned line as it is written on the bill, with the menu's present name.
fn write_down(line: &LinePlan, catalog: &Catalog, id: i32, order_number: i32, user: usize, at: At, uids: bool) -> Line {
    let item = &catalog.items[line.item];
    let (portion, price) = item.dish.portions[line.portion];
    // Happy hour is not a price list of its own here: the plan's portion price holds all day.
    Line {
        id,
        uid: uids.then(|| line.uid.clone()),
        item: item.id,
        name: item.name.clone(),
        portion,
        price,
        quantity: line.quantity,
        order_number,
        user,
        created: at.plus(-line.before),
        updated: at,
        fate: line.fate,
        tags: line.tags.clone(),
        tax: item.tax,
        refund: line.refund,
    }
}

/// Pays what a ticket owes.
pub(super) fn pay(desk: &mut Desk, house: &mut House, ticket: &mut Ticket, how: Pay, at: At) {
    let owed = ticket.remaining();
    match how {
        _ if owed == 0 => {}
        Pay::Room if owed > 0 => {
            let room = ticket.entities.iter().map(|(_, entity)| entity.account).find(|account| account.id != 0);
            match room {
                Some(account) => {
                    add_payment(desk, ticket, ROOM_CHARGE, owed, owed, at);
                    if let Some(payment) = ticket.payments.last_mut() {
                        payment.posting = payment.posting.clone().to(account);
                    }
                    house.charge(account.id, owed);
                }
                None => add_payment(desk, ticket, 1, owed, owed, at),
            }
        }
        Pay::CashWithChange if owed > 0 => {
            // Cash is tendered in notes of 5; plain change has no row of its own (DOMAIN §7).
            add_payment(desk, ticket, 0, owed, (owed + 499) / 500 * 500, at);
        }
        Pay::VoucherWithChange if owed > 0 => {
            let voucher = (owed + 999) / 1_000 * 1_000;
            add_payment(desk, ticket, 2, voucher, voucher, at);
            let back = voucher - owed;
            if back > 0 {
                let posting = Posting::new(desk, CHANGE, at, back);
                ticket.change = Some(Change {
                    id: desk.next_id("ChangePayments"),
                    amount: back,
                    date: at,
                    user: ticket.user,
                    posting,
                });
            }
        }
        Pay::Split(parts) if owed > 0 => {
            let parts_left = i64::try_from(parts).unwrap_or(2).max(1);
            for part in 0..parts_left {
                let share = ticket.remaining() / (parts_left - part);
                if share != 0 {
                    add_payment(desk, ticket, usize::from(part % 2 == 0), share, share, at);
                }
            }
        }
        Pay::Whole(kind) => add_payment(desk, ticket, kind, owed, owed, at),
        // A negative bill is paid back in cash, however the guest meant to pay.
        _ => add_payment(desk, ticket, 0, owed, owed, at),
    }
}

fn add_payment(desk: &mut Desk, ticket: &mut Ticket, kind: usize, amount: i64, tendered: i64, at: At) {
    let posting = Posting::new(desk, PAYMENT_TYPES[kind].1, at, amount);
    let id = desk.next_id("Payments");
    ticket.log(at, ticket.last_user, "PAYMENT", payment_log(kind, amount));
    let user = ticket.last_user;
    ticket.payments.push(Payment { id, kind, amount, tendered, date: at, user, posting });
    ticket.last_payment = at;
}

/// Closes a ticket that is paid.
pub(super) fn close(ticket: &mut Ticket, at: At) {
    ticket.closed = true;
    ticket.paid_items.clear();
    let user = ticket.user;
    ticket.touch(at, user);
    ticket.log(at, user, "CLOSE", format!("Closed by {}", user_name(user)));
}

/// How long a closed ticket is kept in memory for later edits.
pub(super) const MEMORY: i64 = 3 * 24 * HOUR;
