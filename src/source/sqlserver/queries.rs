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

use std::fmt::Write as _;

use super::variant;
use crate::model::{
    sql_type::SqlType,
    table::{Column, Table, TableName},
};

/// Rows of one page of a table with an integer key, at most. DOMAIN §11 asks for no more than 5,000.
pub const PAGE_ROWS: usize = 4096;

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

/// What stands in the select list for a column: [`value_expression`] under the column's name.
#[must_use]
pub fn select_item(column: &Column) -> String {
    let name = quote(&column.name);
    let expression = value_expression(column);
    if expression == name { name } else { format!("{expression} AS {name}") }
}

/// A column's values in the form the row reader takes.
///
/// Types that the wire carries in an awkward form are cast by the server, always without loss: `money` would pass through
/// binary floats, the old `ntext`, `text` and `image` have a protocol form of their own, text of a code page is turned into
/// Unicode by the one program that knows all code pages, a type of the CLR gives its bytes, and `sql_variant` a text that says
/// what each value is. Everything else is the plain column. docs/TYPES.md has the whole table.
#[must_use]
pub fn value_expression(column: &Column) -> String {
    let name = quote(&column.name);
    let target = match &column.sql_type {
        SqlType::Money => "decimal(19,4)".to_owned(),
        SqlType::SmallMoney => "decimal(10,4)".to_owned(),
        SqlType::Char { length: Some(n) } | SqlType::VarChar { length: Some(n) } if *n <= 4000 => {
            format!("nvarchar({n})")
        }
        SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NText
        | SqlType::Xml
        | SqlType::Json => "nvarchar(max)".to_owned(),
        SqlType::Image | SqlType::Clr(_) => "varbinary(max)".to_owned(),
        SqlType::RowVersion => "binary(8)".to_owned(),
        SqlType::Variant => return variant::expression(&name),
        _ => return name,
    };
    format!("CAST({name} AS {target})")
}

/// [`select_item`] for a reader that cannot decode every text: text comes as the bytes of its UTF-16.
#[must_use]
pub fn raw_select_item(column: &Column) -> String {
    let name = quote(&column.name);
    match &column.sql_type {
        SqlType::NChar { .. } | SqlType::NVarChar { .. } => format!("CAST({name} AS varbinary(max)) AS {name}"),
        SqlType::Char { .. } | SqlType::VarChar { .. } | SqlType::Text | SqlType::NText | SqlType::Xml => {
            format!("CAST(CAST({name} AS nvarchar(max)) AS varbinary(max)) AS {name}")
        }
        _ => select_item(column),
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lower {
    /// At the table's beginning.
    Start,
    /// After `@P1` in the column that leads the key.
    AfterLeading,
    /// After the key `(@P1, @P2, …)`: one parameter per key column.
    AfterKey,
}

/// One page of at most `rows` rows of `table` in key order: lower bound's parameters first, then the upper bound's, if `through` is set.
///
/// All key columns must be integers; ask [`is_paged`].
#[must_use]
pub fn page(table: &Table, rows: usize, lower: Lower, through: bool) -> String {
    page_of(table, select_item, rows, lower, through)
}

/// [`page`], with another way to select a column.
#[must_use]
pub fn page_of(table: &Table, item: fn(&Column) -> String, rows: usize, lower: Lower, through: bool) -> String {
    let mut conditions = Vec::new();
    let mut parameters = 0;
    match lower {
        Lower::Start => {}
        Lower::AfterLeading => {
            parameters = 1;
            conditions.extend(table.key.first().map(|leading| format!("{} > @P1", quote(leading))));
        }
        Lower::AfterKey => {
            parameters = table.key.len();
            conditions.push(after_key(&table.key, 1));
        }
    }
    if through {
        conditions.extend(table.key.first().map(|leading| format!("{} <= @P{}", quote(leading), parameters + 1)));
    }
    select(table, item, Some(rows), &conditions)
}

/// All rows of `table` in one statement, in key order if there is a key. For tables that cannot be paged. With `after` or
/// `through`, only those whose leading key column lies above `@P1` and not above the last parameter.
#[must_use]
pub fn whole(table: &Table, after: bool, through: bool) -> String {
    whole_of(table, select_item, after, through)
}

/// [`whole`], with another way to select a column.
#[must_use]
pub fn whole_of(table: &Table, item: fn(&Column) -> String, after: bool, through: bool) -> String {
    let leading = table.key.first().map(|name| quote(name));
    let mut conditions = Vec::new();
    if let (Some(leading), true) = (&leading, after) {
        conditions.push(format!("{leading} > @P1"));
    }
    if let (Some(leading), true) = (&leading, through) {
        conditions.push(format!("{leading} <= @P{}", 1 + usize::from(after)));
    }
    select(table, item, None, &conditions)
}

/// Whether the table is read in pages: it has a key and all columns of it are whole numbers.
///
/// Text is not used: a parameter and a column may be compared by other rules than those the column is sorted by, and a
/// page that starts in the wrong place loses rows.
#[must_use]
pub fn is_paged(table: &Table) -> bool {
    !table.key.is_empty()
        && table.key.iter().all(|name| table.column(name).is_some_and(|column| column.sql_type.is_integer()))
}

/// `k1 >= @P1 AND (k1 > @P1 OR (k2 >= @P2 AND (…)))`: the form that lets the server seek on the leading column.
fn after_key(key: &[String], first: usize) -> String {
    let Some((name, rest)) = key.split_first() else { return "1 = 0".to_owned() };
    let name = quote(name);
    if rest.is_empty() {
        return format!("{name} > @P{first}");
    }
    format!("{name} >= @P{first} AND ({name} > @P{first} OR ({}))", after_key(rest, first + 1))
}

fn select(table: &Table, item: fn(&Column) -> String, top: Option<usize>, conditions: &[String]) -> String {
    let mut text = String::from("SELECT ");
    if let Some(rows) = top {
        let _ = write!(text, "TOP ({rows}) ");
    }
    let items: Vec<String> = table.columns.iter().map(item).collect();
    let _ = write!(text, "{} FROM {}", items.join(", "), quote_table(&table.name));
    if !conditions.is_empty() {
        let _ = write!(text, " WHERE {}", conditions.join(" AND "));
    }
    if !table.key.is_empty() {
        let key: Vec<String> = table.key.iter().map(|name| quote(name)).collect();
        let _ = write!(text, " ORDER BY {}", key.join(", "));
    }
    text
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

/// Menu items with their kitchen course, by the raw scan of DOMAIN §9.1: the text between the first `"TV":"` after the
/// first `"TN":"Kitchen Course"` and the next quote. No match, or an empty one, gives NULL. 6 is the length of `"TV":"`.
const ITEMS_WITH_CATEGORY: &str = "\
SELECT c.item_id AS item_id, c.group_code AS group_code, \
CASE WHEN c.tv > 0 AND c.stop > c.tv + 6 THEN SUBSTRING(c.tags, c.tv + 6, c.stop - c.tv - 6) END AS category \
FROM (SELECT b.item_id AS item_id, b.group_code AS group_code, b.tags AS tags, b.tv AS tv, \
CASE WHEN b.tv > 0 THEN CHARINDEX(N'\"', b.tags, b.tv + 6) ELSE 0 END AS stop \
FROM (SELECT a.item_id AS item_id, a.group_code AS group_code, a.tags AS tags, \
CASE WHEN a.tn > 0 THEN CHARINDEX(N'\"TV\":\"', a.tags, a.tn) ELSE 0 END AS tv \
FROM (SELECT m.[Id] AS item_id, CAST(m.[GroupCode] AS nvarchar(max)) AS group_code, \
CAST(m.[CustomTags] AS nvarchar(max)) AS tags, \
CHARINDEX(N'\"TN\":\"Kitchen Course\"', CAST(m.[CustomTags] AS nvarchar(max))) AS tn \
FROM [dbo].[MenuItems] AS m) AS a) AS b) AS c";

/// Distinct kitchen courses of all menu items (DOMAIN §9.3), in no particular order.
#[must_use]
pub fn categories() -> String {
    format!("SELECT DISTINCT i.category AS category FROM ({ITEMS_WITH_CATEGORY}) AS i WHERE i.category <> N''")
}

/// Sold lines grouped by category and item name (DOMAIN §9.2, §9.6).
///
/// Parameters: `@P1` first day, `@P2` day after the last (both `datetime` at midnight), then `categories` texts, then
/// `groups` texts to exclude. Grouping follows the collation of the columns; of several spellings in one group the smallest
/// by code point is shown.
#[must_use]
pub fn sold_groups(categories: usize, groups: usize) -> String {
    let mut text = format!(
        "SELECT MIN(g.category COLLATE Latin1_General_BIN2) AS category, \
         MIN(g.item_name COLLATE Latin1_General_BIN2) AS item_name, \
         SUM(g.quantity) AS quantity, SUM(g.revenue) AS revenue \
         FROM (SELECT i.category AS category, \
         COALESCE(CAST(o.[MenuItemName] AS nvarchar(max)), N'') AS item_name, \
         ROUND(o.[Quantity], 2) AS quantity, o.[Price] * o.[Quantity] AS revenue \
         FROM [dbo].[Orders] AS o \
         INNER JOIN [dbo].[Tickets] AS t ON t.[Id] = o.[TicketId] \
         INNER JOIN ({ITEMS_WITH_CATEGORY}) AS i ON i.item_id = o.[MenuItemId] \
         WHERE t.[IsClosed] = 1 AND t.[Date] >= @P1 AND t.[Date] < @P2 \
         AND (o.[OrderStates] IS NULL \
         OR (CHARINDEX(N'\"S\":\"Void\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0 \
         AND CHARINDEX(N'\"S\":\"Canceled\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0)) \
         AND i.category IN ({})",
        parameters(3, categories)
    );
    if groups > 0 {
        let list = parameters(3 + categories, groups);
        let _ = write!(text, " AND (i.group_code IS NULL OR i.group_code NOT IN ({list}))");
    }
    text.push_str(") AS g GROUP BY g.category, g.item_name");
    text
}

fn parameters(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|number| format!("@P{number}")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn pages_go_on_after_the_whole_key() {
        let two = table(&[("Id", "int"), ("Order", "int")], &["Id", "Order"]);
        assert_eq!(
            page(&two, 512, Lower::Start, false),
            "SELECT TOP (512) [Id], [Order] FROM [dbo].[Odd ]]Table] ORDER BY [Id], [Order]"
        );
        assert_eq!(
            page(&two, 512, Lower::AfterLeading, true),
            "SELECT TOP (512) [Id], [Order] FROM [dbo].[Odd ]]Table] WHERE [Id] > @P1 AND [Id] <= @P2 ORDER BY [Id], [Order]"
        );
        assert_eq!(
            page(&two, 4096, Lower::AfterKey, true),
            "SELECT TOP (4096) [Id], [Order] FROM [dbo].[Odd ]]Table] \
             WHERE [Id] >= @P1 AND ([Id] > @P1 OR ([Order] > @P2)) AND [Id] <= @P3 ORDER BY [Id], [Order]"
        );
        let three = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(after_key(&three, 1), "[a] >= @P1 AND ([a] > @P1 OR ([b] >= @P2 AND ([b] > @P2 OR ([c] > @P3))))");
    }

    #[test]
    fn only_whole_number_keys_are_paged() {
        assert!(is_paged(&table(&[("Id", "int"), ("B", "bigint")], &["Id", "B"])));
        assert!(!is_paged(&table(&[("Id", "int"), ("Name", "nvarchar(10)")], &["Id", "Name"])));
        assert!(!is_paged(&table(&[("Version", "bigint")], &[])));
        assert_eq!(
            whole(&table(&[("Version", "bigint")], &[]), false, false),
            "SELECT [Version] FROM [dbo].[Odd ]]Table]"
        );
        assert_eq!(
            whole(&table(&[("Id", "int"), ("N", "nvarchar(9)")], &["Id", "N"]), false, true),
            "SELECT [Id], [N] FROM [dbo].[Odd ]]Table] WHERE [Id] <= @P1 ORDER BY [Id], [N]"
        );
    }

    #[test]
    fn awkward_types_are_cast_by_the_server() {
        let items = |sql_type: &str| select_item(&table(&[("x", sql_type)], &[]).columns[0]);
        assert_eq!(items("money"), "CAST([x] AS decimal(19,4)) AS [x]");
        assert_eq!(items("rowversion"), "CAST([x] AS binary(8)) AS [x]");
        assert_eq!(items("varchar(20)"), "CAST([x] AS nvarchar(20)) AS [x]");
        assert_eq!(items("varchar(8000)"), "CAST([x] AS nvarchar(max)) AS [x]");
        assert_eq!(items("image"), "CAST([x] AS varbinary(max)) AS [x]");
        assert_eq!(items("xml"), "CAST([x] AS nvarchar(max)) AS [x]");
        assert_eq!(items("json"), "CAST([x] AS nvarchar(max)) AS [x]");
        assert_eq!(items("geography"), "CAST([x] AS varbinary(max)) AS [x]");
        assert_eq!(items("clr(Point)"), "CAST([x] AS varbinary(max)) AS [x]");
        assert!(items("sql_variant").starts_with("CASE WHEN [x] IS NULL THEN NULL ELSE CAST(COALESCE("));
        assert!(items("sql_variant").ends_with(" ELSE N'?' END END AS [x]"));
        assert_eq!(items("nvarchar(max)"), "[x]");
        assert_eq!(items("datetime"), "[x]");
    }

    #[test]
    fn text_can_come_as_bytes() {
        let items = |sql_type: &str| raw_select_item(&table(&[("x", sql_type)], &[]).columns[0]);
        assert_eq!(items("nvarchar(20)"), "CAST([x] AS varbinary(max)) AS [x]");
        assert_eq!(items("ntext"), "CAST(CAST([x] AS nvarchar(max)) AS varbinary(max)) AS [x]");
        assert_eq!(items("varchar(20)"), "CAST(CAST([x] AS nvarchar(max)) AS varbinary(max)) AS [x]");
        assert_eq!(items("int"), "[x]");
        assert_eq!(items("image"), "CAST([x] AS varbinary(max)) AS [x]");
    }

    #[test]
    fn lists_are_parameters_one_by_one() {
        let text = sold_groups(2, 1);
        assert!(text.contains("i.category IN (@P3, @P4)"), "{text}");
        assert!(text.contains("i.group_code NOT IN (@P5)"), "{text}");
        assert!(!sold_groups(2, 0).contains("group_code IS NULL"));
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
