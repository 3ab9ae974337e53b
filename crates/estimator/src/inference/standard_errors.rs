//! Standard errors of linear maps of the extended columns, analytic and from draws (FORMULAS §4, §5).

use faer::Mat;

use super::bands::{normal_quantile, order_statistic};
use super::covariance::Covariance;
use crate::factor::FactorSpace;
use crate::options::DrawScale;

/// R's bound 10 √ε: a standard error, scale or sum of squares at or below it counts as zero, hence NA.
pub const NEGLIGIBLE: f64 = 10.0 * 1.490_116_119_384_765_6e-8;

/// Second moments of the extended columns Ψ = [ones, w·1{G=g} per group, ψ per cell], and optional draws of their sums.
///
/// The columns of an NA cell are zero in both.
#[derive(Clone, Debug)]
pub struct Extended {
    /// Units (rows, in repeated cross sections).
    pub n: u64,
    /// ΨᵀΨ/n, or SᵀS/n of cluster sums S; not centred; columns × columns.
    pub covariance: Covariance,
    /// B × columns: Σ_i v_i Ψ_i, or Σ_c v_c S_c, as raw sums.
    pub draws: Option<Mat<f64>>,
    /// Units a multiplier was drawn for: n, or the number of clusters.
    pub n_draw_units: u64,
}

impl Extended {
    /// √(s²/n) of a column, s² its variance about the mean with n − 1.
    pub fn centred_se(&self, column: usize) -> f64 {
        let (n, mean) = (self.n as f64, self.covariance.get(0, column));
        let square = self.covariance.quadratic(&[(column, 1.0)], &mut self.covariance.space());
        let variance = (square - mean * mean) * n / (n - 1.0);
        (variance.max(0.0) / n).sqrt()
    }
}

/// The columns of a linear map whose coefficient is not zero, ascending, with the coefficient.
pub fn nonzero(map: &[f64]) -> Vec<(usize, f64)> {
    map.iter().copied().enumerate().filter(|(_, l)| *l != 0.0).collect()
}

/// √(l'Vl/n), or NaN if that is negligible (FORMULAS §4). The map is sparse: columns and coefficients. Coefficients beyond
/// the columns are ignored.
pub fn analytic_se(ext: &Extended, map: &[(usize, f64)], space: &mut FactorSpace) -> f64 {
    let variance = ext.covariance.quadratic(map, space);
    unless_negligible((variance.max(0.0) / ext.n as f64).sqrt())
}

/// B draws of the estimand's influence sum, `draws · map`; none without draws.
pub fn draws_of(ext: &Extended, map: &[(usize, f64)]) -> Option<Vec<f64>> {
    let draws = ext.draws.as_ref()?;
    let mut sums = vec![0.0; draws.nrows()];
    for &(column, coefficient) in map.iter().filter(|(column, _)| *column < draws.ncols()) {
        sums.iter_mut().enumerate().for_each(|(b, sum)| *sum += coefficient * draws[(b, column)]);
    }
    Some(sums)
}

/// By how much the interquartile scale may be off the standard deviation, relative to it, before the latter takes its place.
const TOLERATED: f64 = 0.25;

/// The scale of the draws b = D/√n_c of one estimand, by their quartiles and by their standard deviation; NaN if the column is
/// dropped, for NA or Σ b² negligible (FORMULAS §5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The one in use.
    pub value: f64,
    /// Interquartile range over that of the normal, by type-1 quantiles: R's.
    pub iqr: f64,
    /// Standard deviation, with B − 1.
    pub deviation: f64,
}

impl Scale {
    /// The scale of raw sums, by a rule.
    pub fn of(draws: &[f64], n_draw_units: u64, rule: DrawScale) -> Self {
        let iqr = bootstrap_scale(draws, n_draw_units);
        let deviation = if iqr.is_nan() { f64::NAN } else { deviation(draws, n_draw_units) };
        let off = (iqr - deviation).abs() > TOLERATED * deviation;
        let value = if off && rule == DrawScale::Auto { deviation } else { iqr };
        Self { value, iqr, deviation }
    }

    /// Returns true if the standard deviation has taken the place of the interquartile range.
    pub fn is_replaced(&self) -> bool {
        self.value != self.iqr && !self.value.is_nan()
    }
}

/// Scale s of R's draws b = D/√n_c: their interquartile range over that of the normal, by type-1 quantiles; NaN if the
/// column is dropped, for NA or Σ b² negligible (FORMULAS §5).
fn bootstrap_scale(draws: &[f64], n_draw_units: u64) -> f64 {
    let sum_of_squares = draws.iter().map(|d| d * d).sum::<f64>() / n_draw_units as f64;
    if !(sum_of_squares.is_finite() && sum_of_squares > NEGLIGIBLE) {
        return f64::NAN;
    }
    let mut draws = draws.to_vec();
    let range = order_statistic(&mut draws, 0.75) - order_statistic(&mut draws, 0.25);
    range / (n_draw_units as f64).sqrt() / (normal_quantile(0.75) - normal_quantile(0.25))
}

/// Standard deviation of b = D/√n_c; NaN of a single draw.
fn deviation(draws: &[f64], n_draw_units: u64) -> f64 {
    let count = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / count;
    let squares: f64 = draws.iter().map(|d| (d - mean) * (d - mean)).sum();
    (squares / (count - 1.0) / n_draw_units as f64).sqrt()
}

/// The standard error of a scale: s √n_c / n, or NaN if that is NaN or negligible (FORMULAS §5).
pub fn bootstrap_se(scale: f64, n: u64, n_draw_units: u64) -> f64 {
    unless_negligible(scale * (n_draw_units as f64).sqrt() / n as f64)
}

fn unless_negligible(se: f64) -> f64 {
    match se.is_finite() && se > NEGLIGIBLE {
        true => se,
        false => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::symmetric::Symmetric;

    fn analytic_se(ext: &Extended, map: &[(usize, f64)]) -> f64 {
        super::analytic_se(ext, map, &mut ext.covariance.space())
    }

    fn ext(psi: &[[f64; 2]]) -> Extended {
        let n = psi.len() as f64;
        let covariance = Symmetric::from_fn(2, |i, j| psi.iter().map(|r| r[i] * r[j]).sum::<f64>() / n);
        let covariance = Covariance::Dense(covariance);
        Extended { n: psi.len() as u64, covariance, draws: None, n_draw_units: psi.len() as u64 }
    }

    #[test]
    fn negligible_is_ten_root_eps() {
        assert_eq!(NEGLIGIBLE, 10.0 * f64::EPSILON.sqrt());
        assert!(analytic_se(&ext(&[[1e-8, 0.0]; 4]), &[(0, 1.0)]).is_nan());
        assert!(analytic_se(&ext(&[[0.0, 1.0]; 4]), &[(0, 1.0)]).is_nan());
        assert!(analytic_se(&ext(&[]), &[(0, 1.0)]).is_nan());
        assert_eq!(analytic_se(&ext(&[[1.0, 0.0]; 4]), &[(0, 1.0), (7, 1.0)]), 0.5);
    }

    #[test]
    fn bootstrap_of_known_order_statistics() {
        // B = 8: order statistics number 6 and 2
        let draws = [5.0, -3.0, 1.0, 8.0, -7.0, 2.0, 0.5, -1.0];
        let s = (2.0 - -3.0) / 1.348_979_500_392_163_5 / 2.0;
        assert!((bootstrap_scale(&draws, 4) - s).abs() < 1e-14);
        let se = |draws: &[f64], n, n_c| bootstrap_se(Scale::of(draws, n_c, DrawScale::Iqr).value, n, n_c);
        assert!((se(&draws, 10, 4) - s * 2.0 / 10.0).abs() < 1e-14);
        assert!(se(&[0.0; 8], 10, 4).is_nan());
        assert!(se(&[1.0, f64::NAN], 10, 4).is_nan());
        assert!(se(&[], 10, 4).is_nan() && se(&draws, 0, 0).is_nan());
    }

    #[test]
    fn draws_that_take_few_values_are_scaled_by_their_deviation() {
        // two units, one twice the other: the sum of their multipliers takes four values, whose quartiles are no scale
        let draws: Vec<f64> = (0..1000).map(|b| [-3.0, -1.0, 1.0, 3.0][b % 4]).collect();
        let scale = Scale::of(&draws, 4, DrawScale::Auto);
        assert!(scale.is_replaced() && scale.value == scale.deviation);
        assert!((scale.deviation - (5.0f64 * 1000.0 / 999.0 / 4.0).sqrt()).abs() < 1e-12);
        let to_the_letter = Scale::of(&draws, 4, DrawScale::Iqr);
        assert!(!to_the_letter.is_replaced() && to_the_letter.value == to_the_letter.iqr);
        let normal: Vec<f64> = (0..1000).map(|b| normal_quantile((f64::from(b) + 0.5) / 1000.0)).collect();
        assert!(!Scale::of(&normal, 4, DrawScale::Auto).is_replaced());
        assert!(!Scale::of(&[1.0], 4, DrawScale::Auto).is_replaced());
    }

    #[test]
    fn draws_are_mapped_and_cells_are_found() {
        let mut extended = ext(&[[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(draws_of(&extended, &[(0, 1.0)]), None);
        extended.draws = Some(Mat::from_fn(3, 2, |b, k| (b + 10 * k) as f64));
        assert_eq!(draws_of(&extended, &nonzero(&[2.0, -1.0, 9.0])).unwrap(), [-10.0, -9.0, -8.0]);
        assert_eq!(nonzero(&[0.0, 3.0, 0.0]), [(1, 3.0)]);
    }

    proptest! {
        #[test]
        fn analytic_is_the_root_mean_square(psi in proptest::collection::vec(-9.0..9.0f64, 2..40), l in -3.0..3.0f64) {
            let rows: Vec<[f64; 2]> = psi.chunks_exact(2).map(|r| [r[0], r[1]]).collect();
            let n = rows.len() as f64;
            let direct = (rows.iter().map(|r| (r[0] + l * r[1]).powi(2)).sum::<f64>() / n / n).sqrt();
            let found = analytic_se(&ext(&rows), &nonzero(&[1.0, l]));
            prop_assert!((found - direct).abs() < 1e-7 * (1.0 + direct) || direct < 1e-6);
        }
    }
}
