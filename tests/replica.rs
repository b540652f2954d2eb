//! The replica against a real PostgreSQL: loads, clears, reopened tickets, moved lines, failures.
//!
//! All tests share one private cluster, each in a schema of its own; so several processes use it at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod replica_support;

use replica_support::{Till, count, decimal, replica, silent, text};
use rust_decimal::Decimal;
use tillvault::{Kind, demo::trade::fixture, replica::Replica};

type Sold = (String, String, Decimal, Decimal);

/// Sold lines of a day range as the reports count them (DOMAIN §9.2): course, name, quantity, revenue.
async fn sold(replica: &Replica, from: &str, to: &str) -> Vec<Sold> {
    let rows = replica
        .client()
        .query(
            "SELECT m.kitchen_course, i.menu_item_name, sum(round(i.quantity, 2)), sum(i.total)
             FROM sambapos_ticket_items i
             JOIN sambapos_tickets t ON t.id = i.ticket_id
             JOIN sambapos_menu_items m ON m.kitchen_id = i.kitchen_id AND m.source_id = i.menu_item_id
             WHERE t.is_closed AND t.row_state <> 'deleted' AND NOT i.is_void AND m.kitchen_course IS NOT NULL
               AND t.ticket_date >= $1::text::date AND t.ticket_date < $2::text::date + 1
             GROUP BY 1, 2 ORDER BY 1, 2",
            &[&from, &to],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn row(course: &str, name: &str, quantity: &str, revenue: &str) -> Sold {
    (course.to_owned(), name.to_owned(), quantity.parse().unwrap(), revenue.parse().unwrap())
}

#[tokio::test]
async fn the_report_examples_load_exactly() {
    let till = Till::with_examples();
    let mut replica = replica("the_report_examples").await;
    let outcome = replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (7, 0, 0, 0));
    // Menu item 11 holds text that is no JSON.
    assert_eq!((outcome.notes.len(), outcome.warnings.len()), (1, 0), "{outcome:?}");
    assert!(outcome.notes[0].contains("MenuItems.CustomTags"));
    assert_eq!(
        sold(&replica, "2026-03-01", "2026-03-02").await,
        [
            row("Desserts", "Sticky Toffee Pudding", "2", "14"),
            row("Mains", "Fish Pie", "3.02", "49.665"),
            row("Mains", "Rib-Eye", "1", "23"),
            row("Mains", "Ribeye Steak", "3", "72"),
            row("Mains", "Staff Curry", "3", "12"),
            row("Sharing\\/Platters", "Mezze Board", "1", "18"),
            row("Starters", "Soup of the Day", "1", "6.50"),
        ]
    );
    let expected = [
        (
            "SELECT string_agg(DISTINCT kitchen_course, ',' ORDER BY kitchen_course) FROM sambapos_menu_items",
            "Desserts,Mains,Sharing\\/Platters,Starters,Y",
        ),
        ("SELECT string_agg(DISTINCT gl_code, ',' ORDER BY gl_code) FROM sambapos_menu_items", "2101,3101,3102"),
        (
            "SELECT string_agg(source_id::text, ',' ORDER BY source_id) FROM sambapos_menu_items WHERE on_pos_menu",
            "1,2,4,5",
        ),
        // Covers: 2 from the tag of ticket 1; "four" and no tag are none.
        ("SELECT string_agg(source_id || ':' || covers, ',') FROM sambapos_tickets", "1:2"),
        ("SELECT string_agg(table_name, ',' ORDER BY source_id) FROM sambapos_tickets", "T5,T7,T1,T2,Terrace 1,T5,T9"),
        (
            "SELECT string_agg(account_name, ',' ORDER BY source_id) FROM sambapos_tickets WHERE has_room",
            "Room 12,Room 3",
        ),
        ("SELECT string_agg(source_id::text, ',' ORDER BY source_id) FROM sambapos_ticket_items WHERE is_void", "3,14"),
        ("SELECT string_agg(source_id::text, ',' ORDER BY source_id) FROM sambapos_ticket_items WHERE is_gift", "7"),
        // Voids and gifts are worth nothing on the bill, whatever the reports count.
        ("SELECT sum(line_value)::text FROM sambapos_ticket_items WHERE source_id IN (3, 7)", "0.00000"),
        // Columns with a place of their own are not copied to raw_data, others are.
        (
            "SELECT count(*)::text FROM sambapos_tickets WHERE raw_data ? 'TicketVersion' AND NOT raw_data ? 'TicketNumber'",
            "7",
        ),
        (
            "SELECT concat_ws(' ', kind, ticket_count, table_counts ->> 'Orders', period_start, archive_path) FROM sambapos_archives",
            "nightly 7 20 2026-02-28 snapshots/000001.json.zst",
        ),
        (
            "SELECT concat_ws(' ', last_sync_status, last_transaction_date, records_synced_total) FROM sambapos_replication_settings",
            "success 2026-03-03 01:00:00 7",
        ),
    ];
    for (sql, answer) in expected {
        assert_eq!(text(&replica, sql).await, answer, "{sql}");
    }
    replica.close().await.unwrap();
}

#[tokio::test]
async fn the_sums_of_each_day_are_the_tills() {
    let till = Till::with_examples();
    let mut replica = replica("sums_of_each_day").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let live: String = till
        .conn
        .query_row(
            r#"SELECT string_agg(day || ' ' || revenue, ',' ORDER BY day) FROM (
                 SELECT t."Date"::DATE AS day, CAST(sum(CAST(o."Price" * o."Quantity" AS DECIMAL(18,5))) AS VARCHAR) AS revenue
                 FROM dbo."Orders" o JOIN dbo."Tickets" t ON t."Id" = o."TicketId" GROUP BY 1)"#,
            [],
            |row| row.get(0),
        )
        .unwrap();
    let loaded = "SELECT string_agg(day || ' ' || revenue, ',' ORDER BY day) FROM (
        SELECT t.ticket_date::date AS day, sum(i.total) AS revenue FROM sambapos_ticket_items i
        JOIN sambapos_tickets t ON t.id = i.ticket_id GROUP BY 1) days";
    assert_eq!(text(&replica, loaded).await, live);
    assert_eq!(live.matches(' ').count(), 4, "{live}");
    replica.close().await.unwrap();
}

/// Puts ticket 1 of before the clear back, under other Ids.
fn restore(till: &Till, uids: bool) {
    let backup = Till::with_examples();
    fixture::keep_only_ticket(&backup.conn, 1).unwrap();
    if !uids {
        fixture::forget_uids(&backup.conn).unwrap();
    }
    backup.run(
        r#"UPDATE dbo."Tickets" SET "Id" = 500; UPDATE dbo."Orders" SET "Id" = "Id" + 900, "TicketId" = 500;
           UPDATE dbo."TicketEntities" SET "Ticket_Id" = 500;"#,
    );
    for table in ["Tickets", "Orders", "TicketEntities"] {
        let file = till.root().join(format!("backup-{table}.parquet"));
        backup.run(&format!("COPY dbo.\"{table}\" TO '{}' (FORMAT parquet)", file.display()));
        till.run(&format!("DELETE FROM dbo.\"{table}\"; INSERT INTO dbo.\"{table}\" FROM '{}'", file.display()));
    }
}

/// QUERIES Q9: what happens to a report when the till is cleared, and when a backup is restored.
async fn clear(schema: &str, uids: bool, after: fixture::AfterClear, epoch: u32) {
    let till = Till::with_examples();
    fixture::keep_only_ticket(&till.conn, 1).unwrap();
    if !uids {
        fixture::forget_uids(&till.conn).unwrap();
    }
    let mut replica = replica(schema).await;
    let a = till.snapshot(1, 1);
    replica.load(till.root(), &a, &silent()).await.unwrap();
    let before = sold(&replica, "2026-03-01", "2026-03-01").await;
    assert_eq!(before, [row("Mains", "Ribeye Steak", "1", "28"), row("Starters", "Soup of the Day", "2", "13")]);
    fixture::clear_and_trade_on(&till.conn, after).unwrap();
    let b = till.snapshot(2, epoch);
    let outcome = replica.load(till.root(), &b, &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (1, 0, 1, 0));
    let pies = row("Mains", "Fish Pie", "2", "33");
    let mut both = before.clone();
    both.insert(0, pies.clone());
    assert_eq!(sold(&replica, "2026-03-01", "2026-03-01").await, before);
    assert_eq!(sold(&replica, "2026-03-08", "2026-03-08").await, [pies]);
    assert_eq!(sold(&replica, "2026-03-01", "2026-03-08").await, both);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_tickets").await, 2);
    let states = "SELECT string_agg(row_state || ' ' || n, ', ' ORDER BY row_state)
                  FROM (SELECT row_state, count(*) AS n FROM sambapos_ticket_items GROUP BY 1) x";
    assert_eq!(text(&replica, states).await, "cleared 4, live 1");
    // The old snapshot again changes nothing.
    let again = replica.load(till.root(), &a, &silent()).await.unwrap();
    assert_eq!((again.snapshot, again.inserted, again.updated, again.cleared, again.deleted), (1, 0, 0, 0, 0));
    assert_eq!(sold(&replica, "2026-03-01", "2026-03-08").await, both);
    // A restored backup: the old ticket under other Ids is the old ticket, live again; the later one stays in reports.
    restore(&till, uids);
    let c = till.snapshot(3, epoch + 1);
    let outcome = replica.load(till.root(), &c, &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (0, 1, 1, 0));
    assert_eq!(sold(&replica, "2026-03-01", "2026-03-08").await, both);
    assert_eq!(
        text(&replica, "SELECT string_agg(source_id::text, ',') FROM sambapos_tickets WHERE row_state = 'live'").await,
        "500"
    );
    assert_eq!(text(&replica, states).await, "cleared 1, live 4");
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_clear_with_restarted_ids_keeps_both_tickets() {
    clear("clear_restarted", true, fixture::AfterClear::RESTARTED, 2).await;
}

#[tokio::test]
async fn a_clear_without_uids_keeps_both_tickets() {
    clear("clear_without_uids", false, fixture::AfterClear::RESTARTED_WITHOUT_UIDS, 2).await;
}

#[tokio::test]
async fn a_clear_without_restarted_ids_keeps_both_tickets() {
    clear("clear_continued", true, fixture::AfterClear::CONTINUED, 2).await;
}

#[tokio::test]
async fn a_clear_nobody_noticed_keeps_both_tickets() {
    clear("clear_unnoticed", true, fixture::AfterClear::RESTARTED, 1).await;
}

#[tokio::test]
async fn a_reopened_ticket_is_replaced_as_a_whole() {
    let till = Till::with_examples();
    let mut replica = replica("reopened_ticket").await;
    let steak = |rows: Vec<Sold>| rows.into_iter().find(|row| row.1 == "Ribeye Steak");
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    fixture::reopen_ticket_1(&till.conn).unwrap();
    let outcome = replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.warnings.len()), (0, 1, 0), "{outcome:?}");
    assert_eq!(steak(sold(&replica, "2026-03-01", "2026-03-01").await), Some(row("Mains", "Ribeye Steak", "2", "44")));
    fixture::close_ticket_1_with_another_steak(&till.conn).unwrap();
    let outcome = replica.load(till.root(), &till.snapshot(3, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated), (0, 1));
    assert_eq!(steak(sold(&replica, "2026-03-01", "2026-03-01").await), Some(row("Mains", "Ribeye Steak", "4", "100")));
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_ticket_items").await, 20);
    // Untouched tickets were not written again.
    let writers = "SELECT count(DISTINCT last_archive_id) FROM sambapos_tickets WHERE source_id <> 1";
    assert_eq!(count(&replica, writers).await, 1);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_moved_line_is_on_its_new_ticket_only() {
    let till = Till::with_examples();
    let mut replica = replica("moved_line").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let before = sold(&replica, "2026-03-01", "2026-03-02").await;
    fixture::move_order_5(&till.conn).unwrap();
    let outcome = replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (0, 2, 0, 0));
    assert_eq!(sold(&replica, "2026-03-01", "2026-03-02").await, before);
    let place = "SELECT string_agg(source_ticket_id || '/' || source_id, ' ') FROM sambapos_ticket_items WHERE order_uid LIKE 'Order0005%'";
    assert_eq!(text(&replica, place).await, "3/40");
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_single_ticket_that_vanishes_is_kept_as_deleted() {
    let till = Till::with_examples();
    let mut replica = replica("single_deletion").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    till.run(
        r#"DELETE FROM dbo."Orders" WHERE "TicketId" = 2; DELETE FROM dbo."TicketEntities" WHERE "Ticket_Id" = 2;
           DELETE FROM dbo."Tickets" WHERE "Id" = 2"#,
    );
    let outcome = replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (0, 0, 0, 1));
    assert!(outcome.warnings[0].contains("deleted"), "{:?}", outcome.warnings);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_ticket_items WHERE row_state = 'deleted'").await, 5);
    let last_seen = "SELECT snapshot_id FROM sambapos_tickets t JOIN sambapos_archives a ON a.id = t.last_archive_id WHERE row_state = 'deleted'";
    assert_eq!(count(&replica, last_seen).await, 1);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_or_failed_read_is_no_clear() {
    let till = Till::with_examples();
    let mut replica = replica("empty_read").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let mut lacking = till.snapshot(2, 1);
    lacking.tables.retain(|entry| entry.table.name.name != "Orders");
    let outcome = replica.load(till.root(), &lacking, &silent()).await.unwrap();
    assert!(outcome.warnings.iter().any(|warning| warning.contains("lacks table Orders")), "{:?}", outcome.warnings);
    till.run(
        r#"DELETE FROM dbo."Orders"; DELETE FROM dbo."TicketEntities"; DELETE FROM dbo."Tickets";
           DELETE FROM dbo."MenuItemPortions"; DELETE FROM dbo."MenuItems""#,
    );
    let outcome = replica.load(till.root(), &till.snapshot(3, 2), &silent()).await.unwrap();
    assert_eq!((outcome.updated, outcome.cleared, outcome.deleted), (0, 0, 0));
    assert!(outcome.warnings.iter().any(|warning| warning.contains("empty menu")), "{:?}", outcome.warnings);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_tickets WHERE row_state = 'live'").await, 7);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_ticket_items WHERE row_state = 'live'").await, 20);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_menu_items WHERE is_active").await, 12);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_hidden_takes_nothing_from_the_tickets() {
    let till = Till::with_examples();
    let mut replica = replica("hidden_table").await;
    let with_entities = "SELECT count(*) FROM sambapos_tickets WHERE entities <> '[]'";
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let before = count(&replica, with_entities).await;
    assert!(before > 0);
    // For the second snapshot the one before is no help any more.
    for number in [2, 3] {
        let hidden = till.snapshot_without(number, 1, &["TicketEntities"]);
        let outcome = replica.load(till.root(), &hidden, &silent()).await.unwrap();
        assert_eq!((outcome.updated, outcome.deleted), (0, 0));
        assert!(outcome.warnings.iter().any(|w| w.contains("lacks table TicketEntities")), "{:?}", outcome.warnings);
        assert_eq!(count(&replica, with_entities).await, before);
    }
    let outcome = replica.load(till.root(), &till.snapshot(4, 1), &silent()).await.unwrap();
    assert_eq!((outcome.updated, outcome.warnings.len()), (0, 0), "{outcome:?}");
    replica.close().await.unwrap();
}

#[tokio::test]
async fn snapshots_are_loaded_once_and_never_backwards() {
    let till = Till::with_examples();
    let mut replica = replica("once").await;
    assert_eq!(replica.loaded_through().await.unwrap(), None);
    let (first, second) = (till.snapshot(4, 1), till.snapshot(6, 1));
    replica.load(till.root(), &first, &silent()).await.unwrap();
    assert_eq!(replica.loaded_through().await.unwrap(), Some(4));
    for snapshot in [&first, &till.snapshot(3, 1)] {
        let outcome = replica.load(till.root(), snapshot, &silent()).await.unwrap();
        assert_eq!((outcome.inserted, outcome.updated, outcome.cleared, outcome.deleted), (0, 0, 0, 0));
    }
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_archives").await, 1);
    let stamps = "SELECT string_agg(DISTINCT xmin::text, ',') FROM sambapos_ticket_items";
    let stamp = text(&replica, stamps).await;
    replica.load(till.root(), &second, &silent()).await.unwrap();
    assert_eq!(replica.loaded_through().await.unwrap(), Some(6));
    assert_eq!(text(&replica, stamps).await, stamp, "unchanged rows were written again");
    // Another archive's snapshots do not mix with these.
    let mut foreign = till.snapshot(7, 1);
    foreign.archive = "another".into();
    let failure = replica.load(till.root(), &foreign, &silent()).await.unwrap_err();
    assert!(failure.message().contains("another archive"), "{failure}");
    let noted = "SELECT concat_ws(' ', last_sync_status, last_error_message) FROM sambapos_replication_settings";
    assert!(text(&replica, noted).await.starts_with("failed the replica was loaded from another archive"));
    // Built anew, the rows are the same.
    let picture = "SELECT md5(string_agg(concat_ws('|', natural_key, content_hash, row_state, source_id), ',' ORDER BY natural_key)) FROM sambapos_ticket_items";
    let before = text(&replica, picture).await;
    replica.reset().await.unwrap();
    assert_eq!(replica.loaded_through().await.unwrap(), None);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_tickets").await, 0);
    replica.load(till.root(), &first, &silent()).await.unwrap();
    replica.load(till.root(), &second, &silent()).await.unwrap();
    assert_eq!(text(&replica, picture).await, before);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_load_that_is_killed_leaves_nothing_behind() {
    let till = Till::with_examples();
    let mut replica = replica("killed").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    fixture::clear_and_trade_on(&till.conn, fixture::AfterClear::RESTARTED).unwrap();
    let (root, second) = (till.root().to_owned(), till.snapshot(2, 2));
    // Another session holds the load up just before its end; then the load's server process is ended.
    let blocker = replica_support::open("killed").await;
    blocker.client().batch_execute("BEGIN; LOCK TABLE sambapos_accounts IN EXCLUSIVE MODE").await.unwrap();
    let pid: i32 = replica.client().query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let loading = {
        let (root, second) = (root.clone(), second.clone());
        tokio::spawn(async move { replica.load(&root, &second, &silent()).await.map(|_| ()) })
    };
    let waiting = format!("SELECT count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted");
    while count(&blocker, &waiting).await == 0 {
        assert!(!loading.is_finished(), "the load was not held up");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    blocker.client().execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let failure = loading.await.unwrap().unwrap_err();
    assert_eq!((failure.kind(), failure.is_temporary()), (Kind::Replica, true), "{failure:?}");
    blocker.client().batch_execute("COMMIT").await.unwrap();
    let mut replica = blocker;
    assert_eq!(replica.loaded_through().await.unwrap(), Some(1));
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_tickets WHERE row_state = 'live'").await, 7);
    let outcome = replica.load(&root, &second, &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.cleared), (1, 7));
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_chunk_is_named_and_nothing_is_loaded() {
    let till = Till::with_examples();
    let snapshot = till.snapshot(1, 1);
    let file = till.root().join("tables/Orders").join(snapshot.table("Orders").unwrap().chunks[0].file_name());
    std::fs::write(&file, b"PAR1 but no more").unwrap();
    let mut replica = replica("damaged").await;
    let failure = replica.load(till.root(), &snapshot, &silent()).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Damage, "{failure:?}");
    assert!(failure.message().contains("Orders"), "{failure}");
    std::fs::remove_file(&file).unwrap();
    let failure = replica.load(till.root(), &snapshot, &silent()).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Damage, "{failure:?}");
    assert!(failure.message().contains(&file.display().to_string()), "{failure}");
    assert_eq!(replica.loaded_through().await.unwrap(), None);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn thousands_of_tickets_and_then_one_change() {
    let till = Till::new(duckdb::Connection::open_in_memory().unwrap());
    till.run(
        r#"INSERT INTO dbo."MenuItems" ("Id", "Name", "ItemType") VALUES (1, 'Tea', 0);
           INSERT INTO dbo."Tickets" ("Id", "TicketUid", "TicketNumber", "Date", "LastOrderDate", "LastPaymentDate",
             "LastUpdateTime", "TicketVersion", "PreOrder", "IsClosed", "IsLocked", "IsOpened", "RemainingAmount", "TotalAmount",
             "TotalAmountPreTax", "DepartmentId", "TerminalId", "TicketTypeId", "ExchangeRate", "TaxIncluded")
           SELECT i, 'uid' || i, i::VARCHAR, d, d, d, d, d, false, true, false, false, 0, 7.77, 0, 0, 0, 0, 0, false
           FROM (SELECT i, TIMESTAMP '2026-01-01' + to_minutes(i::INTEGER) AS d FROM range(1, 3001) r(i));
           INSERT INTO dbo."Orders" ("Id", "TicketId", "MenuItemId", "MenuItemName", "Price", "Quantity", "CreatedDateTime",
             "LastUpdateDateTime", "OrderUid", "CalculatePrice", "DecreaseInventory", "IncreaseInventory", "WarehouseId",
             "DepartmentId", "TerminalId", "PortionCount", "Locked", "OrderNumber", "AccountTransactionTypeId", "DisablePortionSelection")
           SELECT i, 1 + (i - 1) // 3, 1, 'Tea', 2.59, 1.001, TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'o' || i, true,
             true, false, 0, 0, 0, 1, false, 0, 0, false FROM range(1, 9001) r(i);"#,
    );
    let mut replica = replica("thousands").await;
    let outcome = replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    assert_eq!(outcome.inserted, 3000);
    let sum = "SELECT sum(total) FROM sambapos_ticket_items";
    assert_eq!(decimal(&replica, sum).await, "23333.31".parse().unwrap());
    till.run(r#"UPDATE dbo."Orders" SET "Quantity" = 2 WHERE "Id" = 8999"#);
    let outcome = replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.updated), (0, 1));
    assert_eq!(decimal(&replica, sum).await, "23335.89741".parse().unwrap());
    replica.close().await.unwrap();
}
