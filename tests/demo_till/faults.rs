use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tiberius::QueryItem;
use tillvault::demo::{
    Server,
    fault::{Fault, When},
};

use crate::support::{Connection, connect, error_number, rows, server};

async fn filled() -> (Server, Connection) {
    let server = server().await;
    let data = server.engine().connection().unwrap();
    data.execute_batch("INSERT INTO dbo.VersionInfo SELECT range FROM range(50000)").unwrap();
    let client = connect(&server).await;
    (server, client)
}

/// Rows received until the end or the error, and whether there was one.
async fn drain(client: &mut Connection, sql: &str) -> (usize, bool) {
    let Ok(mut stream) = client.simple_query(sql).await else { return (0, true) };
    let mut rows = 0;
    loop {
        match stream.try_next().await {
            Ok(Some(QueryItem::Row(_))) => rows += 1,
            Ok(Some(_)) => {}
            Ok(None) => return (rows, false),
            Err(_) => return (rows, true),
        }
    }
}

#[tokio::test]
async fn connections_break_after_a_row_or_inside_one() {
    let (server, mut client) = filled().await;
    let sql = "SELECT [Version] FROM VersionInfo";
    assert_eq!(drain(&mut client, sql).await, (50_000, false));
    for fault in [Fault::DropAfter(1000), Fault::DropInside(1000)] {
        server.faults().arm(When::Table("VersionInfo".into()), fault.clone(), 1);
        assert_eq!(drain(&mut client, sql).await, (1000, true), "{fault:?}");
        assert!(client.simple_query("SELECT 1").await.is_err(), "the connection is gone");
        client = connect(&server).await;
    }
    server.faults().arm(When::Table("VersionInfo".into()), Fault::DropAfter(1_000_000), 1);
    assert!(drain(&mut client, sql).await.1, "a result that is complete but not ended is no result");
}

#[tokio::test]
async fn errors_strike_the_statements_they_are_armed_for() {
    let (server, mut client) = filled().await;
    server.faults().arm(When::Table("versioninfo".into()), Fault::deadlock(), 1);
    server.faults().arm(When::Text("count_big".into()), Fault::lock_timeout(), 1);
    server.faults().arm(When::Table("Tickets".into()), Fault::permission_denied("SambaPOS5", "Tickets"), 1);
    assert_eq!(rows(&mut client, "SELECT 1").await.len(), 1);
    assert_eq!(error_number(&mut client, "SELECT TOP 1 * FROM VersionInfo").await, 1205);
    assert_eq!(error_number(&mut client, "SELECT COUNT_BIG(*) FROM VersionInfo").await, 1222);
    assert_eq!(error_number(&mut client, "SELECT Id FROM Tickets").await, 229);
    assert_eq!(rows(&mut client, "SELECT TOP 1 * FROM VersionInfo").await.len(), 1);
    assert!(server.faults().take_statements().len() >= 5);
}

#[tokio::test]
async fn stalls_last_as_long_as_asked_and_can_be_broken_off() {
    let (server, mut client) = filled().await;
    server.faults().arm(When::Table("VersionInfo".into()), Fault::StallAfter(10, Duration::from_millis(200)), 1);
    let start = Instant::now();
    assert_eq!(drain(&mut client, "SELECT TOP 20 [Version] FROM VersionInfo").await, (20, false));
    assert!(start.elapsed() >= Duration::from_millis(200));

    server.faults().arm(When::Table("VersionInfo".into()), Fault::Stall(Duration::from_secs(60)), 1);
    let start = Instant::now();
    let waited =
        tokio::time::timeout(Duration::from_millis(100), drain(&mut client, "SELECT * FROM VersionInfo")).await;
    assert!(waited.is_err());
    drop(client);
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_attention_ends_a_query_and_leaves_the_connection_usable() {
    let (_server, mut client) = filled().await;
    {
        let mut stream =
            client.simple_query("SELECT a.[Version] FROM VersionInfo a CROSS JOIN VersionInfo b").await.unwrap();
        for _ in 0..100 {
            stream.try_next().await.unwrap();
        }
    }
    client.cancel_query().await.unwrap();
    assert_eq!(rows(&mut client, "SELECT 1").await[0].get::<i32, _>(0), Some(1));
}

#[tokio::test]
async fn two_clients_are_served_at_once() {
    let (server, mut slow) = filled().await;
    let mut stream = slow.simple_query("SELECT a.[Version] FROM VersionInfo a CROSS JOIN VersionInfo b").await.unwrap();
    stream.try_next().await.unwrap();
    let mut quick = connect(&server).await;
    let found = rows(&mut quick, "SELECT COUNT(*) FROM VersionInfo").await;
    assert_eq!(found[0].get::<i32, _>(0), Some(50_000));
}
