//! Quantiles and the sup-t critical value of simultaneous bands (FORMULAS §5; Montiel Olea & Plagborg-Møller 2019).

use statrs::distribution::{ContinuousCDF, Normal};

use super::standard_errors::NEGLIGIBLE;

/// Quantile of the standard normal; NaN outside [0, 1].
pub fn normal_quantile(p: f64) -> f64 {
    match (0.0..=1.0).contains(&p) {
        true => Normal::standard().inverse_cdf(p),
        false => f64::NAN,
    }
}

/// Critical value of a pointwise two-sided interval of level 1 − `alp`.
pub fn pointwise_critical_value(alp: f64) -> f64 {
    normal_quantile(1.0 - alp / 2.0)
}

/// Sup-t critical value: the type-1 quantile at 1 − `alp` of max over estimands of |b/s| (FORMULAS §5). Estimands come one
/// after the other, so that the draws of thousands of them need not be held.
#[derive(Clone, Debug)]
pub struct SupT {
    root: f64,
    /// By draw: the largest |b/s| so far; empty before the first estimand.
    largest: Vec<f64>,
}

impl SupT {
    /// Of no estimand yet; multipliers are drawn for `n_draw_units`.
    pub fn new(n_draw_units: u64) -> Self {
        Self { root: (n_draw_units as f64).sqrt(), largest: Vec::new() }
    }

    /// Takes the draws of an estimand (raw sums) and their scale. Those that are dropped or whose scale is negligible do not
    /// count.
    pub fn add(&mut self, draws: &[f64], scale: f64) {
        if scale.is_nan() || scale <= NEGLIGIBLE {
            return;
        }
        if self.largest.is_empty() {
            self.largest.resize(draws.len(), 0.0);
        }
        for (largest, draw) in self.largest.iter_mut().zip(draws) {
            *largest = f64::max(*largest, (draw / self.root / scale).abs());
        }
    }

    /// Returns the critical value; none without an estimand. Draws without a finite maximum do not count.
    pub fn critical_value(self, alp: f64) -> Option<f64> {
        let mut finite: Vec<f64> = self.largest.into_iter().filter(|tau| tau.is_finite()).collect();
        Some(order_statistic(&mut finite, 1.0 - alp)).filter(|crit| crit.is_finite())
    }
}

/// Type-1 quantile: order statistic number ⌈Bp⌉; NaN of nothing. Reorders `values`.
pub(super) fn order_statistic(values: &mut [f64], p: f64) -> f64 {
    let wanted = (values.len() as f64 * p).ceil().max(1.0) as usize;
    match wanted.min(values.len()).checked_sub(1) {
        Some(rank) => *values.select_nth_unstable_by(rank, f64::total_cmp).1,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inference::Scale;
    use crate::options::DrawScale;

    fn critical_value(columns: &[Vec<f64>], alp: f64, n: u64) -> Option<f64> {
        let scales: Vec<f64> = columns.iter().map(|c| Scale::of(c, n, DrawScale::Iqr).value).collect();
        let mut sup = SupT::new(n);
        columns.iter().zip(scales).for_each(|(column, scale)| sup.add(column, scale));
        sup.critical_value(alp)
    }

    #[test]
    fn quantiles_keep_their_digits() {
        // √2 erf⁻¹(2p − 1) in 30-digit arithmetic (mpmath); the first is also R's printed critical value
        let table = [
            (0.975, 1.959_963_984_540_054),
            (0.95, 1.644_853_626_951_472_2),
            (0.75, 0.674_489_750_196_081_7),
            (0.5, 0.0),
            (0.995, 2.575_829_303_548_900_4),
            (0.000_001, -4.753_424_308_822_899),
            (0.001, -3.090_232_306_167_813_5),
        ];
        for (p, expected) in table {
            assert!((normal_quantile(p) - expected).abs() < 1e-14 * (1.0 + expected.abs()), "{p}");
        }
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(f64::NAN).is_nan());
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert_eq!(pointwise_critical_value(0.05), normal_quantile(0.975));
    }

    #[test]
    fn type_one_order_statistics() {
        let mut values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.26, 0.5, 1.0].map(|p| order_statistic(&mut values, p)),
            [1.0, 1.0, 2.0, 2.0, 4.0]
        );
        assert!(order_statistic(&mut [], 0.5).is_nan());
    }

    #[test]
    fn dropped_columns_do_not_count() {
        let column: Vec<f64> = (-50..50).map(f64::from).collect();
        let alone = critical_value(std::slice::from_ref(&column), 0.05, 9).unwrap();
        let zeros = vec![0.0; 100];
        let missing = vec![f64::NAN; 100];
        let spike: Vec<f64> = (0..100).map(|b| if b == 3 { 50.0 } else { 0.0 }).collect();
        assert_eq!(critical_value(&[zeros.clone(), column, missing, spike], 0.05, 9), Some(alone));
        assert_eq!(critical_value(&[zeros], 0.05, 9), None);
        assert_eq!(critical_value(&[], 0.05, 9), None);
    }

    proptest! {
        #[test]
        fn bands_widen_with_more_columns_and_do_not_depend_on_scale(
            draws in proptest::collection::vec(-1.0..1.0f64, 120),
            factor in 0.5..20.0f64,
        ) {
            let columns: Vec<Vec<f64>> = draws.chunks_exact(40).map(<[f64]>::to_vec).collect();
            let one = critical_value(&columns[..1], 0.1, 7);
            let all = critical_value(&columns, 0.1, 7);
            prop_assert!(one.is_none() || all >= one);
            let scaled: Vec<Vec<f64>> = columns.iter().map(|c| c.iter().map(|d| d * factor).collect()).collect();
            let (all, scaled) = (all.unwrap_or(0.0), critical_value(&scaled, 0.1, 7).unwrap_or(0.0));
            prop_assert!((all - scaled).abs() <= 1e-9 * all);
        }
    }
}
