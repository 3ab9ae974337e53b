//! Two controllers at a time: each has a thread and a clock of its own, and whoever is earlier in virtual time goes first.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Where each living process is in virtual time. A process goes on only while no other one is behind it, so that what they do to the
/// store has one order, whatever the machine's scheduler does.
#[derive(Debug, Default)]
pub(super) struct Turns {
    times: Mutex<BTreeMap<usize, Duration>>,
    moved: Condvar,
}

impl Turns {
    /// A process begins at a time.
    pub(super) fn enter(&self, process: usize, at: Duration) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).insert(process, at);
    }

    /// A process is at `now`, and may go on once the others are.
    pub(super) fn wait(&self, process: usize, now: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.insert(process, now) != Some(now) {
            self.moved.notify_all();
        }
        while times.iter().any(|(&other, &at)| other != process && (at, other) < (now, process)) {
            times = self.moved.wait(times).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A process has ended.
    pub(super) fn leave(&self, process: usize) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).remove(&process);
        self.moved.notify_all();
    }
}
