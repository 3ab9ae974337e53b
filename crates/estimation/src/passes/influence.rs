//! The `Influence` and `Omega` stages: influence values are computed for one block at a time and summed at once.

use stagger_estimator::columns::{Columns, padded};
use stagger_estimator::cross_products::{add_cross_symmetric, mirror};
use stagger_estimator::influence::{
    BlockRole, InfluencePartial, InfluenceSpace, Membership, Role, StratumSums, add_influence,
};
use stagger_estimator::moments::Correction;
use stagger_estimator::multipliers::{Bits, Domain};
use stagger_estimator::subset_sums::{BLOCK, BitMemory, BitSpace};
use stagger_panel::shard::{Segment, Shard};

use super::clusters::ClusterSums;
use crate::block::BlockBuffer;
use crate::partial::{InfluenceSums, OmegaSums};
use crate::plan::Plan;
use crate::stage::ClusterSlice;

/// Input of an `Influence` pass over one shard.
pub struct InfluenceInputs<'a> {
    /// Corrections of the influence function, by comparison.
    pub corrections: &'a [Option<Correction>],
    /// Coefficients, by logit.
    pub betas: &'a [Option<Vec<f64>>],
    /// Indices of the extended columns of the partial, ascending.
    pub columns: &'a [usize],
    /// Number of draws over units.
    pub draws: usize,
    /// Slice of clusters to sum by; `None` without clusters.
    pub clusters: Option<&'a ClusterSlice>,
}

pub(super) fn influence(
    plan: &Plan,
    shard: &Shard,
    inputs: &InfluenceInputs<'_>,
    memory: &mut Option<BitMemory>,
) -> InfluenceSums {
    let mut out = InfluencePartial::new(inputs.columns.len(), inputs.draws);
    let mut clusters =
        inputs.clusters.map(|slice| ClusterSums::new(plan, shard, inputs.columns.len(), slice));
    let bits = Bits::new(plan.inference.seed, Domain::Unit, plan.inference.multiplier);
    let mut bit_space = BitSpace::new(inputs.draws).remembering(memory.take());
    let mut work = Work::new(plan, shard, inputs.corrections, inputs.betas);
    for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s)) {
        let roles = segment_roles(plan, segment, inputs);
        let columns: Vec<usize> = roles.iter().map(|(column, _)| *column).collect();
        let parts = influence_parts(plan, segment, inputs, &columns);
        let all = plan.sums.stratum_columns[segment.stratum].len();
        let mut sums = StratumSums::new(columns, all, inputs.draws);
        let mut psi = Columns::zeros(BLOCK, roles.len());
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            work.fill(segment, start, &roles, &parts, &mut psi);
            let units = work.block.units();
            let view = psi.view(padded(units), roles.len());
            // Without draws the keys are not used, and a stored shard has none.
            let keys = if inputs.draws > 0 { &shard.keys[start..start + units] } else { &[] };
            sums.add_block(view, keys, &bits, &mut bit_space);
            if let Some(clusters) = &mut clusters {
                clusters.add_block(view, start, units, sums.columns());
            }
        }
        out.add_stratum(&sums);
    }
    *memory = bit_space.into_memory();
    InfluenceSums { units: out, clusters: clusters.map(ClusterSums::into_partials).unwrap_or_default() }
}

/// Returns the parts that a segment's units enter; `columns` are the positions in the partial of the block's columns.
pub fn influence_parts(
    plan: &Plan,
    segment: &Segment,
    inputs: &InfluenceInputs<'_>,
    columns: &[usize],
) -> Vec<SegmentPart> {
    segment_parts(plan, inputs.corrections, segment, &plan.sums.stratum_parts[segment.stratum], &|column| {
        columns.binary_search(&inputs.columns.binary_search(&column).ok()?).ok()
    })
}

/// Returns the positions in the partial of the columns that a segment's units enter, ascending, each with its role.
pub fn segment_roles(plan: &Plan, segment: &Segment, inputs: &InfluenceInputs<'_>) -> Vec<(usize, Role)> {
    let parts = &plan.sums.stratum_parts[segment.stratum];
    let enters = |column: usize| {
        parts.iter().any(|part| {
            let side = &plan.comparisons.comparisons[part.comparison].sides[part.side];
            part.column == column
                && plan.segment_enters(segment, side.frame)
                && inputs.corrections[part.comparison].is_some()
        })
    };
    plan.sums.stratum_columns[segment.stratum]
        .iter()
        .filter(|(column, role)| *role != Role::Estimate || enters(*column))
        .filter_map(|(column, role)| Some((inputs.columns.binary_search(column).ok()?, *role)))
        .collect()
}

/// Sums for the covariances of estimates by control cohort: for every cell with several estimates, the products of [1,
/// estimates] (FORMULAS §7.3).
pub(super) fn omega(
    plan: &Plan,
    shard: &Shard,
    corrections: &[Option<Correction>],
    betas: &[Option<Vec<f64>>],
) -> OmegaSums {
    let cells = plan.combined_estimates();
    let mut first = Vec::new();
    let mut column_of = vec![None; plan.comparisons.estimates.len()];
    let mut columns = 0;
    for estimates in &cells {
        first.push(columns);
        for &estimate in estimates {
            column_of[estimate] = Some(columns);
            columns += 1;
        }
    }
    let parts_of = plan.sides_by_stratum(&|estimate| column_of[estimate]);
    let mut out = OmegaSums::new(&cells);
    let mut work = Work::new(plan, shard, corrections, betas);
    for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s)) {
        let own = &parts_of[segment.stratum];
        let mut entered: Vec<usize> = own.iter().map(|p| p.column).collect();
        entered.sort_unstable();
        entered.dedup();
        if entered.is_empty() {
            continue;
        }
        // The first column of the block is that of the ones.
        let place = |column| entered.binary_search(&column).ok().map(|p| p + 1);
        let parts = segment_parts(plan, corrections, segment, own, &place);
        let mut roles = vec![(0, Role::Ones)];
        roles.extend((1..=entered.len()).map(|place| (place, Role::Estimate)));
        let mut psi = Columns::zeros(BLOCK, roles.len());
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            work.fill(segment, start, &roles, &parts, &mut psi);
            let rows = padded(work.block.units());
            for (cell, estimates) in cells.iter().enumerate() {
                let range = first[cell]..first[cell] + estimates.len();
                let places: Vec<usize> =
                    (0..entered.len()).filter(|&place| range.contains(&entered[place])).collect();
                let (Some(&from), Some(&to)) = (places.first(), places.last()) else { continue };
                out.add(cell, &psi, rows, from + 1..to + 2, &|place| entered[place - 1] - first[cell]);
            }
        }
    }
    out
}

impl OmegaSums {
    /// Adds the products of the ones with the columns `places` of a block, and of these columns with each other.
    /// `position` gives the position of an estimate in its cell.
    fn add(
        &mut self,
        cell: usize,
        psi: &Columns,
        rows: usize,
        places: std::ops::Range<usize>,
        position: &dyn Fn(usize) -> usize,
    ) {
        let count = places.len();
        let view = psi.view_of(rows, places.clone());
        let mut products = vec![0.0; count * count];
        add_cross_symmetric(view, view, &mut products);
        mirror(&mut products, count);
        for (i, a) in places.clone().enumerate() {
            let total: f64 = psi.col(a)[..rows].iter().sum();
            self.add_sum(cell, position(a), total);
            for (j, b) in places.clone().enumerate() {
                self.add_product(cell, position(a), position(b), products[i * count + j]);
            }
        }
    }
}

/// A side of a comparison that a segment's units enter.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPart {
    /// Position of the column in the block's Ψ.
    pub place: usize,
    /// Index of the side's frame.
    pub frame: usize,
    /// Index of the comparison's logit.
    pub logit: Option<usize>,
    /// The side, with its comparison and arm.
    pub part: Membership,
}

/// Parts of a segment, sorted by frame, then logit, so that both are loaded as seldom as possible.
fn segment_parts(
    plan: &Plan,
    corrections: &[Option<Correction>],
    segment: &Segment,
    parts: &[Membership],
    place: &dyn Fn(usize) -> Option<usize>,
) -> Vec<SegmentPart> {
    let mut out: Vec<SegmentPart> = parts
        .iter()
        .filter(|part| corrections[part.comparison].is_some())
        .filter_map(|part| {
            let comparison = &plan.comparisons.comparisons[part.comparison];
            let frame = comparison.sides[part.side].frame;
            let place = place(part.column)?;
            let own = SegmentPart { place, frame, logit: comparison.logit, part: *part };
            plan.segment_enters(segment, frame).then_some(own)
        })
        .collect();
    out.sort_by_key(|p| (p.frame, p.logit, p.part.comparison));
    out
}

struct Work<'a> {
    plan: &'a Plan,
    shard: &'a Shard,
    corrections: &'a [Option<Correction>],
    betas: &'a [Option<Vec<f64>>],
    block: BlockBuffer,
    space: InfluenceSpace,
}

impl<'a> Work<'a> {
    fn new(
        plan: &'a Plan,
        shard: &'a Shard,
        corrections: &'a [Option<Correction>],
        betas: &'a [Option<Vec<f64>>],
    ) -> Self {
        let (block, space) = (BlockBuffer::new(plan), InfluenceSpace::default());
        Self { plan, shard, corrections, betas, block, space }
    }

    /// Fills Ψ for the block that starts at row `start`.
    fn fill(
        &mut self,
        segment: &Segment,
        start: usize,
        roles: &[(usize, Role)],
        parts: &[SegmentPart],
        psi: &mut Columns,
    ) {
        let (plan, shard) = (self.plan, self.shard);
        self.block.start_block(plan, shard, segment, start);
        let rows = self.block.rows();
        for (place, (_, role)) in roles.iter().enumerate() {
            let column = &mut psi.col_mut(place)[..rows];
            match role {
                Role::Ones => column.copy_from_slice(self.block.used_units()),
                Role::Share => self.block.write_share_weights(plan, shard, segment, column),
                Role::Estimate => column.fill(0.0),
            }
        }
        self.block.load_differences(plan, shard, segment);
        let mut frame = None;
        for own in parts {
            if frame.replace(own.frame) != Some(own.frame) {
                self.block.load_frame(plan, shard, segment, &plan.comparisons.frames[own.frame]);
                self.space.next_block();
            }
            let comparison = &plan.comparisons.comparisons[own.part.comparison];
            let side = &comparison.sides[own.part.side];
            let Some(correction) = &self.corrections[own.part.comparison] else { continue };
            let role = BlockRole {
                treated: own.part.treated,
                arm: &correction.arms[own.part.side][usize::from(!own.part.treated)],
                logit: own.logit.and_then(|l| self.betas[l].as_deref().map(|beta| (l, beta))),
                time: side.time,
                base: side.base,
            };
            add_influence(&self.block.block(plan), &role, &mut self.space, psi.col_mut(own.place));
        }
    }
}
