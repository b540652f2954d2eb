//! Every golden archive is read, by the present code and by two other programs, and holds what it held when it was made.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use serde_json::Value;
use tillvault::{
    archive::{Archive, layout, snapshot::TableEntry},
    history::session::{Session, SessionOptions},
    model::identifier::quoted,
    observe::silent,
    ops::check::{CheckOptions, Part, check},
};

use crate::{
    describe::{assert_same, described},
    files, golden_archives, python,
    text::decimal,
};

#[test]
fn the_present_code_finds_what_every_golden_archive_holds() {
    for golden in golden_archives() {
        let archive = Archive::open(&golden.root).unwrap();
        assert_same(&described(&archive), &golden.holds, &golden.name);
        archive.verify_chain().unwrap();
        let mut expected: BTreeSet<String> =
            [layout::HEADER_FILE, layout::README_FILE, layout::INDEX_FILE].map(ToOwned::to_owned).into();
        expected.extend(archive.record_numbers().unwrap().into_iter().map(layout::record_path));
        for number in archive.snapshot_numbers().unwrap() {
            let snapshot = archive.snapshot(number).unwrap();
            assert!(archive.missing_chunks(&snapshot).unwrap().is_empty(), "{} {number}", golden.name);
            expected.insert(layout::snapshot_path(number));
            expected.extend(archive.chunk_objects(&snapshot).into_iter().map(|object| object.path));
        }
        assert_eq!(files(&golden.root), expected.into_iter().collect::<Vec<_>>(), "{}", golden.name);
        let index = archive.index().expect("the index is whole");
        assert_eq!(index, archive.present_index(true).unwrap(), "{}", golden.name);
        // What was forgotten is known, and so is the way across the gap.
        for (number, forgotten) in archive.journal().unwrap().forgotten() {
            assert!(index.entry(*number).is_none() && archive.snapshot(*number).is_err());
            let next = archive.snapshot(number + 1).unwrap();
            assert_eq!(next.parent.as_ref(), Some(&forgotten.hash), "{}", golden.name);
            assert_eq!(forgotten.parent, Some(archive.snapshot_hash(number - 1).unwrap()), "{}", golden.name);
        }
    }
}

#[tokio::test]
async fn check_finds_no_fault_in_any() {
    for golden in golden_archives() {
        let archive = Arc::new(Archive::open(&golden.root).unwrap());
        let options = CheckOptions { deep: Some(Part::ALL), read_data: Some(Part::ALL), ..CheckOptions::default() };
        let observer = silent();
        let outcome = check(&archive, &options, &observer).await.unwrap();
        let covered = &outcome.covered;
        assert!(covered.chunks > 50 && covered.chunks_decoded == covered.chunks && covered.orphans == 0, "{covered:?}");
        // The derived text may be that of an earlier version.
        let faults: Vec<_> = outcome.findings.iter().filter(|f| f.path != layout::README_FILE).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", golden.name);
    }
}

#[test]
fn v1_shows_what_it_is_for() {
    let golden = golden_archives().remove(0);
    let states = |table: &str| golden.holds["tables"][table].as_array().unwrap().clone();
    // A column is added, and an open block is rewritten: the closed block is the same file.
    let orders = states("Orders");
    assert_eq!(orders[0]["chunks"][0], orders[1]["chunks"][0]);
    assert_ne!(orders[0]["chunks"][1], orders[1]["chunks"][1]);
    assert_ne!(orders[0]["columns"], orders[1]["columns"]);
    // What was edited is put back, what was cleared is restored: the earlier chunks are listed again.
    assert_eq!(orders[2]["chunks"][0], orders[0]["chunks"][0]);
    assert_eq!(orders[2]["snapshots"], serde_json::json!([4, 6]));
    assert_eq!(states("Settings")[0]["snapshots"], serde_json::json!([1, 4, 5, 6]));
    // An edit touches one bucket of four.
    let devices = states("Devices");
    let kept = |at: usize| devices[0]["chunks"][at] == devices[1]["chunks"][at];
    assert_eq!((0..4).filter(|at| kept(*at)).count(), 3);
    let folders: Vec<Value> =
        golden.holds["tables"].as_object().unwrap().values().map(|s| s[0]["folder"].clone()).collect();
    for folder in ["-43on", "LOGS", "-4c-6f-67-73", "Kasa-20-c3-9cr-c3-bcn", "other.Things"] {
        assert!(folders.contains(&folder.into()), "{folder}");
    }
    let snapshots = golden.holds["snapshots"].as_array().unwrap();
    let each = |field: &str| snapshots.iter().map(|s| s[field].to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(each("snapshot"), "1 2 4 5 6");
    assert_eq!(each("epoch"), "1 1 1 2 3");
    assert_eq!(each("kind").replace('"', ""), "full full quick full full");
    assert_eq!(each("consistency").replace('"', ""), "snapshot reread moving snapshot reread");
    assert_eq!(each("tags"), r#"["nightly"] ["önemli","before the move"] [] ["nightly"] ["nightly"]"#);
}

#[test]
fn a_reader_written_from_the_document_finds_the_same() {
    for golden in golden_archives() {
        let Some(output) = python(&golden.root) else { return };
        assert!(output.status.success(), "{}: {}", golden.name, String::from_utf8_lossy(&output.stderr));
        assert_same(&serde_json::from_slice(&output.stdout).unwrap(), &golden.holds, &golden.name);
    }
}

#[test]
fn duckdb_counts_and_sums_the_same() {
    for golden in golden_archives() {
        let archive = Archive::open(&golden.root).unwrap();
        let (mut seen, mut compared) = (Vec::<TableEntry>::new(), 0);
        for number in archive.snapshot_numbers().unwrap() {
            let entries = archive.snapshot(number).unwrap().tables;
            let new: Vec<TableEntry> = entries.into_iter().filter(|entry| !seen.contains(entry)).collect();
            let session = Session::of_tables(&golden.root, &new, &SessionOptions::default()).unwrap();
            for (entry, view) in new.iter().zip(session.tables()) {
                let chunks: Vec<RecordBatch> =
                    entry.chunks.iter().map(|chunk| archive.read_chunk(entry, chunk).unwrap()).collect();
                let rows = concat_batches(&entry.table.arrow_schema(), &chunks).unwrap();
                for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
                    let (sum, expected) = total(&quoted(field.name()), array);
                    let (column, view) = (quoted(field.name()), quoted(view));
                    let sql = format!("SELECT count(*), count({column}), ({sum})::VARCHAR FROM {view}");
                    let found: (u64, u64, Option<String>) = session
                        .connection()
                        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                        .unwrap();
                    let present = (array.len() - array.null_count()) as u64;
                    assert_eq!(found, (entry.rows, present, expected), "{} {number}: {sql}", golden.name);
                    compared += 1;
                }
            }
            seen.extend(new);
        }
        assert!(compared > 100, "{}: only {compared} columns", golden.name);
    }
}

/// A decimal times a power of ten.
fn digits(text: &str) -> String {
    text.replace('.', "").parse::<i128>().unwrap().to_string()
}

/// DuckDB's words for one number that stands for all values of a column, and that number.
fn total(column: &str, array: &dyn Array) -> (String, Option<String>) {
    let sum = |values: &mut dyn Iterator<Item = i128>| values.reduce(|a, b| a + b).map(|sum| sum.to_string());
    match array.data_type() {
        DataType::Boolean => {
            (format!("sum({column}::INTEGER)"), sum(&mut array.as_boolean().iter().flatten().map(i128::from)))
        }
        DataType::Int16 => {
            (format!("sum({column})"), sum(&mut array.as_primitive::<Int16Type>().iter().flatten().map(i128::from)))
        }
        DataType::Int32 => {
            (format!("sum({column})"), sum(&mut array.as_primitive::<Int32Type>().iter().flatten().map(i128::from)))
        }
        DataType::Int64 => {
            (format!("sum({column})"), sum(&mut array.as_primitive::<Int64Type>().iter().flatten().map(i128::from)))
        }
        DataType::Decimal128(_, scale) => {
            // The greatest: a sum of 38 digits could have 39. DuckDB writes no zero before the point where all digits follow it.
            let greatest = array.as_primitive::<Decimal128Type>().iter().flatten().max();
            let greatest = greatest.map(|value| decimal(value, usize::try_from(*scale).unwrap()));
            (format!("replace(max({column})::VARCHAR, '.', '')::HUGEINT"), greatest.map(|text| digits(&text)))
        }
        DataType::Date32 => (
            format!("sum({column} - DATE '1970-01-01')"),
            sum(&mut array.as_primitive::<Date32Type>().iter().flatten().map(i128::from)),
        ),
        DataType::Timestamp(..) => (
            format!("sum(epoch_us({column}))"),
            sum(&mut array.as_primitive::<TimestampMicrosecondType>().iter().flatten().map(i128::from)),
        ),
        DataType::Utf8 => (
            format!("sum(strlen({column}))"),
            sum(&mut array.as_string::<i32>().iter().flatten().map(|text| text.len() as i128)),
        ),
        DataType::Binary => (
            format!("sum(octet_length({column}))"),
            sum(&mut array.as_binary::<i32>().iter().flatten().map(|bytes| bytes.len() as i128)),
        ),
        // Counting must do for floats and times of day.
        _ => ("NULL".into(), None),
    }
}
