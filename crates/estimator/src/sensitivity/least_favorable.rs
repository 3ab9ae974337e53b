//! The least favourable critical value: the quantile of the largest of correlated normals (Andrews, Roth & Pakes 2023, section 3.3).
//!
//! Plain simulation counts exceedances, of which there are few: at 1,000 draws the 0.995 quantile is known to ±0.15. Here the probability is
//! Σ_v P(Z_v > c) E[1/N | Z_v > c], N the number of exceedances (Adler, Blanchet & Liu 2012): only 1/N is drawn, to ±0.005 with 512 draws.

use faer::Side;

use super::conditional::Vertices;
use super::study::EventStudy;
use crate::inference::{Normals, normal_quantile};
use crate::root::root;

/// Draws for each vertex.
const DRAWS: usize = 512;
/// Share of κ that a vertex has to have to be counted.
const NEGLIGIBLE_SHARE: f64 = 1e-6;
/// Precision of the critical value, in standard deviations.
const PRECISION: f64 = 1e-7;

/// Draws of β̂ − E β̂, and of how far a normal is beyond a threshold.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    estimates: Vec<Vec<f64>>,
    /// −2 log U.
    beyond: Vec<f64>,
}

impl Noise {
    /// Draws for a study; the seed alone decides.
    pub(super) fn new(study: &EventStudy, seed: u64) -> Self {
        let n = study.estimate.len();
        let mut normals = Normals::new(seed);
        // A covariance that was checked has a factor.
        let factor = study.covariance.llt(Side::Lower).ok();
        let root = |i: usize, j: usize| factor.as_ref().map_or(0.0, |factor| factor.L()[(i, j)]);
        let estimate = |_| {
            let standard: Vec<f64> = (0..n).map(|_| normals.draw()).collect();
            (0..n).map(|i| (0..=i).map(|j| root(i, j) * standard[j]).sum()).collect()
        };
        let half: Vec<Vec<f64>> = (0..DRAWS / 2).map(estimate).collect();
        // Each draw with its opposite, so that the sign of the outcome does not matter.
        let opposite = |draw: &Vec<f64>| draw.iter().map(|x| -x).collect();
        let estimates = half.iter().map(opposite).chain(half.iter().cloned()).collect();
        // Evenly spread, as one number is drawn once.
        let depth = |i: usize| -2.0 * libm::log((spread(i % (DRAWS / 2)) + 0.5) / (DRAWS / 2) as f64);
        let beyond = (0..DRAWS).map(depth).collect();
        Self { estimates, beyond }
    }
}

/// A fixed order of the pairs of draws.
fn spread(i: usize) -> f64 {
    ((i * 97) % (DRAWS / 2)) as f64
}

/// The normals that can be the largest.
struct Candidates<'a> {
    noise: &'a Noise,
    deviation: Vec<f64>,
    /// By candidate and other candidate: slope of the other in the candidate.
    slope: Vec<Vec<f64>>,
    /// By candidate: its draws.
    draws: Vec<Vec<f64>>,
}

impl<'a> Candidates<'a> {
    fn new(vertices: &Vertices, noise: &'a Noise, lowest: f64, kappa: f64) -> Self {
        let share = |v: &usize| upper_tail(lowest / vertices.deviation(*v)) * vertices.len() as f64;
        let varying = (0..vertices.len()).filter(|&v| vertices.deviation(v) > 0.0);
        let kept: Vec<usize> = varying.filter(|v| share(v) > NEGLIGIBLE_SHARE * kappa).collect();
        let slope = |&v: &usize| kept.iter().map(|&w| vertices.row(v)[w] / vertices.row(v)[v]).collect();
        let draws = |&v: &usize| {
            let coefficients = &vertices.coefficients[v];
            let of = |draw: &Vec<f64>| draw.iter().zip(coefficients).map(|(x, u)| x * u).sum();
            noise.estimates.iter().map(of).collect()
        };
        Self {
            noise,
            deviation: kept.iter().map(|&v| vertices.deviation(v)).collect(),
            slope: kept.iter().map(slope).collect(),
            draws: kept.iter().map(draws).collect(),
        }
    }

    /// P(max Z > c), c > 0.
    fn exceed(&self, c: f64) -> f64 {
        (0..self.deviation.len()).map(|v| self.exceed_first(v, c)).sum()
    }

    /// P(Z_v > c) E[1/N | Z_v > c]. Beyond t = c/s the square of Z_v/s is drawn as t² plus an exponential, which a normal nearly is; the ratio
    /// of the densities is t/Z.
    fn exceed_first(&self, v: usize, c: f64) -> f64 {
        let (t, slope) = (c / self.deviation[v], &self.slope[v]);
        let mut sum = 0.0;
        for (i, beyond) in self.noise.beyond.iter().enumerate() {
            let z = (t * t + beyond).sqrt();
            let moved = z * self.deviation[v] - self.draws[v][i];
            let over = |w: &usize| self.draws[*w][i] + slope[*w] * moved > c;
            let count = (0..slope.len()).filter(|w| *w != v).filter(over).count();
            sum += t / z / (1 + count) as f64;
        }
        let density = libm::exp(-0.5 * t * t) / (2.0 * std::f64::consts::PI).sqrt();
        density / t * sum / self.noise.beyond.len() as f64
    }
}

fn upper_tail(x: f64) -> f64 {
    0.5 * libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The 1 − κ quantile of the largest of the vertices' values about their means.
pub(super) fn critical_value(vertices: &Vertices, noise: &Noise, kappa: f64) -> f64 {
    let largest = (0..vertices.len()).map(|v| vertices.deviation(v)).fold(0.0, f64::max);
    let lowest = normal_quantile(1.0 - kappa) * largest;
    let candidates = Candidates::new(vertices, noise, lowest, kappa);
    let count = candidates.deviation.len();
    if count <= 1 || largest == 0.0 {
        return lowest;
    }
    let highest = normal_quantile(1.0 - kappa / count as f64) * largest;
    let distance = |c: f64| libm::log(candidates.exceed(c) / kappa);
    root(&distance, (lowest, highest), PRECISION * largest)
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;

    /// Vertices whose values are some combinations of independent estimates.
    fn vertices(study: &EventStudy, coefficients: &[Vec<f64>]) -> Vertices {
        let products = coefficients.iter().flat_map(|a| coefficients.iter().map(|b| study.product(a, b)));
        Vertices {
            level: vec![0.0; coefficients.len()],
            slope: vec![0.0; coefficients.len()],
            covariance: products.collect(),
            coefficients: coefficients.to_vec(),
            y: Vec::new(),
            sigma: Vec::new(),
        }
    }

    fn independent(n: usize) -> EventStudy {
        let times: Vec<f64> = (0..n).map(|t| t as f64 - 2.0 + f64::from(u8::from(t > 0))).collect();
        let identity = Mat::from_fn(n, n, |i, j| f64::from(u8::from(i == j)));
        EventStudy::new(&times, &vec![0.0; n], &identity, -1.0).unwrap()
    }

    fn unit(at: usize, size: usize, length: f64) -> Vec<f64> {
        (0..size).map(|i| if i == at { length } else { 0.0 }).collect()
    }

    #[test]
    fn of_independent_normals_it_is_known() {
        for (n, kappa) in [(2, 0.005), (8, 0.005), (8, 0.05), (20, 0.001)] {
            let study = independent(n);
            let all: Vec<Vec<f64>> = (0..n).map(|at| unit(at, n, 1.0)).collect();
            let exact = normal_quantile(libm::pow(1.0 - kappa, 1.0 / n as f64));
            let found = critical_value(&vertices(&study, &all), &Noise::new(&study, 1), kappa);
            assert!((found - exact).abs() < 0.004, "{n} {kappa}: {found} and {exact}");
        }
    }

    #[test]
    fn copies_and_opposites() {
        let study = independent(3);
        let of = |all: &[Vec<f64>]| critical_value(&vertices(&study, all), &Noise::new(&study, 7), 0.005);
        let single = normal_quantile(0.995);
        assert_eq!(of(&[unit(0, 3, 1.0)]), single);
        assert!((of(&[unit(0, 3, 1.0), unit(0, 3, 1.0)]) - single).abs() < 2e-3);
        assert!((of(&[unit(0, 3, 1.0), unit(0, 3, -1.0)]) - normal_quantile(0.9975)).abs() < 2e-3);
        assert!((of(&[unit(0, 3, 1.0), unit(1, 3, 0.2), vec![0.0; 3]]) - single).abs() < 1e-6);
    }
}
