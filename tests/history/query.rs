//! What a query may do, what it may not, and that its bounds hold.

use std::time::{Duration, Instant};

use crate::support::{Folder, listing, snapshot};
use tillvault::{
    Error, Kind,
    history::{
        query::{QueryOptions, query},
        session::{Session, SessionOptions},
    },
    model::table::TableName,
};

const COLUMNS: [(&str, &str); 2] = [("Id", "int"), ("Name", "nvarchar(max)")];

fn archive() -> (Folder, Session) {
    let mut folder = Folder::new();
    let select = "SELECT range::INTEGER AS \"Id\", 'n' || range AS \"Name\" FROM range(1, 10001)";
    let tables = vec![folder.table(TableName::dbo("Tickets"), &COLUMNS, &[select])];
    let options = SessionOptions { memory: Some(300_000_000), threads: Some(2) };
    let session = Session::open_with(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", tables), &options).unwrap();
    (folder, session)
}

fn ask(session: &Session, sql: &str) -> Result<usize, Error> {
    query(session, sql, &QueryOptions::default()).map(|answer| answer.rows())
}

#[test]
fn every_reading_statement_is_answered() {
    let (_folder, session) = archive();
    for (sql, rows) in [
        ("SELECT * FROM Tickets", 10_000),
        ("select count(*) from tickets;", 1),
        ("-- a comment\nSELECT 1", 1),
        ("WITH t AS (SELECT * FROM Tickets WHERE Id < 3) FROM t", 2),
        ("FROM Tickets LIMIT 5", 5),
        ("VALUES (1), (2)", 2),
        ("TABLE Tickets", 10_000),
        ("DESCRIBE Tickets", 2),
        ("SUMMARIZE Tickets", 2),
        ("SHOW TABLES", 1),
        ("SELECT * FROM Tickets WHERE Id IN (SELECT * FROM range(3))", 2),
        ("SELECT * FROM Tickets WHERE false", 0),
        ("SELECT 'DROP TABLE x; DELETE FROM y'", 1),
        ("SELECT * FROM (PIVOT Tickets ON Id IN (1, 2) USING count(*) GROUP BY Name) LIMIT 1", 1),
    ] {
        assert_eq!(ask(&session, sql).unwrap(), rows, "{sql}");
    }
}

#[test]
fn every_other_statement_is_refused_and_changes_nothing() {
    let (folder, session) = archive();
    let before = listing(&folder.root);
    let out = folder.root.join("tables").join("out.csv").to_str().unwrap().replace('\'', "''");
    for sql in [
        "INSERT INTO Tickets VALUES (1, 'x')".to_owned(),
        "UPDATE Tickets SET Id = 1".into(),
        "DELETE FROM Tickets".into(),
        "CREATE TABLE x (a INT)".into(),
        "CREATE VIEW x AS SELECT 1".into(),
        "CREATE MACRO f() AS 1".into(),
        "CREATE SECRET s (TYPE http)".into(),
        "DROP VIEW Tickets".into(),
        "ALTER VIEW Tickets RENAME TO x".into(),
        format!("COPY Tickets TO '{out}'"),
        format!("COPY (SELECT 1) TO '{out}'"),
        format!("EXPORT DATABASE '{out}'"),
        "IMPORT DATABASE 'x'".into(),
        "ATTACH 'x.db'".into(),
        "ATTACH ':memory:' AS x".into(),
        "DETACH memory".into(),
        "USE memory".into(),
        "INSTALL httpfs".into(),
        "LOAD httpfs".into(),
        "PRAGMA database_list".into(),
        "PRAGMA enable_profiling".into(),
        "SET threads = 1".into(),
        "SET VARIABLE x = 1".into(),
        "RESET threads".into(),
        "CALL enable_logging()".into(),
        "BEGIN".into(),
        "CHECKPOINT".into(),
        "VACUUM".into(),
        "PREPARE p AS SELECT 1".into(),
        "EXPLAIN ANALYZE SELECT 1".into(),
        "PIVOT Tickets ON Id USING count(*)".into(),
        "FROM (PIVOT Tickets ON Id USING count(*))".into(),
        "SELECT 1\0; DROP VIEW Tickets".into(),
        "(((((((((((((((".into(),
        "SELECT 1; SELECT 2".into(),
        "SELECT 1; DROP VIEW Tickets".into(),
        "WITH x AS (DELETE FROM Tickets RETURNING *) FROM x".into(),
        String::new(),
        " ; ".into(),
    ] {
        let error = ask(&session, &sql).expect_err(&sql);
        assert_eq!(error.kind(), Kind::Query, "{sql}");
        assert!(error.next_step().is_some(), "{sql}");
    }
    assert_eq!(listing(&folder.root), before);
    assert_eq!(ask(&session, "FROM Tickets").unwrap(), 10_000);
}

#[test]
fn a_refusal_names_the_statement() {
    let (_folder, session) = archive();
    let message = |sql: &str| ask(&session, sql).unwrap_err().message().to_owned();
    assert_eq!(message("delete from Tickets"), "DELETE is refused: queries only read");
    assert_eq!(message("SELECT 1; SELECT 2"), "2 statements were given where one is answered");
    assert_eq!(message("SELECT 1; DELETE FROM Tickets"), "this is not one reading statement");
    assert_eq!(message("FROM read_csv('/etc/passwd')"), "the table function read_csv is refused in queries");
    assert_eq!(message("SELEC 1"), "Parser Error: syntax error at or near \"SELEC\"");
}

#[test]
fn no_way_leads_to_other_files_or_to_the_machine() {
    let (folder, session) = archive();
    let outside = folder.root.join("secret.csv");
    std::fs::write(&outside, "a,b\n1,2\n").unwrap();
    let parquet = folder.root.join("secret.parquet");
    let writer = duckdb::Connection::open_in_memory().unwrap();
    let quoted = |path: &std::path::Path| path.to_str().unwrap().replace('\'', "''");
    let (outside, parquet) = (quoted(&outside), quoted(&parquet));
    writer.execute_batch(&format!("COPY (SELECT 1 AS a) TO '{parquet}' (FORMAT parquet)")).unwrap();
    for sql in [
        "SELECT * FROM read_csv('/etc/passwd')".to_owned(),
        "SELECT * FROM main.read_csv('/etc/passwd')".into(),
        "SELECT * FROM read_text('/etc/passwd')".into(),
        "SELECT * FROM read_blob('/etc/passwd')".into(),
        "SELECT * FROM read_json('/etc/passwd')".into(),
        "SELECT * FROM sniff_csv('/etc/passwd')".into(),
        "SELECT * FROM glob('/etc/*')".into(),
        "SELECT * FROM query('SELECT 1')".into(),
        "SELECT * FROM query_table('Tickets')".into(),
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))".into(),
        "WITH x AS (FROM read_text('/etc/passwd')) FROM x".into(),
        "SELECT (SELECT content FROM read_text('/etc/passwd'))".into(),
        "DESCRIBE SELECT * FROM read_csv('/etc/passwd')".into(),
        "FROM Tickets t, LATERAL (FROM read_text('/etc/' || t.Name))".into(),
        "FROM enable_profiling()".into(),
        "FROM enable_logging()".into(),
        "FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)".into(),
        "FROM duckdb_secrets()".into(),
        "SELECT getenv('HOME')".into(),
        "FROM '/etc/passwd'".into(),
        format!("FROM '{outside}'"),
        format!("FROM '{parquet}'"),
        format!("FROM read_parquet('{parquet}')"),
        format!("FROM parquet_metadata('{parquet}')"),
        "FROM read_parquet('http://127.0.0.1:9/x.parquet')".into(),
    ] {
        let error = ask(&session, &sql).expect_err(&sql);
        assert_eq!(error.kind(), Kind::Query, "{sql}");
    }
}

#[test]
fn the_lock_below_the_parser_holds_alone() {
    let (folder, session) = archive();
    session.lock_down().unwrap();
    session.lock_down().unwrap();
    let outside = folder.root.join("secret.csv");
    std::fs::write(&outside, "a\n1\n").unwrap();
    let outside = outside.to_str().unwrap().replace('\'', "''");
    for sql in [
        "FROM read_csv('/etc/passwd')".to_owned(),
        format!("FROM read_csv('{outside}')"),
        "FROM read_text('/etc/passwd')".into(),
        "FROM glob('/etc/*')".into(),
        format!("COPY (SELECT 1) TO '{outside}.copy'"),
        format!("ATTACH '{outside}.db'"),
        "INSTALL httpfs".into(),
        "LOAD httpfs".into(),
        "SET enable_external_access = true".into(),
        "SET lock_configuration = false".into(),
        "RESET allowed_directories".into(),
        "SET memory_limit = '100GB'".into(),
    ] {
        let error = session.connection().execute_batch(&sql).expect_err(&sql).to_string();
        let locked = ["disabled by configuration", "disabled through configuration", "has been locked", "cannot be"];
        assert!(locked.iter().any(|words| error.contains(words)), "{sql}: {error}");
    }
    assert_eq!(ask(&session, "FROM Tickets").unwrap(), 10_000);
}

#[test]
fn chunk_files_of_the_archive_may_be_read_by_name() {
    let (folder, session) = archive();
    let (path, _) = listing(&folder.root.join("tables")).remove(0);
    let path = path.to_str().unwrap().replace('\'', "''");
    assert_eq!(ask(&session, &format!("SELECT count(*) FROM read_parquet('{path}')")).unwrap(), 1);
}

#[test]
fn errors_carry_duckdbs_message_and_a_next_step() {
    let (_folder, session) = archive();
    let error = ask(&session, "SELECT Nmae FROM Tickets").unwrap_err();
    assert_eq!(error.kind(), Kind::Query);
    assert!(error.message().contains("\"Nmae\"") && error.message().contains("Name"), "{error}");
    assert!(error.next_step().unwrap().contains("SHOW TABLES"));
    let error = ask(&session, "SELECT * FROM Tikets").unwrap_err();
    assert!(error.message().contains("Tikets"), "{error}");
    // Fails while rows are already coming.
    let error = ask(&session, "SELECT CASE WHEN Id = 9999 THEN error('odd row') END FROM Tickets").unwrap_err();
    assert!(error.message().contains("odd row"), "{error}");
}

#[test]
fn the_row_limit_cuts_and_says_so() {
    let (_folder, session) = archive();
    let limited = |max_rows: usize, sql: &str| {
        let answer = query(&session, sql, &QueryOptions { max_rows: Some(max_rows), timeout: None }).unwrap();
        (answer.rows(), answer.truncated)
    };
    assert_eq!(limited(3, "FROM Tickets"), (3, true));
    assert_eq!(limited(0, "FROM Tickets"), (0, true));
    assert_eq!(limited(5000, "FROM Tickets"), (5000, true));
    assert_eq!(limited(10_000, "FROM Tickets"), (10_000, false));
    assert_eq!(limited(3, "FROM Tickets WHERE Id <= 3"), (3, false));
    let empty = query(&session, "SELECT Id, Name FROM Tickets WHERE false", &QueryOptions::default()).unwrap();
    let names: Vec<_> = empty.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((names, empty.rows()), (vec!["Id", "Name"], 0));
}

#[test]
fn a_long_query_is_stopped_and_the_session_goes_on() {
    let (_folder, session) = archive();
    let options = QueryOptions { max_rows: None, timeout: Some(Duration::from_millis(200)) };
    let start = Instant::now();
    let sql = "SELECT count(*) FROM range(100000000) a, range(1000) b WHERE hash(a.range, b.range) % 7 = 3";
    let error = query(&session, sql, &options).unwrap_err();
    assert!(error.message().contains("stopped after 0.2 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    assert_eq!(query(&session, "FROM Tickets", &options).unwrap().rows(), 10_000);
}

#[test]
fn memory_is_bounded() {
    let mut folder = Folder::new();
    let tables = vec![folder.table(TableName::dbo("T"), &[("Id", "int")], &["SELECT 1::INTEGER AS \"Id\""])];
    let options = SessionOptions { memory: Some(20_000_000), threads: Some(1) };
    let session = Session::open_with(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", tables), &options).unwrap();
    let error = ask(&session, "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)").unwrap_err();
    assert!(error.message().contains("Out of Memory") || error.message().contains("memory"), "{error}");
}
