//! The composed rows of QUERIES, and the changes its examples Q9 to Q11 ask for.
//!
//! Everything here is a fixed sequence of SQL on the `dbo` tables: no clock, no randomness. Amounts, counters and payments
//! that QUERIES does not mention are 0 or absent.

use duckdb::{Connection, params};

use crate::error::{Kind, OrFail, Result};

/// The rows as SQL, in QUERIES' order.
pub const ROWS: &str = include_str!("../../../fixtures/queries.sql");

/// The uid of ticket 1 before the clear (Q9).
pub const UID_BEFORE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The uid of the first ticket after the clear (Q9).
pub const UID_AFTER: &str = "BBBBBBBBBBBBBBBBBBBBBB";

/// Inserts the rows into empty tables (`schema::create_tables` makes them).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing or refuses a row.
pub fn load_queries_fixture(conn: &Connection) -> Result<()> {
    run(conn, ROWS)
}

/// Removes every ticket but one, with its lines and entities (Q9 looks at ticket 1 alone).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn keep_only_ticket(conn: &Connection, ticket: i32) -> Result<()> {
    run(
        conn,
        &format!(
            r#"DELETE FROM dbo."Orders" WHERE "TicketId" <> {ticket};
               DELETE FROM dbo."TicketEntities" WHERE "Ticket_Id" <> {ticket};
               DELETE FROM dbo."Tickets" WHERE "Id" <> {ticket};"#
        ),
    )
}

/// Makes the till look like V3: no uid on any ticket or line (Q9 case 4).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn forget_uids(conn: &Connection) -> Result<()> {
    run(conn, r#"UPDATE dbo."Tickets" SET "TicketUid" = NULL; UPDATE dbo."Orders" SET "OrderUid" = NULL;"#)
}

/// How the first ticket after the clear of Q9 is numbered and known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterClear {
    /// `Tickets.Id`.
    pub ticket: i32,
    /// `Orders.Id` of its one line.
    pub order: i32,
    /// Whether ticket and line have a uid.
    pub uids: bool,
}

impl AfterClear {
    /// Ids restart, other uid (Q9 case 2).
    pub const RESTARTED: Self = Self { ticket: 1, order: 1, uids: true };
    /// Ids restart, no uids (Q9 case 4).
    pub const RESTARTED_WITHOUT_UIDS: Self = Self { ticket: 1, order: 1, uids: false };
    /// Ids go on (Q9 case 5).
    pub const CONTINUED: Self = Self { ticket: 27, order: 90, uids: true };
}

/// Clears the trade and sells two fish pies on 2026-03-08 as ticket number "1" (Q9). The catalog stays.
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn clear_and_trade_on(conn: &Connection, after: AfterClear) -> Result<()> {
    run(conn, r#"DELETE FROM dbo."Orders"; DELETE FROM dbo."TicketEntities"; DELETE FROM dbo."Tickets";"#)?;
    let uid = after.uids.then_some(UID_AFTER);
    conn.execute(
        r#"INSERT INTO dbo."Tickets"
             ("Id", "TicketUid", "TicketNumber", "Date", "LastOrderDate", "LastPaymentDate", "LastUpdateTime", "TicketVersion",
              "IsClosed", "IsLocked", "RemainingAmount", "TotalAmount", "DepartmentId", "TicketTypeId", "ExchangeRate", "TaxIncluded")
           VALUES (?, ?, '1', TIMESTAMP '2026-03-08 12:00:00', TIMESTAMP '2026-03-08 12:00:00', TIMESTAMP '2026-03-08 12:00:00',
              TIMESTAMP '2026-03-08 13:00:00', TIMESTAMP '2026-03-08 12:00:00', true, false, 0, 0, 0, 0, 0, false)"#,
        params![after.ticket, uid],
    )
    .or_fail(Kind::Bug, || "cannot insert the ticket after the clear")?;
    conn.execute(
        r#"INSERT INTO dbo."TicketEntities"
             ("Id", "Ticket_Id", "EntityTypeId", "EntityName", "EntityId", "AccountId", "AccountTypeId")
           VALUES (1, ?, 2, 'T5', 0, 0, 0)"#,
        params![after.ticket],
    )
    .or_fail(Kind::Bug, || "cannot insert the table after the clear")?;
    conn.execute(
        r#"INSERT INTO dbo."Orders"
             ("Id", "TicketId", "MenuItemId", "MenuItemName", "PortionName", "Price", "Quantity", "CreatedDateTime",
              "LastUpdateDateTime", "OrderUid", "OrderStates", "CalculatePrice", "DecreaseInventory", "IncreaseInventory",
              "WarehouseId", "DepartmentId", "PortionCount", "Locked", "OrderNumber", "AccountTransactionTypeId")
           VALUES (?, ?, 3, 'Fish Pie', 'Normal', 16.50, 2.000, TIMESTAMP '2026-03-08 12:10:00',
              TIMESTAMP '2026-03-08 12:10:00', ?, '[{"OK":"000000","S":"Submitted","SN":"Status","SV":"","U":1}]', true, true,
              false, 0, 0, 1, false, 0, 0)"#,
        params![after.order, after.ticket, after.uids.then_some("Order9001zY8xW7vU6tS5r")],
    )
    .or_fail(Kind::Bug, || "cannot insert the line after the clear")?;
    Ok(())
}

/// Reopens ticket 1 (Q10, first half).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn reopen_ticket_1(conn: &Connection) -> Result<()> {
    run(
        conn,
        r#"UPDATE dbo."Tickets" SET "IsClosed" = false, "LastUpdateTime" = TIMESTAMP '2026-03-02 09:00:00' WHERE "Id" = 1;"#,
    )
}

/// Closes ticket 1 again with order 2's quantity at 2 (Q10, second half).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn close_ticket_1_with_another_steak(conn: &Connection) -> Result<()> {
    run(
        conn,
        r#"UPDATE dbo."Orders" SET "Quantity" = 2, "LastUpdateDateTime" = TIMESTAMP '2026-03-02 09:10:00' WHERE "Id" = 2;
           UPDATE dbo."Tickets" SET "IsClosed" = true, "LastUpdateTime" = TIMESTAMP '2026-03-02 09:15:00' WHERE "Id" = 1;"#,
    )
}

/// Moves order 5 from ticket 2 to ticket 3, where it becomes order 40 with the same uid (Q11).
///
/// # Errors
/// [`Kind::Bug`] when a table is missing.
pub fn move_order_5(conn: &Connection) -> Result<()> {
    run(
        conn,
        r#"UPDATE dbo."Orders" SET "Id" = 40, "TicketId" = 3 WHERE "Id" = 5;
           UPDATE dbo."Tickets" SET "LastUpdateTime" = TIMESTAMP '2026-03-02 10:00:00' WHERE "Id" IN (2, 3);"#,
    )
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).or_fail(Kind::Bug, || "the rows of the report examples do not fit the till's tables")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::schema;

    fn till() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        schema::create_tables(&conn, &schema::tables().unwrap()).unwrap();
        load_queries_fixture(&conn).unwrap();
        conn
    }

    fn one<T: duckdb::types::FromSql>(conn: &Connection, sql: &str) -> T {
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_rows_are_those_of_the_examples() {
        let conn = till();
        for (table, rows) in [
            ("MenuItems", 12),
            ("MenuItemPortions", 10),
            ("ScreenMenuItems", 4),
            ("Tickets", 7),
            ("TicketEntities", 9),
            ("Orders", 20),
        ] {
            assert_eq!(one::<i64>(&conn, &format!("SELECT count(*) FROM dbo.\"{table}\"")), rows, "{table}");
        }
        let tags: String = one(&conn, "SELECT \"CustomTags\" FROM dbo.\"MenuItems\" WHERE \"Id\" = 9");
        assert!(tags.contains(r#""TV":"Sharing\/Platters""#), "{tags}");
        // Q4, Mains: three lines of fish pie are worth 49.665.
        let pie: String = one(
            &conn,
            r#"SELECT CAST(sum("Price" * "Quantity") AS VARCHAR) FROM dbo."Orders" o JOIN dbo."Tickets" t ON t."Id" = o."TicketId"
               WHERE t."IsClosed" AND t."Date" >= '2026-03-01' AND t."Date" < '2026-03-03' AND "MenuItemName" = 'Fish Pie'
                 AND ("OrderStates" IS NULL OR "OrderStates" NOT LIKE '%"S":"Canceled"%')"#,
        );
        assert_eq!(pie, "49.66500");
        assert_eq!(one::<i64>(&conn, r#"SELECT count(DISTINCT "OrderUid") FROM dbo."Orders""#), 20);
        assert_eq!(
            one::<i64>(
                &conn,
                r#"SELECT min(length("OrderUid") + length("TicketUid")) FROM dbo."Orders", dbo."Tickets""#
            ),
            44
        );
    }

    #[test]
    fn a_clear_brings_ids_back_with_other_content() {
        for after in [AfterClear::RESTARTED, AfterClear::RESTARTED_WITHOUT_UIDS, AfterClear::CONTINUED] {
            let conn = till();
            keep_only_ticket(&conn, 1).unwrap();
            assert_eq!(one::<i64>(&conn, "SELECT count(*) FROM dbo.\"Orders\""), 4);
            clear_and_trade_on(&conn, after).unwrap();
            assert_eq!(one::<i32>(&conn, "SELECT \"Id\" FROM dbo.\"Tickets\""), after.ticket);
            assert_eq!(one::<i32>(&conn, "SELECT \"Id\" FROM dbo.\"Orders\""), after.order);
            let uid: Option<String> = one(&conn, "SELECT \"TicketUid\" FROM dbo.\"Tickets\"");
            assert_eq!(uid.is_some(), after.uids);
        }
    }

    #[test]
    fn reopening_and_moving_change_what_the_examples_say() {
        let conn = till();
        reopen_ticket_1(&conn).unwrap();
        assert!(!one::<bool>(&conn, "SELECT \"IsClosed\" FROM dbo.\"Tickets\" WHERE \"Id\" = 1"));
        close_ticket_1_with_another_steak(&conn).unwrap();
        assert!(one::<bool>(&conn, "SELECT \"IsClosed\" FROM dbo.\"Tickets\" WHERE \"Id\" = 1"));
        let uid: String = one(&conn, "SELECT \"OrderUid\" FROM dbo.\"Orders\" WHERE \"Id\" = 5");
        move_order_5(&conn).unwrap();
        assert_eq!(one::<i64>(&conn, "SELECT count(*) FROM dbo.\"Orders\" WHERE \"TicketId\" = 3"), 4);
        assert_eq!(one::<String>(&conn, "SELECT \"OrderUid\" FROM dbo.\"Orders\" WHERE \"Id\" = 40"), uid);
        forget_uids(&conn).unwrap();
        assert_eq!(one::<i64>(&conn, "SELECT count(\"OrderUid\") FROM dbo.\"Orders\""), 0);
    }
}
