//! A frozen till answers from bytes that are ready: the same bytes as ever.

use std::time::Duration;

use tillvault::{
    demo::{
        DemoTill, TillOptions,
        fault::{Fault, When},
        schema,
    },
    source::sqlserver::queries::{
        self, Lower,
        fingerprint::{self, Digest},
    },
};

use crate::raw_tds::RawClient;

async fn till() -> DemoTill {
    DemoTill::start(TillOptions { days: 1, tickets_per_day: 40, ..TillOptions::default() }).await.unwrap()
}

fn client(till: &DemoTill, packet_size: u32) -> RawClient {
    RawClient::connect(till.port(), "tillvault", "demo", "SambaPOS5", packet_size).unwrap()
}

/// Numbers without order, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// A request: text, parameters, and whether its answer is ready on a frozen till.
type Request = (String, Vec<i64>, bool);

/// Reads of every table in every form.
fn requests() -> Vec<Request> {
    let (mut dice, mut requests) = (Dice(7), Vec::new());
    for table in schema::tables().unwrap() {
        let is_paged = queries::is_paged(&table);
        requests.push((queries::whole(&table, false, false), Vec::new(), is_paged));
        if !is_paged {
            continue;
        }
        requests.push((queries::page(&table, 100, Lower::Start, false), Vec::new(), true));
        requests.push((queries::whole(&table, true, true), vec![dice.below(50), dice.below(300)], true));
        for rows in [1, 7, 100, 4096] {
            let key: Vec<i64> = table.key.iter().map(|_| dice.below(200) - 5).collect();
            let upper = [key.clone(), vec![dice.below(400)]].concat();
            requests.push((queries::page(&table, rows, Lower::AfterKey, true), upper, true));
            requests.push((queries::page(&table, rows, Lower::AfterKey, false), key.clone(), true));
            requests.push((queries::page(&table, rows, Lower::AfterLeading, false), key[..1].to_vec(), true));
        }
    }
    requests
}

/// The ordinary way first, then what is ready.
async fn have_the_same_bytes(requests: &[Request], packet_size: u32, in_transaction: bool) {
    let till = till().await;
    let mut one = client(&till, packet_size);
    if in_transaction {
        one.batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION").unwrap();
        one.receive().unwrap();
    }
    let mut answers = Vec::new();
    for frozen in [false, true] {
        if frozen {
            till.engine().freeze();
        }
        let before = till.server().prepared_answers();
        for (index, (sql, parameters, _)) in requests.iter().enumerate() {
            one.execute(sql, parameters).unwrap();
            let answer = one.receive().unwrap();
            assert!(answer.starts_with(&[0x81]), "{sql}");
            if frozen {
                assert!(answers[index] == answer, "{sql} {parameters:?}");
            } else {
                answers.push(answer);
            }
        }
        let ready = till.server().prepared_answers() - before;
        let expected = if frozen { requests.iter().filter(|(_, _, ready)| *ready).count() } else { 0 };
        assert_eq!(usize::try_from(ready).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_every_table_has_the_bytes_of_the_ordinary_way() {
    let requests: Vec<Request> = requests().into_iter().step_by(2).collect();
    have_the_same_bytes(&requests, 4096, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_page_of_every_table_has_the_bytes_of_the_ordinary_way() {
    let requests: Vec<Request> = requests().into_iter().skip(1).step_by(2).collect();
    have_the_same_bytes(&requests, 4096, true).await;
}

/// How bytes are cut into packets does not depend on the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_the_bytes_of_the_ordinary_way_in_packets_of_any_size() {
    let requests = requests();
    let some = |first: usize| requests.iter().skip(first).step_by(7).cloned().collect::<Vec<Request>>();
    have_the_same_bytes(&some(0), 512, false).await;
    have_the_same_bytes(&some(3), 32_767, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_with_its_bounds_in_its_text_has_the_bytes_of_the_ordinary_way() {
    let till = till().await;
    let sql = "SELECT [Id], [OrderTags] FROM Orders WHERE [Id] BETWEEN 3 AND 5 ORDER BY [Id], TicketId";
    till.engine().freeze();
    let mut literal = client(&till, 4096);
    literal.batch(sql).unwrap();
    let ready = literal.receive().unwrap();
    assert_eq!(till.server().prepared_answers(), 1);
    till.engine().thaw();
    literal.batch(sql).unwrap();
    assert!(literal.receive().unwrap() == ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trade_thaws_and_faults_still_strike() {
    let till = till().await;
    let sql = "SELECT [Id], [MenuItemName] FROM [dbo].[Orders] ORDER BY [Id], [TicketId]";
    let mut client = client(&till, 4096);
    let mut rows = |till: &DemoTill| {
        let before = till.server().prepared_answers();
        client.batch(sql).unwrap();
        let answer = client.receive()?;
        let count = u64::from_le_bytes(*answer.last_chunk().unwrap());
        Ok::<_, std::io::Error>((count, till.server().prepared_answers() > before))
    };
    till.engine().freeze();
    let (first, ready) = rows(&till).unwrap();
    assert!(ready && first > 50);
    till.trade().trade_day().unwrap();
    let (second, ready) = rows(&till).unwrap();
    assert!(!ready && second > first);
    till.engine().freeze();
    assert_eq!(rows(&till).unwrap(), (second, true), "a new freezing forgets the answers of the one before");
    till.faults().arm(When::Table("Orders".into()), Fault::deadlock(), 1);
    client.batch(sql).unwrap();
    assert_eq!(client.receive().unwrap().first(), Some(&0xAA));
    till.faults().arm(When::Table("Orders".into()), Fault::DropAfter(20), 1);
    client.batch(sql).unwrap();
    assert!(client.receive().is_err(), "the connection breaks after 20 rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_that_is_ready_can_be_broken_off() {
    let till = till().await;
    till.engine().freeze_repeating(&[("Orders", 2000)]);
    let mut client = client(&till, 4096);
    client.batch("SELECT [Id], [TicketId], [OrderStates] FROM [dbo].[Orders] ORDER BY [Id], [TicketId]").unwrap();
    client.packet().unwrap();
    client.attention().unwrap();
    let started = std::time::Instant::now();
    let seen = loop {
        let (body, last) = client.packet().unwrap();
        if last {
            break body;
        }
    };
    // DONE with the bit that takes note of the attention.
    let done = &seen[seen.len() - 13..];
    assert_eq!((done[0], done[1] & 0x20), (0xFD, 0x20));
    assert!(started.elapsed() < Duration::from_secs(10));
    client.batch("SELECT 1 AS one").unwrap();
    assert_eq!(client.receive().unwrap().first(), Some(&0x81));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_rows_go_on_with_their_keys() {
    let till = till().await;
    let orders = schema::tables().unwrap().into_iter().find(|table| table.name.name == "Orders").unwrap();
    let last = i64::from(till.trade().last_id("Orders"));
    till.engine().freeze_repeating(&[("Orders", 3)]);
    let mut config = tiberius::Config::new();
    config.host("127.0.0.1");
    config.port(till.port());
    config.authentication(tiberius::AuthMethod::sql_server("tillvault", "demo"));
    config.encryption(tiberius::EncryptionLevel::NotSupported);
    let mut client = crate::support::connect_with(config).await.unwrap();
    let page = queries::page(&orders, 50, Lower::AfterKey, true);
    let (mut key, mut ids, mut names) = ((0i32, 0i32), Vec::new(), Vec::new());
    loop {
        let rows = client.query(page.as_str(), &[&key.0, &key.1, &(2 * last + 10)]).await.unwrap();
        let rows = rows.into_first_result().await.unwrap();
        for row in &rows {
            key = (row.get("Id").unwrap(), row.get("TicketId").unwrap());
            ids.push(i64::from(key.0));
            names.push(row.get::<&str, _>("MenuItemName").map(str::to_owned));
        }
        if rows.len() < 50 {
            break;
        }
    }
    assert!(ids.is_sorted() && ids.last().is_some_and(|id| *id > 2 * last && *id <= 2 * last + 10), "{:?}", ids.last());
    let once = ids.iter().filter(|id| **id <= last).count();
    assert_eq!(ids.iter().filter(|id| **id > last && **id <= 2 * last).count(), once);
    assert_eq!(names[..once], names[once..2 * once]);
    assert!(ids[..once].iter().zip(&ids[once..]).all(|(a, b)| a + last == *b));
    assert_eq!(crate::support::error_number(&mut client, "SELECT COUNT(*) FROM Orders").await, 40517);
}

/// What `sql` gives, and whether it was ready.
fn ask(till: &DemoTill, client: &mut RawClient, sql: &str) -> (Vec<u8>, bool) {
    let before = till.server().prepared_answers();
    client.batch(sql).unwrap();
    (client.receive().unwrap(), till.server().prepared_answers() > before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_are_computed_once_and_have_the_bytes_of_the_ordinary_way() {
    let till = till().await;
    let digest = Digest { binary_checksum: true, any_length: true };
    let mut texts: Vec<String> =
        schema::tables().unwrap().iter().filter_map(|table| fingerprint::sums(table, 512, digest)).collect();
    assert!(texts.len() > 70);
    texts.push(queries::DESCRIBE.to_owned());
    texts.push("SELECT COUNT(*) AS one FROM Tickets".to_owned());
    texts.push("SELECT COUNT(*) AS two FROM Tickets".to_owned());
    let mut plain = client(&till, 4096);
    let mut inside = client(&till, 32_767);
    inside.batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION").unwrap();
    inside.receive().unwrap();
    // The last token says whether a transaction is open; the one that answers what is asked is the same.
    let shown = |(answer, ready): (Vec<u8>, bool)| (answer[..answer.len() - 13].to_vec(), ready);
    let ordinary: Vec<_> = texts.iter().map(|text| shown(ask(&till, &mut plain, text))).collect();
    assert!(ordinary.iter().all(|(answer, ready)| answer.first() == Some(&0x81) && !ready));
    till.engine().freeze();
    for (text, (bytes, _)) in texts.iter().zip(&ordinary) {
        assert!(shown(ask(&till, &mut plain, text)) == (bytes.clone(), false), "{text}");
        assert!(shown(ask(&till, &mut plain, text)) == (bytes.clone(), true), "{text}");
        assert!(shown(ask(&till, &mut inside, text)) == (bytes.clone(), true), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_goes_with_the_freezing_and_keeps_no_fault_away() {
    let till = till().await;
    let count = "SELECT COUNT(*) AS n FROM [dbo].[Orders]";
    let mut client = client(&till, 4096);
    till.engine().freeze();
    let (first, _) = ask(&till, &mut client, count);
    assert_eq!(ask(&till, &mut client, count), (first.clone(), true));
    till.faults().arm(When::Table("Orders".into()), Fault::deadlock(), 1);
    assert_eq!(ask(&till, &mut client, count).0.first(), Some(&0xAA));
    assert_eq!(ask(&till, &mut client, count), (first.clone(), true));
    till.trade().trade_day().unwrap();
    let (second, ready) = ask(&till, &mut client, count);
    assert!(second != first && !ready);
    till.engine().freeze();
    assert_eq!(ask(&till, &mut client, count), (second.clone(), false));
    assert_eq!(ask(&till, &mut client, count), (second, true));
    // An answer that a fault cut short is not kept as a whole one.
    let ids = "SELECT [Id] FROM [dbo].[Payments]";
    till.faults().arm(When::Table("Payments".into()), Fault::ErrorAfter(3, 824, "a page is torn".into()), 1);
    let (torn, _) = ask(&till, &mut client, ids);
    let (whole, ready) = ask(&till, &mut client, ids);
    assert!(whole.len() > torn.len() && !ready);
    till.engine().freeze_repeating(&[("Orders", 2)]);
    assert_eq!(ask(&till, &mut client, count).0.first(), Some(&0xAA), "the rows of a repeated table are not counted");
}
