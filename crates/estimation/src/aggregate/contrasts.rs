//! Numbers made of several estimates of a saved result: differences of two, and a pre-test over chosen leads (FORMULAS §4, §6).

use faer::Mat;

use stagger_estimator::aggregate::{self, Aggregate, AggregateKind, AggregateOptions, Estimand, LinearMap};
use stagger_estimator::inference::{
    InferenceOptions, infer_aggregate, pointwise_critical_value, tested_cells, wald_pretest,
};
use stagger_estimator::label::label;
use stagger_model::contrast::{ChosenPretest, Contrast};
use stagger_model::error::{Result, StaggerError};
use stagger_model::result::{Num, SavedResult, WaldTest};

use super::{Cells, InferenceOverrides, extended};

/// The difference of two estimates of an aggregation: the one at `of` less the one at `from`, event times, groups or periods. Its standard
/// error has the covariance that they share, and comes from draws where the result has them.
///
/// # Errors
/// Those of [`super::aggregate_saved`], and estimates that are not there.
pub fn difference(
    saved: &SavedResult,
    draws: Option<&Mat<f64>>,
    (kind, options): (&str, &AggregateOptions),
    overrides: &InferenceOverrides,
    (of, from): (f64, f64),
) -> Result<Contrast> {
    let kind: AggregateKind =
        kind.parse().map_err(|error: aggregate::AggregateError| StaggerError::input(error.to_string()))?;
    let cells = Cells::of(saved);
    let found = aggregate::aggregate(&cells.input(saved), kind, &options.applied(kind))
        .map_err(|error| StaggerError::input(error.to_string()))?;
    let at = |wanted: f64| {
        found.egt.iter().position(|e| *e == wanted).ok_or_else(|| {
            let there: Vec<String> = found.egt.iter().map(|e| label(*e)).collect();
            StaggerError::input(format!("the {kind} aggregation has no estimate at {}", label(wanted)))
                .with_hint(format!("it has {}", there.join(", ")))
        })
    };
    let (a, b) = (&found.by[at(of)?], &found.by[at(from)?]);
    let contrast = Estimand { att: a.att - b.att, map: less(&a.map, &b.map) };
    let alone = Aggregate { kind, overall: contrast, egt: Vec::new(), by: Vec::new() };
    let spec = &saved.extended.spec;
    let alp = overrides.alp.unwrap_or(spec.alp);
    let inference = InferenceOptions { alp, bstrap: spec.bstrap, cband: false, scale: spec.scale };
    let se = infer_aggregate(&extended(saved, draws)?, &alone, &inference).overall_se;
    let reach = pointwise_critical_value(alp) * se;
    let att = alone.overall.att;
    let z = att / se;
    Ok(Contrast {
        of: Num(of),
        from: Num(from),
        att: Num(att),
        se: Num(se),
        lci: Num(att - reach),
        uci: Num(att + reach),
        z: Num(z),
        p: Num(libm::erfc(z.abs() * std::f64::consts::FRAC_1_SQRT_2)),
    })
}

fn less(a: &LinearMap, b: &LinearMap) -> LinearMap {
    let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
    LinearMap { ones: a.ones - b.ones, shares: minus(&a.shares, &b.shares), cells: minus(&a.cells, &b.cells) }
}

/// The Wald test that all ATT(g,t) with an event time between two, both included, are zero, by the analytic covariance.
///
/// # Errors
/// No cell that could be tested, and a covariance without an inverse.
pub fn pretest(saved: &SavedResult, (first, last): (f64, f64)) -> Result<ChosenPretest> {
    let cells = Cells::of(saved);
    let extended = extended_without_draws(saved)?;
    let columns = 1 + saved.extended.groups.len();
    let mut space = extended.covariance.space();
    let se = |k: usize| {
        let variance = extended.covariance.quadratic(&[(columns + k, 1.0)], &mut space);
        (variance.max(0.0) / extended.n as f64).sqrt()
    };
    let se: Vec<f64> = (0..cells.att.len()).map(se).collect();
    let lead = |k: usize| (first..=last).contains(&(cells.time[k] - cells.group[k]));
    let chosen: Vec<bool> = (0..cells.att.len()).map(lead).collect();
    let tested = tested_cells(&cells.att, &se, &chosen);
    let span = format!("{}..{}", label(first), label(last));
    if tested.is_empty() {
        return Err(StaggerError::input(format!(
            "no ATT(g,t) with an event time in {span} has a standard error"
        ))
        .with_hint("--pre-test FIRST..LAST names event times, as in -4..-2"));
    }
    let theta: Vec<f64> = tested.iter().map(|&k| cells.att[k]).collect();
    let places: Vec<usize> = tested.iter().map(|&k| columns + k).collect();
    let v = extended.covariance.matrix(&places);
    let test = wald_pretest(&theta, &v, extended.n).ok_or_else(|| {
        StaggerError::input(format!(
            "the covariance of the {} ATT(g,t) with an event time in {span} is singular",
            tested.len()
        ))
        .with_hint("choose fewer event times")
    })?;
    let wald = WaldTest { stat: Num(test.stat), df: test.df as u64, p: Num(test.p) };
    Ok(ChosenPretest { first: Num(first), last: Num(last), wald })
}

fn extended_without_draws(saved: &SavedResult) -> Result<stagger_estimator::inference::Extended> {
    let mut analytic = saved.clone();
    analytic.extended.spec.bstrap = false;
    extended(&analytic, None)
}
