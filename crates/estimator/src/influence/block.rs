//! Influence values of the units of one block, one column an estimate they enter.

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::dispatch::multiversion;
use crate::lanes::{F64x8, LANES};
use crate::moments::{Arm, score_rows};
use crate::propensity::linear_index;
use crate::subset_sums::BLOCK;

/// The meaning of a column of a stratum's Ψ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// 1 for every unit.
    Ones,
    /// The unit's weight: its cohort's share.
    Share,
    /// Influence on an estimate, the sum of the [`Membership`]s.
    Estimate,
}

/// A side of a comparison that a stratum enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Column of Ψ.
    pub column: usize,
    /// Index of the comparison.
    pub comparison: usize,
    /// Index of its side.
    pub side: usize,
    /// The stratum is the treated one, else among the controls.
    pub treated: bool,
}

/// One side of a comparison seen from a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockRole<'a> {
    /// The block's units are the treated ones.
    pub treated: bool,
    /// Corrections of the block's units.
    pub arm: &'a Arm,
    /// Coefficients of the logit; `None` for `reg`.
    pub logit: Option<(usize, &'a [f64])>,
    /// Column of the outcome.
    pub time: usize,
    /// Column of the outcome that is subtracted.
    pub base: usize,
}

/// Work space: scores of the logit seen last.
#[derive(Clone, Debug)]
pub struct InfluenceSpace {
    scores: Columns,
    logit: Option<usize>,
}

impl Default for InfluenceSpace {
    fn default() -> Self {
        Self { scores: Columns::zeros(BLOCK, 3), logit: None }
    }
}

impl InfluenceSpace {
    /// Forgets the scores of the previous block; call it before the first comparison of a block.
    pub fn next_block(&mut self) {
        self.logit = None;
    }
}

/// Adds the influence values of a block's units in one side of a comparison to `out`. Sides of the same logit and frame in
/// a row share its scores.
pub fn add_influence(block: &Block<'_>, role: &BlockRole<'_>, space: &mut InfluenceSpace, out: &mut [f64]) {
    let k = block.regressors;
    let rows = block.design.rows();
    let design = View::new(block.design.col_span(k), block.design.stride(), rows, k);
    if let Some((index, beta)) = role.logit
        && space.logit != Some(index)
    {
        score_rows(design, beta, block.weights, block.used, role.treated, &mut space.scores);
        space.logit = Some(index);
    }
    let (time, base) = (block.outcomes.col(role.time), block.outcomes.col(role.base));
    let out = &mut out[..rows];
    match (role.treated, role.logit.is_some()) {
        (true, true) => treated_rows(design, block.weights, time, base, role.arm, space.scores.col(0), out),
        (true, false) => treated_regression_rows(design, block.weights, time, base, role.arm, out),
        (false, true) => control_rows(design, block.weights, time, base, role.arm, &space.scores, out),
        (false, false) => control_regression_rows(design, block.weights, time, base, role.arm, out),
    }
}

#[inline(always)]
fn residual(design: &View<'_>, time: &[f64], base: &[f64], beta: &[f64], row: usize) -> F64x8 {
    F64x8::load(time, row) - F64x8::load(base, row) - linear_index(design, beta, row)
}

/// e (gain + x'u) + x'v + shift.
#[inline(always)]
fn treated_value(design: &View<'_>, time: &[f64], base: &[f64], arm: &Arm, row: usize) -> F64x8 {
    let e = residual(design, time, base, &arm.beta, row);
    let slope = F64x8::splat(arm.gain) + linear_index(design, &arm.u, row);
    e * slope + (linear_index(design, &arm.v, row) + F64x8::splat(arm.shift))
}

#[inline(always)]
fn add(value: F64x8, out: &mut [f64], row: usize) {
    (F64x8::load(out, row) + value).store(out, row);
}

multiversion! {
    fn treated_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], arm: &Arm, score: &[f64], out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let missing = (F64x8::splat(1.0) - F64x8::load(score, row)) * linear_index(&design, &arm.q, row);
            let value = treated_value(&design, time, base, arm, row) - missing;
            add(F64x8::load(weights, row) * value, out, row);
        }
    }
}

multiversion! {
    fn treated_regression_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], arm: &Arm, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            add(F64x8::load(weights, row) * treated_value(&design, time, base, arm, row), out, row);
        }
    }
}

multiversion! {
    fn control_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], arm: &Arm, scores: &Columns, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let e = residual(&design, time, base, &arm.beta, row);
            let w = F64x8::load(weights, row);
            let odds = F64x8::load(scores.col(1), row) * F64x8::splat(arm.gain);
            let score = F64x8::load(scores.col(0), row) * linear_index(&design, &arm.q, row);
            let value = score - e * linear_index(&design, &arm.u, row);
            add(w * value - odds * (e - F64x8::splat(arm.shift)), out, row);
        }
    }
}

multiversion! {
    fn control_regression_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], arm: &Arm, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let e = residual(&design, time, base, &arm.beta, row);
            add(F64x8::ZERO - F64x8::load(weights, row) * e * linear_index(&design, &arm.u, row), out, row);
        }
    }
}
