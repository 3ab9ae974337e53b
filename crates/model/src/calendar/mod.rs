//! Periods that are dates: their numbers in calendar units, and their labels.

mod days;
mod find;
mod text;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use days::{UNIX_EPOCH_DAY, date_of, day_of};
pub use find::{Detected, detect_calendar};
pub use text::{PeriodNotation, PeriodValue, parse_period};

/// A calendar unit; the order is from coarse to fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Years; the number of a period is the year.
    Year,
    /// Quarters; the number is four times the year plus the quarters before in the year.
    Quarter,
    /// Months; the number is twelve times the year plus the months before in the year.
    Month,
    /// Weeks from Monday to Sunday; the number is 1 for the week with 1 January of the year 1.
    Week,
    /// Days; the number is 1 for 1 January of the year 1.
    Day,
}

impl TimeUnit {
    /// All units, from coarse to fine.
    pub const ALL: [Self; 5] = [Self::Year, Self::Quarter, Self::Month, Self::Week, Self::Day];

    /// Returns the name of the unit in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
        }
    }

    /// Returns the number of the unit that holds a day; it is positive from the year 1 on.
    pub fn number(self, day: i64) -> i64 {
        let (year, month, _) = date_of(day);
        match self {
            Self::Year => year,
            Self::Quarter => 4 * year + (month - 1) / 3,
            Self::Month => 12 * year + month - 1,
            Self::Week => (day - 1).div_euclid(7) + 1,
            Self::Day => day,
        }
    }

    /// Returns the first day of the unit with this number.
    pub fn first_day(self, number: i64) -> i64 {
        match self {
            Self::Year => day_of(number, 1, 1),
            Self::Quarter => day_of(number.div_euclid(4), 3 * number.rem_euclid(4) + 1, 1),
            Self::Month => day_of(number.div_euclid(12), number.rem_euclid(12) + 1, 1),
            Self::Week => 7 * (number - 1) + 1,
            Self::Day => number,
        }
    }

    /// Returns a period in the unit's default notation.
    fn write(self, number: i64) -> String {
        match self {
            Self::Year => number.to_string(),
            Self::Quarter => format!("{:04}Q{}", number.div_euclid(4), number.rem_euclid(4) + 1),
            Self::Month => format!("{:04}-{:02}", number.div_euclid(12), number.rem_euclid(12) + 1),
            Self::Week => {
                let (year, week) = days::iso_week(self.first_day(number));
                format!("{year:04}-W{week:02}")
            }
            Self::Day => format_iso_date(number),
        }
    }
}

/// Returns a day in ISO 8601, as in 2020-01-31.
pub fn format_iso_date(day: i64) -> String {
    let (year, month, day) = date_of(day);
    format!("{year:04}-{month:02}-{day:02}")
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TimeUnit {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|unit| unit.name() == name).ok_or(())
    }
}

/// The place of a period's day within its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anchor {
    /// The number of days after the unit's first day.
    Start(i64),
    /// The number of days before the unit's last day.
    End(i64),
}

/// The notation of periods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelFormat {
    /// The default notation of the unit: 2020, 2020Q1, 2020-01, 2020-W05, 2020-01-31.
    Unit,
    /// Dates at this place of the unit.
    Dates(Anchor),
    /// The notation of the text in the data.
    Text(PeriodNotation),
}

/// The calendar that the whole numbers of periods count in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The unit of the calendar, which is one step of event time.
    pub unit: TimeUnit,
    /// The notation of a period.
    pub labels: LabelFormat,
}

impl Calendar {
    /// Returns the label of a period or cohort; a value that is not a whole number of the calendar is shown as a
    /// number.
    pub fn label(&self, period: f64) -> String {
        if !(period.is_finite() && period == period.trunc() && period.abs() < 1e9) {
            return period.to_string();
        }
        let number = period as i64;
        match &self.labels {
            LabelFormat::Unit => self.unit.write(number),
            LabelFormat::Dates(Anchor::Start(days)) => format_iso_date(self.unit.first_day(number) + days),
            LabelFormat::Dates(Anchor::End(days)) => {
                format_iso_date(self.unit.first_day(number + 1) - 1 - days)
            }
            LabelFormat::Text(style) => style.write(self.unit, number),
        }
    }
}

impl Calendar {
    /// Replaces the numbers of periods and cohorts in a message by their labels: those numbers that are in `known`,
    /// except counts of units, rows, times or cells. Years stay as they are.
    pub fn label_periods_in(&self, text: &str, known: &[f64]) -> String {
        if self.unit == TimeUnit::Year {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            out.push_str(&rest[..start]);
            let word = &rest[start..];
            let inside = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':');
            let end = word.find(|c| !inside(c)).unwrap_or(word.len());
            let after = &word[end..];
            let is_count = [" unit", " row", " time", " cell"].iter().any(|what| after.starts_with(what));
            match word[..end].parse::<u32>().map(f64::from) {
                Ok(number) if known.contains(&number) && !is_count => out.push_str(&self.label(number)),
                _ => out.push_str(&word[..end]),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Returns a period or cohort for a message: its label if there is a calendar, the number otherwise.
pub fn format_period(calendar: Option<&Calendar>, period: f64) -> String {
    calendar.map_or_else(|| period.to_string(), |calendar| calendar.label(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_days() {
        for unit in TimeUnit::ALL {
            for day in [1, 365, 366, 719_163, 737_425, 737_484, 737_485, 738_000] {
                let number = unit.number(day);
                assert!(unit.first_day(number) <= day && day < unit.first_day(number + 1), "{unit} {day}");
                assert!(number > 0);
            }
        }
    }

    #[test]
    fn periods_are_labelled_as_written() {
        let of = |unit, labels, number: f64| Calendar { unit, labels }.label(number);
        let month = 12.0 * 2020.0 + 1.0;
        assert_eq!(of(TimeUnit::Month, LabelFormat::Unit, month), "2020-02");
        assert_eq!(of(TimeUnit::Month, LabelFormat::Dates(Anchor::Start(0)), month), "2020-02-01");
        assert_eq!(of(TimeUnit::Month, LabelFormat::Dates(Anchor::End(0)), month), "2020-02-29");
        assert_eq!(of(TimeUnit::Quarter, LabelFormat::Unit, 4.0 * 2020.0 + 3.0), "2020Q4");
        assert_eq!(of(TimeUnit::Year, LabelFormat::Dates(Anchor::End(184)), 2020.0), "2020-06-30");
        let week = TimeUnit::Week.number(day_of(2021, 1, 3)) as f64;
        assert_eq!(of(TimeUnit::Week, LabelFormat::Unit, week), "2020-W53");
        assert_eq!(of(TimeUnit::Week, LabelFormat::Dates(Anchor::Start(6)), week), "2021-01-03");
        assert_eq!(of(TimeUnit::Year, LabelFormat::Unit, f64::INFINITY), "inf");
    }
}
