//! What tables the till has: discovered at run time, never assumed (DOMAIN §11).
//!
//! Promises: names keep the server's case; types of users are resolved to the system types below them; an unknown type is
//! carried by its name, for the reader to refuse; a catalog that cannot be read, or that shows nothing, is an error and
//! never an empty list.

use std::collections::BTreeMap;

use tiberius::Row;

use super::{
    queries,
    session::{Session, integer, text},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{Column, ForeignKey, Table, TableName},
    },
};

/// All base tables the login can see, secret columns included, by name.
///
/// # Errors
/// `Source` when the catalog cannot be read or shows no table.
pub(super) async fn all_tables(session: &mut Session) -> Result<BTreeMap<TableName, Table>> {
    let columns = session.ask("read the till's catalog", None, queries::COLUMNS, &[]).await?;
    let keys = session.ask("read the till's catalog", None, queries::KEYS, &[]).await?;
    let foreign = session.ask("read the till's catalog", None, queries::FOREIGN_KEYS, &[]).await?;

    let mut tables: BTreeMap<TableName, Table> = BTreeMap::new();
    for row in &columns {
        let name = table_name(row)?;
        let column = column(row)?;
        tables.entry(name).or_insert_with_key(empty).columns.push(column);
    }
    if tables.is_empty() {
        return Err(Error::new(Kind::Source, "the till's database shows no table to this login").hint(
            "is it the right database? the login needs db_datareader: ALTER ROLE db_datareader ADD MEMBER [user]",
        ));
    }
    // A table made between the questions has no columns here: it is one for the next run.
    for row in &keys {
        if let Some(table) = tables.get_mut(&table_name(row)?) {
            table.key.push(required(row, "column_name")?);
        }
    }
    for row in &foreign {
        if let Some(table) = tables.get_mut(&table_name(row)?) {
            add_foreign_key(table, row)?;
        }
    }
    Ok(tables)
}

/// Rows of each table by the server's own book-keeping.
///
/// # Errors
/// `Source` when the catalog cannot be read.
pub(super) async fn row_counts(session: &mut Session) -> Result<BTreeMap<TableName, u64>> {
    let rows = session.ask("count the till's rows", None, queries::ROW_COUNTS, &[]).await?;
    rows.iter()
        .map(|row| {
            let count = integer(row, "row_count").unwrap_or_default();
            Ok((table_name(row)?, u64::try_from(count).unwrap_or_default()))
        })
        .collect()
}

fn empty(name: &TableName) -> Table {
    Table::new(name.clone(), Vec::new())
}

/// Rows of one constraint come one after the other, in column order.
fn add_foreign_key(table: &mut Table, row: &Row) -> Result<()> {
    let name = required(row, "key_name")?;
    let references =
        TableName { schema: required(row, "referenced_schema")?, name: required(row, "referenced_table")? };
    let column = required(row, "column_name")?;
    let referenced = required(row, "referenced_column")?;
    match table.foreign_keys.last_mut().filter(|last| last.name == name) {
        Some(last) => {
            last.columns.push(column);
            last.referenced_columns.push(referenced);
        }
        None => table.foreign_keys.push(ForeignKey {
            name,
            columns: vec![column],
            references,
            referenced_columns: vec![referenced],
            ..ForeignKey::default()
        }),
    }
    Ok(())
}

fn table_name(row: &Row) -> Result<TableName> {
    Ok(TableName { schema: required(row, "schema_name")?, name: required(row, "table_name")? })
}

fn required(row: &Row, column: &str) -> Result<String> {
    text(row, column).ok_or_else(|| {
        Error::new(Kind::Source, format!("the till's catalog has a row without {column}"))
            .hint("the login may lack the right to see it: ALTER ROLE db_datareader ADD MEMBER [user]")
    })
}

fn column(row: &Row) -> Result<Column> {
    let number = |name: &str| integer(row, name).unwrap_or_default();
    Ok(Column {
        name: required(row, "column_name")?,
        sql_type: sql_type(
            &required(row, "type_name")?,
            number("max_length"),
            number("precision_digits"),
            number("scale_digits"),
        ),
        nullable: number("is_nullable") != 0,
        identity: number("is_identity") != 0,
        collation: text(row, "collation_name"),
        default: text(row, "default_definition"),
        ..Column::default()
    })
}

/// A type from its parts as `sys.columns` has them: `max_length` in bytes, −1 for `max`.
fn sql_type(name: &str, max_length: i64, precision: i64, scale: i64) -> SqlType {
    let bytes = u16::try_from(max_length).ok();
    let characters = bytes.map(|bytes| bytes / 2);
    let digits = |number: i64| u8::try_from(number).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "bit" => SqlType::Bit,
        "tinyint" => SqlType::TinyInt,
        "smallint" => SqlType::SmallInt,
        "int" => SqlType::Int,
        "bigint" => SqlType::BigInt,
        "decimal" | "numeric" => SqlType::Decimal { precision: digits(precision), scale: digits(scale) },
        "money" => SqlType::Money,
        "smallmoney" => SqlType::SmallMoney,
        "real" => SqlType::Real,
        "float" => SqlType::Float,
        "date" => SqlType::Date,
        "time" => SqlType::Time { scale: digits(scale) },
        "datetime" => SqlType::DateTime,
        "smalldatetime" => SqlType::SmallDateTime,
        "datetime2" => SqlType::DateTime2 { scale: digits(scale) },
        "datetimeoffset" => SqlType::DateTimeOffset { scale: digits(scale) },
        "char" => SqlType::Char { length: bytes },
        "varchar" => SqlType::VarChar { length: bytes },
        "text" => SqlType::Text,
        "nchar" => SqlType::NChar { length: characters },
        "nvarchar" | "sysname" => SqlType::NVarChar { length: characters },
        "ntext" => SqlType::NText,
        "binary" => SqlType::Binary { length: bytes },
        "varbinary" => SqlType::VarBinary { length: bytes },
        "image" => SqlType::Image,
        "timestamp" | "rowversion" => SqlType::RowVersion,
        "uniqueidentifier" => SqlType::UniqueIdentifier,
        "xml" => SqlType::Xml,
        // sql_variant, json, and the types of the CLR that every server has; all others by name, for the reader to refuse.
        other => other.parse().unwrap_or_else(|_| SqlType::Other(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_the_declaration_s_units() {
        let spelled = |name, length, precision, scale| sql_type(name, length, precision, scale).to_string();
        assert_eq!(spelled("nvarchar", 500, 0, 0), "nvarchar(250)");
        assert_eq!(spelled("nvarchar", -1, 0, 0), "nvarchar(max)");
        assert_eq!(spelled("varchar", 8000, 0, 0), "varchar(8000)");
        assert_eq!(spelled("varbinary", -1, 0, 0), "varbinary(max)");
        assert_eq!(spelled("numeric", 9, 16, 2), "decimal(16,2)");
        assert_eq!(spelled("datetime2", 8, 27, 7), "datetime2(7)");
        assert_eq!(spelled("time", 3, 8, 0), "time(0)");
        assert_eq!(spelled("timestamp", 8, 0, 0), "rowversion");
        assert_eq!(spelled("HIERARCHYID", 892, 0, 0), "hierarchyid");
    }
}
