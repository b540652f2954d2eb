//! The tables of the golden archive of format 1, as its six snapshots saw them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
use tillvault::{
    archive::{
        blocks, row_key,
        snapshot::{Ladder, TableEntry},
    },
    model::table::{Column, ForeignKey, Table, TableName},
};

use crate::{text::parsed, types::everything};

/// A table with its rows at one moment.
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) rows: RecordBatch,
    /// A ladder of its own, given at the table's first snapshot.
    pub(crate) ladder: Option<Ladder>,
}

impl State {
    /// What stands for the snapshot before a table's first one, where it has a ladder of its own.
    pub(crate) fn first_entry(&self) -> Option<TableEntry> {
        let ladder = self.ladder.clone()?;
        let folder = self.table.name.name.clone();
        Some(TableEntry { table: self.table.clone(), folder, ladder, rows: 0, chunks: Vec::new() })
    }
}

/// A value; NULL is none.
pub(crate) type Field = Option<String>;

#[allow(clippy::needless_pass_by_value, reason = "numbers are given as they are")]
pub(crate) fn some(text: impl ToString) -> Field {
    Some(text.to_string())
}

/// `int not null identity`, and `collate`, `default` with what follows.
fn column(name: &str, declared: &str) -> Column {
    let (declared, default) =
        declared.split_once(" default ").map_or((declared, None), |(rest, text)| (rest, Some(text.to_owned())));
    let (declared, collation) =
        declared.split_once(" collate ").map_or((declared, None), |(rest, text)| (rest, Some(text.to_owned())));
    let (declared, identity) = declared.strip_suffix(" identity").map_or((declared, false), |rest| (rest, true));
    let (sql_type, nullable) = declared.strip_suffix(" not null").map_or((declared, true), |rest| (rest, false));
    Column {
        name: name.into(),
        sql_type: sql_type.parse().unwrap(),
        nullable,
        identity,
        collation,
        default,
        ..Column::default()
    }
}

fn table(name: TableName, columns: &[(&str, &str)], key: &[&str]) -> Table {
    Table {
        name,
        columns: columns.iter().map(|(name, declared)| column(name, declared)).collect(),
        key: key.iter().map(ToString::to_string).collect(),
        ..Table::default()
    }
}

pub(crate) fn dbo(name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
    table(TableName::dbo(name), columns, key)
}

/// A state from rows of text.
pub(crate) fn state(table: Table, rows: &[Vec<Field>]) -> State {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let values: Vec<Field> = rows.iter().map(|row| row[at].clone()).collect();
        parsed(field.data_type(), &values)
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    State { table, rows, ladder: None }
}

/// Every table that snapshot `number` holds.
pub(crate) fn states(number: u64) -> Vec<State> {
    let mut all = vec![
        all_null(number),
        blobs(),
        bounds(),
        case("LOGS", number),
        case("Logs", 1),
        state(dbo("Con", &[("Id", "tinyint not null")], &["Id"]), &[vec![some(0)], vec![some(255)]]),
        devices(number),
        documents(),
        everything(),
        heap(number),
        kasa(),
        logins(),
        long_name(),
        state(dbo("Nothing", &[("Id", "int not null identity"), ("Text", "xml")], &["Id"]), &[]),
        orders(number),
        settings(number),
        small_buckets(number),
        steps(number),
        ticket_lines(),
        tickets(number),
        state(
            table(TableName { schema: "other".into(), name: "Things".into() }, &[("Id", "smallint not null")], &["Id"]),
            &[vec![some(-32_768)], vec![some(7)], vec![some(32_767)]],
        ),
    ];
    if number <= 2 {
        all.push(state(dbo("Gone", &[("Id", "int not null")], &["Id"]), &[vec![some(number)]]));
    }
    all
}

/// Grows, gets a column in snapshot 2, has an old row edited in 3 and put back in 4; cleared before 5, restored before 6.
fn orders(number: u64) -> State {
    let mut table = dbo(
        "Orders",
        &[
            ("Id", "int not null identity"),
            ("TicketId", "int not null"),
            ("Name", "nvarchar(max) collate Turkish_CI_AS"),
            ("Price", "decimal(16,2) not null default ((0))"),
            ("CreatedDateTime", "datetime not null default (getdate())"),
            ("Note", "nvarchar(50)"),
        ],
        &["Id"],
    );
    table.foreign_keys.push(ForeignKey {
        name: "FK_Orders_Tickets".into(),
        columns: vec!["TicketId".into()],
        references: TableName::dbo("Tickets"),
        referenced_columns: vec!["Id".into()],
        ..ForeignKey::default()
    });
    if number >= 2 {
        table.columns.push(column("Course", "nvarchar(20) default (N'')"));
    }
    let highest = [0, 4_200, 4_210, 4_215, 4_220, 30, 4_220][usize::try_from(number).unwrap()];
    let names = [Some("Çay"), Some("Kahve"), None, Some("Su"), Some("")];
    let rows: Vec<Vec<Field>> = (1..=highest)
        .map(|id: i32| {
            let name = names[usize::try_from(id % 5).unwrap()].map(ToOwned::to_owned);
            let edited = number == 3 && id == 100;
            let minutes = id + if number == 5 { 100_000 } else { 0 };
            let (day, hour, minute) = (1 + minutes / 1_440 % 28, minutes / 60 % 24, minutes % 60);
            let month = 1 + minutes / 1_440 / 28;
            let mut row = vec![
                some(id),
                some(1 + id / 200),
                if edited { some("Çay; çift") } else { name },
                some(format!("{}.{:02}", id % 20, id % 4 * 25)),
                some(format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.003", id % 60)),
                None,
            ];
            if number >= 2 {
                row.push((number != 5 && id > 4_200).then(|| "main".to_owned()));
            }
            row
        })
        .collect();
    state(table, &rows)
}

/// What orders refer to.
fn tickets(number: u64) -> State {
    let columns = [
        ("Id", "int not null identity"),
        ("TicketNumber", "nvarchar(40) not null"),
        ("IsClosed", "bit not null"),
        ("TotalAmount", "money not null"),
    ];
    let highest = if number == 5 { 1 } else { 22 };
    let row = |id: i32| {
        vec![some(id), some(format!("{}-{id}", u8::from(number == 5))), some(id < 22), some(format!("{id}.0125"))]
    };
    state(dbo("Tickets", &columns, &["Id"]), &(1..=highest).map(row).collect::<Vec<_>>())
}

/// A key of two columns, led by an integer that rows share, in no order below it.
fn ticket_lines() -> State {
    let columns = [("TicketId", "int not null"), ("Code", "nvarchar(10) not null"), ("Quantity", "decimal(9,3)")];
    let mut rows = Vec::new();
    for ticket in [-600, -1, 1, 2, 512, 513, 5_000] {
        for code in ["b", "aa", "", "Ç", "B", "c\u{327}"] {
            rows.push(vec![some(ticket), some(code), (code != "b").then(|| format!("{ticket}.500"))]);
        }
    }
    state(dbo("TicketLines", &columns, &["TicketId", "Code"]), &rows)
}

/// Keys at the ends of what a `bigint` holds, and around the bounds of blocks.
fn bounds() -> State {
    let keys =
        [i64::MIN, i64::MIN + 1, -8_192, -4_096, -4_095, -1, 0, 1, 512, 513, 4_096, 4_097, i64::MAX - 1, i64::MAX];
    state(dbo("Bounds", &[("Id", "bigint not null")], &["Id"]), &keys.map(|key| vec![some(key)]))
}

/// A key of text, in one chunk; a secret is left out.
fn settings(number: u64) -> State {
    let mut table = dbo("Settings", &[("Name", "nvarchar(100) not null"), ("Value", "nvarchar(max)")], &["Name"]);
    table.left_out.push("Password".into());
    let value = if number == 2 { "Otel Ay" } else { "Otel Güneş" };
    let rows =
        [("Site", some(value)), ("", some("")), ("site ", None), ("SITE", some("a\tb\\c\r\nd")), ("İ", some("\0"))];
    state(table, &rows.map(|(name, value)| vec![some(name), value]))
}

/// A key of which a part is left out: all kept columns take its place, and rows may be equal.
fn logins() -> State {
    let mut table = dbo("Logins", &[("Name", "nvarchar(9)"), ("Active", "bit"), ("Born", "date")], &["Pin", "Name"]);
    table.left_out.push("Pin".into());
    let rows = [
        vec![some("Ayşe"), some(true), some("1999-12-31")],
        vec![some("Ayşe"), some(true), some("1999-12-31")],
        vec![some("Can"), some(false), None],
        vec![None, None, some("0001-01-01")],
    ];
    state(table, &rows)
}

/// More rows than two whole chunks would hold: cut by hash. One value is edited in snapshot 4.
fn devices(number: u64) -> State {
    let mut table = dbo("Devices", &[("Serial", "varchar(20) not null"), ("Kind", "int")], &["Serial"]);
    let kind = |n: i32| if number >= 4 && n == 77 { Some(9) } else { (n % 3 > 0).then_some(n % 3) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..8_300).map(|n| Some(format!("{n:x}"))).collect::<StringArray>()),
        Arc::new((0..8_300).map(kind).collect::<Int32Array>()),
    ];
    table.columns[0].collation = Some("Latin1_General_BIN".into());
    let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
    State { table, rows, ladder: None }
}

/// No key, equal rows, rows of NULL alone.
fn heap(number: u64) -> State {
    let table = dbo("Heap", &[("B", "varbinary(8)"), ("A", "smallint")], &[]);
    let mut rows = vec![
        vec![some("00ff"), some(3)],
        vec![some("00ff"), some(3)],
        vec![None, None],
        vec![some(""), None],
        vec![None, some(-1)],
        vec![None, None],
    ];
    rows.truncate(if number == 5 { 3 } else { 6 });
    state(table, &rows)
}

/// Nothing but NULL: the file holds one column all the same, which later changes its type and then goes.
fn all_null(number: u64) -> State {
    let columns: &[(&str, &str)] = match number {
        1 => &[("A", "int"), ("B", "nvarchar(5)")],
        2 | 3 => &[("A", "varbinary(4)"), ("B", "nvarchar(5)")],
        _ => &[("B", "nvarchar(5)")],
    };
    let table = dbo("AllNull", columns, &[]);
    let row = vec![None; table.columns.len()];
    state(table, &[row.clone(), row.clone(), row])
}

/// Two names that differ by case alone.
fn case(name: &str, number: u64) -> State {
    state(dbo(name, &[("Id", "int not null"), ("Text", "text")], &["Id"]), &[vec![some(number), some(name)]])
}

/// Names that are odd everywhere.
fn kasa() -> State {
    let columns = [
        ("Nr.", "int not null"),
        ("Ürün; {x}=%,", "nvarchar(max)"),
        ("it's \"quoted\" [x]", "varchar(max)"),
        ("a/b\\c", "ntext"),
    ];
    let row = |nr: i32, text: &str| vec![some(nr), some(text), None, some(format!("{text}{text}"))];
    state(dbo("Kasa Ürün", &columns, &["Nr."]), &[row(-5, "x"), row(5, "😀")])
}

/// A name whose folder is cut.
fn long_name() -> State {
    let name = format!("{}{}", "a", "Ş".repeat(60));
    state(dbo(&name, &[("Id", "int not null")], &["Id"]), &[vec![some(1)]])
}

fn zeros(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

/// Rows too heavy to share a block, and light ones around them.
fn blobs() -> State {
    let table = dbo("Blobs", &[("Id", "int not null"), ("Data", "image")], &["Id"]);
    let heavy = [300, 301, 303];
    let ids = [1, 299, 300, 301, 302, 303, 304, 600];
    let data: Vec<Option<Vec<u8>>> = ids
        .iter()
        .map(|id| if heavy.contains(id) { Some(zeros(20_000_000)) } else { (id % 2 > 0).then(|| zeros(3)) })
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(ids.to_vec())),
        Arc::new(data.iter().map(Option::as_deref).collect::<BinaryArray>()),
    ];
    let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
    State { table, rows, ladder: None }
}

/// A key of text with two heavy rows in the same bucket of three bits, which is cut further.
fn documents() -> State {
    let table = dbo("Documents", &[("Name", "nvarchar(20) not null"), ("Data", "varbinary(max)")], &["Name"]);
    let bucket = |name: &str| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec![name])), Arc::new(BinaryArray::from(vec![None]))];
        let row = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
        blocks::bucket(blocks::hash_prefix(&blake3::hash(&row_key::row_keys(&row, &["Name"]).unwrap()[0])), 3)
    };
    let twin = (1..).map(|n| format!("twin {n}")).find(|name| bucket(name) == bucket("heavy")).unwrap();
    let small = (0..6).map(|n| (format!("small {n}"), zeros(n)));
    let rows: Vec<(String, Vec<u8>)> =
        [("heavy".to_owned(), zeros(20_000_000)), (twin, zeros(20_000_000))].into_iter().chain(small).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(&row.1)).collect::<BinaryArray>()),
    ];
    let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
    State { table, rows, ladder: None }
}

/// Ranges with other numbers than the usual ones, as another version might choose.
fn steps(number: u64) -> State {
    let table = dbo("Steps", &[("Id", "bigint not null"), ("Text", "nchar(30)")], &["Id"]);
    let highest = 38 + i64::try_from(number).unwrap();
    let text = |id: i64| if (21..=23).contains(&id) { some("x".repeat(90)) } else { (id % 4 == 0).then(|| "y".into()) };
    let rows: Vec<Vec<Field>> = (-9..=highest).filter(|id| id % 7 != 1).map(|id| vec![some(id), text(id)]).collect();
    let ladder = Ladder::Range { column: "Id".into(), open: 4, closed: 20, heavy: 200 };
    State { ladder: Some(ladder), ..state(table, &rows) }
}

/// Buckets with other numbers than the usual ones; one more bit is wanted in snapshot 4 and two in 6.
fn small_buckets(number: u64) -> State {
    let table = dbo("SmallBuckets", &[("Name", "nvarchar(9) not null"), ("Text", "nvarchar(max)")], &["Name"]);
    let rows = [0, 30, 30, 30, 60, 20, 90][usize::try_from(number).unwrap()];
    let rows: Vec<Vec<Field>> =
        (0..rows).map(|n: usize| vec![some(format!("n{n}")), n.is_multiple_of(9).then(|| "z".repeat(70))]).collect();
    let ladder = Ladder::Hash { bits: 2, rows: 10, heavy: 1_200 };
    State { ladder: Some(ladder), ..state(table, &rows) }
}
