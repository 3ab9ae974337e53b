//! `Propensity{round}`: gradient, Hessian and deviance of every active logit; where the round asks for them, third derivatives, too.

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::cross_products::{add_cross, add_cross_symmetric, mirror, scale_columns};
use crate::dispatch::multiversion;
use crate::lanes::{self, F64x8, LANES};
use crate::slopes::{SlopeShape, SlopeSpace, add_slopes};
use crate::subset_sums::BLOCK;

/// Sums of the active logits; each has gradient (k), Hessian (k²) and deviance, and three extremes of the index η.
#[derive(Clone, Debug, PartialEq)]
pub struct PropensityPartial {
    /// Regressors of every logit.
    pub regressors: usize,
    /// True if third derivatives are summed.
    pub curved: bool,
    /// `logits × (k + k² + 1)`; third derivatives after each.
    pub sums: Vec<f64>,
    /// `logits × 3`: minus the smallest η of the treated, the largest η of the treated, the largest η of the controls.
    pub extremes: Vec<f64>,
}

/// Sums of one logit, Hessian completed.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitSums {
    /// Σ w (D − p) x.
    pub gradient: Vec<f64>,
    /// Σ w p (1 − p) x xᵀ, row by row.
    pub hessian: Vec<f64>,
    /// Its derivatives Σ w p (1 − p)(1 − 2p) x_a x xᵀ; empty where they are not summed.
    pub slopes: Vec<f64>,
    /// −2 log-likelihood.
    pub deviance: f64,
    /// Smallest index among the treated.
    pub least_treated: f64,
    /// Largest index among the treated.
    pub greatest_treated: f64,
    /// Largest index among the controls.
    pub greatest_control: f64,
}

impl LogitSums {
    /// The sums with weights times a factor.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let all = |values: &[f64]| values.iter().map(|value| value * factor).collect();
        Self {
            gradient: all(&self.gradient),
            hessian: all(&self.hessian),
            slopes: all(&self.slopes),
            deviance: self.deviance * factor,
            ..*self
        }
    }

    /// The change of the Hessian to first order when the coefficients move by `step`; `None` without third derivatives.
    pub fn hessian_change(&self, step: &[f64]) -> Option<Vec<f64>> {
        let k = self.gradient.len();
        (!self.slopes.is_empty()).then(|| slope_shape(k).squares_along(&self.slopes, step))
    }
}

/// Largest number of regressors of which third derivatives are summed: there are k³/6 of them.
pub const MOST_CURVED: usize = 12;

/// Sizes of the third derivatives of a logit.
pub fn slope_shape(regressors: usize) -> SlopeShape {
    SlopeShape { coefficients: regressors, columns: regressors, outcomes: 0 }
}

/// Work space of the kernel.
#[derive(Clone, Debug)]
pub struct PropensitySpace {
    score: Columns,
    scaled: Columns,
    slopes: SlopeSpace,
}

impl PropensitySpace {
    /// Space for blocks of `regressors` columns.
    pub fn new(regressors: usize) -> Self {
        Self {
            score: Columns::zeros(BLOCK, 5),
            scaled: Columns::zeros(BLOCK, regressors),
            slopes: SlopeSpace::new(regressors),
        }
    }
}

impl PropensityPartial {
    /// Zero sums.
    pub fn new(logits: usize, regressors: usize, curved: bool) -> Self {
        Self {
            regressors,
            curved,
            sums: vec![0.0; logits * Self::len_of(regressors, curved)],
            extremes: vec![f64::NEG_INFINITY; logits * 3],
        }
    }

    /// Number of values of one logit.
    pub fn len_of(regressors: usize, curved: bool) -> usize {
        regressors * (regressors + 1) + 1 + if curved { slope_shape(regressors).len() } else { 0 }
    }

    fn len(&self) -> usize {
        Self::len_of(self.regressors, self.curved)
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

    /// The sums of one logit.
    pub fn logit(&self, index: usize) -> LogitSums {
        let k = self.regressors;
        let sums = &self.sums[index * self.len()..(index + 1) * self.len()];
        let mut hessian = sums[k..k + k * k].to_vec();
        mirror(&mut hessian, k);
        LogitSums {
            gradient: sums[..k].to_vec(),
            hessian,
            slopes: sums[k + k * k + 1..].to_vec(),
            deviance: sums[k + k * k],
            least_treated: -self.extremes[index * 3],
            greatest_treated: self.extremes[index * 3 + 1],
            greatest_control: self.extremes[index * 3 + 2],
        }
    }
}

/// Adds a block to a logit at coefficients `beta`. The guard logit passes `block.used` as `weights`.
pub fn add_logit(
    partial: &mut PropensityPartial,
    index: usize,
    block: &Block<'_>,
    weights: &[f64],
    treated: bool,
    beta: &[f64],
    space: &mut PropensitySpace,
) {
    let (k, rows) = (partial.regressors, block.design.rows());
    let design = View::new(block.design.col_span(k), block.design.stride(), rows, k);
    let len = partial.len();
    let sums = &mut partial.sums[index * len..(index + 1) * len];
    let (gradient, rest) = sums.split_at_mut(k);
    let (hessian, rest) = rest.split_at_mut(k * k);
    let (deviance, slopes) = rest.split_at_mut(1);
    let fitted = logit_rows(design, beta, weights, block.used, treated, &mut space.score);
    deviance[0] += fitted[0];
    let extremes = &mut partial.extremes[index * 3..index * 3 + 3];
    if treated {
        extremes[0] = extremes[0].max(-fitted[1]);
        extremes[1] = extremes[1].max(fitted[2]);
    } else {
        extremes[2] = extremes[2].max(fitted[2]);
    }
    add_cross(design, space.score.view(rows, 1), gradient);
    scale_columns(design, &space.score.col(1)[..rows], &mut space.scaled);
    add_cross_symmetric(space.scaled.view(rows, k), design, hessian);
    if !slopes.is_empty() {
        add_slopes(slope_shape(k), design, None, space.score.col(4), &mut space.slopes, slopes);
    }
}

/// Σ_j design_j β_j of eight rows.
#[inline(always)]
pub(crate) fn linear_index(design: &View<'_>, beta: &[f64], row: usize) -> F64x8 {
    let mut eta = F64x8::ZERO;
    for (j, &b) in beta.iter().enumerate() {
        eta = F64x8::load(design.col(j), row).fma(F64x8::splat(b), eta);
    }
    eta
}

/// p = 1/(1 + e^−η), 1 − p, and e = e^−|η|, without cancellation in either tail.
#[inline(always)]
pub(crate) fn logistic(eta: f64) -> (f64, f64, f64) {
    let e = lanes::exp(if eta < 0.0 { eta } else { 0.0 - eta });
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    if eta < 0.0 { (small, large, e) } else { (large, small, e) }
}

/// Σ_j design_j β_j of every row, column after column, each a loop that becomes vector code.
#[inline(always)]
pub(crate) fn linear_indices(design: &View<'_>, beta: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (j, &b) in beta.iter().enumerate() {
        for (eta, x) in out.iter_mut().zip(design.col(j)) {
            *eta = x.mul_add(b, *eta);
        }
    }
}

multiversion! {
    /// Writes w(D − p) and w p(1 − p) to the first two columns of `score`, and w p(1 − p)(1 − 2p) to the fifth; the two between are
    /// work space. Returns [deviance, smallest η, largest η].
    fn logit_rows(design: View<'_>, beta: &[f64], weights: &[f64], used: &[f64], treated: bool, score: &mut Columns) -> [f64; 3] {
        let rows = design.rows();
        let (weights, used) = (&weights[..rows], &used[..rows]);
        // Without weights the logarithms are those of a product, taken once a block and lane: 1 + e^−|η| ≤ 2.
        let weighted = !std::ptr::eq(weights, used);
        let [residuals, variances, etas, tails, bends] = score.first_mut::<5>(rows);
        linear_indices(&design, beta, etas);
        for row in 0..rows {
            let (p, q, e) = logistic(etas[row]);
            tails[row] = e;
            residuals[row] = weights[row] * if treated { q } else { 0.0 - p };
            variances[row] = weights[row] * p * q;
            bends[row] = variances[row] * (q - p);
        }
        let mut product = F64x8::splat(1.0);
        let mut linear = F64x8::ZERO;
        let mut least = F64x8::splat(f64::INFINITY);
        let mut greatest = F64x8::splat(f64::NEG_INFINITY);
        for row in (0..rows).step_by(LANES) {
            let (eta, e) = (F64x8::load(etas, row), F64x8::load(tails, row));
            let (w, u) = (F64x8::load(weights, row), F64x8::load(used, row));
            let signed = if treated { F64x8::ZERO - eta } else { eta };
            linear = w.fma(signed.max(F64x8::ZERO), linear);
            if weighted {
                linear = w.fma(lanes::ln_one_to_two(F64x8::splat(1.0) + e), linear);
            } else {
                product = product * u.fma(e, F64x8::splat(1.0));
            }
            least = least.min(u.select_less(F64x8::splat(0.5), least, eta));
            greatest = greatest.max(u.select_less(F64x8::splat(0.5), greatest, eta));
        }
        let logs: f64 = product.0.iter().map(|p| libm::log(*p)).sum();
        [
            2.0 * (linear.sum() + logs),
            least.0.iter().copied().fold(f64::INFINITY, f64::min),
            greatest.0.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ]
    }
}
