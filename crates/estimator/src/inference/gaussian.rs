//! Gaussian draws of the influence sums, where multipliers cannot reproduce a covariance (two-way clusters).

use core::f64::consts::TAU;

use faer::Mat;
use rand::Rng;
use rand_pcg::Pcg64;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::two_way::{compose, symmetric_eigen};

/// B × columns draws of mean 0 and covariance n·V, the scale of the raw sums in [`super::Extended::draws`].
///
/// `covariance` is V = SᵀS/n. Standard normals times the symmetric root of n·V; negative eigenvalues count as 0. The same
/// `seed` gives the same draws, and fewer `biters` a prefix of more. Zeros if V is not finite.
pub fn gaussian_draws(covariance: &Mat<f64>, n: u64, biters: usize, seed: u64) -> Mat<f64> {
    let columns = covariance.ncols();
    let Some((vectors, values)) = symmetric_eigen(covariance) else {
        return Mat::zeros(biters, columns);
    };
    let root = compose(&vectors, &values, |value| (value.max(0.0) * n as f64).sqrt());
    let mut normals = Normals::new(seed);
    let standard: Vec<f64> = (0..biters * columns).map(|_| normals.draw()).collect();
    Mat::from_fn(biters, columns, |b, k| standard[b * columns + k]) * root
}

/// Standard normals by Box & Muller (1958) from PCG, both of each pair used.
pub(crate) struct Normals {
    generator: Pcg64,
    spare: Option<f64>,
}

impl Normals {
    /// State and stream come from a hash of the seed, so that neighbouring seeds have unrelated streams.
    pub(crate) fn new(seed: u64) -> Self {
        let state = xxh3_128_with_seed(b"stagger gaussian state", seed);
        let stream = xxh3_128_with_seed(b"stagger gaussian stream", seed);
        Self { generator: Pcg64::new(state, stream), spare: None }
    }

    pub(crate) fn draw(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(self.uniform())).sqrt();
        let angle = TAU * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// Uniform on (0, 1], in steps of 2⁻⁵³.
    fn uniform(&mut self) -> f64 {
        ((self.generator.next_u64() >> 11) + 1) as f64 * (0.5 * f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v() -> Mat<f64> {
        Mat::from_fn(3, 3, |i, j| [[4.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]][i][j])
    }

    #[test]
    fn draws_have_n_times_the_covariance() {
        let (n, biters) = (50, 40_000);
        let draws = gaussian_draws(&v(), n, biters, 7);
        let moments = draws.transpose() * &draws;
        for i in 0..3 {
            let mean = (0..biters).map(|b| draws[(b, i)]).sum::<f64>() / biters as f64;
            assert!(mean.abs() < 5.0 * (4.0 * 50.0 / biters as f64).sqrt());
            for j in 0..3 {
                let found = moments[(i, j)] / biters as f64;
                assert!((found - 50.0 * v()[(i, j)]).abs() < 5.0, "{i} {j} {found}");
            }
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let (few, many) = (gaussian_draws(&v(), 5, 10, 1), gaussian_draws(&v(), 5, 20, 1));
        assert_eq!(few, many.subrows(0, 10).to_owned());
        assert_ne!(few, gaussian_draws(&v(), 5, 10, 2));
    }

    #[test]
    fn the_stream_is_frozen() {
        let mut normals = Normals::new(20_260_101);
        let found = [normals.draw(), normals.draw(), normals.draw()];
        assert_eq!(found, FROZEN);
    }

    const FROZEN: [f64; 3] = [-0.9950788980748972, 1.77989134179541, -0.6361271723588512];

    #[test]
    fn odd_input_is_not_a_panic() {
        assert_eq!(gaussian_draws(&Mat::zeros(0, 0), 5, 4, 1).nrows(), 4);
        assert_eq!(gaussian_draws(&Mat::from_fn(2, 2, |_, _| f64::NAN), 5, 4, 1), Mat::<f64>::zeros(4, 2));
        assert_eq!(gaussian_draws(&v(), 5, 0, 1).nrows(), 0);
    }
}
