//! The source against the demo till: discovery, rows, ranges, types, names, the live reports, encryption and faults.

#![allow(clippy::unwrap_used, reason = "part of a test")]

mod faults;
mod readers;
mod till;
mod types;

use arrow::record_batch::RecordBatch;
use jiff::civil::date;
use till::{connect, fill, read, start, stored};
use tillvault::{
    Kind,
    config::RowReader,
    demo::{
        EngineOptions,
        fault::{Fault, When},
        schema,
        trade::fixture,
    },
    model::{
        report::{RankBy, SoldGroup, TopSellers},
        table::{KeyRange, Table},
    },
    source::{LiveReports as _, Source as _, Sums, TableSelection, secrets, sqlserver::SqlServer},
};

fn tables() -> Vec<Table> {
    schema::tables().unwrap()
}

fn find<'t>(tables: &'t [Table], name: &str) -> &'t Table {
    tables.iter().find(|table| table.name.name == name).unwrap()
}

/// The catalog and the live reports are asked on the control connection, which has one driver: the second run of these files,
/// with the other row reader, leaves them out.
fn is_for_one_reader_only() -> bool {
    till::READER == RowReader::Tiberius
}

/// Tables as a till lists them: by name, foreign keys by name.
fn listed(mut tables: Vec<Table>) -> Vec<Table> {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    for table in &mut tables {
        table.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
        table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
    }
    tables
}

#[tokio::test]
async fn every_table_is_found_as_it_was_declared() {
    if is_for_one_reader_only() {
        return;
    }
    let server = start(&tables(), EngineOptions::default()).await;
    let mut till = connect(&server).await;
    let all = TableSelection { with_secrets: true, ..TableSelection::default() };
    let found = listed(till.tables(&all).await.unwrap());
    let declared = listed(tables());
    assert_eq!(found.len(), 83);
    for (found, declared) in found.iter().zip(&declared) {
        assert_eq!(found, declared);
    }

    let without = listed(till.tables(&TableSelection::default()).await.unwrap());
    let expected: Vec<Table> = declared.into_iter().filter_map(secrets::leave_out).collect();
    assert_eq!(without, expected);
    assert_eq!(find(&without, "Users").left_out, ["PinCode", "Password"]);
    assert!(find(&without, "Users").column("PinCode").is_none());
}

/// `db_datareader` gives no right to see the types that users made.
#[tokio::test]
async fn a_type_the_login_cannot_see_hides_no_column() {
    if is_for_one_reader_only() {
        return;
    }
    let server = start(&tables(), EngineOptions::default()).await;
    let hide = "UPDATE sys.\"columns\" SET user_type_id = 257 WHERE name = 'TotalAmount'; \
                UPDATE sys.\"columns\" SET user_type_id = 258, system_type_id = 240 WHERE name = 'RemainingAmount'";
    server.engine().connection().unwrap().execute_batch(hide).unwrap();
    let found = connect(&server).await.tables(&TableSelection::default()).await.unwrap();
    let tickets = find(&found, "Tickets");
    let declared = tables();
    assert_eq!(tickets.column("TotalAmount"), find(&declared, "Tickets").column("TotalAmount"));
    let hidden = tickets.column("RemainingAmount").unwrap();
    assert!(hidden.clr && hidden.sql_type.to_string() == "clr(unknown)", "{hidden:?}");
}

#[tokio::test]
async fn a_selection_takes_what_its_patterns_say() {
    if is_for_one_reader_only() {
        return;
    }
    let server = start(&tables(), EngineOptions::default()).await;
    let mut till = connect(&server).await;
    let names = |tables: Vec<Table>| tables.into_iter().map(|table| table.name.to_string()).collect::<Vec<_>>();
    let selection =
        TableSelection { include: vec!["ticket*".into()], exclude: vec!["*Tag*".into()], with_secrets: false };
    let found = names(till.tables(&selection).await.unwrap());
    assert!(found.contains(&"Tickets".to_owned()) && found.contains(&"TicketEntities".to_owned()), "{found:?}");
    assert!(found.iter().all(|name| name.starts_with("Ticket") && !name.contains("Tag")), "{found:?}");
    let nothing = TableSelection { include: vec!["nothing".into()], ..selection };
    let error = till.tables(&nothing).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
}

#[tokio::test]
async fn a_till_without_tables_is_an_error_and_no_empty_list() {
    if is_for_one_reader_only() {
        return;
    }
    let server = start(&[], EngineOptions::default()).await;
    let mut till = connect(&server).await;
    let error = till.tables(&TableSelection::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Source);
    assert!(error.message().contains("shows no table"), "{error}");
}

#[tokio::test]
async fn rows_of_every_table_arrive_as_they_are_stored() {
    let tables = tables();
    let server = start(&tables, EngineOptions::default()).await;
    for table in &tables {
        let rows = match table.name.name.as_str() {
            "Orders" => 1300,
            "VersionInfo" => 600,
            _ => 12,
        };
        fill(server.engine(), table, rows);
    }
    let mut till = connect(&server).await;
    for table in &tables {
        let found = read(&mut till, table, KeyRange::ALL).await.unwrap();
        assert_eq!(found, stored(server.engine(), table, "true"), "{}", table.name);
    }
    let counts = till.row_counts().await.unwrap();
    assert_eq!(counts[&find(&tables, "Orders").name], 1300);
}

#[tokio::test]
async fn an_empty_table_has_no_rows_and_no_error() {
    let tables = tables();
    let server = start(&tables, EngineOptions::default()).await;
    let mut till = connect(&server).await;
    for name in ["Orders", "VersionInfo"] {
        assert_eq!(read(&mut till, find(&tables, name), KeyRange::ALL).await.unwrap().num_rows(), 0);
    }
}

#[tokio::test]
async fn a_range_is_open_below_and_closed_above() {
    let tables = tables();
    let server = start(&tables, EngineOptions::default()).await;
    let orders = find(&tables, "Orders");
    fill(server.engine(), orders, 1300);
    let mut till = connect(&server).await;
    for (after, through, condition) in [
        (Some(511), Some(1024), "\"Id\" > 511 AND \"Id\" <= 1024"),
        (None, Some(5), "\"Id\" <= 5"),
        (Some(1290), None, "\"Id\" > 1290"),
        (Some(0), Some(i64::MAX), "true"),
        (Some(1300), None, "false"),
        (Some(i64::MIN), Some(1), "\"Id\" = 1"),
    ] {
        let found: RecordBatch = read(&mut till, orders, KeyRange { after, through }).await.unwrap();
        assert_eq!(found, stored(server.engine(), orders, condition), "{after:?}..{through:?}");
    }
}

#[tokio::test]
async fn a_key_of_several_columns_is_followed_across_pages() {
    // The leading column alone does not tell rows apart here: 40 × 40 rows, pages end in the middle of a group.
    let tables = schema::parse(
        "CREATE TABLE [dbo].[Pairs] ([A] int NOT NULL, [B] bigint NOT NULL, [Name] nvarchar(20) NULL, PRIMARY KEY ([A], [B]))",
    )
    .unwrap();
    let server = start(&tables, EngineOptions::default()).await;
    let connection = server.engine().connection().unwrap();
    connection
        .execute_batch(
            "INSERT INTO dbo.\"Pairs\" SELECT a.range, b.range * 1000000000, 'x' FROM range(40) a, range(40) b",
        )
        .unwrap();
    let mut till = connect(&server).await;
    let found = read(&mut till, &tables[0], KeyRange::ALL).await.unwrap();
    assert_eq!(found.num_rows(), 1600);
    assert_eq!(found, stored(server.engine(), &tables[0], "true"));
    let some = KeyRange { after: Some(3), through: Some(30) };
    let found = read(&mut till, &tables[0], some).await.unwrap();
    assert_eq!(found, stored(server.engine(), &tables[0], "\"A\" > 3 AND \"A\" <= 30"));
}

#[tokio::test]
async fn the_till_says_who_it_is() {
    let options = EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() };
    let server = start(&tables(), options.clone()).await;
    let now = date(2026, 3, 1).at(12, 30, 15, 125_000_000);
    server.engine().set_clock(now);
    let mut till = connect(&server).await;
    let info = till.describe().await.unwrap();
    assert_eq!(info.server, options.server_name);
    assert_eq!(info.database, options.database);
    assert_eq!(info.version, options.version);
    assert_eq!(info.edition, options.edition);
    assert_eq!(info.collation, options.collation);
    assert_eq!(info.local_time, now);
    assert_eq!(info.login, "reader");
    assert!(info.snapshot_isolation);
}

#[tokio::test]
async fn a_snapshot_transaction_sees_one_moment() {
    let tables = tables();
    let options = EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() };
    let server = start(&tables, options).await;
    let users = find(&tables, "Terminals");
    fill(server.engine(), users, 3);
    let mut till = connect(&server).await;
    assert!(till.begin().await.unwrap());
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 3);
    server.engine().connection().unwrap().execute_batch("DELETE FROM dbo.\"Terminals\"").unwrap();
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 3);
    till.end().await.unwrap();
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn without_snapshot_isolation_there_is_no_transaction() {
    let server = start(&tables(), EngineOptions::default()).await;
    let mut till = connect(&server).await;
    assert!(!till.begin().await.unwrap());
    till.end().await.unwrap();
}

/// Babelfish says in its catalog that snapshots are allowed, whatever it answers then.
#[tokio::test]
async fn a_refused_transaction_is_none() {
    let tables = tables();
    let options = EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() };
    let server = start(&tables, options).await;
    let users = find(&tables, "Terminals");
    fill(server.engine(), users, 3);
    let mut till = connect(&server).await;
    let refusal = Fault::Error(33_557_097, "SET TRANSACTION ISOLATION failed".into());
    server.faults().arm(When::Text("level snapshot".into()), refusal.clone(), 1);
    assert!(!till.begin().await.unwrap());
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 3);
    till.end().await.unwrap();

    // The level that cannot be taken back is left behind with its connection.
    assert!(till.begin().await.unwrap());
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 3);
    server.faults().arm(When::Text("level read committed".into()), refusal, 1);
    till.end().await.unwrap();
    assert_eq!(read(&mut till, users, KeyRange::ALL).await.unwrap().num_rows(), 3);
}

#[tokio::test]
async fn settings_that_are_only_good_to_have_may_be_refused() {
    let tables = tables();
    let server = start(&tables, EngineOptions::default()).await;
    let refusal = Fault::Error(33_557_097, "'DEADLOCK_PRIORITY' is not currently supported in Babelfish.".into());
    server.faults().arm(When::Text("deadlock_priority".into()), refusal.clone(), 1);
    server.faults().arm(When::Text("dateformat".into()), refusal.clone(), 1);
    let mut till = connect(&server).await;
    assert!(till.describe().await.is_ok());
    server.faults().arm(When::Text("lock_timeout".into()), refusal, 1);
    assert!(SqlServer::connect(&till::config(&server)).await.is_err());
}

#[tokio::test]
async fn the_trade_mark_moves_with_the_trade() {
    let server = start(&tables(), EngineOptions::default()).await;
    let connection = server.engine().connection().unwrap();
    let mut till = connect(&server).await;
    let empty = till.trade_mark().await.unwrap();
    fixture::load_queries_fixture(&connection).unwrap();
    let before = till.trade_mark().await.unwrap();
    assert_ne!(empty, before);
    assert_eq!(till.trade_mark().await.unwrap(), before);
    for change in [
        "UPDATE dbo.\"Tickets\" SET \"IsClosed\" = true WHERE \"Id\" = 4",
        "UPDATE dbo.\"Tickets\" SET \"TotalAmount\" = \"TotalAmount\" + 0.01 WHERE \"Id\" = 1",
        "UPDATE dbo.\"Tickets\" SET \"LastUpdateTime\" = TIMESTAMP '2026-03-09 00:00:00' WHERE \"Id\" = 1",
        "DELETE FROM dbo.\"Tickets\" WHERE \"Id\" = 2",
    ] {
        let mark = till.trade_mark().await.unwrap();
        connection.execute_batch(change).unwrap();
        assert_ne!(till.trade_mark().await.unwrap(), mark, "{change}");
    }
}

#[tokio::test]
async fn a_till_without_tickets_has_a_constant_mark() {
    let tables = schema::parse("CREATE TABLE [dbo].[Other] ([Id] int NOT NULL, PRIMARY KEY ([Id]))").unwrap();
    let server = start(&tables, EngineOptions::default()).await;
    let mut till = connect(&server).await;
    assert_eq!(till.trade_mark().await.unwrap(), till.trade_mark().await.unwrap());
}

async fn fixture_till() -> tillvault::demo::Server {
    let server = start(&tables(), EngineOptions::default()).await;
    fixture::load_queries_fixture(&server.engine().connection().unwrap()).unwrap();
    server
}

fn request(categories: &[&str], excluded: &[&str]) -> TopSellers {
    TopSellers {
        from: date(2026, 3, 1),
        to: date(2026, 3, 2),
        categories: categories.iter().map(|name| (*name).to_owned()).collect(),
        limit: 10,
        excluded_groups: excluded.iter().map(|name| (*name).to_owned()).collect(),
        by: RankBy::Quantity,
    }
}

fn sold(category: &str, item_name: &str, quantity: &str, revenue: &str) -> SoldGroup {
    let decimal = |text: &str| text.parse().unwrap();
    SoldGroup {
        category: category.into(),
        item_name: item_name.into(),
        quantity: decimal(quantity),
        revenue: decimal(revenue),
    }
}

fn sorted(mut groups: Vec<SoldGroup>) -> Vec<SoldGroup> {
    groups.sort_by(|a, b| (&a.category, &a.item_name).cmp(&(&b.category, &b.item_name)));
    groups
}

#[tokio::test]
async fn categories_are_scanned_from_raw_text() {
    if is_for_one_reader_only() {
        return;
    }
    let server = fixture_till().await;
    let mut till = connect(&server).await;
    let mut found = till.categories().await.unwrap();
    found.sort();
    assert_eq!(found, ["Desserts", "Mains", "Sharing\\/Platters", "Starters", "Y"]);
}

#[tokio::test]
async fn sold_lines_are_grouped_as_the_site_s_own_queries_do() {
    if is_for_one_reader_only() {
        return;
    }
    let server = fixture_till().await;
    let mut till = connect(&server).await;
    let all = request(&["Starters", "Mains", "Desserts"], &[]);
    let expected = [
        sold("Desserts", "Sticky Toffee Pudding", "2", "14"),
        sold("Mains", "Fish Pie", "3.02", "49.665"),
        sold("Mains", "Rib-Eye", "1", "23"),
        sold("Mains", "Ribeye Steak", "3", "72"),
        sold("Mains", "Staff Curry", "3", "12"),
        sold("Starters", "Soup of the Day", "1", "6.5"),
    ];
    assert_eq!(sorted(till.sold_groups(&all).await.unwrap()), expected);

    let without_staff = request(&["Starters", "Mains", "Desserts"], &["staff"]);
    let found = sorted(till.sold_groups(&without_staff).await.unwrap());
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|group| group.item_name != "Staff Curry"));

    // An item without a group is not excluded by any list.
    server
        .engine()
        .connection()
        .unwrap()
        .execute_batch("UPDATE dbo.\"MenuItems\" SET \"GroupCode\" = NULL WHERE \"Id\" = 6")
        .unwrap();
    assert_eq!(till.sold_groups(&without_staff).await.unwrap().len(), 6);

    assert_eq!(till.sold_groups(&request(&["Brunch"], &[])).await.unwrap(), []);
    assert_eq!(till.sold_groups(&request(&["mains "], &[])).await.unwrap().len(), 4);
    let platters = till.sold_groups(&request(&["Sharing\\/Platters"], &[])).await.unwrap();
    assert_eq!(platters, [sold("Sharing\\/Platters", "Mezze Board", "1", "18")]);
}

#[tokio::test]
async fn no_categories_ask_nothing() {
    if is_for_one_reader_only() {
        return;
    }
    let server = fixture_till().await;
    let mut till = connect(&server).await;
    server.faults().take_statements();
    assert_eq!(till.sold_groups(&request(&[], &["Staff"])).await.unwrap(), []);
    assert_eq!(server.faults().take_statements(), Vec::<String>::new());
}

#[tokio::test]
async fn spellings_of_one_category_are_one_group() {
    if is_for_one_reader_only() {
        return;
    }
    let server = fixture_till().await;
    server
        .engine()
        .connection()
        .unwrap()
        .execute_batch(
            "UPDATE dbo.\"MenuItems\" SET \"CustomTags\" = replace(\"CustomTags\", 'Mains', 'MAINS') WHERE \"Id\" = 3",
        )
        .unwrap();
    let mut till = connect(&server).await;
    let found = sorted(till.sold_groups(&request(&["Mains"], &[])).await.unwrap());
    let names: Vec<&str> = found.iter().map(|group| group.item_name.as_str()).collect();
    assert_eq!(names, ["Fish Pie", "Rib-Eye", "Ribeye Steak", "Staff Curry"]);
}

/// The probe's known answer is worked out from SQL Server's rules; a till that follows them is trusted with checksums.
#[tokio::test]
async fn a_till_that_digests_as_sql_server_is_asked_for_checksums() {
    let server = start(&tables(), EngineOptions::default()).await;
    fixture::load_queries_fixture(&server.engine().connection().unwrap()).unwrap();
    let mut till = connect(&server).await;
    till.prepare_sums().await.unwrap();
    let all = till.tables(&TableSelection::default()).await.unwrap();
    let sums = till.sums(find(&all, "Orders"), 512).await.unwrap();
    let Sums::Table(sums) = sums else { panic!("{sums:?}") };
    assert_eq!(sums.checksums, "BINARY_CHECKSUM, MD5");
    assert_eq!(sums.groups.iter().map(|group| group.rows).sum::<u64>(), 20);
}
