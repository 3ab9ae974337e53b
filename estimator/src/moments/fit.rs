//! ATT and correction vectors of one comparison.

use super::LogitMoments;
use crate::linear::{self, dot, times};
use crate::options::EstMethod;
use crate::outcome::{GramSums, OutcomeFit};

/// Everything the influence function of a comparison needs, so that with r = Y_t − Y_b − x'β a unit's value is
/// * treated: w {a (r − θ₁) − (1 − p) x'q},
/// * control: −c w_C (r − θ₀) + w p x'q − w r x'u.
///
/// This is FORMULAS §3.3 times n/N, with sums in place of means (N cancels).
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// θ₁ − θ₀.
    pub att: f64,
    /// Outcome regression of the difference on the controls; zero for `ipw`.
    pub beta: Vec<f64>,
    /// n H Σ w_C (r − θ₀) x / S_C: the effect of estimating the propensity score.
    pub q: Vec<f64>,
    /// n B (m_T − m_C): the effect of estimating the regression.
    pub u: Vec<f64>,
    /// Mean residual of the treated.
    pub theta1: f64,
    /// Odds-weighted mean residual of the controls.
    pub theta0: f64,
    /// n/S_T.
    pub a: f64,
    /// n/S_C; 0 for `reg`.
    pub c: f64,
}

/// The fitted nuisances of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Nuisances<'a> {
    /// Cross products of the treated stratum.
    pub treated: &'a GramSums,
    /// Outcome regression on the controls.
    pub outcome: Option<&'a OutcomeFit>,
    /// Odds-weighted sums of the controls.
    pub moments: Option<&'a LogitMoments>,
    /// Regressors.
    pub regressors: usize,
    /// Index of the ones column.
    pub ones: usize,
}

/// ATT and corrections of Y_time − Y_base for a sample of `n` units.
///
/// # Errors
/// The reason as a phrase where a sum of weights vanishes or a Hessian is singular.
pub fn fit_comparison(
    method: EstMethod,
    nuisances: &Nuisances<'_>,
    time: usize,
    base: usize,
    n: f64,
) -> Result<Correction, &'static str> {
    let Nuisances { treated, outcome, moments, regressors: k, ones } = *nuisances;
    let columns = treated.shape.columns;
    let weight = treated.weighted[ones * columns + ones];
    if weight.is_nan() || weight <= 0.0 {
        return Err("treated units without weight");
    }
    let beta = outcome.map_or_else(|| vec![0.0; k], |fit| fit.difference(time, base));
    let mean_treated: Vec<f64> =
        treated.weighted[ones * columns..ones * columns + k].iter().map(|s| s / weight).collect();
    let theta1 = treated.outcome(ones, time, base) / weight - dot(&mean_treated, &beta);
    let mut out = Correction {
        att: theta1,
        beta,
        q: vec![0.0; k],
        u: vec![0.0; k],
        theta1,
        theta0: 0.0,
        a: n / weight,
        c: 0.0,
    };
    let mut gap = mean_treated;
    if method != EstMethod::Reg {
        let moments = moments.ok_or("no propensity score")?;
        let mean_controls = weigh_controls(&mut out, moments, (k, ones), (time, base), n)?;
        for (g, m) in gap.iter_mut().zip(&mean_controls) {
            *g -= m;
        }
    }
    if let Some(fit) = outcome {
        out.u = times(&fit.inverse, &gap).into_iter().map(|v| v * n).collect();
    }
    out.att = out.theta1 - out.theta0;
    if out.att.is_finite() { Ok(out) } else { Err("estimate is not a finite number") }
}

/// Fills θ₀, c and q; returns the odds-weighted mean of the covariates.
fn weigh_controls(
    out: &mut Correction,
    moments: &LogitMoments,
    (k, ones): (usize, usize),
    (time, base): (usize, usize),
    n: f64,
) -> Result<Vec<f64>, &'static str> {
    let (columns, periods) = (moments.shape.columns, moments.shape.periods);
    let odds = |i: usize, j: usize| moments.odds[i * columns + j];
    let outcome = |j: usize| moments.outcomes[j * periods + time] - moments.outcomes[j * periods + base];
    let weight = odds(ones, ones);
    if weight.is_nan() || weight <= 0.0 {
        return Err("no control with a propensity score below 0.995");
    }
    let mean: Vec<f64> = (0..k).map(|j| odds(ones, j) / weight).collect();
    out.theta0 = outcome(ones) / weight - dot(&mean, &out.beta);
    let residual: Vec<f64> = (0..k)
        .map(|j| {
            let fitted: f64 = (0..k).map(|l| odds(j, l) * out.beta[l]).sum();
            outcome(j) - fitted - out.theta0 * odds(j, ones)
        })
        .collect();
    let hessian = linear::inverse(&moments.hessian, k).ok_or("singular Hessian of the propensity score")?;
    out.q = times(&hessian, &residual).into_iter().map(|v| v * n / weight).collect();
    out.c = n / weight;
    Ok(mean)
}
