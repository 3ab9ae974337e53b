//! Standard errors, bands and tests from the second moments and draws of the extended columns (FORMULAS §4, §5).
//!
//! Nothing here touches units: cells and aggregates are linear maps of the extended columns, and R's rules about NA,
//! negligible variances and fallbacks are applied to those.

mod bands;
mod covariance;
mod gaussian;
mod standard_errors;
mod two_way;
mod wald;

use crate::aggregate::{Aggregate, Estimand};
use crate::options::DrawScale;

pub use bands::{SupT, normal_quantile, pointwise_critical_value};
pub use covariance::Covariance;
pub(crate) use gaussian::Normals;
pub use gaussian::gaussian_draws;
pub use standard_errors::{Extended, NEGLIGIBLE, Scale, analytic_se, bootstrap_se, draws_of, nonzero};
pub use two_way::{TwoWay, two_way};
pub use wald::{Wald, chi_squared_tail, rcond_1norm, tested_cells, wald_pretest};

/// R warns about simultaneous critical values from here on.
const SUSPICIOUS_CRITICAL_VALUE: f64 = 7.0;

/// The options of inference, under R's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InferenceOptions {
    /// One minus the confidence level.
    pub alp: f64,
    /// Standard errors from draws.
    pub bstrap: bool,
    /// Simultaneous band; needs `bstrap`.
    pub cband: bool,
    /// Scale of the draws.
    pub scale: DrawScale,
}

/// An estimate whose draws are scaled by their standard deviation, as their quartiles are chance: few units carry it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescaled {
    /// Index among the estimates.
    pub index: usize,
    /// Standard error by the standard deviation, as reported.
    pub se: f64,
    /// Standard error by the interquartile range, as in R.
    pub by_quartiles: f64,
}

/// Inference on every cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellInference {
    /// Reported standard error of each cell; NaN = NA.
    pub se: Vec<f64>,
    /// Analytic standard error of each cell; NaN = NA.
    pub se_analytic: Vec<f64>,
    /// Critical value of the intervals.
    pub crit: f64,
    /// `crit` covers all cells at once.
    pub uniform: bool,
    /// Cells that few units carry.
    pub rescaled: Vec<Rescaled>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Inference on an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateInference {
    /// Standard error of the overall parameter; NaN = NA. Its interval is pointwise.
    pub overall_se: f64,
    /// Standard error at each event time, group or period; NaN = NA.
    pub se: Vec<f64>,
    /// Critical value of the intervals of `se`.
    pub crit: f64,
    /// `crit` covers all estimates at once.
    pub uniform: bool,
    /// Estimates that few units carry; index 0 is the overall parameter, those of `se` follow.
    pub rescaled: Vec<Rescaled>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Inference on the cells that follow 1 + `n_groups` other columns, by R `att_gt`'s rules (FORMULAS §4, §5). Cells marked in
/// `centred` have the variance of their influence values about their mean, with n − 1 (FORMULAS §7.2, §7.3).
pub fn infer_cells(
    ext: &Extended,
    att: &[f64],
    n_groups: usize,
    centred: &[bool],
    options: &InferenceOptions,
) -> CellInference {
    let picked: Vec<[(usize, f64); 1]> = (0..att.len()).map(|cell| [(1 + n_groups + cell, 1.0)]).collect();
    let estimates: Vec<(f64, &[(usize, f64)])> =
        att.iter().copied().zip(picked.iter().map(<[_; 1]>::as_slice)).collect();
    let Errors { analytic: mut se_analytic, mut se, sup, rescaled } = Errors::of(ext, &estimates, options, 0);
    for cell in (0..att.len()).filter(|&cell| centred.get(cell) == Some(&true)) {
        let own = if se_analytic[cell].is_nan() { f64::NAN } else { ext.centred_se(1 + n_groups + cell) };
        if sup.is_none() {
            se[cell] = own;
        }
        se_analytic[cell] = own;
    }
    let Band { crit, uniform, warnings } = band(ext, (sup, att.len()), options, f64::NEG_INFINITY);
    CellInference { se, se_analytic, crit, uniform, rescaled, warnings }
}

/// Inference on an aggregate by R `aggte`'s rules: the band covers its event times, groups or periods (FORMULAS §5).
pub fn infer_aggregate(
    ext: &Extended,
    aggregate: &Aggregate,
    options: &InferenceOptions,
) -> AggregateInference {
    let terms = |estimand: &Estimand| (estimand.att, nonzero(&estimand.map.dense()));
    let maps: Vec<(f64, Vec<(usize, f64)>)> =
        std::iter::once(&aggregate.overall).chain(&aggregate.by).map(terms).collect();
    let estimates: Vec<(f64, &[(usize, f64)])> =
        maps.iter().map(|(att, map)| (*att, map.as_slice())).collect();
    // The band covers the estimates by event time, group or period, which follow the overall one.
    let Errors { mut se, sup, rescaled, .. } = Errors::of(ext, &estimates, options, 1);
    let overall_se = se.remove(0);
    let options = InferenceOptions { cband: options.cband && !aggregate.by.is_empty(), ..*options };
    let lowest = pointwise_critical_value(options.alp);
    let Band { crit, uniform, warnings } = band(ext, (sup, aggregate.by.len()), &options, lowest);
    AggregateInference { overall_se, se, crit, uniform, rescaled, warnings }
}

/// The critical value in use and what to say about it.
struct Band {
    crit: f64,
    uniform: bool,
    warnings: Vec<String>,
}

/// The simultaneous critical value if it is asked for, exists and is at least `lowest`; else the pointwise one.
fn band(
    ext: &Extended,
    (sup, estimates): (Option<SupT>, usize),
    options: &InferenceOptions,
    lowest: f64,
) -> Band {
    let mut band = Band {
        crit: pointwise_critical_value(options.alp),
        uniform: false,
        warnings: no_draws_warning(ext, options),
    };
    let Some(sup) = sup.filter(|_| options.bstrap && options.cband) else { return band };
    match sup.critical_value(options.alp) {
        Some(sup) if sup >= lowest => (band.crit, band.uniform) = (sup, true),
        Some(sup) => band.warnings.push(narrow_band(sup, band.crit)),
        None => band.warnings.push(no_band(estimates, band.crit)),
    }
    band.warnings.extend(suspicious(band.crit));
    band
}

/// Standard errors of some estimates.
struct Errors {
    analytic: Vec<f64>,
    /// Those reported.
    se: Vec<f64>,
    /// The largest draws, where draws are used.
    sup: Option<SupT>,
    rescaled: Vec<Rescaled>,
}

impl Errors {
    /// The bootstrap standard error, unless the ATT or the analytic one is NA (FORMULAS §5). The estimates from index
    /// `banded` on enter the band.
    fn of(
        ext: &Extended,
        estimates: &[(f64, &[(usize, f64)])],
        options: &InferenceOptions,
        banded: usize,
    ) -> Self {
        let mut space = ext.covariance.space();
        let analytic = |&(att, map): &(f64, &[(usize, f64)])| {
            if att.is_nan() { f64::NAN } else { analytic_se(ext, map, &mut space) }
        };
        let analytic: Vec<f64> = estimates.iter().map(analytic).collect();
        let mut out = Self { se: analytic.clone(), analytic, sup: None, rescaled: Vec::new() };
        if !(options.bstrap && ext.draws.is_some()) {
            return out;
        }
        let mut sup = SupT::new(ext.n_draw_units);
        for (index, (_, map)) in estimates.iter().enumerate() {
            let Some(draws) = draws_of(ext, map) else { continue };
            let scale = Scale::of(&draws, ext.n_draw_units, options.scale);
            out.report(index, &scale, |scale| bootstrap_se(scale, ext.n, ext.n_draw_units));
            if index >= banded {
                sup.add(&draws, scale.value);
            }
        }
        out.sup = Some(sup);
        out
    }

    /// Reports the bootstrap standard error of an estimate that has an analytic one.
    fn report(&mut self, index: usize, scale: &Scale, se: impl Fn(f64) -> f64) {
        if self.analytic[index].is_nan() {
            return;
        }
        self.se[index] = se(scale.value);
        if scale.is_replaced() && !self.se[index].is_nan() {
            self.rescaled.push(Rescaled { index, se: self.se[index], by_quartiles: se(scale.iqr) });
        }
    }
}

fn no_draws_warning(ext: &Extended, options: &InferenceOptions) -> Vec<String> {
    match options.bstrap && ext.draws.is_none() {
        true => vec![
            "no bootstrap draws were made; standard errors are analytic and intervals pointwise".to_owned(),
        ],
        false => Vec::new(),
    }
}

fn no_band(columns: usize, pointwise: f64) -> String {
    format!(
        "no simultaneous critical value from {columns} estimates, none of which varies over the draws; \
         intervals are pointwise ({pointwise:.4})"
    )
}

fn narrow_band(sup: f64, pointwise: f64) -> String {
    format!(
        "the simultaneous band is narrower than the pointwise interval, which is unexpected (critical values: {sup:.4} \
         and {pointwise:.4}); falling back to pointwise intervals"
    )
}

fn suspicious(crit: f64) -> Option<String> {
    let text = || {
        format!(
            "simultaneous critical value {crit:.2} is arguably too large to be reliable (expected below \
             {SUSPICIOUS_CRITICAL_VALUE}); this happens with few units per group or cluster"
        )
    };
    (crit >= SUSPICIOUS_CRITICAL_VALUE).then(text)
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;
    use crate::aggregate::{AggregateKind, AggregateOptions, aggregate, mpdta};
    use crate::symmetric::Symmetric;

    const ANALYTIC: InferenceOptions =
        InferenceOptions { alp: 0.05, bstrap: false, cband: false, scale: DrawScale::Auto };
    const BAND: InferenceOptions =
        InferenceOptions { alp: 0.05, bstrap: true, cband: true, scale: DrawScale::Auto };

    /// Without covariates and weights ψ is orthogonal to the cohort indicators, which makes the extended columns'
    /// covariance known: E[1{G=g}] = p_g, and zero between indicators and cells.
    fn extended() -> Extended {
        let covariance = Symmetric::from_fn(16, |i, j| match (i.min(j), i.max(j)) {
            (0, 0) => 1.0,
            (0, g) if g < 4 => mpdta::SHARES[g - 1],
            (g, h) if h < 4 => f64::from(u8::from(g == h)) * mpdta::SHARES[g - 1],
            (g, k) if g >= 4 => mpdta::V[g - 4][k - 4],
            _ => 0.0,
        });
        let covariance = Covariance::Dense(covariance);
        Extended { n: mpdta::N, covariance, draws: None, n_draw_units: mpdta::N }
    }

    fn drawn(biters: usize) -> Extended {
        let ext = extended();
        let draws = Some(gaussian_draws(&ext.covariance.to_symmetric().to_mat(), ext.n, biters, 3));
        Extended { draws, ..ext }
    }

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found} vs {expected}");
    }

    #[test]
    fn cells_agree_with_r() {
        let found = infer_cells(&extended(), &mpdta::ATT, 3, &[], &ANALYTIC);
        found.se.iter().zip(mpdta::SE).for_each(|(f, e)| close(*f, e, 1e-12));
        assert_eq!((found.crit, found.uniform), (pointwise_critical_value(0.05), false));
        assert!(found.warnings.is_empty());
    }

    #[test]
    fn aggregates_agree_with_r() {
        for golden in mpdta::AGGREGATES {
            let found = aggregate(&mpdta::input(), golden.kind, &golden.options).unwrap();
            let errors = infer_aggregate(&extended(), &found, &ANALYTIC);
            close(errors.overall_se, golden.overall.1, 1e-10);
            errors.se.iter().zip(golden.by).for_each(|(f, g)| close(*f, g.1, 1e-10));
        }
    }

    #[test]
    fn draws_reproduce_the_analytic_errors_and_widen_the_band() {
        let ext = drawn(20_000);
        let found = infer_cells(&ext, &mpdta::ATT, 3, &[], &BAND);
        found.se.iter().zip(mpdta::SE).for_each(|(f, e)| close(*f, e, 0.04));
        // sup-t lies between the pointwise value and Bonferroni's
        assert!(found.uniform && found.crit > 2.5 && found.crit < normal_quantile(1.0 - 0.025 / 12.0) + 0.1);
        let event = aggregate(&mpdta::input(), AggregateKind::Dynamic, &AggregateOptions::default()).unwrap();
        let analytic = infer_aggregate(&ext, &event, &ANALYTIC);
        let errors = infer_aggregate(&ext, &event, &BAND);
        close(errors.overall_se, analytic.overall_se, 0.04);
        assert!(errors.uniform && errors.crit > 2.2 && errors.warnings.is_empty());
    }

    #[test]
    fn simple_has_no_band() {
        let simple = aggregate(&mpdta::input(), AggregateKind::Simple, &AggregateOptions::default()).unwrap();
        let errors = infer_aggregate(&drawn(500), &simple, &BAND);
        assert!(errors.se.is_empty() && !errors.uniform && errors.overall_se.is_finite());
    }

    #[test]
    fn missing_cells_and_constant_cells_have_no_error() {
        let mut ext = drawn(400);
        let Covariance::Dense(matrix) = &mut ext.covariance else { panic!("a factor") };
        (0..16).for_each(|k| matrix.set(4, k, 0.0));
        let mut att = mpdta::ATT;
        att[1] = f64::NAN;
        let found = infer_cells(&ext, &att, 3, &[], &BAND);
        assert!(found.se[0].is_nan() && found.se[1].is_nan() && found.se[2].is_finite());
    }

    #[test]
    fn fallbacks_are_said() {
        let mut ext = drawn(400);
        ext.draws = Some(Mat::zeros(400, 16));
        let found = infer_cells(&ext, &mpdta::ATT, 3, &[], &BAND);
        assert!(!found.uniform && found.warnings[0].contains("12 estimates") && found.se[0].is_nan());
        // draws of one size only: the sup never exceeds the quartiles
        ext.draws = Some(Mat::from_fn(400, 16, |b, _| if b % 2 == 0 { 1.0 } else { -1.0 }));
        let event = aggregate(&mpdta::input(), AggregateKind::Dynamic, &AggregateOptions::default()).unwrap();
        let errors = infer_aggregate(&ext, &event, &BAND);
        assert!(!errors.uniform && errors.warnings[0].contains("narrower"));
        ext.draws = None;
        let found = infer_cells(&ext, &mpdta::ATT, 3, &[], &BAND);
        assert!(found.se == found.se_analytic && found.warnings.len() == 1);
    }
}
