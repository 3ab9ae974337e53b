//! Starts of the logits from a sample: the rows that the cross products of a pass bring along, a fit on them, and the step from there
//! that the sums over all rows and the curvature of the sample make together.

use serde::{Deserialize, Serialize};

use super::fit::{LogitState, fit_step};
use super::partial::{LogitSums, logistic, slope_shape};
use crate::block::Block;
use crate::cross_products::mirror;
use crate::linear::{dot, inverse_of_kept_columns, times};

/// Rounds on the sample, at most.
const SAMPLE_ROUNDS: usize = 25;
/// Iterations of [`StartSample::aim`], at most; each finds a digit or more.
const AIMS: usize = 16;
/// Change of the step, relative to it, at which the iterations end: what the sample leaves of it is larger.
const AIMED: f64 = 1e-9;
/// Change from the Newton step, relative to it, beyond which the sample is not believed.
const DOUBTFUL: f64 = 0.5;

/// Rows of a sample by key: a stratum in a frame. Single precision is enough, since they only choose where a fit evaluates its sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StartRows {
    /// Number of regressors.
    pub regressors: usize,
    /// By key: rows of (weight, regressors).
    pub keys: Vec<Vec<f32>>,
}

impl StartRows {
    /// No rows.
    pub fn new(keys: usize, regressors: usize) -> Self {
        Self { regressors, keys: vec![Vec::new(); keys] }
    }

    /// Takes the used ones of the first `rows` rows of a block.
    pub fn add_block(&mut self, key: usize, block: &Block<'_>, rows: usize) {
        let own = 0..block.design.rows().min(rows);
        for row in own.filter(|&row| block.used[row] > 0.0) {
            self.keys[key].push(block.weights[row] as f32);
            self.keys[key].extend((0..self.regressors).map(|j| block.design.col(j)[row] as f32));
        }
    }

    /// Appends the rows of the part of the data that follows.
    pub fn merge(&mut self, other: &Self) {
        self.keys.iter_mut().zip(&other.keys).for_each(|(a, b)| a.extend_from_slice(b));
    }

    fn rows(&self, key: usize) -> impl Iterator<Item = &[f32]> {
        self.keys[key].chunks_exact(self.regressors + 1)
    }
}

/// The part of a key in a logit.
#[derive(Clone, Copy, Debug)]
pub struct StartPart {
    /// Index of the key.
    pub key: usize,
    /// True for the treated.
    pub treated: bool,
    /// Sum over all rows of what is summed over the sample: of the weights, or of ones.
    pub total: f64,
    /// True if rows count by their weights.
    pub weighted: bool,
}

/// The rows of one logit, weighted so that they stand for all rows.
#[derive(Clone, Debug)]
pub struct StartSample {
    regressors: usize,
    /// Row by row.
    design: Vec<f64>,
    weights: Vec<f64>,
    treated: Vec<bool>,
}

impl StartSample {
    /// Gathers the rows of a logit; `None` where a part has none.
    pub fn gather(rows: &StartRows, parts: &[StartPart]) -> Option<Self> {
        let mut out = Self {
            regressors: rows.regressors,
            design: Vec::new(),
            weights: Vec::new(),
            treated: Vec::new(),
        };
        for part in parts.iter().filter(|part| part.total > 0.0) {
            let weight = |row: &[f32]| if part.weighted { f64::from(row[0]) } else { 1.0 };
            let sampled: f64 = rows.rows(part.key).map(weight).sum();
            if sampled.is_nan() || sampled <= 0.0 {
                return None;
            }
            for row in rows.rows(part.key) {
                out.design.extend(row[1..].iter().map(|x| f64::from(*x)));
                out.weights.push(weight(row) * part.total / sampled);
                out.treated.push(part.treated);
            }
        }
        Some(out)
    }

    /// Fits the logit on the sample, from where `state` is. Returns where to start on all rows, and true if the fit ended well.
    pub fn fit(&self, state: &LogitState) -> (LogitState, bool) {
        let mut tried = state.clone();
        for _ in 0..SAMPLE_ROUNDS {
            if !tried.is_active() {
                break;
            }
            let sums = self.sums(&tried.beta, false);
            fit_step(&mut tried, &sums);
        }
        (tried.restart(&state.beta), tried.reported_coefficients().is_some() && !tried.is_refused())
    }

    /// Returns the step from `beta` to the maximum of the likelihood over all rows, whose gradient, Hessian and third derivatives
    /// there are `full`; all higher derivatives are the sample's. `None` where that is no improvement to be believed.
    ///
    /// The root of g − Hd − T(d,d)/2 + R(d), where R is what the sample's gradient has beyond its own second order. An error
    /// of ε in the sample's derivatives and a start at the distance e leave ε e³.
    pub fn aim(&self, beta: &[f64], full: &LogitSums, kept: Option<&[bool]>) -> Option<Vec<f64>> {
        let k = self.regressors;
        let inverse = inverse_of_kept_columns(&full.hessian, k, kept)?;
        let own = self.sums(beta, true);
        let newton = times(&inverse, &full.gradient);
        let mut step = newton.clone();
        for _ in 0..AIMS {
            let (all, sample) = (full.hessian_change(&step)?, own.hessian_change(&step)?);
            let there: Vec<f64> = beta.iter().zip(&step).map(|(b, d)| b + d).collect();
            let moved = self.sums(&there, false).gradient;
            let gap: Vec<f64> = (0..k)
                .map(|i| {
                    let row = i * k..(i + 1) * k;
                    let linear =
                        dot(&own.hessian[row.clone()], &step) - dot(&full.hessian[row.clone()], &step);
                    let bent = dot(&sample[row.clone()], &step) - dot(&all[row], &step);
                    full.gradient[i] + moved[i] - own.gradient[i] + linear + bent / 2.0
                })
                .collect();
            let change = times(&inverse, &gap);
            step.iter_mut().zip(&change).for_each(|(d, c)| *d += c);
            if dot(&change, &change) <= AIMED * AIMED * dot(&step, &step) {
                break;
            }
        }
        let turned: f64 = step.iter().zip(&newton).map(|(a, b)| (a - b) * (a - b)).sum();
        // A step that is not a number is not believed either.
        (turned <= DOUBTFUL * DOUBTFUL * dot(&newton, &newton)).then_some(step)
    }

    /// The sums of a round over the sample.
    fn sums(&self, beta: &[f64], curved: bool) -> LogitSums {
        let k = self.regressors;
        let mut out = LogitSums {
            gradient: vec![0.0; k],
            hessian: vec![0.0; k * k],
            slopes: vec![0.0; if curved { slope_shape(k).len() } else { 0 }],
            deviance: 0.0,
            least_treated: f64::INFINITY,
            greatest_treated: f64::NEG_INFINITY,
            greatest_control: f64::NEG_INFINITY,
        };
        for ((x, weight), treated) in self.design.chunks_exact(k.max(1)).zip(&self.weights).zip(&self.treated)
        {
            out.add(x, *weight, *treated, dot(x, beta));
        }
        mirror(&mut out.hessian, k);
        out
    }
}

impl LogitSums {
    /// Adds a row whose index is `eta`, to the upper triangle of the Hessian.
    fn add(&mut self, x: &[f64], weight: f64, treated: bool, eta: f64) {
        let (p, q, tail) = logistic(eta);
        let residual = weight * if treated { q } else { -p };
        let variance = weight * p * q;
        let wrong = if treated { -eta } else { eta };
        self.deviance += 2.0 * weight * (wrong.max(0.0) + libm::log1p(tail));
        if treated {
            self.least_treated = self.least_treated.min(eta);
            self.greatest_treated = self.greatest_treated.max(eta);
        } else {
            self.greatest_control = self.greatest_control.max(eta);
        }
        let k = x.len();
        let mut slopes = self.slopes.iter_mut();
        for (a, own) in x.iter().enumerate() {
            self.gradient[a] += residual * own;
            for (sum, other) in self.hessian[a * k + a..(a + 1) * k].iter_mut().zip(&x[a..]) {
                *sum += variance * own * other;
            }
            let bend = variance * (q - p) * own;
            // Block a of the slopes has the products of the columns from a on, row by row.
            for (at, slope) in slopes.by_ref().take((k - a) * (k - a)).enumerate() {
                *slope += bend * x[a + at / (k - a)] * x[a + at % (k - a)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of an intercept and two covariates, treated by a logit of them.
    fn rows(count: usize, seed: u64) -> StartSample {
        let mut state = seed | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut out = StartSample { regressors: 3, design: vec![], weights: vec![], treated: vec![] };
        for _ in 0..count {
            let mut noise = || (0..6).map(|_| uniform()).sum::<f64>() * 1.41 - 4.24;
            let x = [1.0, noise(), noise()];
            let eta = dot(&x, &[-0.4, 0.5, -0.3]);
            out.design.extend(x);
            out.weights.push(1.0);
            out.treated.push(uniform() < 1.0 / (1.0 + libm::exp(-eta)));
        }
        out
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    #[test]
    fn all_rows_and_the_curvature_of_a_sample_lead_farther_than_a_newton_step() {
        let (all, sample) = (rows(60_000, 3), rows(6_000, 8));
        let (end, well) = all.fit(&LogitState::new(vec![0.0; 3]));
        let (start, started) = sample.fit(&LogitState::new(vec![0.0; 3]));
        assert!(well && started);
        let sums = all.sums(&start.beta, true);
        let newton = times(&inverse_of_kept_columns(&sums.hessian, 3, None).unwrap(), &sums.gradient);
        let aimed = sample.aim(&start.beta, &sums, None).unwrap();
        let after = |step: &[f64]| {
            distance(&start.beta.iter().zip(step).map(|(b, d)| b + d).collect::<Vec<f64>>(), &end.beta)
        };
        let (before, one, two) = (distance(&start.beta, &end.beta), after(&newton), after(&aimed));
        assert!(before < 0.1 && one < 0.1 * before && two < 0.01 * one, "{before} {one} {two}");
    }

    #[test]
    fn a_sample_of_other_rows_is_not_believed() {
        let (all, mut other) = (rows(5_000, 3), rows(500, 8));
        other.treated.iter_mut().for_each(|treated| *treated = !*treated);
        other.design.iter_mut().for_each(|x| *x *= 40.0);
        let start = vec![0.0; 3];
        let step = other.aim(&start, &all.sums(&start, true), None);
        assert!(step.is_none_or(|step| step.iter().all(|d| d.is_finite())), "no step that is none");
    }

    #[test]
    fn rows_are_appended_in_order_and_stand_for_all() {
        let mut rows = StartRows { regressors: 1, keys: vec![vec![2.0, 1.0], vec![]] };
        rows.merge(&StartRows { regressors: 1, keys: vec![vec![4.0, 3.0], vec![1.0, 5.0]] });
        assert_eq!(rows.keys, [vec![2.0, 1.0, 4.0, 3.0], vec![1.0, 5.0]]);
        let part = |key, treated, total| StartPart { key, treated, total, weighted: true };
        let sample = StartSample::gather(&rows, &[part(0, true, 12.0), part(1, false, 3.0)]).unwrap();
        assert_eq!((sample.weights, sample.design), (vec![4.0, 8.0, 3.0], vec![1.0, 3.0, 5.0]));
        assert!(StartSample::gather(&StartRows::new(1, 1), &[part(0, true, 1.0)]).is_none(), "no rows of it");
    }
}
