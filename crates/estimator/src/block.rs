//! A block: some units of one stratum, expanded for one frame; what every kernel reads.

use crate::columns::View;
use crate::dispatch::multiversion;

/// Units of one stratum, at most [`crate::subset_sums::BLOCK`], padded to whole lanes with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Design columns, centred and scaled; the regressors first, then the ones column where the formula has no intercept.
    pub design: View<'a>,
    /// Number of regressors.
    pub regressors: usize,
    /// Index of the ones column in `design`.
    pub ones: usize,
    /// Sampling weights (1 without a weight column); 0 for units that are not used.
    pub weights: &'a [f64],
    /// 1 for units that are used, else 0.
    pub used: &'a [f64],
    /// Outcomes less the outcome of the first period, one column a period (the first is zero): differencing out unit
    /// effects first keeps the digits of outcomes whose level is large.
    pub outcomes: View<'a>,
}

multiversion! {
    /// `out = (values − center) · inverse_scale · used`: one standardised column, 0 for units that are not used.
    pub fn standardize(values: &[f64], used: &[f64], center: f64, inverse_scale: f64, out: &mut [f64]) {
        for ((o, v), u) in out.iter_mut().zip(values).zip(used) {
            *o = (v - center) * inverse_scale * u;
        }
    }
}

multiversion! {
    /// `out = a − b`.
    pub fn subtract(a: &[f64], b: &[f64], out: &mut [f64]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = a - b;
        }
    }
}

multiversion! {
    /// `out = a · b`.
    pub fn multiply(a: &[f64], b: &[f64], out: &mut [f64]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = a * b;
        }
    }
}
