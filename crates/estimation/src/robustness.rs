//! What is asked of an event study afterwards: its sensitivity to violations of parallel trends, and the power of its pre-test.

use faer::Mat;

use stagger_estimator::aggregate::AggregateOptions;
use stagger_estimator::options::BasePeriod;
use stagger_estimator::pretrends::{Pretest, PretrendsError};
use stagger_estimator::sensitivity::{
    EventStudy, RestrictionKind, RobustInterval, Sensitivity, SensitivityError, SensitivityOptions,
    StudyError, Target,
};
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::result::{Num, SavedResult};
use stagger_model::sensitivity::{
    PretrendEntry, PretrendsResult, RobustEffect, RobustEnds, SensitivityResult,
};

use super::aggregate::{InferenceOverrides, aggregate_saved};

/// Sizes of relative magnitudes if none are given, HonestDiD's.
const MAGNITUDES: [f64; 4] = [0.5, 1.0, 1.5, 2.0];
/// Sizes of smoothness if none are given, as shares of the largest change of slope before treatment.
const CURVATURES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// The effects whose sensitivity is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum EffectChoice {
    /// Each event time after the reference.
    Each,
    /// These event times.
    EventTimes(Vec<f64>),
    /// The mean over the event times from one to another, both included.
    Average(f64, f64),
}

/// Returns the event study of a saved result as sensitivity analysis takes it.
///
/// # Errors
/// A varying base period, an event study that is not given, and those of [`StudyError`].
pub fn event_study(saved: &SavedResult, options: &AggregateOptions) -> Result<EventStudy> {
    let spec = &saved.extended.spec;
    if spec.base_period != BasePeriod::Universal {
        return Err(StaggerError::input(
            "the result has a varying base period, so that its estimates before treatment are changes from period to period and no trend",
        )
        .with_hint("run it again with --base-period universal"));
    }
    let mut analytic = saved.clone();
    // The covariance is never that of draws, which are then not needed.
    analytic.extended.spec.bstrap = false;
    let overrides = InferenceOverrides { vcov: true, ..InferenceOverrides::default() };
    let found = aggregate_saved(&analytic, None, "dynamic", options, &overrides)?;
    let numbers = |list: &[Num]| list.iter().map(|x| x.0).collect::<Vec<f64>>();
    let covariance = Mat::from_fn(found.egt.len(), found.egt.len(), |i, j| found.vcov_egt[i][j].0);
    let reference = -1.0 - spec.anticipation;
    EventStudy::new(&numbers(&found.egt), &numbers(&found.att_egt), &covariance, reference)
        .map_err(|error| study_error(&error))
}

/// An error of an event study as that of input.
pub fn study_error(error: &StudyError) -> StaggerError {
    with_hint(StaggerError::input(error.to_string()), error.hint())
}

fn with_hint(error: StaggerError, hint: Option<&'static str>) -> StaggerError {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn sensitivity_error(error: &SensitivityError) -> StaggerError {
    let text = error.to_string();
    // A program without a certified solution is no fault of the user's.
    let own = match error {
        SensitivityError::NotCertified { .. } => StaggerError::failed(text),
        _ => StaggerError::input(text),
    };
    with_hint(own, error.hint())
}

/// Computes robust intervals and breakdown values of an event study on some threads. Without `sizes` there are five or four usual ones.
///
/// # Errors
/// Event times that are not there, and those of [`SensitivityError`].
pub fn sensitivity(
    study: &EventStudy,
    options: &SensitivityOptions,
    sizes: Option<&[f64]>,
    choice: &EffectChoice,
    threads: usize,
) -> Result<SensitivityResult> {
    let analysis = Sensitivity::new(study, *options).map_err(|error| sensitivity_error(&error))?;
    let sizes = sizes.map_or_else(|| usual_sizes(study, options.restriction.kind), <[f64]>::to_vec);
    let chosen = chosen(study, choice)?;
    let target =
        |at: usize| analysis.target(weights(study, &chosen[at])).map_err(|error| sensitivity_error(&error));
    let targets = parallel::map(threads, chosen.len(), target)?;
    let intervals = parallel::map(threads, chosen.len() * sizes.len(), |item| {
        let (at, size) = (item / sizes.len(), sizes[item % sizes.len()]);
        targets[at].interval(size).map_err(|error| sensitivity_error(&error))
    })?;
    let effects = parallel::map(threads, chosen.len(), |at| {
        effect(&targets[at], &chosen[at], &intervals[at * sizes.len()..(at + 1) * sizes.len()])
    })?;
    let numbers = |list: &[f64]| list.iter().copied().map(Num).collect::<Vec<Num>>();
    Ok(SensitivityResult {
        restriction: options.restriction.kind,
        bias: options.restriction.bias,
        monotone: options.restriction.monotone,
        method: options.method,
        alp: options.alp,
        seed: options.seed,
        reference: Num(study.reference),
        pre: numbers(&study.event_time[..study.pre]),
        post: numbers(study.post_times()),
        effects,
    })
}

fn effect(target: &Target<'_>, times: &[f64], intervals: &[RobustInterval]) -> Result<RobustEffect> {
    let breakdown = target.breakdown(intervals).map_err(|error| sensitivity_error(&error))?;
    let (lci, uci) = target.original();
    let ends = |own: &RobustInterval| RobustEnds { m: Num(own.m), lci: Num(own.lower), uci: Num(own.upper) };
    Ok(RobustEffect {
        event_time: times.iter().copied().map(Num).collect(),
        att: Num(target.estimate()),
        se: Num(target.standard_error()),
        lci: Num(lci),
        uci: Num(uci),
        breakdown: breakdown.map_or(Num::NA, Num),
        robust: intervals.iter().map(ends).collect(),
    })
}

/// The sizes in use where none are given. Those of smoothness are shares of the largest change of slope that the estimates before treatment
/// show, or of the first standard error after it where there is none.
fn usual_sizes(study: &EventStudy, kind: RestrictionKind) -> Vec<f64> {
    if kind == RestrictionKind::RelativeMagnitude {
        return MAGNITUDES.to_vec();
    }
    let mut path = study.estimate[..study.pre].to_vec();
    path.push(0.0);
    let bend = |three: &[f64]| (three[2] - 2.0 * three[1] + three[0]).abs();
    let largest = path.windows(3).map(bend).fold(0.0, f64::max);
    let first: Vec<f64> = (0..study.post()).map(|j| f64::from(u8::from(j == 0))).collect();
    let unit = if largest > 0.0 { largest } else { study.standard_error(&first) };
    CURVATURES.iter().map(|share| share * unit).collect()
}

/// The event times of each effect.
fn chosen(study: &EventStudy, choice: &EffectChoice) -> Result<Vec<Vec<f64>>> {
    let times = study.post_times();
    let within =
        |from: f64, to: f64| times.iter().copied().filter(|e| (from..=to).contains(e)).collect::<Vec<f64>>();
    let there = |e: f64| match times.contains(&e) {
        true => Ok(vec![e]),
        false => Err(absent(times, &format!("event time {e} is not among those after the reference"))),
    };
    match choice {
        EffectChoice::Each => Ok(times.iter().map(|e| vec![*e]).collect()),
        EffectChoice::EventTimes(wanted) => wanted.iter().map(|e| there(*e)).collect(),
        EffectChoice::Average(from, to) => match within(*from, *to) {
            found if found.is_empty() => {
                Err(absent(times, &format!("no event time after the reference lies in {from}..{to}")))
            }
            found => Ok(vec![found]),
        },
    }
}

fn absent(times: &[f64], what: &str) -> StaggerError {
    let list: Vec<String> = times.iter().map(|e| e.to_string()).collect();
    StaggerError::input(what).with_hint(format!("there are {}", list.join(", ")))
}

fn weights(study: &EventStudy, times: &[f64]) -> Vec<f64> {
    let share = 1.0 / times.len() as f64;
    study.post_times().iter().map(|e| if times.contains(e) { share } else { 0.0 }).collect()
}

/// A trend that is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrendChoice {
    /// The one that the pre-test rejects with this probability.
    Power(f64),
    /// One of this slope.
    Slope(f64),
}

/// Computes what the pre-test of an event study finds, and the estimates that pass it, for some trends.
///
/// # Errors
/// Those of [`PretrendsError`].
pub fn pretrends(study: &EventStudy, alp: f64, trends: &[TrendChoice]) -> Result<PretrendsResult> {
    let refused = |error: PretrendsError| StaggerError::input(error.to_string());
    let pretest = Pretest::new(study, alp).map_err(refused)?;
    let numbers = |list: &[f64]| list.iter().copied().map(Num).collect::<Vec<Num>>();
    let entry = |choice: &TrendChoice| {
        let (power, found) = match *choice {
            TrendChoice::Power(power) => (Num(power), pretest.of_power(power)),
            TrendChoice::Slope(slope) => (Num::NA, pretest.of_slope(slope)),
        };
        let found = found.map_err(refused)?;
        Ok(PretrendEntry {
            power,
            slope: Num(found.slope),
            reject: found.reject,
            trend: numbers(&found.trend),
            mean_if_passed: numbers(&found.mean_if_passed),
        })
    };
    let se: Vec<f64> = (0..study.estimate.len()).map(|i| study.covariance[(i, i)].sqrt()).collect();
    let critical = stagger_estimator::inference::pointwise_critical_value(alp);
    Ok(PretrendsResult {
        alp,
        reference: Num(study.reference),
        event_time: numbers(&study.event_time),
        att: numbers(&study.estimate),
        passed: (0..study.pre).all(|i| study.estimate[i].abs() <= critical * se[i]),
        se: numbers(&se),
        trends: trends.iter().map(entry).collect::<Result<Vec<PretrendEntry>>>()?,
    })
}
