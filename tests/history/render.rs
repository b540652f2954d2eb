//! How answers look: text, CSV, JSON.

use crate::support::{Folder, snapshot};
use tillvault::history::{
    query::{QueryOptions, QueryResult, query},
    render,
    session::Session,
};

fn answer_of(sql: &str, max_rows: Option<usize>) -> QueryResult {
    let folder = Folder::new();
    let session = Session::open(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", vec![])).unwrap();
    query(&session, sql, &QueryOptions { max_rows, timeout: None }).unwrap()
}

fn csv(result: &QueryResult) -> String {
    let mut out = Vec::new();
    render::csv_header(&result.schema, &mut out).unwrap();
    for batch in &result.batches {
        render::csv_rows(batch, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

const MIXED: &str = "SELECT * FROM (VALUES
    (1, 'Soup, \"hot\"', 6.50::DECIMAL(16,2), TIMESTAMP '2026-03-01 12:05:00', true, '\\x00\\xFF'::BLOB, 1.5::DOUBLE),
    (20, NULL, NULL, TIMESTAMP '1753-01-01 00:00:00.003', NULL, NULL, NULL),
    (-300, '', -0.01, TIMESTAMP '9999-12-31 23:59:59.997', false, ''::BLOB, 'NaN'::DOUBLE),
    (4, 'two' || chr(10) || 'lines' || chr(27) || '[31m', 12345678901234.56, NULL, true, NULL, 1e300)
  ) AS t(Id, Name, Price, Sold, Closed, Bytes, Ratio)";

#[test]
fn text_is_aligned_and_tame() {
    insta::assert_snapshot!(render::text(&answer_of(MIXED, None), 0).unwrap());
}

#[test]
fn long_values_and_left_off_rows_show() {
    let sql = "SELECT repeat('ü', 30) AS \"a long name of a column\", range AS n FROM range(5)";
    insta::assert_snapshot!(render::text(&answer_of(sql, Some(2)), 10).unwrap());
    let exact = answer_of("SELECT 'exactly 10' AS a, 'eleven char' AS b", None);
    insta::assert_snapshot!(render::text(&exact, 10).unwrap());
}

#[test]
fn no_rows_still_show_their_columns() {
    let empty = answer_of("SELECT 1 AS a, 'x' AS b WHERE false", None);
    insta::assert_snapshot!(render::text(&empty, 0).unwrap());
    assert_eq!(csv(&empty), "a,b\n");
    assert_eq!(render::json_rows(&empty).unwrap().len(), 0);
}

#[test]
fn csv_is_exact_and_tells_null_from_empty() {
    insta::assert_snapshot!(csv(&answer_of(MIXED, None)));
    assert_eq!(csv(&answer_of("SELECT 'a,b' AS \"x,y\", 'cr' || chr(13) AS r", None)), "\"x,y\",r\n\"a,b\",\"cr\r\"\n");
}

#[test]
fn json_rows_keep_exact_values() {
    insta::assert_json_snapshot!(render::json_rows(&answer_of(MIXED, None)).unwrap());
}

#[test]
fn every_other_type_of_duckdb_has_json_and_text() {
    let sql = "SELECT 9223372036854775807 AS big, 18446744073709551615::UBIGINT AS ubig, sum(range) AS hugesum,
        (170141183460469231731687303715884105727::HUGEINT)::VARCHAR AS huge, 0.1::FLOAT AS f, DATE '2026-03-01' AS d,
        TIME '12:05:00.003' AS t, '12:05:00.1234567'::TIME_NS AS tns, TIMESTAMPTZ '2026-03-01 12:05:00+02' AS tz,
        TIMESTAMP_NS '2026-03-01 12:05:00.123456789' AS ns, INTERVAL 90 MINUTE AS i, [1, NULL, 3] AS l,
        {'a': 1, 'b': [2.50::DECIMAL(4,2)]} AS s, MAP {'k': 1} AS m, 'x'::ENUM ('x', 'y') AS e, NULL AS n,
        '6f1e0b0a-0000-0000-0000-000000000001'::UUID AS u, '{\"a\": 1}'::JSON AS j, 'infinity'::DOUBLE AS inf,
        1 AS big, 2 AS big FROM range(3)";
    let result = answer_of(sql, None);
    insta::assert_json_snapshot!(render::json_rows(&result).unwrap());
    insta::assert_snapshot!(csv(&result));
}

#[test]
fn a_value_without_text_is_an_error_that_names_its_column() {
    let result = answer_of("SELECT TIMESTAMP 'infinity' AS forever", None);
    let error = render::text(&result, 0).unwrap_err();
    assert_eq!(error.message(), "a value of column forever cannot be shown");
}
