//! A result of `stagger` against a reference: every difference is noted, none stops the comparison.

use std::collections::BTreeMap;

use serde_json::Value;

/// Differences over many cases, and the closest calls.
#[derive(Debug, Default)]
pub struct Differences {
    /// What is different, one line each.
    pub problems: Vec<String>,
    /// Numbers compared.
    pub numbers: usize,
    /// Numbers of the reference that are not compared, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// By quantity: the largest difference, as a part of what is allowed, and its place.
    pub worst: BTreeMap<String, (f64, String)>,
}

/// What a difference is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Relative tolerance.
    pub relative: f64,
    /// The smallest magnitude that the tolerance is relative to.
    pub scale: f64,
}

impl Differences {
    /// Notes a difference that has no number.
    pub fn problem(&mut self, place: &str, text: impl AsRef<str>) {
        self.problems.push(format!("{place}: {}", text.as_ref()));
    }

    /// Counts a number of the reference that is not compared.
    pub fn leave_out(&mut self, why: &str) {
        *self.left_out.entry(why.to_owned()).or_default() += 1;
    }

    /// Compares two numbers; `NA` only equals `NA`.
    pub fn number(
        &mut self,
        place: &str,
        quantity: &str,
        ours: Option<f64>,
        reference: Option<f64>,
        allowed: Allowed,
    ) {
        self.numbers += 1;
        match (ours, reference) {
            (None, None) => {}
            (Some(ours), Some(reference)) => {
                let limit = allowed.relative * allowed.scale.max(reference.abs());
                let part = if ours == reference { 0.0 } else { (ours - reference).abs() / limit };
                if part > 1.0 || part.is_nan() {
                    self.problem(
                        place,
                        format!("{quantity} is {ours}, R has {reference} ({part:.3} of what is allowed)"),
                    );
                }
                let worst = self.worst.entry(quantity.to_owned()).or_insert((0.0, String::new()));
                if part > worst.0 {
                    *worst = (part, place.to_owned());
                }
            }
            _ => self.problem(place, format!("{quantity} is {}, R has {}", shown(ours), shown(reference))),
        }
    }

    /// Compares two vectors entry by entry; `scales` are the least magnitudes, one an entry.
    pub fn vector(
        &mut self,
        place: &str,
        quantity: &str,
        ours: &Value,
        reference: &Value,
        relative: f64,
        scales: &[f64],
    ) {
        let (ours, reference) = (entries(ours), entries(reference));
        if ours.len() != reference.len() {
            return self
                .problem(place, format!("{quantity} has {} entries, R has {}", ours.len(), reference.len()));
        }
        for (i, (ours, reference)) in ours.iter().zip(&reference).enumerate() {
            let allowed = Allowed { relative, scale: scales.get(i).copied().unwrap_or(0.0) };
            self.number(&format!("{place}[{i}]"), quantity, *ours, *reference, allowed);
        }
    }

    /// Adds the differences of another part of the work.
    pub fn merge(&mut self, other: Differences) {
        self.problems.extend(other.problems);
        self.numbers += other.numbers;
        for (why, count) in other.left_out {
            *self.left_out.entry(why).or_default() += count;
        }
        for (quantity, (part, place)) in other.worst {
            let worst = self.worst.entry(quantity).or_insert((0.0, String::new()));
            if part > worst.0 {
                *worst = (part, place);
            }
        }
    }

    /// The closest calls, one line a quantity, and what was left out.
    pub fn closest_calls(&self) -> String {
        let line = |(quantity, (part, place)): (&String, &(f64, String))| {
            format!("  {quantity:<16} {part:>8.4} of what is allowed  {place}\n")
        };
        let left_out = self.left_out.iter().map(|(why, count)| format!("  not compared: {count} × {why}\n"));
        self.worst.iter().map(line).chain(left_out).collect()
    }

    /// Fails the test if anything is different; shows the first forty.
    #[track_caller]
    pub fn assert_none(&self) {
        let shown: Vec<&str> = self.problems.iter().take(40).map(String::as_str).collect();
        assert!(self.problems.is_empty(), "{} differences:\n{}", self.problems.len(), shown.join("\n"));
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or("NA".to_owned(), |value| value.to_string())
}

/// A vector of numbers; R writes a vector of one as a number, and none as null.
pub fn entries(value: &Value) -> Vec<Option<f64>> {
    match value {
        Value::Array(items) => items.iter().map(Value::as_f64).collect(),
        Value::Null => Vec::new(),
        number => vec![number.as_f64()],
    }
}

/// A vector of numbers, `NA` as NaN.
pub fn floats(value: &Value) -> Vec<f64> {
    entries(value).into_iter().map(|entry| entry.unwrap_or(f64::NAN)).collect()
}

/// A matrix of numbers by rows, `NA` as NaN.
pub fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().map(|rows| rows.iter().map(floats).collect()).unwrap_or_default()
}

/// Compares two numbers of our own runs.
#[track_caller]
pub fn assert_close(what: &str, a: f64, b: f64, relative: f64, scale: f64) {
    let limit = relative * scale.abs().max(b.abs());
    assert!(
        a == b || (a - b).abs() <= limit || (a.is_nan() && b.is_nan()),
        "{what}: {a} and {b} differ by more than {limit:e}"
    );
}

/// Compares two vectors of our own runs, entry by entry; `NA` only equals `NA`.
#[track_caller]
pub fn assert_all_close(what: &str, a: &Value, b: &Value, relative: f64, scale: f64) {
    let (a, b) = (floats(a), floats(b));
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        assert_close(&format!("{what}[{i}]"), *a, *b, relative, scale);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EXACT: Allowed = Allowed { relative: 1e-9, scale: 0.0 };

    #[test]
    fn missing_equals_missing_only() {
        let mut d = Differences::default();
        d.number("a", "se", None, None, EXACT);
        assert!(d.problems.is_empty());
        d.number("a", "se", None, Some(0.0), EXACT);
        d.number("a", "se", Some(f64::NAN), Some(1.0), EXACT);
        assert_eq!(d.problems.len(), 2);
    }

    #[test]
    fn scale_keeps_small_numbers_from_being_judged_by_themselves() {
        let mut d = Differences::default();
        d.vector("a", "att", &json!([1e-12]), &json!([2e-12]), 1e-9, &[0.1]);
        assert!(d.problems.is_empty());
        d.vector("a", "att", &json!([1e-12]), &json!(2e-12), 1e-9, &[]);
        assert_eq!(d.problems.len(), 1);
    }

    #[test]
    fn lengths_must_agree() {
        let mut d = Differences::default();
        d.vector("a", "att", &json!([1.0, 2.0]), &json!([1.0]), 1e-9, &[]);
        assert_eq!(d.problems, ["a: att has 2 entries, R has 1"]);
    }
}
