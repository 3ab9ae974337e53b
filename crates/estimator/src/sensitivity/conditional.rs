//! The conditional test of an effect, and its hybrids (Andrews, Roth & Pakes 2023; Rambachan & Roth 2023, section 3).

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

use super::restrictions::Polyhedron;
use super::study::EventStudy;
use super::vertices::DualCone;

/// Standard deviation of a vertex, per studentised moment, below which it does not vary.
const CONSTANT: f64 = 1e-10;
/// 1 − ρ below which two vertices move together.
const TOGETHER: f64 = 1e-9;

/// The vertices of the dual in numbers: the value of one is normal with mean `level` − θ `slope`.
#[derive(Clone, Debug)]
pub(super) struct Vertices {
    pub(super) level: Vec<f64>,
    pub(super) slope: Vec<f64>,
    /// By vertex: coefficients of β̂.
    pub(super) coefficients: Vec<Vec<f64>>,
    /// Covariance of the values, vertices × vertices, by rows.
    pub(super) covariance: Vec<f64>,
    /// y = Aβ̂ − d and its standard deviations, for the certificate.
    pub(super) y: Vec<f64>,
    pub(super) sigma: Vec<f64>,
}

impl Vertices {
    /// Computes the vertices of a polyhedron for an event study. Vertices that do not vary are one, the largest.
    pub(super) fn new(study: &EventStudy, own: &Polyhedron, cone: &DualCone) -> Self {
        let y: Vec<f64> = own.a.iter().zip(&own.d).map(|(row, d)| dot(row, &study.estimate) - d).collect();
        let sigma: Vec<f64> = own.a.iter().map(|row| study.product(row, row).max(0.0).sqrt()).collect();
        let mut found = Self {
            level: Vec::new(),
            slope: Vec::new(),
            coefficients: Vec::new(),
            covariance: Vec::new(),
            y,
            sigma,
        };
        let mut constant: Option<f64> = None;
        for (weights, slope) in cone.rays() {
            let scale = dot(weights, &found.sigma);
            let level = dot(weights, &found.y) / scale;
            let coefficients: Vec<f64> = (0..study.estimate.len())
                .map(|j| weights.iter().zip(&own.a).map(|(weight, row)| weight * row[j]).sum::<f64>() / scale)
                .collect();
            if study.product(&coefficients, &coefficients).max(0.0).sqrt() < CONSTANT {
                constant = Some(constant.map_or(level, |known| known.max(level)));
                continue;
            }
            found.push(level, slope / scale, coefficients);
        }
        if let Some(level) = constant {
            found.push(level, 0.0, vec![0.0; study.estimate.len()]);
        }
        found.covariance = found.products(study);
        found
    }

    fn push(&mut self, level: f64, slope: f64, coefficients: Vec<f64>) {
        self.level.push(level);
        self.slope.push(slope);
        self.coefficients.push(coefficients);
    }

    fn products(&self, study: &EventStudy) -> Vec<f64> {
        let n = study.estimate.len();
        let times = |u: &Vec<f64>| -> Vec<f64> {
            (0..n).map(|i| (0..n).map(|j| study.covariance[(i, j)] * u[j]).sum()).collect()
        };
        let moved: Vec<Vec<f64>> = self.coefficients.iter().map(times).collect();
        let pairs = self.coefficients.iter().flat_map(|u| moved.iter().map(move |v| dot(u, v)));
        pairs.collect()
    }

    /// Number of vertices.
    pub(super) fn len(&self) -> usize {
        self.level.len()
    }

    /// The covariances of a vertex with all.
    pub(super) fn row(&self, vertex: usize) -> &[f64] {
        &self.covariance[vertex * self.len()..(vertex + 1) * self.len()]
    }

    pub(super) fn deviation(&self, vertex: usize) -> f64 {
        self.row(vertex)[vertex].max(0.0).sqrt()
    }

    pub(super) fn value(&self, vertex: usize, theta: f64) -> f64 {
        self.level[vertex] - theta * self.slope[vertex]
    }

    /// The vertex with the largest value, and that value η.
    pub(super) fn largest(&self, theta: f64) -> (usize, f64) {
        let values = (0..self.len()).map(|vertex| (vertex, self.value(vertex, theta)));
        values.fold((0, f64::NEG_INFINITY), |best, own| if own.1 > best.1 { own } else { best })
    }

    /// The effects θ with η ≤ `most`: an interval, as η is convex; none if it is empty.
    pub(super) fn within(&self, most: f64) -> Option<(f64, f64)> {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for (level, slope) in self.level.iter().zip(&self.slope) {
            let bound = (level - most) / slope;
            match *slope {
                s if s > 0.0 => low = f64::max(low, bound),
                s if s < 0.0 => high = f64::min(high, bound),
                _ if *level > most => return None,
                _ => {}
            }
        }
        (low <= high).then_some((low, high))
    }
}

/// The first stage of a hybrid test.
#[derive(Clone, Debug)]
pub(super) enum FirstStage {
    /// None: the conditional test itself.
    None,
    /// Reject beyond the least favourable critical value.
    LeastFavorable { critical: f64 },
    /// Reject outside a fixed-length interval: its centre, half its length, and the covariance of the centre with each vertex.
    FixedLength { centre: f64, half: f64, covariance: Vec<f64> },
}

/// A test of given size.
#[derive(Clone, Debug)]
pub(super) struct Test<'a> {
    pub(super) vertices: &'a Vertices,
    pub(super) first: FirstStage,
    /// Size of the second stage.
    pub(super) size: f64,
}

impl Test<'_> {
    /// Returns true if the effect θ is not rejected.
    pub(super) fn accepts(&self, theta: f64) -> bool {
        let (best, eta) = self.vertices.largest(theta);
        let fails_first = match &self.first {
            FirstStage::None => false,
            FirstStage::LeastFavorable { critical } => eta > *critical,
            FirstStage::FixedLength { centre, half, .. } => (centre - theta).abs() > *half,
        };
        if fails_first {
            return false;
        }
        let deviation = self.vertices.deviation(best);
        // The critical value is never negative.
        if eta <= 0.0 || deviation < CONSTANT {
            return eta <= 0.0;
        }
        let (low, high) = self.truncation(best, eta, theta);
        truncated_tail(eta / deviation, low / deviation, high / deviation) >= self.size
    }

    /// The values of the largest vertex, given what is independent of it, at which it would still be the largest and the first stage be
    /// passed.
    fn truncation(&self, best: usize, eta: f64, theta: f64) -> (f64, f64) {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let row = self.vertices.row(best);
        for (vertex, covariance) in row.iter().enumerate().filter(|(vertex, _)| *vertex != best) {
            let rho = covariance / row[best];
            let bound = (self.vertices.value(vertex, theta) - rho * eta) / (1.0 - rho);
            match 1.0 - rho {
                gap if gap > TOGETHER => low = f64::max(low, bound),
                gap if gap < -TOGETHER => high = f64::min(high, bound),
                _ => {}
            }
        }
        match &self.first {
            FirstStage::None => {}
            FirstStage::LeastFavorable { critical } => high = high.min(*critical),
            FirstStage::FixedLength { centre, half, covariance } => {
                let rate = covariance[best] / row[best];
                if rate != 0.0 {
                    let ends = [-half, *half].map(|end| eta + (end - (centre - theta)) / rate);
                    low = low.max(ends[0].min(ends[1]));
                    high = high.min(ends[0].max(ends[1]));
                }
            }
        }
        (low.min(eta), high.max(eta))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// P(Z > x | low < Z < high) of the standard normal, for low ≤ x ≤ high, as far out as there are numbers.
pub(super) fn truncated_tail(x: f64, low: f64, high: f64) -> f64 {
    let reference = log_upper_tail(low);
    let beyond = |point: f64| libm::exp(log_upper_tail(point) - reference);
    let end = if high == f64::INFINITY { 0.0 } else { beyond(high) };
    let whole = 1.0 - end;
    // All of the mass in one point: nothing speaks against it.
    if whole <= 0.0 { 1.0 } else { ((beyond(x) - end) / whole).clamp(0.0, 1.0) }
}

/// log P(Z > x) of the standard normal.
pub(super) fn log_upper_tail(x: f64) -> f64 {
    if x < 5.0 {
        return libm::log(libm::erfc(x * FRAC_1_SQRT_2)) - LN_2;
    }
    if x == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    // Laplace's continued fraction of Mills' ratio, x + 1/(x + 2/(x + …)); forty terms are exact to rounding from 5 on.
    let fraction = (1..=40).rev().fold(x, |below, k| x + f64::from(k) / below);
    -0.5 * x * x - 0.5 * libm::log(2.0 * PI) - libm::log(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_keep_their_digits() {
        for (x, expected) in [
            (-40.0, 0.0),
            (0.0, -LN_2),
            (4.9999, -15.064_479_748_428_53),
            (5.0, -15.064_998_393_988_726),
            (10.0, -53.231_285_150_512_47),
            (40.0, -804.608_442_013_753_8),
        ] {
            let found = log_upper_tail(x);
            assert!((found - expected).abs() <= 1e-12 * f64::max(1.0, expected.abs()), "{x}: {found}");
        }
        let below = libm::log(libm::erfc(5.0 * FRAC_1_SQRT_2)) - LN_2;
        assert!((below - log_upper_tail(5.0)).abs() < 1e-12 * below.abs());
    }

    #[test]
    fn truncated_tails() {
        let phi = |x: f64| 0.5 * libm::erfc(x * FRAC_1_SQRT_2);
        for (x, low, high) in [(1.0, -1.0, 2.0), (0.3, -9.0, 0.4), (2.0, 1.9, 8.0)] {
            let expected = (phi(x) - phi(high)) / (phi(low) - phi(high));
            assert!((truncated_tail(x, low, high) - expected).abs() < 1e-12);
        }
        assert!((truncated_tail(1.64, f64::NEG_INFINITY, f64::INFINITY) - phi(1.64)).abs() < 1e-15);
        // Far out it is exponential with rate x.
        assert!((truncated_tail(50.01, 50.0, f64::INFINITY) - 0.606_4).abs() < 1e-3);
        assert_eq!([truncated_tail(2.0, 2.0, 5.0), truncated_tail(5.0, 2.0, 5.0)], [1.0, 0.0]);
        assert_eq!(truncated_tail(3.0, 3.0, 3.0), 1.0);
    }
}
