//! Random tables over the whole table of types: what the archive holds is what was served, value by value.
//!
//! Types with numbers (`decimal(p,s)`, `time(n)`, `varchar(n)`) are drawn with any of them. What must be kept is worked out here
//! from what was drawn, by nobody's code but this. Each run draws anew; a failure names its seed.

use std::fmt::Write as _;

use jiff::{SignedDuration, civil::date};
use proptest::test_runner::TestRunner;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng as Lot;
use tillvault::{demo::ExactCell, model::sql_type::SqlType};

use crate::{
    cases::{column, number, table},
    render::{decimal, holds},
    till::{READERS, newest, rows, serve, take},
};

/// A value as a server sends it, and as `cases.tsv` would spell what is kept.
type Value = (ExactCell, String);

const TYPES: [&str; 36] = [
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "decimal",
    "decimal",
    "decimal",
    "money",
    "smallmoney",
    "real",
    "float",
    "date",
    "time",
    "datetime",
    "smalldatetime",
    "datetime2",
    "datetime2",
    "datetimeoffset",
    "nchar",
    "nvarchar",
    "nvarchar(max)",
    "ntext",
    "char",
    "varchar",
    "varchar(max)",
    "text",
    "xml",
    "json",
    "uniqueidentifier",
    "binary",
    "varbinary",
    "varbinary(max)",
    "image",
    "rowversion",
    "hierarchyid",
];

/// The type named so, with numbers of its own where it has some.
fn any_of(name: &str, lot: &mut Lot) -> SqlType {
    let spelled = match name {
        "decimal" => {
            let precision = lot.random_range(1..=38);
            format!("decimal({precision},{})", lot.random_range(0..=precision))
        }
        "time" | "datetime2" | "datetimeoffset" => format!("{name}({})", lot.random_range(0..=7)),
        "nchar" | "nvarchar" | "char" | "varchar" | "binary" | "varbinary" => {
            format!("{name}({})", lot.random_range(1..=90))
        }
        plain => plain.to_owned(),
    };
    let parsed: SqlType = spelled.parse().unwrap();
    assert_eq!(parsed.to_string(), spelled);
    parsed
}

fn value(sql_type: &SqlType, lot: &mut Lot) -> Value {
    if lot.random_ratio(1, 12) {
        return (ExactCell { plain: None, converted: None }, "NULL".into());
    }
    let spelled = sql_type.to_string();
    let (name, rest) = spelled.split_once('(').unwrap_or((&spelled, ""));
    let first = rest.trim_end_matches(')').split(',').next().unwrap();
    let size: Option<usize> = first.parse().ok();
    match name {
        "nchar" | "nvarchar" | "ntext" => {
            let units = units(lot, true, name == "nchar", size);
            (plain(little(&units)), json(&units))
        }
        "char" | "varchar" | "text" | "xml" | "json" => {
            let units = units(lot, false, name == "char", size);
            let cell = ExactCell { plain: Some(vec![b'?'; units.len()]), converted: Some(little(&units)) };
            (cell, json(&units))
        }
        "binary" | "varbinary" | "image" | "rowversion" | "hierarchyid" => {
            let most = if name == "rowversion" { 8 } else { size.unwrap_or(300) };
            let least = if ["binary", "rowversion"].contains(&name) { most } else { 0 };
            let mut bytes = vec![0; lot.random_range(least..=most)];
            lot.fill_bytes(&mut bytes);
            let archived = format!("0x{}", hex::encode_upper(&bytes));
            (plain(bytes), archived)
        }
        "uniqueidentifier" => guid(lot),
        "decimal" => {
            let scale = rest.trim_end_matches(')').split(',').nth(1).unwrap().parse().unwrap();
            any_decimal(size.unwrap(), scale, lot)
        }
        _ => number_or_time(name, size.unwrap_or(0), lot),
    }
}

fn plain(bytes: Vec<u8>) -> ExactCell {
    ExactCell { plain: Some(bytes), converted: None }
}

/// UTF-16; not valid where `any`, as columns of Unicode may hold it. Padded as the server does, where it does.
fn units(lot: &mut Lot, any: bool, padded: bool, size: Option<usize>) -> Vec<u16> {
    let most = size.unwrap_or(150);
    let length = lot.random_range(0..=most);
    let mut units: Vec<u16> = (0..length)
        .map(|_| match lot.random_range(0..9) {
            0 | 1 if any => lot.random(),
            2 if any => lot.random_range(0xD800..0xE000),
            3 if any => 0xFFFF,
            0..3 => lot.random_range(0xA0..0x3000),
            _ => lot.random_range(0x20..0x7F),
        })
        .collect();
    units.resize(if padded { most } else { length }, 0x20);
    units
}

fn little(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

/// As FORMAT §5.1 has it: what is no character is U+FFFF and its number.
fn json(units: &[u16]) -> String {
    let mut text = String::new();
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok('\u{FFFF}') => text.push_str("\u{FFFF}FFFF"),
            Ok(letter) => text.push(letter),
            Err(half) => write!(text, "\u{FFFF}{:04X}", half.unpaired_surrogate()).unwrap(),
        }
    }
    serde_json::to_string(&text).unwrap()
}

fn guid(lot: &mut Lot) -> Value {
    let bytes: [u8; 16] = lot.random();
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits = hex::encode_upper(order.map(|at: usize| bytes[at]));
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    (plain(bytes.to_vec()), parts.join("-"))
}

fn any_decimal(precision: usize, scale: i8, lot: &mut Lot) -> Value {
    let digits = lot.random_range(1..=u32::try_from(precision).unwrap());
    let magnitude = lot.random_range(0..10_u128.pow(digits));
    let negative = magnitude > 0 && lot.random();
    let width = [(9, 4), (19, 8), (28, 12), (38, 16)].into_iter().find(|(most, _)| precision <= *most).unwrap().1;
    let bytes = [&[u8::from(!negative)][..], &magnitude.to_le_bytes()[..width]].concat();
    let signed = i128::try_from(magnitude).unwrap() * if negative { -1 } else { 1 };
    (plain(bytes), decimal(signed, scale))
}

fn number_or_time(name: &str, scale: usize, lot: &mut Lot) -> Value {
    let day = |days: i64, year: i64| {
        let before_1970 = if year == 1 { 719_162 } else { 25_567 };
        date(1970, 1, 1).checked_add(SignedDuration::from_hours(24 * (days - before_1970))).unwrap()
    };
    match name {
        "bit" => {
            let bit: bool = lot.random();
            (plain(vec![u8::from(bit)]), bit.to_string())
        }
        "tinyint" => {
            let value: u8 = lot.random();
            (plain(vec![value]), value.to_string())
        }
        "smallint" => {
            let value: i16 = lot.random();
            (plain(value.to_le_bytes().to_vec()), value.to_string())
        }
        "int" => {
            let value: i32 = lot.random();
            (plain(value.to_le_bytes().to_vec()), value.to_string())
        }
        "bigint" => {
            let value: i64 = lot.random();
            (plain(value.to_le_bytes().to_vec()), value.to_string())
        }
        "money" => {
            let bytes = lot.random::<i64>().to_le_bytes();
            // The upper half comes first.
            let cell = plain([&bytes[4..], &bytes[..4]].concat());
            (cell, decimal(i64::from_le_bytes(bytes).into(), 4))
        }
        "smallmoney" => {
            let value: i32 = lot.random();
            (plain(value.to_le_bytes().to_vec()), decimal(value.into(), 4))
        }
        "real" => {
            let value =
                std::iter::repeat_with(|| f32::from_bits(lot.random())).find(|value| value.is_finite()).unwrap();
            (plain(value.to_le_bytes().to_vec()), format!("{value:e}"))
        }
        "float" => {
            let value =
                std::iter::repeat_with(|| f64::from_bits(lot.random())).find(|value| value.is_finite()).unwrap();
            (plain(value.to_le_bytes().to_vec()), format!("{value:e}"))
        }
        "date" => {
            let days = lot.random_range(0..3_652_059_u32);
            (plain(days.to_le_bytes()[..3].to_vec()), day(days.into(), 1).to_string())
        }
        "smalldatetime" => {
            let (days, minutes): (u16, u16) = (lot.random(), lot.random_range(0..1440));
            let archived = format!("{}T{:02}:{:02}:00", day(days.into(), 1900), minutes / 60, minutes % 60);
            (plain([days.to_le_bytes(), minutes.to_le_bytes()].concat()), archived)
        }
        "datetime" => {
            let (days, ticks) = (lot.random_range(-53_690..2_958_464_i32), lot.random_range(0..25_920_000_u32));
            // Thirds of a hundredth, rounded as the server shows them: .000, .003, .007.
            let archived = format!("{}T{}", day(days.into(), 1900), clock((u64::from(ticks) * 10 + 1) / 3, 3));
            (plain([days.to_le_bytes(), ticks.to_le_bytes()].concat()), archived)
        }
        "time" | "datetime2" | "datetimeoffset" => {
            let power = 10_u64.pow(u32::try_from(scale).unwrap());
            let ticks = lot.random_range(0..86_400 * power);
            let width = [3, 3, 3, 4, 4, 5, 5, 5][scale];
            let mut bytes = ticks.to_le_bytes()[..width].to_vec();
            if name == "time" {
                return (plain(bytes), clock(ticks, scale));
            }
            // Not so near to the ends of time that another zone would be beyond them.
            let days = lot.random_range(1..3_652_058_u32);
            bytes.extend_from_slice(&days.to_le_bytes()[..3]);
            if name == "datetime2" {
                return (plain(bytes), format!("{}T{}", day(days.into(), 1), clock(ticks, scale)));
            }
            let offset = lot.random_range(-840..=840_i16);
            bytes.extend_from_slice(&offset.to_le_bytes());
            let ticks = i64::try_from(ticks).unwrap() + i64::from(offset) * 60 * i64::try_from(power).unwrap();
            let whole = 86_400 * i64::try_from(power).unwrap();
            let local = day(i64::from(days) + ticks.div_euclid(whole), 1);
            let within = u64::try_from(ticks.rem_euclid(whole)).unwrap();
            let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let zone = format!("{sign}{:02}:{:02}", offset / 60, offset % 60);
            (plain(bytes), format!("{local}T{}{zone}", clock(within, scale)))
        }
        other => panic!("no values of {other}"),
    }
}

/// Ticks of a day with so many digits behind the seconds.
fn clock(ticks: u64, scale: usize) -> String {
    let power = 10_u64.pow(u32::try_from(scale).unwrap());
    let (seconds, part) = (ticks / power, ticks % power);
    let fraction = if scale == 0 { String::new() } else { format!(".{part:0scale$}") };
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Each of the types at least once, in tables of a few columns, in any order.
async fn random_tables_are_archived_exactly(reader: &str) {
    let seed = TestRunner::default().rng().next_u64();
    let mut lot = Lot::seed_from_u64(seed);
    let mut names = [TYPES, TYPES].concat();
    for at in (1..names.len()).rev() {
        names.swap(at, lot.random_range(0..=at));
    }
    let mut drawn: Vec<(Vec<SqlType>, Vec<Vec<Value>>)> = Vec::new();
    while !names.is_empty() {
        let width = lot.random_range(1..=8).min(names.len());
        let types: Vec<SqlType> = names.drain(..width).map(|name| any_of(name, &mut lot)).collect();
        let count = [0, 1, 90, 300][lot.random_range(0..4)];
        let values = (0..count).map(|_| types.iter().map(|sql_type| value(sql_type, &mut lot)).collect()).collect();
        drawn.push((types, values));
    }
    let tables = drawn.iter().zip(100..).map(|((types, values), index)| {
        let columns = types.iter().zip(1..).map(|(sql_type, at)| column(format!("C{at} {sql_type}"), sql_type));
        let cells = |row: &Vec<Value>| row.iter().map(|value| value.0.clone()).collect::<Vec<_>>();
        let served = values.iter().zip(1..).map(|(row, id)| [vec![number(id)], cells(row)].concat());
        table(&format!("R{index}"), columns.collect(), served.collect())
    });
    // Text that is not valid is asked for once more by one of the readers, which ends a read transaction.
    let server = serve(tables.collect(), reader == READERS[0]).await;
    let folder = tempfile::tempdir().unwrap();
    let (archive, outcome) = take(&server, reader, folder.path()).await;
    assert!(outcome.missing.is_empty(), "seed {seed}, {reader}: {:?}", outcome.missing);
    let snapshot = newest(&archive);
    assert_eq!(snapshot.tables.len(), drawn.len(), "seed {seed}");
    for (entry, (types, values)) in snapshot.tables.iter().zip(&drawn) {
        let found = rows(&archive, entry);
        assert_eq!(found.num_rows(), values.len(), "seed {seed}, {reader}, {}", entry.table.name);
        for (at, row) in values.iter().enumerate() {
            for (index, (sql_type, (cell, archived))) in types.iter().zip(row).enumerate() {
                let outcome = holds(found.column(index + 1), at, sql_type, archived);
                assert_eq!(outcome, Ok(()), "seed {seed}, {reader}, {sql_type}: {cell:?} should be {archived}");
            }
        }
    }
}

#[tokio::test]
async fn random_tables_are_archived_exactly_by_the_fast_reader() {
    random_tables_are_archived_exactly(READERS[0]).await;
}

#[tokio::test]
async fn random_tables_are_archived_exactly_by_tiberius() {
    random_tables_are_archived_exactly(READERS[1]).await;
}
