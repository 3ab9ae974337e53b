//! Estimation of one specification as a state machine: it asks for passes over the data, takes their sums, and never
//! sees the data. Several estimations share each pass, on threads and on workers alike.

use serde::{Deserialize, Serialize};
use stagger_estimator::diagnostics::OverlapPartial;
use stagger_estimator::moments::{Correction, MomentsPartial};
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::{LogitFit, LogitState, PropensityPartial, fit_step};
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::RunEvent;
use stagger_model::result::Diagnostics;

use super::diagnostics::Sources;
use super::feature_passes::{FeaturePasses, FeatureTotals};
use super::fit::{Estimates, Fitted, GramFits, Solver, needs_standardization, standardize};
use super::influence_passes::{InfluencePasses, InfluenceTotals};
use crate::outline::solved_event;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Number of shards that the constants of the design are computed from.
pub const STANDARDIZATION_SHARDS: usize = 8;
/// Divisor of the number of shards: the part on which logits are started.
pub const SAMPLE_DIVISOR: usize = 16;
/// Number of rounds on the sample; more rounds do not help, since the sampling error remains.
const SAMPLE_ROUNDS: usize = 4;
/// Largest number of bytes that cluster sums may take in one pass.
pub const MAX_CLUSTER_BYTES: u64 = 256 << 20;

/// A pass that an estimation needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PassRequest {
    /// Stage and its input.
    pub input: StageInput,
    /// Number of shards, spread evenly, that form a sample; `None` for all shards.
    pub sample: Option<usize>,
}

/// Sizes that decide the cut into passes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PassLimits {
    /// Number of shards.
    pub shards: usize,
    /// Upper bound of the number of clusters.
    pub clusters: u64,
    /// Largest number of cells in an `Influence` pass; `None` for all.
    pub max_cells: Option<usize>,
}

/// Sums that the covariance follows from.
pub(super) enum FinalSums {
    /// Over the extended columns.
    Columns(InfluenceTotals),
    /// Over the features.
    Features(FeatureTotals),
}

/// Results of an estimation whose passes are complete.
pub struct EstimationOutput {
    pub(super) plan: Plan,
    pub(super) estimates: Estimates,
    pub(super) diagnostics: Option<Diagnostics>,
    pub(super) sums: FinalSums,
    /// Cross products, from which reasons are derived.
    pub(super) fits: Option<GramFits>,
}

#[derive(Debug, Serialize, Deserialize)]
enum EstimationStep {
    Scale,
    Gram,
    Sample {
        round: usize,
        tried: Vec<LogitState>,
    },
    Propensity,
    Moments,
    Overlap,
    Omega,
    Influence {
        pass: usize,
        slice: u64,
    },
    /// A slice of clusters after the first.
    Clusters {
        slice: u64,
    },
    Done,
}

/// The logits of the propensity scores.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Logits {
    /// Rounds and coefficients so far, by logit.
    states: Vec<LogitState>,
    /// Final coefficients; `None` for a logit that can't be fitted.
    betas: Vec<Option<Vec<f64>>>,
}

/// Sums that are weighted or counted by propensity scores.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ScoreSums {
    moments: Option<MomentsPartial>,
    overlap: Option<OverlapPartial>,
}

/// Estimation of one specification.
#[derive(Debug, Serialize, Deserialize)]
pub struct Estimation {
    plan: Plan,
    scale: PassLimits,
    step: EstimationStep,
    request: Option<PassRequest>,
    fits: Option<GramFits>,
    logits: Logits,
    scores: ScoreSums,
    corrections: Vec<Fitted<Correction>>,
    estimates: Estimates,
    #[serde(with = "stagger_model::as_json")]
    diagnostics: Option<Diagnostics>,
    last: FinalPasses,
    taken: Taken,
}

/// The passes that the covariance follows from, and their sums so far.
#[derive(Debug, Serialize, Deserialize)]
enum FinalPasses {
    /// Over the extended columns, after all others.
    Columns(InfluencePasses),
    /// Over the features: the first has the cross products, too.
    Features(FeaturePasses),
}

impl FinalPasses {
    fn features(&mut self) -> Option<&mut FeaturePasses> {
        match self {
            Self::Features(features) => Some(features),
            Self::Columns(_) => None,
        }
    }
}

/// The passes so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Taken {
    /// Number of those over all shards.
    whole: usize,
    /// True if the last one brought the estimates.
    solved: bool,
}

impl Estimation {
    /// Starts an estimation; it asks for its first pass.
    pub fn new(plan: Plan, scale: PassLimits) -> Self {
        let last = match FeaturePasses::new(&plan, &scale) {
            Some(features) => FinalPasses::Features(features),
            None => FinalPasses::Columns(InfluencePasses::new(&plan, &scale)),
        };
        let mut out = Self {
            plan,
            scale,
            step: EstimationStep::Scale,
            request: None,
            fits: None,
            logits: Logits::default(),
            scores: ScoreSums::default(),
            diagnostics: None,
            corrections: Vec::new(),
            estimates: Estimates::default(),
            last,
            taken: Taken::default(),
        };
        if needs_standardization(&out.plan) {
            out.ask(StageInput::Gram, Some(STANDARDIZATION_SHARDS.min(out.scale.shards)));
        } else {
            out.enter_gram();
        }
        out
    }

    /// Sums clusters in so many slices.
    #[cfg(test)]
    pub(super) fn in_slices(mut self, slices: u64) -> Self {
        self.last.features().into_iter().for_each(|features| features.slices = slices);
        self.enter_gram();
        self
    }

    /// Returns the plan, with the constants of the design once they are known.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the next pass that is needed; `None` when all are complete.
    pub fn next_pass(&self) -> Option<&PassRequest> {
        self.request.as_ref()
    }

    /// Takes the sums of the pass that was asked for, and moves on to the next one.
    ///
    /// # Errors
    /// A partial of another stage.
    pub fn accept_sums(&mut self, partial: Partial) -> Result<()> {
        let sample = self.request.take().is_some_and(|request| request.sample.is_some());
        self.taken.whole += usize::from(!sample);
        self.taken.solved = false;
        match (std::mem::replace(&mut self.step, EstimationStep::Done), partial) {
            (EstimationStep::Scale, Partial::Gram(sample)) => {
                standardize(&mut self.plan, &sample);
                self.enter_gram();
            }
            (EstimationStep::Gram, Partial::Features(sums)) => {
                let gram = self.last.features().and_then(|features| features.add(&self.plan, sums));
                let gram = gram.ok_or_else(|| StaggerError::failed("features without cross products"))?;
                self.take_gram(gram);
            }
            (EstimationStep::Clusters { slice }, Partial::Features(sums)) => {
                if let Some(features) = self.last.features() {
                    features.add(&self.plan, sums);
                }
                self.enter_clusters(slice + 1);
            }
            (EstimationStep::Gram, Partial::Gram(gram)) => self.take_gram(gram),
            (EstimationStep::Sample { round, mut tried }, Partial::Propensity(sums)) => {
                advance(&mut tried, &sums);
                self.enter_sample(round + 1, tried);
            }
            (EstimationStep::Propensity, Partial::Propensity(sums)) => {
                advance(&mut self.logits.states, &sums);
                self.enter_propensity();
            }
            (EstimationStep::Moments, Partial::Moments(sums)) => {
                self.scores.moments = Some(sums);
                self.enter_overlap();
            }
            (EstimationStep::Overlap, Partial::Overlap(sums)) => {
                self.scores.overlap = Some(sums);
                self.solve();
            }
            (EstimationStep::Omega, Partial::Omega(sums)) => {
                self.estimates.combine(&self.plan, &sums);
                self.enter_influence(0, 0);
            }
            (EstimationStep::Influence { pass, slice }, Partial::Influence(sums)) => {
                if let FinalPasses::Columns(influence) = &mut self.last {
                    influence.add(&self.plan, (pass, slice), sums);
                }
                self.enter_influence(pass, slice + 1);
            }
            _ => return Err(StaggerError::failed("a stage returned another stage's partial")),
        }
        Ok(())
    }

    /// Returns the events about the pass that was just taken; `spec` is the index of the specification.
    pub fn events_since_pass(&self, spec: usize) -> Vec<RunEvent> {
        let count = |is: fn(&LogitState) -> bool| self.logits.states.iter().filter(|state| is(state)).count();
        let logits = || RunEvent::Logits {
            spec,
            round: self.logits.states.iter().map(|state| state.round).max().unwrap_or(0),
            active: count(LogitState::is_active),
            converged: count(|state| matches!(state.fit, Some(LogitFit::Fitted(_)))),
            failed: count(|state| matches!(state.fit, Some(LogitFit::Failed(_)))),
        };
        let solved = || solved_event(spec, &self.estimates.att(&self.plan));
        match self.step {
            _ if self.taken.solved => solved().into_iter().collect(),
            EstimationStep::Propensity | EstimationStep::Moments => vec![logits()],
            _ => Vec::new(),
        }
    }

    /// Returns the number of passes over all shards so far.
    pub fn pass_count(&self) -> usize {
        self.taken.whole
    }

    /// Returns the results; all passes must be complete.
    pub fn finish(self) -> EstimationOutput {
        let Self { plan, estimates, diagnostics, last, fits, corrections, .. } = self;
        let sums = match last {
            FinalPasses::Features(features) => {
                let corrections = estimates.scaled_corrections(&plan, &corrections, true);
                FinalSums::Features(features.finish(&plan, &corrections))
            }
            FinalPasses::Columns(influence) => FinalSums::Columns(influence.sums),
        };
        EstimationOutput { plan, estimates, diagnostics, sums, fits }
    }

    fn ask(&mut self, input: StageInput, sample: Option<usize>) {
        self.request = Some(PassRequest { input, sample });
    }

    fn enter_gram(&mut self) {
        self.step = EstimationStep::Gram;
        let input = self.last.features().map_or(StageInput::Gram, |features| features.input(0));
        self.ask(input, None);
    }

    fn take_gram(&mut self, gram: GramPartial) {
        let fits = GramFits::new(&self.plan, gram);
        let warning = fits.warning(&self.plan);
        self.plan.warnings.extend(warning);
        self.logits.states = fits.start_logits(&self.plan);
        self.fits = Some(fits);
        let tried = self.logits.states.clone();
        self.enter_sample(0, tried);
    }

    /// Starts a round of logits on a sample; such rounds bring the coefficients near their final values.
    fn enter_sample(&mut self, round: usize, tried: Vec<LogitState>) {
        let shards = self.scale.shards / SAMPLE_DIVISOR;
        match active_input(&tried).filter(|_| shards > 0 && round < SAMPLE_ROUNDS) {
            Some(input) => {
                self.step = EstimationStep::Sample { round, tried };
                self.ask(input, Some(shards));
            }
            None => {
                if round > 0 {
                    for (state, tried) in
                        self.logits.states.iter_mut().zip(&tried).filter(|(s, _)| s.is_active())
                    {
                        *state = tried.restart(&state.beta);
                    }
                }
                self.enter_propensity();
            }
        }
    }

    fn enter_propensity(&mut self) {
        if let Some(input) = active_input(&self.logits.states) {
            self.step = EstimationStep::Propensity;
            return self.ask(input, None);
        }
        self.logits.betas = self
            .logits
            .states
            .iter()
            .map(|state| match &state.fit {
                Some(LogitFit::Fitted(beta)) => Some(beta.clone()),
                _ => None,
            })
            .collect();
        let betas = self.weighing_betas();
        if betas.iter().all(Option::is_none) {
            return self.enter_overlap();
        }
        self.step = EstimationStep::Moments;
        self.ask(StageInput::Moments { betas }, None);
    }

    /// Scores are counted where diagnostics ask for them, including those of logits that failed because of them.
    fn enter_overlap(&mut self) {
        let betas = self.shown_betas();
        if !self.plan.diagnostics || betas.iter().all(Option::is_none) {
            return self.solve();
        }
        self.step = EstimationStep::Overlap;
        self.ask(StageInput::Overlap { betas }, None);
    }

    /// Coefficients of the logits that weight something; guard logits do not.
    fn weighing_betas(&self) -> Vec<Option<Vec<f64>>> {
        let logits = self.logits.betas.iter().zip(&self.plan.comparisons.logits);
        logits.map(|(beta, logit)| beta.clone().filter(|_| logit.weighted)).collect()
    }

    /// Coefficients of the same logits at which their scores are shown.
    fn shown_betas(&self) -> Vec<Option<Vec<f64>>> {
        let logits = self.logits.states.iter().zip(&self.plan.comparisons.logits);
        logits
            .map(|(state, logit)| state.reported_coefficients().filter(|_| logit.weighted).cloned())
            .collect()
    }

    fn solve(&mut self) {
        let moments = self.scores.moments.as_ref();
        if let Some(fits) = &self.fits {
            let logits: Vec<LogitFit> = self
                .logits
                .states
                .iter()
                .map(|s| s.fit.clone().unwrap_or(LogitFit::Failed("propensity score not fitted".into())))
                .collect();
            let solver = Solver { plan: &self.plan, fits, logits: &logits, moments };
            self.corrections = solver.corrections();
            if self.plan.diagnostics {
                let fitted: Vec<bool> = self.logits.betas.iter().map(Option::is_some).collect();
                let overlap = self.scores.overlap.as_ref();
                let shown: Vec<bool> = self.shown_betas().iter().map(Option::is_some).collect();
                let sources =
                    Sources { plan: &self.plan, fits, moments, overlap, fitted: &fitted, shown: &shown };
                self.diagnostics = Some(sources.diagnostics());
            }
        }
        if let (true, Some(fits), Some(moments)) = (self.plan.targets.triple, &self.fits, moments) {
            let warning = low_scores(&self.plan, fits, moments);
            self.plan.warnings.extend(warning);
        }
        self.estimates = Estimates::new(&self.plan, &self.corrections);
        if self.plan.combined_estimates().is_empty() {
            return self.enter_influence(0, 0);
        }
        self.step = EstimationStep::Omega;
        let corrections = self.estimates.scaled_corrections(&self.plan, &self.corrections, false);
        self.ask(StageInput::Omega { corrections, betas: self.logits.betas.clone() }, None);
    }

    /// Asks for the next slice of clusters of the features.
    fn enter_clusters(&mut self, slice: u64) {
        self.step = EstimationStep::Done;
        let left = self.last.features().filter(|features| slice < features.slices);
        if let Some(input) = left.map(|features| features.input(slice)) {
            self.step = EstimationStep::Clusters { slice };
            self.ask(input, None);
        }
    }

    fn enter_influence(&mut self, pass: usize, slice: u64) {
        self.taken.solved = (pass, slice) == (0, 0);
        let FinalPasses::Columns(influence) = &self.last else { return self.enter_clusters(1) };
        let (pass, slice) = if slice == influence.slices { (pass + 1, 0) } else { (pass, slice) };
        let Some((columns, draws)) = influence.pass(pass) else {
            self.step = EstimationStep::Done;
            return;
        };
        let input = StageInput::Influence {
            corrections: self.estimates.scaled_corrections(&self.plan, &self.corrections, true),
            betas: self.logits.betas.clone(),
            columns,
            draws,
            clusters: influence.slice(slice),
        };
        self.step = EstimationStep::Influence { pass, slice };
        self.ask(input, None);
    }
}

/// Share of rows with low scores above which a warning is given (FORMULAS §7.1).
const LOW_SCORES: f64 = 0.05;

/// Returns triplediff's warning, in place of did's overlap guard.
fn low_scores(plan: &Plan, fits: &GramFits, moments: &MomentsPartial) -> Option<String> {
    let logits = plan.comparisons.logits.iter().enumerate().filter(|(_, logit)| logit.weighted);
    let many = logits.filter(|(index, logit)| {
        let first = plan.comparisons.first_slot(*index);
        let low: f64 = (first..first + logit.frames.len()).map(|slot| moments.slot(slot).low).sum();
        low > LOW_SCORES * fits.rows(plan, logit)
    });
    let count = many.count();
    (count > 0).then(|| {
        format!(
            "{count} propensity scores lie below 0.001 for more than 5 % of their units: overlap may be poor"
        )
    })
}

fn active_input(states: &[LogitState]) -> Option<StageInput> {
    let betas: Vec<Option<Vec<f64>>> = states.iter().map(|s| s.is_active().then(|| s.beta.clone())).collect();
    betas.iter().any(Option::is_some).then_some(StageInput::Propensity { betas })
}

fn advance(states: &mut [LogitState], sums: &PropensityPartial) {
    for (index, state) in states.iter_mut().enumerate().filter(|(_, s)| s.is_active()) {
        fit_step(state, &sums.logit(index));
    }
}
