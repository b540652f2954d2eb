//! Both readers over the same trade.

use futures::TryStreamExt as _;
use secrecy::SecretString;
use tillvault::{
    config::{Encryption, RateLimit, RowReader, TillConfig},
    demo::{DemoTill, TillOptions},
    model::table::KeyRange,
    source::{Source as _, TableSelection, sqlserver::SqlServer},
};

#[tokio::test]
async fn both_readers_give_the_same_batches_of_a_whole_trade() {
    let till = DemoTill::start(TillOptions { days: 3, tickets_per_day: 30, ..TillOptions::default() }).await.unwrap();
    let config = |reader| TillConfig {
        host: "127.0.0.1".into(),
        port: till.port(),
        database: "SambaPOS5".into(),
        username: "tillvault".into(),
        password: SecretString::from("demo"),
        encryption: Encryption::Off,
        trust_server_certificate: true,
        ca_file: None,
        connect_timeout: std::time::Duration::from_secs(10),
        statement_timeout: std::time::Duration::from_secs(60),
        browser_port: 1434,
        reader,
        rate_limit: RateLimit::default(),
        tables: TableSelection::default(),
    };
    let mut fast = SqlServer::connect(&config(RowReader::Fast)).await.unwrap();
    let mut slow = SqlServer::connect(&config(RowReader::Tiberius)).await.unwrap();
    let all = TableSelection { with_secrets: true, ..TableSelection::default() };
    let mut rows = 0;
    for table in fast.tables(&all).await.unwrap() {
        let one: Vec<_> = fast.read(&table, KeyRange::ALL).try_collect().await.unwrap();
        let other: Vec<_> = slow.read(&table, KeyRange::ALL).try_collect().await.unwrap();
        assert_eq!(one, other, "{}", table.name);
        rows += one.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>();
    }
    assert!(rows > 1000, "{rows}");
    assert_eq!(fast.reader().await, RowReader::Fast);
    assert_eq!(fast.trade_mark().await.unwrap(), slow.trade_mark().await.unwrap());
}
