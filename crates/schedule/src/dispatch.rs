//! The next attempt: the task to start, its function, and the reasons to wait.

use std::time::Duration;

use stagger_protocol::messages::Work;

use super::attempts::Attempt;
use super::run::{Run, Stop};

/// An attempt to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAttempt {
    /// Number of the attempt, over the whole run.
    pub attempt: u64,
    /// The task.
    pub work: Work,
    /// Number of attempts at it, this one included.
    pub number: u32,
    /// Function, by size.
    pub function: usize,
    /// Time after which the worker gives up.
    pub limit: Duration,
    /// An earlier attempt may have left a result.
    pub look: bool,
    /// Another attempt is under way.
    pub backup: bool,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Start this attempt, then ask again.
    Invoke(NewAttempt),
    /// Nothing now; ask again after an answer, or at this time.
    Wait(Option<Duration>),
    /// The stage is done.
    Done,
    /// The run ends here; attempts under way may still answer.
    Stopped,
}

impl Run {
    /// Returns the thing to do at time `now`.
    pub fn next(&mut self, now: Duration) -> Next {
        let Some(stage) = &self.stage else { return Next::Done };
        if stage.is_done() {
            return Next::Done;
        }
        if self.stop.is_some() {
            return Next::Stopped;
        }
        if self.holds.paused {
            return Next::Wait(None);
        }
        if let Some((until, _)) = self.holds.credentials.filter(|(until, _)| now < *until) {
            return Next::Wait(Some(until));
        }
        self.leave_absent_pool(now);
        if let Some(task) = self.ready_for_pool(now) {
            return self.start(task, now, false);
        }
        let Some(stage) = &mut self.stage else { return Next::Done };
        if self.attempts.busy() >= self.concurrency.limit() {
            return Next::Wait(stage.next_wake().filter(|at| *at > now));
        }
        if let Some(task) = stage.ready(now, false) {
            return self.start(task, now, false);
        }
        let wakes = stage.next_wake();
        match self.late(now) {
            Ok(task) => self.start(task, now, true),
            Err(at) => Next::Wait([wakes, at].into_iter().flatten().min()),
        }
    }

    /// Takes back the tasks that wait for the pool, while it is known that no worker is there.
    fn leave_absent_pool(&mut self, now: Duration) {
        let absent = self.holds.pool_absent.is_some_and(|until| now < until);
        if let Some(stage) = self.stage.as_mut().filter(|_| absent) {
            stage.empty_pool(now);
        }
    }

    /// Returns the next task for the pool. A queue holds the tasks that its workers have no hands for yet, so they take no place of
    /// others.
    fn ready_for_pool(&mut self, now: Duration) -> Option<usize> {
        let stage = self.stage.as_mut()?;
        while let Some(task) = stage.ready(now, true) {
            if self.budget.allows(&self.pricing.quote(stage, task)) {
                return Some(task);
            }
            // What the cap does not allow there it may allow on a function.
            stage.move_to_function(task);
        }
        None
    }

    /// Starts an attempt, if the cap allows it.
    fn start(&mut self, task: usize, now: Duration, backup: bool) -> Next {
        let Some(stage) = &mut self.stage else { return Next::Done };
        let pool = stage.tasks[task].pool;
        let quote = self.pricing.quote(stage, task);
        if !self.budget.allows(&quote) {
            self.budget.refuse(&quote);
            if self.attempts.is_empty() {
                self.stop = Some(Stop::Cost);
                return Next::Stopped;
            }
            return Next::Wait(None);
        }
        if !backup {
            stage.take(pool);
        }
        let own = &mut stage.tasks[task];
        own.attempts += 1;
        own.backup |= backup;
        stage.backups += usize::from(backup);
        let most = self.budget.most(&quote);
        self.budget.cost.reserve(most);
        let queued = self.pricing.functions[quote.function].is_pool();
        let taken = (!queued).then_some(now);
        let attempt = self.attempts.add(Attempt {
            stage: self.number,
            task,
            begun: now,
            most,
            backup,
            pool,
            queued,
            taken,
        });
        Next::Invoke(NewAttempt {
            attempt,
            work: own.work.clone(),
            number: own.attempts,
            function: quote.function,
            limit: quote.limit,
            look: self.resumed || own.attempts > 1,
            backup,
        })
    }
}
