//! Passes over shards: the input of a stage, and the partial of a shard. `task` computes a task, on every kind of worker.

mod clusters;
mod features;
mod influence;
mod nuisances;
mod parts;

use stagger_estimator::subset_sums::BitMemory;
use stagger_panel::shard::Shard;

use crate::partial::{ClosingPartial, Partial, StartPartial};
use crate::plan::Plan;
use crate::stage::StageInput;

pub use influence::{InfluenceInputs, SegmentPart, influence_parts, segment_roles};
pub use nuisances::{LogitPart, logit_parts, start_rows};

/// Computes the partial of one shard with the processor's kernels.
pub fn compute_partial(
    plan: &Plan,
    input: &StageInput,
    shard: &Shard,
    memory: &mut Option<BitMemory>,
) -> Partial {
    match input {
        StageInput::Gram => Partial::Gram(nuisances::gram(plan, shard)),
        StageInput::Starts { rows } => {
            let gram = nuisances::gram(plan, shard);
            Partial::Starts(StartPartial { gram, rows: start_rows(plan, shard, *rows) })
        }
        StageInput::Features { draws, clusters } => match &plan.features {
            Some(planned) => {
                Partial::Features(features::features(plan, planned, shard, *draws, clusters.as_ref(), memory))
            }
            None => Partial::Gram(nuisances::gram(plan, shard)),
        },
        StageInput::Propensity { betas, curved } => {
            Partial::Propensity(nuisances::propensity(plan, shard, betas, *curved))
        }
        StageInput::Closing { betas, weighing } => Partial::Closing(ClosingPartial {
            logits: nuisances::propensity(plan, shard, betas, true),
            moments: nuisances::moments(plan, shard, weighing, true),
        }),
        StageInput::Moments { betas } => Partial::Moments(nuisances::moments(plan, shard, betas, false)),
        StageInput::Overlap { betas } => Partial::Overlap(nuisances::overlap(plan, shard, betas)),
        StageInput::Survey(survey) => Partial::Survey(survey.count_shard(shard, plan.sample.strata.len())),
        StageInput::Omega { corrections, betas } => {
            Partial::Omega(influence::omega(plan, shard, corrections, betas))
        }
        StageInput::Influence { corrections, betas, columns, draws, clusters } => {
            let inputs = influence::InfluenceInputs {
                corrections,
                betas,
                columns,
                draws: *draws,
                clusters: clusters.as_ref(),
            };
            Partial::Influence(influence::influence(plan, shard, &inputs, memory))
        }
    }
}
