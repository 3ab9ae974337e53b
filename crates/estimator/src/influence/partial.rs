//! `Influence`: ΨᵀΨ and the bootstrap sums over the extended columns.

use serde::{Deserialize, Serialize};

use crate::columns::View;
use crate::cross_products::add_cross_symmetric;
use crate::multipliers::Bits;
use crate::subset_sums::{BitSpace, DrawSums};

/// Sums over all extended columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InfluencePartial {
    /// Number of extended columns.
    pub columns: usize,
    /// Number of draws; 0 without.
    pub draws: usize,
    /// ΨᵀΨ, row by row, both triangles.
    pub cross: Vec<f64>,
    /// `draws × columns`: sums over the units whose multiplier bit is 1.
    pub bit_sums: Vec<f64>,
}

impl InfluencePartial {
    /// Zero sums.
    pub fn new(columns: usize, draws: usize) -> Self {
        Self { columns, draws, cross: vec![0.0; columns * columns], bit_sums: vec![0.0; draws * columns] }
    }

    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.cross.iter_mut().zip(&other.cross) {
            *a += b;
        }
        for (a, b) in self.bit_sums.iter_mut().zip(&other.bit_sums) {
            *a += b;
        }
    }

    /// Adds the sums of one stratum of a shard.
    pub fn add_stratum(&mut self, sums: &StratumSums) {
        let local = sums.columns.len();
        for (i, &row) in sums.columns.iter().enumerate() {
            for (j, &column) in sums.columns.iter().enumerate() {
                // The products are there once: those of the pair (i, j) at the smaller index first.
                self.cross[row * self.columns + column] += sums.cross[i.min(j) * local + i.max(j)];
            }
        }
        if let Some(draws) = &sums.draws {
            draws.add_to(self.draws, &sums.columns, self.columns, &mut self.bit_sums);
        }
    }
}

/// Sums over the units of one stratum, which enter few of the extended columns.
#[derive(Clone, Debug)]
pub struct StratumSums {
    columns: Vec<usize>,
    cross: Vec<f64>,
    draws: Option<DrawSums>,
}

impl StratumSums {
    /// Zero sums for the extended columns `columns`, of the `all` that the stratum enters; `draws` 0 for none.
    pub fn new(columns: Vec<usize>, all: usize, draws: usize) -> Self {
        let cross = vec![0.0; columns.len() * columns.len()];
        let draws = (draws > 0).then(|| DrawSums::new(columns.len(), all, draws));
        Self { columns, cross, draws }
    }

    /// The extended columns, in the order of the block's columns.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Adds a block of influence values; `keys` are the multiplier keys of its units.
    pub fn add_block(&mut self, psi: View<'_>, keys: &[u64], bits: &Bits, space: &mut BitSpace) {
        add_cross_symmetric(psi, psi, &mut self.cross);
        if let Some(draws) = &mut self.draws {
            draws.add_block(psi, keys, bits, space);
        }
    }
}
