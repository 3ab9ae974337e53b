//! Confidence intervals by inversion of a test: the hull of the effects that are not rejected.

use super::conditional::{FirstStage, Test};

/// Points between which an interval's ends are looked for.
const POINTS: usize = 400;
/// Halvings of the distance of two points.
const HALVINGS: usize = 50;
/// Doublings of a range whose end is not rejected.
const DOUBLINGS: usize = 40;
/// Values of η between which the conditional test is inverted at first.
const RANGES: [f64; 3] = [20.0, 1e3, 1e6];

/// The smallest and the largest effect that a test accepts: its ends are exact, between points they are looked for. None if it rejects all;
/// infinite where no end is found.
pub(super) fn invert(test: &Test<'_>) -> Option<(f64, f64)> {
    let range = match &test.first {
        FirstStage::LeastFavorable { critical } => test.vertices.within(*critical)?,
        FirstStage::FixedLength { centre, half, .. } => (centre - half, centre + half),
        FirstStage::None => {
            let range = RANGES.iter().find_map(|most| test.vertices.within(*most))?;
            (outward(test, range.1, range.0), outward(test, range.0, range.1))
        }
    };
    if !(range.0.is_finite() && range.1.is_finite()) {
        return Some(range);
    }
    Some((first(test, range.0, range.1)?, first(test, range.1, range.0)?))
}

/// The end of a range, moved away from its other end until it is rejected; infinite if it never is.
fn outward(test: &Test<'_>, fixed: f64, end: f64) -> f64 {
    let mut end = end;
    for _ in 0..DOUBLINGS {
        if !test.accepts(end) {
            return end;
        }
        end += end - fixed;
    }
    if end < fixed { f64::NEG_INFINITY } else { f64::INFINITY }
}

/// The first accepted effect on the way from one point to another.
fn first(test: &Test<'_>, from: f64, to: f64) -> Option<f64> {
    let point = |i: usize| from + (to - from) * i as f64 / POINTS as f64;
    let found = (0..=POINTS).find(|&i| test.accepts(point(i)))?;
    if found == 0 {
        return Some(from);
    }
    let (mut rejected, mut accepted) = (point(found - 1), point(found));
    for _ in 0..HALVINGS {
        let middle = 0.5 * (rejected + accepted);
        if test.accepts(middle) { accepted = middle } else { rejected = middle }
    }
    Some(accepted)
}
