//! A demo till for these tests, and rows to put into it.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use arrow::{
    compute::{cast, concat_batches},
    record_batch::RecordBatch,
};
use futures::TryStreamExt as _;
use secrecy::SecretString;
use tillvault::{
    Error,
    config::{Encryption, RateLimit, RowReader, TillConfig},
    demo::{Engine, EngineOptions, Server, ServerOptions},
    model::{
        sql_type::SqlType,
        table::{Column, KeyRange, Table, TableName},
    },
    source::{Source as _, TableSelection, sqlserver::SqlServer},
};

pub(crate) const PASSWORD: &str = "open sesame";

/// Every test runs with either reader: the target that includes these files a second time has its name from the other.
pub(crate) const READER: RowReader =
    if env!("CARGO_CRATE_NAME").len() == "source_till".len() { RowReader::Fast } else { RowReader::Tiberius };

/// A server over `tables`, without encryption.
pub(crate) async fn start(tables: &[Table], options: EngineOptions) -> Server {
    let engine = Engine::new(tables, options).unwrap();
    serve(engine, Encryption::Off).await
}

pub(crate) async fn serve(engine: Arc<Engine>, encryption: Encryption) -> Server {
    let options =
        ServerOptions { user: "reader".into(), password: PASSWORD.into(), encryption, ..ServerOptions::default() };
    Server::start(engine, options).await.unwrap()
}

pub(crate) fn config(server: &Server) -> TillConfig {
    TillConfig {
        host: "127.0.0.1".into(),
        port: server.port(),
        database: "SambaPOS5".into(),
        username: "reader".into(),
        password: SecretString::from(PASSWORD),
        encryption: Encryption::Off,
        trust_server_certificate: true,
        ca_file: None,
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(60),
        browser_port: 1434,
        reader: READER,
        rate_limit: RateLimit::default(),
        tables: TableSelection::default(),
    }
}

pub(crate) async fn connect(server: &Server) -> SqlServer {
    SqlServer::connect(&config(server)).await.unwrap()
}

pub(crate) async fn read(till: &mut SqlServer, table: &Table, range: KeyRange) -> Result<RecordBatch, Error> {
    let batches: Vec<RecordBatch> = till.read(table, range).try_collect().await?;
    Ok(concat_batches(&table.arrow_schema(), &batches).unwrap())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn full_name(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

/// The rows the engine itself holds, in the order and the types of `table`, past the server.
pub(crate) fn stored(engine: &Engine, table: &Table, condition: &str) -> RecordBatch {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    let order = if key.is_empty() { "rowid".to_owned() } else { key.join(", ") };
    let text =
        format!("SELECT {} FROM {} WHERE {condition} ORDER BY {order}", columns.join(", "), full_name(&table.name));
    let connection = engine.connection().unwrap();
    let mut statement = connection.prepare(&text).unwrap();
    let found = statement.query_arrow([]).unwrap();
    let (from, schema) = (found.get_schema(), table.arrow_schema());
    let batches: Vec<RecordBatch> = found.collect();
    let all = concat_batches(&from, &batches).unwrap();
    let typed = all.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()).unwrap());
    RecordBatch::try_new(schema.clone(), typed.collect()).unwrap()
}

/// Puts `rows` rows into a table: a key that counts from 1, values of every kind, NULL in every fifth row.
pub(crate) fn fill(engine: &Engine, table: &Table, rows: usize) {
    let mut script = format!("INSERT INTO {} VALUES ", full_name(&table.name));
    for row in 0..rows {
        let values: Vec<String> = table.columns.iter().map(|column| literal(table, column, row)).collect();
        let _ = write!(script, "{}({})", if row == 0 { "" } else { ", " }, values.join(", "));
    }
    engine.connection().unwrap().execute_batch(&script).unwrap();
}

fn literal(table: &Table, column: &Column, row: usize) -> String {
    if let Some(place) = table.key.iter().position(|name| *name == column.name) {
        let number = if place == 0 { row + 1 } else { row % 7 + 1 };
        return if column.sql_type.is_integer() { number.to_string() } else { format!("'key {row:09}'") };
    }
    if column.nullable && row % 5 == 4 {
        return "NULL".into();
    }
    let milliseconds = [0, 3, 7, 10, 997][row % 5];
    let hour = row / 3600 % 24;
    let clock = format!("{hour:02}:{:02}:{:02}", row / 60 % 60, row % 60);
    match &column.sql_type {
        SqlType::Bit => row.is_multiple_of(2).to_string(),
        SqlType::TinyInt => (row % 256).to_string(),
        SqlType::SmallInt | SqlType::Int => (row % 30_000).to_string(),
        SqlType::BigInt => (row as u64 * 1_000_000_007).to_string(),
        SqlType::Decimal { scale, .. } => format!("-{row}.{:0width$}", 1, width = usize::from(*scale).max(1)),
        SqlType::Money | SqlType::SmallMoney => format!("{row}.0001"),
        SqlType::Real | SqlType::Float => format!("{row}.125"),
        SqlType::DateTime => format!("TIMESTAMP '2026-03-01 {clock}.{milliseconds:03}'"),
        SqlType::RowVersion => format!("unhex('{row:016x}')"),
        SqlType::VarBinary { .. } => format!("unhex('00FF{:04x}')", row % 65_536),
        SqlType::NVarChar { length } => match length {
            Some(short) if *short < 20 => format!("'ü{row}'"),
            _ => format!("'Crème brûlée 🍮 #{row}  '"),
        },
        other => panic!("no value for {other}"),
    }
}
