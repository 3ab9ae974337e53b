//! Columns of any type as exact text: levels, names and codes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{AnyDictionaryArray, Array, ArrayRef, StringArray};
use arrow_schema::DataType;
use stagger_model::error::{Result, StaggerError};

use super::display::display;
use super::types::MUST_BE_NUMERIC;

/// The values of a column as bytes, dictionaries decoded; `None` for missing values.
pub type ByteValues<'a> = Vec<Option<&'a [u8]>>;

/// Returns a dictionary's keys, arbitrary in rows without a value; `None` if the dictionary is empty, so that every row
/// is missing.
pub(super) fn keys(dictionary: &dyn AnyDictionaryArray) -> Option<Vec<usize>> {
    (!dictionary.values().is_empty()).then(|| dictionary.normalized_keys())
}

/// Calls `each` with a column's values as text: text and bytes unchanged, numbers by their digits, dates in ISO 8601.
///
/// # Errors
/// A type without a text form, and the errors of `each`.
pub fn with_bytes<T>(array: &ArrayRef, each: impl FnOnce(ByteValues<'_>) -> Result<T>) -> Result<T> {
    let written = written(array)?;
    let texts = texts(written.as_ref().unwrap_or(array))?;
    each(texts)
}

/// Calls `each` with the values of a text or level column. Bytes that are not UTF-8 are shown as hexadecimal digits.
///
/// # Errors
/// A type without a text form, and the errors of `each`.
pub fn with_texts<T>(array: &ArrayRef, each: impl FnOnce(Vec<Option<&str>>) -> Result<T>) -> Result<T> {
    with_bytes(array, |texts| {
        if texts.iter().flatten().all(|text| std::str::from_utf8(text).is_ok()) {
            let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
            return each(texts.into_iter().map(|bytes| bytes.map(text)).collect());
        }
        let shown: Vec<Option<String>> = texts.iter().map(|text| text.map(show_bytes)).collect();
        each(shown.iter().map(Option::as_deref).collect())
    })
}

/// Formats bytes for a message: as text if they are text, 16 other bytes as a UUID, and the rest as hexadecimal digits.
pub fn show_bytes(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(char::is_control)
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(2 * bytes.len() + 4);
    if bytes.len() != 16 {
        out.push_str("0x");
    }
    for (index, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && [4, 6, 8, 10].contains(&index) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Formats a number as it stands beside text.
pub(super) fn show_number(value: f64) -> String {
    (value + 0.0).to_string()
}

/// Converts values of other types to text; returns `None` for text and bytes.
fn written(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    Ok(Some(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return Ok(None),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            return Ok(None);
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Arc::new(floats(array)?),
        DataType::Dictionary(_, _) => {
            let Some(dictionary) = array.as_any_dictionary_opt() else {
                return Err(StaggerError::input(format!("a text column has type {}", array.data_type())));
            };
            match written(dictionary.values())? {
                None => return Ok(None),
                Some(values) => dictionary.with_values(values),
            }
        }
        _ => Arc::new(display(array)?),
    }))
}

fn floats(array: &ArrayRef) -> Result<StringArray> {
    // A single-precision number is written with the digits that distinguish it from its neighbours.
    let single = |values: &mut dyn Iterator<Item = Option<f32>>| -> StringArray {
        values.map(|v| v.filter(|v| !v.is_nan()).map(|v| (v + 0.0).to_string())).collect()
    };
    Ok(match array.data_type() {
        DataType::Float32 => single(&mut array.as_primitive::<Float32Type>().iter()),
        DataType::Float16 => {
            single(&mut array.as_primitive::<Float16Type>().iter().map(|v| v.map(half_to_single)))
        }
        _ => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|v| v.filter(|v| !v.is_nan()).map(show_number))
            .collect(),
    })
}

fn half_to_single(value: <Float16Type as arrow_array::ArrowPrimitiveType>::Native) -> f32 {
    value.to_f32()
}

/// Compares two decimal numbers by their digits, which may exceed every number type.
pub fn compare_decimals(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.to_owned()),
            None => (false, text.to_owned()),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole.to_owned(), fraction.to_owned()),
            None => (digits, String::new()),
        };
        (negative, whole, fraction)
    };
    let ((negative, whole, fraction), (other_negative, other_whole, other_fraction)) = (parts(a), parts(b));
    if negative != other_negative {
        return other_negative.cmp(&negative);
    }
    let size = (whole.len(), whole, fraction).cmp(&(other_whole.len(), other_whole, other_fraction));
    if negative { size.reverse() } else { size }
}

/// Returns the values of a text or byte column, or of a dictionary of these.
fn texts(array: &ArrayRef) -> Result<ByteValues<'_>> {
    fn bytes(text: Option<&str>) -> Option<&[u8]> {
        text.map(str::as_bytes)
    }
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().iter().map(bytes).collect()),
        DataType::LargeUtf8 => Ok(array.as_string::<i64>().iter().map(bytes).collect()),
        DataType::Utf8View => Ok(array.as_string_view().iter().map(bytes).collect()),
        DataType::Binary => Ok(array.as_binary::<i32>().iter().collect()),
        DataType::LargeBinary => Ok(array.as_binary::<i64>().iter().collect()),
        DataType::BinaryView => Ok(array.as_binary_view().iter().collect()),
        DataType::FixedSizeBinary(_) => Ok(array.as_fixed_size_binary().iter().collect()),
        other => {
            let Some(dictionary) = array.as_any_dictionary_opt() else {
                return Err(StaggerError::input(format!("a text column has type {other}")));
            };
            let Some(keys) = keys(dictionary) else { return Ok(vec![None; array.len()]) };
            let values = texts(dictionary.values())?;
            let text = |(row, key): (usize, usize)| if array.is_null(row) { None } else { values[key] };
            Ok(keys.into_iter().enumerate().map(text).collect())
        }
    }
}

/// Appends numbers that are written as text, missing ones as NaN: the values of folders, and text columns of a CSV
/// file.
///
/// # Errors
/// Text that is not a number.
pub(super) fn append_parsed(array: &ArrayRef, column: &str, out: &mut Vec<f64>) -> Result<()> {
    with_bytes(array, |texts| {
        for text in texts {
            let Some(text) = text else {
                out.push(f64::NAN);
                continue;
            };
            let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<f64>().ok());
            out.push(number.ok_or_else(|| {
                StaggerError::input(format!(
                    "column `{column}` holds `{}`, which is no number",
                    show_bytes(text)
                ))
                .with_hint(MUST_BE_NUMERIC)
            })?);
        }
        Ok(())
    })
}
