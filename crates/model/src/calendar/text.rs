//! Periods as text: parsing and formatting.

use serde::{Deserialize, Serialize};

use super::days::{date_of, day_of, days_of, iso_week, monday_of};
use super::{TimeUnit, format_iso_date};

/// The notation of quarters, months or weeks in text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeriodNotation {
    /// The text between the year and the number of the unit.
    pub between: String,
    /// `true` if numbers below ten have a leading zero; `None` if no such number was met.
    pub padded: Option<bool>,
}

impl PeriodNotation {
    /// Formats a period in this notation.
    pub(super) fn write(&self, unit: TimeUnit, number: i64) -> String {
        let (year, part) = match unit {
            TimeUnit::Year => return number.to_string(),
            TimeUnit::Day => return format_iso_date(number),
            TimeUnit::Quarter => (number.div_euclid(4), number.rem_euclid(4) + 1),
            TimeUnit::Month => (number.div_euclid(12), number.rem_euclid(12) + 1),
            TimeUnit::Week => iso_week(unit.first_day(number)),
        };
        let between = &self.between;
        match self.padded {
            Some(true) => format!("{year:04}{between}{part:02}"),
            _ => format!("{year:04}{between}{part}"),
        }
    }

    /// Returns the notation that fits both, if there is one.
    pub(super) fn join(self, other: &Self) -> Option<Self> {
        let padded = match (self.padded, other.padded) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b),
        };
        (self.between == other.between).then_some(Self { padded, ..self })
    }
}

/// A quarter, month or week in text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotatedPeriod {
    /// The unit.
    pub unit: TimeUnit,
    /// The number of the period in its unit; see [`TimeUnit`].
    pub number: i64,
    /// The notation.
    pub style: PeriodNotation,
}

/// A value of a period or cohort column, as the data have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeriodValue {
    /// No value.
    Missing,
    /// A number, as the bits of its `f64` so that values can be compared and hashed.
    Number(u64),
    /// A day, and the nanoseconds since its midnight.
    Instant(i64, i64),
    /// A quarter, month or week.
    Part(NotatedPeriod),
    /// Text that is none of these.
    Unknown(String),
}

impl PeriodValue {
    /// Returns the value of a number; NaN is a missing value.
    pub fn number(value: f64) -> Self {
        if value.is_nan() { Self::Missing } else { Self::Number((value + 0.0).to_bits()) }
    }
}

/// Parses text as a number, a date with or without a time, a quarter, a month, a week, or a missing value.
pub fn parse_period(text: &str) -> PeriodValue {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "" | "." | "na" | "nan" | "nat" | "null" | "none" | "<na>" => return PeriodValue::Missing,
        "never" => return PeriodValue::number(f64::INFINITY),
        _ => {}
    }
    if let Ok(number) = text.parse::<f64>() {
        return PeriodValue::number(number);
    }
    date(text).or_else(|| part(text)).unwrap_or_else(|| PeriodValue::Unknown(text.to_owned()))
}

/// Splits off the leading four digits, a year above 0.
fn year(text: &str) -> Option<(i64, &str)> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let year = digits.parse().ok().filter(|&year: &i64| year > 0)?;
    Some((year, &text[4..]))
}

/// Parses text that consists of one or two digits, as a number from 1 to `most`.
fn number(text: &str, most: i64) -> Option<i64> {
    let short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&number: &i64| short && (1..=most).contains(&number))
}

/// Parses `2020-01-31` or `2020/01/31`, with a time after a blank or `T` if there is one.
fn date(text: &str) -> Option<PeriodValue> {
    let (year, rest) = year(text)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/' | '.'))?;
    let (month, rest) = rest[1..].split_once(separator)?;
    let (day, time) = rest.split_once(['T', ' ', 't']).unwrap_or((rest, ""));
    let month = number(month, 12)?;
    let day = number(day, days_of(year, month))?;
    Some(PeriodValue::Instant(day_of(year, month, day), nanoseconds(time)?))
}

/// Returns the nanoseconds since midnight of `08:30` or `08:30:00.25`. An offset is ignored, since it does not change
/// the day that was written.
fn nanoseconds(time: &str) -> Option<i64> {
    let time = time.trim().trim_end_matches(['Z', 'z']);
    let time = time.find(['+', '-']).map_or(time, |at| &time[..at]).trim();
    if time.is_empty() {
        return Some(0);
    }
    let mut seconds = 0.0;
    for (field, scale) in time.splitn(3, ':').zip([3600.0, 60.0, 1.0]) {
        let value: f64 = field.parse().ok()?;
        if !(0.0..61.0).contains(&value) {
            return None;
        }
        seconds += scale * value;
    }
    Some((seconds * 1e9) as i64)
}

/// Parses `2020-01`, `2020m1`, `2020Q1`, `2020-Q1`, `2020w05`, `2020-W05`, and the like.
fn part(text: &str) -> Option<PeriodValue> {
    let (year, rest) = year(text)?;
    let digits = rest.find(|c: char| c.is_ascii_digit())?;
    let (between, digits) = rest.split_at(digits);
    let letter = between.trim_matches(['-', '/', ' ', '_', ':', '.']);
    let (unit, most) = match letter.to_ascii_lowercase().as_str() {
        "" if !between.is_empty() => (TimeUnit::Month, 12),
        "m" => (TimeUnit::Month, 12),
        "q" => (TimeUnit::Quarter, 4),
        "w" => (TimeUnit::Week, 53),
        _ => return None,
    };
    let part = number(digits, most)?;
    let number = match unit {
        TimeUnit::Month => 12 * year + part - 1,
        TimeUnit::Quarter => 4 * year + part - 1,
        _ => {
            let monday = monday_of(year, part);
            // Not every year has a week 53.
            if iso_week(monday).0 != year {
                return None;
            }
            unit.number(monday)
        }
    };
    let padded = match (digits.len(), part < 10) {
        (2, true) => Some(true),
        (1, _) => Some(false),
        _ => None,
    };
    Some(PeriodValue::Part(NotatedPeriod {
        unit,
        number,
        style: PeriodNotation { between: between.to_owned(), padded },
    }))
}

/// Formats the value for a message.
impl std::fmt::Display for PeriodValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing"),
            Self::Number(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Self::Instant(day, 0) => f.write_str(&format_iso_date(*day)),
            Self::Instant(day, nanoseconds) => {
                let (year, month, day) = date_of(*day);
                let seconds = nanoseconds / 1_000_000_000;
                let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
            }
            Self::Part(part) => f.write_str(&part.style.write(part.unit, part.number)),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_as_people_write_them() {
        for (text, unit, number) in [
            ("2020-01", TimeUnit::Month, 12 * 2020),
            ("2020/12", TimeUnit::Month, 12 * 2020 + 11),
            ("2020m1", TimeUnit::Month, 12 * 2020),
            ("2020M10", TimeUnit::Month, 12 * 2020 + 9),
            ("2020Q1", TimeUnit::Quarter, 4 * 2020),
            ("2020-Q4", TimeUnit::Quarter, 4 * 2020 + 3),
            ("2020 q2", TimeUnit::Quarter, 4 * 2020 + 1),
            ("2020w05", TimeUnit::Week, TimeUnit::Week.number(day_of(2020, 1, 27))),
            ("2020-W53", TimeUnit::Week, TimeUnit::Week.number(day_of(2020, 12, 28))),
        ] {
            let PeriodValue::Part(part) = parse_period(text) else {
                panic!("{text}: {:?}", parse_period(text))
            };
            assert_eq!((part.unit, part.number), (unit, number), "{text}");
            assert_eq!(PeriodValue::Part(part).to_string(), text);
        }
        assert_eq!(parse_period("2020-02-29"), PeriodValue::Instant(day_of(2020, 2, 29), 0));
        assert_eq!(
            parse_period("2020-01-31T08:30:00Z"),
            PeriodValue::Instant(day_of(2020, 1, 31), 30_600_000_000_000)
        );
        assert_eq!(parse_period("2004"), PeriodValue::number(2004.0));
        assert_eq!(parse_period("NaT"), PeriodValue::Missing);
        for unknown in ["2021-W53", "2020-13", "2021-02-29", "2020Q5", "spring", "2020-1-x", "20-01-2020"] {
            assert_eq!(parse_period(unknown), PeriodValue::Unknown(unknown.to_owned()));
        }
    }
}
