//! Fixed-length confidence intervals under smoothness: the affine estimator whose worst-case interval is shortest (Armstrong & Kolesár 2018;
//! Rambachan & Roth 2023, section 3.2).
//!
//! An estimator l'β̂_post + v'β̂_pre without bias under linear trends is q₀ + Bx, x its weights on second differences before the reference. Its
//! bias is at most M(b₀ + ‖x‖₁). So the estimators on the frontier of bias and variance minimise ½ variance + λ‖x‖₁, a path that is linear
//! between finitely many knots (Osborne, Presnell & Turlach 2000) and the same for every M and level.

use faer::Mat;
use faer::linalg::solvers::Solve;

use super::SensitivityError;
use super::study::EventStudy;
use crate::inference::normal_quantile;

/// The relative violation of the conditions of an optimum that is rounding.
const CERTIFIED: f64 = 1e-7;
/// Steps of the search between two knots.
const STEPS: usize = 60;

/// An interval of fixed length.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FixedLength {
    /// Weights of β̂.
    pub(super) weights: Vec<f64>,
    /// Half its length.
    pub(super) half: f64,
}

/// The frontier of worst-case bias and variance for one target.
#[derive(Clone, Debug)]
pub(super) struct Frontier {
    /// q₀: weights of the estimator with the least bias.
    base: Vec<f64>,
    /// B: a row for each second difference before the reference.
    differences: Vec<Vec<f64>>,
    /// Worst-case bias of q₀ for M = 1.
    least_bias: f64,
    constant: f64,
    linear: Vec<f64>,
    quadratic: Mat<f64>,
    /// Values of x, from the least bias to the least variance.
    knots: Vec<Vec<f64>>,
}

impl Frontier {
    /// Finds the frontier for weights over the periods after the reference.
    ///
    /// # Errors
    /// A path that does not meet the conditions of an optimum.
    pub(super) fn new(study: &EventStudy, target: &[f64]) -> Result<Self, SensitivityError> {
        let pre = study.pre;
        let slope: f64 = target.iter().enumerate().map(|(j, l)| (j + 1) as f64 * l).sum();
        let mut base: Vec<f64> = std::iter::repeat_n(0.0, pre).chain(target.iter().copied()).collect();
        base[pre - 1] = slope;
        let difference = |m: usize| {
            let mut row = vec![0.0; pre + target.len()];
            // δ_{−m+1} − 2δ_{−m} + δ_{−m−1}, δ_0 = 0.
            if m > 1 {
                row[pre - m + 1] = 1.0;
            }
            (row[pre - m], row[pre - m - 1]) = (-2.0, 1.0);
            row
        };
        let differences: Vec<Vec<f64>> = (1..pre).map(difference).collect();
        let reach = |m: usize| (m..target.len()).map(|j| (j + 1 - m) as f64 * target[j]).sum::<f64>().abs();
        let mut own = Self {
            least_bias: (0..target.len()).map(reach).sum(),
            constant: study.product(&base, &base),
            linear: differences.iter().map(|row| study.product(row, &base)).collect(),
            quadratic: Mat::from_fn(pre - 1, pre - 1, |i, j| study.product(&differences[i], &differences[j])),
            base,
            differences,
            knots: vec![vec![0.0; pre - 1]],
        };
        own.follow()?;
        Ok(own)
    }

    /// Follows the path from λ = ∞, where x = 0, to λ = 0.
    fn follow(&mut self) -> Result<(), SensitivityError> {
        let size = self.linear.len();
        let mut lambda = self.linear.iter().fold(0.0, |most: f64, h| most.max(h.abs()));
        let scale = lambda;
        let mut active: Vec<(usize, f64)> = Vec::new();
        let mut left: Vec<usize> = Vec::new();
        for _ in 0..50 * (size + 1) {
            if scale == 0.0 || lambda <= 0.0 {
                return Ok(());
            }
            let gradient = self.gradient(self.knots.last().map(Vec::as_slice).unwrap_or_default());
            enter(&gradient, lambda, &left, &mut active);
            let segment = self.segment(&active);
            lambda = segment.next(lambda);
            let x = segment.at(lambda, size);
            left = active.iter().map(|(j, _)| *j).filter(|j| lambda > 0.0 && x[*j] == 0.0).collect();
            active.retain(|(j, _)| !left.contains(j));
            self.certify(&x, lambda, scale)?;
            self.knots.push(x);
        }
        Err(SensitivityError::NotCertified { violation: lambda / scale })
    }

    /// h + Hx, half the gradient of the variance.
    fn gradient(&self, x: &[f64]) -> Vec<f64> {
        let row = |i: usize| x.iter().enumerate().map(|(j, x)| self.quadratic[(i, j)] * x).sum::<f64>();
        self.linear.iter().enumerate().map(|(i, h)| h + row(i)).collect()
    }

    /// The line on which x moves with λ while the active differences remain the same.
    fn segment(&self, active: &[(usize, f64)]) -> Segment {
        let k = active.len();
        let block = Mat::from_fn(k, k, |a, b| self.quadratic[(active[a].0, active[b].0)]);
        let right = Mat::from_fn(k, 2, |a, c| if c == 0 { self.linear[active[a].0] } else { active[a].1 });
        let solved = block.partial_piv_lu().solve(&right);
        let line = |a: usize| (active[a].0, -solved[(a, 0)], -solved[(a, 1)]);
        let moving: Vec<(usize, f64, f64)> = (0..k).map(line).collect();
        let outside = (0..self.linear.len()).filter(|j| moving.iter().all(|(own, ..)| own != j));
        let rest = outside.map(|j| {
            let along = |f: &dyn Fn(&(usize, f64, f64)) -> f64| {
                moving.iter().map(|own| self.quadratic[(j, own.0)] * f(own)).sum::<f64>()
            };
            (self.linear[j] + along(&|own| own.1), along(&|own| own.2))
        });
        Segment { rest: rest.collect(), moving }
    }

    /// Checks that x is the optimum for λ: gradients of at most λ, and equal to it where x is not 0.
    fn certify(&self, x: &[f64], lambda: f64, scale: f64) -> Result<(), SensitivityError> {
        let excess = |(g, x): (&f64, &f64)| match *x == 0.0 {
            true => g.abs() - lambda,
            false => (g + lambda * x.signum()).abs(),
        };
        let gradient = self.gradient(x);
        let worst = gradient.iter().zip(x).map(excess).fold(0.0, f64::max) / scale;
        if worst <= CERTIFIED { Ok(()) } else { Err(SensitivityError::NotCertified { violation: worst }) }
    }

    /// Worst-case bias for M = 1, and standard deviation.
    fn cost(&self, x: &[f64]) -> (f64, f64) {
        let bias = self.least_bias + x.iter().map(|x| x.abs()).sum::<f64>();
        let gradient = self.gradient(x);
        let pairs = x.iter().zip(self.linear.iter().zip(&gradient));
        let variance = self.constant + pairs.map(|(x, (h, g))| x * (h + g)).sum::<f64>();
        (bias, variance.max(0.0).sqrt())
    }

    fn half_length(&self, x: &[f64], m: f64, alpha: f64) -> f64 {
        let (bias, deviation) = self.cost(x);
        deviation * folded_quantile(m * bias / deviation, alpha)
    }

    /// The shortest interval of level 1 − α for a size M.
    pub(super) fn shortest(&self, m: f64, alpha: f64) -> FixedLength {
        let at = |x: &[f64]| self.half_length(x, m, alpha);
        let halves: Vec<f64> = self.knots.iter().map(|x| at(x)).collect();
        let best = (0..halves.len()).min_by(|&a, &b| halves[a].total_cmp(&halves[b])).unwrap_or(0);
        let mut found = (self.knots[best].clone(), halves[best]);
        // The half length is quasi-convex along the frontier, so that the best point is next to the best knot.
        for first in best.saturating_sub(1)..=best {
            let Some([from, to]) = self.knots.get(first..first + 2) else { continue };
            let between =
                |t: f64| -> Vec<f64> { from.iter().zip(to).map(|(a, b)| a + t * (b - a)).collect() };
            let x = between(golden(&|t| at(&between(t))));
            let half = at(&x);
            if half < found.1 {
                found = (x, half);
            }
        }
        FixedLength { weights: self.weights(&found.0), half: found.1 }
    }

    fn weights(&self, x: &[f64]) -> Vec<f64> {
        let of = |i: usize| x.iter().zip(&self.differences).map(|(x, row)| x * row[i]).sum::<f64>();
        self.base.iter().enumerate().map(|(i, q)| q + of(i)).collect()
    }
}

/// Adds the differences whose gradient has reached λ, except those that have just left.
fn enter(gradient: &[f64], lambda: f64, left: &[usize], active: &mut Vec<(usize, f64)>) {
    for (j, g) in gradient.iter().enumerate() {
        let known = left.contains(&j) || active.iter().any(|(known, _)| *known == j);
        if !known && g.abs() >= lambda * (1.0 - 1e-10) {
            active.push((j, -g.signum()));
        }
    }
    active.sort_by_key(|(j, _)| *j);
}

/// Lines in λ: of the active differences' x, and of the other gradients.
struct Segment {
    /// Difference, and x = a + λb.
    moving: Vec<(usize, f64, f64)>,
    /// Gradient a + λb.
    rest: Vec<(f64, f64)>,
}

impl Segment {
    /// The next λ, where an active x vanishes or another gradient reaches λ; 0 if none does.
    fn next(&self, lambda: f64) -> f64 {
        let zeros = self.moving.iter().map(|(_, a, b)| -a / b);
        let hits = self.rest.iter().flat_map(|(a, b)| [a / (1.0 - b), -a / (1.0 + b)]);
        let below = lambda * (1.0 - 1e-9);
        zeros.chain(hits).filter(|next| *next > 0.0 && *next < below).fold(0.0, f64::max)
    }

    fn at(&self, lambda: f64, size: usize) -> Vec<f64> {
        let mut x = vec![0.0; size];
        for (j, a, b) in &self.moving {
            let value = a + lambda * b;
            // The one that leaves is 0, not its rounding.
            x[*j] = if value.abs() <= 1e-12 * (a.abs() + (lambda * b).abs()) { 0.0 } else { value };
        }
        x
    }
}

/// The smallest value of a quasi-convex function on [0, 1], by golden section.
fn golden(f: &dyn Fn(f64) -> f64) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (0.0, 1.0);
    let (mut a, mut b) = (1.0 - RATIO, RATIO);
    let (mut at_a, mut at_b) = (f(a), f(b));
    for _ in 0..STEPS {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - RATIO * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + RATIO * (high - low);
            at_b = f(b);
        }
    }
    0.5 * (low + high)
}

/// The 1 − α quantile of |N(b, 1)|: c with P(|N(b, 1)| > c) = α.
pub(super) fn folded_quantile(b: f64, alpha: f64) -> f64 {
    let upper = |x: f64| 0.5 * libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2);
    let density = |x: f64| libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt();
    let (mut low, mut high) =
        ((b + normal_quantile(1.0 - alpha)).max(0.0), b + normal_quantile(1.0 - alpha / 2.0));
    let mut c = low;
    for _ in 0..100 {
        let excess = upper(c - b) + upper(c + b) - alpha;
        if excess >= 0.0 {
            low = c
        } else {
            high = c
        }
        let newton = c + excess / (density(c - b) + density(c + b));
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - c).abs() <= 1e-15 * (1.0 + c.abs()) {
            return next;
        }
        c = next;
    }
    c
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::study::examples::counties;
    use super::*;

    #[test]
    fn quantiles_of_folded_normals() {
        let tail = |x: f64| 0.5 * libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2);
        for (b, alpha) in [(0.0, 0.05), (0.3, 0.05), (2.0, 0.1), (50.0, 0.005), (1.0, 0.7), (0.0, 0.9)] {
            let c = folded_quantile(b, alpha);
            assert!((tail(c - b) + tail(c + b) - alpha).abs() < 1e-12, "{b} {alpha}: {c}");
        }
        assert!((folded_quantile(0.0, 0.05) - 1.959_963_984_540_054).abs() < 1e-12);
    }

    #[test]
    fn without_smoothness_it_is_the_least_variance() {
        let study = counties();
        let frontier = Frontier::new(&study, &[1.0, 0.0, 0.0, 0.0]).unwrap();
        let found = frontier.shortest(0.0, 0.05);
        let deviation = study.product(&found.weights, &found.weights).sqrt();
        assert!((found.half - 1.959_963_984_540_054 * deviation).abs() < 1e-10);
        // A straight line through the reference has no effect.
        let line: Vec<f64> = study.event_time.iter().map(|e| e + 1.0).collect();
        let slope: f64 = found.weights.iter().zip(&line).map(|(w, t)| w * t).sum();
        assert!(slope.abs() < 1e-12);
    }

    proptest! {
        /// No other weights give a shorter interval, and neither does another size give one.
        #[test]
        fn no_estimator_is_better(
            x in -1.0..1.0f64, m in 0.0..0.05f64, at in 0usize..4, grow in 1.0..3.0f64,
        ) {
            let study = counties();
            let target: Vec<f64> = (0..4).map(|j| f64::from(u8::from(j == at))).collect();
            let frontier = Frontier::new(&study, &target).unwrap();
            let best = frontier.shortest(m, 0.05);
            prop_assert!(best.half <= frontier.half_length(&[x], m, 0.05) + 1e-12);
            prop_assert!(best.half <= frontier.shortest(m * grow, 0.05).half + 1e-12);
        }
    }
}
