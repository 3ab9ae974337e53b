//! The median of tasks' durations, in a fixed amount of memory whatever their number.

use std::time::Duration;

/// The number of buckets, each 5 % wider than the one before, from a millisecond to an hour.
const BUCKETS: usize = 312;
const RATIO: f64 = 1.05;
const FIRST: f64 = 1e-3;

/// Counts of durations by bucket.
#[derive(Clone, Debug)]
pub(super) struct DurationHistogram {
    counts: Vec<u32>,
    all: u32,
}

impl Default for DurationHistogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], all: 0 }
    }
}

impl DurationHistogram {
    /// Adds a duration.
    pub(super) fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64().max(FIRST);
        let bucket = (libm::log(seconds / FIRST) / libm::log(RATIO)) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.all += 1;
    }

    /// Returns the median, to 5 %; `None` while there is no duration.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut below = 0;
        let bucket = self.counts.iter().position(|&count| {
            below += count;
            self.all > 0 && 2 * below >= self.all
        })?;
        Some(Duration::from_secs_f64(FIRST * libm::pow(RATIO, bucket as f64 + 0.5)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_right_to_five_percent() {
        let mut durations = DurationHistogram::default();
        assert_eq!(durations.median(), None);
        (1..=1001).for_each(|ms| durations.add(Duration::from_millis(ms)));
        let median = durations.median().unwrap().as_secs_f64();
        assert!((median / 0.501 - 1.0).abs() < 0.05, "{median}");
        durations.add(Duration::from_secs(1 << 30));
        durations.add(Duration::ZERO);
        assert!(durations.median().is_some());
    }
}
