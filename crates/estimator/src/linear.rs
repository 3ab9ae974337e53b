//! Small symmetric systems: solved on a unit-diagonal scale, refused where they are singular.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use serde::{Deserialize, Serialize};

/// Smallest squared pivot, relative to the unit diagonal, of a design that is not collinear.
const SMALLEST_PIVOT: f64 = 1e-13;

/// Inverse of a symmetric positive definite matrix given row by row; `None` where it is singular to working precision.
pub fn inverse(matrix: &[f64], n: usize) -> Option<Mat<f64>> {
    let scale: Vec<f64> = (0..n).map(|i| matrix[i * n + i].sqrt()).collect();
    if scale.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        return None;
    }
    let scaled = Mat::from_fn(n, n, |i, j| matrix[i * n + j] / (scale[i] * scale[j]));
    let factor = scaled.as_ref().llt(Side::Lower).ok()?;
    let smallest = (0..n).map(|i| factor.L()[(i, i)].powi(2)).fold(f64::INFINITY, f64::min);
    if smallest.is_nan() || smallest <= SMALLEST_PIVOT {
        return None;
    }
    let unscaled = factor.solve(Mat::<f64>::identity(n, n));
    Some(Mat::from_fn(n, n, |i, j| 0.5 * (unscaled[(i, j)] + unscaled[(j, i)]) / (scale[i] * scale[j])))
}

/// Inverse over the columns that are `kept` (`None`: all), zero elsewhere.
pub fn inverse_of_kept_columns(matrix: &[f64], n: usize, kept: Option<&[bool]>) -> Option<Mat<f64>> {
    let Some(kept) = kept else { return inverse(matrix, n) };
    let columns: Vec<usize> = (0..n).filter(|&j| kept[j]).collect();
    let part = inverse(&select(matrix, n, &columns), columns.len())?;
    let mut out = Mat::zeros(n, n);
    for (i, &row) in columns.iter().enumerate() {
        for (j, &column) in columns.iter().enumerate() {
            out[(row, column)] = part[(i, j)];
        }
    }
    Some(out)
}

/// Rows and columns `columns` of an `n × n` matrix, row by row.
pub fn select(matrix: &[f64], n: usize, columns: &[usize]) -> Vec<f64> {
    columns.iter().flat_map(|&i| columns.iter().map(move |&j| matrix[i * n + j])).collect()
}

/// Returns for each of `n` columns whether R's `qr(tol = 1e-6)` keeps it: its part orthogonal to the columns kept before is not
/// below 1e-6 of the raw column (FORMULAS §7.1). `gram` is XᵀX on the standardised scale.
pub fn independent_columns(gram: &[f64], n: usize, standardization: &Standardization) -> Vec<bool> {
    let raw = standardization.raw_gram(gram, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&j| (Some(j) != standardization.intercept, j));
    let (mut kept, mut rest) = (vec![false; n], gram.to_vec());
    for &j in &order {
        let left = rest[j * n + j] * standardization.scale[j].powi(2);
        // Below 1e-13 of the standardised column what is left is rounding.
        let rounding = rest[j * n + j] <= 1e-13 * gram[j * n + j];
        if left.is_nan() || rounding || left < 1e-12 * raw[(j, j)] {
            continue;
        }
        kept[j] = true;
        let pivot: Vec<f64> = (0..n).map(|i| rest[j * n + i]).collect();
        for a in 0..n {
            for b in 0..n {
                rest[a * n + b] -= pivot[a] * pivot[b] / pivot[j];
            }
        }
    }
    kept
}

/// `matrix · vector`.
pub fn times(matrix: &Mat<f64>, vector: &[f64]) -> Vec<f64> {
    (0..matrix.nrows()).map(|i| (0..matrix.ncols()).map(|j| matrix[(i, j)] * vector[j]).sum()).collect()
}

/// Σ aᵢ bᵢ over the shorter of the two.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Leading `k × k` part of a matrix with `n` columns given row by row.
pub fn leading(matrix: &[f64], n: usize, k: usize) -> Vec<f64> {
    (0..k).flat_map(|i| matrix[i * n..i * n + k].iter().copied()).collect()
}

/// Change from the centred and scaled design back to the raw one: x_j = scale_j z_j + center_j (center 0 without an intercept).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// Subtracted from the raw column.
    pub center: Vec<f64>,
    /// Divides the centred column.
    pub scale: Vec<f64>,
    /// Index of the intercept among the regressors; centres are all zero without one.
    pub intercept: Option<usize>,
}

impl Standardization {
    /// The same change for some of the columns.
    pub fn select(&self, columns: &[usize]) -> Self {
        let of = |values: &[f64]| columns.iter().map(|&j| values[j]).collect();
        let intercept = columns.iter().position(|&j| Some(j) == self.intercept);
        Self { center: of(&self.center), scale: of(&self.scale), intercept }
    }

    /// XᵀX on the raw scale from the standardised one (`k × k`, row by row).
    pub fn raw_gram(&self, gram: &[f64], k: usize) -> Mat<f64> {
        let row = |j: usize| -> Vec<f64> {
            let mut out = vec![0.0; k];
            out[j] += self.scale[j];
            if let Some(intercept) = self.intercept.filter(|&i| i != j) {
                out[intercept] += self.center[j];
            }
            out
        };
        let m = Mat::from_fn(k, k, |i, j| row(i)[j]);
        let g = Mat::from_fn(k, k, |i, j| gram[i * k + j]);
        &m * &g * m.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_of_a_badly_scaled_matrix() {
        let m = [4e12, 1e3, 1e3, 1.0];
        let inv = inverse(&m, 2).unwrap();
        let det = 4e12 - 1e6;
        assert!((inv[(0, 0)] - 1.0 / det).abs() < 1e-24);
        assert!((inv[(1, 1)] / (4e12 / det) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn singular_matrices_are_refused() {
        assert!(inverse(&[1.0, 2.0, 2.0, 4.0], 2).is_none());
        assert!(inverse(&[0.0], 1).is_none());
        assert!(inverse(&[f64::NAN], 1).is_none());
    }

    #[test]
    fn dependent_columns_are_found_in_order() {
        // 1, x, 3 + 2x, z with rows x = (−1, 0, 1, 2), z = (1, −1, 0, 3).
        let rows = [[1.0, -1.0, 1.0, 1.0], [1.0, 0.0, 3.0, -1.0], [1.0, 1.0, 5.0, 0.0], [1.0, 2.0, 7.0, 3.0]];
        let gram: Vec<f64> = (0..16).map(|ij| rows.iter().map(|r| r[ij / 4] * r[ij % 4]).sum()).collect();
        let plain = Standardization { center: vec![0.0; 4], scale: vec![1.0; 4], intercept: Some(0) };
        let kept = independent_columns(&gram, 4, &plain);
        assert_eq!(kept, [true, true, false, true]);
        let inverse = inverse_of_kept_columns(&gram, 4, Some(&kept)).unwrap();
        assert!((0..4).all(|j| inverse[(2, j)] == 0.0 && inverse[(j, 2)] == 0.0));
        let columns = [0, 1, 3];
        let part = select(&gram, 4, &columns);
        for i in 0..3 {
            let product: f64 = (0..3).map(|j| part[i * 3 + j] * inverse[(columns[j], columns[i])]).sum();
            assert!((product - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn raw_gram_undoes_the_standardization() {
        let x: [[f64; 2]; 3] = [[1.0, 5.0], [1.0, 7.0], [1.0, 12.0]];
        let s = Standardization { center: vec![0.0, 8.0], scale: vec![1.0, 2.0], intercept: Some(0) };
        let z: Vec<[f64; 2]> = x.iter().map(|r| [1.0, (r[1] - 8.0) / 2.0]).collect();
        let gram: Vec<f64> = (0..4).map(|ij| z.iter().map(|r| r[ij / 2] * r[ij % 2]).sum()).collect();
        let raw = s.raw_gram(&gram, 2);
        assert!((raw[(0, 1)] - 24.0).abs() < 1e-12 && (raw[(1, 1)] - 218.0).abs() < 1e-12);
    }
}
