//! The Wald pre-test of parallel trends (FORMULAS §4).

use faer::Mat;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Result of the joint test that all pre-treatment ATTs are zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wald {
    /// W = n θ'V⁻¹θ.
    pub stat: f64,
    /// Number of cells tested.
    pub df: usize,
    /// Upper tail of χ²(df) at W, not rounded (R rounds to 5 decimals).
    pub p: f64,
}

/// Test the cells with `pre` (t < g − a) and a standard error (FORMULAS §4).
///
/// `vcov(i, j)` is V between two cells, IF'IF/n, clustered if the standard errors are. None where R gives none: no such cell, NA
/// in V, or V too ill-conditioned. R gives none either with a cluster variable and the bootstrap; the caller decides that.
pub fn wald_pretest(
    att: &[f64],
    se_analytic: &[f64],
    pre: &[bool],
    vcov: impl Fn(usize, usize) -> f64,
    n: u64,
) -> Option<Wald> {
    let cells = att.len().min(se_analytic.len()).min(pre.len());
    let tested: Vec<usize> =
        (0..cells).filter(|&k| pre[k] && att[k].is_finite() && se_analytic[k] > 0.0).collect();
    let df = tested.len();
    let v = Mat::from_fn(df, df, |i, j| vcov(tested[i], tested[j]));
    if df == 0 || rcond_1norm(&v) <= f64::EPSILON {
        return None;
    }
    let theta = Mat::from_fn(df, 1, |i, _| att[tested[i]]);
    let solved = v.partial_piv_lu().solve(&theta);
    let stat = n as f64 * (0..df).map(|i| theta[(i, 0)] * solved[(i, 0)]).sum::<f64>();
    stat.is_finite().then(|| Wald { stat, df, p: chi_squared_tail(stat, df) })
}

/// P(χ²(df) > x).
pub fn chi_squared_tail(x: f64, df: usize) -> f64 {
    match ChiSquared::new(df as f64) {
        Ok(_) if x <= 0.0 => 1.0,
        Ok(_) if x == f64::INFINITY => 0.0,
        Ok(chi_squared) if x > 0.0 => chi_squared.sf(x),
        _ => f64::NAN,
    }
}

/// Reciprocal condition number 1/(‖A‖₁ ‖A⁻¹‖₁), as LAPACK estimates it (R `rcond`), here exact through the inverse.
///
/// 0 for a singular, non-square, empty or non-finite matrix.
pub fn rcond_1norm(matrix: &Mat<f64>) -> f64 {
    let norm = norm_1(matrix);
    if matrix.nrows() != matrix.ncols() || !(norm.is_finite() && norm > 0.0) {
        return 0.0;
    }
    let lu = matrix.partial_piv_lu();
    if (0..matrix.nrows()).any(|i| lu.U()[(i, i)] == 0.0) {
        return 0.0;
    }
    let rcond = 1.0 / norm / norm_1(&lu.inverse());
    if rcond.is_finite() { rcond } else { 0.0 }
}

/// Largest column sum of absolute values; NaN if an entry is.
fn norm_1(matrix: &Mat<f64>) -> f64 {
    let column = |j: usize| (0..matrix.nrows()).map(|i| matrix[(i, j)].abs()).sum::<f64>();
    (0..matrix.ncols()).map(column).fold(0.0, |max: f64, sum| if sum.is_nan() { sum } else { max.max(sum) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::mpdta;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found} vs {expected}");
    }

    #[test]
    fn agrees_with_r() {
        let vcov = |i: usize, j: usize| mpdta::V[i][j];
        let pre: Vec<bool> = mpdta::GROUP.iter().zip(&mpdta::TIME).map(|(g, t)| g > t).collect();
        let wald = wald_pretest(&mpdta::ATT, &mpdta::SE, &pre, vcov, mpdta::N).unwrap();
        close(wald.stat, mpdta::WALD.0, 1e-11);
        assert_eq!(wald.df, mpdta::WALD.1);
        close(wald.p, mpdta::WALD.2, 1e-10);
    }

    #[test]
    fn the_far_tail_keeps_its_digits() {
        close(chi_squared_tail(785.538_241_330_917, 6), 2.051_135_495_468_06e-166, 1e-9);
        close(chi_squared_tail(3.841_458_820_694_124, 1), 0.05, 1e-12);
        assert_eq!([chi_squared_tail(0.0, 3), chi_squared_tail(-1.0, 3)], [1.0, 1.0]);
        assert!(chi_squared_tail(1.0, 0).is_nan() && chi_squared_tail(f64::NAN, 1).is_nan());
        assert_eq!(chi_squared_tail(f64::INFINITY, 1), 0.0);
    }

    #[test]
    fn not_given_without_cells_or_with_a_singular_variance() {
        let identity = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        assert!(wald_pretest(&[1.0, 2.0], &[1.0, 1.0], &[false, false], identity, 9).is_none());
        assert!(wald_pretest(&[f64::NAN, 2.0], &[1.0, f64::NAN], &[true, true], identity, 9).is_none());
        let ones = |_: usize, _: usize| 1.0;
        assert!(wald_pretest(&[1.0, 2.0], &[1.0, 1.0], &[true, true], ones, 9).is_none());
        let missing = |_: usize, _: usize| f64::NAN;
        assert!(wald_pretest(&[1.0, 2.0], &[1.0, 1.0], &[true, true], missing, 9).is_none());
        let one = wald_pretest(&[1.0, 2.0], &[1.0, 1.0], &[false, true], ones, 9).unwrap();
        assert_eq!((one.stat, one.df), (36.0, 1));
    }

    #[test]
    fn rcond_of_known_matrices() {
        let diagonal = Mat::from_fn(3, 3, |i, j| if i == j { [1.0, 4.0, 0.5][i] } else { 0.0 });
        assert_eq!(rcond_1norm(&diagonal), 0.125);
        let hilbert = Mat::from_fn(4, 4, |i, j| 1.0 / (i + j + 1) as f64);
        close(rcond_1norm(&hilbert), 1.0 / 28375.0, 1e-10);
        assert_eq!(rcond_1norm(&Mat::zeros(3, 3)), 0.0);
        assert_eq!(rcond_1norm(&Mat::zeros(0, 0)), 0.0);
        assert_eq!(rcond_1norm(&Mat::from_fn(2, 3, |_, _| 1.0)), 0.0);
        assert_eq!(rcond_1norm(&Mat::from_fn(2, 2, |_, j| (j + 1) as f64)), 0.0);
        assert_eq!(rcond_1norm(&Mat::from_fn(2, 2, |i, j| if i == j { f64::NAN } else { 1.0 })), 0.0);
    }

    proptest! {
        #[test]
        fn rcond_is_within_bounds_and_free_of_scale(
            entries in proptest::collection::vec(-10.0..10.0f64, 16), factor in 1e-6..1e6f64,
        ) {
            let matrix = Mat::from_fn(4, 4, |i, j| entries[4 * i + j]);
            let rcond = rcond_1norm(&matrix);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&rcond));
            let scaled = rcond_1norm(&Mat::from_fn(4, 4, |i, j| factor * entries[4 * i + j]));
            prop_assert!((rcond - scaled).abs() <= 1e-6 * rcond + 1e-12);
        }
    }
}
