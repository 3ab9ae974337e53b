//! Identifiers of units and clusters, compared exactly whatever their type and width.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use serde::{Deserialize, Serialize};

use super::convert::{hash_bytes, hash_integer, with_f64};
use super::text::{Texts, as_texts, show_bytes};
use crate::error::{EngineError, Result};

/// How the identifiers of a column are compared, the same in all files of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Whole numbers of 64 bits with a sign.
    #[default]
    Integer,
    /// Whole numbers of 64 bits without a sign, kept as the same bits.
    Unsigned,
    /// Decimal numbers of any length, kept as their digits. Those that fit 64 bits hash as integers.
    Decimal,
    /// Text or bytes.
    Text,
}

impl KeyKind {
    /// Whether identifiers are kept as bytes of any length.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Decimal | Self::Text)
    }

    /// Whether the type of the column that keeps them says all of the kind.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Integer | Self::Text)
    }

    /// An integer key as people write it.
    pub(crate) fn show_integer(self, id: i64) -> String {
        match self {
            Self::Unsigned => (id as u64).to_string(),
            _ => id.to_string(),
        }
    }

    /// Canonical hash of a key that is kept as bytes.
    pub(crate) fn hash(self, bytes: &[u8], buffer: &mut Vec<u8>) -> u128 {
        match self {
            Self::Decimal => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
                Some(integer) => hash_integer(integer),
                None => hash_bytes(bytes, buffer),
            },
            _ => hash_bytes(bytes, buffer),
        }
    }
}

/// Keys of units or clusters of a batch of rows.
#[derive(Debug)]
pub enum IdColumn<'a> {
    /// Numbers of 64 bits.
    Integers {
        /// Arbitrary where missing.
        ids: &'a [i64],
        /// Rows without one; `None` if all have one.
        nulls: Option<NullBuffer>,
        /// How they are shown.
        kind: KeyKind,
    },
    /// Bytes; `None` for missing.
    Texts {
        /// One a row.
        ids: Texts<'a>,
        /// How they are hashed.
        kind: KeyKind,
    },
}

impl IdColumn<'_> {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers { ids, .. } => ids.len(),
            Self::Texts { ids, .. } => ids.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row has no identifier.
    #[inline]
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Integers { nulls, .. } => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
            Self::Texts { ids, .. } => ids[row].is_none(),
        }
    }

    /// Canonical hash of a row's identifier; that of nothing where it is missing.
    #[inline]
    pub fn hash(&self, row: usize, buffer: &mut Vec<u8>) -> u128 {
        match self {
            Self::Integers { ids, .. } => hash_integer(ids[row]),
            Self::Texts { ids, kind } => kind.hash(ids[row].unwrap_or_default(), buffer),
        }
    }

    /// End of the rows from `row` on that have the same identifier, or none.
    pub fn run_end(&self, row: usize) -> usize {
        match self {
            Self::Integers { ids, nulls: None, .. } => end_of(ids.len(), row, |at| ids[at] == ids[row]),
            Self::Integers { ids, nulls: Some(nulls), .. } => end_of(ids.len(), row, |at| {
                nulls.is_null(at) == nulls.is_null(row) && (nulls.is_null(row) || ids[at] == ids[row])
            }),
            Self::Texts { ids, .. } => end_of(ids.len(), row, |at| ids[at] == ids[row]),
        }
    }

    /// A row's identifier for a message.
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

/// Calls `each` with the column as keys of the kind that its data set has. Missing values, NaN and infinities are no keys.
///
/// # Errors
/// A value that is no key of this kind, and what `each` returns.
pub fn with_ids<T>(
    array: &ArrayRef,
    column: &str,
    kind: KeyKind,
    scratch: &mut Vec<i64>,
    each: impl FnOnce(IdColumn<'_>) -> Result<T>,
) -> Result<T> {
    if kind.is_text() {
        return as_texts(array, |texts| each(IdColumn::Texts { ids: texts, kind }));
    }
    if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        return each(IdColumn::Integers { ids: values.values(), nulls: values.nulls().cloned(), kind });
    }
    scratch.clear();
    let nulls = integers(array, column, kind, scratch)?;
    each(IdColumn::Integers { ids: scratch, nulls, kind })
}

/// Appends the column's integers; returns which rows have none.
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

/// Rows that hold a finite number.
fn present(array: &ArrayRef, column: &str) -> Result<NullBuffer> {
    with_f64(array, column, &mut Vec::new(), |values| {
        Ok(NullBuffer::from_iter(values.iter().map(|value| value.is_finite())))
    })
}

/// The integers of a dictionary's rows.
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
    with_ids(dictionary.values(), column, kind, &mut Vec::new(), |values| match values {
        IdColumn::Integers { ids, nulls, .. } => {
            out.extend(keys.iter().map(|&key| ids[key]));
            let there =
                keys.iter().enumerate().map(|(row, &key)| !array.is_null(row) && !missing(&nulls, key));
            Ok(Some(NullBuffer::from_iter(there)))
        }
        IdColumn::Texts { .. } => Err(EngineError::failed("keys of two kinds")),
    })
}

/// Whole numbers that are written as text: the values of folders.
fn written(array: &ArrayRef, column: &str, out: &mut Vec<i64>) -> Result<Option<NullBuffer>> {
    as_texts(array, |texts| {
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

/// Unsigned integers, as bits or, beside integers with a sign, as numbers.
fn unsigned(array: &ArrayRef, column: &str, kind: KeyKind, out: &mut Vec<i64>) -> Result<()> {
    let values = array.as_primitive::<UInt64Type>();
    for (row, &value) in values.values().iter().enumerate() {
        match i64::try_from(value) {
            Err(_) if kind != KeyKind::Unsigned && !values.is_null(row) => {
                return Err(EngineError::input(format!(
                    "column `{column}` holds the identifier {value}, which does not fit the signed integers that other files have"
                ))
                .with_hint("write the column with one type in all files, or as text"));
            }
            _ => out.push(value as i64),
        }
    }
    Ok(())
}

/// Appends whole numbers; returns whether some value is none.
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

fn no_integer(column: &str, value: &str) -> EngineError {
    EngineError::input(format!("column `{column}` holds {value}, which is no whole number")).with_hint(
        "identifiers must be integers below 2^53 in floating point, any 64-bit integers, decimals, text or bytes",
    )
}
