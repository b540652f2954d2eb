//! Everything of the house besides tickets: work periods, numbers, table states, room settlements, stock, timers.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::types::Value;

use super::{
    at::{At, MINUTE},
    bill::{user_id, user_name},
    catalog::{Catalog, SETTLE_CARD, SETTLE_CASH, SETTLEMENT_DOCUMENTS},
    catalog_setup::{ORDER_NUMERATOR, STOCK, TICKET_NUMERATOR, WAREHOUSES, row_version},
    desk::{Desk, cents, milli, text},
    json::{Object, array},
    ledger::Posting,
};
use crate::error::{Kind, OrFail, Result};

#[derive(Clone, Debug)]
struct WorkPeriod {
    id: i32,
    number: i32,
    start: At,
    end: Option<At>,
}

#[derive(Clone, Debug)]
struct EntityState {
    row: i32,
    state: &'static str,
    since: At,
}

/// The house's present state.
#[derive(Clone, Debug, Default)]
pub(super) struct House {
    period: Option<WorkPeriod>,
    period_number: i32,
    numbers: BTreeMap<i32, i32>,
    numbers_changed: BTreeSet<i32>,
    version: i64,
    states: BTreeMap<i32, EntityState>,
    states_changed: BTreeSet<i32>,
    /// What each room's account owes, in pence.
    balances: BTreeMap<i32, i64>,
}

impl House {
    /// The next ticket number.
    pub(super) fn next_ticket(&mut self) -> i32 {
        self.next_number(TICKET_NUMERATOR)
    }

    /// The next order number.
    pub(super) fn next_order(&mut self) -> i32 {
        self.next_number(ORDER_NUMERATOR)
    }

    fn next_number(&mut self, numerator: i32) -> i32 {
        self.numbers_changed.insert(numerator);
        let number = self.numbers.entry(numerator).or_default();
        *number += 1;
        *number
    }

    /// Adds to what a room's account owes.
    pub(super) fn charge(&mut self, account: i32, amount: i64) {
        *self.balances.entry(account).or_default() += amount;
    }

    /// A full clear: numbers and the work period's number restart, states and balances are gone (DOMAIN §3).
    pub(super) fn forget_trade(&mut self) {
        self.restart_numbers();
        self.period = None;
        self.period_number = 0;
        self.states.clear();
        self.states_changed.clear();
        self.balances.clear();
    }

    /// Tickets and orders are numbered from 1 again.
    pub(super) fn restart_numbers(&mut self) {
        for numerator in [TICKET_NUMERATOR, ORDER_NUMERATOR] {
            self.numbers.insert(numerator, 0);
            self.numbers_changed.insert(numerator);
        }
    }

    /// Reads the rooms' balances from the ledger that is left.
    pub(super) fn read_balances(&mut self, desk: &Desk, catalog: &Catalog) -> Result<()> {
        self.balances.clear();
        for room in &catalog.rooms {
            let sql = r#"SELECT CAST(coalesce(sum("Debit" - "Credit"), 0) * 100 AS BIGINT)
                         FROM dbo."AccountTransactionValues" WHERE "AccountId" = ?"#;
            let balance = desk
                .conn()
                .query_row(sql, [room.account.id], |row| row.get(0))
                .or_fail(Kind::Bug, || "cannot read the rooms' balances")?;
            self.balances.insert(room.account.id, balance);
        }
        Ok(())
    }

    /// Sets the state of a table and logs the one before.
    pub(super) fn set_state(&mut self, desk: &mut Desk, entity: i32, state: &'static str, at: At) {
        let known = self.states.entry(entity).or_insert_with(|| EntityState {
            row: desk.next_id("EntityStateValues"),
            state: "Available",
            since: at,
        });
        if known.state != state {
            desk.insert(
                "EntityStateLogs",
                [
                    ("EntityId", entity.into()),
                    ("StateName", text(Some("Status"))),
                    ("StartState", text(Some(known.state))),
                    ("StartStateDate", known.since.into()),
                    ("EndState", text(Some(state))),
                    ("EndStateDate", at.into()),
                    ("CustomData", Value::Null),
                ],
            );
            known.state = state;
            known.since = at;
        }
        self.states_changed.insert(entity);
    }

    /// Begins a work period.
    pub(super) fn start_period(&mut self, desk: &mut Desk, at: At) {
        self.period_number += 1;
        let id = desk.next_id("WorkPeriods");
        self.period = Some(WorkPeriod { id, number: self.period_number, start: at, end: None });
    }

    /// Ends the work period and writes what was used in it.
    pub(super) fn end_period(&mut self, desk: &mut Desk, at: At) {
        if let Some(period) = &mut self.period
            && period.end.is_none()
        {
            period.end = Some(at);
            write_consumption(desk, period.id, period.start, at);
        }
    }

    /// A room pays what it owes: a document without ticket and without payment row (DOMAIN §7).
    pub(super) fn settle(&mut self, desk: &mut Desk, catalog: &Catalog, room: usize, card: bool, at: At) {
        let Some(room) = catalog.rooms.get(room) else { return };
        let owed = self.balances.get(&room.account.id).copied().unwrap_or(0);
        if owed <= 0 {
            return;
        }
        self.balances.insert(room.account.id, 0);
        let kind = if card { SETTLE_CARD } else { SETTLE_CASH };
        let number = SETTLEMENT_DOCUMENTS.iter().find(|(_, other)| other.0 == kind.0).map_or(1, |(id, _)| *id);
        let document = desk.insert(
            "AccountTransactionDocuments",
            [
                ("Date", at.into()),
                ("UserId", user_id(1).into()),
                ("UserName", text(Some(user_name(1)))),
                ("DocumentTypeId", number.into()),
                ("Name", Value::Text(format!("{} {}", kind.1, room.name))),
            ],
        );
        Posting::new(desk, kind, at, owed).from(room.account).write(desk, document);
    }

    /// Goods arrive.
    pub(super) fn deliver(desk: &mut Desk, first: usize, items: usize, at: At) {
        let document = desk.insert(
            "InventoryTransactionDocuments",
            [
                ("Date", at.into()),
                ("InventoryDocumentTransactionTypeId", Value::Int(1)),
                ("Description", text(Some("Delivery / Lieferung"))),
                ("Name", Value::Text(format!("Purchase {}", at.civil().date()))),
            ],
        );
        for (place, (_, unit, price)) in STOCK.iter().enumerate().cycle().skip(first).take(items) {
            let number = i32::try_from(place).unwrap_or(0) + 1;
            desk.insert(
                "InventoryTransactions",
                [
                    ("InventoryTransactionDocumentId", document.into()),
                    ("InventoryTransactionTypeId", Value::Int(1)),
                    ("TargetWarehouseId", Value::Int(if *unit == "btl" || *unit == "l" { 2 } else { 1 })),
                    ("Date", at.into()),
                    ("Unit", text(Some(unit))),
                    ("Multiplier", Value::Int(1)),
                    ("Quantity", milli(12_500 + i64::from(number) * 1_250)),
                    ("Price", cents(*price)),
                    ("InventoryItem_Id", number.into()),
                ],
            );
        }
    }

    /// The kitchen's timer, kept as a task with one token.
    pub(super) fn time(desk: &mut Desk, minutes: i64, at: At) {
        let task = desk.insert(
            "Tasks",
            [
                ("TaskTypeId", Value::Int(1)),
                ("Content", Value::Text(format!("<Timer:{minutes} min>"))),
                ("StartDate", at.into()),
                ("EndDate", at.plus(minutes * MINUTE).into()),
                ("Completed", true.into()),
                ("LastUpdateTime", at.plus(minutes * MINUTE).into()),
            ],
        );
        desk.insert(
            "TaskTokens",
            [("TaskId", task.into()), ("Caption", text(Some("Minutes"))), ("Value", Value::Text(minutes.to_string()))],
        );
    }

    /// Adds the rows that are rewritten in place to the step.
    pub(super) fn write(&mut self, desk: &mut Desk) {
        if let Some(period) = &self.period {
            write_period(desk, period);
            if period.end.is_some() {
                self.period = None;
            }
        }
        for numerator in std::mem::take(&mut self.numbers_changed) {
            self.version += 1;
            let number = self.numbers.get(&numerator).copied().unwrap_or(0);
            let version = hex::encode(row_version(100 + self.version));
            desk.statement(format!(
                r#"UPDATE dbo."Numerators" SET "Number" = {number}, "LastUpdateTime" = unhex('{version}') WHERE "Id" = {numerator}"#
            ));
        }
        for entity in std::mem::take(&mut self.states_changed) {
            let Some(state) = self.states.get(&entity) else { continue };
            desk.remove("EntityStateValues", "Id", &[state.row]);
            let json = array([Object::new().date("D", state.since).text("S", state.state).text("SN", "Status").end()]);
            let row = desk.row("EntityStateValues");
            desk.add(row, [("Id", state.row.into()), ("EntityId", entity.into()), ("EntityStates", Value::Text(json))]);
        }
    }
}

fn write_period(desk: &mut Desk, period: &WorkPeriod) {
    desk.remove("WorkPeriods", "Id", &[period.id]);
    let row = desk.row("WorkPeriods");
    let ended = period.end.is_some();
    desk.add(
        row,
        [
            ("Id", period.id.into()),
            ("StartDate", period.start.into()),
            ("EndDate", period.end.unwrap_or(period.start).into()),
            ("StartDescription", text(Some(""))),
            ("EndDescription", if ended { text(Some("Gün sonu")) } else { Value::Null }),
            ("WorkPeriodNumber", period.number.into()),
            ("StartById", user_id(1).into()),
            ("StartByName", text(Some(user_name(1)))),
            ("EndById", if ended { user_id(5).into() } else { Value::Int(0) }),
            ("EndByName", if ended { text(Some(user_name(5))) } else { Value::Null }),
        ],
    );
}

fn write_consumption(desk: &mut Desk, period: i32, start: At, end: At) {
    let consumption = desk.insert(
        "PeriodicConsumptions",
        [
            ("WorkPeriodId", period.into()),
            ("StartDate", start.into()),
            ("EndDate", end.into()),
            ("LastUpdateTime", end.into()),
            ("Name", Value::Text(format!("{} - {}", start.civil().date(), end.civil().date()))),
        ],
    );
    for (warehouse, name) in (1..).zip(WAREHOUSES) {
        let part = desk.insert(
            "WarehouseConsumptions",
            [("PeriodicConsumptionId", consumption.into()), ("WarehouseId", Value::Int(warehouse))],
        );
        for (number, (item, unit, price)) in (1..).zip(STOCK) {
            if (unit == "btl" || unit == "l") != (name == WAREHOUSES[1]) {
                continue;
            }
            desk.insert(
                "PeriodicConsumptionItems",
                [
                    ("WarehouseConsumptionId", part.into()),
                    ("PeriodicConsumptionId", consumption.into()),
                    ("InventoryItemId", Value::Int(number)),
                    ("InventoryItemName", text(Some(item))),
                    ("UnitName", text(Some(unit))),
                    ("UnitMultiplier", cents(100)),
                    ("InStock", milli(20_000)),
                    ("Consumption", milli(i64::from(number) * 750 + i64::from(period % 5) * 125)),
                    ("PhysicalInventory", if period % 7 == 0 { milli(18_250) } else { Value::Null }),
                    ("Cost", cents(price)),
                ],
            );
        }
        desk.insert(
            "CostItems",
            [
                ("WarehouseConsumptionId", part.into()),
                ("PeriodicConsumptionId", consumption.into()),
                ("MenuItemId", Value::Int(19)),
                ("PortionId", Value::Int(1)),
                ("PortionName", text(Some("Normal"))),
                ("Quantity", milli(11_000)),
                ("CostPrediction", cents(410)),
                ("Cost", cents(405)),
                ("Name", text(Some("Fish & Chips"))),
            ],
        );
    }
}
