//! How large the till is, and what a full run may take: estimates, and said to be.

use std::{collections::BTreeMap, time::Duration};

use super::{Check, Part};
use crate::{
    config::Config,
    model::table::{Table, TableName},
    ops::doctor::{archive, words},
    source::sqlserver::examine::{Answer, Examination, Sample},
};

/// How many tables are named.
const NAMED: usize = 3;
/// Rows that a table needs to be read for a sample.
const SAMPLE_ROWS: u64 = 1000;
/// Bytes of the server's pages for one byte of the archive: tickets and order lines of a hotel restaurant come to a twelfth of
/// their size in memory, where text takes half of what it takes on the server. Rough.
const SHRINKS: u64 = 15;

/// Rows and bytes of what is taken, and the largest tables.
pub(super) fn size(selected: &[Table], found: &Examination) -> Check {
    let rows = match &found.rows {
        Ok(rows) => rows,
        Err(unanswered) => return Check::unknown(Part::Till, "size", format!("not known: {}", unanswered.reason)),
    };
    let mut message = format!("{} rows", words::number(sum(selected, rows)));
    if let Ok(bytes) = &found.bytes {
        message.push_str(&format!(" in {}", words::bytes(sum(selected, bytes))));
    }
    let by_size = found.bytes.as_ref().unwrap_or(rows);
    let mut largest: Vec<&Table> =
        selected.iter().filter(|table| rows.get(&table.name).is_some_and(|rows| *rows > 0)).collect();
    largest.sort_by_key(|table| std::cmp::Reverse(by_size.get(&table.name).copied().unwrap_or_default()));
    let largest: Vec<String> = largest
        .iter()
        .take(NAMED)
        .map(|table| {
            format!("{} ({} rows)", table.name, words::number(rows.get(&table.name).copied().unwrap_or_default()))
        })
        .collect();
    if !largest.is_empty() {
        message.push_str(&format!("; the largest: {}", largest.join(", ")));
    }
    Check::ok(Part::Till, "size", message)
}

/// The table whose reading tells most: the largest one that can be kept.
pub(super) fn best_sample<'t>(selected: &'t [Table], found: &Examination) -> Option<&'t Table> {
    let rows = found.rows.as_ref().ok()?;
    let weight = |table: &Table| {
        let bytes = found.bytes.as_ref().ok().and_then(|bytes| bytes.get(&table.name));
        bytes.or_else(|| rows.get(&table.name)).copied().unwrap_or_default()
    };
    let large = |table: &&Table| rows.get(&table.name).is_some_and(|rows| *rows >= SAMPLE_ROWS);
    let readable = |table: &&Table| table.unsupported().is_none() && may_read(&found.table_rights, &table.name);
    selected.iter().filter(large).filter(readable).max_by_key(|table| weight(table))
}

fn may_read(rights: &Answer<Vec<crate::source::sqlserver::examine::TableRights>>, table: &TableName) -> bool {
    rights.as_ref().map_or(true, |rights| rights.iter().all(|right| right.table != *table || right.read))
}

/// What a first, full run may take in time and room.
pub(super) fn first_run(
    config: &Config,
    selected: &[Table],
    found: &Examination,
    sample: Option<(&Table, Sample)>,
) -> Check {
    let room = found.bytes.as_ref().ok().map(|bytes| sum(selected, bytes) / SHRINKS);
    let time = match sample {
        None => "some seconds: the tables are small".to_owned(),
        Some((table, sample)) => {
            let rate = sample.rows as f64 / sample.time.as_secs_f64().max(0.001);
            let time = duration(selected, found, table, &sample);
            format!(
                "about {} (estimated: {} came at {} rows a second)",
                words::time(time),
                table.name,
                words::number(rounded(rate))
            )
        }
    };
    let message = match room {
        Some(room) => format!("a full run takes {time}; the archive will begin with roughly {}", words::bytes(room)),
        None => format!("a full run takes {time}"),
    };
    let there = config.archive.ancestors().find(|path| path.exists());
    let free = there.and_then(|path| archive::free_bytes(path).ok());
    if let (Some(room), Some(free)) = (room, free)
        && free < room
    {
        let fix = "Make room, or set archive in the settings to a folder on a larger disk.";
        return Check::warning(
            Part::Till,
            "first_run",
            format!("{message}, but only {} are free there", words::bytes(free)),
            fix,
        );
    }
    Check::ok(Part::Till, "first_run", message)
}

/// By rows, and by bytes where they are known: the longer of both.
fn duration(selected: &[Table], found: &Examination, table: &Table, sample: &Sample) -> Duration {
    let part = |all: &BTreeMap<TableName, u64>| {
        let of_table = all.get(&table.name).copied().unwrap_or_default().max(1) as f64;
        sum(selected, all) as f64 / of_table
    };
    let Ok(rows) = &found.rows else { return sample.time };
    let whole_table = sample.time.as_secs_f64() * rows.get(&table.name).copied().unwrap_or_default().max(1) as f64
        / sample.rows.max(1) as f64;
    let parts = found.bytes.as_ref().map_or_else(|_| part(rows), |bytes| part(rows).max(part(bytes)));
    Duration::try_from_secs_f64((whole_table * parts).max(1.0)).unwrap_or(Duration::MAX)
}

/// Two digits are all an estimate has.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive figure far below the limit")]
fn rounded(rate: f64) -> u64 {
    let step = 10_f64.powi((rate.max(1.0).log10().floor() as i32 - 1).max(0));
    ((rate / step).round() * step) as u64
}

fn sum(selected: &[Table], all: &BTreeMap<TableName, u64>) -> u64 {
    selected.iter().filter_map(|table| all.get(&table.name)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_two_digits() {
        assert_eq!(rounded(123_456.0), 120_000);
        assert_eq!(rounded(7.4), 7);
        assert_eq!(rounded(0.0), 0);
    }
}
