//! Checksums of rows that stay on the server (DESIGN D8): asks for them, and finds out what the server can compute.
//!
//! What a server has is tried, never concluded from its version, and what it computes is compared with what is right: a server
//! that reads the same text in another way would give sums that miss changes. A statement that the server refuses leads to the next form
//! of it, then to "cannot", so that the table is read in full, and one that takes too long leads there at once; a lock, a lost
//! connection or a missing right is an error as everywhere. The answers come as rows of a table that is declared here, so they take the way of all rows, inside the read
//! transaction.

use std::sync::Arc;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Decimal128Type, Int64Type},
};

use super::{
    fault::Fault,
    queries::fingerprint::{self, Digest},
    session::{Session, pseudo_table},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        sql_type::SqlType,
        table::{Table, TableName},
    },
    source::{GroupSum, Sums, TableSums},
};

/// Errors that are about the table or the moment, not about a function: reading would meet them, too.
const NOT_A_REFUSAL: [u32; 12] = [207, 208, 229, 230, 262, 300, 701, 916, 1204, 1205, 1222, 3961];

/// What the server can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ability {
    /// Checksums of this kind.
    Digest(Digest),
    /// None that can be trusted; why, for people.
    Nothing(&'static str),
}

/// Why there is no answer.
enum Stopped {
    /// The server does not understand the statement; its words.
    Refused(String),
    /// The server did not come to an end in time. The connection is given up, and a read transaction with it.
    TooSlow(Error),
    /// Anything else.
    Failed(Error),
}

/// Finds out what the server can compute. Best done outside of a transaction: a refusal may end it.
///
/// # Errors
/// `Source` when the connection breaks.
pub(super) async fn ability(session: &mut Session) -> Result<Ability> {
    match answer(session, fingerprint::PROBE_HASHBYTES).await? {
        None => return Ok(Ability::Nothing("the server has no HASHBYTES")),
        Some(fingerprint::HASHBYTES_ANSWER) => {}
        Some(_) => return Ok(Ability::Nothing("the server does not digest rows as SQL Server does")),
    }
    Ok(Ability::Digest(Digest {
        binary_checksum: answer(session, fingerprint::PROBE_BINARY_CHECKSUM).await?.is_some(),
        any_length: answer(session, fingerprint::PROBE_ANY_LENGTH).await? == Some(fingerprint::ANY_LENGTH_ANSWER),
    }))
}

/// What the server answers to a probe, `None` when it refuses it. No answer at all is a wrong one.
async fn answer(session: &mut Session, probe: &str) -> Result<Option<i64>> {
    let answer = pseudo_table("probe", &[("found", SqlType::BigInt)]);
    match ask(session, probe, answer, None).await {
        Ok(batch) => {
            let found = batch.column_by_name("found").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let found = found.filter(|found| found.len() == 1 && found.is_valid(0)).map(|found| found.value(0));
            Ok(Some(found.unwrap_or_default()))
        }
        Err(Stopped::Refused(_)) => Ok(None),
        Err(Stopped::TooSlow(error) | Stopped::Failed(error)) => Err(error),
    }
}

/// The sums of a table. That the server takes too long over them is no error: where it computes for longer than a statement
/// may take, it can still send the rows. A read transaction is lost by that; whoever reads next is told.
///
/// # Errors
/// `Source`, as for reading it.
pub(super) async fn sums(session: &mut Session, ability: Ability, table: &Table, open: u32) -> Result<Sums> {
    let digest = match ability {
        Ability::Digest(digest) => digest,
        Ability::Nothing(why) => return Ok(Sums::Cannot(why.into())),
    };
    let mut forms = vec![digest];
    if digest.binary_checksum {
        forms.push(Digest { binary_checksum: false, ..digest });
    }
    let mut refusal = String::new();
    for digest in forms {
        let Some(text) = fingerprint::sums(table, open, digest) else {
            return Ok(Sums::Cannot("a column has a type that is not summed up".into()));
        };
        match ask(session, &text, answer_table(), Some(&table.name)).await {
            Ok(batch) => {
                let groups = groups_of(table, &batch)?;
                let form = form_of(&text, table);
                return Ok(Sums::Table(TableSums { checksums: digest.name().into(), form, groups }));
            }
            Err(Stopped::Refused(said)) => refusal = said,
            Err(Stopped::TooSlow(_)) => {
                let seconds = session.patience().as_secs_f32();
                return Ok(Sums::Cannot(format!("the server did not sum it up within {seconds} seconds")));
            }
            Err(Stopped::Failed(error)) => return Err(error),
        }
    }
    Ok(Sums::Cannot(format!("the server refused to sum it up ({refusal})")))
}

/// The statement and the types behind it.
fn form_of(text: &str, table: &Table) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes());
    for column in &table.columns {
        let collation = column.collation.as_deref().unwrap_or_default();
        hasher.update(format!("\0{}\0{}\0{collation}", column.name, column.sql_type).as_bytes());
    }
    hex::encode(&hasher.finalize().as_bytes()[..16])
}

fn answer_table() -> Table {
    let sum = SqlType::Decimal { precision: 38, scale: 0 };
    let columns = [
        ("block_group", SqlType::BigInt),
        ("row_count", SqlType::BigInt),
        ("lowest", SqlType::BigInt),
        ("highest", SqlType::BigInt),
        ("sum1", sum.clone()),
        ("sum2", sum),
        ("long_rows", SqlType::BigInt),
    ];
    pseudo_table("sums", &columns)
}

fn groups_of(table: &Table, batch: &RecordBatch) -> Result<Vec<GroupSum>> {
    let odd = || Error::new(Kind::Source, format!("the till's checksums of table {} make no sense", table.name));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(odd);
    let whole = |name: &str, row: usize| -> Result<Option<i64>> {
        let values = column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(odd)?;
        Ok(values.is_valid(row).then(|| values.value(row)))
    };
    let count = |name: &str, row: usize| -> Result<u64> {
        whole(name, row)?.and_then(|value| u64::try_from(value).ok()).ok_or_else(odd)
    };
    let sum = |name: &str, row: usize| -> Result<i128> {
        let values = column(name)?.as_primitive_opt::<Decimal128Type>().ok_or_else(odd)?;
        if values.is_valid(row) { Ok(values.value(row)) } else { Err(odd()) }
    };
    let group = |row: usize| -> Result<GroupSum> {
        Ok(GroupSum {
            group: whole("block_group", row)?.ok_or_else(odd)?,
            rows: count("row_count", row)?,
            lowest: whole("lowest", row)?,
            highest: whole("highest", row)?,
            sum1: sum("sum1", row)?,
            sum2: sum("sum2", row)?,
            long_rows: count("long_rows", row)?,
        })
    };
    (0..batch.num_rows()).map(group).collect()
}

/// The answer of a statement as rows of `answer`.
async fn ask(
    session: &mut Session,
    text: &str,
    answer: Table,
    table: Option<&TableName>,
) -> Result<RecordBatch, Stopped> {
    let outcome = session.try_answer("sum up table", table, text, &[], &Arc::new(answer)).await;
    outcome.map_err(|unanswered| match (unanswered.fault.as_ref().and_then(refusal), &unanswered.fault) {
        (Some(said), _) => Stopped::Refused(said),
        (None, Some(Fault::TimedOut)) => Stopped::TooSlow(unanswered.error),
        (None, _) => Stopped::Failed(unanswered.error),
    })
}

/// What the server says when it does not understand a statement.
fn refusal(fault: &Fault) -> Option<String> {
    match fault {
        Fault::Server { number, class, .. } if *class <= 16 && !NOT_A_REFUSAL.contains(number) => {
            Some(format!("error {number}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_hang_on_the_types_too() {
        let table = |sql_type: SqlType| pseudo_table("T", &[("x", sql_type)]);
        let (int, bigint) = (table(SqlType::Int), table(SqlType::BigInt));
        let digest = Digest { binary_checksum: true, any_length: true };
        let text = |table: &Table| fingerprint::sums(table, 512, digest).unwrap();
        assert_eq!(text(&int), text(&bigint));
        assert_ne!(form_of(&text(&int), &int), form_of(&text(&bigint), &bigint));
    }
}
