//! Recognises a clear: tickets that vanished together (DOMAIN §3.1, §3.2).
//!
//! Compares the tickets of two neighbouring snapshots by identity, not by Id, since Ids come back after a clear. Reads only
//! chunks that the two do not share. Promises: a first look is never a clear; a table that could not be read, or a till
//! whose catalog reads empty, is never a clear.

use std::collections::{HashMap, HashSet};

use crate::{
    archive::{
        Archive,
        snapshot::{ClearSeen, MissingTable, Snapshot, TableEntry},
    },
    error::Result,
    history::tickets::{TicketMark, ticket_marks},
};

const TICKETS: &str = "Tickets";

/// Catalog tables that survive every clear; at least one must have been read non-empty to believe in one.
const CATALOG: [&str; 4] = ["MenuItems", "Users", "Accounts", "Departments"];

/// What happened to the tickets since `previous`, or since the newest snapshot before it that has tickets; `None` when
/// nothing vanished that way.
///
/// # Errors
/// `Damage` or `Store` when chunks of the two states cannot be read.
pub async fn detect(
    archive: &Archive,
    previous: Option<&Snapshot>,
    entries: &[TableEntry],
    missing: &[MissingTable],
) -> Result<Option<ClearSeen>> {
    let Some(before) = tickets_before(archive, previous)? else { return Ok(None) };
    let Some(after) = tickets_of(entries) else { return Ok(None) };
    let is_catalog = |entry: &TableEntry| CATALOG.iter().any(|name| is_named(entry, name));
    let catalog_read = entries.iter().any(|entry| is_catalog(entry) && entry.rows > 0);
    if before.chunks == after.chunks
        || !catalog_read
        || missing.iter().any(|table| table.table.eq_ignore_ascii_case(TICKETS))
    {
        return Ok(None);
    }
    let shared: HashSet<&str> = after.chunks.iter().map(|chunk| chunk.content.as_str()).collect();
    let still: HashSet<&str> = before.chunks.iter().map(|chunk| chunk.content.as_str()).collect();
    let gone_side = without(&before, &shared);
    let new_side = without(after, &still);
    let old = ticket_marks(archive.root(), &gone_side)?;
    let new: HashMap<String, TicketMark> =
        ticket_marks(archive.root(), &new_side)?.into_iter().map(|mark| (mark.identity.clone(), mark)).collect();
    let vanished: Vec<TicketMark> = old.into_iter().filter(|mark| !new.contains_key(&mark.identity)).collect();
    if !vanished.iter().any(|mark| mark.closed) {
        return Ok(None);
    }
    // Only now the whole table matters: what is the oldest closed ticket that is still there?
    let remaining = ticket_marks(archive.root(), after)?;
    let oldest = remaining.iter().filter(|mark| mark.closed).map(|mark| mark.date).min();
    let cleared = vanished.iter().filter(|mark| mark.closed && oldest.is_none_or(|date| mark.date < date)).count();
    if cleared == 0 {
        return Ok(None);
    }
    let note = format!(
        "the till was cleared since the snapshot before: {} tickets are gone from it and stay here as history",
        vanished.len()
    );
    Ok(Some(ClearSeen { tickets_gone: vanished.len() as u64, note }))
}

/// The tickets of the newest snapshot that has them: the one before may have been taken while they could not be read.
fn tickets_before(archive: &Archive, previous: Option<&Snapshot>) -> Result<Option<TableEntry>> {
    let Some(previous) = previous else { return Ok(None) };
    if let Some(entry) = tickets_of(&previous.tables) {
        return Ok(Some(entry.clone()));
    }
    for number in archive.snapshot_numbers()?.into_iter().rev().filter(|number| *number < previous.snapshot) {
        if let Some(entry) = tickets_of(&archive.snapshot(number)?.tables) {
            return Ok(Some(entry.clone()));
        }
    }
    Ok(None)
}

fn tickets_of(entries: &[TableEntry]) -> Option<&TableEntry> {
    entries.iter().find(|entry| is_named(entry, TICKETS))
}

/// Letters match in either case: Babelfish keeps names in lower case.
fn is_named(entry: &TableEntry, name: &str) -> bool {
    entry.table.name.to_string().eq_ignore_ascii_case(name)
}

fn without(entry: &TableEntry, contents: &HashSet<&str>) -> TableEntry {
    let mut entry = entry.clone();
    entry.chunks.retain(|chunk| !contents.contains(chunk.content.as_str()));
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::snapshot::Ladder,
        model::table::{Table, TableName},
    };

    #[test]
    fn the_tickets_are_found_in_any_case() {
        for name in ["Tickets", "tickets"] {
            let table = Table::new(TableName::dbo(name), Vec::new());
            let entry = TableEntry { table, folder: name.into(), ladder: Ladder::Whole, rows: 0, chunks: Vec::new() };
            assert!(tickets_of(&[entry]).is_some(), "{name}");
        }
    }
}
