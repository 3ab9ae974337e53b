//! Passes over shards: the input of a stage, and the partial of a shard. `task` computes a task, on every kind of worker.

mod clusters;
mod influence;
mod nuisances;
mod parts;
mod task;

use serde::{Deserialize, Serialize};
use stagger_estimator::moments::Correction;
use stagger_estimator::subset_sums::BitMemory;
use stagger_panel::shard::Shard;
use stagger_panel::strata::Needs;
use stagger_panel::survey::Survey;

use crate::partial::Partial;
use crate::plan::Plan;

pub use clusters::ClusterSlice;
pub use influence::{Inputs as InfluenceInputs, SegmentPart, influence_parts, segment_columns};
pub use nuisances::{LogitPart, logit_parts};
pub use task::TaskSums;

/// Input of a stage besides the plan: the solutions of the stages before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StageInput {
    /// Cross products of all pairs of stratum and frame.
    Gram,
    /// One round of the logits that are still active.
    Propensity {
        /// Coefficients by logit; `None` where the logit is not active.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Odds-weighted cross products at the final coefficients.
    Moments {
        /// Coefficients by logit; `None` for guard logits and those that failed.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Distribution of the scores at the final coefficients.
    Overlap {
        /// Coefficients by logit; `None` for guard logits and those without scores to show.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Covariances of the estimates of a cell by control cohort (triple differences with not-yet-treated controls).
    Omega {
        /// Corrections by comparison, multiplied by its sign; `None` where the cell can't be estimated.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Counts that planning needs, before there is a plan.
    Survey(Survey),
    /// Sums over influence values.
    Influence {
        /// Corrections by comparison, multiplied by its sign and by its estimate's weight; `None` where the cell can't
        /// be estimated.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
        /// The extended columns to sum over, ascending: all of them, or a pair of cell sets where memory is short.
        columns: Vec<usize>,
        /// Number of draws over units; 0 with clusters, whose draws come from the cluster sums.
        draws: usize,
        /// Slice of clusters to sum by; `None` without clusters.
        clusters: Option<ClusterSlice>,
    },
}

impl StageInput {
    /// Returns the columns of a shard that the stage reads.
    pub fn needs(&self) -> Needs {
        match self {
            StageInput::Gram | StageInput::Moments { .. } => Needs { outcomes: true, ..Needs::default() },
            StageInput::Propensity { .. } | StageInput::Overlap { .. } => Needs::default(),
            StageInput::Survey(survey) => survey.needs(),
            StageInput::Omega { .. } => Needs { outcomes: true, clusters: true, ..Needs::default() },
            StageInput::Influence { draws, clusters, .. } => {
                Needs { outcomes: true, keys: *draws > 0, clusters: clusters.is_some() }
            }
        }
    }

    /// Returns the name of the stage.
    pub fn stage(&self) -> &'static str {
        match self {
            StageInput::Gram => "gram",
            StageInput::Propensity { .. } => "propensity",
            StageInput::Moments { .. } => "moments",
            StageInput::Overlap { .. } => "overlap",
            StageInput::Omega { .. } => "omega",
            StageInput::Survey(Survey::Census) => "census",
            StageInput::Survey(Survey::Units { .. }) => "units",
            StageInput::Survey(Survey::Levels { .. }) => "levels",
            StageInput::Survey(Survey::Clusters) => "clusters",
            StageInput::Influence { .. } => "influence",
        }
    }
}

/// Computes the partial of one shard with the processor's kernels.
pub fn shard_partial(
    plan: &Plan,
    input: &StageInput,
    shard: &Shard,
    memory: &mut Option<BitMemory>,
) -> Partial {
    match input {
        StageInput::Gram => Partial::Gram(nuisances::gram(plan, shard)),
        StageInput::Propensity { betas } => Partial::Propensity(nuisances::propensity(plan, shard, betas)),
        StageInput::Moments { betas } => Partial::Moments(nuisances::moments(plan, shard, betas)),
        StageInput::Overlap { betas } => Partial::Overlap(nuisances::overlap(plan, shard, betas)),
        StageInput::Survey(survey) => Partial::Survey(survey.of_shard(shard, plan.strata.len())),
        StageInput::Omega { corrections, betas } => {
            Partial::Omega(influence::omega(plan, shard, corrections, betas))
        }
        StageInput::Influence { corrections, betas, columns, draws, clusters } => {
            let inputs =
                influence::Inputs { corrections, betas, columns, draws: *draws, clusters: clusters.as_ref() };
            Partial::Influence(influence::influence(plan, shard, &inputs, memory))
        }
    }
}
