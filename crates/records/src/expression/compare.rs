//! Comparisons and `%in%`. Numbers are compared exactly, text by its bytes, dates also with text in ISO 8601.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow_array::{Array, StringArray};
use stagger_model::calendar::{PeriodValue, UNIX_EPOCH_DAY, parse_period};

use super::error::{ExpressionError, Found};
use super::evaluate::{at, rows};
use super::parse::Node;
use super::values::{DAY, Values};

/// Operands of one type.
enum Pair {
    Missing(usize),
    Whole(Vec<Option<i64>>, Vec<Option<i64>>),
    Numbers(Vec<f64>, Vec<f64>),
    Texts(StringArray, StringArray),
}

pub(super) fn compare(node: &Node, operator: &str, a: &Values, b: &Values) -> Found<Values> {
    let holds = |order: Ordering| match operator {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    };
    let compared = |order: Option<Ordering>| order.map(holds);
    Ok(Values::Logical(match pair(node, a, b)? {
        Pair::Missing(rows) => vec![None; rows],
        Pair::Whole(x, y) => {
            let order = |row| Some(at(&x, row)?.cmp(&at(&y, row)?));
            (0..rows(x.len(), y.len())).map(|row| compared(order(row))).collect()
        }
        Pair::Numbers(x, y) => {
            let order = |row| at(&x, row).partial_cmp(&at(&y, row));
            (0..rows(x.len(), y.len())).map(|row| compared(order(row))).collect()
        }
        Pair::Texts(x, y) => {
            let order = |row| Some(text(&x, row)?.cmp(text(&y, row)?));
            (0..rows(x.len(), y.len())).map(|row| compared(order(row))).collect()
        }
    }))
}

/// `x %in% table`; a missing value is in a table that holds one.
pub(super) fn is_in(node: &Node, a: &Values, table: &Values) -> Found<Values> {
    Ok(Values::Logical(match pair(node, a, table)? {
        Pair::Missing(_) => vec![Some(true); a.len()],
        Pair::Whole(x, y) => {
            let all: HashSet<Option<i64>> = y.into_iter().collect();
            x.into_iter().map(|value| Some(all.contains(&value))).collect()
        }
        Pair::Numbers(x, y) => {
            // Zeros of both signs are one number.
            let key = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
            let all: HashSet<u64> = y.into_iter().map(key).collect();
            x.into_iter().map(|value| Some(all.contains(&key(value)))).collect()
        }
        Pair::Texts(x, y) => {
            let all: HashSet<Option<&str>> = y.iter().collect();
            x.iter().map(|value| Some(all.contains(&value))).collect()
        }
    }))
}

fn text(values: &StringArray, row: usize) -> Option<&str> {
    let row = if values.len() == 1 { 0 } else { row };
    values.is_valid(row).then(|| values.value(row))
}

fn pair(node: &Node, a: &Values, b: &Values) -> Found<Pair> {
    if let (Values::Missing(x), Values::Missing(y)) = (a, b) {
        return Ok(Pair::Missing(rows(*x, *y)));
    }
    if let (Some(x), Some(y)) = (a.integers(), b.integers()) {
        return Ok(Pair::Whole(x, y));
    }
    if let (Some(x), Some(y)) = (a.numbers(), b.numbers()) {
        return Ok(Pair::Numbers(x, y));
    }
    if let (Some(x), Some(y)) = (moments(a), moments(b)) {
        return Ok(Pair::Whole(x, y));
    }
    match (a, b) {
        (Values::Text(x), Values::Text(y)) => Ok(Pair::Texts(x.clone(), y.clone())),
        (Values::Text(x), Values::Missing(rows)) => Ok(Pair::Texts(x.clone(), StringArray::new_null(*rows))),
        (Values::Missing(rows), Values::Text(y)) => Ok(Pair::Texts(StringArray::new_null(*rows), y.clone())),
        (Values::Text(x), dates) if moments(dates).is_some() => pair(node, &day_texts(node, x)?, dates),
        (dates, Values::Text(y)) if moments(dates).is_some() => pair(node, dates, &day_texts(node, y)?),
        _ => Err(ExpressionError::new(
            node.position,
            node.length,
            format!("{} can't be compared with {}", a.kind(), b.kind()),
        )
        .hint(match (a, b) {
            (Values::Text(_), _) | (_, Values::Text(_)) => {
                "as.numeric() makes numbers of text, as.character() text of numbers; numbers stand without quotes"
            }
            _ => "as.Date() makes dates, and year() numbers of dates",
        })),
    }
}

/// Returns dates and times in milliseconds.
fn moments(values: &Values) -> Option<Vec<Option<i64>>> {
    match values {
        Values::Date(days) => Some(days.iter().map(|day| day.map(|day| i64::from(day) * DAY)).collect()),
        Values::Instant(times) => Some(times.clone()),
        Values::Missing(rows) => Some(vec![None; *rows]),
        _ => None,
    }
}

/// Reads text beside dates as dates.
fn day_texts(node: &Node, texts: &StringArray) -> Found<Values> {
    let day = |text: Option<&str>| match text.map(parse_period) {
        None => Ok(None),
        Some(PeriodValue::Instant(day, _)) => Ok(i32::try_from(day - UNIX_EPOCH_DAY).ok()),
        Some(_) => Err(ExpressionError::new(
            node.position,
            node.length,
            format!("`{}` is no date that dates can be compared with", text.unwrap_or_default()),
        )
        .hint("dates are written \"2020-01-31\"; as.Date(x, \"%m/%d/%Y\") reads other forms")),
    };
    texts.iter().map(day).collect::<Found<Vec<Option<i32>>>>().map(Values::Date)
}
