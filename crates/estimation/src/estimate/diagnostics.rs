//! Diagnostics for people, from the sums of the passes: overlap by logit, balance by comparison.

use stagger_estimator::comparison::{Comparison, ComparisonSide};
use stagger_estimator::diagnostics::{OverlapPartial, Scores};
use stagger_estimator::inference::rcond_1norm;
use stagger_estimator::linear;
use stagger_estimator::moments::MomentsPartial;
use stagger_estimator::outcome::GramSums;
use stagger_model::result::{Balance, CovariateBalance, Diagnostics, Num, Overlap, ScoreSummary};

use super::fit::{GramFits, set_sums, stratum_sums};
use crate::plan::Plan;

/// Levels of the quantiles of a score, between minimum and maximum.
const LEVELS: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Sums that diagnostics are computed from.
pub(super) struct Sources<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fits: &'a GramFits,
    pub(super) moments: Option<&'a MomentsPartial>,
    pub(super) overlap: Option<&'a OverlapPartial>,
    /// By logit: true if it was fitted.
    pub(super) fitted: &'a [bool],
    /// By logit: true if its scores were counted, either because it was fitted or because they made it fail; never for
    /// guards.
    pub(super) shown: &'a [bool],
}

impl Sources<'_> {
    pub(super) fn diagnostics(&self) -> Diagnostics {
        let comparisons = &self.plan.comparisons.comparisons;
        let balance = |c: &Comparison| {
            c.sides.iter().enumerate().filter_map(|(i, side)| self.balance(c, i, side)).collect::<Vec<_>>()
        };
        Diagnostics { overlap: self.overlaps(), balance: comparisons.iter().flat_map(balance).collect() }
    }

    fn overlaps(&self) -> Vec<Overlap> {
        let (plan, Some(partial)) = (self.plan, self.overlap) else { return Vec::new() };
        let slots = plan.comparisons.slots.iter().enumerate();
        slots
            .filter(|(_, (logit, _))| self.shown[*logit])
            .map(|(slot, &(logit, frame))| {
                let logit = &plan.comparisons.logits[logit];
                let (treated, untreated) = (partial.scores(slot, true), partial.scores(slot, false));
                Overlap {
                    group: Num(plan.sample.strata[logit.treated].cohort),
                    controls: self.labels(logit.controls),
                    pooled: self.pooled(&logit.frames),
                    period: self.period(frame),
                    trimmed: untreated.trimmed / untreated.count,
                    treated: summary(&treated),
                    untreated: summary(&untreated),
                }
            })
            .collect()
    }

    fn pooled(&self, frames: &[usize]) -> Option<[Num; 2]> {
        let [time, base] = frames else { return None };
        Some([self.period(*time)?, self.period(*base)?])
    }

    fn period(&self, frame: usize) -> Option<Num> {
        self.plan.comparisons.frames[frame].rows.map(|rows| Num(self.plan.sample.period_labels[rows]))
    }

    /// Returns the cohorts of a set of strata, in words.
    fn labels(&self, set: usize) -> Vec<String> {
        let label = |&stratum: &usize| {
            let own = &self.plan.sample.strata[stratum];
            let cohort = if own.cohort.is_infinite() { "never".to_owned() } else { own.cohort.to_string() };
            if own.eligible { cohort } else { format!("{cohort} ineligible") }
        };
        self.plan.comparisons.sets[set].iter().map(label).collect()
    }

    fn balance(&self, c: &Comparison, index: usize, side: &ComparisonSide) -> Option<Balance> {
        let plan = self.plan;
        let treated = stratum_sums(plan, &self.fits.gram, c.treated, side.frame)?;
        let controls = set_sums(plan, &self.fits.gram, c.controls, side.frame)?;
        let fitted = c.logit.filter(|&logit| self.fitted[logit]);
        let slot = fitted.map(|logit| plan.comparisons.first_slot(logit) + index);
        let odds = slot.zip(self.moments).map(|(slot, moments)| moments.slot(slot).odds);
        let effective = |treated: bool| {
            let scores = slot.zip(self.overlap).map(|(slot, overlap)| overlap.scores(slot, treated));
            scores.map_or(Num::NA, |scores| Num(scores.effective))
        };
        let cell = &plan.targets.cells[plan.comparisons.estimates[c.estimate]];
        let covariates = (0..plan.regressor_count())
            .filter(|&j| Some(j) != plan.regression.standardization.intercept)
            .map(|j| self.covariate(j, &treated, &controls, odds.as_deref()))
            .collect();
        Some(Balance {
            group: Num(cell.group),
            time: Num(plan.sample.period_labels[cell.time]),
            controls: self.labels(c.controls),
            period: self.period(side.frame),
            effective_treated: effective(true),
            effective_controls: effective(false),
            condition: Num(self.condition(&controls)),
            covariates,
        })
    }

    fn condition(&self, controls: &GramSums) -> f64 {
        let (n, k) = (controls.shape.columns, self.plan.regressor_count());
        let gram = linear::leading(&controls.unweighted, n, k);
        1.0 / rcond_1norm(&self.plan.regression.standardization.raw_gram(&gram, k))
    }

    fn covariate(
        &self,
        j: usize,
        treated: &GramSums,
        controls: &GramSums,
        odds: Option<&[f64]>,
    ) -> CovariateBalance {
        let (columns, ones) = (treated.shape.columns, self.plan.ones_column());
        let moments = |matrix: &[f64]| {
            let weight = matrix[ones * columns + ones];
            let mean = matrix[ones * columns + j] / weight;
            (mean, (matrix[j * columns + j] / weight - mean * mean).max(0.0))
        };
        let ((mean, variance), (other, others)) = (moments(&treated.weighted), moments(&controls.weighted));
        let spread = ((variance + others) / 2.0).sqrt();
        let difference = |control: f64| if spread > 0.0 { Num((mean - control) / spread) } else { Num::NA };
        CovariateBalance {
            name: self.plan.regression.design.columns[j].name.clone(),
            before: difference(other),
            after: odds.map_or(Num::NA, |odds| difference(moments(odds).0)),
        }
    }
}

fn summary(scores: &Scores) -> ScoreSummary {
    let inner = LEVELS.iter().map(|&level| scores.quantile(level));
    let quantiles = [scores.range[0]].into_iter().chain(inner).chain([scores.range[1]]);
    ScoreSummary {
        n: scores.count as u64,
        quantiles: quantiles.map(Num).collect(),
        histogram: scores.histogram.iter().map(|&count| count as u64).collect(),
    }
}
