//! Fits and corrections from the sums of a stage: the systems that are solved between the stages.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use stagger_estimator::comparison::{Comparison, Logit, RowModel};
use stagger_estimator::linear::{self, independent_columns};
use stagger_estimator::moments::{
    Arm, Correction, LogitMoments, MomentsPartial, Nuisances, SideSums, fit_comparison,
};
use stagger_estimator::outcome::{GramPartial, GramSums, OutcomeFit, fit_outcome, group_sums};
use stagger_estimator::propensity::{LogitFit, LogitState};

use super::cause::cause;
use crate::partial::OmegaSums;
use crate::plan::Plan;

/// Smallest mean(D) that fails the overlap guard of a design without covariates (FORMULAS §2.4.2).
const OVERLAP: f64 = 0.999;

/// A fit, or the reason why there is none.
pub(super) type Fitted<T> = std::result::Result<T, Cow<'static, str>>;

/// Sets centres and scales of the design from a sample. Any constants are valid; near the means and deviations the
/// normal equations keep their digits.
pub(super) fn standardize(plan: &mut Plan, sample: &GramPartial) {
    let Some(sums) = group_sums(sample, 0..plan.sums.gram_keys.len()) else { return };
    let (columns, ones) = (plan.design_column_count(), plan.ones_column());
    let count = sums.unweighted[ones * columns + ones];
    let weight = sums.weighted[ones * columns + ones];
    if plan.model != RowModel::Differences
        && plan.regression.standardization.intercept.is_some()
        && weight > 0.0
    {
        let mean = sums.outcome(ones, 1, 0) / weight;
        plan.regression.outcome_center = if mean.is_finite() { mean } else { 0.0 };
    }
    let out = &mut plan.regression.standardization;
    for j in 0..out.center.len() {
        if Some(j) == out.intercept || count <= 0.0 {
            continue;
        }
        let mean = sums.unweighted[ones * columns + j] / count;
        let square = sums.unweighted[j * columns + j] / count;
        let spread = (square - mean * mean).max(0.0).sqrt();
        // A column that is constant in the sample keeps its centre of 0; only its size is divided out.
        let scale = if spread > 1e-8 * mean.abs() { spread } else { mean.abs() };
        if out.intercept.is_some() && spread > 1e-8 * mean.abs() {
            out.center[j] = mean;
        }
        out.scale[j] = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
    }
}

/// Tells if constants other than 0 and 1 can be of use.
pub fn needs_standardization(plan: &Plan) -> bool {
    let covariates = plan.regressor_count() > 1 || plan.regression.standardization.intercept.is_none();
    (covariates || plan.model != RowModel::Differences) && !plan.sums.gram_keys.is_empty()
}

/// The cross products and everything that follows from them alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GramFits {
    pub(super) gram: GramPartial,
    /// Outcome regressions, by regression of the plan.
    outcomes: Vec<Fitted<OutcomeFit>>,
    /// By comparison: true for the columns that enter; `None` for all. Triple differences drop collinear covariates
    /// where did refuses them (FORMULAS §7.1).
    kept: Vec<Option<Vec<bool>>>,
}

impl GramFits {
    pub(super) fn new(plan: &Plan, gram: GramPartial) -> Self {
        let outcomes = plan
            .comparisons
            .regressions
            .iter()
            .map(|r| fit_regression(plan, &gram, r.set, r.frame, None))
            .collect();
        let everywhere = if plan.targets.two_period { None } else { kept_everywhere(plan, &gram) };
        let kept: Vec<Option<Vec<bool>>> = plan
            .comparisons
            .comparisons
            .iter()
            .map(|c| if plan.targets.two_period { kept_columns(plan, &gram, c) } else { everywhere.clone() })
            .collect();
        Self { gram, outcomes, kept }
    }

    /// Returns the warning on covariates that are left out.
    pub(super) fn warning(&self, plan: &Plan) -> Option<String> {
        let dropped = |j: &usize| self.kept.iter().flatten().any(|kept| !kept[*j]);
        let names: Vec<&str> = (0..plan.regressor_count())
            .filter(dropped)
            .map(|j| plan.regression.design.columns[j].name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("left out as collinear: {}", names.join(", ")))
    }

    /// Returns the starting states of the logits: the mean score and no slopes.
    pub(super) fn start_logits(&self, plan: &Plan) -> Vec<LogitState> {
        (0..plan.comparisons.logits.len())
            .map(|logit| {
                let Some(beta) = flat_start(plan, &self.gram, logit) else {
                    return LogitState::failed("no units with positive weight");
                };
                let enters = |c: &Comparison| c.logit == Some(logit) || c.guard == Some(logit);
                let comparison = plan.comparisons.comparisons.iter().position(enters);
                let kept = comparison.and_then(|c| self.kept[c].clone());
                let mut state = LogitState::new(beta);
                state.kept = kept;
                state.gated = gated(plan, &plan.comparisons.logits[logit]);
                state.unit = self.unit(plan, &plan.comparisons.logits[logit]);
                state.intercept = plan.regression.standardization.intercept;
                state
            })
            .collect()
    }

    /// Returns the sum of the weights, or the number, of the rows of a pair of stratum and frame.
    pub(super) fn weight(&self, plan: &Plan, key: usize, weighted: bool) -> f64 {
        let one = plan.ones_column() * plan.design_column_count() + plan.ones_column();
        let sums = self.gram.key(key);
        if weighted { sums.weighted[one] } else { sums.unweighted[one] }
    }

    /// Returns the number of rows that a logit is fitted on.
    pub(super) fn rows(&self, plan: &Plan, logit: &Logit) -> f64 {
        self.total(plan, logit, |sums, one| sums.unweighted[one])
    }

    /// Returns the power of two that brings the mean weight of a logit's rows nearest to 1.
    fn unit(&self, plan: &Plan, logit: &Logit) -> f64 {
        if !(plan.weights.weighted && logit.weighted) {
            return 1.0;
        }
        let mean = self.total(plan, logit, |sums, one| sums.weighted[one]) / self.rows(plan, logit);
        let exponent = -libm::ilogb(mean * std::f64::consts::SQRT_2);
        if mean.is_finite() && mean > 0.0 { libm::scalbn(1.0, exponent) } else { 1.0 }
    }

    fn total(&self, plan: &Plan, logit: &Logit, of: impl Fn(&GramSums, usize) -> f64) -> f64 {
        let one = plan.ones_column() * plan.design_column_count() + plan.ones_column();
        let sums = logit.frames.iter().flat_map(|&frame| {
            let treated = stratum_sums(plan, &self.gram, logit.treated, frame);
            [treated, set_sums(plan, &self.gram, logit.controls, frame)]
        });
        sums.flatten().map(|sums| of(&sums, one)).sum()
    }

    fn outcome(
        &self,
        plan: &Plan,
        comparison: usize,
        regression: Option<usize>,
    ) -> Fitted<Option<OutcomeFit>> {
        let Some(index) = regression else { return Ok(None) };
        if let Some(kept) = &self.kept[comparison] {
            let r = &plan.comparisons.regressions[index];
            return fit_regression(plan, &self.gram, r.set, r.frame, Some(kept)).map(Some);
        }
        self.outcomes[index].clone().map(Some)
    }
}

/// Tells if scores near 1 fail a logit. Only those of the unweighted logit do, which without weights serves as the
/// other as well (FORMULAS §2.4); in triple differences none do (§7.1).
fn gated(plan: &Plan, logit: &Logit) -> bool {
    !(plan.targets.triple || plan.weights.weighted && logit.weighted)
}

pub(super) fn set_sums(plan: &Plan, gram: &GramPartial, set: usize, frame: usize) -> Option<GramSums> {
    let strata = &plan.comparisons.sets[set];
    group_sums(gram, strata.iter().filter_map(|&s| plan.gram_key(s, frame)))
}

pub(super) fn stratum_sums(
    plan: &Plan,
    gram: &GramPartial,
    stratum: usize,
    frame: usize,
) -> Option<GramSums> {
    plan.gram_key(stratum, frame).map(|key| gram.key(key))
}

fn fit_regression(
    plan: &Plan,
    gram: &GramPartial,
    set: usize,
    frame: usize,
    kept: Option<&[bool]>,
) -> Fitted<OutcomeFit> {
    let sums = set_sums(plan, gram, set, frame).ok_or(Cow::Borrowed("no control units"))?;
    Ok(fit_outcome(&sums, plan.regressor_count(), &plan.regression.standardization, kept)?)
}

/// Columns that are not collinear in the sample, for triple differences of more than two periods (FORMULAS §7.3).
fn kept_everywhere(plan: &Plan, gram: &GramPartial) -> Option<Vec<bool>> {
    if !plan.targets.triple {
        return None;
    }
    let sums = group_sums(gram, 0..plan.sums.gram_keys.len())?;
    kept_of(plan, &sums)
}

/// Columns that are not collinear among the rows of a two-period comparison (FORMULAS §7.1).
fn kept_columns(plan: &Plan, gram: &GramPartial, comparison: &Comparison) -> Option<Vec<bool>> {
    let sums = comparison
        .sides
        .iter()
        .flat_map(|side| {
            let treated = stratum_sums(plan, gram, comparison.treated, side.frame);
            [treated, set_sums(plan, gram, comparison.controls, side.frame)]
        })
        .flatten()
        .reduce(|mut total, next| {
            total.add(&next);
            total
        })?;
    kept_of(plan, &sums)
}

fn kept_of(plan: &Plan, sums: &GramSums) -> Option<Vec<bool>> {
    let unweighted = linear::leading(&sums.unweighted, plan.design_column_count(), plan.regressor_count());
    let kept = independent_columns(&unweighted, plan.regressor_count(), &plan.regression.standardization);
    kept.contains(&false).then_some(kept)
}

fn flat_start(plan: &Plan, gram: &GramPartial, logit: usize) -> Option<Vec<f64>> {
    let logit = &plan.comparisons.logits[logit];
    let (columns, ones) = (plan.design_column_count(), plan.ones_column());
    let total = |sums: Option<GramSums>| {
        let sums = sums?;
        let matrix = if logit.weighted { &sums.weighted } else { &sums.unweighted };
        Some(matrix[ones * columns + ones])
    };
    let (mut treated, mut controls) = (0.0, 0.0);
    for &frame in &logit.frames {
        treated += total(stratum_sums(plan, gram, logit.treated, frame))?;
        controls += total(set_sums(plan, gram, logit.controls, frame))?;
    }
    if !(treated > 0.0 && controls > 0.0) {
        return None;
    }
    let mut beta = vec![0.0; plan.regressor_count()];
    if let Some(intercept) = plan.regression.standardization.intercept {
        beta[intercept] = libm::log(treated / controls);
    }
    Some(beta)
}

/// Fits and sums that the corrections of the comparisons are computed from.
pub(super) struct Solver<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fits: &'a GramFits,
    pub(super) logits: &'a [LogitFit],
    pub(super) moments: Option<&'a MomentsPartial>,
}

/// Numbers of rows of sets of controls in a frame, each counted once: thousands of cells share them.
type ControlRows = HashMap<(usize, usize), f64>;

impl Solver<'_> {
    /// Computes the corrections of all comparisons.
    pub(super) fn corrections(&self) -> Vec<Fitted<Correction>> {
        let mut rows = ControlRows::new();
        let found = |index| {
            let found = self.correction(index, &mut rows);
            found.map_err(|reason| cause(self.plan, self.fits, index, reason))
        };
        (0..self.plan.comparisons.comparisons.len()).map(found).collect()
    }

    /// Checks the guards of FORMULAS §2.4 in R's order, then computes the estimate.
    fn correction(&self, index: usize, rows: &mut ControlRows) -> Fitted<Correction> {
        let plan = self.plan;
        let c = &plan.comparisons.comparisons[index];
        let (treated_rows, control_rows) = self.check_rows(c, rows)?;
        for logit in [c.guard, c.logit].into_iter().flatten() {
            if let LogitFit::Failed(reason) = &self.logits[logit] {
                return Err(reason.clone());
            }
        }
        if plan.regression.guards_share && treated_rows / (treated_rows + control_rows) >= OVERLAP {
            return Err("overlap condition violated".into());
        }
        let fit = |regression| self.fits.outcome(plan, index, regression);
        let fits: Vec<[Option<OutcomeFit>; 2]> = c
            .sides
            .iter()
            .map(|side| Ok([fit(side.treated_fit)?, fit(side.controls_fit)?]))
            .collect::<Fitted<_>>()?;
        let treated: Vec<GramSums> = c
            .sides
            .iter()
            .map(|side| {
                stratum_sums(plan, &self.fits.gram, c.treated, side.frame)
                    .ok_or(Cow::Borrowed("no treated units"))
            })
            .collect::<Fitted<_>>()?;
        let moments = self.slots(c);
        let sides: Vec<SideSums<'_>> = c
            .sides
            .iter()
            .enumerate()
            .map(|(i, side)| SideSums {
                treated: &treated[i],
                treated_fit: fits[i][0].as_ref(),
                controls_fit: fits[i][1].as_ref(),
                moments: moments.get(i),
                outcome: (side.time, side.base),
                sign: side.sign,
            })
            .collect();
        let hessian = self.hessian(index, &moments)?;
        let nuisances = Nuisances {
            sides: &sides,
            hessian: hessian.as_ref(),
            regressors: plan.regressor_count(),
            ones: plan.ones_column(),
        };
        Ok(fit_comparison(plan.regression.method, &nuisances, plan.sample.n as f64)?)
    }

    /// Returns the numbers of treated and control rows; an error if a group has none in a period.
    fn check_rows(&self, c: &Comparison, known: &mut ControlRows) -> Fitted<(f64, f64)> {
        let plan = self.plan;
        let (columns, ones) = (plan.design_column_count(), plan.ones_column());
        let rows = |sums: Option<GramSums>| sums.map_or(0.0, |s| s.unweighted[ones * columns + ones]);
        let (mut treated, mut controls) = (0.0, 0.0);
        for side in &c.sides {
            let own = rows(stratum_sums(plan, &self.fits.gram, c.treated, side.frame));
            let count = || rows(set_sums(plan, &self.fits.gram, c.controls, side.frame));
            let others = *known.entry((c.controls, side.frame)).or_insert_with(count);
            if others <= 0.0 {
                return Err("no control units".into());
            }
            if own <= 0.0 {
                return Err("no treated units".into());
            }
            treated += own;
            controls += others;
        }
        Ok((treated, controls))
    }

    fn slots(&self, c: &Comparison) -> Vec<LogitMoments> {
        let (Some(logit), Some(moments)) = (c.logit, self.moments) else { return Vec::new() };
        let first = self.plan.comparisons.first_slot(logit);
        (first..first + c.sides.len()).map(|slot| moments.slot(slot)).collect()
    }

    /// Inverse of the Hessian over all rows of the comparison.
    fn hessian(&self, index: usize, slots: &[LogitMoments]) -> Fitted<Option<faer::Mat<f64>>> {
        let Some(first) = slots.first() else { return Ok(None) };
        let mut total = first.hessian.clone();
        for slot in &slots[1..] {
            total.iter_mut().zip(&slot.hessian).for_each(|(a, b)| *a += b);
        }
        let inverse = linear::inverse_of_kept_columns(
            &total,
            self.plan.regressor_count(),
            self.fits.kept[index].as_deref(),
        );
        inverse.map(Some).ok_or(Cow::Borrowed("singular Hessian of the propensity score"))
    }
}

/// Estimates as sums of comparisons, and their weights in the cells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Estimates {
    /// By estimate: Σ sign · comparison; `None` if a comparison failed.
    values: Vec<Option<f64>>,
    /// By estimate: its weight in its cell.
    weights: Vec<f64>,
    /// Reasons by cell that can't be estimated.
    pub(super) failures: BTreeMap<usize, Cow<'static, str>>,
}

impl Estimates {
    pub(super) fn new(plan: &Plan, corrections: &[Fitted<Correction>]) -> Self {
        let count = plan.comparisons.estimates.len();
        let mut out = Self { values: vec![Some(0.0); count], weights: vec![1.0; count], ..Self::default() };
        for (c, correction) in plan.comparisons.comparisons.iter().zip(corrections) {
            let value = &mut out.values[c.estimate];
            match correction {
                Ok(correction) => *value = value.map(|v| v + c.sign * correction.att),
                Err(reason) => {
                    *value = None;
                    out.failures
                        .entry(plan.comparisons.estimates[c.estimate])
                        .or_insert_with(|| reason.clone());
                }
            }
        }
        for (index, cell) in plan.targets.cells.iter().enumerate() {
            if !cell.reference && cell.controls.is_empty() {
                out.failures.insert(index, "no control units".into());
            }
        }
        out
    }

    /// Sets the weights of the control cohorts in each combined cell: Ω⁻¹1 / 1'Ω⁻¹1 (FORMULAS §7.3).
    pub(super) fn combine(&mut self, plan: &Plan, omega: &OmegaSums) {
        for (at, estimates) in plan.combined_estimates().into_iter().enumerate() {
            let size = estimates.len();
            let cell = plan.comparisons.estimates[estimates[0]];
            if self.failures.contains_key(&cell) {
                continue;
            }
            let Some(inverse) = linear::inverse(&omega.covariance(at, plan.sample.n as f64), size) else {
                self.failures.insert(cell, "singular covariance of the control cohorts".into());
                continue;
            };
            let sums = linear::times(&inverse, &vec![1.0; size]);
            let total: f64 = sums.iter().sum();
            for (&estimate, sum) in estimates.iter().zip(&sums) {
                self.weights[estimate] = sum / total;
            }
        }
    }

    /// Returns ATT by cell; NaN where it can't be estimated.
    pub(super) fn att(&self, plan: &Plan) -> Vec<f64> {
        let mut att: Vec<f64> =
            plan.targets.cells.iter().map(|c| if c.reference { 0.0 } else { f64::NAN }).collect();
        for (estimate, &cell) in plan.comparisons.estimates.iter().enumerate() {
            if let (Some(value), false) = (self.values[estimate], self.failures.contains_key(&cell)) {
                let known = if att[cell].is_nan() { 0.0 } else { att[cell] };
                att[cell] = known + self.weights[estimate] * value;
            }
        }
        att
    }

    /// Returns the corrections multiplied by their factors in the cells (`combined`), or in the estimates before these
    /// are combined.
    pub(super) fn scaled_corrections(
        &self,
        plan: &Plan,
        corrections: &[Fitted<Correction>],
        combined: bool,
    ) -> Vec<Option<Correction>> {
        let factored = |(c, correction): (&Comparison, &Fitted<Correction>)| {
            let correction = correction.as_ref().ok()?;
            if self.failures.contains_key(&plan.comparisons.estimates[c.estimate]) {
                return None;
            }
            let factor = c.sign * if combined { self.weights[c.estimate] } else { 1.0 };
            if factor == 1.0 {
                return Some(correction.clone());
            }
            let scaled = |[treated, controls]: &[Arm; 2]| {
                [treated.scaled(factor, true), controls.scaled(factor, false)]
            };
            Some(Correction {
                att: correction.att * factor,
                arms: correction.arms.iter().map(scaled).collect(),
            })
        };
        plan.comparisons.comparisons.iter().zip(corrections).map(factored).collect()
    }
}
