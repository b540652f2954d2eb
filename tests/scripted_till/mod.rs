//! A till in memory: plain rows that a test changes at will, read through the same seam as the real one, and what an archive
//! holds as the same plain rows, so that the two can be compared.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this")]

pub mod archives;
mod batches;
pub mod held;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt as _;
use tillvault::{
    error::Result,
    model::table::{Column, KeyRange, Table, TableName},
    source::{GroupSum, RowStream, Source, Sums, TableSelection, TableSums, TillInfo, TradeMark, pattern},
};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    Null,
    /// Whole numbers, times (microseconds) and decimals (times 10^scale).
    Int(i128),
    Bit(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i32> for Cell {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// One row, a cell per column.
pub type Row = Vec<Cell>;

/// One table with its rows, in no particular order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    pub table: Table,
    pub rows: Vec<Row>,
}

impl Rows {
    pub fn new(name: TableName, columns: &[(&str, &str)], key: &[&str]) -> Self {
        let columns = columns.iter().map(|(name, sql_type)| column(name, sql_type, !key.contains(name)));
        let table = Table {
            name,
            columns: columns.collect(),
            key: key.iter().map(ToString::to_string).collect(),
            ..Table::default()
        };
        Self { table, rows: Vec::new() }
    }

    /// In the order of their cells, so that equal tables are equal values.
    fn sorted(mut self) -> Self {
        self.rows.sort();
        self
    }
}

pub fn column(name: &str, sql_type: &str, nullable: bool) -> Column {
    Column { name: name.into(), sql_type: sql_type.parse().unwrap(), nullable, ..Column::default() }
}

/// Every table of a till, by display name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub tables: BTreeMap<String, Rows>,
}

impl State {
    pub fn of(tables: impl IntoIterator<Item = Rows>) -> Self {
        Self { tables: tables.into_iter().map(|rows| (rows.table.name.to_string(), rows)).collect() }
    }

    pub fn table(&mut self, name: &str) -> &mut Rows {
        self.tables.get_mut(name).unwrap()
    }

    /// As values that can be compared: rows sorted.
    #[must_use]
    pub fn sorted(self) -> Self {
        Self { tables: self.tables.into_iter().map(|(name, rows)| (name, rows.sorted())).collect() }
    }
}

/// A till whose rows are a [`State`].
#[derive(Clone, Debug)]
pub struct ScriptedTill {
    pub state: State,
    /// Whether it offers snapshot isolation.
    pub isolation: bool,
    /// Rows per batch.
    pub batch: usize,
    /// Which checksums it computes.
    pub checksums: Checksums,
}

/// What a till's checksums see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// It has none.
    None,
    /// Every change.
    Exact,
    /// The integer keys alone.
    Blind,
}

impl ScriptedTill {
    pub fn new(state: State) -> Self {
        Self { state, isolation: true, batch: 700, checksums: Checksums::None }
    }
}

#[async_trait]
impl Source for ScriptedTill {
    async fn describe(&mut self) -> Result<TillInfo> {
        Ok(TillInfo {
            server: "TILL".into(),
            database: "SambaPOS5".into(),
            version: "14.0.1000.169".into(),
            edition: "Express Edition (64-bit)".into(),
            collation: "Turkish_CI_AS".into(),
            local_time: "2026-11-22T06:00:37".parse().unwrap(),
            snapshot_isolation: self.isolation,
            login: "tillvault".into(),
        })
    }

    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>> {
        let tables = self.state.tables.values().map(|rows| rows.table.clone());
        Ok(tables.filter(|table| pattern::selects(selection, &table.name)).collect())
    }

    async fn begin(&mut self) -> Result<bool> {
        Ok(self.isolation)
    }

    async fn end(&mut self) -> Result<()> {
        Ok(())
    }

    async fn trade_mark(&mut self) -> Result<TradeMark> {
        Ok(TradeMark("still".into()))
    }

    async fn sums(&mut self, table: &Table, open: u32) -> Result<Sums> {
        if self.checksums == Checksums::None {
            return Ok(Sums::Cannot("this till computes none".into()));
        }
        let rows = &self.state.tables[&table.name.to_string()].rows;
        let groups = groups(table, rows, open, self.checksums == Checksums::Blind);
        let form = format!("{:?}", table.columns);
        Ok(Sums::Table(TableSums { checksums: "scripted".into(), form, groups }))
    }

    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a> {
        let mut rows = self.state.tables[&table.name.to_string()].rows.clone();
        if let Some(column) = table.range_column() {
            let at = table.columns.iter().position(|other| other.name == column.name).unwrap();
            let key = |row: &Row| match row[at] {
                Cell::Int(key) => i64::try_from(key).unwrap(),
                ref other => panic!("{other:?} as a key"),
            };
            rows.retain(|row| {
                range.after.is_none_or(|after| key(row) > after)
                    && range.through.is_none_or(|through| key(row) <= through)
            });
            rows.sort_by_key(key);
        }
        let batches: Vec<Result<RecordBatch>> =
            rows.chunks(self.batch).map(|rows| Ok(batches::batch(table, rows))).collect();
        futures::stream::iter(batches).boxed()
    }
}

/// The sums of rows by groups of `open` keys, as a server computes them.
fn groups(table: &Table, rows: &[Row], open: u32, blind: bool) -> Vec<GroupSum> {
    let at = table.range_column().map(|column| table.columns.iter().position(|c| c.name == column.name).unwrap());
    let mut found: BTreeMap<i64, GroupSum> = BTreeMap::new();
    for row in rows {
        let key = at.map(|at| match row[at] {
            Cell::Int(key) => i64::try_from(key).unwrap(),
            ref other => panic!("{other:?} as a key"),
        });
        let number = key.map_or(0, |key| (key - 1).div_euclid(open.into()));
        let seen = if blind { format!("{key:?}") } else { format!("{row:?}") };
        let hash = blake3::hash(seen.as_bytes());
        let eight = |from: usize| i64::from_le_bytes(hash.as_bytes()[from..from + 8].try_into().unwrap());
        let group = found.entry(number).or_insert(GroupSum {
            group: number,
            rows: 0,
            lowest: key,
            highest: key,
            sum1: 0,
            sum2: 0,
            long_rows: 0,
        });
        group.rows += 1;
        group.lowest = group.lowest.min(key);
        group.highest = group.highest.max(key);
        group.sum1 += i128::from(eight(0));
        group.sum2 += i128::from(eight(8));
    }
    found.into_values().collect()
}
