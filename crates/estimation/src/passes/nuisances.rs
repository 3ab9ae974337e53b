//! The stages that fit the nuisance functions: `Gram`, `Propensity`, `Moments`, `Overlap`.

use stagger_estimator::diagnostics::{OverlapPartial, OverlapSpace};
use stagger_estimator::moments::{MomentsPartial, MomentsSpace, add_moments};
use stagger_estimator::outcome::{GramPartial, GramWorkspace};
use stagger_estimator::propensity::{PropensityPartial, PropensitySpace, StartRows, add_logit};
use stagger_estimator::subset_sums::BLOCK;
use stagger_panel::shard::{Segment, Shard};

use crate::block::BlockBuffer;
use crate::plan::Plan;

/// Calls `each(space, segment)` for every block of the used segments.
pub(super) fn blocks(
    plan: &Plan,
    shard: &Shard,
    space: &mut BlockBuffer,
    wanted: impl Fn(&Segment) -> bool,
    mut each: impl FnMut(&mut BlockBuffer, &Segment),
) {
    for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s) && wanted(s)) {
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            space.start_block(plan, shard, segment, start);
            each(space, segment);
        }
    }
}

/// Items that each stratum enters, with their frame, ordered by frame.
pub struct ByStratum<T>(pub Vec<Vec<(usize, T)>>);

impl<T> ByStratum<T> {
    fn new(plan: &Plan) -> Self {
        Self(plan.sample.units.iter().map(|_| Vec::new()).collect())
    }

    fn wants(&self, plan: &Plan, segment: &Segment) -> bool {
        self.0[segment.stratum].iter().any(|(frame, _)| plan.segment_enters(segment, *frame))
    }

    /// Loads one frame after the other and calls `each` for the items that the block's stratum enters in it.
    fn visit(
        &self,
        plan: &Plan,
        shard: &Shard,
        segment: &Segment,
        space: &mut BlockBuffer,
        mut each: impl FnMut(&BlockBuffer, &T),
    ) {
        let mut loaded = None;
        for (frame, item) in &self.0[segment.stratum] {
            if !plan.segment_enters(segment, *frame) {
                continue;
            }
            if loaded.replace(*frame) != Some(*frame) {
                space.load_frame(plan, shard, segment, &plan.comparisons.frames[*frame]);
            }
            each(space, item);
        }
    }
}

pub(super) fn gram(plan: &Plan, shard: &Shard) -> GramPartial {
    let mut out = GramPartial::new(plan.sums.gram_keys.len(), plan.gram_shape());
    let mut space = GramWorkspace::new(plan.design_column_count());
    let mut keys = ByStratum::new(plan);
    for (key, &(stratum, frame)) in plan.sums.gram_keys.iter().enumerate() {
        keys.0[stratum].push((frame, key));
    }
    let mut block_space = BlockBuffer::new(plan);
    blocks(
        plan,
        shard,
        &mut block_space,
        |s| keys.wants(plan, s),
        |block, segment| {
            block.load_differences(plan, shard, segment);
            keys.visit(plan, shard, segment, block, |block, &key| {
                out.add_block(key, &block.block(plan), &mut space);
            });
        },
    );
    out
}

/// Returns the rows of a shard's sample: of each pair of stratum and frame that a logit needs, those that are used of the first `rows`
/// units. Units of a stratum are in the order of their hash, so that the first ones are a sample.
pub fn start_rows(plan: &Plan, shard: &Shard, rows: usize) -> StartRows {
    let mut out = StartRows::new(plan.sums.gram_keys.len(), plan.regressor_count());
    let wanted = plan.start_keys();
    let mut keys = ByStratum::new(plan);
    for (key, &(stratum, frame)) in plan.sums.gram_keys.iter().enumerate().filter(|(key, _)| wanted[*key]) {
        keys.0[stratum].push((frame, key));
    }
    let mut block = BlockBuffer::new(plan);
    for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s) && keys.wants(plan, s)) {
        for start in (segment.start..segment.start + segment.units.min(rows)).step_by(BLOCK) {
            block.start_block(plan, shard, segment, start);
            let own = rows - (start - segment.start);
            keys.visit(plan, shard, segment, &mut block, |block, &key| {
                out.add_block(key, &block.block(plan), own);
            });
        }
    }
    out
}

/// The part of one stratum in a logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitPart {
    /// Index of the logit.
    pub logit: usize,
    /// Position of the frame among the logit's frames.
    pub side: usize,
    /// True if the stratum is the treated one, false if it is among the controls.
    pub treated: bool,
}

/// Returns the active logits that each stratum enters. `betas` holds the coefficients by logit, `None` for an inactive
/// one.
pub fn logit_parts(plan: &Plan, betas: &[Option<Vec<f64>>]) -> ByStratum<LogitPart> {
    let mut out = ByStratum::new(plan);
    for (index, logit) in plan.comparisons.logits.iter().enumerate() {
        if betas[index].is_none() {
            continue;
        }
        for (side, &frame) in logit.frames.iter().enumerate() {
            out.0[logit.treated].push((frame, LogitPart { logit: index, side, treated: true }));
            for &stratum in &plan.comparisons.sets[logit.controls] {
                out.0[stratum].push((frame, LogitPart { logit: index, side, treated: false }));
            }
        }
    }
    for parts in &mut out.0 {
        parts.sort_by_key(|(frame, part)| (*frame, part.logit));
    }
    out
}

pub(super) fn propensity(
    plan: &Plan,
    shard: &Shard,
    betas: &[Option<Vec<f64>>],
    curved: bool,
) -> PropensityPartial {
    let mut out = PropensityPartial::new(betas.len(), plan.regressor_count(), curved);
    let mut space = PropensitySpace::new(plan.regressor_count());
    let parts = logit_parts(plan, betas);
    blocks(
        plan,
        shard,
        &mut BlockBuffer::new(plan),
        |s| parts.wants(plan, s),
        |block, segment| {
            parts.visit(plan, shard, segment, block, |block, part| {
                let Some(beta) = &betas[part.logit] else { return };
                let block = block.block(plan);
                let weighted = plan.comparisons.logits[part.logit].weighted;
                let weights = if weighted { block.weights } else { block.used };
                add_logit(&mut out, part.logit, &block, weights, part.treated, beta, &mut space);
            });
        },
    );
    out
}

pub(super) fn moments(
    plan: &Plan,
    shard: &Shard,
    betas: &[Option<Vec<f64>>],
    sloped: bool,
) -> MomentsPartial {
    let shape = plan.moments_shape(sloped);
    let mut out = MomentsPartial::new(plan.comparisons.slots.len(), shape);
    let mut space = MomentsSpace::new(plan.design_column_count());
    let parts = logit_parts(plan, betas);
    blocks(
        plan,
        shard,
        &mut BlockBuffer::new(plan),
        |s| parts.wants(plan, s),
        |block, segment| {
            if parts.0[segment.stratum].iter().any(|(_, part)| !part.treated) {
                block.load_differences(plan, shard, segment);
            }
            parts.visit(plan, shard, segment, block, |block, part| {
                let Some(beta) = &betas[part.logit] else { return };
                let slot = plan.comparisons.first_slot(part.logit) + part.side;
                add_moments(&mut out, slot, &block.block(plan), part.treated, beta, &mut space);
            });
        },
    );
    out
}

pub(super) fn overlap(plan: &Plan, shard: &Shard, betas: &[Option<Vec<f64>>]) -> OverlapPartial {
    let mut out = OverlapPartial::new(plan.comparisons.slots.len());
    let mut space = OverlapSpace::default();
    let parts = logit_parts(plan, betas);
    blocks(
        plan,
        shard,
        &mut BlockBuffer::new(plan),
        |s| parts.wants(plan, s),
        |block, segment| {
            parts.visit(plan, shard, segment, block, |block, part| {
                let Some(beta) = &betas[part.logit] else { return };
                let slot = plan.comparisons.first_slot(part.logit) + part.side;
                out.add_block(slot, &block.block(plan), part.treated, beta, &mut space);
            });
        },
    );
    out
}
