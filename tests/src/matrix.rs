//! Small matrices, by rows: what properties of covariances need.

use faer::{Mat, Side};

/// A matrix by rows.
pub type Rows = Vec<Vec<f64>>;

/// `a + factor·b`.
#[track_caller]
pub fn add(a: &Rows, factor: f64, b: &Rows) -> Rows {
    assert_eq!(a.len(), b.len(), "matrices of one size");
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + factor * b).collect()).collect()
}

/// √Σ aᵢⱼ².
pub fn frobenius(a: &Rows) -> f64 {
    a.iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// Σ aᵢᵢ.
pub fn trace(a: &Rows) -> f64 {
    a.iter().enumerate().map(|(i, row)| row[i]).sum()
}

/// Eigenvalues of a symmetric matrix, ascending.
pub fn eigenvalues(a: &Rows) -> Vec<f64> {
    let n = a.len();
    let a = Mat::from_fn(n, n, |i, j| 0.5 * (a[i][j] + a[j][i]));
    a.self_adjoint_eigenvalues(Side::Lower).expect("a finite symmetric matrix has eigenvalues")
}

/// Rows and columns with these numbers.
pub fn block(a: &Rows, numbers: &[usize]) -> Rows {
    numbers.iter().map(|&i| numbers.iter().map(|&j| a[i][j]).collect()).collect()
}

/// Mean product of the columns, `DᵀD / rows`: the covariance of draws that have mean zero by construction.
pub fn second_moments(columns: &[Vec<f64>]) -> Rows {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64;
    columns.iter().map(|a| columns.iter().map(|b| dot(a, b)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_known_matrix() {
        let values = eigenvalues(&vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        assert!((values[0] - 1.0).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
    }

    #[test]
    fn sums_and_norms() {
        let a = vec![vec![3.0, 0.0], vec![0.0, 4.0]];
        assert_eq!(frobenius(&a), 5.0);
        assert_eq!(trace(&add(&a, -1.0, &a)), 0.0);
        assert_eq!(second_moments(&[vec![1.0, -1.0], vec![2.0, 2.0]]), [[1.0, 0.0], [0.0, 4.0]]);
        assert_eq!(block(&a, &[1]), [[4.0]]);
    }
}
