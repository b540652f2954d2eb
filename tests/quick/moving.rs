//! A till that goes on trading while it is read, and one that loses the read transaction.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt as _;
use tillvault::{
    archive::{Archive, snapshot::Consistency},
    error::{Error, Kind, Result},
    model::table::{KeyRange, Table},
    observe::silent,
    ops::snapshot::snapshot,
    source::{RowStream, Source, Sums, TableSelection, TillInfo, TradeMark},
};

use crate::{
    archive, entries, notes, options,
    scripted_till::{Cell, Checksums, ScriptedTill, State, archives::assert_undamaged, held::Reader},
    take, till,
};

type Act = Box<dyn FnOnce(&mut State) + Send>;

/// A till on which something happens just before a table is read.
struct Trading {
    till: ScriptedTill,
    /// Table, and what happens before its next read; in this order.
    acts: VecDeque<(&'static str, Act)>,
    /// Reads that fail, by table.
    losses: VecDeque<&'static str>,
    /// Tables that cannot be read, ever.
    denied: Vec<&'static str>,
    /// Tables that are not summed up.
    unsummed: Vec<&'static str>,
    /// A table whose next read asks for another beginning of the run.
    asks_anew: Option<&'static str>,
    /// Every error ends the transaction, and it has.
    is_lost: bool,
    changes: u32,
    begun: u32,
}

impl Trading {
    fn new(till: ScriptedTill) -> Self {
        Self {
            till,
            acts: VecDeque::new(),
            losses: VecDeque::new(),
            denied: Vec::new(),
            unsummed: Vec::new(),
            asks_anew: None,
            is_lost: false,
            changes: 0,
            begun: 0,
        }
    }

    fn stands(&self) -> Result<()> {
        match self.is_lost {
            true => Err(Error::new(Kind::Source, "the transaction was lost").lost_transaction()),
            false => Ok(()),
        }
    }

    fn before(mut self, table: &'static str, act: impl FnOnce(&mut State) + Send + 'static) -> Self {
        self.acts.push_back((table, Box::new(act)));
        self
    }
}

#[async_trait]
impl Source for Trading {
    async fn describe(&mut self) -> Result<TillInfo> {
        self.till.describe().await
    }

    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>> {
        self.till.tables(selection).await
    }

    async fn begin(&mut self) -> Result<bool> {
        self.begun += 1;
        self.till.begin().await
    }

    async fn end(&mut self) -> Result<()> {
        self.is_lost = false;
        self.till.end().await
    }

    async fn trade_mark(&mut self) -> Result<TradeMark> {
        Ok(TradeMark(format!("{} changes", self.changes)))
    }

    async fn sums(&mut self, table: &Table, open: u32) -> Result<Sums> {
        self.stands()?;
        if self.unsummed.contains(&table.name.name.as_str()) {
            self.is_lost = self.till.isolation;
            return Ok(Sums::Cannot("the server refused".into()));
        }
        self.till.sums(table, open).await
    }

    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a> {
        while self.acts.front().is_some_and(|(name, _)| *name == table.name.name) {
            self.acts.pop_front().unwrap().1(&mut self.till.state);
            self.changes += 1;
        }
        if let Err(error) = self.stands() {
            return futures::stream::iter([Err(error)]).boxed();
        }
        if self.denied.contains(&table.name.name.as_str()) {
            self.is_lost = self.till.isolation;
            let denied = Error::new(Kind::Source, format!("cannot read table {}: permission denied", table.name));
            return futures::stream::iter([Err(denied)]).boxed();
        }
        if self.asks_anew == Some(table.name.name.as_str()) {
            self.asks_anew = None;
            let anew = Error::new(Kind::Source, "to be read in another form").lost_transaction();
            return futures::stream::iter([Err(anew)]).boxed();
        }
        if self.losses.front().is_some_and(|name| *name == table.name.name) {
            self.losses.pop_front();
            let lost = Error::new(Kind::Source, "the connection to the till was lost").temporary();
            return futures::stream::iter([Err::<RecordBatch, _>(lost)]).boxed();
        }
        self.till.read(table, range)
    }
}

/// What the newest snapshot holds.
fn held_now(archive: &Archive) -> State {
    Reader::default().state(archive, &archive.latest().unwrap().unwrap())
}

fn trade() -> State {
    State::of([
        notes("Tickets", 1..=2_000),
        notes("Orders", 1..=6_000),
        notes("Payments", 1..=900),
        notes("Menu", 1..=5),
    ])
}

fn pay(id: i32) -> impl FnOnce(&mut State) + Send + 'static {
    move |state| {
        state.table("Tickets").rows[1_500][1] = format!("paid {id}").into();
        state.table("Payments").rows.push(vec![id.into(), "cash".into()]);
    }
}

#[tokio::test]
async fn what_moved_is_read_again_until_nothing_moves() {
    for checksums in [Checksums::Exact, Checksums::None] {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let inner = ScriptedTill { isolation: false, checksums, ..ScriptedTill::new(trade()) };
        let mut till = Trading::new(inner).before("Payments", pay(901));
        let taken = snapshot(&archive, &mut till, &options(false), &silent()).await.unwrap();
        assert_eq!(taken.consistency, Consistency::Reread);
        assert_eq!(held_now(&archive).sorted(), till.till.state.clone().sorted());
        let passes: Vec<(String, u32)> = taken.reads.iter().map(|read| (read.table.clone(), read.passes)).collect();
        if checksums == Checksums::Exact {
            // The ticket's open block, and the payments' last one.
            assert_eq!(taken.rows_read, 8_906 + 512 + 389);
            assert_eq!(passes, [("Payments".to_owned(), 2), ("Tickets".to_owned(), 2)]);
        } else {
            assert_eq!(passes.len(), 3);
        }
        assert_undamaged(folder.path(), "after a till that moved").await;
    }
}

#[tokio::test]
async fn a_till_that_never_rests_is_said_to_move() {
    for quick in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let mut state = trade();
        take(&archive, &state, true).await;
        // So that there is something to read in a quick run, too.
        state.table("Tickets").rows[1_500][1] = "more".into();
        state.table("Payments").rows[899][1] = "less".into();
        let mut till = Trading::new(ScriptedTill { isolation: false, ..till(&state) });
        for id in 901..=903 {
            till = till.before("Tickets", pay(id));
            till = till.before("Payments", pay(id + 100));
        }
        let taken = snapshot(&archive, &mut till, &options(quick), &silent()).await.unwrap();
        assert_eq!(taken.consistency, Consistency::Moving);
        // Nothing that moved passes for known: the next quick run reads what is true.
        let now = till.till.state.clone();
        let next = take(&archive, &now, true).await;
        assert_eq!((next.consistency, held_now(&archive).sorted()), (Consistency::Snapshot, now.sorted()));
    }
}

#[tokio::test]
async fn rows_that_go_while_a_quick_snapshot_reads_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut state = trade();
    take(&archive, &state, true).await;
    state.table("Orders").rows[0][1] = "changed".into();
    // The highest order goes after the sums were taken, and a new one comes.
    let gone = |state: &mut State| {
        let rows = &mut state.table("Orders").rows;
        rows.retain(|row| row[0] != Cell::from(6_000));
        rows.push(vec![9_000.into(), "new".into()]);
    };
    let mut till = Trading::new(ScriptedTill { isolation: false, ..till(&state) }).before("Orders", gone);
    let taken = snapshot(&archive, &mut till, &options(true), &silent()).await.unwrap();
    assert_eq!(taken.consistency, Consistency::Reread);
    let now = till.till.state.clone();
    assert_eq!(held_now(&archive).sorted(), now.clone().sorted());
    assert_undamaged(folder.path(), "after a till that moved").await;
    let quick = entries(&archive);
    take(&archive, &now, false).await;
    assert_eq!(entries(&archive), quick);
}

#[tokio::test]
async fn a_lost_transaction_is_begun_anew_a_few_times() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut till = Trading::new(till(&trade()));
    till.losses = VecDeque::from(["Orders", "Payments"]);
    let taken = snapshot(&archive, &mut till, &options(false), &silent()).await.unwrap();
    assert_eq!((till.begun, taken.consistency, taken.snapshot), (3, Consistency::Snapshot, 1));
    assert_eq!(taken.rows, 8_905);
    assert_eq!(held_now(&archive).sorted(), trade().sorted());

    till.losses = VecDeque::from(["Orders"; 9]);
    let error = snapshot(&archive, &mut till, &options(false), &silent()).await.unwrap_err();
    assert!(error.is_temporary() && till.begun == 6, "{error}");
    assert_eq!(archive.latest().unwrap().unwrap().snapshot, 1);
    // Without a transaction it is not known what was read: the run ends at once.
    let mut till = Trading::new(ScriptedTill { isolation: false, ..till.till });
    till.losses = VecDeque::from(["Orders"]);
    assert!(snapshot(&archive, &mut till, &options(false), &silent()).await.is_err() && till.begun == 1);
}

#[tokio::test]
async fn tables_that_cannot_be_read_keep_no_other_out_where_every_error_ends_the_transaction() {
    for quick in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let mut state = trade();
        for at in 0..5 {
            let name: &'static str = ["A", "B", "C", "D", "E"][at];
            state = State::of(state.tables.into_values().chain([notes(name, 1..=3)]));
        }
        take(&archive, &state, true).await;
        for denied in ["Orders", "A", "B", "D"] {
            // So that there is something to read in a quick run, too.
            state.table(denied).rows[0][1] = "changed".into();
        }
        let mut till = Trading::new(till(&state));
        (till.denied, till.unsummed) = (vec!["Orders", "A", "B", "D"], vec!["Payments", "C", "Menu"]);
        let taken = snapshot(&archive, &mut till, &options(quick), &silent()).await.unwrap();
        let missing: Vec<_> = taken.missing.iter().map(|missing| (missing.table.as_str(), missing.last_in)).collect();
        assert_eq!(missing, [("A", Some(1)), ("B", Some(1)), ("D", Some(1)), ("Orders", Some(1))]);
        assert!(
            taken.missing.iter().all(|missing| missing.reason.contains("permission denied")),
            "{:?}",
            taken.missing
        );
        assert_eq!((taken.consistency, taken.rows), (Consistency::Snapshot, 2_905 + 2 * 3));
        assert_eq!(taken.snapshot, 2);
        // A connection that is lost again and again still ends the run.
        till.losses = VecDeque::from(["Tickets"; 9]);
        till.begun = 0;
        assert!(snapshot(&archive, &mut till, &options(false), &silent()).await.is_err());
        assert!(till.begun <= 10, "{}", till.begun);
    }
}

#[tokio::test]
async fn a_reader_that_asks_for_another_beginning_gets_it_without_a_transaction_too() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let inner = ScriptedTill { isolation: false, ..till(&trade()) };
    let mut till = Trading::new(inner);
    till.asks_anew = Some("Orders");
    let taken = snapshot(&archive, &mut till, &options(false), &silent()).await.unwrap();
    assert_eq!((till.begun, taken.rows, taken.consistency), (2, 8_905, Consistency::Reread));
    assert_eq!(held_now(&archive).sorted(), trade().sorted());
}
