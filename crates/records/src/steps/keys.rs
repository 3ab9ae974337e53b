//! Keys of rows as bytes that sort as the values do: missing values first, then numbers, dates or text.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Schema, TimeUnit};
use stagger_model::error::{Result, StaggerError};
use xxhash_rust::xxh3::xxh3_128;

use super::place;
use crate::expression::Values;
use crate::with_bytes;

/// A table by the digest of keys.
pub(super) type KeyMap<V> = HashMap<u128, V, BuildHasherDefault<DigestHasher>>;

/// The hasher of digests, which are hashes already.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        let tail = bytes.iter().rev().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte));
        self.0 ^= tail;
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The columns of a key.
pub(super) struct KeyPlaces {
    places: Vec<usize>,
    names: Vec<String>,
}

/// The keys of a batch's rows, one after the other.
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyPlaces {
    /// Finds the columns of a key.
    ///
    /// # Errors
    /// A column that is not there.
    pub(super) fn find(schema: &Schema, argument: &str, names: &[String]) -> Result<Self> {
        let places = names.iter().map(|name| place(schema, argument, name)).collect::<Result<_>>()?;
        Ok(Self { places, names: names.to_vec() })
    }

    /// Returns the keys of all rows of a batch.
    ///
    /// # Errors
    /// A column whose type can't be a key.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Keys> {
        let mut parts = Vec::with_capacity(self.places.len());
        for &place in &self.places {
            parts.push(encode(batch.column(place))?);
        }
        let mut keys = Keys { bytes: Vec::new(), ends: Vec::with_capacity(batch.num_rows()) };
        for row in 0..batch.num_rows() {
            for part in &parts {
                keys.bytes.extend_from_slice(part.get(row));
            }
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }

    /// Formats the key of a row for a message: `id 7, year 2004`.
    pub(super) fn show(&self, batch: &RecordBatch, row: usize) -> String {
        let one = |(&place, name): (&usize, &String)| format!("{name} {}", show(batch.column(place), row));
        self.places.iter().zip(&self.names).map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Keys {
    /// Returns the key of a row.
    pub(super) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Returns the digest of a row's key.
    pub(super) fn digest(&self, row: usize) -> u128 {
        xxh3_128(self.get(row))
    }
}

/// Formats a value for a message.
pub(super) fn show(array: &ArrayRef, row: usize) -> String {
    let slice = array.slice(row, 1);
    let shown = with_bytes(&slice, |texts| Ok(texts[0].map(crate::show_bytes)));
    shown.ok().flatten().unwrap_or_else(|| "NA".to_owned())
}

/// Returns the values of a column as bytes.
pub(super) fn encode(array: &ArrayRef) -> Result<Keys> {
    let mut keys = Keys { bytes: Vec::new(), ends: Vec::with_capacity(array.len()) };
    let values = match array.data_type() {
        DataType::UInt64 | DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => None,
        _ => Values::of(array),
    };
    match values {
        Some(values) => encode_values(&values, &mut keys),
        None if *array.data_type() == DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>();
            values.iter().for_each(|value| keys.push(value.map(u64::to_be_bytes).as_ref().map(|b| &b[..])));
        }
        None => with_bytes(array, |texts| {
            texts.into_iter().for_each(|text| keys.push_text(text));
            Ok(())
        })?,
    }
    Ok(keys)
}

impl Keys {
    fn push(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.bytes.push(0),
            Some(value) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(value);
            }
        }
        self.ends.push(self.bytes.len());
    }

    /// Appends text, whose end is marked so that the next part of a key does not join it.
    fn push_text(&mut self, text: Option<&[u8]>) {
        let Some(text) = text else { return self.push(None) };
        self.bytes.push(1);
        for &byte in text {
            self.bytes.push(byte);
            if byte == 0 {
                self.bytes.push(0xff);
            }
        }
        self.bytes.extend([0, 0]);
        self.ends.push(self.bytes.len());
    }
}

fn encode_values(values: &Values, keys: &mut Keys) {
    let signed = |value: i64| (value.cast_unsigned() ^ (1 << 63)).to_be_bytes();
    match values {
        Values::Missing(rows) => (0..*rows).for_each(|_| keys.push(None)),
        Values::Logical(values) => {
            values.iter().for_each(|v| keys.push(v.map(|v| [u8::from(v)]).as_ref().map(|b| &b[..])))
        }
        Values::Integer(values) | Values::Instant(values) => {
            values.iter().for_each(|v| keys.push(v.map(signed).as_ref().map(|b| &b[..])));
        }
        Values::Date(values) => {
            values.iter().for_each(|v| keys.push(v.map(|v| signed(v.into())).as_ref().map(|b| &b[..])));
        }
        Values::Number(values) => {
            for value in values {
                let bytes = (!value.is_nan()).then(|| ordered(*value).to_be_bytes());
                keys.push(bytes.as_ref().map(|b| &b[..]));
            }
        }
        Values::Text(texts) => texts.iter().for_each(|text| keys.push_text(text.map(str::as_bytes))),
    }
}

/// Returns the type of a column of keys that are decoded from their bytes.
pub(super) fn key_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt64 | DataType::Boolean | DataType::Date32 | DataType::Null => data_type.clone(),
        DataType::Date64 | DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Millisecond, None),
        other if other.is_integer() => DataType::Int64,
        other if other.is_floating() => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// Decodes a value at the start of each text of bytes, which then begins behind it.
///
/// # Errors
/// Bytes that are no values of the type.
pub(super) fn decode(data_type: &DataType, rest: &mut [&[u8]]) -> Result<ArrayRef> {
    let broken = || StaggerError::failed("the bytes of a key have another type");
    Ok(match data_type {
        DataType::Null => {
            rest.iter_mut().try_for_each(|bytes| take(bytes, 0).map(|_| ())).ok_or_else(broken)?;
            Values::Missing(rest.len()).into_array()
        }
        DataType::Boolean => {
            let values = rest.iter_mut().map(|bytes| Some(take(bytes, 1)?.map(|own| own[0] == 1)));
            Values::Logical(values.collect::<Option<_>>().ok_or_else(broken)?).into_array()
        }
        DataType::UInt64 => {
            let values: Option<Vec<Option<u64>>> =
                rest.iter_mut().map(|bytes| Some(take(bytes, 8)?.map(word))).collect();
            Arc::new(UInt64Array::from(values.ok_or_else(broken)?))
        }
        DataType::Float64 => {
            let values = rest
                .iter_mut()
                .map(|bytes| Some(take(bytes, 8)?.map_or(f64::NAN, |own| unordered(word(own)))));
            Values::Number(values.collect::<Option<_>>().ok_or_else(broken)?).into_array()
        }
        DataType::Utf8 => {
            let values: Option<Vec<Option<String>>> = rest.iter_mut().map(take_text).collect();
            Arc::new(StringArray::from(values.ok_or_else(broken)?))
        }
        other => {
            let signed = |own: &[u8]| (word(own) ^ (1 << 63)).cast_signed();
            let values: Option<Vec<Option<i64>>> =
                rest.iter_mut().map(|bytes| Some(take(bytes, 8)?.map(signed))).collect();
            let values = values.ok_or_else(broken)?;
            match other {
                DataType::Date32 => {
                    Values::Date(values.into_iter().map(|v| v.map(|v| v as i32)).collect()).into_array()
                }
                DataType::Timestamp(_, _) => Values::Instant(values).into_array(),
                _ => Values::Integer(values).into_array(),
            }
        }
    })
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte))
}

/// Takes the mark of a value and its `length` bytes; the inner `None` is a missing value.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<Option<&'a [u8]>> {
    let (mark, rest) = bytes.split_first()?;
    let length = if *mark == 0 { 0 } else { length };
    let (own, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some((*mark == 1).then_some(own))
}

fn take_text(bytes: &mut &[u8]) -> Option<Option<String>> {
    let (mark, mut rest) = bytes.split_first()?;
    let mut text = Vec::new();
    if *mark == 1 {
        loop {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            if *byte == 0 {
                let (second, behind) = rest.split_first()?;
                rest = behind;
                if *second == 0 {
                    break;
                }
            }
            text.push(*byte);
        }
    }
    *bytes = rest;
    Some((*mark == 1).then(|| String::from_utf8_lossy(&text).into_owned()))
}

/// Returns the number of bits that sort.
pub(super) fn unordered(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 { order & !(1 << 63) } else { !order })
}

/// Returns bits that sort as numbers do; both zeros are one.
pub(super) fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}
