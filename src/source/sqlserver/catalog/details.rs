//! What only a restore needs to know of a table: indexes, checks, numbering, computed columns.
//!
//! Every question is asked on its own and may go unanswered: a server that lacks one of these views is still archived.

use tiberius::Row;

use super::{CLUSTERED, Catalog, Session, is_set, queries, required};
use crate::{
    error::Result,
    model::table::{Check, Computed, Index, IndexColumn, Numbering, Table},
    source::sqlserver::session::{integer, text},
};

/// `type` of a heap in `sys.indexes`.
const HEAP: i64 = 0;

/// Adds all of it to the catalog's tables.
///
/// # Errors
/// `Source` when the connection fails; a question that the server refuses is noted instead.
pub(super) async fn add(catalog: &mut Catalog, session: &mut Session) -> Result<()> {
    for row in catalog.optional(session, "its indexes", queries::INDEXES).await? {
        if let Some(table) = catalog.table(&row)? {
            add_index(table, &row)?;
        }
    }
    for row in catalog.optional(session, "its check constraints", queries::CHECKS).await? {
        let check = Check {
            name: required(&row, "check_name")?,
            expression: text(&row, "definition").unwrap_or_default(),
            disabled: is_set(&row, "is_disabled"),
            untrusted: is_set(&row, "is_not_trusted"),
        };
        if let Some(table) = catalog.table(&row)? {
            table.checks.push(check);
        }
    }
    for row in catalog.optional(session, "how it numbers identity columns", queries::IDENTITIES).await? {
        let numbering = text(&row, "seed").zip(text(&row, "increment"));
        if let Some(column) = catalog.column(&row)? {
            column.numbering = numbering.map(|(seed, increment)| Numbering { seed, increment });
        }
    }
    for row in catalog.optional(session, "its computed columns", queries::COMPUTED).await? {
        let expression = text(&row, "definition").unwrap_or_default();
        if let Some(column) = catalog.column(&row)? {
            column.computed = Some(Computed { expression, persisted: is_set(&row, "is_persisted") });
        }
    }
    for table in catalog.tables.values_mut() {
        table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
        table.checks.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(())
}

/// Rows of one index come one after the other, key columns in order, then those that are carried along.
fn add_index(table: &mut Table, row: &Row) -> Result<()> {
    let kind = integer(row, "index_type").unwrap_or_default();
    if kind == HEAP {
        table.heap = true;
        return Ok(());
    }
    let name = required(row, "index_name")?;
    if table.indexes.last().is_none_or(|last| last.name != name) {
        table.indexes.push(Index {
            name,
            unique: is_set(row, "is_unique"),
            constraint: is_set(row, "is_unique_constraint"),
            clustered: matches!(kind, CLUSTERED | 5),
            kind: word(kind),
            filter: text(row, "filter_definition"),
            disabled: is_set(row, "is_disabled"),
            ..Index::default()
        });
    }
    let (Some(index), Some(column)) = (table.indexes.last_mut(), text(row, "column_name")) else { return Ok(()) };
    if integer(row, "key_ordinal").unwrap_or_default() > 0 || matches!(kind, 3 | 4) {
        index.columns.push(IndexColumn { name: column, descending: is_set(row, "is_descending_key") });
    } else if is_set(row, "is_included_column") {
        index.included.push(column);
    }
    // What is left only tells partitions apart.
    Ok(())
}

/// `type` of `sys.indexes` in words, for all but plain ones.
fn word(kind: i64) -> Option<String> {
    let word = match kind {
        1 | 2 => return None,
        3 => "xml",
        4 => "spatial",
        5 | 6 => "columnstore",
        7 => "hash",
        _ => "other",
    };
    Some(word.to_owned())
}
