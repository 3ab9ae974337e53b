//! The number of attempts that may be under way at a time: it rises while attempts succeed and is halved when the
//! cloud throttles them (additive increase, multiplicative decrease: AIMD).

use std::time::Duration;

/// Throttles within this time of each other count as one: they answer the same burst.
const BURST: Duration = Duration::from_millis(500);
/// The share of itself by which a whole round of successes raises the limit, by one at least: a function with a small
/// reserved concurrency must not be asked for hundreds of attempts again and again.
const RAISE: f64 = 1.0 / 16.0;

/// The limit, between 1 and the most that the user allows.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcurrencyLimit {
    most: f64,
    limit: f64,
    halved: Option<Duration>,
}

impl ConcurrencyLimit {
    /// Returns a limit that starts at the most: functions of an account start a thousand at once (PLATFORM §2.1).
    pub fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { most, limit: most, halved: None }
    }

    /// Returns the number of attempts that may be under way.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Raises the limit after an attempt that was answered.
    pub fn record_success(&mut self) {
        self.limit = (self.limit + RAISE.max(1.0 / self.limit)).min(self.most);
    }

    /// Halves the limit after the cloud has throttled an attempt, with `under_way` attempts running.
    pub fn record_throttle(&mut self, now: Duration, under_way: usize) {
        if self.halved.is_some_and(|at| now < at + BURST) {
            return;
        }
        self.halved = Some(now);
        self.limit = (self.limit.min(under_way.max(1) as f64) / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_throttles_halves_once_and_successes_raise_again() {
        let mut limit = ConcurrencyLimit::new(800);
        let second = Duration::from_secs(1);
        for _ in 0..50 {
            limit.record_throttle(second, 600);
        }
        assert_eq!(limit.limit(), 300);
        limit.record_throttle(second * 2, 300);
        assert_eq!(limit.limit(), 150);
        for _ in 0..150 {
            limit.record_success();
        }
        assert!((158..=161).contains(&limit.limit()), "{}", limit.limit());
        for _ in 0..100_000 {
            limit.record_success();
        }
        assert_eq!(limit.limit(), 800);
    }

    #[test]
    fn one_attempt_is_always_allowed() {
        let mut limit = ConcurrencyLimit::new(2);
        for second in 0..20 {
            limit.record_throttle(Duration::from_secs(second), 1);
        }
        assert_eq!(limit.limit(), 1);
    }
}
