//! Functions of dates.

use arrow_array::StringArray;
use stagger_model::calendar::{UNIX_EPOCH_DAY as FIRST, date_of, day_of};

use super::{Call, Found};
use crate::expression::evaluate::wrong_type;
use crate::expression::values::{DAY, Values};

/// The names of months, by their first three letters.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// The formats that are tried if none is given.
const USUAL: [&str; 2] = ["%Y-%m-%d", "%Y/%m/%d"];

/// Returns the days of an argument.
fn days(call: &Call<'_>) -> Found<Vec<Option<i32>>> {
    let (node, values) = call.get("x");
    match values {
        Values::Date(days) => Ok(days.clone()),
        Values::Instant(times) => Ok(times.iter().map(|time| time.map(day_of_time)).collect()),
        Values::Missing(rows) => Ok(vec![None; *rows]),
        other => Err(wrong_type(node, "dates", other)),
    }
}

fn day_of_time(time: i64) -> i32 {
    time.div_euclid(DAY) as i32
}

fn parts(call: &Call<'_>, part: impl Fn(i64) -> i64) -> Found<Values> {
    let days = days(call)?;
    Ok(Values::Integer(days.into_iter().map(|day| day.map(|day| part(i64::from(day) + FIRST))).collect()))
}

pub(super) fn year(call: &Call<'_>) -> Found<Values> {
    parts(call, |day| date_of(day).0)
}

pub(super) fn month(call: &Call<'_>) -> Found<Values> {
    parts(call, |day| date_of(day).1)
}

pub(super) fn quarter(call: &Call<'_>) -> Found<Values> {
    parts(call, |day| (date_of(day).1 - 1) / 3 + 1)
}

pub(super) fn day(call: &Call<'_>) -> Found<Values> {
    parts(call, |day| date_of(day).2)
}

/// Weeks of seven days from 1 January, as lubridate counts them.
pub(super) fn week(call: &Call<'_>) -> Found<Values> {
    parts(call, |day| (day - day_of(date_of(day).0, 1, 1)) / 7 + 1)
}

pub(super) fn as_date(call: &Call<'_>) -> Found<Values> {
    let format = call.constant_text("format")?;
    if let Some(wrong) = format.as_deref().and_then(unknown_code) {
        let error = call.error(format!("as.Date() knows no %{wrong} in a format"));
        return Err(error.hint("%Y %y %m %d %b %B %H %M %S %j and %% are known"));
    }
    match call.get("x").1 {
        Values::Text(texts) => Ok(Values::Date(read(texts, format.as_deref()))),
        // A code of digits such as 12312006 that was read as a number.
        Values::Integer(values) if format.is_some() => {
            let texts: StringArray =
                values.iter().map(|value| value.map(|value| value.to_string())).collect();
            Ok(Values::Date(read(&texts, format.as_deref())))
        }
        other => match other.numbers() {
            Some(numbers) => {
                let day = |value: f64| (!value.is_nan()).then(|| value.floor() as i32);
                Ok(Values::Date(numbers.into_iter().map(day).collect()))
            }
            None => days(call).map(Values::Date),
        },
    }
}

fn read(texts: &StringArray, format: Option<&str>) -> Vec<Option<i32>> {
    let formats: Vec<Vec<char>> = match format {
        Some(format) => vec![format.chars().collect()],
        None => USUAL.iter().map(|format| format.chars().collect()).collect(),
    };
    let one = |text: &str| formats.iter().find_map(|format| parse(text, format));
    texts.iter().map(|text| text.and_then(one)).collect()
}

fn unknown_code(format: &str) -> Option<char> {
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter == '%' {
            let code = letters.next().unwrap_or(' ');
            if !"YymdejbBhHMSF%".contains(code) {
                return Some(code);
            }
        }
    }
    None
}

/// Reads a date by a format, as C's `strptime` does; what follows the date is ignored.
fn parse(text: &str, format: &[char]) -> Option<i32> {
    let mut rest = text.trim_start();
    let (mut year, mut month, mut day, mut of_year) = (None, 1, 1, None);
    let mut letters = format.iter();
    while let Some(&letter) = letters.next() {
        if letter.is_whitespace() {
            rest = rest.trim_start();
        } else if letter != '%' {
            rest = rest.strip_prefix(letter)?;
        } else {
            match *letters.next()? {
                'Y' => year = Some(digits(&mut rest, 4)?),
                'y' => year = Some(digits(&mut rest, 2).map(|y| if y < 69 { 2000 + y } else { 1900 + y })?),
                'm' => month = digits(&mut rest, 2)?,
                'd' | 'e' => day = digits(&mut rest, 2)?,
                'j' => of_year = Some(digits(&mut rest, 3)?),
                'b' | 'B' | 'h' => month = month_name(&mut rest)?,
                'H' | 'M' | 'S' => {
                    digits(&mut rest, 2)?;
                }
                'F' => {
                    year = Some(digits(&mut rest, 4)?);
                    rest = rest.strip_prefix('-')?;
                    month = digits(&mut rest, 2)?;
                    rest = rest.strip_prefix('-')?;
                    day = digits(&mut rest, 2)?;
                }
                other => rest = rest.strip_prefix(other)?,
            }
        }
    }
    let number = match of_year {
        Some(of_year) => day_of(year?, 1, 1) + of_year - 1,
        None => {
            let number = day_of(year?, month.clamp(1, 12), day);
            // The 31st of a shorter month is no date.
            (date_of(number) == (year?, month, day)).then_some(number)?
        }
    };
    i32::try_from(number - FIRST).ok()
}

/// Reads up to `most` digits.
fn digits(rest: &mut &str, most: usize) -> Option<i64> {
    *rest = rest.trim_start();
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let value = rest.get(..length)?.parse().ok()?;
    *rest = &rest[length..];
    Some(value)
}

fn month_name(rest: &mut &str) -> Option<i64> {
    const LONG: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let lower = rest.to_lowercase();
    let place = MONTHS.iter().position(|name| lower.starts_with(name))?;
    let length = if lower.starts_with(LONG[place]) { LONG[place].len() } else { 3 };
    *rest = rest.get(length..)?;
    Some(place as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_by_their_format() {
        let read = |text: &str, format: &str| parse(text, &format.chars().collect::<Vec<_>>());
        assert_eq!(read("1970-01-02", "%Y-%m-%d"), Some(1));
        assert_eq!(read("01022006", "%m%d%Y"), read("2006-01-02", "%F"));
        assert_eq!(read("31 December 1999 23:59", "%d %B %Y"), Some(10_956));
        assert_eq!(read("5jan99", "%d%b%y"), read("1999/01/05", "%Y/%m/%d"));
        assert_eq!(read("2020-060", "%Y-%j"), read("2020-02-29", "%F"));
        for wrong in ["2021-02-29", "2021-13-01", "x", "", "2021-1"] {
            assert_eq!(read(wrong, "%Y-%m-%d"), None, "{wrong}");
        }
    }
}
