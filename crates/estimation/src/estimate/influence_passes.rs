//! The passes of the `Influence` stage over the extended columns, and their sums so far.

use serde::{Deserialize, Serialize};
use stagger_estimator::influence::{InfluencePartial, clusters_to_sums};
use stagger_estimator::multipliers::{Bits, Domain};

use super::sequence::cluster_slices;
use super::steps::PassLimits;
use super::sums::ExtendedSums;
use crate::partial::InfluenceSums;
use crate::plan::Plan;
use crate::stage::ClusterSlice;

/// Sums over all extended columns: over units and, with clusters, by every way of clustering.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InfluenceTotals {
    pub(super) units: ExtendedSums,
    pub(super) ways: Vec<ExtendedSums>,
    /// Number of clusters in each way of clustering.
    pub(super) clusters: Vec<u64>,
}

/// The passes of the `Influence` stage, and their sums so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InfluencePasses {
    /// Columns of each pass, and true if the draws of these columns belong to it.
    passes: Vec<(Vec<usize>, bool)>,
    pub(super) slices: u64,
    unit_draws: usize,
    cluster_draws: usize,
    bits: Bits,
    /// By way of clustering: sums over the slices of clusters so far, in the current pass.
    slice_sums: Vec<InfluencePartial>,
    pub(super) sums: InfluenceTotals,
}

impl InfluencePasses {
    pub(super) fn new(plan: &Plan, scale: &PassLimits) -> Self {
        let width = plan.extended_column_count();
        let ways = match plan.inference.cluster_variables {
            0 => 0,
            1 => 1,
            _ => 3,
        };
        // Two-way draws are Gaussian, computed from the covariance.
        let unit_draws = if ways == 0 { plan.inference.draws } else { 0 };
        let cluster_draws = if ways == 1 { plan.inference.draws } else { 0 };
        let passes = cut_column_passes(plan, scale.max_cells);
        // The sums of a single pass over all columns replace these zeros.
        let zero = |draws| match passes.len() {
            1 => ExtendedSums::new(0, 0),
            _ => ExtendedSums::new(width, draws),
        };
        let sums = InfluenceTotals {
            units: zero(unit_draws),
            ways: vec![zero(cluster_draws); ways],
            clusters: vec![0; ways],
        };
        Self {
            passes,
            slices: cluster_slices(plan, scale.clusters),
            unit_draws,
            cluster_draws,
            bits: Bits::new(plan.inference.seed, Domain::Cluster, plan.inference.multiplier),
            slice_sums: Vec::new(),
            sums,
        }
    }

    /// Returns the columns of a pass, and the number of its draws over units.
    pub(super) fn pass(&self, pass: usize) -> Option<(Vec<usize>, usize)> {
        let (columns, own) = self.passes.get(pass)?;
        Some((columns.clone(), if *own { self.unit_draws } else { 0 }))
    }

    pub(super) fn slice(&self, index: u64) -> Option<ClusterSlice> {
        (!self.sums.ways.is_empty()).then_some(ClusterSlice { index, count: self.slices })
    }

    pub(super) fn add(&mut self, plan: &Plan, (pass, slice): (usize, u64), sums: InfluenceSums) {
        let (columns, own) = &self.passes[pass];
        let single = self.passes.len() == 1;
        match single {
            true => self.sums.units = ExtendedSums::from_pass(sums.units),
            false => self.sums.units.place_columns(&sums.units, columns),
        }
        let draws = if *own { self.cluster_draws } else { 0 };
        if slice == 0 {
            self.slice_sums = vec![InfluencePartial::new(columns.len(), draws); self.sums.ways.len()];
        }
        for (part, clusters) in self.slice_sums.iter_mut().zip(&sums.clusters) {
            part.merge(&clusters_to_sums(clusters, plan.extended_column_count(), draws, &self.bits));
        }
        if slice + 1 == self.slices {
            for (way, part) in self.sums.ways.iter_mut().zip(std::mem::take(&mut self.slice_sums)) {
                match single {
                    true => *way = ExtendedSums::from_pass(part),
                    false => way.place_columns(&part, columns),
                }
            }
        }
        // Every pass of columns covers all clusters, slice by slice.
        if pass == 0 {
            for (count, own) in self.sums.clusters.iter_mut().zip(&sums.clusters) {
                *count += own.keys.len() as u64;
            }
        }
    }
}

/// Returns the extended columns of the passes, each with true if draws belong to it: a single pass over all columns,
/// or, with at most `max_cells` cells in a set, a pass for every pair of sets, since cells share controls and the
/// blocks between sets are not zero. Draws belong to the passes over one set.
pub fn cut_column_passes(plan: &Plan, max_cells: Option<usize>) -> Vec<(Vec<usize>, bool)> {
    let fixed = 1 + plan.targets.groups.len();
    let all: Vec<usize> = (fixed..plan.extended_column_count()).collect();
    let sets: Vec<&[usize]> = all.chunks(max_cells.unwrap_or(all.len()).max(1)).collect();
    let mut passes = Vec::new();
    for (i, a) in sets.iter().enumerate() {
        passes.push(((0..fixed).chain(a.iter().copied()).collect(), true));
        for b in &sets[i + 1..] {
            passes.push(((0..fixed).chain(a.iter().copied()).chain(b.iter().copied()).collect(), false));
        }
    }
    passes
}
