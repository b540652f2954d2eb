//! Every case through the wire.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::Int32Type,
};
use tillvault::{
    archive::{Archive, snapshot::TableEntry},
    history::session::Session,
    model::{identifier::quoted, sql_type::SqlType},
    source::sqlserver::queries,
};

use crate::{
    cases::{Case, by_type, cases, fixture, narrow_tables, variant_expression, wide_table},
    render::holds,
    till::{READERS, newest, python, rows, serve, take},
};

/// Compares tables of one type with the file: `Id` is the line.
fn compare_narrow(entry: &TableEntry, found: &RecordBatch, cases: &BTreeMap<i32, &Case>, by: &str) -> usize {
    let ids = found.column(0).as_primitive::<Int32Type>();
    for row in 0..found.num_rows() {
        let case = cases[&ids.value(row)];
        let sql_type = &entry.table.columns[1].sql_type;
        assert_eq!(*sql_type, case.sql_type, "{by}: {}", case.name);
        if let Err(found) = holds(found.column(1), row, sql_type, &case.archived) {
            panic!("{by}: {} {sql_type}, {}: {found}, not {}", entry.table.name, case.name, case.archived);
        }
    }
    found.num_rows()
}

/// What DuckDB reads, in the types the archive declares.
fn by_duckdb(session: &Session, entry: &TableEntry) -> RecordBatch {
    let mut statement = session
        .connection()
        .prepare(&format!("SELECT * FROM {} ORDER BY \"Id\"", quoted(&entry.table.name.name)))
        .unwrap();
    let found = statement.query_arrow([]).unwrap();
    let (from, schema) = (found.get_schema(), entry.table.arrow_schema());
    let all = concat_batches(&from, &found.collect::<Vec<_>>()).unwrap();
    let typed = all.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()).unwrap());
    RecordBatch::try_new(schema.clone(), typed.collect()).unwrap()
}

async fn all_come_back(cases: &[&Case], reader: &str) {
    let lines: BTreeMap<i32, &Case> = cases.iter().map(|case| (case.line, *case)).collect();
    let mut tables = narrow_tables(cases);
    tables.push(wide_table(cases));
    let present: usize = tables.iter().filter(|t| t.table.columns.len() == 2).map(|t| t.rows.len()).sum();
    let count = tables.len();
    let server = serve(tables, reader == READERS[0]).await;
    let folder = tempfile::tempdir().unwrap();
    let (archive, outcome) = take(&server, reader, folder.path()).await;
    assert!(outcome.missing.is_empty(), "{reader}: {:?}", outcome.missing);
    assert_eq!(outcome.tables.len(), count);

    let snapshot = newest(&archive);
    let session = Session::open(archive.root(), &snapshot).unwrap();
    let mut compared = [0, 0];
    for entry in &snapshot.tables {
        let (read, queried) = (rows(&archive, entry), by_duckdb(&session, entry));
        if entry.table.name.name == "Wide" {
            compare_wide(entry, &read, cases);
            compare_wide(entry, &queried, cases);
            continue;
        }
        compared[0] += compare_narrow(entry, &read, &lines, "tillvault");
        compared[1] += compare_narrow(entry, &queried, &lines, "DuckDB");
    }
    assert_eq!(compared, [present; 2]);
    by_pyarrow(&archive, present);
}

fn compare_wide(entry: &TableEntry, found: &RecordBatch, cases: &[&Case]) {
    let owned: Vec<Case> = cases.iter().map(|case| (*case).clone()).collect();
    assert_eq!(found.num_rows(), 43);
    for (column, (sql_type, list)) in by_type(&owned).into_iter().enumerate() {
        assert_eq!(entry.table.columns[column + 1].sql_type, sql_type);
        for row in 0..found.num_rows() {
            let case = list[row % list.len()];
            let outcome = holds(found.column(column + 1), row, &sql_type, &case.archived);
            assert_eq!(outcome, Ok(()), "Wide, row {row}, {sql_type}, {}", case.name);
        }
    }
}

/// The script checks hashes as well, and compares every table of one type with the file.
fn by_pyarrow(archive: &Archive, rows: usize) {
    let Some(mut script) = python("read_types.py") else { return };
    let output = script.arg(archive.root()).arg(fixture("cases.tsv")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("{rows} values are as they should be"));
}

#[tokio::test]
async fn every_case_is_kept_by_the_fast_reader() {
    all_come_back(&cases().iter().collect::<Vec<_>>(), READERS[0]).await;
}

#[tokio::test]
async fn every_case_is_kept_by_tiberius() {
    all_come_back(&cases().iter().collect::<Vec<_>>(), READERS[1]).await;
}

/// The till is asked for `sql_variant` in the words that the fixture's values answer.
#[test]
fn the_expression_for_sql_variant_is_the_one_in_the_fixture() {
    let column = tillvault::model::table::Column::new("V", SqlType::Variant);
    assert_eq!(queries::value_expression(&column), variant_expression("V"));
}

#[test]
fn the_file_is_what_its_script_writes() {
    let output = std::process::Command::new("python3").arg(fixture("generate.py")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
