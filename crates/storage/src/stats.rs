//! Counts of a store's requests, for the run's summary and its cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts since a [`super::Storage`] was made; its clones count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The number of reads sent, heads and duplicates included.
    pub gets: u64,
    /// The number of writes sent.
    pub puts: u64,
    /// The number of lists sent. A list of over 1,000 keys takes several requests, but counts as one.
    pub lists: u64,
    /// The number of removals sent.
    pub deletes: u64,
    /// The bytes that reads brought, including those between merged ranges.
    pub bytes_read: u64,
    /// The bytes of the writes that succeeded.
    pub bytes_written: u64,
    /// The number of attempts after the first.
    pub retries: u64,
    /// The number of reads sent a second time because the first was late.
    pub duplicated_reads: u64,
    /// The number of throttled requests.
    pub throttles: u64,
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) gets: AtomicU64,
    pub(super) puts: AtomicU64,
    pub(super) lists: AtomicU64,
    pub(super) deletes: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) duplicated_reads: AtomicU64,
    pub(super) throttles: AtomicU64,
}

impl Counters {
    /// Returns the present counts.
    pub(super) fn snapshot(&self) -> StoreStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            gets: of(&self.gets),
            puts: of(&self.puts),
            lists: of(&self.lists),
            deletes: of(&self.deletes),
            bytes_read: of(&self.bytes_read),
            bytes_written: of(&self.bytes_written),
            retries: of(&self.retries),
            duplicated_reads: of(&self.duplicated_reads),
            throttles: of(&self.throttles),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
