//! The `Influence` stage: influence values live inside a block and are consumed there.

use stagger_estimator::columns::{Columns, padded};
use stagger_estimator::influence::{
    BlockRole, InfluencePartial, InfluenceSpace, Role, StratumSums, fill_block,
};
use stagger_estimator::moments::Correction;
use stagger_estimator::multipliers::{Bits, Domain};
use stagger_estimator::subset_sums::{BLOCK, BitSpace};

use super::clusters::{ClusterSlice, ClusterSums};
use crate::expand::BlockSpace;
use crate::partial::InfluenceSums;
use crate::plan::Plan;
use crate::shard::{Segment, Shard};

pub(super) struct Inputs<'a> {
    pub(super) corrections: &'a [Option<Correction>],
    pub(super) betas: &'a [Option<Vec<f64>>],
    /// Extended columns of the partial.
    pub(super) columns: &'a [usize],
    pub(super) draws: usize,
    pub(super) clusters: Option<&'a ClusterSlice>,
}

pub(super) fn influence(plan: &Plan, shard: &Shard, inputs: &Inputs<'_>) -> InfluenceSums {
    let mut out = InfluencePartial::new(inputs.columns.len(), inputs.draws);
    let mut clusters =
        inputs.clusters.map(|slice| ClusterSums::new(plan, shard, inputs.columns.len(), slice));
    let mut work = Work {
        plan,
        inputs,
        bits: Bits::new(plan.seed, Domain::Unit, plan.multiplier),
        bit_space: BitSpace::new(inputs.draws),
        block: BlockSpace::new(plan),
        influence: InfluenceSpace::default(),
    };
    for segment in shard.segments.iter().filter(|s| plan.mask.uses(s)) {
        let sums = work.segment(shard, segment, clusters.as_mut());
        out.add_stratum(&sums);
    }
    InfluenceSums { units: out, clusters: clusters.map(ClusterSums::into_partials).unwrap_or_default() }
}

struct Work<'a> {
    plan: &'a Plan,
    inputs: &'a Inputs<'a>,
    bits: Bits,
    bit_space: BitSpace,
    block: BlockSpace,
    influence: InfluenceSpace,
}

/// A column of a stratum that is a comparison: its place in the block and its frame.
struct Column {
    place: usize,
    frame: usize,
    comparison: usize,
    treated: bool,
}

impl Work<'_> {
    fn segment(
        &mut self,
        shard: &Shard,
        segment: &Segment,
        mut clusters: Option<&mut ClusterSums>,
    ) -> StratumSums {
        let roles: Vec<(usize, Role)> = self.plan.stratum_columns[segment.stratum]
            .iter()
            .filter(|(_, role)| match role {
                Role::Treated { comparison } | Role::Control { comparison } => {
                    self.inputs.corrections[*comparison].is_some()
                }
                Role::Ones | Role::Share => true,
            })
            .filter_map(|(column, role)| Some((self.inputs.columns.binary_search(column).ok()?, *role)))
            .collect();
        let columns = self.columns(&roles);
        let mut sums = StratumSums::new(
            roles.iter().map(|(column, _)| *column).collect(),
            self.plan.stratum_columns[segment.stratum].len(),
            self.inputs.draws,
        );
        let mut psi = Columns::zeros(BLOCK, roles.len());
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            self.fill(shard, segment, start, &roles, &columns, &mut psi);
            let units = self.block.units();
            let view = psi.view(padded(units), roles.len());
            sums.add_block(view, &shard.keys[start..start + units], &self.bits, &mut self.bit_space);
            if let Some(clusters) = clusters.as_deref_mut() {
                clusters.add_block(view, start, units, sums.columns());
            }
        }
        sums
    }

    /// Comparisons by frame, then logit, so that both are loaded as seldom as possible.
    fn columns(&self, roles: &[(usize, Role)]) -> Vec<Column> {
        let mut columns: Vec<Column> = roles
            .iter()
            .enumerate()
            .filter_map(|(place, (_, role))| match *role {
                Role::Treated { comparison } => Some((place, comparison, true)),
                Role::Control { comparison } => Some((place, comparison, false)),
                Role::Ones | Role::Share => None,
            })
            .map(|(place, comparison, treated)| {
                let frame = self.plan.comparisons.comparisons[comparison].frame;
                Column { place, frame, comparison, treated }
            })
            .collect();
        columns
            .sort_by_key(|c| (c.frame, self.plan.comparisons.comparisons[c.comparison].logit, c.comparison));
        columns
    }

    fn fill(
        &mut self,
        shard: &Shard,
        segment: &Segment,
        start: usize,
        roles: &[(usize, Role)],
        columns: &[Column],
        psi: &mut Columns,
    ) {
        let plan = self.plan;
        self.block.begin(plan, shard, segment, start);
        let rows = self.block.rows();
        for (place, (_, role)) in roles.iter().enumerate() {
            match role {
                Role::Ones => psi.col_mut(place)[..rows].copy_from_slice(self.block.used()),
                Role::Share => {
                    psi.col_mut(place)[..rows].copy_from_slice(self.block.weights_at(plan, shard, start, 0));
                }
                Role::Treated { .. } | Role::Control { .. } => {}
            }
        }
        self.block.load_outcomes(plan, shard, start);
        let mut frame = None;
        for column in columns {
            if frame.replace(column.frame) != Some(column.frame) {
                self.block.load_frame(plan, shard, start, plan.comparisons.frames[column.frame]);
                self.influence.next_block();
            }
            let comparison = &plan.comparisons.comparisons[column.comparison];
            let Some(correction) = &self.inputs.corrections[column.comparison] else { continue };
            let logit = comparison.logit.and_then(|l| self.inputs.betas[l].as_deref().map(|beta| (l, beta)));
            let role = BlockRole {
                treated: column.treated,
                correction,
                logit,
                time: comparison.time,
                base: comparison.base,
            };
            fill_block(&self.block.block(plan), &role, &mut self.influence, psi.col_mut(column.place));
        }
    }
}
