//! Cluster sums of influence values, and what becomes of them: SᵀS and cluster-keyed draws (FORMULAS §4–§5).

use serde::{Deserialize, Serialize};

use super::InfluencePartial;
use crate::columns::{Columns, padded};
use crate::cross_products::{add_cross_symmetric, mirror};
use crate::multipliers::Bits;
use crate::subset_sums::{BLOCK, BitSpace, DrawSums};

/// Sums of the extended columns by cluster, clusters in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterPartial {
    /// Number of extended columns.
    pub columns: usize,
    /// Cluster keys, ascending.
    pub keys: Vec<u64>,
    /// `clusters × columns`.
    pub sums: Vec<f64>,
}

impl ClusterPartial {
    /// Sums for the clusters `keys` (ascending, distinct), all zero.
    pub fn new(columns: usize, keys: Vec<u64>) -> Self {
        let sums = vec![0.0; keys.len() * columns];
        Self { columns, keys, sums }
    }

    /// Adds `value` to a cluster's column; clusters that are not in this partial are skipped.
    #[inline]
    pub fn add(&mut self, cluster: usize, column: usize, value: f64) {
        self.sums[cluster * self.columns + column] += value;
    }

    /// Adds the sums of another part of the data; a cluster may be in both.
    pub fn merge(&mut self, other: &Self) {
        if self.keys == other.keys {
            for (a, b) in self.sums.iter_mut().zip(&other.sums) {
                *a += b;
            }
            return;
        }
        let mut merged = Self { columns: self.columns, ..Self::default() };
        let (mut i, mut j) = (0, 0);
        while i < self.keys.len() || j < other.keys.len() {
            let left = self.keys.get(i).copied();
            let right = other.keys.get(j).copied();
            let (take_left, take_right) = match (left, right) {
                (Some(l), Some(r)) => (l <= r, r <= l),
                (l, r) => (l.is_some(), r.is_some()),
            };
            merged.keys.push(if take_left { left } else { right }.unwrap_or_default());
            let row = if take_left {
                &self.sums[i * self.columns..(i + 1) * self.columns]
            } else {
                &other.sums[j * self.columns..(j + 1) * self.columns]
            };
            merged.sums.extend_from_slice(row);
            if take_left && take_right {
                let start = merged.sums.len() - self.columns;
                for (a, b) in merged.sums[start..].iter_mut().zip(&other.sums[j * self.columns..]) {
                    *a += b;
                }
            }
            i += usize::from(take_left);
            j += usize::from(take_right);
        }
        *self = merged;
    }
}

/// SᵀS over all clusters of a (complete) partial and, where asked for, draws with cluster-keyed multipliers. The partial
/// may hold some of `all` extended columns.
pub fn clusters_to_sums(
    clusters: &ClusterPartial,
    all: usize,
    draws: usize,
    bits: &Bits,
) -> InfluencePartial {
    let columns = clusters.columns;
    let mut out = InfluencePartial::new(columns, draws);
    let mut sums = (draws > 0).then(|| DrawSums::new(columns, all, draws));
    let mut space = BitSpace::new(draws);
    let mut block = Columns::zeros(BLOCK, columns);
    for (keys, rows) in clusters.keys.chunks(BLOCK).zip(clusters.sums.chunks(BLOCK * columns)) {
        for column in 0..columns {
            let target = block.col_mut(column);
            target.fill(0.0);
            for (value, row) in target.iter_mut().zip(rows.chunks(columns)) {
                *value = row[column];
            }
        }
        let psi = block.view(padded(keys.len()), columns);
        add_cross_symmetric(psi, psi, &mut out.cross);
        if let Some(sums) = &mut sums {
            sums.add_block(psi, keys, bits, &mut space);
        }
    }
    mirror(&mut out.cross, columns);
    if let Some(sums) = &sums {
        let own: Vec<usize> = (0..columns).collect();
        sums.add_to(draws, &own, columns, &mut out.bit_sums);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn partial(rows: &[(u64, f64)]) -> ClusterPartial {
        let mut by_key = BTreeMap::new();
        for (key, value) in rows {
            *by_key.entry(*key).or_insert(0.0) += value;
        }
        ClusterPartial {
            columns: 1,
            keys: by_key.keys().copied().collect(),
            sums: by_key.values().copied().collect(),
        }
    }

    proptest! {
        #[test]
        fn merging_is_adding_by_key(
            a in prop::collection::vec((0u64..20, -4i32..4), 0..30),
            b in prop::collection::vec((0u64..20, -4i32..4), 0..30),
        ) {
            let real = |rows: &[(u64, i32)]| rows.iter().map(|(k, v)| (*k, f64::from(*v))).collect::<Vec<_>>();
            let (a, b) = (real(&a), real(&b));
            let mut left = partial(&a);
            left.merge(&partial(&b));
            let both: Vec<_> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(left, partial(&both));
        }
    }
}
