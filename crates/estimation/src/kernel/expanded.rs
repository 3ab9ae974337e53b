//! Expansion of a shard into the columns that the kernels of a device read: the blocks of `expand` below each other,
//! column by column, with their offsets.
//!
//! The used segments of a shard are expanded in every frame in which their stratum enters some sum. Values come in two
//! arrays: those of the design (covariates, masks, weights, shares), which every stage reads, and those of the
//! outcomes, which the fits of logits do not read. They are the processor's values bit for bit, because the same code
//! computes them.

use std::ops::Range;

use stagger_estimator::block::Block;
use stagger_estimator::comparison::RowModel;
use stagger_estimator::influence::Role;
use stagger_estimator::moments::Correction;
use stagger_estimator::subset_sums::BLOCK;
use stagger_model::error::{Result, StaggerError};
use stagger_panel::shard::{Segment, Shard};
use xxhash_rust::xxh3::xxh3_128;

use crate::block::{BlockBuffer, masks_rows};
use crate::passes::{InfluenceInputs, LogitPart, SegmentPart, influence_parts, logit_parts, segment_roles};
use crate::plan::Plan;

/// A used segment: the offsets of its columns in the two arrays.
#[derive(Clone, Debug)]
pub struct ExpandedSegment {
    /// The segment of the shard.
    pub segment: Segment,
    /// Number of rows of its columns: its units, padded with zeros to whole lanes.
    pub rows: usize,
    /// Offset of the mask of used units in the design array; the first of the segment's columns.
    pub units_at: usize,
    /// Offset of the segment's outcomes in the outcome array.
    pub outcomes_at: usize,
    /// Offset in the design array of the weights of units in their cohort's share; `units_at` where every unit counts
    /// as 1.
    pub shares_at: usize,
    /// Indices of its frames in [`Expansion::frames`].
    pub frames: Range<usize>,
}

/// A segment in one frame: the offsets of its columns.
#[derive(Clone, Copy, Debug)]
pub struct ExpandedFrame {
    /// Index of the segment in [`Expansion::segments`].
    pub segment: usize,
    /// Index of its stratum in the plan.
    pub stratum: usize,
    /// Index of the frame in the plan's comparisons.
    pub frame: usize,
    /// Number of rows of its columns, which follow each other.
    pub rows: usize,
    /// Offset of the design columns in the design array.
    pub design_at: usize,
    /// Offset of the mask of used rows in the design array.
    pub used_at: usize,
    /// Offset of the weights in the design array; `used_at` without a weight column.
    pub weights_at: usize,
    /// Offset in the outcome array of the outcome columns from the second on; the first column is zero everywhere and
    /// not stored.
    pub outcomes_at: usize,
}

/// Layout of a shard's expanded columns.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// The used segments, in the order of the shard.
    pub segments: Vec<ExpandedSegment>,
    /// Segments × frames: segment by segment, frames ascending.
    pub frames: Vec<ExpandedFrame>,
    /// Length of the design array.
    pub design_values: usize,
    /// Length of the outcome array.
    pub outcome_values: usize,
}

impl Expansion {
    /// Lays out the columns of a shard under a plan.
    pub fn new(plan: &Plan, shard: &Shard) -> Self {
        let by_stratum = frames_of_strata(plan);
        let mut out = Self::default();
        for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s)) {
            out.push(plan, shard, segment, &by_stratum[segment.stratum]);
        }
        out
    }

    fn push(&mut self, plan: &Plan, shard: &Shard, segment: &Segment, frames: &[usize]) {
        let rows = stagger_estimator::columns::padded(segment.units);
        let units_at = self.design(rows);
        let shares_at = if has_shares(plan, shard, segment) { self.design(rows) } else { units_at };
        let first = self.frames.len();
        let shared = self.outcome_values;
        if plan.model == RowModel::Differences {
            self.outcome_values += rows * (plan.outcome_column_count() - 1);
        }
        for &frame in frames.iter().filter(|&&frame| plan.segment_enters(segment, frame)) {
            let masked = masks_rows(shard, segment, &plan.comparisons.frames[frame]);
            let design_at = self.design(rows * plan.design_column_count());
            let used_at = if masked { self.design(rows) } else { units_at };
            let weights_at = if plan.weights.weighted { self.design(rows) } else { used_at };
            let outcomes_at = if plan.model == RowModel::Differences { shared } else { self.outcome_values };
            if plan.model != RowModel::Differences {
                self.outcome_values += rows * (plan.outcome_column_count() - 1);
            }
            let (stratum, segment) = (segment.stratum, self.segments.len());
            self.frames.push(ExpandedFrame {
                segment,
                stratum,
                frame,
                rows,
                design_at,
                used_at,
                weights_at,
                outcomes_at,
            });
        }
        let frames = first..self.frames.len();
        let own =
            ExpandedSegment { segment: *segment, rows, units_at, outcomes_at: shared, shares_at, frames };
        self.segments.push(own);
    }

    fn design(&mut self, values: usize) -> usize {
        self.design_values += values;
        self.design_values - values
    }

    /// Computes the design values of some segments: calls `put(offset, values)` with consecutive runs of them.
    pub fn fill_design(
        &self,
        plan: &Plan,
        shard: &Shard,
        segments: Range<usize>,
        put: &mut dyn FnMut(usize, &[f64]),
    ) {
        let mut shares = vec![0.0; BLOCK];
        self.visit(plan, shard, segments, &mut |space, segment, at| {
            let rows = space.rows();
            put(segment.units_at + at, space.used_units());
            if segment.shares_at != segment.units_at {
                space.write_share_weights(plan, shard, &segment.segment, &mut shares);
                put(segment.shares_at + at, &shares[..rows]);
            }
            for own in &self.frames[segment.frames.clone()] {
                space.load_frame(plan, shard, &segment.segment, &plan.comparisons.frames[own.frame]);
                own.put_design(segment, &space.block(plan), at, put);
            }
        });
    }

    /// Computes the outcome values of some segments: calls `put(offset, values)` with consecutive runs of them. The
    /// shard must have its outcomes.
    pub fn fill_outcomes(
        &self,
        plan: &Plan,
        shard: &Shard,
        segments: Range<usize>,
        put: &mut dyn FnMut(usize, &[f64]),
    ) {
        self.visit(plan, shard, segments, &mut |space, segment, at| {
            space.load_differences(plan, shard, &segment.segment);
            let frames = &self.frames[segment.frames.clone()];
            // Differences are the same in every frame.
            let distinct =
                if plan.model == RowModel::Differences { frames.len().min(1) } else { frames.len() };
            for own in &frames[..distinct] {
                if plan.model != RowModel::Differences {
                    space.load_frame(plan, shard, &segment.segment, &plan.comparisons.frames[own.frame]);
                }
                let outcomes = space.block(plan).outcomes;
                for column in 1..outcomes.count() {
                    put(own.outcomes_at + (column - 1) * own.rows + at, outcomes.col(column));
                }
            }
        });
    }

    fn visit(
        &self,
        plan: &Plan,
        shard: &Shard,
        segments: Range<usize>,
        each: &mut dyn FnMut(&mut BlockBuffer, &ExpandedSegment, usize),
    ) {
        let mut space = BlockBuffer::new(plan);
        for own in &self.segments[segments] {
            for at in (0..own.segment.units).step_by(BLOCK) {
                space.start_block(plan, shard, &own.segment, own.segment.start + at);
                each(&mut space, own, at);
            }
        }
    }
}

impl ExpandedFrame {
    fn put_design(
        &self,
        segment: &ExpandedSegment,
        block: &Block<'_>,
        at: usize,
        put: &mut dyn FnMut(usize, &[f64]),
    ) {
        for column in 0..block.design.count() {
            put(self.design_at + column * self.rows + at, block.design.col(column));
        }
        if self.used_at != segment.units_at {
            put(self.used_at + at, block.used);
        }
        if self.weights_at != self.used_at {
            put(self.weights_at + at, block.weights);
        }
    }
}

/// Tells if some unit of the segment counts in its cohort's share with a weight other than 1.
fn has_shares(plan: &Plan, shard: &Shard, segment: &Segment) -> bool {
    let share = |(_, role): &(usize, Role)| *role == Role::Share;
    shard.weights.is_some() && plan.sums.stratum_columns[segment.stratum].iter().any(share)
}

/// Frames in which each stratum enters some sum, ascending.
fn frames_of_strata(plan: &Plan) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = plan.sample.units.iter().map(|_| Vec::new()).collect();
    for &(stratum, frame) in &plan.sums.gram_keys {
        out[stratum].push(frame);
    }
    for logit in &plan.comparisons.logits {
        out[logit.treated].extend(&logit.frames);
        for &stratum in &plan.comparisons.sets[logit.controls] {
            out[stratum].extend(&logit.frames);
        }
    }
    for (frames, parts) in out.iter_mut().zip(&plan.sums.stratum_parts) {
        let side =
            |comparison: usize, side: usize| plan.comparisons.comparisons[comparison].sides[side].frame;
        frames.extend(parts.iter().map(|part| side(part.comparison, part.side)));
        frames.sort_unstable();
        frames.dedup();
    }
    out
}

/// Returns a hash of everything in a plan that expanded values depend on, besides the shard. A device may keep the
/// values while it stays the same.
///
/// # Errors
/// A plan that can't be serialized, which does not happen in practice.
pub fn hash_layout(plan: &Plan) -> Result<u128> {
    let frames = (frames_of_strata(plan), &plan.comparisons.frames);
    let sample = (
        &plan.sample.mask,
        &plan.sample.periods,
        plan.model,
        plan.weights.weighted,
        plan.weights.share_weight,
    );
    let design = (
        &plan.regression.design,
        &plan.regression.standardization,
        plan.regression.outcome_center,
        &plan.sums.stratum_columns,
    );
    let bytes = postcard::to_stdvec(&(frames, sample, design))
        .map_err(|e| StaggerError::failed(format!("the plan can't be summed up: {e}")))?;
    Ok(xxh3_128(&bytes))
}

/// Returns, for each stratum, the active logits that it enters with its frame in each, ordered by frame. `betas` holds
/// the coefficients by logit, `None` for an inactive one.
pub fn logits_by_stratum(plan: &Plan, betas: &[Option<Vec<f64>>]) -> Vec<Vec<(usize, LogitPart)>> {
    logit_parts(plan, betas).0
}

/// The parts of an `Influence` stage's input that decide which columns of Ψ a segment enters.
#[derive(Clone, Copy, Debug)]
pub struct InfluenceColumns<'a> {
    /// Corrections of the influence function for the nuisance estimates, by comparison.
    pub corrections: &'a [Option<Correction>],
    /// Coefficients by logit; `None` for an inactive one.
    pub betas: &'a [Option<Vec<f64>>],
    /// Indices of the extended columns Ψ in the partial, ascending.
    pub columns: &'a [usize],
}

/// Returns the columns of Ψ that a segment's units enter: their positions in the partial, ascending, with the role of
/// the stratum in each; and the parts that add up to them, each with its column's position in the first list.
pub fn segment_influence(
    plan: &Plan,
    segment: &Segment,
    stage: InfluenceColumns<'_>,
) -> (Vec<(usize, Role)>, Vec<SegmentPart>) {
    let InfluenceColumns { corrections, betas, columns } = stage;
    let inputs = InfluenceInputs { corrections, betas, columns, draws: 0, clusters: None };
    let roles = segment_roles(plan, segment, &inputs);
    let own: Vec<usize> = roles.iter().map(|(column, _)| *column).collect();
    let parts = influence_parts(plan, segment, &inputs, &own);
    (roles, parts)
}
