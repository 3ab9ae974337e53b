//! The attempts under way.

use std::collections::BTreeMap;
use std::time::Duration;

/// An attempt under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Stage that it belongs to.
    pub(super) stage: u64,
    pub(super) task: usize,
    pub(super) begun: Duration,
    /// Dollars that it may cost.
    pub(super) most: f64,
    pub(super) backup: bool,
    /// On the pool beside functions.
    pub(super) pool: bool,
    /// On any pool.
    pub(super) queued: bool,
    /// Time when a worker took it: one of a queue, which it may wait in for long, is late from then on.
    pub(super) taken: Option<Duration>,
}

/// The attempts under way, in order of their start.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    under_way: BTreeMap<u64, Attempt>,
    next: u64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { under_way: BTreeMap::new(), next: 1 }
    }
}

impl Attempts {
    /// Numbers attempts from here.
    pub(super) fn number_from(&mut self, attempt: u64) {
        self.next = attempt;
    }

    /// Adds an attempt and returns its number.
    pub(super) fn add(&mut self, attempt: Attempt) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, attempt);
        number
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Attempt> {
        self.under_way.remove(&number)
    }

    /// Notes that a worker has taken the task of an attempt from a queue.
    pub(super) fn take(&mut self, number: u64, now: Duration) {
        if let Some(attempt) = self.under_way.get_mut(&number) {
            attempt.taken.get_or_insert(now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Returns the number of attempts that count against the limit of attempts at a time: those beside the pool.
    pub(super) fn busy(&self) -> usize {
        self.under_way.values().filter(|attempt| !attempt.pool).count()
    }

    pub(super) fn of_stage(&self, stage: u64) -> impl Iterator<Item = &Attempt> {
        self.under_way.values().filter(move |attempt| attempt.stage == stage)
    }
}
