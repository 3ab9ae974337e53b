//! Sums of the features over units and clusters, and the factor of the covariance that they make.

use std::collections::HashMap;

use faer::Mat;
use serde::{Deserialize, Serialize};
use stagger_estimator::factor::{
    ClusterMoments, Factor, FactorSpace, Feature, FeatureDraws, FeatureLayout, FeatureSums, GroupMoments,
    GroupSums, Link, draw_matrix, round_draw,
};
use stagger_estimator::influence::{ClusterPartial, clusters_to_sums};
use stagger_estimator::moments::Correction;
use stagger_estimator::multipliers::{Bits, Domain};
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::symmetric::Symmetric;
use stagger_model::parallel::{available_cores, map};
use stagger_model::result::MAX_VCOV_CELLS;

use super::feature_terms::Terms;
use super::sequence::feature_slices;
use super::steps::PassLimits;
use crate::partial::FeaturePartial;
use crate::plan::Plan;
use crate::stage::{ClusterSlice, StageInput};

/// The passes of the `Features` stage, and their sums so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FeaturePasses {
    /// Number of slices of clusters; 1 without clusters.
    pub(super) slices: u64,
    clustered: bool,
    draws: usize,
    bits: Bits,
    /// Over units.
    sums: FeatureSums,
    /// Over clusters.
    clusters: ClusterSums,
}

/// Sums over clusters.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ClusterSums {
    moments: ClusterMoments,
    /// By group, `draws × features`: sums over the clusters whose multiplier bit is 1.
    bit_sums: Vec<Vec<f64>>,
    /// Number of distinct clusters.
    count: u64,
}

impl FeaturePasses {
    /// Returns no sums; `None` for a plan without features.
    pub(super) fn new(plan: &Plan, limits: &PassLimits) -> Option<Self> {
        plan.features.as_ref()?;
        Some(Self {
            slices: feature_slices(plan, limits.clusters),
            clustered: plan.inference.cluster_variables > 0,
            draws: plan.inference.draws,
            bits: Bits::new(plan.inference.seed, Domain::Cluster, plan.inference.multiplier),
            sums: FeatureSums::default(),
            clusters: ClusterSums::default(),
        })
    }

    /// Returns the input of the pass over a slice of clusters; the first one has all other sums, too.
    pub(super) fn input(&self, slice: u64) -> StageInput {
        StageInput::Features {
            draws: if self.clustered { 0 } else { self.draws },
            clusters: self.clustered.then_some(ClusterSlice { index: slice, count: self.slices }),
        }
    }

    /// Takes the sums of a pass; returns its cross products.
    pub(super) fn add(&mut self, plan: &Plan, partial: FeaturePartial) -> Option<GramPartial> {
        if partial.gram.is_some() {
            self.sums = partial.sums;
        }
        if let (true, Some(planned)) = (self.clustered, &plan.features) {
            let layouts: Vec<&FeatureLayout> = planned.group_layouts().collect();
            self.clusters.add_slice(&partial.clusters, &layouts, self.draws, &self.bits);
        }
        partial.gram
    }

    /// Returns the sums with the combinations of features that the extended columns are.
    pub(super) fn finish(self, plan: &Plan, corrections: &[Option<Correction>]) -> FeatureTotals {
        let Self { clustered, draws, sums, clusters, .. } = self;
        let terms = Terms::new(plan, corrections);
        FeatureTotals { terms, draws, sums, clusters: clustered.then_some(clusters) }
    }
}

impl ClusterSums {
    fn add_slice(
        &mut self,
        clusters: &[ClusterPartial],
        layouts: &[&FeatureLayout],
        draws: usize,
        bits: &Bits,
    ) {
        self.moments.add_slice(clusters, layouts);
        let mut keys: Vec<u64> = clusters.iter().flat_map(|own| own.keys.iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        self.count += keys.len() as u64;
        self.bit_sums.resize_with(clusters.len(), Vec::new);
        for (sums, own) in self.bit_sums.iter_mut().zip(clusters).filter(|_| draws > 0) {
            sums.resize(draws * own.columns, 0.0);
            let found = clusters_to_sums(own, own.columns, draws, bits);
            sums.iter_mut().zip(found.bit_sums).for_each(|(a, b)| *a += b);
        }
    }
}

/// All sums of the features of a specification.
pub(super) struct FeatureTotals {
    terms: Terms,
    draws: usize,
    sums: FeatureSums,
    clusters: Option<ClusterSums>,
}

impl FeatureTotals {
    /// Returns the number of clusters; `None` without.
    pub(super) fn clusters(&self) -> Option<u64> {
        self.clusters.as_ref().map(|clusters| clusters.count)
    }

    /// Returns p_g of each group (FORMULAS §6).
    pub(super) fn shares(&self, plan: &Plan) -> Vec<f64> {
        let share = plan.canonical_feature(Feature::Share);
        let Some(planned) = &plan.features else { return Vec::new() };
        let Ok(id) = u32::try_from(planned.features.iter().position(|f| *f == share).unwrap_or(usize::MAX))
        else {
            return vec![0.0; plan.targets.groups.len()];
        };
        let strata: HashMap<u64, usize> =
            plan.targets.groups.iter().enumerate().map(|(at, group)| (group.to_bits(), at)).collect();
        let mut out = vec![0.0; plan.targets.groups.len()];
        for (group, sums) in self.sums.groups.iter().enumerate().filter(|(_, sums)| sums.units > 0) {
            let cohort = plan.sample.strata[planned.stratum(group)].cohort;
            let place = planned.layout(group).position(id);
            if let (Some(&at), Some(place)) = (strata.get(&cohort.to_bits()), place) {
                out[at] += sums.totals[place];
            }
        }
        out.iter().map(|sum| sum / plan.sample.n as f64).collect()
    }

    /// Returns ΨᵀΨ over units, divided by `divisor`.
    pub(super) fn over_units(&self, plan: &Plan, divisor: f64) -> Factor {
        let groups = self.sums.groups.iter().map(|sums| match sums.units {
            0 => None,
            units => Some((units, sums.pivots.clone(), sums.moments.clone())),
        });
        self.terms.factor(plan, groups, Vec::new(), divisor)
    }

    /// Returns SᵀS of the cluster sums S, divided by `divisor`; over units without clusters.
    pub(super) fn over_clusters(&self, plan: &Plan, divisor: f64) -> Factor {
        let Some(ClusterSums { moments, .. }) = &self.clusters else { return self.over_units(plan, divisor) };
        let groups = moments.groups.iter().map(|GroupMoments { units, pivots, moments, .. }| {
            Some((*units, pivots.clone(), moments.clone()))
        });
        self.terms.factor(plan, groups, moments.links.clone(), divisor)
    }

    /// Returns the draws of the extended columns, draws × columns, multiplied by `scale`; `None` without a bootstrap. The sums
    /// that they are made of are given up.
    pub(super) fn draws(&mut self, plan: &Plan, factor: &Factor, scale: f64) -> Option<Mat<f64>> {
        if self.draws == 0 {
            return None;
        }
        let draws = self.draws;
        let Self { sums, clusters, .. } = self;
        let mut of_group = |(group, sums): (usize, &mut GroupSums)| {
            let own = clusters.as_mut().map_or(&mut sums.bit_sums, |own| &mut own.bit_sums[group]);
            feature_draws(plan, &sums.totals, &std::mem::take(own), draws, scale)
        };
        let groups = sums.groups.iter_mut().enumerate().map(&mut of_group).collect();
        let features = FeatureDraws::new(factor, groups, draws);
        let columns = factor.size();
        let round = if columns > MAX_VCOV_CELLS { round_draw } else { std::convert::identity };
        let parts = columns.div_ceil(COLUMNS_AT_A_TIME);
        let of = |part: usize| {
            let first = part * COLUMNS_AT_A_TIME;
            Ok(draw_matrix(factor, &features, first..(first + COLUMNS_AT_A_TIME).min(columns), round))
        };
        let parts = map(available_cores(), parts, of).unwrap_or_default();
        let mut out = Mat::zeros(draws, columns);
        for (part, own) in parts.iter().enumerate() {
            let first = part * COLUMNS_AT_A_TIME;
            out.as_mut().subcols_mut(first, own.ncols()).copy_from(own);
        }
        Some(out)
    }
}

/// Extended columns whose variances or draws a thread computes at a time.
const COLUMNS_AT_A_TIME: usize = 64;

/// Computes the variances of all extended columns.
fn variances(factor: &Factor) -> Vec<f64> {
    let parts = factor.size().div_ceil(COLUMNS_AT_A_TIME);
    let of = |part: usize| {
        let mut space = FactorSpace::new(factor);
        let first = part * COLUMNS_AT_A_TIME;
        let own = first..(first + COLUMNS_AT_A_TIME).min(factor.size());
        Ok(own.map(|column| factor.quadratic(&[(column, 1.0)], &mut space)).collect::<Vec<f64>>())
    };
    map(available_cores(), parts, of).unwrap_or_default().concat()
}

/// Σ v Φ of every draw from the sums over the units, or clusters, whose multiplier bit is 1: features × draws.
fn feature_draws(plan: &Plan, totals: &[f64], bit_sums: &[f64], draws: usize, scale: f64) -> Vec<f64> {
    let (two, count) = (plan.inference.multiplier, totals.len());
    let mut sums = vec![0.0; count * draws];
    for (draw, row) in bit_sums.chunks_exact(count.max(1)).enumerate() {
        for (place, (sum, total)) in row.iter().zip(totals).enumerate() {
            sums[place * draws + draw] = scale * (two.low * total + (two.high - two.low) * sum);
        }
    }
    sums
}

impl Terms {
    /// Returns the factor of moments by group; `None` where a group has no unit.
    fn factor(
        &self,
        plan: &Plan,
        groups: impl Iterator<Item = Option<(u64, Vec<f64>, Symmetric)>>,
        links: Vec<Link>,
        divisor: f64,
    ) -> Factor {
        let planned = plan.features.as_ref();
        let layout = |group: usize| planned.map_or(0, |planned| planned.groups[group]);
        let features = |group: usize| planned.map_or(0, |planned| planned.layout(group).len());
        let groups = groups.enumerate().map(|(group, own)| match own {
            Some((units, pivots, moments)) => GroupMoments { layout: layout(group), units, pivots, moments },
            None => GroupMoments::empty(layout(group), features(group)),
        });
        let mut factor = Factor {
            layouts: planned.map(|planned| planned.layouts.clone()).unwrap_or_default(),
            groups: groups.collect(),
            links,
            sets: self.sets.clone(),
            columns: self.columns.clone(),
            divisor,
            variances: Vec::new(),
        };
        factor.variances = variances(&factor);
        factor
    }
}
