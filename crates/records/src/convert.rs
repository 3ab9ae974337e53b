//! Conversion of Arrow columns to the kinds of values that the estimators use, and hashes of keys.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use stagger_model::error::{Result, StaggerError};
use xxhash_rust::xxh3::xxh3_128;

use super::source::{ColumnKind, kind_of};
use super::text::{append_parsed, keys};
use super::types::MUST_BE_NUMERIC;

/// Returns the canonical hash of an integer key: XXH3-128 of a tag byte and the little-endian value (DESIGN §3).
#[inline]
pub fn hash_integer(value: i64) -> u128 {
    let mut bytes = [b'i'; 9];
    bytes[1..].copy_from_slice(&value.to_le_bytes());
    xxh3_128(&bytes)
}

/// Returns the canonical hash of a text key: XXH3-128 of a tag byte and the text. `buffer` is scratch space.
pub fn hash_text(text: &[u8], buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    buffer.push(b's');
    buffer.extend_from_slice(text);
    xxh3_128(buffer)
}

/// Calls `each` with the column's values as `f64`, missing ones as NaN. `scratch` holds the values where a copy is
/// needed; `column` is the name for messages.
///
/// # Errors
/// A column or a text that is not numeric, and the errors of `each`.
pub fn with_f64<T>(
    array: &ArrayRef,
    column: &str,
    scratch: &mut Vec<f64>,
    each: impl FnOnce(&[f64]) -> Result<T>,
) -> Result<T> {
    if let Some(values) = array.as_primitive_opt::<Float64Type>()
        && values.null_count() == 0
    {
        return each(values.values());
    }
    scratch.clear();
    append(array, column, scratch)?;
    if let Some(nulls) = array.nulls() {
        for (row, value) in scratch.iter_mut().enumerate() {
            if nulls.is_null(row) {
                *value = f64::NAN;
            }
        }
    }
    each(scratch)
}

/// Appends the column's values as `f64`, with arbitrary values in missing rows.
fn append(array: &ArrayRef, column: &str, out: &mut Vec<f64>) -> Result<()> {
    macro_rules! copy {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            out.extend(values.values().iter().map(|&v| v as f64));
        }};
    }
    macro_rules! copy_decimals {
        ($type:ty, $scale:expr) => {{
            let values = array.as_primitive::<$type>().values();
            scaled(values.iter().map(|&v| v as f64), *$scale, out);
        }};
    }
    match array.data_type() {
        DataType::Float64 => copy!(Float64Type),
        DataType::Float32 => copy!(Float32Type),
        DataType::Float16 => {
            out.extend(array.as_primitive::<Float16Type>().values().iter().map(|v| v.to_f64()));
        }
        DataType::Int64 => copy!(Int64Type),
        DataType::Int32 => copy!(Int32Type),
        DataType::Int16 => copy!(Int16Type),
        DataType::Int8 => copy!(Int8Type),
        DataType::UInt64 => copy!(UInt64Type),
        DataType::UInt32 => copy!(UInt32Type),
        DataType::UInt16 => copy!(UInt16Type),
        DataType::UInt8 => copy!(UInt8Type),
        DataType::Decimal32(_, scale) => copy_decimals!(Decimal32Type, scale),
        DataType::Decimal64(_, scale) => copy_decimals!(Decimal64Type, scale),
        DataType::Decimal128(_, scale) => copy_decimals!(Decimal128Type, scale),
        DataType::Decimal256(_, scale) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            scaled(values.iter().map(|v| v.to_string().parse().unwrap_or(f64::NAN)), *scale, out);
        }
        DataType::Boolean => copy_booleans(array.as_boolean(), out),
        DataType::Null => out.resize(array.len(), f64::NAN),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => append_parsed(array, column, out)?,
        other if kind_of(other) != ColumnKind::Other => append_dictionary(array, column, out)?,
        other => return Err(wrong_type(column, other)),
    }
    Ok(())
}

/// Appends the values of a dictionary's rows; refuses other arrays.
fn append_dictionary(array: &ArrayRef, column: &str, out: &mut Vec<f64>) -> Result<()> {
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return Err(wrong_type(column, array.data_type()));
    };
    let values = numbers(dictionary.values(), column)?;
    match keys(dictionary) {
        Some(keys) => out.extend(keys.into_iter().map(|key| values[key])),
        None => out.resize(array.len(), f64::NAN),
    }
    Ok(())
}

/// Returns a dictionary's values as `f64`.
fn numbers(array: &ArrayRef, column: &str) -> Result<Vec<f64>> {
    with_f64(array, column, &mut Vec::new(), |values| Ok(values.to_vec()))
}

/// Appends decimals: integers divided by a power of ten.
fn scaled(values: impl Iterator<Item = f64>, scale: i8, scratch: &mut Vec<f64>) {
    let divisor = 10f64.powi(i32::from(scale));
    scratch.extend(values.map(|value| value / divisor));
}

fn copy_booleans(values: &BooleanArray, scratch: &mut Vec<f64>) {
    scratch.extend((0..values.len()).map(|row| f64::from(values.value(row))));
}

/// Returns the error for a column that is not numeric.
fn wrong_type(column: &str, data_type: &DataType) -> StaggerError {
    let hint = match data_type {
        DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(_, _)
        | DataType::Time32(_)
        | DataType::Time64(_) => {
            "convert dates to numbers first, for instance to the year or to months since a start"
        }
        _ => MUST_BE_NUMERIC,
    };
    StaggerError::input(format!("column `{column}` has type {data_type}, which is not a number"))
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int8Type as Key;
    use arrow_array::{Decimal128Array, DictionaryArray, Float64Array, Int8Array, NullArray, StringArray};

    use super::*;
    use crate::with_texts;

    fn numbers(array: ArrayRef) -> Vec<f64> {
        super::numbers(&array, "x").unwrap()
    }

    #[test]
    fn unusual_numbers() {
        let decimal =
            Decimal128Array::from(vec![Some(12_345), None, Some(-5)]).with_precision_and_scale(9, 2);
        let found = numbers(Arc::new(decimal.unwrap()));
        assert_eq!((found[0], found[1].is_nan(), found[2]), (123.45, true, -0.05));
        let keys = Int8Array::from(vec![Some(1), None, Some(0)]);
        let dictionary = DictionaryArray::<Key>::new(keys, Arc::new(Float64Array::from(vec![7.5, 8.5])));
        let found = numbers(Arc::new(dictionary));
        assert_eq!((found[0], found[1].is_nan(), found[2]), (8.5, true, 7.5));
        assert!(numbers(Arc::new(NullArray::new(2))).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn dictionaries_of_text() {
        let texts = |array: ArrayRef| {
            with_texts(&array, |all| Ok(all.into_iter().map(|t| t.map(str::to_owned)).collect::<Vec<_>>()))
                .unwrap()
        };
        let keys = Int8Array::from(vec![Some(1), None, Some(0)]);
        let values = StringArray::from(vec![Some("a"), None]);
        let dictionary = DictionaryArray::<Key>::new(keys, Arc::new(values));
        assert_eq!(texts(Arc::new(dictionary)), [None, None, Some("a".to_owned())]);
        let empty = DictionaryArray::<Key>::new(
            Int8Array::from(vec![None, None]),
            Arc::new(StringArray::new_null(0)),
        );
        assert_eq!(texts(Arc::new(empty)), [None, None]);
    }

    #[test]
    fn frozen_hashes() {
        assert_eq!(format!("{:032x}", hash_integer(0)), FROZEN[0]);
        assert_eq!(format!("{:032x}", hash_integer(-1)), FROZEN[1]);
        assert_eq!(format!("{:032x}", hash_text(b"county 7", &mut Vec::new())), FROZEN[2]);
    }

    const FROZEN: [&str; 3] = [
        "1c7a1d5059bc77218ad2c0e635141f8a",
        "1e0fa58c1f9e577b92f9fc5d04ac20b3",
        "b3a851f65cfb888538e249cfc1982e64",
    ];
}
