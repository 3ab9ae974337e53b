//! Outlines of signs, and lines across areas.

use crate::figure::{Hatch, MarkerShape};
use crate::scene::{Point, at};

/// Between two lines of a hatching.
const SPACING: f64 = 4.5;
/// Areas beyond are not hatched, as their lines would be most of the file.
const MOST_AREAS: usize = 4000;

/// Corners of a sign that looks as large as a disc of that radius.
pub(crate) fn outline(sign: MarkerShape, centre: Point, radius: f64) -> Vec<Point> {
    let corner = |(x, y): (f64, f64)| at(centre.x + x * radius, centre.y + y * radius);
    let corners: &[(f64, f64)] = match sign {
        MarkerShape::Triangle => &[(0.0, -1.3), (1.18, 0.8), (-1.18, 0.8)],
        MarkerShape::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        MarkerShape::Square | MarkerShape::Circle | MarkerShape::Cross => {
            &[(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]
        }
    };
    corners.iter().copied().map(corner).collect()
}

/// Returns the lines across rectangles.
pub(crate) fn hatching(areas: &[Vec<Point>], hatch: Hatch) -> Vec<[Point; 2]> {
    if hatch == Hatch::Plain || areas.len() > MOST_AREAS {
        return Vec::new();
    }
    areas.iter().flat_map(|area| across(area, hatch)).collect()
}

fn across(area: &[Point], hatch: Hatch) -> Vec<[Point; 2]> {
    let [a, _, c, ..] = area else {
        return Vec::new();
    };
    let (left, right) = (a.x.min(c.x), a.x.max(c.x));
    let (top, bottom) = (a.y.min(c.y), a.y.max(c.y));
    let slant = if hatch == Hatch::Upright { 0.0 } else { bottom - top };
    // The same lines for every area of a picture: those whose feet are multiples of the spacing.
    let first = ((left - slant) / SPACING).floor() as i64;
    let last = ((right + slant) / SPACING).ceil() as i64;
    let lines = (first..=last).filter_map(|number| {
        let foot = number as f64 * SPACING;
        let lean = match hatch {
            Hatch::Rising => slant,
            Hatch::Falling => -slant,
            Hatch::Upright | Hatch::Plain => 0.0,
        };
        clipped(at(foot, bottom), at(foot + lean, top), left, right)
    });
    lines.collect()
}

/// The part of a line between two uprights.
fn clipped(from: Point, to: Point, left: f64, right: f64) -> Option<[Point; 2]> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    if dx == 0.0 {
        return (from.x > left && from.x < right).then_some([from, to]);
    }
    let (s, t) = ((left - from.x) / dx, (right - from.x) / dx);
    let (begin, end) = (s.min(t).max(0.0), s.max(t).min(1.0));
    let point = |share: f64| at(from.x + share * dx, from.y + share * dy);
    (begin < end).then(|| [point(begin), point(end)])
}
