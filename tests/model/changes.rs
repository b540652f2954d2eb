//! What happens to a till between two snapshots.

use tillvault::model::{
    sql_type::SqlType,
    table::{Column, TableName},
};

use crate::{
    dice::Dice,
    scripted_till::{Cell, Row, Rows, State, column},
};

/// Tables that every history has; clears are recognised by the first two.
pub(crate) const TICKETS: &str = "Tickets";
const CATALOG: &str = "MenuItems";
/// The table whose few rows lie on a hash ladder.
pub(crate) const HASHED: &str = "ProgramSettings";

const TYPES: [&str; 8] =
    ["int", "bigint", "smallint", "bit", "decimal(16,2)", "datetime", "nvarchar(max)", "varbinary(max)"];
const NAMES: [&str; 6] = ["Orders", "Kasa Ürün", "orders", "a.b", "Con", "Ödemeler; DROP"];

/// The till at the beginning.
pub(crate) fn first(dice: &mut Dice) -> State {
    let columns = [("Id", "int"), ("Date", "datetime"), ("IsClosed", "bit"), ("TicketNumber", "nvarchar(20)")];
    let mut tables = vec![
        Rows::new(TableName::dbo(TICKETS), &columns, &["Id"]),
        Rows::new(TableName::dbo(CATALOG), &[("Id", "int"), ("Name", "nvarchar(max)")], &["Id"]),
        Rows::new(TableName::dbo(HASHED), &[("Name", "nvarchar(255)"), ("Value", "nvarchar(max)")], &["Name"]),
    ];
    for name in NAMES {
        if dice.chance(50) {
            tables.push(random_table(name, dice));
        }
    }
    let mut state = State::of(tables);
    let names: Vec<String> = state.tables.keys().cloned().collect();
    for name in names {
        let count = if name == HASHED { 18 } else { dice.below(12) + 1 };
        insert(state.table(&name), count, dice);
    }
    state
}

fn random_table(name: &str, dice: &mut Dice) -> Rows {
    let schema = if dice.chance(20) { "other" } else { "dbo" };
    let key: &[&str] = *dice.one_of(&[&["Id"][..], &["Id", "Part"], &["Part"], &[]]);
    let mut columns = vec![("Id", *dice.one_of(&["int", "bigint"])), ("Part", "nvarchar(20)")];
    let more = ["A", "B", "Ç d", "E"];
    columns.extend(more.iter().take(dice.below(5)).map(|name| (*name, *dice.one_of(&TYPES))));
    Rows::new(TableName { schema: schema.into(), name: name.into() }, &columns, key)
}

fn value(column: &Column, dice: &mut Dice) -> Cell {
    if column.nullable && dice.chance(20) {
        return Cell::Null;
    }
    match column.sql_type {
        SqlType::Bit => Cell::Bit(dice.chance(50)),
        SqlType::SmallInt => Cell::Int(dice.between(-300, 300).into()),
        SqlType::NVarChar { .. } => (*dice.one_of(&["", "Çay", "Rakı 70 cl ", "a\0b", "\u{1f600}"])).to_owned().into(),
        SqlType::VarBinary { .. } => Cell::Bytes((0..dice.below(6)).map(|at| u8::try_from(at * 51).unwrap()).collect()),
        _ => Cell::Int(dice.between(-1_000_000, 1_000_000).into()),
    }
}

fn highest(rows: &Rows) -> i64 {
    let at = rows.table.columns.iter().position(|column| column.name == "Id");
    let ids = rows.rows.iter().filter_map(|row| match at.map(|at| &row[at]) {
        Some(Cell::Int(id)) => Some(i64::try_from(*id).unwrap()),
        _ => None,
    });
    ids.max().unwrap_or(0)
}

/// Adds rows at the end of the key.
fn insert(rows: &mut Rows, count: usize, dice: &mut Dice) {
    for _ in 0..count {
        // Now and then a gap, as a server makes them; sometimes one that closes blocks.
        let gap = [1, 1, 1, 1, 7, 600, 4_500][dice.below(7)];
        let id = highest(rows) + gap;
        let unique = dice.next();
        let is_ticket = rows.table.name.name == TICKETS;
        let row: Row = rows
            .table
            .columns
            .iter()
            .map(|column| match column.name.as_str() {
                "Id" => Cell::Int(id.into()),
                "Part" | "Name" | "TicketNumber" => Cell::Text(format!("n{unique:x}")),
                // Tickets of later histories are later, or a clear could not be told.
                "Date" if is_ticket => Cell::Int(i128::from(id) * 1_000_000 + 1_700_000_000_000_000),
                _ => value(column, dice),
            })
            .collect();
        rows.rows.push(row);
    }
}

/// Changes values of some rows: recent ones, or any.
fn edit(rows: &mut Rows, dice: &mut Dice) {
    let columns = rows.table.columns.clone();
    let free: Vec<usize> = (0..columns.len())
        .filter(|at| !["Id", "Part", "Name", "TicketNumber", "Date"].contains(&columns[*at].name.as_str()))
        .collect();
    if free.is_empty() || rows.rows.is_empty() {
        return;
    }
    for _ in 0..=dice.below(3) {
        let recent = rows.rows.len().min(3);
        let row = if dice.chance(50) { rows.rows.len() - 1 - dice.below(recent) } else { dice.below(rows.rows.len()) };
        let at = *dice.one_of(&free);
        rows.rows[row][at] = value(&columns[at], dice);
    }
}

/// Clears the trade: every ticket and order goes, the catalog stays, Ids begin anew.
fn clear(state: &mut State, dice: &mut Dice) {
    for (name, rows) in &mut state.tables {
        if ![CATALOG, HASHED].contains(&name.as_str()) {
            rows.rows.clear();
        }
    }
    let count = dice.below(4);
    insert(state.table(TICKETS), count, dice);
}

/// One change to the till, and its name.
pub(crate) fn change(state: &mut State, earlier: &[State], dice: &mut Dice) -> String {
    let names: Vec<String> = state.tables.keys().cloned().collect();
    let name = dice.one_of(&names).clone();
    match dice.below(100) {
        0..40 => {
            let count = dice.below(6) + 1;
            insert(state.table(&name), count, dice);
            format!("{count} rows come to {name}")
        }
        40..65 => {
            edit(state.table(&name), dice);
            format!("rows of {name} are edited")
        }
        65..78 => {
            state.table(&name).rows.retain(|_| !dice.chance(15));
            format!("rows of {name} go")
        }
        78..84 => {
            let rows = state.table(&name);
            let added = column(&format!("New {}", rows.table.columns.len()), dice.one_of::<&str>(&TYPES), true);
            rows.table.columns.push(added);
            rows.rows.iter_mut().for_each(|row| row.push(Cell::Null));
            format!("{name} gets a column")
        }
        84..88 => {
            clear(state, dice);
            "the till is cleared".into()
        }
        88..94 if !earlier.is_empty() => {
            *state = dice.one_of(earlier).clone();
            "an earlier state is restored".into()
        }
        94..97 if ![TICKETS, CATALOG, HASHED].contains(&name.as_str()) => {
            state.tables.remove(&name);
            format!("{name} is dropped")
        }
        _ => {
            let comes = random_table(dice.one_of::<&str>(&NAMES), dice);
            let name = comes.table.name.to_string();
            state.tables.entry(name.clone()).or_insert(comes);
            format!("{name} is there")
        }
    }
}
