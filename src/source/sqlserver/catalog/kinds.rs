//! Tables that are more than plain ones, and columns that the server does not show as they are.
//!
//! Two things must not be archived as if they were true, and are left out and named instead: columns that the server masks
//! for this login (dynamic data masking gives a made-up value where the right UNMASK is missing), and external tables, whose
//! rows lie in another place. All others are base tables with rows of their own and are taken: current and history tables of
//! system versioning, memory-optimised tables, file tables (their rows; `hierarchyid` keys), graph nodes and edges.

use std::collections::{BTreeMap, BTreeSet};

use tiberius::Row;

use super::{Catalog, Session, Views, is_set, queries, required, table_name};
use crate::{
    error::Result,
    model::table::{Table, TableName},
    source::{
        secrets,
        sqlserver::session::{integer, text},
    },
};

/// Sets the kinds of all tables, takes external ones out, and masked columns. `columns` is the answer about columns.
///
/// # Errors
/// `Source` when the connection fails.
pub(super) async fn settle(catalog: &mut Catalog, session: &mut Session, views: &Views, columns: &[Row]) -> Result<()> {
    if let Some(question) = queries::kinds(views) {
        for row in catalog.optional(session, "what kinds of tables it has", &question).await? {
            let name = table_name(&row)?;
            if is_set(&row, "is_external") {
                catalog.tables.remove(&name);
                let message = format!("table {name} is external, its rows lie in another place: it is not archived");
                catalog.about.entry(name).or_default().push(message);
            } else if let Some(table) = catalog.tables.get_mut(&name) {
                set_kind(table, &row);
            }
        }
    }
    let mut masked: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
    for row in columns.iter().filter(|row| is_set(row, "is_masked")) {
        masked.entry(table_name(row)?).or_default().insert(required(row, "column_name")?);
    }
    if masked.is_empty() {
        return Ok(());
    }
    // Without an answer no value is known to be true.
    for row in catalog.optional(session, "whether it shows masked columns", queries::MASKS).await? {
        if !(integer(&row, "unmask_all") == Some(1) || integer(&row, "unmask_table") == Some(1)) {
            continue;
        }
        let (table, column) = (table_name(&row)?, required(&row, "column_name")?);
        masked.entry(table).or_default().remove(&column);
        if let Some(column) = catalog.column(&row)? {
            column.mask = text(&row, "masking_function");
        }
    }
    for (name, columns) in masked.into_iter().filter(|(_, columns)| !columns.is_empty()) {
        leave_out(catalog, &name, &columns);
    }
    Ok(())
}

/// Takes masked columns out of a table, and the table out of the catalog when nothing else is in it.
fn leave_out(catalog: &mut Catalog, name: &TableName, columns: &BTreeSet<String>) {
    let Some(table) = catalog.tables.remove(name) else { return };
    let (mut table, gone) = secrets::without(table, |column| columns.contains(&column.name));
    let message = format!(
        "the till shows this login masked values in table {name}, columns {}: they are not archived. An administrator can show \
         the true ones by GRANT UNMASK TO [the login's user]",
        gone.join(", ")
    );
    catalog.about.entry(name.clone()).or_default().push(message);
    if !table.columns.is_empty() {
        table.masked = gone;
        catalog.tables.insert(name.clone(), table);
    }
}

fn set_kind(table: &mut Table, row: &Row) {
    let temporal = integer(row, "temporal_type").unwrap_or_default();
    let kind = match temporal {
        1 => "history",
        // Its history is not memory-optimised.
        2 if is_set(row, "is_memory_optimized") => "system versioned, memory optimised",
        2 => "system versioned",
        _ if is_set(row, "is_memory_optimized") => "memory optimised",
        _ if is_set(row, "is_filetable") => "file table",
        _ if is_set(row, "is_node") => "graph node",
        _ if is_set(row, "is_edge") => "graph edge",
        _ if is_set(row, "ledger_type") => "ledger",
        _ => return,
    };
    table.kind = Some(kind.to_owned());
    table.history =
        text(row, "history_schema").zip(text(row, "history_table")).map(|(schema, name)| TableName { schema, name });
}
