//! Numbers, logicals, dates and timestamps as exact text. Arrow's own conversion would do it, but its crate converts every
//! type to every other one, and with what it needs takes minutes of each fresh build.

use std::fmt::Write;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{as_date, as_datetime};
use arrow_array::timezone::Tz;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_schema::{DataType, TimeUnit};
use chrono::{SecondsFormat, TimeZone, Utc};
use stagger_model::error::{Result, StaggerError};

/// Returns the values of a column as text: whole and decimal numbers by their digits, logicals as `true` and `false`,
/// dates and timestamps in ISO 8601.
///
/// # Errors
/// A type without such a form, a time zone that is no offset, and a date outside the calendar.
pub(super) fn display(array: &dyn Array) -> Result<StringArray> {
    match array.data_type() {
        DataType::Null => Ok(StringArray::new_null(array.len())),
        DataType::Boolean => Ok(array.as_boolean().iter().map(|v| v.map(|v| v.to_string())).collect()),
        DataType::Int8 => digits::<Int8Type>(array),
        DataType::Int16 => digits::<Int16Type>(array),
        DataType::Int32 => digits::<Int32Type>(array),
        DataType::Int64 => digits::<Int64Type>(array),
        DataType::UInt8 => digits::<UInt8Type>(array),
        DataType::UInt16 => digits::<UInt16Type>(array),
        DataType::UInt32 => digits::<UInt32Type>(array),
        DataType::UInt64 => digits::<UInt64Type>(array),
        DataType::Decimal32(_, _) => Ok(decimals::<Decimal32Type>(array)),
        DataType::Decimal64(_, _) => Ok(decimals::<Decimal64Type>(array)),
        DataType::Decimal128(_, _) => Ok(decimals::<Decimal128Type>(array)),
        DataType::Decimal256(_, _) => Ok(decimals::<Decimal256Type>(array)),
        DataType::Date32 => days(array),
        DataType::Date64 => timestamps::<Date64Type>(array, None),
        DataType::Timestamp(unit, zone) => instants(array, *unit, zone.as_deref()),
        other => Err(StaggerError::input(format!("a column of type {other} can't be read as text"))),
    }
}

/// Returns the text that `write` adds for each value.
fn written<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    mut write: impl FnMut(&mut StringBuilder, T::Native) -> Option<()>,
) -> Result<StringArray> {
    let mut out = StringBuilder::with_capacity(array.len(), 8 * array.len());
    for value in array {
        let Some(value) = value else {
            out.append_null();
            continue;
        };
        write(&mut out, value).ok_or_else(|| {
            let data_type = array.data_type();
            StaggerError::input(format!(
                "{value:?} of a column of type {data_type} is no date of the calendar"
            ))
        })?;
        out.append_value("");
    }
    Ok(out.finish())
}

fn digits<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &dyn Array) -> Result<StringArray> {
    written(array.as_primitive::<T>(), |out, value| write!(out, "{value}").ok())
}

fn decimals<T: DecimalType>(array: &dyn Array) -> StringArray {
    let decimals = array.as_primitive::<T>();
    let (precision, scale) = (decimals.precision(), decimals.scale());
    decimals
        .iter()
        .map(|value| value.map(|value| plain_decimal(&T::format_decimal(value, precision, scale))))
        .collect()
}

/// Removes trailing zeros of a decimal number.
fn plain_decimal(text: &str) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn days(array: &dyn Array) -> Result<StringArray> {
    written(array.as_primitive::<Date32Type>(), |out, value| {
        write!(out, "{:?}", as_date::<Date32Type>(i64::from(value))?).ok()
    })
}

fn instants(array: &dyn Array, unit: TimeUnit, zone: Option<&str>) -> Result<StringArray> {
    let zone = zone.map(|zone| {
        zone.parse::<Tz>().map_err(|e| StaggerError::input(format!("a column can't be read as text: {e}")))
    });
    let zone = zone.transpose()?;
    match unit {
        TimeUnit::Second => timestamps::<TimestampSecondType>(array, zone),
        TimeUnit::Millisecond => timestamps::<TimestampMillisecondType>(array, zone),
        TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(array, zone),
        TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(array, zone),
    }
}

/// Returns points in time: with their offset if the column has a time zone.
fn timestamps<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    zone: Option<Tz>,
) -> Result<StringArray> {
    written(array.as_primitive::<T>(), |out, value| {
        let time = as_datetime::<T>(value)?;
        match zone {
            None => write!(out, "{time:?}").ok(),
            Some(zone) => {
                let time = Utc.from_utc_datetime(&time).with_timezone(&zone);
                out.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)).ok()
            }
        }
    })
}
