//! The program of the test, min η s.t. y − X̃τ ≤ ησ, by all vertices of its dual (Andrews, Roth & Pakes 2023, section 3).
//!
//! The dual cone {γ ≥ 0, X̃'γ = 0} does not depend on y, σ or the size of a restriction, only on the moments' coefficients after treatment.
//! Its extreme rays are found once, by double description, which eliminates one column of X̃ after the other (Motzkin and others 1953). The
//! same steps backwards give the primal solution, whose feasibility with the dual's value is the certificate of an optimum.

use super::SensitivityError;

/// Rays beyond which a program is refused: their pairs would take minutes.
const MOST_RAYS: usize = 2000;
/// A coefficient this small against the largest one is rounding.
const ROUNDING: f64 = 1e-10;
/// The largest violation of a moment, in standard errors, of a certified optimum.
const CERTIFIED: f64 = 1e-7;

/// A ray of the cone.
#[derive(Clone, Debug)]
struct Ray {
    /// γ, a weight for each moment, the largest 1.
    weights: Vec<f64>,
    /// A_post'γ.
    image: Vec<f64>,
    support: Support,
}

/// Moments with positive weight, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Support(Vec<u64>);

impl Support {
    fn of(weights: &[f64]) -> Self {
        let mut bits = vec![0; weights.len().div_ceil(64)];
        for (i, _) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            bits[i / 64] |= 1 << (i % 64);
        }
        Self(bits)
    }

    fn union(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

impl Ray {
    fn unit(at: usize, rows: &[Vec<f64>]) -> Self {
        let mut weights = vec![0.0; rows.len()];
        weights[at] = 1.0;
        Self { support: Support::of(&weights), weights, image: rows[at].clone() }
    }

    /// X̃_j'γ, exactly 0 where it is rounding.
    fn value(&self, column: &Column) -> f64 {
        let [a, b] = [column.keep * self.image[column.at], -column.drop * self.image[column.pivot]];
        let value = a + b;
        if value.abs() <= ROUNDING * (a.abs() + b.abs()) { 0.0 } else { value }
    }

    /// The combination of a positive and a negative ray that vanishes in a column.
    fn combine(&self, negative: &Self, values: (f64, f64), support: Support) -> Self {
        let (up, down) = values;
        let mix =
            |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * -down + b * up).collect() };
        let mut weights = mix(&self.weights, &negative.weights);
        let mut image = mix(&self.image, &negative.image);
        let largest = weights.iter().copied().fold(0.0, f64::max);
        weights.iter_mut().chain(image.iter_mut()).for_each(|x| *x /= largest);
        Self { weights, image, support }
    }
}

/// A column of X̃ = A_post T, T a basis of the effects t with l't = 0: t_at = `keep`, t_pivot = −`drop`.
#[derive(Clone, Copy, Debug)]
struct Column {
    at: usize,
    pivot: usize,
    keep: f64,
    drop: f64,
}

/// The dual cone of a target, with the steps that led to it.
#[derive(Clone, Debug)]
pub(super) struct DualCone {
    /// Columns in the order of their elimination.
    columns: Vec<Column>,
    /// Rays before each elimination; the extreme rays at the end.
    steps: Vec<Vec<Ray>>,
    /// By extreme ray: μ with A_post'γ = μl.
    slopes: Vec<f64>,
}

impl DualCone {
    /// Finds the extreme rays for moments with the coefficients `post` (moments × periods after the reference) and the target l.
    ///
    /// # Errors
    /// A cone of too many rays.
    pub(super) fn new(post: &[Vec<f64>], target: &[f64]) -> Result<Self, SensitivityError> {
        let pivot =
            (0..target.len()).max_by(|&a, &b| target[a].abs().total_cmp(&target[b].abs())).unwrap_or(0);
        // Far periods are in the fewest moments.
        let others = (0..target.len()).rev().filter(|&at| at != pivot);
        let columns: Vec<Column> =
            others.map(|at| Column { at, pivot, keep: target[pivot], drop: target[at] }).collect();
        let mut steps = vec![(0..post.len()).map(|at| Ray::unit(at, post)).collect::<Vec<Ray>>()];
        for column in &columns {
            let before = steps.last().map(Vec::as_slice).unwrap_or_default();
            steps.push(eliminate(before, column)?);
        }
        let last = steps.last().map(Vec::as_slice).unwrap_or_default();
        let slopes = last.iter().map(|ray| ray.image[pivot] / target[pivot]).collect();
        Ok(Self { columns, steps, slopes })
    }

    /// Extreme rays: weights of the moments, and μ.
    pub(super) fn rays(&self) -> impl Iterator<Item = (&[f64], f64)> {
        let last = self.steps.last().map(Vec::as_slice).unwrap_or_default();
        last.iter().map(|ray| ray.weights.as_slice()).zip(self.slopes.iter().copied())
    }

    /// Checks that η is attainable: looks for τ with y − X̃τ ≤ ησ, back through the eliminations. With a dual vertex of the same value that
    /// proves the optimum.
    ///
    /// # Errors
    /// A moment that is violated by more than rounding.
    pub(super) fn certify(&self, y: &[f64], sigma: &[f64], eta: f64) -> Result<(), SensitivityError> {
        let slack: Vec<f64> = y.iter().zip(sigma).map(|(y, sigma)| y - eta * sigma).collect();
        let mut tau = vec![0.0; self.columns.len()];
        for at in (0..self.columns.len()).rev() {
            let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
            for ray in &self.steps[at] {
                let coefficient = ray.value(&self.columns[at]);
                let bound = self.need(ray, &slack, &tau, at + 1) / coefficient;
                match coefficient {
                    c if c > 0.0 => low = f64::max(low, bound),
                    c if c < 0.0 => high = f64::min(high, bound),
                    _ => {}
                }
            }
            tau[at] = match (low.is_finite(), high.is_finite()) {
                (true, true) => 0.5 * (low + high),
                (true, false) => low,
                (false, true) => high,
                (false, false) => 0.0,
            };
        }
        let unit = self.steps.first().map(Vec::as_slice).unwrap_or_default();
        let excess = |(ray, sigma): (&Ray, &f64)| self.need(ray, &slack, &tau, 0) / sigma;
        let worst = unit.iter().zip(sigma).map(excess).fold(0.0, f64::max);
        if worst <= CERTIFIED { Ok(()) } else { Err(SensitivityError::NotCertified { violation: worst }) }
    }

    /// γ'(y − ησ) less what the effects from number `first` on give.
    fn need(&self, ray: &Ray, slack: &[f64], tau: &[f64], first: usize) -> f64 {
        let own: f64 = ray.weights.iter().zip(slack).map(|(weight, slack)| weight * slack).sum();
        let given = (first..tau.len()).map(|j| ray.value(&self.columns[j]) * tau[j]).sum::<f64>();
        own - given
    }
}

/// The rays of a cone that vanish in one more column: those that do, and combinations of neighbours on either side.
fn eliminate(rays: &[Ray], column: &Column) -> Result<Vec<Ray>, SensitivityError> {
    let values: Vec<f64> = rays.iter().map(|ray| ray.value(column)).collect();
    let signed = |sign: f64| (0..rays.len()).filter(|&i| values[i] * sign > 0.0).collect::<Vec<usize>>();
    let (up, down) = (signed(1.0), signed(-1.0));
    let mut next: Vec<Ray> = (0..rays.len()).filter(|&i| values[i] == 0.0).map(|i| rays[i].clone()).collect();
    for (&a, &b) in up.iter().flat_map(|a| down.iter().map(move |b| (a, b))) {
        let union = rays[a].support.union(&rays[b].support);
        let between = |(i, ray): (usize, &Ray)| i != a && i != b && ray.support.is_within(&union);
        if rays.iter().enumerate().any(between) {
            continue;
        }
        next.push(rays[a].combine(&rays[b], (values[a], values[b]), union));
        if next.len() > MOST_RAYS {
            return Err(SensitivityError::TooManyVertices { most: MOST_RAYS });
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::restrictions::{Direction, Periods, Restriction, RestrictionKind, polyhedra};
    use super::*;

    fn post_rows(restriction: Restriction, post: usize) -> Vec<Vec<f64>> {
        let own = polyhedra(restriction, 1.0, Periods { pre: 2, post }).remove(0);
        own.a.iter().map(|row| row[2..].to_vec()).collect()
    }

    fn unit(at: usize, size: usize) -> Vec<f64> {
        (0..size).map(|i| f64::from(u8::from(i == at))).collect()
    }

    #[test]
    fn the_vertices_of_smoothness_are_two_and_one_for_each_second_difference() {
        for (at, size) in [(0, 4), (3, 4), (9, 10), (4, 10)] {
            let post = post_rows(Restriction::of(RestrictionKind::Smoothness), size);
            let cone = DualCone::new(&post, &unit(at, size)).unwrap();
            let slopes: Vec<f64> = cone.rays().map(|(_, slope)| slope).collect();
            // The effect of the first period is in a single second difference, which pairs with itself no more.
            let pairs = size - usize::from(at == 0);
            assert_eq!(slopes.iter().filter(|slope| **slope == 0.0).count(), pairs);
            assert_eq!(slopes.len(), pairs + 2);
        }
    }

    #[test]
    fn too_many_vertices_are_refused() {
        let both = Restriction {
            monotone: Some(Direction::Up),
            ..Restriction::of(RestrictionKind::RelativeMagnitude)
        };
        let refused = DualCone::new(&post_rows(both, 14), &unit(13, 14)).expect_err("refused");
        assert_eq!(refused, SensitivityError::TooManyVertices { most: MOST_RAYS });
    }

    fn restriction() -> impl Strategy<Value = Restriction> {
        let direction = || prop_oneof![Just(None), Just(Some(Direction::Up)), Just(Some(Direction::Down))];
        let kind = prop_oneof![Just(RestrictionKind::Smoothness), Just(RestrictionKind::RelativeMagnitude)];
        (kind, direction(), direction()).prop_map(|(kind, bias, monotone)| Restriction {
            kind,
            bias,
            monotone,
        })
    }

    proptest! {
        /// The largest value over the vertices is attained by the primal, so that it is the optimum; anything below is not attained.
        #[test]
        fn the_best_vertex_is_the_optimum(
            restriction in restriction(),
            target in proptest::collection::vec(0.1..1.0f64, 1..5),
            numbers in proptest::collection::vec(-3.0..3.0f64, 40),
            sigma in proptest::collection::vec(0.1..3.0f64, 40),
        ) {
            let post = post_rows(restriction, target.len());
            let cone = DualCone::new(&post, &target).unwrap();
            let (y, sigma) = (&numbers[..post.len()], &sigma[..post.len()]);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let value = |(weights, _): (&[f64], f64)| dot(weights, y) / dot(weights, sigma);
            let eta = cone.rays().map(value).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(cone.certify(y, sigma, eta).is_ok());
            let below = cone.certify(y, sigma, eta - 1e-4 * (1.0 + eta.abs()));
            prop_assert!(below.is_err());
            for (weights, slope) in cone.rays() {
                prop_assert!(weights.iter().all(|weight| *weight >= 0.0));
                for (at, l) in target.iter().enumerate() {
                    let image: f64 = weights.iter().zip(&post).map(|(weight, row)| weight * row[at]).sum();
                    prop_assert!((image - slope * l).abs() < 1e-9);
                }
            }
        }
    }
}
