//! The stages that fit nuisances: `Gram`, `Propensity`, `Moments`.

use stagger_estimator::comparison::Logit;
use stagger_estimator::moments::{MomentsPartial, MomentsShape, MomentsSpace, add_moments};
use stagger_estimator::outcome::{GramPartial, GramSpace};
use stagger_estimator::propensity::{PropensityPartial, PropensitySpace, add_logit};
use stagger_estimator::subset_sums::BLOCK;

use crate::expand::BlockSpace;
use crate::plan::Plan;
use crate::shard::{Segment, Shard};

/// Calls `each(space, segment, first row)` for every block of the used segments.
pub(super) fn blocks(
    plan: &Plan,
    shard: &Shard,
    space: &mut BlockSpace,
    wanted: impl Fn(usize) -> bool,
    mut each: impl FnMut(&mut BlockSpace, &Segment, usize),
) {
    for segment in shard.segments.iter().filter(|s| plan.mask.uses(s) && wanted(s.stratum)) {
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            space.begin(plan, shard, segment, start);
            each(space, segment, start);
        }
    }
}

pub(super) fn gram(plan: &Plan, shard: &Shard) -> GramPartial {
    let mut out = GramPartial::new(plan.gram_keys.len(), plan.gram_shape());
    let mut space = GramSpace::new(plan.design_columns());
    let mut block_space = BlockSpace::new(plan);
    let keys_of = keys_by_stratum(plan);
    blocks(
        plan,
        shard,
        &mut block_space,
        |s| !keys_of[s].is_empty(),
        |block, segment, start| {
            block.load_outcomes(plan, shard, start);
            for &(key, frame) in &keys_of[segment.stratum] {
                block.load_frame(plan, shard, start, plan.comparisons.frames[frame]);
                out.add_block(key, &block.block(plan), &mut space);
            }
        },
    );
    out
}

fn keys_by_stratum(plan: &Plan) -> Vec<Vec<(usize, usize)>> {
    let mut out = vec![Vec::new(); plan.units.len()];
    for (key, &(stratum, frame)) in plan.gram_keys.iter().enumerate() {
        out[stratum].push((key, frame));
    }
    out
}

/// One stratum's part in a logit.
struct Part {
    logit: usize,
    frame: usize,
    treated: bool,
}

/// The logits each stratum enters, those of one frame together.
fn parts_by_stratum(plan: &Plan, betas: &[Option<Vec<f64>>]) -> Vec<Vec<Part>> {
    let mut out: Vec<Vec<Part>> = plan.units.iter().map(|_| Vec::new()).collect();
    for (index, logit) in plan.comparisons.logits.iter().enumerate() {
        let Logit { treated, control_set, frame, .. } = *logit;
        if betas[index].is_none() {
            continue;
        }
        out[treated].push(Part { logit: index, frame, treated: true });
        for &stratum in &plan.comparisons.control_sets[control_set] {
            out[stratum].push(Part { logit: index, frame, treated: false });
        }
    }
    for parts in &mut out {
        parts.sort_by_key(|p| (p.frame, p.logit));
    }
    out
}

pub(super) fn propensity(plan: &Plan, shard: &Shard, betas: &[Option<Vec<f64>>]) -> PropensityPartial {
    let mut out = PropensityPartial::new(betas.len(), plan.regressors());
    let mut space = PropensitySpace::new(plan.regressors());
    let mut block_space = BlockSpace::new(plan);
    let parts_of = parts_by_stratum(plan, betas);
    blocks(
        plan,
        shard,
        &mut block_space,
        |s| !parts_of[s].is_empty(),
        |block_space, segment, start| {
            let mut loaded = None;
            for part in &parts_of[segment.stratum] {
                if loaded.replace(part.frame) != Some(part.frame) {
                    block_space.load_frame(plan, shard, start, plan.comparisons.frames[part.frame]);
                }
                let Some(beta) = &betas[part.logit] else { continue };
                let block = block_space.block(plan);
                let weights =
                    if plan.comparisons.logits[part.logit].weighted { block.weights } else { block.used };
                add_logit(&mut out, part.logit, &block, weights, part.treated, beta, &mut space);
            }
        },
    );
    out
}

pub(super) fn moments(plan: &Plan, shard: &Shard, betas: &[Option<Vec<f64>>]) -> MomentsPartial {
    let shape = MomentsShape {
        columns: plan.design_columns(),
        regressors: plan.regressors(),
        periods: plan.periods.len(),
    };
    let mut out = MomentsPartial::new(betas.len(), shape);
    let mut space = MomentsSpace::new(plan.design_columns());
    let mut block_space = BlockSpace::new(plan);
    let parts_of = parts_by_stratum(plan, betas);
    blocks(
        plan,
        shard,
        &mut block_space,
        |s| !parts_of[s].is_empty(),
        |block_space, segment, start| {
            if parts_of[segment.stratum].iter().any(|p| !p.treated) {
                block_space.load_outcomes(plan, shard, start);
            }
            let mut loaded = None;
            for part in &parts_of[segment.stratum] {
                if loaded.replace(part.frame) != Some(part.frame) {
                    block_space.load_frame(plan, shard, start, plan.comparisons.frames[part.frame]);
                }
                let Some(beta) = &betas[part.logit] else { continue };
                add_moments(&mut out, part.logit, &block_space.block(plan), part.treated, beta, &mut space);
            }
        },
    );
    out
}
