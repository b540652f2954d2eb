//! A server with a few tables, and a client.

use std::sync::Arc;

use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row};
use tillvault::{
    demo::{Engine, EngineOptions, Server, ServerOptions, schema},
    model::table::{Column, Table, TableName},
};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

pub(crate) type Connection = Client<Compat<TcpStream>>;

/// A table from `name type` pairs; a question mark behind the type allows NULL; the first column is the key.
pub(crate) fn table(name: &str, columns: &[(&str, &str)]) -> Table {
    Table {
        name: TableName::dbo(name),
        columns: columns
            .iter()
            .map(|(name, sql_type)| Column {
                name: (*name).into(),
                sql_type: sql_type.trim_end_matches('?').parse().unwrap(),
                nullable: sql_type.ends_with('?'),
                ..Column::default()
            })
            .collect(),
        key: vec![columns[0].0.into()],
        ..Table::default()
    }
}

/// SambaPOS's tables, empty.
pub(crate) fn engine(options: EngineOptions) -> Arc<Engine> {
    Engine::new(&schema::tables().unwrap(), options).unwrap()
}

pub(crate) async fn server() -> Server {
    Server::start(engine(EngineOptions::default()), ServerOptions::default()).await.unwrap()
}

pub(crate) fn config(server: &Server) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1");
    config.port(server.port());
    config.database("SambaPOS5");
    config.authentication(AuthMethod::sql_server("sambapos", "demo-till-1"));
    config.encryption(EncryptionLevel::NotSupported);
    config.trust_cert();
    config
}

pub(crate) async fn connect_with(config: Config) -> tiberius::Result<Connection> {
    let stream = TcpStream::connect(config.get_addr()).await?;
    stream.set_nodelay(true)?;
    Client::connect(config, stream.compat_write()).await
}

pub(crate) async fn connect(server: &Server) -> Connection {
    connect_with(config(server)).await.unwrap()
}

/// All rows of the first result.
pub(crate) async fn rows(client: &mut Connection, sql: &str) -> Vec<Row> {
    client.simple_query(sql).await.unwrap().into_first_result().await.unwrap()
}

/// The number of the error a statement ends with.
pub(crate) async fn error_number(client: &mut Connection, sql: &str) -> u32 {
    let failed = match client.simple_query(sql).await {
        Err(error) => error,
        Ok(stream) => match stream.into_results().await {
            Err(error) => error,
            Ok(rows) => panic!("{sql} should fail, and gave {rows:?}"),
        },
    };
    failed.code().unwrap_or_else(|| panic!("not an error of the server: {failed}"))
}
