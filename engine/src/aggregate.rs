//! Aggregations from a saved result alone: every one is a linear map of the extended columns (FORMULAS §6).

use faer::Mat;
use stagger_estimator::aggregate::{self, AggregateInput, AggregateKind};
use stagger_estimator::inference::{Extended, InferenceOptions, infer_aggregate, pointwise_critical_value};

use crate::error::{EngineError, Result};
use crate::plan::input_error;
use crate::result::{Aggte, Num, SavedResult};

pub use stagger_estimator::aggregate::AggregateOptions;

/// Settings of an aggregation that differ from the run's.
#[derive(Clone, Copy, Debug, Default)]
pub struct InferenceOverrides {
    /// Significance level.
    pub alp: Option<f64>,
    /// Simultaneous bands.
    pub cband: Option<bool>,
}

/// Aggregates a saved result; standard errors and bands come from its draws where it has them.
pub fn aggregate_saved(
    saved: &SavedResult,
    draws: Option<&Mat<f64>>,
    kind: &str,
    options: &AggregateOptions,
    overrides: &InferenceOverrides,
) -> Result<Aggte> {
    aggregate_extended(saved, &extended(saved, draws)?, kind, options, overrides)
}

/// The same with the extended columns at hand, which several aggregations share.
pub(crate) fn aggregate_extended(
    saved: &SavedResult,
    extended: &Extended,
    kind: &str,
    options: &AggregateOptions,
    overrides: &InferenceOverrides,
) -> Result<Aggte> {
    let kind: AggregateKind = kind.parse().map_err(|_| {
        EngineError::input(format!("type must be one of simple, dynamic, group, calendar, not `{kind}`"))
    })?;
    let numbers = |values: &[Num]| values.iter().map(|v| v.0).collect::<Vec<f64>>();
    let (group, time) = (numbers(&saved.result.att_gt.group), numbers(&saved.result.att_gt.time));
    let att = numbers(&saved.result.att_gt.att);
    let (groups, periods) = (numbers(&saved.extended.groups), numbers(&saved.extended.periods));
    let input = AggregateInput {
        group: &group,
        time: &time,
        att: &att,
        groups: &groups,
        shares: &saved.extended.shares,
        periods: &periods,
    };
    let found = aggregate::aggregate(&input, kind, options)
        .map_err(|e| input_error(&e, Some(e.hint().to_owned())))?;
    let spec = &saved.extended.spec;
    let alp = overrides.alp.unwrap_or(spec.alp);
    if !(alp > 0.0 && alp < 1.0) {
        return Err(EngineError::input(format!("alp must lie between 0 and 1, not {alp}")));
    }
    let inference_options =
        InferenceOptions { alp, bstrap: spec.bstrap, cband: overrides.cband.unwrap_or(spec.cband) };
    let inference = infer_aggregate(extended, &found, &inference_options);
    let overall = (found.overall.att, inference.overall_se, pointwise_critical_value(alp));
    let by: Vec<f64> = found.by.iter().map(|e| e.att).collect();
    let band =
        |sign: f64| by.iter().zip(&inference.se).map(|(a, s)| Num(a + sign * inference.crit * s)).collect();
    let limit = |value: f64| value.is_finite().then_some(Num(value));
    Ok(Aggte {
        kind: kind.to_string(),
        min_e: limit(options.min_e),
        max_e: limit(options.max_e),
        balance_e: options.balance_e.map(Num),
        na_rm: options.na_rm,
        overall_att: Num(overall.0),
        overall_se: Num(overall.1),
        overall_lci: Num(overall.0 - overall.2 * overall.1),
        overall_uci: Num(overall.0 + overall.2 * overall.1),
        egt: found.egt.iter().copied().map(Num).collect(),
        lci_egt: band(-1.0),
        uci_egt: band(1.0),
        att_egt: by.into_iter().map(Num).collect(),
        se_egt: inference.se.iter().copied().map(Num).collect(),
        crit: (!found.egt.is_empty()).then_some(Num(inference.crit)),
    })
}

fn extended(saved: &SavedResult, draws: Option<&Mat<f64>>) -> Result<Extended> {
    let columns = 1 + saved.extended.groups.len() + saved.result.att_gt.att.len();
    let fits = saved.extended.covariance.size() == columns;
    let draws_fit = draws.is_none_or(|d| d.ncols() == columns);
    if !fits || !draws_fit || saved.extended.shares.len() != saved.extended.groups.len() {
        return Err(EngineError::input(
            "the saved result is damaged: its covariance, draws and cells differ in size",
        )
        .with_hint("run the estimation again with --out"));
    }
    if saved.extended.spec.bstrap && draws.is_none() {
        return Err(EngineError::input("the saved result was bootstrapped, but its draws are missing")
            .with_hint("draws.parquet must lie beside result.json"));
    }
    Ok(Extended {
        n: saved.result.n,
        covariance: saved.extended.covariance.clone(),
        draws: draws.cloned(),
        n_draw_units: saved.extended.clusters.filter(|_| one_way(saved)).unwrap_or(saved.result.n),
    })
}

fn one_way(saved: &SavedResult) -> bool {
    let spec = &saved.extended.spec;
    spec.clustervars.iter().filter(|c| **c != spec.idname).count() == 1
}
