//! Attempts over time: one lane for each worker slot, so that gaps and stragglers can be seen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use stagger_model::error::FailureClass;

/// Attempts kept; of longer runs the oldest are forgotten.
const MOST: usize = 200_000;

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The attempt is under way.
    Running,
    /// The task is done.
    Done,
    /// The attempt failed.
    Failed(FailureClass),
    /// The run ended, or its controller did.
    Abandoned,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct AttemptSpan {
    /// The number of the attempt in the run.
    pub attempt: u64,
    /// The index of the worker slot.
    pub lane: usize,
    /// Index of its stage.
    pub stage: usize,
    /// The task, in words.
    pub task: String,
    /// The name of the function; empty for threads of the controller.
    pub function: String,
    /// The time of its start, in seconds since 1970.
    pub begin: f64,
    /// The time of its end, in seconds since 1970; none while it is under way.
    pub end: Option<f64>,
    /// There were attempts before.
    pub again: bool,
    /// Another one was under way.
    pub backup: bool,
    /// The outcome of the attempt.
    pub outcome: Outcome,
}

impl AttemptSpan {
    /// Seconds it took, or has taken so far.
    pub fn seconds(&self, now: f64) -> f64 {
        (self.end.unwrap_or(now) - self.begin).max(0.0)
    }
}

/// All attempts that are remembered.
#[derive(Clone, Debug, Default)]
pub struct AttemptLanes {
    spans: Vec<AttemptSpan>,
    /// By lane: its spans in order.
    lanes: Vec<Vec<usize>>,
    running: HashMap<u64, usize>,
    free: BinaryHeap<Reverse<usize>>,
}

impl AttemptLanes {
    pub(super) fn begin(
        &mut self,
        at: f64,
        attempt: u64,
        (stage, task, function): (usize, &str, &str),
        again: bool,
        backup: bool,
    ) {
        if self.spans.len() >= MOST {
            self.forget();
        }
        let lane = self.free.pop().map_or(self.lanes.len(), |Reverse(lane)| lane);
        if lane == self.lanes.len() {
            self.lanes.push(Vec::new());
        }
        let index = self.spans.len();
        self.lanes[lane].push(index);
        self.spans.push(AttemptSpan {
            attempt,
            lane,
            stage,
            task: task.to_owned(),
            function: function.to_owned(),
            begin: at,
            end: None,
            again: again && !backup,
            backup,
            outcome: Outcome::Running,
        });
        if let Some(old) = self.running.insert(attempt, index) {
            self.close(old, at, Outcome::Abandoned);
        }
    }

    /// The attempt that has ended; none if it never began, as far as is known.
    pub(super) fn end(&mut self, at: f64, attempt: u64, outcome: Outcome) -> Option<AttemptSpan> {
        let index = self.running.remove(&attempt)?;
        self.close(index, at, outcome);
        Some(self.spans[index].clone())
    }

    fn close(&mut self, index: usize, at: f64, outcome: Outcome) {
        let span = &mut self.spans[index];
        (span.end, span.outcome) = (Some(at), outcome);
        self.free.push(Reverse(span.lane));
    }

    /// Whatever is under way will not be heard of again.
    pub(super) fn abandon_running(&mut self, at: f64) {
        let all: Vec<usize> = self.running.drain().map(|(_, index)| index).collect();
        all.into_iter().for_each(|index| self.close(index, at, Outcome::Abandoned));
    }

    /// Forgets the older half of what has ended.
    fn forget(&mut self) {
        let mut ended = self.spans.len() / 2;
        let old = std::mem::take(&mut self.spans);
        let kept = old.into_iter().filter(|span| {
            let forgotten = span.end.is_some() && ended > 0;
            ended -= usize::from(forgotten);
            !forgotten
        });
        self.spans = kept.collect();
        self.lanes.iter_mut().for_each(Vec::clear);
        self.running.clear();
        for (index, span) in self.spans.iter().enumerate() {
            self.lanes[span.lane].push(index);
            if span.end.is_none() {
                self.running.insert(span.attempt, index);
            }
        }
    }

    /// Returns the number of attempts under way.
    pub fn under_way(&self) -> usize {
        self.running.len()
    }

    /// Worker slots that were ever taken at one time.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// All attempts, by their start.
    pub fn all(&self) -> &[AttemptSpan] {
        &self.spans
    }

    /// The attempt of a lane that takes most of the seconds from `from` to `to`.
    pub fn longest_between(&self, lane: usize, from: f64, to: f64) -> Option<&AttemptSpan> {
        let lane = self.lanes.get(lane)?;
        // Spans of a lane don't overlap, so their ends ascend as their beginnings do.
        let first = lane.partition_point(|&index| self.spans[index].end.is_some_and(|end| end <= from));
        let overlap = |span: &AttemptSpan| span.end.unwrap_or(f64::INFINITY).min(to) - span.begin.max(from);
        let candidates = lane[first..].iter().map(|&index| &self.spans[index]);
        let touching = candidates.take_while(|span| span.begin < to);
        touching.max_by(|a, b| overlap(a).total_cmp(&overlap(b)))
    }
}
