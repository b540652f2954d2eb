//! What tables the till has: discovered at run time, never assumed (DOMAIN §11).
//!
//! Promises: names keep the server's case; types of users are resolved to the system types below them; an unknown type is
//! carried by its name, for the reader to refuse; a catalog that cannot be read, or that shows nothing, is an error and
//! never an empty list. What only a restore needs (`details`) may be lacking where a server does not tell it; what would be
//! wrong if it were archived (`kinds`: masked columns, tables that lie elsewhere) is left out and named.
//!
//! Start with [`read`].

mod details;
mod kinds;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::Int64Type,
};
use tiberius::Row;

use super::{
    queries::catalog::{self as queries, Views},
    rows::Value,
    session::{Session, integer, pseudo_table, text},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{Column, ForeignKey, PrimaryKey, Table, TableName, UserType},
    },
    observe::Event,
};

/// What is being done, for messages.
const DOING: &str = "read the till's catalog";
/// `system_type_id` of all types of the CLR.
const CLR: i64 = 240;
/// `type` of a clustered index in `sys.indexes`.
const CLUSTERED: i64 = 1;

/// The till's catalog.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// All base tables the login can see, secret columns included, by name.
    pub(super) tables: BTreeMap<TableName, Table>,
    /// What a person should know of a table that is taken.
    pub(super) about: BTreeMap<TableName, Vec<String>>,
    /// What the server did not tell, for people.
    pub(super) untold: Vec<Event>,
}

impl Catalog {
    /// Asks a question whose answer a run can do without. A server that does not know the question is no error.
    async fn optional(&mut self, session: &mut Session, what: &str, text: &str) -> Result<Vec<Row>> {
        match session.ask(DOING, None, text, &[]).await {
            Ok(rows) => Ok(rows),
            Err(error) if error.is_temporary() => Err(error),
            Err(error) => {
                let message = format!("the till does not tell {what}: {}", error.message());
                self.untold.push(Event::Note { message });
                Ok(Vec::new())
            }
        }
    }

    /// The table a row is about; `None` for one made between the questions: it has no columns here and is one for the next run.
    fn table(&mut self, row: &Row) -> Result<Option<&mut Table>> {
        Ok(self.tables.get_mut(&table_name(row)?))
    }

    /// The column a row is about.
    fn column(&mut self, row: &Row) -> Result<Option<&mut Column>> {
        let name = required(row, "column_name")?;
        Ok(self.table(row)?.and_then(|table| table.columns.iter_mut().find(|column| column.name == name)))
    }
}

/// Reads the catalog.
///
/// # Errors
/// `Source` when the catalog cannot be read or shows no table.
pub(super) async fn read(session: &mut Session) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    let views: Views = catalog
        .optional(session, "which columns its catalog has", queries::VIEWS)
        .await?
        .iter()
        .filter_map(|row| Some((text(row, "view_name")?, text(row, "column_name")?)))
        .collect();
    let columns = session.ask(DOING, None, &queries::columns(&views), &[]).await?;
    let keys = session.ask(DOING, None, queries::KEYS, &[]).await?;
    let foreign = session.ask(DOING, None, &queries::foreign_keys(&views), &[]).await?;
    for row in &columns {
        let name = table_name(row)?;
        let column = column(row)?;
        catalog.tables.entry(name).or_insert_with_key(|name| Table::new(name.clone(), Vec::new())).columns.push(column);
    }
    if catalog.tables.is_empty() {
        return Err(Error::new(Kind::Source, "the till's database shows no table to this login").hint(
            "is it the right database? the login needs db_datareader: ALTER ROLE db_datareader ADD MEMBER [user]",
        ));
    }
    for row in &keys {
        if let Some(table) = catalog.table(row)? {
            add_key(table, row)?;
        }
    }
    for row in &foreign {
        if let Some(table) = catalog.table(row)? {
            add_foreign_key(table, row)?;
        }
    }
    for table in catalog.tables.values_mut() {
        table.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
    }
    details::add(&mut catalog, session).await?;
    kinds::settle(&mut catalog, session, &views, &columns).await?;
    Ok(catalog)
}

/// The till's rows of one table, asked at the moment that a read would see; `None` when its catalog has no such table for this login.
///
/// # Errors
/// `Source` when the till cannot answer.
pub(super) async fn count(session: &mut Session, table: &TableName) -> Result<Option<u64>> {
    let names = [Value::Text(table.schema.clone()), Value::Text(table.name.clone())];
    let columns = Arc::new(pseudo_table("count", &[("found", SqlType::BigInt)]));
    let found = session.answer(DOING, Some(table), queries::IS_THERE, &names, &columns).await?;
    let figure = |batch: &RecordBatch| {
        let counts = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        counts
            .and_then(|counts| counts.iter().next().flatten())
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Error::new(Kind::Source, format!("the till did not count table {table}")).hint("run again"))
    };
    if figure(&found)? == 0 {
        return Ok(None);
    }
    let text = queries::count(table);
    let rows = session.answer("count the rows of table", Some(table), &text, &[], &columns).await?;
    figure(&rows).map(Some)
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

/// Rows of one key come in its order.
fn add_key(table: &mut Table, row: &Row) -> Result<()> {
    let column = required(row, "column_name")?;
    let key = table.primary_key.get_or_insert_with(|| PrimaryKey {
        name: text(row, "index_name").unwrap_or_default(),
        clustered: integer(row, "index_type") == Some(CLUSTERED),
        descending: Vec::new(),
    });
    if is_set(row, "is_descending_key") {
        key.descending.push(column.clone());
    }
    table.key.push(column);
    Ok(())
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
            on_delete: action(row, "delete_referential_action"),
            on_update: action(row, "update_referential_action"),
            disabled: is_set(row, "is_disabled"),
            untrusted: is_set(row, "is_not_trusted"),
        }),
    }
    Ok(())
}

/// What a foreign key does when the other row goes; `None` when it refuses.
fn action(row: &Row, column: &str) -> Option<String> {
    let words = match integer(row, column)? {
        1 => "cascade",
        2 => "set null",
        3 => "set default",
        _ => return None,
    };
    Some(words.to_owned())
}

/// A bit of an answer; a column that did not come is not set.
fn is_set(row: &Row, column: &str) -> bool {
    integer(row, column).unwrap_or_default() != 0
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
    let type_name = required(row, "type_name")?;
    let clr = number("system_type_id") == CLR;
    let mut column = Column {
        name: required(row, "column_name")?,
        sql_type: if clr {
            SqlType::clr(&type_name)
        } else {
            sql_type(&type_name, number("max_length"), number("precision_digits"), number("scale_digits"))
        },
        nullable: is_set(row, "is_nullable"),
        identity: is_set(row, "is_identity"),
        collation: text(row, "collation_name"),
        default: text(row, "default_definition"),
        default_name: text(row, "default_name"),
        clr,
        generated: match number("generated_always_type") {
            1 => Some("row start".to_owned()),
            2 => Some("row end".to_owned()),
            _ => None,
        },
        sparse: is_set(row, "is_sparse"),
        column_set: is_set(row, "is_column_set"),
        row_guid: is_set(row, "is_rowguidcol"),
        ..Column::default()
    };
    if is_set(row, "is_user_defined")
        && let (Some(schema), Some(name)) = (text(row, "declared_schema"), text(row, "declared_name"))
    {
        column.user_type = Some(UserType { schema, name });
    }
    if integer(row, "encryption_type").is_some() {
        // Without the client's key the server gives out the cipher's bytes, whatever the declared type.
        column.encrypted = Some(column.sql_type.to_string());
        column.sql_type = SqlType::VarBinary { length: None };
        column.collation = None;
    }
    Ok(column)
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
