//! A shard as kernels of a device read it: the blocks of `expand` one below the other, column after column, and what each enters.
//!
//! The used segments of a shard are expanded in every frame in which their stratum enters something. Values come in two parts:
//! the design's (covariates, masks, weights, shares), which every stage reads, and the outcomes', which the fits of logits do without.
//! Values are those of the processor's kernels, bit for bit, as the same code makes them.

use std::ops::Range;

use stagger_estimator::block::Block;
use stagger_estimator::comparison::RowModel;
use stagger_estimator::influence::Role;
use stagger_estimator::moments::Correction;
use stagger_estimator::subset_sums::BLOCK;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{EngineError, Result};
use crate::expand::{BlockSpace, masks_rows};
use crate::plan::Plan;
use crate::shard::{Segment, Shard};
use crate::task::{InfluenceInputs, LogitPart, SegmentPart, influence_parts, logit_parts, segment_columns};

/// A used segment.
#[derive(Clone, Debug)]
pub struct ExpandedSegment {
    /// Its place in the shard.
    pub segment: Segment,
    /// Rows of its columns: its units, padded with zeros to whole lanes.
    pub rows: usize,
    /// Where the mask of used units starts among the design's values, as the first of the segment's.
    pub units_at: usize,
    /// Where the segment's outcomes start, among the outcomes' values.
    pub outcomes_at: usize,
    /// Where the weights start by which units count in their cohort's share; the mask's place where they all count once.
    pub shares_at: usize,
    /// Its frames, among those of the shard.
    pub frames: Range<usize>,
}

/// A segment in one frame.
#[derive(Clone, Copy, Debug)]
pub struct ExpandedFrame {
    /// Index of the expanded segment.
    pub segment: usize,
    /// Index of the stratum.
    pub stratum: usize,
    /// Index of the frame.
    pub frame: usize,
    /// Rows of its columns, which follow each other.
    pub rows: usize,
    /// Where the design columns start, among the design's values.
    pub design_at: usize,
    /// Where the mask of used rows starts, among the design's values.
    pub used_at: usize,
    /// Where the weights start, among the design's values; the mask's place without a weight column.
    pub weights_at: usize,
    /// Where the outcome columns from the second on start, among the outcomes' values; the first one is zero everywhere.
    pub outcomes_at: usize,
}

/// Where everything of a shard goes.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// Used segments, in the order of the shard.
    pub segments: Vec<ExpandedSegment>,
    /// Segments × frames, segment by segment, frames ascending.
    pub frames: Vec<ExpandedFrame>,
    /// Number of the design's values.
    pub design_values: usize,
    /// Number of the outcomes' values.
    pub outcome_values: usize,
}

impl Expansion {
    /// The places of a shard's columns under a plan.
    pub fn new(plan: &Plan, shard: &Shard) -> Self {
        let by_stratum = frames_of_strata(plan);
        let mut out = Self::default();
        for segment in shard.segments.iter().filter(|s| plan.mask.uses(s)) {
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
            self.outcome_values += rows * (plan.outcome_columns() - 1);
        }
        for &frame in frames.iter().filter(|&&frame| plan.enters(segment, frame)) {
            let masked = masks_rows(shard, segment, &plan.comparisons.frames[frame]);
            let design_at = self.design(rows * plan.design_columns());
            let used_at = if masked { self.design(rows) } else { units_at };
            let weights_at = if plan.weighted { self.design(rows) } else { used_at };
            let outcomes_at = if plan.model == RowModel::Differences { shared } else { self.outcome_values };
            if plan.model != RowModel::Differences {
                self.outcome_values += rows * (plan.outcome_columns() - 1);
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

    /// Hands over the design's values of some segments: `put(at, values)` for runs of them.
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
            put(segment.units_at + at, space.used());
            if segment.shares_at != segment.units_at {
                space.share_weights(plan, shard, &segment.segment, &mut shares);
                put(segment.shares_at + at, &shares[..rows]);
            }
            for own in &self.frames[segment.frames.clone()] {
                space.load_frame(plan, shard, &segment.segment, &plan.comparisons.frames[own.frame]);
                own.put_design(segment, &space.block(plan), at, put);
            }
        });
    }

    /// Hands over the outcomes' values of some segments, of a shard that has its outcomes.
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
        each: &mut dyn FnMut(&mut BlockSpace, &ExpandedSegment, usize),
    ) {
        let mut space = BlockSpace::new(plan);
        for own in &self.segments[segments] {
            for at in (0..own.segment.units).step_by(BLOCK) {
                space.begin(plan, shard, &own.segment, own.segment.start + at);
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

/// Whether units of the segment count in their cohort's share by anything but 1.
fn has_shares(plan: &Plan, shard: &Shard, segment: &Segment) -> bool {
    let share = |(_, role): &(usize, Role)| *role == Role::Share;
    shard.weights.is_some() && plan.stratum_columns[segment.stratum].iter().any(share)
}

/// Frames in which each stratum enters some sum, ascending.
fn frames_of_strata(plan: &Plan) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = plan.units.iter().map(|_| Vec::new()).collect();
    for &(stratum, frame) in &plan.gram_keys {
        out[stratum].push(frame);
    }
    for logit in &plan.comparisons.logits {
        out[logit.treated].extend(&logit.frames);
        for &stratum in &plan.comparisons.sets[logit.controls] {
            out[stratum].extend(&logit.frames);
        }
    }
    for (frames, parts) in out.iter_mut().zip(&plan.stratum_parts) {
        let side =
            |comparison: usize, side: usize| plan.comparisons.comparisons[comparison].sides[side].frame;
        frames.extend(parts.iter().map(|part| side(part.comparison, part.side)));
        frames.sort_unstable();
        frames.dedup();
    }
    out
}

/// Names everything of a plan that expanded values depend on, besides the shard: as long as it stays, a device may keep them.
///
/// # Errors
/// A plan that can't be written, which none is.
pub fn checksum(plan: &Plan) -> Result<u128> {
    let frames = (frames_of_strata(plan), &plan.comparisons.frames);
    let sample = (&plan.mask, &plan.periods, plan.model, plan.weighted, plan.share_weight);
    let design = (&plan.design, &plan.standardization, plan.outcome_center, &plan.stratum_columns);
    let bytes = postcard::to_stdvec(&(frames, sample, design))
        .map_err(|e| EngineError::failed(format!("the plan can't be summed up: {e}")))?;
    Ok(xxh3_128(&bytes))
}

/// By stratum: the active logits that it enters, each with its frame, ordered by frame.
pub fn logits(plan: &Plan, betas: &[Option<Vec<f64>>]) -> Vec<Vec<(usize, LogitPart)>> {
    logit_parts(plan, betas).0
}

/// What an `Influence` pass takes of its stage.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Corrections by comparison.
    pub corrections: &'a [Option<Correction>],
    /// Coefficients by logit.
    pub betas: &'a [Option<Vec<f64>>],
    /// Extended columns of the partial, ascending.
    pub columns: &'a [usize],
}

/// The columns of Ψ that a segment's units enter: their positions among the partial's columns, ascending, and the parts that make
/// them up, each with the column's position among these.
pub fn influence(
    plan: &Plan,
    segment: &Segment,
    stage: Columns<'_>,
) -> (Vec<(usize, Role)>, Vec<SegmentPart>) {
    let Columns { corrections, betas, columns } = stage;
    let inputs = InfluenceInputs { corrections, betas, columns, draws: 0, clusters: None };
    let roles = segment_columns(plan, segment, &inputs);
    let own: Vec<usize> = roles.iter().map(|(column, _)| *column).collect();
    let parts = influence_parts(plan, segment, &inputs, &own);
    (roles, parts)
}
