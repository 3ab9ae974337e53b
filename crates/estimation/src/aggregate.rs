//! Aggregations of a saved result, without the data: each is a linear map of the extended columns Ψ (FORMULAS §6).

mod contrasts;
mod covariance;
mod lost;

use faer::Mat;

use stagger_estimator::aggregate::{self, Aggregate, AggregateError, AggregateInput, AggregateKind};
use stagger_estimator::inference::{Extended, InferenceOptions, infer_aggregate, pointwise_critical_value};
use stagger_model::error::{Result, StaggerError, input_error};
use stagger_model::few_units;
use stagger_model::result::{AGGREGATION_TYPES, Aggte, LeftOutCells, NotAggregated, Num, SavedResult};
use stagger_model::spec::RunSpec;

pub use self::contrasts::{difference, pretest};
pub use stagger_estimator::aggregate::AggregateOptions;

/// Reason of a missing overall effect: no event time of the window lies at or after treatment.
const NO_POST: &str = "the window has no event time at or after 0";

/// Periods up to which a result is saved with the covariance of its event study; `agg --vcov` gives a larger one. 100 periods have at most
/// 199 event times, a megabyte of text.
const MOST_SAVED_EVENT_TIMES: usize = 100;

/// Settings of inference for an aggregation, each in place of the run's.
#[derive(Clone, Copy, Debug, Default)]
pub struct InferenceOverrides {
    /// Significance level, between 0 and 1; `None`: the run's.
    pub alp: Option<f64>,
    /// Simultaneous (uniform) bands instead of pointwise ones; `None`: the run's.
    pub cband: Option<bool>,
    /// With the covariance of the estimates.
    pub vcov: bool,
}

/// Returns the window of event times and the rule about missing cells that a specification asks for.
pub fn aggregate_options(spec: &RunSpec) -> AggregateOptions {
    AggregateOptions {
        min_e: spec.min_e.unwrap_or(f64::NEG_INFINITY),
        max_e: spec.max_e.unwrap_or(f64::INFINITY),
        balance_e: spec.balance_e,
        na_rm: spec.na_rm,
        average: None,
    }
}

/// Computes all four aggregations of a result and replaces those that it holds. An aggregation that can't be computed
/// is left out; its reason goes to the result's `not_aggregated` and warnings.
///
/// # Errors
/// A damaged result, as for [`aggregate_saved`].
pub fn aggregate_all(
    saved: &mut SavedResult,
    draws: Option<&Mat<f64>>,
    options: &AggregateOptions,
) -> Result<()> {
    let extended = extended(saved, draws)?;
    aggregate_extended(saved, &extended, options);
    Ok(())
}

/// Returns true if a result holds the covariance of its aggregation of this kind: that of the event study, unless it is large.
pub fn has_covariance(saved: &SavedResult, kind: &str) -> bool {
    kind == "dynamic" && saved.extended.periods.len() <= MOST_SAVED_EVENT_TIMES
}

/// Does the same as [`aggregate_all`] with extended columns that the caller has already.
pub fn aggregate_extended(saved: &mut SavedResult, extended: &Extended, options: &AggregateOptions) {
    saved.result.not_aggregated.clear();
    saved.result.warnings.retain(|warning| !lost::is_warning(warning));
    saved.result.clear_aggregations();
    for kind in AGGREGATION_TYPES {
        let overrides =
            InferenceOverrides { vcov: has_covariance(saved, kind), ..InferenceOverrides::default() };
        match aggregate_one(saved, extended, kind, options, &overrides) {
            Ok(aggte) => saved.result.set_aggregation(aggte),
            Err(failed) => {
                let (error, lost) = *failed;
                let not_given = NotAggregated { reason: error.to_string(), hint: error.hint(), lost };
                saved.result.not_aggregated.insert(kind.to_owned(), not_given);
            }
        }
    }
    let warnings = lost::warnings(saved);
    saved.result.warnings.extend(warnings);
}

/// Aggregates a saved result. Standard errors and bands come from its bootstrap draws where it has them. Limits that
/// the type does not use are not applied.
///
/// # Errors
/// An unknown type, cells that can't be estimated without `na_rm`, a window without a cell, a significance level
/// outside (0, 1), and a damaged result.
pub fn aggregate_saved(
    saved: &SavedResult,
    draws: Option<&Mat<f64>>,
    kind: &str,
    options: &AggregateOptions,
    overrides: &InferenceOverrides,
) -> Result<Aggte> {
    aggregate_one(saved, &extended(saved, draws)?, kind, options, overrides).map_err(|failed| failed.0)
}

/// An aggregation, or the error that explains its absence with the cells that it lacks.
type Aggregated = std::result::Result<Aggte, Box<(StaggerError, Option<LeftOutCells>)>>;

fn aggregate_one(
    saved: &SavedResult,
    extended: &Extended,
    kind: &str,
    options: &AggregateOptions,
    overrides: &InferenceOverrides,
) -> Aggregated {
    let kind: AggregateKind = kind.parse().map_err(|_| {
        let text = format!("type must be one of {}, not `{kind}`", AGGREGATION_TYPES.join(", "));
        Box::new((StaggerError::input(text), None))
    })?;
    let options = options.applied(kind);
    let cells = Cells::of(saved);
    let input = cells.input(saved);
    let found = aggregate::aggregate(&input, kind, &options).map_err(|error| {
        let lost = lost::find_lost_cells(saved, &input, kind, &options);
        let error = rewrite(saved, refusal(saved, &input, kind, &options, &error, lost.as_ref()));
        Box::new((error, lost))
    })?;
    let left_out = lost::find_lost_cells(saved, &input, kind, &options);
    summary(saved, extended, &found, &options, overrides)
        .map(|aggte| Aggte { left_out, ..aggte })
        .map_err(|error| Box::new((error, None)))
}

/// Writes the periods and cohorts in an error as the data have them.
fn rewrite(saved: &SavedResult, error: StaggerError) -> StaggerError {
    let Some(calendar) = &saved.extended.calendar else { return error };
    let all = saved.extended.periods.iter().chain(&saved.extended.groups);
    let known: Vec<f64> = all.map(|period| period.0).collect();
    error.map_text(|text| calendar.label_periods_in(text, &known))
}

/// The numbers of the cells, as plain slices.
struct Cells {
    group: Vec<f64>,
    time: Vec<f64>,
    att: Vec<f64>,
    groups: Vec<f64>,
    periods: Vec<f64>,
}

impl Cells {
    fn of(saved: &SavedResult) -> Self {
        let numbers = |values: &[Num]| values.iter().map(|v| v.0).collect::<Vec<f64>>();
        let (cells, extended) = (&saved.result.att_gt, &saved.extended);
        Self {
            group: numbers(&cells.group),
            time: numbers(&cells.time),
            att: numbers(&cells.att),
            groups: numbers(&extended.groups),
            periods: numbers(&extended.periods),
        }
    }

    fn input<'a>(&'a self, saved: &'a SavedResult) -> AggregateInput<'a> {
        AggregateInput {
            group: &self.group,
            time: &self.time,
            att: &self.att,
            groups: &self.groups,
            shares: &saved.extended.shares,
            periods: &self.periods,
        }
    }
}

/// Builds the error of an aggregation that can't be computed, with the shares of units, cells and weight that the lost
/// cells take along.
fn refusal(
    saved: &SavedResult,
    input: &AggregateInput<'_>,
    kind: AggregateKind,
    options: &AggregateOptions,
    error: &AggregateError,
    lost: Option<&LeftOutCells>,
) -> StaggerError {
    let Some(lost) = lost else { return input_error(error, error.hint()) };
    let text = format!("{error}: {}", lost::describe_lost_cells(saved, lost));
    // A hint that leaves no cell at all would not help.
    let lenient = AggregateOptions { na_rm: true, ..*options };
    let helps = aggregate::aggregate(input, kind, &lenient).is_ok();
    input_error(&text, error.hint().filter(|_| helps))
}

fn summary(
    saved: &SavedResult,
    extended: &Extended,
    found: &Aggregate,
    options: &AggregateOptions,
    overrides: &InferenceOverrides,
) -> Result<Aggte> {
    let spec = &saved.extended.spec;
    let alp = overrides.alp.unwrap_or(spec.alp);
    if !(alp > 0.0 && alp < 1.0) {
        return Err(StaggerError::input(format!("alp must lie between 0 and 1, not {alp}")));
    }
    let inference_options = InferenceOptions {
        alp,
        bstrap: spec.bstrap,
        cband: overrides.cband.unwrap_or(spec.cband),
        scale: spec.scale,
    };
    let inference = infer_aggregate(extended, found, &inference_options);
    let rescaled = few_units::warn_of_aggregate(saved, found, &inference.rescaled);
    let warnings = rescaled.into_iter().chain(inference.warnings).collect();
    let overall = (found.overall.att, inference.overall_se, pointwise_critical_value(alp));
    let by: Vec<f64> = found.by.iter().map(|e| e.att).collect();
    let band =
        |sign: f64| by.iter().zip(&inference.se).map(|(a, s)| Num(a + sign * inference.crit * s)).collect();
    let limit = |value: f64| value.is_finite().then_some(Num(value));
    let overall_reason = match overall.0.is_nan() {
        true => Some(NO_POST.to_owned()),
        false => lost::missing_error_reason(saved, &found.overall, overall.1),
    };
    let reason_egt = reasons(saved, found, &inference.se);
    Ok(Aggte {
        kind: found.kind.to_string(),
        min_e: limit(options.min_e),
        max_e: limit(options.max_e),
        balance_e: options.balance_e.map(Num),
        average: options.average.map(|(first, last)| [Num(first), Num(last)]),
        na_rm: options.na_rm,
        left_out: None,
        overall_att: Num(overall.0),
        overall_se: Num(overall.1),
        overall_lci: Num(overall.0 - overall.2 * overall.1),
        overall_uci: Num(overall.0 + overall.2 * overall.1),
        overall_reason,
        egt_label: labels(saved, found.kind, &found.egt),
        egt: found.egt.iter().copied().map(Num).collect(),
        lci_egt: band(-1.0),
        uci_egt: band(1.0),
        att_egt: by.into_iter().map(Num).collect(),
        se_egt: inference.se.iter().copied().map(Num).collect(),
        reason_egt,
        vcov_egt: if overrides.vcov { covariance::of_estimates(extended, found) } else { Vec::new() },
        crit: (!found.egt.is_empty()).then_some(Num(inference.crit)),
        cband: inference.uniform,
        warnings,
    })
}

/// Why estimates or their standard errors are missing; empty if none is.
fn reasons(saved: &SavedResult, found: &Aggregate, se: &[f64]) -> Vec<Option<String>> {
    let all: Vec<Option<String>> =
        found.by.iter().zip(se).map(|(e, se)| lost::missing_error_reason(saved, e, *se)).collect();
    if all.iter().all(Option::is_none) { Vec::new() } else { all }
}

/// Groups and periods as the data have them, where periods are dates; empty otherwise.
fn labels(saved: &SavedResult, kind: AggregateKind, egt: &[f64]) -> Vec<String> {
    match (&saved.extended.calendar, kind) {
        (Some(calendar), AggregateKind::Group | AggregateKind::Calendar) => {
            egt.iter().map(|&label| calendar.label(label)).collect()
        }
        _ => Vec::new(),
    }
}

fn extended(saved: &SavedResult, draws: Option<&Mat<f64>>) -> Result<Extended> {
    let columns = 1 + saved.extended.groups.len() + saved.result.att_gt.att.len();
    let fits = saved.extended.covariance.size() == columns;
    let draws_fit = draws.is_none_or(|d| d.ncols() == columns);
    if !fits || !draws_fit || saved.extended.shares.len() != saved.extended.groups.len() {
        return Err(StaggerError::input(
            "the saved result is damaged: its covariance, draws and cells differ in size",
        )
        .with_hint("run the estimation again with --out"));
    }
    if saved.extended.spec.bstrap && draws.is_none() {
        return Err(StaggerError::input("the saved result was bootstrapped, but its draws are missing")
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
