//! From cross products to corrections: the solving between the stages.

use std::collections::BTreeMap;

use stagger_estimator::comparison::Comparison;
use stagger_estimator::linear::Standardization;
use stagger_estimator::moments::{Correction, LogitMoments, MomentsPartial, Nuisances, fit_comparison};
use stagger_estimator::outcome::{GramPartial, GramSums, OutcomeFit, fit_outcome, group_sums};
use stagger_estimator::propensity::{LogitFit, LogitState, PropensityPartial, fit_step};

use super::Progress;
use super::stages::Threads;
use crate::error::{EngineError, Result};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::task::StageInput;

/// Share of the shards, as a divisor, that logits are started on.
const SAMPLE: usize = 16;
/// Rounds on the sample; more gain nothing, as the sample's own error remains.
const SAMPLE_ROUNDS: usize = 4;
/// mean(D) from here on fails the overlap guard of a design without covariates (FORMULAS §2.4.2).
const OVERLAP: f64 = 0.999;

/// A plan with everything its influence values need.
pub(super) struct Fitted {
    pub(super) plan: Plan,
    /// By comparison: correction, or why there is none.
    pub(super) corrections: Vec<std::result::Result<Correction, &'static str>>,
    /// Coefficients by logit.
    pub(super) betas: Vec<Option<Vec<f64>>>,
}

/// Fits regressions, propensity scores and ATTs.
pub(super) fn fit(mut plan: Plan, invoker: &Threads<'_>, progress: &mut Progress<'_>) -> Result<Fitted> {
    plan.standardization = standardization(&plan, invoker)?;
    let gram = gram(invoker.stage(&plan, &StageInput::Gram, progress)?)?;
    let outcomes = fit_outcomes(&plan, &gram);
    let logits = fit_logits(&plan, &gram, invoker, progress)?;
    let betas: Vec<Option<Vec<f64>>> = logits
        .iter()
        .map(|fit| match fit {
            LogitFit::Fitted(beta) => Some(beta.clone()),
            LogitFit::Failed(_) => None,
        })
        .collect();
    let moments = moments(&plan, &betas, invoker, progress)?;
    let solver = Solver { plan: &plan, gram: &gram, outcomes: &outcomes, logits: &logits, moments: &moments };
    let corrections = plan.comparisons.comparisons.iter().map(|c| solver.correction(c)).collect();
    Ok(Fitted { plan, corrections, betas })
}

fn gram(partial: Partial) -> Result<GramPartial> {
    match partial {
        Partial::Gram(gram) => Ok(gram),
        _ => Err(EngineError::failed("the gram stage returned another stage's partial")),
    }
}

/// Centres and scales of the design, from the first shard: any constants do, but near the means and deviations the
/// normal equations keep their digits.
fn standardization(plan: &Plan, invoker: &Threads<'_>) -> Result<Standardization> {
    let raw = plan.standardization.clone();
    if plan.regressors() < 2 && raw.intercept.is_some() || plan.gram_keys.is_empty() {
        return Ok(raw);
    }
    let partial = gram(invoker.sample(plan, &StageInput::Gram, 1)?)?;
    let Some(sums) = group_sums(&partial, 0..plan.gram_keys.len()) else { return Ok(raw) };
    let (columns, ones) = (plan.design_columns(), plan.ones());
    let count = sums.unweighted[ones * columns + ones];
    let mut out = raw;
    for j in 0..plan.regressors() {
        if Some(j) == out.intercept || count <= 0.0 {
            continue;
        }
        let mean = sums.unweighted[ones * columns + j] / count;
        let square = sums.unweighted[j * columns + j] / count;
        let spread = (square - mean * mean).max(0.0).sqrt();
        // A column that is constant in the sample keeps its place; only its size is taken out.
        let scale = if spread > 1e-8 * mean.abs() { spread } else { mean.abs() };
        if out.intercept.is_some() && spread > 1e-8 * mean.abs() {
            out.center[j] = mean;
        }
        out.scale[j] = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
    }
    Ok(out)
}

fn control_sums(plan: &Plan, gram: &GramPartial, control_set: usize, frame: usize) -> Option<GramSums> {
    let strata = &plan.comparisons.control_sets[control_set];
    group_sums(gram, strata.iter().filter_map(|&s| plan.gram_key(s, frame)))
}

fn fit_outcomes(plan: &Plan, gram: &GramPartial) -> Vec<std::result::Result<OutcomeFit, &'static str>> {
    plan.comparisons
        .regressions
        .iter()
        .map(|r| {
            let controls = control_sums(plan, gram, r.control_set, r.frame).ok_or("no control units")?;
            fit_outcome(&controls, plan.regressors(), &plan.standardization)
        })
        .collect()
}

/// Coefficients with the mean score and no slopes.
fn flat_start(plan: &Plan, gram: &GramPartial, logit: usize) -> Option<Vec<f64>> {
    let logit = &plan.comparisons.logits[logit];
    let treated = gram.key(plan.gram_key(logit.treated, logit.frame)?);
    let controls = control_sums(plan, gram, logit.control_set, logit.frame)?;
    let (columns, ones) = (plan.design_columns(), plan.ones());
    let total = |sums: &GramSums| {
        let matrix = if logit.weighted { &sums.weighted } else { &sums.unweighted };
        matrix[ones * columns + ones]
    };
    let (treated, controls) = (total(&treated), total(&controls));
    if !(treated > 0.0 && controls > 0.0) {
        return None;
    }
    let mut beta = vec![0.0; plan.regressors()];
    if let Some(intercept) = plan.standardization.intercept {
        beta[intercept] = libm::log(treated / controls);
    }
    Some(beta)
}

fn fit_logits(
    plan: &Plan,
    gram: &GramPartial,
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
) -> Result<Vec<LogitFit>> {
    let flat: Vec<Option<Vec<f64>>> =
        (0..plan.comparisons.logits.len()).map(|l| flat_start(plan, gram, l)).collect();
    let start = |beta: &Option<Vec<f64>>| match beta {
        Some(beta) => LogitState::new(beta.clone()),
        None => LogitState::failed("no units with positive weight"),
    };
    let mut states: Vec<LogitState> = flat.iter().map(start).collect();
    let sample = invoker.shards.len() / SAMPLE;
    if sample > 0 {
        let mut tried = states.clone();
        for _ in 0..SAMPLE_ROUNDS {
            let Some(input) = active_input(&tried) else { break };
            advance(&mut tried, invoker.sample(plan, &input, sample)?)?;
        }
        for ((state, tried), flat) in states.iter_mut().zip(&tried).zip(&flat) {
            if let (true, Some(flat)) = (state.active(), flat) {
                *state = tried.restarted(flat);
            }
        }
    }
    while let Some(input) = active_input(&states) {
        advance(&mut states, invoker.stage(plan, &input, progress)?)?;
    }
    Ok(states.into_iter().map(|s| s.fit.unwrap_or(LogitFit::Failed("propensity score not fitted"))).collect())
}

fn active_input(states: &[LogitState]) -> Option<StageInput> {
    let betas: Vec<Option<Vec<f64>>> = states.iter().map(|s| s.active().then(|| s.beta.clone())).collect();
    betas.iter().any(Option::is_some).then_some(StageInput::Propensity { betas })
}

fn advance(states: &mut [LogitState], partial: Partial) -> Result<()> {
    let Partial::Propensity(sums) = partial else {
        return Err(EngineError::failed("the propensity stage returned another stage's partial"));
    };
    advance_states(states, &sums);
    Ok(())
}

fn advance_states(states: &mut [LogitState], sums: &PropensityPartial) {
    for (index, state) in states.iter_mut().enumerate().filter(|(_, s)| s.active()) {
        fit_step(state, &sums.logit(index));
    }
}

/// Sums at the final coefficients of the logits that weight something; by logit.
fn moments(
    plan: &Plan,
    betas: &[Option<Vec<f64>>],
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
) -> Result<Vec<Option<LogitMoments>>> {
    let wanted: Vec<Option<Vec<f64>>> =
        betas.iter().zip(&plan.comparisons.logits).map(|(b, l)| b.clone().filter(|_| l.weighted)).collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(vec![None; betas.len()]);
    }
    let input = StageInput::Moments { betas: wanted.clone() };
    let Partial::Moments(sums) = invoker.stage(plan, &input, progress)? else {
        return Err(EngineError::failed("the moments stage returned another stage's partial"));
    };
    let of = |sums: &MomentsPartial, l: usize| wanted[l].as_ref().map(|_| sums.logit(l));
    Ok((0..betas.len()).map(|l| of(&sums, l)).collect())
}

struct Solver<'a> {
    plan: &'a Plan,
    gram: &'a GramPartial,
    outcomes: &'a [std::result::Result<OutcomeFit, &'static str>],
    logits: &'a [LogitFit],
    moments: &'a [Option<LogitMoments>],
}

impl Solver<'_> {
    /// The guards of FORMULAS §2.4 in R's order, then the estimate.
    fn correction(&self, c: &Comparison) -> std::result::Result<Correction, &'static str> {
        let plan = self.plan;
        for logit in [c.guard, c.logit].into_iter().flatten() {
            if let LogitFit::Failed(reason) = &self.logits[logit] {
                return Err(reason);
            }
        }
        let treated_units = plan.units[c.treated] as f64;
        let control_units: u64 =
            plan.comparisons.control_sets[c.control_set].iter().map(|&s| plan.units[s]).sum();
        if control_units == 0 {
            return Err("no control units");
        }
        if plan.guards_share && treated_units / (treated_units + control_units as f64) >= OVERLAP {
            return Err("overlap condition violated");
        }
        let outcome = match c.regression {
            Some(index) => Some(self.outcomes[index].as_ref().map_err(|reason| *reason)?),
            None => None,
        };
        let key = plan.gram_key(c.treated, c.frame).ok_or("no treated units")?;
        let treated = self.gram.key(key);
        let nuisances = Nuisances {
            treated: &treated,
            outcome,
            moments: c.logit.and_then(|l| self.moments[l].as_ref()),
            regressors: plan.regressors(),
            ones: plan.ones(),
        };
        fit_comparison(plan.method, &nuisances, c.time, c.base, plan.n as f64)
    }
}

/// Cells without an estimate, by reason.
pub(super) fn failures(fitted: &Fitted) -> BTreeMap<&'static str, Vec<usize>> {
    let mut out: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    let plan = &fitted.plan;
    for (comparison, result) in plan.comparisons.comparisons.iter().zip(&fitted.corrections) {
        if let Err(reason) = result {
            out.entry(reason).or_default().push(comparison.cell);
        }
    }
    for (index, cell) in plan.cells.iter().enumerate() {
        if !cell.reference && cell.controls.is_empty() {
            out.entry("no control units").or_default().push(index);
        }
    }
    out
}
