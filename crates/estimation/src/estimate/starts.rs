//! Logits started on a sample: its rows come with the cross products, and its curvature shortens the way over all rows to one round.

use serde::{Deserialize, Serialize};
use stagger_estimator::comparison::Logit;
use stagger_estimator::propensity::{
    LogitState, MOST_CURVED, PropensityPartial, StartPart, StartRows, StartSample,
};
use stagger_model::parallel::{available_cores, map};

use super::fit::GramFits;
use crate::plan::Plan;

/// Rows of the sample over all pairs of stratum and frame.
const SAMPLE: usize = 1 << 17;
/// Rows of each pair, if that is more.
const LEAST_ROWS: usize = 1 << 12;

/// Returns the rows that each pair of stratum and frame gives of a shard for the start of the logits; `None` where the plan has no
/// logits with slopes, or the panel is small.
pub(super) fn start_rows(plan: &Plan, shards: usize) -> Option<usize> {
    if shards < plan.regression.started_from || plan.features.is_some() || plan.regressor_count() < 2 {
        return None;
    }
    let keys = plan.start_keys().into_iter().filter(|wanted| *wanted).count();
    (keys > 0).then(|| sampled_rows(keys).div_ceil(shards))
}

/// Returns the rows that each of so many pairs of stratum and frame gives to the sample.
pub fn sampled_rows(keys: usize) -> usize {
    (SAMPLE / keys.max(1)).max(LEAST_ROWS)
}

/// Tells if the rounds of a plan's logits sum third derivatives, so that the second one is expected to be the last.
pub fn closes_early(plan: &Plan, shards: usize) -> bool {
    start_rows(plan, shards).is_some() && plan.regressor_count() <= MOST_CURVED
}

/// The sample of an estimation, from the cross products to the first round over all shards.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Starts {
    rows: StartRows,
    /// By logit: true where the sample's fit ended well.
    fitted: Vec<bool>,
}

impl Starts {
    /// Fits the logits on the sample, and moves their states to where its fits end.
    pub(super) fn new(plan: &Plan, fits: &GramFits, rows: StartRows, states: &mut [LogitState]) -> Self {
        let fit = |logit: usize| {
            let state = &states[logit];
            let sample = gather(plan, fits, &rows, logit).filter(|_| state.is_active());
            Ok(sample.map_or_else(|| (state.clone(), false), |sample| sample.fit(state)))
        };
        let fitted = map(available_cores(), states.len(), fit).unwrap_or_default();
        let mut ended = vec![false; states.len()];
        for ((state, ended), (start, well)) in states.iter_mut().zip(&mut ended).zip(fitted) {
            *state = start;
            *ended = well;
        }
        Self { rows, fitted: ended }
    }

    /// Tells if the round over all shards is to sum third derivatives.
    pub(super) fn curved(&self) -> bool {
        self.rows.regressors <= MOST_CURVED
    }

    /// Moves the logits that have taken the round with these sums to where all of the data and the curvature of the sample lead.
    pub(super) fn aim(
        &self,
        plan: &Plan,
        fits: &GramFits,
        sums: &PropensityPartial,
        states: &mut [LogitState],
    ) {
        let step = |logit: usize| {
            let state = &states[logit];
            let from = state.evaluated().filter(|_| state.is_active() && self.fitted[logit]);
            let sample = from.and_then(|_| gather(plan, fits, &self.rows, logit));
            Ok(from
                .zip(sample)
                .and_then(|(from, sample)| sample.aim(from, &sums.logit(logit), state.kept.as_deref())))
        };
        let steps = map(available_cores(), states.len(), step).unwrap_or_default();
        for (state, step) in states.iter_mut().zip(steps) {
            if let Some(step) = step {
                state.step_to(&step);
            }
        }
    }
}

/// Gathers the sample of a logit; `None` where a stratum has no rows in it.
fn gather(plan: &Plan, fits: &GramFits, rows: &StartRows, logit: usize) -> Option<StartSample> {
    let logit: &Logit = &plan.comparisons.logits[logit];
    let part = |stratum: usize, frame: usize, treated: bool| {
        let key = plan.gram_key(stratum, frame)?;
        Some(StartPart {
            key,
            treated,
            total: fits.weight(plan, key, logit.weighted),
            weighted: logit.weighted,
        })
    };
    let mut parts = Vec::new();
    for &frame in &logit.frames {
        parts.push(part(logit.treated, frame, true)?);
        for &stratum in &plan.comparisons.sets[logit.controls] {
            parts.push(part(stratum, frame, false)?);
        }
    }
    StartSample::gather(rows, &parts)
}
