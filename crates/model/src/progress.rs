//! Progress of a run in this process, reported to an observer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::events::{Observer, PhaseSeconds, RunEvent, TaskDone};
use crate::facts::{StageFacts, StagePart};

/// The progress of a run: the stages so far, and the observer.
pub struct StageProgress<'a> {
    /// The receiver of the events.
    pub observer: Observer<'a>,
    /// The stages so far, with their times.
    pub stages: Vec<StageFacts>,
    /// The number of earlier stages that were reported elsewhere.
    before: u64,
    /// The number of tasks of all stages so far.
    attempts: u64,
}

impl<'a> StageProgress<'a> {
    /// Returns the progress of a run at its start.
    pub fn new(observer: Observer<'a>) -> Self {
        Self::resuming_after(observer, 0)
    }

    /// Returns the progress of a run after `before` stages that were reported elsewhere.
    pub fn resuming_after(observer: Observer<'a>, before: u64) -> Self {
        Self { observer, stages: Vec::new(), before, attempts: 0 }
    }

    /// Runs one stage of `tasks` tasks, reports it and records its time.
    pub fn stage<T>(
        &mut self,
        name: &str,
        tasks: usize,
        work: impl FnOnce(&StageObserver<'_>) -> Result<T>,
    ) -> Result<T> {
        let number = self.before + self.stages.len() as u64 + 1;
        (self.observer)(&RunEvent::StageStarted { number, stage: name.to_owned(), tasks, object: None });
        let (begin, cpu) = (Instant::now(), processor_seconds());
        let span = tracing::debug_span!("stage", number, name, tasks).entered();
        let watch = StageObserver {
            observer: self.observer,
            span: tracing::Span::current(),
            first: self.attempts + 1,
            tasks,
            done: AtomicUsize::new(0),
            parts: Mutex::default(),
        };
        let out = work(&watch)?;
        drop(span);
        self.attempts += tasks as u64;
        let seconds = begin.elapsed().as_secs_f64();
        self.stages.push(StageFacts {
            stage: name.to_owned(),
            tasks,
            seconds,
            cpu: Some(processor_seconds() - cpu),
            parts: watch.parts.into_inner().unwrap_or_else(|e| e.into_inner()),
        });
        (self.observer)(&RunEvent::StageDone { number, stage: name.to_owned(), seconds });
        Ok(out)
    }
}

/// Returns the processor time that this process has taken so far, over all threads, in seconds.
pub fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A stage in progress, for the threads that do its tasks.
pub struct StageObserver<'a> {
    observer: Observer<'a>,
    /// The stage in logs; threads that do its tasks do not inherit it.
    span: tracing::Span,
    /// The number of the first task in the run.
    first: u64,
    tasks: usize,
    done: AtomicUsize,
    parts: Mutex<Vec<StagePart>>,
}

impl StageObserver<'_> {
    /// Runs the task of this index; `work` returns its result and the number of rows that it read.
    pub fn task<T>(&self, index: usize, name: String, work: impl FnOnce() -> Result<(T, u64)>) -> Result<T> {
        let attempt = self.first + index as u64;
        let _task = tracing::debug_span!(parent: &self.span, "task", attempt, name).entered();
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

    /// Records the time that the stage's threads spent on one part of its work, summed over the threads.
    pub fn record_part(&self, part: &str, time: Duration) {
        let own = StagePart { part: part.to_owned(), seconds: time.as_secs_f64() };
        self.parts.lock().unwrap_or_else(|e| e.into_inner()).push(own);
    }

    /// Runs a part of the stage's work, and records its time.
    pub fn time_part<T>(&self, part: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let out = work();
        self.record_part(part, begin.elapsed());
        out
    }

    /// Reports a completed task without any facts.
    pub fn report_done(&self) {
        self.tell(0, 0.0, 0);
    }

    /// Reports a completed task.
    fn tell(&self, attempt: u64, took: f64, rows: u64) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = PhaseSeconds { compute: took, ..PhaseSeconds::default() };
        let facts = TaskDone { attempt, seconds, took, rows, done, tasks: self.tasks, ..TaskDone::default() };
        (self.observer)(&RunEvent::Done(facts));
    }
}
