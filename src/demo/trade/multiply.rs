//! Years of trade in seconds: the trade that is there once more, under Ids and uids of its own, as often as wanted.
//!
//! For benchmarks: simulating a million order lines one by one takes minutes. The copies keep their dates, amounts and texts;
//! ids go on from the highest, references among the copied rows follow, uids are new and as random as the old ones. The
//! books of the simulation do not know of copies: what reports must say ([`Trade::expected_sales`]) counts the originals only.

use super::Trade;
use crate::{
    error::{Kind, OrFail, Result},
    model::{identifier::quoted, table::Table},
};

/// Tables that grow with trade, parents first.
const GROWING: [&str; 9] = [
    "AccountTransactionDocuments",
    "AccountTransactions",
    "AccountTransactionValues",
    "Tickets",
    "Orders",
    "Payments",
    "ChangePayments",
    "Calculations",
    "TicketEntities",
];

impl Trade {
    /// Adds `copies` copies of all trade so far. Trade may go on afterwards; tickets that are open stay open in the copies.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the tables refuse the rows.
    pub fn multiply(&mut self, copies: u32) -> Result<()> {
        let tables = self.desk.tables().to_vec();
        let growing: Vec<&Table> = tables.iter().filter(|table| GROWING.contains(&table.name.name.as_str())).collect();
        let spans: Vec<i32> = growing.iter().map(|table| self.desk.last_id(&table.name.name)).collect();
        let span =
            |name: &str| growing.iter().zip(&spans).find(|(table, _)| table.name.name == name).map(|(_, span)| *span);
        let mut statements = Vec::new();
        for table in &growing {
            let own = span(&table.name.name).unwrap_or_default();
            let mut items = Vec::new();
            for column in &table.columns {
                let name = quoted(&column.name);
                if let Some(step) = root(&growing, table, &column.name).and_then(span) {
                    items.push(format!("{name} + {{copy}} * {step} AS {name}"));
                } else if column.name.ends_with("Uid") {
                    let random = format!("to_base64(unhex(md5({name} || '{{copy}}')))");
                    items.push(format!("substr(translate({random}, '+/', '-_'), 1, 22) AS {name}"));
                }
            }
            let place = format!("dbo.{}", quoted(&table.name.name));
            statements.push(format!(
                "INSERT INTO {place} SELECT * REPLACE ({}) FROM {place} WHERE \"Id\" <= {own} ORDER BY \"Id\";",
                items.join(", ")
            ));
        }
        let conn = self.desk.conn();
        let mut script = String::from("BEGIN;");
        for copy in 1..=copies {
            for statement in &statements {
                script.push_str(&statement.replace("{copy}", &copy.to_string()));
            }
        }
        script.push_str("COMMIT;");
        conn.execute_batch(&script).or_fail(Kind::Bug, || "cannot multiply the simulated trade")?;
        for (table, span) in growing.iter().zip(&spans) {
            let last = i64::from(*span) * (i64::from(copies) + 1);
            self.desk.go_on_from(&table.name.name, i32::try_from(last).unwrap_or(i32::MAX));
        }
        Ok(())
    }
}

/// The growing table whose Id a column holds.
fn root<'t>(growing: &[&'t Table], table: &'t Table, column: &str) -> Option<&'t str> {
    if column == "Id" {
        return Some(&table.name.name);
    }
    for key in &table.foreign_keys {
        if let Some(at) = key.columns.iter().position(|name| name == column) {
            let parent = growing.iter().find(|other| other.name == key.references)?;
            return root(growing, parent, key.referenced_columns.get(at)?);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use duckdb::Connection;

    use super::super::TradeOptions;
    use super::*;
    use crate::demo::schema;

    #[test]
    fn copies_hang_together_and_trade_goes_on() {
        let conn = Connection::open_in_memory().unwrap();
        schema::create_tables(&conn, &schema::tables().unwrap()).unwrap();
        let options = TradeOptions { tickets_per_day: 20, ..TradeOptions::default() };
        let mut trade = Trade::open(conn.try_clone().unwrap(), options).unwrap();
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        trade.trade_day().unwrap();
        let (orders, tickets) = (number("SELECT count(*) FROM dbo.Orders"), number("SELECT count(*) FROM dbo.Tickets"));
        trade.multiply(3).unwrap();
        trade.trade_day().unwrap();
        assert!(number("SELECT count(*) FROM dbo.Orders") > 4 * orders);
        assert!(number("SELECT count(DISTINCT Id) FROM dbo.Tickets") > 4 * tickets);
        for (table, key) in
            [("Orders", "Id, OrderUid"), ("Tickets", "Id, TicketUid"), ("AccountTransactionValues", "Id, 1")]
        {
            let twice = format!("SELECT count(*) - count(DISTINCT ({key})) FROM dbo.{table}");
            assert_eq!(number(&twice), 0, "{table}");
        }
        for (child, column, parent) in [
            ("Orders", "TicketId", "Tickets"),
            ("Payments", "AccountTransaction_Id", "AccountTransactions"),
            ("AccountTransactionValues", "AccountTransactionDocumentId", "AccountTransactionDocuments"),
            ("Tickets", "TransactionDocument_Id", "AccountTransactionDocuments"),
        ] {
            let lost = format!(
                "SELECT count(*) FROM dbo.{child} c WHERE c.{column} IS NOT NULL AND c.{column} NOT IN (SELECT Id FROM dbo.{parent})"
            );
            assert_eq!(number(&lost), 0, "{child}.{column}");
        }
        let sums = "SELECT count(*) FROM (SELECT AccountTransactionId FROM dbo.AccountTransactionValues
                    GROUP BY 1 HAVING count(*) <> 2)";
        assert_eq!(number(sums), 0);
    }
}
