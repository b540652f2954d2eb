//! Functions that DuckDB lacks, in Rust, called for whole vectors of values.
//!
//! They know what DuckDB does not: UTF-16 (T-SQL counts and cuts text in its units), code pages, the bytes a value has as
//! `varbinary`, and the checksum of SQL Server. All are pure; NULL in gives NULL out. Errors begin with `T-SQL` and a number,
//! which [`super::SqlError::of_engine`] understands.

use std::{error::Error as StdError, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, TimeUnit},
};
use duckdb::{
    Connection,
    vscalar::{ArrowFunctionSignature, VArrowScalar},
};

use super::wire;
use crate::error::{Kind, OrFail, Result};

/// A type of arguments.
trait Argument<'a>: Sized {
    fn data_type() -> DataType;
    fn read(array: &'a dyn Array, row: usize) -> Option<Self>;
}

/// A type of results.
trait Answer: Sized {
    fn data_type() -> DataType;
    fn gather(rows: Vec<Option<Self>>) -> ArrayRef;
}

macro_rules! arguments {
    ($($rust:ty, $array:ty, $data_type:expr;)+) => {$(
        impl<'a> Argument<'a> for $rust {
            fn data_type() -> DataType {
                $data_type
            }
            fn read(array: &'a dyn Array, row: usize) -> Option<Self> {
                let array = array.as_any().downcast_ref::<$array>()?;
                array.is_valid(row).then(|| array.value(row))
            }
        }
    )+};
}

macro_rules! answers {
    ($($rust:ty, $array:ty, $data_type:expr;)+) => {$(
        impl Answer for $rust {
            fn data_type() -> DataType {
                $data_type
            }
            fn gather(rows: Vec<Option<Self>>) -> ArrayRef {
                Arc::new(rows.into_iter().collect::<$array>())
            }
        }
    )+};
}

arguments! {
    &'a str, StringArray, DataType::Utf8;
    &'a [u8], BinaryArray, DataType::Binary;
    bool, BooleanArray, DataType::Boolean;
    i32, Int32Array, DataType::Int32;
    i64, Int64Array, DataType::Int64;
    f32, Float32Array, DataType::Float32;
    f64, Float64Array, DataType::Float64;
}

answers! {
    String, StringArray, DataType::Utf8;
    Vec<u8>, BinaryArray, DataType::Binary;
    i32, Int32Array, DataType::Int32;
    i64, Int64Array, DataType::Int64;
}

/// Microseconds since 1970.
#[derive(Clone, Copy)]
struct Stamp(i64);

impl Argument<'_> for Stamp {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    }

    fn read(array: &dyn Array, row: usize) -> Option<Self> {
        let array = array.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        array.is_valid(row).then(|| Self(array.value(row)))
    }
}

type Invoked = std::result::Result<ArrayRef, Box<dyn StdError>>;

/// Functions of arguments of fixed types: a name in DuckDB and what it does with one row.
macro_rules! functions {
    ($($function:ident $name:literal ($($argument:ident: $type:ty),+) -> $answer:ty { $body:expr })+) => {
        $(
            struct $function;

            impl VArrowScalar for $function {
                type State = ();

                fn invoke((): &(), input: RecordBatch) -> Invoked {
                    let mut rows: Vec<Option<$answer>> = Vec::with_capacity(input.num_rows());
                    for row in 0..input.num_rows() {
                        let mut columns = input.columns().iter();
                        $(
                            let $argument = columns
                                .next()
                                .and_then(|array| <$type as Argument>::read(array.as_ref(), row));
                        )+
                        rows.push(match ($($argument,)+) {
                            ($(Some($argument),)+) => Some($body?),
                            _ => None,
                        });
                    }
                    Ok(<$answer as Answer>::gather(rows))
                }

                fn signatures() -> Vec<ArrowFunctionSignature> {
                    vec![ArrowFunctionSignature::exact(
                        vec![$(<$type as Argument>::data_type()),+],
                        <$answer as Answer>::data_type(),
                    )]
                }
            }
        )+

        /// Makes the functions known to a database.
        ///
        /// # Errors
        /// [`Kind::Bug`] when one of them is there already.
        pub(super) fn register(conn: &Connection) -> Result<()> {
            let failed = || "cannot define the functions of T-SQL";
            $(conn.register_scalar_function::<$function>($name).or_fail(Kind::Bug, failed)?;)+
            conn.register_scalar_function::<Join>("tsql_join").or_fail(Kind::Bug, failed)?;
            conn.register_scalar_function::<Combine>("tsql_combine").or_fail(Kind::Bug, failed)
        }
    };
}

functions! {
    // UTF-16.
    Wide "tsql_wide"(text: &str) -> Vec<u8> { sure(wire::wide(text)) }
    Narrow "tsql_narrow"(text: &str, turkish: bool) -> Vec<u8> { sure(wire::narrow(text, turkish)) }
    Units "tsql_units"(text: &str) -> i64 { sure(wire::units(text)) }
    Cut "tsql_cut"(text: &str, start: i64, count: i64) -> String { wire::cut(text, start, count) }
    Find "tsql_charindex"(part: &str, text: &str, start: i64) -> i64 { sure(wire::find(part, text, start)) }
    // Values as bytes and back.
    Whole "tsql_whole_bytes"(number: i64, size: i32) -> Vec<u8> { sure(wire::whole(number, size)) }
    Number "tsql_number"(bytes: &[u8], size: i32) -> i64 { sure(wire::number(bytes, size)) }
    Exact "tsql_exact_bytes"(digits: &str, precision: i32, scale: i32) -> Vec<u8> {
        wire::exact(digits, precision, scale)
    }
    Double "tsql_float_bytes"(number: f64) -> Vec<u8> { sure(number.to_be_bytes().to_vec()) }
    Single "tsql_real_bytes"(number: f32) -> Vec<u8> { sure(number.to_be_bytes().to_vec()) }
    StampBytes "tsql_stamp_bytes"(stamp: Stamp, sql_type: &str) -> Vec<u8> { wire::stamp(stamp.0, sql_type) }
    MomentBytes "tsql_moment_bytes"(text: &str, sql_type: &str) -> Vec<u8> { wire::moment(text, sql_type) }
    Guid "tsql_guid_bytes"(text: &str) -> Vec<u8> { wire::guid(text) }
    Slice "tsql_slice"(bytes: &[u8], start: i64, count: i64) -> Vec<u8> { wire::slice(bytes, start, count) }
    Fit "tsql_fit"(bytes: &[u8], size: i32, from_number: bool) -> Vec<u8> { sure(wire::fit(bytes, size, from_number)) }
    // Values as text.
    FloatText "tsql_float_text"(number: f64, style: i32) -> String { sure(wire::float_text(number, style)) }
    StampText "tsql_stamp_text"(stamp: Stamp, sql_type: &str, style: i32) -> String {
        wire::stamp_text(stamp.0, sql_type, style)
    }
    // Checksums.
    HashInput "tsql_hash_input"(bytes: &[u8]) -> Vec<u8> { wire::hash_input(bytes) }
    TextSum "tsql_text_sum"(text: &str, limit: i32) -> i32 { sure(wire::text_sum(text, limit)) }
    BytesSum "tsql_bytes_sum"(bytes: &[u8]) -> i32 { sure(wire::bytes_sum(bytes)) }
    WholeSum "tsql_whole_sum"(number: i64) -> i32 { sure(wire::whole_sum(number)) }
}

/// A function that cannot fail.
#[allow(clippy::unnecessary_wraps, reason = "stands beside functions that may fail")]
fn sure<T>(value: T) -> std::result::Result<T, String> {
    Ok(value)
}

/// Combines the checksums of a row's columns, as many as there are; NULL counts as [`wire::NULL_SUM`].
struct Combine;

impl VArrowScalar for Combine {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let mut sums = vec![0i32; input.num_rows()];
        for column in input.columns() {
            let values = column.as_any().downcast_ref::<Int32Array>().ok_or("checksums are whole numbers")?;
            for (row, sum) in sums.iter_mut().enumerate() {
                let value = if values.is_valid(row) { values.value(row) } else { wire::NULL_SUM };
                *sum = wire::add_sum(*sum, value);
            }
        }
        Ok(Arc::new(Int32Array::from(sums)))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::variadic(DataType::Int32, DataType::Int32)]
    }
}

/// Bytes one after the other, as many as there are; NULL when one is NULL.
struct Join;

impl VArrowScalar for Join {
    type State = ();

    fn invoke((): &(), input: RecordBatch) -> Invoked {
        let columns: Option<Vec<&BinaryArray>> =
            input.columns().iter().map(|column| column.as_any().downcast_ref()).collect();
        let columns = columns.ok_or("only bytes are joined")?;
        let length = columns.iter().map(|column| column.value_data().len()).sum();
        let mut out = BinaryBuilder::with_capacity(input.num_rows(), length);
        let mut whole = Vec::new();
        for row in 0..input.num_rows() {
            if columns.iter().any(|column| column.is_null(row)) {
                out.append_null();
                continue;
            }
            whole.clear();
            for column in &columns {
                whole.extend_from_slice(column.value(row));
            }
            out.append_value(&whole);
        }
        Ok(Arc::new(out.finish()))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::variadic(DataType::Binary, DataType::Binary)]
    }
}
