//! Probability and mean of a normal vector within a rectangle (Genz 1992): one coordinate after the other is drawn between its bounds given
//! those before it, over a lattice in place of random points.

use faer::{Mat, Side};
use statrs::distribution::{ContinuousCDF, Normal};

/// Points of the lattice.
const POINTS: usize = 1 << 14;

/// A normal vector by its covariance, and the rectangle |x_i| ≤ c_i.
#[derive(Clone, Debug)]
pub(super) struct Rectangle {
    /// Lower factor of the covariance.
    factor: Mat<f64>,
    bounds: Vec<f64>,
    /// Fractional parts of the square roots of the first primes.
    generators: Vec<f64>,
}

/// What a rectangle holds of a normal vector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    /// P(|x_i| ≤ c_i for all i).
    pub(super) probability: f64,
    /// E[x | |x_i| ≤ c_i for all i].
    pub(super) mean: Vec<f64>,
}

impl Rectangle {
    /// A rectangle; none if the covariance is not positive definite.
    pub(super) fn new(covariance: &Mat<f64>, bounds: Vec<f64>) -> Option<Self> {
        let factor = covariance.llt(Side::Lower).ok()?.L().to_owned();
        let generators =
            primes(bounds.len()).into_iter().map(|prime| (prime as f64).sqrt().fract()).collect();
        Some(Self { factor, bounds, generators })
    }

    /// The content for a vector with these means.
    pub(super) fn content(&self, mean: &[f64]) -> Content {
        let size = self.bounds.len();
        let normal = Normal::standard();
        let (mut total, mut weighted) = (0.0, vec![0.0; size]);
        let (mut z, mut x) = (vec![0.0; size], vec![0.0; size]);
        for point in 0..POINTS {
            let mut weight = 1.0;
            for i in 0..size {
                let before: f64 = (0..i).map(|j| self.factor[(i, j)] * z[j]).sum();
                let (centre, scale) = (mean[i] + before, self.factor[(i, i)]);
                let low = lower_tail((-self.bounds[i] - centre) / scale);
                let width = lower_tail((self.bounds[i] - centre) / scale) - low;
                weight *= width;
                let share = low + width * self.coordinate(point, i);
                z[i] = normal.inverse_cdf(share.clamp(1e-300, 1.0 - 1e-16));
                x[i] = (centre + scale * z[i]).clamp(-self.bounds[i], self.bounds[i]);
            }
            total += weight;
            weighted.iter_mut().zip(&x).for_each(|(sum, x)| *sum += weight * x);
        }
        let mean = weighted.iter().map(|sum| sum / total).collect();
        Content { probability: total / POINTS as f64, mean }
    }

    /// A coordinate of a point, folded so that the integrand is periodic.
    fn coordinate(&self, point: usize, i: usize) -> f64 {
        let shifted = ((point as f64 + 0.5) * self.generators[i]).fract();
        (2.0 * shifted - 1.0).abs()
    }
}

fn lower_tail(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The first primes.
fn primes(count: usize) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::with_capacity(count);
    let mut candidate = 2;
    while found.len() < count {
        if found.iter().all(|prime| candidate % prime != 0) {
            found.push(candidate);
        }
        candidate += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equicorrelated(n: usize, rho: f64) -> Mat<f64> {
        Mat::from_fn(n, n, |i, j| if i == j { 1.0 } else { rho })
    }

    #[test]
    fn of_independent_coordinates_it_is_a_product() {
        let mean = [0.3, -0.7, 0.0, 1.5, 0.2];
        let found = Rectangle::new(&equicorrelated(5, 0.0), vec![1.96; 5]).unwrap().content(&mean);
        let one = |m: f64| lower_tail(1.96 - m) - lower_tail(-1.96 - m);
        let exact: f64 = mean.iter().map(|m| one(*m)).product();
        assert!((found.probability / exact - 1.0).abs() < 1e-5, "{} {exact}", found.probability);
        let density = |x: f64| libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt();
        for (found, m) in found.mean.iter().zip(mean) {
            let exact = m + (density(-1.96 - m) - density(1.96 - m)) / one(m);
            assert!((found - exact).abs() < 1e-4, "{found} {exact}");
        }
    }

    #[test]
    fn of_equally_correlated_ones_it_is_a_single_integral() {
        let (n, rho, bound) = (8, 0.5f64, 1.96);
        let found = Rectangle::new(&equicorrelated(n, rho), vec![bound; n]).unwrap().content(&[0.0; 8]);
        let inner = |z: f64| {
            let scale = (1.0 - rho).sqrt();
            let own =
                lower_tail((bound - rho.sqrt() * z) / scale) - lower_tail((-bound - rho.sqrt() * z) / scale);
            own.powi(8) * libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt()
        };
        let exact: f64 = (-8000..8000).map(|k| inner(f64::from(k) / 1000.0) / 1000.0).sum();
        assert!((found.probability / exact - 1.0).abs() < 1e-4, "{} {exact}", found.probability);
        assert!(found.mean.iter().all(|mean| mean.abs() < 1e-3), "{:?}", found.mean);
    }

    #[test]
    fn a_singular_covariance_has_none() {
        assert!(Rectangle::new(&equicorrelated(2, 1.0), vec![1.0; 2]).is_none());
    }
}
