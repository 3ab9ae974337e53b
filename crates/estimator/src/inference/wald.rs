//! The Wald pre-test of parallel trends (FORMULAS §4).

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};
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

/// Returns the cells that the pre-test is about: those with `pre` (t < g − a), an estimate and a standard error (FORMULAS §4).
pub fn tested_cells(att: &[f64], se_analytic: &[f64], pre: &[bool]) -> Vec<usize> {
    let cells = att.len().min(se_analytic.len()).min(pre.len());
    (0..cells).filter(|&k| pre[k] && att[k].is_finite() && se_analytic[k] > 0.0).collect()
}

/// Tests that the estimates `theta` are zero (FORMULAS §4). `v` is V between them, IF'IF/n, clustered if the standard errors are.
///
/// None where R gives none: no estimate, NA in V, or V too ill-conditioned. R gives none either with a cluster variable and the
/// bootstrap; the caller decides that.
pub fn wald_pretest(theta: &[f64], v: &Mat<f64>, n: u64) -> Option<Wald> {
    let df = theta.len();
    if df == 0 {
        return None;
    }
    let solved = if df > MOST_INVERTED { solve_large(v, theta)? } else { solve(v, theta)? };
    let stat = n as f64 * theta.iter().zip(&solved).map(|(a, b)| a * b).sum::<f64>();
    stat.is_finite().then(|| Wald { stat, df, p: chi_squared_tail(stat, df) })
}

/// Largest matrix whose inverse is computed for its condition number; of a larger one the condition number is estimated from
/// some solutions, as LAPACK does.
const MOST_INVERTED: usize = 500;

/// V⁻¹θ; none where V is singular to working precision.
fn solve(v: &Mat<f64>, theta: &[f64]) -> Option<Vec<f64>> {
    if rcond_1norm(v) <= f64::EPSILON {
        return None;
    }
    let solved = v.partial_piv_lu().solve(&Mat::from_fn(theta.len(), 1, |i, _| theta[i]));
    Some((0..theta.len()).map(|i| solved[(i, 0)]).collect())
}

/// The same by a Cholesky factor, a fifth of the work.
fn solve_large(v: &Mat<f64>, theta: &[f64]) -> Option<Vec<f64>> {
    let norm = norm_1(v);
    if !(norm.is_finite() && norm > 0.0) {
        return None;
    }
    let factor = v.llt(Side::Lower).ok()?;
    let apply = |x: &[f64]| {
        let solved = factor.solve(&Mat::from_fn(x.len(), 1, |i, _| x[i]));
        (0..x.len()).map(|i| solved[(i, 0)]).collect::<Vec<f64>>()
    };
    let rcond = 1.0 / norm / estimate_norm_1(theta.len(), &apply);
    (rcond > f64::EPSILON).then(|| apply(theta))
}

/// A lower bound, nearly always within a factor of three, of the 1-norm of a symmetric matrix that is known by its products
/// (Hager 1984; Higham 1988).
fn estimate_norm_1(size: usize, apply: &dyn Fn(&[f64]) -> Vec<f64>) -> f64 {
    let norm = |x: &[f64]| x.iter().map(|value| value.abs()).sum::<f64>();
    let mut x = vec![1.0 / size as f64; size];
    let mut found = 0.0;
    for _ in 0..5 {
        let y = apply(&x);
        found = f64::max(found, norm(&y));
        let signs: Vec<f64> = y.iter().map(|value| value.signum()).collect();
        let z = apply(&signs);
        let largest = (0..size).max_by(|&i, &j| z[i].abs().total_cmp(&z[j].abs())).unwrap_or(0);
        if z[largest].abs() <= z.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>() {
            break;
        }
        x.fill(0.0);
        x[largest] = 1.0;
    }
    let spread = size.saturating_sub(1).max(1) as f64;
    let alternating: Vec<f64> =
        (0..size).map(|i| (1.0 + i as f64 / spread) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    f64::max(found, 2.0 * norm(&apply(&alternating)) / (3.0 * size as f64))
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
        let pre: Vec<bool> = mpdta::GROUP.iter().zip(&mpdta::TIME).map(|(g, t)| g > t).collect();
        let tested = tested_cells(&mpdta::ATT, &mpdta::SE, &pre);
        let theta: Vec<f64> = tested.iter().map(|&k| mpdta::ATT[k]).collect();
        let v = Mat::from_fn(tested.len(), tested.len(), |i, j| mpdta::V[tested[i]][tested[j]]);
        let wald = wald_pretest(&theta, &v, mpdta::N).unwrap();
        let large = solve_large(&v, &theta).unwrap();
        let stat = mpdta::N as f64 * theta.iter().zip(large).map(|(a, b)| a * b).sum::<f64>();
        close(stat, wald.stat, 1e-11);
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
        let identity = Mat::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 0.0 });
        assert!(tested_cells(&[1.0, 2.0], &[1.0, 1.0], &[false, false]).is_empty());
        assert!(tested_cells(&[f64::NAN, 2.0], &[1.0, f64::NAN], &[true, true]).is_empty());
        assert_eq!(tested_cells(&[1.0, 2.0], &[1.0, 1.0], &[false, true]), [1]);
        assert!(wald_pretest(&[], &Mat::zeros(0, 0), 9).is_none());
        let fails = |v: &Mat<f64>| {
            assert!(wald_pretest(&[1.0, 2.0], v, 9).is_none());
            assert!(solve_large(v, &[1.0, 2.0]).is_none());
        };
        fails(&Mat::from_fn(2, 2, |_, _| 1.0));
        fails(&Mat::from_fn(2, 2, |_, _| f64::NAN));
        let one = wald_pretest(&[2.0], &Mat::from_fn(1, 1, |i, j| identity[(i, j)]), 9).unwrap();
        assert_eq!((one.stat, one.df), (36.0, 1));
    }

    #[test]
    fn norms_are_estimated_from_products() {
        let hilbert = Mat::from_fn(6, 6, |i, j| 1.0 / (i + j + 1) as f64);
        let lu = hilbert.partial_piv_lu();
        let apply = |x: &[f64]| {
            let solved = lu.solve(&Mat::from_fn(x.len(), 1, |i, _| x[i]));
            (0..x.len()).map(|i| solved[(i, 0)]).collect::<Vec<f64>>()
        };
        let exact = norm_1(&lu.inverse());
        close(estimate_norm_1(6, &apply), exact, 1e-6);
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
