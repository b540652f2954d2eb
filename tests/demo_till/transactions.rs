use tillvault::demo::{EngineOptions, Server, ServerOptions};

use crate::support::{Connection, connect, engine, error_number, rows, server};

async fn count(client: &mut Connection) -> i32 {
    rows(client, "SELECT COUNT(*) FROM VersionInfo").await[0].get(0).unwrap()
}

#[tokio::test]
async fn a_snapshot_transaction_sees_one_state() {
    let options = EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() };
    let server = Server::start(engine(options), ServerOptions::default()).await.unwrap();
    let data = server.engine().connection().unwrap();
    let add = || data.execute_batch("INSERT INTO dbo.VersionInfo VALUES (1)").unwrap();
    add();
    let mut client = connect(&server).await;
    let state =
        rows(&mut client, "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()").await;
    assert_eq!(state[0].get::<u8, _>(0), Some(1));
    rows(&mut client, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION;").await;
    assert_eq!(rows(&mut client, "SELECT @@TRANCOUNT").await[0].get::<i32, _>(0), Some(1));
    assert_eq!(count(&mut client).await, 1);
    add();
    assert_eq!(count(&mut client).await, 1, "what others write is not seen");
    let mut other = connect(&server).await;
    assert_eq!(count(&mut other).await, 2, "others see it");
    rows(&mut client, "COMMIT TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;").await;
    assert_eq!(count(&mut client).await, 2);
    rows(&mut client, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION;").await;
    assert_eq!(count(&mut client).await, 2);
    assert_eq!(error_number(&mut client, "SELECT 1 / ([Version] - 1) FROM VersionInfo").await, 8134);
    assert_eq!(count(&mut client).await, 2, "an error leaves the connection usable");
    rows(&mut client, "IF @@TRANCOUNT > 0 ROLLBACK; SET TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    rows(&mut client, "BEGIN TRANSACTION").await;
    add();
    assert_eq!(count(&mut client).await, 3, "READ COMMITTED sees what is committed");
    rows(&mut client, "IF @@TRANCOUNT > 0 ROLLBACK").await;
    assert_eq!(rows(&mut client, "SELECT @@TRANCOUNT").await[0].get::<i32, _>(0), Some(0));
}

#[tokio::test]
async fn snapshot_isolation_is_refused_where_the_database_does_not_allow_it() {
    let server = server().await;
    let mut client = connect(&server).await;
    let state = rows(&mut client, "SELECT snapshot_isolation_state FROM sys.databases").await;
    assert_eq!(state[0].get::<u8, _>(0), Some(0));
    rows(&mut client, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT").await;
    assert_eq!(error_number(&mut client, "SELECT COUNT(*) FROM Tickets").await, 3952);
}

#[tokio::test]
async fn the_clock_is_the_simulations() {
    let server = server().await;
    server.engine().set_clock("2026-03-01T12:05:00.1234".parse().unwrap());
    let mut client = connect(&server).await;
    let found = rows(
        &mut client,
        "SELECT CONVERT(varchar(30), GETDATE(), 121), CAST(SYSDATETIME() AS datetime2(3)), SYSDATETIME()",
    )
    .await;
    assert_eq!(found[0].get::<&str, _>(0), Some("2026-03-01 12:05:00.123"));
    let shown: Vec<String> = found[0].cells().map(|(_, value)| format!("{value:?}")).collect();
    assert!(shown[1].contains("increments: 43500123"), "{}", shown[1]);
    assert!(shown[2].contains("increments: 435001234000"), "{}", shown[2]);
}
