//! Cluster sums of a shard. Where clusters are numerous, a pass takes a slice of them, so that memory stays bounded.

use std::collections::HashMap;

use stagger_estimator::columns::View;
use stagger_estimator::influence::ClusterPartial;
use stagger_panel::cluster_keys::cluster_keys;
use stagger_panel::shard::Shard;

use crate::plan::Plan;
use crate::stage::ClusterSlice;

/// Row of units whose cluster is in another slice.
const ELSEWHERE: u32 = u32::MAX;

/// Sums by way of clustering: one cluster variable, or two of them and their intersection.
pub(super) struct ClusterSums {
    ways: Vec<Way>,
}

struct Way {
    partial: ClusterPartial,
    /// By unit of the shard: its row in the partial.
    rows: Vec<u32>,
}

impl ClusterSums {
    pub(super) fn new(plan: &Plan, shard: &Shard, columns: usize, slice: &ClusterSlice) -> Self {
        let mut used = vec![false; shard.rows];
        for segment in shard.segments.iter().filter(|s| plan.sample.mask.uses_segment(s)) {
            for (row, flag) in used.iter_mut().enumerate().skip(segment.start).take(segment.units) {
                *flag = plan.sample.mask.uses_unit(shard, segment, row);
            }
        }
        let ways = cluster_keys(shard)
            .into_iter()
            .map(|keys| {
                let here = |row: usize| used[row] && keys[row] % slice.count == slice.index;
                let mut distinct: Vec<u64> =
                    (0..keys.len()).filter(|&row| here(row)).map(|row| keys[row]).collect();
                distinct.sort_unstable();
                distinct.dedup();
                let position: HashMap<u64, u32> = distinct.iter().copied().zip(0..).collect();
                let rows = (0..keys.len())
                    .map(|row| {
                        if here(row) {
                            position.get(&keys[row]).copied().unwrap_or(ELSEWHERE)
                        } else {
                            ELSEWHERE
                        }
                    })
                    .collect();
                Way { partial: ClusterPartial::new(columns, distinct), rows }
            })
            .collect();
        Self { ways }
    }

    pub(super) fn add_block(&mut self, psi: View<'_>, start: usize, units: usize, columns: &[usize]) {
        for way in &mut self.ways {
            let rows = &way.rows[start..start + units];
            for (place, &column) in columns.iter().enumerate() {
                for (&row, &value) in rows.iter().zip(psi.col(place)) {
                    if row != ELSEWHERE {
                        way.partial.add(row as usize, column, value);
                    }
                }
            }
        }
    }

    pub(super) fn into_partials(self) -> Vec<ClusterPartial> {
        self.ways.into_iter().map(|way| way.partial).collect()
    }
}
