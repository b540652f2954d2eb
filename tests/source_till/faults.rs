//! What goes wrong between here and the till, each with its own message.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt as _;
use secrecy::SecretString;
use tillvault::{
    Error, Kind,
    config::{Encryption, TillConfig},
    demo::{
        Engine, EngineOptions, Server,
        fault::{Fault, When},
        schema,
    },
    model::table::{KeyRange, Table},
    source::{Source as _, sqlserver::SqlServer},
};

use super::till::{config, connect, fill, read, serve, start, stored};

fn orders() -> Table {
    schema::tables().unwrap().into_iter().find(|table| table.name.name == "Orders").unwrap()
}

async fn till_with_orders(rows: usize) -> (Server, Table) {
    let table = orders();
    let server = start(std::slice::from_ref(&table), EngineOptions::default()).await;
    fill(server.engine(), &table, rows);
    (server, table)
}

async fn refused(config: &TillConfig) -> Error {
    SqlServer::connect(config).await.err().expect("a connection was made")
}

#[tokio::test]
async fn a_wrong_password_or_database_is_told() {
    let server = start(&[orders()], EngineOptions::default()).await;
    let error = refused(&TillConfig { password: SecretString::from("wrong"), ..config(&server) }).await;
    assert_eq!(error.kind(), Kind::Credentials);
    let error = refused(&TillConfig { database: "Other".into(), ..config(&server) }).await;
    assert_eq!(error.kind(), Kind::Source);
    assert!(error.message().contains("no database \"Other\""), "{error}");
    // Babelfish has another number for it.
    let fault = Fault::Error(911, "database \"Other\" does not exist".into());
    server.faults().arm(When::Login, fault, 1);
    let error = refused(&TillConfig { database: "Other".into(), ..config(&server) }).await;
    assert!(error.message().contains("no database \"Other\""), "{error}");
}

fn engine() -> Arc<Engine> {
    Engine::new(&[orders()], EngineOptions::default()).unwrap()
}

#[tokio::test]
async fn encryption_is_as_set() {
    let (plain, offered, required) = (
        serve(engine(), Encryption::Off).await,
        serve(engine(), Encryption::On).await,
        serve(engine(), Encryption::Required).await,
    );
    let with = |server: &Server, encryption| TillConfig { encryption, ..config(server) };
    for server in [&offered, &required] {
        for encryption in [Encryption::On, Encryption::Required] {
            let mut till = SqlServer::connect(&with(server, encryption)).await.unwrap();
            assert_eq!(read(&mut till, &orders(), KeyRange::ALL).await.unwrap().num_rows(), 0);
        }
    }
    for server in [&plain, &offered] {
        SqlServer::connect(&with(server, Encryption::Off)).await.unwrap();
    }
    SqlServer::connect(&with(&plain, Encryption::On)).await.unwrap();
    let error = refused(&with(&plain, Encryption::Required)).await;
    assert!(error.message().contains("does not offer encryption"), "{error}");
}

#[tokio::test]
async fn a_certificate_is_checked_when_asked_for() {
    let server = serve(engine(), Encryption::On).await;
    let strict = TillConfig { encryption: Encryption::Required, trust_server_certificate: false, ..config(&server) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("till.pem");
    std::fs::write(&path, server.certificate().unwrap()).unwrap();

    // Somebody else's authority.
    let other = serve(engine(), Encryption::On).await;
    let other_path = folder.path().join("other.pem");
    std::fs::write(&other_path, other.certificate().unwrap()).unwrap();
    let error = refused(&TillConfig { ca_file: Some(other_path), ..strict.clone() }).await;
    assert!(error.message().contains("is not trusted"), "{error}: {error:?}");
    assert!(error.next_step().unwrap().contains("ca_file"));

    let missing = TillConfig { ca_file: Some(folder.path().join("none.pem")), ..strict.clone() };
    assert_eq!(refused(&missing).await.kind(), Kind::Config);

    let known = TillConfig { host: "localhost".into(), ca_file: Some(path), ..strict };
    SqlServer::connect(&known).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_half_way_is_an_error() {
    let (server, table) = till_with_orders(1300).await;
    for (fault, rows) in [(Fault::DropAfter(700), 512), (Fault::DropInside(100), 0)] {
        let mut till = connect(&server).await;
        server.faults().clear();
        let mut stream = till.read(&table, KeyRange::ALL);
        let mut seen = 0;
        if rows > 0 {
            seen += stream.try_next().await.unwrap().unwrap().num_rows();
        }
        server.faults().arm(When::Table("Orders".into()), fault.clone(), 1);
        let error = loop {
            match stream.try_next().await {
                Ok(Some(batch)) => seen += batch.num_rows(),
                Ok(None) => panic!("{fault:?} passed for an end after {seen} rows"),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, rows);
        assert!(error.message().contains("the connection to the till was lost after"), "{error}");
        assert!(error.message().contains("table Orders"), "{error}");
        assert_eq!(error.exit_code(), 75);
        drop(stream);
        assert_eq!(read(&mut till, &table, KeyRange::ALL).await.unwrap().num_rows(), 1300);
    }
}

#[tokio::test]
async fn locks_in_the_way_are_waited_out() {
    let (server, table) = till_with_orders(1300).await;
    let mut till = connect(&server).await;
    server.faults().arm(When::Table("Orders".into()), Fault::deadlock(), 1);
    server.faults().arm(When::Table("Orders".into()), Fault::lock_timeout(), 1);
    let found = read(&mut till, &table, KeyRange::ALL).await.unwrap();
    assert_eq!(found, stored(server.engine(), &table, "true"));
}

#[tokio::test]
async fn a_table_that_may_not_be_read_or_is_gone_is_named() {
    let (server, table) = till_with_orders(3).await;
    let mut till = connect(&server).await;
    server.faults().arm(When::Table("Orders".into()), Fault::permission_denied("SambaPOS5", "Orders"), 1);
    let error = read(&mut till, &table, KeyRange::ALL).await.unwrap_err();
    assert_eq!(error.message(), "cannot read table Orders: permission denied");
    let vanished = Table { name: tillvault::model::table::TableName::dbo("Vanished"), ..table.clone() };
    let error = read(&mut till, &vanished, KeyRange::ALL).await.unwrap_err();
    assert_eq!(error.message(), "cannot read table Vanished: the table is no longer there");
    assert_eq!(read(&mut till, &table, KeyRange::ALL).await.unwrap().num_rows(), 3);
}

#[tokio::test]
async fn a_till_that_hangs_is_given_up() {
    let (server, table) = till_with_orders(3).await;
    let settings = TillConfig { statement_timeout: Duration::from_millis(300), ..config(&server) };
    let mut till = SqlServer::connect(&settings).await.unwrap();
    server.faults().arm(When::Table("Orders".into()), Fault::Stall(Duration::from_secs(5)), 1);
    let error = read(&mut till, &table, KeyRange::ALL).await.unwrap_err();
    assert!(error.message().contains("did not go on within 0.3 seconds"), "{error}");
    assert_eq!(error.exit_code(), 75);
}

#[tokio::test]
async fn a_till_that_restarted_is_found_again() {
    let (server, table) = till_with_orders(3).await;
    let mut till = connect(&server).await;
    assert_eq!(read(&mut till, &table, KeyRange::ALL).await.unwrap().num_rows(), 3);
    server.restart(Duration::from_millis(10)).await.unwrap();
    let error = read(&mut till, &table, KeyRange::ALL).await.unwrap_err();
    assert!(error.message().contains("was lost"), "{error}");
    assert_eq!(read(&mut till, &table, KeyRange::ALL).await.unwrap().num_rows(), 3);
}
