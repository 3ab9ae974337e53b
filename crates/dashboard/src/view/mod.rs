//! What a run looks like: its events added up into what a person wants to know. No drawing, no clock, no terminal: the dashboard draws
//! it, the same from a live run, a journal or a recording.

mod cells;
mod errors;
mod forecast;
mod log;
mod memory;
mod rates;
mod stages;
mod tasks;
#[cfg(test)]
mod tests;

use stagger_model::events::{FunctionFacts, RunEvent, RunState, Summary};

pub use cells::{CellState, SpecView};
pub use errors::{ErrorGroup, Errors};
pub use forecast::Forecast;
pub use log::{Level, Line, Log, told};
pub use memory::{BINS, Memory, Peak};
pub use rates::{Rates, Second};
pub use stages::StageView;
pub use tasks::{Outcome, Span, Tasks};

/// Bytes of Lambda's megabyte.
const LAMBDA_MB: u64 = 1 << 20;

/// Where a run is, for a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// No event has come.
    #[default]
    Waiting,
    /// Under way.
    Running,
    /// It has its result.
    Finished,
    /// It ended before.
    Stopped { reason: String, resumable: bool },
}

impl Phase {
    /// Whether nothing more will happen by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Stopped { .. })
    }
}

/// A run, as far as its events tell.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// Its name.
    pub name: String,
    pub phase: Phase,
    /// First and last event, seconds since 1970.
    pub begun: Option<f64>,
    pub last: f64,
    /// `threads` or `lambda`; empty for a run of one process.
    pub backend: String,
    pub functions: Vec<FunctionFacts>,
    /// Tasks at a time, at most.
    pub concurrency: usize,
    /// Controllers that have taken the run.
    pub controllers: usize,
    /// Files, rows, bytes of the input.
    pub input: (usize, u64, u64),
    pub specs: Vec<SpecView>,
    pub stages: Vec<StageView>,
    pub tasks: Tasks,
    pub memory: Memory,
    pub rates: Rates,
    pub errors: Errors,
    pub log: Log,
    /// Dollars, attempts, failures: what the controller says.
    pub summary: Summary,
}

impl RunView {
    /// A run of this name that nothing is known of.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Seconds since the first event.
    pub fn elapsed(&self, now: f64) -> f64 {
        let end = if self.phase.is_over() { self.last } else { now.max(self.last) };
        self.begun.map_or(0.0, |begun| (end - begun).max(0.0))
    }

    /// The stage under way, or the last one.
    pub fn stage(&self) -> Option<&StageView> {
        self.stages.last()
    }

    /// What is left, by what was.
    pub fn forecast(&self, now: f64) -> Forecast {
        Forecast::of(self, now)
    }

    /// Takes an event of this moment.
    pub fn update(&mut self, at: f64, event: &RunEvent) {
        self.begun.get_or_insert(at);
        self.last = self.last.max(at);
        if self.phase == Phase::Waiting {
            self.phase = Phase::Running;
        }
        self.log.event(at, event);
        match event {
            RunEvent::Opened { .. } => self.opened(at),
            RunEvent::Workers { backend, functions, concurrency } => {
                (self.backend, self.functions, self.concurrency) =
                    (backend.clone(), functions.clone(), *concurrency);
            }
            RunEvent::InputFound { files, rows, bytes } => self.input = (*files, *rows, *bytes),
            RunEvent::Planned { specs } => {
                // A run that is taken up tells again what it had told.
                if !self.specs.iter().map(|own| &own.outline).eq(specs) {
                    self.specs = specs.iter().map(SpecView::new).collect();
                }
            }
            RunEvent::StageStarted { number, stage, tasks, .. } => {
                self.stages.push(StageView::new(*number, stage, *tasks, at));
                self.specs.iter_mut().for_each(SpecView::begins);
            }
            RunEvent::Invoked { attempt, task, number, function, backup } => {
                let stage = self.stages.len().saturating_sub(1);
                self.tasks.begins(at, *attempt, (stage, task, function), *number > 1, *backup);
                self.rates.under_way(at, self.tasks.under_way());
                if let Some(stage) = self.stages.last_mut() {
                    stage.invoked(*number > 1, *backup);
                }
            }
            RunEvent::Done(done) => {
                let task = self.tasks.ends(at, done.attempt, Outcome::Done);
                if let Some(stage) = self.stages.last_mut() {
                    stage.done(done, task.as_ref().map(|task| task.task.as_str()));
                }
                self.rates.done(at, done, self.tasks.under_way());
                if let Some(span) = task {
                    let limit = self.limit(&span.function);
                    self.memory.add(&span.task, &span.function, done.peak_memory, limit);
                }
            }
            RunEvent::Failed { attempt, class, .. } => {
                let task = self.tasks.ends(at, *attempt, Outcome::Failed(*class));
                if let Some(stage) = self.stages.last_mut() {
                    stage.failed(*class);
                }
                self.rates.failed(at, *class, self.tasks.under_way());
                let stage = self.stages.last().map_or("", |stage| stage.name.as_str());
                self.errors.add(at, event, stage, task.as_ref().map_or("", |task| &task.task));
            }
            RunEvent::StageDone { seconds, .. } => {
                if let Some(stage) = self.stages.last_mut() {
                    stage.ends(at, *seconds);
                }
            }
            RunEvent::Logits { spec, round, active, converged, failed } => {
                if let Some(own) = self.specs.get_mut(*spec) {
                    own.logits.push([*round, *active, *converged, *failed]);
                }
            }
            RunEvent::Solved { spec, att } => {
                if let Some(own) = self.specs.get_mut(*spec) {
                    own.solved(att);
                }
            }
            RunEvent::Estimated(found) => {
                if let Some(own) = self.specs.get_mut(found.spec) {
                    own.estimated(found);
                }
            }
            RunEvent::Summary(summary) => self.summarised(summary),
            RunEvent::Stopped { reason, hint, resumable } => {
                if !resumable {
                    self.errors.stopped(at, reason, hint.as_deref());
                }
                self.phase = Phase::Stopped { reason: reason.clone(), resumable: *resumable };
                self.tasks.abandon(at);
                self.rates.under_way(at, 0);
            }
            RunEvent::Finished => {
                self.phase = Phase::Finished;
                self.tasks.abandon(at);
                self.rates.under_way(at, 0);
            }
            RunEvent::State { .. } | RunEvent::Note { .. } | RunEvent::Warning { .. } | RunEvent::Unknown => {
            }
        }
    }

    /// A controller has taken the run: what an earlier one had under way is lost to it.
    fn opened(&mut self, at: f64) {
        self.controllers += 1;
        self.phase = Phase::Running;
        self.tasks.abandon(at);
        if let Some(stage) = self.stages.last_mut().filter(|stage| stage.seconds.is_none()) {
            stage.left = true;
        }
    }

    fn summarised(&mut self, summary: &Summary) {
        self.rates.dollars(self.last, summary.cost.spent);
        self.summary = summary.clone();
        let ended = match summary.state {
            RunState::Running => return,
            RunState::Finished => Phase::Finished,
            RunState::Stopped | RunState::Failed => {
                Phase::Stopped { reason: String::new(), resumable: summary.state == RunState::Stopped }
            }
        };
        if !self.phase.is_over() {
            self.phase = ended;
        }
    }

    /// The memory of a function, bytes; 0 where it is not known.
    fn limit(&self, function: &str) -> u64 {
        let named = self.functions.iter().find(|known| known.name == function);
        named.map_or(0, |known| u64::from(known.memory_mb) * LAMBDA_MB)
    }

    /// Attempts, failures and attempts that were turned away: the controller's count, or ours where it has told none.
    pub fn attempts(&self) -> (u64, u64, u64) {
        let own = self.stages.iter().fold((0, 0, 0), |(a, f, t), stage| {
            (a + stage.attempts, f + stage.failures, t + stage.throttled)
        });
        let told = (self.summary.attempts, self.summary.failures, self.summary.throttled);
        (own.0.max(told.0), own.1.max(told.1), own.2.max(told.2))
    }
}
