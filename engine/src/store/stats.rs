//! What a store was asked for, for the run's summary and its price.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since a [`super::Storage`] was made; its clones count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Reads sent, heads and duplicates included.
    pub gets: u64,
    /// Writes sent.
    pub puts: u64,
    /// Lists sent; one of over 1,000 keys is several requests, counted as one.
    pub lists: u64,
    /// Removals sent.
    pub deletes: u64,
    /// Bytes that reads brought, those between ranges included.
    pub bytes_read: u64,
    /// Bytes of the writes that succeeded.
    pub bytes_written: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Reads sent a second time because the first was late.
    pub duplicated_reads: u64,
    /// Answers that said to slow down.
    pub throttles: u64,
}

/// The same, counted.
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

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
