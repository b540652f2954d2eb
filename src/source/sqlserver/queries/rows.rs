//! The T-SQL that reads rows: pages in key order, or a whole table in one statement, and the form in which values are asked for.
//!
//! Promise: every value comes without loss in a form that both drivers read exactly.

use std::fmt::Write as _;

use super::{quote, quote_table};
use crate::{
    model::{
        sql_type::SqlType,
        table::{Column, Table},
    },
    source::sqlserver::variant,
};

/// Rows of one page of a table with an integer key, at most. DOMAIN §11 asks for no more than 5,000.
pub const PAGE_ROWS: usize = 4096;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::TableName;

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
}
