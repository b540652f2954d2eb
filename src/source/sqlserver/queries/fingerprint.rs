//! T-SQL for checksums that the server computes over rows that stay there (DESIGN D8).
//!
//! One statement per table gives, for every group of aligned leading keys, count, bounds and two sums of a digest of each row.
//! The row is digested in a form from which it could be read back: every kept column in turn, NULL told from empty, each
//! value in bytes or in text that is exact, of known length or ended by a sign that it cannot hold. So no two rows have the same
//! form, whatever the collation folds, and since the key is in it, rows that exchange their contents are seen.
//!
//! `BINARY_CHECKSUM` is weak: 32 bits, and of a (max) column it sees the first 255 characters alone. It is only ever the
//! second of two.

use super::{quote, quote_table};
use crate::model::{
    sql_type::SqlType,
    table::{Column, Table},
};
use crate::source::sqlserver::variant;

/// Bytes that are hashed in one go where the server takes no more than 8000: what it hashed before goes along.
const PIECE: u32 = 7_900;
/// Pieces of a row, at most, on such a server.
const PIECES: u32 = 4;
/// Bytes of a column up to which its form, with length or mark, fits into a type that is not (max).
const NARROW: u32 = 7_900;

/// How a server digests rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Whether the first sum is of `BINARY_CHECKSUM`, else of SHA1.
    pub binary_checksum: bool,
    /// Whether `HASHBYTES` takes any length (since SQL Server 2016), else 8000 bytes.
    pub any_length: bool,
}

impl Digest {
    /// For people, and in snapshots.
    #[must_use]
    pub fn name(self) -> &'static str {
        if self.binary_checksum { "BINARY_CHECKSUM, MD5" } else { "SHA1, MD5" }
    }
}

/// Whether the server knows `BINARY_CHECKSUM`.
pub const PROBE_BINARY_CHECKSUM: &str = "SELECT CAST(BINARY_CHECKSUM(1, N'a') AS bigint) AS found";
/// A row of known values in the form of [`sums`], and its MD5: a server that answers anything but [`HASHBYTES_ANSWER`] does not
/// digest rows as this module means it, whether it refuses or not. Babelfish adds up binaries where SQL Server puts one
/// after the other, and turns Unicode into a code page on its way to bytes; changes of a row would go unseen.
pub const PROBE_HASHBYTES: &str = "SELECT CAST(SUBSTRING(HASHBYTES('MD5', b.r), 1, 8) AS bigint) AS found FROM (SELECT \
CAST(0x01 AS varbinary(max)) + ISNULL(0x01 + CAST(CAST([n] AS bigint) AS binary(8)), 0x00) + \
ISNULL(0x01 + CAST(CAST([z] AS bigint) AS binary(8)), 0x00) + \
ISNULL(CAST(CAST([d] AS nvarchar(42)) + N';' AS varbinary(100)), 0x00) + \
ISNULL(CAST(CONVERT(nvarchar(40), [t], 121) + N';' AS varbinary(100)), 0x00) + \
ISNULL(CAST(CAST(DATALENGTH([w]) AS int) AS binary(4)) + CAST([w] AS varbinary(max)), 0xFFFFFFFF) AS r \
FROM (SELECT CAST(258 AS bigint) AS [n], CAST(NULL AS int) AS [z], CAST(12.30 AS decimal(16,2)) AS [d], \
CAST('2026-01-02T03:04:05.007' AS datetime) AS [t], CAST(N'\u{15f}\u{1f382}' AS nvarchar(max)) AS [w]) AS p) AS b";
/// What SQL Server answers to [`PROBE_HASHBYTES`].
pub const HASHBYTES_ANSWER: i64 = 988_963_772_306_091_285;
/// Whether it hashes more than 8000 bytes.
pub const PROBE_ANY_LENGTH: &str = "SELECT CAST(SUBSTRING(HASHBYTES('MD5', \
CAST(CAST(N'a' AS nchar(4000)) AS varbinary(max)) + CAST(0x01 AS varbinary(max))), 1, 8) AS bigint) AS found";
/// What a server that does answers to [`PROBE_ANY_LENGTH`].
pub const ANY_LENGTH_ANSWER: i64 = 1_383_892_679_871_352_114;

/// The sums of a table by groups of `open` keys; `None` when it has a type that has no exact form here, or no column.
///
/// The answer's columns are `block_group`, `row_count`, `lowest`, `highest`, `sum1`, `sum2`, `long_rows`.
#[must_use]
pub fn sums(table: &Table, open: u32, digest: Digest) -> Option<String> {
    let row = row_form(table)?;
    let from = quote_table(&table.name);
    let long = if digest.any_length {
        "CAST(0 AS bigint)".to_owned()
    } else {
        format!("CASE WHEN DATALENGTH(b.r) > {} THEN CAST(1 AS bigint) ELSE CAST(0 AS bigint) END", PIECE * PIECES)
    };
    let (first, checksum) = match binary_checksum(table).filter(|_| digest.binary_checksum) {
        Some(checksum) => ("CAST(b.c AS bigint)".to_owned(), format!("{checksum} AS c, ")),
        None => (hash("SHA1", digest), String::new()),
    };
    let (key, group) = match table.range_column() {
        Some(column) => (format!("CAST({} AS bigint)", quote(&column.name)), group("b.k", open)),
        None => ("CAST(NULL AS bigint)".to_owned(), "CAST(0 AS bigint)".to_owned()),
    };
    Some(format!(
        "SELECT d.g AS block_group, COUNT_BIG(*) AS row_count, MIN(d.k) AS lowest, MAX(d.k) AS highest, \
         SUM(CAST(d.c AS decimal(38,0))) AS sum1, SUM(CAST(d.h AS decimal(38,0))) AS sum2, SUM(d.l) AS long_rows \
         FROM (SELECT {group} AS g, b.k AS k, {first} AS c, {} AS h, {long} AS l \
         FROM (SELECT {key} AS k, {checksum}{row} AS r FROM {from}) AS b) AS d \
         GROUP BY d.g ORDER BY d.g",
        hash("MD5", digest)
    ))
}

/// The number of the group that a key is in: floor((key - 1) / open). T-SQL divides towards zero.
fn group(key: &str, open: u32) -> String {
    format!("CASE WHEN {key} > 0 THEN ({key} - 1) / {open} ELSE {key} / {open} - 1 END")
}

/// `BINARY_CHECKSUM` over all columns that can be compared.
fn binary_checksum(table: &Table) -> Option<String> {
    let comparable = table.columns.iter().filter(|column| {
        !matches!(
            column.sql_type,
            SqlType::Text
                | SqlType::NText
                | SqlType::Image
                | SqlType::Xml
                | SqlType::Json
                | SqlType::Variant
                | SqlType::Clr(_)
                | SqlType::Other(_)
        )
    });
    let names: Vec<String> = comparable.map(|column| quote(&column.name)).collect();
    (!names.is_empty()).then(|| format!("BINARY_CHECKSUM({})", names.join(", ")))
}

/// Eight bytes of the hash of `b.r`, as a number.
fn hash(algorithm: &str, digest: Digest) -> String {
    let whole = if digest.any_length {
        format!("HASHBYTES('{algorithm}', b.r)")
    } else {
        // The hash of what came before stands in front of each further piece.
        let piece = |at: u32| format!("CAST(SUBSTRING(b.r, {}, {PIECE}) AS varbinary({PIECE}))", at * PIECE + 1);
        let mut hashed = format!("HASHBYTES('{algorithm}', {})", piece(0));
        let mut cases = String::new();
        for at in 1..PIECES {
            cases += &format!("WHEN DATALENGTH(b.r) <= {} THEN {hashed} ", at * PIECE);
            hashed = format!("HASHBYTES('{algorithm}', {hashed} + {})", piece(at));
        }
        format!("CASE {cases}ELSE {hashed} END")
    };
    format!("CAST(SUBSTRING({whole}, 1, 8) AS bigint)")
}

/// A row as bytes that tell it from every other row.
fn row_form(table: &Table) -> Option<String> {
    let columns: Vec<String> = table.columns.iter().map(column_form).collect::<Option<_>>()?;
    // The first part makes the whole (max): anything else would be cut at 8000 bytes.
    (!columns.is_empty()).then(|| format!("CAST(0x01 AS varbinary(max)) + {}", columns.join(" + ")))
}

fn column_form(column: &Column) -> Option<String> {
    let name = quote(&column.name);
    let fixed = |value: String| Some(format!("ISNULL(0x01 + {value}, 0x00)"));
    // Digits and points, never a semicolon; the first byte is never zero.
    let spelled = |text: String| Some(format!("ISNULL(CAST({text} + N';' AS varbinary(100)), 0x00)"));
    let sized = |value: &str, bytes: Option<u32>| {
        let width = match bytes.filter(|bytes| *bytes <= NARROW) {
            Some(bytes) => bytes.to_string(),
            None => "max".to_owned(),
        };
        let length = format!("CAST(CAST(DATALENGTH({value}) AS int) AS binary(4))");
        Some(format!("ISNULL({length} + CAST({value} AS varbinary({width})), 0xFFFFFFFF)"))
    };
    let times = |length: &Option<u16>, bytes: u32| length.map(|length| u32::from(length) * bytes);
    match &column.sql_type {
        SqlType::Bit | SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            fixed(format!("CAST(CAST({name} AS bigint) AS binary(8))"))
        }
        SqlType::Float => fixed(format!("CAST({name} AS binary(8))")),
        SqlType::Real => fixed(format!("CAST({name} AS binary(4))")),
        SqlType::RowVersion => fixed(format!("CAST({name} AS binary(8))")),
        SqlType::UniqueIdentifier => fixed(format!("CAST({name} AS binary(16))")),
        SqlType::Decimal { .. } => spelled(format!("CAST({name} AS nvarchar(42))")),
        SqlType::Money => spelled(format!("CAST(CAST({name} AS decimal(19,4)) AS nvarchar(42))")),
        SqlType::SmallMoney => spelled(format!("CAST(CAST({name} AS decimal(10,4)) AS nvarchar(42))")),
        SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. } => spelled(format!("CONVERT(nvarchar(40), {name}, 121)")),
        SqlType::Char { length } | SqlType::VarChar { length } => sized(&name, times(length, 1)),
        SqlType::NChar { length } | SqlType::NVarChar { length } => sized(&name, times(length, 2)),
        SqlType::Binary { length } | SqlType::VarBinary { length } => sized(&name, times(length, 1)),
        SqlType::Text => sized(&format!("CAST({name} AS varchar(max))"), None),
        SqlType::NText | SqlType::Xml | SqlType::Json => sized(&format!("CAST({name} AS nvarchar(max))"), None),
        SqlType::Image | SqlType::Clr(_) => sized(&format!("CAST({name} AS varbinary(max))"), None),
        SqlType::Variant => sized(&format!("({})", variant::expression(&name)), None),
        SqlType::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::TableName;

    const USUAL: Digest = Digest { binary_checksum: true, any_length: true };

    fn table(columns: &[(&str, &str)], key: &[&str]) -> Table {
        let column = |(name, sql_type): &(&str, &str)| Column::new(*name, sql_type.parse().unwrap());
        Table::new(TableName::dbo("T]"), columns.iter().map(column).collect()).with_key(key)
    }

    #[test]
    fn one_statement_for_all_groups() {
        let table = table(&[("Id", "int"), ("Note", "nvarchar(max)")], &["Id"]);
        assert_eq!(
            sums(&table, 512, USUAL).unwrap(),
            "SELECT d.g AS block_group, COUNT_BIG(*) AS row_count, MIN(d.k) AS lowest, MAX(d.k) AS highest, \
             SUM(CAST(d.c AS decimal(38,0))) AS sum1, SUM(CAST(d.h AS decimal(38,0))) AS sum2, SUM(d.l) AS long_rows \
             FROM (SELECT CASE WHEN b.k > 0 THEN (b.k - 1) / 512 ELSE b.k / 512 - 1 END AS g, b.k AS k, \
             CAST(b.c AS bigint) AS c, CAST(SUBSTRING(HASHBYTES('MD5', b.r), 1, 8) AS bigint) AS h, \
             CAST(0 AS bigint) AS l \
             FROM (SELECT CAST([Id] AS bigint) AS k, BINARY_CHECKSUM([Id], [Note]) AS c, \
             CAST(0x01 AS varbinary(max)) + ISNULL(0x01 + CAST(CAST([Id] AS bigint) AS binary(8)), 0x00) + \
             ISNULL(CAST(CAST(DATALENGTH([Note]) AS int) AS binary(4)) + CAST([Note] AS varbinary(max)), 0xFFFFFFFF) AS r \
             FROM [dbo].[T]]]) AS b) AS d GROUP BY d.g ORDER BY d.g"
        );
    }

    /// The arithmetic of [`group`], with division towards zero as in T-SQL.
    #[test]
    fn groups_are_those_of_the_blocks() {
        let number = |key: i64| if key > 0 { (key - 1) / 512 } else { key / 512 - 1 };
        for key in [1, 2, 512, 513, 0, -1, -511, -512, -513, -1_024, i64::MIN, i64::MAX] {
            assert_eq!(i128::from(number(key)), (i128::from(key) - 1).div_euclid(512), "{key}");
        }
    }

    #[test]
    fn values_are_told_apart_exactly() {
        let form = |sql_type: &str| column_form(&table(&[("x", sql_type)], &[]).columns[0]).unwrap();
        let spelled = |text: &str| format!("ISNULL(CAST({text} + N';' AS varbinary(100)), 0x00)");
        assert_eq!(form("money"), spelled("CAST(CAST([x] AS decimal(19,4)) AS nvarchar(42))"));
        assert_eq!(form("decimal(38,9)"), spelled("CAST([x] AS nvarchar(42))"));
        for sql_type in ["datetime", "datetime2(7)", "datetimeoffset(3)", "date", "time(7)", "smalldatetime"] {
            assert_eq!(form(sql_type), spelled("CONVERT(nvarchar(40), [x], 121)"));
        }
        assert_eq!(form("float"), "ISNULL(0x01 + CAST([x] AS binary(8)), 0x00)");
        let sized = |value: &str, width: &str| {
            format!(
                "ISNULL(CAST(CAST(DATALENGTH({value}) AS int) AS binary(4)) + CAST({value} AS varbinary({width})), 0xFFFFFFFF)"
            )
        };
        assert_eq!(form("varchar(20)"), sized("[x]", "20"));
        assert_eq!(form("nvarchar(20)"), sized("[x]", "40"));
        // 4 bytes more would not fit into varbinary(8000).
        assert_eq!(form("nvarchar(4000)"), sized("[x]", "max"));
        assert_eq!(form("ntext"), sized("CAST([x] AS nvarchar(max))", "max"));
        assert_eq!(form("text"), sized("CAST([x] AS varchar(max))", "max"));
        assert_eq!(form("image"), sized("CAST([x] AS varbinary(max))", "max"));
    }

    #[test]
    fn the_probe_has_the_form_of_a_row() {
        let columns =
            [("n", "bigint"), ("z", "int"), ("d", "decimal(16,2)"), ("t", "datetime"), ("w", "nvarchar(max)")];
        assert!(PROBE_HASHBYTES.contains(&row_form(&table(&columns, &[])).unwrap()));
        assert!(PROBE_HASHBYTES.contains(&hash("MD5", USUAL)));
    }

    #[test]
    fn what_cannot_be_compared_is_only_hashed() {
        let all = table(&[("Id", "int"), ("A", "ntext"), ("B", "xml"), ("C", "varchar(max)")], &["Id"]);
        assert_eq!(binary_checksum(&all).unwrap(), "BINARY_CHECKSUM([Id], [C])");
        let heap = table(&[("A", "ntext")], &[]);
        let text = sums(&heap, 512, USUAL).unwrap();
        assert!(text.contains("HASHBYTES('SHA1', b.r)") && !text.contains("BINARY_CHECKSUM"), "{text}");
        assert!(text.contains("SELECT CAST(0 AS bigint) AS g"), "{text}");
        assert_eq!(sums(&table(&[("Id", "int"), ("A", "odd_type")], &["Id"]), 512, USUAL), None);
    }

    #[test]
    fn old_servers_hash_pieces_that_hang_together() {
        let table = table(&[("Id", "int")], &["Id"]);
        let text = sums(&table, 512, Digest { binary_checksum: false, any_length: false }).unwrap();
        assert!(
            text.contains("WHEN DATALENGTH(b.r) <= 7900 THEN HASHBYTES('MD5', CAST(SUBSTRING(b.r, 1, 7900)"),
            "{text}"
        );
        assert!(text.contains("CASE WHEN DATALENGTH(b.r) > 31600 THEN CAST(1 AS bigint)"), "{text}");
        assert_eq!(text.matches("SUBSTRING(b.r, 23701, 7900)").count(), 2);
    }
}
