//! Functions that choose among values: `ifelse`, `coalesce`, `c`, `cut`, `pmin`, `pmax`, `is.na`.

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, StringArray};

use super::numbers::number_at;
use super::text::number_text;
use super::{Call, Found};
use crate::expression::error::ExpressionError;
use crate::expression::evaluate::{at, wrong_type};
use crate::expression::parse::Node;
use crate::expression::values::Values;

pub(super) fn is_na(call: &Call<'_>) -> Found<Values> {
    Ok(Values::Logical(call.get("x").1.missing().into_iter().map(Some).collect()))
}

/// Returns values in the narrowest type that holds all of them.
fn unified(values: &[(&Node, &Values)]) -> Found<Vec<Values>> {
    let numeric = values.iter().all(|(_, v)| v.numbers().is_some());
    let whole = values.iter().all(|(_, v)| v.integers().is_some());
    let logical = values.iter().all(|(_, v)| matches!(v, Values::Logical(_) | Values::Missing(_)));
    let missing = values.iter().all(|(_, v)| matches!(v, Values::Missing(_)));
    if missing || logical {
        return Ok(values.iter().map(|(_, v)| Values::Logical(v.logicals().unwrap_or_default())).collect());
    }
    if whole {
        return Ok(values.iter().map(|(_, v)| Values::Integer(v.integers().unwrap_or_default())).collect());
    }
    if numeric {
        return Ok(values.iter().map(|(_, v)| Values::Number(v.numbers().unwrap_or_default())).collect());
    }
    let Some((_, first)) = values.iter().find(|(_, v)| !matches!(v, Values::Missing(_))) else {
        return Ok(Vec::new());
    };
    let own = |(node, value): &(&Node, &Values)| match (value, first) {
        (Values::Missing(rows), Values::Text(_)) => Ok(Values::Text(StringArray::new_null(*rows))),
        (Values::Missing(rows), Values::Date(_)) => Ok(Values::Date(vec![None; *rows])),
        (Values::Missing(rows), Values::Instant(_)) => Ok(Values::Instant(vec![None; *rows])),
        (a, b) if std::mem::discriminant(*a) == std::mem::discriminant(b) => Ok((*a).clone()),
        (a, b) => Err(ExpressionError::new(
            node.position,
            node.length,
            format!("{} can't stand beside {} here", a.kind(), b.kind()),
        )
        .hint("as.character() and as.numeric() make one type of both")),
    };
    values.iter().map(own).collect()
}

/// Takes from each row the value of the operand that `which` chooses; a missing value where it chooses none.
fn pick(values: &[Values], rows: usize, which: impl Fn(usize) -> Option<usize>) -> Values {
    macro_rules! take {
        ($kind:ident, $missing:expr) => {{
            let all: Vec<_> = values
                .iter()
                .filter_map(|v| if let Values::$kind(own) = v { Some(own) } else { None })
                .collect();
            Values::$kind(
                (0..rows).map(|row| which(row).map_or($missing, |place| at(all[place], row))).collect(),
            )
        }};
    }
    match values.first() {
        None | Some(Values::Missing(_)) => Values::Missing(rows),
        Some(Values::Logical(_)) => take!(Logical, None),
        Some(Values::Integer(_)) => take!(Integer, None),
        Some(Values::Number(_)) => take!(Number, f64::NAN),
        Some(Values::Date(_)) => take!(Date, None),
        Some(Values::Instant(_)) => take!(Instant, None),
        Some(Values::Text(_)) => {
            let mut out = StringBuilder::new();
            for row in 0..rows {
                let text = which(row).and_then(|place| match &values[place] {
                    Values::Text(texts) => {
                        let row = if texts.len() == 1 { 0 } else { row };
                        texts.is_valid(row).then(|| texts.value(row))
                    }
                    _ => None,
                });
                out.append_option(text);
            }
            Values::Text(out.finish())
        }
    }
}

pub(super) fn if_else(call: &Call<'_>) -> Found<Values> {
    let (node, test) = call.get("test");
    let test = test.logicals().ok_or_else(|| wrong_type(node, "logical values", test))?;
    let both = unified(&[call.get("yes"), call.get("no")])?;
    let rows = both.iter().map(Values::len).chain([test.len()]).find(|rows| *rows != 1).unwrap_or(1);
    Ok(pick(&both, rows, |row| at(&test, row).map(|yes| usize::from(!yes))))
}

fn rest<'a>(call: &'a Call<'_>) -> Vec<(&'a Node, &'a Values)> {
    call.rest.iter().map(|(node, values)| (*node, values)).collect()
}

/// Returns the number of rows of operands, of which some stand for all rows.
fn common_rows(values: &[Values]) -> usize {
    values.iter().map(Values::len).find(|rows| *rows != 1).unwrap_or(1)
}

pub(super) fn coalesce(call: &Call<'_>) -> Found<Values> {
    let values = unified(&rest(call))?;
    let missing: Vec<Vec<bool>> = values.iter().map(Values::missing).collect();
    Ok(pick(&values, common_rows(&values), |row| missing.iter().position(|own| !at(own, row))))
}

/// `c(…)` of constants, for `%in%` and `cut`.
pub(super) fn combine(call: &Call<'_>) -> Found<Values> {
    let values = unified(&rest(call))?;
    if call.rest.iter().any(|(_, values)| values.len() != 1) {
        return Err(call
            .error("c() combines constants, not columns")
            .hint("write the values: c(\"a\", \"b\")"));
    }
    Ok(pick(&values.clone(), values.len(), Some))
}

pub(super) fn pmin(call: &Call<'_>) -> Found<Values> {
    extreme(call, std::cmp::Ordering::Less)
}

pub(super) fn pmax(call: &Call<'_>) -> Found<Values> {
    extreme(call, std::cmp::Ordering::Greater)
}

fn extreme(call: &Call<'_>, wanted: std::cmp::Ordering) -> Found<Values> {
    let values = unified(&rest(call))?;
    let skip = call.flag("na.rm", false)?;
    let rows = common_rows(&values);
    let keys: Option<Vec<Vec<f64>>> = values.iter().map(order_keys).collect();
    let keys = keys.ok_or_else(|| call.error("text has no smallest or largest value here"))?;
    Ok(pick(&values, rows, |row| {
        let mut best: Option<usize> = None;
        for (place, own) in keys.iter().enumerate() {
            let value = at(own, row);
            match best {
                _ if value.is_nan() && skip => {}
                _ if value.is_nan() => return None,
                Some(known) if value.partial_cmp(&at(&keys[known], row)) != Some(wanted) => {}
                _ => best = Some(place),
            }
        }
        best
    }))
}

/// Returns numbers and dates as numbers of the same order.
fn order_keys(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::Date(days) => Some(days.iter().map(|day| day.map_or(f64::NAN, f64::from)).collect()),
        Values::Instant(times) => {
            Some(times.iter().map(|time| time.map_or(f64::NAN, |t| t as f64)).collect())
        }
        other => other.numbers(),
    }
}

/// `cut(x, breaks)`: intervals closed on the right, labelled as R labels them.
pub(super) fn cut(call: &Call<'_>) -> Found<Values> {
    let (node, x) = call.get("x");
    let x = x.numbers().ok_or_else(|| wrong_type(node, "numbers", x))?;
    let (node, breaks) = call.get("breaks");
    let mut breaks = breaks.numbers().ok_or_else(|| wrong_type(node, "numbers", breaks))?;
    breaks.sort_by(f64::total_cmp);
    if breaks.len() < 2
        || breaks.windows(2).any(|pair| pair[0] == pair[1])
        || breaks.iter().any(|b| b.is_nan())
    {
        return Err(ExpressionError::new(
            node.position,
            node.length,
            "breaks must be two or more different numbers",
        )
        .hint("cut(x, c(0, 10, 20, Inf))"));
    }
    let (right, lowest) = (call.flag("right", true)?, call.flag("include.lowest", false)?);
    let labels = labels(call, &breaks, right)?;
    let place = |value: f64| {
        let after = if right {
            breaks.partition_point(|b| *b < value)
        } else {
            breaks.partition_point(|b| *b <= value)
        };
        let edge = if right { value == breaks[0] } else { value == breaks[breaks.len() - 1] };
        match (after.checked_sub(1).filter(|place| *place < labels.len()), lowest && edge) {
            (_, true) => Some(if right { 0 } else { labels.len() - 1 }),
            (place, false) => place,
        }
    };
    let mut out = StringBuilder::new();
    for row in 0..x.len() {
        out.append_option(number_at(&x, row).and_then(place).map(|place| labels[place].as_str()));
    }
    Ok(Values::Text(out.finish()))
}

fn labels(call: &Call<'_>, breaks: &[f64], right: bool) -> Found<Vec<String>> {
    let Some((node, given)) = call.optional("labels") else {
        let (open, close) = if right { ('(', ']') } else { ('[', ')') };
        let label =
            |pair: &[f64]| format!("{open}{},{}{close}", number_text(pair[0], 3), number_text(pair[1], 3));
        return Ok(breaks.windows(2).map(label).collect());
    };
    match given {
        Values::Text(texts) if texts.len() + 1 == breaks.len() => {
            Ok(texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
        }
        _ => Err(ExpressionError::new(
            node.position,
            node.length,
            format!("{} breaks need {} labels in quotes", breaks.len(), breaks.len() - 1),
        )),
    }
}
