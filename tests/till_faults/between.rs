//! The till changes under the reader: tables that empty, vanish or close between the catalog and their turn, a server that
//! restarts, a line that is slow.

use std::{sync::Arc, time::Duration};

use tillvault::{
    archive::snapshot::ReadHow,
    config::{RowReader, TillConfig},
    demo::fault::{Fault, Tamper, When},
};

use crate::rig::{Rig, all_words, reader_of, readers};

/// What the request for this table's rows holds.
fn rows_of(table: &str) -> String {
    if table == "Notes" { "[words] from [dbo].[notes]".into() } else { format!("from [dbo].[{table}] order") }
}

#[tokio::test]
async fn a_table_that_empties_meanwhile_is_empty_only_without_a_read_transaction() {
    for isolation in [false, true] {
        let rig = Rig::new(isolation).await;
        for config in readers(&rig.server) {
            let what = format!("isolation {isolation}, {}", reader_of(&config));
            let engine = Arc::clone(rig.engine());
            let kept = "CREATE TABLE kept AS FROM dbo.MenuItems; DELETE FROM dbo.MenuItems";
            // Tickets are read first: the transaction, if there is one, begins with them.
            rig.server.faults().before(rows_of("Payments"), move || {
                engine.connection().unwrap().execute_batch(kept).unwrap();
            });
            let root = rig.yesterday();
            let taken = rig.run(&root, &config).await.unwrap();
            assert!(rig.server.faults().are_spent(), "{what}");
            let rows = taken.tables.iter().find(|table| table.name == "MenuItems").unwrap().rows;
            assert_eq!(rows, if isolation { 5 } else { 0 }, "{what}");
            assert!(taken.missing.is_empty(), "{what}");
            rig.change("INSERT INTO dbo.MenuItems FROM kept; DROP TABLE kept");
        }
    }
}

#[tokio::test]
async fn a_table_that_vanishes_or_closes_after_the_catalog_is_named_and_never_empty() {
    for isolation in [false, true] {
        let rig = Rig::new(isolation).await;
        for config in readers(&rig.server) {
            for fault in [Fault::invalid_object("MenuItems"), Fault::permission_denied("SambaPOS5", "MenuItems")] {
                let what = format!("{fault:?}, isolation {isolation}, {}", reader_of(&config));
                rig.server.faults().arm(When::Table("MenuItems".into()), fault, usize::MAX);
                let mut struck = rig.strike(&config).await;
                struck.fired = true;
                assert!(struck.outcome.is_ok(), "{what}: {:?}", struck.outcome);
                assert_eq!(rig.survives(&what, struck, &config).await, ["MenuItems"], "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_lock_that_stays_is_a_temporary_failure_and_one_that_goes_is_waited_out() {
    let rig = Rig::new(false).await;
    for config in readers(&rig.server) {
        for fault in [Fault::deadlock(), Fault::lock_timeout()] {
            for (times, code) in [(3, 0), (usize::MAX, 75)] {
                let what = format!("{fault:?} {times} times, {}", reader_of(&config));
                rig.server.faults().arm(When::Table("Orders".into()), fault.clone(), times);
                let struck = rig.strike(&config).await;
                let ended = struck.outcome.as_ref().map_or_else(tillvault::Error::exit_code, |_| 0);
                assert_eq!(ended, code, "{what}: {:?}", struck.outcome);
                assert!(rig.survives(&what, struck, &config).await.is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_ends_the_run_and_the_next_one_completes() {
    for isolation in [false, true] {
        let rig = Rig::new(isolation).await;
        for config in readers(&rig.server) {
            for table in ["Tickets", "Orders", "Notes"] {
                let what = format!("restart at {table}, isolation {isolation}, {}", reader_of(&config));
                let (asked, is_asked) = tokio::sync::oneshot::channel();
                rig.server.faults().before(rows_of(table), move || asked.send(()).unwrap());
                rig.server.faults().arm(When::Text(rows_of(table)), Fault::Stall(Duration::from_secs(60)), 1);
                let restarting = async {
                    is_asked.await.unwrap();
                    rig.server.restart(Duration::from_millis(200)).await.unwrap();
                };
                let (struck, ()) = tokio::join!(rig.strike(&config), restarting);
                // A run within a read transaction begins anew, if the server is back by then.
                if let Err(error) = &struck.outcome {
                    assert_eq!(error.exit_code(), 75, "{what}: {}", all_words(error));
                } else {
                    assert!(isolation, "{what}");
                }
                rig.survives(&what, struck, &config).await;
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_refuses_and_is_found_when_it_is_back() {
    let rig = Rig::new(false).await;
    for config in readers(&rig.server) {
        rig.server.stop().await;
        let root = rig.yesterday();
        let error = rig.run(&root, &config).await.unwrap_err();
        assert_eq!(error.exit_code(), 75, "{}", all_words(&error));
        assert!(error.message().contains("refused a connection on port"), "{}", all_words(&error));
        rig.server.restart(Duration::ZERO).await.unwrap();
        rig.run(&root, &config).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_line_is_waited_for_as_long_as_it_goes_on() {
    let rig = Rig::new(false).await;
    for reader in readers(&rig.server) {
        // The answer takes longer than the time-out, but there is always a packet within it: less, one of the drivers does
        // not see.
        let config = TillConfig { statement_timeout: Duration::from_millis(2_500), ..reader };
        let what = reader_of(&config);
        let slow = Tamper::drip(2_048, Duration::from_millis(300));
        rig.server.faults().arm(When::Text(rows_of("Orders")), slow, 1);
        let struck = rig.strike(&config).await;
        assert!(struck.fired && struck.outcome.is_ok(), "{what}: {:?}", struck.outcome);
        assert!(struck.took > config.statement_timeout, "{what}: {:?}", struck.took);
        assert!(rig.survives(what, struck, &config).await.is_empty());
        // A byte, and silence.
        rig.server.faults().arm(When::Text(rows_of("Notes")), Tamper::drip(1, Duration::from_secs(10)), 1);
        let struck = rig.strike(&config).await;
        let error = struck.outcome.as_ref().unwrap_err();
        assert_eq!(error.exit_code(), 75, "{what}: {}", all_words(error));
        assert!(error.message().contains("Notes") && error.message().contains("did not go on"), "{what}: {error}");
        rig.survives(what, struck, &config).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_even_hear_that_it_should_stop_is_left() {
    let rig = Rig::new(false).await;
    for reader in readers(&rig.server) {
        let config = TillConfig { statement_timeout: Duration::from_secs(1), ..reader };
        let what = reader_of(&config);
        for at in [0, 300] {
            let deaf = Tamper::stall_at(at, Duration::from_secs(60));
            rig.server.faults().arm(When::Text(rows_of("Orders")), deaf, 1);
            let struck = rig.strike(&config).await;
            assert!(struck.took < Duration::from_secs(10), "{what}: {:?}", struck.took);
            let error = struck.outcome.as_ref().unwrap_err();
            assert_eq!(error.exit_code(), 75, "{what}: {}", all_words(error));
            rig.survives(what, struck, &config).await;
        }
    }
}

/// A run in which this happens to the question for the sums of orders reads them without, and says why.
async fn goes_without_sums(rig: &Rig, config: &TillConfig, fault: Fault, why: &str) {
    let what = format!("{fault:?}, {}", reader_of(config));
    rig.server.faults().arm(When::Text("from [dbo].[orders])".into()), fault, usize::MAX);
    rig.server.faults().take_statements();
    let struck = rig.strike(config).await;
    let taken = struck.outcome.as_ref().unwrap_or_else(|error| panic!("{what}: {}", all_words(error)));
    let orders = taken.reads.iter().find(|read| read.table == "Orders").unwrap();
    assert_eq!((orders.how, orders.why.as_deref()), (ReadHow::Whole, Some(why)), "{what}");
    let others = taken.reads.iter().filter(|read| read.table != "Orders");
    assert!(others.map(|read| &read.checksums).all(Option::is_some), "{what}: {:?}", taken.reads);
    // It costs its time once, whether the run begins anew or goes on.
    let asked = rig.server.faults().take_statements();
    let sums = asked.iter().filter(|text| text.contains("FROM [dbo].[Orders])")).count();
    // The slow reader asks for the number of rows in the same request.
    let request = if config.reader == RowReader::Fast { 1 } else { 2 };
    assert!(sums <= request, "{what}: {sums}");
    assert!(rig.survives(&what, struck, config).await.is_empty(), "{what}");
}

const TOO_SLOW: &str = "the server did not sum it up within 2 seconds";
const REFUSED: &str = "cannot sum up table Orders: permission denied";

/// The settings of every reader, with little patience.
fn hasty(rig: &Rig) -> Vec<TillConfig> {
    let patience = Duration::from_secs(2);
    readers(&rig.server).into_iter().map(|config| TillConfig { statement_timeout: patience, ..config }).collect()
}

#[tokio::test]
async fn a_table_that_is_not_summed_up_in_time_or_at_all_is_read_without_and_the_snapshot_says_so() {
    let rig = Rig::quick(false).await;
    for config in hasty(&rig) {
        goes_without_sums(&rig, &config, Fault::permission_denied("SambaPOS5", "Orders"), REFUSED).await;
        goes_without_sums(&rig, &config, Fault::Stall(Duration::from_secs(60)), TOO_SLOW).await;
        goes_without_sums(&rig, &config, Tamper::stall_at(0, Duration::from_secs(60)).into(), TOO_SLOW).await;
    }
}

/// The question that took too long has cost the transaction.
#[tokio::test]
async fn within_a_transaction_the_run_begins_anew_and_does_not_ask_for_those_sums_again() {
    let rig = Rig::quick(true).await;
    for config in hasty(&rig) {
        goes_without_sums(&rig, &config, Fault::permission_denied("SambaPOS5", "Orders"), REFUSED).await;
        goes_without_sums(&rig, &config, Fault::Stall(Duration::from_secs(60)), TOO_SLOW).await;
    }
}
