//! Sums of the features over the units of a shard: second moments of their changes, totals, bootstrap draws.

use serde::{Deserialize, Serialize};

use super::covariance::{GroupMoments, Link};
use super::layout::FeatureLayout;
use crate::columns::{Columns, View};
use crate::cross_products::add_cross_symmetric;
use crate::dispatch::multiversion;
use crate::influence::ClusterPartial;
use crate::multipliers::Bits;
use crate::subset_sums::{BLOCK, BitSpace, DrawSums};
use crate::symmetric::Symmetric;

/// Sums over the units of one group; all lists are empty where there is no unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupSums {
    /// Number of units.
    pub units: u64,
    /// By feature: the constant that is subtracted from its change; 0 where it has no base.
    pub pivots: Vec<f64>,
    /// By feature: the position of the one that its pivot multiplies; its own where there is none.
    pub bases: Vec<u64>,
    /// Products of the changes less the pivots, features × features.
    pub moments: Symmetric,
    /// Sums of the features.
    pub totals: Vec<f64>,
    /// `draws × features`: sums of the features over the units whose multiplier bit is 1.
    pub bit_sums: Vec<f64>,
}

/// Sums over the units of a shard or of several, by group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureSums {
    /// One entry for each group.
    pub groups: Vec<GroupSums>,
}

impl FeatureSums {
    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        self.groups.iter_mut().zip(&other.groups).for_each(|(own, other)| own.merge(other));
    }
}

impl GroupSums {
    /// Adds the sums of other units of the group, whose pivots may differ.
    pub fn merge(&mut self, other: &Self) {
        if other.units == 0 {
            return;
        }
        if self.units == 0 {
            self.clone_from(other);
            return;
        }
        self.units += other.units;
        self.moments.add(&other.moments_at(&self.pivots));
        add(&mut self.totals, &other.totals);
        add(&mut self.bit_sums, &other.bit_sums);
    }

    /// Returns the moments about other pivots: a change moves by the difference of the pivots times its base.
    fn moments_at(&self, pivots: &[f64]) -> Symmetric {
        let moved: Vec<f64> = self.pivots.iter().zip(pivots).map(|(own, new)| own - new).collect();
        if moved.iter().all(|moved| *moved == 0.0) {
            return self.moments.clone();
        }
        let m = |i: usize, j: usize| self.moments.get(i, j);
        Symmetric::from_fn(self.pivots.len(), |i, j| {
            let (a, b) = (moved[i], moved[j]);
            let (p, q) = (self.bases[i] as usize, self.bases[j] as usize);
            let mut value = m(i, j);
            if a != 0.0 {
                value += a * m(p, j);
            }
            if b != 0.0 {
                value += b * m(i, q);
            }
            if a != 0.0 && b != 0.0 {
                value += a * b * m(p, q);
            }
            value
        })
    }

    /// Returns true if all lists have the length that `features` and `draws` ask for, as those of a file may not.
    pub fn fits(&self, features: usize, draws: usize) -> bool {
        let count = if self.units == 0 { 0 } else { features };
        self.pivots.len() == count
            && self.bases.len() == count
            && self.bases.iter().all(|&base| (base as usize) < count)
            && self.moments.size() == count
            && self.totals.len() == count
            && draws.checked_mul(count) == Some(self.bit_sums.len())
    }
}

fn add(into: &mut [f64], from: &[f64]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a += b;
    }
}

multiversion! {
    /// `out = values − previous − pivot · base`.
    fn change(values: &[f64], previous: &[f64], base: &[f64], pivot: f64, out: &mut [f64]) {
        for (((o, v), p), b) in out.iter_mut().zip(values).zip(previous).zip(base) {
            *o = v - p - pivot * b;
        }
    }
}

multiversion! {
    /// Sum of a column, in eight lanes.
    fn total(values: &[f64]) -> f64 {
        let mut lanes = [0.0; 8];
        for chunk in values.chunks(8) {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
    }
}

/// Running sums over the blocks of one group in one shard.
#[derive(Debug)]
pub struct FeatureSpace<'a> {
    layout: &'a FeatureLayout,
    draws: usize,
    changes: Columns,
    zeros: Vec<f64>,
    cross: Vec<f64>,
    units: u64,
    pivots: Vec<f64>,
    totals: Vec<f64>,
    bits: Option<DrawSums>,
}

impl<'a> FeatureSpace<'a> {
    /// Zero sums for the group of a layout; `draws` 0 for none.
    pub fn new(layout: &'a FeatureLayout, draws: usize) -> Self {
        let count = layout.len();
        Self {
            layout,
            draws,
            changes: Columns::zeros(BLOCK, count),
            zeros: vec![0.0; BLOCK],
            cross: vec![0.0; count * count],
            units: 0,
            pivots: vec![0.0; count],
            totals: vec![0.0; count],
            bits: (draws > 0).then(|| DrawSums::new(count, count, draws)),
        }
    }

    /// Adds a block of `units` units: `features` has one column for each feature, `keys` the units' multiplier keys.
    pub fn add_block(
        &mut self,
        features: View<'_>,
        units: usize,
        keys: &[u64],
        bits: &Bits,
        space: &mut BitSpace,
    ) {
        let (rows, count) = (features.rows(), self.layout.len());
        if let Some(sums) = &mut self.bits {
            sums.add_block(features, keys, bits, space);
        }
        let sums: Vec<f64> = (0..count).map(|at| total(features.col(at))).collect();
        if self.units == 0 {
            self.choose_pivots(&sums);
        }
        self.units += units as u64;
        add(&mut self.totals, &sums);
        for at in 0..count {
            let previous = self.layout.previous[at].map_or(&self.zeros[..rows], |p| features.col(p as usize));
            let base = self.layout.base[at].map_or(&self.zeros[..rows], |b| features.col(b as usize));
            change(features.col(at), previous, base, self.pivots[at], &mut self.changes.col_mut(at)[..rows]);
        }
        let changes = self.changes.view(rows, count);
        add_cross_symmetric(changes, changes, &mut self.cross);
    }

    /// Takes the mean changes of the first block as pivots: any constants are valid, and those near the mean keep the digits
    /// of the moments.
    fn choose_pivots(&mut self, sums: &[f64]) {
        for at in 0..self.layout.len() {
            let Some(base) = self.layout.base[at] else { continue };
            let previous = self.layout.previous[at].map_or(0.0, |p| sums[p as usize]);
            let mean = (sums[at] - previous) / sums[base as usize];
            self.pivots[at] = if mean.is_finite() { mean } else { 0.0 };
        }
    }

    /// Returns the sums.
    pub fn finish(self) -> GroupSums {
        if self.units == 0 {
            return GroupSums::default();
        }
        let count = self.layout.len();
        // The upper triangle is the one that is complete.
        let moments = Symmetric::from_fn(count, |i, j| self.cross[j * count + i]);
        let mut bit_sums = vec![0.0; self.draws * count];
        if let Some(sums) = &self.bits {
            sums.add_to(self.draws, &(0..count).collect::<Vec<_>>(), count, &mut bit_sums);
        }
        let bases = self.layout.base.iter().enumerate();
        let bases = bases.map(|(at, base)| base.map_or(at as u64, u64::from)).collect();
        GroupSums { units: self.units, pivots: self.pivots, bases, moments, totals: self.totals, bit_sums }
    }
}

/// Moments of cluster sums: of each group, and between groups with clusters in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterMoments {
    /// One entry for each group.
    pub groups: Vec<GroupMoments>,
    /// Moments between groups, ascending.
    pub links: Vec<Link>,
}

impl ClusterMoments {
    /// Adds the clusters of a slice: for each group the sums of its features by cluster. Pivots are those of the first slice
    /// that has clusters of a group.
    pub fn add_slice(&mut self, clusters: &[ClusterPartial], layouts: &[&FeatureLayout]) {
        let mut changes = Vec::with_capacity(clusters.len());
        for (index, (own, layout)) in clusters.iter().zip(layouts).enumerate() {
            if self.groups.len() == index {
                self.groups.push(GroupMoments::empty(0, layout.len()));
            }
            let group = &mut self.groups[index];
            if group.units == 0 {
                group.pivots = mean_changes(own, layout);
            }
            let of_group = changes_of(own, layout, &group.pivots);
            let rows = || of_group.chunks_exact(layout.len().max(1));
            group.units += own.keys.len() as u64;
            group
                .moments
                .add(&Symmetric::from_fn(layout.len(), |i, j| rows().map(|row| row[i] * row[j]).sum()));
            changes.push(of_group);
        }
        for a in 0..clusters.len() {
            for b in a + 1..clusters.len() {
                let found = link((a, b), [&clusters[a], &clusters[b]], [&changes[a], &changes[b]]);
                found.into_iter().for_each(|found| self.add_link(found));
            }
        }
    }

    fn add_link(&mut self, found: Link) {
        match self.links.binary_search_by_key(&(found.a, found.b), |link| (link.a, link.b)) {
            Ok(at) => add(&mut self.links[at].moments, &found.moments),
            Err(at) => self.links.insert(at, found),
        }
    }
}

/// Returns the mean changes of a group's features over its clusters.
fn mean_changes(clusters: &ClusterPartial, layout: &FeatureLayout) -> Vec<f64> {
    let mut totals = vec![0.0; layout.len()];
    clusters.sums.chunks_exact(layout.len().max(1)).for_each(|row| add(&mut totals, row));
    let pivot = |at: usize| {
        let base = layout.base[at]?;
        let previous = layout.previous[at].map_or(0.0, |p| totals[p as usize]);
        let mean = (totals[at] - previous) / totals[base as usize];
        mean.is_finite().then_some(mean)
    };
    (0..layout.len()).map(|at| pivot(at).unwrap_or(0.0)).collect()
}

/// Returns the changes of the cluster sums less the pivots, `clusters × features`.
fn changes_of(clusters: &ClusterPartial, layout: &FeatureLayout, pivots: &[f64]) -> Vec<f64> {
    let change = |row: &[f64], at: usize| {
        let previous = layout.previous[at].map_or(0.0, |p| row[p as usize]);
        row[at] - previous - layout.base[at].map_or(0.0, |b| pivots[at] * row[b as usize])
    };
    let rows = clusters.sums.chunks_exact(layout.len().max(1));
    rows.flat_map(|row| (0..layout.len()).map(move |at| change(row, at))).collect()
}

/// Returns the products between two groups over the clusters that have units of both.
fn link((a, b): (usize, usize), clusters: [&ClusterPartial; 2], changes: [&Vec<f64>; 2]) -> Option<Link> {
    let (m, n) = (clusters[0].columns, clusters[1].columns);
    let mut found: Option<Vec<f64>> = None;
    for (i, key) in clusters[0].keys.iter().enumerate() {
        let Ok(j) = clusters[1].keys.binary_search(key) else { continue };
        let moments = found.get_or_insert_with(|| vec![0.0; m * n]);
        let (left, right) = (&changes[0][i * m..(i + 1) * m], &changes[1][j * n..(j + 1) * n]);
        for (row, x) in moments.chunks_exact_mut(n.max(1)).zip(left) {
            row.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * y);
        }
    }
    found.map(|moments| Link { a, b, moments })
}
