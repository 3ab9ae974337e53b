//! The surroundings of a session.

use std::fmt;
use std::sync::Arc;

use stagger_estimation::kernel::KernelKind;
use stagger_model::signal::Signal;
use stagger_storage::open::OpenStorage;
use stagger_storage::{Clock, Storage, SystemClock};

use super::invoker::Invoker;
use super::runtime::Runtime;

/// The surroundings of a session: workers, clock, storage, the user.
#[derive(Clone)]
pub struct Settings {
    /// Carrier of tasks to workers.
    pub invoker: Arc<dyn Invoker>,
    /// Clock and random numbers.
    pub clock: Arc<dyn Clock>,
    /// The runtime that waits for requests.
    pub runtime: Arc<Runtime>,
    /// Opens storage by its address.
    pub open: OpenStorage,
    /// Wishes of the user.
    pub signal: Signal,
    /// Kind of processor whose bits are wanted, where it matters.
    pub kind: Option<KernelKind>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("invoker", &self.invoker).finish_non_exhaustive()
    }
}

impl Settings {
    /// Returns settings with the machine's clock and storage.
    pub fn new(invoker: Arc<dyn Invoker>) -> Self {
        Self {
            invoker,
            clock: Arc::new(SystemClock::new(true)),
            runtime: Arc::new(Runtime::Shared),
            open: Arc::new(Storage::open),
            signal: Signal::default(),
            kind: None,
        }
    }
}
