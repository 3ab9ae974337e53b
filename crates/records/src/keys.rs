//! Identifiers of units and clusters, compared exactly whatever their type and width.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};

use super::convert::{hash_integer, hash_text, with_f64};
use super::text::{ByteValues, show_bytes, with_bytes};

/// The type of identifiers of a column, common to all files of a data set. It decides how they are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Signed 64-bit integers.
    #[default]
    Integer,
    /// Unsigned 64-bit integers, stored as the same bits.
    Unsigned,
    /// Decimal numbers of any length, stored as their digits. Those that fit 64 bits hash as integers.
    Decimal,
    /// Text or bytes.
    Text,
}

impl KeyKind {
    /// Returns `true` if identifiers are stored as bytes of any length.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Decimal | Self::Text)
    }

    /// Returns `true` if the type of the stored column implies the kind.
    pub fn is_implied_by_type(&self) -> bool {
        matches!(self, Self::Integer | Self::Text)
    }

    /// Formats an integer key.
    pub fn show_integer(self, id: i64) -> String {
        match self {
            Self::Unsigned => (id as u64).to_string(),
            _ => id.to_string(),
        }
    }

    /// Returns the canonical hash of a key that is stored as bytes. `buffer` is scratch space.
    pub fn hash(self, bytes: &[u8], buffer: &mut Vec<u8>) -> u128 {
        match self {
            Self::Decimal => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
                Some(integer) => hash_integer(integer),
                None => hash_text(bytes, buffer),
            },
            _ => hash_text(bytes, buffer),
        }
    }
}

/// The keys of units or clusters in a batch of rows.
#[derive(Debug)]
pub enum KeyColumn<'a> {
    /// Keys of 64 bits.
    Integers {
        /// The keys; arbitrary in rows without one.
        ids: &'a [i64],
        /// The rows without a key; `None` if every row has one.
        nulls: Option<NullBuffer>,
        /// The kind, which decides how keys are shown.
        kind: KeyKind,
    },
    /// Keys of bytes.
    Texts {
        /// The key of each row; `None` if it is missing.
        ids: ByteValues<'a>,
        /// The kind, which decides how keys are hashed.
        kind: KeyKind,
    },
}

impl KeyColumn<'_> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers { ids, .. } => ids.len(),
            Self::Texts { ids, .. } => ids.len(),
        }
    }

    /// Returns `true` if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if a row has no key.
    #[inline]
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Integers { nulls, .. } => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
            Self::Texts { ids, .. } => ids[row].is_none(),
        }
    }

    /// Returns the canonical hash of a row's key, and an arbitrary one if the key is missing.
    #[inline]
    pub fn hash(&self, row: usize, buffer: &mut Vec<u8>) -> u128 {
        match self {
            Self::Integers { ids, .. } => hash_integer(ids[row]),
            Self::Texts { ids, kind } => kind.hash(ids[row].unwrap_or_default(), buffer),
        }
    }

    /// Returns the end of the run of rows from `row` on that have the same key, or none.
    pub fn run_end(&self, row: usize) -> usize {
        match self {
            Self::Integers { ids, nulls: None, .. } => end_of(ids.len(), row, |at| ids[at] == ids[row]),
            Self::Integers { ids, nulls: Some(nulls), .. } => end_of(ids.len(), row, |at| {
                nulls.is_null(at) == nulls.is_null(row) && (nulls.is_null(row) || ids[at] == ids[row])
            }),
            Self::Texts { ids, .. } => end_of(ids.len(), row, |at| ids[at] == ids[row]),
        }
    }

    /// Formats a row's key for a message.
    pub fn show(&self, row: usize) -> String {
        match self {
            Self::Integers { ids, kind, .. } => kind.show_integer(ids[row]),
            Self::Texts { ids, .. } => show_bytes(ids[row].unwrap_or_default()),
        }
    }
}

fn end_of(length: usize, row: usize, same: impl Fn(usize) -> bool) -> usize {
    (row + 1..length).find(|&at| !same(at)).unwrap_or(length)
}

/// Calls `each` with the column as keys of `kind`. Missing values, NaN and infinities are missing keys. `scratch` holds
/// the keys where a copy is needed.
///
/// # Errors
/// A value that is not a key of this kind, and the errors of `each`.
pub fn with_key_column<T>(
    array: &ArrayRef,
    column: &str,
    kind: KeyKind,
    scratch: &mut Vec<i64>,
    each: impl FnOnce(KeyColumn<'_>) -> Result<T>,
) -> Result<T> {
    if kind.is_text() {
        return with_bytes(array, |texts| each(KeyColumn::Texts { ids: texts, kind }));
    }
    if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        return each(KeyColumn::Integers { ids: values.values(), nulls: values.nulls().cloned(), kind });
    }
    scratch.clear();
    let nulls = integers(array, column, kind, scratch)?;
    each(KeyColumn::Integers { ids: scratch, nulls, kind })
}

/// Appends the column's integers, and returns the mask of rows that have one.
fn integers(array: &ArrayRef, column: &str, kind: KeyKind, out: &mut Vec<i64>) -> Result<Option<NullBuffer>> {
    macro_rules! copy {
        ($type:ty) => {{
            out.extend(array.as_primitive::<$type>().values().iter().map(|&v| v as i64));
        }};
    }
    match array.data_type() {
        DataType::Int32 => copy!(Int32Type),
        DataType::Int16 => copy!(Int16Type),
        DataType::Int8 => copy!(Int8Type),
        DataType::UInt32 => copy!(UInt32Type),
        DataType::UInt16 => copy!(UInt16Type),
        DataType::UInt8 => copy!(UInt8Type),
        DataType::UInt64 => unsigned(array, column, kind, out)?,
        DataType::Decimal32(_, 0) => copy!(Decimal32Type),
        DataType::Decimal64(_, 0) => copy!(Decimal64Type),
        DataType::Decimal128(precision, 0) if *precision <= super::types::SHORT => copy!(Decimal128Type),
        DataType::Dictionary(_, values) if super::types::is_whole(values) => {
            return of_dictionary(array, column, kind, out);
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _)
            if super::source::kind_of(array.data_type()) == super::ColumnKind::Text =>
        {
            return written(array, column, out);
        }
        _ => {
            let mut floats = Vec::new();
            let missing = with_f64(array, column, &mut floats, |values| integral(values, column, out))?;
            return missing.then(|| present(array, column)).transpose();
        }
    }
    Ok(array.nulls().cloned())
}

/// Returns the mask of rows that hold a finite number.
fn present(array: &ArrayRef, column: &str) -> Result<NullBuffer> {
    with_f64(array, column, &mut Vec::new(), |values| {
        Ok(NullBuffer::from_iter(values.iter().map(|value| value.is_finite())))
    })
}

/// Appends the integers of a dictionary's rows.
fn of_dictionary(
    array: &ArrayRef,
    column: &str,
    kind: KeyKind,
    out: &mut Vec<i64>,
) -> Result<Option<NullBuffer>> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        out.resize(array.len(), 0);
        return Ok(Some(NullBuffer::new_null(array.len())));
    }
    let keys = dictionary.normalized_keys();
    let missing = |nulls: &Option<NullBuffer>, key: usize| nulls.as_ref().is_some_and(|n| n.is_null(key));
    with_key_column(dictionary.values(), column, kind, &mut Vec::new(), |values| match values {
        KeyColumn::Integers { ids, nulls, .. } => {
            out.extend(keys.iter().map(|&key| ids[key]));
            let there =
                keys.iter().enumerate().map(|(row, &key)| !array.is_null(row) && !missing(&nulls, key));
            Ok(Some(NullBuffer::from_iter(there)))
        }
        KeyColumn::Texts { .. } => Err(StaggerError::failed("keys of two kinds")),
    })
}

/// Appends whole numbers that are written as text, as the values of folders are.
fn written(array: &ArrayRef, column: &str, out: &mut Vec<i64>) -> Result<Option<NullBuffer>> {
    with_bytes(array, |texts| {
        let mut there = Vec::with_capacity(texts.len());
        for text in texts {
            there.push(text.is_some());
            let Some(text) = text else {
                out.push(0);
                continue;
            };
            let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<i64>().ok());
            out.push(number.ok_or_else(|| no_integer(column, &show_bytes(text)))?);
        }
        Ok(Some(NullBuffer::from_iter(there)))
    })
}

/// Appends unsigned integers: as bits or, beside signed integers of other files, as numbers.
fn unsigned(array: &ArrayRef, column: &str, kind: KeyKind, out: &mut Vec<i64>) -> Result<()> {
    let values = array.as_primitive::<UInt64Type>();
    for (row, &value) in values.values().iter().enumerate() {
        match i64::try_from(value) {
            Err(_) if kind != KeyKind::Unsigned && !values.is_null(row) => {
                return Err(StaggerError::input(format!(
                    "column `{column}` holds the identifier {value}, which does not fit the signed integers that other files have"
                ))
                .with_hint("write the column with one type in all files, or as text"));
            }
            _ => out.push(value as i64),
        }
    }
    Ok(())
}

/// Appends whole numbers, and returns `true` if some value is missing.
fn integral(values: &[f64], column: &str, out: &mut Vec<i64>) -> Result<bool> {
    let mut missing = false;
    for &value in values {
        if !value.is_finite() {
            missing = true;
            out.push(0);
        } else if value == value.trunc() && value.abs() < 9.007_199_254_740_992e15 {
            out.push(value as i64);
        } else {
            return Err(no_integer(column, &value.to_string()));
        }
    }
    Ok(missing)
}

fn no_integer(column: &str, value: &str) -> StaggerError {
    StaggerError::input(format!("column `{column}` holds {value}, which is no whole number")).with_hint(
        "identifiers must be integers below 2^53 in floating point, any 64-bit integers, decimals, text or bytes",
    )
}
