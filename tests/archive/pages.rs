//! Chunk files: whatever their pages look like, they are read back to the last bit, and the bytes depend on the rows alone.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
        Int32Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, Time64NanosecondArray,
        TimestampMicrosecondArray,
    },
    compute::concat_batches,
    datatypes::{DataType, TimeUnit},
};
use bytes::Bytes;
use parquet::{
    column::page::Page,
    file::{
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tillvault::{
    archive::parquet::{decode, encode},
    model::table::Table,
};

use crate::support::{column, table};

/// Every way a value is stored, FORMAT §5.
const TYPES: [&str; 27] = [
    "int",
    "bit",
    "tinyint",
    "smallint",
    "bigint",
    "decimal(1,0)",
    "decimal(5,2)",
    "decimal(9,2)",
    "decimal(10,0)",
    "decimal(18,4)",
    "decimal(19,0)",
    "decimal(38,10)",
    "money",
    "smallmoney",
    "real",
    "float",
    "date",
    "time(3)",
    "time(7)",
    "datetime",
    "smalldatetime",
    "datetime2(7)",
    "datetimeoffset(2)",
    "nvarchar(max)",
    "uniqueidentifier",
    "rowversion",
    "varbinary(max)",
];

/// What random rows look like.
#[derive(Clone, Debug)]
struct Shape {
    rows: usize,
    /// Of a hundred values so many are NULL.
    nulls: u32,
    /// Different values at most.
    distinct: u64,
    /// Length of texts and binaries at most.
    length: usize,
    /// Whether numbers grow from row to row.
    grows: bool,
    seed: u64,
}

fn all_types(keys: &[usize]) -> Table {
    let columns = TYPES.iter().enumerate().map(|(at, sql_type)| column(&format!("C{at}"), sql_type, true));
    let keys: Vec<String> = keys.iter().map(|at| format!("C{at}")).collect();
    table("T", columns.collect(), &keys.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One column. A value is a number drawn among `distinct` ones, made into what the type needs.
fn array(kind: &DataType, shape: &Shape, dice: &mut ChaCha8Rng) -> ArrayRef {
    let mut number = 0;
    let drawn: Vec<Option<u64>> = (0..shape.rows)
        .map(|_| {
            let step = dice.next_u64() % shape.distinct;
            number = if shape.grows { number + step % 9 } else { step };
            // Spread over all 64 bits, unless they have to grow.
            let value = if shape.grows { number } else { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
            (dice.random_range(0..100) >= shape.nulls).then_some(value)
        })
        .collect();
    let bits = |value: u64| i64::from_le_bytes(value.to_le_bytes());
    let half = |value: u64| u32::try_from(value >> 32 ^ value & 0xffff_ffff).unwrap();
    let values = drawn.iter().copied();
    let text = |value: u64| -> Vec<u8> {
        let mut own = ChaCha8Rng::seed_from_u64(value);
        let length = own.random_range(0..=shape.length);
        (0..length).map(|_| own.random_range(b' '..=b'~')).collect()
    };
    match kind {
        DataType::Boolean => Arc::new(values.map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(
            values
                .map(|v| v.map(|v| i16::from_le_bytes([v.to_le_bytes()[0], v.to_le_bytes()[1]])))
                .collect::<Int16Array>(),
        ),
        DataType::Int32 => Arc::new(values.map(|v| v.map(|v| half(v).cast_signed())).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(values.map(|v| v.map(bits)).collect::<Int64Array>()),
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let wide = |v: u64| (i128::from(bits(v)) * i128::from(bits(v.rotate_left(17)))) % limit;
            let numbers = values.map(|v| v.map(wide)).collect::<Decimal128Array>();
            Arc::new(numbers.with_precision_and_scale(*precision, *scale).unwrap())
        }
        // All bit patterns: numbers without a sign of their own, infinities, negative zero.
        DataType::Float32 => Arc::new(values.map(|v| v.map(|v| f32::from_bits(half(v)))).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(values.map(|v| v.map(f64::from_bits)).collect::<Float64Array>()),
        DataType::Date32 => Arc::new(
            values.map(|v| v.map(|v| i32::try_from(v % 3_652_059).unwrap() - 719_162)).collect::<Date32Array>(),
        ),
        DataType::Time64(TimeUnit::Microsecond) => {
            Arc::new(values.map(|v| v.map(|v| bits(v % 86_400_000_000))).collect::<Time64MicrosecondArray>())
        }
        DataType::Time64(_) => {
            Arc::new(values.map(|v| v.map(|v| bits(v % 864_000_000_000) * 100)).collect::<Time64NanosecondArray>())
        }
        DataType::Timestamp(..) => Arc::new(
            values.map(|v| v.map(|v| bits(v) % 200_000_000_000_000_000)).collect::<TimestampMicrosecondArray>(),
        ),
        DataType::Utf8 => Arc::new(values.map(|v| Some(String::from_utf8(text(v?)).unwrap())).collect::<StringArray>()),
        _ => Arc::new(values.map(|v| v.map(text)).collect::<BinaryArray>()),
    }
}

fn random_rows(table: &Table, shape: &Shape) -> RecordBatch {
    let mut dice = ChaCha8Rng::seed_from_u64(shape.seed);
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().map(|field| array(field.data_type(), shape, &mut dice)).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Pages of every column: dictionaries, and pages of rows.
fn page_counts(file: &Bytes) -> Vec<(usize, usize)> {
    let reader = SerializedFileReader::new_with_options(file.clone(), ReadOptionsBuilder::new().build()).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let columns = (0..group.num_columns()).map(|column| {
        let pages = group.get_column_page_reader(column).unwrap().map(Result::unwrap);
        pages.fold((0, 0), |(dictionaries, data), page| match page {
            Page::DictionaryPage { .. } => (dictionaries + 1, data),
            _ => (dictionaries, data + 1),
        })
    });
    columns.collect()
}

fn check(table: &Table, shape: &Shape) -> Bytes {
    let rows = random_rows(table, shape);
    let file = encode(&rows, table).unwrap();
    assert_eq!(decode(file.clone(), table).unwrap(), rows, "{shape:?}");
    // Rows that lie behind others in their buffers, as a cut of a larger batch does.
    let doubled = concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    assert_eq!(encode(&doubled.slice(shape.rows, shape.rows), table).unwrap(), file, "{shape:?}");
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_tables_come_back(
        rows in prop_oneof![1..4usize, 1..300usize, 1..3_000usize],
        nulls in prop_oneof![Just(0u32), Just(100), 0..100u32],
        distinct in prop_oneof![Just(1u64), 2..20u64, Just(u64::MAX)],
        length in prop_oneof![Just(0usize), 0..4usize, 0..60usize],
        keys in proptest::collection::btree_set(0..TYPES.len(), 0..4),
        grows in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let table = all_types(&keys.into_iter().collect::<Vec<_>>());
        check(&table, &Shape { rows, nulls, distinct, length, grows, seed });
    }
}

#[test]
fn many_pages_and_dictionaries_come_back() {
    let table = all_types(&[0]);
    for (nulls, distinct, grows) in [(0, u64::MAX, false), (30, 500, false), (99, u64::MAX, true)] {
        let file = check(&table, &Shape { rows: 21_000, nulls, distinct, length: 20, grows, seed: distinct });
        let pages = page_counts(&file);
        assert!(pages.iter().all(|(_, data)| *data >= 2), "{pages:?}");
        let dictionaries = pages.iter().filter(|(dictionaries, _)| *dictionaries > 0).count();
        assert_eq!(dictionaries > 10, distinct == 500 || nulls == 99, "{pages:?}");
    }
}

/// Bytes that no compression makes smaller.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn large_values_come_back() {
    let table = table("Files", vec![column("Id", "int", false), column("Body", "varbinary(max)", true)], &["Id"]);
    let with_bodies = |bodies: Vec<Option<Vec<u8>>>| {
        let ids: Int32Array = (1..).take(bodies.len()).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(bodies.into_iter().collect::<BinaryArray>())];
        RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
    };
    let lengths =
        [Some(0), Some(9_000_000), None, Some(1 << 20), Some(1), Some((1 << 20) - 1), Some(3_000_000), Some(0)];
    let rows = with_bodies((0..).zip(lengths).map(|(seed, length)| Some(noise(seed, length?))).collect());
    let file = encode(&rows, &table).unwrap();
    assert!(file.len() > 14_000_000);
    assert_eq!(decode(file, &table).unwrap(), rows);
    // Few values have a dictionary; it is given up half-way when it outgrows its page.
    let length = |row: u32| if row.is_multiple_of(500) { 600_000 } else { 3 };
    let few = |row: u32| Some(noise(if row.is_multiple_of(500) { row % 1_000 } else { row % 50 }, length(row)));
    let rows = with_bodies((0..3_000).map(few).collect());
    let file = encode(&rows, &table).unwrap();
    assert_eq!(decode(file.clone(), &table).unwrap(), rows);
    let body = page_counts(&file)[1];
    assert!(body.0 == 1 && body.1 > 1, "{body:?}");
}

#[test]
fn a_chunk_says_nothing_of_the_program_that_wrote_it_but_its_name() {
    let table = all_types(&[0]);
    let shape = Shape { rows: 200, nulls: 10, distinct: 9, length: 5, grows: false, seed: 3 };
    let file = check(&table, &shape);
    let says = |words: &str| file.windows(words.len()).any(|window| window.eq_ignore_ascii_case(words.as_bytes()));
    assert!(says("tillvault"));
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let versions: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).collect();
    assert!(versions.len() > 300);
    for words in versions.into_iter().chain(["version", "parquet-rs", "arrow", "rust", "zstd"]) {
        assert!(!says(words), "{words}");
    }
}
