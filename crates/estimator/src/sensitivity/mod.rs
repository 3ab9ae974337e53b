//! Robust inference where parallel trends may be violated (Rambachan & Roth 2023, "A More Credible Approach to Parallel Trends", Review of
//! Economic Studies 90(5)), from an event study and its covariance (FORMULAS §8).
//!
//! | module | what it knows |
//! |---|---|
//! | `study` | the event study and its checks |
//! | `restrictions` | which violations are possible, as polyhedra |
//! | `vertices` | the linear program of the test, solved for all data at once, with its certificate |
//! | `conditional` | the test of one effect |
//! | `least_favorable` | the critical value of its first stage |
//! | `fixed_length` | the shortest interval of fixed length |
//! | `interval` | inversion of the test |

mod conditional;
mod fixed_length;
mod interval;
mod least_favorable;
mod restrictions;
mod study;
mod vertices;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::conditional::{FirstStage, Test, Vertices};
use self::fixed_length::Frontier;
use self::least_favorable::{Noise, critical_value};
use self::restrictions::{Periods, Polyhedron, polyhedra};
use self::vertices::DualCone;
use crate::inference::pointwise_critical_value;
use crate::root::root;

pub use self::restrictions::{Direction, Restriction, RestrictionKind};
pub use self::study::{EventStudy, StudyError};

/// Share of the size that the first stage of a hybrid test takes.
const FIRST_STAGE: f64 = 0.1;
/// Precision of a breakdown value, relative.
const PRECISION: f64 = 1e-6;
/// Doublings in search of a size that overturns an estimate.
const DOUBLINGS: usize = 40;

/// How an interval is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The conditional test with a least favourable first stage (C-LF).
    #[serde(rename = "c-lf")]
    LeastFavorable,
    /// The conditional test alone.
    #[serde(rename = "conditional")]
    Conditional,
    /// The shortest interval of fixed length (FLCI).
    #[serde(rename = "flci")]
    FixedLength,
    /// The conditional test with a fixed-length interval as first stage (C-F).
    #[serde(rename = "c-f")]
    ConditionalFixedLength,
}

impl Method {
    /// All methods under the names of the command line.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("c-lf", Self::LeastFavorable),
        ("flci", Self::FixedLength),
        ("conditional", Self::Conditional),
        ("c-f", Self::ConditionalFixedLength),
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| *name)
    }

    /// The method in use where none is asked for: the one that its authors recommend for the restriction.
    pub fn of(restriction: Restriction) -> Self {
        match restriction.kind {
            RestrictionKind::Smoothness if !restriction.has_shape() => Self::FixedLength,
            _ => Self::LeastFavorable,
        }
    }

    fn needs_frontier(self) -> bool {
        matches!(self, Self::FixedLength | Self::ConditionalFixedLength)
    }
}

/// What is asked of an event study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SensitivityOptions {
    /// The violations that are possible.
    pub restriction: Restriction,
    /// How intervals are made.
    pub method: Method,
    /// One minus the confidence level.
    pub alp: f64,
    /// Seed of the draws of the least favourable critical value.
    pub seed: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SensitivityError {
    /// The event study itself.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A method that the restriction does not have.
    #[error("{method} intervals are for smoothness{more}")]
    Method { method: &'static str, more: &'static str },
    /// A program with too many vertices.
    #[error("the restriction has more than {most} combinations of moments to compare")]
    TooManyVertices { most: usize },
    /// A solution that its certificate does not confirm.
    #[error("a program could not be solved to its certificate (violation: {violation:e})")]
    NotCertified { violation: f64 },
    /// A size that is no size.
    #[error("a size must be a number of at least 0; received {size}")]
    Size { size: f64 },
}

impl SensitivityError {
    /// Returns what the user can do about it, if something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Study(error) => error.hint(),
            Self::Method { .. } => Some("--method c-lf has intervals for every restriction"),
            Self::TooManyVertices { .. } => {
                Some("a shorter window has fewer: --max-e; so has a restriction without --bias or --monotone")
            }
            Self::NotCertified { .. } => {
                Some("estimates in other units help where their sizes differ greatly")
            }
            Self::Size { .. } => None,
        }
    }
}

/// A confidence interval for all violations of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobustInterval {
    /// The size: M̄, or M.
    pub m: f64,
    /// The lower end; NaN if every effect is rejected, which says that the restriction does not fit the estimates before treatment.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

impl RobustInterval {
    /// Positive if 0 is outside, by its distance; 0 or less if it is inside. Of an empty interval it is infinite.
    fn distance_of_zero(&self) -> f64 {
        if self.lower.is_nan() { f64::INFINITY } else { self.lower.max(-self.upper) }
    }
}

/// An event study under a restriction.
#[derive(Clone, Debug)]
pub struct Sensitivity<'a> {
    study: &'a EventStudy,
    options: SensitivityOptions,
    noise: Noise,
}

impl<'a> Sensitivity<'a> {
    /// Checks that the restriction has a meaning for the study, and the method for the restriction.
    ///
    /// # Errors
    /// Unequal distances between event times, and a method that is not for the restriction.
    pub fn new(study: &'a EventStudy, options: SensitivityOptions) -> Result<Self, SensitivityError> {
        study.require_neighbours()?;
        let SensitivityOptions { restriction, method, .. } = options;
        if method.needs_frontier() && restriction.kind != RestrictionKind::Smoothness {
            return Err(SensitivityError::Method {
                method: method.name(),
                more: ", not for relative magnitudes",
            });
        }
        if method == Method::FixedLength && restriction.has_shape() {
            return Err(SensitivityError::Method {
                method: method.name(),
                more: " alone, without a direction: they would not use it",
            });
        }
        Ok(Self { study, options, noise: Noise::new(study, options.seed) })
    }

    /// Prepares an effect l'τ, with weights over the event times after the reference.
    ///
    /// # Errors
    /// Programs that are too large or not solved.
    pub fn target(&self, weights: Vec<f64>) -> Result<Target<'_>, SensitivityError> {
        let method = self.options.method;
        let frontier = method.needs_frontier().then(|| Frontier::new(self.study, &weights)).transpose()?;
        let periods = Periods { pre: self.study.pre, post: self.study.post() };
        // The moments after the reference have the same coefficients there for all sizes.
        let mut target =
            Target { analysis: self, periods, weights, frontier, cones: Vec::new(), cone_of: Vec::new() };
        if method != Method::FixedLength {
            polyhedra(self.options.restriction, 1.0, periods)
                .iter()
                .try_for_each(|own| target.add_cone(own))?;
        }
        Ok(target)
    }
}

/// An effect whose robustness is asked for.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    analysis: &'a Sensitivity<'a>,
    periods: Periods,
    weights: Vec<f64>,
    frontier: Option<Frontier>,
    /// Distinct coefficients of the moments after the reference, with their cone.
    cones: Vec<(Vec<Vec<f64>>, DualCone)>,
    /// By polyhedron: its cone.
    cone_of: Vec<usize>,
}

impl Target<'_> {
    /// The estimate.
    pub fn estimate(&self) -> f64 {
        self.analysis.study.effect(&self.weights)
    }

    /// Its standard error.
    pub fn standard_error(&self) -> f64 {
        self.analysis.study.standard_error(&self.weights)
    }

    /// The usual interval, under parallel trends.
    pub fn original(&self) -> (f64, f64) {
        let reach = pointwise_critical_value(self.analysis.options.alp) * self.standard_error();
        (self.estimate() - reach, self.estimate() + reach)
    }

    /// The interval that covers the effect under all violations of size `m`.
    ///
    /// # Errors
    /// A size that is negative, and a program that is not solved to its certificate.
    pub fn interval(&self, m: f64) -> Result<RobustInterval, SensitivityError> {
        if !(m >= 0.0 && m.is_finite()) {
            return Err(SensitivityError::Size { size: m });
        }
        if let (Method::FixedLength, Some(frontier)) = (self.analysis.options.method, &self.frontier) {
            let found = frontier.shortest(m, self.analysis.options.alp);
            let centre = self.centre(&found.weights);
            return Ok(RobustInterval { m, lower: centre - found.half, upper: centre + found.half });
        }
        let mut union = RobustInterval { m, lower: f64::NAN, upper: f64::NAN };
        let mut ends: [Option<(usize, f64)>; 2] = [None, None];
        for (at, own) in self.polyhedra(m).iter().enumerate() {
            let vertices = Vertices::new(self.analysis.study, own, self.cone(at));
            let Some((lower, upper)) = interval::invert(&self.test(&vertices, m)) else { continue };
            if union.lower.is_nan() || lower < union.lower {
                (union.lower, ends[0]) = (lower, Some((at, lower)));
            }
            if union.upper.is_nan() || upper > union.upper {
                (union.upper, ends[1]) = (upper, Some((at, upper)));
            }
        }
        ends.iter().flatten().try_for_each(|&(at, theta)| self.certify(m, at, theta))?;
        Ok(union)
    }

    fn add_cone(&mut self, own: &Polyhedron) -> Result<(), SensitivityError> {
        let post: Vec<Vec<f64>> = own.a.iter().map(|row| row[self.periods.pre..].to_vec()).collect();
        let known = self.cones.iter().position(|(rows, _)| *rows == post);
        if known.is_none() {
            let cone = DualCone::new(&post, &self.weights)?;
            self.cones.push((post, cone));
        }
        self.cone_of.push(known.unwrap_or(self.cones.len() - 1));
        Ok(())
    }

    fn polyhedra(&self, m: f64) -> Vec<Polyhedron> {
        polyhedra(self.analysis.options.restriction, m, self.periods)
    }

    fn cone(&self, polyhedron: usize) -> &DualCone {
        &self.cones[self.cone_of[polyhedron]].1
    }

    fn centre(&self, weights: &[f64]) -> f64 {
        weights.iter().zip(&self.analysis.study.estimate).map(|(w, b)| w * b).sum()
    }

    fn test<'v>(&self, vertices: &'v Vertices, m: f64) -> Test<'v> {
        let SensitivityOptions { method, alp, .. } = self.analysis.options;
        let kappa = FIRST_STAGE * alp;
        let first = match (method, &self.frontier) {
            (Method::LeastFavorable, _) => {
                FirstStage::LeastFavorable { critical: critical_value(vertices, &self.analysis.noise, kappa) }
            }
            (Method::ConditionalFixedLength, Some(frontier)) => {
                let found = frontier.shortest(m, kappa);
                let study = self.analysis.study;
                let covariance =
                    vertices.coefficients.iter().map(|u| study.product(u, &found.weights)).collect();
                FirstStage::FixedLength { centre: self.centre(&found.weights), half: found.half, covariance }
            }
            _ => FirstStage::None,
        };
        let size = if matches!(first, FirstStage::None) { alp } else { (alp - kappa) / (1.0 - kappa) };
        Test { vertices, first, size }
    }

    /// Checks the program of the effect at which an interval ends.
    fn certify(&self, m: f64, at: usize, theta: f64) -> Result<(), SensitivityError> {
        if !theta.is_finite() {
            return Ok(());
        }
        let own = &self.polyhedra(m)[at];
        let vertices = Vertices::new(self.analysis.study, own, self.cone(at));
        let largest = |best: usize, j: usize| match self.weights[j].abs() > self.weights[best].abs() {
            true => j,
            false => best,
        };
        let pivot = (0..self.weights.len()).fold(0, largest);
        // Of all effects with l'τ = θ one is enough: the program adds those with l'τ = 0.
        let effect = |row: &Vec<f64>| row[self.periods.pre + pivot] * theta / self.weights[pivot];
        let y: Vec<f64> = vertices.y.iter().zip(&own.a).map(|(y, row)| y - effect(row)).collect();
        self.cone(at).certify(&y, &vertices.sigma, vertices.largest(theta).1)
    }

    /// The size from which on the interval covers 0: what it takes to overturn the estimate. 0 if it covers 0 without any violation, none if
    /// no size does. `known` are intervals that were computed already.
    ///
    /// # Errors
    /// Those of [`Target::interval`].
    pub fn breakdown(&self, known: &[RobustInterval]) -> Result<Option<f64>, SensitivityError> {
        let none = self.interval(0.0)?;
        if none.distance_of_zero() <= 0.0 {
            return Ok(Some(0.0));
        }
        let outside = known.iter().filter(|own| own.distance_of_zero() > 0.0).map(|own| own.m);
        let inside = known.iter().filter(|own| own.distance_of_zero() <= 0.0).map(|own| own.m);
        let high = inside.fold(f64::INFINITY, f64::min);
        let low = outside.filter(|m| *m < high).fold(0.0, f64::max);
        let Some(high) = self.overturning(low, high)? else { return Ok(None) };
        let failed = std::cell::Cell::new(None);
        let distance = |m: f64| match self.interval(m) {
            // A finite number for the empty interval, of the right sign.
            Ok(own) => own.distance_of_zero().min(1e3 * self.standard_error()),
            Err(error) => {
                failed.set(Some(error));
                0.0
            }
        };
        let found = root(&distance, (low, high), PRECISION * high);
        failed.take().map_or(Ok(Some(found)), Err)
    }

    /// A size whose interval covers 0: `high` if it is known, or found from `low` by doubling.
    fn overturning(&self, low: f64, high: f64) -> Result<Option<f64>, SensitivityError> {
        if high.is_finite() {
            return Ok(Some(high));
        }
        let unit = match self.analysis.options.restriction.kind {
            RestrictionKind::RelativeMagnitude => 1.0,
            RestrictionKind::Smoothness => self.standard_error(),
        };
        let mut size = if low > 0.0 { 2.0 * low } else { unit };
        for _ in 0..DOUBLINGS {
            if self.interval(size)?.distance_of_zero() <= 0.0 {
                return Ok(Some(size));
            }
            size *= 2.0;
        }
        Ok(None)
    }
}
