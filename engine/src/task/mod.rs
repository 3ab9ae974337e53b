//! `run_task`: the one function that turns (task, shards) into partials, wherever it runs.

mod clusters;
mod influence;
mod nuisances;
mod parts;

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;

use stagger_estimator::moments::Correction;
use stagger_estimator::subset_sums::BitMemory;

use crate::error::Result;
use crate::panel::Needs;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::reduce::{Node, SubtreeStack};
use crate::shard::Shard;
use crate::survey::Survey;

pub use clusters::ClusterSlice;
pub(crate) use clusters::keys_by_way;
pub use influence::SegmentPart;
pub(crate) use influence::{Inputs as InfluenceInputs, influence_parts, segment_columns};
pub use nuisances::LogitPart;
pub(crate) use nuisances::logit_parts;

/// What a stage needs besides the plan: the solutions of the stages before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StageInput {
    /// Cross products of all keys.
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
    /// Covariances of the estimates of a cell by control cohort (not-yet-treated triple differences).
    Omega {
        /// Corrections by comparison, with the comparison's sign.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Counts that planning needs, before there is a plan.
    Survey(Survey),
    /// Sums over influence values.
    Influence {
        /// Corrections by comparison, with its sign and its estimate's weight; `None` where the cell is not estimable.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
        /// The extended columns to sum over, ascending; all of them unless memory asks for a pair of cell sets at a time.
        columns: Vec<usize>,
        /// Draws over units (0 with clusters, whose draws come from the cluster sums).
        draws: usize,
        /// The clusters whose sums are wanted.
        clusters: Option<ClusterSlice>,
    },
}

impl StageInput {
    /// What of a shard the stage reads.
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

    /// Name of the stage.
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

/// A task: a stage over a range of shards.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// Stage and its input.
    pub input: &'a StageInput,
    /// Shards, by index.
    pub shards: Range<usize>,
}

/// Computes the partials of a task's shards, merged to maximal aligned subtrees of the reduction tree. Pure: the same
/// bytes whatever ran before, however shards are grouped. `shard` gives a shard by index; `memory` keeps multiplier bits for the
/// next specification on the same shards.
///
/// # Errors
/// A shard that can't be had.
pub fn run_task<'a>(
    plan: &Plan,
    task: &Task<'_>,
    mut shard: impl FnMut(usize) -> Result<Cow<'a, Shard>>,
    memory: &mut Option<BitMemory>,
) -> Result<Vec<(Node, Partial)>> {
    let mut stack = SubtreeStack::default();
    for index in task.shards.clone() {
        stack.push(index, shard_partial(plan, task.input, &*shard(index)?, memory));
    }
    Ok(stack.into_nodes())
}

/// One shard's partial, by the processor's kernels.
pub(crate) fn shard_partial(
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
