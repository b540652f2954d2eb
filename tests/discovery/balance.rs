//! Closed tickets that do not add up, in whole runs over a scripted till: one whose rows move between two tables' reads.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tillvault::{
    archive::Archive,
    error::Result,
    model::table::{KeyRange, Table, TableName},
    ops::snapshot::{SnapshotOptions, snapshot},
    source::{RowStream, Source, TableSelection, TillInfo, TradeMark},
};

use crate::{
    scripted_till::{Cell, Row, Rows, ScriptedTill, State},
    told::Told,
};

/// 2026-11-22T06:00:37, the scripted till's clock, in microseconds.
const NOW: i128 = 1_795_327_237_000_000;

/// Id, number, closed, total and remaining in hundredths, last change.
fn ticket(id: i32, total: i32, remaining: i32, changed: i128) -> Row {
    vec![id.into(), format!("{}", 200 + id).into(), Cell::Bit(true), total.into(), remaining.into(), Cell::Int(changed)]
}

fn payment(id: i32, ticket: i32, amount: i32) -> Row {
    vec![id.into(), ticket.into(), amount.into()]
}

fn till(names: [&str; 2]) -> State {
    let mut tickets = Rows::new(
        TableName::dbo(names[0]),
        &[
            ("Id", "int"),
            ("TicketNumber", "nvarchar(max)"),
            ("IsClosed", "bit"),
            ("TotalAmount", "decimal(16,2)"),
            ("RemainingAmount", "decimal(16,2)"),
            ("LastUpdateTime", "datetime"),
        ],
        &["Id"],
    );
    let columns = [("Id", "int"), ("TicketId", "int"), ("Amount", "decimal(16,2)")];
    let mut payments = Rows::new(TableName::dbo(names[1]), &columns, &["Id", "TicketId"]);
    let mut change = Rows::new(
        TableName::dbo("ChangePayments"),
        &[("Id", "int"), ("TicketId", "int"), ("Amount", "decimal(18,2)")],
        &["Id", "TicketId"],
    );
    for id in 1..=20 {
        tickets.rows.push(ticket(id, 1_000, 0, NOW));
        payments.rows.push(payment(id, id, 1_000));
    }
    // 12.00 given for 10.00, and the rest back by another account.
    payments.rows[4] = payment(5, 5, 1_200);
    change.rows.push(payment(1, 5, 200));
    State::of([tickets, payments, change])
}

type Change = Box<dyn FnOnce(&mut State) + Send>;

/// A till that changes right after one of its tables was read.
struct Moving {
    till: ScriptedTill,
    after: &'static str,
    change: Option<Change>,
}

#[async_trait]
impl Source for Moving {
    async fn describe(&mut self) -> Result<TillInfo> {
        self.till.describe().await
    }
    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>> {
        self.till.tables(selection).await
    }
    async fn begin(&mut self) -> Result<bool> {
        self.till.begin().await
    }
    async fn end(&mut self) -> Result<()> {
        self.till.end().await
    }
    async fn trade_mark(&mut self) -> Result<TradeMark> {
        self.till.trade_mark().await
    }
    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a> {
        let batches = futures::executor::block_on(self.till.read(table, range).collect::<Vec<Result<RecordBatch>>>());
        if table.name.to_string().eq_ignore_ascii_case(self.after)
            && let Some(change) = self.change.take()
        {
            change(&mut self.till.state);
        }
        stream::iter(batches).boxed()
    }
}

struct Scene {
    archive: Archive,
    told: std::sync::Arc<Told>,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("archive"), "test").unwrap();
        Self { archive, told: Told::new(), _folder: folder }
    }

    /// Takes a snapshot of a till that changes after `after` was read; gives what was said.
    async fn take(
        &self,
        state: &State,
        isolation: bool,
        after: &'static str,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> Vec<String> {
        let till = ScriptedTill { isolation, ..ScriptedTill::new(state.clone()) };
        let mut till = Moving { till, after, change: Some(Box::new(change)) };
        let options = SnapshotOptions { always: true, ..SnapshotOptions::default() };
        snapshot(&self.archive, &mut till, &options, &self.told.observer()).await.unwrap();
        self.told.take()
    }
}

fn named(told: &[String], words: &str) {
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("warning: check of closed tickets: ") && told[0].contains(words), "{told:?}");
}

#[tokio::test]
async fn a_payment_that_comes_between_tickets_and_payments_is_named() {
    for names in [["Tickets", "Payments"], ["tickets", "payments"]] {
        let scene = Scene::new();
        let state = till(names);
        let quiet = Vec::<String>::new();
        assert_eq!(scene.take(&state, false, "none", |_| ()).await, quiet);
        let mut grown = state.clone();
        grown.table(names[0]).rows.push(ticket(21, 500, 0, NOW));
        grown.table(names[1]).rows.push(payment(21, 21, 500));
        let table = names[1];
        let paid_twice = move |state: &mut State| state.table(table).rows.push(payment(22, 7, 100));
        named(&scene.take(&grown, false, "tickets", paid_twice).await, "207 (Id 7)");
        // In one transaction it cannot happen, so nobody looks.
        assert_eq!(scene.take(&state, true, "none", |_| ()).await, quiet);
    }
}

#[tokio::test]
async fn what_was_so_before_is_not_told_again_and_what_is_new_is() {
    let scene = Scene::new();
    let mut state = till(["Tickets", "Payments"]);
    // Old data that never added up: of a first snapshot only what moves is looked at.
    state.table("Tickets").rows[2] = ticket(3, 990, 0, NOW - 40_000_000_000_000);
    let quiet = Vec::<String>::new();
    assert_eq!(scene.take(&state, false, "none", |_| ()).await, quiet);
    state.table("Tickets").rows.push(ticket(21, 500, 0, NOW));
    state.table("Payments").rows.push(payment(21, 21, 500));
    assert_eq!(scene.take(&state, false, "none", |_| ()).await, quiet);
    state.table("Tickets").rows.push(ticket(22, 500, 0, NOW));
    named(&scene.take(&state, false, "none", |_| ()).await, "for 222 (Id 22). The till");
    // It moved on: its payment is there now.
    state.table("Payments").rows.push(payment(22, 22, 500));
    assert_eq!(scene.take(&state, false, "none", |_| ()).await, quiet);
}

#[tokio::test]
async fn a_first_snapshot_looks_at_what_moves_now() {
    let scene = Scene::new();
    let state = till(["Tickets", "Payments"]);
    let lost = |state: &mut State| {
        state.table("Payments").rows.remove(0);
    };
    named(&scene.take(&state, false, "Tickets", lost).await, "201 (Id 1)");
}

#[tokio::test]
async fn a_till_without_payments_or_columns_is_not_checked() {
    let scene = Scene::new();
    let mut state = till(["Tickets", "Payments"]);
    state.table("Tickets").rows[0] = ticket(1, 5_000, 0, NOW);
    let mut lacking = state.clone();
    lacking.tables.remove("Payments");
    assert_eq!(scene.take(&lacking, false, "none", |_| ()).await, Vec::<String>::new());
    let scene = Scene::new();
    state.table("Tickets").table.columns[4].name = "Rest".into();
    assert_eq!(scene.take(&state, false, "none", |_| ()).await, Vec::<String>::new());
}
