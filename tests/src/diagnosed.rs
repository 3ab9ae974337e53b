//! The diagnostics of a result against a logit that is refitted and plain loops over rows.

use serde_json::Value;

use crate::compare::{assert_close, floats};
use crate::scores::{Groups, Subject, TRIM, effective, index};

/// Inner quantiles of a score.
const INNER: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/// Width of a bin of the index, from whose middle a quantile is read.
const BIN: f64 = 0.025;
/// What weights by the odds of two fits of one logit may differ by.
const WEIGHTED: f64 = 1e-6;
/// Means and variances of one column, summed in another order.
pub const SUMMED: f64 = 1e-9;

/// The entries of `overlap` or `balance`.
#[track_caller]
pub fn entries<'a>(result: &'a Value, key: &str) -> &'a [Value] {
    result["diagnostics"][key].as_array().expect("diagnostics are lists")
}

/// A number, `NA` as NaN.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Labels of the controls.
#[track_caller]
pub fn labels(entry: &Value) -> Vec<String> {
    let items = entry["controls"].as_array().expect("labels");
    items.iter().map(|label| label.as_str().expect("a text").to_owned()).collect()
}

/// What is computed here and how it was asked for.
#[derive(Clone, Debug)]
pub struct Checked<'a> {
    what: &'a str,
    subject: Subject,
    levels: bool,
    weighted: bool,
}

impl<'a> Checked<'a> {
    /// A balanced panel: one entry a comparison.
    pub fn panel(what: &'a str, subject: Subject) -> Self {
        Self { what, subject, levels: false, weighted: true }
    }

    /// Pooled rows: an entry a comparison and period.
    pub fn levels(what: &'a str, subject: Subject) -> Self {
        Self::of(true, what, subject)
    }

    /// Either of them.
    pub fn of(levels: bool, what: &'a str, subject: Subject) -> Self {
        Self { levels, ..Self::panel(what, subject) }
    }

    /// Without a propensity score.
    pub fn regression(self) -> Self {
        Self { weighted: false, ..self }
    }

    /// Rows of one entry after another: in levels two entries, of two periods, have one logit.
    fn each<'v>(&self, entries: &'v [Value], mut check: impl FnMut(&str, &'v Value, &Groups)) {
        let together = if self.levels { 2 } else { 1 };
        assert!(!entries.is_empty() && entries.len().is_multiple_of(together), "{}: entries", self.what);
        for pair in entries.chunks(together) {
            // Covariates and weights of the panels here are constant in time: any period has them.
            let periods: Vec<f64> = match self.levels {
                true => pair.iter().map(|entry| number(&entry["period"])).collect(),
                false => self.subject.periods()[..1].to_vec(),
            };
            let all = self.subject.groups(number(&pair[0]["group"]), &labels(&pair[0]), &periods);
            for (entry, period) in pair.iter().zip(&periods) {
                assert_eq!(entry.get("period").is_some(), self.levels, "{}: period", self.what);
                assert_eq!(labels(entry), labels(&pair[0]), "{}: two sides of one logit", self.what);
                let place = format!(
                    "{} ({}, {}) {:?} {period}",
                    self.what,
                    entry["group"],
                    entry["time"],
                    labels(entry)
                );
                check(&place, entry, &all.of_period(*period));
            }
        }
    }

    /// Every entry of a result's diagnostics is what loops over rows give.
    #[track_caller]
    pub fn check(&self, result: &Value) {
        if self.weighted {
            self.each(entries(result, "overlap"), check_overlap);
        } else {
            assert!(entries(result, "overlap").is_empty(), "{}: no score, no overlap", self.what);
        }
        self.each(entries(result, "balance"), |place, entry, groups| {
            self.check_balance(place, entry, groups)
        });
    }

    fn check_balance(&self, place: &str, entry: &Value, groups: &Groups) {
        for (key, treated) in [("effective_treated", true), ("effective_controls", false)] {
            let expected = if self.weighted { effective(&groups.entering(treated)) } else { f64::NAN };
            assert_close(&format!("{place} {key}"), number(&entry[key]), expected, WEIGHTED, 0.0);
        }
        let covariates = entry["covariates"].as_array().expect("covariates");
        let names: Vec<&Value> = covariates.iter().map(|c| &c["name"]).collect();
        assert_eq!(names, self.subject.covariates.iter().collect::<Vec<_>>(), "{place}");
        for (j, covariate) in covariates.iter().enumerate() {
            let [before, after] = groups.differences(j + 1);
            let after = if self.weighted { after } else { f64::NAN };
            assert_close(&format!("{place} before"), number(&covariate["before"]), before, SUMMED, 1.0);
            assert_close(&format!("{place} after"), number(&covariate["after"]), after, WEIGHTED, 1.0);
        }
        let condition = number(&entry["condition"]);
        assert!(condition >= 1.0, "{place}: condition number {condition}");
        if covariates.len() == 1 {
            assert_close(&format!("{place} condition"), condition, groups.condition(), SUMMED, 0.0);
        }
    }
}

fn check_overlap(place: &str, entry: &Value, groups: &Groups) {
    for (key, treated) in [("treated", true), ("untreated", false)] {
        check_summary(&format!("{place} {key}"), &entry[key], &groups.sorted(treated));
    }
    let controls = groups.sorted(false);
    let trimmed = controls.iter().filter(|p| **p >= TRIM).count() as f64 / controls.len() as f64;
    assert_eq!(entry["trimmed"], trimmed, "{place}");
}

/// Counts, and quantiles within a bin of the order statistics.
fn check_summary(place: &str, summary: &Value, sorted: &[f64]) {
    let n = sorted.len();
    assert_eq!(summary["n"], n, "{place}");
    let histogram = floats(&summary["histogram"]);
    let total: f64 = histogram.iter().sum();
    assert_eq!((histogram.len(), total), (50, n as f64), "{place}");
    // A score at the edge of a bin may fall to either side.
    for (bin, count) in histogram.iter().enumerate() {
        let (low, high) = (bin as f64 / 50.0, (bin + 1) as f64 / 50.0);
        let within = |slack: f64| sorted.iter().filter(|p| **p >= low - slack && **p < high + slack).count();
        assert!(
            (within(-1e-9)..=within(1e-9)).contains(&(*count as usize)),
            "{place}: {count} from {low} to {high}"
        );
    }
    let quantiles = floats(&summary["quantiles"]);
    assert_eq!(quantiles.len(), INNER.len() + 2, "{place}");
    assert!(quantiles.is_sorted(), "{place}: {quantiles:?}");
    assert_close(&format!("{place} min"), quantiles[0], sorted[0], WEIGHTED, 0.0);
    assert_close(&format!("{place} max"), quantiles[8], sorted[n - 1], WEIGHTED, 0.0);
    for (level, quantile) in INNER.iter().zip(&quantiles[1..]) {
        let rank = (level * n as f64).ceil().max(1.0) as usize;
        let off = (index(*quantile) - index(sorted[rank - 1])).abs();
        assert!(
            off <= BIN / 2.0 + WEIGHTED,
            "{place}: the quantile {level} is {quantile}, not {}",
            sorted[rank - 1]
        );
    }
}
