//! Clears: what a site's clear script takes away, and which Ids restart (DOMAIN §3).

use jiff::civil::Date;

use super::desk::Desk;

/// A way of clearing the trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// `DELETE` everywhere: identity counters go on.
    Delete,
    /// `DELETE` and `DBCC CHECKIDENT (…, RESEED, 0)` everywhere: every Id restarts at 1.
    Reseed,
    /// `TRUNCATE` for the leaves, whose Ids restart; `DELETE` for tables that a foreign key refers to, whose Ids go on.
    TruncateLeaves,
    /// A careless script: tickets and their lines go by `DELETE`, but the entities on tickets stay with `Ticket_Id` NULL, and
    /// the ledger, stock and work periods stay altogether.
    LeaveOrphans,
    /// Only closed tickets and other business before a date; nothing restarts.
    Before(Date),
}

/// A table that a clear empties, in child-first order.
struct Cleared {
    table: &'static str,
    /// Whether no foreign key refers to it, so that it may be truncated.
    leaf: bool,
}

const fn leaf(table: &'static str) -> Cleared {
    Cleared { table, leaf: true }
}

const fn parent(table: &'static str) -> Cleared {
    Cleared { table, leaf: false }
}

/// Always and usually wiped tables.
const TABLES: [Cleared; 22] = [
    leaf("PaidItems"),
    leaf("ChangePayments"),
    leaf("Payments"),
    leaf("Calculations"),
    leaf("Orders"),
    leaf("TicketEntities"),
    parent("Tickets"),
    parent("ProductTimerValues"),
    leaf("AccountTransactionValues"),
    parent("AccountTransactions"),
    leaf("InventoryTransactions"),
    parent("InventoryTransactionDocuments"),
    parent("AccountTransactionDocuments"),
    leaf("CostItems"),
    leaf("PeriodicConsumptionItems"),
    parent("WarehouseConsumptions"),
    parent("PeriodicConsumptions"),
    leaf("WorkPeriods"),
    leaf("EntityStateValues"),
    leaf("EntityStateLogs"),
    leaf("TaskTokens"),
    parent("Tasks"),
];

/// Empties the tables and restarts what the kind of clear restarts; the caller resets the numerators.
pub(super) fn everything(desk: &mut Desk, reseed: bool, truncate: bool) {
    for Cleared { table, leaf } in TABLES {
        desk.statement(format!("DELETE FROM dbo.\"{table}\""));
        if reseed || (truncate && leaf) {
            desk.restart(table);
        }
    }
}

/// Removes tickets and their lines, leaves orphans behind.
pub(super) fn tickets_only(desk: &mut Desk) {
    for table in ["PaidItems", "ChangePayments", "Payments", "Calculations", "Orders"] {
        desk.statement(format!("DELETE FROM dbo.\"{table}\""));
    }
    desk.statement(r#"UPDATE dbo."TicketEntities" SET "Ticket_Id" = NULL"#);
    desk.statement(r#"DELETE FROM dbo."Tickets""#);
}

/// Removes the business before a date: closed tickets with their children and ledger, old documents, ended periods.
pub(super) fn before(desk: &mut Desk, date: Date) {
    let tickets = format!(r#"SELECT "Id" FROM dbo."Tickets" WHERE "IsClosed" AND "Date" < DATE '{date}'"#);
    for table in ["PaidItems", "ChangePayments", "Payments", "Calculations", "Orders"] {
        desk.statement(format!(r#"DELETE FROM dbo."{table}" WHERE "TicketId" IN ({tickets})"#));
    }
    desk.statement(format!(r#"DELETE FROM dbo."TicketEntities" WHERE "Ticket_Id" IN ({tickets})"#));
    desk.statement(format!(r#"DELETE FROM dbo."Tickets" WHERE "Id" IN ({tickets})"#));
    // Documents of tickets that stay (open ones among them) stay, too.
    let kept = r#"SELECT "TransactionDocument_Id" FROM dbo."Tickets" WHERE "TransactionDocument_Id" IS NOT NULL"#;
    let documents = format!(
        r#"SELECT "Id" FROM dbo."AccountTransactionDocuments" WHERE "Date" < DATE '{date}' AND "Id" NOT IN ({kept})"#
    );
    for table in ["AccountTransactionValues", "AccountTransactions"] {
        desk.statement(format!(r#"DELETE FROM dbo."{table}" WHERE "AccountTransactionDocumentId" IN ({documents})"#));
    }
    desk.statement(format!(r#"DELETE FROM dbo."AccountTransactionDocuments" WHERE "Id" IN ({documents})"#));
    desk.statement(format!(r#"DELETE FROM dbo."InventoryTransactions" WHERE "Date" < DATE '{date}'"#));
    desk.statement(format!(r#"DELETE FROM dbo."InventoryTransactionDocuments" WHERE "Date" < DATE '{date}'"#));
    let periods = format!(r#"SELECT "Id" FROM dbo."PeriodicConsumptions" WHERE "StartDate" < DATE '{date}'"#);
    for table in ["CostItems", "PeriodicConsumptionItems", "WarehouseConsumptions"] {
        desk.statement(format!(r#"DELETE FROM dbo."{table}" WHERE "PeriodicConsumptionId" IN ({periods})"#));
    }
    desk.statement(format!(r#"DELETE FROM dbo."PeriodicConsumptions" WHERE "StartDate" < DATE '{date}'"#));
    desk.statement(format!(
        r#"DELETE FROM dbo."WorkPeriods" WHERE "StartDate" < DATE '{date}' AND "EndDate" <> "StartDate""#
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::schema;

    #[test]
    fn leaves_are_the_tables_no_foreign_key_refers_to() {
        let tables = schema::tables().unwrap();
        for Cleared { table, leaf } in TABLES {
            assert!(tables.iter().any(|known| known.name.name == table), "{table}");
            let referred = tables.iter().flat_map(|known| &known.foreign_keys).any(|key| key.references.name == table);
            // DOMAIN §3 lists Tasks among the usually wiped; TaskTokens refers to it.
            assert_eq!(leaf, !referred, "{table}");
        }
    }
}
