//! Derivatives of weighted cross products along the coefficients of a logit. A weight w(x'β) has the derivative w′ x_a along β_a, so that
//! the derivative of Σ w x_b x_c is Σ w′ x_a x_b x_c: every product of three columns is summed once, with the first of them leading.

use crate::block::multiply;
use crate::columns::{Columns, View};
use crate::cross_products::{add_cross, add_cross_symmetric, scale_columns};
use crate::subset_sums::BLOCK;

/// Sizes of the derivatives of Σ w x xᵀ and Σ w x Yᵀ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlopeShape {
    /// Coefficients: the first columns.
    pub coefficients: usize,
    /// Columns x.
    pub columns: usize,
    /// Columns Y; 0 for none.
    pub outcomes: usize,
}

impl SlopeShape {
    /// Number of columns from the leading one on.
    pub fn width(self, lead: usize) -> usize {
        self.columns - lead
    }

    /// Number of values of one leading column.
    fn block(self, lead: usize) -> usize {
        self.width(lead) * (self.width(lead) + self.outcomes)
    }

    /// First value of a leading column: its products row by row, of which the upper triangle is used, then those with the outcomes.
    pub fn start(self, lead: usize) -> usize {
        (0..lead).map(|lead| self.block(lead)).sum()
    }

    /// Number of values.
    pub fn len(self) -> usize {
        self.start(self.coefficients)
    }

    /// Returns true if there are no values.
    pub fn is_empty(self) -> bool {
        self.coefficients == 0
    }

    /// Returns Σ w′ (x'd) x xᵀ, columns × columns.
    pub(crate) fn squares_along(self, sums: &[f64], direction: &[f64]) -> Vec<f64> {
        let n = self.columns;
        let value = |a: usize, b: usize, c: usize| {
            let mut at = [a, b, c];
            at.sort_unstable();
            let [lead, row, column] = at;
            sums[self.start(lead) + (row - lead) * self.width(lead) + column - lead]
        };
        let along = |b: usize, c: usize| direction.iter().enumerate().map(|(a, d)| d * value(a, b, c)).sum();
        (0..n * n).map(|at| along((at / n).min(at % n), (at / n).max(at % n))).collect()
    }

    /// Returns Σ w′ (x'd) x Yᵀ, columns × outcomes.
    pub(crate) fn outcomes_along(self, sums: &[f64], direction: &[f64]) -> Vec<f64> {
        let value = |a: usize, b: usize, t: usize| {
            let (lead, row) = (a.min(b), a.max(b));
            let squares = self.width(lead) * self.width(lead);
            sums[self.start(lead) + squares + (row - lead) * self.outcomes + t]
        };
        let along = |b: usize, t: usize| direction.iter().enumerate().map(|(a, d)| d * value(a, b, t)).sum();
        (0..self.columns * self.outcomes).map(|at| along(at / self.outcomes, at % self.outcomes)).collect()
    }
}

/// Work space of [`add_slopes`].
#[derive(Clone, Debug)]
pub(crate) struct SlopeSpace {
    weights: Columns,
    scaled: Columns,
}

impl SlopeSpace {
    pub(crate) fn new(columns: usize) -> Self {
        Self { weights: Columns::zeros(BLOCK, 1), scaled: Columns::zeros(BLOCK, columns) }
    }
}

/// Adds a block; `weights` are the derivatives w′ by row.
pub(crate) fn add_slopes(
    shape: SlopeShape,
    design: View<'_>,
    outcomes: Option<View<'_>>,
    weights: &[f64],
    space: &mut SlopeSpace,
    sums: &mut [f64],
) {
    let rows = design.rows();
    for lead in 0..shape.coefficients {
        let (start, width) = (shape.start(lead), shape.width(lead));
        let (squares, products) = sums[start..start + shape.block(lead)].split_at_mut(width * width);
        let rest = design.from_column(lead);
        multiply(design.col(lead), &weights[..rows], &mut space.weights.col_mut(0)[..rows]);
        scale_columns(rest, &space.weights.col(0)[..rows], &mut space.scaled);
        let scaled = space.scaled.view(rows, width);
        add_cross_symmetric(scaled, rest, squares);
        if let Some(outcomes) = outcomes {
            add_cross(scaled, outcomes, products);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of made-up values.
    fn filled(rows: usize, count: usize, seed: u64) -> Columns {
        let mut columns = Columns::zeros(rows, count);
        let mut state = seed | 1;
        for j in 0..count {
            for value in columns.col_mut(j) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value = (state >> 40) as f64 / 8e6 - 1.0;
            }
        }
        columns
    }

    #[test]
    fn slopes_are_the_sums_row_by_row() {
        for (coefficients, columns, outcomes) in [(1, 1, 0), (3, 3, 2), (4, 5, 3), (6, 6, 0)] {
            let rows = 16;
            let (x, y) = (filled(rows, columns, 5), filled(rows, outcomes.max(1), 9));
            let weights = filled(rows, 1, 3);
            let shape = SlopeShape { coefficients, columns, outcomes };
            let mut sums = vec![0.0; shape.len()];
            let outcome_view = (outcomes > 0).then(|| y.view(rows, outcomes));
            add_slopes(
                shape,
                x.view(rows, columns),
                outcome_view,
                weights.col(0),
                &mut SlopeSpace::new(columns),
                &mut sums,
            );
            let direction: Vec<f64> = (0..coefficients).map(|a| 0.3 - a as f64).collect();
            let along = |row: usize| -> f64 {
                weights.col(0)[row] * (0..coefficients).map(|a| direction[a] * x.col(a)[row]).sum::<f64>()
            };
            let (squares, products) =
                (shape.squares_along(&sums, &direction), shape.outcomes_along(&sums, &direction));
            for b in 0..columns {
                for c in 0..columns {
                    let plain: f64 = (0..rows).map(|row| along(row) * x.col(b)[row] * x.col(c)[row]).sum();
                    assert!((squares[b * columns + c] - plain).abs() < 1e-12, "{b} {c}");
                }
                for t in 0..outcomes {
                    let plain: f64 = (0..rows).map(|row| along(row) * x.col(b)[row] * y.col(t)[row]).sum();
                    assert!((products[b * outcomes + t] - plain).abs() < 1e-12, "{b} {t}");
                }
            }
        }
    }
}
