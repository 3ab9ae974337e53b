//! `Moments`: the odds-weighted cross products of the controls and the Hessian of every logit at its final coefficients.

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::cross_products::{add_cross, add_cross_symmetric, mirror, scale_columns};
use crate::dispatch::multiversion;
use crate::lanes::{F64x8, LANES};
use crate::propensity::{linear_indices, logistic};
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
}

impl MomentsShape {
    fn len(&self) -> usize {
        self.regressors * self.regressors + self.columns * self.columns + self.columns * self.periods + 2
    }
}

/// Sums of the slots: (logit, frame) pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MomentsPartial {
    /// Sizes.
    pub shape: MomentsShape,
    /// `slots × (Hessian, odds-weighted XᵀX, odds-weighted XᵀY, trimmed controls, rows of low score)`.
    pub sums: Vec<f64>,
}

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
}

impl MomentsSpace {
    /// Space for blocks of `columns` design columns.
    pub fn new(columns: usize) -> Self {
        Self { rows: Columns::zeros(BLOCK, 3), scaled: Columns::zeros(BLOCK, columns) }
    }
}

impl MomentsPartial {
    /// Zero sums.
    pub fn new(slots: usize, shape: MomentsShape) -> Self {
        Self { shape, sums: vec![0.0; slots * shape.len()] }
    }

    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.sums.iter_mut().zip(&other.sums) {
            *a += b;
        }
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

/// Adds a block to the sums of slot `index` at its final coefficients.
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
    let (outcomes, trimmed) = rest.split_at_mut(n * shape.periods);
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
