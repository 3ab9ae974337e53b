//! An event study as sensitivity analysis and power take it: estimates beside a reference period, and their covariance (FORMULAS §8).

use std::cmp::Ordering;

use faer::Mat;
use thiserror::Error;

use crate::inference::rcond_1norm;
use crate::label::label;

/// Estimates by event time, without the reference period, whose effect is 0 by definition.
#[derive(Clone, Debug, PartialEq)]
pub struct EventStudy {
    /// Event times, ascending.
    pub event_time: Vec<f64>,
    /// The event time that all others are compared with.
    pub reference: f64,
    /// β̂ at each event time.
    pub estimate: Vec<f64>,
    /// Σ, the covariance of β̂.
    pub covariance: Mat<f64>,
    /// Number of event times before the reference.
    pub pre: usize,
}

/// An event study that can't be analysed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum StudyError {
    /// Lists of uneven length.
    #[error("{times} event times, {estimates} estimates and a covariance of {rows} rows")]
    Shape { times: usize, estimates: usize, rows: usize },
    /// An event time twice, or not a number.
    #[error("event time {0} is there twice, or is no number")]
    EventTime(String),
    /// A missing estimate or variance.
    #[error("the estimate at event time {0} or its variance is missing")]
    Missing(String),
    /// Both triangles of a covariance differ.
    #[error("the covariance is not symmetric between event times {0} and {1}")]
    Asymmetric(String, String),
    /// The reference period has an estimate of its own, as under a varying base period.
    #[error("event time {0} has an estimate of its own, so that the others are not all relative to it")]
    ReferenceEstimated(String),
    /// Nothing before the reference.
    #[error("there is no event time before the reference {0}")]
    NoPre(String),
    /// Nothing after the reference.
    #[error("there is no event time after the reference {0}")]
    NoPost(String),
    /// Restrictions compare neighbouring periods.
    #[error("event times {0} and {1} are {2} apart, and others {3}")]
    Spacing(String, String, String, String),
    /// No positive variance, or combinations without one.
    #[error("the covariance of the {0} event times is singular")]
    Singular(usize),
}

impl StudyError {
    /// Returns what the user can do about it, if something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ReferenceEstimated(_) => {
                Some("estimate with --base-period universal, or name another --reference")
            }
            Self::NoPre(_) | Self::NoPost(_) => Some("a wider window has more of them: --min-e, --max-e"),
            Self::Spacing(..) => Some("--min-e and --max-e leave out what lies beyond the gap"),
            Self::Missing(_) => Some("--na-rm, --min-e and --max-e leave out what could not be estimated"),
            Self::Singular(_) => {
                Some("with fewer clusters than event times it is: --min-e and --max-e leave out event times")
            }
            Self::Shape { .. } | Self::EventTime(_) | Self::Asymmetric(..) => None,
        }
    }
}

impl EventStudy {
    /// Sorts and checks an event study. Its reference may be among the event times, with neither effect nor variance.
    ///
    /// # Errors
    /// Those of [`StudyError`] but for [`EventStudy::require_neighbours`].
    pub fn new(
        event_time: &[f64],
        estimate: &[f64],
        covariance: &Mat<f64>,
        reference: f64,
    ) -> Result<Self, StudyError> {
        let (times, estimates, rows) = (event_time.len(), estimate.len(), covariance.nrows());
        if times != estimates || times != rows || rows != covariance.ncols() {
            return Err(StudyError::Shape { times, estimates, rows });
        }
        let mut order: Vec<usize> = (0..times).collect();
        order.sort_by(|&a, &b| event_time[a].total_cmp(&event_time[b]));
        let odd =
            |pair: &[usize]| event_time[pair[0]].partial_cmp(&event_time[pair[1]]) != Some(Ordering::Less);
        if let Some(pair) = order.windows(2).find(|pair| odd(pair)) {
            return Err(StudyError::EventTime(label(event_time[pair[1]])));
        }
        let base = order.iter().position(|&i| event_time[i] == reference);
        if let Some(at) = base.map(|base| order.remove(base))
            && (estimate[at].abs() > 0.0 || covariance[(at, at)].abs() > 0.0)
        {
            return Err(StudyError::ReferenceEstimated(label(reference)));
        }
        let study = Self {
            event_time: order.iter().map(|&i| event_time[i]).collect(),
            reference,
            estimate: order.iter().map(|&i| estimate[i]).collect(),
            covariance: Mat::from_fn(order.len(), order.len(), |i, j| covariance[(order[i], order[j])]),
            pre: order.iter().filter(|&&i| event_time[i] < reference).count(),
        };
        study.check_numbers()?;
        Ok(study)
    }

    fn check_numbers(&self) -> Result<(), StudyError> {
        let (n, reference) = (self.event_time.len(), label(self.reference));
        match self.pre {
            0 => return Err(StudyError::NoPre(reference)),
            pre if pre == n => return Err(StudyError::NoPost(reference)),
            _ => {}
        }
        let v = |i: usize, j: usize| self.covariance[(i, j)];
        let name = |i: usize| label(self.event_time[i]);
        let whole = |i: usize| self.estimate[i].is_finite() && (0..n).all(|j| v(i, j).is_finite());
        if let Some(i) = (0..n).find(|&i| !whole(i)) {
            return Err(StudyError::Missing(name(i)));
        }
        for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
            if (v(i, j) - v(j, i)).abs() > 1e-8 * (v(i, i).abs() * v(j, j).abs()).sqrt() {
                return Err(StudyError::Asymmetric(name(j), name(i)));
            }
        }
        let positive = (0..n).all(|i| v(i, i) > 0.0);
        let correlation = Mat::from_fn(n, n, |i, j| v(i, j) / (v(i, i) * v(j, j)).sqrt());
        let definite = positive
            && rcond_1norm(&correlation) > f64::EPSILON
            && correlation.llt(faer::Side::Lower).is_ok();
        if definite { Ok(()) } else { Err(StudyError::Singular(n)) }
    }

    /// Number of event times after the reference.
    pub fn post(&self) -> usize {
        self.event_time.len() - self.pre
    }

    /// Event times after the reference.
    pub fn post_times(&self) -> &[f64] {
        &self.event_time[self.pre..]
    }

    /// The distance between neighbouring event times, the reference among them.
    ///
    /// # Errors
    /// Event times that are unequally far apart: restrictions on neighbours need all of them.
    pub fn require_neighbours(&self) -> Result<f64, StudyError> {
        let mut all = self.event_time.clone();
        all.insert(self.pre, self.reference);
        let gaps: Vec<f64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        match gaps.iter().position(|gap| (gap - least).abs() > 1e-9 * least) {
            None => Ok(least),
            Some(at) => {
                let [from, to, gap, least] = [all[at], all[at + 1], gaps[at], least].map(label);
                Err(StudyError::Spacing(from, to, gap, least))
            }
        }
    }

    /// l'β̂ of weights over the event times after the reference.
    pub fn effect(&self, weights: &[f64]) -> f64 {
        self.estimate[self.pre..].iter().zip(weights).map(|(b, l)| b * l).sum()
    }

    /// √(l'Σl) of weights over the event times after the reference.
    pub fn standard_error(&self, weights: &[f64]) -> f64 {
        let whole: Vec<f64> = std::iter::repeat_n(0.0, self.pre).chain(weights.iter().copied()).collect();
        self.product(&whole, &whole).max(0.0).sqrt()
    }

    /// a'Σb over all event times.
    pub(super) fn product(&self, a: &[f64], b: &[f64]) -> f64 {
        let row = |i: usize| b.iter().enumerate().map(|(j, x)| self.covariance[(i, j)] * x).sum::<f64>();
        a.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, x)| x * row(i)).sum()
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// Event times −3 to 3 of county employment, relative to −1 (`honest.jsonl`).
    pub(crate) fn counties() -> EventStudy {
        let estimate = [0.02502, 0.02446, -0.01993, -0.05096, -0.13726, -0.10081];
        let sd = [0.01812, 0.01424, 0.01183, 0.01689, 0.03644, 0.03436];
        let correlation = |i: usize, j: usize| match (i.max(j), i.min(j)) {
            (a, b) if a == b => 1.0,
            (1, 0) => 0.69,
            (5, 4) => 0.69,
            (a, b) if b >= 2 && a < 6 => 0.35,
            _ => -0.05,
        };
        let covariance = Mat::from_fn(6, 6, |i, j| sd[i] * sd[j] * correlation(i, j));
        EventStudy::new(&[-3.0, -2.0, 0.0, 1.0, 2.0, 3.0], &estimate, &covariance, -1.0).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: usize) -> Mat<f64> {
        Mat::from_fn(n, n, |i, j| f64::from(u8::from(i == j)))
    }

    #[test]
    fn order_and_reference_do_not_matter() {
        let shuffled = Mat::from_fn(4, 4, |i, j| if i == j { [3.0, 0.0, 1.0, 2.0][i] } else { 0.0 });
        let with =
            EventStudy::new(&[1.0, -1.0, -2.0, 0.0], &[30.0, 0.0, 10.0, 20.0], &shuffled, -1.0).unwrap();
        let plain = Mat::from_fn(3, 3, |i, j| if i == j { [1.0, 2.0, 3.0][i] } else { 0.0 });
        assert_eq!(with, EventStudy::new(&[-2.0, 0.0, 1.0], &[10.0, 20.0, 30.0], &plain, -1.0).unwrap());
        assert_eq!((with.pre, with.post(), with.post_times()), (1, 2, &[0.0, 1.0][..]));
        assert_eq!((with.effect(&[0.5, 0.5]), with.standard_error(&[0.6, 0.0])), (25.0, 0.6 * 2.0f64.sqrt()));
        assert_eq!(with.require_neighbours(), Ok(1.0));
    }

    #[test]
    fn what_can_not_be_analysed_is_refused() {
        let refused = |times: &[f64], estimate: &[f64], v: &Mat<f64>| {
            EventStudy::new(times, estimate, v, -1.0).expect_err("refused").to_string()
        };
        let correlated = Mat::from_fn(2, 2, |_, _| 1.0);
        let asymmetric = Mat::from_fn(2, 2, |i, j| [[1.0, 0.5], [0.1, 1.0]][i][j]);
        let all = [
            refused(&[-2.0], &[1.0, 2.0], &identity(2)),
            refused(&[-2.0, -2.0, 0.0], &[1.0, 2.0, 3.0], &identity(3)),
            refused(&[-2.0, -1.0, 0.0], &[1.0, 2.0, 3.0], &identity(3)),
            refused(&[0.0, 1.0], &[1.0, 2.0], &identity(2)),
            refused(&[-3.0, -2.0], &[1.0, 2.0], &identity(2)),
            refused(&[-2.0, 0.0], &[f64::NAN, 2.0], &identity(2)),
            refused(&[-2.0, 0.0], &[1.0, 2.0], &asymmetric),
            refused(&[-2.0, 0.0], &[1.0, 2.0], &correlated),
            refused(&[-2.0, 0.0], &[1.0, 2.0], &Mat::zeros(2, 2)),
        ];
        assert_eq!(
            all,
            [
                "1 event times, 2 estimates and a covariance of 2 rows",
                "event time -2 is there twice, or is no number",
                "event time -1 has an estimate of its own, so that the others are not all relative to it",
                "there is no event time before the reference -1",
                "there is no event time after the reference -1",
                "the estimate at event time -2 or its variance is missing",
                "the covariance is not symmetric between event times -2 and 0",
                "the covariance of the 2 event times is singular",
                "the covariance of the 2 event times is singular",
            ]
        );
        let gap = EventStudy::new(&[-4.0, -2.0, 0.0], &[1.0; 3], &identity(3), -1.0).unwrap();
        let told = gap.require_neighbours().expect_err("a gap").to_string();
        assert_eq!(told, "event times -4 and -2 are 2 apart, and others 1");
    }
}
