//! Views over chunk files: columns, order, types, missing columns, empty tables, damage, speed.

use crate::support::{Folder, snapshot};
use tillvault::{Kind, history::session::Session, model::table::TableName};

fn texts(session: &Session, sql: &str) -> Vec<Vec<String>> {
    let mut statement = session.connection().prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut found = vec![];
    while let Some(row) = rows.next().unwrap() {
        let width = row.as_ref().column_count();
        found.push((0..width).map(|i| row.get::<_, Option<String>>(i).unwrap().unwrap_or("NULL".into())).collect());
    }
    found
}

const EVERY_TYPE: [(&str, &str); 20] = [
    ("Id", "int"),
    ("bit", "bit"),
    ("tiny", "tinyint"),
    ("small", "smallint"),
    ("big", "bigint"),
    ("dec", "decimal(16,2)"),
    ("wide", "decimal(38,10)"),
    ("money", "money"),
    ("real", "real"),
    ("float", "float"),
    ("date", "date"),
    ("time", "time(3)"),
    ("time7", "time(7)"),
    ("datetime", "datetime"),
    ("datetime27", "datetime2(7)"),
    ("text", "nvarchar(max)"),
    ("guid", "uniqueidentifier"),
    ("bytes", "varbinary(max)"),
    ("version", "rowversion"),
    ("it's \"odd\"", "nvarchar(10)"),
];

const DECLARED: &str = "Id=INTEGER bit=BOOLEAN tiny=SMALLINT small=SMALLINT big=BIGINT dec=DECIMAL(16,2) \
     wide=DECIMAL(38,10) money=DECIMAL(19,4) real=FLOAT float=DOUBLE date=DATE time=TIME time7=TIME_NS datetime=TIMESTAMP \
     datetime27=VARCHAR text=VARCHAR guid=VARCHAR bytes=BLOB version=BLOB it's \"odd\"=VARCHAR";

fn declared(session: &Session, table: &str) -> String {
    let described = texts(session, &format!("SELECT column_name, column_type FROM (DESCRIBE \"{table}\")"));
    described.iter().map(|row| format!("{}={}", row[0], row[1])).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_type_has_its_declared_type_with_and_without_files() {
    let mut folder = Folder::new();
    let full = "SELECT 1::INTEGER AS \"Id\", true AS bit, 255::SMALLINT AS tiny, (-32768)::SMALLINT AS small, \
        9223372036854775807::BIGINT AS big, -12345678901234.56::DECIMAL(16,2) AS dec, \
        1234567890123456789012345678.0123456789::DECIMAL(38,10) AS wide, 0.0001::DECIMAL(19,4) AS money, 1.5::FLOAT AS real, \
        2.5::DOUBLE AS float, DATE '0001-01-01' AS date, TIME '23:59:59.997' AS time, '23:59:59.1234567'::TIME_NS AS time7, \
        TIMESTAMP '1753-01-01 00:00:00.003' AS datetime, '9999-12-31T23:59:59.9999999' AS datetime27, 'ü🍲' AS text, \
        'A' AS guid, '\\x00\\xFF'::BLOB AS bytes, '\\x01'::BLOB AS version, 'o' AS \"it's \"\"odd\"\"\"";
    let snap = snapshot(
        1,
        "2026-10-01T02:00:00Z",
        vec![
            folder.table(TableName::dbo("Empty"), &EVERY_TYPE, &[]),
            folder.table(TableName::dbo("Full"), &EVERY_TYPE, &[full, "SELECT 2::INTEGER AS \"Id\""]),
        ],
    );
    let session = Session::open(&folder.root, &snap).unwrap();
    assert_eq!(declared(&session, "Empty"), DECLARED);
    assert_eq!(declared(&session, "Full"), DECLARED);
    assert_eq!(texts(&session, "SELECT count(*)::VARCHAR FROM \"Empty\""), [["0"]]);
    let values = texts(&session, "SELECT (COLUMNS(*))::VARCHAR FROM \"Full\" ORDER BY \"Id\"");
    assert_eq!(
        values[0].join("|"),
        "1|true|255|-32768|9223372036854775807|-12345678901234.56|1234567890123456789012345678.0123456789|0.0001|1.5|2.5|\
         0001-01-01|23:59:59.997|23:59:59.1234567|1753-01-01 00:00:00.003|9999-12-31T23:59:59.9999999|ü🍲|A|\\x00\\xFF|\\x01|o"
    );
    assert!(values[1][1..].iter().all(|value| value == "NULL"), "{:?}", values[1]);
}

#[test]
fn a_snapshot_shows_its_own_columns_in_its_own_order_whatever_the_files_hold() {
    let mut folder = Folder::new();
    let columns = [("B", "nvarchar(max)"), ("Id", "int"), ("New", "int")];
    let old = "SELECT 1::INTEGER AS \"Id\", 'x' AS \"Dropped\", 'b' AS \"B\"";
    let entry =
        folder.table(TableName::dbo("T"), &columns, &[old, "SELECT 2::INTEGER AS \"Id\", 7::INTEGER AS \"New\""]);
    let session = Session::open(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", vec![entry])).unwrap();
    assert_eq!(declared(&session, "T"), "B=VARCHAR Id=INTEGER New=INTEGER");
    let rows = texts(&session, "SELECT (COLUMNS(*))::VARCHAR FROM \"T\" ORDER BY \"Id\"");
    assert_eq!(rows, [["b", "1", "NULL"], ["NULL", "2", "7"]]);
}

#[test]
fn views_are_named_as_tables_are_displayed() {
    let mut folder = Folder::new();
    let other = TableName { schema: "other".into(), name: "Odd \"Name\"".into() };
    let tables = vec![
        folder.table(TableName::dbo("Order"), &[("Id", "int")], &["SELECT 1::INTEGER AS \"Id\""]),
        folder.table(other, &[("Key", "int")], &["SELECT 2::INTEGER AS \"Key\""]),
    ];
    let session = Session::open(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", tables)).unwrap();
    assert_eq!(session.tables(), ["Order", "other.Odd \"Name\""]);
    assert_eq!(texts(&session, "SELECT \"Id\"::VARCHAR FROM \"Order\""), [["1"]]);
    assert_eq!(texts(&session, "SELECT \"Key\"::VARCHAR FROM \"other.Odd \"\"Name\"\"\""), [["2"]]);
}

#[test]
fn tables_that_differ_in_case_alone_are_both_shown() {
    let mut folder = Folder::new();
    let tables = vec![
        folder.table(TableName::dbo("Names"), &[("Id", "int")], &["SELECT 1::INTEGER AS \"Id\""]),
        folder.table(TableName::dbo("names"), &[("Id", "int")], &["SELECT 2::INTEGER AS \"Id\""]),
    ];
    let session = Session::open(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", tables)).unwrap();
    assert_eq!(session.tables(), ["Names", "names_2"]);
    assert_eq!(texts(&session, "SELECT n.Id || '|' || m.Id FROM Names n, names_2 m"), [["1|2"]]);
}

#[test]
fn columns_that_differ_in_case_alone_spoil_their_own_table_only() {
    let mut folder = Folder::new();
    let tables = vec![
        folder.table(TableName::dbo("Odd"), &[("Name", "int"), ("name", "int")], &[]),
        folder.table(TableName::dbo("Plain"), &[("Id", "int")], &["SELECT 1::INTEGER AS \"Id\""]),
    ];
    let session = Session::open(&folder.root, &snapshot(1, "2026-10-01T02:00:00Z", tables)).unwrap();
    assert_eq!(texts(&session, "SELECT Id::VARCHAR FROM Plain"), [["1"]]);
    let error = session.connection().execute_batch("SELECT * FROM Odd").unwrap_err().to_string();
    assert!(error.contains("its columns Name, name differ in letter case alone"), "{error}");
}

#[test]
fn a_lost_or_shortened_chunk_is_damage_and_not_a_smaller_answer() {
    let mut folder = Folder::new();
    let entry = folder.table(TableName::dbo("T"), &[("Id", "int")], &["SELECT 1::INTEGER AS \"Id\""]);
    let path = folder.path(&entry.folder, &entry.chunks[0]);
    let snap = snapshot(1, "2026-10-01T02:00:00Z", vec![entry]);

    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
    let error = Session::open(&folder.root, &snap).unwrap_err();
    assert_eq!(error.kind(), Kind::Damage);
    assert!(error.message().contains("table T has 10 bytes instead of"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let error = Session::open(&folder.root, &snap).unwrap_err();
    assert_eq!(error.kind(), Kind::Damage);
    assert!(error.message().contains("cannot be read"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_no_archive() {
    let error = Session::open(std::path::Path::new("/nowhere/at/all"), &snapshot(1, "2026-10-01T02:00:00Z", vec![]));
    assert_eq!(error.unwrap_err().kind(), Kind::NoArchive);
}

#[test]
fn tables_that_are_not_asked_for_are_not_opened() {
    let mut folder = Folder::new();
    let columns: Vec<(String, &str)> = (0..30).map(|i| (format!("c{i}"), "int")).collect();
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let select = "SELECT 1::INTEGER AS c0";
    let tables = (0..83)
        .map(|i| folder.table(TableName::dbo(format!("T{i}")), &columns, &vec![select; if i < 4 { 100 } else { 1 }]))
        .collect();
    let snap = snapshot(1, "2026-10-01T02:00:00Z", tables);
    // Views are declared from what the snapshot says: no file is opened before a query asks for its table.
    for i in (0..83).filter(|i| *i != 1) {
        for file in std::fs::read_dir(folder.root.join("tables").join(format!("T{i}"))).unwrap() {
            let file = file.unwrap();
            let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
            std::fs::write(file.path(), vec![0; length]).unwrap();
        }
    }
    let session = Session::open(&folder.root, &snap).unwrap();
    assert_eq!(texts(&session, "SELECT sum(c0)::VARCHAR FROM \"T1\""), [["100"]]);
}
