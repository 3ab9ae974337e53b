//! Results of what is asked of an event study afterwards: sensitivity to violations of parallel trends, and power of the pre-test.

use serde::{Deserialize, Serialize};
use stagger_estimator::sensitivity::{Direction, Method, RestrictionKind};

use crate::result::Num;

/// Robust intervals of an event study (Rambachan & Roth 2023).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensitivityResult {
    /// The kind of the restriction on violations of parallel trends.
    pub restriction: RestrictionKind,
    /// The sign of the bias after treatment, if it is restricted: `up` is positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Direction>,
    /// The direction in which the bias changes, if it is restricted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotone: Option<Direction>,
    /// How the intervals are made.
    pub method: Method,
    /// One minus the confidence level.
    pub alp: f64,
    /// The seed of the draws of the least favourable critical value.
    pub seed: u64,
    /// The event time that all others are compared with.
    pub reference: Num,
    /// The event times before the reference.
    pub pre: Vec<Num>,
    /// The event times after it.
    pub post: Vec<Num>,
    /// One entry for each effect.
    pub effects: Vec<RobustEffect>,
}

/// An effect with its robust intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustEffect {
    /// The event times whose mean the effect is.
    pub event_time: Vec<Num>,
    /// The estimate.
    pub att: Num,
    /// Its standard error.
    pub se: Num,
    /// The lower end of its usual interval.
    pub lci: Num,
    /// The upper end of its usual interval.
    pub uci: Num,
    /// The size from which on the interval covers 0; `NA` if it covers 0 for no size.
    pub breakdown: Num,
    /// One entry for each size.
    pub robust: Vec<RobustEnds>,
}

/// An interval that covers the effect under all violations of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustEnds {
    /// The size: M̄ of relative magnitudes, M of smoothness in units of the outcome.
    pub m: Num,
    /// The lower end; `NA` if the restriction does not fit the estimates before treatment, so that every effect is rejected.
    pub lci: Num,
    /// The upper end.
    pub uci: Num,
}

/// Power of the pre-test of an event study, and what it does to the estimates (Roth 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrendsResult {
    /// The level of the pre-test.
    pub alp: f64,
    /// The event time that all others are compared with.
    pub reference: Num,
    /// The event times.
    pub event_time: Vec<Num>,
    /// The estimates.
    pub att: Vec<Num>,
    /// Their standard errors.
    pub se: Vec<Num>,
    /// `true` if the estimates pass the pre-test: none before the reference is significant.
    pub passed: bool,
    /// One entry for each trend.
    pub trends: Vec<PretrendEntry>,
}

/// A linear trend as the pre-test sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrendEntry {
    /// The power that was asked for; `NA` if the slope was.
    pub power: Num,
    /// The slope of the trend, in units of the outcome for each unit of event time.
    pub slope: Num,
    /// The probability that the pre-test rejects.
    pub reject: f64,
    /// By event time: the mean of the estimate under the trend, without any effect.
    pub trend: Vec<Num>,
    /// By event time: the mean of the estimate under the trend, without any effect, if the pre-test passes.
    pub mean_if_passed: Vec<Num>,
}
