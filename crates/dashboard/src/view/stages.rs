//! A stage: how far it is, what its workers' time went into.

use stagger_model::error::FailureClass;
use stagger_model::events::{PhaseSeconds, TaskDone};

/// The view of one stage.
#[derive(Clone, Debug, Default)]
pub struct StageView {
    /// The number of the stage in the run.
    pub number: u64,
    /// The name of the stage, such as `gram` or `moments + influence`.
    pub name: String,
    /// The tasks that are done.
    pub done: usize,
    /// The tasks of the stage.
    pub tasks: usize,
    /// The time at which the stage began, in seconds since 1970.
    pub begun: f64,
    /// Wall seconds, once the stage is done.
    pub seconds: Option<f64>,
    /// A controller left the stage before it was done.
    pub left: bool,
    /// The attempts at its tasks.
    pub attempts: Attempts,
    /// The work of the attempts that ended well.
    pub work: Work,
}

/// The number of attempts of a stage, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// All attempts.
    pub all: u64,
    /// Attempts at a task that had failed before.
    pub again: u64,
    /// Attempts at a task while another one was under way.
    pub backups: u64,
    /// Attempts that failed, except those that were turned away.
    pub failures: u64,
    /// Attempts that were turned away, as too many ran.
    pub throttled: u64,
}

/// The work of the workers of a stage.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The rows that were read.
    pub rows: u64,
    /// The bytes that were read.
    pub bytes_read: u64,
    /// Seconds of all workers by what they went into.
    pub phases: PhaseSeconds,
    /// Seconds that attempts took beyond what their workers tell: on the way, starting, waiting.
    pub wait: f64,
    /// The slowest task and its seconds.
    pub worst: Option<(String, f64)>,
}

impl StageView {
    pub(super) fn new(number: u64, name: &str, tasks: usize, at: f64) -> Self {
        Self { number, name: name.to_owned(), tasks, begun: at, ..Self::default() }
    }

    pub(super) fn add_attempt(&mut self, again: bool, backup: bool) {
        self.attempts.all += 1;
        self.attempts.again += u64::from(again && !backup);
        self.attempts.backups += u64::from(backup);
    }

    pub(super) fn add_done(&mut self, facts: &TaskDone, task: Option<&str>) {
        if facts.tasks > 0 {
            (self.done, self.tasks) = (facts.done, facts.tasks);
        } else {
            self.done = (self.done + 1).min(self.tasks);
        }
        self.work.rows += facts.rows;
        self.work.bytes_read += facts.bytes_read;
        let PhaseSeconds { open, read, compute, write } = facts.seconds;
        self.work.phases.open += open;
        self.work.phases.read += read;
        self.work.phases.compute += compute;
        self.work.phases.write += write;
        self.work.wait += (facts.took - open - read - compute - write).max(0.0);
        if let Some(task) =
            task.filter(|_| self.work.worst.as_ref().is_none_or(|(_, took)| facts.took > *took))
        {
            self.work.worst = Some((task.to_owned(), facts.took));
        }
    }

    pub(super) fn add_failure(&mut self, class: FailureClass) {
        match class {
            FailureClass::Throttled => self.attempts.throttled += 1,
            _ => self.attempts.failures += 1,
        }
    }

    pub(super) fn end(&mut self, at: f64, seconds: f64) {
        self.done = self.tasks;
        self.seconds = Some(seconds);
        self.begun = self.begun.min(at);
    }

    /// Returns the share of its tasks that are done, from 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.seconds.is_some() {
            return 1.0;
        }
        self.done as f64 / self.tasks.max(1) as f64
    }

    /// Returns the seconds that the stage took, or has taken until `now`.
    pub fn elapsed(&self, now: f64) -> f64 {
        self.seconds.unwrap_or((now - self.begun).max(0.0))
    }

    /// Returns worker seconds by what they went into: opening, reading, computing, writing, waiting.
    pub fn profile(&self) -> [f64; 5] {
        let PhaseSeconds { open, read, compute, write } = self.work.phases;
        [open, read, compute, write, self.work.wait]
    }
}
