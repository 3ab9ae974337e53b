//! Sets of violations of parallel trends as polyhedra Aδ ≤ d (Rambachan & Roth 2023, sections 2.3 and 2.4).

use serde::{Deserialize, Serialize};

/// The kind of a restriction on how parallel trends may be violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictionKind {
    /// Δ^RM(M̄): no change after treatment is larger than M̄ times the largest one before.
    RelativeMagnitude,
    /// Δ^SD(M): the slope changes by no more than M from one period to the next.
    Smoothness,
}

/// A direction: of the bias, or of its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Positive, or increasing.
    Up,
    /// Negative, or decreasing.
    Down,
}

impl Direction {
    fn sign(self) -> f64 {
        match self {
            Self::Up => 1.0,
            Self::Down => -1.0,
        }
    }
}

/// A restriction without its size M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// The kind.
    pub kind: RestrictionKind,
    /// The sign of the bias after treatment, where it is known.
    pub bias: Option<Direction>,
    /// The direction in which the bias changes, where it is known.
    pub monotone: Option<Direction>,
}

impl Restriction {
    /// A restriction without directions.
    pub fn of(kind: RestrictionKind) -> Self {
        Self { kind, bias: None, monotone: None }
    }

    /// Returns true if directions are restricted, too.
    pub fn has_shape(self) -> bool {
        self.bias.is_some() || self.monotone.is_some()
    }
}

/// Moments Aδ ≤ d: one row a moment, columns over the periods before and after the reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Polyhedron {
    pub(super) a: Vec<Vec<f64>>,
    pub(super) d: Vec<f64>,
}

/// Numbers of periods before and after the reference, which has position 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Periods {
    pub(super) pre: usize,
    pub(super) post: usize,
}

impl Periods {
    /// A row with coefficients at positions; those at the reference vanish.
    fn row(self, coefficients: &[(i64, f64)]) -> Vec<f64> {
        let mut row = vec![0.0; self.pre + self.post];
        for &(position, coefficient) in coefficients.iter().filter(|(position, _)| *position != 0) {
            let column = self.pre as i64 + position - i64::from(position > 0);
            row[column as usize] += coefficient;
        }
        row
    }

    /// The first position whose moments are used. Moments of earlier periods alone do not bound the effect. With a single period after
    /// the reference HonestDiD tests them nevertheless, and its numbers are the standard.
    fn first(self, earliest: i64) -> i64 {
        if self.post > 1 { 1 } else { earliest }
    }
}

/// The polyhedra whose union is the restriction of size `m`.
pub(super) fn polyhedra(restriction: Restriction, m: f64, periods: Periods) -> Vec<Polyhedron> {
    let plain = match restriction.kind {
        RestrictionKind::Smoothness => vec![smoothness(m, periods)],
        RestrictionKind::RelativeMagnitude => relative_magnitudes(m, periods),
    };
    let with_shape = |mut own: Polyhedron| {
        add_shape(&mut own, restriction, periods);
        own
    };
    plain.into_iter().map(with_shape).collect()
}

/// |δ_{t+1} − 2δ_t + δ_{t−1}| ≤ M.
fn smoothness(m: f64, periods: Periods) -> Polyhedron {
    let mut own = Polyhedron::default();
    let last = periods.post as i64;
    for sign in [1.0, -1.0] {
        for t in periods.first(2 - periods.pre as i64)..=last {
            own.a.push(periods.row(&[(t, sign), (t - 1, -2.0 * sign), (t - 2, sign)]));
            own.d.push(m);
        }
    }
    own
}

/// For each earlier change s and each of its signs: |δ_t − δ_{t−1}| ≤ M̄ ±(δ_s − δ_{s−1}).
fn relative_magnitudes(m: f64, periods: Periods) -> Vec<Polyhedron> {
    let changes = (1 - periods.pre as i64)..=0;
    let signed = changes.flat_map(|s| [(s, 1.0), (s, -1.0)]);
    signed.map(|(s, sign)| relative_magnitude(m, (s, sign), periods)).collect()
}

fn relative_magnitude(m: f64, (s, largest): (i64, f64), periods: Periods) -> Polyhedron {
    let mut own = Polyhedron::default();
    for sign in [1.0, -1.0] {
        for t in periods.first(1 - periods.pre as i64)..=periods.post as i64 {
            let bound = largest * if t > 0 { m } else { 1.0 };
            let row = periods.row(&[(t, sign), (t - 1, -sign), (s, -bound), (s - 1, bound)]);
            // The largest change is no larger than itself.
            if row.iter().any(|coefficient| *coefficient != 0.0) {
                own.a.push(row);
                own.d.push(0.0);
            }
        }
    }
    own
}

fn add_shape(own: &mut Polyhedron, restriction: Restriction, periods: Periods) {
    let last = periods.post as i64;
    if let Some(bias) = restriction.bias {
        (1..=last).for_each(|t| own.a.push(periods.row(&[(t, -bias.sign())])));
    }
    if let Some(direction) = restriction.monotone {
        let sign = direction.sign();
        for t in periods.first(1 - periods.pre as i64)..=last {
            own.a.push(periods.row(&[(t - 1, sign), (t, -sign)]));
        }
    }
    own.d.resize(own.a.len(), 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIODS: Periods = Periods { pre: 2, post: 2 };

    #[test]
    fn rows_of_smoothness() {
        let own = &polyhedra(Restriction::of(RestrictionKind::Smoothness), 0.3, PERIODS)[0];
        assert_eq!(own.a[..2], [vec![0.0, 1.0, 1.0, 0.0], vec![0.0, 0.0, -2.0, 1.0]]);
        assert_eq!(own.a[2], vec![0.0, -1.0, -1.0, 0.0]);
        assert_eq!(own.d, [0.3; 4]);
        let single = Periods { post: 1, ..PERIODS };
        assert_eq!(polyhedra(Restriction::of(RestrictionKind::Smoothness), 0.3, single)[0].a.len(), 4);
    }

    #[test]
    fn rows_of_relative_magnitudes() {
        let all = polyhedra(Restriction::of(RestrictionKind::RelativeMagnitude), 0.5, PERIODS);
        assert_eq!(all.len(), 4);
        // s = −1, positive: δ_{−1} − δ_{−2} bounds the changes to periods 1 and 2.
        assert_eq!(all[0].a[..2], [vec![0.5, -0.5, 1.0, 0.0], vec![0.5, -0.5, -1.0, 1.0]]);
        // s = 0, negative: −(0 − δ_{−1}).
        assert_eq!(all[3].a[0], vec![0.0, -0.5, 1.0, 0.0]);
        assert!(all.iter().all(|own| own.d == [0.0; 4]));
        let single = Periods { post: 1, ..PERIODS };
        let all = polyhedra(Restriction::of(RestrictionKind::RelativeMagnitude), 0.5, single);
        assert_eq!(all[0].a.len(), 5, "three changes with two signs, less the one that bounds itself");
    }

    #[test]
    fn directions_add_rows() {
        let both = Restriction {
            bias: Some(Direction::Down),
            monotone: Some(Direction::Up),
            ..Restriction::of(RestrictionKind::Smoothness)
        };
        let own = &polyhedra(both, 0.3, PERIODS)[0];
        assert_eq!(own.a[4..6], [vec![0.0, 0.0, 1.0, 0.0], vec![0.0, 0.0, 0.0, 1.0]]);
        assert_eq!(own.a[6..], [vec![0.0, 0.0, -1.0, 0.0], vec![0.0, 0.0, 1.0, -1.0]]);
        assert_eq!(own.d[4..], [0.0; 4]);
    }
}
