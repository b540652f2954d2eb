//! The cases of `fixtures/types`, and tables made of them.

use std::path::{Path, PathBuf};

use tillvault::{
    demo::{ExactCell, ExactTable},
    model::{
        sql_type::SqlType,
        table::{Column, Table, TableName, UserType},
    },
};

/// One line of the file.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Number of the line, from 1: its row's Id in tables of one type.
    pub(crate) line: i32,
    pub(crate) sql_type: SqlType,
    pub(crate) name: String,
    pub(crate) cell: ExactCell,
    pub(crate) archived: String,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/types").join(name)
}

/// The expression that tillvault sends for the `sql_variant` in column `name`.
pub(crate) fn variant_expression(name: &str) -> String {
    let text = std::fs::read_to_string(fixture("sql_variant.sql")).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("[V]", &format!("[{name}]"))
}

pub(crate) fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(fixture("cases.tsv")).unwrap();
    let cases: Vec<Case> = text
        .lines()
        .zip(1..)
        .map(|(line, number)| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [sql_type, name, plain, converted, archived] = fields[..] else { panic!("line {number}: {line}") };
            let parsed: SqlType = sql_type.parse().unwrap();
            assert_eq!(parsed.to_string(), sql_type, "line {number}");
            let converted = if converted == "-" { None } else { bytes(converted) };
            let cell = ExactCell { plain: bytes(plain), converted };
            Case { line: number, sql_type: parsed, name: name.into(), cell, archived: archived.into() }
        })
        .collect();
    assert!(cases.len() > 400);
    cases
}

/// `NULL`, `0x…` or `u"…"`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text == "NULL" {
        return None;
    }
    Some(match text.strip_prefix('u') {
        Some(json) => utf16(&serde_json::from_str::<String>(json).unwrap()),
        None => hex::decode(text.strip_prefix("0x").unwrap()).unwrap(),
    })
}

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The cases type by type, in the order of the file.
pub(crate) fn by_type(cases: &[Case]) -> Vec<(SqlType, Vec<&Case>)> {
    let mut found: Vec<(SqlType, Vec<&Case>)> = Vec::new();
    for case in cases {
        match found.iter_mut().find(|(sql_type, _)| *sql_type == case.sql_type) {
            Some((_, list)) => list.push(case),
            None => found.push((case.sql_type.clone(), vec![case])),
        }
    }
    found
}

/// A column of that type as the catalog declares it.
pub(crate) fn column(name: impl Into<String>, sql_type: &SqlType) -> Column {
    let added = match sql_type {
        SqlType::Clr(name) if sql_type.to_string().starts_with("clr(") => Some(name.clone()),
        _ => None,
    };
    Column {
        clr: matches!(sql_type, SqlType::Clr(_)),
        user_type: added.map(|name| UserType { schema: "dbo".into(), name }),
        ..Column::new(name, sql_type.clone())
    }
}

pub(crate) fn number(id: i32) -> ExactCell {
    ExactCell { plain: Some(id.to_le_bytes().to_vec()), converted: None }
}

/// A table `name` with the key `Id` and these columns behind it.
pub(crate) fn table(name: &str, columns: Vec<Column>, rows: Vec<Vec<ExactCell>>) -> ExactTable {
    let variants = columns.iter().filter(|column| column.sql_type == SqlType::Variant);
    let expressions = variants.map(|column| (column.name.clone(), variant_expression(&column.name))).collect();
    let key = Column::new("Id", SqlType::Int).not_null();
    let table = Table::new(TableName::dbo(name), [vec![key], columns].concat()).with_key(&["Id"]);
    ExactTable { table, rows, expressions }
}

/// For each type a table that allows NULL, `T0`, `T1`, …, and one that does not, `N0`, `N1`, …: `Id` is the case's line.
pub(crate) fn narrow_tables(cases: &[&Case]) -> Vec<ExactTable> {
    let owned: Vec<Case> = cases.iter().map(|case| (*case).clone()).collect();
    let mut tables = Vec::new();
    for (index, (sql_type, list)) in by_type(&owned).into_iter().enumerate() {
        let rows = |null: bool| {
            let kept = list.iter().filter(move |case| null || case.cell.plain.is_some());
            kept.map(|case| vec![number(case.line), case.cell.clone()]).collect::<Vec<_>>()
        };
        let column = column("V", &sql_type);
        tables.push(table(&format!("T{index}"), vec![column.clone()], rows(true)));
        tables.push(table(&format!("N{index}"), vec![column.not_null()], rows(false)));
    }
    tables
}

/// One table with a column of each type, in which no type comes at an end together with the others. `Id` is the row's
/// number; the column of type `t` holds its case number `row % cases of t`.
pub(crate) fn wide_table(cases: &[&Case]) -> ExactTable {
    let owned: Vec<Case> = cases.iter().map(|case| (*case).clone()).collect();
    let types = by_type(&owned);
    let columns = types.iter().map(|(sql_type, _)| column(format!("V {sql_type}"), sql_type)).collect();
    let rows = (0..43_usize).map(|row| {
        let cells = types.iter().map(|(_, list)| list[row % list.len()].cell.clone());
        std::iter::once(number(i32::try_from(row).unwrap())).chain(cells).collect()
    });
    table("Wide", columns, rows.collect())
}
