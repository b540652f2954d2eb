//! Who the tickets of a state are, across clears: their identity, creation time and whether they are closed.

use std::path::Path;

use super::session::{Session, SessionOptions};
use crate::{
    archive::snapshot::TableEntry,
    error::{Kind, OrFail as _, Result},
    model::identifier::quoted,
};

/// One ticket as far as recognising a clear needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketMark {
    /// `u:` + uid, else `f:` + number and creation time: both are set at creation and never edited (DOMAIN §4).
    pub identity: String,
    /// Creation time, microseconds of the till's wall clock; only good for comparing.
    pub date: i64,
    /// Whether it is closed.
    pub closed: bool,
}

/// The marks of all tickets in `tickets`, an entry of the table `Tickets`; its chunk files lie below `root`.
///
/// A till whose `Tickets` lacks a column that every known version has (`Date`, `IsClosed`) has no marks.
///
/// # Errors
/// `Damage` when a chunk is missing, `Query` when DuckDB cannot read one.
pub fn ticket_marks(root: &Path, tickets: &TableEntry) -> Result<Vec<TicketMark>> {
    let has = |name: &str| tickets.table.column(name).is_some();
    if tickets.chunks.is_empty() || !has("Date") || !has("IsClosed") {
        return Ok(Vec::new());
    }
    let number = if has("TicketNumber") { "coalesce(\"TicketNumber\", '')" } else { "''" };
    let fallback = format!("'f:' || {number} || '|' || epoch_us(\"Date\")");
    let identity = if has("TicketUid") {
        format!("CASE WHEN coalesce(\"TicketUid\", '') <> '' THEN 'u:' || \"TicketUid\" ELSE {fallback} END")
    } else {
        fallback
    };
    let session = Session::of_tables(root, std::slice::from_ref(tickets), &SessionOptions::default())?;
    let view = quoted(&tickets.table.name.to_string());
    let sql = format!("SELECT {identity}, epoch_us(\"Date\"), \"IsClosed\" FROM {view}");
    let read = || -> duckdb::Result<Vec<TicketMark>> {
        let mut statement = session.connection().prepare(&sql)?;
        let rows = statement
            .query_map([], |row| Ok(TicketMark { identity: row.get(0)?, date: row.get(1)?, closed: row.get(2)? }))?;
        rows.collect()
    };
    read().or_fail(Kind::Query, || format!("cannot read the tickets of {view}"))
}
