//! Detection of the calendar unit of a data set's periods and cohorts.

use std::collections::BTreeSet;

use super::text::{NotatedPeriod, PeriodNotation, PeriodValue};
use super::{Anchor, Calendar, LabelFormat, TimeUnit, format_iso_date};

/// The numbers that are read as years.
const YEARS: std::ops::RangeInclusive<f64> = 1000.0..=9998.0;
/// The number of days after the last period within which a cohort's date must fit the unit. Later cohorts are not
/// treated in the data, whatever their date.
const AFTER: i64 = 366;
/// The largest gap, in days, between most periods of daily data, weekends included.
const DAILY: i64 = 4;

/// The kind of values that the period and cohort columns hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// Only numbers.
    Numbers,
    /// Periods of this calendar.
    Calendar(Calendar),
}

/// The reason why there is no unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarError {
    /// The message: the values that were found.
    pub found: String,
    /// The hint: the remedy.
    pub hint: String,
}

/// The distinct values of one column.
struct Side<'a> {
    column: &'a str,
    instants: Vec<(i64, i64)>,
    parts: Vec<&'a NotatedPeriod>,
    numbers: Vec<f64>,
}

impl<'a> Side<'a> {
    fn new(column: &'a str, values: &'a BTreeSet<PeriodValue>) -> Result<Self, CalendarError> {
        let mut out = Self { column, instants: Vec::new(), parts: Vec::new(), numbers: Vec::new() };
        for value in values {
            match value {
                PeriodValue::Missing => {}
                PeriodValue::Number(bits) => out.numbers.push(f64::from_bits(*bits)),
                PeriodValue::Instant(day, nanoseconds) => out.instants.push((*day, *nanoseconds)),
                PeriodValue::Part(part) => out.parts.push(part),
                PeriodValue::Unknown(text) => {
                    return Err(CalendarError {
                        found: format!("column `{column}` holds `{text}`, which is no number and no period"),
                        hint: "periods are numbers, dates, or text such as 2020, 2020-01, 2020-01-31, 2020Q1, 2020m1 or 2020w05"
                            .to_owned(),
                    });
                }
            }
        }
        Ok(out)
    }

    /// Returns the sorted, distinct days of all values other than numbers.
    fn days(&self) -> Vec<i64> {
        let parts = self.parts.iter().map(|part| part.unit.first_day(part.number));
        let mut days: Vec<i64> = self.instants.iter().map(|(day, _)| *day).chain(parts).collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    fn is_calendar(&self) -> bool {
        !self.instants.is_empty() || !self.parts.is_empty()
    }

    /// Returns two times of one day, if there are any.
    fn same_day(&self) -> Option<(PeriodValue, PeriodValue)> {
        let two = self.instants.windows(2).find(|two| two[0].0 == two[1].0)?;
        Some((PeriodValue::Instant(two[0].0, two[0].1), PeriodValue::Instant(two[1].0, two[1].1)))
    }

    /// Returns the first values for a message.
    fn shown(&self) -> String {
        let instants = self.instants.iter().map(|&(day, time)| PeriodValue::Instant(day, time).to_string());
        let parts = self.parts.iter().map(|part| PeriodValue::Part((*part).clone()).to_string());
        let numbers = self.numbers.iter().map(f64::to_string);
        let all: Vec<String> = instants.chain(parts).chain(numbers).collect();
        let rest = if all.len() > 4 { ", …" } else { "" };
        format!("{}{rest}", all[..all.len().min(4)].join(", "))
    }
}

/// Finds the calendar of the distinct `periods` and `cohorts`, each given with its column's name. `asked` is the unit
/// that the user has set, if any.
pub fn detect_calendar(
    (tname, periods): (&str, &BTreeSet<PeriodValue>),
    (gname, cohorts): (&str, &BTreeSet<PeriodValue>),
    asked: Option<TimeUnit>,
) -> Result<Detected, CalendarError> {
    let times = Side::new(tname, periods)?;
    let groups = Side::new(gname, cohorts)?;
    if !times.is_calendar() && !groups.is_calendar() {
        return match asked {
            None | Some(TimeUnit::Year) => Ok(Detected::Numbers),
            Some(unit) => Err(no_dates(&times, unit)),
        };
    }
    let unit = match asked {
        Some(unit) => {
            finer_than_text(&times, &groups, unit)?;
            unit
        }
        None => found_unit(&times, &groups)?,
    };
    check_numbers(&times, &groups, unit)?;
    Ok(Detected::Calendar(Calendar { unit, labels: labels(&times, &groups, unit) }))
}

/// Returns the error for a unit that was asked for while all periods are numbers.
fn no_dates(times: &Side<'_>, unit: TimeUnit) -> CalendarError {
    CalendarError {
        found: format!("tunit is {unit}, but column `{}` holds numbers ({})", times.column, times.shown()),
        hint: "leave --tunit out: event times of numbers are their differences".to_owned(),
    }
}

/// Refuses a unit that is finer than that of the text.
fn finer_than_text(times: &Side<'_>, groups: &Side<'_>, unit: TimeUnit) -> Result<(), CalendarError> {
    for side in [times, groups] {
        if let Some(part) = side.parts.iter().find(|part| part.unit < unit) {
            return Err(CalendarError {
                found: format!(
                    "tunit is {unit}, but column `{}` holds {}s ({})",
                    side.column,
                    part.unit,
                    side.shown()
                ),
                hint: format!("set --tunit {} or leave it out", part.unit),
            });
        }
    }
    Ok(())
}

/// Returns the unit of the text if all values have one notation, and the coarsest unit that fits every date otherwise.
fn found_unit(times: &Side<'_>, groups: &Side<'_>) -> Result<TimeUnit, CalendarError> {
    let all = || times.parts.iter().chain(&groups.parts);
    if let Some(first) = all().next()
        && times.instants.is_empty()
        && groups.instants.is_empty()
        && all().all(|part| part.unit == first.unit)
    {
        return Ok(first.unit);
    }
    for side in [times, groups] {
        if let Some((first, second)) = side.same_day() {
            return Err(CalendarError {
                found: format!(
                    "column `{}` holds {first} and {second}: periods within a day have no unit",
                    side.column
                ),
                hint: "number the periods, or count all of a day to it by --tunit day".to_owned(),
            });
        }
    }
    let (days, cohorts) = (times.days(), relevant(times, groups));
    let fits = |unit: &TimeUnit| {
        // Cohorts lie where periods do, or at the start or end of their unit.
        let places = anchor(&days, *unit).map(|own| [own, Anchor::Start(0), Anchor::End(0)]);
        places.is_some_and(|places| {
            places.iter().any(|place| cohorts.iter().all(|day| lies(*day, *unit, *place)))
        })
    };
    let numbers = times.numbers.iter().chain(&groups.numbers).any(|&v| v != 0.0 && v.is_finite());
    let coarse = TimeUnit::ALL[..4].iter().copied().find(fits);
    match coarse {
        Some(unit) => Ok(unit),
        None if is_daily(&days) && !numbers => Ok(TimeUnit::Day),
        None => Err(unclear(times, groups, &days)),
    }
}

/// Returns the days of cohorts that must fit the unit: those between the first period and [`AFTER`] days past the last.
fn relevant(times: &Side<'_>, groups: &Side<'_>) -> Vec<i64> {
    let days = times.days();
    let mut own = groups.days();
    if let (Some(first), Some(last)) = (days.first(), days.last()) {
        own.retain(|day| day >= first && *day <= last + AFTER);
    }
    own
}

/// Returns the number of days from the start of the unit that holds a day.
fn from_start(day: i64, unit: TimeUnit) -> i64 {
    day - unit.first_day(unit.number(day))
}

/// Returns the number of days to the end of the unit that holds a day.
fn from_end(day: i64, unit: TimeUnit) -> i64 {
    unit.first_day(unit.number(day) + 1) - 1 - day
}

/// Returns `true` if a day lies at a place of its unit.
fn lies(day: i64, unit: TimeUnit, place: Anchor) -> bool {
    match place {
        Anchor::Start(days) => from_start(day, unit) == days,
        Anchor::End(days) => from_end(day, unit) == days,
    }
}

/// Returns the common place of days in their units, if they share one. No two of them are then in one unit.
fn anchor(days: &[i64], unit: TimeUnit) -> Option<Anchor> {
    let same = |of: &dyn Fn(&i64) -> i64| {
        let mut values = days.iter().map(of);
        let first = values.next().unwrap_or(0);
        values.all(|value| value == first).then_some(first)
    };
    let start = same(&|day| from_start(*day, unit)).map(Anchor::Start);
    start.or_else(|| same(&|day| from_end(*day, unit)).map(Anchor::End))
}

/// Returns `true` if most days follow each other.
fn is_daily(days: &[i64]) -> bool {
    let gaps: Vec<i64> = days.windows(2).map(|two| two[1] - two[0]).collect();
    let short = gaps.iter().filter(|gap| **gap <= DAILY).count();
    gaps.contains(&1) && 2 * short > gaps.len()
}

/// Returns the error for dates that fit no unit.
fn unclear(times: &Side<'_>, groups: &Side<'_>, days: &[i64]) -> CalendarError {
    let gaps: BTreeSet<i64> = days.windows(2).map(|two| two[1] - two[0]).collect();
    let of = |gap: Option<&i64>| gap.copied().unwrap_or(0);
    let steps = format!("{} to {} days apart", of(gaps.first()), of(gaps.last()));
    CalendarError {
        found: format!(
            "the periods have no clear unit: column `{}` holds {}, {steps}; column `{}` holds {}",
            times.column,
            times.shown(),
            groups.column,
            groups.shown()
        ),
        hint: "say in which unit event times count, and dates are counted to theirs: --tunit year, quarter, month, week or day"
            .to_owned(),
    }
}

/// Refuses numbers beside dates, unless they are years of a yearly calendar or mark never-treated cohorts.
fn check_numbers(times: &Side<'_>, groups: &Side<'_>, unit: TimeUnit) -> Result<(), CalendarError> {
    let never = |value: f64| value == 0.0 || value == f64::INFINITY || value > *YEARS.end();
    let is_year = |value: f64| value == value.trunc() && YEARS.contains(&value);
    for (side, other, may_be_never) in [(times, groups, false), (groups, times, true)] {
        let bad = |&value: &f64| !(may_be_never && never(value) || unit == TimeUnit::Year && is_year(value));
        if let Some(value) = side.numbers.iter().copied().find(bad) {
            let example = if value == value.trunc() && YEARS.contains(&value) {
                format!("{value:04}-01-01")
            } else {
                format_iso_date(other.days().first().copied().unwrap_or(super::UNIX_EPOCH_DAY))
            };
            return Err(CalendarError {
                found: format!(
                    "column `{}` holds the number {value}, but column `{}` holds {}, in {unit}s",
                    side.column,
                    other.column,
                    other.shown()
                ),
                hint: format!("write both columns as dates ({example}) or both as numbers"),
            });
        }
    }
    Ok(())
}

/// Returns the label format: that of the data if all periods share one, and the unit's own otherwise.
fn labels(times: &Side<'_>, groups: &Side<'_>, unit: TimeUnit) -> LabelFormat {
    let numbers = times.numbers.iter().any(|v| v.is_finite());
    if numbers || (!times.instants.is_empty() && !times.parts.is_empty()) {
        return LabelFormat::Unit;
    }
    if !times.is_calendar() {
        return LabelFormat::Unit;
    }
    if !times.parts.is_empty() {
        return style(times, groups, unit).map_or(LabelFormat::Unit, LabelFormat::Text);
    }
    match anchor(&times.days(), unit) {
        Some(anchor) if groups.numbers.iter().all(|&v| v == 0.0 || !v.is_finite()) => {
            LabelFormat::Dates(anchor)
        }
        _ => LabelFormat::Unit,
    }
}

/// Returns the notation that all text of this unit shares, if it does.
fn style(times: &Side<'_>, groups: &Side<'_>, unit: TimeUnit) -> Option<PeriodNotation> {
    let mut all = times.parts.iter().chain(&groups.parts);
    let first = all.next().filter(|part| part.unit == unit)?;
    all.try_fold(
        first.style.clone(),
        |style, part| {
            if part.unit == unit { style.join(&part.style) } else { None }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::text::parse_period;
    use super::*;

    fn found(periods: &[&str], cohorts: &[&str], asked: Option<TimeUnit>) -> Result<Detected, CalendarError> {
        let set = |texts: &[&str]| texts.iter().map(|text| parse_period(text)).collect::<BTreeSet<_>>();
        detect_calendar(("t", &set(periods)), ("g", &set(cohorts)), asked)
    }

    #[track_caller]
    fn unit(periods: &[&str], cohorts: &[&str]) -> TimeUnit {
        match found(periods, cohorts, None) {
            Ok(Detected::Calendar(calendar)) => calendar.unit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_unit_is_the_coarsest_that_fits() {
        assert_eq!(unit(&["2003-01-01", "2004-01-01", "2005-01-01"], &["2004-01-01"]), TimeUnit::Year);
        assert_eq!(unit(&["2003-06-30", "2004-06-30"], &["2004-06-30", ""]), TimeUnit::Year);
        assert_eq!(unit(&["2003-01-01", "2003-04-01", "2003-10-01"], &["2003-04-01"]), TimeUnit::Quarter);
        assert_eq!(unit(&["2020-03-31", "2020-06-30", "2020-09-30"], &["2020-06-30"]), TimeUnit::Quarter);
        assert_eq!(unit(&["2020-01-31", "2020-02-29", "2020-03-31"], &["2020-02-29"]), TimeUnit::Month);
        assert_eq!(unit(&["2020-01-01", "2020-02-01"], &["2020-02-01", "2020-03-01"]), TimeUnit::Month);
        assert_eq!(unit(&["2020-01-15", "2020-02-15", "2020-03-15"], &["NaT"]), TimeUnit::Month);
        assert_eq!(unit(&["2020-01-06", "2020-01-13", "2020-02-03"], &["2020-01-13"]), TimeUnit::Week);
        assert_eq!(unit(&["2020-01-03", "2020-01-06", "2020-01-07"], &["2020-01-06"]), TimeUnit::Day);
        // A year's data with cohorts by month counts months.
        assert_eq!(unit(&["2019-01-01", "2020-01-01"], &["2019-03-01", "2019-08-01"]), TimeUnit::Month);
    }

    #[test]
    fn text_has_the_unit_of_its_notation() {
        assert_eq!(unit(&["2020-01", "2021-01"], &["2021-01", "0"]), TimeUnit::Month);
        assert_eq!(unit(&["2020Q1", "2020Q3"], &["2020Q3", "Inf"]), TimeUnit::Quarter);
        assert_eq!(unit(&["2020w05", "2020w06"], &["2020w06"]), TimeUnit::Week);
        assert_eq!(unit(&["2020-01-01", "2020-02-01"], &["2020-02"]), TimeUnit::Month);
        assert_eq!(found(&["2003", "2004"], &["2004", "0"], None), Ok(Detected::Numbers));
    }

    #[test]
    fn far_away_cohorts_are_never_treated_whatever_their_date() {
        assert_eq!(unit(&["2020-01-01", "2020-02-01"], &["2020-02-01", "9999-12-31"]), TimeUnit::Month);
        assert_eq!(unit(&["2020-01-01", "2020-02-01"], &["2020-02-01", "1995-06-17"]), TimeUnit::Month);
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let text = |periods: &[&str], cohorts: &[&str]| found(periods, cohorts, None).unwrap_err().found;
        let waves = text(&["2020-01-05", "2020-03-17", "2021-02-20"], &["2020-03-17"]);
        assert!(waves.contains("no clear unit") && waves.contains("72 to 340 days apart"), "{waves}");
        assert!(text(&["2020-01-01", "2020-02-01"], &["2020-02-14"]).contains("2020-02-14"));
        assert!(text(&["2020-01-01", "2020-02-01"], &["2020"]).contains("the number 2020"));
        assert!(text(&["1", "2"], &["2020-01-01"]).contains("number 1"));
        assert!(text(&["spring", "summer"], &["0"]).contains("`spring`"));
        let twice = text(&["2020-01-01 08:00", "2020-01-01 20:00"], &["2020-01-01 08:00"]);
        assert!(twice.contains("within a day"), "{twice}");
        assert!(found(&["2020Q1", "2020Q2"], &["2020Q2"], Some(TimeUnit::Month)).is_err());
        assert!(found(&["1", "2"], &["2"], Some(TimeUnit::Month)).is_err());
    }

    #[test]
    fn years_may_stand_beside_dates_of_years() {
        let Ok(Detected::Calendar(calendar)) = found(&["2003-01-01", "2004-01-01"], &["2004", "0"], None)
        else {
            panic!("no calendar")
        };
        assert_eq!((calendar.unit, calendar.label(2004.0).as_str()), (TimeUnit::Year, "2004"));
        assert_eq!(unit(&["2003", "2004"], &["2004-01-01"]), TimeUnit::Year);
    }

    #[test]
    fn a_unit_that_is_asked_for_takes_any_date() {
        let asked = found(&["2020-01-05", "2020-03-17"], &["2020-03-20"], Some(TimeUnit::Month));
        let Ok(Detected::Calendar(calendar)) = asked else { panic!("{asked:?}") };
        assert_eq!(calendar.label(12.0 * 2020.0 + 2.0), "2020-03");
    }
}
