//! The policies of requests: attempts, pauses, sizes and hedging. Every constant states its reason.

use std::time::Duration;

use super::{StoreError, StoreErrorKind};

/// The policies of a [`super::Storage`].
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The largest number of attempts at one request.
    pub attempts: u32,
    /// The largest number of attempts at a read that brings other bytes than promised: a damaged object stays damaged.
    pub attempts_if_corrupt: u32,
    /// The largest number of attempts while nothing has ever answered: a wrong address stays wrong, and a person waits.
    pub attempts_if_silent: u32,
    /// The time after the first attempt within which the last one must start, while nothing has ever answered.
    pub total_if_silent: Duration,
    /// The time after the first attempt within which the last one must start. Expired credentials are thus reported
    /// while a person still looks, and a task's time limit (15 minutes on Lambda) leaves room for a second try
    /// elsewhere.
    pub total: Duration,
    /// The upper bound of the first pause; every further pause doubles it.
    pub pause: Duration,
    /// The upper bound of the first pause after a throttled request: a bucket over its request rate needs time, not
    /// requests.
    pub pause_if_throttled: Duration,
    /// The upper bound of every pause.
    pub longest_pause: Duration,
    /// Ranges less than this number of bytes apart are read as one.
    pub gap: u64,
    /// The size of pieces: ranges are cut into pieces of at least this number of bytes, and less than twice it.
    pub piece: u64,
    /// The number of concurrent requests of one call.
    pub width: usize,
    /// The hedging of slow reads, or `None` if reads are never sent twice.
    pub duplicate: Option<Hedging>,
}

/// The model of the time after which a read is sent a second time (Starling's model, PLATFORM §1.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Hedging {
    /// The time to the first byte.
    pub latency: Duration,
    /// The machine's throughput in bytes a second, shared by all reads in flight.
    pub throughput: f64,
    /// The multiple of its expected time after which a read is late.
    pub multiple: f64,
    /// The time before which no read counts as late.
    pub earliest: Duration,
    /// The number of reads for each duplicate in the long run: a line that is slow as a whole must not carry everything
    /// twice.
    pub one_in: u64,
    /// The number of duplicates that may be sent ahead of that rate.
    pub ahead: u64,
}

impl Policy {
    /// Returns the policy for stores whose requests cost time and money.
    pub fn remote() -> Self {
        Self {
            // With the pauses below this waits 23 s in the mean, 46 s when throttled.
            attempts: 10,
            attempts_if_corrupt: 6,
            // The pauses add up to 0.75 s in the mean; two attempts that each run into the connection limit of 5 s fit
            // before the total.
            attempts_if_silent: 5,
            total_if_silent: Duration::from_secs(10),
            total: Duration::from_secs(180),
            pause: Duration::from_millis(100),
            pause_if_throttled: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            // A request takes 15 ms to its first byte, and 1 MiB takes 7 ms: reading across a gap is no slower than
            // asking twice.
            gap: 1 << 20,
            // AWS recommends 8–16 MiB; larger pieces gain nothing and lose more when one must be read again.
            piece: 8 << 20,
            // This fills a 10 Gbit/s line at 80 MB/s for each connection.
            width: 16,
            duplicate: Some(Hedging {
                latency: Duration::from_millis(15),
                throughput: 150e6,
                multiple: 4.0,
                // Starling's slowest small reads took 0.25 s with duplicates; an earlier duplicate rarely overtakes.
                earliest: Duration::from_millis(200),
                one_in: 20,
                ahead: 8,
            }),
        }
    }

    /// Returns the policy for folders and memory.
    pub fn local() -> Self {
        Self {
            attempts: 3,
            attempts_if_corrupt: 1,
            // A call to the file system costs microseconds: only ranges in one read-ahead window are read together.
            gap: 64 << 10,
            piece: u64::MAX / 2,
            width: 1,
            duplicate: None,
            ..Self::remote()
        }
    }

    /// Returns the pause before the next attempt, or `None` if there is to be none. The pause has full jitter, so that
    /// a thousand workers that were throttled together do not return together.
    ///
    /// `failed` is the number of attempts made (1 after the first), `elapsed` the time since the first began, and
    /// `fraction` a uniform random number in [0, 1).
    pub fn backoff(
        &self,
        error: &StoreError,
        failed: u32,
        elapsed: Duration,
        fraction: f64,
    ) -> Option<Duration> {
        let (attempts, total) = match error.kind {
            StoreErrorKind::Corrupt => (self.attempts_if_corrupt, self.total),
            _ if error.is_silent() => (self.attempts_if_silent, self.total_if_silent),
            _ => (self.attempts, self.total),
        };
        if !error.is_transient() || failed >= attempts {
            return None;
        }
        let first = match error.kind {
            StoreErrorKind::Throttled => self.pause_if_throttled,
            _ => self.pause,
        };
        let doubled = first.saturating_mul(1 << failed.saturating_sub(1).min(20));
        let pause = doubled.min(self.longest_pause).mul_f64(fraction);
        (elapsed + pause <= total).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: StoreErrorKind) -> StoreError {
        StoreError::new(kind, "x")
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = Policy { attempts: 100, ..Policy::remote() };
        let error = error(StoreErrorKind::Unavailable);
        let pause = |failed| policy.backoff(&error, failed, Duration::ZERO, 0.5).unwrap().as_millis();
        assert_eq!(
            [pause(1), pause(2), pause(3), pause(8), pause(9), pause(60)],
            [50, 100, 200, 6400, 10_000, 10_000]
        );
    }

    #[test]
    fn throttled_requests_wait_longer() {
        let pause = Policy::remote().backoff(&error(StoreErrorKind::Throttled), 1, Duration::ZERO, 1.0);
        assert_eq!(pause, Some(Duration::from_millis(500)));
    }

    #[test]
    fn attempts_and_total_time_are_bounded() {
        let policy = Policy::remote();
        let (lost, corrupt) = (error(StoreErrorKind::Unavailable), error(StoreErrorKind::Corrupt));
        assert!(policy.backoff(&lost, 9, Duration::ZERO, 0.1).is_some());
        assert_eq!(policy.backoff(&lost, 10, Duration::ZERO, 0.1), None);
        assert_eq!(policy.backoff(&corrupt, 6, Duration::ZERO, 0.1), None);
        assert_eq!(policy.backoff(&lost, 2, Duration::from_secs(180), 0.1), None);
    }

    #[test]
    fn what_never_answers_is_given_up_soon() {
        let policy = Policy::remote();
        let silent = error(StoreErrorKind::Unavailable).mark_silent();
        assert!(policy.backoff(&silent, 4, Duration::ZERO, 0.1).is_some());
        assert_eq!(policy.backoff(&silent, 5, Duration::ZERO, 0.1), None);
        assert_eq!(policy.backoff(&silent, 1, Duration::from_secs(20), 0.1), None);
    }

    #[test]
    fn what_another_attempt_cannot_mend_is_not_tried_again() {
        use StoreErrorKind::{Bucket, Changed, Credentials, Denied, Exists, Full, NotFound, Other};
        for kind in [NotFound, Exists, Changed, Denied, Credentials, Bucket, Full, Other] {
            assert_eq!(Policy::remote().backoff(&error(kind), 1, Duration::ZERO, 0.0), None, "{kind:?}");
        }
    }
}
