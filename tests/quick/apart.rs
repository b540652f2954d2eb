//! Memory-optimised tables: a read transaction does not reach them, so they are read apart and it is said.

use std::sync::{Arc, Mutex};

use tillvault::{
    archive::snapshot::{Consistency, ReadHow},
    demo::{EngineOptions, Server},
    model::table::{Column, KeyRange, Table, TableName},
    observe::{Event, Observer},
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    source::{Source as _, sqlserver::SqlServer},
};

use crate::{archive, entries, served};

fn table(name: &str, kind: Option<&str>) -> Table {
    let columns = vec![
        Column::new("Id", "int".parse().unwrap()).not_null(),
        Column::new("Text", "nvarchar(50)".parse().unwrap()),
    ];
    Table { kind: kind.map(str::to_owned), ..Table::new(TableName::dbo(name), columns).with_key(&["Id"]) }
}

async fn till(allow_snapshot_isolation: bool) -> Server {
    let tables = [
        table("Tickets", None),
        table("Payments", Some("memory optimised")),
        table("Stock", Some("system versioned, memory optimised")),
        table("Words", None),
    ];
    let options = EngineOptions { allow_snapshot_isolation, ..EngineOptions::default() };
    let server = served::start(&tables, options).await;
    for table in &tables {
        served::fill(server.engine(), table, 700);
    }
    server
}

fn run(server: &Server, script: &str) {
    server.engine().connection().unwrap().execute_batch(script).unwrap();
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

async fn take(server: &Server, archive: &tillvault::archive::Archive, quick: bool) -> (SnapshotOutcome, Vec<String>) {
    let mut till = served::connect(server).await;
    let warnings = Arc::new(Warnings::default());
    let options = SnapshotOptions { quick, ..SnapshotOptions::default() };
    let taken = snapshot(archive, &mut till, &options, &(warnings.clone() as _)).await.unwrap();
    let said = warnings.0.lock().unwrap().clone();
    (taken, said)
}

#[tokio::test]
async fn a_transaction_does_not_reach_them_on_this_server_either() {
    let server = till(true).await;
    let stock = table("Stock", None);
    let mut till: SqlServer = served::connect(&server).await;
    assert!(till.begin().await.unwrap());
    let error = served::read(&mut till, &stock, KeyRange::ALL).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("server error 41332") && error.message().contains("memory-optimised"), "{error}: {cause}");
    till.end().await.unwrap();
    assert_eq!(served::read(&mut till, &stock, KeyRange::ALL).await.unwrap().num_rows(), 700);
}

#[tokio::test]
async fn they_are_read_after_the_transaction_and_the_snapshot_says_so() {
    let server = till(true).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    // Sums of those that are read apart show whether they stayed still, so they are known at once.
    for (quick, rows) in [(false, 2_800), (true, 1_400), (true, 0)] {
        let (taken, said) = take(&server, &archive, quick).await;
        assert_eq!((taken.missing.len(), taken.rows, taken.rows_read), (0, 2_800, rows), "{:?}", taken.missing);
        assert_eq!(taken.consistency, Consistency::Snapshot);
        let apart: Vec<&str> = taken.reads.iter().filter(|read| read.apart).map(|read| read.table.as_str()).collect();
        assert_eq!(apart, ["Payments", "Stock"]);
        let [warning] = said.as_slice() else { panic!("{said:?}") };
        assert!(warning.starts_with("not of the same moment as the other tables: Payments, Stock."), "{warning}");
    }
    // One changes after the transaction saw the others, while it is read.
    run(&server, "UPDATE dbo.Words SET Text = 'new' WHERE Id = 3; UPDATE dbo.Stock SET Text = 'new' WHERE Id = 4");
    let engine = Arc::clone(server.engine());
    server.faults().before("from [dbo].[stock] where", move || {
        let script = "INSERT INTO dbo.Stock VALUES (701, 'late'); INSERT INTO dbo.Words VALUES (701, 'late')";
        engine.connection().unwrap().execute_batch(script).unwrap();
    });
    let (taken, _) = take(&server, &archive, true).await;
    assert!(server.faults().are_spent());
    let rows: Vec<(String, u64)> =
        entries(&archive).iter().map(|entry| (entry.table.name.to_string(), entry.rows)).collect();
    let told = [("Payments", 700), ("Stock", 701), ("Tickets", 700), ("Words", 700)];
    assert_eq!(rows, told.map(|(name, rows)| (name.to_owned(), rows)));
    let stock = taken.reads.iter().find(|read| read.table == "Stock").unwrap();
    assert_eq!((stock.how, stock.passes, stock.apart), (ReadHow::Quick, 2, true));
    // What was read around is what a full run reads.
    run(&server, "DELETE FROM dbo.Words WHERE Id = 701");
    let quick = entries(&archive);
    let (full, _) = take(&server, &archive, false).await;
    assert!(full.unchanged && full.collisions.is_empty());
    assert_eq!(entries(&archive), quick);
}

#[tokio::test]
async fn where_there_is_no_transaction_they_are_like_all_others() {
    let server = till(false).await;
    let folder = tempfile::tempdir().unwrap();
    let (taken, said) = take(&server, &archive(folder.path()), false).await;
    assert_eq!((taken.rows, taken.consistency), (2_800, Consistency::Reread));
    assert!(said.is_empty() && taken.reads.iter().all(|read| !read.apart), "{said:?} {:?}", taken.reads);
}

#[tokio::test]
async fn one_that_empties_is_asked_about_once_more() {
    let server = till(true).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    take(&server, &archive, false).await;
    run(&server, "DELETE FROM dbo.Stock");
    server.faults().take_statements();
    let (taken, _) = take(&server, &archive, false).await;
    let stock = taken.tables.iter().find(|table| table.name == "Stock").unwrap();
    assert_eq!((stock.rows, taken.missing.len()), (0, 0));
    let asked = server.faults().take_statements();
    assert!(asked.iter().any(|text| text.contains("AS figure FROM [dbo].[Stock]")), "{asked:?}");
}
