//! Random tables: what the archive holds is what was served, value by value.

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::{Decimal128Type, Int16Type, Int64Type, TimestampMicrosecondType},
};
use proptest::{collection::vec, option, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tillvault::{demo::ExactCell, model::text};

use crate::{
    cases::{column, number, table},
    till::{READERS, newest, rows, serve, take},
};

/// A row: two integers, digits of a `decimal(38,9)`, ticks of a `datetime2(3)` (of the day, day), UTF-16, bytes.
type Row = (Option<i16>, Option<i64>, Option<i128>, Option<(u32, u32)>, Option<Vec<u16>>, Option<Vec<u8>>);

fn row() -> impl Strategy<Value = Row> {
    let most = 10_i128.pow(38) - 1;
    let unit = prop_oneof![6 => 0x20..0x7F_u16, 2 => any::<u16>(), 1 => 0xD800..0xE000_u16, 1 => Just(0xFFFF)];
    (
        option::of(any::<i16>()),
        option::of(any::<i64>()),
        option::of(prop_oneof![any::<i64>().prop_map(i128::from), -most..=most]),
        option::of((0..86_400_000_u32, 0..3_652_059_u32)),
        option::of(vec(unit, 0..120)),
        option::of(vec(any::<u8>(), 0..400)),
    )
}

fn cells(id: i32, row: &Row) -> Vec<ExactCell> {
    let cell = |plain: Option<Vec<u8>>| ExactCell { plain, converted: None };
    vec![
        number(id),
        cell(row.0.map(|v| v.to_le_bytes().to_vec())),
        cell(row.1.map(|v| v.to_le_bytes().to_vec())),
        cell(row.2.map(|v| [&[u8::from(v >= 0)][..], &v.unsigned_abs().to_le_bytes()].concat())),
        cell(row.3.map(|(ticks, day)| [&ticks.to_le_bytes()[..], &day.to_le_bytes()[..3]].concat())),
        cell(row.4.as_ref().map(|units| units.iter().flat_map(|unit| unit.to_le_bytes()).collect())),
        cell(row.5.clone()),
    ]
}

#[tokio::test]
async fn random_tables_are_archived_exactly() {
    let mut runner = TestRunner::default();
    let drawn: Vec<Row> = vec(row(), 900..1100).new_tree(&mut runner).unwrap().current();
    let types = ["smallint", "bigint", "decimal(38,9)", "datetime2(3)", "nvarchar(max)", "varbinary(max)"];
    let columns = types.iter().map(|name| column(*name, &name.parse().unwrap())).collect();
    let served = drawn.iter().zip(1..).map(|(row, id)| cells(id, row)).collect();
    let server = serve(vec![table("Random", columns, served)], false).await;
    for reader in READERS {
        let folder = tempfile::tempdir().unwrap();
        let (archive, outcome) = take(&server, reader, folder.path()).await;
        assert!(outcome.missing.is_empty(), "{reader}: {:?}", outcome.missing);
        let found = rows(&archive, &newest(&archive).tables[0]);
        assert_eq!(found.num_rows(), drawn.len());
        for (at, row) in drawn.iter().enumerate() {
            let there = |column: usize| found.column(column).is_valid(at);
            let kept: Row = (
                there(1).then(|| found.column(1).as_primitive::<Int16Type>().value(at)),
                there(2).then(|| found.column(2).as_primitive::<Int64Type>().value(at)),
                there(3).then(|| found.column(3).as_primitive::<Decimal128Type>().value(at)),
                there(4).then(|| {
                    let millis = found.column(4).as_primitive::<TimestampMicrosecondType>().value(at) / 1000
                        + 719_162 * 86_400_000;
                    let part = |number: i64| u32::try_from(number).unwrap();
                    (part(millis % 86_400_000), part(millis / 86_400_000))
                }),
                there(5).then(|| text::to_utf16(found.column(5).as_string::<i32>().value(at))),
                there(6).then(|| found.column(6).as_binary::<i32>().value(at).to_vec()),
            );
            assert_eq!(kept, *row, "{reader}, row {at}");
        }
    }
}
