//! The counts of a run over all its controllers, and the bill of this process's own requests.

use stagger_model::cost::UnitPrices;
use stagger_model::error::FailureClass;
use stagger_model::events::Summary;
use stagger_storage::StoreStats;

/// Counts of a run, earlier controllers included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accounts {
    /// Attempts that were started.
    pub(super) attempts: u64,
    /// Attempts that failed, but for those that were turned away, and sums that were damaged.
    pub(super) failures: u64,
    /// Attempts that were turned away.
    pub(super) throttled: u64,
    /// Bytes that workers read.
    pub(super) bytes_read: u64,
    /// Requests of this process that the bill has already.
    billed: StoreStats,
}

impl Accounts {
    /// Goes on counting where an earlier controller was.
    pub(super) fn continue_from(&mut self, last: &Summary) {
        (self.attempts, self.failures, self.bytes_read) = (last.attempts, last.failures, last.bytes_read);
        self.throttled = last.throttled;
    }

    /// Counts the failure of an attempt.
    pub(super) fn count_failure(&mut self, class: FailureClass) {
        match class {
            FailureClass::Throttled => self.throttled += 1,
            _ => self.failures += 1,
        }
    }

    /// Returns the dollars of this process's requests since the last call; `now` counts all of them.
    pub(super) fn bill_requests(&mut self, now: StoreStats, rates: &UnitPrices) -> f64 {
        let gets = now.gets - self.billed.gets;
        let puts = now.puts + now.lists - self.billed.puts - self.billed.lists;
        self.billed = now;
        gets as f64 * rates.get + puts as f64 * rates.put
    }
}
