//! The logits of an estimation between two passes: coefficients, rounds, and the inputs of the next round.

use serde::{Deserialize, Serialize};
use stagger_estimator::comparison::Logit;
use stagger_estimator::moments::MomentsPartial;
use stagger_estimator::propensity::{LogitFit, LogitState, PropensityPartial, StartRows, fit_step};
use stagger_model::events::RunEvent;

use super::fit::GramFits;
use super::starts::Starts;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Coefficients by logit; `None` for those that take no part.
type Betas = Vec<Option<Vec<f64>>>;

/// Takes the sums of a round of logits.
pub(super) fn advance(states: &mut [LogitState], sums: &PropensityPartial) {
    for (index, state) in states.iter_mut().enumerate().filter(|(_, state)| state.is_active()) {
        fit_step(state, &sums.logit(index));
    }
}

/// Returns the input of a plain round of logits; `None` once none is active.
pub(super) fn plain_round(states: &[LogitState]) -> Option<StageInput> {
    let betas: Betas = states.iter().map(|state| state.is_active().then(|| state.beta.clone())).collect();
    betas.iter().any(Option::is_some).then_some(StageInput::Propensity { betas, curved: false })
}

/// The logits of the propensity scores.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Logits {
    /// Rounds and coefficients so far, by logit.
    pub(super) states: Vec<LogitState>,
    /// Final coefficients; `None` for a logit that can't be fitted.
    pub(super) betas: Betas,
    /// The sample that they were started on, until the first round over all shards.
    starts: Option<Starts>,
}

impl Logits {
    /// Starts all logits at the mean score, or on the rows of a sample.
    pub(super) fn start(plan: &Plan, fits: &GramFits, rows: Option<StartRows>) -> Self {
        let mut states = fits.start_logits(plan);
        let starts = rows.map(|rows| Starts::new(plan, fits, rows, &mut states));
        Self { states, betas: Vec::new(), starts }
    }

    /// Takes the sums of a round.
    pub(super) fn advance(&mut self, sums: &PropensityPartial) {
        advance(&mut self.states, sums);
    }

    /// Goes on from where rounds on some of the shards have led.
    pub(super) fn restart(&mut self, tried: &[LogitState]) {
        for (state, tried) in self.states.iter_mut().zip(tried).filter(|(state, _)| state.is_active()) {
            *state = tried.restart(&state.beta);
        }
    }

    fn active_betas(&self) -> Betas {
        self.states.iter().map(|state| state.is_active().then(|| state.beta.clone())).collect()
    }

    /// Returns the input of the next round; `None` once no logit is active.
    pub(super) fn round_input(&self) -> Option<StageInput> {
        let betas = self.active_betas();
        let curved = self.starts.as_ref().is_some_and(Starts::curved);
        betas.iter().any(Option::is_some).then_some(StageInput::Propensity { betas, curved })
    }

    /// After the first round of logits that were started on a sample: makes its steps better ones, and returns the input of the round
    /// that brings the moments; `None` for other rounds, and once no logit is active.
    pub(super) fn closing_input(
        &mut self,
        plan: &Plan,
        fits: &GramFits,
        sums: &PropensityPartial,
    ) -> Option<StageInput> {
        let starts = self.starts.take().filter(Starts::curved)?;
        starts.aim(plan, fits, sums, &mut self.states);
        let betas = self.active_betas();
        let known = |(state, logit): (&LogitState, &Logit)| {
            let failed = matches!(state.fit, Some(LogitFit::Failed(_)));
            (!failed && logit.weighted).then(|| state.beta.clone())
        };
        let weighing = self.states.iter().zip(&plan.comparisons.logits).map(known).collect();
        betas.iter().any(Option::is_some).then_some(StageInput::Closing { betas, weighing })
    }

    /// Returns by slot the step from the coefficients of the moments to the final ones; `None` if a logit has no end yet, or its
    /// moments do not reach it. Logits that failed have no moments to move.
    pub(super) fn closing_steps(
        &self,
        plan: &Plan,
        moments: &MomentsPartial,
        weighing: &[Option<Vec<f64>>],
    ) -> Option<Vec<Vec<f64>>> {
        let mut steps = vec![vec![0.0; plan.regressor_count()]; plan.comparisons.slots.len()];
        for (index, (state, from)) in self.states.iter().zip(weighing).enumerate() {
            let (LogitFit::Fitted(beta), Some(from)) = (state.fit.as_ref()?, from) else { continue };
            let step: Vec<f64> = beta.iter().zip(from).map(|(b, f)| b - f).collect();
            let first = plan.comparisons.first_slot(index);
            let slots = first..first + plan.comparisons.logits[index].frames.len();
            for (slot, own) in slots.clone().zip(&mut steps[slots]) {
                if !moments.reaches(slot, &step, plan.targets.triple) {
                    return None;
                }
                own.clone_from(&step);
            }
        }
        Some(steps)
    }

    /// Takes the coefficients of the fits as the final ones.
    pub(super) fn settle(&mut self) {
        let fitted = |state: &LogitState| match &state.fit {
            Some(LogitFit::Fitted(beta)) => Some(beta.clone()),
            _ => None,
        };
        self.betas = self.states.iter().map(fitted).collect();
    }

    /// Returns the coefficients of the logits that weight something; guard logits do not.
    pub(super) fn weighing_betas(&self, plan: &Plan) -> Betas {
        let logits = self.betas.iter().zip(&plan.comparisons.logits);
        logits.map(|(beta, logit)| beta.clone().filter(|_| logit.weighted)).collect()
    }

    /// Returns the coefficients of the same logits at which their scores are shown.
    pub(super) fn shown_betas(&self, plan: &Plan) -> Betas {
        let logits = self.states.iter().zip(&plan.comparisons.logits);
        let shown = |(state, logit): (&LogitState, &Logit)| {
            state.reported_coefficients().filter(|_| logit.weighted).cloned()
        };
        logits.map(shown).collect()
    }

    /// Returns the event that tells how far they are; `spec` is the index of the specification.
    pub(super) fn event(&self, spec: usize) -> RunEvent {
        let count = |is: fn(&LogitState) -> bool| self.states.iter().filter(|state| is(state)).count();
        RunEvent::Logits {
            spec,
            round: self.states.iter().map(|state| state.round).max().unwrap_or(0),
            active: count(LogitState::is_active),
            converged: count(|state| matches!(state.fit, Some(LogitFit::Fitted(_)))),
            failed: count(|state| matches!(state.fit, Some(LogitFit::Failed(_)))),
        }
    }
}
