//! Two-way clustered covariance (Cameron, Gelbach & Miller 2011, eq. 2.11 and their eigenvalue repair).

use faer::{Mat, Side};

/// Covariance of the extended columns under two-way clustering.
#[derive(Clone, Debug)]
pub struct TwoWay {
    /// V_A + V_B − V_AB, positive semi-definite.
    pub covariance: Mat<f64>,
    /// Negative eigenvalues that were set to 0; those within rounding of 0 are not counted.
    pub clipped: usize,
    /// Smallest eigenvalue before that; NaN if there is none.
    pub smallest: f64,
}

/// V_A + V_B − V_AB with negative eigenvalues set to 0.
///
/// Each is SᵀS/n of the cluster sums by dimension A, by B and by their intersection, all of the same size (the common
/// leading block is used otherwise). Where no eigenvalue is negative beyond rounding the sum is returned as it is.
pub fn two_way(a: &Mat<f64>, b: &Mat<f64>, ab: &Mat<f64>) -> TwoWay {
    let size = [a, b, ab].iter().map(|v| v.nrows().min(v.ncols())).min().unwrap_or(0);
    let sum = |i: usize, j: usize| a[(i, j)] + b[(i, j)] - ab[(i, j)];
    let covariance = Mat::from_fn(size, size, |i, j| 0.5 * (sum(i, j) + sum(j, i)));
    let Some((vectors, values)) = symmetric_eigen(&covariance) else {
        return TwoWay { covariance, clipped: 0, smallest: f64::NAN };
    };
    let largest = values.iter().fold(0.0f64, |max, value| max.max(value.abs()));
    let rounding = size as f64 * f64::EPSILON * largest;
    let clipped = values.iter().filter(|value| **value < -rounding).count();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    match clipped {
        0 => TwoWay { covariance, clipped, smallest },
        _ => TwoWay { covariance: compose(&vectors, &values, |value| value.max(0.0)), clipped, smallest },
    }
}

/// Eigenvectors (columns) and eigenvalues of a symmetric matrix; none if empty, non-finite or not converged.
pub(super) fn symmetric_eigen(matrix: &Mat<f64>) -> Option<(Mat<f64>, Vec<f64>)> {
    let size = matrix.nrows();
    let finite = (0..size).all(|j| (0..size).all(|i| matrix[(i, j)].is_finite()));
    if size == 0 || matrix.ncols() != size || !finite {
        return None;
    }
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let values = (0..size).map(|k| eigen.S().column_vector()[k]).collect();
    Some((eigen.U().to_owned(), values))
}

/// U f(Λ) Uᵀ.
pub(super) fn compose(vectors: &Mat<f64>, values: &[f64], f: impl Fn(f64) -> f64) -> Mat<f64> {
    let scaled = Mat::from_fn(vectors.nrows(), values.len(), |i, k| vectors[(i, k)] * f(values[k]));
    let product = &scaled * vectors.transpose();
    Mat::from_fn(product.nrows(), product.ncols(), |i, j| 0.5 * (product[(i, j)] + product[(j, i)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn diagonal(values: &[f64]) -> Mat<f64> {
        Mat::from_fn(values.len(), values.len(), |i, j| if i == j { values[i] } else { 0.0 })
    }

    #[test]
    fn negative_eigenvalues_are_set_to_zero_and_counted() {
        let found = two_way(&diagonal(&[3.0, 1.0]), &diagonal(&[2.0, 1.0]), &diagonal(&[1.0, 4.0]));
        assert_eq!((found.clipped, found.smallest), (1, -2.0));
        assert!((found.covariance[(0, 0)] - 4.0).abs() < 1e-14 && found.covariance[(1, 1)].abs() < 1e-14);
    }

    #[test]
    fn nested_dimensions_give_the_coarser_one() {
        let a = Mat::from_fn(3, 3, |i, j| 1.0 / (i + j + 1) as f64);
        let b = diagonal(&[0.3, 0.2, 0.1]);
        let found = two_way(&a, &b, &b);
        assert_eq!(found.clipped, 0);
        assert!((&found.covariance - &a).norm_max() < 1e-15);
    }

    #[test]
    fn odd_input_is_not_a_panic() {
        let empty = two_way(&Mat::zeros(0, 0), &Mat::zeros(2, 2), &Mat::zeros(2, 2));
        assert!(empty.covariance.nrows() == 0 && empty.smallest.is_nan());
        let missing = two_way(&diagonal(&[f64::NAN, 1.0]), &diagonal(&[1.0, 1.0]), &diagonal(&[1.0, 1.0]));
        assert!(missing.clipped == 0 && missing.smallest.is_nan());
    }

    proptest! {
        #[test]
        fn the_result_is_positive_semi_definite(entries in proptest::collection::vec(-3.0..3.0f64, 48)) {
            let gram = |offset: usize| {
                let root = Mat::from_fn(4, 4, |i, j| entries[offset + 4 * i + j]);
                &root * root.transpose()
            };
            let found = two_way(&gram(0), &gram(16), &gram(32));
            let (_, values) = symmetric_eigen(&found.covariance).unwrap();
            prop_assert!(values.iter().all(|value| *value > -1e-10));
            prop_assert_eq!(found.clipped > 0, found.smallest < -1e-12);
        }
    }
}
