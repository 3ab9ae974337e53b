//! Bootstrap draws of the extended columns from those of the features.

use faer::Mat;

use super::covariance::Factor;

/// Draws Σ v Φ of the features of one group.
#[derive(Clone, Debug, Default)]
pub struct FeatureDraws {
    /// `features × draws`: the draws of a feature follow each other.
    pub sums: Vec<f64>,
}

/// Bits of a draw's mantissa that are kept of thousands of cells: twelve digits. The draws are most of a saved result, and
/// what lies beyond is noise of the summation to those who read them.
const MANTISSA: u32 = 40;

/// Rounds a draw to 40 bits.
pub fn round_draw(value: f64) -> f64 {
    let dropped = 52 - MANTISSA;
    let half = 1u64 << (dropped - 1);
    let rounded = f64::from_bits((value.to_bits().wrapping_add(half)) & !((1 << dropped) - 1));
    if value.is_finite() && rounded.is_finite() { rounded } else { value }
}

/// Returns the draws of some extended columns, `draws × columns`, from those of the features by group.
pub fn draw_matrix(factor: &Factor, features: &[FeatureDraws], draws: usize, columns: std::ops::Range<usize>) -> Mat<f64> {
    let mut out = Mat::zeros(draws, columns.len());
    let first = columns.start;
    for column in columns {
        let mut sums = vec![0.0; draws];
        factor.visit_terms(column, |group, position, coefficient| {
            let own = &features[group].sums[position * draws..(position + 1) * draws];
            sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += coefficient * value);
        });
        for (draw, sum) in sums.into_iter().enumerate() {
            out[(draw, column - first)] = round_draw(sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_draws_have_twelve_digits() {
        for value in [1.0, -0.1, 123_456.789, 1e-300, -7.25e8] {
            let rounded = round_draw(value);
            assert!((rounded / value - 1.0).abs() < 1e-12, "{value} {rounded}");
            assert_eq!(rounded.to_bits() & 0xfff, 0);
            assert_eq!(round_draw(rounded), rounded);
        }
        assert!(round_draw(f64::NAN).is_nan());
        assert_eq!(round_draw(f64::INFINITY), f64::INFINITY);
        assert_eq!(round_draw(f64::MAX), f64::MAX);
        assert_eq!(round_draw(0.0), 0.0);
    }
}
