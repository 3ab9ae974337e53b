//! Arithmetic and logic, with R's missing values. Whole numbers stay whole under `+ - * %% %/%`.

use super::error::{ExpressionError, Found};
use super::evaluate::{at, rows, wrong_type};
use super::parse::Node;
use super::values::Values;

pub(super) fn negative(node: &Node, values: Values) -> Found<Values> {
    match values {
        Values::Integer(values) => {
            Ok(Values::Integer(values.into_iter().map(|v| v.map(i64::wrapping_neg)).collect()))
        }
        other => match other.numbers() {
            Some(values) => Ok(Values::Number(values.into_iter().map(|v| -v).collect())),
            None => Err(wrong_type(node, "numbers", &other)),
        },
    }
}

pub(super) fn not(node: &Node, values: &Values) -> Found<Values> {
    let values = values.logicals().ok_or_else(|| wrong_type(node, "logical values", values))?;
    Ok(Values::Logical(values.into_iter().map(|v| v.map(|v| !v)).collect()))
}

/// `&` and `|`, in which `FALSE & NA` is `FALSE` and `TRUE | NA` is `TRUE`.
pub(super) fn logical(operator: &str, left: (&Node, &Values), right: (&Node, &Values)) -> Found<Values> {
    let own = |(node, values): (&Node, &Values)| {
        values.logicals().ok_or_else(|| wrong_type(node, "logical values", values))
    };
    let (a, b) = (own(left)?, own(right)?);
    let decided = operator.starts_with('|');
    let join = |row| match (at(&a, row), at(&b, row)) {
        (Some(x), _) | (_, Some(x)) if x == decided => Some(decided),
        (Some(_), Some(_)) => Some(!decided),
        _ => None,
    };
    Ok(Values::Logical((0..rows(a.len(), b.len())).map(join).collect()))
}

pub(super) fn binary(
    node: &Node,
    operator: &str,
    (left, a): (&Node, Values),
    (right, b): (&Node, Values),
) -> Found<Values> {
    if let Some(dates) = with_dates(operator, &a, &b) {
        return Ok(dates);
    }
    if let (Some(x), Some(y), true) = (a.integers(), b.integers(), !["/", "^"].contains(&operator))
        && !(matches!(a, Values::Missing(_)) && matches!(b, Values::Missing(_)))
    {
        return whole(node, operator, &x, &y);
    }
    let x = a.numbers().ok_or_else(|| wrong_type(left, "numbers", &a))?;
    let y = b.numbers().ok_or_else(|| wrong_type(right, "numbers", &b))?;
    let compute = |row| number(operator, at(&x, row), at(&y, row));
    Ok(Values::Number((0..rows(x.len(), y.len())).map(compute).collect()))
}

/// Dates and days: a date plus or minus days, and the days between two dates.
fn with_dates(operator: &str, a: &Values, b: &Values) -> Option<Values> {
    let day = |days: f64| (!days.is_nan()).then(|| days.floor() as i32);
    match (operator, a, b) {
        ("-", Values::Date(x), Values::Date(y)) => {
            let days = |row| match (at(x, row), at(y, row)) {
                (Some(x), Some(y)) => f64::from(x) - f64::from(y),
                _ => f64::NAN,
            };
            Some(Values::Number((0..rows(x.len(), y.len())).map(days).collect()))
        }
        ("+" | "-", Values::Date(x), other) => {
            let days = other.numbers()?;
            let sign = if operator == "+" { 1.0 } else { -1.0 };
            let sum = |row| Some(at(x, row)? as f64 + sign * at(&days, row)).and_then(day);
            Some(Values::Date((0..rows(x.len(), days.len())).map(sum).collect()))
        }
        ("+", other, Values::Date(_)) if !matches!(other, Values::Date(_)) => with_dates("+", b, other),
        _ => None,
    }
}

fn whole(node: &Node, operator: &str, x: &[Option<i64>], y: &[Option<i64>]) -> Found<Values> {
    let mut out = Vec::with_capacity(rows(x.len(), y.len()));
    for row in 0..rows(x.len(), y.len()) {
        let (Some(a), Some(b)) = (at(x, row), at(y, row)) else {
            out.push(None);
            continue;
        };
        let value = match operator {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            // The remainder has the sign of the divisor, and division rounds down.
            "%%" if b != 0 => {
                Some(a.wrapping_rem(b)).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
            }
            "%/%" if b != 0 => {
                a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })
            }
            _ => {
                out.push(None);
                continue;
            }
        };
        let overflow = || {
            ExpressionError::new(node.position, node.length, format!("{a} {operator} {b} exceeds 64 bits"))
                .hint("as.numeric() of one side computes with decimals")
        };
        out.push(Some(value.ok_or_else(overflow)?));
    }
    Ok(Values::Integer(out))
}

fn number(operator: &str, a: f64, b: f64) -> f64 {
    match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "^" => power(a, b),
        "%%" => a - (a / b).floor() * b,
        _ => (a / b).floor(),
    }
}

/// `x^y` as in R: 1 to any power and any number to the power 0 are 1, missing or not.
fn power(a: f64, b: f64) -> f64 {
    if a == 1.0 || b == 0.0 {
        1.0
    } else if b == 2.0 {
        a * a
    } else {
        libm::pow(a, b)
    }
}
