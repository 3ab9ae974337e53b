//! Days of the Gregorian calendar, numbered from 1 January of the year 1, which is day 1.

/// The number of 1 January 1970.
pub const UNIX_EPOCH_DAY: i64 = 719_163;

fn is_leap(year: i64) -> bool {
    (year.rem_euclid(4) == 0 && year.rem_euclid(100) != 0) || year.rem_euclid(400) == 0
}

/// Returns the number of days before a year.
fn before_year(year: i64) -> i64 {
    let past = year - 1;
    365 * past + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

/// Returns the number of days of a year before a month.
fn before_month(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE[(month - 1).clamp(0, 11) as usize] + i64::from(month > 2 && is_leap(year))
}

/// Returns the day number of a date.
pub fn day_of(year: i64, month: i64, day: i64) -> i64 {
    before_year(year) + before_month(year, month) + day
}

/// Returns the number of days of a month.
pub(super) fn days_of(year: i64, month: i64) -> i64 {
    match month {
        12 => 31,
        _ => before_month(year, month + 1) - before_month(year, month),
    }
}

/// Returns year, month and day of the month of a day number.
pub fn date_of(day: i64) -> (i64, i64, i64) {
    // 400 years have 146,097 days; the estimate is at most one off.
    let mut year = (day * 400).div_euclid(146_097) + 1;
    while before_year(year) >= day {
        year -= 1;
    }
    while before_year(year + 1) < day {
        year += 1;
    }
    let of_year = day - before_year(year);
    let month = (1..=12).rev().find(|&month| before_month(year, month) < of_year).unwrap_or(1);
    (year, month, of_year - before_month(year, month))
}

/// Returns the ISO 8601 year and week of the week that starts on `monday`.
pub(super) fn iso_week(monday: i64) -> (i64, i64) {
    // A week belongs to the year of its Thursday.
    let (year, _, _) = date_of(monday + 3);
    (year, (monday + 3 - day_of(year, 1, 1)).div_euclid(7) + 1)
}

/// Returns the day number of the Monday of an ISO 8601 week.
pub(super) fn monday_of(year: i64, week: i64) -> i64 {
    // 4 January is always in the first week.
    let fourth = day_of(year, 1, 4);
    fourth - (fourth - 1).rem_euclid(7) + 7 * (week - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates() {
        assert_eq!(day_of(1, 1, 1), 1);
        assert_eq!(day_of(1970, 1, 1), UNIX_EPOCH_DAY);
        assert_eq!(day_of(2000, 2, 29) + 1, day_of(2000, 3, 1));
        for day in (1..800_000).step_by(17).chain([-1000, 0, 1, 146_097, 3_652_059]) {
            let (year, month, of_month) = date_of(day);
            assert_eq!(day_of(year, month, of_month), day);
            assert!((1..=days_of(year, month)).contains(&of_month));
        }
    }

    #[test]
    fn weeks_of_iso() {
        for (date, week) in
            [((2021, 1, 4), (2021, 1)), ((2020, 12, 28), (2020, 53)), ((2024, 12, 30), (2025, 1))]
        {
            let day = day_of(date.0, date.1, date.2);
            assert_eq!((iso_week(day), monday_of(week.0, week.1)), (week, day));
        }
    }
}
