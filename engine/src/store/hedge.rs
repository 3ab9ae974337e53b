//! When a read is so late that a second one is sent: Starling's model, scaled by what this machine has seen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::policy::Duplicate;

/// Weight of a new read in what is remembered of the old ones.
const MEMORY: f64 = 0.125;

/// Expected times of reads, and the budget of duplicates.
#[derive(Debug)]
pub(super) struct Expectation {
    model: Duplicate,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Times that reads took, over those of the model: 1 on a worker in the bucket's region, 50 over a home's line.
    slowness: f64,
    reads: u64,
    duplicates: u64,
}

impl Expectation {
    pub(super) fn new(model: Duplicate) -> Self {
        Self { model, seen: Mutex::new(Seen { slowness: 1.0, reads: 0, duplicates: 0 }) }
    }

    /// How long to wait for a read of so many bytes, with so many under way (itself included), before it counts as late.
    pub(super) fn late_after(&self, bytes: u64, under_way: u64) -> Duration {
        let slowness = self.seen().slowness;
        self.expected(bytes, under_way).mul_f64(slowness * self.model.multiple).max(self.model.earliest)
    }

    /// Notes a read that was answered. One outlier must not make the next ones look early, so a read counts at most as a late
    /// one.
    pub(super) fn note(&self, bytes: u64, under_way: u64, took: Duration) {
        let ratio = took.as_secs_f64() / self.expected(bytes, under_way).as_secs_f64();
        let mut seen = self.seen();
        let counted = ratio.min(seen.slowness * self.model.multiple);
        // Never below the model: a read out of a nearby cache says nothing of the next one.
        seen.slowness = (seen.slowness + MEMORY * (counted - seen.slowness)).max(1.0);
        seen.reads += 1;
    }

    /// Whether the budget has room for a duplicate; takes it if so.
    pub(super) fn take_duplicate(&self) -> bool {
        let mut seen = self.seen();
        let allowed = self.model.ahead + seen.reads / self.model.one_in.max(1);
        let room = seen.duplicates < allowed;
        seen.duplicates += u64::from(room);
        room
    }

    /// l + b / (t / c): latency, bytes, the machine's throughput shared by the reads under way.
    fn expected(&self, bytes: u64, under_way: u64) -> Duration {
        let shared = self.model.throughput / under_way.max(1) as f64;
        self.model.latency + Duration::from_secs_f64(bytes as f64 / shared)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::*;

    fn expectation() -> Expectation {
        Expectation::new(Policy::remote().duplicate.unwrap())
    }

    #[test]
    fn small_reads_are_late_after_the_earliest_and_large_ones_by_size() {
        let expectation = expectation();
        assert_eq!(expectation.late_after(1000, 1), Duration::from_millis(200));
        // 4 · (15 ms + 15 MB · 10 / 150 MB/s)
        assert_eq!(expectation.late_after(15_000_000, 10), Duration::from_millis(4060));
    }

    #[test]
    fn a_slow_line_is_learned() {
        let expectation = expectation();
        let eight = 8 << 20;
        let slow = Duration::from_secs(4);
        let mut late = 0;
        for _ in 0..40 {
            late += u32::from(expectation.late_after(eight, 1) < slow);
            expectation.note(eight, 1, slow);
        }
        assert!((1..15).contains(&late), "{late}");
        assert!(expectation.late_after(eight, 1) > slow * 3);
    }

    #[test]
    fn duplicates_are_few() {
        let expectation = expectation();
        let first = (0..100).filter(|_| expectation.take_duplicate()).count();
        assert_eq!(first, 8);
        (0..60).for_each(|_| expectation.note(1000, 1, Duration::from_millis(15)));
        assert_eq!((0..100).filter(|_| expectation.take_duplicate()).count(), 3);
    }
}
