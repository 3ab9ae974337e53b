//! The time that a source's readers take, over all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time so far, by what the threads of the readers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadTimes {
    /// Waiting for bytes of local files and of S3.
    pub read: Duration,
    /// Decompressing and decoding; of CSV files reading, too.
    pub decode: Duration,
    /// Work of the callers on decoded batches.
    pub use_rows: Duration,
}

impl ReadTimes {
    /// Returns the time since an earlier state.
    pub fn since(self, before: Self) -> Self {
        Self {
            read: self.read.saturating_sub(before.read),
            decode: self.decode.saturating_sub(before.decode),
            use_rows: self.use_rows.saturating_sub(before.use_rows),
        }
    }
}

/// Adds up times of several threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Runs `work` and adds the time that it takes.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let out = work();
        self.add(begin.elapsed());
        out
    }

    pub(crate) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The clocks of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadClocks {
    pub(crate) read: Clock,
    /// Whole calls, with reading and with the callers' work.
    pub(crate) calls: Clock,
    pub(crate) use_rows: Clock,
}

impl ReadClocks {
    pub(crate) fn times(&self) -> ReadTimes {
        let (read, use_rows) = (self.read.total(), self.use_rows.total());
        ReadTimes { read, decode: self.calls.total().saturating_sub(read + use_rows), use_rows }
    }
}
