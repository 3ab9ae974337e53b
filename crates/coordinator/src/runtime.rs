//! The runtime that a run on workers waits with.

use std::fmt;
use std::future::Future;

use stagger_model::error::Result;

/// The runtime that waits for the requests of a run: that of all requests, or one of a simulation, whose time is virtual.
pub enum Runtime {
    /// The runtime of this process.
    Shared,
    /// Another one.
    Own(tokio::runtime::Runtime),
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "Shared",
            Self::Own(_) => "Own",
        })
    }
}

impl Runtime {
    /// Waits for `work` and returns its result.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self {
            Self::Shared => stagger_storage::runtime()?.block_on(work),
            Self::Own(runtime) => runtime.block_on(work),
        }
    }
}
