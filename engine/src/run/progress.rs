//! Tells who listens where a run in this process is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::StageFacts;
use crate::error::Result;
use crate::events::{Observer, RunEvent, TaskDone};
use crate::worker::protocol::Phases;

/// Where a run is: stages so far, and who listens.
pub(crate) struct Progress<'a> {
    pub(crate) observer: Observer<'a>,
    pub(crate) stages: Vec<StageFacts>,
    /// Stages that somebody else has told of.
    before: u64,
    /// Tasks of all stages so far.
    attempts: u64,
}

impl<'a> Progress<'a> {
    /// Nothing is done yet.
    pub(crate) fn new(observer: Observer<'a>) -> Self {
        Self::after(observer, 0)
    }

    /// So many stages were done elsewhere.
    pub(crate) fn after(observer: Observer<'a>, before: u64) -> Self {
        Self { observer, stages: Vec::new(), before, attempts: 0 }
    }

    /// Runs one stage and records its time.
    pub(crate) fn stage<T>(
        &mut self,
        name: &str,
        tasks: usize,
        work: impl FnOnce(&Watch<'_>) -> Result<T>,
    ) -> Result<T> {
        let number = self.before + self.stages.len() as u64 + 1;
        (self.observer)(&RunEvent::StageStarted { number, stage: name.to_owned(), tasks, object: None });
        let begin = Instant::now();
        let watch =
            Watch { observer: self.observer, first: self.attempts + 1, tasks, done: AtomicUsize::new(0) };
        let out = work(&watch)?;
        self.attempts += tasks as u64;
        let seconds = begin.elapsed().as_secs_f64();
        self.stages.push(StageFacts { stage: name.to_owned(), tasks, seconds });
        (self.observer)(&RunEvent::StageDone { number, stage: name.to_owned(), seconds });
        Ok(out)
    }
}

/// A stage under way, for the threads that do its tasks.
pub(crate) struct Watch<'a> {
    observer: Observer<'a>,
    /// Number of the first task, over the run.
    first: u64,
    tasks: usize,
    done: AtomicUsize,
}

impl Watch<'_> {
    /// Does the task of this index; `work` returns its result and the rows it went through.
    pub(crate) fn task<T>(
        &self,
        index: usize,
        name: String,
        work: impl FnOnce() -> Result<(T, u64)>,
    ) -> Result<T> {
        let attempt = self.first + index as u64;
        (self.observer)(&RunEvent::Invoked {
            attempt,
            task: name,
            number: 1,
            function: String::new(),
            backup: false,
        });
        let begin = Instant::now();
        let (out, rows) = work()?;
        self.tell(attempt, begin.elapsed().as_secs_f64(), rows);
        Ok(out)
    }

    /// A task is done that nothing more is known of.
    pub(crate) fn tick(&self) {
        self.tell(0, 0.0, 0);
    }

    fn tell(&self, attempt: u64, took: f64, rows: u64) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = Phases { compute: took, ..Phases::default() };
        let facts = TaskDone { attempt, seconds, took, rows, done, tasks: self.tasks, ..TaskDone::default() };
        (self.observer)(&RunEvent::Done(facts));
    }
}
