//! Hedged reads: the delay after which a read counts as late and is sent a second time. The delay follows Starling's
//! model, scaled by the latencies that this machine has seen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::policy::Hedging;

/// The weight of a new observation in the moving average of latencies.
const MEMORY: f64 = 0.125;

/// The expected durations of reads, and the budget of duplicates.
#[derive(Debug)]
pub(super) struct LatencyModel {
    model: Hedging,
    seen: Mutex<Seen>,
}

/// The observations so far.
#[derive(Debug)]
struct Seen {
    /// The moving average of observed over modelled durations: about 1 on a worker in the bucket's region, 50 over a
    /// home line.
    slowness: f64,
    /// The number of answered reads.
    reads: u64,
    /// The number of duplicates sent.
    duplicates: u64,
}

impl LatencyModel {
    pub(super) fn new(model: Hedging) -> Self {
        Self { model, seen: Mutex::new(Seen { slowness: 1.0, reads: 0, duplicates: 0 }) }
    }

    /// Returns the time after which a read of `bytes` bytes counts as late while `under_way` reads, itself included,
    /// are in flight.
    pub(super) fn late_after(&self, bytes: u64, under_way: u64) -> Duration {
        let slowness = self.seen().slowness;
        self.expected(bytes, under_way).mul_f64(slowness * self.model.multiple).max(self.model.earliest)
    }

    /// Records the duration of an answered read. A read counts at most as a late one, so that one outlier does not make
    /// the next reads look early.
    pub(super) fn record(&self, bytes: u64, under_way: u64, took: Duration) {
        let ratio = took.as_secs_f64() / self.expected(bytes, under_way).as_secs_f64();
        let mut seen = self.seen();
        let counted = ratio.min(seen.slowness * self.model.multiple);
        // The average never falls below the model: a read out of a nearby cache does not predict the next one.
        seen.slowness = (seen.slowness + MEMORY * (counted - seen.slowness)).max(1.0);
        seen.reads += 1;
    }

    /// Takes one duplicate out of the budget; returns `false` if the budget is exhausted.
    pub(super) fn take_duplicate(&self) -> bool {
        let mut seen = self.seen();
        let allowed = self.model.ahead + seen.reads / self.model.one_in.max(1);
        let room = seen.duplicates < allowed;
        seen.duplicates += u64::from(room);
        room
    }

    /// Returns the modelled duration l + b / (t / c), with l the latency, b the bytes, t the machine's throughput and c
    /// the reads in flight.
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

    fn expectation() -> LatencyModel {
        LatencyModel::new(Policy::remote().duplicate.unwrap())
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
            expectation.record(eight, 1, slow);
        }
        assert!((1..15).contains(&late), "{late}");
        assert!(expectation.late_after(eight, 1) > slow * 3);
    }

    #[test]
    fn duplicates_are_few() {
        let expectation = expectation();
        let first = (0..100).filter(|_| expectation.take_duplicate()).count();
        assert_eq!(first, 8);
        (0..60).for_each(|_| expectation.record(1000, 1, Duration::from_millis(15)));
        assert_eq!((0..100).filter(|_| expectation.take_duplicate()).count(), 3);
    }
}
