//! `Moments`: the odds-weighted cross products of the controls and the Hessian of every logit, at its final coefficients or one step
//! before them, with the derivatives by which the step is made.

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::cross_products::{add_cross, add_cross_symmetric, mirror, scale_columns};
use crate::dispatch::multiversion;
use crate::lanes::{F64x8, LANES};
use crate::linear::dot;
use crate::propensity::{linear_indices, logistic};
use crate::slopes::{SlopeShape, SlopeSpace, add_slopes};
use crate::subset_sums::BLOCK;

/// Largest score (FORMULAS §3.1): p ← min(p, 1 − 1e-6).
const SCORE_CAP: f64 = 1.0 - 1e-6;
/// Controls with a score from here on get weight 0.
pub(crate) const TRIM: f64 = 0.995;

/// R's triplediff warns where many scores lie below this (FORMULAS §7.1).
const LOW_SCORE: f64 = 1e-3;

/// Sizes of the sums of one logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentsShape {
    /// Design columns, the ones column included.
    pub columns: usize,
    /// Regressors.
    pub regressors: usize,
    /// Periods.
    pub periods: usize,
    /// True if derivatives along the coefficients are summed, too.
    pub sloped: bool,
}

impl MomentsShape {
    /// Number of values of a slot without its derivatives.
    pub fn plain_len(&self) -> usize {
        self.regressors * self.regressors + self.columns * self.columns + self.columns * self.periods + 2
    }

    /// Number of values of a slot.
    pub fn len(&self) -> usize {
        let slopes = if self.sloped { self.hessian_slopes().len() + self.odds_slopes().len() } else { 0 };
        self.plain_len() + slopes
    }

    /// Returns true if a slot has no values.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// Sizes of the derivatives of the Hessian.
    pub fn hessian_slopes(&self) -> SlopeShape {
        SlopeShape { coefficients: self.regressors, columns: self.regressors, outcomes: 0 }
    }

    /// Sizes of the derivatives of the odds-weighted products.
    pub fn odds_slopes(&self) -> SlopeShape {
        SlopeShape { coefficients: self.regressors, columns: self.columns, outcomes: self.periods }
    }
}

/// Sums of the slots: (logit, frame) pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MomentsPartial {
    /// Sizes.
    pub shape: MomentsShape,
    /// `slots × (Hessian, odds-weighted XᵀX, odds-weighted XᵀY, trimmed controls, rows of low score)`; then derivatives of the Hessian,
    /// and of the odds-weighted products.
    pub sums: Vec<f64>,
    /// With derivatives `slots × 3`: the largest x'x; minus the smallest distance of an index from where a row's weight jumps; the
    /// same from where a row counts as low. Without them none.
    pub extremes: Vec<f64>,
}

/// Relative error that a step may leave in a weighted sum.
const STEP_ERROR: f64 = 1e-11;
/// Distance by which an index must stay clear of a bound beside its change: its own rounding.
const INDEX_ROUNDING: f64 = 1e-12;
/// log(p/(1 − p)) of [`SCORE_CAP`].
const CAP_INDEX: f64 = 13.815_509_557_963_773;
/// The same of [`TRIM`].
const TRIM_INDEX: f64 = 5.293_304_824_724_492;
/// The same of [`LOW_SCORE`].
const LOW_INDEX: f64 = -6.906_754_778_648_554;

/// Sums of one logit over the rows of one frame, triangles completed.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitMoments {
    /// Sizes.
    pub shape: MomentsShape,
    /// Σ w p(1 − p) x xᵀ over treated and controls, row by row.
    pub hessian: Vec<f64>,
    /// Σ_C w_C x xᵀ, w_C = w p/(1 − p) of untrimmed controls.
    pub odds: Vec<f64>,
    /// Σ_C w_C x Yᵀ.
    pub outcomes: Vec<f64>,
    /// Controls whose score reached the trimming bound.
    pub trimmed: f64,
    /// Rows with a score below 0.001.
    pub low: f64,
}

/// Work space of the kernel.
#[derive(Clone, Debug)]
pub struct MomentsSpace {
    rows: Columns,
    scaled: Columns,
    slopes: SlopeSpace,
}

impl MomentsSpace {
    /// Space for blocks of `columns` design columns.
    pub fn new(columns: usize) -> Self {
        Self {
            rows: Columns::zeros(BLOCK, 5),
            scaled: Columns::zeros(BLOCK, columns),
            slopes: SlopeSpace::new(columns),
        }
    }
}

impl MomentsPartial {
    /// Zero sums.
    pub fn new(slots: usize, shape: MomentsShape) -> Self {
        let extremes = if shape.sloped { slots * 3 } else { 0 };
        Self { shape, sums: vec![0.0; slots * shape.len()], extremes: vec![f64::NEG_INFINITY; extremes] }
    }

    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.sums.iter_mut().zip(&other.sums) {
            *a += b;
        }
        for (a, b) in self.extremes.iter_mut().zip(&other.extremes) {
            *a = a.max(*b);
        }
    }

    /// The derivatives that are summed for a slot; empty without them.
    fn slopes(&self, index: usize) -> &[f64] {
        let len = self.shape.len();
        &self.sums[index * len + self.shape.plain_len()..(index + 1) * len]
    }

    /// Tells if the sums of a slot, moved by [`Self::moved`], are those at coefficients that are `step` further on, to a relative
    /// 1e-11 of the sum of their absolute terms: no row's weight may jump, and the weights' second derivatives must be small
    /// enough. `low`: the count of rows of low score must not change either.
    ///
    /// A weight e^η or p(1 − p) changes along η by a factor of at most e^r with r = max|x'd|, and its second derivative is at most
    /// itself, so that two terms of its series leave at most e^r r²/2 of it.
    pub fn reaches(&self, index: usize, step: &[f64], low: bool) -> bool {
        let Some([square, jump, count]) = self.extremes.get(index * 3..index * 3 + 3) else { return false };
        let reach = (square.max(0.0) * dot(step, step)).sqrt();
        let clear = |distance: f64| -distance > reach + INDEX_ROUNDING;
        let left = libm::exp(reach) * reach * reach / 2.0;
        left <= STEP_ERROR && clear(*jump) && (!low || clear(*count))
    }

    /// Returns the sums at coefficients that lie a step further on, for every slot; derivatives are left out.
    pub fn moved(&self, steps: &[Vec<f64>]) -> Self {
        let shape = MomentsShape { sloped: false, ..self.shape };
        let mut out = Self::new(steps.len(), shape);
        for (index, (step, own)) in
            steps.iter().zip(out.sums.chunks_exact_mut(shape.len().max(1))).enumerate()
        {
            let len = self.shape.len();
            own.copy_from_slice(&self.sums[index * len..index * len + shape.len()]);
            self.move_slot(index, step, own);
        }
        out
    }

    fn move_slot(&self, index: usize, step: &[f64], sums: &mut [f64]) {
        let shape = self.shape;
        if !shape.sloped || step.iter().all(|d| *d == 0.0) {
            return;
        }
        let (first, others) = sums.split_at_mut(shape.regressors * shape.regressors);
        let (second, others) = others.split_at_mut(shape.columns * shape.columns);
        let [hessian, odds, outcomes] = self.changes(index, step);
        add(first, &hessian);
        add(second, &odds);
        add(others, &outcomes);
    }

    /// Returns the changes of a slot's Hessian, odds-weighted XᵀX and XᵀY to first order when the coefficients move by `step`.
    pub fn changes(&self, index: usize, step: &[f64]) -> [Vec<f64>; 3] {
        let (hessian, odds) = (self.shape.hessian_slopes(), self.shape.odds_slopes());
        let (own, rest) = self.slopes(index).split_at(hessian.len());
        [hessian.squares_along(own, step), odds.squares_along(rest, step), odds.outcomes_along(rest, step)]
    }

    /// The sums of one slot.
    pub fn slot(&self, index: usize) -> LogitMoments {
        let shape = self.shape;
        let (k, n) = (shape.regressors, shape.columns);
        let sums = &self.sums[index * shape.len()..(index + 1) * shape.len()];
        let (hessian, rest) = sums.split_at(k * k);
        let (odds, rest) = rest.split_at(n * n);
        let (mut hessian, mut odds) = (hessian.to_vec(), odds.to_vec());
        mirror(&mut hessian, k);
        mirror(&mut odds, n);
        let (outcomes, trimmed) = rest.split_at(n * shape.periods);
        let shape = MomentsShape { sloped: false, ..shape };
        LogitMoments {
            shape,
            hessian,
            odds,
            outcomes: outcomes.to_vec(),
            trimmed: trimmed[0],
            low: trimmed[1],
        }
    }
}

fn add(into: &mut [f64], from: &[f64]) {
    into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
}

/// Adds a block to the sums of slot `index` at coefficients `beta`.
pub fn add_moments(
    partial: &mut MomentsPartial,
    index: usize,
    block: &Block<'_>,
    treated: bool,
    beta: &[f64],
    space: &mut MomentsSpace,
) {
    let shape = partial.shape;
    let (k, n, rows) = (shape.regressors, shape.columns, block.design.rows());
    let sums = &mut partial.sums[index * shape.len()..(index + 1) * shape.len()];
    let (hessian, rest) = sums.split_at_mut(k * k);
    let (odds, rest) = rest.split_at_mut(n * n);
    let (outcomes, rest) = rest.split_at_mut(n * shape.periods);
    let (trimmed, slopes) = rest.split_at_mut(2);
    let design = View::new(block.design.col_span(k), block.design.stride(), rows, k);
    let [own, low] = score_rows(design, beta, block.weights, block.used, treated, &mut space.rows);
    trimmed[0] += own;
    trimmed[1] += low;
    scale_columns(design, &space.rows.col(2)[..rows], &mut space.scaled);
    add_cross_symmetric(space.scaled.view(rows, k), design, hessian);
    if !treated {
        scale_columns(block.design, &space.rows.col(1)[..rows], &mut space.scaled);
        let scaled = space.scaled.view(rows, n);
        add_cross_symmetric(scaled, block.design, odds);
        add_cross(scaled, block.outcomes, outcomes);
    }
    if let Some(extremes) = partial.extremes.get_mut(index * 3..index * 3 + 3) {
        let found = slope_rows(design, beta, block.used, treated, &mut space.rows);
        extremes.iter_mut().zip(found).for_each(|(a, b)| *a = a.max(b));
        let (hessian, odds) = slopes.split_at_mut(shape.hessian_slopes().len());
        add_slopes(shape.hessian_slopes(), design, None, space.rows.col(3), &mut space.slopes, hessian);
        if !treated {
            let (shape, weights) = (shape.odds_slopes(), space.rows.col(1));
            add_slopes(shape, block.design, Some(block.outcomes), weights, &mut space.slopes, odds);
        }
    }
}

multiversion! {
    /// Takes the rows that [`score_rows`] wrote, and writes the derivative of w p(1 − p) along the index to the fourth column;
    /// the fifth is work space. Returns the largest x'x, and minus the smallest distances of an index from a jump of the row's
    /// weight and from the bound of low scores.
    fn slope_rows(design: View<'_>, beta: &[f64], used: &[f64], treated: bool, out: &mut Columns) -> [f64; 3] {
        let rows = design.rows();
        let used = &used[..rows];
        let [scores, _, variances, bends, etas] = out.first_mut::<5>(rows);
        linear_indices(&design, beta, etas);
        for row in 0..rows {
            let slope = variances[row] * (1.0 - 2.0 * scores[row]);
            bends[row] = if scores[row] < SCORE_CAP { slope } else { 0.0 };
        }
        let bound = F64x8::splat(if treated { CAP_INDEX } else { TRIM_INDEX });
        let (none, half) = (F64x8::splat(f64::NEG_INFINITY), F64x8::splat(0.5));
        let (mut squares, mut jumps, mut lows) = (none, none, none);
        for row in (0..rows).step_by(LANES) {
            let (eta, used) = (F64x8::load(etas, row), F64x8::load(used, row));
            let mut square = F64x8::ZERO;
            for j in 0..design.count() {
                let x = F64x8::load(design.col(j), row);
                square = x.fma(x, square);
            }
            let below = |bound: F64x8| {
                let gap = eta - bound;
                F64x8::ZERO - gap.max(F64x8::ZERO - gap)
            };
            squares = squares.max(square);
            jumps = jumps.max(used.select_less(half, none, below(bound)));
            lows = lows.max(used.select_less(half, none, below(F64x8::splat(LOW_INDEX))));
        }
        [squares, jumps, lows].map(|lanes| lanes.0.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}

multiversion! {
    /// Writes the capped score p, the odds weight w p/(1 − p) of untrimmed units and w p(1 − p) to three columns; returns
    /// how many controls were trimmed, and how many rows have a low score.
    pub(crate) fn score_rows(
        design: View<'_>, beta: &[f64], weights: &[f64], used: &[f64], treated: bool, out: &mut Columns
    ) -> [f64; 2] {
        let rows = design.rows();
        let (weights, used) = (&weights[..rows], &used[..rows]);
        let [scores, odds, variances] = out.first_mut::<3>(rows);
        linear_indices(&design, beta, scores);
        for row in 0..rows {
            let (p, q, _) = logistic(scores[row]);
            let p = if p < SCORE_CAP { p } else { SCORE_CAP };
            let q = if q > 1.0 - SCORE_CAP { q } else { 1.0 - SCORE_CAP };
            let kept = if p < TRIM { 1.0 } else { 0.0 };
            scores[row] = p;
            odds[row] = weights[row] * kept * (p / q);
            variances[row] = weights[row] * p * q;
        }
        let (mut trimmed, mut low) = (F64x8::ZERO, F64x8::ZERO);
        for row in (0..rows).step_by(LANES) {
            let (p, u) = (F64x8::load(scores, row), F64x8::load(used, row));
            trimmed = trimmed + p.select_less(F64x8::splat(TRIM), F64x8::ZERO, u);
            low = low + p.select_less(F64x8::splat(LOW_SCORE), u, F64x8::ZERO);
        }
        [if treated { 0.0 } else { trimmed.sum() }, low.sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 64;
    const BETA: [f64; 3] = [-0.3, 0.4, -0.2];

    /// An intercept, covariates and outcomes of made-up values up to 2 in size.
    fn filled(count: usize, seed: u64) -> Columns {
        let mut columns = Columns::zeros(BLOCK, count);
        let mut state = seed | 1;
        for j in 0..count {
            for value in &mut columns.col_mut(j)[..ROWS] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value = (state >> 40) as f64 / 4.2e6 - 2.0;
            }
        }
        columns
    }

    fn moments(beta: &[f64], sloped: bool, design: &Columns) -> MomentsPartial {
        let outcomes = filled(2, 9);
        let ones = [1.0; BLOCK];
        let shape = MomentsShape { columns: 3, regressors: 3, periods: 2, sloped };
        let mut out = MomentsPartial::new(1, shape);
        let block = Block {
            design: design.view(ROWS, 3),
            regressors: 3,
            ones: 0,
            weights: &ones[..ROWS],
            used: &ones[..ROWS],
            outcomes: outcomes.view(ROWS, 2),
        };
        for treated in [false, true] {
            add_moments(&mut out, 0, &block, treated, beta, &mut MomentsSpace::new(3));
        }
        out
    }

    fn design() -> Columns {
        let mut design = filled(3, 5);
        design.col_mut(0)[..ROWS].fill(1.0);
        design
    }

    #[test]
    fn moments_are_moved_as_exactly_as_the_bound_says() {
        let (design, from) = (design(), moments(&BETA, true, &design()));
        for (size, within) in [(1e-9, true), (4e-7, true), (1e-5, false), (1.0, false)] {
            let step = [0.6 * size, -0.5 * size, 0.4 * size];
            assert_eq!(from.reaches(0, &step, true), within, "{size}");
            let there: Vec<f64> = BETA.iter().zip(&step).map(|(b, d)| b + d).collect();
            let (moved, exact) = (from.moved(&[step.to_vec()]), moments(&there, false, &design));
            assert_eq!(moved.shape, exact.shape);
            let scale = exact.sums.iter().fold(0.0, |most: f64, sum| most.max(sum.abs()));
            let worst = moved.sums.iter().zip(&exact.sums).map(|(a, b)| (a - b).abs() / scale);
            let worst = worst.fold(0.0, f64::max);
            assert!(worst <= size * size * 10.0 + 1e-14, "{worst} at {size}");
            assert!(!within || worst <= 1e-11, "{worst} at {size}");
        }
    }

    #[test]
    fn a_row_at_a_bound_keeps_moments_from_being_moved() {
        let mut design = design();
        let step = [1e-9, 0.0, 0.0];
        assert!(moments(&BETA, true, &design).reaches(0, &step, true));
        // The covariates of one row are changed so that its score lies half a step below the trimming bound.
        let rest = -0.3 + 0.4 * design.col(1)[7];
        design.col_mut(2)[7] = (rest - (TRIM_INDEX - 5e-10)) / 0.2;
        assert!(!moments(&BETA, true, &design).reaches(0, &step, true));
        design.col_mut(2)[7] = (rest - (LOW_INDEX + 5e-10)) / 0.2;
        let near = moments(&BETA, true, &design);
        assert!(!near.reaches(0, &step, true) && near.reaches(0, &step, false), "only counts change");
    }

    #[test]
    fn sums_without_derivatives_reach_nowhere() {
        assert!(!moments(&BETA, false, &design()).reaches(0, &[0.0; 3], false));
    }
}
