//! Simulated trade of a hotel restaurant: the rows of the seven tables that trade moves (docs/MEASURED.md §3).
//!
//! About 250 tickets and 1,100 orders a day, with the columns of `fixtures/schema.sql` and the sizes measured there: an order
//! about 380 bytes in Arrow with a random uid of 22 letters, a ticket about 760 with 430 of `TicketLogs`. A ticket is opened
//! with its ledger document, changes with each round of orders, and is settled. Orders and ledger rows of a ticket do not
//! stand next to those of the same ticket but where time puts them. Everything follows from the seed.
//!
//! Of use to tests, too: it knows nothing of the bench, and needs `dice` and `rows` beside it.

mod bill;
mod edits;

use tillvault::demo::schema;

use self::bill::{Bill, int, json_date, money};
use super::{
    dice::Dice,
    rows::{Cell, Rows, text},
};

/// The tables that trade moves.
pub(crate) const TABLES: [&str; 7] = [
    "Tickets",
    "Orders",
    "Payments",
    "AccountTransactionDocuments",
    "AccountTransactions",
    "AccountTransactionValues",
    "TicketEntities",
];
pub(crate) const TICKETS: usize = 0;
pub(crate) const ORDERS: usize = 1;
const PAYMENTS: usize = 2;
const DOCUMENTS: usize = 3;
const TRANSACTIONS: usize = 4;
const VALUES: usize = 5;
const ENTITIES: usize = 6;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
/// 2026-03-01 in days since 1970.
const FIRST_DAY: i64 = 20_513;

const USERS: [&str; 8] = ["Anna", "Ben", "Chloe", "Deniz", "Emma", "Farid", "Grace", "Administrator"];
const GROUPS: [(&str, i64); 5] =
    [("Breakfast", 1_150), ("Starters", 795), ("Mains", 1_750), ("Sides", 450), ("Drinks", 560)];
const DISHES: [&str; 12] = [
    "Full English Breakfast",
    "Soup of the Day",
    "Ribeye Steak",
    "Fish & Chips",
    "Mushroom Risotto",
    "Caesar Salad",
    "Club Sandwich",
    "Chips",
    "Garlic Bread",
    "House Red",
    "Pale Ale",
    "Sparkling Water",
];
const TAX: [&str; 3] = [
    r#"[{"AC":false,"AT":2,"RN":0,"TN":"VAT 20","TR":20.00,"TT":1}]"#,
    r#"[{"AC":false,"AT":2,"RN":0,"TN":"VAT 5","TR":5.00,"TT":2}]"#,
    r#"[{"AC":false,"AT":2,"RN":0,"TN":"Zero","TR":0.00,"TT":3}]"#,
];
const MODIFIERS: [(&str, &str); 8] = [
    ("Cooking", "Rare"),
    ("Cooking", "Medium Rare"),
    ("Cooking", "Well Done"),
    ("Sauce", "Peppercorn"),
    ("Sauce", "Béarnaise"),
    ("Extras", "No Onions"),
    ("Allergens", "Gluten Free"),
    ("Course", "Fire with Mains"),
];
const PAID_WITH: [&str; 3] = ["Cash", "Card", "Room"];
const REASONS: [&str; 4] = ["Wrong order", "Guest changed mind", "Kitchen delay", "Complaint"];

pub(crate) use self::edits::Ids;

/// A till's trade so far.
#[derive(Debug)]
pub(crate) struct Trade {
    /// One per name of [`TABLES`].
    pub(crate) tables: Vec<Rows>,
    dice: Dice,
    /// Edits have dice of their own: trade is the same with and without them.
    hand: Dice,
    next: [i32; 7],
    ticket_number: i32,
    order_number: i32,
    day: i64,
    bills: Vec<Bill>,
    bill_of_order: Vec<usize>,
    /// What is still to come today, latest first.
    ahead: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: i64,
    bill: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Open,
    Round { orders: i64 },
    Settle,
}

impl Trade {
    pub(crate) fn new(seed: u64) -> Self {
        let mut known = schema::tables().unwrap();
        let take = |name: &&str| {
            let index = known.iter().position(|table| table.name.name == *name).unwrap();
            Rows::new(known.swap_remove(index))
        };
        Self {
            tables: TABLES.iter().map(take).collect(),
            dice: Dice::new(seed),
            hand: Dice::new(seed ^ 0x5EED),
            next: [1; 7],
            ticket_number: 1,
            order_number: 1,
            day: FIRST_DAY - 1,
            bills: Vec::new(),
            bill_of_order: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// Rows in all tables.
    pub(crate) fn rows(&self) -> usize {
        self.tables.iter().map(Rows::len).sum()
    }

    /// Trades for a whole day.
    pub(crate) fn trade_day(&mut self) {
        self.begin_day();
        self.play_until_minute(24 * 60);
    }

    /// Begins the next day: what will happen is settled, nothing has happened yet.
    pub(crate) fn begin_day(&mut self) {
        self.day += 1;
        let midnight = self.day * DAY;
        let mut opened: Vec<i64> = (0..self.dice.between(235, 265)).map(|_| midnight + self.opening()).collect();
        opened.sort_unstable();
        for (bill, at) in (self.bills.len()..).zip(opened) {
            let orders = self.dice.between(1, 8);
            let second = if orders > 2 { orders / 2 } else { 0 };
            let first = orders - second;
            let submit = at + self.moment(1, 4);
            let again = submit + self.moment(8, 35);
            let settle = again + self.moment(10, 45);
            let events = [
                (at, What::Open),
                (submit, What::Round { orders: first }),
                (again, What::Round { orders: second }),
                (settle.min(midnight + DAY - MINUTE), What::Settle),
            ];
            let events = events.into_iter().filter(|(_, what)| *what != What::Round { orders: 0 });
            self.ahead.extend(events.map(|(at, what)| Event { at, bill, what }));
        }
        self.ahead.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Since midnight: breakfast, lunch, dinner, and the bar between.
    fn opening(&mut self) -> i64 {
        let (from, to) = match self.dice.between(1, 10) {
            1 | 2 => (7 * 60 + 15, 10 * 60 + 15),
            3..=5 => (12 * 60, 14 * 60 + 45),
            6..=9 => (17 * 60 + 30, 21 * 60 + 45),
            _ => (10 * 60, 22 * 60 + 25),
        };
        self.moment(from, to)
    }

    /// A span between two numbers of minutes, in the steps of 1/300 second that `datetime` knows.
    fn moment(&mut self, from: i64, to: i64) -> i64 {
        let steps = self.dice.between(from * 60 * 300, to * 60 * 300);
        (steps * 10 + 1) / 3 * 1_000
    }

    /// Lets today's trade go on until a minute after midnight. Returns whether anything happened.
    pub(crate) fn play_until_minute(&mut self, minute: i64) -> bool {
        let until = self.day * DAY + minute * MINUTE;
        let mut moved = false;
        while let Some(event) = self.ahead.pop_if(|event| event.at < until) {
            moved = true;
            match event.what {
                What::Open => self.open(event.at),
                What::Round { orders } => self.round(event.bill, event.at, orders),
                What::Settle => self.settle(event.bill, event.at),
            }
        }
        moved
    }

    fn id(&mut self, table: usize) -> Cell {
        self.next[table] += 1;
        Cell::Int(self.next[table] - 1)
    }

    fn open(&mut self, at: i64) {
        let (number, user) = (self.ticket_number, self.dice.below(USERS.len()));
        self.ticket_number += 1;
        let document_id = self.id(DOCUMENTS);
        let document = self.tables[DOCUMENTS].push(vec![
            document_id.clone(),
            Cell::Time(at),
            int(user + 1),
            text(USERS[user]),
            Cell::Int(0),
            Cell::Text(format!("Ticket Transaction [{number}]").into()),
        ]);
        let mut bill = Bill {
            number,
            uid: self.dice.uid(),
            opened: at,
            changed: at,
            last_order: at,
            user,
            total: 0,
            discount: 0,
            note: self.dice.chance(8),
            settled: None,
            logs: String::new(),
            first_order: self.tables[ORDERS].len(),
            ticket: self.tables[TICKETS].len(),
            document,
            transactions: Vec::new(),
        };
        bill.log(at, "Create Ticket", &format!("Table {} opened", self.dice.between(1, 40)));
        let id = self.id(TICKETS);
        let row = bill.row(id, document_id);
        self.tables[TICKETS].push(row);
        self.bills.push(bill);
        let bill = self.bills.len() - 1;
        for kind in [0, 1] {
            self.post(bill, kind, at);
        }
        let (entity, room) = (self.dice.between(1, 60), self.dice.chance(30));
        let id = self.id(ENTITIES);
        let row = vec![
            id,
            Cell::Int(if room { 3 } else { 2 }),
            int(entity),
            int(if room { 100 + entity } else { 0 }),
            Cell::Int(if room { 5 } else { 0 }),
            Cell::Text(if room { format!("Room {entity}") } else { format!("Table {entity}") }.into()),
            Cell::Text(if room { format!(r#"[{{"N":"Guest","V":"G{entity:04}"}}]"#).into() } else { "[]".into() }),
            self.tables[TICKETS].id_of(self.bills[bill].ticket),
        ];
        self.tables[ENTITIES].push(row);
    }

    fn round(&mut self, bill: usize, at: i64, orders: i64) {
        let number = self.order_number;
        self.order_number += 1;
        let mut sum = 0;
        for line in 0..orders {
            // Lines were tapped in the half minute before they were sent.
            let tapped = at - (orders - line) * 3 * SECOND - self.dice.between(0, 2) * SECOND;
            sum += self.order(bill, number, tapped, at);
        }
        let known = &mut self.bills[bill];
        known.total += sum;
        known.last_order = at;
        known.log(at, "Orders", &format!("{orders} orders submitted, {}", money(known.total)));
        self.save(bill, at);
        for kind in [0, 1] {
            self.repost(bill, kind);
        }
    }

    fn order(&mut self, bill: usize, number: i32, tapped: i64, sent: i64) -> i64 {
        let dice = &mut self.dice;
        let item = dice.below(60);
        let (group, base) = GROUPS[item % GROUPS.len()];
        let price = base + i64::try_from(item).unwrap() * 15;
        let quantity = if dice.chance(15) { 2 } else { 1 };
        let user = if dice.chance(70) { self.bills[bill].user } else { dice.below(USERS.len()) };
        let tags = if dice.chance(45) {
            let (tag, value) = dice.pick(&MODIFIERS);
            Cell::Text(
                format!(r#"[{{"OI":2,"OK":"002001","Q":1,"TN":"{tag}","TV":"{value}","UI":{}}}]"#, user + 1).into(),
            )
        } else {
            text("")
        };
        let uid = dice.uid();
        let dish = format!(
            "{} {}",
            DISHES[item % DISHES.len()],
            ["", "Large", "of the House", "Special", "for Two"][item / 12]
        );
        let states = format!(
            r#"[{{"D":"{}","OK":"000000","S":"Submitted","SN":"Status","SV":"","U":{}}}]"#,
            json_date(sent),
            user + 1
        );
        let id = self.id(ORDERS);
        let row = vec![
            id,
            self.tables[TICKETS].id_of(self.bills[bill].ticket),
            Cell::Int(1),
            Cell::Int(1),
            Cell::Int(1 + self.bills[bill].number % 3),
            int(item + 1),
            Cell::Text(dish.trim_end().to_owned().into()),
            text(if item.is_multiple_of(9) { "Large" } else { "Normal" }),
            Cell::Decimal(price),
            Cell::Decimal(quantity * 1_000),
            Cell::Int(1),
            Cell::Bit(true),
            Cell::Bit(true),
            Cell::Bit(true),
            Cell::Bit(false),
            Cell::Int(number),
            text(USERS[user]),
            Cell::Time(tapped),
            Cell::Time(sent),
            Cell::Int(1),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            if group == "Drinks" { text("Bar") } else { Cell::Null },
            Cell::Bit(false),
            Cell::Text(uid.into()),
            text(TAX[usize::from(group == "Drinks")]),
            tags,
            Cell::Text(states.into()),
        ];
        self.tables[ORDERS].push(row);
        self.bill_of_order.push(bill);
        price * quantity
    }

    fn settle(&mut self, bill: usize, at: i64) {
        let (with, tip) = (self.dice.below(PAID_WITH.len()), self.dice.below(USERS.len()));
        self.bills[bill].settled = Some((with, at));
        let payment = self.post(bill, 2, at);
        let known = &mut self.bills[bill];
        let total = known.total;
        known.log(at, "Payment", &format!("{} = {}", PAID_WITH[with], money(total)));
        known.log(at, "Close Ticket", "Ticket closed, receipt printed");
        self.save(bill, at);
        let known = &self.bills[bill];
        let (ticket, document) =
            (self.tables[TICKETS].id_of(known.ticket), self.tables[DOCUMENTS].id_of(known.document));
        let transaction = self.tables[TRANSACTIONS].id_of(payment);
        let card = (with == 1).then(|| format!("**** **** **** {:04}", known.number * 7_919 % 10_000));
        let id = self.id(PAYMENTS);
        self.tables[PAYMENTS].push(vec![
            id,
            ticket,
            int(with + 1),
            Cell::Int(1),
            text(PAID_WITH[with]),
            if with == 2 { text("To room") } else { Cell::Null },
            Cell::Time(at),
            Cell::Int(0),
            Cell::Decimal(total),
            Cell::Decimal(if with == 0 { (total + 499) / 500 * 500 } else { total }),
            int(tip + 1),
            Cell::Int(1),
            Cell::Decimal(100),
            transaction,
            document,
            card.map_or(Cell::Null, |card| Cell::Text(card.into())),
            Cell::Bit(false),
        ]);
    }

    /// Writes the ticket's row anew.
    fn save(&mut self, bill: usize, at: i64) {
        self.bills[bill].changed = at;
        let place = self.bills[bill].ticket;
        let document = self.tables[DOCUMENTS].id_of(self.bills[bill].document);
        let row = self.bills[bill].row(self.tables[TICKETS].id_of(place), document);
        self.tables[TICKETS].replace(place, row);
    }

    /// Adds a ledger transaction with its two values: 0 sale, 1 tax, 2 payment. Returns its place.
    fn post(&mut self, bill: usize, kind: usize, at: i64) -> usize {
        let id = self.id(TRANSACTIONS);
        let ids = [id, self.id(VALUES), self.id(VALUES)];
        let [transaction, values @ ..] = self.ledger_rows(bill, kind, ids, at);
        let place = self.tables[TRANSACTIONS].push(transaction);
        for row in values {
            self.tables[VALUES].push(row);
        }
        self.bills[bill].transactions.push(place);
        place
    }

    /// Writes a ledger transaction anew, after the ticket's total changed.
    fn repost(&mut self, bill: usize, kind: usize) {
        let place = self.bills[bill].transactions[kind];
        let values = &self.tables[VALUES];
        let ids = [self.tables[TRANSACTIONS].id_of(place), values.id_of(2 * place), values.id_of(2 * place + 1)];
        let at = if kind == 2 { self.bills[bill].last_order } else { self.bills[bill].opened };
        let [transaction, first, second] = self.ledger_rows(bill, kind, ids, at);
        self.tables[TRANSACTIONS].replace(place, transaction);
        self.tables[VALUES].replace(2 * place, first);
        self.tables[VALUES].replace(2 * place + 1, second);
    }

    fn ledger_rows(&self, bill: usize, kind: usize, ids: [Cell; 3], at: i64) -> [Vec<Cell>; 3] {
        let bill = &self.bills[bill];
        let total = bill.total - bill.discount;
        let amount = if kind == 1 { total / 6 } else { total };
        let name = ["Sale Transaction", "Tax Transaction", "Payment Transaction"][kind];
        let (source, target) = [((2, 4), (1, 1)), ((3, 5), (2, 4)), ((1, 1), (4, 6))][kind];
        let document = self.tables[DOCUMENTS].id_of(bill.document);
        let [id, first, second] = ids;
        let value = |value_id: Cell, account: (i32, i32), debit: i64, credit: i64| {
            vec![
                value_id,
                id.clone(),
                document.clone(),
                Cell::Int(account.0),
                Cell::Int(account.1),
                Cell::Time(at),
                Cell::Decimal(debit),
                Cell::Decimal(credit),
                Cell::Decimal(debit - credit),
                text(name),
            ]
        };
        let values = [value(first, source, 0, amount), value(second, target, amount, 0)];
        let transaction = vec![
            id.clone(),
            document.clone(),
            Cell::Decimal(amount),
            Cell::Decimal(100),
            int(kind + 1),
            Cell::Int(source.0),
            Cell::Int(target.0),
            Cell::Bit(false),
            Cell::Bit(true),
            text(name),
        ];
        let [first, second] = values;
        [transaction, first, second]
    }
}
