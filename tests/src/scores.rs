//! Propensity scores, odds weights and balance by plain loops over rows: what `--diagnostics` is compared with.

use arrow_array::RecordBatch;
use stagger_test_support::tables::numbers;

/// Controls with a score from here on weigh nothing.
pub const TRIM: f64 = 0.995;

/// Columns that scores are made of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The covariates: `~ x1 + x2`.
    pub covariates: Vec<String>,
    x: Vec<Vec<f64>>,
    weight: Vec<f64>,
    time: Vec<f64>,
    group: Vec<f64>,
    eligible: Option<Vec<f64>>,
}

/// Treated and controls that are compared, one entry a row.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Rows of the design, the intercept first.
    pub x: Vec<Vec<f64>>,
    /// Sampling weights.
    pub weight: Vec<f64>,
    /// Who is treated.
    pub treated: Vec<bool>,
    /// Period of each row.
    pub time: Vec<f64>,
    /// The score of each row, from the maximum of the weighted likelihood.
    pub score: Vec<f64>,
}

impl Subject {
    /// Rows of weight 1. `gname` 0 is never treated.
    pub fn new(table: &RecordBatch, covariates: &[&str], tname: &str, gname: &str) -> Self {
        Self {
            covariates: covariates.iter().map(|&name| name.to_owned()).collect(),
            x: covariates.iter().map(|name| numbers(table, name)).collect(),
            weight: vec![1.0; table.num_rows()],
            time: numbers(table, tname),
            group: numbers(table, gname),
            eligible: None,
        }
    }

    /// Each row with the weight in this column.
    pub fn weighted(mut self, table: &RecordBatch, weightsname: &str) -> Self {
        self.weight = numbers(table, weightsname);
        self
    }

    /// Triple differences, by this column of zeros and ones.
    pub fn eligible(mut self, table: &RecordBatch, pname: &str) -> Self {
        self.eligible = Some(numbers(table, pname));
        self
    }

    /// The rows of a cohort and its controls, named as results name them, in these periods.
    pub fn groups(&self, group: f64, controls: &[String], periods: &[f64]) -> Groups {
        let controls: Vec<(f64, f64)> = controls.iter().map(|label| stratum(label)).collect();
        let mut out = Groups { x: vec![], weight: vec![], treated: vec![], time: vec![], score: vec![] };
        for row in (0..self.time.len()).filter(|&row| periods.contains(&self.time[row])) {
            let own = (self.group[row], self.eligible.as_ref().map_or(1.0, |eligible| eligible[row]));
            let treated = own == (group, 1.0);
            if treated || controls.contains(&own) {
                out.x.push(std::iter::once(1.0).chain(self.x.iter().map(|column| column[row])).collect());
                out.weight.push(self.weight[row]);
                out.treated.push(treated);
                out.time.push(self.time[row]);
            }
        }
        out.score = scores(&out.x, &out.weight, &out.treated);
        out
    }

    /// Cohorts of the table, ascending, without those never treated.
    pub fn cohorts(&self) -> Vec<f64> {
        distinct(self.group.iter().copied().filter(|group| *group > 0.0))
    }

    /// Periods of the table, ascending.
    pub fn periods(&self) -> Vec<f64> {
        distinct(self.time.iter().copied())
    }
}

/// Values in ascending order, each once.
pub fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Cohort and eligibility: `never`, `4`, `4 ineligible`.
fn stratum(label: &str) -> (f64, f64) {
    let (cohort, eligible) = label.strip_suffix(" ineligible").map_or((label, 1.0), |cohort| (cohort, 0.0));
    let cohort = if cohort == "never" { 0.0 } else { cohort.parse().expect("a cohort as label") };
    (cohort, eligible)
}

impl Groups {
    /// The rows of one period, with the scores that all rows gave.
    pub fn of_period(&self, period: f64) -> Groups {
        let rows: Vec<usize> = (0..self.time.len()).filter(|&row| self.time[row] == period).collect();
        Groups {
            x: rows.iter().map(|&row| self.x[row].clone()).collect(),
            weight: rows.iter().map(|&row| self.weight[row]).collect(),
            treated: rows.iter().map(|&row| self.treated[row]).collect(),
            time: rows.iter().map(|&row| self.time[row]).collect(),
            score: rows.iter().map(|&row| self.score[row]).collect(),
        }
    }

    fn side(&self, treated: bool) -> impl Iterator<Item = usize> + '_ {
        (0..self.treated.len()).filter(move |&row| self.treated[row] == treated)
    }

    /// Scores of the treated or the controls, ascending.
    pub fn sorted(&self, treated: bool) -> Vec<f64> {
        let mut scores: Vec<f64> = self.side(treated).map(|row| self.score[row]).collect();
        scores.sort_by(f64::total_cmp);
        scores
    }

    /// Weights by which rows enter: sampling weights of the treated, odds weights of the controls.
    pub fn entering(&self, treated: bool) -> Vec<f64> {
        self.side(treated).map(|row| self.weight[row] * if treated { 1.0 } else { self.odds(row) }).collect()
    }

    fn odds(&self, row: usize) -> f64 {
        let p = self.score[row];
        if p < TRIM { p / (1.0 - p) } else { 0.0 }
    }

    /// Standardised mean differences of column `j` of the design, before and after weighting by the odds.
    pub fn differences(&self, j: usize) -> [f64; 2] {
        let column = |treated: bool| self.side(treated).map(|row| self.x[row][j]).collect::<Vec<_>>();
        let sampling = |treated: bool| self.side(treated).map(|row| self.weight[row]).collect::<Vec<_>>();
        let (treated, controls) = (column(true), column(false));
        let (mean, variance) = moments(&treated, &sampling(true));
        let (before, others) = moments(&controls, &sampling(false));
        let (after, _) = moments(&controls, &self.entering(false));
        let spread = ((variance + others) / 2.0).sqrt();
        [(mean - before) / spread, (mean - after) / spread]
    }

    /// 1-norm condition number of the controls' XᵀX for a design of an intercept and one column: [[n, s], [s, q]] has the
    /// inverse [[q, −s], [−s, n]]/(nq − s²), so it is the square of the largest column sum over the determinant.
    pub fn condition(&self) -> f64 {
        let (mut n, mut s, mut q) = (0.0, 0.0, 0.0);
        for row in self.side(false) {
            let x = self.x[row][1];
            (n, s, q) = (n + 1.0, s + x, q + x * x);
        }
        let norm = f64::max(n + f64::abs(s), f64::abs(s) + q);
        norm * norm / (n * q - s * s)
    }
}

/// Weighted mean and variance, the latter around the mean and over Σw.
pub fn moments(values: &[f64], weights: &[f64]) -> (f64, f64) {
    let total: f64 = weights.iter().sum();
    let mean = values.iter().zip(weights).map(|(x, w)| w * x).sum::<f64>() / total;
    let variance = values.iter().zip(weights).map(|(x, w)| w * (x - mean).powi(2)).sum::<f64>() / total;
    (mean, variance)
}

/// (Σw)²/Σw².
pub fn effective(weights: &[f64]) -> f64 {
    weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>()
}

/// The index η of a score.
#[expect(clippy::disallowed_methods, reason = "compared within a tolerance")]
pub fn index(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// Newton's method on the weighted likelihood of a logit, from zero; the step that no longer moves is the last.
#[expect(clippy::disallowed_methods, reason = "compared within a tolerance")]
fn scores(x: &[Vec<f64>], weight: &[f64], treated: &[bool]) -> Vec<f64> {
    let k = x.first().map_or(0, Vec::len);
    let mut beta = vec![0.0; k];
    let score = |beta: &[f64], row: &[f64]| {
        let index: f64 = beta.iter().zip(row).map(|(b, x)| b * x).sum();
        1.0 / (1.0 + (-index).exp())
    };
    for _ in 0..50 {
        let mut system = vec![vec![0.0; k + 1]; k];
        for (i, row) in x.iter().enumerate() {
            let p = score(&beta, row);
            for a in 0..k {
                for b in 0..k {
                    system[a][b] += weight[i] * p * (1.0 - p) * row[a] * row[b];
                }
                system[a][k] += weight[i] * (f64::from(u8::from(treated[i])) - p) * row[a];
            }
        }
        let step = solve(system);
        beta.iter_mut().zip(&step).for_each(|(b, s)| *b += s);
        if step.iter().all(|s| s.abs() < 1e-13) {
            break;
        }
    }
    x.iter().map(|row| score(&beta, row)).collect()
}

/// Gauß–Jordan on [A | b], A positive definite.
fn solve(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let k = system.len();
    for pivot in 0..k {
        let lead = system[pivot].clone();
        for (_, line) in system.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
            let factor = line[pivot] / lead[pivot];
            line.iter_mut().zip(&lead).for_each(|(a, b)| *a -= factor * b);
        }
    }
    (0..k).map(|i| system[i][k] / system[i][i]).collect()
}

#[cfg(test)]
mod tests {
    use stagger_test_support::tables::{floats, ints, table};

    use super::*;

    /// Treated and controls by a covariate that is 0 or 1: scores are shares.
    #[test]
    fn a_saturated_logit_gives_shares() {
        let x = [0.0, 0.0, 0.0, 1.0, 1.0];
        let rows = table(vec![
            ("time", ints([1; 5])),
            ("group", ints([2, 0, 0, 2, 0])),
            ("x", floats(x)),
            ("w", floats([1.0, 1.0, 1.0, 3.0, 1.0])),
        ]);
        let subject = Subject::new(&rows, &["x"], "time", "group").weighted(&rows, "w");
        let groups = subject.groups(2.0, &["never".to_owned()], &[1.0]);
        for (score, expected) in groups.score.iter().zip([1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.75, 0.75]) {
            assert!((score - expected).abs() < 1e-12, "{score}, not {expected}");
        }
        // Odds 1/2, 1/2 and 3: the controls' mean is that of the treated.
        assert!(groups.differences(1)[1].abs() < 1e-12);
        assert!((effective(&groups.entering(false)) - 16.0 / 9.5).abs() < 1e-12);
        // [[3, 1], [1, 1]] has the inverse [[1, −1], [−1, 3]]/2.
        assert_eq!(groups.condition(), 8.0);
    }

    #[test]
    fn labels() {
        assert_eq!(stratum("never"), (0.0, 1.0));
        assert_eq!(stratum("2004 ineligible"), (2004.0, 0.0));
    }

    #[test]
    fn effective_sizes() {
        assert_eq!(effective(&[2.0, 2.0, 2.0]), 3.0);
        assert_eq!(effective(&[1.0, 0.0]), 1.0);
        assert_eq!(moments(&[1.0, 3.0], &[1.0, 3.0]), (2.5, 0.75));
    }
}
