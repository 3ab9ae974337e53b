//! Conversion of the values in the period and cohort columns to the numbers that label cells.
//!
//! Whole numbers and doubles stay as they are. Dates and texts take a pass of their own before, because their unit
//! depends on all values of both columns. So do fractions in single precision: those that their type can't tell apart
//! become one number.

use std::collections::{BTreeSet, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit as Ticks};
use serde::{Deserialize, Serialize};
use stagger_model::calendar::{Calendar, Detected, PeriodValue, TimeUnit, UNIX_EPOCH_DAY};
use stagger_model::error::{Result, StaggerError};
use stagger_model::{calendar, parallel};
use stagger_records::{PeriodType, Source, with_bytes, with_f64};

/// Largest number of different values in a column of periods or cohorts.
const MOST: usize = 10_000;
/// Denominators of fractions, in order of preference: quarters, months, weeks, days, decimals.
const PARTS: [f64; 16] =
    [1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0, 48.0, 52.0, 5.0, 10.0, 20.0, 100.0, 365.0, 1000.0, 10_000.0];
/// Largest doubt about a value, relative to the width of a grid's cell, at which the grid can't be chance.
const CLEAR: f64 = 0.1;

/// Way in which values become numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodScale {
    /// They are numbers already.
    #[default]
    Plain,
    /// Each becomes the nearest of these, which ascend.
    Nearest(Vec<f64>),
    /// They are numbers, some of them written as text.
    Written,
    /// They are dates, numbered by the calendar.
    Calendar(Calendar),
}

/// The distinct values of one column.
#[derive(Default)]
struct Column {
    written: BTreeSet<PeriodValue>,
    /// Bits of the finite numbers, each with the bits of the difference that its type can't tell.
    numbers: BTreeSet<(u64, u64)>,
}

impl PeriodScale {
    /// Finds the scale of the columns `tname` and `gname`, in the unit `asked` if one is given.
    ///
    /// # Errors
    /// Columns that can't be periods, and periods without a clear unit.
    pub fn detect(
        source: &Source,
        (tname, gname): (&str, &str),
        asked: Option<TimeUnit>,
        threads: usize,
    ) -> Result<Self> {
        let types = [source.period_type("tname", tname)?, source.period_type("gname", gname)?];
        match types.iter().max() {
            None | Some(PeriodType::Exact) if asked.is_none_or(|unit| unit == TimeUnit::Year) => {
                Ok(Self::Plain)
            }
            Some(PeriodType::Inexact) if asked.is_none() => {
                let [times, groups] = scan(source, [tname, gname], threads, &numbers_of)?;
                let all: BTreeSet<(u64, u64)> = times.numbers.union(&groups.numbers).copied().collect();
                Ok(Self::Nearest(nearest(all)))
            }
            _ => {
                let [times, groups] = scan(source, [tname, gname], threads, &written_of)?;
                match calendar::detect_calendar((tname, &times.written), (gname, &groups.written), asked) {
                    Ok(Detected::Numbers) => Ok(Self::Written),
                    Ok(Detected::Calendar(calendar)) => Ok(Self::Calendar(calendar)),
                    Err(unclear) => {
                        source.refuse_mixed("tname", tname)?;
                        source.refuse_mixed("gname", gname)?;
                        Err(StaggerError::input(unclear.found).with_hint(unclear.hint))
                    }
                }
            }
        }
    }

    /// Returns the calendar, if periods are dates.
    pub fn calendar(&self) -> Option<&Calendar> {
        match self {
            Self::Calendar(calendar) => Some(calendar),
            _ => None,
        }
    }

    /// Calls `each` with a column's values as numbers; missing ones are NaN.
    pub fn with_periods<T>(
        &self,
        array: &ArrayRef,
        column: &str,
        scratch: &mut Vec<f64>,
        each: impl FnOnce(&[f64]) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Plain => with_f64(array, column, scratch, each),
            Self::Nearest(values) => {
                let near = with_f64(array, column, scratch, |own| Ok(all_near(own, values)))?;
                each(&near)
            }
            Self::Written => each(&map(array, column, &mut |value| Ok(plain(&value)))?),
            Self::Calendar(calendar) => each(&map(array, column, &mut |value| number(calendar, value))?),
        }
    }
}

/// Returns the number that a text or number stands for; other texts were refused before.
fn plain(value: &PeriodValue) -> f64 {
    match value {
        PeriodValue::Number(bits) => f64::from_bits(*bits),
        _ => f64::NAN,
    }
}

/// Returns the number of a value in the calendar. Numbers were checked before: they are years or mean never treated.
fn number(calendar: &Calendar, value: PeriodValue) -> Result<f64> {
    let unit = calendar.unit;
    Ok(match value {
        PeriodValue::Missing => f64::NAN,
        PeriodValue::Instant(day, _) => unit.number(day) as f64,
        PeriodValue::Part(part) if part.unit == unit => part.number as f64,
        PeriodValue::Part(part) => unit.number(part.unit.first_day(part.number)) as f64,
        PeriodValue::Number(bits) => match f64::from_bits(bits) {
            never if never == 0.0 || never == f64::INFINITY => never,
            year if unit == TimeUnit::Year => year,
            _ => f64::INFINITY,
        },
        PeriodValue::Unknown(text) => {
            return Err(StaggerError::input(format!("`{text}` is no period")));
        }
    })
}

/// Returns the distinct values of the period column and of the cohort column; `of` collects them from each batch.
fn scan(
    source: &Source,
    names: [&str; 2],
    threads: usize,
    of: &(dyn Fn(&ArrayRef, &str, &mut Column) -> Result<()> + Sync),
) -> Result<[Column; 2]> {
    let columns = names.map(str::to_owned);
    let own = || [Column::default(), Column::default()];
    let found = parallel::for_each(threads, source.chunks().len(), own, |own, index| {
        source.read(&source.chunks()[index], &columns, |_, arrays| {
            for ((array, name), column) in arrays.iter().zip(&columns).zip(own.iter_mut()) {
                of(array, name, column)?;
                if column.written.len().max(column.numbers.len()) > MOST {
                    return Err(StaggerError::input(format!(
                        "column `{name}` holds more than {MOST} different periods or cohorts"
                    ))
                    .with_hint(
                        "the period column must be discrete, the cohort column the first treated period",
                    ));
                }
            }
            Ok(())
        })
    })?;
    let mut out = own();
    for thread in found {
        for (all, column) in out.iter_mut().zip(thread) {
            all.written.extend(column.written);
            all.numbers.extend(column.numbers);
        }
    }
    Ok(out)
}

fn written_of(array: &ArrayRef, name: &str, column: &mut Column) -> Result<()> {
    map(array, name, &mut |value| {
        column.written.insert(value);
        Ok(())
    })?;
    Ok(())
}

fn numbers_of(array: &ArrayRef, name: &str, column: &mut Column) -> Result<()> {
    let doubt = doubt(array.data_type());
    with_f64(array, name, &mut Vec::new(), |values| {
        let finite = values.iter().filter(|v| v.is_finite() && **v != 0.0);
        column.numbers.extend(finite.map(|value| (value.to_bits(), doubt(*value).to_bits())));
        Ok(())
    })
}

/// Returns the function from a value to the difference that its type can't tell, with the rounding of one operation.
fn doubt(data_type: &DataType) -> Box<dyn Fn(f64) -> f64> {
    match data_type {
        DataType::Dictionary(_, values) => doubt(values),
        DataType::Float16 => Box::new(|value| value.abs() * (1.0 / 1024.0)),
        DataType::Float32 => Box::new(|value| value.abs() * f64::from(f32::EPSILON)),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => {
            let unit = 10f64.powi(-i32::from(*scale));
            Box::new(move |_| unit)
        }
        _ => Box::new(|value| value.abs() * 4.0 * f64::EPSILON),
    }
}

/// Returns one value for all that can't be told apart: on the coarsest grid of equal parts of one that fits them all;
/// without such a grid, the most exact of them.
fn nearest(values: BTreeSet<(u64, u64)>) -> Vec<f64> {
    let values: Vec<(f64, f64)> =
        values.into_iter().map(|(value, doubt)| (f64::from_bits(value), f64::from_bits(doubt))).collect();
    let fits = |parts: &f64| {
        values.iter().all(|(value, doubt)| {
            doubt * parts <= CLEAR && (value * parts - (value * parts).round()).abs() <= doubt * parts + 1e-9
        })
    };
    let mut out: Vec<f64> = match PARTS.iter().find(|parts| fits(parts)) {
        Some(parts) => values.iter().map(|(value, _)| (value * parts).round() / parts).collect(),
        None => merged(values),
    };
    out.sort_by(f64::total_cmp);
    out.dedup();
    out
}

fn merged(mut values: Vec<(f64, f64)>) -> Vec<f64> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut out: Vec<(f64, f64)> = Vec::new();
    let mut last: Option<(f64, f64)> = None;
    for value in values {
        match (last, out.last_mut()) {
            (Some(known), Some(kept)) if value.0 - known.0 <= known.1 + value.1 => {
                if value.1 < kept.1 {
                    *kept = value;
                }
            }
            _ => out.push(value),
        }
        last = Some(value);
    }
    out.into_iter().map(|(value, _)| value).collect()
}

/// Returns the nearest of `values`, which ascend, to each number; 0, infinities and NaN stay.
fn all_near(own: &[f64], values: &[f64]) -> Vec<f64> {
    let near = |value: f64| {
        let at = values.partition_point(|known| *known < value);
        let before = at.checked_sub(1).and_then(|at| values.get(at));
        match (before, values.get(at)) {
            (Some(&low), Some(&high)) if value - low < high - value => low,
            (_, Some(&high)) => high,
            (Some(&low), None) => low,
            (None, None) => value,
        }
    };
    own.iter().map(|&value| if value.is_finite() && value != 0.0 { near(value) } else { value }).collect()
}

/// Calls `of` with the values of a column in the form that the data have, once for equal neighbours; returns its
/// answers row by row.
fn map<T: Copy>(
    array: &ArrayRef,
    column: &str,
    of: &mut dyn FnMut(PeriodValue) -> Result<T>,
) -> Result<Vec<T>> {
    match array.data_type() {
        DataType::Dictionary(_, _) => of_dictionary(array, column, of),
        DataType::Null => {
            let missing = of(PeriodValue::Missing)?;
            Ok(vec![missing; array.len()])
        }
        DataType::Date32 => dates(array.as_primitive::<Date32Type>(), i128::from, 1, Shift::None, of),
        DataType::Date64 => {
            dates(array.as_primitive::<Date64Type>(), i128::from, 86_400_000, Shift::None, of)
        }
        DataType::Timestamp(ticks, zone) => timestamps(array, *ticks, Shift::of(zone.as_deref()), of),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => texts(array, of),
        _ => with_f64(array, column, &mut Vec::new(), |values| {
            let mut last: Option<(u64, T)> = None;
            values
                .iter()
                .map(|&value| match last {
                    Some((bits, known)) if bits == value.to_bits() => Ok(known),
                    _ => {
                        let own = of(PeriodValue::number(value))?;
                        last = Some((value.to_bits(), own));
                        Ok(own)
                    }
                })
                .collect()
        }),
    }
}

fn of_dictionary<T: Copy>(
    array: &ArrayRef,
    column: &str,
    of: &mut dyn FnMut(PeriodValue) -> Result<T>,
) -> Result<Vec<T>> {
    let dictionary = array.as_any_dictionary();
    let missing = of(PeriodValue::Missing)?;
    if dictionary.values().is_empty() {
        return Ok(vec![missing; array.len()]);
    }
    // Values of the dictionary that no row has don't count.
    let keys = dictionary.normalized_keys();
    let used = arrow_select::take::take(
        dictionary.values(),
        &arrow_array::UInt64Array::from_iter_values(keys.iter().map(|&key| key as u64)),
        None,
    )
    .map_err(|e| StaggerError::input(format!("column `{column}`: {e}")))?;
    let own = map(&used, column, of)?;
    Ok(own.into_iter().enumerate().map(|(row, own)| if array.is_null(row) { missing } else { own }).collect())
}

fn texts<T: Copy>(array: &ArrayRef, of: &mut dyn FnMut(PeriodValue) -> Result<T>) -> Result<Vec<T>> {
    with_bytes(array, |texts| {
        let mut known: HashMap<Option<&[u8]>, T> = HashMap::new();
        let mut out = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some(&own) = known.get(&text) {
                out.push(own);
                continue;
            }
            let read = |text: &[u8]| calendar::parse_period(&String::from_utf8_lossy(text));
            let own = of(text.map_or(PeriodValue::Missing, read))?;
            known.insert(text, own);
            out.push(own);
        }
        Ok(out)
    })
}

/// Rule by which an instant becomes the day in its time zone.
#[derive(Clone, Copy)]
enum Shift {
    None,
    /// Adds this number of seconds.
    Seconds(i64),
    /// Adds this number of seconds and takes the midnight before: for zones given by name, whose offset changes over
    /// the year.
    Midnight(i64),
}

impl Shift {
    fn of(zone: Option<&str>) -> Self {
        // Zones whose midnight is nearer to the noon of UTC before it.
        const EAST: [&str; 4] = ["Pacific/", "Antarctica/", "NZ", "Asia/Kamchatka"];
        match zone {
            None | Some("UTC" | "utc" | "Z" | "GMT" | "Etc/UTC") => Self::None,
            Some(zone) => match offset(zone) {
                Some(seconds) => Self::Seconds(seconds),
                None if EAST.iter().any(|east| zone.starts_with(east)) && !is_american(zone) => {
                    Self::Midnight(14 * 3600)
                }
                None => Self::Midnight(12 * 3600),
            },
        }
    }
}

/// Tells if a zone of the Pacific lies west of UTC.
fn is_american(zone: &str) -> bool {
    [
        "Honolulu",
        "Pago",
        "Midway",
        "Samoa",
        "Tahiti",
        "Marquesas",
        "Gambier",
        "Pitcairn",
        "Easter",
        "Galapagos",
        "Niue",
        "Rarotonga",
        "Johnston",
    ]
    .iter()
    .any(|name| zone.contains(name))
}

/// Parses an offset like `+05:30` or `-0800`; returns seconds.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(both) => both,
        None if rest.len() == 4 => rest.split_at(2),
        None => (rest, "0"),
    };
    Some(sign * (3600 * hours.parse::<i64>().ok()? + 60 * minutes.parse::<i64>().ok()?))
}

fn timestamps<T: Copy>(
    array: &ArrayRef,
    ticks: Ticks,
    shift: Shift,
    of: &mut dyn FnMut(PeriodValue) -> Result<T>,
) -> Result<Vec<T>> {
    const DAY: i128 = 86_400;
    let wide = i128::from;
    match ticks {
        Ticks::Second => dates(array.as_primitive::<TimestampSecondType>(), wide, DAY, shift, of),
        Ticks::Millisecond => {
            dates(array.as_primitive::<TimestampMillisecondType>(), wide, DAY * 1_000, shift, of)
        }
        Ticks::Microsecond => {
            dates(array.as_primitive::<TimestampMicrosecondType>(), wide, DAY * 1_000_000, shift, of)
        }
        Ticks::Nanosecond => {
            dates(array.as_primitive::<TimestampNanosecondType>(), wide, DAY * 1_000_000_000, shift, of)
        }
    }
}

/// Reads instants that are counted since 1970 in ticks, `per_day` of them in a day.
fn dates<P: ArrowPrimitiveType, T: Copy>(
    array: &PrimitiveArray<P>,
    wide: impl Fn(P::Native) -> i128,
    per_day: i128,
    shift: Shift,
    of: &mut dyn FnMut(PeriodValue) -> Result<T>,
) -> Result<Vec<T>> {
    let instant = |value: P::Native| {
        let seconds = match shift {
            Shift::None => 0,
            Shift::Seconds(seconds) | Shift::Midnight(seconds) => seconds,
        };
        let ticks = wide(value) + i128::from(seconds) * per_day / 86_400;
        let (day, rest) = (ticks.div_euclid(per_day), ticks.rem_euclid(per_day));
        let time = match shift {
            Shift::Midnight(_) => 0,
            _ => rest * 86_400_000_000_000 / per_day,
        };
        PeriodValue::Instant(day as i64 + UNIX_EPOCH_DAY, time as i64)
    };
    let mut last: Option<(Option<P::Native>, T)> = None;
    let mut out = Vec::with_capacity(array.len());
    for value in array {
        let own = match last {
            Some((known, own)) if known == value => own,
            _ => of(value.map_or(PeriodValue::Missing, instant))?,
        };
        last = Some((value, own));
        out.push(own);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
