//! ATT and correction vectors of one comparison.

use serde::{Deserialize, Serialize};

use super::LogitMoments;
use crate::linear::{self, dot, times};
use crate::options::EstMethod;
use crate::outcome::{GramSums, OutcomeFit};

/// Everything the influence values of the treated or the controls of one side need. With e = Y − x'β (Y a difference or a
/// level) and p the propensity score, a row's value is
/// * treated: w {e (gain + x'u) + x'v + shift − (1 − p) x'q},
/// * control: −gain w_C (e − shift) + w p x'q − w e x'u.
///
/// This is FORMULAS §3.3 and §3.4 times n/N, with sums in place of means (N cancels). Empty vectors are zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Outcome regression.
    pub beta: Vec<f64>,
    /// ±n over the sum of the arm's weights.
    pub gain: f64,
    /// The constant that is added (treated), or the mean residual (controls).
    pub shift: f64,
    /// Effect of estimating the arm's own regression.
    pub u: Vec<f64>,
    /// Effect of estimating the propensity score: ±n H Σ w_C (e − θ) x / S_C.
    pub q: Vec<f64>,
    /// Slope of what the treated are predicted to change by.
    pub v: Vec<f64>,
}

impl Arm {
    /// The arm of a comparison that enters with a factor.
    pub fn scaled(&self, factor: f64, treated: bool) -> Self {
        let all = |values: &[f64]| values.iter().map(|v| v * factor).collect();
        Self {
            beta: self.beta.clone(),
            gain: self.gain * factor,
            shift: if treated { self.shift * factor } else { self.shift },
            u: all(&self.u),
            q: all(&self.q),
            v: all(&self.v),
        }
    }
}

/// Estimate of one comparison and the arms of its sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Estimate.
    pub att: f64,
    /// (treated, control) of every side.
    pub arms: Vec<[Arm; 2]>,
}

/// Sums and fits of one side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct SideSums<'a> {
    /// Cross products of the treated stratum.
    pub treated: &'a GramSums,
    /// Outcome regression on the controls.
    pub controls_fit: Option<&'a OutcomeFit>,
    /// Outcome regression on the treated.
    pub treated_fit: Option<&'a OutcomeFit>,
    /// Odds-weighted sums of the controls.
    pub moments: Option<&'a LogitMoments>,
    /// Column of the outcome, and of the one subtracted.
    pub outcome: (usize, usize),
    /// +1, or −1 on the pre side.
    pub sign: f64,
}

/// The fitted nuisances of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Nuisances<'a> {
    /// One side of differences, or the post and the pre side.
    pub sides: &'a [SideSums<'a>],
    /// Inverse of Σ w p (1 − p) x xᵀ over all sides; `None` for `reg`.
    pub hessian: Option<&'a faer::Mat<f64>>,
    /// Regressors.
    pub regressors: usize,
    /// Index of the ones column.
    pub ones: usize,
}

/// ATT and corrections for a sample of `n` units (rows in cross sections).
///
/// # Errors
/// The reason as a phrase where a sum of weights vanishes.
pub fn fit_comparison(
    method: EstMethod,
    nuisances: &Nuisances<'_>,
    n: f64,
) -> Result<Correction, &'static str> {
    let Nuisances { sides, regressors: k, ones, .. } = *nuisances;
    let fitted: Vec<Means> =
        sides.iter().map(|side| Means::of(method, side, k, ones)).collect::<Result<_, _>>()?;
    let mut out = Correction { att: 0.0, arms: vec![Default::default(); sides.len()] };
    for ((side, means), arms) in sides.iter().zip(&fitted).zip(&mut out.arms) {
        leading_terms(side, means, n, arms);
        out.att += side.sign * (means.theta_treated - means.theta_controls);
    }
    match sides {
        [_] => difference_terms(sides, &fitted, n, &mut out),
        _ => out.att += level_terms(method, sides, &fitted, n, &mut out),
    }
    if let Some(hessian) = nuisances.hessian {
        score_terms(hessian, sides, &fitted, n, &mut out);
    }
    if out.att.is_finite() { Ok(out) } else { Err("estimate is not a finite number") }
}

/// Weighted means of one side.
struct Means {
    beta: Vec<f64>,
    /// Sum of the weights of the treated.
    weight: f64,
    /// Mean covariates of the treated.
    treated: Vec<f64>,
    /// Odds-weighted mean covariates of the controls.
    controls: Vec<f64>,
    /// Sum of the odds weights of the controls.
    odds: f64,
    /// Mean residual of the treated.
    theta_treated: f64,
    /// Odds-weighted mean residual of the controls; 0 for `reg`.
    theta_controls: f64,
    /// Σ w_C (e − θ_C) x.
    residual: Vec<f64>,
}

impl Means {
    fn of(method: EstMethod, side: &SideSums<'_>, k: usize, ones: usize) -> Result<Self, &'static str> {
        let (time, base) = side.outcome;
        let columns = side.treated.shape.columns;
        let weight = side.treated.weighted[ones * columns + ones];
        if weight.is_nan() || weight <= 0.0 {
            return Err("treated units without weight");
        }
        let beta = side.controls_fit.map_or_else(|| vec![0.0; k], |fit| fit.difference(time, base));
        let treated: Vec<f64> =
            side.treated.weighted[ones * columns..ones * columns + k].iter().map(|s| s / weight).collect();
        let theta_treated = side.treated.outcome(ones, time, base) / weight - dot(&treated, &beta);
        let mut means = Means {
            beta,
            weight,
            treated,
            controls: Vec::new(),
            odds: 0.0,
            theta_treated,
            theta_controls: 0.0,
            residual: Vec::new(),
        };
        if method != EstMethod::Reg {
            means.weigh_controls(side.moments.ok_or("no propensity score")?, side.outcome, k, ones)?;
        }
        Ok(means)
    }

    fn weigh_controls(
        &mut self,
        moments: &LogitMoments,
        (time, base): (usize, usize),
        k: usize,
        ones: usize,
    ) -> Result<(), &'static str> {
        let (columns, periods) = (moments.shape.columns, moments.shape.periods);
        let odds = |i: usize, j: usize| moments.odds[i * columns + j];
        let outcome = |j: usize| moments.outcomes[j * periods + time] - moments.outcomes[j * periods + base];
        let weight = odds(ones, ones);
        if weight.is_nan() || weight <= 0.0 {
            return Err("no control with a propensity score below 0.995");
        }
        self.odds = weight;
        self.controls = (0..k).map(|j| odds(ones, j) / weight).collect();
        self.theta_controls = outcome(ones) / weight - dot(&self.controls, &self.beta);
        self.residual = (0..k)
            .map(|j| {
                let fitted: f64 = (0..k).map(|l| odds(j, l) * self.beta[l]).sum();
                outcome(j) - fitted - self.theta_controls * odds(j, ones)
            })
            .collect();
        Ok(())
    }
}

/// The Hájek means themselves.
fn leading_terms(side: &SideSums<'_>, means: &Means, n: f64, [treated, controls]: &mut [Arm; 2]) {
    treated.beta.clone_from(&means.beta);
    treated.gain = side.sign * n / means.weight;
    treated.shift = -treated.gain * means.theta_treated;
    controls.beta.clone_from(&means.beta);
    if means.odds > 0.0 {
        controls.gain = side.sign * n / means.odds;
        controls.shift = means.theta_controls;
    }
}

/// −ψ_γ E[w_C (e − θ) x]/E[w_C] of all sides.
fn score_terms(
    hessian: &faer::Mat<f64>,
    sides: &[SideSums<'_>],
    fitted: &[Means],
    n: f64,
    out: &mut Correction,
) {
    let k = hessian.nrows();
    let total: Vec<f64> = (0..k)
        .map(|j| {
            sides.iter().zip(fitted).map(|(side, means)| side.sign * means.residual[j] / means.odds).sum()
        })
        .collect();
    let q: Vec<f64> = times(hessian, &total).into_iter().map(|v| v * n).collect();
    for arms in &mut out.arms {
        for arm in arms {
            arm.q.clone_from(&q);
        }
    }
}

/// The regression on the controls of a difference (FORMULAS §3.3).
fn difference_terms(sides: &[SideSums<'_>], fitted: &[Means], n: f64, out: &mut Correction) {
    for ((side, means), [_, controls]) in sides.iter().zip(fitted).zip(&mut out.arms) {
        if let Some(fit) = side.controls_fit {
            controls.u = inverse_times(fit, &minus(&means.treated, &means.controls), n);
        }
    }
}

/// The regressions of levels (FORMULAS §3.4); returns what they add to the estimate.
fn level_terms(
    method: EstMethod,
    sides: &[SideSums<'_>],
    fitted: &[Means],
    n: f64,
    out: &mut Correction,
) -> f64 {
    match method {
        EstMethod::Ipw => 0.0,
        EstMethod::Reg => regression_levels(sides, fitted, n, out),
        EstMethod::Dr => doubly_robust_levels(sides, fitted, n, out),
    }
}

/// Mean covariates of the treated of both periods, and the sum of their weights.
fn pooled_treated(fitted: &[Means]) -> (Vec<f64>, f64) {
    let weight: f64 = fitted.iter().map(|m| m.weight).sum();
    let k = fitted.first().map_or(0, |m| m.treated.len());
    let mean = (0..k).map(|j| fitted.iter().map(|m| m.treated[j] * m.weight).sum::<f64>() / weight);
    (mean.collect(), weight)
}

/// `reg`: outcomes of the treated as they are, less the change that the controls predict for all the treated.
fn regression_levels(sides: &[SideSums<'_>], fitted: &[Means], n: f64, out: &mut Correction) -> f64 {
    let (mean, weight) = pooled_treated(fitted);
    let k = mean.len();
    let change: Vec<f64> =
        (0..k).map(|j| sides.iter().zip(fitted).map(|(s, m)| s.sign * m.beta[j]).sum()).collect();
    let predicted = dot(&mean, &change);
    let mut att = -predicted;
    for ((side, means), [treated, controls]) in sides.iter().zip(fitted).zip(&mut out.arms) {
        // The means of the treated are of outcomes here, not of residuals.
        let outcome = means.theta_treated + dot(&means.treated, &means.beta);
        att += side.sign * (outcome - means.theta_treated);
        treated.beta = vec![0.0; k];
        treated.shift = -treated.gain * outcome + n / weight * predicted;
        treated.v = change.iter().map(|c| -c * n / weight).collect();
        if let Some(fit) = side.controls_fit {
            controls.u = inverse_times(fit, &mean, side.sign * n);
        }
    }
    att
}

/// `dr`: the locally efficient estimator, with the sign of the pre-period regression as R has it (FORMULAS §3.4, quirk).
fn doubly_robust_levels(sides: &[SideSums<'_>], fitted: &[Means], n: f64, out: &mut Correction) -> f64 {
    let (mean, weight) = pooled_treated(fitted);
    let k = mean.len();
    // β of the treated less β of the controls, by side.
    let gaps: Vec<Vec<f64>> = sides
        .iter()
        .zip(fitted)
        .map(|(side, means)| {
            let (time, base) = side.outcome;
            side.treated_fit
                .map_or_else(|| vec![0.0; k], |fit| minus(&fit.difference(time, base), &means.beta))
        })
        .collect();
    let change: Vec<f64> =
        (0..k).map(|j| sides.iter().zip(&gaps).map(|(s, gap)| s.sign * gap[j]).sum()).collect();
    let predicted = dot(&mean, &change);
    let mut att = predicted;
    for (((side, means), gap), [treated, controls]) in sides.iter().zip(fitted).zip(&gaps).zip(&mut out.arms)
    {
        let own = dot(&means.treated, gap);
        att -= side.sign * own;
        // The residual from the treated's own regression takes the place of the one from the controls'.
        treated.beta = means.beta.iter().zip(gap).map(|(b, g)| b + g).collect();
        treated.shift = -treated.gain * (means.theta_treated - own) - n / weight * predicted;
        treated.v = change.iter().map(|c| c * n / weight).collect();
        if let Some(fit) = side.treated_fit {
            treated.u = inverse_times(fit, &minus(&mean, &means.treated), side.sign * n);
        }
        if let Some(fit) = side.controls_fit {
            let gap = if side.sign > 0.0 {
                minus(&mean, &means.controls)
            } else {
                (0..k).map(|j| 2.0 * means.treated[j] - mean[j] - means.controls[j]).collect()
            };
            controls.u = inverse_times(fit, &gap, n);
        }
    }
    att
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    if b.is_empty() { a.to_vec() } else { a.iter().zip(b).map(|(a, b)| a - b).collect() }
}

fn inverse_times(fit: &OutcomeFit, vector: &[f64], factor: f64) -> Vec<f64> {
    linear::times(&fit.inverse, vector).into_iter().map(|v| v * factor).collect()
}
