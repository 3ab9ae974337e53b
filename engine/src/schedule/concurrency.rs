//! How many attempts are under way at a time: more while all goes well, half as many when the cloud says to slow down (AIMD).

use std::time::Duration;

/// Throttles within this time of each other are one: they answer the same burst.
const BURST: Duration = Duration::from_millis(500);
/// A whole round of successes raises the limit by this share of itself, one at least: a function that is reserved a few must not be asked
/// for hundreds again and again.
const RAISE: f64 = 1.0 / 16.0;

/// The limit, within 1 and the most that the user allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    most: f64,
    limit: f64,
    halved: Option<Duration>,
}

impl Concurrency {
    /// Starts at the most: functions of an account start a thousand at once (AWS.md §2.1).
    pub fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { most, limit: most, halved: None }
    }

    /// Attempts that may be under way.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// An attempt was answered.
    pub fn succeeded(&mut self) {
        self.limit = (self.limit + RAISE.max(1.0 / self.limit)).min(self.most);
    }

    /// The cloud said to slow down, with `under_way` attempts running.
    pub fn throttled(&mut self, now: Duration, under_way: usize) {
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
        let mut limit = Concurrency::new(800);
        let second = Duration::from_secs(1);
        for _ in 0..50 {
            limit.throttled(second, 600);
        }
        assert_eq!(limit.limit(), 300);
        limit.throttled(second * 2, 300);
        assert_eq!(limit.limit(), 150);
        for _ in 0..150 {
            limit.succeeded();
        }
        assert!((158..=161).contains(&limit.limit()), "{}", limit.limit());
        for _ in 0..100_000 {
            limit.succeeded();
        }
        assert_eq!(limit.limit(), 800);
    }

    #[test]
    fn one_attempt_is_always_allowed() {
        let mut limit = Concurrency::new(2);
        for second in 0..20 {
            limit.throttled(Duration::from_secs(second), 1);
        }
        assert_eq!(limit.limit(), 1);
    }
}
