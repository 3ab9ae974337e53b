//! The view of a run: its events added up into what a person wants to know. No drawing, no clock, no terminal: the dashboard draws
//! it, the same from a live run, a journal or a recording.

mod cells;
mod errors;
mod forecast;
mod log;
mod memory;
mod phase;
mod rates;
mod stages;
mod tasks;
#[cfg(test)]
mod tests;

use stagger_model::events::{FunctionFacts, RunEvent, RunState, Summary};

pub use cells::{CellState, SpecView};
pub use errors::{ErrorGroup, Errors};
pub use forecast::Remaining;
pub use log::{Level, Line, Log, message};
pub use memory::{BINS, Memory, Peak};
pub use phase::{Progress, RunPhase};
pub use rates::{Rates, Second};
pub use stages::{Attempts, StageView, Work};
pub use tasks::{AttemptLanes, AttemptSpan, Outcome};

/// Bytes of Lambda's megabyte.
const LAMBDA_MB: u64 = 1 << 20;

/// A run, as far as its events tell.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// The name of the run.
    pub name: String,
    /// The state of the run, with its first and last time.
    pub progress: Progress,
    /// The workers of the run.
    pub workers: Workers,
    /// The input of the run.
    pub input: Input,
    /// The specifications, in their order.
    pub specs: Vec<SpecView>,
    /// The stages so far, the one under way last.
    pub stages: Vec<StageView>,
    /// The attempts.
    pub tasks: AttemptLanes,
    /// The memory that attempts took.
    pub memory: Memory,
    /// The work of each second.
    pub rates: Rates,
    /// The failures by cause.
    pub errors: Errors,
    /// The last lines for a reader.
    pub log: Log,
    /// Dollars, attempts and failures as the controller counts them.
    pub summary: Summary,
}

/// The workers of a run.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    /// `threads`, `lambda`, `queue` or `both`; empty for a run of one process.
    pub backend: String,
    /// The functions, by ascending memory.
    pub functions: Vec<FunctionFacts>,
    /// The most tasks at a time.
    pub concurrency: usize,
    /// The number of controllers that have taken the run.
    pub controllers: usize,
}

impl Workers {
    /// Returns the memory of a function in bytes; 0 where it is not known.
    fn memory(&self, function: &str) -> u64 {
        let named = self.functions.iter().find(|known| known.name == function);
        named.map_or(0, |known| u64::from(known.memory_mb) * LAMBDA_MB)
    }
}

/// The size of a run's input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input {
    /// The number of files.
    pub files: usize,
    /// The rows of all files.
    pub rows: u64,
}

impl RunView {
    /// A run of this name that nothing is known of.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Returns the seconds since the first event.
    pub fn elapsed(&self, now: f64) -> f64 {
        self.progress.elapsed(now)
    }

    /// The stage under way, or the last one.
    pub fn stage(&self) -> Option<&StageView> {
        self.stages.last()
    }

    /// Returns the forecast of the rest of the run.
    pub fn forecast(&self, now: f64) -> Remaining {
        Remaining::of(self, now)
    }

    /// Takes an event of the time `at`, in seconds since 1970.
    pub fn update(&mut self, at: f64, event: &RunEvent) {
        self.progress.touch(at);
        self.log.add(at, event);
        match event {
            RunEvent::Opened { .. } => self.opened(at),
            RunEvent::Workers { backend, functions, concurrency } => {
                let controllers = self.workers.controllers;
                let (backend, functions, concurrency) = (backend.clone(), functions.clone(), *concurrency);
                self.workers = Workers { backend, functions, concurrency, controllers };
            }
            RunEvent::InputFound { files, rows, .. } => self.input = Input { files: *files, rows: *rows },
            RunEvent::StageStarted { number, stage, tasks, .. } => {
                self.stages.push(StageView::new(*number, stage, *tasks, at));
                self.specs.iter_mut().for_each(SpecView::begin);
            }
            RunEvent::StageDone { seconds, .. } => {
                if let Some(stage) = self.stages.last_mut() {
                    stage.end(at, *seconds);
                }
            }
            RunEvent::Invoked { .. } | RunEvent::Done(_) | RunEvent::Failed { .. } => self.attempt(at, event),
            RunEvent::Planned { .. } | RunEvent::Logits { .. } => self.estimates(event),
            RunEvent::Solved { .. } | RunEvent::Estimated(_) => self.estimates(event),
            RunEvent::Summary(summary) => self.summarised(summary),
            RunEvent::Stopped { reason, hint, resumable } => {
                if !resumable {
                    self.errors.add_stop(at, reason, hint.as_deref());
                }
                self.ended(at, RunPhase::Stopped { reason: reason.clone(), resumable: *resumable });
            }
            RunEvent::Finished => self.ended(at, RunPhase::Finished),
            RunEvent::State { .. } | RunEvent::Note { .. } | RunEvent::Warning { .. } | RunEvent::Unknown => {
            }
        }
    }

    /// Takes the beginning or the end of an attempt.
    fn attempt(&mut self, at: f64, event: &RunEvent) {
        match event {
            RunEvent::Invoked { attempt, task, number, function, backup } => {
                let stage = self.stages.len().saturating_sub(1);
                self.tasks.begin(at, *attempt, (stage, task, function), *number > 1, *backup);
                self.rates.set_running(at, self.tasks.under_way());
                if let Some(stage) = self.stages.last_mut() {
                    stage.add_attempt(*number > 1, *backup);
                }
            }
            RunEvent::Done(done) => {
                let task = self.tasks.end(at, done.attempt, Outcome::Done);
                if let Some(stage) = self.stages.last_mut() {
                    stage.add_done(done, task.as_ref().map(|task| task.task.as_str()));
                }
                self.rates.add_done(at, done, self.tasks.under_way());
                if let Some(span) = task {
                    let limit = self.workers.memory(&span.function);
                    self.memory.add(&span.task, &span.function, done.peak_memory, limit);
                }
            }
            RunEvent::Failed { attempt, class, .. } => {
                let task = self.tasks.end(at, *attempt, Outcome::Failed(*class));
                if let Some(stage) = self.stages.last_mut() {
                    stage.add_failure(*class);
                }
                self.rates.add_failure(at, *class, self.tasks.under_way());
                let stage = self.stages.last().map_or("", |stage| stage.name.as_str());
                self.errors.add(at, event, stage, task.as_ref().map_or("", |task| &task.task));
            }
            _ => {}
        }
    }

    /// Takes what is known of the specifications: their cells, and the estimates of these.
    fn estimates(&mut self, event: &RunEvent) {
        match event {
            // A run that is taken up tells again what it had told.
            RunEvent::Planned { specs } if !self.specs.iter().map(|own| &own.outline).eq(specs) => {
                self.specs = specs.iter().map(SpecView::new).collect();
            }
            RunEvent::Logits { spec, round, active, converged, failed } => {
                if let Some(own) = self.specs.get_mut(*spec) {
                    own.logits.push([*round, *active, *converged, *failed]);
                }
            }
            RunEvent::Solved { spec, att } => {
                if let Some(own) = self.specs.get_mut(*spec) {
                    own.set_point_estimates(att);
                }
            }
            RunEvent::Estimated(found) => {
                if let Some(own) = self.specs.get_mut(found.spec) {
                    own.set_estimates(found);
                }
            }
            _ => {}
        }
    }

    /// Takes the end of the run: no attempt will be heard of again.
    fn ended(&mut self, at: f64, phase: RunPhase) {
        self.progress.phase = phase;
        self.tasks.abandon_running(at);
        self.rates.set_running(at, 0);
    }

    /// A controller has taken the run: what an earlier one had under way is lost to it.
    fn opened(&mut self, at: f64) {
        self.workers.controllers += 1;
        self.progress.phase = RunPhase::Running;
        self.tasks.abandon_running(at);
        if let Some(stage) = self.stages.last_mut().filter(|stage| stage.seconds.is_none()) {
            stage.left = true;
        }
    }

    fn summarised(&mut self, summary: &Summary) {
        self.rates.set_dollars(self.progress.last, summary.cost.spent);
        self.summary = summary.clone();
        let ended = match summary.state {
            RunState::Running => return,
            RunState::Finished => RunPhase::Finished,
            RunState::Stopped | RunState::Failed => {
                RunPhase::Stopped { reason: String::new(), resumable: summary.state == RunState::Stopped }
            }
        };
        if !self.progress.phase.is_over() {
            self.progress.phase = ended;
        }
    }

    /// Attempts, failures and attempts that were turned away: the controller's count, or ours where it has told none.
    pub fn attempts(&self) -> (u64, u64, u64) {
        let own = self.stages.iter().fold((0, 0, 0), |(a, f, t), stage| {
            (a + stage.attempts.all, f + stage.attempts.failures, t + stage.attempts.throttled)
        });
        let told = (self.summary.attempts, self.summary.failures, self.summary.throttled);
        (own.0.max(told.0), own.1.max(told.1), own.2.max(told.2))
    }
}
