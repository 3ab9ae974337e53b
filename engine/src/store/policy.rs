//! How patient, how wide and how suspicious requests are: every constant, with its reason.

use std::time::Duration;

use super::{StoreError, StoreErrorKind};

/// Policies of a [`super::Storage`].
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Attempts in all.
    pub attempts: u32,
    /// Attempts in all at bytes that are not what was promised: a damaged object stays damaged.
    pub attempts_if_corrupt: u32,
    /// Attempts in all while nothing has ever answered: an address that is wrong stays wrong, and a person waits.
    pub attempts_if_silent: u32,
    /// No attempt starts later than this after the first, likewise.
    pub total_if_silent: Duration,
    /// No attempt starts later than this after the first: temporary credentials that expired are reported while a person still
    /// looks, and a task's own time limit (15 minutes on Lambda) leaves room for a second try elsewhere.
    pub total: Duration,
    /// Upper end of the first pause, doubled by every further one.
    pub pause: Duration,
    /// The same after "slow down": a bucket that is over its rate needs time, not requests.
    pub pause_if_throttled: Duration,
    /// Upper end of any pause.
    pub longest_pause: Duration,
    /// Ranges nearer than this are read as one.
    pub gap: u64,
    /// Ranges are cut to pieces of at least this many bytes, and less than twice as many.
    pub piece: u64,
    /// Requests of one call under way at a time.
    pub width: usize,
    /// When slow reads are sent twice; never, where `None`.
    pub duplicate: Option<Duplicate>,
}

/// When a read is far past its expected time (Starling's model, AWS §1.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicate {
    /// Time to the first byte.
    pub latency: Duration,
    /// Bytes a second of this machine, shared by all reads under way.
    pub throughput: f64,
    /// A read is late after so many times its expected time …
    pub multiple: f64,
    /// … but not before this.
    pub earliest: Duration,
    /// One duplicate for so many reads in the long run: a line that is slow as a whole must not carry everything twice.
    pub one_in: u64,
    /// Duplicates that may be sent before those reads have been.
    pub ahead: u64,
}

impl Policy {
    /// For stores whose requests cost time and money.
    pub fn remote() -> Self {
        Self {
            // With the pauses below, 23 s of waiting in the mean, 46 s when throttled.
            attempts: 10,
            attempts_if_corrupt: 6,
            // Pauses of 0.75 s in the mean; of attempts that run into the limit of a connection, 5 s, two.
            attempts_if_silent: 5,
            total_if_silent: Duration::from_secs(10),
            total: Duration::from_secs(180),
            pause: Duration::from_millis(100),
            pause_if_throttled: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            // A request takes 15 ms before its first byte, 1 MiB takes 7 ms: reading over a gap is no slower than asking twice.
            gap: 1 << 20,
            // 8–16 MiB: the size AWS recommends; larger pieces gain nothing and lose more when one must be read again.
            piece: 8 << 20,
            // Enough to fill a 10 Gbit/s line at 80 MB/s a connection.
            width: 16,
            duplicate: Some(Duplicate {
                latency: Duration::from_millis(15),
                throughput: 150e6,
                multiple: 4.0,
                // Starling's slowest small reads took 0.25 s with duplicates; sooner, a duplicate rarely overtakes.
                earliest: Duration::from_millis(200),
                one_in: 20,
                ahead: 8,
            }),
        }
    }

    /// For folders and memory.
    pub fn local() -> Self {
        Self {
            attempts: 3,
            attempts_if_corrupt: 1,
            // A call to the file system costs microseconds: only what lies in the same read-ahead window is read together.
            gap: 64 << 10,
            piece: u64::MAX / 2,
            width: 1,
            duplicate: None,
            ..Self::remote()
        }
    }

    /// How long to wait before another attempt, if there is to be one: full jitter, so that a thousand workers that were
    /// throttled together do not come back together.
    ///
    /// `failed` attempts were made (1 after the first), `elapsed` since the first began; `fraction` is uniform in [0, 1).
    pub fn pause_after(
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
        let pause = |failed| policy.pause_after(&error, failed, Duration::ZERO, 0.5).unwrap().as_millis();
        assert_eq!(
            [pause(1), pause(2), pause(3), pause(8), pause(9), pause(60)],
            [50, 100, 200, 6400, 10_000, 10_000]
        );
    }

    #[test]
    fn throttled_requests_wait_longer() {
        let pause = Policy::remote().pause_after(&error(StoreErrorKind::Throttled), 1, Duration::ZERO, 1.0);
        assert_eq!(pause, Some(Duration::from_millis(500)));
    }

    #[test]
    fn attempts_and_total_time_are_bounded() {
        let policy = Policy::remote();
        let (lost, corrupt) = (error(StoreErrorKind::Unavailable), error(StoreErrorKind::Corrupt));
        assert!(policy.pause_after(&lost, 9, Duration::ZERO, 0.1).is_some());
        assert_eq!(policy.pause_after(&lost, 10, Duration::ZERO, 0.1), None);
        assert_eq!(policy.pause_after(&corrupt, 6, Duration::ZERO, 0.1), None);
        assert_eq!(policy.pause_after(&lost, 2, Duration::from_secs(180), 0.1), None);
    }

    #[test]
    fn what_never_answers_is_given_up_soon() {
        let policy = Policy::remote();
        let silent = error(StoreErrorKind::Unavailable).without_answer();
        assert!(policy.pause_after(&silent, 4, Duration::ZERO, 0.1).is_some());
        assert_eq!(policy.pause_after(&silent, 5, Duration::ZERO, 0.1), None);
        assert_eq!(policy.pause_after(&silent, 1, Duration::from_secs(20), 0.1), None);
    }

    #[test]
    fn what_another_attempt_cannot_mend_is_not_tried_again() {
        use StoreErrorKind::{Changed, Credentials, Denied, Exists, Full, NotFound, Other, Place};
        for kind in [NotFound, Exists, Changed, Denied, Credentials, Place, Full, Other] {
            assert_eq!(Policy::remote().pause_after(&error(kind), 1, Duration::ZERO, 0.0), None, "{kind:?}");
        }
    }
}
