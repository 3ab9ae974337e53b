//! The covariance of the estimates of an aggregation (FORMULAS §6).

use stagger_estimator::aggregate::Aggregate;
use stagger_estimator::inference::{Extended, nonzero};
use stagger_model::result::Num;

/// IF_e'IF_e/n² between the estimates over `egt`, from cluster sums where there are clusters; NA for an estimate that is missing.
pub(super) fn of_estimates(extended: &Extended, found: &Aggregate) -> Vec<Vec<Num>> {
    let maps: Vec<Vec<(usize, f64)>> =
        found.by.iter().map(|estimand| nonzero(&estimand.map.dense())).collect();
    let products = extended.covariance.between(&maps);
    let missing = |i: usize| found.by[i].att.is_nan();
    let entry = |i: usize, j: usize| match missing(i) || missing(j) {
        true => Num::NA,
        false => Num(products[(i, j)] / extended.n as f64),
    };
    (0..maps.len()).map(|i| (0..maps.len()).map(|j| entry(i, j)).collect()).collect()
}
