//! Sums of the `Influence` passes over all extended columns Ψ.

use serde::{Deserialize, Serialize};
use stagger_estimator::influence::InfluencePartial;
use stagger_estimator::symmetric::Symmetric;

/// ΨᵀΨ over all extended columns, one triangle of it, and the sums for the draws.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExtendedSums {
    /// ΨᵀΨ, columns × columns.
    pub(super) cross: Symmetric,
    /// Number of draws; 0 without bootstrap.
    pub(super) draws: usize,
    /// Sums over the units, or clusters, whose multiplier bit is 1: `draws × columns`, row-major.
    pub(super) bit_sums: Vec<f64>,
}

impl ExtendedSums {
    /// Returns zero sums.
    pub(super) fn new(columns: usize, draws: usize) -> Self {
        let cross = Symmetric::from_fn(columns, |_, _| 0.0);
        Self { cross, draws, bit_sums: vec![0.0; draws * columns] }
    }

    /// Returns the sums of a pass over all columns.
    pub(super) fn from_pass(part: InfluencePartial) -> Self {
        let columns = part.columns;
        let cross = Symmetric::from_fn(columns, |i, j| part.cross[i * columns + j]);
        Self { cross, draws: part.draws, bit_sums: part.bit_sums }
    }

    /// Writes the sums of a pass over `columns` (ascending) to their places.
    pub(super) fn place_columns(&mut self, part: &InfluencePartial, columns: &[usize]) {
        for (i, &row) in columns.iter().enumerate() {
            for (j, &column) in columns[..=i].iter().enumerate() {
                self.cross.set(row, column, part.cross[i * part.columns + j]);
            }
        }
        let all = self.cross.size();
        for draw in 0..part.draws {
            for (j, &column) in columns.iter().enumerate() {
                self.bit_sums[draw * all + column] = part.bit_sums[draw * part.columns + j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(columns: &[usize], draws: usize) -> InfluencePartial {
        let entry =
            |i: usize, j: usize| (columns[i].max(columns[j]) * 100 + columns[i].min(columns[j])) as f64;
        let n = columns.len();
        InfluencePartial {
            columns: n,
            draws,
            cross: (0..n * n).map(|at| entry(at / n, at % n)).collect(),
            bit_sums: (0..draws * n).map(|at| (columns[at % n] * 10 + at / n) as f64).collect(),
        }
    }

    #[test]
    fn passes_over_pairs_of_sets_make_the_whole() {
        let whole = ExtendedSums::from_pass(part(&[0, 1, 2, 3, 4], 2));
        let mut placed = ExtendedSums::new(5, 2);
        placed.place_columns(&part(&[0, 1, 2], 2), &[0, 1, 2]);
        placed.place_columns(&part(&[0, 1, 2, 3, 4], 0), &[0, 1, 2, 3, 4]);
        placed.place_columns(&part(&[0, 3, 4], 2), &[0, 3, 4]);
        assert_eq!(placed.cross, whole.cross);
        assert_eq!(placed.bit_sums, whole.bit_sums);
    }
}
