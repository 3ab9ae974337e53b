//! The `Features` stage: cross products of the design and, with them, the moments and draws of the features.

use std::collections::HashMap;

use stagger_estimator::block::multiply;
use stagger_estimator::columns::{Columns, View};
use stagger_estimator::factor::{Feature, FeatureLayout, FeatureSpace, FeatureSums, GroupSums};
use stagger_estimator::influence::ClusterPartial;
use stagger_estimator::multipliers::{Bits, Domain};
use stagger_estimator::subset_sums::{BLOCK, BitMemory, BitSpace};
use stagger_panel::cluster_keys::cluster_keys;
use stagger_panel::shard::{Segment, Shard};

use super::nuisances;
use crate::block::BlockBuffer;
use crate::partial::FeaturePartial;
use crate::plan::Plan;
use crate::plan::features::PlannedFeatures;
use crate::stage::ClusterSlice;

/// Computes the sums of one shard. The slices of clusters after the first hold cluster sums alone.
pub(super) fn features(
    plan: &Plan,
    planned: &PlannedFeatures,
    shard: &Shard,
    draws: usize,
    clusters: Option<&ClusterSlice>,
    memory: &mut Option<BitMemory>,
) -> FeaturePartial {
    let whole = clusters.is_none_or(|slice| slice.index == 0);
    let mut out = FeaturePartial {
        gram: whole.then(|| nuisances::gram(plan, shard)),
        sums: FeatureSums { groups: vec![GroupSums::default(); planned.groups.len()] },
        clusters: clusters.map(|_| planned.group_layouts().map(no_clusters).collect()).unwrap_or_default(),
    };
    let keys = clusters.and_then(|_| cluster_keys(shard).into_iter().next());
    let bits = Bits::new(plan.inference.seed, Domain::Unit, plan.inference.multiplier);
    let mut bit_space = BitSpace::new(draws).remembering(memory.take());
    let mut block = BlockBuffer::new(plan);
    for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s)) {
        let Some(group) = planned.group(segment) else { continue };
        let layout = planned.layout(group);
        let mut space = FeatureSpace::new(layout, draws);
        let mut values = FeatureValues::new(plan, planned, layout);
        let mut own = keys
            .as_ref()
            .zip(clusters)
            .map(|(keys, slice)| SegmentClusters::new(plan, shard, segment, keys, slice, layout.len()));
        for start in (segment.start..segment.start + segment.units).step_by(BLOCK) {
            let (view, units) = values.fill(&mut block, shard, segment, start);
            if whole {
                let keys = if draws > 0 { &shard.keys[start..start + units] } else { &[] };
                space.add_block(view, units, keys, &bits, &mut bit_space);
            }
            if let Some(own) = &mut own {
                own.add_block(view, start - segment.start, units);
            }
        }
        out.sums.groups[group] = space.finish();
        if let Some(own) = own {
            out.clusters[group] = own.partial;
        }
    }
    *memory = bit_space.into_memory();
    out
}

fn no_clusters(layout: &FeatureLayout) -> ClusterPartial {
    ClusterPartial::new(layout.len(), Vec::new())
}

/// The features of one block.
struct FeatureValues<'a> {
    plan: &'a Plan,
    /// Positions and features in the order of frames.
    order: Vec<(usize, Feature)>,
    values: Columns,
    /// Design columns times weights.
    weighted: Columns,
}

impl<'a> FeatureValues<'a> {
    fn new(plan: &'a Plan, planned: &PlannedFeatures, layout: &FeatureLayout) -> Self {
        let of = |id: &u32| planned.features[*id as usize];
        let mut order: Vec<(usize, Feature)> = layout.ids.iter().map(of).enumerate().collect();
        order.sort_by_key(|(_, feature)| feature.frame());
        let weighted = Columns::zeros(BLOCK, plan.design_column_count());
        Self { plan, order, values: Columns::zeros(BLOCK, layout.len()), weighted }
    }

    /// Fills the block that starts at row `start`; returns its features and its number of units.
    fn fill(
        &mut self,
        block: &mut BlockBuffer,
        shard: &Shard,
        segment: &Segment,
        start: usize,
    ) -> (View<'_>, usize) {
        let plan = self.plan;
        block.start_block(plan, shard, segment, start);
        block.load_differences(plan, shard, segment);
        let rows = block.rows();
        let mut loaded = None;
        for &(place, feature) in &self.order {
            if let Some(frame) = feature.frame()
                && loaded.replace(frame) != Some(frame)
            {
                block.load_frame(plan, shard, segment, &plan.comparisons.frames[frame]);
                let own = block.block(plan);
                for j in 0..plan.design_column_count() {
                    multiply(own.design.col(j), own.weights, &mut self.weighted.col_mut(j)[..rows]);
                }
            }
            let out = &mut self.values.col_mut(place)[..rows];
            match feature {
                Feature::Unit => out.copy_from_slice(block.used_units()),
                Feature::Share => block.write_share_weights(plan, shard, segment, out),
                Feature::Design { a, b, .. } => {
                    multiply(&self.weighted.col(a)[..rows], block.block(plan).design.col(b), out);
                }
                Feature::Outcome { design, column, .. } => {
                    multiply(&self.weighted.col(design)[..rows], block.block(plan).outcomes.col(column), out);
                }
            }
        }
        (self.values.view(rows, self.order.len()), block.units())
    }
}

/// Sums of the features of a segment's units by cluster.
struct SegmentClusters {
    partial: ClusterPartial,
    /// By unit of the segment: its row in the partial; `None` in another slice.
    rows: Vec<Option<u32>>,
}

impl SegmentClusters {
    fn new(
        plan: &Plan,
        shard: &Shard,
        segment: &Segment,
        keys: &[u64],
        slice: &ClusterSlice,
        columns: usize,
    ) -> Self {
        let own = &keys[segment.start..segment.start + segment.units];
        let here = |(row, key): (usize, &u64)| {
            let used = plan.sample.mask.uses_unit(shard, segment, segment.start + row);
            (used && key % slice.count == slice.index).then_some(*key)
        };
        let wanted: Vec<Option<u64>> = own.iter().enumerate().map(here).collect();
        let mut distinct: Vec<u64> = wanted.iter().flatten().copied().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let place: HashMap<u64, u32> = distinct.iter().copied().zip(0..).collect();
        let rows = wanted.iter().map(|key| key.and_then(|key| place.get(&key).copied())).collect();
        Self { partial: ClusterPartial::new(columns, distinct), rows }
    }

    fn add_block(&mut self, features: View<'_>, first: usize, units: usize) {
        for column in 0..features.count() {
            let values = &features.col(column)[..units];
            for (row, value) in self.rows[first..first + units].iter().zip(values) {
                if let Some(row) = row {
                    self.partial.add(*row as usize, column, *value);
                }
            }
        }
    }
}
