//! The values of an expression: one type for all rows, a missing value wherever R has `NA`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, NullArray, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, TimeUnit};

use crate::source::{ColumnKind, kind_of};
use crate::{with_f64, with_texts};

/// The number of milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// The values of all rows, or of one that stands for all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Missing values of no type: their number.
    Missing(usize),
    Logical(Vec<Option<bool>>),
    Integer(Vec<Option<i64>>),
    /// Numbers; NaN is missing.
    Number(Vec<f64>),
    Text(StringArray),
    /// Days since 1970.
    Date(Vec<Option<i32>>),
    /// Milliseconds since 1970.
    Instant(Vec<Option<i64>>),
}

impl Values {
    /// Returns the values of a column, or `None` if its type has no place here.
    pub(crate) fn of(array: &ArrayRef) -> Option<Self> {
        let integers = |values: &Int64Array| Self::Integer(values.iter().collect());
        Some(match array.data_type() {
            DataType::Null => Self::Missing(array.len()),
            DataType::Boolean => Self::Logical(array.as_boolean().iter().collect()),
            DataType::Int64 => integers(array.as_primitive::<Int64Type>()),
            DataType::UInt64 => unsigned(array)?,
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().iter().collect()),
            DataType::Date64 => Self::Instant(array.as_primitive::<Date64Type>().iter().collect()),
            DataType::Timestamp(unit, _) => Self::Instant(instants(array, *unit)),
            other => match kind_of(other) {
                ColumnKind::Text => Self::Text(texts(array)?),
                ColumnKind::Number => {
                    let values = with_f64(array, "", &mut Vec::new(), |values| Ok(values.to_vec())).ok()?;
                    match other.is_integer() {
                        true => Self::Integer(values.into_iter().map(whole).collect()),
                        false => Self::Number(values),
                    }
                }
                _ => return None,
            },
        })
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Missing(rows) => *rows,
            Self::Logical(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Date(values) => values.len(),
            Self::Instant(values) => values.len(),
        }
    }

    /// Returns the type's name for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing values",
            Self::Logical(_) => "logical values",
            Self::Integer(_) => "whole numbers",
            Self::Number(_) => "numbers",
            Self::Text(_) => "text",
            Self::Date(_) => "dates",
            Self::Instant(_) => "times",
        }
    }

    /// Returns `rows` values, of which one stands for all.
    pub(crate) fn spread(self, rows: usize) -> Self {
        if self.len() == rows {
            return self;
        }
        match self {
            Self::Missing(_) => Self::Missing(rows),
            Self::Logical(values) => Self::Logical(vec![values[0]; rows]),
            Self::Integer(values) => Self::Integer(vec![values[0]; rows]),
            Self::Number(values) => Self::Number(vec![values[0]; rows]),
            Self::Text(values) => {
                let text = values.is_valid(0).then(|| values.value(0));
                Self::Text((0..rows).map(|_| text).collect())
            }
            Self::Date(values) => Self::Date(vec![values[0]; rows]),
            Self::Instant(values) => Self::Instant(vec![values[0]; rows]),
        }
    }

    /// Returns the values as a column.
    pub(crate) fn into_array(self) -> ArrayRef {
        match self {
            Self::Missing(rows) => Arc::new(NullArray::new(rows)),
            Self::Logical(values) => Arc::new(BooleanArray::from(values)),
            Self::Integer(values) => Arc::new(Int64Array::from(values)),
            Self::Number(values) => {
                Arc::new(values.into_iter().map(|v| (!v.is_nan()).then_some(v)).collect::<Float64Array>())
            }
            Self::Text(values) => Arc::new(values),
            Self::Date(values) => Arc::new(Date32Array::from(values)),
            Self::Instant(values) => Arc::new(TimestampMillisecondArray::from(values)),
        }
    }

    /// Returns the values as numbers, or `None` for text and dates.
    pub(crate) fn numbers(&self) -> Option<Vec<f64>> {
        Some(match self {
            Self::Missing(rows) => vec![f64::NAN; *rows],
            Self::Logical(values) => values.iter().map(|v| v.map_or(f64::NAN, f64::from)).collect(),
            Self::Integer(values) => values.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect(),
            Self::Number(values) => values.clone(),
            _ => return None,
        })
    }

    /// Returns the values as whole numbers, or `None` if their type holds others.
    pub(crate) fn integers(&self) -> Option<Vec<Option<i64>>> {
        Some(match self {
            Self::Missing(rows) => vec![None; *rows],
            Self::Logical(values) => values.iter().map(|v| v.map(i64::from)).collect(),
            Self::Integer(values) => values.clone(),
            _ => return None,
        })
    }

    /// Returns the values as logical ones, or `None` for text and dates. Numbers are `TRUE` unless they are zero.
    pub(crate) fn logicals(&self) -> Option<Vec<Option<bool>>> {
        Some(match self {
            Self::Missing(rows) => vec![None; *rows],
            Self::Logical(values) => values.clone(),
            Self::Integer(values) => values.iter().map(|v| v.map(|v| v != 0)).collect(),
            Self::Number(values) => values.iter().map(|v| (!v.is_nan()).then_some(*v != 0.0)).collect(),
            _ => return None,
        })
    }

    /// Returns `true` for each missing value.
    pub(crate) fn missing(&self) -> Vec<bool> {
        match self {
            Self::Missing(rows) => vec![true; *rows],
            Self::Logical(values) => values.iter().map(Option::is_none).collect(),
            Self::Integer(values) => values.iter().map(Option::is_none).collect(),
            Self::Number(values) => values.iter().map(|v| v.is_nan()).collect(),
            Self::Text(values) => (0..values.len()).map(|row| values.is_null(row)).collect(),
            Self::Date(values) => values.iter().map(Option::is_none).collect(),
            Self::Instant(values) => values.iter().map(Option::is_none).collect(),
        }
    }
}

fn whole(value: f64) -> Option<i64> {
    (!value.is_nan()).then_some(value as i64)
}

/// Unsigned integers are whole numbers; those beyond the signed ones have no place here.
fn unsigned(array: &ArrayRef) -> Option<Values> {
    let values = array.as_primitive_opt::<UInt64Type>()?.iter();
    let signed: Result<Vec<Option<i64>>, _> = values.map(|v| v.map(i64::try_from).transpose()).collect();
    signed.ok().map(Values::Integer)
}

fn texts(array: &ArrayRef) -> Option<StringArray> {
    with_texts(array, |texts| Ok(texts.into_iter().collect::<StringArray>())).ok()
}

fn instants(array: &ArrayRef, unit: TimeUnit) -> Vec<Option<i64>> {
    match unit {
        TimeUnit::Second => {
            array.as_primitive::<TimestampSecondType>().iter().map(|v| v.map(|v| v * 1000)).collect()
        }
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().iter().collect(),
        TimeUnit::Microsecond => array
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|v| v.map(|v| v.div_euclid(1000)))
            .collect(),
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<TimestampNanosecondType>().iter();
            values.map(|v| v.map(|v| v.div_euclid(1_000_000))).collect()
        }
    }
}
