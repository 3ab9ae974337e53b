//! Eight lanes of `f64`: the one vector type of every kernel, so that sums have one order on every processor.

use std::ops::{Add, Div, Mul, Sub};

/// Number of lanes.
pub const LANES: usize = 8;

/// Eight `f64`; one 512-bit or two 256-bit registers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub struct F64x8(pub [f64; LANES]);

impl F64x8 {
    /// All lanes zero.
    pub const ZERO: F64x8 = F64x8([0.0; LANES]);

    /// All lanes `value`.
    #[inline(always)]
    pub fn splat(value: f64) -> Self {
        F64x8([value; LANES])
    }

    /// The eight values from `index` on; `slice` must reach `index + 8`.
    #[inline(always)]
    pub fn load(slice: &[f64], index: usize) -> Self {
        let mut lanes = [0.0; LANES];
        lanes.copy_from_slice(&slice[index..index + LANES]);
        F64x8(lanes)
    }

    /// Writes the lanes to `slice[index..index + 8]`.
    #[inline(always)]
    pub fn store(self, slice: &mut [f64], index: usize) {
        slice[index..index + LANES].copy_from_slice(&self.0);
    }

    /// `self · factor + addend`, rounded once.
    #[inline(always)]
    pub fn fma(self, factor: F64x8, addend: F64x8) -> Self {
        let mut out = [0.0; LANES];
        for (lane, value) in out.iter_mut().enumerate() {
            *value = self.0[lane].mul_add(factor.0[lane], addend.0[lane]);
        }
        F64x8(out)
    }

    /// Lane-wise minimum.
    #[inline(always)]
    pub fn min(self, other: F64x8) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    /// Lane-wise maximum.
    #[inline(always)]
    pub fn max(self, other: F64x8) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    /// Lane-wise `if self < limit { yes } else { no }`.
    #[inline(always)]
    pub fn select_less(self, limit: F64x8, yes: F64x8, no: F64x8) -> Self {
        let mut out = [0.0; LANES];
        for (lane, value) in out.iter_mut().enumerate() {
            *value = if self.0[lane] < limit.0[lane] { yes.0[lane] } else { no.0[lane] };
        }
        F64x8(out)
    }

    /// Sum of the lanes, in a fixed order.
    #[inline(always)]
    pub fn sum(self) -> f64 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn zip(self, other: F64x8, op: impl Fn(f64, f64) -> f64) -> Self {
        let mut out = [0.0; LANES];
        for (lane, value) in out.iter_mut().enumerate() {
            *value = op(self.0[lane], other.0[lane]);
        }
        F64x8(out)
    }
}

impl Add for F64x8 {
    type Output = F64x8;
    #[inline(always)]
    fn add(self, other: F64x8) -> F64x8 {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for F64x8 {
    type Output = F64x8;
    #[inline(always)]
    fn sub(self, other: F64x8) -> F64x8 {
        self.zip(other, |a, b| a - b)
    }
}

impl Mul for F64x8 {
    type Output = F64x8;
    #[inline(always)]
    fn mul(self, other: F64x8) -> F64x8 {
        self.zip(other, |a, b| a * b)
    }
}

impl Div for F64x8 {
    type Output = F64x8;
    #[inline(always)]
    fn div(self, other: F64x8) -> F64x8 {
        self.zip(other, |a, b| a / b)
    }
}

const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5·2⁵²: adding it rounds to an integer held in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// eˣ, |x| clamped to 700; within 1 ulp or so of exact, equal on every processor. A loop over it becomes vector code.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let x = if x < 700.0 { x } else { 700.0 };
    let x = if x > -700.0 { x } else { -700.0 };
    let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, x));
    // Taylor terms of e^r to r^13: |r| ≤ ln2/2 makes the next one smaller than half an ulp.
    const C: [f64; 12] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    let mut p = C[0];
    for c in &C[1..] {
        p = p.mul_add(r, *c);
    }
    let p = (p * r).mul_add(r, r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    p * f64::from_bits(exponent.wrapping_add(1023) << 52)
}

/// Natural logarithm of lanes in [1, 2]; absolute error below 2e-16.
#[inline(always)]
pub fn ln_one_to_two(y: F64x8) -> F64x8 {
    // Halving the upper part keeps the argument of atanh small: y ∈ [√½, √2].
    let half = F64x8::splat(std::f64::consts::SQRT_2);
    let m = y.select_less(half, y, y * F64x8::splat(0.5));
    let offset = y.select_less(half, F64x8::ZERO, F64x8::splat(std::f64::consts::LN_2));
    let s = (m - F64x8::splat(1.0)) / (m + F64x8::splat(1.0));
    let s2 = s * s;
    let mut p = F64x8::splat(1.0 / 21.0);
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        p = p.fma(s2, F64x8::splat(1.0 / odd));
    }
    (s2 * p).fma(s, s).fma(F64x8::splat(2.0), offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_libms_to_two_ulps(x in -690.0..690.0f64) {
            let got = exp(x);
            let want = libm::exp(x);
            prop_assert!(((got - want) / want).abs() < 4.5e-16, "{x}: {got} {want}");
        }

        #[test]
        fn ln_is_libms(y in 1.0..2.0f64) {
            prop_assert!((ln_one_to_two(F64x8::splat(y)).0[5] - libm::log(y)).abs() < 3e-16);
        }
    }

    #[test]
    fn exp_saturates_and_is_exact_at_zero() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1e9).is_finite());
        assert!(exp(-1e9) > 0.0);
    }
}
