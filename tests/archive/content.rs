//! The content hash against its golden vectors, which another implementation of docs/FORMAT.md wrote.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray},
    buffer::{NullBuffer, ScalarBuffer},
    compute::concat,
    datatypes::{
        ArrowPrimitiveType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
        Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    },
};
use serde_json::Value;
use tillvault::archive::content_hash::{column_hash, content_hash};

fn texts(values: &[Value]) -> Vec<Option<&str>> {
    values.iter().map(Value::as_str).collect()
}

/// Numbers with `junk` lying under the NULL slots.
fn numbers<T: ArrowPrimitiveType>(values: &[Value], junk: T::Native, parse: impl Fn(&str) -> T::Native) -> ArrayRef {
    let texts = texts(values);
    let slots: Vec<T::Native> = texts.iter().map(|text| text.map_or(junk, &parse)).collect();
    let nulls: NullBuffer = texts.iter().map(Option::is_some).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(slots), Some(nulls)))
}

fn whole<T: ArrowPrimitiveType>(values: &[Value], junk: T::Native) -> ArrayRef
where
    T::Native: std::str::FromStr<Err: std::fmt::Debug>,
{
    numbers::<T>(values, junk, |text| text.parse().unwrap())
}

fn array(kind: &str, values: &[Value]) -> ArrayRef {
    match kind {
        "bool" => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
        "int16" => whole::<Int16Type>(values, 77),
        "int32" => whole::<Int32Type>(values, 77),
        "int64" => whole::<Int64Type>(values, 77),
        "float32" => numbers::<Float32Type>(values, 7.5, |hex| f32::from_bits(u32::from_str_radix(hex, 16).unwrap())),
        "float64" => numbers::<Float64Type>(values, 7.5, |hex| f64::from_bits(u64::from_str_radix(hex, 16).unwrap())),
        "date" => whole::<Date32Type>(values, 77),
        "time(us)" => whole::<Time64MicrosecondType>(values, 77),
        "time(ns)" => whole::<Time64NanosecondType>(values, 77),
        "timestamp(us)" => whole::<TimestampMicrosecondType>(values, 77),
        "text" => Arc::new(StringArray::from(texts(values))),
        "binary" => {
            let bytes: Vec<Option<Vec<u8>>> =
                texts(values).iter().map(|t| t.map(|t| hex::decode(t).unwrap())).collect();
            Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
        }
        decimal => {
            let (precision, scale) =
                decimal.strip_prefix("decimal(").unwrap().strip_suffix(')').unwrap().split_once(',').unwrap();
            let plain: Decimal128Array = texts(values).iter().map(|t| t.map(|t| t.parse::<i128>().unwrap())).collect();
            Arc::new(plain.with_precision_and_scale(precision.parse().unwrap(), scale.parse().unwrap()).unwrap())
        }
    }
}

/// The same values as a slice of something longer, at an offset that is no multiple of eight.
fn inside(array: &ArrayRef, before: usize) -> ArrayRef {
    let parts: Vec<&dyn Array> = vec![array.as_ref(); before + 2];
    concat(&parts).unwrap().slice(before * array.len(), array.len())
}

fn vectors() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/content-hash");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    found.sort_by(|a: &(String, Value), b| a.0.cmp(&b.0));
    found
}

fn batch(vector: &Value, place: impl Fn(ArrayRef) -> ArrayRef) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vector["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let values = column["values"].as_array().unwrap();
            (column["name"].as_str().unwrap(), place(array(column["type"].as_str().unwrap(), values)))
        })
        .collect();
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

#[test]
fn golden_vectors() {
    let vectors = vectors();
    assert!(vectors.len() >= 16, "vectors are missing");
    for (name, vector) in &vectors {
        let rows = batch(vector, |array| array);
        for (column, array) in vector["columns"].as_array().unwrap().iter().zip(rows.columns()) {
            if let Some(expected) = column["hash"].as_str() {
                let found = column_hash(column["name"].as_str().unwrap(), array).unwrap();
                assert_eq!(found.to_hex().as_str(), expected, "{name}: {}", column["name"]);
            }
        }
        let expected = vector["content"].as_str().unwrap();
        assert_eq!(content_hash(&rows).unwrap().to_hex().as_str(), expected, "{name}");
        for before in [1, 3, 8] {
            let sliced = batch(vector, |array| inside(&array, before));
            assert_eq!(content_hash(&sliced).unwrap().to_hex().as_str(), expected, "{name}, sliced after {before}");
        }
    }
}

#[test]
fn what_counts_and_what_does_not() {
    let vectors = vectors();
    let content =
        |name: &str| vectors.iter().find(|(found, _)| found == name).unwrap().1["content"].as_str().unwrap().to_owned();
    assert_eq!(content("worked"), content("empty-column"));
    assert_eq!(content("worked"), content("column-order"));
    assert_ne!(content("worked"), content("added-column"));
    assert_eq!(content("every-type"), content("every-type-void"));
}

#[test]
fn bytes_under_null_slots_of_texts_do_not_count() {
    let clean = StringArray::from(vec![Some("a"), None, Some("b")]);
    let full = StringArray::from(vec!["a", "junk", "b"]);
    let junk = StringArray::new(full.offsets().clone(), full.values().clone(), Some(vec![true, false, true].into()));
    assert_eq!(column_hash("x", &clean).unwrap(), column_hash("x", &junk).unwrap());
    assert_ne!(column_hash("x", &clean).unwrap(), column_hash("x", &full).unwrap());
}
