//! The till's tables of one snapshot as DuckDB views, in the shape the normalising SQL expects.
//!
//! Each view is named like its table and has every column the SQL reads: columns a till lacks (V3 has no `TicketUid`) are
//! NULL, tables it lacks are empty. `raw_data` is a JSON object of all further columns of that table, without NULLs and
//! without secrets (DESIGN D5). Chunk files may lack columns that are all NULL; that makes no difference.

use std::path::{Path, PathBuf};

use duckdb::Connection;

use crate::{
    archive::snapshot::{Snapshot, TableEntry},
    error::{Error, Kind, OrFail, Result},
    model::{identifier::quoted, sql_type::SqlType},
};

/// A source table as the SQL reads it.
pub(crate) struct Expected {
    pub(crate) name: &'static str,
    /// Columns that have a column of their own in the replica (or are joined on), with their DuckDB type.
    own: &'static [(&'static str, &'static str)],
    /// Columns the SQL reads that stay in `raw_data`, too.
    also: &'static [(&'static str, &'static str)],
}

const INT: &str = "INTEGER";
const TEXT: &str = "VARCHAR";
const FLAG: &str = "BOOLEAN";
const TIME: &str = "TIMESTAMP";
const MONEY: &str = "DECIMAL(16,2)";

/// Columns that are never copied to the replica (DOMAIN §11), in any letter case.
const SECRET: &[&str] =
    &["PaymentData", "ProcessorSettings", "PinCode", "Password", "Secret", "RefreshToken", "LicenseKey"];

/// A catalog table of which only the name is read.
const NAMED: &[(&str, &str)] = &[("Id", INT), ("Name", TEXT)];

/// Every table the normalising SQL reads.
#[rustfmt::skip]
pub(crate) const TABLES: &[Expected] = &[
    Expected {
        name: "Tickets",
        own: &[
            ("Id", INT), ("TicketUid", TEXT), ("TicketNumber", TEXT), ("Date", TIME), ("LastUpdateTime", TIME),
            ("LastOrderDate", TIME), ("LastPaymentDate", TIME), ("TotalAmount", MONEY), ("RemainingAmount", MONEY),
            ("TotalAmountPreTax", MONEY), ("TaxIncluded", FLAG), ("IsClosed", FLAG), ("DepartmentId", INT),
            ("TicketTypeId", INT), ("TerminalId", INT), ("Note", TEXT), ("TicketTags", TEXT), ("TicketStates", TEXT),
            ("TicketLogs", TEXT),
        ],
        also: &[],
    },
    Expected {
        name: "Orders",
        own: &[
            ("Id", INT), ("TicketId", INT), ("MenuItemId", INT), ("MenuItemName", TEXT), ("PortionName", TEXT),
            ("Price", MONEY), ("Quantity", "DECIMAL(16,3)"), ("CalculatePrice", FLAG), ("DecreaseInventory", FLAG),
            ("IncreaseInventory", FLAG), ("OrderNumber", INT), ("CreatingUserName", TEXT), ("CreatedDateTime", TIME),
            ("PriceTag", TEXT), ("OrderUid", TEXT), ("Taxes", TEXT), ("OrderTags", TEXT), ("OrderStates", TEXT),
            ("DepartmentId", INT),
        ],
        also: &[("ProductTimerValueId", INT)],
    },
    Expected {
        name: "Payments",
        own: &[
            ("Id", INT), ("TicketId", INT), ("PaymentTypeId", INT), ("Date", TIME), ("Amount", MONEY),
            ("TenderedAmount", MONEY), ("UserId", INT),
        ],
        also: &[("Name", TEXT), ("AccountTransaction_Id", INT), ("AccountTransaction_AccountTransactionDocumentId", INT)],
    },
    Expected {
        name: "ChangePayments",
        own: &[("Id", INT), ("TicketId", INT), ("ChangePaymentTypeId", INT), ("Date", TIME), ("Amount", "DECIMAL(18,2)"), ("UserId", INT)],
        also: &[("Name", TEXT), ("AccountTransaction_Id", INT), ("AccountTransaction_AccountTransactionDocumentId", INT)],
    },
    Expected {
        name: "Calculations",
        own: &[
            ("Id", INT), ("TicketId", INT), ("Name", TEXT), ("Order", INT), ("CalculationTypeId", INT),
            ("AccountTransactionTypeId", INT), ("CalculationType", INT), ("IncludeTax", FLAG), ("DecreaseAmount", FLAG),
            ("UsePlainSum", FLAG), ("Amount", MONEY), ("CalculationAmount", MONEY),
        ],
        also: &[],
    },
    Expected {
        name: "TicketEntities",
        own: &[
            ("Id", INT), ("Ticket_Id", INT), ("EntityTypeId", INT), ("EntityId", INT), ("AccountId", INT),
            ("AccountTypeId", INT), ("EntityName", TEXT), ("EntityCustomData", TEXT),
        ],
        also: &[],
    },
    Expected { name: "AccountTransactions", own: &[("Id", INT), ("AccountTransactionDocumentId", INT), ("IsReversed", FLAG)], also: &[] },
    Expected {
        name: "AccountTransactionValues",
        own: &[
            ("Id", INT), ("AccountTransactionId", INT), ("AccountTransactionDocumentId", INT), ("AccountId", INT),
            ("Debit", MONEY), ("Credit", MONEY),
        ],
        also: &[],
    },
    Expected {
        name: "MenuItems",
        own: &[("Id", INT), ("Name", TEXT), ("GroupCode", TEXT), ("Barcode", TEXT), ("Tag", TEXT), ("CustomTags", TEXT)],
        also: &[],
    },
    Expected { name: "MenuItemPortions", own: &[("Id", INT), ("MenuItemId", INT), ("Name", TEXT), ("Multiplier", INT)], also: &[] },
    Expected { name: "MenuItemPrices", own: &[("Id", INT), ("MenuItemPortionId", INT), ("PriceTag", TEXT), ("Price", MONEY)], also: &[] },
    Expected { name: "ScreenMenus", own: &[("Id", INT)], also: &[] },
    Expected { name: "ScreenMenuCategories", own: &[("Id", INT), ("ScreenMenuId", INT)], also: &[] },
    Expected { name: "ScreenMenuItems", own: &[("ScreenMenuCategoryId", INT), ("MenuItemId", INT)], also: &[] },
    Expected { name: "Accounts", own: NAMED, also: &[("AccountTypeId", INT)] },
    Expected { name: "AccountTypes", own: NAMED, also: &[] },
    Expected {
        name: "Entities",
        own: &[("Id", INT), ("EntityTypeId", INT), ("AccountId", INT), ("CustomData", TEXT), ("Name", TEXT)],
        also: &[],
    },
    Expected { name: "EntityTypes", own: NAMED, also: &[] },
    Expected { name: "PaymentTypes", own: NAMED, also: &[] },
    Expected { name: "ChangePaymentTypes", own: NAMED, also: &[] },
    Expected { name: "Departments", own: NAMED, also: &[] },
    Expected { name: "TicketTypes", own: NAMED, also: &[] },
    Expected { name: "Users", own: NAMED, also: &[] },
];

/// The entry of a table; the server's letter case does not matter.
pub(crate) fn entry<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a TableEntry> {
    snapshot.tables.iter().find(|entry| entry.table.name.to_string().eq_ignore_ascii_case(name))
}

/// Creates the views over the chunk files below `root`.
///
/// # Errors
/// `Damage` when a chunk file is missing or cannot be read.
pub(crate) fn create(conn: &Connection, root: &Path, snapshot: &Snapshot) -> Result<()> {
    for expected in TABLES {
        let entry = entry(snapshot, expected.name);
        let files = entry.map(|entry| files(root, entry)).transpose()?.unwrap_or_default();
        conn.execute_batch(&view(expected, entry, &files)).or_fail(Kind::Damage, || {
            format!("the chunks of table {} in snapshot {} cannot be read", expected.name, snapshot.snapshot)
        })?;
    }
    Ok(())
}

fn files(root: &Path, entry: &TableEntry) -> Result<Vec<PathBuf>> {
    entry
        .chunks
        .iter()
        .map(|chunk| {
            let path = root.join("tables").join(&entry.folder).join(chunk.file_name());
            if path.is_file() {
                Ok(path)
            } else {
                Err(Error::new(Kind::Damage, format!("chunk {} is missing", path.display()))
                    .hint("`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive"))
            }
        })
        .collect()
}

/// The statement that creates one view.
fn view(expected: &Expected, entry: Option<&TableEntry>, files: &[PathBuf]) -> String {
    let declared = entry.map(|entry| entry.table.columns.as_slice()).unwrap_or_default();
    let read = || expected.own.iter().chain(expected.also);
    let owned = |name: &str| expected.own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let secret = |name: &str| SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name));
    // Zero rows with every column that is read, so that each exists whatever the files hold.
    let mut anchor: Vec<String> = read().map(|(name, kind)| format!("NULL::{kind} AS {}", quoted(name))).collect();
    let mut selected: Vec<String> =
        read().map(|(name, kind)| format!("CAST({0} AS {kind}) AS {0}", quoted(name))).collect();
    let mut raw = Vec::new();
    for column in declared.iter().filter(|column| column.sql_type.arrow().is_some()) {
        let name = quoted(&column.name);
        if !read().any(|(read, _)| read.eq_ignore_ascii_case(&column.name)) {
            anchor.push(format!("NULL::{} AS {name}", duckdb_type(&column.sql_type)));
        }
        if !owned(&column.name) && !secret(&column.name) {
            let key = literal(&format!("{}:", serde_json::Value::from(column.name.as_str())));
            let value = if duckdb_type(&column.sql_type) == "BLOB" { format!("hex({name})") } else { name.clone() };
            raw.push(format!("CASE WHEN {name} IS NOT NULL THEN {key} || CAST(to_json({value}) AS VARCHAR) END"));
        }
    }
    selected.push(if raw.is_empty() {
        "'{}' AS raw_data".to_owned()
    } else {
        format!("'{{' || concat_ws(',', {}) || '}}' AS raw_data", raw.join(", "))
    });
    let mut rows = format!("SELECT {} WHERE false", anchor.join(", "));
    if !files.is_empty() {
        let list: Vec<String> = files.iter().map(|file| literal(&file.to_string_lossy())).collect();
        rows.push_str(&format!(
            " UNION ALL BY NAME SELECT * FROM read_parquet([{}], union_by_name = true, hive_partitioning = false)",
            list.join(", ")
        ));
    }
    format!("CREATE OR REPLACE VIEW {} AS SELECT {} FROM ({rows})", quoted(expected.name), selected.join(", "))
}

/// The DuckDB type of the Parquet column; only used for columns that may be absent from a file.
fn duckdb_type(sql_type: &SqlType) -> String {
    use arrow::datatypes::DataType;
    match sql_type.arrow() {
        Some(DataType::Boolean) => "BOOLEAN".into(),
        Some(DataType::Int16) => "SMALLINT".into(),
        Some(DataType::Int32) => INT.into(),
        Some(DataType::Int64) => "BIGINT".into(),
        Some(DataType::Decimal128(precision, scale)) => format!("DECIMAL({precision},{scale})"),
        Some(DataType::Float32) => "FLOAT".into(),
        Some(DataType::Float64) => "DOUBLE".into(),
        Some(DataType::Date32) => "DATE".into(),
        Some(DataType::Time64(_)) => "TIME".into(),
        Some(DataType::Timestamp(..)) => TIME.into(),
        Some(DataType::Binary) => "BLOB".into(),
        _ => TEXT.into(),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
