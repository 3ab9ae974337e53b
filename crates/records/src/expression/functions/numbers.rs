//! Functions of numbers.

use arrow_array::Array;

use super::{Call, Found};
use crate::expression::evaluate::{at, wrong_type};
use crate::expression::values::Values;

fn map(call: &Call<'_>, compute: impl Fn(f64) -> f64) -> Found<Values> {
    let (node, values) = call.get("x");
    let numbers = values.numbers().ok_or_else(|| wrong_type(node, "numbers", values))?;
    Ok(Values::Number(numbers.into_iter().map(compute).collect()))
}

/// Applies a function that leaves whole numbers as they are.
fn map_decimals(call: &Call<'_>, compute: impl Fn(f64) -> f64) -> Found<Values> {
    match call.get("x").1 {
        Values::Integer(values) => Ok(Values::Integer(values.clone())),
        _ => map(call, compute),
    }
}

pub(super) fn abs(call: &Call<'_>) -> Found<Values> {
    match call.get("x").1 {
        Values::Integer(values) => {
            Ok(Values::Integer(values.iter().map(|v| v.map(i64::wrapping_abs)).collect()))
        }
        _ => map(call, f64::abs),
    }
}

pub(super) fn ceiling(call: &Call<'_>) -> Found<Values> {
    map_decimals(call, f64::ceil)
}

pub(super) fn floor(call: &Call<'_>) -> Found<Values> {
    map_decimals(call, f64::floor)
}

pub(super) fn trunc(call: &Call<'_>) -> Found<Values> {
    map_decimals(call, f64::trunc)
}

pub(super) fn exp(call: &Call<'_>) -> Found<Values> {
    map(call, libm::exp)
}

pub(super) fn sqrt(call: &Call<'_>) -> Found<Values> {
    map(call, f64::sqrt)
}

pub(super) fn log(call: &Call<'_>) -> Found<Values> {
    let Some((node, base)) = call.optional("base") else { return map(call, libm::log) };
    let bases = base.numbers().ok_or_else(|| wrong_type(node, "numbers", base))?;
    match bases.as_slice() {
        [base] => map(call, |x| libm::log(x) / libm::log(*base)),
        _ => Err(call.error("the base of log() must be one number")),
    }
}

pub(super) fn log10(call: &Call<'_>) -> Found<Values> {
    map(call, libm::log10)
}

pub(super) fn log2(call: &Call<'_>) -> Found<Values> {
    map(call, libm::log2)
}

pub(super) fn log1p(call: &Call<'_>) -> Found<Values> {
    map(call, libm::log1p)
}

pub(super) fn round(call: &Call<'_>) -> Found<Values> {
    let digits = match call.optional("digits") {
        None => 0,
        Some((node, values)) => match values.numbers().as_deref() {
            Some([digits]) if digits.abs() <= 300.0 => *digits as i32,
            _ => return Err(wrong_type(node, "numbers", values)),
        },
    };
    map_decimals(call, |x| round_to(x, digits))
}

/// Rounds to a number of decimals: to the nearer of the two neighbours, and to the even one if both are equally near.
fn round_to(x: f64, digits: i32) -> f64 {
    if digits == 0 || !x.is_finite() {
        return x.round_ties_even();
    }
    let scale = 10f64.powi(digits.abs());
    let (up, down) = match digits > 0 {
        true => ((x * scale).ceil(), (x * scale).floor()),
        false => ((x / scale).ceil(), (x / scale).floor()),
    };
    if !up.is_finite() {
        return x;
    }
    let back = |n: f64| if digits > 0 { n / scale } else { n * scale };
    let (above, below) = ((back(up) - x).abs(), (x - back(down)).abs());
    match above.partial_cmp(&below) {
        Some(std::cmp::Ordering::Less) => back(up),
        Some(std::cmp::Ordering::Equal) if up % 2.0 == 0.0 => back(up),
        _ => back(down),
    }
}

pub(super) fn as_numeric(call: &Call<'_>) -> Found<Values> {
    match call.get("x").1 {
        Values::Text(texts) => {
            Ok(Values::Number(texts.iter().map(|text| text.map_or(f64::NAN, parse)).collect()))
        }
        Values::Date(days) => {
            Ok(Values::Number(days.iter().map(|day| day.map_or(f64::NAN, f64::from)).collect()))
        }
        Values::Instant(times) => Ok(Values::Number(
            times.iter().map(|time| time.map_or(f64::NAN, |t| t as f64 / 1000.0)).collect(),
        )),
        _ => map(call, |x| x),
    }
}

/// Text that is no number is missing, as in R.
fn parse(text: &str) -> f64 {
    text.trim().parse().unwrap_or(f64::NAN)
}

pub(super) fn as_integer(call: &Call<'_>) -> Found<Values> {
    let whole = |x: f64| (x.is_finite() && x.abs() < 9.3e18).then(|| x.trunc() as i64);
    match call.get("x").1 {
        Values::Integer(values) => Ok(Values::Integer(values.clone())),
        Values::Text(texts) => {
            let one = |text: &str| text.trim().parse::<i64>().ok().or_else(|| whole(parse(text)));
            Ok(Values::Integer(texts.iter().map(|text| text.and_then(one)).collect()))
        }
        _ => match as_numeric(call)? {
            Values::Number(values) => Ok(Values::Integer(values.into_iter().map(whole).collect())),
            other => Ok(other),
        },
    }
}

pub(super) fn as_logical(call: &Call<'_>) -> Found<Values> {
    let (node, values) = call.get("x");
    if let Values::Text(texts) = values {
        let word = |row| match texts.is_valid(row).then(|| texts.value(row)) {
            Some("TRUE" | "true" | "T" | "True") => Some(true),
            Some("FALSE" | "false" | "F" | "False") => Some(false),
            _ => None,
        };
        return Ok(Values::Logical((0..texts.len()).map(word).collect()));
    }
    values.logicals().map(Values::Logical).ok_or_else(|| wrong_type(node, "logical values", values))
}

/// Returns the number of an argument in a row.
pub(super) fn number_at(values: &[f64], row: usize) -> Option<f64> {
    Some(at(values, row)).filter(|value| !value.is_nan())
}

#[cfg(test)]
mod tests {
    use super::round_to;

    #[test]
    fn rounding_is_that_of_r() {
        // R 4.4: round(c(0.5, 1.5, 2.5, -0.5)), round(c(0.15, 0.25, 2.675, 1234.5678), c(1, 1, 2, 2)), round(12345, -2)
        assert_eq!([0.5, 1.5, 2.5, -0.5].map(|x| round_to(x, 0)), [0.0, 2.0, 2.0, -0.0]);
        assert_eq!((round_to(0.15, 1), round_to(0.25, 1), round_to(2.675, 2)), (0.1, 0.2, 2.67));
        assert_eq!(
            (round_to(1234.5678, 2), round_to(12345.0, -2), round_to(12350.0, -2)),
            (1234.57, 12300.0, 12400.0)
        );
    }
}
