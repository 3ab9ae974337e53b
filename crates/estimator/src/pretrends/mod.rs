//! What a pre-test can see, and what it does to estimates that pass it (Roth 2022, "Pretest with Caution", American Economic Review: Insights
//! 4(3)).
//!
//! The pre-test looks at each estimate before the reference by itself and rejects if one is significant. Under a linear trend of slope s the
//! estimate at event time e has mean s(e − r), r the reference.

mod rectangle;

use faer::Mat;
use faer::linalg::solvers::Solve;
use thiserror::Error;

use self::rectangle::Rectangle;
use crate::inference::pointwise_critical_value;
use crate::root::root;
use crate::sensitivity::EventStudy;

/// Precision of a slope, relative.
const PRECISION: f64 = 1e-9;
/// Doublings in search of a slope that is found often enough.
const DOUBLINGS: usize = 60;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PretrendsError {
    /// A power that no slope has.
    #[error(
        "the pre-test rejects with probability {without:.3} where trends are parallel, so that no slope has power {power}"
    )]
    Power { power: f64, without: f64 },
    /// A number that is no probability.
    #[error("power must be between 0 and 1; received {0}")]
    Probability(f64),
    /// A slope that is no number.
    #[error("slope must be a finite number; received {0}")]
    Slope(f64),
    /// Estimates before the reference whose covariance has no inverse.
    #[error("the covariance of the {0} estimates before the reference is singular")]
    Singular(usize),
    /// A trend that the pre-test passes with no probability that could be computed.
    #[error("under the slope {0} no estimates pass the pre-test")]
    NeverPasses(f64),
}

/// A linear trend as the pre-test sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretrend {
    /// Change of the mean from one event time to the next, one unit of event time later.
    pub slope: f64,
    /// The probability that the pre-test rejects.
    pub reject: f64,
    /// By event time: the mean of the estimate under the trend.
    pub trend: Vec<f64>,
    /// By event time: the mean of the estimate among those that pass the pre-test.
    pub mean_if_passed: Vec<f64>,
}

/// The pre-test of an event study.
#[derive(Clone, Debug)]
pub struct Pretest<'a> {
    study: &'a EventStudy,
    rectangle: Rectangle,
    /// Regression of all estimates on those before the reference: event times × earlier ones.
    projection: Mat<f64>,
}

impl<'a> Pretest<'a> {
    /// The pre-test of level `alp`.
    ///
    /// # Errors
    /// A singular covariance of the estimates before the reference.
    pub fn new(study: &'a EventStudy, alp: f64) -> Result<Self, PretrendsError> {
        let (pre, n) = (study.pre, study.estimate.len());
        let own = study.covariance.submatrix(0, 0, pre, pre).to_owned();
        let critical = pointwise_critical_value(alp);
        let bounds = (0..pre).map(|i| critical * own[(i, i)].max(0.0).sqrt()).collect();
        let rectangle = Rectangle::new(&own, bounds).ok_or(PretrendsError::Singular(pre))?;
        let across = study.covariance.submatrix(0, 0, pre, n).to_owned();
        let projection = own.partial_piv_lu().solve(&across).transpose().to_owned();
        Ok(Self { study, rectangle, projection })
    }

    /// The trend of a slope.
    ///
    /// # Errors
    /// A slope that is not finite, or so steep that nothing passes.
    pub fn of_slope(&self, slope: f64) -> Result<Pretrend, PretrendsError> {
        if !slope.is_finite() {
            return Err(PretrendsError::Slope(slope));
        }
        let trend = self.trend(slope);
        let pre = self.study.pre;
        let passed = self.rectangle.content(&trend[..pre]);
        if !(passed.probability > 0.0 && passed.mean.iter().all(|mean| mean.is_finite())) {
            return Err(PretrendsError::NeverPasses(slope));
        }
        let moved: Vec<f64> = passed.mean.iter().zip(&trend).map(|(mean, trend)| mean - trend).collect();
        let mean = |i: usize| trend[i] + (0..pre).map(|j| self.projection[(i, j)] * moved[j]).sum::<f64>();
        let mean_if_passed = (0..trend.len()).map(mean).collect();
        Ok(Pretrend { slope, reject: 1.0 - passed.probability, trend, mean_if_passed })
    }

    /// The trend that the pre-test rejects with probability `power`; rising, as a falling one is its mirror.
    ///
    /// # Errors
    /// A power that parallel trends have already, or that is no probability.
    pub fn of_power(&self, power: f64) -> Result<Pretrend, PretrendsError> {
        if !(power > 0.0 && power < 1.0) {
            return Err(PretrendsError::Probability(power));
        }
        let pre = self.study.pre;
        let missing =
            |slope: f64| power - 1.0 + self.rectangle.content(&self.trend(slope)[..pre]).probability;
        let without = power - missing(0.0);
        if without >= power {
            return Err(PretrendsError::Power { power, without });
        }
        let distance = |i: usize| (self.study.event_time[i] - self.study.reference).abs();
        let unit = (0..pre)
            .map(|i| self.study.covariance[(i, i)].sqrt() / distance(i))
            .fold(f64::INFINITY, f64::min);
        let steps = (0..DOUBLINGS).map(|k| unit * libm::exp2(k as f64));
        let high = steps.into_iter().find(|slope| missing(*slope) <= 0.0).unwrap_or(f64::INFINITY);
        if !high.is_finite() {
            return Err(PretrendsError::Power { power, without });
        }
        self.of_slope(root(&missing, (0.0, high), PRECISION * high))
    }

    fn trend(&self, slope: f64) -> Vec<f64> {
        self.study.event_time.iter().map(|e| slope * (e - self.study.reference)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    fn study(value: &Value) -> EventStudy {
        let sigma: Vec<Vec<f64>> = value["sigma"].as_array().unwrap().iter().map(numbers).collect();
        let covariance = Mat::from_fn(sigma.len(), sigma.len(), |i, j| sigma[i][j]);
        let reference = value["reference"].as_f64().unwrap();
        let (times, estimates) = (numbers(&value["event_time"]), numbers(&value["betahat"]));
        EventStudy::new(&times, &estimates, &covariance, reference).unwrap()
    }

    fn cases() -> impl Iterator<Item = Value> {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/power/pretrends.jsonl"
        ))
        .unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().into_iter()
    }

    /// The reference values are of numpy and scipy, with tolerances of their own in each line.
    #[test]
    fn slopes_and_biases_are_those_of_the_reference() {
        let mut compared = 0;
        for case in cases() {
            let study = study(&case);
            let pretest = Pretest::new(&study, case["alpha"].as_f64().unwrap()).unwrap();
            for (power, expected) in case["power"].as_object().unwrap() {
                let found = pretest.of_power(power.parse().unwrap()).unwrap();
                let slope = expected["slope"].as_f64().unwrap();
                assert!(
                    (found.slope / slope - 1.0).abs() < 1e-4,
                    "{}: {} {slope}",
                    case["case"],
                    found.slope
                );
                assert!((found.reject - power.parse::<f64>().unwrap()).abs() < 1e-6);
                let means = numbers(&expected["mean_if_accepted"]);
                for (i, (found, mean)) in found.mean_if_passed.iter().zip(&means).enumerate() {
                    let error = study.covariance[(i, i)].sqrt();
                    assert!(
                        (found - mean).abs() < 1e-3 * error,
                        "{} {power} {i}: {found} {mean}",
                        case["case"]
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared > 60, "{compared}");
    }

    #[test]
    fn a_falling_trend_is_the_mirror_of_a_rising_one() {
        let study = study(&cases().next().unwrap());
        let pretest = Pretest::new(&study, 0.05).unwrap();
        let (up, down) = (pretest.of_slope(0.02).unwrap(), pretest.of_slope(-0.02).unwrap());
        assert!((up.reject - down.reject).abs() < 1e-4);
        let errors = |i: usize| study.covariance[(i, i)].sqrt();
        for i in 0..study.estimate.len() {
            assert!((up.mean_if_passed[i] + down.mean_if_passed[i]).abs() < 1e-3 * errors(i));
        }
    }

    #[test]
    fn what_no_slope_has_is_refused() {
        let study = study(&cases().next().unwrap());
        let pretest = Pretest::new(&study, 0.05).unwrap();
        for power in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(matches!(pretest.of_power(power), Err(PretrendsError::Probability(_))));
        }
        let told = pretest.of_power(0.06).expect_err("refused").to_string();
        assert!(told.contains("where trends are parallel"), "{told}");
        assert!(matches!(pretest.of_slope(f64::NAN), Err(PretrendsError::Slope(_))));
        assert!(matches!(pretest.of_slope(1e6), Err(PretrendsError::NeverPasses(_))));
        assert!(pretest.of_slope(0.0).unwrap().mean_if_passed.iter().all(|mean| mean.abs() < 1e-5));
    }
}
