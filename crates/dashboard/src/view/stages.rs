//! A stage: how far it is, what its workers' time went into.

use stagger_model::error::FailureClass;
use stagger_model::events::{Phases, TaskDone};

/// One stage.
#[derive(Clone, Debug, Default)]
pub struct StageView {
    pub number: u64,
    pub name: String,
    pub done: usize,
    pub tasks: usize,
    pub begun: f64,
    /// Wall seconds, once it is done.
    pub seconds: Option<f64>,
    /// A controller left it before it was done.
    pub left: bool,
    pub attempts: u64,
    pub again: u64,
    pub backups: u64,
    pub failures: u64,
    pub throttled: u64,
    pub rows: u64,
    pub bytes_read: u64,
    /// Seconds of all workers.
    pub phases: Phases,
    /// Seconds that attempts took beyond what their workers tell: on the way, starting, waiting.
    pub wait: f64,
    /// The slowest task and its seconds.
    pub worst: Option<(String, f64)>,
}

impl StageView {
    pub(super) fn new(number: u64, name: &str, tasks: usize, at: f64) -> Self {
        Self { number, name: name.to_owned(), tasks, begun: at, ..Self::default() }
    }

    pub(super) fn invoked(&mut self, again: bool, backup: bool) {
        self.attempts += 1;
        self.again += u64::from(again && !backup);
        self.backups += u64::from(backup);
    }

    pub(super) fn done(&mut self, facts: &TaskDone, task: Option<&str>) {
        if facts.tasks > 0 {
            (self.done, self.tasks) = (facts.done, facts.tasks);
        } else {
            self.done = (self.done + 1).min(self.tasks);
        }
        self.rows += facts.rows;
        self.bytes_read += facts.bytes_read;
        let Phases { open, read, compute, write } = facts.seconds;
        self.phases.open += open;
        self.phases.read += read;
        self.phases.compute += compute;
        self.phases.write += write;
        self.wait += (facts.took - open - read - compute - write).max(0.0);
        if let Some(task) = task.filter(|_| self.worst.as_ref().is_none_or(|(_, took)| facts.took > *took)) {
            self.worst = Some((task.to_owned(), facts.took));
        }
    }

    pub(super) fn failed(&mut self, class: FailureClass) {
        match class {
            FailureClass::Throttled => self.throttled += 1,
            _ => self.failures += 1,
        }
    }

    pub(super) fn ends(&mut self, at: f64, seconds: f64) {
        self.done = self.tasks;
        self.seconds = Some(seconds);
        self.begun = self.begun.min(at);
    }

    /// Share of its tasks that are done.
    pub fn share(&self) -> f64 {
        if self.seconds.is_some() {
            return 1.0;
        }
        self.done as f64 / self.tasks.max(1) as f64
    }

    /// Seconds so far.
    pub fn elapsed(&self, now: f64) -> f64 {
        self.seconds.unwrap_or((now - self.begun).max(0.0))
    }

    /// Worker seconds by what they went into: opening, reading, computing, writing, waiting.
    pub fn profile(&self) -> [f64; 5] {
        let Phases { open, read, compute, write } = self.phases;
        [open, read, compute, write, self.wait]
    }
}
