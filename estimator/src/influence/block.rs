//! Influence values of the units of one block, one column an estimate they enter.

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::dispatch::multiversion;
use crate::lanes::{F8, LANES};
use crate::moments::{Correction, score_rows};
use crate::propensity::linear_index;
use crate::subset_sums::BLOCK;

/// What a column of a stratum's Ψ is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// 1 for every unit.
    Ones,
    /// The unit's weight: its cohort's share.
    Share,
    /// The stratum is the treated one of this comparison.
    Treated {
        /// Index of the comparison.
        comparison: usize,
    },
    /// The stratum is among the controls of this comparison.
    Control {
        /// Index of the comparison.
        comparison: usize,
    },
}

/// One comparison seen from a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockRole<'a> {
    /// Whether the block's units are the treated ones.
    pub treated: bool,
    /// Corrections of the comparison.
    pub correction: &'a Correction,
    /// Coefficients of its logit; `None` for `reg`.
    pub logit: Option<(usize, &'a [f64])>,
    /// Period.
    pub time: usize,
    /// Base period.
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

/// Writes the influence values of a block's units for one comparison to `out`. Comparisons of the same logit in a row share its scores.
pub fn fill_block(block: &Block<'_>, role: &BlockRole<'_>, space: &mut InfluenceSpace, out: &mut [f64]) {
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
        (true, true) => {
            treated_rows(design, block.weights, time, base, role.correction, space.scores.col(0), out)
        }
        (true, false) => treated_regression_rows(design, block.weights, time, base, role.correction, out),
        (false, true) => control_rows(design, block.weights, time, base, role.correction, &space.scores, out),
        (false, false) => control_regression_rows(design, block.weights, time, base, role.correction, out),
    }
}

#[inline(always)]
fn residual(design: &View<'_>, time: &[f64], base: &[f64], beta: &[f64], row: usize) -> F8 {
    F8::load(time, row) - F8::load(base, row) - linear_index(design, beta, row)
}

multiversion! {
    fn treated_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], c: &Correction, score: &[f64], out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let r = residual(&design, time, base, &c.beta, row) - F8::splat(c.theta1);
            let missing = (F8::splat(1.0) - F8::load(score, row)) * linear_index(&design, &c.q, row);
            let value = r * F8::splat(c.a) - missing;
            (F8::load(weights, row) * value).store(out, row);
        }
    }
}

multiversion! {
    fn treated_regression_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], c: &Correction, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let r = residual(&design, time, base, &c.beta, row) - F8::splat(c.theta1);
            (F8::load(weights, row) * F8::splat(c.a) * r).store(out, row);
        }
    }
}

multiversion! {
    fn control_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], c: &Correction, scores: &Columns, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let r = residual(&design, time, base, &c.beta, row);
            let w = F8::load(weights, row);
            let odds = F8::load(scores.col(1), row) * F8::splat(c.c);
            let score = F8::load(scores.col(0), row) * linear_index(&design, &c.q, row);
            let value = score - r * linear_index(&design, &c.u, row);
            (w * value - odds * (r - F8::splat(c.theta0))).store(out, row);
        }
    }
}

multiversion! {
    fn control_regression_rows(design: View<'_>, weights: &[f64], time: &[f64], base: &[f64], c: &Correction, out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            let r = residual(&design, time, base, &c.beta, row);
            (F8::ZERO - F8::load(weights, row) * r * linear_index(&design, &c.u, row)).store(out, row);
        }
    }
}
