//! What the replica back end counts, on rows written straight into the replica's tables: life of rows, day bounds, menu,
//! exclusions, scope.

use rust_decimal::Decimal;
use tillvault::{
    Kind,
    model::report::{RankBy, TopSellers},
    report::{
        answer::{AnsweredBy, Report, Rows},
        definition::ReportRequest,
    },
};
use tokio_postgres::Client;

use crate::rig::Server;

const COMMON: &str = "kitchen_id, source_database, source_id, source_epoch, natural_key, row_state, first_archive_id, \
                      last_archive_id, content_hash, raw_data";

async fn execute(client: &Client, sql: &str) {
    // The replica's connection looks into its own schema first.
    let sql = sql.replace("{s}.", "").replace("{common}", COMMON);
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn snapshot(client: &Client, number: i64, kitchen: i32, database: &str, till_time: &str) {
    execute(
        client,
        &format!(
            "INSERT INTO {{s}}.sambapos_archives (kitchen_id, archive_uid, snapshot_id, archive_date, kind, taken_at,
               source_local_time, source_database, source_epoch, table_counts, archive_path, archive_size_mb, schema_fingerprint)
             VALUES ({kitchen}, 'a', {number}, '2026-03-03', 'manual', '2026-03-03 02:00:00.123456+00', '{till_time}',
               '{database}', 1, '{{}}', 'p', 0, 'f')"
        ),
    )
    .await;
}

async fn item(client: &Client, id: i32, scope: &str, name: &str, group: &str, course: &str, active: bool) {
    execute(
        client,
        &format!(
            "INSERT INTO {{s}}.sambapos_menu_items ({{common}}, item_name, group_code, kitchen_course, is_active, on_pos_menu,
               portions)
             SELECT {scope}, {id}, 1, 'm:{id}', 'live', min(id), min(id), '', '{{}}', '{name}', {group}, {course}, {active},
               false, '[]' FROM {{s}}.sambapos_archives"
        ),
    )
    .await;
}

/// A closed ticket with one line.
#[derive(Clone, Copy)]
struct Sale<'a> {
    id: i32,
    scope: &'a str,
    state: &'a str,
    date: &'a str,
    closed: bool,
    item: i32,
    name: &'a str,
    price: &'a str,
    quantity: &'a str,
    void: bool,
}

const SALE: Sale<'_> = Sale {
    id: 0,
    scope: HOME,
    state: "live",
    date: "2026-03-01 12:00:00",
    closed: true,
    item: 1,
    name: "Soup",
    price: "1.00",
    quantity: "1",
    void: false,
};

const HOME: &str = "1, 'SambaPOS5'";

async fn sell(client: &Client, sale: Sale<'_>) {
    let Sale { id, scope, state, date, closed, item, name, price, quantity, void } = sale;
    execute(
        client,
        &format!(
            "INSERT INTO {{s}}.sambapos_tickets ({{common}}, ticket_number, ticket_date, has_room, total_amount,
               remaining_amount, ticket_state, is_closed, entities, calculations)
             SELECT {scope}, {id}, 1, 'u:{id}', '{state}', min(id), min(id), '', '{{}}', '', '{date}', false, 0, 0, 'Closed',
               {closed}, '[]', '[]' FROM {{s}}.sambapos_archives;
             INSERT INTO {{s}}.sambapos_ticket_items ({{common}}, ticket_id, source_ticket_id, ticket_number, menu_item_name,
               menu_item_id, quantity, price, total, calculate_price, decrease_inventory, increase_inventory, is_void, is_gift)
             SELECT {scope}, {id}, 1, natural_key || '/o/1', '{state}', 1, 1, '', '{{}}', id, {id}, '', '{name}', {item},
               {quantity}, {price}, NULL, true, true, false, {void}, false
             FROM {{s}}.sambapos_tickets WHERE natural_key = 'u:{id}'"
        ),
    )
    .await;
}

fn top_sellers(categories: &[&str], excluded: &[&str]) -> ReportRequest {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    ReportRequest::TopSellers(TopSellers {
        from: "2026-03-01".parse().unwrap(),
        to: "2026-03-02".parse().unwrap(),
        categories: texts(categories),
        limit: 10,
        excluded_groups: texts(excluded),
        by: RankBy::Quantity,
    })
}

fn lines(report: &Report) -> Vec<String> {
    let Rows::TopSellers(categories) = &report.rows else { panic!("another report") };
    let items = categories.iter().flat_map(|sellers| &sellers.items);
    items.map(|item| format!("{} {} {}", item.item_name, item.qty, item.revenue.normalize())).collect()
}

async fn only_sold_lines_of_the_range_and_the_menu_count(server: &Server) {
    let rig = server.replica("only_sold_lines_of_the_range_and_the_menu_count").await;
    let client = rig.replica.client();
    snapshot(client, 6, 1, "SambaPOS5", "2026-03-02 03:00:00").await;
    snapshot(client, 7, 1, "SambaPOS5", "2026-03-03 03:00:00").await;
    item(client, 1, HOME, "Soup", "'Food'", "'Mains'", true).await;
    item(client, 2, HOME, "Old Stew", "NULL", "'mains '", false).await;
    item(client, 3, HOME, "Curry", "'Staff'", "'Mains'", true).await;
    item(client, 4, HOME, "Water", "'Drinks'", "NULL", true).await;
    for (id, sale) in [
        Sale { quantity: "0.505", price: "3.00", ..SALE },
        Sale { quantity: "0.505", price: "3.00", name: "soup ", ..SALE },
        Sale { quantity: "-1", name: "Refund", ..SALE },
        Sale { date: "2026-03-02 23:59:59.997", name: "Last moment", ..SALE },
        Sale { state: "cleared", name: "Cleared", ..SALE },
        Sale { state: "cleared", item: 2, name: "Cleared stew", ..SALE },
        Sale { item: 3, name: "Staff meal", ..SALE },
        // None of these.
        Sale { date: "2026-03-03 00:00:00", name: "Next day", ..SALE },
        Sale { date: "2026-02-28 23:59:59.997", name: "Day before", ..SALE },
        Sale { closed: false, name: "Open", ..SALE },
        Sale { void: true, name: "Void", ..SALE },
        Sale { state: "deleted", name: "Deleted", ..SALE },
        Sale { item: 2, name: "Live, item gone from the menu", ..SALE },
        Sale { item: 4, name: "No course", ..SALE },
        Sale { item: 99, name: "Unknown item", ..SALE },
    ]
    .into_iter()
    .enumerate()
    {
        sell(client, Sale { id: i32::try_from(id).unwrap(), ..sale }).await;
    }
    let all = rig.ask(&top_sellers(&["MAINS"], &[])).await.unwrap();
    assert_eq!(
        lines(&all),
        ["Soup 1 3.03", "Cleared 1 1", "Cleared stew 1 1", "Last moment 1 1", "Staff meal 1 1", "Refund -1 -1",]
    );
    assert_eq!((all.source, all.snapshot), (AnsweredBy::Replica, Some(7)));
    assert_eq!(all.as_of.to_string(), "2026-03-03T02:00:00.123456Z");
    assert_eq!(all.warnings, [""; 0]);

    let without_staff = rig.ask(&top_sellers(&["Mains"], &["sTAFF  "])).await.unwrap();
    assert_eq!(lines(&without_staff).len(), 5, "an item without a group code stays");
    assert!(!lines(&without_staff).contains(&"Staff meal 1 1".to_owned()));
    let none = rig.ask(&top_sellers(&["Brunch"], &[])).await.unwrap();
    assert_eq!(serde_json::to_string(&none.rows).unwrap(), r#"[{"category":"Brunch","items":[]}]"#);
    rig.close().await;
}

async fn categories_are_those_of_the_present_menu(server: &Server) {
    let rig = server.replica("categories_are_those_of_the_present_menu").await;
    let client = rig.replica.client();
    snapshot(client, 1, 1, "SambaPOS5", "2026-03-03 03:00:00").await;
    for (id, course, active) in
        [(1, "'Mains'", true), (2, "'mains'", true), (3, "'Old'", false), (4, "NULL", true), (5, "''", true)]
    {
        item(client, id, HOME, "x", "NULL", course, active).await;
    }
    item(client, 6, "2, 'SambaPOS5'", "x", "NULL", "'Other kitchen'", true).await;
    item(client, 7, "1, 'SambaPOS4'", "x", "NULL", "'Other database'", true).await;
    let report = rig.ask(&ReportRequest::Categories).await.unwrap();
    assert_eq!(serde_json::to_string(&report.rows).unwrap(), r#"[{"id":1,"name":"Mains"}]"#);
    rig.close().await;
}

async fn other_kitchens_and_databases_are_not_counted(server: &Server) {
    let rig = server.replica("other_kitchens_and_databases_are_not_counted").await;
    let client = rig.replica.client();
    snapshot(client, 1, 1, "SambaPOS5", "2026-03-03 03:00:00").await;
    item(client, 1, HOME, "Soup", "NULL", "'Mains'", true).await;
    for (id, scope) in [(1, HOME), (2, "2, 'SambaPOS5'"), (3, "1, 'SambaPOS4'")] {
        if id > 1 {
            item(client, 1, scope, "Soup", "NULL", "'Mains'", true).await;
        }
        sell(client, Sale { id, scope, ..SALE }).await;
    }
    assert_eq!(lines(&rig.ask(&top_sellers(&["Mains"], &[])).await.unwrap()), ["Soup 1 1"]);
    rig.close().await;
}

async fn an_empty_or_unmade_replica_says_what_to_do(server: &Server) {
    let rig = server.replica("an_empty_or_unmade_replica_says_what_to_do").await;
    let client = rig.replica.client();
    snapshot(client, 1, 2, "SambaPOS5", "2026-03-03 03:00:00").await;
    let error = rig.ask(&ReportRequest::Categories).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Replica, "the replica holds no snapshot yet"));
    assert!(error.next_step().unwrap().contains("tillvault load"));
    execute(client, &format!("DROP SCHEMA {} CASCADE", rig.replica.schema())).await;
    let error = rig.ask(&top_sellers(&["Mains"], &[])).await.unwrap_err();
    assert_eq!(error.message(), "the replica's tables are not there, or of another version");
    rig.close().await;
}

async fn a_range_without_sales_is_an_answer_from_the_replica(server: &Server) {
    let rig = server.replica("a_range_without_sales_is_an_answer_from_the_replic").await;
    let client = rig.replica.client();
    snapshot(client, 3, 1, "SambaPOS5", "2026-03-02 03:00:00").await;
    let report = rig.ask(&top_sellers(&["Mains"], &[])).await.unwrap();
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!(report.snapshot, Some(3));
    assert!(report.warnings[0].contains("snapshot 3"), "{:?}", report.warnings);
    rig.close().await;
}

async fn sums_are_exact_beyond_the_digits_of_a_float(server: &Server) {
    let rig = server.replica("sums_are_exact_beyond_the_digits_of_a_float").await;
    let client = rig.replica.client();
    snapshot(client, 1, 1, "SambaPOS5", "2026-03-03 03:00:00").await;
    item(client, 1, HOME, "Soup", "NULL", "'Mains'", true).await;
    for id in 0..3 {
        sell(client, Sale { id, price: "99999999999999.99", quantity: "1.001", ..SALE }).await;
    }
    let report = rig.ask(&top_sellers(&["Mains"], &[])).await.unwrap();
    let Rows::TopSellers(rows) = &report.rows else { panic!("another report") };
    let price: Decimal = "99999999999999.99".parse().unwrap();
    let quantity: Decimal = "3.003".parse().unwrap();
    assert_eq!(rows[0].items[0].revenue, price * quantity);
    rig.close().await;
}

#[tokio::test]
async fn every_row_is_counted_by_the_rules() {
    let server = Server::start().await;
    only_sold_lines_of_the_range_and_the_menu_count(&server).await;
    categories_are_those_of_the_present_menu(&server).await;
    other_kitchens_and_databases_are_not_counted(&server).await;
    an_empty_or_unmade_replica_says_what_to_do(&server).await;
    a_range_without_sales_is_an_answer_from_the_replica(&server).await;
    sums_are_exact_beyond_the_digits_of_a_float(&server).await;
    server.stop().await;
}
