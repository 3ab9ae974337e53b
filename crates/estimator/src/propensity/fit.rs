//! Newton steps of a logit, one per round, and the guards of FORMULAS §2.4.

use std::borrow::Cow;

use faer::Mat;
use serde::{Deserialize, Serialize};

use super::LogitSums;
use crate::linear;

/// Index at which the trimming score 0.995 is reached: log(0.995/0.005).
pub const ODDS_LIMIT_SCORE: f64 = 5.293_304_824_724_492;
/// log(0.999/0.001): a score of the unweighted logit this large fails the overlap guard.
const OVERLAP_INDEX: f64 = 6.906_754_778_648_554;
/// Newton decrement, in standard errors, after which one more step ends the fit (the error left is below its square).
const LAST_STEP: f64 = 1e-6;
/// Error left, in standard errors, at which the fit ends; predicted from the last two decrements, as the error squares
/// with every step.
const ERROR_LEFT: f64 = 1e-9;
/// Second order of a step, relative to the first, up to which it is added.
const LARGEST_BEND: f64 = 0.1;
/// R's IRLS stop on the relative change of the deviance; it ends fits whose maximum lies at infinity.
const R_DEVIANCE_STOP: f64 = 1e-8;
/// Rounds after which R's looser stop applies.
const PATIENT_ROUNDS: usize = 8;
/// Rounds after which a fit counts as diverged.
const MAX_ROUNDS: usize = 60;

/// Index of the nearest rows where covariates separate treated and controls: the maximum lies at infinity, and scores this far
/// along the way are 0 and 1 to nine digits.
const FAR: f64 = 20.0;

/// A fitted logit, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LogitFit {
    /// Coefficients on the standardised scale.
    Fitted(Vec<f64>),
    /// Not estimable: the reason as a phrase.
    Failed(Cow<'static, str>),
}

/// The state of one logit between rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogitState {
    /// Coefficients that the next round evaluates.
    pub beta: Vec<f64>,
    /// Rounds done.
    pub round: usize,
    /// Set once no further round is needed.
    pub fit: Option<LogitFit>,
    /// Columns that enter; `None` for all.
    pub kept: Option<Vec<bool>>,
    /// Scores near 1 fail the fit: that of the unweighted logit in did. Weighted ones are trimmed in their place (FORMULAS §2.4), and
    /// triple differences have no such gate (FORMULAS §7.1).
    pub gated: bool,
    /// Multiplies the sums of a round: a power of two near 1 over the mean weight, so that stops don't depend on the weights' scale.
    pub unit: f64,
    /// Index of the ones column, if the design has one.
    pub intercept: Option<usize>,
    /// Coefficients that show the scores of a fit that was refused: at its maximum, or far on the way to it.
    pub refused: Option<Vec<f64>>,
    accepted: Option<Accepted>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Accepted {
    beta: Vec<f64>,
    deviance: f64,
    decrement: f64,
    step: Vec<f64>,
}

impl LogitState {
    /// Starts at `beta`.
    pub fn new(beta: Vec<f64>) -> Self {
        Self {
            beta,
            round: 0,
            fit: None,
            kept: None,
            gated: true,
            unit: 1.0,
            intercept: None,
            refused: None,
            accepted: None,
        }
    }

    /// A logit that can't be fitted.
    pub fn failed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { fit: Some(LogitFit::Failed(reason.into())), ..Self::new(Vec::new()) }
    }

    /// Returns true if another round is needed.
    pub fn is_active(&self) -> bool {
        self.fit.is_none()
    }

    /// The same coefficients at the start of a fit on other data.
    pub fn restart(&self, fallback: &[f64]) -> Self {
        let usable =
            matches!(&self.fit, None | Some(LogitFit::Fitted(_))) && self.beta.iter().all(|b| b.abs() < 30.0);
        let beta = if usable { self.beta.clone() } else { fallback.to_vec() };
        let (gated, unit, intercept) = (self.gated, self.unit, self.intercept);
        Self { kept: self.kept.clone(), gated, unit, intercept, ..Self::new(beta) }
    }

    /// Coefficients at which scores can be shown, of a fit or of one that was refused for its scores.
    pub fn reported_coefficients(&self) -> Option<&Vec<f64>> {
        match &self.fit {
            Some(LogitFit::Fitted(beta)) => Some(beta),
            _ => self.refused.as_ref(),
        }
    }

    /// Returns true if the logit has no fit, for its scores or for another reason.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.fit, Some(LogitFit::Failed(_)))
    }

    /// Moves the coefficients of the next round to where a better step leads than the last round's; nothing for a fit that has ended.
    pub fn step_to(&mut self, step: &[f64]) {
        let Some(accepted) = self.accepted.as_mut().filter(|_| self.fit.is_none()) else { return };
        accepted.step = step.to_vec();
        self.beta = accepted.beta.iter().zip(step).map(|(b, d)| b + d).collect();
    }

    /// Coefficients at which the last round that counts was evaluated.
    pub fn evaluated(&self) -> Option<&[f64]> {
        self.accepted.as_ref().map(|accepted| accepted.beta.as_slice())
    }

    fn refuse(&mut self, reason: &'static str, shown: Option<Vec<f64>>) {
        self.refused = shown.filter(|beta| beta.iter().all(|b| b.is_finite()));
        self.fit = Some(LogitFit::Failed(reason.into()));
    }
}

/// Takes the sums of a round at `state.beta` and moves on: a Newton step, half a step back where the deviance rose, or the end.
pub fn fit_step(state: &mut LogitState, sums: &LogitSums) {
    match state.unit {
        1.0 => step(state, sums),
        unit => step(state, &sums.scaled(unit)),
    }
}

fn step(state: &mut LogitState, sums: &LogitSums) {
    state.round += 1;
    if sums.least_treated > sums.greatest_control {
        let far = separating(state, sums);
        return state.refuse(no_overlap(state.gated), Some(far));
    }
    if let Some(accepted) = &mut state.accepted {
        let bound = accepted.deviance + 1e-9 * (accepted.deviance.abs() + 1.0);
        let rose = sums.deviance.is_nan() || sums.deviance > bound;
        if rose && state.round < MAX_ROUNDS {
            for (b, (start, s)) in state.beta.iter_mut().zip(accepted.beta.iter().zip(&mut accepted.step)) {
                *s *= 0.5;
                *b = start + *s;
            }
            return;
        }
    }
    let k = sums.gradient.len();
    let Some(inverse) = linear::inverse_of_kept_columns(&sums.hessian, k, state.kept.as_deref()) else {
        let shown = violates_overlap(sums).then(|| state.beta.clone());
        return state.refuse(reason_of_singularity(sums, state.gated), shown);
    };
    let mut step = linear::times(&inverse, &sums.gradient);
    let decrement = linear::dot(&step, &sums.gradient).max(0.0).sqrt();
    let at_infinity = state.round >= PATIENT_ROUNDS
        && decrement * decrement < R_DEVIANCE_STOP * (0.1 + sums.deviance.abs());
    let left = bend(&inverse, sums, &mut step, decrement);
    let converged = decrement <= LAST_STEP
        || left.is_some_and(|left| left <= ERROR_LEFT)
        || state.accepted.as_ref().is_some_and(|a| squares_away(a.decrement, decrement));
    state.accepted =
        Some(Accepted { beta: state.beta.clone(), deviance: sums.deviance, decrement, step: step.clone() });
    for (b, s) in state.beta.iter_mut().zip(&step) {
        *b += s;
    }
    if converged || at_infinity || state.round >= MAX_ROUNDS {
        if state.gated && violates_overlap(sums) {
            let shown = Some(state.beta.clone());
            state.refuse(no_overlap(true), shown);
        } else {
            state.fit = Some(LogitFit::Fitted(state.beta.clone()));
        }
    }
}

/// Adds the second order to a Newton step, where third derivatives tell it and it is small beside the first. Returns an estimate of
/// the error left, in standard errors: what follows in the series of the step.
fn bend(inverse: &Mat<f64>, sums: &LogitSums, step: &mut [f64], decrement: f64) -> Option<f64> {
    let k = step.len();
    let change = sums.hessian_change(step)?;
    let gradient: Vec<f64> = (0..k).map(|i| -0.5 * linear::dot(&change[i * k..(i + 1) * k], step)).collect();
    let second = linear::times(inverse, &gradient);
    let size = linear::dot(&second, &gradient).max(0.0).sqrt();
    if size.is_nan() || size > LARGEST_BEND * decrement {
        return None;
    }
    step.iter_mut().zip(&second).for_each(|(s, c)| *s += c);
    // The mean square of the change of the index, for columns of unit variance; it bounds the third order where the second vanishes.
    let widest = (0..k).map(|j| sums.hessian[j * k + j]).fold(0.0, f64::max);
    let index = decrement * decrement / widest;
    Some(if decrement > 0.0 { size * size / decrement + 2.0 * index * decrement } else { 0.0 })
}

/// The coefficients so far along the separating direction that the nearest rows have the index ±[`FAR`].
fn separating(state: &LogitState, sums: &LogitSums) -> Vec<f64> {
    let Some(intercept) = state.intercept else { return state.beta.clone() };
    let middle = (sums.least_treated + sums.greatest_control) / 2.0;
    let factor = FAR / (sums.least_treated - middle);
    let mut out: Vec<f64> = state.beta.iter().map(|b| b * factor).collect();
    if let Some(constant) = out.get_mut(intercept) {
        *constant -= middle * factor;
    }
    out
}

fn no_overlap(gated: bool) -> &'static str {
    if gated { "overlap condition violated" } else { "covariates separate treated and controls" }
}

/// Returns true if the step of decrement `now`, after one of `before`, leaves no error worth another round.
fn squares_away(before: f64, now: f64) -> bool {
    let rate = now / (before * before);
    before < 1.0 && now < 1e-2 && rate * now * now <= ERROR_LEFT
}

fn violates_overlap(sums: &LogitSums) -> bool {
    sums.greatest_control >= OVERLAP_INDEX || sums.greatest_treated >= OVERLAP_INDEX
}

/// A Hessian vanishes where scores have gone to 0 or 1, else because covariates are collinear.
fn reason_of_singularity(sums: &LogitSums, gated: bool) -> &'static str {
    if violates_overlap(sums) { no_overlap(gated) } else { "collinear covariates in the propensity score" }
}
