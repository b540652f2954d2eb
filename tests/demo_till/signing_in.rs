use std::time::Duration;

use tiberius::{AuthMethod, EncryptionLevel};
use tillvault::{
    config::Encryption,
    demo::{
        EngineOptions, Server, ServerOptions,
        browser::Browser,
        fault::{Fault, When},
    },
};

use crate::support::{config, connect, connect_with, engine, rows};

#[tokio::test]
async fn a_client_signs_in_and_asks_who_is_there() {
    let server = crate::support::server().await;
    let mut client = connect(&server).await;
    let found = rows(&mut client, "SELECT 1").await;
    assert_eq!(found[0].get::<i32, _>(0), Some(1));
    let found = rows(
        &mut client,
        "SELECT @@VERSION, @@SERVERNAME, DB_NAME(), SUSER_SNAME(), CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))",
    )
    .await;
    assert!(found[0].get::<&str, _>(0).unwrap().starts_with("Microsoft SQL Server 2017"));
    assert_eq!(found[0].get::<&str, _>(1), Some("DEMO-TILL"));
    assert_eq!(found[0].get::<&str, _>(2), Some("SambaPOS5"));
    assert_eq!(found[0].get::<&str, _>(3), Some("sambapos"));
    assert_eq!(found[0].get::<&str, _>(4), Some("14.0.1000.169"));
}

#[tokio::test]
async fn wrong_passwords_and_unknown_databases_have_their_own_errors() {
    let server = crate::support::server().await;
    let mut wrong = config(&server);
    wrong.authentication(AuthMethod::sql_server("sambapos", "guess"));
    assert_eq!(connect_with(wrong).await.unwrap_err().code(), Some(18456));
    let mut elsewhere = config(&server);
    elsewhere.database("SambaPOS4");
    assert_eq!(connect_with(elsewhere).await.unwrap_err().code(), Some(4060));
    server.faults().arm(When::Login, Fault::Error(18401, "Server is in script upgrade mode.".into()), 1);
    assert_eq!(connect_with(config(&server)).await.unwrap_err().code(), Some(18401));
    connect(&server).await;
}

#[tokio::test]
async fn encryption_is_off_offered_or_required() {
    let engine = engine(EngineOptions::default());
    for (offer, wish, works) in [
        (Encryption::Off, EncryptionLevel::NotSupported, true),
        // By the protocol nothing is encrypted then; tiberius 0.13 begins a handshake nonetheless.
        (Encryption::Off, EncryptionLevel::Off, false),
        (Encryption::Off, EncryptionLevel::Required, false),
        (Encryption::On, EncryptionLevel::NotSupported, true),
        (Encryption::On, EncryptionLevel::Off, true),
        (Encryption::On, EncryptionLevel::On, true),
        (Encryption::On, EncryptionLevel::Required, true),
        (Encryption::Required, EncryptionLevel::NotSupported, false),
        (Encryption::Required, EncryptionLevel::Off, true),
        (Encryption::Required, EncryptionLevel::Required, true),
    ] {
        let options = ServerOptions { encryption: offer, ..ServerOptions::default() };
        let server = Server::start(std::sync::Arc::clone(&engine), options).await.unwrap();
        let mut config = config(&server);
        config.encryption(wish);
        let connected = connect_with(config).await;
        assert_eq!(connected.is_ok(), works, "server {offer:?}, client {wish:?}: {:?}", connected.err());
        if let Ok(mut client) = connected {
            let long = "x".repeat(20_000);
            let found = client.query("SELECT @P1", &[&long.as_str()]).await.unwrap().into_row().await.unwrap().unwrap();
            assert_eq!(found.get::<&str, _>(0), Some(long.as_str()));
        }
    }
}

#[tokio::test]
async fn packet_sizes_are_negotiated() {
    let server = crate::support::server().await;
    for size in [512, 4096, 16_384] {
        let mut config = config(&server);
        config.packet_size(size);
        let mut client = connect_with(config).await.unwrap();
        let found = rows(&mut client, "SELECT name FROM sys.columns").await;
        assert!(found.len() > 600);
    }
}

#[tokio::test]
async fn sql_browser_leads_to_the_port() {
    let server = crate::support::server().await;
    let browser = Browser::start(0, "SQLEXPRESS", server.port()).await.unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"\x04SQLEXPRESS\0", ("127.0.0.1", browser.port())).await.unwrap();
    let mut answer = [0u8; 512];
    let length = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut answer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains(&format!("tcp;{};", server.port())));
}

#[tokio::test]
async fn a_stopped_server_closes_its_connections_and_a_restarted_one_takes_new_ones() {
    let server = crate::support::server().await;
    let mut client = connect(&server).await;
    rows(&mut client, "SELECT 1").await;
    server.restart(Duration::from_millis(20)).await.unwrap();
    assert!(client.simple_query("SELECT 1").await.is_err());
    let mut client = connect(&server).await;
    assert_eq!(rows(&mut client, "SELECT 1").await.len(), 1);
    server.stop().await;
    assert!(connect_with(config(&server)).await.is_err());
}
