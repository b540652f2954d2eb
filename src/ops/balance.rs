//! The sum check on closed tickets (DOMAIN §11): what remains to pay = total − payments + change given.
//!
//! A ticket and its payments that were read at different moments may disagree. Where the till gave no read transaction, this
//! looks at what a run has just archived: only the columns it needs, only tickets in chunks that the snapshot before did not
//! have, with all their payments. A ticket that disagreed in just the same way before is the till's own affair (rounding,
//! foreign currency, old data) and is not told again; of a first snapshot only tickets that the till changed during the run are
//! looked at.
//!
//! It is a check, not a judgement: nothing is changed, and a till without these tables or columns is not checked.

use std::collections::{HashMap, HashSet};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use jiff::civil::DateTime;

use crate::{
    archive::{
        Archive,
        snapshot::{Chunk, MissingTable, TableEntry},
    },
    error::{Kind, OrFail as _, Result},
};

/// Places behind the point that amounts are compared with; the till has two.
const SCALE: i8 = 6;
/// A deviation up to this is rounding: 0.01.
const TOLERANCE: i128 = 10_000;
/// How far clocks of the till's machines may be apart, in microseconds: a change by the till's own time is looked for from so much
/// before the run on.
const CLOCKS: i64 = 3_600_000_000;
/// From which times are counted.
const EPOCH: DateTime = jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0);
/// Tickets that a warning names.
const NAMED: usize = 10;

/// A closed ticket whose amounts do not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Id.
    pub id: i64,
    /// Number on the bill, if it has one.
    pub number: Option<String>,
    /// What remains to pay minus what should remain, in millionths.
    pub difference: i128,
}

/// One closed ticket; amounts in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ticket {
    id: i64,
    number: Option<String>,
    total: i128,
    remaining: i128,
    /// When the till changed it last, microseconds of its wall clock.
    changed: Option<i64>,
}

/// The closed tickets among `now` that this run brought and that do not add up, by Id. `before` are the tables of the snapshot
/// before; `began` is the till's wall clock when the run began.
///
/// # Errors
/// `Damage` when a chunk cannot be read.
pub fn check(
    archive: &Archive,
    before: Option<&[TableEntry]>,
    now: &[TableEntry],
    missing: &[MissingTable],
    began: DateTime,
) -> Result<Vec<Deviation>> {
    let (Some(tickets), Some(_)) = (named(now, "Tickets"), named(now, "Payments")) else { return Ok(Vec::new()) };
    if missing.iter().any(|table| table.table.eq_ignore_ascii_case("ChangePayments")) {
        return Ok(Vec::new());
    }
    let former = before.and_then(|tables| named(tables, "Tickets"));
    let known: HashSet<&str> =
        former.iter().flat_map(|entry| &entry.chunks).map(|chunk| chunk.content.as_str()).collect();
    let is_new = |chunk: &&Chunk| !known.contains(chunk.content.as_str());
    let mut found = closed_tickets(archive, tickets, tickets.chunks.iter().filter(is_new))?;
    if former.is_none() {
        let since = began.duration_since(EPOCH).as_micros();
        let since = i64::try_from(since).unwrap_or(i64::MAX).saturating_sub(CLOCKS);
        found.retain(|ticket| ticket.changed.is_some_and(|changed| changed >= since));
    }
    let mut deviations = deviating(archive, &found, now)?;
    if let (Some(former), Some(before), false) = (former, before, deviations.is_empty()) {
        // How were these tickets before? Only the blocks that changed can tell of them.
        let kept: HashSet<&str> = tickets.chunks.iter().map(|chunk| chunk.content.as_str()).collect();
        let mut old =
            closed_tickets(archive, former, former.chunks.iter().filter(|c| !kept.contains(c.content.as_str())))?;
        let ids: HashSet<i64> = deviations.iter().map(|deviation| deviation.id).collect();
        old.retain(|ticket| ids.contains(&ticket.id));
        let old = deviating(archive, &old, before)?;
        deviations.retain(|deviation| !old.contains(deviation));
    }
    Ok(deviations)
}

/// The warning for these tickets; `None` when there are none.
#[must_use]
pub fn warning(deviations: &[Deviation]) -> Option<String> {
    if deviations.is_empty() {
        return None;
    }
    let named: Vec<String> = deviations
        .iter()
        .take(NAMED)
        .map(|deviation| match deviation.number.as_deref().filter(|number| !number.trim().is_empty()) {
            Some(number) => format!("{number} (Id {})", deviation.id),
            None => format!("Id {}", deviation.id),
        })
        .collect();
    let more = match deviations.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "check of closed tickets: total, payments and what remains do not add up for {}{more}. The till allows no read \
         transaction, so they may have been read while they changed; the next snapshot reads them again",
        named.join(", ")
    ))
}

/// Letters match in either case: Babelfish keeps names in lower case.
fn named<'a>(entries: &'a [TableEntry], name: &str) -> Option<&'a TableEntry> {
    entries.iter().find(|entry| entry.table.name.to_string().eq_ignore_ascii_case(name))
}

/// The till's own spelling of a column.
fn column<'a>(entry: &'a TableEntry, name: &str) -> Option<&'a str> {
    let columns = &entry.table.columns;
    columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).map(|column| column.name.as_str())
}

fn closed_tickets<'a>(
    archive: &Archive,
    entry: &TableEntry,
    chunks: impl Iterator<Item = &'a Chunk>,
) -> Result<Vec<Ticket>> {
    let wanted = ["Id", "IsClosed", "TotalAmount", "RemainingAmount"].map(|name| column(entry, name));
    let [Some(id), Some(closed), Some(total), Some(remaining)] = wanted else { return Ok(Vec::new()) };
    let (number, changed) = (column(entry, "TicketNumber"), column(entry, "LastUpdateTime"));
    let names: Vec<&str> = [id, closed, total, remaining].into_iter().chain(number).chain(changed).collect();
    let mut tickets = Vec::new();
    for chunk in chunks {
        let rows = archive.read_chunk_columns(entry, chunk, &names)?;
        let ids = whole(&rows, id)?;
        let closed = typed(&rows, closed, &DataType::Boolean)?;
        let (total, remaining) = (amounts(&rows, total)?, amounts(&rows, remaining)?);
        let number = number.map(|name| typed(&rows, name, &DataType::Utf8)).transpose()?;
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let changed = changed.map(|name| typed(&rows, name, &time)).transpose()?;
        for row in 0..rows.num_rows() {
            let (Some(id), true) = (ids[row], closed.is_valid(row) && closed.as_boolean().value(row)) else { continue };
            let number = number.as_ref().filter(|texts| texts.is_valid(row));
            let changed = changed.as_ref().filter(|times| times.is_valid(row));
            tickets.push(Ticket {
                id,
                number: number.map(|texts| texts.as_string::<i32>().value(row).to_owned()),
                total: total[row],
                remaining: remaining[row],
                changed: changed.map(|times| times.as_primitive::<TimestampMicrosecondType>().value(row)),
            });
        }
    }
    Ok(tickets)
}

/// Those of `tickets` that do not add up with the payments of the same state, by Id.
fn deviating(archive: &Archive, tickets: &[Ticket], state: &[TableEntry]) -> Result<Vec<Deviation>> {
    let ids: HashSet<i64> = tickets.iter().map(|ticket| ticket.id).collect();
    let mut paid = HashMap::new();
    for (table, sign) in [("Payments", 1), ("ChangePayments", -1)] {
        match named(state, table) {
            Some(entry) if !ids.is_empty() => add_payments(archive, entry, &ids, sign, &mut paid)?,
            _ => {}
        }
    }
    Ok(unbalanced(tickets, &paid))
}

/// Adds what was paid to each of the tickets, or with −1 what was given back.
fn add_payments(
    archive: &Archive,
    entry: &TableEntry,
    ids: &HashSet<i64>,
    sign: i128,
    paid: &mut HashMap<i64, i128>,
) -> Result<()> {
    let (Some(ticket), Some(amount)) = (column(entry, "TicketId"), column(entry, "Amount")) else { return Ok(()) };
    for chunk in &entry.chunks {
        let rows = archive.read_chunk_columns(entry, chunk, &[ticket, amount])?;
        let amounts = amounts(&rows, amount)?;
        for (ticket, amount) in whole(&rows, ticket)?.into_iter().zip(amounts) {
            if let Some(ticket) = ticket.filter(|ticket| ids.contains(ticket)) {
                *paid.entry(ticket).or_default() += sign * amount;
            }
        }
    }
    Ok(())
}

/// The rule itself.
fn unbalanced(tickets: &[Ticket], paid: &HashMap<i64, i128>) -> Vec<Deviation> {
    let mut deviations: Vec<Deviation> = tickets
        .iter()
        .filter_map(|ticket| {
            let expected = ticket.total - paid.get(&ticket.id).copied().unwrap_or_default();
            let difference = ticket.remaining - expected;
            let number = ticket.number.clone();
            (difference.abs() > TOLERANCE).then_some(Deviation { id: ticket.id, number, difference })
        })
        .collect();
    deviations.sort_by_key(|deviation| deviation.id);
    deviations
}

fn typed(rows: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    let failed = || format!("column {name} holds values that cannot be checked");
    let array = rows.column_by_name(name).ok_or("it is not there").or_fail(Kind::Bug, failed)?;
    cast(array, data_type).or_fail(Kind::Damage, failed)
}

fn whole(rows: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    Ok(typed(rows, name, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
}

/// Amounts in millionths; NULL is nothing.
fn amounts(rows: &RecordBatch, name: &str) -> Result<Vec<i128>> {
    let array = typed(rows, name, &DataType::Decimal128(38, SCALE))?;
    Ok(array.as_primitive::<Decimal128Type>().iter().map(Option::unwrap_or_default).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: i64, total: i128, remaining: i128) -> Ticket {
        let number = (id != 3).then(|| format!("{}", 1000 + id));
        Ticket { id, number, total: total * 10_000, remaining: remaining * 10_000, changed: None }
    }

    /// Amounts in hundredths.
    fn paid(entries: &[(i64, i128)]) -> HashMap<i64, i128> {
        entries.iter().map(|(id, amount)| (*id, amount * 10_000)).collect()
    }

    #[test]
    fn what_remains_is_the_total_less_what_was_paid() {
        let tickets = [
            ticket(1, 5_000, 0),
            ticket(2, 5_000, 0),
            ticket(3, 1_000, 0),
            ticket(4, 1_000, 1_000),
            ticket(5, -700, 0),
        ];
        let found = unbalanced(&tickets, &paid(&[(1, 5_000), (2, 4_000), (5, -700), (9, 1)]));
        let expected = [
            Deviation { id: 2, number: Some("1002".into()), difference: -10_000_000 },
            Deviation { id: 3, number: None, difference: -10_000_000 },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cent_is_rounding() {
        let tickets = [ticket(1, 5_000, 1), ticket(2, 5_000, 2), ticket(4, 5_000, -1)];
        let found = unbalanced(&tickets, &paid(&[(1, 5_000), (2, 5_000), (4, 5_000)]));
        assert_eq!(found.iter().map(|deviation| deviation.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_warning_names_ten_and_counts_the_rest() {
        assert_eq!(warning(&[]), None);
        let many: Vec<Deviation> =
            (1..=12).map(|id| Deviation { id, number: (id != 2).then(|| format!("N{id}")), difference: 1 }).collect();
        let text = warning(&many).unwrap();
        assert!(text.contains("N1 (Id 1), Id 2, N3 (Id 3)") && text.contains("N10 (Id 10) and 2 more."), "{text}");
        assert!(!text.contains("N11"), "{text}");
        assert!(!warning(&many[..10]).unwrap().contains("more."));
    }
}
