//! The source against a scripted server that says exactly what a test wants said, at the moment it wants it. What a well-behaved till answers is tested against the demo till; here it is refusals, silence, broken answers
//! and connections that end in the wrong place.

mod drivers;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{array::AsArray as _, datatypes::Int32Type, record_batch::RecordBatch};
use futures::TryStreamExt as _;
use secrecy::SecretString;
use tillvault::{
    Error, Kind,
    config::{Encryption, RateLimit, RowReader, TillConfig},
    model::{
        sql_type::SqlType,
        table::{Column, KeyRange, Table, TableName},
    },
    source::{
        Source as _, Sums, TableSelection,
        sqlserver::{SqlServer, queries::fingerprint},
    },
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use wire::{Server, Then, done, error, large_number, login_ack, metadata, number, row, server, utf16};

/// Rows of the table below, `Name` being `x`.
fn rows(ids: std::ops::RangeInclusive<i32>) -> Vec<u8> {
    let mut bytes = metadata(&["Name"]);
    ids.for_each(|id| bytes.extend(row(id, &[&utf16("x")])));
    bytes
}

fn table() -> Table {
    let column = |name: &str, sql_type, nullable| Column { name: name.into(), sql_type, nullable, ..Column::default() };
    Table {
        name: TableName::dbo("Orders"),
        columns: vec![column("Id", SqlType::Int, false), column("Name", SqlType::NVarChar { length: None }, true)],
        key: vec!["Id".into()],
        ..Table::default()
    }
}

/// Every test runs with either reader: the target that includes these files a second time has its name from the other.
const READER: RowReader =
    if env!("CARGO_CRATE_NAME").len() == "source_wire".len() { RowReader::Fast } else { RowReader::Tiberius };

fn config(port: u16) -> TillConfig {
    TillConfig {
        host: "127.0.0.1".into(),
        port,
        database: "SambaPOS5".into(),
        username: "reader".into(),
        password: SecretString::from("open sesame"),
        encryption: Encryption::Off,
        trust_server_certificate: true,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(20),
        browser_port: 1434,
        reader: READER,
        rate_limit: RateLimit::default(),
        tables: TableSelection::default(),
    }
}

async fn refused(config: &TillConfig) -> Error {
    let error = SqlServer::connect(config).await.err().expect("a connection was made");
    let mut all = format!("{error:?}");
    all.push_str(error.next_step().unwrap_or_default());
    assert!(!all.contains("sesame"), "{all}");
    error
}

async fn read(till: &mut SqlServer, table: &Table) -> Result<Vec<RecordBatch>, Error> {
    till.read(table, KeyRange::ALL).try_collect().await
}

fn ids(batches: &[RecordBatch]) -> Vec<i32> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec()).collect()
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn nothing(_: usize, _: &str) -> (Vec<u8>, Then) {
    (Vec::new(), Then::Done)
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_credentials() {
    let server = server(|| [error(18_456, 14, "Login failed for user 'reader'."), done()].concat(), nothing).await;
    let error = refused(&config(server.port)).await;
    assert_eq!(error.kind(), Kind::Credentials);
    assert_eq!(error.message(), format!("the till at 127.0.0.1:{} refused the login \"reader\"", server.port));
    assert_eq!(cause(&error), "server error 18456: Login failed for user 'reader'.");
    assert_eq!(error.exit_code(), 12);
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let login = || [error(4060, 11, "Cannot open database"), error(18_456, 14, "Login failed"), done()].concat();
    let server = server(login, nothing).await;
    let error = refused(&config(server.port)).await;
    assert_eq!(error.kind(), Kind::Source);
    assert!(error.message().contains("has no database \"SambaPOS5\""), "{error}");
    assert!(error.next_step().unwrap().contains("ADD MEMBER [reader]"));
}

#[tokio::test]
async fn a_database_being_restored_is_worth_another_try() {
    let server = server(|| [error(927, 14, "Database cannot be opened"), done()].concat(), nothing).await;
    let error = refused(&config(server.port)).await;
    assert_eq!(error.exit_code(), 75, "{error}");
}

#[tokio::test]
async fn required_encryption_is_not_given_up() {
    let server = server(login_ack, nothing).await;
    let error = refused(&TillConfig { encryption: Encryption::Required, ..config(server.port) }).await;
    assert!(error.message().contains("does not offer encryption"), "{error}");
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn encryption_where_the_server_can_goes_on_without() {
    let server = server(login_ack, nothing).await;
    SqlServer::connect(&TillConfig { encryption: Encryption::On, ..config(server.port) }).await.unwrap();
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refused(&config(port)).await;
    assert_eq!(error.message(), format!("the till 127.0.0.1 refused a connection on port {port}"));
    assert_eq!(error.exit_code(), 75);
}

#[tokio::test]
async fn an_unknown_host_is_told_from_one_that_is_off() {
    let error = refused(&TillConfig { host: "no-such-till.invalid".into(), ..config(1433) }).await;
    assert_eq!(error.message(), "the till's host name no-such-till.invalid is not known");
    assert_eq!(error.exit_code(), 75);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let started = Instant::now();
    let error = refused(&TillConfig { connect_timeout: Duration::from_millis(300), ..config(port) }).await;
    assert!(error.message().contains("did not finish the sign-in within 0.3 seconds"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(error.is_temporary());
}

#[tokio::test]
async fn something_else_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = refused(&config(port)).await;
    assert_eq!(error.kind(), Kind::Source);
    assert!(
        error.next_step().unwrap().contains("SQL Server that listens") || error.message().contains("like SQL Server")
    );
    task.await.unwrap();
}

#[tokio::test]
async fn pages_go_on_until_one_is_not_full() {
    let server = server(login_ack, |number, text| {
        assert!(text.contains("FROM [dbo].[Orders]"), "{text}");
        let page = match number {
            0 => rows(1..=512),
            1 => rows(513..=600),
            _ => panic!("asked once more after a short page"),
        };
        assert_eq!(text.contains("WHERE [Id] > @P1"), number == 1, "{text}");
        (page, Then::Done)
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let batches = read(&mut till, &table()).await.unwrap();
    assert_eq!(ids(&batches), (1..=600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_lost_half_way_is_never_an_end() {
    let server = server(login_ack, |number, _| match number {
        0 => (rows(1..=512), Then::Done),
        1 => (rows(513..=600), Then::Cut),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let table = table();
    let mut stream = till.read(&table, KeyRange::ALL);
    assert_eq!(stream.try_next().await.unwrap().unwrap().num_rows(), 512);
    let error = stream.try_next().await.unwrap_err();
    assert_eq!(error.message(), "the connection to the till was lost after 600 rows of table Orders");
    assert_eq!(error.exit_code(), 75);
    drop(stream);
    // The next read makes a connection of its own.
    assert_eq!(ids(&read(&mut till, &table).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn a_connection_that_ends_between_rows_is_never_an_end() {
    let server = server(login_ack, |_, _| (rows(1..=3), Then::Cut)).await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let mut keyless = table();
    keyless.key.clear();
    let error = read(&mut till, &keyless).await.unwrap_err();
    assert_eq!(error.message(), "the connection to the till was lost after 3 rows of table Orders");
}

#[tokio::test]
async fn a_stalled_statement_is_given_up() {
    let server = server(login_ack, |_, _| (rows(1..=3), Then::Stall)).await;
    let settings = TillConfig { statement_timeout: Duration::from_millis(300), ..config(server.port) };
    let mut till = SqlServer::connect(&settings).await.unwrap();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert_eq!(error.message(), "cannot read table Orders: the till did not go on within 0.3 seconds");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_page_that_a_lock_stopped_is_asked_for_again() {
    let server = server(login_ack, |number, _| match number {
        // Some rows come before the lock: they must not come twice.
        0 => ([rows(1..=2), error(1222, 16, "Lock request time out")].concat(), Then::Done),
        1 => (error(1205, 13, "deadlock victim"), Then::Done),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn a_lock_that_stays_is_temporary() {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    let server = server(login_ack, move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        (error(1205, 13, "deadlock victim"), Then::Done)
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert_eq!(error.exit_code(), 75);
    assert!(error.message().contains("cannot read table Orders"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn refused_statements_say_what_to_do() {
    let server = server(login_ack, |number, _| match number {
        0 => (error(229, 14, "The SELECT permission was denied"), Then::Done),
        1 => (error(208, 16, "Invalid object name"), Then::Done),
        2 => (error(207, 16, "Invalid column name"), Then::Done),
        _ => (error(8134, 16, "Divide by zero error encountered."), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let table = table();
    let denied = read(&mut till, &table).await.unwrap_err();
    assert_eq!(denied.message(), "cannot read table Orders: permission denied");
    assert!(denied.next_step().unwrap().contains("ALTER ROLE db_datareader"));
    let gone = read(&mut till, &table).await.unwrap_err();
    assert_eq!(gone.message(), "cannot read table Orders: the table is no longer there");
    let column = read(&mut till, &table).await.unwrap_err();
    assert_eq!(column.message(), "cannot read table Orders: a column is not there");
    let other = read(&mut till, &table).await.unwrap_err();
    assert_eq!(cause(&other), "server error 8134: Divide by zero error encountered.");
    assert!(!other.is_temporary());
}

#[tokio::test]
async fn rows_out_of_key_order_are_refused() {
    let server = server(login_ack, |number, _| match number {
        0 => (rows(1..=512), Then::Done),
        _ => (rows(100..=120), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert!(error.message().contains("out of key order"), "{error}");
}

/// Answers what a read transaction needs; `open` is what `@@TRANCOUNT` says; other requests go to `reads`.
async fn snapshot_server(open: i32, reads: fn(usize) -> (Vec<u8>, Then)) -> Server {
    let read = AtomicUsize::new(0);
    server(login_ack, move |_, text| {
        let answer = if text.contains("FROM sys.databases") {
            number("snapshot_isolation_state", 1)
        } else if text.contains("@@TRANCOUNT") {
            number("open_transactions", open)
        } else if text.contains("TRANSACTION") {
            Vec::new()
        } else {
            return reads(read.fetch_add(1, Ordering::SeqCst));
        };
        (answer, Then::Done)
    })
    .await
}

#[tokio::test]
async fn a_transaction_lost_with_its_connection_is_not_replaced() {
    let server = snapshot_server(1, |read| match read {
        0 => (rows(1..=3), Then::Cut),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert!(till.begin().await.unwrap());
    read(&mut till, &table()).await.unwrap_err();
    let error = read(&mut till, &table()).await.unwrap_err();
    assert!(error.message().contains("read transaction on the till was lost"), "{error}");
    assert_eq!(error.exit_code(), 75);
    till.end().await.unwrap();
    assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn a_transaction_outlives_a_table_that_may_not_be_read() {
    let server = snapshot_server(1, |read| match read {
        0 => (error(229, 14, "denied"), Then::Done),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert!(till.begin().await.unwrap());
    assert!(read(&mut till, &table()).await.unwrap_err().message().contains("permission denied"));
    assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
    till.end().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_the_server_ended_is_noticed() {
    // A lock is not waited out inside a transaction either: the page would show another moment.
    let server = snapshot_server(0, |read| match read {
        0 => (error(1205, 13, "deadlock victim"), Then::Done),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert!(till.begin().await.unwrap());
    let ended = read(&mut till, &table()).await.unwrap_err();
    assert!(ended.message().contains("deadlock") && ended.transaction_lost(), "{ended:?}");
    let after = read(&mut till, &table()).await.unwrap_err();
    assert!(after.message().contains("was lost") && after.transaction_lost() && after.is_temporary(), "{after:?}");
    assert!(cause(&after).contains("deadlock victim"), "{after:?}");
    till.end().await.unwrap();
    assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn a_reader_that_goes_away_half_way_leaves_no_trace() {
    let server = server(login_ack, |number, _| match number {
        1 => (rows(1..=3), Then::Stall),
        _ => (rows(7..=9), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    let table = table();
    assert_eq!(ids(&read(&mut till, &table).await.unwrap()), [7, 8, 9]);
    let given_up = tokio::time::timeout(Duration::from_millis(200), read(&mut till, &table)).await;
    assert!(given_up.is_err());
    assert_eq!(ids(&read(&mut till, &table).await.unwrap()), [7, 8, 9]);
}

#[tokio::test]
async fn a_transaction_whose_reader_went_away_can_be_ended() {
    let server = snapshot_server(1, |read| match read {
        0 => (rows(1..=3), Then::Stall),
        _ => (rows(1..=3), Then::Done),
    })
    .await;
    let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
    assert!(till.begin().await.unwrap());
    let table = table();
    assert!(tokio::time::timeout(Duration::from_millis(200), read(&mut till, &table)).await.is_err());
    till.end().await.unwrap();
    assert_eq!(ids(&read(&mut till, &table).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn an_instance_is_found_through_the_browser_whatever_the_port_setting() {
    let server = server(login_ack, |_, _| (rows(1..=3), Then::Done)).await;
    let browser = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = TillConfig {
        host: "127.0.0.1\\SqlExpress".into(),
        browser_port: browser.local_addr().unwrap().port(),
        ..config(1)
    };
    let port = server.port;
    let task = tokio::spawn(async move {
        let mut question = [0; 64];
        let (length, from) = browser.recv_from(&mut question).await.unwrap();
        assert_eq!(&question[..length], b"\x04SqlExpress\0");
        let text = format!("ServerName;TILL;InstanceName;SQLEXPRESS;IsClustered;No;Version;14.0.1;tcp;{port};;");
        let answer = [&[5, u8::try_from(text.len()).unwrap(), 0], text.as_bytes()].concat();
        browser.send_to(&answer, from).await.unwrap();
    });
    let mut till = SqlServer::connect(&settings).await.unwrap();
    assert_eq!(ids(&read(&mut till, &table()).await.unwrap()), [1, 2, 3]);
    task.await.unwrap();
}

#[tokio::test]
async fn a_silent_browser_is_told_from_a_silent_server() {
    let browser = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = TillConfig {
        host: "127.0.0.1\\SQLEXPRESS".into(),
        browser_port: browser.local_addr().unwrap().port(),
        connect_timeout: Duration::from_millis(400),
        ..config(1)
    };
    let error = refused(&settings).await;
    assert_eq!(error.message(), "SQL Server Browser on 127.0.0.1 did not answer for instance SQLEXPRESS");
    assert!(error.next_step().unwrap().contains("UDP port"));
    assert_eq!(error.exit_code(), 75);
}

#[tokio::test]
async fn a_server_that_insists_on_encryption_is_answered_with_the_setting() {
    let server = wire::insisting_server().await;
    let error = refused(&config(server.port)).await;
    assert!(error.message().contains("closed the connection during sign-in"), "{error}");
    assert!(error.next_step().unwrap().contains("encryption = \"required\""));
}

/// Checksums of a server that computes something else from the same text would miss changes: none are asked of it.
#[tokio::test]
async fn a_server_that_digests_otherwise_is_not_asked_for_checksums() {
    let sums = |found: Option<i64>| async move {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let server = server(login_ack, move |_, text| {
            let reply = if text.contains("block_group") {
                counter.fetch_add(1, Ordering::SeqCst);
                error(102, 15, "Incorrect syntax")
            } else {
                found.map_or_else(|| error(195, 15, "no such function"), |found| large_number("found", found))
            };
            (reply, Then::Done)
        })
        .await;
        let mut till = SqlServer::connect(&config(server.port)).await.unwrap();
        till.prepare_sums().await.unwrap();
        let Sums::Cannot(why) = till.sums(&table(), 512).await.unwrap() else { panic!("sums out of nothing") };
        (why, asked.load(Ordering::SeqCst))
    };
    // What Babelfish makes of binaries that are to be put one after the other: 1 + 1 + 258 …
    assert_eq!(sums(Some(260)).await, ("the server does not digest rows as SQL Server does".to_owned(), 0));
    assert_eq!(sums(None).await, ("the server has no HASHBYTES".to_owned(), 0));
    let (why, asked) = sums(Some(fingerprint::HASHBYTES_ANSWER)).await;
    assert!(why.contains("refused to sum it up (error 102)") && asked == 2, "{why}, {asked}");
}
