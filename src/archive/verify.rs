//! Whether the rows of a chunk are what its snapshot says (docs/FORMAT.md §6–§9): the dearest step of `check`.
//!
//! Promises: every rule that is broken is named, not only the first; nothing is taken from the file's own word. Pure: bytes
//! and the snapshot's entry in, flaws out.

use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use arrow::array::{Array, RecordBatch};
use bytes::Bytes;

use super::{
    blocks, content_hash, parquet, ranges, row_key,
    snapshot::{Block, Chunk, Ladder},
};
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::Table,
};

/// A rule that the rows of a chunk break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowFlaw {
    /// The file cannot be decoded as rows of its table.
    Undecodable,
    /// A column has another type than declared.
    Type,
    /// There are values in a column that the snapshot does not declare.
    Undeclared,
    /// The number of rows is another.
    Count,
    /// Rows are not in chunk order, or a key is there twice.
    Order,
    /// A row does not belong into the chunk's block.
    Block,
    /// The content hash of the rows is another.
    Content,
}

/// The rules that the rows in `file` break, each with what was found. None: the chunk is what the snapshot says.
#[must_use]
pub fn verify_rows(file: Bytes, table: &Table, ladder: &Ladder, chunk: &Chunk) -> Vec<(RowFlaw, String)> {
    let broken = || format!("a chunk of table {} is not a readable Parquet file", table.name);
    let mut flaws = match parquet::guarded(broken, || columns(&file, table)) {
        Ok(flaws) => flaws,
        Err(error) => return vec![(RowFlaw::Undecodable, in_words(&error))],
    };
    let rows = match parquet::decode(file, table) {
        Ok(rows) => rows,
        // A wrong type keeps the rest from being decoded, and says so better.
        Err(_) if flaws.iter().any(|(flaw, _)| *flaw == RowFlaw::Type) => return flaws,
        Err(error) => {
            flaws.push((RowFlaw::Undecodable, in_words(&error)));
            return flaws;
        }
    };
    if rows.num_rows() as u64 != chunk.rows {
        flaws.push((RowFlaw::Count, format!("it holds {} rows, not {}", rows.num_rows(), chunk.rows)));
    }
    match content_hash::content_hash(&rows) {
        Ok(found) if found.to_hex().as_str() == chunk.content => {}
        Ok(found) => {
            flaws.push((RowFlaw::Content, format!("the content hash of its rows is {}", found.to_hex())));
        }
        Err(error) => flaws.push((RowFlaw::Content, in_words(&error))),
    }
    match places(&rows, table, ladder, chunk.block) {
        Ok(found) => flaws.extend(found),
        Err(error) => flaws.push((RowFlaw::Block, in_words(&error))),
    }
    flaws
}

/// An error with its causes, in one line.
fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// What is wrong with the file's columns.
fn columns(file: &Bytes, table: &Table) -> Result<Vec<(RowFlaw, String)>> {
    let broken = || format!("a chunk of table {} is not a readable Parquet file", table.name);
    let builder = || {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).or_fail(Kind::Damage, broken)
    };
    let builder_for_schema = builder()?;
    let schema = builder_for_schema.schema();
    let mut flaws = Vec::new();
    let mut doubtful = Vec::new();
    for field in schema.fields() {
        match table.column(field.name()).map(|column| column.sql_type.arrow()) {
            None => {
                let what = format!("column {} has values and is not declared", field.name());
                doubtful.push((field.name().clone(), RowFlaw::Undeclared, what));
            }
            Some(declared) if declared.as_ref() == Some(field.data_type()) => {}
            Some(declared) => {
                let declared = declared.map_or_else(|| "nothing that is kept".to_owned(), |kind| kind.to_string());
                let what =
                    format!("column {} is declared {declared} and stored as {}", field.name(), field.data_type());
                doubtful.push((field.name().clone(), RowFlaw::Type, what));
            }
        }
    }
    if !doubtful.is_empty() {
        // A column without any value may be there: a chunk of NULLs alone keeps its first column (FORMAT §9), also when the
        // table has given it another type since, or dropped it.
        for batch in builder()?.build().or_fail(Kind::Damage, broken)? {
            let batch = batch.or_fail(Kind::Damage, broken)?;
            doubtful.retain(|(name, flaw, what)| {
                let has_values = batch.column_by_name(name).is_some_and(|array| array.null_count() < array.len());
                if has_values {
                    flaws.push((*flaw, what.clone()));
                }
                !has_values
            });
        }
    }
    Ok(flaws)
}

/// What is wrong with where the rows are: their order, and their block.
fn places(rows: &RecordBatch, table: &Table, ladder: &Ladder, block: Block) -> Result<Vec<(RowFlaw, String)>> {
    let mut flaws = Vec::new();
    let keys = row_key::row_keys(rows, &row_key::key_columns(table))?;
    let leading = match (ladder, block) {
        (Ladder::Range { column, .. }, Block::Range { lo, hi }) => {
            let leading = ranges::leading_keys(&table.name.to_string(), rows, column)
                .or_fail(Kind::Damage, || format!("rows have no integer key {column}"))?
                .to_vec();
            let outside: Vec<&i64> = leading.iter().filter(|key| !(lo..=hi).contains(*key)).collect();
            if let Some(first) = outside.first() {
                let found = format!("{} of its rows lie outside {lo} to {hi}, such as key {first}", outside.len());
                flaws.push((RowFlaw::Block, found));
            }
            leading
        }
        (_, Block::Hash { bucket, bits }) => {
            let inside = |key: &Vec<u8>| blocks::bucket(blocks::hash_prefix(&blake3::hash(key)), bits) == bucket;
            let outside = keys.iter().filter(|key| !inside(key)).count();
            if outside > 0 {
                flaws.push((RowFlaw::Block, format!("{outside} of its rows lie outside bucket {bucket}")));
            }
            vec![0; keys.len()]
        }
        _ => vec![0; keys.len()],
    };
    let unique = row_key::has_whole_key(table);
    let place = |row: usize| (leading[row], &keys[row]);
    let wrong = (1..keys.len()).find(|row| {
        let (before, here) = (place(row - 1), place(*row));
        before > here || (unique && before == here)
    });
    if let Some(row) = wrong {
        flaws.push((RowFlaw::Order, format!("row {} is not in order", row + 1)));
    }
    Ok(flaws)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;
    use crate::model::table::{Column, TableName};

    fn table(columns: &[(&str, &str)], key: &[&str]) -> Table {
        let column = |(name, sql_type): &(&str, &str)| Column {
            name: (*name).into(),
            sql_type: sql_type.parse().unwrap(),
            nullable: true,
            ..Column::default()
        };
        Table {
            name: TableName::dbo("T"),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(ToString::to_string).collect(),
            ..Table::default()
        }
    }

    fn orders() -> Table {
        table(&[("Id", "int"), ("Name", "nvarchar(9)")], &["Id"])
    }

    fn rows(ids: &[i32]) -> RecordBatch {
        let names: StringArray = ids.iter().map(|id| Some(format!("n{id}"))).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(ids.to_vec())), Arc::new(names)];
        RecordBatch::try_new(orders().arrow_schema(), columns).unwrap()
    }

    fn range() -> Ladder {
        Ladder::Range { column: "Id".into(), open: 512, closed: 4_096, heavy: blocks::HEAVY }
    }

    /// The chunk as a snapshot would name it.
    fn chunk(rows: &RecordBatch, block: Block) -> Chunk {
        let content = content_hash::content_hash(rows).unwrap().to_hex().to_string();
        Chunk { file: "0".repeat(64), bytes: 1, rows: rows.num_rows() as u64, block, content }
    }

    fn flaws(file: &Bytes, table: &Table, ladder: &Ladder, chunk: &Chunk) -> Vec<RowFlaw> {
        verify_rows(file.clone(), table, ladder, chunk).into_iter().map(|(flaw, _)| flaw).collect()
    }

    const BLOCK: Block = Block::Range { lo: 1, hi: 512 };

    #[test]
    fn rows_that_are_what_the_snapshot_says_have_no_flaw() {
        let rows = rows(&[1, 2, 512]);
        let file = parquet::encode(&rows, &orders()).unwrap();
        assert_eq!(flaws(&file, &orders(), &range(), &chunk(&rows, BLOCK)), []);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let good = rows(&[1, 2, 3]);
        let file = parquet::encode(&good, &orders()).unwrap();
        let said = chunk(&good, BLOCK);
        let other = Chunk { rows: 4, content: "f".repeat(64), ..said.clone() };
        assert_eq!(flaws(&file, &orders(), &range(), &other), [RowFlaw::Count, RowFlaw::Content]);
        let above = Chunk { block: Block::Range { lo: 3, hi: 4 }, ..said.clone() };
        assert_eq!(flaws(&file, &orders(), &range(), &above), [RowFlaw::Block]);
        let wide = table(&[("Id", "bigint"), ("Name", "nvarchar(9)")], &["Id"]);
        assert_eq!(flaws(&file, &wide, &range(), &said), [RowFlaw::Type]);
        assert_eq!(flaws(&file.slice(8..), &orders(), &range(), &said), [RowFlaw::Undecodable]);
        for ids in [[2, 1, 3], [1, 2, 2]] {
            let rows = rows(&ids);
            let file = parquet::encode(&rows, &orders()).unwrap();
            assert_eq!(flaws(&file, &orders(), &range(), &chunk(&rows, BLOCK)), [RowFlaw::Order], "{ids:?}");
        }
    }

    #[test]
    fn values_of_a_column_that_is_not_declared_are_told() {
        let rows = rows(&[1, 2]);
        let file = parquet::encode(&rows, &orders()).unwrap();
        let narrow = table(&[("Id", "int")], &["Id"]);
        let declared = rows.project(&[0]).unwrap();
        assert_eq!(flaws(&file, &narrow, &range(), &chunk(&declared, BLOCK)), [RowFlaw::Undeclared]);
        // A chunk of NULLs alone keeps its first column, whichever that was.
        let (before, after) = (table(&[("A", "int")], &[]), table(&[("B", "int")], &[]));
        let empty = |table: &Table| {
            RecordBatch::try_new(table.arrow_schema(), vec![Arc::new(Int32Array::from(vec![None::<i32>]))]).unwrap()
        };
        let file = parquet::encode(&empty(&before), &before).unwrap();
        assert_eq!(flaws(&file, &after, &Ladder::Whole, &chunk(&empty(&after), Block::Whole {})), []);
    }

    #[test]
    fn a_file_that_was_made_to_break_the_decoder_is_a_flaw_and_no_panic() {
        let rows = rows(&(1..=40).collect::<Vec<_>>());
        let file = parquet::encode(&rows, &orders()).unwrap();
        let (narrow, said) = (table(&[("Id", "int")], &["Id"]), chunk(&rows, BLOCK));
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut bad = file.to_vec();
                bad[at] ^= 1 << bit;
                assert!(!flaws(&bad.into(), &narrow, &range(), &said).is_empty(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn rows_of_another_bucket_are_told() {
        let names = table(&[("Name", "nvarchar(9)")], &["Name"]);
        let rows = rows(&[1, 2, 3, 4, 5, 6]).project(&[1]).unwrap();
        let one = rows.slice(0, 1);
        let key = row_key::row_keys(&one, &["Name"]).unwrap().remove(0);
        let bucket = blocks::bucket(blocks::hash_prefix(&blake3::hash(&key)), 3);
        let ladder = Ladder::Hash { bits: 3, rows: 1, heavy: blocks::HEAVY };
        let file = parquet::encode(&one, &names).unwrap();
        let right = chunk(&one, Block::Hash { bucket, bits: 3 });
        assert_eq!(flaws(&file, &names, &ladder, &right), []);
        let wrong = Chunk { block: Block::Hash { bucket: bucket ^ 1, bits: 3 }, ..right };
        assert_eq!(flaws(&file, &names, &ladder, &wrong), [RowFlaw::Block]);
    }
}
