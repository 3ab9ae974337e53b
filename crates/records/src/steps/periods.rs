//! Periods that steps compare: their order, and their values written back.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use stagger_model::calendar::{PeriodValue, parse_period};
use stagger_model::error::{Result, StaggerError};

use super::keys::{ordered, unordered};
use crate::expression::Values;

/// A period: bits that sort as periods do, and its text if periods are text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Period {
    order: u64,
    text: Option<Arc<str>>,
}

/// The periods of a batch.
pub(super) struct Periods {
    values: Values,
}

impl Periods {
    /// Reads a column of periods.
    ///
    /// # Errors
    /// A type that can't be a period.
    pub(super) fn of(batch: &RecordBatch, place: usize) -> Result<Self> {
        let name = batch.schema().field(place).name().clone();
        match Values::of(batch.column(place)) {
            Some(Values::Logical(_)) | None => Err(StaggerError::input(format!(
                "column `{name}` has type {}, which is no period",
                batch.column(place).data_type()
            ))
            .with_hint("periods are numbers, dates, or text such as 2020-01 and 2020Q1")),
            Some(values) => Ok(Self { values }),
        }
    }

    /// Returns the period of a row, or `None` if it is missing.
    ///
    /// # Errors
    /// Text that is no period.
    pub(super) fn get(&self, row: usize) -> Result<Option<Period>> {
        let plain = |order| Some(Period { order, text: None });
        let signed = |value: i64| plain(value.cast_unsigned() ^ (1 << 63));
        Ok(match &self.values {
            Values::Missing(_) | Values::Logical(_) => None,
            Values::Integer(values) | Values::Instant(values) => values[row].and_then(signed),
            Values::Date(values) => values[row].and_then(|day| signed(day.into())),
            Values::Number(values) => {
                Some(values[row]).filter(|v| !v.is_nan()).and_then(|v| plain(ordered(v)))
            }
            Values::Text(texts) => match arrow_array::Array::is_valid(texts, row) {
                true => of_text(texts.value(row))?,
                false => None,
            },
        })
    }

    /// Returns a column of the same type with these periods; `None` is 0 for numbers, and missing otherwise.
    pub(super) fn column(&self, periods: &[Option<Period>]) -> ArrayRef {
        let signed = |period: &Period| (period.order ^ (1 << 63)).cast_signed();
        match &self.values {
            Values::Number(_) => {
                let number =
                    |period: &Option<Period>| period.as_ref().map_or(0.0, |period| unordered(period.order));
                Values::Number(periods.iter().map(number).collect()).into_array()
            }
            Values::Date(_) => {
                let day = |period: &Option<Period>| period.as_ref().map(|period| signed(period) as i32);
                Values::Date(periods.iter().map(day).collect()).into_array()
            }
            Values::Instant(_) => {
                Values::Instant(periods.iter().map(|period| period.as_ref().map(signed)).collect())
                    .into_array()
            }
            Values::Text(_) => {
                let text = |period: &Option<Period>| period.as_ref().and_then(|period| period.text.clone());
                Arc::new(periods.iter().map(text).collect::<StringArray>())
            }
            _ => Values::Integer(periods.iter().map(|p| Some(p.as_ref().map_or(0, signed))).collect())
                .into_array(),
        }
    }

    /// Formats a period for a message.
    pub(super) fn show(&self, period: &Period) -> String {
        super::keys::show(&self.column(&[Some(period.clone())]), 0)
    }
}

fn of_text(text: &str) -> Result<Option<Period>> {
    let order = match parse_period(text) {
        PeriodValue::Missing => return Ok(None),
        PeriodValue::Number(bits) => ordered(f64::from_bits(bits)),
        PeriodValue::Instant(day, _) => day.cast_unsigned() ^ (1 << 63),
        PeriodValue::Part(part) => part.number.cast_unsigned() ^ (1 << 63),
        PeriodValue::Unknown(_) => {
            return Err(StaggerError::input(format!("`{text}` is no period"))
                .with_hint("periods are numbers, dates, or text such as 2020-01 and 2020Q1; --let makes them of other text"));
        }
    };
    Ok(Some(Period { order, text: Some(Arc::from(text)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_sort_as_numbers_and_come_back() {
        let numbers = [f64::NEG_INFINITY, -2.5, -0.0, 1e-300, 3.0, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        assert!(numbers.iter().all(|number| unordered(ordered(*number)) == *number));
    }

    #[test]
    fn text_sorts_by_the_calendar() {
        let order = |text: &str| of_text(text).unwrap().unwrap().order;
        assert!(order("2020m2") < order("2020m12") && order("1999Q4") < order("2000Q1"));
        assert!(of_text("NA").unwrap().is_none() && of_text("soon").is_err());
    }
}
