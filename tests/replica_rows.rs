//! What the rows of the replica hold: derived money, the catalog, odd text, tills that lack columns.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod replica_support;

use replica_support::{Till, count, replica, silent, text};

#[tokio::test]
async fn the_catalog_follows_the_newest_snapshot() {
    let till = Till::with_examples();
    till.run(
        r#"INSERT INTO dbo."MenuItemPrices" ("Id", "MenuItemPortionId", "PriceTag", "Price")
             VALUES (1, 103, NULL, 28.00), (2, 102, 'VIP', 20.00), (3, 102, '', 22.00);
           INSERT INTO dbo."AccountTypes" ("Id", "DefaultFilterType", "WorkingRule", "SortOrder", "Name") VALUES (4, 0, 0, 0, 'Rooms');
           INSERT INTO dbo."Accounts" ("Id", "AccountTypeId", "ForeignCurrencyId", "Name")
             VALUES (11, 4, 0, 'Room 12 account'), (12, 4, 0, 'Idle');
           INSERT INTO dbo."Entities" ("Id", "EntityTypeId", "LastUpdateTime", "CustomData", "AccountId", "WarehouseId", "Name")
             VALUES (70, 3, TIMESTAMP '2026-01-01', '[{"Name":"Phone","Value":null}]', 11, 0, 'Room 12');
           INSERT INTO dbo."AccountTransactionValues" ("Id", "AccountTransactionId", "AccountTransactionDocumentId",
             "AccountTypeId", "AccountId", "Date", "Debit", "Credit", "Exchange")
             VALUES (1, 1, 1, 4, 11, TIMESTAMP '2026-03-01', 105.25, 0, 0), (2, 2, 1, 4, 11, TIMESTAMP '2026-03-02', 0, 5.20, 0);"#,
    );
    let mut replica = replica("catalog").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let price =
        "SELECT concat_ws(' ', price, portions #>> '{1,prices,0,price}') FROM sambapos_menu_items WHERE source_id = 2";
    assert_eq!(text(&replica, price).await, "22.00 28.00");
    let account = "SELECT concat_ws('|', account_name, account_type, account_number, balance, entity_type)
                   FROM sambapos_accounts WHERE source_id = 11";
    assert_eq!(text(&replica, account).await, "Room 12 account|Rooms|Room 12|100.05|Rooms");
    till.run(
        r#"DELETE FROM dbo."MenuItemPortions" WHERE "MenuItemId" = 9; DELETE FROM dbo."MenuItems" WHERE "Id" = 9;
           UPDATE dbo."MenuItems" SET "Name" = 'Cheese' WHERE "Id" = 10"#,
    );
    replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    let gone = "SELECT string_agg(source_id || row_state, ',') FROM sambapos_menu_items WHERE NOT is_active";
    assert_eq!(text(&replica, gone).await, "9deleted");
    assert_eq!(text(&replica, "SELECT item_name FROM sambapos_menu_items WHERE source_id = 10").await, "Cheese");
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_menu_items").await, 12);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn payments_and_transactions_are_derived() {
    let till = Till::with_examples();
    till.run(
        r#"UPDATE dbo."Tickets" SET "TotalAmount" = 36.50, "TaxIncluded" = true WHERE "Id" = 1;
           UPDATE dbo."Orders" SET "Taxes" = '[{"AC":false,"AT":5,"RN":0,"TN":"VAT 20","TR":20.00,"TT":1}]' WHERE "TicketId" = 1;
           UPDATE dbo."Orders" SET "OrderTags" = '[{"AP":true,"OI":7,"OK":"010020","PR":1.50,"Q":1,"TN":"Steak","TV":"Peppercorn","UI":3},{"TN":"Cooking","TV":"Rare","PR":9}]' WHERE "Id" = 2;
           UPDATE dbo."Orders" SET "Quantity" = -1 WHERE "Id" = 4;
           INSERT INTO dbo."Users" ("Id", "Name", "PinCode", "SevenShiftsEmployeeId") VALUES (3, 'Anna', '4711', 0);
           INSERT INTO dbo."PaymentTypes" ("Id", "SortOrder", "FontSize", "Name") VALUES (2, 0, 0, 'Card');
           INSERT INTO dbo."Accounts" ("Id", "AccountTypeId", "ForeignCurrencyId", "Name") VALUES (21, 5, 0, 'Card account'), (22, 6, 0, 'Receivable');
           INSERT INTO dbo."AccountTransactions" ("Id", "AccountTransactionDocumentId", "Amount", "ExchangeRate",
             "AccountTransactionTypeId", "SourceAccountTypeId", "TargetAccountTypeId", "IsReversed", "Reversable")
             VALUES (8, 1, 30, 1, 1, 6, 5, false, true);
           INSERT INTO dbo."AccountTransactionValues" ("Id", "AccountTransactionId", "AccountTransactionDocumentId",
             "AccountTypeId", "AccountId", "Date", "Debit", "Credit", "Exchange")
             VALUES (1, 8, 1, 6, 22, TIMESTAMP '2026-03-01', 0, 30, 0), (2, 8, 1, 5, 21, TIMESTAMP '2026-03-01', 30, 0, 0);
           INSERT INTO dbo."Payments" ("Id", "TicketId", "PaymentTypeId", "DepartmentId", "Name", "Date", "AccountTransactionId",
             "Amount", "TenderedAmount", "UserId", "TerminalId", "ExchangeRate", "AccountTransaction_Id",
             "AccountTransaction_AccountTransactionDocumentId", "PaymentData", "CanAdjustTip")
             VALUES (1, 1, 2, 0, 'Old name', TIMESTAMP '2026-03-01 13:40:00', 0, 30.00, 30.00, 3, 0, 1, 8, 1, 'pan=4111', false),
                    (2, 1, 9, 0, 'Voucher', TIMESTAMP '2026-03-01 13:40:00', 0, 5.00, 5.00, 3, 0, 1, NULL, NULL, NULL, false),
                    (3, 1, 9, 0, 'Voucher', TIMESTAMP '2026-03-01 13:40:00', 0, 5.00, 5.00, 3, 0, 1, NULL, NULL, NULL, false);
           INSERT INTO dbo."ChangePayments" ("Id", "TicketId", "ChangePaymentTypeId", "Name", "Date", "AccountTransactionId", "Amount", "UserId")
             VALUES (1, 1, 1, 'Cash back', TIMESTAMP '2026-03-01 13:40:00', 0, 3.50, 3);"#,
    );
    let mut replica = replica("payments").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let payments = "SELECT string_agg(concat_ws('|', kind, payment_type, amount, user_name, account_name, substr(natural_key, 26)),
                    E'\\n' ORDER BY kind DESC, source_id) FROM sambapos_payments";
    assert_eq!(
        text(&replica, payments).await,
        "payment|Card|30.00|Anna|Card account|p/2026-03-01T13:40:00.000|2|30.00\n\
         payment|Voucher|5.00|Anna|p/2026-03-01T13:40:00.000|9|5.00\n\
         payment|Voucher|5.00|Anna|p/2026-03-01T13:40:00.000|9|5.00#2\n\
         change|Cash back|-3.50|Anna|c/2026-03-01T13:40:00.000|1|3.50"
    );
    // Secrets do not enter the replica; other columns without a place of their own do.
    let secret = "SELECT count(*) FROM sambapos_payments WHERE raw_data::text LIKE '%4111%'";
    assert_eq!(count(&replica, secret).await, 0);
    let raw = "SELECT count(*) FROM sambapos_payments WHERE raw_data ? 'DepartmentId'";
    assert_eq!(count(&replica, raw).await, 3);
    // Steak 28 + 1.50 sauce; a tag without a quantity counts for nothing.
    assert_eq!(
        text(&replica, "SELECT line_value::text FROM sambapos_ticket_items WHERE source_id = 2").await,
        "29.50000"
    );
    // Refund: the wine, -5.25. Void: the steak, 22. Sale: the rest of 36.50.
    // Tax of soup 13, steak 29.50 and wine -5.25, 20 % included: 37.25 / 6 = 6.2083.
    let transactions =
        "SELECT string_agg(concat_ws('|', transaction_type, amount_total, coalesce(amount_tax::text, '-'), amount_net),
                        ' ' ORDER BY transaction_type) FROM sambapos_transactions WHERE source_ticket_id = 1";
    assert_eq!(text(&replica, transactions).await, "Refund|-5.25|-|-5.25 Sale|41.75|6.21|35.54 Void|22.00|-|22.00");
    let gift =
        "SELECT raw_data::text FROM sambapos_transactions WHERE source_ticket_id = 2 AND transaction_type = 'Sale'";
    assert_eq!(text(&replica, gift).await, "{\"gift_value\": 14.00000}");
    // Sale + Refund is the total of every closed ticket; the open one has no rows.
    let uneven = "SELECT count(*) FROM sambapos_tickets t WHERE is_closed AND total_amount <> coalesce((
                    SELECT sum(amount_total) FROM sambapos_transactions x
                    WHERE x.ticket_id = t.id AND transaction_type <> 'Void'), 0)";
    assert_eq!(count(&replica, uneven).await, 0);
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_transactions WHERE source_ticket_id = 4").await, 0);
    replica.close().await.unwrap();
}

#[tokio::test]
async fn tax_follows_discounts_and_rounding() {
    let till = Till::with_examples();
    let steak = |taxes: &str| {
        till.run(&format!(
            r#"UPDATE dbo."Orders" SET "Taxes" = '{taxes}', "Quantity" = 3, "Price" = 9.99 WHERE "TicketId" IN (6, 7);
               UPDATE dbo."Tickets" SET "TotalAmount" = 26.97, "TaxIncluded" = ("Id" = 6) WHERE "Id" IN (6, 7);"#
        ));
    };
    // 10 % off before tax, entered as a calculation; a service charge after tax changes no tax.
    till.run(
        r#"INSERT INTO dbo."Calculations" ("Id", "TicketId", "Name", "Order", "CalculationTypeId", "AccountTransactionTypeId",
             "CalculationType", "IncludeTax", "DecreaseAmount", "UsePlainSum", "Amount", "CalculationAmount")
           VALUES (1, 6, 'Discount', 1, 1, 1, 0, false, true, false, 10, -3.00), (2, 7, 'Service', 1, 2, 1, 0, true, false, false, 10, 3.00);"#,
    );
    let mut replica = replica("tax").await;
    let tax = "SELECT string_agg(source_ticket_id || ':' || amount_tax, ' ' ORDER BY source_ticket_id)
               FROM sambapos_transactions WHERE source_ticket_id IN (6, 7) AND transaction_type = 'Sale'";
    steak(r#"[{"TN":"VAT 20","TR":20.00},{"TN":"City","TR":"5"}]"#);
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    // 6: (29.97 - 3.00) * 25 / 125 = 5.394. 7: 29.97 * 25 / 100 = 7.4925.
    assert_eq!(text(&replica, tax).await, "6:5.39 7:7.49");
    steak(r#"[{"TN":"VAT 20","TR":20.00,"RN":2}]"#);
    replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    // 6: per unit 9.99 * 26.97 / 29.97 * 20 / 120 = 1.4983 rounds to 1.50, times 3. 7: not rounded, 29.97 * 0.2 = 5.994.
    assert_eq!(text(&replica, tax).await, "6:4.50 7:5.99");
    let calculations = "SELECT calculations #>> '{0,calculation_amount}' FROM sambapos_tickets WHERE source_id = 6";
    assert_eq!(text(&replica, calculations).await, "-3.00");
    replica.close().await.unwrap();
}

#[tokio::test]
async fn odd_text_is_kept_and_counted() {
    let till = Till::with_examples();
    let set = |id: i32, column: &str, value: &str| {
        till.conn.execute(&format!(r#"UPDATE dbo."Orders" SET "{column}" = ? WHERE "Id" = {id}"#), [value]).unwrap();
    };
    set(1, "MenuItemName", "Soup\0of the day");
    set(2, "OrderStates", "[{\"S\":\"Void\",\"SV\":\"two\nlines\"}]");
    set(4, "OrderStates", "Void, but no JSON");
    set(5, "OrderTags", "[{\"TN\":\"x\",\"TV\":\"nul \\u0000 here\"}]");
    set(6, "Taxes", "[{\"TR\":");
    set(7, "OrderTags", "{\"TN\":\"an object\"}");
    set(10, "OrderTags", "[{\"PR\":1,");
    set(8, "PortionName", &"x".repeat(5000));
    set(8, "OrderUid", "");
    set(19, "OrderStates", "[{\"S\":\"Voided\"}]");
    till.run(
        r#"UPDATE dbo."Orders" SET "Price" = 12345678901234.56, "Quantity" = 9876543210987.654 WHERE "Id" = 9;
           UPDATE dbo."Orders" SET "OrderUid" = 'same' WHERE "Id" IN (10, 11);
           UPDATE dbo."Tickets" SET "TicketUid" = 'twin' WHERE "Id" IN (5, 6);
           UPDATE dbo."Tickets" SET "TicketTags" = '[{"TN":"covers","TV":"9"},{"TN":"Covers","TV":" 4 "}]' WHERE "Id" = 2;
           UPDATE dbo."Tickets" SET "TicketTags" = '{"TN":"Covers","TV":"3"}' WHERE "Id" = 3;
           UPDATE dbo."Tickets" SET "TicketTags" = '[{"TN":"Covers","TV":4.7}]' WHERE "Id" = 4;
           UPDATE dbo."Tickets" SET "TicketTags" = 'four', "TicketStates" = '[{"SN":', "TicketLogs" = '[,]' WHERE "Id" = 7;
           INSERT INTO dbo."TicketEntities" ("Id", "Ticket_Id", "EntityTypeId", "EntityName", "EntityId", "AccountId", "AccountTypeId", "EntityCustomData")
             VALUES (90, NULL, 2, 'Orphan', 0, 0, 0, NULL), (91, 7, 1, 'Guest', 0, 0, 0, 'no JSON');"#,
    );
    let mut replica = replica("odd_text").await;
    let outcome = replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let noted = outcome.notes.join("\n");
    for column in [
        "Orders.OrderStates",
        "Orders.OrderTags",
        "Orders.Taxes",
        "Tickets.TicketTags",
        "Tickets.TicketStates",
        "Tickets.TicketLogs",
        "TicketEntities.EntityCustomData",
        "MenuItems.CustomTags",
    ] {
        assert!(noted.contains(&format!("{column}: 1 ")), "{column} in {noted}");
    }
    assert!(outcome.warnings.join("\n").contains("no total"), "{outcome:?}");
    let line = |what: &str, id: i32| format!("SELECT {what} FROM sambapos_ticket_items WHERE source_id = {id}");
    for (sql, answer) in [
        (line("menu_item_name", 1), "Soup\u{fffd}of the day"),
        (line("concat(is_void, order_states #>> '{0,SV}')", 2), "ttwo\nlines"),
        (line("concat(is_void, order_states, order_states_raw)", 4), "fVoid, but no JSON"),
        (line("order_tags #>> '{0,TV}'", 5), "nul \u{fffd} here"),
        (line("raw_data ->> 'Taxes'", 6), "[{\"TR\":"),
        (line("concat(order_tags ->> 'TN', line_value, tag_total)", 7), "an object0.000000.00000"),
        (line("concat(total, quantity)", 9), "9876543210987.654"),
        (line("concat(is_void)", 19), "f"),
        // Covers by the rule: exact name, blanks allowed, a number cut off at the point; an object is no list.
        (
            "SELECT string_agg(source_id || ':' || covers, ' ' ORDER BY source_id) FROM sambapos_tickets".into(),
            "1:2 2:4 4:4",
        ),
        (
            "SELECT string_agg(natural_key, ' ' ORDER BY source_id) FROM sambapos_tickets WHERE ticket_uid = 'twin'".into(),
            "u:twin u:twin#2",
        ),
        (
            "SELECT string_agg(split_part(natural_key, '/o/', 2), ' ' ORDER BY source_id) FROM sambapos_ticket_items WHERE order_uid = 'same'".into(),
            "same same#2",
        ),
        ("SELECT concat(ticket_tags_raw, raw_data ->> 'TicketStates', raw_data ->> 'TicketLogs') FROM sambapos_tickets WHERE source_id = 7".into(), "four[{\"SN\":[,]"),
        ("SELECT customer_name FROM sambapos_tickets WHERE source_id = 7".into(), "Guest"),
        ("SELECT entities #>> '{1,custom_data_unread}' FROM sambapos_tickets WHERE source_id = 7".into(), "no JSON"),
        // A tax that cannot be read leaves the ticket's tax unknown.
        (
            "SELECT concat(amount_tax) FROM sambapos_transactions WHERE source_ticket_id = 2 AND transaction_type = 'Sale'".into(),
            "",
        ),
    ] {
        assert_eq!(text(&replica, &sql).await, answer, "{sql}");
    }
    replica.close().await.unwrap();
}

#[tokio::test]
async fn a_v3_till_lacks_tables_and_columns() {
    let till = Till::with_examples();
    till.run(
        r#"ALTER TABLE dbo."Tickets" DROP COLUMN "TicketUid"; ALTER TABLE dbo."Orders" DROP COLUMN "OrderUid";
           ALTER TABLE dbo."MenuItems" DROP COLUMN "CustomTags"; ALTER TABLE dbo."Tickets" ADD COLUMN "TicketUploaded" INTEGER;
           UPDATE dbo."Tickets" SET "TicketUploaded" = 1 WHERE "Id" = 3;"#,
    );
    let mut snapshot = till.snapshot_without(1, 1, &["ChangePayments", "Calculations", "ScreenMenus", "PaymentTypes"]);
    let tickets = snapshot.tables.iter_mut().find(|entry| entry.table.name.name == "Tickets").unwrap();
    let mut added = tickets.table.column("Id").unwrap().clone();
    (added.name, added.nullable, added.identity) = ("TicketUploaded".into(), true, false);
    tickets.table.columns.push(added);
    tickets.table.columns.retain(|column| column.name != "TicketUid");
    let mut replica = replica("v3_till").await;
    let outcome = replica.load(till.root(), &snapshot, &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.warnings.len()), (7, 0), "{outcome:?}");
    for (sql, answer) in [
        ("SELECT natural_key FROM sambapos_tickets WHERE source_id = 1", "f:1|2026-03-01T12:05:00.000"),
        (
            "SELECT natural_key FROM sambapos_ticket_items WHERE source_id = 10",
            "f:3|2026-03-01T23:50:00.000/o/2026-03-01T23:55:00.000|3|Normal|0#2",
        ),
        (
            "SELECT string_agg(source_id || '=' || (raw_data ->> 'TicketUploaded'), ' ') FROM sambapos_tickets WHERE raw_data ? 'TicketUploaded'",
            "3=1",
        ),
        ("SELECT count(*)::text FROM sambapos_menu_items WHERE kitchen_course IS NULL AND NOT on_pos_menu", "12"),
    ] {
        assert_eq!(text(&replica, sql).await, answer, "{sql}");
    }
    replica.close().await.unwrap();
}

#[tokio::test]
async fn types_that_change_between_snapshots_load_on() {
    let mut till = Till::with_examples();
    let mut replica = replica("changed_types").await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let sums = [
        "SELECT sum(total)::text FROM sambapos_ticket_items",
        "SELECT sum(total_amount)::text FROM sambapos_tickets",
        "SELECT sum(amount)::text FROM sambapos_payments",
        "SELECT count(*)::text FROM sambapos_menu_items",
    ];
    let mut before = Vec::new();
    for sum in sums {
        before.push(text(&replica, sum).await);
    }
    for (table, column, sql_type) in [
        ("Tickets", "Id", "bigint"),
        ("Tickets", "TotalAmount", "nvarchar(30)"),
        ("Tickets", "Date", "datetime2(7)"),
        ("Orders", "TicketId", "bigint"),
        ("Orders", "Price", "decimal(18,4)"),
        ("Orders", "MenuItemId", "nvarchar(20)"),
        ("Payments", "Amount", "money"),
        ("MenuItems", "Name", "nvarchar(400)"),
        ("MenuItems", "Id", "bigint"),
        ("Tickets", "IsClosed", "int"),
    ] {
        till.retype(table, column, sql_type);
    }
    till.run("UPDATE dbo.\"Tickets\" SET \"Note\" = 'changed' WHERE \"Id\" = 1");
    let outcome = replica.load(till.root(), &till.snapshot(2, 1), &silent()).await.unwrap();
    assert_eq!((outcome.inserted, outcome.cleared, outcome.deleted), (0, 0, 0), "{outcome:?}");
    for (sum, before) in sums.iter().zip(before) {
        assert_eq!(text(&replica, sum).await, before, "{sum}");
    }
    assert_eq!(text(&replica, "SELECT note FROM sambapos_tickets WHERE source_id = 1").await, "changed");

    // Text in the place of an amount: the load says which table and goes no further; what was loaded stays.
    till.run("UPDATE dbo.\"Tickets\" SET \"TotalAmount\" = 'much' WHERE \"Id\" = 1");
    let error = replica.load(till.root(), &till.snapshot(3, 1), &silent()).await.unwrap_err();
    assert!(error.message().contains("ickets"), "{error}: {:?}", std::error::Error::source(&error));
    assert_eq!(text(&replica, "SELECT note FROM sambapos_tickets WHERE source_id = 1").await, "changed");
}
