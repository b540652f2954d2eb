//! What is particular to a driver: text it cannot decode, answers it cannot make sense of, and which of the two is at work.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{array::AsArray as _, record_batch::RecordBatch};
use tillvault::{
    Error,
    config::{RowReader, TillConfig},
    model::table::{Column, Table},
    observe::{Event, Observer},
    source::{Source as _, sqlserver::SqlServer},
};

use super::{
    READER, config, ids, read, rows, table,
    wire::{Then, binary_metadata, login_ack, login_without_packet_size, metadata, number, row, server, utf16},
};

/// Two rows of `Name` and `Note`, as text or as its bytes; `Note` of the second row is half of a surrogate pair.
fn odd_text(text: &str) -> Vec<u8> {
    let (fine, lone) = (utf16("x"), [0x3D, 0xD8]);
    let raw = text.contains("CAST([Note] AS varbinary(max)) AS [Note]");
    let head = if raw { binary_metadata(&["Name", "Note"]) } else { metadata(&["Name", "Note"]) };
    [head, row(1, &[&fine, &fine]), row(2, &[&fine, &lone])].concat()
}

fn table_with_note() -> Table {
    let mut table = table();
    table.columns.push(Column { name: "Note".into(), ..table.columns[1].clone() });
    table
}

fn notes(batches: &[RecordBatch]) -> Vec<String> {
    let texts = batches.iter().flat_map(|batch| batch.column(2).as_string::<i32>().iter());
    texts.map(|text| text.unwrap().to_owned()).collect()
}

#[tokio::test]
async fn half_a_surrogate_pair_is_kept_in_the_run_that_meets_it() {
    let server = server(login_ack, |_, text| (odd_text(text), Then::Done)).await;
    let mut table = table_with_note();
    for key in [vec!["Id".to_owned()], vec![]] {
        let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
        table.key = key;
        let batches = read(&mut till, &table).await.unwrap();
        assert_eq!(notes(&batches), ["x", "\u{ffff}D83D"]);
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_inside_a_transaction_asks_for_another_beginning() {
    let server = server(login_ack, |_, text| {
        let answer = if text.contains("FROM sys.databases") {
            number("snapshot_isolation_state", 1)
        } else if text.contains("TRANSACTION") {
            Vec::new()
        } else {
            odd_text(text)
        };
        (answer, Then::Done)
    })
    .await;
    let table = table_with_note();
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert!(till.begin().await.unwrap());
    if READER == RowReader::Tiberius {
        let error = read(&mut till, &table).await.unwrap_err();
        assert!(error.transaction_lost() && error.is_temporary(), "{error:?}");
        till.end().await.unwrap();
        assert!(till.begin().await.unwrap());
    }
    assert_eq!(notes(&read(&mut till, &table).await.unwrap()), ["x", "\u{ffff}D83D"]);
    till.end().await.unwrap();
}

#[tokio::test]
async fn fat_rows_come_in_batches_of_their_own() {
    let server = server(login_ack, |_, _| {
        let value = utf16(&"x".repeat(3 << 20));
        let rows = (1..=12).flat_map(|id| row(id, &[&value]));
        (metadata(&["Name"]).into_iter().chain(rows).collect(), Then::Done)
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let batches = read(&mut till, &table()).await.unwrap();
    assert_eq!(ids(&batches), (1..=12).collect::<Vec<_>>());
    let most = batches.iter().map(RecordBatch::num_rows).max().unwrap();
    assert!(most <= 3, "{most} rows in one batch");
}

/// Remembers what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[tokio::test]
async fn where_the_fast_reader_gives_up_at_sign_in_the_other_reads_and_it_is_told_once() {
    // The fast driver panics over a session without a packet size.
    let server = server(login_without_packet_size, |_, _| (rows(1..=3), Then::Done)).await;
    let settings = TillConfig { reader: RowReader::Auto, ..config(server.port) };
    let told = Arc::new(Told::default());
    let mut till = SqlServer::connect(&settings).await.unwrap().reporting_to(told.clone());
    for _ in 0..2 {
        assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
    }
    assert_eq!(till.reader().await, RowReader::Tiberius);
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("tiberius reads instead"), "{told:?}");
}

#[tokio::test]
async fn the_fast_reader_alone_says_that_it_cannot() {
    let server = server(login_without_packet_size, |_, _| (rows(1..=3), Then::Done)).await;
    let settings = TillConfig { reader: RowReader::Fast, ..config(server.port) };
    let mut till = SqlServer::connect(&settings).await.unwrap();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert!(error.message().contains("does not answer like SQL Server"), "{error}");
    assert!(super::cause(&error).starts_with("the driver gave up at "), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_columns_is_no_empty_table() {
    let server = server(login_ack, |_, _| (Vec::new(), Then::Done)).await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert_eq!(error.message(), "cannot read table Orders: the answer cannot be understood");
}

/// Bytes all over a small answer turned into others: an error or rows, in time, and never a crash. A length may claim hundreds of
/// megabytes, which a debug build takes seconds to make room for.
#[tokio::test]
async fn garbage_is_an_error_or_an_answer_and_never_a_crash() {
    const CASES: usize = 40;
    let whole = rows(1..=3);
    let length = whole.len();
    let garbled = move |case: usize| {
        let mut bytes = whole.clone();
        let place = case * 5 % length;
        bytes[place] = [0x00, 0xFF, bytes[place] ^ 0x10][case % 3];
        bytes
    };
    let server = server(login_ack, move |number, _| (garbled(number), Then::Done)).await;
    let settings = TillConfig { statement_timeout: Duration::from_millis(150), ..config(server.port) };
    let mut till = SqlServer::connect(&settings).await.unwrap();
    let table = table();
    let (mut errors, mut answers) = (0, 0);
    for _ in 0..CASES {
        match tokio::time::timeout(Duration::from_secs(60), read(&mut till, &table)).await.unwrap() {
            Ok(_) => answers += 1,
            Err(error) => {
                errors += 1;
                check_words(&error);
            }
        }
    }
    assert!(errors > 0 && answers > 0, "{errors} errors, {answers} answers");
}

fn check_words(error: &Error) {
    assert!(error.message().contains("Orders"), "{error:?}");
    assert!(!error.message().contains("panic"), "{error:?}");
}
