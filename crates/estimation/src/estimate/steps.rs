//! Estimation of one specification as a state machine: it asks for passes over the data, takes their sums, and never
//! sees the data. Several estimations share each pass, on threads and on workers alike.

use serde::{Deserialize, Serialize};
use stagger_estimator::diagnostics::OverlapPartial;
use stagger_estimator::moments::{Correction, MomentsPartial};
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::{LogitFit, LogitState, PropensityPartial, StartRows};
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::RunEvent;
use stagger_model::result::Diagnostics;

use super::diagnostics::Sources;
use super::feature_passes::{FeaturePasses, FeatureTotals};
use super::fit::{Estimates, Fitted, GramFits, Solver, needs_standardization, standardize};
use super::influence_passes::{InfluencePasses, InfluenceTotals};
use super::logits::{self, Logits};
use super::starts::start_rows;
use crate::outline::solved_event;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Number of shards that the constants of the design are computed from.
pub const STANDARDIZATION_SHARDS: usize = 8;
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

/// Divisor of the number of shards: the part on which logits take their first rounds, where they have no sample of rows.
pub const SAMPLE_DIVISOR: usize = 16;
/// Number of rounds on that part; more rounds do not help, since the sampling error remains.
const SAMPLE_ROUNDS: usize = 4;

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
    /// Rounds of the logits on some of the shards, before those over all.
    Sample {
        round: usize,
        tried: Vec<LogitState>,
    },
    Propensity,
    Closing,
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
    /// True if the last one was a round of the logits.
    round: bool,
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
        let request = self.request.take();
        self.taken.whole += usize::from(request.as_ref().is_some_and(|request| request.sample.is_none()));
        self.taken.round = matches!(self.step, EstimationStep::Propensity | EstimationStep::Closing);
        self.taken.solved = false;
        match (std::mem::replace(&mut self.step, EstimationStep::Done), partial) {
            (EstimationStep::Scale, Partial::Gram(sample)) => {
                standardize(&mut self.plan, &sample);
                self.enter_gram();
            }
            (EstimationStep::Gram, Partial::Features(sums)) => {
                let gram = self.last.features().and_then(|features| features.add(&self.plan, sums));
                let gram = gram.ok_or_else(|| StaggerError::failed("features without cross products"))?;
                self.take_gram(gram, None);
            }
            (EstimationStep::Clusters { slice }, Partial::Features(sums)) => {
                if let Some(features) = self.last.features() {
                    features.add(&self.plan, sums);
                }
                self.enter_clusters(slice + 1);
            }
            (EstimationStep::Gram, Partial::Gram(gram)) => self.take_gram(gram, None),
            (EstimationStep::Gram, Partial::Starts(sums)) => self.take_gram(sums.gram, Some(sums.rows)),
            (EstimationStep::Sample { round, mut tried }, Partial::Propensity(sums)) => {
                logits::advance(&mut tried, &sums);
                self.enter_sample(round + 1, tried);
            }
            (EstimationStep::Propensity, Partial::Propensity(sums)) => {
                self.logits.advance(&sums);
                self.aim(&sums);
            }
            (EstimationStep::Closing, Partial::Closing(sums)) => {
                self.logits.advance(&sums.logits);
                self.close(&sums.moments, request);
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
        let solved = || solved_event(spec, &self.estimates.att(&self.plan));
        let fitting = matches!(
            self.step,
            EstimationStep::Propensity | EstimationStep::Closing | EstimationStep::Moments
        );
        let mut events = Vec::new();
        if fitting || self.taken.round {
            events.push(self.logits.event(spec));
        }
        if self.taken.solved {
            events.extend(solved());
        }
        events
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
        let plain = match start_rows(&self.plan, self.scale.shards) {
            Some(rows) => StageInput::Starts { rows },
            None => StageInput::Gram,
        };
        let input = self.last.features().map_or(plain, |features| features.input(0));
        self.ask(input, None);
    }

    fn take_gram(&mut self, gram: GramPartial, rows: Option<StartRows>) {
        let fits = GramFits::new(&self.plan, gram);
        let warning = fits.warning(&self.plan);
        self.plan.warnings.extend(warning);
        let started = rows.is_some();
        self.logits = Logits::start(&self.plan, &fits, rows);
        self.fits = Some(fits);
        if started {
            return self.enter_propensity();
        }
        let tried = self.logits.states.clone();
        self.enter_sample(0, tried);
    }

    /// Starts a round of logits on some of the shards; such rounds bring the coefficients near their final values.
    fn enter_sample(&mut self, round: usize, tried: Vec<LogitState>) {
        let shards = self.scale.shards / SAMPLE_DIVISOR;
        match logits::plain_round(&tried).filter(|_| shards > 0 && round < SAMPLE_ROUNDS) {
            Some(input) => {
                self.step = EstimationStep::Sample { round, tried };
                self.ask(input, Some(shards));
            }
            None => {
                if round > 0 {
                    self.logits.restart(&tried);
                }
                self.enter_propensity();
            }
        }
    }

    /// After a round: where logits were started on a sample, the next round is expected to be the last one.
    fn aim(&mut self, sums: &PropensityPartial) {
        match self.fits.as_ref().and_then(|fits| self.logits.closing_input(&self.plan, fits, sums)) {
            Some(input) => {
                self.step = EstimationStep::Closing;
                self.ask(input, None);
            }
            None => self.enter_propensity(),
        }
    }

    /// After a closing round: moves the moments to the final coefficients, where they reach as far; else goes on as without them.
    fn close(&mut self, moments: &MomentsPartial, request: Option<PassRequest>) {
        let steps = match request.map(|request| request.input) {
            Some(StageInput::Closing { weighing, .. }) => {
                self.logits.closing_steps(&self.plan, moments, &weighing)
            }
            _ => None,
        };
        let Some(steps) = steps else { return self.enter_propensity() };
        self.logits.settle();
        self.scores.moments = Some(moments.moved(&steps));
        self.enter_overlap();
    }

    fn enter_propensity(&mut self) {
        if let Some(input) = self.logits.round_input() {
            self.step = EstimationStep::Propensity;
            return self.ask(input, None);
        }
        self.logits.settle();
        let betas = self.logits.weighing_betas(&self.plan);
        if betas.iter().all(Option::is_none) {
            return self.enter_overlap();
        }
        self.step = EstimationStep::Moments;
        self.ask(StageInput::Moments { betas }, None);
    }

    /// Scores are counted where diagnostics ask for them, including those of logits that failed because of them.
    fn enter_overlap(&mut self) {
        let betas = self.logits.shown_betas(&self.plan);
        if !self.plan.diagnostics || betas.iter().all(Option::is_none) {
            return self.solve();
        }
        self.step = EstimationStep::Overlap;
        self.ask(StageInput::Overlap { betas }, None);
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
                let shown: Vec<bool> =
                    self.logits.shown_betas(&self.plan).iter().map(Option::is_some).collect();
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
