//! The wishes of the user about a run under way: stop, pause, go on, try again now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The wishes of the user about a run under way. Clones share one state: whoever catches Ctrl-C and the dashboard set it, the run
/// polls it.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<SignalState>);

#[derive(Debug, Default)]
struct SignalState {
    /// 1: start nothing more; 2: wait for nothing either.
    stop: AtomicU8,
    paused: AtomicBool,
    retry_now: AtomicBool,
}

impl Signal {
    /// Starts nothing more; a second time: waits for nothing either. Returns the level that is reached.
    pub fn stop(&self) -> u8 {
        self.0.stop.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Raises the level of [`Signal::stop`] to `level`, if it is lower: the wish came from another process.
    pub fn raise(&self, level: u8) {
        self.0.stop.fetch_max(level, Ordering::SeqCst);
    }

    /// Returns the level of the wish to stop: 0 for none, 1 to start nothing more, 2 or more to wait for nothing either.
    pub fn level(&self) -> u8 {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Returns true if the run is to stop.
    pub fn is_raised(&self) -> bool {
        self.level() > 0
    }

    /// Forgets every wish: the run is taken up again.
    pub fn clear(&self) {
        self.0.stop.store(0, Ordering::SeqCst);
        self.0.paused.store(false, Ordering::SeqCst);
    }

    /// Starts nothing until it is told to go on; tasks under way end. Returns true if the run is paused now.
    pub fn toggle_pause(&self) -> bool {
        !self.0.paused.fetch_xor(true, Ordering::SeqCst)
    }

    /// Returns true if the run is paused.
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::SeqCst)
    }

    /// Tries everything now that waits to be tried again.
    pub fn retry_now(&self) {
        self.0.retry_now.store(true, Ordering::SeqCst);
    }

    /// Returns true once after each [`Signal::retry_now`].
    pub fn takes_retry_now(&self) -> bool {
        self.0.retry_now.swap(false, Ordering::SeqCst)
    }
}
