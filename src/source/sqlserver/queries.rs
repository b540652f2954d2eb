//! Every T-SQL text tillvault sends to a till, in one place.
//!
//! Promises: texts run on SQL Server 2012 to 2022 with no more rights than `db_datareader`; nothing here writes, creates
//! temporary objects, or asks for a lock beyond the statement's own shared ones; catalog views are spelled in the server's
//! own case, names of tables and columns come from the catalog and are always quoted; values are parameters `@P1`, `@P2`, …,
//! never text pasted in.
//!
//! This module builds text only. Who sends it and what comes back is the business of its siblings.

pub mod catalog;
pub mod examine;
pub mod fingerprint;
mod reports;
mod rows;

pub use self::{
    reports::{categories, sold_groups},
    rows::{
        Lower, PAGE_ROWS, is_paged, page, page_of, raw_select_item, select_item, value_expression, whole, whole_of,
    },
};
use crate::model::{
    sql_type::SqlType,
    table::{Table, TableName},
};

/// Settings of a session, sent once after sign-in.
///
/// Reports of row counts off; a table that may not be read does not end the read transaction of the others; five seconds
/// for a lock; long values are not cut, rows not left out; ANSI behaviour as the catalog and `nvarchar(max)` comparisons
/// expect it.
pub const SESSION: &str = "\
SET NOCOUNT ON; \
SET XACT_ABORT OFF; \
SET LOCK_TIMEOUT 5000; \
SET TEXTSIZE 2147483647; \
SET ROWCOUNT 0; \
SET ANSI_NULLS ON; \
SET ANSI_PADDING ON; \
SET ANSI_WARNINGS ON; \
SET ARITHABORT ON; \
SET CONCAT_NULL_YIELDS_NULL ON; \
SET QUOTED_IDENTIFIER ON; \
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;";

/// Settings that are good to have, each sent on its own: no value depends on them, and Babelfish may refuse them.
///
/// The victim of a deadlock is us, never the till; messages do not depend on the login's language.
pub const OPTIONAL_SETTINGS: [&str; 3] =
    ["SET DEADLOCK_PRIORITY LOW;", "SET LANGUAGE us_english;", "SET DATEFORMAT ymd;"];

/// Who the till is: one row.
pub const DESCRIBE: &str = "\
SELECT CAST(@@SERVERNAME AS nvarchar(256)) AS server_name, \
d.name AS database_name, \
CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(128)) AS product_version, \
CAST(SERVERPROPERTY(N'Edition') AS nvarchar(128)) AS edition, \
d.collation_name AS collation_name, \
d.snapshot_isolation_state AS snapshot_isolation_state, \
CAST(SYSDATETIME() AS datetime2(3)) AS local_time, \
CAST(SUSER_SNAME() AS nvarchar(256)) AS login_name \
FROM sys.databases AS d \
WHERE d.database_id = DB_ID()";

/// What comes before [`BEGIN`]. Only where the database allows snapshot isolation. A batch of its own, as all four are:
/// Babelfish changes the level only before a batch has done anything else.
pub const SNAPSHOT_ISOLATION: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT;";

/// Opens one read transaction over everything that follows.
pub const BEGIN: &str = "BEGIN TRANSACTION;";

/// How many transactions are open: asked after an error, to learn whether the server ended ours.
pub const OPEN_TRANSACTIONS: &str = "SELECT @@TRANCOUNT AS open_transactions";

/// What follows a statement in the same request where the driver does not insist on the server's word that an answer is
/// complete: how many rows the statement gave.
pub const AND_ROW_COUNT: &str = "; SELECT CAST(@@ROWCOUNT AS bigint) AS row_count";

/// Ends what [`BEGIN`] opened.
pub const COMMIT: &str = "COMMIT TRANSACTION;";

/// Takes back [`SNAPSHOT_ISOLATION`].
pub const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;";

/// A name in square brackets, `]` doubled.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// Schema and table, quoted.
#[must_use]
pub fn quote_table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// The trade mark: one row of count, newest change and sums over the tickets. Names come from the catalog; a column that
/// this version of the till does not have is left out. The expressions are, in order: rows, highest Id, newest
/// `LastUpdateTime`, sum of totals, sum of what remains to pay, closed tickets.
#[must_use]
pub fn trade_mark(tickets: &Table) -> String {
    let find = |wanted: &str| {
        tickets.columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted)).map(|column| quote(&column.name))
    };
    let mut items = vec!["COUNT_BIG(*) AS row_count".to_owned()];
    items.extend(find("Id").map(|c| format!("CAST(MAX({c}) AS bigint) AS highest_id")));
    items.extend(find("LastUpdateTime").map(|c| format!("MAX({c}) AS newest_change")));
    let sum = |wanted: &str, name: &str| {
        let column = tickets.columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted))?;
        let sum = format!("SUM({})", quote(&column.name));
        Some(match column.sql_type {
            // The wire has an awkward form for money.
            SqlType::Money | SqlType::SmallMoney => format!("CAST({sum} AS decimal(38,4)) AS {name}"),
            _ => format!("{sum} AS {name}"),
        })
    };
    items.extend(sum("TotalAmount", "total_amount"));
    items.extend(sum("RemainingAmount", "remaining_amount"));
    items.extend(find("IsClosed").map(|c| format!("SUM(CAST({c} AS bigint)) AS closed_tickets")));
    format!("SELECT {} FROM {}", items.join(", "), quote_table(&tickets.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Column;

    fn table(columns: &[(&str, &str)], key: &[&str]) -> Table {
        let column = |(name, sql_type): &(&str, &str)| Column {
            name: (*name).into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: true,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("Odd ]Table"),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|name| (*name).into()).collect(),
            ..Table::default()
        }
    }

    #[test]
    fn the_trade_mark_takes_the_columns_there_are() {
        let tickets = table(&[("ID", "int"), ("lastupdatetime", "datetime")], &["ID"]);
        assert_eq!(
            trade_mark(&tickets),
            "SELECT COUNT_BIG(*) AS row_count, CAST(MAX([ID]) AS bigint) AS highest_id, \
             MAX([lastupdatetime]) AS newest_change FROM [dbo].[Odd ]]Table]"
        );
    }

    /// The whole vocabulary, to catch a word that would write. `SET` and `COMMIT` are the session's own.
    #[test]
    fn nothing_writes() {
        let any = table(&[("Id", "int")], &["Id"]);
        let everything: catalog::Views = ["columns", "types", "tables", "foreign_keys", "masked_columns"]
            .into_iter()
            .flat_map(|view| catalog::CHANGING.map(|column| (view.to_owned(), column.to_owned())))
            .collect();
        let texts = [
            SESSION.to_owned(),
            OPTIONAL_SETTINGS.concat(),
            DESCRIBE.to_owned(),
            catalog::VIEWS.to_owned(),
            catalog::columns(&everything),
            catalog::KEYS.to_owned(),
            catalog::foreign_keys(&everything),
            catalog::INDEXES.to_owned(),
            catalog::CHECKS.to_owned(),
            catalog::IDENTITIES.to_owned(),
            catalog::COMPUTED.to_owned(),
            catalog::kinds(&everything).unwrap(),
            catalog::MASKS.to_owned(),
            catalog::ROW_COUNTS.to_owned(),
            catalog::IS_THERE.to_owned(),
            catalog::count(&any.name),
            SNAPSHOT_ISOLATION.to_owned(),
            BEGIN.to_owned(),
            OPEN_TRANSACTIONS.to_owned(),
            AND_ROW_COUNT.to_owned(),
            COMMIT.to_owned(),
            READ_COMMITTED.to_owned(),
            page(&any, 1, Lower::AfterKey, true),
            select_item(&table(&[("x", "sql_variant")], &[]).columns[0]),
            whole(&any, true, true),
            trade_mark(&any),
            fingerprint::sums(&any, 512, fingerprint::Digest { binary_checksum: true, any_length: false }).unwrap(),
            fingerprint::PROBE_BINARY_CHECKSUM.to_owned(),
            fingerprint::PROBE_HASHBYTES.to_owned(),
            fingerprint::PROBE_ANY_LENGTH.to_owned(),
            categories(),
            sold_groups(1, 1),
        ];
        let writing =
            ["insert", "update", "delete", "merge", "into", "create", "alter", "drop", "exec", "truncate", "dbcc"];
        for text in texts {
            for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
                assert!(!writing.contains(&word.to_lowercase().as_str()), "{word} in {text}");
            }
        }
    }
}
