//! Names as quoted identifiers of standard SQL, for DuckDB and PostgreSQL. T-SQL has its own (`source::sqlserver`).

/// A name in double quotes, quotes inside doubled.
///
/// ```
/// assert_eq!(tillvault::model::identifier::quoted("Order \"Tags\""), "\"Order \"\"Tags\"\"\"");
/// ```
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
