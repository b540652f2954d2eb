//! The demo till's own rate. A module of its own, so that other benches may print it beside their figures.

use std::time::Instant;

use tillvault::{
    demo::{DemoTill, schema},
    source::sqlserver::queries::{self, Lower},
};

use super::raw_tds::RawClient;

/// Prints rows and bytes a second of Orders and Tickets: whole tables and pages, ordinary and ready, in two packet sizes.
pub(crate) fn demo_rate(till: &DemoTill) {
    println!(
        "\n{:58} {:>9} {:>8} {:>11} {:>8}",
        "the demo till alone (best of 3)", "rows", "seconds", "rows/s", "MB/s"
    );
    for name in ["Orders", "Tickets"] {
        let table = schema::tables().unwrap().into_iter().find(|table| table.name.name == name).unwrap();
        let rows = till.trade().last_id(name);
        let whole = queries::whole(&table, false, false);
        till.engine().thaw();
        line(&format!("{name}: whole, ordinary way"), rows, one(till, &whole, 32_767));
        till.engine().freeze();
        line(&format!("{name}: whole, frozen, made ready"), rows, one(till, &whole, 32_767));
        for packet_size in [4096, 32_767] {
            let best = (0..3).map(|_| one(till, &whole, packet_size)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            line(&format!("{name}: whole, ready, packets of {packet_size}"), rows, best);
        }
        let best = (0..3).map(|_| pages(till, &table, rows)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        line(&format!("{name}: pages of {}, ready, packets of 32767", queries::PAGE_ROWS), rows, best);
    }
}

fn line(name: &str, rows: i32, (seconds, bytes): (f64, u64)) {
    let (rate, megabytes) = (f64::from(rows) / seconds, bytes as f64 / 1e6 / seconds);
    println!("{name:58} {rows:>9} {seconds:>8.2} {rate:>11.0} {megabytes:>8.0}");
}

fn client(till: &DemoTill, packet_size: u32) -> RawClient {
    RawClient::connect(till.port(), "tillvault", "demo", "SambaPOS5", packet_size).unwrap()
}

/// Seconds and bytes of one statement.
fn one(till: &DemoTill, sql: &str, packet_size: u32) -> (f64, u64) {
    let mut client = client(till, packet_size);
    let started = Instant::now();
    client.batch(sql).unwrap();
    let bytes = client.drain().unwrap();
    (started.elapsed().as_secs_f64(), bytes)
}

/// Seconds and bytes of all pages by Id. Nothing is read of the rows: each page ends `PAGE_ROWS` Ids behind the last.
fn pages(till: &DemoTill, table: &tillvault::model::table::Table, rows: i32) -> (f64, u64) {
    let mut client = client(till, 32_767);
    let sql = queries::page(table, queries::PAGE_ROWS, Lower::AfterLeading, true);
    let step = i64::try_from(queries::PAGE_ROWS).unwrap();
    let started = Instant::now();
    let (mut after, mut bytes) = (0, 0);
    while after < i64::from(rows) {
        client.execute(&sql, &[after, after + step]).unwrap();
        bytes += client.drain().unwrap();
        after += step;
    }
    (started.elapsed().as_secs_f64(), bytes)
}
