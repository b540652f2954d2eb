//! The simulated trade: same options give the same rows, and the rows obey the till's own rules (DOMAIN §2 to §8).

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::collections::BTreeMap;

use duckdb::Connection;
use jiff::civil::{Date, date};
use rust_decimal::Decimal;
use tillvault::{
    demo::{
        schema,
        trade::{Clear, Scope, Trade, TradeOptions},
    },
    model::{sql_type::SqlType, table::Table},
};

const FIRST: Date = date(2026, 3, 27);
const LAST: Date = date(2026, 12, 31);

fn options() -> TradeOptions {
    TradeOptions { seed: 7, tickets_per_day: 60, first_day: FIRST, uids: true }
}

fn open(options: TradeOptions) -> Trade {
    let conn = Connection::open_in_memory().unwrap();
    schema::create_tables(&conn, &schema::tables().unwrap()).unwrap();
    Trade::open(conn, options).unwrap()
}

fn traded(days: usize) -> Trade {
    let mut trade = open(options());
    for _ in 0..days {
        trade.trade_day().unwrap();
    }
    trade
}

fn one<T: duckdb::types::FromSql>(trade: &Trade, sql: &str) -> T {
    trade.connection().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn count(trade: &Trade, sql: &str) -> i64 {
    one(trade, &format!("SELECT count(*) FROM {sql}"))
}

fn rows(trade: &Trade, table: &str) -> i64 {
    count(trade, &format!("dbo.\"{table}\""))
}

/// Every row of every table as text, by table.
fn dump(trade: &Trade) -> BTreeMap<String, Vec<String>> {
    let mut dump = BTreeMap::new();
    for table in schema::tables().unwrap() {
        let sql = format!("SELECT CAST(t AS VARCHAR) FROM dbo.\"{}\" t", table.name);
        let mut statement = trade.connection().prepare(&sql).unwrap();
        let mut lines: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        lines.sort_unstable();
        dump.insert(table.name.name, lines);
    }
    dump
}

#[test]
fn equal_options_give_equal_rows_and_seeds_matter() {
    let first = dump(&traded(3));
    let second = dump(&traded(3));
    assert_eq!(first, second);
    assert!(first.values().filter(|lines| !lines.is_empty()).count() > 60);
    let mut other = open(TradeOptions { seed: 8, ..options() });
    other.trade_day().unwrap();
    assert_ne!(dump(&other)["Orders"], dump(&traded(1))["Orders"]);
}

#[test]
fn a_day_in_parts_is_the_same_day() {
    let mut parts = open(options());
    for day in 0..2 {
        for step in 0..20 {
            parts.open_day(f64::from(step) / 20.0).unwrap();
            if day == 1 && step == 14 {
                assert!(parts.open_tickets() > 3, "service has tables open");
                assert!(count(&parts, r#"dbo."WorkPeriods" WHERE "EndDate" = "StartDate""#) == 1);
            }
        }
        parts.trade_day().unwrap();
    }
    let (parts, whole) = (dump(&parts), dump(&traded(2)));
    for (table, lines) in &whole {
        // A rowversion counts the steps.
        if table != "Numerators" {
            assert_eq!(&parts[table], lines, "{table}");
        }
    }
}

#[test]
fn keys_are_unique_and_no_row_is_an_orphan() {
    let trade = traded(4);
    for table in schema::tables().unwrap() {
        assert_keys(&trade, &table);
    }
    assert!(rows(&trade, "Orders") > 800);
}

fn assert_keys(trade: &Trade, table: &Table) {
    let name = &table.name.name;
    if !table.key.is_empty() {
        let key = if table.column("Id").is_some() { "\"Id\"".to_owned() } else { quoted(&table.key) };
        let doubles = count(trade, &format!("(SELECT {key} FROM dbo.\"{name}\" GROUP BY ALL HAVING count(*) > 1)"));
        assert_eq!(doubles, 0, "{name}");
    }
    for key in &table.foreign_keys {
        let pairs = key.columns.iter().zip(&key.referenced_columns);
        let matched: Vec<_> = pairs.map(|(child, parent)| format!("p.\"{parent}\" = c.\"{child}\"")).collect();
        let present: Vec<_> = key.columns.iter().map(|column| format!("c.\"{column}\" IS NOT NULL")).collect();
        let orphans = count(
            trade,
            &format!(
                "dbo.\"{name}\" c WHERE {} AND NOT EXISTS (SELECT 1 FROM dbo.\"{}\" p WHERE {})",
                present.join(" AND "),
                key.references,
                matched.join(" AND ")
            ),
        );
        assert_eq!(orphans, 0, "{name}: {}", key.name);
    }
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

const REMAINING: &str = r#"
    SELECT t."Id", t."IsClosed", t."RemainingAmount" AS remaining,
           t."TotalAmount" - coalesce(p.paid, 0) + coalesce(c.back, 0) AS computed
    FROM dbo."Tickets" t
    LEFT JOIN (SELECT "TicketId" AS id, sum("Amount") AS paid FROM dbo."Payments" GROUP BY 1) p ON p.id = t."Id"
    LEFT JOIN (SELECT "TicketId" AS id, sum("Amount") AS back FROM dbo."ChangePayments" GROUP BY 1) c ON c.id = t."Id""#;

/// The rules of DOMAIN §7 for all tickets and the whole ledger.
fn assert_money(trade: &Trade) {
    assert_eq!(count(trade, &format!("({REMAINING}) WHERE remaining <> computed")), 0);
    assert_eq!(count(trade, &format!("({REMAINING}) WHERE \"IsClosed\" AND remaining <> 0")), 0);
    // Total = lines with their tags, rounded once, and calculations.
    let wrong = count(
        trade,
        r#"(SELECT t."TotalAmount" AS total, coalesce(c.amount, 0) AS calculations, coalesce(o.plain, 0) AS plain
            FROM dbo."Tickets" t
            LEFT JOIN (SELECT "TicketId" AS id, sum("CalculationAmount") AS amount FROM dbo."Calculations" GROUP BY 1) c ON c.id = t."Id"
            LEFT JOIN (
                SELECT "TicketId" AS id, round(sum(CASE WHEN "CalculatePrice" THEN "Quantity" * ("Price" + coalesce(
                    list_sum(list_transform(regexp_extract_all("OrderTags", '"PR":([0-9.]+)', 1), x -> CAST(x AS DECIMAL(16,2)))), 0))
                    ELSE 0 END), 2) AS plain
                FROM dbo."Orders" GROUP BY 1) o ON o.id = t."Id")
           WHERE abs(total - plain - calculations) > 0.001"#,
    );
    assert_eq!(wrong, 0, "tickets whose total is not the sum of their parts");
    // Ledger: two values a transaction, balanced; a ticket's receivable is what remains to be paid.
    let odd = count(
        trade,
        r#"(SELECT t."Id" FROM dbo."AccountTransactions" t LEFT JOIN dbo."AccountTransactionValues" v ON v."AccountTransactionId" = t."Id"
            GROUP BY t."Id", t."Amount" HAVING count(v."Id") <> 2 OR sum(v."Debit") <> t."Amount" OR sum(v."Credit") <> t."Amount" OR t."Amount" <= 0)"#,
    );
    assert_eq!(odd, 0, "transactions without exactly two balanced values");
    let unbalanced = count(
        trade,
        r#"(SELECT t."Id" FROM dbo."Tickets" t LEFT JOIN dbo."AccountTransactionValues" v
              ON v."AccountTransactionDocumentId" = t."TransactionDocument_Id" AND v."AccountTypeId" = 2
            GROUP BY t."Id", t."RemainingAmount" HAVING coalesce(sum(v."Debit" - v."Credit"), 0) <> t."RemainingAmount")"#,
    );
    assert_eq!(unbalanced, 0, "tickets whose receivable is not what remains");
}

#[test]
fn money_adds_up() {
    let trade = traded(5);
    assert_money(&trade);
    let settled = count(&trade, r#"dbo."AccountTransactionValues" WHERE "AccountTypeId" = 8 AND "Credit" > 0"#);
    assert!(settled > 3, "rooms settle");
    let overpaid = count(
        &trade,
        r#"(SELECT "AccountId" FROM dbo."AccountTransactionValues" WHERE "AccountTypeId" = 8
            GROUP BY 1 HAVING sum("Debit" - "Credit") < 0)"#,
    );
    assert_eq!(overpaid, 0, "no room pays more than it owes");
}

#[test]
fn every_kind_of_business_happens() {
    let trade = traded(6);
    for (what, sql) in [
        (
            "void",
            r#"dbo."Orders" WHERE "OrderStates" LIKE '%"S":"Void"%' AND NOT "CalculatePrice" AND NOT "DecreaseInventory""#,
        ),
        (
            "gift",
            r#"dbo."Orders" WHERE "OrderStates" LIKE '%"S":"Gift"%' AND NOT "CalculatePrice" AND "DecreaseInventory""#,
        ),
        ("cancelled", r#"dbo."Orders" WHERE "OrderStates" LIKE '%"S":"Canceled"%'"#),
        ("no states", r#"dbo."Orders" WHERE "OrderStates" IS NULL"#),
        ("refund", r#"dbo."Orders" WHERE "Quantity" < 0 AND "IncreaseInventory""#),
        ("weighed", r#"dbo."Orders" WHERE "Quantity" * 10 <> floor("Quantity" * 10)"#),
        ("tag with a price", r#"dbo."Orders" WHERE "OrderTags" LIKE '%"PR":%'"#),
        ("raw line break in JSON", r#"dbo."Orders" WHERE "OrderTags" LIKE '%' || chr(10) || '%'"#),
        ("split", r#"(SELECT 1 FROM dbo."Payments" GROUP BY "TicketId" HAVING count(*) > 2)"#),
        ("change row", r#"dbo."ChangePayments""#),
        ("tendered", r#"dbo."Payments" WHERE "TenderedAmount" > "Amount""#),
        ("negative payment", r#"dbo."Payments" WHERE "Amount" < 0"#),
        ("reversed", r#"dbo."AccountTransactions" WHERE "IsReversed""#),
        (
            "room charge",
            r#"dbo."Payments" p JOIN dbo."PaymentTypes" t ON t."Id" = p."PaymentTypeId" WHERE t."Account_Id" IS NULL"#,
        ),
        ("settlement", r#"dbo."AccountTransactionDocuments" WHERE "DocumentTypeId" > 0"#),
        ("discount", r#"dbo."Calculations" WHERE "CalculationAmount" < 0"#),
        ("service", r#"dbo."Calculations" WHERE "CalculationAmount" > 0"#),
        ("covers", r#"dbo."Tickets" WHERE "TicketTags" LIKE '[{"TN":"Covers","TT":1,"TV":"%"}]'"#),
        ("empty tags", r#"dbo."Tickets" WHERE "TicketTags" = ''"#),
        ("no tags", r#"dbo."Tickets" WHERE "TicketTags" IS NULL"#),
        (
            "across midnight",
            r#"dbo."Tickets" WHERE hour("Date") = 23 AND minute("Date") = 50 AND "LastPaymentDate"::DATE > "Date"::DATE"#,
        ),
        (
            "over night",
            r#"dbo."Tickets" WHERE NOT "IsClosed" AND "RemainingAmount" = "TotalAmount" AND "TotalAmount" > 0"#,
        ),
        (
            "share paid",
            r#"dbo."Tickets" WHERE NOT "IsClosed" AND "RemainingAmount" < "TotalAmount" AND "RemainingAmount" > 0"#,
        ),
        ("paid items", r#"dbo."PaidItems" p JOIN dbo."Tickets" t ON t."Id" = p."TicketId" WHERE NOT t."IsClosed""#),
        ("delivery", r#"dbo."InventoryTransactions""#),
        ("stock", r#"dbo."PeriodicConsumptionItems""#),
        ("state", r#"dbo."EntityStateLogs" WHERE "StartState" = 'New Orders' AND "EndState" = 'Available'"#),
        ("Turkish", r#"dbo."Orders" WHERE "MenuItemName" LIKE '%ı%'"#),
    ] {
        assert!(count(&trade, sql) > 0, "{what}");
    }
    assert_eq!(rows(&trade, "WorkPeriods"), 6);
    assert_eq!(count(&trade, r#"dbo."WorkPeriods" WHERE "EndDate" <= "StartDate""#), 0);
    assert_eq!(count(&trade, r#"dbo."Tickets" WHERE length("TicketUid") <> 22"#), 0);
    let numbers: i32 = one(&trade, r#"SELECT max(CAST("TicketNumber" AS INTEGER)) FROM dbo."Tickets""#);
    assert_eq!(numbers, one::<i32>(&trade, r#"SELECT "Number" FROM dbo."Numerators" WHERE "Id" = 1"#));
    assert_eq!(i64::from(numbers), rows(&trade, "Tickets"));
}

#[test]
fn moments_are_on_the_grid_of_datetime() {
    let trade = traded(2);
    for table in schema::tables().unwrap() {
        for column in table.columns.iter().filter(|column| column.sql_type == SqlType::DateTime) {
            let off = count(
                &trade,
                &format!(
                    "(SELECT epoch_us(\"{}\") % 1000000 AS us FROM dbo.\"{}\") WHERE us % 1000 <> 0 OR (us // 1000) % 10 NOT IN (0, 3, 7)",
                    column.name, table.name
                ),
            );
            assert_eq!(off, 0, "{}.{}", table.name, column.name);
        }
    }
    assert!(count(&trade, r#"dbo."Tickets" WHERE epoch_ms("Date") % 10 = 7"#) > 5);
    assert_eq!(count(&trade, r#"dbo."Tickets" WHERE epoch_ms("TicketVersion") % 1000 <> 0"#), 0);
}

#[test]
fn json_is_as_dotnet_writes_it() {
    // 2026-03-29 is the day British clocks go forward.
    let trade = traded(4);
    let tags: String = one(&trade, r#"SELECT "CustomTags" FROM dbo."MenuItems" WHERE "Name" = 'Mezze Board'"#);
    assert_eq!(
        tags,
        r#"[{"TN":"Kitchen Course","TV":"Sharing\/Platters"},{"TN":"Kitchen Print","TV":"Y"},{"TN":"NewBook GLA","TV":"3101"}]"#
    );
    for (table, column) in [
        ("Tickets", "TicketTags"),
        ("Tickets", "TicketStates"),
        ("Tickets", "TicketLogs"),
        ("Orders", "OrderTags"),
        ("Orders", "OrderStates"),
        ("Orders", "Taxes"),
        ("EntityStateValues", "EntityStates"),
        ("Entities", "CustomData"),
        ("MenuItems", "CustomTags"),
    ] {
        let sql = format!("SELECT \"{column}\" FROM dbo.\"{table}\" WHERE \"{column}\" LIKE '[%'");
        let mut statement = trade.connection().prepare(&sql).unwrap();
        let texts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(!texts.is_empty(), "{table}.{column}");
        for raw in texts {
            // SambaPOS leaves line breaks raw; a strict reader needs them escaped.
            let strict = raw.replace('\r', "\\r").replace('\n', "\\n");
            let value: serde_json::Value =
                serde_json::from_str(&strict).unwrap_or_else(|error| panic!("{raw}: {error}"));
            for object in value.as_array().unwrap() {
                let keys: Vec<_> = object.as_object().unwrap().keys().collect();
                assert!(keys.is_sorted(), "{raw}");
            }
            assert!(!has_blanks_between_tokens(&raw), "{raw}");
            assert!(!raw.replace("\\/", "").contains('/'), "{raw}");
        }
    }
    let log = |order: &str| -> String {
        one(
            &trade,
            &format!(r#"SELECT "TicketLogs" FROM dbo."Tickets" WHERE "IsClosed" ORDER BY "Id" {order} LIMIT 1"#),
        )
    };
    assert!(log("ASC").contains("+0000)\\/"), "{}", log("ASC"));
    assert!(log("DESC").contains("+0100)\\/"), "{}", log("DESC"));
}

fn has_blanks_between_tokens(json: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    json.chars().any(|letter| {
        if escaped {
            escaped = false;
        } else if inside && letter == '\\' {
            escaped = true;
        } else if letter == '"' {
            inside = !inside;
        } else {
            return !inside && letter.is_whitespace();
        }
        false
    })
}

/// What a live report would count, by course and name, in SQL.
fn sold_in_sql(trade: &Trade, from: Date, to: Date) -> BTreeMap<(String, String), (Decimal, Decimal)> {
    let sql = format!(
        r#"SELECT m.course, o."MenuItemName", CAST(sum(round(o."Quantity", 2)) AS VARCHAR), CAST(sum(o."Price" * o."Quantity") AS VARCHAR)
           FROM dbo."Orders" o JOIN dbo."Tickets" t ON t."Id" = o."TicketId"
           JOIN (SELECT "Id", nullif(regexp_extract("CustomTags", '"TN":"Kitchen Course".*?"TV":"([^"]*)"', 1), '') AS course
                 FROM dbo."MenuItems") m ON m."Id" = o."MenuItemId"
           WHERE t."IsClosed" AND t."Date" >= DATE '{from}' AND t."Date" < DATE '{to}' + 1 AND course IS NOT NULL
             AND ("OrderStates" IS NULL OR NOT (contains("OrderStates", '"S":"Void"') OR contains("OrderStates", '"S":"Canceled"')))
           GROUP BY ALL"#
    );
    let mut statement = trade.connection().prepare(&sql).unwrap();
    let mut found = BTreeMap::new();
    let mut answer = statement.query([]).unwrap();
    while let Some(row) = answer.next().unwrap() {
        let number = |at: usize| row.get::<_, String>(at).unwrap().parse::<Decimal>().unwrap();
        found.insert((row.get(0).unwrap(), row.get(1).unwrap()), (number(2), number(3)));
    }
    found
}

fn expected(trade: &Trade, from: Date, to: Date, scope: Scope) -> BTreeMap<(String, String), (Decimal, Decimal)> {
    let groups = trade.expected_sales(from, to, scope).into_iter();
    groups.map(|group| ((group.category, group.item_name), (group.quantity, group.revenue))).collect()
}

#[test]
fn the_books_agree_with_the_rows() {
    let mut trade = traded(4);
    let second = date(2026, 3, 28);
    for (from, to) in [(FIRST, FIRST), (second, second), (FIRST, LAST)] {
        let books = expected(&trade, from, to, Scope::Till);
        assert!(books.len() > 20);
        assert_eq!(books, sold_in_sql(&trade, from, to));
    }
    assert!(books_have(&trade, r"Sharing\/Platters") && books_have(&trade, "Y"));
    let figures = trade.trade_day().unwrap();
    assert_eq!(figures.date, date(2026, 3, 31));
    assert!(figures.tickets > 40 && figures.lines > 100 && figures.revenue > Decimal::ONE_HUNDRED);
}

fn books_have(trade: &Trade, course: &str) -> bool {
    expected(trade, FIRST, LAST, Scope::Everything).keys().any(|(category, _)| category == course)
}

#[test]
fn edits_keep_every_rule() {
    let mut trade = traded(2);
    let before = trade.expected_totals(FIRST, LAST, Scope::Till);

    let reopened = trade.reopen_ticket().unwrap();
    assert!(!one::<bool>(&trade, &format!(r#"SELECT "IsClosed" FROM dbo."Tickets" WHERE "Id" = {reopened}"#)));
    assert_eq!(trade.expected_totals(FIRST, LAST, Scope::Till).0, before.0 - 1, "an open ticket does not count");
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
    trade.close_ticket(reopened).unwrap();
    let after = trade.expected_totals(FIRST, LAST, Scope::Till);
    assert!(after.0 == before.0 && after.2 > before.2, "closed again with one more");
    assert!(trade.close_ticket(reopened).is_err());

    let closed = expected(&trade, FIRST, LAST, Scope::Till);
    let lines = rows(&trade, "Orders");
    let (old, new) = trade.move_line().unwrap();
    assert!(new > old);
    assert_eq!(count(&trade, &format!(r#"dbo."Orders" WHERE "Id" = {old}"#)), 0);
    assert_eq!(count(&trade, &format!(r#"dbo."Orders" WHERE "Id" = {new}"#)), 1);
    assert_eq!(rows(&trade, "Orders"), lines);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), closed, "a moved line changes no total");

    let (ticket, line) = trade.void_line().unwrap();
    let states: String = one(
        &trade,
        &format!(r#"SELECT "OrderStates" FROM dbo."Orders" WHERE "Id" = {line} AND "TicketId" = {ticket}"#),
    );
    assert!(states.contains(r#""S":"Void""#), "{states}");

    let item = trade.rename_item().unwrap();
    let name: String = one(&trade, &format!(r#"SELECT "Name" FROM dbo."MenuItems" WHERE "Id" = {item}"#));
    assert!(name.starts_with("New "), "{name}");
    trade.trade_day().unwrap();

    assert_money(&trade);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
    for table in schema::tables().unwrap() {
        assert_keys(&trade, &table);
    }
}

const WIPED: [&str; 8] = [
    "Tickets",
    "Orders",
    "Payments",
    "TicketEntities",
    "AccountTransactions",
    "AccountTransactionValues",
    "WorkPeriods",
    "Tasks",
];

fn cleared(clear: Clear) -> (Trade, BTreeMap<String, Vec<String>>, [i32; 8]) {
    let mut trade = traded(2);
    let before = dump(&trade);
    let last = WIPED.map(|table| trade.last_id(table));
    let sold = expected(&trade, FIRST, LAST, Scope::Everything);
    trade.clear(clear).unwrap();
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Everything), sold, "the books remember");
    (trade, before, last)
}

#[test]
fn a_full_clear_takes_the_trade_and_leaves_the_catalog() {
    for clear in [Clear::Delete, Clear::Reseed, Clear::TruncateLeaves] {
        let (mut trade, before, last) = cleared(clear);
        for table in WIPED {
            assert_eq!(rows(&trade, table), 0, "{clear:?} {table}");
        }
        for table in ["MenuItems", "Entities", "Accounts", "Users", "PaymentTypes", "ScreenMenuItems"] {
            assert_eq!(dump(&trade)[table], before[table], "{clear:?} {table}");
        }
        assert_eq!(count(&trade, r#"dbo."Numerators" WHERE "Number" <> 0"#), 0);
        assert!(expected(&trade, FIRST, LAST, Scope::Till).is_empty());
        trade.trade_day().unwrap();
        for (table, last) in WIPED.into_iter().zip(last) {
            let leaf = !["Tickets", "AccountTransactions", "Tasks"].contains(&table);
            let restarts = clear == Clear::Reseed || (clear == Clear::TruncateLeaves && leaf);
            let first: i32 = one(&trade, &format!("SELECT min(\"Id\") FROM dbo.\"{table}\""));
            assert_eq!(first, if restarts { 1 } else { last + 1 }, "{clear:?} {table}");
        }
        let number: String = one(&trade, r#"SELECT "TicketNumber" FROM dbo."Tickets" ORDER BY "Id" LIMIT 1"#);
        assert_eq!(number, "1");
        assert_eq!(one::<i32>(&trade, r#"SELECT max("WorkPeriodNumber") FROM dbo."WorkPeriods""#), 1);
        assert_money(&trade);
        assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
    }
}

#[test]
fn a_partial_clear_keeps_the_later_days_and_open_tickets() {
    let cutoff = date(2026, 3, 28);
    let (mut trade, ..) = cleared(Clear::Before(cutoff));
    assert_eq!(count(&trade, r#"dbo."Tickets" WHERE "IsClosed" AND "Date" < DATE '2026-03-28'"#), 0);
    assert!(rows(&trade, "Tickets") > 40);
    assert_eq!(rows(&trade, "WorkPeriods"), 1);
    for table in schema::tables().unwrap() {
        assert_keys(&trade, &table);
    }
    let last = trade.last_id("Tickets");
    trade.trade_day().unwrap();
    let next: i32 = one(&trade, &format!(r#"SELECT min("Id") FROM dbo."Tickets" WHERE "Id" > {last}"#));
    assert_eq!(next, last + 1);
    assert_money(&trade);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
}

#[test]
fn a_careless_clear_leaves_orphans() {
    let (mut trade, before, last) = cleared(Clear::LeaveOrphans);
    assert_eq!(rows(&trade, "Tickets") + rows(&trade, "Orders") + rows(&trade, "Payments"), 0);
    assert_eq!(count(&trade, r#"dbo."TicketEntities" WHERE "Ticket_Id" IS NULL"#), rows(&trade, "TicketEntities"));
    assert!(rows(&trade, "TicketEntities") > 0);
    assert_eq!(dump(&trade)["AccountTransactionValues"], before["AccountTransactionValues"]);
    trade.trade_day().unwrap();
    assert_eq!(one::<i32>(&trade, r#"SELECT min("Id") FROM dbo."Tickets""#), last[0] + 1);
    assert_money(&trade);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
}

#[test]
fn a_restored_backup_brings_back_rows_and_ids() {
    let mut trade = traded(1);
    let rows_then = dump(&trade);
    let sold_then = expected(&trade, FIRST, LAST, Scope::Till);
    let backup = trade.back_up().unwrap();
    trade.rename_item().unwrap();
    trade.trade_day().unwrap();
    let lost: String = one(&trade, r#"SELECT max("TicketUid") FROM dbo."Tickets" WHERE "Date" >= '2026-03-28'"#);
    let last = trade.last_id("Tickets");
    trade.open_day(0.5).unwrap();
    assert!(trade.restore(&backup).is_err(), "not during service");
    trade.trade_day().unwrap();

    trade.restore(&backup).unwrap();
    assert_eq!(dump(&trade), rows_then);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_then);
    assert!(trade.expected_totals(FIRST, LAST, Scope::Everything) > trade.expected_totals(FIRST, LAST, Scope::Till));
    assert!(trade.last_id("Tickets") < last);

    let figures = trade.trade_day().unwrap();
    assert_eq!(figures.date, date(2026, 3, 30), "the calendar goes on");
    assert_eq!(count(&trade, &format!(r#"dbo."Tickets" WHERE "TicketUid" = '{lost}'"#)), 0);
    assert_money(&trade);
    assert_eq!(expected(&trade, FIRST, LAST, Scope::Till), sold_in_sql(&trade, FIRST, LAST));
    for table in schema::tables().unwrap() {
        assert_keys(&trade, &table);
    }
}

#[test]
fn a_clear_during_service_takes_open_tickets() {
    let mut trade = traded(1);
    trade.open_day(0.7).unwrap();
    assert!(trade.open_tickets() > 0);
    trade.clear(Clear::Reseed).unwrap();
    assert_eq!((trade.open_tickets(), rows(&trade, "Tickets")), (0, 0));
    trade.trade_day().unwrap();
    trade.trade_day().unwrap();
    assert_money(&trade);
    for table in schema::tables().unwrap() {
        assert_keys(&trade, &table);
    }
}

#[test]
fn trade_may_move_between_threads() {
    let mut trade = open(options());
    let figures = std::thread::spawn(move || trade.trade_day().unwrap()).join().unwrap();
    assert_eq!(figures.date, FIRST);
}

#[test]
fn a_till_without_uids_looks_like_v3() {
    let mut trade = open(TradeOptions { uids: false, ..options() });
    trade.trade_day().unwrap();
    assert_eq!(count(&trade, r#"dbo."Tickets" WHERE "TicketUid" IS NOT NULL"#), 0);
    assert_eq!(count(&trade, r#"dbo."Orders" WHERE "OrderUid" IS NOT NULL"#), 0);
}
