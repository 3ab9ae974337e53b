//! The answers to attempts: reports, failures and what is done about them.

use std::time::Duration;

use stagger_model::error::FailureClass;
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::{TaskFailure, TaskReport, Work};

use super::attempts::Attempt;
use super::policy::{FailedAttempt, Remedy};
use super::run::{Run, Stop};
use super::stage::{Completion, FailureResponse, TaskStatus};

impl Run {
    /// Notes that a worker has taken the task of an attempt from a queue.
    pub fn on_taken(&mut self, attempt: u64, now: Duration) {
        self.attempts.take(attempt, now);
    }

    /// Takes the report of a worker that has done its task, and the dollars that it is billed.
    pub fn on_report(
        &mut self,
        attempt: u64,
        report: &TaskReport,
        dollars: f64,
        now: Duration,
    ) -> Completion {
        let Some(ended) = self.settle(attempt, dollars) else { return Completion::Ignored };
        self.holds.credentials = None;
        self.concurrency.record_success();
        let requests = self.pricing.requests(report.gets as f64, report.puts as f64);
        self.budget.add_requests(requests);
        let Some(stage) = self.stage.as_mut().filter(|_| ended.stage == self.number) else {
            return Completion::Ignored;
        };
        let task = &stage.tasks[ended.task];
        if matches!(task.status, TaskStatus::Done | TaskStatus::Split) {
            return Completion::Ignored;
        }
        // What was there already took no time: counted, it would make every task that computes late.
        // Neither did waiting in a queue.
        let took = if ended.queued { report.seconds.total() } else { now.saturating_sub(ended.begun) };
        if !report.found {
            stage.durations[usize::from(ended.pool)].add(took);
        }
        stage.complete(ended.task, report.bytes)
    }

    /// Takes the failure of an attempt and the dollars that it is billed; `fraction`, uniform in [0, 1), is the jitter.
    pub fn on_failure(
        &mut self,
        attempt: u64,
        failure: TaskFailure,
        dollars: f64,
        now: Duration,
        fraction: f64,
    ) -> FailureResponse {
        let under_way = self.attempts.len();
        let Some(ended) = self.settle(attempt, dollars) else { return FailureResponse::Ignored };
        if failure.class == FailureClass::Throttled {
            self.concurrency.record_throttle(now, under_way);
        }
        let Some(stage) = self.stage.as_mut().filter(|_| ended.stage == self.number) else {
            return FailureResponse::Ignored;
        };
        if matches!(stage.tasks[ended.task].status, TaskStatus::Done | TaskStatus::Split) {
            return FailureResponse::Ignored;
        }
        // While another attempt is under way, it decides: unless nothing can help.
        let others = self.attempts.of_stage(self.number).any(|a| a.task == ended.task);
        let hopeless = matches!(failure.class, FailureClass::Data | FailureClass::Permanent);
        if others && !hopeless {
            return FailureResponse::Ignored;
        }
        if failure.class == FailureClass::Credentials && self.hold(now) {
            self.stop.get_or_insert(Stop::Credentials(failure.clone()));
        }
        if failure.class == FailureClass::Absent && self.pricing.pool.is_some() {
            self.holds.pool_absent = Some(now + self.pricing.policy.absence);
        }
        self.remedy(ended.task, failure, now, fraction)
    }

    /// Takes the failure to read a sum that was reported: its task is done again.
    pub fn on_damaged(&mut self, node: TreeNode, failure: TaskFailure, now: Duration) -> FailureResponse {
        let Some(stage) = &mut self.stage else { return FailureResponse::Ignored };
        let of = |work: &Work| match work {
            Work::Shards { node: own, part: None } | Work::Reduce { node: own, .. } => *own == node,
            _ => false,
        };
        let Some(task) = stage.tasks.iter().position(|t| t.status == TaskStatus::Done && of(&t.work)) else {
            return FailureResponse::Ignored;
        };
        stage.done -= 1;
        stage.tasks[task].status = TaskStatus::Running;
        self.remedy(task, failure, now, 0.0)
    }

    /// Counts a failure against its task, and does what helps.
    fn remedy(&mut self, task: usize, failure: TaskFailure, now: Duration, fraction: f64) -> FailureResponse {
        let Some(stage) = &mut self.stage else { return FailureResponse::Ignored };
        stage.count_failure(task, failure.class);
        let own = &mut stage.tasks[task];
        if own.pool && self.pricing.policy.leaves_pool(failure.class, own.failures) {
            // What a pool could not do counts against the pool, not against the task.
            (own.pool, own.failures) = (false, 0);
            let function = own.function;
            stage.delay(task, now);
            return FailureResponse::RetryOnFunction(function);
        }
        if self.pricing.pool.is_none() && failure.class == FailureClass::Absent {
            own.failures = 0;
            stage.delay(task, now);
            self.stop.get_or_insert(Stop::Absent(failure));
            return FailureResponse::Retry(now);
        }
        let own = &stage.tasks[task];
        let remedy = self.pricing.policy.remedy(FailedAttempt {
            class: failure.class,
            failures: own.failures,
            throttles: own.throttles,
            larger: !own.pool && own.function + 1 < self.pricing.sizes(),
            splits: stage.can_split(task),
        });
        match remedy {
            Remedy::Retry(pause) => {
                let at = now + pause.mul_f64(fraction);
                stage.delay(task, at);
                FailureResponse::Retry(at)
            }
            Remedy::LargerFunction => FailureResponse::RetryOnLarger(stage.climb(task, now)),
            Remedy::Split => FailureResponse::Split(stage.split(task)),
            Remedy::Quarantine => {
                let times = stage.tasks[task].failures;
                let message = format!("{} (given up after {times} attempts)", failure.message);
                self.fatal(task, TaskFailure { message, ..failure })
            }
            Remedy::Fail => self.fatal(task, failure),
        }
    }

    fn fatal(&mut self, task: usize, failure: TaskFailure) -> FailureResponse {
        if let Some(stage) = &self.stage {
            let work = stage.tasks[task].work.clone();
            self.stop.get_or_insert(Stop::Failed { work, failure: failure.clone() });
        }
        FailureResponse::Fatal(failure)
    }

    /// Starts nothing for a while; returns true if that has lasted too long.
    fn hold(&mut self, now: Duration) -> bool {
        let (pause, patience) = self.pricing.policy.credentials;
        let since = self.holds.credentials.map_or(now, |(_, since)| since);
        self.holds.credentials = Some((now + pause, since));
        now.saturating_sub(since) > patience
    }

    /// Ends an attempt and pays for it.
    fn settle(&mut self, attempt: u64, dollars: f64) -> Option<Attempt> {
        let ended = self.attempts.remove(attempt)?;
        self.budget.cost.settle(ended.most, dollars);
        Some(ended)
    }
}
