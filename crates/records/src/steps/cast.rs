//! Conversion of a column to another type that holds all its values.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, StringArray, new_null_array};
use arrow_schema::{DataType, TimeUnit};

use crate::expression::{DAY, Values};

/// Returns a column in another type, or `None` if some value does not fit it.
pub(super) fn cast(array: &ArrayRef, wanted: &DataType) -> Option<ArrayRef> {
    if array.data_type() == wanted {
        return Some(Arc::clone(array));
    }
    if array.null_count() == array.len() || *array.data_type() == DataType::Null {
        return Some(new_null_array(wanted, array.len()));
    }
    let values = Values::of(array)?;
    match wanted {
        DataType::Float64 => number::<Float64Type>(&values, Some),
        DataType::Float32 => number::<Float32Type>(&values, |v| Some(v as f32)),
        DataType::Int64 => whole::<Int64Type>(&values),
        DataType::Int32 => whole::<Int32Type>(&values),
        DataType::Int16 => whole::<Int16Type>(&values),
        DataType::Int8 => whole::<Int8Type>(&values),
        DataType::UInt64 => whole::<UInt64Type>(&values),
        DataType::UInt32 => whole::<UInt32Type>(&values),
        DataType::UInt16 => whole::<UInt16Type>(&values),
        DataType::UInt8 => whole::<UInt8Type>(&values),
        DataType::Utf8 => match values {
            Values::Integer(own) => {
                let texts = own.into_iter().map(|value| value.map(|value| value.to_string()));
                Some(Arc::new(texts.collect::<StringArray>()))
            }
            Values::Text(_) => Some(values.into_array()),
            _ => None,
        },
        DataType::Boolean => match values {
            Values::Logical(_) => Some(values.into_array()),
            other => {
                let numbers = other.numbers()?;
                let fits = numbers.iter().all(|v| v.is_nan() || *v == 0.0 || *v == 1.0);
                fits.then(|| Values::Logical(other.logicals().unwrap_or_default()).into_array())
            }
        },
        DataType::Timestamp(TimeUnit::Millisecond, None) => match values {
            Values::Date(days) => {
                let time = |day: i32| i64::from(day) * DAY;
                Some(Values::Instant(days.into_iter().map(|day| day.map(time)).collect()).into_array())
            }
            _ => None,
        },
        _ => None,
    }
}

fn number<T: ArrowPrimitiveType>(
    values: &Values,
    convert: impl Fn(f64) -> Option<T::Native>,
) -> Option<ArrayRef> {
    let numbers = values.numbers()?;
    let column = numbers.into_iter().map(|v| if v.is_nan() { None } else { convert(v) });
    Some(Arc::new(column.collect::<PrimitiveArray<T>>()))
}

fn whole<T: ArrowPrimitiveType>(values: &Values) -> Option<ArrayRef>
where
    T::Native: TryFrom<i64>,
{
    let integers: Vec<Option<i64>> = match values.integers() {
        Some(integers) => integers,
        None => values.numbers()?.into_iter().map(exact).collect::<Option<_>>()?,
    };
    let column: Option<Vec<Option<T::Native>>> = integers
        .into_iter()
        .map(|v| v.map_or(Some(None), |v| T::Native::try_from(v).ok().map(Some)))
        .collect();
    Some(Arc::new(column?.into_iter().collect::<PrimitiveArray<T>>()))
}

/// Returns a number as a whole one; the outer `None` is for fractions.
fn exact(value: f64) -> Option<Option<i64>> {
    const LARGEST: f64 = 9e15;
    match value {
        v if v.is_nan() => Some(None),
        v if v == v.trunc() && v.abs() < LARGEST => Some(Some(v as i64)),
        _ => None,
    }
}
